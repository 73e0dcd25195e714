"""Files of promo code pools and promo codes in a running Airflow: by folder, column and form; no code leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from include.warehouse.roles import Role
from tests.end_to_end.imports import SETTLES_SOON, STAGES, Imports, exports
from tests.end_to_end.leaks import (
    AIRFLOW_TABLES,
    COMPONENT_LOGS,
    log_files,
    places_of,
    shown_by_the_api,
    tables,
)

pytestmark = pytest.mark.e2e

Jobs = Mapping[str, dict[str, Any]]

CANARY = "C4N4RY-"
"""Every code of these tests begins so; the pools' names don't."""
POOLS = b"""\
system_id,name,description,fill_method,launch
files_a,Files A,By folder,upload,yes
files_b,Files B,By column,upload,
files_made,Files made,,generate,
files_bad,,No name,upload,
"""
POOLS_LATER = b"""\
system_id,name,description,launch
files_a,Files A,Another text,
files_b,Files B,%CLEAR%,
files_made,Files made,,
files_new,Files new,,
"""
BY_COLUMN = f"""\
Code,CodeType,Available-till
{CANARY}11,files_b,2099-12-31
{CANARY}12,files_nowhere,
{CANARY}13,files_made,
{CANARY}14,files_b,31.02.2099
{CANARY}15,files_b,,too many
{CANARY}16,files_b,2099-12-31
""".encode()


def codes(*numbers: int) -> list[str]:
    return [f"{CANARY}{number:02d}" for number in numbers]


def in_pool(imports: Imports, pool: str) -> list[str]:
    rows = imports.query("SELECT code FROM loyalty.promo_code WHERE pool_system_id = :pool ORDER BY 1", pool=pool)
    return [row["code"] for row in rows]


@pytest.fixture(scope="module")
def jobs(imports: Imports) -> dict[str, dict[str, Any]]:
    """The jobs of all files so far; codes are dropped before the pools that they need."""
    imports.drop("promo_codes/files_a", "in_folder.csv", "\n".join(["Code", *codes(1, 2, 3), ""]).encode())
    imports.drop("promo_codes/files_a", "lines.txt", "\n".join(["code", *codes(4, 5), ""]).encode())
    imports.drop("promo_codes", "by_column.csv", BY_COLUMN)
    imports.drop("promo_codes/files_made", "generated.csv", f"Code\n{CANARY}20\n".encode())
    imports.drop("promo_code_pools", "promo_pools.csv", POOLS)
    names = ("promo_pools.csv", "in_folder.csv", "lines.txt", "by_column.csv", "generated.csv")
    return {name: imports.wait_for_job(name, 150) for name in names}


def test_pools_are_imported_and_the_run_shows_the_counts(imports: Imports, jobs: Jobs) -> None:
    """Source: section 4, PP-01, X-07."""
    job = jobs["promo_pools.csv"]
    assert imports.rows(job) == {"read": 4, "inserted": 3, "rejected": 1}
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    assert imports.run(job)["note"] == "promo_pools.csv: some rejected: 4 read, 3 inserted, 1 rejected"
    pools = imports.query("SELECT system_id, state FROM loyalty.promo_code_pool WHERE system_id LIKE 'files%'")
    assert {row["system_id"]: row["state"] for row in pools} == {
        "files_a": "active", "files_b": "draft", "files_made": "draft",
    }  # fmt: skip


def test_codes_dropped_before_their_pools_wait_for_them(imports: Imports, jobs: Jobs) -> None:
    """Source: GC-05, PC-02."""
    for name in ("in_folder.csv", "lines.txt", "by_column.csv"):
        assert jobs["promo_pools.csv"]["loaded_at"] <= jobs[name]["launched_at"], name
    assert imports.rows(jobs["in_folder.csv"]) == {"read": 3, "inserted": 3}
    assert imports.rows(jobs["lines.txt"]) == {"read": 2, "inserted": 2}
    assert in_pool(imports, "files_a") == codes(1, 2, 3, 4, 5)


def test_each_bad_code_is_rejected_with_its_rule(imports: Imports, jobs: Jobs) -> None:
    """Source: PC-02, PC-05, X-08."""
    job = jobs["by_column.csv"]
    assert job["state"] == "completed_with_rejects"
    rejects = imports.query("SELECT line, rules FROM ledger.reject WHERE job_id = :job ORDER BY line", job=job["id"])
    assert [(row["line"], row["rules"]) for row in rejects] == [
        (3, "pool.known"), (4, "pool.generated"), (5, "available_till.impossible_date"), (6, "row.ragged"),
    ]  # fmt: skip
    note = "by_column.csv: mostly rejected: 6 read, 2 inserted, 4 rejected"
    assert imports.run(job)["note"] == note


def test_codes_for_a_pool_that_is_generated_are_refused(imports: Imports, jobs: Jobs) -> None:
    """Source: PC-05."""
    job = jobs["generated.csv"]
    assert (job["state"], job["refusal_rule"]) == ("refused", "file.generate_pool")
    run = imports.run(job)
    assert (run["state"], run["note"]) == ("failed", "generated.csv: refused (file.generate_pool)")
    assert imports.read(job["archive_url"]) == f"Code\n{CANARY}20\n".encode()


@pytest.fixture(scope="module")
def later(imports: Imports, jobs: dict[str, dict[str, Any]]) -> Jobs:
    """What comes afterwards: corrected rows, an edit of the pools, and new dates by the form."""
    rejected = imports.read(jobs["by_column.csv"]["rejected_file_url"])
    corrected = rejected.replace(b"files_nowhere", b"files_b").replace(b"files_made", b"files_a")
    corrected = corrected.replace(b"31.02.2099", b"28.02.2099").replace(b",too many", b"")
    imports.drop("promo_codes", "by_column.rejected.csv", corrected, SETTLES_SOON)
    imports.drop("promo_code_pools", "promo_pools_later.csv", POOLS_LATER, SETTLES_SOON)
    by_hand = exports() / "by_hand.csv"
    by_hand.write_text("\n".join(["Code,Available-till", f"{CANARY}01,2099-06-30", f"{CANARY}06,2099-06-30", ""]))
    for name in ("by_column.rejected.csv", "promo_pools_later.csv"):
        jobs[name] = imports.wait_for_job(name)
    form = {"file": str(by_hand), "pool": "files_a", "on_existing": "update_dates"}
    jobs["by_hand.csv"] = imports.trigger("promo_codes", **form)
    assert imports.run(jobs["by_hand.csv"])["conf"].items() >= form.items()
    return jobs


def test_corrected_codes_close_the_rejects_of_the_first_job(imports: Imports, later: Jobs) -> None:
    """Source: X-09."""
    assert imports.rows(later["by_column.rejected.csv"]) == {"read": 4, "inserted": 4}
    rejects = imports.query(
        "SELECT DISTINCT fixed_by_job_id FROM ledger.reject WHERE job_id = :job", job=later["by_column.csv"]["id"]
    )
    assert rejects == [{"fixed_by_job_id": later["by_column.rejected.csv"]["id"]}]
    assert in_pool(imports, "files_b") == codes(11, 12, 14, 15, 16)


def test_a_file_of_pools_edits_those_that_are_there(imports: Imports, later: Jobs) -> None:
    """Source: PP-02: blank keeps, %CLEAR% erases."""
    job = later["promo_pools_later.csv"]
    assert imports.rows(job) == {"read": 4, "inserted": 1, "updated": 2, "unchanged": 1}
    assert imports.run(job)["note"].endswith("4 read, 2 updated, 1 inserted, 1 unchanged")
    pools = imports.query("SELECT system_id, description, state FROM loyalty.promo_code_pool ORDER BY system_id")
    mine = [tuple(row.values()) for row in pools if row["system_id"].startswith("files")]
    assert mine == [
        ("files_a", "Another text", "active"), ("files_b", None, "draft"), ("files_made", None, "draft"),
        ("files_new", None, "draft"),
    ]  # fmt: skip


def test_the_form_names_the_pool_and_what_becomes_of_known_codes(imports: Imports, later: Jobs) -> None:
    """Source: PC-02, PC-04, X-11."""
    job = later["by_hand.csv"]
    assert (job["state"], job["launched_by"]) == ("completed", "admin")
    assert imports.rows(job) == {"read": 2, "inserted": 1, "updated": 1}
    rows = imports.query("SELECT code, available_till FROM loyalty.promo_code WHERE available_till < '2099-12-31'")
    mine = {row["code"]: f"{row['available_till']:%Y-%m-%d}" for row in rows if row["code"].startswith(CANARY)}
    assert mine == {f"{CANARY}01": "2099-07-01", f"{CANARY}06": "2099-07-01", f"{CANARY}14": "2099-03-01"}


def test_no_code_is_where_airflow_shows_or_keeps_things(imports: Imports, later: Jobs) -> None:
    """Source: X-20."""

    def has_code(text: str) -> bool:
        return CANARY in text

    looked, leaks = places_of(shown_by_the_api(imports, later), has_code)
    assert leaks == []
    assert {f"{name}: XCom close_job.result" for name in later if name != "generated.csv"} <= set(looked)
    looked, leaks = places_of(tables(imports.stack.url_for(Role.AIRFLOW), "public"), has_code)
    assert leaks == []
    assert set(looked) >= AIRFLOW_TABLES
    looked, leaks = places_of(log_files(imports.stack.settings.home), has_code)
    assert leaks == []
    assert COMPONENT_LOGS | {"postgres/data/server.log"} <= set(looked)
    _, leaks = places_of(tables(imports.stack.url_for(Role.OWNER), "ledger"), has_code)
    assert set(leaks) <= {"ledger.reject"}
    reports = [*imports.reports.rglob("summary.json"), *imports.reports.rglob("validation.json")]
    assert places_of(((str(path), path.read_text()) for path in reports), has_code)[1] == []
