"""What a faulty load statement is reported as: table, file, line, and the rows that it forgot. Source: X-14, X-20."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from include.declaration.import_type import ImportTypes
from include.import_types import IMPORT_TYPES
from include.import_types.gift_cards import GIFT_CARDS
from tests.imports import Site, counts

pytestmark = pytest.mark.integration

Fault = Callable[..., None]


@pytest.fixture
def load_with(stocked: Site, tmp_path: Path) -> Fault:
    """Return a function that gives the gift cards of `stocked` another load: the shipped one and some SQL after it."""

    def change(after: str = "", *, instead: str | None = None, targets: tuple[str, ...] = GIFT_CARDS.targets) -> None:
        (statement,) = GIFT_CARDS.load_statements
        statements = statement.read_text(encoding="utf-8") if instead is None else instead
        (tmp_path / "load.sql").write_text(f"{statements}{after}", encoding="utf-8")
        faulty = replace(GIFT_CARDS, folder=tmp_path, targets=targets)
        others = [import_type for import_type in IMPORT_TYPES.values() if import_type is not GIFT_CARDS]
        stocked.runtime = replace(stocked.runtime, import_types=ImportTypes(faulty, *others))

    return change


def failure(site: Site, *cards: str, **parameters: object) -> str:
    """Import cards, which fails and loads nothing; return the reason."""
    before = site.card_numbers()
    result = site.cards(*cards, **parameters)
    assert (result.state, (result.reason or {})["rule"]) == ("failed", "job.failed")
    assert site.card_numbers() == before
    return str((result.reason or {})["message"])


CARDS = ("1,flexible_gift,10", "1,flexible_gift,10", "3,flexible_gift,10")
"""The load rejects the second."""


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_rows_that_were_neither_counted_nor_rejected_are_named(stocked: Site, load_with: Fault, is_dry_run: bool):
    load_with("\nDELETE FROM load_reject WHERE line = 3;\n")
    assert failure(stocked, *CARDS, dry_run=is_dry_run) == (
        "The load of gift_cards counted 2 and rejected 0 of 3 valid rows: each row must be counted once in load_count, "
        "or rejected in load_reject with a rule that the type declares. Rows that it neither inserted nor rejected are "
        "on these lines: 3. Nothing was loaded."
    )


def test_of_many_forgotten_rows_the_first_are_named(stocked: Site, load_with: Fault):
    load_with("\nDELETE FROM load_reject;\n")
    message = failure(stocked, *(f"{number},flexible_gift,10" for number in (*range(10), *range(7))))
    assert "counted 10 and rejected 0 of 17 valid rows" in message
    assert "lines: 12, 13, 14, 15, 16 and others. Nothing" in message


def test_rows_that_were_counted_twice_are_reported(stocked: Site, load_with: Fault):
    load_with("\nUPDATE load_count SET rows = rows + 1 WHERE outcome = 'inserted';\n")
    message = failure(stocked, *CARDS)
    assert "counted 3 and rejected 1 of 3 valid rows" in message
    assert "lines" not in message


def test_rows_that_the_suite_rejected_may_be_rejected_again(stocked: Site, load_with: Fault):
    load_with("\nINSERT INTO load_reject SELECT line, 'card_number.exists', 'Too.' FROM staged_reject;\n")
    assert counts(stocked.cards(*CARDS, "4,flexible_gift,-1")) == {"read": 4, "inserted": 2, "rejected": 2}


def test_an_outcome_of_another_name_does_not_count(stocked: Site, load_with: Fault):
    load_with("\nUPDATE load_count SET outcome = 'insertd' WHERE outcome = 'inserted';\n")
    assert "counted 0 and rejected 1 of 3 valid rows" in failure(stocked, *CARDS)


def test_a_missing_table_says_that_its_migration_is_missing(stocked: Site, load_with: Fault):
    load_with(instead="INSERT INTO loyalty.made_up_store SELECT FROM staged;\n", targets=("loyalty.made_up_store",))
    assert failure(stocked, *CARDS) == (
        "loyalty.made_up_store, which load.sql loads into, does not exist: the migration of the type gift_cards "
        "is missing. Add it to include/warehouse/migrations/revisions and run `python -m include.cli migrate`."
    )


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("SELECT row.opened\nFROM staged AS row;\n", "column row.opened does not exist (SQLSTATE 42703)"),
        ("SELECT *\nFROM stagd;\n", 'relation "stagd" does not exist (SQLSTATE 42P01)'),
    ],
)
def test_an_error_of_a_load_statement_names_its_file_and_line(
    stocked: Site, load_with: Fault, statement: str, problem: str
):
    load_with(instead=f"-- Loads cards.\n\n{statement}")
    line = 3 if "row.opened" in statement else 4
    assert failure(stocked, *CARDS) == (f"The database refused a statement: {problem} in load.sql, line {line}")


def test_an_error_inside_a_block_names_its_file(stocked: Site, load_with: Fault):
    load_with(instead="DO $$ BEGIN PERFORM 1 / count(*) FROM staged WHERE false; END $$;\n")
    assert failure(stocked, *CARDS).endswith("(SQLSTATE 22012) in load.sql")
