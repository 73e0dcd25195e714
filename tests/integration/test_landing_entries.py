"""One entry of the landing area never stops the others, whatever it is. Source: X-01, X-11, X-12."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.arrivals import settings_files
from include.arrivals.listing import Listing, _entries, list_landing
from include.arrivals.refusals import record_unusable
from include.runtime import ROOT
from include.storage import locations
from tests.imports import CARD_HEADER, Site

pytestmark = pytest.mark.integration

CARD = f"{CARD_HEADER}\n77,flexible_gift,10\n"
LATER = timedelta(minutes=5)


def look(site: Site) -> Listing:
    """List the landing area as it will be seen in five minutes, when everything in it has settled."""
    return list_landing(site.runtime, datetime.now(UTC) + LATER)


def make_fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.csv")
    return folder / "pipe.csv"


def make_socket(folder: Path) -> Path:
    here = os.getcwd()
    os.chdir(folder)  # a socket's address has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("sock.csv")
    finally:
        os.chdir(here)
    return folder / "sock.csv"


def link(target: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "link.csv"
        path.symlink_to(target.format(folder=folder))
        return path

    return make


def make_link_through_a_file(folder: Path) -> Path:
    (folder / ".f").write_text("x")
    (folder / "through.csv").symlink_to(".f/x")
    return folder / "through.csv"


def make_link_to_a_folder(folder: Path) -> Path:
    (folder / ".store").mkdir()
    (folder / "folder.csv").symlink_to(".store")
    return folder / "folder.csv"


def make_link_to_another_type(folder: Path) -> Path:
    people = folder.parent / "customers"
    people.mkdir(exist_ok=True)
    (people / ".private.csv").write_text("ExternalId\n1\n")
    (folder / "theirs.csv").symlink_to("../customers/.private.csv")
    return folder / "theirs.csv"


def make_name_that_is_not_utf8(folder: Path) -> Path:
    path = folder / os.fsdecode(b"caf\xe9.csv")
    path.write_text(CARD)
    return path


def make_fifo_named_like_a_sidecar(folder: Path) -> Path:
    os.mkfifo(folder / "absent.csv.settings.yaml")
    return folder / "absent.csv.settings.yaml"


ODD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a named pipe": (make_fifo, "named pipe"),
    "a socket": (make_socket, "socket"),
    "a link to itself": (link("link.csv"), "leads to itself"),
    "a dangling link": (link("/nowhere/at/all"), "leads nowhere"),
    "a link to a name that is too long": (link("x" * 300), "broken link"),
    "a link through a file": (make_link_through_a_file, "broken link"),
    "a link out of the area": (link("/etc/passwd"), "leads out of its folder"),
    "a link by dots out of the area": (link("../../../site/keys.json"), "leads out of its folder"),
    "a link to a process's memory": (link("/proc/self/environ"), "leads out of its folder"),
    "a link to a folder": (make_link_to_a_folder, "link to a folder"),
    "a link into another type's folder": (make_link_to_another_type, "another import type"),
    "a name that is not UTF-8": (make_name_that_is_not_utf8, "not UTF-8"),
    "a sidecar that is a named pipe": (make_fifo_named_like_a_sidecar, "named pipe"),
}


@pytest.mark.parametrize("odd", ODD)
def test_x12_an_odd_entry_is_reported_once_stays_and_stops_nothing(stocked: Site, odd: str):
    make, reason = ODD[odd]
    (stocked.folder / "keys.json").write_text("secret")
    innocent = stocked.drop("gift_cards", "innocent.csv", CARD)
    path = make(innocent.parent)
    before = os.lstat(path)
    listing = look(stocked)
    assert [arrival.file_name for arrival in listing.ready] == ["innocent.csv"]
    (entry,) = listing.unusable
    assert reason in entry.reason
    assert "secret" not in entry.reason
    assert record_unusable(stocked.runtime, listing.unusable) == [entry]
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []
    (recorded,) = stocked.query("SELECT state, refusal_rule, refusal_message, import_type FROM ledger.import_job "
                                "WHERE launched_by = 'pick_up_files'")  # fmt: skip
    assert recorded[0] == "refused"
    assert reason in recorded[2]
    assert stocked.run("gift_cards", listing.ready[0].url).state == "completed"
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (after.st_ino, after.st_mode, after.st_mtime_ns)


@pytest.mark.parametrize("name", ["gift_cards/_settings.yaml", "gift_cards/waits.csv.settings.yaml"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink(path, path), os.mkdir], ids=["pipe", "loop", "dir"]
)
def test_x12_settings_that_are_no_file_stop_no_other_file(stocked: Site, name: str, make: Callable[[Path], None]):
    stocked.drop("gift_cards", "waits.csv", CARD)
    stocked.drop("gift_card_pools", "pools.csv", "x\n")
    make(stocked.folder / "landing" / name)
    listing = look(stocked)
    assert "pools.csv" in {arrival.file_name for arrival in listing.ready}


@pytest.mark.parametrize("release", ["0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_x11_a_release_that_never_comes_stops_no_other_file(stocked: Site, release: str):
    stocked.drop("gift_cards", "never.csv", CARD, {"release": release})
    stocked.drop("gift_cards", "now.csv", CARD)
    listing = look(stocked)
    assert "now.csv" in {arrival.file_name for arrival in listing.ready}


@pytest.mark.parametrize("seconds", [-(10**11), -62_135_596_801, 253_402_300_800, 10**11])
def test_x12_a_time_that_no_calendar_has_stops_nothing(stocked: Site, seconds: int):
    path = stocked.drop("gift_cards", "odd.csv", CARD)
    stocked.drop("gift_cards", "now.csv", CARD)
    os.utime(path, (seconds, seconds))
    ready = {arrival.file_name for arrival in look(stocked).ready}
    assert {"now.csv", "odd.csv"} <= ready


def test_x12_a_time_that_python_cannot_hold_is_the_entrys_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Tmpfs keeps any time; ext4 cuts it, so that the file's state is made here."""
    path = tmp_path / "a.csv"
    path.write_text("1")
    held = list(os.stat(path))
    odd = os.stat_result([*held[:8], 10**18, held[9]])
    assert locations.local_stat(odd, str(path)).modified_at == datetime.fromtimestamp(held[9], UTC)


