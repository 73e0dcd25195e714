"""What was looked at is what is taken, read, loaded and archived. Source: X-12, X-14, X-20."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from include import importer
from include.arrivals import files, landing
from include.arrivals.landing import Request, take_file
from include.arrivals.listing import Arrival, list_landing
from include.arrivals.refusals import refuse_arrival
from include.errors import FileRefused, FileUnsettled, NotAllDeleted, SourceChanged
from include.importer import import_file
from include.ledger import jobs
from include.stages import reporting, retention
from include.storage import locations
from include.storage.locations import Location
from tests.imports import CARD_HEADER, Site, contents, summary

pytestmark = pytest.mark.integration

FIRST = f"{CARD_HEADER}\n77,flexible_gift,15\n"
MORE = "78,flexible_gift,20\n"
LATER = timedelta(minutes=5)


def ready(site: Site) -> list[Arrival]:
    return list_landing(site.runtime, datetime.now(UTC) + LATER).ready


def request(arrival: Arrival, key: str = "a run") -> Request:
    """Return the request that `pick_up_files` makes of a ready file."""
    return Request(str(arrival.import_type), arrival.url, key, listed_version=arrival.version)


def write_on(path: Path, text: str = MORE) -> None:
    """Write on, a second after the last change."""
    held = path.stat()
    with path.open("a") as sink:
        sink.write(text)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns + 10**9))


def loaded(site: Site) -> list[tuple[Any, ...]]:
    return site.query("SELECT card_number, balance::int FROM loyalty.gift_card ORDER BY 1")


def assert_ledger_has_the_archives_hash(site: Site) -> None:
    for url, sha256 in site.query("SELECT archive_url, sha256 FROM ledger.import_job WHERE archive_url IS NOT NULL"):
        assert hashlib.sha256(Path(url).read_bytes()).hexdigest() == sha256


@pytest.mark.parametrize("change", [write_on, lambda path: path.write_text(""), lambda path: os.utime(path, (1, 1))])
def test_x12_a_file_that_changed_since_it_was_listed_waits_again(stocked: Site, change: Callable[[Path], None]):
    path = stocked.drop("gift_cards", "again.csv", FIRST)
    (arrival,) = ready(stocked)
    change(path)
    before = contents(stocked.folder)
    with pytest.raises(FileUnsettled):
        take_file(stocked.runtime, request(arrival))
    assert contents(stocked.folder) == before
    assert stocked.query("SELECT count(*) FROM ledger.import_job WHERE import_type = 'gift_cards'") == [(0,)]


def test_x12_a_file_of_no_bytes_that_gets_content_waits_again_and_loads_whole(stocked: Site):
    path = stocked.drop("gift_cards", "zero.csv", "")
    (arrival,) = ready(stocked)
    path.write_text(FIRST)
    with pytest.raises(FileUnsettled):
        take_file(stocked.runtime, request(arrival))
    (arrival,) = ready(stocked)
    assert import_file(stocked.runtime, request(arrival, "another run")).state == "completed"
    assert loaded(stocked) == [("77", 15)]


def test_x12_a_file_that_is_open_for_writing_is_not_taken(stocked: Site):
    path = stocked.drop("gift_cards", "open.csv", FIRST)
    (arrival,) = ready(stocked)
    with path.open("a"), pytest.raises(FileUnsettled, match="open for writing"):
        take_file(stocked.runtime, request(arrival))
    assert path.exists()


@pytest.mark.parametrize("moment", ["copy", "inspect_file", "validate_chunk", "load_rows"])
def test_x12_a_file_that_is_written_on_before_the_load_loads_nothing_and_comes_again_whole(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, moment: str
):
    """The writer keeps the file open: it writes into the file that was moved. Leases are none on network disks."""
    monkeypatch.setattr(locations, "has_writer", lambda _: None)
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    (arrival,) = ready(stocked)
    module: Any = locations if moment == "copy" else importer
    real = getattr(module, moment)
    with path.open("a") as writer:

        def overtaken(*args: Any) -> Any:
            if not writer.closed:
                os.utime(writer.fileno(), (1, 1))
                writer.write(MORE)
                writer.close()
            return real(*args)

        monkeypatch.setattr(module, moment, overtaken)
        if moment == "copy":
            with pytest.raises(FileUnsettled):
                import_file(stocked.runtime, request(arrival))
        else:
            failed = import_file(stocked.runtime, request(arrival))
            assert (failed.state, (failed.reason or {})["rule"]) == ("failed", "file.changed")
            assert "in the landing area again" in (failed.reason or {})["message"]
    assert loaded(stocked) == []
    assert path.read_text() == FIRST + MORE
    (again,) = ready(stocked)
    assert import_file(stocked.runtime, request(again, "the next run")).state == "completed"
    assert loaded(stocked) == [("77", 15), ("78", 20)]
    assert_ledger_has_the_archives_hash(stocked)


def test_x12_the_same_run_tried_again_reads_a_changed_file_again(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locations, "has_writer", lambda _: None)
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    asked = request(ready(stocked)[0])
    with path.open("a") as writer:
        job = take_file(stocked.runtime, asked).job_id
        writer.write(MORE)
    with pytest.raises(SourceChanged):
        importer.inspect_file(stocked.runtime, job)
    assert reporting.close_job(stocked.runtime, job, failure="inspect_file failed").state == "failed"
    with pytest.raises(FileUnsettled, match="settling"):
        take_file(stocked.runtime, asked)
    os.utime(path, (1, 1))
    with path.open("a"), pytest.MonkeyPatch.context() as leases:
        leases.setattr(locations, "has_writer", lambda _: True)
        with pytest.raises(FileUnsettled, match="open for writing"):
            take_file(stocked.runtime, asked)
    done = import_file(stocked.runtime, asked)
    assert (done.job, done.state) == (job, "completed")
    assert loaded(stocked) == [("77", 15), ("78", 20)]
    assert_ledger_has_the_archives_hash(stocked)


@pytest.mark.parametrize("has_successor", [False, True])
def test_x12_what_is_written_after_the_load_is_reported_and_not_lost(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, has_successor: bool
):
    monkeypatch.setattr(locations, "has_writer", lambda _: None)
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    asked = request(ready(stocked)[0])
    real = importer.write_report

    with path.open("a") as writer:

        def written_on(*args: Any) -> Any:
            writer.write(MORE)
            writer.close()
            if has_successor:
                path.write_text(f"{CARD_HEADER}\n79,flexible_gift,1\n")
            return real(*args)

        monkeypatch.setattr(importer, "write_report", written_on)
        result = import_file(stocked.runtime, asked)
    assert result.state == "completed"
    assert [warning["rule"] for warning in result.warnings] == ["file.changed_after_load"]
    assert "(+20 bytes)" in result.warnings[0]["message"]
    assert summary(result)["warnings"] == result.warnings
    assert_ledger_has_the_archives_hash(stocked)
    if has_successor:
        kept = stocked.folder / "archive" / "quarantine" / "gift_cards" / f"{result.job}-returned" / "slow.csv"
        assert kept.read_text() == FIRST + MORE
        assert "is kept in the quarantine" in result.warnings[0]["message"]
    else:
        monkeypatch.setattr(importer, "write_report", real)
        again = import_file(stocked.runtime, request(ready(stocked)[0], "the next run"))
        assert (again.rows.unchanged, again.rows.inserted) == (1, 1)
    assert contents(stocked.folder / "work") == {}


def test_x12_a_hard_link_that_is_written_into_changes_nothing_that_was_read(stocked: Site):
    path = stocked.drop("gift_cards", "linked.csv", FIRST)
    other = stocked.folder / "elsewhere.csv"
    os.link(path, other)
    result = import_file(stocked.runtime, request(ready(stocked)[0]))
    other.write_text("x" * 100)
    assert result.state == "completed"
    assert_ledger_has_the_archives_hash(stocked)


def test_x12_a_bucket_object_that_is_replaced_while_it_is_copied_comes_again(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    """In a store that copies an object as it is at that moment. `memory` replaces it here."""
    areas = {name: locations.locate(f"memory://{stocked.folder.name}/{name}") for name in ("landing", "work")}
    runtime = replace(stocked.runtime, **areas)
    path = runtime.landing / "gift_cards" / "cards.csv"
    with locations.written_whole(path) as sink:
        sink.write(FIRST.encode())
    real = locations.copy

    def replaced(source: Location, target: Location, root: Location | None = None) -> None:
        real(source, target, root)
        if source == path and path.stat().size_bytes == len(FIRST):
            with locations.written_whole(path) as sink:
                sink.write((FIRST + MORE).encode())

    monkeypatch.setattr(locations, "copy", replaced)
    with pytest.raises(FileUnsettled):
        take_file(runtime, Request("gift_cards", str(path), "a run"))
    assert path.open_whole().read().decode() == FIRST + MORE
    result = import_file(runtime, Request("gift_cards", str(path), "another run"))
    assert (result.state, loaded(stocked)) == ("completed", [("77", 15), ("78", 20)])


def test_x12_a_stale_file_in_work_is_never_taken_for_the_dropped_one(stocked: Site):
    """A restored backup counts jobs from an earlier number on, and work has files of jobs that had those numbers."""
    number = stocked.query("SELECT last_value + 1 FROM ledger.import_job_id_seq")[0][0]
    for name in ("cards.csv", "text.utf8", "taken-0123456789abcdef/cards.csv"):
        stale = stocked.folder / "work" / str(number) / name
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.write_text(f"{CARD_HEADER}\nof-last-month,flexible_gift,99\n")
    for place in ("imported", "quarantine"):
        stale = stocked.folder / "archive" / place / "gift_cards" / str(number) / "cards.csv"
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.write_text(f"{CARD_HEADER}\nof-last-month,flexible_gift,99\n")
    path = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\nof-today,flexible_gift,1\n")
    result = stocked.run("gift_cards", path)
    assert (result.job, result.state) == (number, "completed")
    assert loaded(stocked) == [("of-today", 1)]
    assert_ledger_has_the_archives_hash(stocked)


def test_x12_a_stale_file_does_not_replace_one_that_is_gone(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    real = landing.bring

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    asked = stocked.request("gift_cards", path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(landing, "bring", killed)
        with pytest.raises(KeyboardInterrupt):
            take_file(stocked.runtime, asked)
    with stocked.runtime.engine.connect() as connection:
        job = jobs.find(connection, asked.run_key)
    assert job is not None
    stale = stocked.folder / "work" / str(job.id) / "cards.csv"
    stale.parent.mkdir(parents=True)
    stale.write_text(f"{CARD_HEADER}\nof-last-month,flexible_gift,99\n")
    path.unlink()
    assert landing.bring is real
    with pytest.raises(FileRefused, match="is gone"):
        take_file(stocked.runtime, asked)


def test_x20_a_source_that_cannot_be_removed_is_known_before_it_is_copied(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    """Of an immutable file, say, no right and no mount speaks: renaming it fails."""
    path = stocked.drop("gift_cards", "kept.csv", FIRST)
    real = os.rename

    def rename(source: str, target: str, **folders: int) -> None:
        if source == path.name:
            raise PermissionError(1, "Operation not permitted", source)
        real(source, target, **folders)

    monkeypatch.setattr(locations.os, "rename", rename)
    for _ in range(2):
        with pytest.raises(FileRefused, match="can't be removed"):
            take_file(stocked.runtime, stocked.request("gift_cards", path))
        reporting.close_job(stocked.runtime, stocked.query("SELECT max(id) FROM ledger.import_job")[0][0])
    assert contents(stocked.folder / "work") == {}
    assert path.read_text() == FIRST


def test_x20_a_store_that_refuses_to_delete_keeps_one_object_and_no_copies(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    area = locations.locate(f"memory://{stocked.folder.name}-kept/landing")
    runtime = replace(stocked.runtime, landing=area)
    path = runtime.landing / "gift_cards" / "cards.csv"
    with locations.written_whole(path) as sink:
        sink.write(FIRST.encode())
    real = Location.remove

    def remove(place: Location) -> None:
        if place == path:
            raise PermissionError(13, "Access Denied", str(place))
        real(place)

    monkeypatch.setattr(Location, "remove", remove)
    for number in range(3):
        with pytest.raises(FileRefused, match="can't be removed"):
            take_file(runtime, Request("gift_cards", str(path), f"run {number}"))
        reporting.close_job(runtime, stocked.query("SELECT max(id) FROM ledger.import_job")[0][0])
    kept = [*contents(stocked.folder / "work"), *contents(stocked.folder / "archive")]
    assert [name for name in kept if name.endswith("cards.csv") and "pools" not in name] == []
    assert path.exists()


def test_x20_the_archive_is_checked_against_the_ledgers_hash(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    asked = stocked.request("gift_cards", path)
    job = take_file(stocked.runtime, asked).job_id
    importer.inspect_file(stocked.runtime, job)
    importer.validate_chunk(stocked.runtime, job, 0)
    importer.load_rows(stocked.runtime, job)
    importer.write_report(stocked.runtime, job)
    copy = stocked.folder / "work" / str(job) / "cards.csv"
    copy.write_text(FIRST.replace("15", "99"))
    with pytest.raises((locations.StorageError, FileRefused)):
        reporting.close_job(stocked.runtime, job)


def test_x20_retention_walks_the_folders_as_well_as_the_ledger(stocked: Site):
    kept = stocked.load("gift_cards", f"{CARD_HEADER}\n1,flexible_gift,1\n2,nowhere,1\n")
    strays = [
        "work/900000/cards.csv", "work/900000/taken-0123456789abcdef/cards.csv",
        "archive/imported/gift_cards/900001/x.csv", "archive/quarantine/customers/900002/x.csv",
        "archive/quarantine/unknown/900003/x", "reports/customers/900004/x.rejected.csv",
        f"reports/gift_cards/{kept.job}/of an attempt that was killed.rejected.csv",
    ]  # fmt: skip
    for name in strays:
        (stocked.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (stocked.folder / name).write_text("somebody's rows")
    now = stocked.runtime.clock()
    assert retention.delete_expired(stocked.runtime, now + timedelta(days=20)) == {}
    assert set(strays) <= set(contents(stocked.folder))
    deleted = retention.delete_expired(stocked.runtime, now + timedelta(days=40))
    assert deleted == {"gift_card_pools": 1, "gift_cards": 1, "unknown": 6}
    assert retention.delete_expired(stocked.runtime, now + timedelta(days=41)) == {}
    names = [name.rpartition("/")[2] for name in contents(stocked.folder)]
    assert set(names) == {"summary.json", "validation.json"}


def test_x20_values_that_pages_quote_go_with_the_files_and_the_counts_stay(stocked: Site):
    rows = "".join(f"{number},nowhere,1\n" for number in range(3))
    result = stocked.load("gift_cards", f"{CARD_HEADER}\n{rows}")
    query = "SELECT evidence -> 'pool_system_name.known critical' FROM ledger.import_chunk WHERE job_id = :job"
    ((before,),) = stocked.query(query, job=result.job)
    assert list(before["sentences"].values()) == [3]
    assert "Pool 'nowhere' does not exist." in str(before)
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=40))
    ((after,),) = stocked.query(query, job=result.job)
    assert after == before | {"sentences": {}}


def test_x20_a_running_job_loses_nothing_by_the_walk(stocked: Site):
    path = stocked.drop("gift_cards", "old.csv", FIRST)
    os.utime(path, (1, 1))
    job = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    stocked.query("UPDATE ledger.import_job SET work_url = NULL WHERE id = :job", job=job)
    before = contents(stocked.folder / "work")
    assert len(before) == 2
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=400))
    assert contents(stocked.folder / "work") == before


def test_x14_x20_a_running_job_keeps_its_copy_however_long_it_takes(stocked: Site):
    path = stocked.drop("gift_cards", "long.csv", FIRST, {"retention_days": 1})
    asked = stocked.request("gift_cards", path)
    take_file(stocked.runtime, asked)
    before = contents(stocked.folder / "work")
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=400))
    assert contents(stocked.folder / "work") == before
    assert import_file(stocked.runtime, asked).state == "completed"
    assert loaded(stocked) == [("77", 15)]


def test_x20_a_job_that_failed_before_its_settings_were_read_goes_by_them(stocked: Site):
    path = stocked.drop("gift_cards", "failed.csv", FIRST, {"retention_days": 2})
    job = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    reporting.close_job(stocked.runtime, job, failure="a task failed")
    now = stocked.runtime.clock()
    assert retention.delete_expired(stocked.runtime, now + timedelta(hours=47)) == {}
    assert retention.delete_expired(stocked.runtime, now + timedelta(hours=49)) == {"gift_cards": 1}
    assert not any("failed.csv" in name for name in contents(stocked.folder / "work"))


def test_x20_what_was_kept_of_a_job_beside_its_archive_goes_with_it(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    path = stocked.drop("gift_cards", "slow.csv", FIRST, {"retention_days": 2})
    asked = request(ready(stocked)[0])
    result = written_on_by(stocked, monkeypatch, "write_report", lambda: path.write_text(FIRST))(path, asked)
    kept = stocked.folder / "archive" / "quarantine" / "gift_cards" / f"{result.job}-returned" / "slow.csv"
    assert kept.exists()
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(hours=49))
    assert not kept.parent.exists()


def test_x20_what_a_file_is_taken_as_is_the_jobs_own(stocked: Site):
    """Two jobs of one number, of a database that was restored in between, keep what they have taken apart."""
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    job_id = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    with stocked.runtime.engine.connect() as connection:
        job = jobs.get(connection, job_id)
    other = replace(job, launched_at=job.launched_at + timedelta(seconds=1))
    assert files.taken_path(stocked.runtime, job) != files.taken_path(stocked.runtime, other)


# -- what may change between a look and the next


def test_x12_a_file_dropped_again_that_looks_alike_is_left_to_its_own_job(stocked: Site):
    """`cp -p` and `rsync -t` keep times, and two files may have one size. A task is repeated after a kill."""
    settings = {"settle_seconds": 1}
    path = stocked.drop("gift_cards", "cards.csv", FIRST, settings)
    os.utime(path, (1, 1))
    asked = request(ready(stocked)[0])
    first = take_file(stocked.runtime, asked).job_id
    stocked.drop("gift_cards", "cards.csv", FIRST.replace("77", "79"), settings)
    os.utime(path, (1, 1))
    sidecar = path.with_name("cards.csv.settings.yaml")
    assert take_file(stocked.runtime, asked).job_id == first
    assert path.read_text() == FIRST.replace("77", "79")
    assert sidecar.exists()
    assert import_file(stocked.runtime, asked).state == "completed"
    assert path.exists()
    assert import_file(stocked.runtime, request(ready(stocked)[0], "the next run")).state == "completed"
    assert loaded(stocked) == [("77", 15), ("79", 15)]


def taken_promo_file(site: Site) -> tuple[Path, int]:
    """Take a file out of a pool's folder; return that folder and the job."""
    path = site.drop("promo_codes/SUMMER", "evil.csv", "Code\nX1\n")
    return path.parent, take_file(site.runtime, site.request("promo_codes", path)).job_id


