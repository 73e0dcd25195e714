"""Files whose columns were exchanged, shifted or repeated: nothing of them loads unasked. Source: X-05, X-18, S1-1."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest

from include import import_types
from include.columns.mapping import map_columns
from include.declaration.fields import Field, Look
from include.import_types import IMPORT_TYPES
from include.ledger.jobs import JobResult
from include.project.sync import sync_in_turn
from include.rules.plausibility import ALIKE_BUT_NEVER_EQUAL, FEWEST, MAY_BE_EQUAL, WORDS_OF_ANY_KIND, look_of
from tests.exchanged_columns import MAKER_TYPES, Table, as_text, exchange, make_table, pairs, repeat, sample, shift
from tests.imports import Site, counts, rejects

pytestmark = pytest.mark.integration

ADDING = {"gift_cards", "promo_codes"}
"""Types whose rows are money or codes."""
OF_CUSTOMERS = {"take_point_of_contact_from_file": True, "take_action_template_from_file": True}
MAKERS: dict[str, Callable[[str], Table]] = {"sample": sample, "1,000 rows": make_table}

FEW_WORDS = [*WORDS_OF_ANY_KIND, {Look.PERSON, Look.FULL_NAME}, {Look.PLACE, Look.FULL_NAME}]
"""Whole names have several words, which a handful of rows doesn't show."""


ONLY_WARNED = {"last_update_action_template", "source_action_template"}
"""An unknown template costs no row (CU-10): a sample that has one can't distinguish it from another identifier."""


def prepared(site: Site, import_type: str) -> Site:
    """Return a site with what the rows of a type refer to."""
    sync_in_turn(site.warehouse.owner, site.runtime.project)
    if import_type == "gift_cards":
        site.sample_pools()
    if import_type == "promo_codes":
        site.load("promo_code_pools", IMPORT_TYPES["promo_code_pools"].sample.read_bytes())
    return site


def load(site: Site, import_type: str, table: Table) -> JobResult:
    settings = OF_CUSTOMERS if import_type == "customers" else {}
    return site.load(import_type, as_text(table), force=True, **settings)


def fields_of(site: Site, import_type: str, header: list[str]) -> list[Field]:
    """Return the field of each column."""
    declared = import_types.get(import_type)
    fields = {field.name: field for field in declared.all_fields(site.runtime.project)}
    return [fields[str(column.field)] for column in map_columns(header, tuple(fields.values()), {}, declared).columns]


def is_distinguishable(import_type: str, one: Field, other: Field, alike: list[set[Look]]) -> bool:
    """Return whether something distinguishes two fields; `ALIKE` of the unit tests has the reasons for the others."""
    lookups = {lookup.field: lookup.query for lookup in import_types.get(import_type).lookups}
    differ = lookups.get(one.name) != lookups.get(other.name) or one.choices != other.choices
    is_checked = differ and not (alike is FEW_WORDS and {one.name, other.name} & ONLY_WARNED)
    looks = {look_of(one), look_of(other)}
    return is_checked or (len(looks) == 2 and looks not in alike)


def was_asked(result: JobResult) -> bool:
    """Return whether a file is refused until a user answers, by a sentence that names columns and the setting."""
    if result.reason is None or result.reason["rule"] != "file.review":
        return False
    assert "olumn " in result.reason["message"], "the question names no column"
    assert "--set review_" in result.reason["message"]
    return True


def loaded(result: JobResult) -> int:
    """Return how many rows changed anything, or are there as they are in the file."""
    return result.rows.inserted + result.rows.updated + result.rows.unchanged


