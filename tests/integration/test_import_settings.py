"""What settings do to an import, dry runs, limits and the history. Source: X-10, X-11, X-18, X-19."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.importer import import_file
from include.ledger import jobs
from include.reading import chunk_plan
from include.stages import inspection
from tests.imports import CARD_HEADER, SAMPLE_POOLS, Site, contents, counts, rejected_file, rejects, summary

pytestmark = pytest.mark.integration

ONE = "1,flexible_gift,10"


def given_by(site: Site, job: int) -> dict[str, str]:
    origins: dict[str, str] = site.job(job)["settings"]["given_by"]
    return origins


def test_x11_defaults_folder_sidecar_and_parameters_in_rising_precedence(stocked: Site, tmp_path: Path):
    defaults = tmp_path / "imports.yaml"
    layers = [{"retention_days": 1}, {"retention_days": 2}, {"retention_days": 3}, {"retention_days": 4}]
    defaults.write_text(f"gift_cards: {{defaults: {json.dumps(layers[0])}}}\n")
    site = stocked.changed(defaults_file=defaults)
    # One setting is given by all, a second one by all but the last, and so on.
    layers[0] |= {"max_file_bytes": 1_000, "max_reject_share": 0.1, "slash_dates": "day_first"}
    layers[1] |= {"max_file_bytes": 2_000, "max_reject_share": 0.2}
    layers[2] |= {"max_file_bytes": 3_000}
    defaults.write_text(f"gift_cards: {{defaults: {json.dumps(layers[0])}}}\n")
    site.drop("gift_cards", "_settings.yaml", json.dumps(layers[1]))
    result = site.cards(ONE, name="a.csv", settings=layers[2], **layers[3])
    stored = site.job(result)["settings"]
    assert {name: stored[name] for name in ("retention_days", "max_file_bytes", "max_reject_share", "slash_dates")} == {
        "retention_days": 4,
        "max_file_bytes": 3_000,
        "max_reject_share": 0.2,
        "slash_dates": "day_first",
    }
    assert given_by(site, result.job) == {
        "retention_days": "parameters",
        "max_file_bytes": "sidecar",
        "max_reject_share": "folder",
    }
    assert [name for name in contents(site.folder / "landing") if "gift_cards" in name] == ["gift_cards/_settings.yaml"]


def test_x11_a_sidecar_belongs_to_its_file_alone_and_goes_with_it(stocked: Site):
    header = "Nr,pool_system_name,balance"
    stocked.drop("gift_cards", "b.csv", f"{header}\n2,flexible_gift,1\n")
    first = stocked.cards("1,flexible_gift,1", header=header, name="a.csv", settings={"mapping": {"Nr": "card_number"}})
    assert counts(first) == {"read": 1, "inserted": 1}
    second = stocked.run("gift_cards", stocked.folder / "landing" / "gift_cards" / "b.csv")
    assert second.state == "refused"
    assert [name for name in contents(stocked.folder / "landing") if "gift_cards" in name] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("delimeter: ;", "line 1, delimeter: there is no such setting (did you mean delimiter?)"),
        ("encoding: klingon", "there is no encoding 'klingon'"),
        ("pool: x", "only promo_codes have this setting"),
        ("dry_run: maybe", "dry_run"),
        ("mapping: {Nr: nummer}", "there is no field 'nu…'"),
        ("mapping: {Nummer: card_number}", "the file has no column 'Nu…'"),
        ("a: [", "line "),
        ("- 1", "expected lines such as"),
        ("action: edit_existing", "have no action 'edit_existing'"),
    ],
)
def test_x11_wrong_settings_refuse_the_file_and_say_where(stocked: Site, text: str, message: str):
    stocked.drop("gift_cards", "a.csv.settings.yaml", text)
    result = stocked.cards(ONE, name="a.csv", header="Nr,pool_system_name,balance")
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")
    assert message in (result.reason or {})["message"]
    assert stocked.card_numbers() == []


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"mapping: {\xcf\xee\xeb\xe5: card_number}", b"a: \x00"])
def test_x11_a_settings_file_of_wild_bytes_refuses_the_file(stocked: Site, raw: bytes):
    stocked.drop("gift_cards", "_settings.yaml", raw)
    result = stocked.cards(ONE)
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")


def test_x18_a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not(stocked: Site):
    size = len(f"{CARD_HEADER}\n{ONE}\n")
    refused = stocked.cards(ONE, max_file_bytes=size - 1)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.too_big")
    assert counts(stocked.cards(ONE, max_file_bytes=size)) == {"read": 1, "inserted": 1}


def test_x18_a_file_over_the_limit_is_refused_at_once(stocked: Site):
    """Nothing of it is read: this one, of a tebibyte, would take a quarter of an hour."""
    path = stocked.drop("gift_cards", "huge.csv", f"{CARD_HEADER}\n{ONE}\n")
    os.truncate(path, 1 << 40)
    refused = stocked.run("gift_cards", path)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.too_big")
    job = stocked.job(refused)
    assert (job["size_bytes"], job["sha256"]) == (1 << 40, None)
    assert Path(job["archive_url"]).stat().st_size == 1 << 40


def test_x18_a_record_over_the_limit_refuses_the_file(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunk_plan, "MAX_RECORD_BYTES", 600_000)
    refused = stocked.cards("1,flexible_gift,10", f'2,flexible_gift,"{"x" * 600_000}"')
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.record_too_long")
    assert "on line 3 " in (refused.reason or {})["message"]


def test_a_huge_file_has_no_more_chunks_than_airflow_maps_tasks(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inspection, "MOST_CHUNKS", 7)
    rows = [f"{number:05d},flexible_gift,10" for number in range(100)]
    result = stocked.changed(chunk_bytes=1).cards(*rows)
    assert counts(result) == {"read": 100, "inserted": 100}
    (chunks,) = stocked.query("SELECT count(*) FROM ledger.import_chunk WHERE job_id = :job", job=result.job)
    assert chunks == (7,)


def test_x18_above_the_share_of_rejects_nothing_is_loaded_and_all_of_them_are_reported(stocked: Site):
    rows = [f"{number},{'flexible_gift' if number > 29 else 'nowhere'},10" for number in range(1, 101)]
    before = stocked.loyalty()
    refused = stocked.cards(*rows[:-1], "30,flexible_gift,10", max_reject_share=0.29)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.reject_share")
    message = (refused.reason or {})["message"]
    assert message.startswith("30 of 100 rows were rejected, more than max_reject_share = 0.29 allows")
    assert "Most frequent: Pool … does not exist (pool_system_name.known, 29 rows); Duplicate card number" in message
    assert message.endswith(" (card_number.duplicate_in_file, 1 row).")
    assert set(rejects(refused)) == {*range(2, 31), 101}
    assert (refused.rows.read, refused.rows.inserted, refused.rows.rejected) == (100, 0, 30)
    assert stocked.loyalty() == before
    assert list(contents(stocked.folder / "archive" / "quarantine")) == [f"gift_cards/{refused.job}/{refused.file}"]
    assert stocked.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []

    loaded = stocked.cards(*rows, max_reject_share=0.29)
    assert counts(loaded) == {"read": 100, "inserted": 71, "rejected": 29}
    # Even the refused file's rejects can be corrected and dropped again.
    corrected = rejected_file(refused).replace(b"nowhere", b"flexible_gift")
    assert counts(stocked.load("gift_cards", corrected)) == {"read": 30, "inserted": 29, "unchanged": 1}


def test_x18_one_rejected_row_was_rejected(stocked: Site):
    refused = stocked.cards(ONE, "2,nowhere,10", max_reject_share=0.1)
    assert (refused.reason or {})["message"] == (
        "1 of 2 rows was rejected, more than max_reject_share = 0.1 allows; nothing was loaded. "
        "Most frequent: Pool … does not exist (pool_system_name.known, 1 row)."
    )


@pytest.mark.parametrize("share", [0, 1])
def test_x18_the_ends_of_the_share(stocked: Site, share: int):
    assert stocked.cards(ONE, max_reject_share=share).state == "completed"
    assert stocked.cards("2,flexible_gift,10", "3,nowhere,10", max_reject_share=share).state == (
        "completed_with_rejects" if share else "refused"
    )
    assert stocked.cards(max_reject_share=share).state == "completed"


@pytest.mark.parametrize(
    ("bad", "other", "has_warning"), [(100, 0, True), (99, 0, False), (91, 9, True), (90, 10, False)]
)
def test_x18_a_rule_that_explains_most_rejects_is_reported_as_a_probable_mapping_slip(
    stocked: Site, bad: int, other: int, has_warning: bool
):
    rows = [f"{number},nowhere,10" for number in range(bad)] + [
        f"x{number},flexible_gift,ten" for number in range(other)
    ]
    result = stocked.cards(*rows, ONE, review_reject_share=1)
    slips = [warning["message"] for warning in result.warnings if warning["rule"] == "file.probable_mapping_slip"]
    assert len(slips) == has_warning
    assert all("this: Pool … does not exist (pool_system_name.known). Is the" in message for message in slips)
    assert summary(result)["warnings"] == result.warnings


def test_x19_a_dry_run_counts_exactly_changes_nothing_and_its_file_can_be_launched_for_real(stocked: Site):
    stocked.cards("1,flexible_gift,10", "2,flexible_gift,10")
    before = stocked.loyalty()
    rows = ["1,flexible_gift,10", "2,flexible_gift,11", "3,flexible_gift,10", "3,flexible_gift,10", "4,nowhere,10",
            "5,flexible_gift"]  # fmt: skip
    dry = stocked.cards(*rows, name="dry.csv", settings={"dry_run": True, "delimiter": ","})
    expected = {"read": 6, "inserted": 1, "unchanged": 1, "rejected": 4}
    assert (dry.state, counts(dry)) == ("completed_with_rejects", expected)
    rejected_rules = rejects(dry)
    assert rejected_rules == {
        3: {"card_number.card_exists"},
        5: {"card_number.duplicate_in_file"},
        6: {"pool_system_name.known"},
        7: {"row.ragged"},
    }
    assert stocked.loyalty() == before
    assert stocked.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []
    job = stocked.job(dry)
    assert (job["is_dry_run"], job["loaded_at"], summary(dry)["is_dry_run"]) == (True, None, True)

    assert job["archive_url"] == str(stocked.folder / "archive" / "imported" / "gift_cards" / str(dry.job) / "dry.csv")
    real = stocked.run("gift_cards", job["archive_url"])
    assert (counts(real), rejects(real)) == (expected, rejected_rules)
    assert stocked.card_numbers() == ["1", "2", "3"]
    assert Path(job["archive_url"]).exists()


def test_x19_a_launch_from_the_archive_has_the_settings_of_the_dry_run(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "delimiter: '|'")
    content = "Номер|pool_system_name|balance\n1|flexible_gift|10\n".encode("cp1251")
    settings = {"encoding": "windows-1251", "mapping": {"Номер": "card_number"}, "dry_run": True, "force": True}
    dry = stocked.load("gift_cards", content, settings=settings)
    real = stocked.run("gift_cards", stocked.job(dry)["archive_url"])
    assert (real.state, counts(real), counts(dry)) == ("completed", *[{"read": 1, "inserted": 1}] * 2)
    assert stocked.job(real)["is_dry_run"] is False


def test_x19_a_dry_run_of_pools_rolls_their_products_back_as_well(site: Site):
    before = site.loyalty()
    dry = site.changed().load("gift_card_pools", SAMPLE_POOLS.read_bytes(),
                              dry_run=True)  # fmt: skip
    assert counts(dry) == {"read": 2, "inserted": 2}
    assert site.loyalty() == before


def test_x10_the_history_says_who_what_and_with_which_outcome(stocked: Site):
    content = f"{CARD_HEADER},note\n1,flexible_gift,10,x\n2,nowhere,ten,y\n"
    path = stocked.drop("gift_cards", "Karten März.csv", content)
    request = dataclasses.replace(
        stocked.request("gift_cards", path, retention_days=9), launched_by="anna", dag_id="import_gift_cards",
        dag_run_id="manual__1",
    )  # fmt: skip
    moment = datetime.now(UTC)
    result = import_file(stocked.runtime, request)
    job = stocked.job(result)
    assert moment - timedelta(seconds=1) < job["launched_at"] < job["finished_at"] < datetime.now(UTC)
    assert job["launched_at"] <= job["loaded_at"]
    facts = (
        "import_type",
        "action",
        "state",
        "launched_by",
        "dag_id",
        "dag_run_id",
        "source_url",
        "file_name",
        "size_bytes",
        "sha256",
    )
    assert [job[name] for name in facts] == [
        "gift_cards",
        "add_gift_cards",
        "completed_with_rejects",
        "anna",
        "import_gift_cards",
        "manual__1",
        str(path),
        "Karten März.csv",
        len(content),
        hashlib.sha256(content.encode()).hexdigest(),
    ]
    assert job["settings"]["retention_days"] == 9
    assert [column["field"] for column in job["mapping"]["columns"]] == [
        "card_number",
        "pool_system_name",
        "balance",
        None,
    ]
    assert [job[f"rows_{name}"] for name in ("read", "inserted", "updated", "unchanged", "not_found", "rejected")] == [
        2, 1, 0, 0, 0, 1,
    ]  # fmt: skip
    assert {rule.rule: rule.rows for rule in result.rules} == {
        "balance.not_decimal": 1,
        "pool_system_name.known": 1,
    }
    reports = stocked.folder / "reports" / "gift_cards" / str(result.job)
    assert job["rejected_file_url"] == str(reports / "Karten März.rejected.csv")
    assert (job["summary_file_url"], job["evidence_file_url"]) == (
        str(reports / "summary.json"),
        str(reports / "validation.json"),
    )
    evidence = json.loads((reports / "validation.json").read_bytes())
    failed = {entry["expectation_config"]["meta"]["rule"] for entry in evidence["results"] if not entry["success"]}
    assert (failed, evidence["success"]) == ({"balance.not_decimal", "pool_system_name.known"}, False)

    job_summary = summary(result)
    assert (job_summary["launched_by"], job_summary["sha256"], job_summary["action"]) == (
        "anna",
        job["sha256"],
        "add_gift_cards",
    )
    assert job_summary["rows"] == vars(result.rows)
    with stocked.runtime.engine.connect() as connection:
        history = jobs.history(connection)
        assert [entry.id for entry in history] == [result.job, 1]
        assert [entry.id for entry in jobs.history(connection, import_type="gift_card_pools")] == [1]
        assert [entry.id for entry in jobs.history(connection, limit=1)] == [result.job]


def test_x10_a_refused_file_has_its_history_too(stocked: Site):
    content = "card_number,balance\n1,10\n"
    result = stocked.load("gift_cards", content, settings={"retention_days": 3})
    job = stocked.job(result)
    assert (job["state"], job["refusal_rule"], job["finished_at"] is not None) == (
        "refused",
        "file.required_column",
        True,
    )
    assert job["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert (job["size_bytes"], job["settings"]["retention_days"]) == (len(content), 3)
    job_summary = summary(result)
    assert (job_summary["state"], job_summary["reason"]) == ("refused", result.reason)
    unread = stocked.load("gift_cards", b"\xff\xfe\n")
    assert stocked.job(unread)["sha256"] == hashlib.sha256(b"\xff\xfe\n").hexdigest()


def test_x10_a_job_that_fails_says_so_in_history_and_summary_and_goes_on_when_asked_again(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER},cvv\n1,holiday_50,50,123\n")
    request = stocked.request("gift_cards", path)
    failed = import_file(stocked.changed(cvv_key=None).runtime, request)
    assert (failed.state, (failed.reason or {})["rule"]) == ("failed", "job.failed")
    assert "CVV_KEY" in (failed.reason or {})["message"]
    job_summary = summary(failed)
    assert (job_summary["state"], job_summary["reason"]) == ("failed", failed.reason)
    copy, taken = contents(stocked.folder / "work")
    assert copy == f"{failed.job}/cards.csv"
    assert taken.startswith(f"{failed.job}/taken-")

    done = import_file(stocked.runtime, request)
    assert (done.job, done.state, counts(done)) == (failed.job, "completed", {"read": 1, "inserted": 1})
    assert summary(done)["reason"] is None
    assert contents(stocked.folder / "work") == {}


GUARDED = "review: true\nmax_reject_share: 0.1\nlocked: [review, max_reject_share]\n"


@pytest.mark.parametrize(
    ("sidecar", "parameters", "message"),
    [
        ({"review": False}, {}, "a.csv.settings.yaml: line 1, review: is locked by _settings.yaml and stays true"),
        ({}, {"review": False}, "the run's parameters: review: is locked by _settings.yaml and stays true"),
        (
            {},
            {"max_reject_share": 1.0},
            "the run's parameters: max_reject_share: is locked by _settings.yaml and stays",
        ),
        ({"locked": []}, {}, "a.csv.settings.yaml: line 1, locked: only a folder's settings file can lock settings."),
    ],
)
def test_x21_a_sender_or_starter_who_loosens_a_lock_is_refused_with_a_sentence(
    stocked: Site, sidecar: dict[str, object], parameters: dict[str, object], message: str
):
    stocked.drop("gift_cards", "_settings.yaml", GUARDED)
    result = stocked.cards(ONE, name="a.csv", settings=sidecar, **parameters)
    assert (result.state, result.reason["rule"]) == ("refused", "file.settings")
    assert result.reason["message"].startswith(message)
    assert stocked.card_numbers() == []


def test_x21_the_lock_of_the_landing_folder_holds_for_files_from_elsewhere(stocked: Site, tmp_path: Path):
    """A file in the archive, or outside, has no folder's settings of its own."""
    elsewhere = tmp_path / "a.csv"
    elsewhere.write_text(f"{CARD_HEADER}\n{ONE}\n")
    stocked.drop("gift_cards", "_settings.yaml", f"{GUARDED}retention_days: 3\n")
    unlocked = stocked.run("gift_cards", elsewhere, review=False)
    assert unlocked.reason["message"].endswith(
        "review: is locked by _settings.yaml of the landing folder and stays true; found false."
    )
    asked = stocked.run("gift_cards", elsewhere)
    assert asked.reason["rule"] == "file.review", "the command line can't ask"
    stored = stocked.job(asked)["settings"]
    assert (stored["max_reject_share"], stored["retention_days"]) == (0.1, 30), "what isn't locked doesn't hold there"


def test_x21_a_corrected_file_does_not_bring_back_what_is_locked_now(stocked: Site):
    first = stocked.cards("1,nowhere,10", "2,flexible_gift,5", name="a.csv", max_reject_share=1.0)
    stocked.drop("gift_cards", "_settings.yaml", "max_reject_share: 0\nlocked: [max_reject_share]\n")
    result = stocked.load("gift_cards", Path(first.rejected_file).read_bytes(), "b.csv")
    assert (result.state, result.reason["rule"]) == ("refused", "file.reject_share")
    assert stocked.job(result)["settings"]["max_reject_share"] == 0


@pytest.mark.parametrize("raw", [b"review: \xff", "review: true".encode("utf-16"), b"# " + b"x" * 65_536, b"a: 1\0"])
def test_x11_a_settings_file_that_can_not_be_read_refuses_its_file(stocked: Site, raw: bytes):
    path = stocked.drop("gift_cards", "a.csv", f"{CARD_HEADER}\n{ONE}\n")
    path.with_name("a.csv.settings.yaml").write_bytes(raw)
    result = stocked.run("gift_cards", path)
    assert (result.state, result.reason["rule"]) == ("refused", "file.settings")
    assert result.reason["message"].startswith("a.csv.settings.yaml: ")