def grow_taken(site: Site, job: int) -> None:
    (taken,) = (site.folder / "work" / str(job)).glob("taken-*/evil.csv")
    write_on(taken, "X2\n")


@pytest.mark.parametrize("target", ["dags", "landing/gift_cards"])
def test_x21_a_file_is_never_put_back_through_a_folder_that_became_a_link(stocked: Site, target: str):
    folder, job = taken_promo_file(stocked)
    grow_taken(stocked, job)
    elsewhere = stocked.folder / target
    elsewhere.mkdir(parents=True, exist_ok=True)
    folder.rmdir()
    folder.symlink_to(elsewhere)
    result = reporting.close_job(stocked.runtime, job, failure="a task failed")
    assert list(elsewhere.iterdir()) == []
    assert "It can't be put back into its folder: it is kept in the quarantine" in (result.reason or {})["message"]
    kept = stocked.folder / "archive" / "quarantine" / "promo_codes" / f"{job}-returned" / "evil.csv"
    assert kept.read_text() == "Code\nX1\nX2\n"
    assert stocked.job(job)["archive_url"] == str(kept)


@pytest.mark.parametrize("moment", ["is_link", "take_out"])
def test_x21_a_folder_that_becomes_a_link_between_look_and_take_gives_nothing_away(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, moment: str
):
    path = stocked.drop("promo_codes/SUMMER", "x.csv", "Code\nX1\n")
    elsewhere = stocked.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.csv").write_text("Code\nX9\n")
    for file in (path, elsewhere / "x.csv"):
        os.utime(file, (1, 1))
    real = getattr(locations, moment)

    def exchanged(*args: Any) -> Any:
        if not path.parent.is_symlink():
            path.parent.rename(stocked.folder / "aside")
            path.parent.symlink_to(elsewhere)
        return real(*args)

    monkeypatch.setattr(locations, moment, exchanged)
    with pytest.raises((FileUnsettled, FileRefused)):
        take_file(stocked.runtime, stocked.request("promo_codes", path))
    assert (elsewhere / "x.csv").read_text() == "Code\nX9\n"
    work = contents(stocked.folder / "work")
    assert not any("x.csv" in name for name in work)


