"""Files whose columns were exchanged, shifted or repeated: nothing of them loads unasked. Source: X-05, X-18, S1-1."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from include import import_types
from include.importing.import_type import Field
from include.importing.jobs import JobResult
from include.importing.mapping import map_columns
from include.importing.plausibility import look_of
from include.project.sync import sync_in_turn
from tests.exchanged_columns import TEMPLATES, Table, as_text, exchange, made, pairs, sample, shift
from tests.imports import Site, counts

pytestmark = pytest.mark.integration

OF_CUSTOMERS = {"take_point_of_contact_from_file": True, "take_action_template_from_file": True}
MAKERS: dict[str, Callable[[str], Table]] = {"sample": sample, "1,000 rows": made}

UNSEEN_IN_SAMPLES = {
    ("gift_card_pools", frozenset({"card_value", "lifetime_years"})),
    ("gift_card_pools", frozenset({"expiration_type", "lifetime_years"})),
    *(
        ("promo_code_pools", frozenset({"format", name}))
        for name in ("system_id", "campaign", "parameter_name", "quantity", "auto_generate", "top_up_threshold",
                     "notify_below", "lead_hours", "issue_check", "assigned_validity_days", "processing")
    ),
    *(
        ("promo_code_pools", frozenset({one, other}))
        for one in ("quantity", "top_up_threshold", "lead_hours", "assigned_validity_days")
        for other in ("auto_generate", "issue_check")
    ),
}  # fmt: skip
"""Pairs of columns with one to three values in a sample of two or four rows. What loads are rows in which both are
blank: an exchange changes nothing in them, so they are asserted to be as the sample has them."""


def prepared(site: Site, import_type: str) -> Site:
    """Return a site with what the rows of a type refer to."""
    sync_in_turn(site.warehouse.owner, site.runtime.project)
    if import_type == "gift_cards":
        site.sample_pools()
    if import_type == "promo_codes":
        site.load("promo_code_pools", (TEMPLATES / "promo_code_pools.sample.csv").read_bytes())
    return site


def load(site: Site, import_type: str, table: Table) -> JobResult:
    settings = OF_CUSTOMERS if import_type == "customers" else {}
    return site.load(import_type, as_text(table), force=True, **settings)


def fields_of(site: Site, import_type: str, header: list[str]) -> list[Field]:
    """Return the field of each column."""
    declared = import_types.get(import_type)
    fields = {field.name: field for field in declared.all_fields(site.runtime.project)}
    return [fields[str(column.field)] for column in map_columns(header, tuple(fields.values()), {}, declared).columns]


def is_tellable(one: Field, other: Field) -> bool:
    """Tell pairs that something can tell apart; `ALIKE` of the unit tests has the reasons for the others."""
    return look_of(one) is not look_of(other)


def loaded(result: JobResult) -> int:
    """Return how many rows changed anything, or are there as they stand in the file."""
    return result.rows.inserted + result.rows.updated + result.rows.unchanged


def unasked(site: Site, import_type: str, tables: Iterator[tuple[str, Table]]) -> dict[str, dict[str, int]]:
    """Return what of these tables loads though nobody was asked."""
    found = {}
    for name, table in tables:
        result = load(site, import_type, table)
        if result.reason is not None and result.reason["rule"] == "file.review":
            assert "olumn " in result.reason["message"], f"{name}: the question names no column"
            assert "--set review_" in result.reason["message"]
        elif loaded(result):
            found[name] = counts(result)
    return found


@pytest.mark.parametrize("size", MAKERS)
@pytest.mark.parametrize("import_type", import_types.IMPORT_TYPES)
def test_x18_of_two_exchanged_columns_nothing_loads_unasked_and_the_question_names_them(
    site: Site, import_type: str, size: str
):
    table = MAKERS[size](import_type)
    fields = fields_of(prepared(site, import_type), import_type, table[0])
    before = site.loyalty()
    tellable = [
        (one, other)
        for one, other in pairs(table)
        if is_tellable(fields[one], fields[other])
        and not (
            size == "sample" and (import_type, frozenset({fields[one].name, fields[other].name})) in UNSEEN_IN_SAMPLES
        )
    ]
    tables = ((f"{table[0][one]} and {table[0][other]}", exchange(table, one, other)) for one, other in tellable)
    assert unasked(site, import_type, tables) == {}
    assert site.loyalty() == before
    honest = load(site, import_type, table)
    assert honest.state.startswith("completed"), honest.reason
    assert loaded(honest)


@pytest.mark.parametrize("import_type", ["gift_card_pools", "promo_code_pools"])
def test_x18_of_a_handful_of_rows_those_load_that_an_exchange_leaves_as_they_are(site: Site, import_type: str):
    table = sample(import_type)
    fields = [field.name for field in fields_of(prepared(site, import_type), import_type, table[0])]
    load(site, import_type, table)
    before = site.loyalty()
    for one, other in pairs(table):
        if (import_type, frozenset({fields[one], fields[other]})) in UNSEEN_IN_SAMPLES:
            result = load(site, import_type, exchange(table, one, other))
            assert (result.rows.inserted, result.rows.updated) == (0, 0), (fields[one], fields[other])
    assert site.loyalty() == before


@pytest.mark.parametrize("size", MAKERS)
@pytest.mark.parametrize("import_type", import_types.IMPORT_TYPES)
def test_x18_of_columns_that_were_shifted_nothing_loads_unasked(site: Site, import_type: str, size: str):
    table = MAKERS[size](prepared(site, import_type) and import_type)
    tables = ((f"by {by}", shift(table, by)) for by in range(1, len(table[0])))
    assert unasked(site, import_type, tables) == {}
