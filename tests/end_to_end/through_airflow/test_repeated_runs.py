"""What a person does in Airflow: start a run by hand, clear tasks of a run that has ended."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from upath import UPath

from tests.end_to_end.imports import SETTLES_SOON, STAGES, Imports, card_numbers, cards

pytestmark = pytest.mark.e2e


def test_an_archived_file_is_tried_and_then_imported_by_hand(imports: Imports, pool: str) -> None:
    """Source: X-19, X-10."""
    imports.drop("gift_cards", "tried.csv", cards(600, 12, pool), SETTLES_SOON | {"dry_run": True})
    dropped = imports.wait_for_job("tried.csv")
    assert imports.tasks(dropped)["load_rows"] == "skipped"
    assert imports.run(dropped)["note"] == "tried.csv: dry run: would load: 12 read, 12 inserted"
    assert dropped["launched_by"] == f"file drop {imports.landing}/gift_cards/tried.csv"

    by_hand = imports.trigger("gift_cards", file=dropped["archive_url"], dry_run=True)
    assert (by_hand["state"], by_hand["is_dry_run"], by_hand["launched_by"]) == ("completed", True, "admin")
    assert imports.rows(by_hand) == {"read": 12, "inserted": 12}
    assert imports.loaded(*card_numbers(600, 12)) == []

    for_real = imports.trigger("gift_cards", file=dropped["archive_url"], dry_run=False)
    assert (for_real["state"], for_real["is_dry_run"], for_real["launched_by"]) == ("completed", False, "admin")
    assert imports.rows(for_real) == {"read": 12, "inserted": 12}
    assert imports.loaded(*card_numbers(600, 12)) == card_numbers(600, 12)
    assert imports.read(dropped["archive_url"]) == cards(600, 12, pool), "a file outside landing is copied, not moved"


@pytest.mark.parametrize(
    "form", [{}, {"file": ""}, {"file": "x.csv", "dry_run": "perhaps"}], ids=["no file", "empty file", "no boolean"]
)
def test_a_form_that_makes_no_sense_starts_nothing(form: dict[str, object], imports: Imports) -> None:
    """Source: X-11."""
    before = imports.api.get("/api/v2/dags/import_gift_cards/dagRuns?limit=1")["total_entries"]
    with pytest.raises(OSError, match="HTTP Error 4"):
        imports.trigger("gift_cards", **form)
    assert imports.api.get("/api/v2/dags/import_gift_cards/dagRuns?limit=1")["total_entries"] == before


@pytest.fixture(scope="module")
def ended(imports: Imports, pool: str) -> dict[str, Any]:
    """A job that has ended, with rejects."""
    content = cards(700, 20, pool) + b"6000070099999998,nowhere,,1\n6000070099999999,everyday,,many\n"
    imports.drop("gift_cards", "ended.csv", content, SETTLES_SOON)
    return imports.wait_for_job("ended.csv")


def left_behind(imports: Imports, job: dict[str, Any]) -> dict[str, Any]:
    """Return all that a job has left: its rows, its rejects, the bytes of its files, what the ledger says of it."""
    tables = {
        "cards": "SELECT * FROM loyalty.gift_card WHERE import_job_id = :job ORDER BY card_number",
        "rejects": "SELECT * FROM ledger.reject WHERE job_id = :job ORDER BY line",
        "rules": "SELECT * FROM ledger.job_rule WHERE job_id = :job ORDER BY rule, severity",
        "job": "SELECT * FROM ledger.import_job WHERE id = :job",
    }
    folders = (UPath(str(folder)) for folder in (imports.reports, imports.archive))
    files = (path for folder in folders for path in sorted(folder.rglob(f"{job['id']}/*")))
    return {name: imports.query(statement, job=job["id"]) for name, statement in tables.items()} | {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


@pytest.mark.parametrize("task", STAGES)
def test_clearing_a_task_of_a_run_that_has_ended_changes_nothing(
    task: str, imports: Imports, ended: dict[str, Any]
) -> None:
    """Source: X-14."""
    before = left_behind(imports, ended)
    assert {len(before[name]) for name in ("cards", "rejects")} == {20, 2}
    assert sum(name.startswith("/") for name in before) == 4, "rejected rows, evidence, summary, archived file"
    imports.clear(ended, task)
    assert imports.run(ended)["state"] == "success"
    assert imports.tasks(ended) == dict.fromkeys(STAGES, "success")
    assert left_behind(imports, ended) == before


def test_a_refused_run_is_cleared_when_the_settings_are_corrected(imports: Imports, pool: str) -> None:
    """Source: X-11, X-14."""
    content = cards(800, 9, pool).replace(b"balance", b"worth")
    imports.drop("gift_cards", "worth.csv", content, SETTLES_SOON)
    refused = imports.wait_for_job("worth.csv")
    assert (refused["state"], refused["refusal_rule"]) == ("refused", "file.required_column")
    settings = imports.landing / "gift_cards" / "_settings.yaml"
    settings.write_bytes(b"mapping: {worth: balance}\n")
    try:
        imports.clear(refused, "take_file")
    finally:
        settings.unlink()
    job = imports.job(refused["id"])
    assert (job["state"], job["refusal_rule"]) == ("completed", None)
    assert imports.rows(job) == {"read": 9, "inserted": 9}
    run = imports.run(job)
    assert (run["state"], run["note"]) == ("success", "worth.csv: loaded: 9 read, 9 inserted")
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    assert imports.loaded(*card_numbers(800, 9)) == card_numbers(800, 9)
    assert imports.read(job["archive_url"]) == content
    assert "/imported/" in job["archive_url"]
    assert not UPath(refused["archive_url"]).exists(), "the quarantine holds nothing that was imported"