def test_x21_a_link_that_takes_a_files_place_between_look_and_take_is_not_followed(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    secret = stocked.folder / "keys.json"
    secret.write_text(FIRST.replace("77", "99"))
    real = locations.take_out

    def exchanged(*args: Any) -> Any:
        path.unlink()
        path.symlink_to(secret)
        return real(*args)

    monkeypatch.setattr(locations, "take_out", exchanged)
    with pytest.raises(FileUnsettled):
        take_file(stocked.runtime, stocked.request("gift_cards", path))
    assert path.is_symlink()
    assert secret.exists()
    assert contents(stocked.folder / "work") == {}


def test_x12_a_file_is_put_back_without_hard_links(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    """Of other users' files Linux refuses them (`fs.protected_hardlinks`)."""
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    job = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    (taken,) = (stocked.folder / "work" / str(job)).glob("taken-*/cards.csv")
    write_on(taken)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(locations.os, "link", refused)
    reporting.close_job(stocked.runtime, job, failure="a task failed")
    assert path.read_text() == FIRST + MORE


def test_x12_a_file_without_a_copy_is_kept_and_named_when_its_name_is_taken(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", FIRST)
    asked = stocked.request("gift_cards", path)
    with pytest.MonkeyPatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(locations, "copy", killed)
        with pytest.raises(KeyboardInterrupt):
            take_file(stocked.runtime, asked)
    assert not path.exists()
    stocked.drop("gift_cards", "cards.csv", FIRST.replace("77", "78"))
    (job,) = stocked.query("SELECT max(id) FROM ledger.import_job")[0]
    closed = reporting.close_job(stocked.runtime, job, failure="Its run ended.")
    assert "Another file has its name by now: it is kept in the quarantine." in (closed.reason or {})["message"]
    kept = Path(stocked.job(job)["archive_url"])
    assert kept.read_text() == FIRST
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=29))
    assert kept.exists()
    retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=31))
    assert not kept.exists()