def test_x01_the_place_of_a_folder_that_cannot_be_listed_is_reported(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    """Root may list everything, so that the refusal is the system call's."""
    stocked.drop("gift_cards", "now.csv", CARD)
    locked = stocked.folder / "landing" / "locked"
    locked.mkdir()
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    listing = look(stocked)
    assert [arrival.file_name for arrival in listing.ready] == ["now.csv"]
    assert [(entry.file_name, entry.rule) for entry in listing.unusable] == [("locked", "file.folder")]


def test_x12_a_link_in_the_landing_area_is_read_and_its_bytes_are_archived(stocked: Site):
    store = stocked.folder / "landing" / "gift_cards" / ".store"
    store.mkdir(parents=True)
    (store / "x.csv").write_text(CARD)
    (store.parent / "relative.csv").symlink_to(".store/x.csv")
    (arrival,) = look(stocked).ready
    result = stocked.run("gift_cards", arrival.url)
    assert (result.state, stocked.card_numbers()) == ("completed", ["77"])
    archived = Path(stocked.job(result)["archive_url"])
    assert not archived.is_symlink()
    assert archived.read_text() == CARD
    assert not os.path.lexists(store.parent / "relative.csv"), "the link was the entry, and was taken"
    assert (store / "x.csv").read_text() == CARD, "what it leads to is somebody else's"


def test_x12_a_file_that_a_program_has_open_for_writing_waits(stocked: Site):
    path = stocked.drop("gift_cards", "growing.csv", CARD)
    with path.open("a"):
        (waiting,) = look(stocked).waiting
        assert waiting.reason == "a program still has it open for writing"
    assert [arrival.file_name for arrival in look(stocked).ready] == ["growing.csv"]


def test_x01_a_file_that_could_not_be_removed_is_reported_and_never_copied(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    path = stocked.drop("gift_cards", "kept.csv", CARD)
    real = os.access

    def access(place: str, mode: int, **options: bool) -> bool:
        return not (mode & os.W_OK and str(place) == str(path.parent)) and real(place, mode, **options)

    monkeypatch.setattr(locations.os, "access", access)
    listing = look(stocked)
    assert listing.ready == []
    assert [entry.rule for entry in listing.unusable] == ["file.not_removable"]
    assert path.read_text() == CARD


def test_x12_odd_entries_are_left_alone_while_they_may_still_be_in_the_making(stocked: Site):
    folder = stocked.folder / "landing" / "gift_cards"
    folder.mkdir(parents=True)
    (folder / "soon.csv").symlink_to(".soon")
    assert list_landing(stocked.runtime, datetime.now(UTC)).unusable == []
    assert len(look(stocked).unusable) == 1


@pytest.mark.parametrize("name", [".part", ".hidden.csv", "a.csv.part"])
def test_x12_odd_entries_of_ignored_names_are_ignored(stocked: Site, name: str):
    folder = stocked.folder / "landing" / "gift_cards"
    folder.mkdir(parents=True)
    os.mkfifo(folder / name)
    assert look(stocked) == Listing()


def test_x12_thousands_of_entries_are_listed_in_seconds_and_settings_are_read_once(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    """The time is a benchmark's; here: how often the database is asked, and how often settings are read."""
    folder = stocked.folder / "landing" / "gift_cards"
    folder.mkdir(parents=True)
    for number in range(300):
        (folder / f"{number}.csv").write_text(CARD)
    (folder / "7.csv.settings.yaml").write_text("force: true\n")
    (folder / "_settings.yaml").write_text("settle_seconds: 1\n")
    reads: list[str] = []
    real = settings_files.read_text
    monkeypatch.setattr(
        "include.arrivals.listing.read_text", lambda path, *a, **k: reads.append(path.name) or real(path, *a, **k)
    )
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    import sqlalchemy as sa

    sa.event.listen(stocked.runtime.engine, "before_cursor_execute", count)
    assert len(look(stocked).ready) == 300
    assert sorted(set(reads)) == ["7.csv.settings.yaml", "_settings.yaml"]
    assert len(reads) == 3, "the folder's alone, and both for the one file that has settings"
    assert asked <= 2, "whether gift card pools are being imported (GC-05)"
    reads.clear()
    assert len(look(stocked).ready) == 300
    assert reads == []
    time.sleep(0.01)
    (folder / "_settings.yaml").write_text("settle_seconds: 2.5\n")
    assert len(look(stocked).ready) == 300
    assert reads != []


def test_x12_the_size_of_settings_is_bounded(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    stocked.drop("gift_cards", "a.csv", CARD)
    sidecar = stocked.folder / "landing" / "gift_cards" / "a.csv.settings.yaml"
    with sidecar.open("wb") as sink:
        sink.truncate(3 << 30)  # takes no room
    read: list[int] = []
    real = locations.Location.read_bytes

    def read_bytes(path: locations.Location, most_bytes: int) -> bytes:
        data = real(path, most_bytes)
        read.append(len(data))
        return data

    monkeypatch.setattr(locations.Location, "read_bytes", read_bytes)
    (arrival,) = look(stocked).ready
    refused = stocked.run("gift_cards", arrival.url)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert "65,536 bytes" in (refused.reason or {})["message"]
    assert all(length <= 65_537 for length in read)


def test_x11_settings_that_are_not_utf8_refuse_with_the_byte(stocked: Site):
    path = stocked.drop("gift_cards", "a.csv", CARD)
    (path.parent / "a.csv.settings.yaml").write_bytes("pool: München\n".encode("latin-1"))
    refused = stocked.run("gift_cards", path)
    assert "not UTF-8 at byte 7" in (refused.reason or {})["message"]


def test_entries_of_hidden_folders_are_not_even_looked_at(stocked: Site):
    hidden = stocked.folder / "landing" / ".snapshot"
    hidden.mkdir()
    (hidden / "q").symlink_to("q")
    assert list(_entries(stocked.runtime)) == []


def test_x12_a_writer_that_comes_while_a_lease_is_held_ends_nobody(tmp_path: Path):
    """The kernel informs the holder by a signal, which would end the process unless another one is chosen."""
    path = tmp_path / "a.csv"
    path.write_text("1")
    script = (
        "import os, sys\n"
        "while True:\n"
        "    try: os.close(os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK))\n"
        "    except BlockingIOError: pass\n"
    )
    looking = (
        "import sys, time\n"
        "from include.storage.locations import has_writer\n"
        "end = time.monotonic() + 6\n"
        "while time.monotonic() < end: has_writer(sys.argv[1])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(2)]
    try:
        looked = subprocess.run([sys.executable, "-c", looking, str(path)], cwd=ROOT, check=False)
        assert [writer.poll() for writer in writers] == [None, None]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert looked.returncode == 0


def test_x12_a_file_whose_settings_cannot_be_read_waits_for_them(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    stocked.drop("gift_cards", "mine.csv", CARD)
    stocked.drop("gift_cards", "theirs.csv", CARD, {"dry_run": True})
    sidecar = str(stocked.folder / "landing" / "gift_cards" / "theirs.csv.settings.yaml")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, *a, **k: str(path) != sidecar and real(path, *a, **k))
    listing = look(stocked)
    assert [arrival.file_name for arrival in listing.ready] == ["mine.csv"]
    assert [(entry.arrival.file_name, "can't be read" in entry.reason) for entry in listing.waiting] == [
        ("theirs.csv", True)
    ]
    assert [entry.file_name for entry in listing.unusable] == ["theirs.csv.settings.yaml"]


@pytest.mark.parametrize("settings", [{"release": "0 0 29 2 *"}, {"settle_seconds": 86_400}])
def test_x14_a_file_that_its_own_settings_hold_holds_no_other_senders(stocked: Site, settings: dict[str, object]):
    """Only what still settles by the usual time goes before: else one sender could stop a type for years."""
    first = stocked.drop("customers", "a.csv", "ExternalId\n1\n", settings)
    os.utime(first, (10**9, 10**9))
    stocked.drop("customers", "b.csv", "ExternalId\n2\n")
    ready = {arrival.file_name for arrival in look(stocked).ready}
    assert "b.csv" in ready


def test_x22_settings_that_are_new_take_a_listing_so_long_and_no_longer(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    for number in range(20):
        stocked.drop("gift_cards", f"{number}.csv", CARD, {"settle_seconds": 1 + number})
    monkeypatch.setattr("include.arrivals.listing.MOST_READING_SECONDS", 0.0)
    unread = look(stocked)
    assert unread.ready == []
    assert {entry.reason for entry in unread.waiting} == {
        "its settings can't be read: there are very many, and a later listing reads them"
    }
    monkeypatch.setattr("include.arrivals.listing.MOST_READING_SECONDS", 5.0)
    assert len(look(stocked).ready) == 20
    monkeypatch.setattr("include.arrivals.listing.MOST_READING_SECONDS", 0.0)
    assert len(look(stocked).ready) == 20, "what was read is remembered"


def test_x12_a_file_that_goes_while_its_folder_is_looked_at_stops_nothing(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
):
    path = stocked.drop("gift_cards", "gone.csv", CARD)
    stocked.drop("gift_cards", "stays.csv", CARD)

    def removal_right(_: locations.Location) -> None:
        path.unlink(missing_ok=True)

    monkeypatch.setattr(locations, "removal_right", removal_right)
    assert [arrival.file_name for arrival in look(stocked).ready] == ["stays.csv"]


def test_x12_entries_whose_names_are_shown_alike_are_reported_each(stocked: Site):
    folder = stocked.folder / "landing" / "gift_cards" / ("x" * 200) / ("y" * 200)
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.csv").symlink_to("/etc/passwd")
    listing = look(stocked)
    assert len({entry.url for entry in listing.unusable}) == 1
    assert len(record_unusable(stocked.runtime, listing.unusable)) == 3
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_x12_a_later_odd_entry_of_the_same_name_is_reported_though_its_inode_is_the_same(stocked: Site, kind: str):
    path = stocked.drop("gift_cards", "x.csv", CARD)
    path.unlink()
    for number in (1, 2):
        if kind == "link":
            path.symlink_to(f"/nowhere{number}")
        else:
            os.mkfifo(path)
        entries = look(stocked).unusable
        assert record_unusable(stocked.runtime, entries) == entries
        assert record_unusable(stocked.runtime, look(stocked).unusable) == []
        path.unlink()
        time.sleep(0.02)  # the clock of the disk's entries has so many steps a second


def test_x12_what_happens_in_a_folder_named_as_settings_makes_it_no_other_entry(stocked: Site):
    path = stocked.drop("gift_cards", "a.csv", CARD).with_name("_settings.yaml")
    path.mkdir()
    entries = [entry for entry in look(stocked).unusable if entry.file_name == path.name]
    assert record_unusable(stocked.runtime, entries) == entries
    (path / "inside.part").write_text("x")
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []
