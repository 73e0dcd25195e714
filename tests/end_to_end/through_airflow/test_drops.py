"""A night's files, dropped at once, and what the sender does the next morning."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.end_to_end.imports import (
    CARD_HEADER,
    POOL_HEADER,
    SETTLES_SOON,
    STAGES,
    Imports,
    card_numbers,
    cards,
    pools,
    wait_for,
)

pytestmark = pytest.mark.e2e

Jobs = Mapping[str, dict[str, Any]]

FIVE = [f"five_{number}.csv" for number in range(1, 6)]
STILL_WRITTEN = {".hidden.csv", "upload.csv.part", "upload.csv.tmp"}
BROKEN = f"""\
{CARD_HEADER}
6000000200000001,night_any,,10
6000000200000002,no_such_pool,,10
6000000200000003,night_any,,-1
6000000200000004,night_any,,10
6000000200000005,night_any,,10,too many
""".encode()


@pytest.fixture(scope="module")
def night(imports: Imports) -> Jobs:
    """Drop everything at once, cards before the pools they need, and wait until all of it has ended."""
    cards_folder = imports.landing / "gift_cards"
    cards_folder.mkdir(exist_ok=True)
    for name in STILL_WRITTEN:
        (cards_folder / name).write_bytes(cards(900, 1, "night_any"))
    slow = cards(300, 40, "night_any")
    half = slow.index(b"\n", len(slow) // 2) + 1
    (cards_folder / "slow.csv").write_bytes(slow[:half])
    imports.remember(slow)

    imports.drop("gift_cards", "early.csv", cards(100, 30, "night_any"))
    imports.drop("gift_card_pools", "pools.csv", pools("night_any", "night_other"))
    for series, name in enumerate(FIVE, start=501):
        imports.drop("gift_cards", name, cards(series, 50, "night_other"))
    imports.drop("gift_cards", "broken.csv", BROKEN)
    imports.drop("gift_cards", "table.xlsx", b"PK\x03\x04\n")
    imports.drop("gift_card_pools", "no_brand.csv", POOL_HEADER.replace("brand,", "").encode() + b"\nx\n")
    imports.drop("gift_card", "typo.csv", cards(901, 1, "night_any"))
    time.sleep(2.5)
    with (cards_folder / "slow.csv").open("ab") as stream:
        stream.write(slow[half:])

    names = ["slow.csv", "early.csv", "pools.csv", *FIVE, "broken.csv", "table.xlsx", "no_brand.csv", "typo.csv"]
    return {name: imports.wait_for_job(name, 150) for name in names}


def test_every_file_left_landing_and_those_still_written_are_left_alone(imports: Imports, night: Jobs) -> None:
    assert imports.names_in_landing() == STILL_WRITTEN
    assert {name for name in STILL_WRITTEN if imports.jobs(name)} == set()


def test_cards_dropped_before_their_pools_are_loaded_after_them(imports: Imports, night: Jobs) -> None:
    """Source: GC-05."""
    assert night["early.csv"]["state"] == "completed"
    assert imports.rows(night["early.csv"]) == {"read": 30, "inserted": 30}
    assert night["pools.csv"]["loaded_at"] <= night["early.csv"]["launched_at"]


def test_a_file_written_in_two_goes_is_imported_whole(imports: Imports, night: Jobs) -> None:
    """Source: X-12."""
    assert imports.rows(night["slow.csv"]) == {"read": 40, "inserted": 40}


def test_five_files_at_once_are_imported_once_each(imports: Imports, night: Jobs) -> None:
    runs = [imports.run(night[name]) for name in FIVE]
    assert [run["state"] for run in runs] == ["success"] * 5
    assert [run["dag_run_id"].rpartition("__")[0] for run in runs] == [f"gift_cards__five_{n}" for n in range(1, 6)]
    for series, name in enumerate(FIVE, start=501):
        assert imports.rows(night[name]) == {"read": 50, "inserted": 50}
        assert imports.loaded(*card_numbers(series, 50)) == card_numbers(series, 50)


def test_the_note_of_a_run_shows_file_and_counts(imports: Imports, night: Jobs) -> None:
    notes = {name: imports.run(night[name])["note"] for name in ("early.csv", "broken.csv", "table.xlsx")}
    assert notes == {
        "early.csv": "early.csv: loaded: 30 read, 30 inserted",
        "broken.csv": "broken.csv: mostly rejected: 5 read, 2 inserted, 3 rejected",
        "table.xlsx": "table.xlsx: refused (file.extension)",
    }


def test_a_file_whose_rows_are_mostly_rejected_is_red_and_loads_the_rest(imports: Imports, night: Jobs) -> None:
    """Source: X-07, X-10."""
    job = night["broken.csv"]
    assert job["state"] == "completed_with_rejects"
    assert imports.run(job)["state"] == "failed"
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success") | {"close_job": "failed"}
    assert imports.loaded(*card_numbers(2, 5)) == ["6000000200000001", "6000000200000004"]


def test_the_rejected_rows_file_repeats_the_senders_records(imports: Imports, night: Jobs) -> None:
    """Source: X-09."""
    lines = imports.read(night["broken.csv"]["rejected_file_url"]).decode().splitlines()
    assert lines[0] == "_job,_line,_rules,_reasons," + CARD_HEADER
    _, unknown_pool, negative, _, ragged = BROKEN.decode().splitlines()[1:]
    kept = (unknown_pool, negative.replace("-1", "'-1"), ragged)  # the apostrophe keeps spreadsheets from computing
    assert [line[-len(record) - 1 :] for line, record in zip(lines[1:], kept, strict=True)] == [f",{r}" for r in kept]
    rules_by_line = {row[1]: row[2] for row in csv.reader(io.StringIO("\n".join(lines[1:])))}
    assert rules_by_line == {"3": "pool_system_name.known", "4": "balance.negative", "6": "row.ragged"}


@pytest.mark.parametrize(
    ("name", "rule", "red", "skipped"),
    [
        ("table.xlsx", "file.extension", {"inspect_file", "close_job"}, {"validate_chunk", "load_rows"}),
        ("no_brand.csv", "file.required_column", {"inspect_file", "close_job"}, {"validate_chunk", "load_rows"}),
    ],
)
def test_a_refused_file_is_red_and_quarantined(
    name: str, rule: str, red: set[str], skipped: set[str], imports: Imports, night: Jobs
) -> None:
    job = night[name]
    assert (job["state"], job["refusal_rule"]) == ("refused", rule)
    assert imports.run(job)["state"] == "failed"
    states = imports.tasks(job)
    assert {task for task, state in states.items() if state == "failed"} == red
    assert {states[task] for task in skipped} == {"upstream_failed"}
    assert states["write_report"] == "success"
    assert f"/quarantine/{job['import_type']}/{job['id']}/" in job["archive_url"]
    assert imports.read(job["archive_url"])


def test_a_file_in_a_folder_of_no_type_is_refused_without_a_run(imports: Imports, night: Jobs) -> None:
    """Source: X-01."""
    job = night["typo.csv"]
    assert (job["state"], job["refusal_rule"], job["dag_run_id"]) == ("refused", "file.unknown_type", None)
    assert "gift_card_pools, gift_cards" in job["refusal_message"]
    assert imports.read(job["archive_url"]) == cards(901, 1, "night_any")


def test_a_loaded_file_is_archived_and_work_is_empty(imports: Imports, night: Jobs) -> None:
    assert f"/imported/gift_cards/{night['early.csv']['id']}/" in night["early.csv"]["archive_url"]
    assert imports.read(night["early.csv"]["archive_url"]) == cards(100, 30, "night_any")
    of_the_night = {str(job["id"]) for job in night.values()}
    left = [path.relative_to(imports.work) for path in imports.work.rglob("*") if path.is_file()]
    assert [path for path in left if path.parts[0] in of_the_night] == []


def test_a_load_reports_an_asset_with_its_counts(imports: Imports, night: Jobs) -> None:
    job = night["early.csv"]
    path = f"/api/v2/assets/events?source_dag_id={job['dag_id']}&source_run_id={job['dag_run_id']}"
    (event,) = imports.api.get(path)["asset_events"]
    assert (event["uri"], event["source_task_id"]) == ("warehouse://loyalty/gift_card", "load_rows")
    assert {name: event["extra"][name] for name in ("job_id", "read", "inserted", "rejected")} == {
        "job_id": job["id"], "read": 30, "inserted": 30, "rejected": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def morning(imports: Imports, night: Jobs) -> Jobs:
    """Drop the corrected rows of the broken file, and one of the night's files under another name."""
    rejected = imports.read(night["broken.csv"]["rejected_file_url"])
    corrected = rejected.replace(b",no_such_pool,", b",night_any,").replace(b",too many", b"")
    imports.drop("gift_cards", "broken.rejected.csv", corrected, SETTLES_SOON)
    imports.drop("gift_cards", "five_1 (copy).csv", imports.read(night["five_1.csv"]["archive_url"]), SETTLES_SOON)
    return {name: imports.wait_for_job(name) for name in ("broken.rejected.csv", "five_1 (copy).csv")}