def test_x01_a_file_of_no_type_whose_refusal_was_killed_is_refused_when_its_job_is_closed(stocked: Site):
    (stocked.folder / "landing" / "stray.csv").write_text(FIRST)
    listing = list_landing(stocked.runtime, datetime.now(UTC) + LATER)
    with pytest.MonkeyPatch.context() as patched:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(jobs, "refuse", killed)
        with pytest.raises(KeyboardInterrupt):
            refuse_arrival(stocked.runtime, listing.ready[0], run_key="a tick")
    (job,) = stocked.query("SELECT max(id) FROM ledger.import_job")[0]
    closed = reporting.close_job(stocked.runtime, job, failure="The command ended.")
    assert (closed.state, (closed.reason or {})["rule"]) == ("refused", "file.unknown_type")
    assert Path(stocked.job(job)["archive_url"]).read_text() == FIRST


def test_x20_retention_goes_on_behind_what_it_cannot_delete(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    first = stocked.load("gift_cards", f"{CARD_HEADER}\n1,flexible_gift,1\n")
    second = stocked.load("gift_cards", f"{CARD_HEADER}\n2,flexible_gift,1\n")
    stray = stocked.folder / "archive" / "imported" / "customers" / "9000" / "x.csv"
    stray.parent.mkdir(parents=True)
    stray.write_text("x")
    real = locations.delete_folder

    def delete_folder(folder: Location) -> None:
        if folder.path.endswith(f"/imported/gift_cards/{first.job}"):
            raise PermissionError(13, "Permission denied", folder.path)
        real(folder)

    monkeypatch.setattr(locations, "delete_folder", delete_folder)
    with pytest.raises(NotAllDeleted, match=f"the files of job {first.job}: Permission denied"):
        retention.delete_expired(stocked.runtime, stocked.runtime.clock() + timedelta(days=40))
    assert stocked.job(second)["archive_url"] is None
    assert stocked.job(first)["archive_url"] is not None
    assert not stray.exists()


# -- what goes back, or is kept, has its settings


def settings_beside(path: Path) -> dict[str, Any]:
    """Return the settings that a file has by its sidecar."""
    content: dict[str, Any] = yaml.safe_load(path.with_name(f"{path.name}.settings.yaml").read_text())
    return content


def written_on_by(
    site: Site, monkeypatch: pytest.MonkeyPatch, stage: str, meanwhile: Callable[[], object] = lambda: None
) -> Callable[[Path, Request], Any]:
    """Return how to import a file whose writer keeps it open and goes on before a stage. Leases are none here."""
    monkeypatch.setattr(locations, "has_writer", lambda _: None)

    def imported(path: Path, asked: Request) -> Any:
        module: Any = locations if stage == "copy" else importer
        real = getattr(module, stage)
        with path.open("a") as writer, pytest.MonkeyPatch.context() as patched:

            def overtaken(*args: Any) -> Any:
                if not writer.closed:
                    writer.write(MORE)
                    writer.close()
                    meanwhile()
                return real(*args)

            patched.setattr(module, stage, overtaken)
            return import_file(site.runtime, asked)

    return imported


@pytest.mark.parametrize("stage", ["inspect_file", "load_rows", "write_report"])
@pytest.mark.parametrize("sidecar", ["slow.csv.settings.yaml", "Slow.CSV.Settings.YML"])
def test_x11_x12_x19_a_file_that_goes_back_has_its_settings_and_is_rehearsed_again(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, stage: str, sidecar: str
):
    path = stocked.drop("gift_cards", sidecar, "# of the sender\ndry_run: true\n").with_name("slow.csv")
    stocked.drop("gift_cards", "slow.csv", FIRST)
    result = written_on_by(stocked, monkeypatch, stage)(path, request(ready(stocked)[0]))
    assert path.read_text() == FIRST + MORE
    assert path.with_name("slow.csv.settings.yaml").read_text() == "# of the sender\ndry_run: true\n"
    if stage == "write_report":  # the load was rehearsed before
        assert [warning["rule"] for warning in result.warnings] == ["file.changed_after_load"]
    else:
        assert (result.reason or {})["rule"] == "file.changed"
    again = import_file(stocked.runtime, request(ready(stocked)[0], "the next run"))
    assert (again.state, stocked.job(again)["is_dry_run"]) == ("completed", True)
    assert loaded(stocked) == []
    assert [name for name in contents(stocked.folder / "landing") if "slow" in name] == []


@pytest.mark.parametrize(
    "settings",
    [{"mapping": {"Nr": "card_number"}}, {"strict_sold_cards": True}, {"review": True}, {"release": "0 3 * * *"}],
)
def test_x11_x12_every_setting_goes_back_with_its_file(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object]
):
    path = stocked.drop("gift_cards", "slow.csv", FIRST, settings)
    written_on_by(stocked, monkeypatch, "inspect_file")(path, Request("gift_cards", str(path), "a run"))
    assert settings_beside(path) == settings


