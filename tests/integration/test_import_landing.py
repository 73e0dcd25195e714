"""What starts now, and what waits: settling, releases, files that go first. Source: X-01, X-12, GC-05."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include import import_types
from include.arrivals.landing import Request, take_file
from include.arrivals.listing import Arrival, list_landing
from include.arrivals.listing import _order as listing_order
from include.errors import FileRefused
from include.importer import import_file
from include.stages.inspection import inspect_file
from include.storage.locations import FileStat
from tests.imports import CARD_HEADER, POOL_HEADER, Site, contents

pytestmark = pytest.mark.integration

EVENING = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
CARDS = f"{CARD_HEADER}\n1,flexible_gift,10\n"
POOLS = f"{POOL_HEADER}\n"


def drop(site: Site, import_type: str, name: str, content: bytes | str, at: datetime = EVENING) -> Path:
    path = site.drop(import_type, name, content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def look(
    site: Site, *, seconds: float = 0, minutes: float = 0, hours: float = 0, after: datetime = EVENING
) -> dict[str, str | None]:
    """Return each file of the landing area with why it waits, None for those that can start."""
    listing = list_landing(site.runtime, after + timedelta(seconds=seconds, minutes=minutes, hours=hours))
    ready: dict[str, str | None] = {arrival.file_name: None for arrival in listing.ready}
    waiting: dict[str, str | None] = {entry.arrival.file_name: entry.reason for entry in listing.waiting}
    assert not ready.keys() & waiting.keys()
    return ready | waiting


@pytest.mark.parametrize(
    "name", [".hidden.csv", "a.csv.part", "a.csv.TMP", "a.filepart", "a.csv.crdownload", "_settings.yaml",
             "_SETTINGS.yaml", "a.csv.settings.yaml", "B.Settings.YAML", ".csv"],
)  # fmt: skip
def test_x12_unfinished_hidden_and_settings_files_are_no_arrivals(site: Site, name: str):
    drop(site, "gift_cards", name, CARDS)
    drop(site, "no_such_type", name, CARDS)
    drop(site, ".gift_cards", "a.csv", CARDS)
    assert look(site, minutes=100) == {}


@pytest.mark.parametrize("name", ["part.csv", "a.part.csv", "settings.yaml.csv", "_settings.yaml.csv", "tmp", "a.yaml"])
def test_x12_other_names_are_arrivals(site: Site, name: str):
    drop(site, "gift_cards", name, CARDS)
    assert look(site, minutes=2) == {name: None}


def test_x14_a_file_of_a_type_that_edits_does_not_overtake_one_that_still_settles(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    drop(site, "gift_card_pools", "first.csv", f"{POOLS}cut off")
    drop(site, "gift_card_pools", "second.csv", POOLS, EVENING + timedelta(seconds=1))
    assert look(site, seconds=30)["second.csv"] is None
    edits = replace(import_types.get("gift_card_pools"), edits=True)
    monkeypatch.setitem(import_types.IMPORT_TYPES._types, "gift_card_pools", edits)
    assert look(site, seconds=30)["second.csv"] == "after first.csv, which arrived before it"
    assert look(site, seconds=60) == {"first.csv": None, "second.csv": None}


def test_x12_a_file_settles_five_seconds_or_as_long_as_the_settings_say(site: Site):
    drop(site, "gift_card_pools", "a.csv", POOLS)
    assert look(site, seconds=4.9) == {"a.csv": "settling"}
    assert look(site, seconds=5) == {"a.csv": None}
    drop(site, "gift_card_pools", "_settings.yaml", "settle_seconds: 20")
    drop(site, "gift_card_pools", "b.csv.settings.yaml", "settle_seconds: 0")
    drop(site, "gift_card_pools", "b.csv", POOLS)
    assert look(site, seconds=19) == {"a.csv": "settling", "b.csv": None}
    assert look(site, seconds=20) == {"a.csv": None, "b.csv": None}


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", "\n".encode("utf-16-le"), "\n".encode("utf-16-be"),
                                 "\r\n".encode("utf-32-le")])  # fmt: skip
def test_x12_a_file_with_a_line_end_at_its_end_is_whole(site: Site, end: bytes):
    drop(site, "gift_card_pools", "a.csv", POOLS.strip().encode() + end)
    assert look(site, seconds=5) == {"a.csv": None}


@pytest.mark.parametrize("content", ["", "a", POOLS.strip(), f'{POOLS}"unfinished\n '])
def test_x12_a_file_without_one_must_be_unchanged_for_a_minute(site: Site, content: str):
    drop(site, "gift_card_pools", "a.csv", content)
    assert look(site, seconds=59) == {"a.csv": "settling: no line end at its end yet"}
    assert look(site, seconds=60) == {"a.csv": None}


def test_x12_a_clock_that_is_ahead_does_not_hold_a_file_forever(site: Site):
    drop(site, "gift_card_pools", "a.csv", POOLS, at=datetime.now(UTC) + timedelta(days=3))
    assert look(site, after=datetime.now(UTC)) == {"a.csv": "settling"}
    assert look(site, after=datetime.now(UTC), seconds=6) == {"a.csv": None}


@pytest.mark.parametrize("behind", [timedelta(seconds=3), timedelta(hours=1), timedelta(days=400)])
def test_x14_a_clock_that_is_behind_the_disk_s_does_not_hold_a_file_until_it_has_caught_up(
    site: Site, behind: timedelta
):
    """A disk's server has its own clock; of another program's file both times are in the future then."""
    path = site.drop("gift_card_pools", "a.csv", POOLS, {"settle_seconds": 1})
    os.utime(path)
    assert look(site, after=datetime.now(UTC) - behind) == {"a.csv": "settling"}
    time.sleep(1.2)
    assert look(site, after=datetime.now(UTC) - behind) == {"a.csv": None}


def test_x12_a_file_that_its_name_refuses_has_settled_as_well(site: Site):
    """It waits for its last byte, but for no release: a file must not be moved away under its writer."""
    drop(site, "gift_card_pools", "p.csv", POOLS)
    drop(site, "gift_cards", "_settings.yaml", "release: '0 2 * * *'\nsettle_seconds: 3600")
    drop(site, "gift_cards", "a.xlsx", b"PK\x03\x04")
    drop(site, "gift_cards", "a.csv.gz", "a line end\n")
    drop(site, "cards", "b.csv", "no line end")
    drop(site, "cards", "c.csv", "a line end\n")
    names = ("a.xlsx", "a.csv.gz", "b.csv", "c.csv", "p.csv")
    assert look(site, seconds=4) == dict.fromkeys(names, "settling")
    whole = {"a.csv.gz": None, "c.csv": None, "p.csv": None}
    cut_off = dict.fromkeys(("a.xlsx", "b.csv"), "settling: no line end at its end yet")
    assert look(site, seconds=5) == look(site, seconds=59) == whole | cut_off
    assert look(site, seconds=60) == dict.fromkeys(names)


@pytest.mark.parametrize(
    "name", ["cards.csv.1a2b3c4d.partial", "a.csv.PARTIAL", "a.csv.download", "a.opdownload", "a.csv.!ut", "a.aria2",
             "a.csv.uploading", "a.csv.InProgress", "a.csv._COPYING_", "a.temp", ".a.csv.swp", "a.csv.swx", "~$a.csv",
             "~a.csv", "a.csv~", "a.csv.sb-1a2b-3c"],
)  # fmt: skip
def test_x12_what_a_program_is_still_writing_is_left_alone(site: Site, name: str):
    """`pub-41` and its kind: never moved away under the writer, never reported while it is young."""
    path = drop(site, "gift_cards", name, f"{CARD_HEADER}\n7700000000000411,flexible_gift,10\n77000000000004")
    listing = list_landing(site.runtime, EVENING + timedelta(hours=23))
    assert (listing.ready, listing.waiting, listing.unusable) == ([], [], [])
    with pytest.raises(FileRefused, match=r"file\.place"):
        take_file(site.runtime, Request("gift_cards", str(path), "asks for it"))
    path.rename(path.with_name("cards.csv"))
    assert look(site, hours=23) == {"cards.csv": None}


@pytest.mark.parametrize("name", ["a.csv.bak", "a.csv.lftp-pget-status", "a.pendingoverwrite", "a.csv.ffs_tmp", "a"])
@pytest.mark.parametrize("content", ["", "card_number,pool_sys"])
def test_x12_a_name_that_is_refused_waits_a_minute_without_a_line_end(site: Site, name: str, content: str):
    drop(site, "gift_cards", name, content)
    assert look(site, seconds=59) == {name: "settling: no line end at its end yet"}
    assert look(site, seconds=60) == {name: None}


@pytest.mark.parametrize("folder", ["gift_cards", "promo_codes/spring", "nobody", "nobody/deep", "."])
@pytest.mark.parametrize("name", ["a.csv.md5", "A.CSV.SHA256", "_SUCCESS", "thumbs.db", "Desktop.INI"])
def test_x12_markers_and_checksums_are_ignored_wherever_they_are(site: Site, folder: str, name: str):
    """`pub-42`: what `ignore` names unless the settings say otherwise, also where no type has a folder."""
    drop(site, folder, name, "x\n")
    assert look(site, hours=23) == {}


def test_x12_a_folder_s_settings_and_the_type_s_say_what_else_is_ignored(site: Site, tmp_path: Path):
    defaults = tmp_path / "imports.yaml"
    defaults.write_text("gift_cards: {defaults: {ignore: ['*.done']}}\npromo_codes: {defaults: {}}\n")
    site = site.changed(defaults_file=defaults)
    for name in ("a.csv.DONE", "a.md5", "old_1.csv"):
        drop(site, "gift_cards", name, "x\n")
        drop(site, "promo_codes/spring", name, "x\n")
    assert {(arrival.folder, arrival.file_name) for arrival in ready(site)} == {
        ("gift_cards", "a.md5"), ("gift_cards", "old_1.csv"),
        ("promo_codes/spring", "a.csv.DONE"), ("promo_codes/spring", "old_1.csv"),
    }  # fmt: skip
    drop(site, "promo_codes", "_settings.yaml", "ignore: ['old_*', '*.done']")
    drop(site, "gift_cards", "_settings.yml", "ignore: []")
    assert {(arrival.folder, arrival.file_name) for arrival in ready(site)} == {
        ("gift_cards", "a.csv.DONE"), ("gift_cards", "a.md5"), ("gift_cards", "old_1.csv"),
        ("promo_codes/spring", "a.md5"),
    }  # fmt: skip


def test_x12_no_file_s_own_settings_say_what_is_ignored(site: Site):
    drop(site, "gift_cards", "a.csv.settings.yaml", "ignore: ['b.csv']")
    path = drop(site, "gift_cards", "a.csv", CARDS)
    drop(site, "gift_cards", "b.csv", CARDS)
    assert look(site, minutes=2) == {"a.csv": None, "b.csv": None}
    for result in (site.run("gift_cards", path), site.run("gift_cards", path.with_name("b.csv"), ignore=["x"])):
        assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")
        assert "only a folder's settings file can say which names are ignored" in (result.reason or {})["message"]


def ready(site: Site) -> list[Arrival]:
    return list_landing(site.runtime, EVENING + timedelta(minutes=5)).ready


def test_a_file_with_wrong_settings_starts_so_that_its_job_can_say_so(site: Site):
    drop(site, "gift_cards", "a.csv.settings.yaml", "release: at night")
    drop(site, "gift_cards", "a.csv", CARDS)
    assert look(site, seconds=5) == {"a.csv": None}
    (arrival,) = list_landing(site.runtime, EVENING + timedelta(hours=1)).ready
    result = site.run("gift_cards", arrival.url)
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")


def test_a_landing_area_that_is_not_there_yet_is_empty(site: Site):
    (site.folder / "landing").rmdir()
    assert look(site) == {}


def test_a_nightly_type_is_released_at_the_first_tick_after_its_arrival(site: Site):
    drop(site, "gift_card_pools", "_settings.yaml", "release: '0 2 * * *'")
    drop(site, "gift_card_pools", "a.csv", POOLS)
    assert look(site, minutes=7 * 60 + 59) == {"a.csv": "released at 2026-03-02 02:00 UTC"}
    assert look(site, minutes=8 * 60) == {"a.csv": None}
    drop(site, "gift_card_pools", "late.csv", POOLS, at=EVENING + timedelta(hours=8))
    assert look(site, minutes=8 * 60 + 1) == {"a.csv": None, "late.csv": "released at 2026-03-03 02:00 UTC"}


def test_gc05_cards_wait_for_pool_files_that_wait_thirty_minutes_at_most(site: Site):
    drop(site, "gift_cards", "cards.csv", CARDS)
    assert look(site, seconds=5) == {"cards.csv": None}
    pools = drop(site, "gift_card_pools", "pools.csv", POOLS, at=EVENING + timedelta(seconds=3))
    held = "after gift_card_pools, until 18:30 UTC at most"
    assert look(site, seconds=6) == {"pools.csv": "settling", "cards.csv": held}
    assert look(site, minutes=1) == {"pools.csv": None, "cards.csv": held}
    # Pool files that keep arriving don't prolong it.
    drop(site, "gift_card_pools", "more.csv", POOLS, at=EVENING + timedelta(minutes=29))
    assert look(site, minutes=29.5)["cards.csv"] == held
    assert look(site, minutes=30)["cards.csv"] is None
    pools.unlink()
    (pools.parent / "more.csv").unlink()
    assert look(site, minutes=1) == {"cards.csv": None}


def test_gc05_cards_wait_for_pool_files_that_are_being_imported(site: Site):
    drop(site, "gift_cards", "cards.csv", CARDS)
    request = site.request("gift_card_pools", drop(site, "gift_card_pools", "pools.csv", POOLS))
    take_file(site.runtime, request)
    assert look(site, minutes=1) == {"cards.csv": "after gift_card_pools, until 18:30 UTC at most"}
    assert look(site, minutes=30) == {"cards.csv": None}
    assert import_file(site.runtime, request).state == "completed"
    assert look(site, minutes=1) == {"cards.csv": None}


def test_gc05_pool_files_held_for_their_release_count_until_released_and_thirty_minutes(site: Site):
    drop(site, "gift_card_pools", "_settings.yaml", "release: '0 2 * * *'")
    pools = drop(site, "gift_card_pools", "pools.csv", POOLS)
    drop(site, "gift_cards", "cards.csv", CARDS)
    held = "after gift_card_pools, until 02:30 UTC at most"
    assert look(site, minutes=60) == {"pools.csv": "released at 2026-03-02 02:00 UTC", "cards.csv": held}
    assert look(site, minutes=8 * 60) == {"pools.csv": None, "cards.csv": held}
    assert look(site, minutes=8 * 60 + 30) == {"pools.csv": None, "cards.csv": None}
    pools.unlink()
    assert look(site, minutes=60) == {"cards.csv": None}


def test_gc05_the_patience_of_nightly_cards_begins_with_their_release(site: Site):
    drop(site, "gift_cards", "_settings.yaml", "release: '0 2 * * *'")
    drop(site, "gift_cards", "cards.csv", CARDS)
    drop(site, "gift_card_pools", "pools.csv", POOLS, at=EVENING + timedelta(hours=7, minutes=59))
    assert look(site, minutes=8 * 60)["cards.csv"] == "after gift_card_pools, until 02:30 UTC at most"
    assert look(site, minutes=8 * 60 + 30)["cards.csv"] is None


def test_gc05_the_bound_is_a_setting_and_refused_pool_files_hold_nobody_up(site: Site):
    drop(site, "gift_card_pools", "pools.csv", POOLS)
    drop(site, "gift_cards", "_settings.yaml", "after: {gift_card_pools: 2}")
    drop(site, "gift_cards", "cards.csv", CARDS)
    drop(site, "gift_cards", "alone.csv.settings.yaml", "after: {}")
    drop(site, "gift_cards", "alone.csv", CARDS)
    assert look(site, minutes=1)["cards.csv"] == "after gift_card_pools, until 18:02 UTC at most"
    assert look(site, minutes=1)["alone.csv"] is None
    assert look(site, minutes=2)["cards.csv"] is None
    (site.folder / "landing" / "gift_card_pools" / "pools.csv").unlink()
    drop(site, "gift_card_pools", "pools.xlsx", POOLS)
    assert look(site, minutes=1)["cards.csv"] is None


def test_gc05_unknown_pools_are_rejects_once_nobody_waits_any_more(site: Site):
    result = site.run("gift_cards", drop(site, "gift_cards", "cards.csv", CARDS))
    assert [rule.rule for rule in result.rules] == ["pool_system_name.known"]


def test_x12_a_sidecar_that_announces_the_next_file_of_the_name_survives_a_repeated_take(site: Site):
    path = drop(site, "gift_cards", "a.csv", CARDS)
    request = site.request("gift_cards", path)
    job = take_file(site.runtime, request).job_id
    drop(site, "gift_cards", "a.csv.settings.yaml", "delimiter: ;")
    take_file(site.runtime, request)
    assert list(contents(site.folder / "landing")) == ["gift_cards/a.csv.settings.yaml"]
    assert inspect_file(site.runtime, job).chunks == 1


def test_the_listing_survives_files_that_vanish_and_names_of_every_kind(site: Site):
    folder = site.folder / "landing" / "gift_card_pools"
    folder.mkdir()
    for name in ("a b.csv", "a#b?.csv", "a%20b.csv", "-.csv", "a::b.csv", "'\"$.csv", "x\ny.csv", "é.csv", "a:b.csv"):
        drop(site, "gift_card_pools", name, POOLS)
    arrivals = list_landing(site.runtime, EVENING + timedelta(minutes=5)).ready
    assert len(arrivals) == 9
    for arrival in arrivals:
        assert site.run("gift_card_pools", arrival.url, force=True).state == "completed", arrival.file_name
    assert look(site, minutes=5) == {}


# -- arrival and order, by this machine's clock


def early_in_a_second() -> None:
    """Wait for the first half of a second: arrivals are compared by the second."""
    time.sleep(max(0.0, 0.02 - time.time() % 1, (1.02 - time.time() % 1) if time.time() % 1 > 0.5 else 0.0))


def put(site: Site, import_type: str, name: str, content: str, at: datetime) -> Path:
    """Drop a file now that brings its own time along, as `cp -p`, `unzip` and `rsync -t` do."""
    path = site.drop(import_type, name, content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def names_of(site: Site, *, minutes: float = 5) -> list[str]:
    listing = list_landing(site.runtime, datetime.now(UTC) + timedelta(minutes=minutes))
    return [arrival.file_name for arrival in listing.ready]


@pytest.mark.parametrize("age", [timedelta(days=7), timedelta(days=400), timedelta(days=-365), timedelta(hours=-1)])
def test_x14_a_release_counts_from_the_arrival_whatever_time_a_file_brings(site: Site, age: timedelta):
    """`pub-47`, and a sender whose clock is a year ahead."""
    drop(site, "gift_cards", "_settings.yaml", "release: '0 2 * * *'")
    path = put(site, "gift_cards", "cards_last_week.csv", CARDS, datetime.now(UTC) - age)
    arrived_at = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    tonight = arrived_at.replace(hour=2, minute=0, second=0, microsecond=0)
    tonight += timedelta(days=1) if tonight <= arrived_at else timedelta()
    for moment in (arrived_at + timedelta(seconds=30), tonight - timedelta(seconds=1)):
        (waiting,) = list_landing(site.runtime, moment).waiting
        assert waiting.reason in (f"released at {tonight:%Y-%m-%d %H:%M} UTC", "settling")
    (arrival,) = list_landing(site.runtime, tonight).ready
    assert arrival.arrived_at == arrived_at


def test_x14_an_old_file_that_comes_later_is_later(site: Site):
    people = "ExternalId\n1\n"
    put(site, "customers", "z first.csv", people, datetime.now(UTC) - timedelta(hours=1))
    time.sleep(1.1)
    put(site, "customers", "a second.csv", people, datetime.now(UTC) - timedelta(days=9))
    time.sleep(1.1)
    path = site.drop("customers", ".a third.csv", people)
    os.utime(path, (1, 1))
    path.rename(path.with_name("_third.csv"))
    assert names_of(site) == ["z first.csv", "a second.csv", "_third.csv"]


def test_x14_a_file_that_was_renamed_arrived_when_it_was(site: Site):
    people = "ExternalId\n1\n"
    staged = site.drop("customers", "a.csv.part", people)
    time.sleep(1.1)
    site.drop("customers", "b.csv", people)
    time.sleep(1.1)
    staged.rename(staged.with_name("a.csv"))
    assert names_of(site) == ["b.csv", "a.csv"]


@pytest.mark.parametrize("import_type", ["customers", "gift_cards"])
def test_x14_files_that_come_at_once_are_ordered_by_the_numbers_in_their_names(site: Site, import_type: str):
    early_in_a_second()
    moment = datetime.now(UTC) - timedelta(days=1)
    for name in ("c_10.csv", "C_11.csv", "c_9.csv", "c_100.csv", "c_1.csv"):
        put(site, import_type, name, "ExternalId\n1\n", moment)
    assert names_of(site) == ["c_1.csv", "c_9.csv", "c_10.csv", "C_11.csv", "c_100.csv"]


def test_x14_files_that_come_at_once_are_ordered_by_the_time_of_writing_that_they_bring(site: Site):
    """As from an archive; a time in the future is none."""
    early_in_a_second()
    now = datetime.now(UTC)
    for name, at in (("b.csv", timedelta(days=2)), ("a.csv", timedelta(days=1)), ("c.csv", timedelta(days=3))):
        put(site, "customers", name, "ExternalId\n1\n", now - at)
    for name in ("0_10.csv", "0_9.csv"):
        put(site, "customers", name, "ExternalId\n1\n", now + timedelta(days=30))
    assert names_of(site) == ["c.csv", "b.csv", "a.csv", "0_9.csv", "0_10.csv"]


def test_x14_two_dispatchers_and_later_listings_see_the_same_order(site: Site):
    """Nothing is remembered: what a disk keeps of an entry says when it came."""
    for name in ("b.csv", "a.csv"):
        put(site, "customers", name, "ExternalId\n1\n", datetime.now(UTC) - timedelta(days=3))
        time.sleep(1.1)
    expected = ["b.csv", "a.csv"]
    assert [names_of(site, minutes=minutes) for minutes in (1, 60, 60 * 24 * 30)] == [expected] * 3
    assert names_of(site.changed()) == expected


def test_x12_a_clock_that_is_a_year_ahead_holds_no_other_sender_s_file(site: Site):
    put(site, "customers", "a.csv", "ExternalId\n1\n", datetime.now(UTC) + timedelta(days=365))
    time.sleep(1.1)
    site.drop("customers", "b.csv", "ExternalId\n2\n")
    listing = list_landing(site.runtime, datetime.now(UTC) + timedelta(seconds=6))
    assert [arrival.file_name for arrival in listing.ready] == ["a.csv", "b.csv"]


def test_x14_a_file_that_settles_for_a_day_holds_no_other_for_more_than_a_minute(site: Site):
    site.drop("customers", "a.csv", "ExternalId\n1\n", {"settle_seconds": 86_400})
    time.sleep(1.1)
    site.drop("customers", "b.csv", "ExternalId\n2\n")
    waiting = list_landing(site.runtime, datetime.now(UTC) + timedelta(seconds=30)).waiting
    assert {entry.arrival.file_name: entry.reason for entry in waiting} == {
        "a.csv": "settling", "b.csv": "after a.csv, which arrived before it"
    }  # fmt: skip
    assert names_of(site, minutes=2) == ["b.csv"]


def test_x14_the_ledger_has_the_arrival(site: Site):
    path = put(site, "gift_cards", "a.csv", CARDS, datetime.now(UTC) - timedelta(days=9))
    arrived_at = datetime.fromtimestamp(path.stat().st_ctime, UTC)
    assert site.job(site.run("gift_cards", path))["arrived_at"] == arrived_at


@pytest.mark.parametrize("is_object", [False, True])
def test_x14_arrivals_are_compared_by_the_second_then_by_name(is_object: bool):
    """In a bucket as on a disk: stores say seconds alone."""
    came = {"c_10.csv": 0.1, "c_9.csv": 0.9, "b.csv": 1.2, "a.csv": 2.0, "c_8.csv": 0.5}
    arrivals = [
        Arrival(
            "customers", f"/{name}", ".", name, 1, "1", EVENING + timedelta(seconds=seconds), is_object
        )
        for name, seconds in came.items()
    ]  # fmt: skip
    ordered = [arrival.file_name for arrival in sorted(arrivals, key=lambda arrival: listing_order(arrival, None))]
    assert ordered == ["c_8.csv", "c_9.csv", "c_10.csv", "b.csv", "a.csv"]


@pytest.mark.parametrize(
    ("modified", "changed", "arrived"),
    [(-60, -1, -1), (-1, -1, -1), (3600, -5, -5), (-60, 30, -60), (3600, 30, 0), (-(10**8), -10, -10)],
)
def test_x14_the_arrival_is_the_last_change_that_is_not_in_the_future(modified: int, changed: int, arrived: int):
    def at(seconds: int) -> datetime:
        return EVENING + timedelta(seconds=seconds)

    assert FileStat(1, "1", at(modified), False, at(changed)).arrived_at(EVENING) == at(arrived)
