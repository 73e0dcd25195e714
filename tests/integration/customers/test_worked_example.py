"""The worked example of docs/explanation/customer-matching.md, executed: its tables are the test's data."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from include.import_types.customers import CUSTOMERS
from tests.integration.customers.scenes import Scene, Table

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "customer-matching.md"
LOAD_FOLDER = CUSTOMERS.load_statements[0].parent
MOST_LINES = 150


def rows_below(heading: str) -> list[dict[str, str]]:
    """Return the rows of the first table below a heading of the page: column → cell."""
    _, heading_line, text = PAGE.read_text(encoding="utf-8").partition(f"\n### {heading}\n")
    assert heading_line, heading
    table = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert table is not None, heading
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines())
    assert rows, heading
    return [dict(zip(header, row, strict=True)) for row in rows]


def customers(heading: str) -> Table:
    """Return a table of customers as scenes compare it: key → name → value, without blank cells."""
    return {
        row["customer"]: {name: cell for name, cell in row.items() if cell and name != "customer"}
        for row in rows_below(heading)
    }


def file_text() -> str:
    """Return the file of the page as CSV; its rows have the lines that the page says."""
    rows = rows_below("File")
    assert [row.pop("line") for row in rows] == [str(line) for line in range(2, 12)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def add_customers(scene: Scene) -> None:
    scene.add(
        "\n".join(
            " ".join([key, *(f'{name}="{value}"' for name, value in values.items())])
            for key, values in customers("Customers before").items()
        )
    )


def test_the_worked_example_of_matching_is_what_the_load_does(scene: Scene):
    add_customers(scene)
    verdicts = {int(row["line"]): row["verdict"] for row in rows_below("Verdicts")}
    changes: dict[int, dict[str, tuple[str | None, str | None]]] = {}
    for row in rows_below("Changes in the ledger"):
        changes.setdefault(int(row["line"]), {})[row["field"]] = row["before"] or None, row["after"] or None

    loaded = scene.load(file_text(), action="add_and_edit")

    assert loaded.lines == verdicts
    assert loaded.customers() == customers("Customers afterwards")
    assert loaded.changes() == changes
    assert loaded.outcome.warnings == {}


def test_the_file_of_the_worked_example_changes_nothing_when_it_is_sent_again(scene: Scene):
    add_customers(scene)
    first = scene.load(file_text(), action="add_and_edit")
    again = scene.load(file_text(), action="add_and_edit")
    accepted = {"inserted", "updated", "unchanged"}
    assert again.lines == {
        line: "unchanged" if verdict in accepted else verdict for line, verdict in first.lines.items()
    }
    assert again.changes() == {}


def test_the_page_lists_the_files_of_the_load_in_their_order():
    text = PAGE.read_text(encoding="utf-8").partition("## How the load does it")[2]
    assert re.findall(r"^\| `(\d\d_\w+)` \|", text, re.MULTILINE) == [path.stem for path in CUSTOMERS.load_statements]


def test_the_load_runs_every_file_of_its_folder_in_the_order_of_their_numbers():
    assert list(CUSTOMERS.load_statements) == sorted(LOAD_FOLDER.glob("*.sql"))


@pytest.mark.parametrize("path", CUSTOMERS.load_statements, ids=lambda path: path.stem)
def test_a_file_of_the_load_is_short_and_begins_with_its_contract(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    place = CUSTOMERS.load_statements.index(path) + 1
    assert len(lines) <= MOST_LINES
    assert lines[0].startswith(f"-- Customers, {place} of {len(CUSTOMERS.load_statements)}: ")
    head = lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]
    parts = {line.split()[1] for line in head if re.match(r"-- [A-Z][a-z]+  ", line)}
    assert "Reads" in parts
    assert parts & {"Leaves", "Writes", "Changes"}