def test_x12_x19_what_a_run_was_asked_for_goes_back_with_the_file(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    path = stocked.drop("gift_cards", "slow.csv", FIRST, {"dry_run": False, "max_file_bytes": 1000})
    asked = stocked.request("gift_cards", path, dry_run=True, slash_dates=None)
    written_on_by(stocked, monkeypatch, "inspect_file")(path, asked)
    assert settings_beside(path) == {"dry_run": True, "max_file_bytes": 1000}
    path.with_name("slow.csv.settings.yaml").unlink()
    asked = stocked.request("gift_cards", path, dry_run=True)
    written_on_by(stocked, monkeypatch, "inspect_file")(path, asked)
    assert settings_beside(path) == {"dry_run": True}


def test_x12_x19_a_file_that_the_full_disk_sends_back_has_its_settings(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    """A run that a person started as a rehearsal: the next tick finds the file in its folder."""
    path = stocked.drop("gift_cards", "cards.csv", FIRST)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locations, "copy", full)
    with pytest.raises(OSError, match="No space left"):
        take_file(stocked.runtime, stocked.request("gift_cards", path, dry_run=True))
    assert path.read_text() == FIRST
    assert settings_beside(path) == {"dry_run": True}


@pytest.mark.parametrize("own", [None, "dry_run: true\n"])
@pytest.mark.parametrize("other", ["slow.csv.settings.yaml", "slow.csv.settings.yml", "SLOW.csv.settings.yaml"])
def test_x11_x12_a_file_never_goes_back_beside_settings_of_another(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, own: str | None, other: str
):
    """The sender has announced the next file of this name already."""
    if own is not None:
        stocked.drop("gift_cards", "slow.csv.settings.yaml", own)
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    asked = request(ready(stocked)[0])
    announcing = written_on_by(
        stocked, monkeypatch, "inspect_file", lambda: stocked.drop("gift_cards", other, "force: true\n")
    )
    failed = announcing(path, asked)
    assert "kept in the quarantine" in (failed.reason or {})["message"]
    assert not path.exists()
    assert path.with_name(other).read_text() == "force: true\n"
    kept = Path(stocked.job(failed)["archive_url"])
    assert kept.read_text() == FIRST + MORE
    if own is not None:
        assert settings_beside(kept) == {"dry_run": True}
        assert stocked.job(stocked.run("gift_cards", kept))["is_dry_run"]
        assert loaded(stocked) == []


@pytest.mark.parametrize("stage", ["copy", "inspect_file", "load_rows"])
def test_x12_what_a_failed_job_names_is_what_was_kept_and_again_loads_all_of_it(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, stage: str
):
    """The cut-off version that it had copied is no longer anywhere."""
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    asked = request(ready(stocked)[0])
    other = FIRST.replace("77", "79")
    writing = written_on_by(stocked, monkeypatch, stage, lambda: path.write_text(other))
    if stage == "copy":
        with pytest.raises(FileUnsettled):
            writing(path, asked)
    else:
        writing(path, asked)
    (job,) = stocked.query("SELECT max(id) FROM ledger.import_job")[0]
    held = stocked.job(job)
    assert (held["state"], held["refusal_rule"], held["work_url"]) == ("failed", "file.changed", None)
    assert Path(held["archive_url"]).read_text() == FIRST + MORE
    assert held["size_bytes"] == len(FIRST + MORE)
    assert_ledger_has_the_archives_hash(stocked)
    with stocked.runtime.engine.connect() as connection:
        source = files.source_path(stocked.runtime, jobs.get(connection, job))
    assert source.open_whole().read().decode() == FIRST + MORE
    # The same run again goes on with its own file, not with the other one.
    assert import_file(stocked.runtime, asked).state == "completed"
    assert loaded(stocked) == [("77", 15), ("78", 20)]
    assert_ledger_has_the_archives_hash(stocked)
    assert path.read_text() == other


def test_x12_a_failed_job_whose_file_went_back_has_no_cut_off_copy(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    failed = written_on_by(stocked, monkeypatch, "inspect_file")(path, request(ready(stocked)[0]))
    assert not any("slow.csv" in name for name in contents(stocked.folder / "work"))
    with stocked.runtime.engine.connect() as connection:
        job = jobs.get(connection, failed.job)
    assert (job.work_url, job.archive_url, files.find_source(stocked.runtime, job)) == (None, None, None)


@pytest.mark.parametrize("stage", ["inspect_file", "write_report"])
def test_x11_x12_a_file_that_is_kept_has_its_settings_beside_it(
    stocked: Site, monkeypatch: pytest.MonkeyPatch, stage: str
):
    path = stocked.drop("gift_cards", "slow.csv", FIRST, {"dry_run": True})
    asked = request(ready(stocked)[0])
    result = written_on_by(stocked, monkeypatch, stage, lambda: path.write_text(FIRST))(path, asked)
    kept = stocked.folder / "archive" / "quarantine" / "gift_cards" / f"{result.job}-returned" / "slow.csv"
    assert kept.read_text() == FIRST + MORE
    assert settings_beside(kept) == {"dry_run": True}
    assert not path.with_name("slow.csv.settings.yaml").exists()


def test_x11_x12_a_file_whose_settings_could_not_be_read_is_kept(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    path = stocked.drop("gift_cards", "slow.csv", FIRST)
    path.with_name("slow.csv.settings.yaml").write_bytes(b"dry_run: true # \xff\n")
    refused = written_on_by(stocked, monkeypatch, "inspect_file")(path, request(ready(stocked)[0]))
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert not path.exists()
    assert [warning["rule"] for warning in refused.warnings] == ["file.changed"]
    assert "kept in the quarantine" in refused.warnings[0]["message"]