def test_corrected_rows_close_the_rejects_of_the_first_job(imports: Imports, night: Jobs, morning: Jobs) -> None:
    """Source: X-09."""
    again = morning["broken.rejected.csv"]
    assert imports.rows(again) == {"read": 3, "inserted": 2, "rejected": 1}
    first, second, _, fourth, fifth = card_numbers(2, 5)
    assert imports.loaded(*card_numbers(2, 5)) == [first, second, fourth, fifth]
    rejects = imports.query(
        "SELECT line, fixed_by_job_id FROM ledger.reject WHERE job_id = :job ORDER BY line",
        job=night["broken.csv"]["id"],
    )
    assert [(row["line"], row["fixed_by_job_id"]) for row in rejects] == [(3, again["id"]), (4, None), (6, again["id"])]
    parents = imports.query("SELECT parent_job_id FROM ledger.import_job_parent WHERE job_id = :job", job=again["id"])
    assert parents == [{"parent_job_id": night["broken.csv"]["id"]}]


def test_a_duplicate_is_green_with_the_middle_skipped(imports: Imports, night: Jobs, morning: Jobs) -> None:
    """Source: X-13."""
    job = morning["five_1 (copy).csv"]
    original = night["five_1.csv"]["id"]
    assert (job["state"], job["duplicate_of"]) == ("duplicate", original)
    run = imports.run(job)
    assert (run["state"], run["note"]) == ("success", f"five_1 (copy).csv: duplicate of job {original}")
    assert run["dag_run_id"].startswith("gift_cards__five_1_copy__")
    assert imports.tasks(job) == dict.fromkeys(("take_file", "write_report", "close_job"), "success") | dict.fromkeys(
        ("inspect_file", "validate_chunk", "load_rows"), "skipped"
    )


def test_another_dag_is_scheduled_on_loaded_cards(imports: Imports, morning: Jobs) -> None:
    def events_of_the_job() -> list[dict[str, Any]] | None:
        runs = imports.api.get("/api/v2/dags/follow_gift_cards/dagRuns?limit=100")["dag_runs"]
        events = []
        for run in (run for run in runs if run["state"] == "success"):
            path = f"/api/v2/dags/follow_gift_cards/dagRuns/{run['dag_run_id']}"
            events += imports.api.get(f"{path}/taskInstances/report_events/xcomEntries/return_value")["value"]
        return [one for one in events if one["job_id"] == morning["broken.rejected.csv"]["id"]] or None

    (event,) = wait_for(events_of_the_job, 60, "the run that the loaded cards start")
    assert (event["read"], event["inserted"], event["rejected"]) == (3, 2, 1)
