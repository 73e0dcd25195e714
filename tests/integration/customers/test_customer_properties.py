"""Any small file over a handful of identifiers, against the oracle; files cut, turned and written otherwise.

Source: CU-01 to CU-14, X-15.
"""

from __future__ import annotations

import csv
import io
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration


def examples(number: int) -> settings:
    """Return how many files a property is tried on, the same ones each time."""
    return settings(
        max_examples=number,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


HEADER = (
    "ExternalIdentityWebsite", "ExternalIdentityPos", "Email", "MobilePhone", "FirstName", "LastName", "FullName",
    "Sex", "Visits", "FavoriteColor", "IsSubscribed", "IsSubscribedByEmail", "IsSubscribedByEmailOnNews",
    "LastUpdateDateTime", "SourceDateTime", "LastUpdateActionTemplate", "SourceActionTemplate",
    "LastUpdatePointOfContact", "SourcePointOfContact",
)  # fmt: skip
ALL = range(len(HEADER))
WEBSITES = ("w1", "w2", "w3")
TILLS = ("p1", "p2")
EMAILS = ("a@x.com", "b@x.com", "c@x.com")
PHONES = ("+12125550101", "+12125550102")
NAMES = ("Ann", "Bob")


def maybe(*values: str, blank: int = 2) -> st.SearchStrategy[str]:
    """Draw a cell: one of the values, or nothing."""
    return st.sampled_from([*values, *[""] * blank])


ROWS = st.tuples(
    maybe(*WEBSITES, "%CLEAR%", blank=3),
    maybe(*TILLS, "%CLEAR%", blank=5),
    maybe(*EMAILS, "A@X.com", "%CLEAR%", blank=2),
    maybe(*PHONES, "(212) 555-0101", "%CLEAR%", blank=5),
    maybe(*NAMES, "%CLEAR%"),
    maybe("Lee", "%CLEAR%", blank=4),
    maybe("Ann Lee", "Bob Law", "%CLEAR%", blank=4),
    maybe("m", "female", "%CLEAR%", "x", blank=16),
    maybe("1", "01", "2", "%CLEAR%", blank=6),
    maybe("red", "blue", "%CLEAR%", blank=6),
    maybe("yes", "no", "%CLEAR%", blank=6),
    maybe("true", "0", "%CLEAR%", blank=6),
    maybe("1", "%CLEAR%", blank=6),
    maybe("2024-05-01 10:00", "2023-01-01", "2999-01-01", blank=16),
    maybe("2022-05-01 10:00", blank=4),
    maybe("EditedInCrm", "NightlySync", "Nowhere", blank=3),
    maybe("ImportedFromCrm", "NightlySync", "Nowhere", blank=3),
    maybe("shop-7", "site-demo", "nowhere", blank=16),
    maybe("shop-7", blank=3),
)
FILES = st.lists(ROWS, min_size=1, max_size=9)
SETTINGS = st.fixed_dictionaries(
    {"action": st.sampled_from(["add_and_edit", "add_and_edit", "edit_existing"])},
    optional={
        "data_source": st.sampled_from(["Tills", "Demo site"]),
        "point_of_contact": st.sampled_from(["shop-7", "site-demo"]),
        "segment": st.sampled_from(["vip-2024", "spring"]),
        "take_point_of_contact_from_file": st.just(True),
        "take_action_template_from_file": st.just(True),
        "on_invalid_optional": st.just("drop_value"),
        "replace_external_ids": st.just(True),
        "shared_identifier_rows": st.sampled_from([1, 2, 3]),
    },
)


OF_ONE_FILE = ("replace_external_ids", "shared_identifier_rows")
"""Settings with which it matters which rows come in one file (CU-03)."""


@st.composite
def customers(draw: st.DrawFn) -> str:
    """Draw customers that are there already: no identifier is given twice, and each customer has one."""
    lines = []
    given_away: set[str] = set()
    for _ in range(draw(st.integers(0, 4))):
        cells = {
            "website": draw(maybe(*WEBSITES)),
            "pos": draw(maybe(*TILLS)),
            "email": draw(maybe(*EMAILS, "B@x.com")),
            "mobile_phone": draw(maybe(*PHONES)),
        }
        cells = {name: cell for name, cell in cells.items() if cell and cell.lower() not in given_away}
        if not cells:
            continue
        given_away |= {cell.lower() for cell in cells.values()}
        cells |= {
            "first_name": draw(maybe(*NAMES)),
            "last_name": draw(maybe("Lee", blank=1)),
            "full_name": draw(maybe("Ann", blank=1)),
            "Visits": draw(maybe("1")),
            "FavoriteColor": draw(maybe("red", "blue")),
            "Acme": draw(maybe("yes", "no", "erased")),
            "Acme/Email": draw(maybe("yes", "no", "erased")),
            "Demo/Email/News": draw(maybe("yes", "erased")),
        }
        lines.append(" ".join([str(len(lines) + 1), *(f"{name}={cell}" for name, cell in cells.items() if cell)]))
    return "\n".join(lines)


def written(rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, **dialect: Any) -> str:
    """Return a file."""
    text = io.StringIO()
    csv.writer(text, **({"lineterminator": "\n"} | dialect)).writerows([header, *rows])
    return text.getvalue()


@examples(300)
@given(customers(), FILES, SETTINGS, st.sets(st.sampled_from(HEADER), max_size=8))
def test_any_small_file_does_what_its_rows_do_one_after_the_other(
    scene_of_module: Scene, before: str, rows: list[tuple[str, ...]], chosen: dict[str, Any], left_out: set[str]
):
    """CU-01 to CU-14: every table, every row's outcome, its rules, its changes, its action."""
    columns = (
        [n for n, header in enumerate(HEADER) if header not in left_out] if not left_out >= set(HEADER[:4]) else ALL
    )
    scene_of_module.erase()
    scene_of_module.add(before)
    scene_of_module.load(written([[row[n] for n in columns] for row in rows], [HEADER[n] for n in columns]), **chosen)


def essence(scene: Scene, *, is_whole: bool) -> object:
    """Return the tables without numbers of jobs and times; if not whole, without lines and what follows from them.

    Case twins of an e-mail are equal, and so is an answer that was erased and one that was never given.
    """
    warehouse = scene.read()
    last_job = max((job for job, _ in warehouse.changes), default=0)
    names = {}
    customer_values = []
    for key, customer in warehouse.customers.items():
        values = customer.all_values()
        values |= {"email": values["email"].lower()} if "email" in values else {}
        identifiers = [values.get(name) for name in IDENTIFIERS]
        names[key] = str((key.partition(":")[2] if is_whole else "", identifiers))
        customer_values.append((names[key], sorted(values.items())))
    members = sorted((segment, names[key]) for segment, key in warehouse.members)
    if not is_whole:
        return sorted(customer_values), warehouse.segments, members
    actions = sorted(
        (action.line, names[action.customer], action.kind, action.template, action.data_source, action.point_of_contact)
        for action in warehouse.actions
    )
    changes = sorted(
        (line, names[key], fields) for (job, line), (key, fields) in warehouse.changes.items() if job == last_job
    )
    return sorted(customer_values), warehouse.segments, members, actions, changes


IDENTIFIERS = ("external_id.website", "external_id.pos", "email", "mobile_phone")


@examples(40)
@given(customers(), FILES, SETTINGS, st.integers(0, 9))
def test_a_file_that_is_split_in_two_gives_the_same_customers(
    scene_of_module: Scene, before: str, rows: list[tuple[str, ...]], chosen: dict[str, Any], place: int
):
    """CU-13: job numbers, lines, times and intermediate actions apart.

    Of files of which no row is rejected for what other rows of the same file say (CU-03).
    """
    chosen = {name: value for name, value in chosen.items() if name not in OF_ONE_FILE}
    scene = scene_of_module
    scene.erase()
    scene.add(before)
    whole = scene.load(written(rows), **chosen)
    assume(all("row." in rules or "belongs_to_another" not in rules for rules in whole.lines.values()))
    of_one = essence(scene, is_whole=False)
    scene.erase()
    scene.add(before)
    for part in (rows[:place], rows[place:]):
        scene.load(written(part), **chosen)
    assert essence(scene, is_whole=False) == of_one


@examples(25)
@given(customers(), FILES, SETTINGS, st.permutations(range(len(HEADER))))
def test_the_order_of_columns_does_not_matter(
    scene_of_module: Scene, before: str, rows: list[tuple[str, ...]], chosen: dict[str, Any], order: list[int]
):
    """X-05."""
    essences = []
    for columns in (range(len(HEADER)), order):
        scene_of_module.erase()
        scene_of_module.add(before)
        turned = [[row[column] for column in columns] for row in rows]
        scene_of_module.load(written(turned, [HEADER[column] for column in columns]), **chosen)
        essences.append(essence(scene_of_module, is_whole=True))
    assert essences[0] == essences[1]


DIALECTS = (
    {"delimiter": ";"},
    {"delimiter": "\t", "lineterminator": "\r\n"},
    {"delimiter": "|", "quoting": csv.QUOTE_ALL},
    {"lineterminator": "\r"},
    {"quoting": csv.QUOTE_ALL, "lineterminator": "\r\n"},
)


@examples(25)
@given(customers(), FILES, SETTINGS, st.sampled_from(DIALECTS), st.sampled_from(["utf-8-sig", "utf-8", "utf-16"]))
def test_how_a_file_is_written_does_not_matter(
    scene_of_module: Scene,
    before: str,
    rows: list[tuple[str, ...]],
    chosen: dict[str, Any],
    dialect: dict[str, Any],
    encoding: str,
):
    """X-03, X-15, X-16: delimiter, quotes, line ends, encoding, writing of headers, blanks around cells."""
    scene = scene_of_module
    scene.erase()
    scene.add(before)
    scene.load(written(rows), **chosen)
    as_written = essence(scene, is_whole=True)
    scene.erase()
    scene.add(before)
    headers = [" ".join(re.findall("[A-Z][a-z]*", header)).upper() for header in HEADER]
    padded = [[f" {cell}\u00a0" if cell else " " for cell in row] for row in rows]
    content = written(padded, headers, **dialect).encode(encoding)
    declared = {"encoding": encoding} if encoding == "utf-16" else {}
    result = scene.site.load("customers", content, force=True, **chosen, **declared)
    assert result.state.startswith("completed"), result
    assert essence(scene, is_whole=True) == as_written


@st.composite
def rows_of_persons(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Draw rows of a few persons, each with one value of each identifier, of which a row gives any."""
    rows = draw(st.lists(st.tuples(st.integers(0, 2), ROWS), min_size=1, max_size=9))
    identified_rows = []
    for person, row in rows:
        own = [f"w{person}", f"p{person}", f"{'abc'[person]}@x.com", f"+1212555010{person}"]
        identified_rows.append((*(own[n] if row[n] else "" for n in range(4)), *row[4:]))
    return identified_rows


@examples(40)
@given(rows_of_persons(), SETTINGS)
def test_importing_twice_changes_nothing_the_second_time_and_records_no_action(
    scene_of_module: Scene, rows: list[tuple[str, ...]], chosen: dict[str, Any]
):
    """CU-05, CU-13: where no identifier goes from one person to another."""
    scene_of_module.erase()
    scene_of_module.add("1 website=w0 email=A@x.com Acme=yes first_name=Old")
    first = scene_of_module.load(written(rows), **chosen)
    before = scene_of_module.read()
    second = scene_of_module.load(written(rows), **chosen)
    assert scene_of_module.read() == before
    was = first.outcome.lines
    assert second.outcome.lines == {
        line: "unchanged" if outcome in ("inserted", "updated") else outcome for line, outcome in was.items()
    }


@examples(60)
@given(customers(), FILES, SETTINGS)
def test_a_file_whose_second_import_would_not_be_the_same_is_reported(
    scene_of_module: Scene, before: str, rows: list[tuple[str, ...]], chosen: dict[str, Any]
):
    """CU-13: without that warning the same file changes nothing, wherever its identifiers go."""
    scene = scene_of_module
    scene.erase()
    scene.add(before)
    first = scene.load(written(rows), **chosen)
    as_it_was = scene.read()
    event("reported" if "row.not_repeatable" in first.outcome.warnings else "silent")
    assume("row.not_repeatable" not in first.outcome.warnings)
    second = scene.load(written(rows), **chosen)
    assert scene.read() == as_it_was
    assert "inserted" not in second.outcome.lines.values()
    assert "updated" not in second.outcome.lines.values()


def neighbourhoods(seed: int, number: int) -> tuple[str, list[tuple[str, ...]]]:
    """Return customers and rows of many small worlds that share no identifier, the rows in any order."""
    chance = random.Random(seed)
    before: list[str] = []
    rows: list[tuple[str, ...]] = []

    def any_of(*values: str, blank: int) -> str:
        return chance.choice([*values, *[""] * blank])

    for world in range(number):
        websites, tills = [f"{world}-{n}" for n in (1, 2, 3)], [f"{world}-{n}" for n in (1, 2)]
        emails = [f"{letter}{world}@x.com" for letter in "abc"]
        phones = [f"+1{2122000000 + 10 * world + n}" for n in (1, 2)]
        pools = {"website": websites[:], "pos": tills[:], "email": emails[:], "mobile_phone": phones[:]}
        for _ in range(chance.choice((0, 0, 1, 2, 3))):
            cells = {name: pool.pop() for name, pool in pools.items() if pool and chance.random() < 0.5}
            if cells:
                cells |= {"first_name": chance.choice(NAMES), "Acme": chance.choice(("yes", "no", "erased"))}
                cells = {name: cell for name, cell in cells.items() if chance.random() < 0.8 or name in pools}
                before.append(" ".join([str(len(before) + 1), *(f"{name}={cell}" for name, cell in cells.items())]))
        rows += [
            (
                any_of(*websites, "%CLEAR%", blank=3),
                any_of(*tills, "%CLEAR%", blank=5),
                any_of(*emails, emails[0].upper(), "%CLEAR%", blank=2),
                any_of(*phones, "%CLEAR%", blank=4),
                any_of(*NAMES, "%CLEAR%", blank=2),
                any_of("Lee", "%CLEAR%", blank=4),
                any_of("Ann Lee", "%CLEAR%", blank=4),
                any_of("m", "f", "%CLEAR%", blank=3) if chance.random() < 0.95 else "x",
                any_of("1", "2", "%CLEAR%", blank=4),
                any_of("red", "%CLEAR%", blank=4),
                any_of("yes", "no", "%CLEAR%", blank=4),
                any_of("true", "0", "%CLEAR%", blank=4),
                any_of("1", "%CLEAR%", blank=4),
                any_of("2024-05-01 10:00", "2023-01-01", blank=4),
                any_of("2022-05-01 10:00", blank=4),
                any_of("EditedInCrm", "NightlySync", "Nowhere", blank=3),
                any_of("ImportedFromCrm", "NightlySync", blank=3),
                any_of("shop-7", "site-demo", blank=3),
                any_of("shop-7", blank=3),
            )
            for _ in range(chance.choice((1, 1, 2, 3, 5, 8, 13)))
        ]
    chance.shuffle(rows)
    return "\n".join(before), rows


@pytest.mark.parametrize("action", ["add_and_edit", "edit_existing"])
def test_a_file_with_all_sorts_of_customers_does_what_its_rows_do_one_after_the_other(scene: Scene, action: str):
    """CU-01 to CU-14, X-14: some rows are simple, some entangled; the chunks are small, so that files have several."""
    before, rows = neighbourhoods(len(action), 150)
    scene.add(before)
    chosen = {"take_point_of_contact_from_file": True, "take_action_template_from_file": True, "segment": "spring"}
    loaded = Scene(scene.site.changed(chunk_bytes=20_000, block_bytes=5_000)).load(
        written(rows), action=action, **chosen
    )
    outcomes = set(loaded.outcome.lines.values())
    assert outcomes == {"updated", "unchanged", "rejected", "inserted" if action == "add_and_edit" else "not_found"}
