"""A type that only the tests have goes all the way without a change of the engine, loaded as it is declared."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from psycopg2 import sql

from include.arrivals.listing import list_landing
from include.declaration.fields import Field
from include.declaration.import_type import ImportTypes
from include.declaration.loads import Insert, Upsert
from include.import_types import IMPORT_TYPES
from include.stages import generic_load
from tests.imports import Site, counts, reasons, rejected_file, rejects, summary
from tests.made_up.stores import STORES, TABLE

pytestmark = pytest.mark.integration

SUITES = Path(__file__).resolve().parents[1] / "made_up" / "expectations"
HEADER = "store_code,name,city,opened_on,is_open,revenue_target"
STORED = f"SELECT {HEADER.replace(',', ', ')} FROM loyalty.made_up_store ORDER BY 1"


@pytest.fixture
def place(site: Site) -> Site:
    """A site that knows the shipped types and stores."""
    with site.warehouse.owner.begin() as connection:
        connection.exec_driver_sql(TABLE)
    return site.changed(import_types=ImportTypes(*IMPORT_TYPES.values(), STORES), suites=SUITES)


@pytest.fixture
def adding(place: Site) -> Site:
    """The same, but that stores are only added."""
    added = replace(STORES, load=Insert(), load_rules=(), edits=False)
    return place.changed(import_types=ImportTypes(*IMPORT_TYPES.values(), added))


def load(place: Site, *rows: str, header: str = HEADER, **more: object):
    return place.load("made_up_stores", "\n".join([header, *rows, ""]), **more)


def stored(place: Site) -> list[tuple[str, ...]]:
    return [tuple("" if value is None else str(value) for value in row) for row in place.query(STORED)]


def test_a_dropped_file_becomes_rows_and_a_rejected_rows_file(place):
    rows = (
        "S-1,North gate,Berlin,2019-03-01,yes,1200000",
        "S-2,Harbour,,,,",
        "S-3,Old mill,Ulm,2020-13-01,perhaps,plenty",
        "S-1,Twin,,,,",
        ",Nameless,,,,",
    )
    path = place.drop("made_up_stores", "stores.csv", "\n".join([HEADER, *rows, ""]))
    result = place.run("made_up_stores", path)
    assert result.state == "completed_with_rejects"
    assert counts(result) == {"read": 5, "inserted": 2, "rejected": 3}
    assert rejects(result) == {
        4: {"opened_on.impossible_date", "is_open.not_boolean", "revenue_target.not_decimal"},
        5: {"store_code.duplicate_in_file"},
        6: {"store_code.required"},
    }
    assert reasons(result)[5] == "Duplicate store code S-1, first seen on line 2. The first row is kept."
    assert rejected_file(result).decode("utf-8-sig").splitlines()[1].endswith(rows[2])
    assert stored(place) == [
        ("S-1", "North gate", "Berlin", "2019-03-01", "True", "1200000.00"),
        ("S-2", "Harbour", "", "", "", ""),
    ]
    assert place.query("SELECT import_job_id, import_line FROM loyalty.made_up_store ORDER BY 2") == [
        (result.job, 2),
        (result.job, 3),
    ]
    assert summary(result)["rows"]["inserted"] == 2


def test_its_landing_folder_is_looked_at_like_any_other(place):
    path = place.drop("made_up_stores", "stores.csv", f"{HEADER}\nS-1,North gate,,,,\n")
    listing = list_landing(place.runtime, place.runtime.clock() + timedelta(hours=1))
    assert [(arrival.import_type, arrival.url) for arrival in listing.ready] == [("made_up_stores", str(path))]
    assert listing.unusable == []


def test_a_corrected_file_closes_the_rejects(place):
    first = load(place, "S-1,North gate,,,,-1")
    corrected = rejected_file(first).decode("utf-8-sig").replace(",'-1", ",1")
    second = place.load("made_up_stores", corrected)
    assert counts(second) == {"read": 1, "inserted": 1}
    assert place.query("SELECT fixed_by_job_id FROM ledger.reject") == [(second.job,)]


class TestUpsert:
    def test_a_blank_cell_keeps_and_clear_erases(self, place):
        load(place, "S-1,North gate,Berlin,2019-03-01,yes,10", "S-2,Harbour,Hamburg,2020-11-15,no,20")
        second = load(place, "S-1,North gate,,%CLEAR%,,11", "S-2,Harbour,,,%CLEAR%,")
        assert counts(second) == {"read": 2, "updated": 2}
        assert stored(place) == [
            ("S-1", "North gate", "Berlin", "", "True", "11.00"),
            ("S-2", "Harbour", "Hamburg", "2020-11-15", "", "20.00"),
        ]

    def test_rows_that_change_nothing_are_unchanged(self, place):
        load(place, "S-1,North gate,Berlin,,,10")
        again = load(place, "S-1,North gate,,%CLEAR%,%CLEAR%,10.00", "S-2,New,,,,")
        assert counts(again) == {"read": 2, "unchanged": 1, "inserted": 1}

    def test_a_column_that_the_file_does_not_have_says_nothing(self, place):
        load(place, "S-1,North gate,Berlin,2019-03-01,yes,10")
        second = load(place, "S-1,South gate", header="store_code,name")
        assert counts(second) == {"read": 1, "updated": 1}
        assert stored(place) == [("S-1", "South gate", "Berlin", "2019-03-01", "True", "10.00")]

    def test_the_first_accepted_row_of_a_key_wins_and_all_reasons_are_reported(self, place):
        load(place, "S-1,Old,,,,")
        second = load(
            place, "S-1,Bad,,,,-1", "S-1,First,,,,", "S-1,Later,,,,", "S-1,Bad too,,,,-2", "S-9,A,,,,", "S-9,B,,,,"
        )
        assert counts(second) == {"read": 6, "updated": 1, "inserted": 1, "rejected": 4}
        assert rejects(second) == {
            2: {"revenue_target.negative"},
            4: {"store_code.duplicate_in_file"},
            5: {"revenue_target.negative", "store_code.duplicate_in_file"},
            7: {"store_code.duplicate_in_file"},
        }
        assert "first seen on line 3" in reasons(second)[4]
        assert "first seen on line 3" in reasons(second)[5]
        assert [row[:2] for row in stored(place)] == [("S-1", "First"), ("S-9", "A")]

    def test_a_dry_run_counts_the_same_and_changes_nothing(self, place):
        load(place, "S-1,North gate,,,,")
        rows = ("S-1,South gate,,,,", "S-2,Harbour,,,,", "S-2,Again,,,,")
        before = place.loyalty()
        rehearsed = load(place, *rows, dry_run=True)
        assert place.loyalty() == before
        real = load(place, *rows)
        assert counts(rehearsed) == counts(real) == {"read": 3, "updated": 1, "inserted": 1, "rejected": 1}

    def test_several_chunks_are_loaded_as_one(self, place):
        rows = [f"S-{number},Store {number},,,," for number in range(400)]
        result = load(place.changed(chunk_bytes=1_000), *rows, rows[0])
        assert counts(result) == {"read": 401, "inserted": 400, "rejected": 1}
        assert "first seen on line 2" in reasons(result)[402]


class TestInsert:
    def test_a_row_that_differs_from_the_stored_one_is_rejected_with_the_fields(self, adding):
        load(adding, "S-1,North gate,Berlin,2019-03-01,yes,10", "S-2,Harbour,,,,")
        second = load(
            adding, "S-1,North gate,Bonn,2019-03-01,no,10", "S-2,Harbour,,,,", "S-3,New,,,,", "S-2,Harbour,,,,"
        )
        assert counts(second) == {"read": 4, "unchanged": 1, "inserted": 1, "rejected": 2}
        assert reasons(second) == {
            2: "A row with this store code S-1 has been imported before, and an import never changes it; this row "
            "differs in city, is_open.",
            5: "Duplicate store code S-2, first seen on line 3. The first row is kept.",
        }
        assert stored(adding)[0] == ("S-1", "North gate", "Berlin", "2019-03-01", "True", "10.00")

    def test_a_column_that_the_file_does_not_have_is_not_compared(self, adding):
        load(adding, "S-1,North gate,Berlin,,,")
        assert counts(load(adding, "S-1,North gate", header="store_code,name")) == {"read": 1, "unchanged": 1}
        assert counts(load(adding, "S-1,North gate,", header="store_code,name,city")) == {"read": 1, "rejected": 1}

    def test_rejected_rows_are_compared_and_repeats_name_the_accepted_row(self, adding):
        load(adding, "S-1,North gate,,,,1")
        second = load(adding, "S-1,Other,,,,-1", "S-2,A,,,,-1", "S-2,B,,,,", "S-2,C,,,,-1", "S-1,North gate,,,,1")
        assert counts(second) == {"read": 5, "unchanged": 1, "inserted": 1, "rejected": 3}
        assert rejects(second) == {
            2: {"revenue_target.negative", "store_code.other_values"},
            3: {"revenue_target.negative"},
            5: {"revenue_target.negative", "store_code.duplicate_in_file"},
        }

    @pytest.mark.parametrize("name", ["North gate", "Other"])
    def test_a_key_that_another_transaction_commits_at_the_same_moment(self, adding, name):
        """The plain INSERT waits for that transaction and fails; then the row is compared like any stored one."""
        rows = "S-0,Before,,,,", "S-1,North gate,,,,", "S-2,Harbour,,,,"
        with ThreadPoolExecutor(1) as pool, adding.warehouse.owner.connect() as other:
            other.execute(
                sa.text("INSERT INTO loyalty.made_up_store (store_code, name) VALUES ('S-1', :name)"), {"name": name}
            )
            loading = pool.submit(load, adding, *rows)
            wait_until(lambda: adding.query("SELECT FROM pg_locks WHERE NOT granted"))
            other.commit()
            result = loading.result(60)
        outcome = {"unchanged": 1} if name == "North gate" else {"rejected": 1}
        assert counts(result) == {"read": 3, "inserted": 2, **outcome}
        assert [row[:2] for row in stored(adding)] == [("S-0", "Before"), ("S-1", name), ("S-2", "Harbour")]


def wait_until(is_so):
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def test_a_row_that_the_table_refuses_is_the_suites_mistake(place):
    with place.warehouse.owner.begin() as connection:
        connection.execute(sa.text("ALTER TABLE loyalty.made_up_store ADD CONSTRAINT city_check CHECK (city <> 'Ulm')"))
    result = load(place, "S-1,Old mill,Ulm,,,")
    assert result.state == "failed"
    assert stored(place) == []


def test_names_that_sql_reserves_are_quoted(place):
    fields = (*STORES.fields[:2], Field("order", "Order", clearable=True, description="A reserved word."))
    for way in (Upsert(), Insert()):
        text = generic_load.statement(replace(STORES, fields=fields, load=way, load_rules=()), ["name", "order"])
        assert sql.Identifier("order") in list(_parts(text))


def _parts(text):
    for part in text.seq if isinstance(text, sql.Composed) else [text]:
        if isinstance(part, sql.Composed):
            yield from _parts(part)
        else:
            yield part


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_secret": True, "sensitive": True}, "is not stored under its own name"),
        ({"packed": ("bag", "city")}, "is not stored under its own name"),
        ({"default": "Berlin"}, "has a default, but a blank cell keeps the stored value"),
    ],
)
def test_a_declaration_that_can_not_be_loaded_so_is_refused(change, reason):
    fields = tuple(replace(field, **change) if field.name == "city" else field for field in STORES.fields)
    with pytest.raises(ValueError, match=f"import type {STORES.name}: city {reason}"):
        replace(STORES, fields=fields)


def test_what_follows_from_the_way_of_loading():
    assert STORES.edits
    assert [rule.id for rule in STORES.load_rules] == ["store_code.duplicate_in_file"]
    assert replace(STORES).load_rules == STORES.load_rules
    with pytest.raises(ValueError, match="a row could change"):
        replace(STORES, fields=STORES.fields[:1])
    clearable_key = (replace(STORES.fields[0], clearable=True), *STORES.fields[1:])
    with pytest.raises(ValueError, match="can't be clearable"):
        replace(STORES, fields=clearable_key)
