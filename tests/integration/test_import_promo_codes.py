"""Promo codes by upload, from file to table. Source: PC-01 to PC-06, X-08, X-13, X-17, X-19."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.arrivals.landing import take_file
from include.errors import WarehouseUnavailable
from include.import_types import IMPORT_TYPES
from include.importer import import_file
from include.ledger.jobs import JobResult
from include.stages import loading
from include.stages.inspection import inspect_file
from include.stages.loading import load_rows
from include.stages.validation import validate_chunk
from include.values.look_alikes import skeletons
from include.warehouse import transactions
from include.warehouse.embedded import EmbeddedServer
from tests.conftest import TEMPLATE, database, engines_of
from tests.imports import Site, counts, make_site, reasons, rejects
from tests.integration.promo_codes import winner_of_deadlocks

pytestmark = pytest.mark.integration

HEADER = "code,pool,issue_start,issue_end,available_from,available_till"
DATES = "issue_start, issue_end, available_from, available_till"
POOLS = """\
system_id,name,fill_method
a,A,
b,B,upload
made,Made,generate
"""


@pytest.fixture
def site(pooled_template: str, warehouse_server: EmbeddedServer, tmp_path: Path) -> Iterator[Site]:
    """A site with the pools `a` (blank fill method), `b` (upload) and `made` (generate), which job 1 has imported."""
    with database(warehouse_server, pooled_template) as fresh:
        yield make_site(tmp_path / "site", fresh)


@pytest.fixture(scope="module")
def pooled_template(warehouse_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    warehouse_server.create_database("pooled_template", TEMPLATE)
    with engines_of(warehouse_server, "pooled_template") as template:
        pools = make_site(tmp_path_factory.mktemp("pooled") / "site", template).load("promo_code_pools", POOLS)
        assert counts(pools) == {"read": 3, "inserted": 3}
    return "pooled_template"


def load(site: Site, *rows: str, header: str = HEADER, **more: Any) -> JobResult:
    return site.load("promo_codes", "\n".join([header, *rows, ""]), **more)


def codes(site: Site) -> dict[str, str]:
    """Return code → pool."""
    return dict(site.query("SELECT code, pool_system_id FROM loyalty.promo_code"))


def dates(site: Site, code: str) -> tuple[Any, ...]:
    return site.query(f"SELECT {DATES} FROM loyalty.promo_code WHERE code = :code", code=code)[0]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def warnings(result: JobResult) -> dict[str, int]:
    return {warning["rule"]: warning["rows"] for warning in result.warnings}


def uploads(site: Site, result: JobResult) -> dict[str, tuple[int, ...]]:
    """Return pool → inserted, updated, unchanged, rejected of one import."""
    rows = site.query(
        "SELECT pool_system_id, inserted, updated, unchanged, rejected "
        "FROM ledger.promo_code_upload WHERE job_id = :job",
        job=result.job,
    )
    return {row[0]: row[1:] for row in rows}


def generate(site: Site, code: str, pool: str = "made") -> None:
    """Add a code as a generation does."""
    site.query("INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id) VALUES (:code, :pool, 1)",
               code=code, pool=pool)  # fmt: skip


# PC-01


@pytest.mark.parametrize("name", ["codes.csv", "codes.txt"])
def test_pc01_a_file_with_only_codes_loads(site: Site, name: str):
    result = site.load("promo_codes", "Code\n0012\nSUMMER\r\n\n x-9 \n", name, pool="a")
    assert (result.state, counts(result)) == ("completed", {"read": 3, "inserted": 3})
    assert codes(site) == {"0012": "a", "SUMMER": "a", "x-9": "a"}
    assert dates(site, "0012") == (None, None, None, None)
    assert site.query("SELECT DISTINCT import_job_id, generation_id FROM loyalty.promo_code") == [(result.job, None)]


@pytest.mark.parametrize(
    "header",
    [
        "Code,CodeType,IssueStartDateTimeUtc,IssueEndDateTimeUtc,AvailableFromDateTimeUtc,AvailableTillDateTimeUtc",
        "Code,pool,Issue-start,Issue-end,Available-from,Available-till",
        "CODE;code type;issue start;issue end;active-from;expired-at".replace(";", ","),
    ],
)
def test_pc01_the_names_of_the_columns(site: Site, header: str):
    assert counts(load(site, "1,a,2024-01-01,2024-01-02,2024-01-03,2024-01-04", header=header))["inserted"] == 1
    assert codes(site) == {"1": "a"}
    assert dates(site, "1") == tuple(map(moment, ("2024-01-01", "2024-01-03", "2024-01-03", "2024-01-05")))


def test_pc01_template_and_sample_load_as_they_are(site: Site):
    empty = site.load("promo_codes", IMPORT_TYPES["promo_codes"].template.encode())
    assert (empty.state, [warning["rule"] for warning in empty.warnings]) == ("completed", ["file.header_only"])
    site.load("promo_code_pools", IMPORT_TYPES["promo_code_pools"].sample.read_bytes())
    result = site.load("promo_codes", IMPORT_TYPES["promo_codes"].sample.read_bytes())
    assert (result.state, result.warnings, counts(result)) == ("completed", [], {"read": 15, "inserted": 15})
    assert uploads(site, result) == {
        "spring_sale": (12, 0, 0, 0), "partner_shop": (2, 0, 0, 0), "friends": (1, 0, 0, 0),
    }  # fmt: skip
    assert "0000417" in codes(site)


# PC-02


def test_pc02_the_pool_comes_from_the_column(site: Site):
    result = load(site, "1,a,,,,", "2,b,,,,", "3,A,,,,", "4,,,,,", "5,1.5E+15,,,,")
    assert rejects(result) == {4: {"pool.known"}, 5: {"pool.required"}, 6: {"pool.spreadsheet_number"}}
    assert codes(site) == {"1": "a", "2": "b"}


def test_pc02_the_pool_comes_from_the_settings_and_a_column_that_disagrees_rejects_its_row(site: Site):
    result = load(site, "1,a,,,,", "2,,,,,", "3,b,,,,", "4,nowhere,,,,", pool="a")
    assert rejects(result) == {4: {"pool.disagrees"}, 5: {"pool.disagrees", "pool.known"}}
    assert "'b'" in reasons(result)[4]
    assert "'a'" in reasons(result)[4]
    assert codes(site) == {"1": "a", "2": "a"}


def test_pc02_the_pool_comes_from_the_folder(site: Site):
    path = site.drop("promo_codes/a", "codes.csv", "Code\n1\n")
    result = site.run("promo_codes", path)
    assert (counts(result), codes(site)) == ({"read": 1, "inserted": 1}, {"1": "a"})
    assert site.job(result)["settings"]["pool"] == "a"
    disagreeing = site.run("promo_codes", site.drop("promo_codes/a", "more.csv", "code,pool\n2,a\n3,b\n"))
    assert rejects(disagreeing) == {3: {"pool.disagrees"}}


@pytest.mark.parametrize("by_folder", [True, False])
@pytest.mark.parametrize(
    ("pool", "rule"), [("nowhere", "file.unknown_pool"), ("A", "file.unknown_pool"), ("made", "file.generate_pool")]
)
def test_pc02_pc05_a_pool_of_settings_or_folder_that_takes_no_uploads_refuses_the_file(
    site: Site, by_folder: bool, pool: str, rule: str
):
    content = "code,pool\n1,a\n"
    if by_folder:
        result = site.run("promo_codes", site.drop(f"promo_codes/{pool}", "codes.csv", content))
    else:
        result = site.load("promo_codes", content, pool=pool)
    assert (result.state, (result.reason or {})["rule"]) == ("refused", rule)
    assert codes(site) == {}


def test_pc02_without_any_pool_the_file_is_refused(site: Site):
    result = load(site, "1", header="Code")
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.no_pool")
    result = load(site, "1,a", header="Code,Pool", mapping={"Pool": None})
    assert (result.reason or {})["rule"] == "file.no_pool"


def test_pc02_settings_and_folder_that_disagree_refuse_the_file(site: Site):
    path = site.drop("promo_codes/a", "codes.csv", "Code\n1\n", {"pool": "b"})
    result = site.run("promo_codes", path)
    assert (result.reason or {})["rule"] == "file.pool_disagrees"
    assert "sidecar" in (result.reason or {})["message"]
    agreeing = site.run("promo_codes", site.drop("promo_codes/a", "more.csv", "Code\n1\n", {"pool": "a"}))
    assert counts(agreeing)["inserted"] == 1


def test_pc02_a_corrected_file_goes_to_the_pool_of_its_first_import(site: Site):
    first = site.run("promo_codes", site.drop("promo_codes/a", "codes.csv", "Code,issue_end\n1,never\n2,\n"))
    corrected = Path(first.rejected_file or "").read_text().replace("never", "2024-01-01")
    result = site.load("promo_codes", corrected)
    assert (counts(result), codes(site)) == ({"read": 1, "inserted": 1}, {"1": "a", "2": "a"})
    assert result.warnings == []


@pytest.mark.parametrize("settings", [{}, {"pool": "a"}], ids=["by folder", "by sidecar as well"])
def test_x09_a_corrected_file_in_the_folder_of_another_pool_goes_there_and_says_so(site: Site, settings: dict):
    first = site.run("promo_codes", site.drop("promo_codes/a", "codes.csv", "Code,issue_end\n1,never\n2,\n", settings))
    corrected = Path(first.rejected_file or "").read_text().replace("never", "2024-01-01")
    moved = site.run("promo_codes", site.drop("promo_codes/b", "codes.csv", corrected))
    assert (counts(moved), codes(site)) == ({"read": 1, "inserted": 1}, {"1": "b", "2": "a"})
    assert [(warning["rule"], warning["message"]) for warning in moved.warnings] == [
        (
            "file.pool_changed",
            f"The rows come from job {first.job}, whose pool was 'a'; now they go to 'b', which the folder names.",
        )
    ]
    assert site.query("SELECT fixed_by_job_id FROM ledger.reject WHERE job_id = :job", job=first.job) == [(moved.job,)]


def test_pc02_a_corrected_file_whose_column_names_another_pool_than_its_folder_is_rejected(site: Site):
    first = load(site, "1,a,never", header="Code,pool,issue_end")
    corrected = Path(first.rejected_file or "").read_text().replace("never", "2024-01-01")
    moved = site.run("promo_codes", site.drop("promo_codes/b", "codes.csv", corrected))
    assert (rejects(moved), codes(site)) == ({2: {"pool.disagrees"}}, {})


def test_pc02_a_file_outside_the_landing_area_has_no_folder_s_pool(site: Site, tmp_path: Path):
    path = tmp_path / "promo_codes" / "a" / "codes.csv"
    path.parent.mkdir(parents=True)
    path.write_text("Code\n1\n")
    assert (site.run("promo_codes", path).reason or {})["rule"] == "file.no_pool"


# conflicts with others


def test_an_upload_that_a_deadlock_ends_is_repeated_and_loads_once(site: Site):
    """A generation of the same space adds codes in another order: each waits for the other (SQLSTATE 40P01)."""
    add = sa.text("INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id) VALUES (:code, 'made', 1)")
    waiting = sa.text("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
    with ThreadPoolExecutor(1) as threads, winner_of_deadlocks(site.warehouse) as connection:
        connection.execute(add, {"code": "3"})
        running = threads.submit(load, site, "1,a", "2,a", "3,a", header="Code,pool")
        while not connection.execute(waiting).all():
            assert not running.done()
        connection.execute(add, {"code": "1"})  # returns when PostgreSQL has ended the upload's transaction
        connection.commit()
        result = running.result(timeout=60)
    assert (result.state, rejects(result)) == (
        "completed_with_rejects",
        {2: {"code.in_another_pool"}, 4: {"code.in_another_pool"}},
    )
    assert codes(site) == {"1": "made", "2": "a", "3": "made"}


def test_an_upload_that_always_meets_a_conflict_says_so_and_can_be_run_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transactions, "ATTEMPTS", 3)
    path = site.drop("promo_codes/a", "codes.csv", "Code\n1\n")
    request = site.request("promo_codes", path)
    attempts = []

    def conflict(*_: object) -> None:
        attempts.append(1)
        raise transactions.WarehouseConflict("Another transaction was in the way.")

    with monkeypatch.context() as patched:
        patched.setattr(loading, "_load", conflict)
        with pytest.raises(WarehouseUnavailable):
            import_file(site.runtime, request)
    assert (len(attempts), codes(site)) == (3, {})
    assert counts(import_file(site.runtime, request)) == {"read": 1, "inserted": 1}


# PC-03


def test_pc03_an_end_given_as_a_date_alone_includes_that_day(site: Site):
    result = load(
        site,
        "1,a,2024-02-28,2024-02-29,2024-12-31,31.12.2024",
        "2,a,2024-02-28,2024-02-29T00:00,2024-12-31,2024-12-31 10:00+02:00",
        "3,a,2024-03-01,2024-03-01,,9999-12-31",
    )
    assert counts(result) == {"read": 3, "inserted": 3}
    assert dates(site, "1") == tuple(map(moment, ("2024-02-28", "2024-03-01", "2024-12-31", "2025-01-01")))
    assert dates(site, "2") == tuple(map(moment, ("2024-02-28", "2024-02-29", "2024-12-31", "2024-12-31T08:00")))
    assert dates(site, "3") == (
        moment("2024-03-01"), moment("2024-03-02"), None, moment("9999-12-31T23:59:59.999999")
    )  # fmt: skip


def test_pc03_an_empty_or_reversed_window_rejects(site: Site):
    result = load(
        site,
        "1,a,2024-01-02,2024-01-01,,",
        "2,a,2024-01-02,2024-01-02T00:00,,",
        "3,a,,,2024-01-02 10:00,2024-01-02 10:00Z",
        "4,a,2024-01-03,2024-01-02,2024-01-03,2024-01-02",
        "5,a,2024-01-02T00:00,2024-01-02,2024-01-02 10:00,2024-01-02 10:00:00.000001",
        "6,a,2024-01-02,,,2024-01-01",
    )
    assert rejects(result) == {
        2: {"issue_end.not_after_start"},
        3: {"issue_end.not_after_start"},
        4: {"available_till.not_after_start"},
        5: {"issue_end.not_after_start", "available_till.not_after_start"},
    }
    assert codes(site).keys() == {"5", "6"}


# PC-04


def test_pc04_codes_are_unique_over_the_project_and_compared_as_written(site: Site):
    load(site, "1,a,,,,", "X,a,,,,")
    result = load(site, "01,b,,,,", "1,b,,,,", "1,a,,,,", "x ,b,,,,")
    assert rejects(result) == {3: {"code.in_another_pool"}}
    assert counts(result) == {"read": 4, "inserted": 2, "unchanged": 1, "rejected": 1}
    assert codes(site) == {"1": "a", "X": "a", "01": "b", "x": "b"}


def test_pc04_an_identical_repeat_is_unchanged_whatever_was_issued_and_used_since(site: Site):
    rows = ("1,a,2024-01-01,2024-01-31,,", "2,a,,,,")
    load(site, *rows)
    site.query("UPDATE loyalty.promo_code SET issued_at = now(), used_at = now()")
    before = site.loyalty()
    assert counts(load(site, *rows, force=True)) == {"read": 2, "unchanged": 2}
    rewritten = load(site, "1,a,01.01.2024 00:00,2024-02-01T00:00Z,,")
    assert counts(rewritten) == {"read": 1, "unchanged": 1}
    assert site.loyalty() == before


def test_pc04_a_repeat_with_other_dates_is_rejected_naming_them(site: Site):
    load(site, "1,a,2024-01-01,2024-01-31,,", "2,a,,,,")
    before = site.loyalty()
    result = load(site, "1,a,2024-01-02,2024-01-31,2024-01-01,", "2,a,,2024-01-31,,2024-01-31", "1,a,,,,", "2,a,,,,")
    assert rejects(result) == {line: {"code.other_dates"} for line in (2, 3, 4)}
    differing = ["issue_start, available_from", "issue_end, available_till", "issue_start, issue_end"]
    assert [text.split("differs in ")[1].split(".")[0] for text in reasons(result).values()] == differing
    assert counts(result)["unchanged"] == 1
    assert site.loyalty() == before


def test_pc04_update_dates_changes_those_of_unused_codes(site: Site):
    load(site, *(f"{number},a,2024-01-01,2024-01-31,,2024-06-30" for number in range(1, 6)), "6,b,,,,")
    site.query("UPDATE loyalty.promo_code SET issued_at = now() WHERE code IN ('2', '3')")
    site.query("UPDATE loyalty.promo_code SET used_at = now() WHERE code = '3'")
    site.query("INSERT INTO loyalty.promo_code_use (code) VALUES ('4')")
    rows = [f"{number},a,,2024-02-29,2024-02-01,2024-06-30" for number in range(1, 5)]
    result = load(
        site, *rows, "5,a,2024-01-01,2024-01-31,,2024-06-30", "6,a,2024-01-01,,,",
        "1,a,2024-01-01,2024-01-31,,2024-06-30", on_existing="update_dates",
    )  # fmt: skip
    assert rejects(result) == {
        4: {"code.used"}, 5: {"code.used"}, 7: {"code.in_another_pool"}, 8: {"code.duplicate_in_file"},
    }  # fmt: skip
    assert "differs in issue_start, issue_end, available_from." in reasons(result)[4]
    assert counts(result) == {"read": 7, "updated": 2, "unchanged": 1, "rejected": 4}
    assert uploads(site, result) == {"a": (0, 2, 1, 4)}
    new = (None, moment("2024-03-01"), moment("2024-02-01"), moment("2024-07-01"))
    old = (moment("2024-01-01"), moment("2024-02-01"), None, moment("2024-07-01"))
    assert [dates(site, str(number)) for number in range(1, 6)] == [new, new, old, old, old]
    again = load(site, *rows[:2], on_existing="update_dates")
    assert counts(again) == {"read": 2, "unchanged": 2}


def test_pc04_update_dates_leaves_dates_that_the_file_has_no_column_for(site: Site):
    load(site, "1,a,2024-01-01,2024-01-31,2024-02-01,2024-06-30", "2,a,2024-03-01,,,")
    text = "code,pool,issue_end\n1,a,2024-02-29\n2,a,2024-02-29\n"
    result = site.load("promo_codes", text, on_existing="update_dates")
    assert rejects(result) == {3: {"code.reversed_window"}}
    assert counts(result) == {"read": 2, "updated": 1, "rejected": 1}
    assert dates(site, "1") == tuple(map(moment, ("2024-01-01", "2024-03-01", "2024-02-01", "2024-07-01")))
    assert dates(site, "2") == (moment("2024-03-01"), None, None, None)
    again = site.load("promo_codes", "code,pool\n1,a\n", on_existing="update_dates")
    assert counts(again) == {"read": 1, "unchanged": 1}


def test_pc06_a_dry_run_is_not_in_the_history_of_its_pool(site: Site):
    load(site, "1,,,,,", pool="a", dry_run=True)
    result = load(site, "1,,,,,", pool="a")
    assert site.query("SELECT number, added FROM loyalty.promo_code_pool_history") == [(result.job, 1)]


def test_pc04_update_dates_also_inserts_and_signals_the_pool(site: Site):
    load(site, "1,a,,,,")
    with site.runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as listener:
        listener.execute(sa.text("LISTEN promo_code_stock"))
        result = load(site, "1,a,,2099-12-31,,", "2,b,,,,", on_existing="update_dates")
        assert counts(result) == {"read": 2, "inserted": 1, "updated": 1}
        driver = listener.connection.driver_connection
        driver.poll()
        assert {notice.payload for notice in driver.notifies} == {"a", "b"}


def test_pc04_a_generated_code_is_taken_like_any_other(site: Site):
    generate(site, "G1")
    result = load(site, "G1,a,,,,", "G1,made,,,,", "G2,a,,,,")
    assert rejects(result) == {2: {"code.in_another_pool"}, 3: {"pool.generated"}}
    assert codes(site) == {"G1": "made", "G2": "a"}


def test_x17_the_first_accepted_row_of_a_code_is_used(site: Site):
    result = load(site, "1,nowhere,,,,", "1,a,2024-01-01,,,", "1,a,2024-01-01,,,", "1,b,,,,", "1,a,x,,,", "2,a,,,,")
    assert rejects(result) == {
        2: {"pool.known"},
        4: {"code.duplicate_in_file"},
        5: {"code.duplicate_in_file"},
        6: {"issue_start.not_date", "code.duplicate_in_file"},
    }
    assert "line 3" in reasons(result)[6]
    assert codes(site) == {"1": "a", "2": "a"}


def test_x08_rows_that_the_suite_rejects_also_say_that_their_code_is_taken(site: Site):
    load(site, "1,a,2024-01-01,,,")
    result = load(site, "1,b,never,,,", "1,a,never,,,", "1,a,2024-01-02,never,,", "1,nowhere,2024-01-01,,,")
    assert rejects(result) == {
        2: {"issue_start.not_date", "code.in_another_pool"},
        3: {"issue_start.not_date"},
        4: {"issue_end.not_date", "code.other_dates"},
        5: {"pool.known", "code.in_another_pool"},
    }


def test_pc04_twins_by_letter_case_warn_and_load(site: Site):
    load(site, "KNOWN,a,,,,", "Mixed,a,,,,", "ЛЕТО,a,,,,")
    quiet = load(site, "OTHER,a,,,,", "known1,a,,,,", "1,a,,,,")
    assert quiet.warnings == []
    result = load(
        site, "Known,a,,,,", "MIXED,b,,,,", "mixed,a,,,,", "fresh,a,,,,", "FRESH,a,,,,", "Fresh,a,,,,", "fresh,a,,,,",
        "лето,a,,,,", "alone,a,,,,", "KNOWN,a,,,,",
    )  # fmt: skip
    assert rejects(result) == {8: {"code.duplicate_in_file"}}
    assert counts(result) == {"read": 10, "inserted": 8, "unchanged": 1, "rejected": 1}
    assert warnings(result) == {"code.case_twin": 6}
    (rule,) = [rule for rule in result.rules if rule.severity == "warning"]
    assert rule.first_lines == [2, 3, 4, 6, 7, 9]
    again = load(site, "Known,a,,,,", "KNOWN,a,,,,", "fresh,a,,,,", "FRESH,a,,,,")
    assert (counts(again), again.warnings) == ({"read": 4, "unchanged": 4}, [])


def test_pc04_a_rejected_row_is_nobody_s_twin(site: Site):
    result = load(site, "x,nowhere,,,,", "X,a,,,,")
    assert (result.warnings, rejects(result)) == ([], {2: {"pool.known"}})


def lines_of(result: JobResult, rule: str) -> list[int]:
    """Return the lines that a rule has warned of."""
    return next((list(entry.first_lines) for entry in result.rules if entry.rule == rule), [])


def test_pc04_a_missing_date_column_says_nothing_about_dates(site: Site):
    """R4: with any setting; a blank cell of a column that is there does say something."""
    load(site, "1,a,2024-01-01,2024-01-31,,", "2,a,,,,2024-06-30", "3,a,,,,", "4,a,2024-01-01,,,")
    before = site.loyalty()
    again = site.load("promo_codes", "Code,pool\n1,a\n2,a\n3,a\n")
    assert counts(again) == {"read": 3, "unchanged": 3}
    partly = site.load("promo_codes", "Code,pool,issue_start\n1,a,2024-01-01\n4,a,\n2,a,\n3,a,2024-01-01\n")
    assert rejects(partly) == {3: {"code.other_dates"}, 5: {"code.other_dates"}}
    assert counts(partly) == {"read": 4, "unchanged": 2, "rejected": 2}
    assert site.loyalty() == before


# PC-04a


def test_pc04a_codes_that_look_like_others_of_the_file_warn_and_load(site: Site):
    """Case 33: dashes, blanks, letters of another alphabet; nobody can type them."""
    rows = [
        "PUB-SAVE-20", "PUB\u2013SAVE\u201320", "PUB SUMMER", "PUB\u00a0SUMMER", "PUBTEN", "PUB\u0422EN",
        "1\uff10", "10", "PUB&amp;GET", "ЛЕТО", "ЛЕТ0", "ALONE\u0422",
    ]  # fmt: skip
    result = site.load("promo_codes", "\n".join(["Code", *rows, ""]), pool="a")
    assert (rejects(result), counts(result)) == ({}, {"read": 12, "inserted": 12})
    assert lines_of(result, "code.lookalike") == [3, 5, 7, 9, 12]


def test_pc04a_codes_that_look_like_earlier_ones_warn_in_either_direction(site: Site):
    load(site, "SAVE10,a,,,,", "PUB\u0422EN,a,,,,", "MAY\u2013MA,a,,,,")
    quiet = load(site, "SAVE11,a,,,,", "PUBTEN1,a,,,,", "ЛЕТО,a,,,,", "SAVElO,a,,,,")
    assert quiet.warnings == []
    result = load(
        site, "PUBTEN,a,,,,", "S\u0410VE1\u041e,a,,,,", "PU\u0412T\u0415N,a,,,,", "MAY-MA,a,,,,", "SAVE10,a,,,,"
    )
    assert lines_of(result, "code.lookalike") == [2, 3, 4, 5]
    assert counts(result) == {"read": 5, "inserted": 4, "unchanged": 1}
    again = load(site, "PUBTEN,a,,,,", "MAY-MA,a,,,,")
    assert (counts(again), again.warnings) == ({"read": 2, "unchanged": 2}, [])


def unlike_each_other(length: int, count: int) -> list[str]:
    """Return texts of random Chinese characters, which no index can write shorter."""
    signs = random.Random(length)
    return ["".join(chr(signs.randrange(0x4E00, 0x9FA6)) for _ in range(length)) for _ in range(count)]


def test_value_formats_long_codes_beyond_ascii_load_and_are_compared(site: Site):
    """Up to the 2,600 bytes that a code may have; an index holds no two of them in one row (X-07)."""
    long, longer = unlike_each_other(500, 1) + unlike_each_other(866, 1)
    assert counts(load(site, f"{long},a,,,,", f"{longer},a,,,,", "OK1,a,,,,")) == {"read": 3, "inserted": 3}
    rows = ["\u0422" * 1000, "T" * 1000, long, long[:-1]]
    result = load(site, *(f"{code},a,,,," for code in rows))
    assert counts(result) == {"read": 4, "inserted": 3, "unchanged": 1}
    assert lines_of(result, "code.lookalike") == [3]


def test_pc04a_codes_of_ascii_have_in_sql_the_skeletons_that_they_have_in_python(site: Site):
    codes = [f"a{chr(point)}z" for point in range(0x21, 0x7F) if chr(point) not in '",']
    load(site, *(f"{code.replace('a', chr(0x430))},a,,,," for code in codes))
    earlier = [skeleton for (skeleton,) in site.query("SELECT skeleton FROM loyalty.promo_code_look_alike")]
    assert sorted(earlier) == sorted(skeletons(codes))
    result = load(site, *(f"{code},a,,,," for code in codes))
    assert warnings(result)["code.lookalike"] == len(codes)


def test_pc04a_codes_of_ascii_are_no_look_alikes_of_each_other(site: Site):
    result = load(site, "AO,a,,,,", "A0,a,,,,", "\u0410O,a,,,,", "\u04100,a,,,,", "BO,a,,,,", "B0,a,,,,")
    assert lines_of(result, "code.lookalike") == [4, 5]


def test_pc04a_neither_rejected_rows_nor_dry_runs_leave_a_look_alike(site: Site):
    load(site, "PUB\u0422EN,nowhere,,,,", "PU\u0412,a,,,,", dry_run=True)
    assert site.query("SELECT * FROM loyalty.promo_code_look_alike") == []
    result = load(site, "PUB\u0422EN,nowhere,,,,", "PUBTEN,a,,,,", "PUB,a,,,,")
    assert (result.warnings, rejects(result)) == ([], {2: {"pool.known"}})
    assert site.query("SELECT * FROM loyalty.promo_code_look_alike") == []


def test_pc04a_a_pool_and_the_settings_may_demand_a_pattern(site: Site):
    pools = "system_id,name,code_pattern\na,A,[A-Z]{3}-[0-9]+\n"
    assert counts(site.load("promo_code_pools", pools)) == {"read": 1, "updated": 1}
    rows = (
        "ABC-1,a,,,,",
        "abc-1,a,,,,",
        "XABC-1,a,,,,",
        "ABC-1\n,a,,,,".replace("\n", "x"),
        "free,b,,,,",
        "ABC-22,a,,,,",
    )
    result = load(site, *rows)
    assert rejects(result) == {line: {"code.pattern"} for line in (3, 4, 5)}
    assert counts(result) == {"read": 6, "inserted": 3, "rejected": 3}
    assert "code_pattern of its pool" in reasons(result)[3]
    stricter = load(site, "DEF-1,a,,,,", "DEF-22,a,,,,", "22,b,,,,", "222,b,,,,", code_pattern=".*22|.{4}")
    assert rejects(stricter) == {2: {"code.pattern"}}
    site.load("promo_code_pools", "system_id,name,code_pattern\na,A,%CLEAR%\n")
    assert counts(load(site, "anything,a,,,,")) == {"read": 1, "inserted": 1}


@pytest.mark.parametrize("pattern", ["a)|(b", "(?=a)b", r"(a)\1", "[", "a{2000}", "x" * 501])
def test_pc04a_what_is_no_pattern_is_rejected_where_it_is_given(site: Site, pattern: str):
    result = site.load("promo_code_pools", f'system_id,name,code_pattern\na,A,"{pattern}"\n', review_columns=False)
    (rules,) = rejects(result).values()
    assert rules == {"code_pattern.too_long" if len(pattern) > 500 else "code_pattern.not_pattern"}
    refused = load(site, "1,a,,,,", code_pattern=pattern)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert "code_pattern" in (refused.reason or {})["message"]


# PC-05


def test_pc05_a_row_whose_column_names_a_generated_pool_is_rejected(site: Site):
    result = load(site, "1,made,,,,", "2,a,,,,")
    assert rejects(result) == {2: {"pool.generated"}}
    assert codes(site) == {"2": "a"}


def test_pc05_a_pool_that_generation_fills_between_validation_and_load_gets_no_upload(site: Site):
    def judged(**parameters: object) -> int:
        path = site.drop(
            "promo_codes", f"{len(parameters)}.csv", f"{HEADER}\n1,a,,,,\n1,b,,,,\n2,a,,,,\nG,a,,,,\nx,x,,,,\n"
        )
        job = take_file(site.runtime, site.request("promo_codes", path, **parameters)).job_id
        for number in range(inspect_file(site.runtime, job).chunks):
            validate_chunk(site.runtime, job, number)
        return job

    job, of_one_pool = judged(), judged(pool="a")
    generate(site, "G", "a")
    load_rows(site.runtime, job)
    stored_rejects = site.query("SELECT line, rules FROM ledger.reject WHERE job_id = :job ORDER BY 1", job=job)
    assert stored_rejects == [(2, "pool.closed"), (4, "pool.closed"), (5, "pool.closed"), (6, "pool.known")]
    assert codes(site) == {"1": "b", "G": "a"}
    load_rows(site.runtime, of_one_pool)
    assert site.job(of_one_pool)["rows_inserted"] == 0
    assert codes(site) == {"1": "b", "G": "a"}


def test_pp02_the_first_upload_sets_the_fill_method_of_a_blank_pool(site: Site):
    load(site, "1,a,,,,")
    pools = "SELECT system_id, fill_method, first_code_at IS NOT NULL FROM loyalty.promo_code_pool ORDER BY 1"
    assert site.query(pools) == [("a", "upload", True), ("b", "upload", False), ("made", "generate", False)]


def test_pp01_codes_can_be_loaded_in_draft(site: Site):
    assert counts(load(site, "1,a,,,,"))["inserted"] == 1
    assert site.query("SELECT state FROM loyalty.promo_code_pool WHERE system_id = 'a'") == [("draft",)]


# PC-06


def test_pc06_each_pool_has_its_uploads_with_counts(site: Site):
    load(site, "1,a,,,,", "2,b,,,,")
    result = load(
        site, "1,a,,,,", "3,a,,,,", "4,a,,,,", "3,a,,,,", "2,b,2024-01-01,,,", "5,made,,,,", "6,nowhere,,,,",
        "7,b,x,,,", "8", "9,b,,,,",
    )  # fmt: skip
    assert counts(result) == {"read": 10, "inserted": 3, "unchanged": 1, "rejected": 6}
    assert uploads(site, result) == {"a": (2, 0, 1, 1), "b": (1, 0, 0, 2), "made": (0, 0, 0, 1)}
    history = site.query(
        "SELECT number, state, launched_by, added, unchanged, rejected FROM loyalty.promo_code_pool_history "
        "WHERE pool_system_id = 'a' AND kind = 'upload' ORDER BY number"
    )
    assert history == [
        (result.job - 1, "completed", "a test", 1, 0, 0),
        (result.job, "completed_with_rejects", "a test", 2, 1, 1),
    ]


def test_pc06_everything_in_a_file_of_one_pool_counts_for_it(site: Site):
    result = load(site, "1,,,,,", "2,b,,,,", "3", "4,nowhere,,,,", "1,a,,,,", pool="a")
    assert counts(result) == {"read": 5, "inserted": 1, "rejected": 4}
    assert uploads(site, result) == {"a": (1, 0, 0, 4)}


def test_x19_a_dry_run_counts_warns_and_leaves_nothing(site: Site):
    load(site, "1,a,,,,")
    before = site.loyalty()
    rows = ("1,a,,,,", "2,a,,,,", "2,a,,,,", "x,a,,,,", "X,a,,,,", "1,b,,,,")
    result = load(site, *rows, dry_run=True)
    assert counts(result) == {"read": 6, "inserted": 3, "unchanged": 1, "rejected": 2}
    assert warnings(result) == {"code.case_twin": 1}
    assert (site.loyalty(), uploads(site, result)) == (before, {})
    for_real = load(site, *rows)
    assert (counts(for_real), warnings(for_real)) == (counts(result), warnings(result))


#


def test_x13_a_repeat_is_a_duplicate_until_a_later_import_has_changed_dates(site: Site):
    rows = ("1,a,2024-01-01,,,",)
    first = load(site, *rows)
    load(site, "2,a,,,,")
    again = load(site, *rows)
    assert (again.state, again.duplicate_of) == ("duplicate", first.job)
    changed = load(site, "1,a,2024-01-02,,,", on_existing="update_dates")
    assert counts(changed) == {"read": 1, "updated": 1}
    assert load(site, "1,a,2024-01-02,,,", on_existing="update_dates").state == "duplicate"
    assert rejects(load(site, *rows)) == {2: {"code.other_dates"}}
    back = load(site, *rows, on_existing="update_dates")
    assert counts(back) == {"read": 1, "updated": 1}
    assert counts(load(site, "1,a,2024-01-02,,,", on_existing="update_dates")) == {"read": 1, "updated": 1}


def test_x13_an_update_of_dates_is_a_duplicate_only_until_any_later_import_of_codes(site: Site):
    load(site, "1,a,,,,", on_existing="update_dates")
    assert load(site, "1,a,,,,", on_existing="update_dates").state == "duplicate"
    load(site, "2,a,,,,")
    assert counts(load(site, "1,a,,,,", on_existing="update_dates")) == {"read": 1, "unchanged": 1}


def test_x13_the_same_codes_for_another_pool_are_a_new_import(site: Site):
    content = "Code\n1\n"
    assert counts(site.load("promo_codes", content, pool="a"))["inserted"] == 1
    assert rejects(site.load("promo_codes", content, pool="b")) == {2: {"code.in_another_pool"}}
    assert site.run("promo_codes", site.drop("promo_codes/a", "same.csv", content)).state == "duplicate"


# Any mix of rows


def outcomes(before: Mapping[str, tuple[Any, ...]], used: set[str], rows: list[list[str]], settings: Mapping[str, str]):
    """Return line → outcome of a file whose rows are looked at one after the other, and the codes afterwards."""
    outcome_by_line: dict[int, str] = {}
    after, seen = dict(before), set()
    for line, (code, column, start, end) in enumerate(rows, start=2):
        pool, dates = column or settings.get("pool", ""), (start, end)
        is_good = (
            column in ("", settings.get("pool", column)) and pool in ("a", "b") and not (start and end and end < start)
        )
        stored_code = before.get(code)
        is_elsewhere = stored_code is not None and stored_code[0] != pool
        is_other = stored_code is not None and stored_code[1:] != dates
        is_fixed = is_other and (settings.get("on_existing") != "update_dates" or code in used)
        if not is_good or is_elsewhere or is_fixed or code in seen:
            outcome_by_line[line] = "rejected"
        else:
            outcome_by_line[line] = "inserted" if stored_code is None else "updated" if is_other else "unchanged"
            seen.add(code)
            after[code] = (pool, *dates)
    return outcome_by_line, after


def as_stored(site: Site) -> dict[str, tuple[Any, ...]]:
    rows = site.query(
        "SELECT code, pool_system_id, coalesce(to_char(issue_start, 'YYYY-MM-DD'), ''), "
        "coalesce(to_char(issue_end - interval '1 day', 'YYYY-MM-DD'), '') FROM loyalty.promo_code"
    )
    return {row[0]: row[1:] for row in rows}


@pytest.mark.parametrize("seed", range(4))
def test_any_mix_of_rows_ends_as_if_they_were_looked_at_one_after_the_other(site: Site, seed: int):
    pick = random.Random(seed)
    codes_, pools = [f"{letter}{n}" for letter in "xX" for n in range(12)], ["a", "a", "a", "b", "", "made", "nowhere"]
    days = ["", "", "2024-01-01", "2024-01-02", "2024-01-03"]
    stored: dict[str, tuple[Any, ...]] = {}
    used: set[str] = set()
    for _ in range(5):
        rows = [[pick.choice(codes_), pick.choice(pools), pick.choice(days), pick.choice(days)] for _ in range(40)]
        settings = pick.choice([{}, {"pool": "a"}, {"on_existing": "update_dates"}])
        expected, stored = outcomes(stored, used, rows, settings)
        settings |= {"review_columns": False}  # more than half of the codes may be repeated ones
        result = load(site, *map(",".join, rows), header="code,pool,issue_start,issue_end", **settings)
        assert set(rejects(result)) == {line for line, outcome in expected.items() if outcome == "rejected"}
        assert counts(result) == {"read": 40, **Counter(expected.values())}
        assert as_stored(site) == stored
        of_pools = [sum(column) for column in zip(*uploads(site, result).values(), strict=True)]
        assert of_pools[:3] == [Counter(expected.values())[name] for name in ("inserted", "updated", "unchanged")]
        if stored:
            used.add(pick.choice(sorted(stored)))
            site.query("UPDATE loyalty.promo_code SET used_at = now() WHERE code = ANY(:used) AND used_at IS NULL",
                       used=sorted(used))  # fmt: skip


# Several imports at once


def together(site: Site, *requests: Any) -> list[JobResult]:
    results: dict[int, JobResult] = {}

    def run(number: int) -> None:
        results[number] = import_file(site.runtime, requests[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return [results[number] for number in range(len(requests))]


@pytest.mark.parametrize("settings", [{}, {"on_existing": "update_dates"}])
@pytest.mark.parametrize("has_codes", [False, True])  # first codes of a pool wait for one another, later ones don't
def test_files_that_share_codes_end_as_if_one_came_after_the_other(
    site: Site, settings: Mapping[str, str], has_codes: bool
):
    if has_codes:
        load(site, "C,a,,,,")
    rows = [f"C{number:05},a,2024-01-01,,," for number in range(3000)]
    other = [f"C{number:05},a,2024-01-01,,," for number in range(4499, 1499, -1)]
    paths = [
        site.drop("promo_codes", f"{n}.csv", "\n".join([HEADER, *lines, ""])) for n, lines in enumerate((rows, other))
    ]
    results = together(site, *(site.request("promo_codes", path, **settings) for path in paths))
    assert [result.rows.rejected for result in results] == [0, 0]
    assert sum(result.rows.inserted for result in results) == 4500
    assert sum(result.rows.unchanged for result in results) == 1500
    assert site.query("SELECT count(*) FROM loyalty.promo_code WHERE code <> 'C'") == [(4500,)]


def test_x20_codes_are_in_no_log_result_or_summary(site: Site, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    canary = "C4N4RY"
    generate(site, f"{canary}9")
    results = [
        load(site, f"{canary}1,a,,,,", f"{canary}2,b,,,,"),
        load(site, f"{canary}1,a,2024-01-01,,,", f"{canary}1,b,,,,", f"{canary}9,a,,,,", f"{canary.lower()}1,a,,,,"),
        load(site, f"{canary}1,a,2024-01-01,,,", on_existing="update_dates"),
        load(site, f"{canary}3,{canary},,,,"),
        site.load("promo_codes", f"{canary}5\n{canary}6\n", pool="a"),
        site.load("promo_codes", f"Code\n{canary}5\n"),
    ]  # fmt: skip
    assert [result.state for result in results][-2:] == ["refused", "refused"]
    texts = [repr(results), caplog.text]
    texts += [content.decode() for name, content in site.reports().items() if name.endswith(".json")]
    for number, text in enumerate(texts):
        assert canary not in text.upper(), number
    ledger = site.query("SELECT to_jsonb(job)::text FROM ledger.import_job AS job")
    ledger += site.query("SELECT to_jsonb(upload)::text FROM ledger.promo_code_upload AS upload")
    assert canary not in str(ledger).upper()