@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_of_two_exchanged_columns_of_a_thousand_rows_nothing_loads_unasked(site: Site, import_type: str):
    table = make_table(import_type)
    fields = fields_of(prepared(site, import_type), import_type, table[0])
    before = site.loyalty()
    for one, other in pairs(table):
        if is_distinguishable(import_type, fields[one], fields[other], WORDS_OF_ANY_KIND):
            result = load(site, import_type, exchange(table, one, other))
            assert was_asked(result) or not loaded(result), (table[0][one], table[0][other], counts(result))
    assert site.loyalty() == before
    honest = load(site, import_type, table)
    assert honest.state == "completed", honest.reason


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("place", "rows"), [("middle", 600), ("middle", 30_000), ("last", 600), ("last", 30_000)])
def test_x18_rows_that_are_exchanged_behind_right_ones_are_asked_about(
    site: Site, place: str, rows: int, line_end: str
):
    """Card number and balance, both whole numbers that no rule denies."""
    prepared(site, "gift_cards")
    low, high = (rows * 2 // 5, rows * 7 // 10) if place == "middle" else (rows // 2 + 130, rows)
    cards = [(f"{number + 600_000}", f"{number % 90 + 10}") for number in range(rows)]
    cards[low:high] = [(balance, number) for number, balance in cards[low:high]]
    lines = [f'"{number}","flexible_gift","{balance}"' for number, balance in cards]
    result = site.load("gift_cards", line_end.join(["card_number,pool_system_name,balance", *lines]))
    assert was_asked(result)
    assert f"be exchanged in the {place} rows" in (result.reason or {})["message"]
    assert site.query("SELECT count(*) FROM loyalty.gift_card") == [(0,)]


@pytest.mark.parametrize("import_type", import_types.IMPORT_TYPES)
def test_x18_of_two_exchanged_columns_of_a_sample_nothing_wrong_loads_unasked(site: Site, import_type: str):
    """A sample has two rows or twenty. Where nobody is asked, every row that the exchange changes is rejected."""
    table = sample(import_type)
    fields = fields_of(prepared(site, import_type), import_type, table[0])
    for one, other in pairs(table):
        filled = sum(bool(row[index]) for row in table[1:] for index in (one, other) if index < len(row))
        if filled < FEWEST or not is_distinguishable(import_type, fields[one], fields[other], FEW_WORDS):
            continue
        result = load(site, import_type, exchange(table, one, other))
        if not was_asked(result):
            cells = {line: (row[one : one + 1], row[other : other + 1]) for line, row in enumerate(table[1:], start=2)}
            changed = {line for line, (mine, theirs) in cells.items() if mine != theirs}
            assert changed <= rejects(result).keys(), (table[0][one], table[0][other])
    honest = load(site, import_type, table)
    assert honest.state.startswith("completed"), honest.reason
    assert loaded(honest)


def test_x18_of_card_numbers_that_are_the_balances_too_nothing_loads_unasked(site: Site):
    prepared(site, "gift_cards")
    header = ["card_number", "pool_system_name", "balance"]
    for first in (44629282, 10**10):
        numbers = [str(first + 7 * number) for number in range(1000)]
        result = load(site, "gift_cards", [header, *([number, "flexible_gift", number] for number in numbers)])
        assert was_asked(result), counts(result)


@pytest.mark.parametrize("size", MAKERS)
@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_of_columns_that_were_shifted_nothing_loads_unasked(site: Site, import_type: str, size: str):
    table = MAKERS[size](import_type)
    prepared(site, import_type)
    before = site.loyalty()
    for by in range(1, len(table[0])):
        result = load(site, import_type, shift(table, by))
        assert was_asked(result) or not loaded(result), (by, counts(result))
    assert site.loyalty() == before


def never_hold_the_same(import_type: str, one: Field, other: Field) -> bool:
    """Return whether a column that repeats another one's is a mistake, whatever the values are.

    All of a type that adds money or codes; in the others, product identifiers may be names, and descriptions too.
    """
    if import_type in ADDING:
        return is_distinguishable(import_type, one, other, WORDS_OF_ANY_KIND)
    looks = {look_of(one), look_of(other)}
    if len(looks) == 1:
        return looks <= ALIKE_BUT_NEVER_EQUAL
    return not any(looks <= group for group in MAY_BE_EQUAL)


@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_of_a_column_that_repeats_another_ones_nothing_loads_unasked(site: Site, import_type: str):
    """All pairs of types that add money or codes; neighbours of others, as unit tests ask about all their pairs."""
    table = make_table(import_type, 200)
    fields = fields_of(prepared(site, import_type), import_type, table[0])
    before = site.loyalty()
    for source, target in permutations(range(len(fields)), 2):
        is_imported = import_type in ADDING or abs(source - target) == 1
        if is_imported and never_hold_the_same(import_type, fields[source], fields[target]):
            result = load(site, import_type, repeat(table, source, target))
            assert was_asked(result) or not loaded(result), (table[0][source], table[0][target], counts(result))
    assert site.loyalty() == before
