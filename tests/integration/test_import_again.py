"""Repeats: the same file once more, the same stage once more, staging that is gone. Source: X-13, X-14, X-20."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from include.arrivals.landing import Request, take_file
from include.arrivals.places import Source
from include.errors import FileRefused
from include.importer import import_file
from include.ledger import jobs
from include.ledger.jobs import FileTaken, JobResult
from include.runtime import Runtime
from include.stages.inspection import inspect_file
from include.stages.loading import load_rows
from include.stages.reporting import close_job, write_report
from include.stages.retention import delete_expired
from include.stages.validation import validate_chunk
from include.storage.locations import FileStat
from tests.imports import CARD_HEADER, Site, contents, counts, rejected_file, rejects, summary

pytestmark = pytest.mark.integration

ROWS = tuple(f"{number},flexible_gift,{number}" for number in range(1, 6))
CONTENT = "\n".join([CARD_HEADER, *ROWS, ""])


def ledger(site: Site) -> dict[str, list[tuple[object, ...]]]:
    """Return everything that the ledger holds."""
    tables = ("import_job", "import_chunk", "reject", "job_rule", "import_job_parent")
    return {name: site.query(f"SELECT * FROM ledger.{name} AS t ORDER BY t::text") for name in tables}


def everything(site: Site) -> list[object]:
    staging = site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")
    return [ledger(site), site.loyalty(), staging, contents(site.folder)]


def test_x13_the_same_bytes_again_are_a_duplicate_that_names_the_first_job(stocked: Site):
    first = stocked.load("gift_cards", CONTENT, "a.csv")
    for name in ("a.csv", "other name.TXT"):
        again = stocked.load("gift_cards", CONTENT, name)
        assert (again.state, again.duplicate_of, counts(again)) == ("duplicate", first.job, {})
        assert summary(again)["duplicate_of"] == first.job
        assert f"imported/gift_cards/{again.job}/{name}" in contents(stocked.folder / "archive")
    assert counts(first) == {"read": 5, "inserted": 5}


def test_x13_settings_that_bear_on_the_load_make_another_import_and_others_do_not(stocked: Site):
    first = stocked.load("gift_cards", CONTENT)
    bearing: list[dict[str, object]] = [
        {"slash_dates": "day_first"},
        {"strict_sold_cards": True},
        {"delimiter": ","},
        {"mapping": {"balance": "balance"}},
        {"encoding": "latin-1"},
    ]
    for settings in bearing:
        again = stocked.load("gift_cards", CONTENT, settings=settings)
        assert (again.state, counts(again)) == ("completed", {"read": 5, "unchanged": 5}), settings
        assert stocked.load("gift_cards", CONTENT, **settings).duplicate_of == again.job
    for settings in ({"retention_days": 1}, {"max_reject_share": 0.5}, {"rejects_verbatim": True}):
        assert stocked.load("gift_cards", CONTENT, settings=settings).duplicate_of == first.job


def test_x13_other_bytes_under_the_same_name_another_type_and_force_are_imported(stocked: Site):
    first = stocked.load("gift_cards", CONTENT, "a.csv")
    assert stocked.load("gift_cards", f"{CONTENT}\n", "a.csv").state == "completed"
    assert stocked.load("gift_card_pools", CONTENT, "a.csv").state == "refused"
    forced = stocked.load("gift_cards", CONTENT, "a.csv", force=True)
    assert (forced.state, counts(forced)) == ("completed", {"read": 5, "unchanged": 5})
    again = stocked.load("gift_cards", CONTENT, "a.csv")
    assert (again.state, again.duplicate_of) == ("duplicate", forced.job)
    assert first.job < forced.job


def test_x13_a_repeat_is_imported_when_the_first_was_a_dry_run_was_refused_or_had_rejects(stocked: Site):
    assert stocked.load("gift_cards", CONTENT, dry_run=True).state == "completed"
    assert stocked.load("gift_cards", CONTENT, max_file_bytes=10).state == "refused"
    real = stocked.load("gift_cards", CONTENT)
    assert counts(real) == {"read": 5, "inserted": 5}
    assert stocked.load("gift_cards", CONTENT, dry_run=True).duplicate_of == real.job

    with_rejects = f"{CONTENT}6,nowhere,10\n"
    assert counts(stocked.load("gift_cards", with_rejects)) == {"read": 6, "unchanged": 5, "rejected": 1}
    again = stocked.load("gift_cards", with_rejects)
    assert counts(again) == {"read": 6, "unchanged": 5, "rejected": 1}


def test_x13_a_rejected_row_loads_on_the_repeat_once_its_pool_is_there(stocked: Site):
    content = f"{CONTENT}6,later,10\n"
    assert counts(stocked.load("gift_cards", content)) == {"read": 6, "inserted": 5, "rejected": 1}
    stocked.pools("Later,later,true,true,l,website,Acme,false,,,")
    assert counts(stocked.load("gift_cards", content)) == {"read": 6, "inserted": 1, "unchanged": 5}
    assert stocked.load("gift_cards", content).state == "duplicate"


BAD_ROWS = (*ROWS, "1,flexible_gift,1", "7,nowhere,7", "8,flexible_gift", "=9,flexible_gift,-1")


def finished_in_chunks(site: Site) -> tuple[Runtime, Request, JobResult]:
    """Import a file of several chunks, with rejects of every kind."""
    runtime = replace(site.runtime, chunk_bytes=20, block_bytes=30)
    path = site.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    request = site.request("gift_cards", path)
    return runtime, request, import_file(runtime, request)


def test_x14_a_file_in_many_chunks_and_blocks_gives_what_one_chunk_gives(stocked: Site):
    stocked.cards(ROWS[0])
    whole = stocked.cards(*BAD_ROWS, dry_run=True)
    runtime, _, parts = finished_in_chunks(stocked)
    with runtime.engine.connect() as connection:
        assert len(jobs.chunks(connection, parts.job)) > 4
        assert len(jobs.chunks(connection, whole.job)) == 1
    assert (
        rejects(parts)
        == rejects(whole)
        == {
            7: {"card_number.duplicate_in_file"},
            8: {"pool_system_name.known"},
            9: {"row.ragged"},
            10: {"balance.negative"},
        }
    )
    assert counts(parts) == counts(whole) == {"read": 9, "inserted": 4, "unchanged": 1, "rejected": 4}
    assert sorted(parts.rules, key=str) == sorted(whole.rules, key=str)
    assert rejected_file(parts).replace(b"\n%d," % parts.job, b"\n%d," % whole.job) == rejected_file(whole)


def repeated_stages(runtime: Runtime, request: Request, job: int) -> dict[str, Callable[[], object]]:
    return {
        "take": lambda: take_file(runtime, request),
        "inspect": lambda: inspect_file(runtime, job),
        "validate": lambda: [validate_chunk(runtime, job, number) for number in range(3)],
        "load": lambda: load_rows(runtime, job),
        "write": lambda: write_report(runtime, job),
        "close": lambda: close_job(runtime, job),
    }


def test_x14_each_stage_of_a_loaded_job_may_be_repeated_in_any_order_and_changes_nothing(stocked: Site):
    runtime, request, result = finished_in_chunks(stocked)
    stocked.cards("77,flexible_gift,1")  # a later job changes nothing either
    before = everything(stocked)
    stages = repeated_stages(runtime, request, result.job)
    for order in (stages, list(reversed(stages)), ["load", "take", "validate", "inspect", "close", "write"]):
        for name in order:
            stages[name]()
            assert everything(stocked) == before, name
    assert load_rows(runtime, result.job) == result.rows
    assert close_job(runtime, result.job) == result
    assert import_file(runtime, request) == result
    assert everything(stocked) == before


def test_x14_reports_are_written_again_byte_for_byte_after_a_later_job_has_fixed_the_rejects(stocked: Site):
    runtime, _, result = finished_in_chunks(stocked)
    reports = stocked.reports()
    stocked.load("gift_cards", rejected_file(result).replace(b"nowhere", b"flexible_gift"))
    with runtime.engine.connect() as connection:
        assert jobs.result(connection, result.job).rejects_fixed == 2
    for path in (stocked.folder / "reports" / "gift_cards" / str(result.job)).iterdir():
        path.unlink()
    write_report(runtime, result.job)
    assert {name: content for name, content in stocked.reports().items() if name in reports} == reports


def test_x14_reports_of_a_file_in_another_encoding_are_written_again_from_the_archive(stocked: Site):
    content = f"{CARD_HEADER}\n1,Дом,1\n".encode("cp1251")
    result = stocked.load("gift_cards", content, encoding="windows-1251")
    reports = stocked.reports()
    write_report(stocked.runtime, result.job)
    close_job(stocked.runtime, result.job)
    assert stocked.reports() == reports
    assert contents(stocked.folder / "work") == {}


def test_x14_each_stage_of_a_refused_job_refuses_again_and_changes_nothing(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    result = import_file(stocked.runtime, stocked.request("gift_cards", path, max_reject_share=0.1))
    assert result.state == "refused"
    before = everything(stocked)
    stages = repeated_stages(stocked.runtime, stocked.request("gift_cards", path), result.job)
    for name in ("inspect", "validate", "load"):
        with pytest.raises(FileRefused, match=r"file\.reject_share"):
            stages[name]()
        assert everything(stocked) == before, name
    for name in ("write", "close", "write"):
        stages[name]()
        assert everything(stocked) == before, name


def test_x14_a_refused_job_that_is_taken_up_again_starts_over_with_the_settings_that_hold_then(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "max_reject_share: 0.1")
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    request = stocked.request("gift_cards", path)
    refused = import_file(stocked.runtime, request)
    assert refused.state == "refused"
    stocked.drop("gift_cards", "_settings.yaml", "max_reject_share: 0.9")
    stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\n")  # a later file of the same name is another arrival
    done = import_file(stocked.runtime, request)
    assert (done.job, counts(done)) == (refused.job, {"read": 9, "inserted": 5, "rejected": 4})
    assert done.reason is None
    assert list(contents(stocked.folder / "archive" / "imported" / "gift_cards")) == [f"{done.job}/cards.csv"]
    assert not (stocked.folder / "archive" / "quarantine" / "gift_cards" / str(done.job) / "cards.csv").exists()
    assert path.exists()
    assert counts(stocked.run("gift_cards", path)) == {}


def test_x14_a_duplicate_that_is_taken_up_again_with_force_is_imported(stocked: Site):
    stocked.load("gift_cards", CONTENT)
    path = stocked.drop("gift_cards", "b.csv", CONTENT)
    request = stocked.request("gift_cards", path)
    assert import_file(stocked.runtime, request).state == "duplicate"
    again = import_file(stocked.runtime, replace(request, parameters={"force": True}))
    assert (again.state, counts(again)) == ("completed", {"read": 5, "unchanged": 5})


def test_x14_an_unfinished_job_asked_for_with_other_settings_starts_over(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", CONTENT)
    request = stocked.request("gift_cards", path)
    job = take_file(stocked.runtime, request).job_id
    inspect_file(stocked.runtime, job)
    validate_chunk(stocked.runtime, job, 0)
    dry = import_file(stocked.runtime, replace(request, parameters={"dry_run": True}))
    assert (dry.job, counts(dry)) == (job, {"read": 5, "inserted": 5})
    assert stocked.card_numbers() == []


@pytest.mark.parametrize("loss", ["TRUNCATE staging.{table}", "DROP TABLE staging.{table}"])
def test_x14_staging_that_a_crash_has_emptied_or_that_is_gone_is_filled_again(stocked: Site, loss: str):
    runtime = replace(stocked.runtime, chunk_bytes=40)
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    job = take_file(runtime, stocked.request("gift_cards", path)).job_id
    for number in range(inspect_file(runtime, job).chunks):
        validate_chunk(runtime, job, number)
    tables = [
        name for (name,) in stocked.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging' ORDER BY 1")
    ]
    for table in tables[1:3]:
        stocked.query(loss.format(table=table))
    load_rows(runtime, job)
    write_report(runtime, job)
    result = close_job(runtime, job)
    assert counts(result) == {"read": 9, "inserted": 5, "rejected": 4}
    assert set(rejects(result)) == {7, 8, 9, 10}
    assert stocked.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []


def test_x14_chunks_that_were_never_validated_are_judged_at_the_load(stocked: Site):
    runtime = replace(stocked.runtime, chunk_bytes=40)
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    job = take_file(runtime, stocked.request("gift_cards", path)).job_id
    inspect_file(runtime, job)
    validate_chunk(runtime, job, 1)
    validate_chunk(runtime, job, 1)
    assert load_rows(runtime, job).inserted == 5


def test_x14_two_requests_for_one_file_are_one_job_and_the_other_gets_an_error(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", CONTENT)
    first = stocked.request("gift_cards", path)
    job = take_file(stocked.runtime, first).job_id
    with pytest.raises(FileTaken, match=f"job {job}"):
        take_file(stocked.runtime, stocked.request("gift_cards", path))
    assert take_file(stocked.runtime, first).job_id == job


def test_x14_a_worker_that_is_overtaken_by_another_one_of_its_request_joins_its_job(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    request = stocked.request("gift_cards", stocked.drop("gift_cards", "cards.csv", CONTENT))
    others: list[int] = []
    look = Source.stat

    def overtaken(source: Source) -> FileStat:
        if not others:
            others.append(0)
            others[0] = take_file(stocked.runtime, request).job_id
        return look(source)

    monkeypatch.setattr(Source, "stat", overtaken)
    assert take_file(stocked.runtime, request).job_id == others[0] > 0


def test_x14_arrivals_are_listed_in_order_of_time_then_name(site: Site):
    import os

    from include.arrivals.listing import arrivals

    moments = {"b.csv": 100, "a.csv": 200, "c.csv": 100, "z.csv": 50}
    for name, moment in moments.items():
        os.utime(site.drop("gift_cards", name, CONTENT), (moment, moment))
    assert [arrival.file_name for arrival in arrivals(site.runtime)] == ["z.csv", "b.csv", "c.csv", "a.csv"]


def test_x20_after_the_retention_time_only_counts_are_left_and_the_job_stays_as_it_ended(stocked: Site):
    first = stocked.cards(*BAD_ROWS, settings={"retention_days": 10})
    refused = stocked.load("gift_cards", "x,y\n1,2\n", settings={"retention_days": 10})
    kept = stocked.cards("77,nowhere,1", settings={"retention_days": 12})
    now = stocked.runtime.clock() + timedelta(days=11)
    assert delete_expired(stocked.runtime, now) == {"gift_cards": 2}
    assert delete_expired(stocked.runtime, now) == {}
    left = [name for name in contents(stocked.folder) if "gift_cards" in name and "gift_card_pools" not in name]
    assert left == [
        f"archive/imported/gift_cards/{kept.job}/{kept.file}",
        f"reports/gift_cards/{first.job}/summary.json",
        f"reports/gift_cards/{first.job}/validation.json",
        f"reports/gift_cards/{refused.job}/summary.json",
        f"reports/gift_cards/{kept.job}/{Path(kept.rejected_file or '').name}",
        f"reports/gift_cards/{kept.job}/summary.json",
        f"reports/gift_cards/{kept.job}/validation.json",
    ]
    write_report(stocked.runtime, first.job)
    again = close_job(stocked.runtime, first.job)
    assert (again.state, again.rows, again.rejected_file) == (first.state, first.rows, None)
    stored_reasons = {
        text for (text,) in stocked.query("SELECT reasons FROM ledger.reject WHERE job_id = :job", job=first.job)
    }
    assert stored_reasons == {"(deleted)"}


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0)])
def test_files_that_build_on_each_other_end_alike_in_any_order_of_their_chunks(stocked: Site, order: tuple[int, ...]):
    runtime = replace(stocked.runtime, chunk_bytes=60)
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *BAD_ROWS, ""]))
    job = take_file(runtime, stocked.request("gift_cards", path)).job_id
    assert inspect_file(runtime, job).chunks == 3
    for number in order:
        validate_chunk(runtime, job, number)
    load_rows(runtime, job)
    write_report(runtime, job)
    assert set(rejects(close_job(runtime, job))) == {7, 8, 9, 10}
