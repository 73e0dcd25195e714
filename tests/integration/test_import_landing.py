"""What starts now, and what waits: settling, releases, files that go first. Source: X-01, X-12, GC-05."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include import import_types
from include.importing import landing
from include.importing.importer import import_file
from include.importing.inspection import inspect_file
from include.importing.landing import take_file
from tests.imports import CARD_HEADER, POOL_HEADER, Site, contents

pytestmark = pytest.mark.integration

EVENING = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
CARDS = f"{CARD_HEADER}\n1,flexible_gift,10\n"
POOLS = f"{POOL_HEADER}\n"


def drop(site: Site, import_type: str, name: str, content: bytes | str, at: datetime = EVENING) -> Path:
    path = site.drop(import_type, name, content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def look(site: Site, *, seconds: float = 0, minutes: float = 0, after: datetime = EVENING) -> dict[str, str | None]:
    """Return each file of the landing area with why it waits, None for those that can start."""
    listing = landing.list_landing(site.runtime, after + timedelta(seconds=seconds, minutes=minutes))
    ready: dict[str, str | None] = {arrival.file_name: None for arrival in listing.ready}
    waiting: dict[str, str | None] = {each.arrival.file_name: each.reason for each in listing.waiting}
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
    monkeypatch.setitem(import_types.IMPORT_TYPES, "gift_card_pools", edits)
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


def test_x12_a_clock_that_is_ahead_does_not_hold_a_file_for_ever(site: Site):
    drop(site, "gift_card_pools", "a.csv", POOLS, at=datetime.now(UTC) + timedelta(days=3))
    assert look(site, after=datetime.now(UTC)) == {"a.csv": "settling"}
    assert look(site, after=datetime.now(UTC), seconds=6) == {"a.csv": None}


def test_x01_a_file_that_its_name_refuses_waits_for_nothing_but_its_last_byte(site: Site):
    drop(site, "gift_card_pools", "p.csv", POOLS)
    drop(site, "gift_cards", "_settings.yaml", "release: '0 2 * * *'\nsettle_seconds: 3600")
    drop(site, "gift_cards", "a.xlsx", b"PK\x03\x04")
    drop(site, "cards", "b.csv", "no line end")
    assert look(site, seconds=4) == {"a.xlsx": "settling", "b.csv": "settling", "p.csv": "settling"}
    assert look(site, seconds=5) == {"a.xlsx": None, "b.csv": None, "p.csv": None}


def test_a_file_with_wrong_settings_starts_so_that_its_job_can_say_so(site: Site):
    drop(site, "gift_cards", "a.csv.settings.yaml", "release: at night")
    drop(site, "gift_cards", "a.csv", CARDS)
    assert look(site, seconds=5) == {"a.csv": None}
    (arrival,) = landing.list_landing(site.runtime, EVENING + timedelta(hours=1)).ready
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
    assert [rule["rule"] for rule in result.rules] == ["pool_system_name.known"]


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
    found = landing.list_landing(site.runtime, EVENING + timedelta(minutes=5)).ready
    assert len(found) == 9
    for arrival in found:
        assert site.run("gift_card_pools", arrival.url, force=True).state == "completed", arrival.file_name
    assert look(site, minutes=5) == {}
