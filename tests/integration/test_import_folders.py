"""Folders below a type's own, and the order of pools and codes. Source: PC-02, GC-05, X-01, X-11, X-12."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from include.arrivals.landing import take_file
from include.arrivals.listing import list_landing
from include.arrivals.refusals import refuse_arrival
from include.errors import FileRefused
from include.importer import import_file
from include.review.preview import preview_file
from tests.imports import Site, contents, counts

pytestmark = pytest.mark.integration

EVENING = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
POOLS = "system_id,name\nspring,Spring\nautumn,Autumn\n"
CODES = "Code\nA1\n"


def drop(site: Site, folder: str, name: str, content: str, at: datetime = EVENING) -> Path:
    path = site.drop(folder, name, content)
    os.utime(path, (at.timestamp(), at.timestamp()))
    return path


def ready(site: Site, *, minutes: float = 2) -> dict[str, str | None]:
    """Return folder/name of what can start → its import type."""
    listing = list_landing(site.runtime, EVENING + timedelta(minutes=minutes))
    return {f"{arrival.folder}/{arrival.file_name}": arrival.import_type for arrival in listing.ready}


def waiting(site: Site, *, minutes: float = 2) -> dict[str, str]:
    listing = list_landing(site.runtime, EVENING + timedelta(minutes=minutes))
    return {f"{entry.arrival.folder}/{entry.arrival.file_name}": entry.reason for entry in listing.waiting}


def test_pc02_a_folder_below_promo_codes_is_a_pool_s_and_no_other_is_known(site: Site):
    for folder in ("promo_codes", "promo_codes/spring", "promo_codes/spring/deep", "gift_cards/spring",
                   "promo_code_pools/x", "spring/promo_codes"):  # fmt: skip
        drop(site, folder, "a.csv", CODES)
    drop(site, "promo_codes/.spring", "hidden.csv", CODES)
    assert ready(site) == {
        "promo_codes/a.csv": "promo_codes", "promo_codes/spring/a.csv": "promo_codes",
        "promo_codes/spring/deep/a.csv": None, "gift_cards/spring/a.csv": None, "promo_code_pools/x/a.csv": None,
        "spring/promo_codes/a.csv": None,
    }  # fmt: skip


def test_x01_a_file_too_deep_is_refused_with_its_place(site: Site):
    drop(site, "promo_codes/spring/deep", "a.csv", CODES)
    (arrival,) = list_landing(site.runtime, EVENING + timedelta(minutes=2)).ready
    job = site.job(refuse_arrival(site.runtime, arrival, run_key="x"))
    assert (job["state"], job["refusal_rule"]) == ("refused", "file.unknown_type")
    assert 'was in "promo_codes/spring/deep", which is not the folder of any import type' in job["refusal_message"]


def test_x11_settings_of_both_folders_hold_for_a_pool_s_file(site: Site):
    site.load("promo_code_pools", POOLS)
    drop(site, "promo_codes", "_settings.yaml", "slash_dates: day_first\ndelimiter: '|'")
    drop(site, "promo_codes/spring", "_settings.yaml", "delimiter: ;")
    path = drop(site, "promo_codes/spring", "a.csv", "Code;issue_end\nA1;01/02/2024\n")
    result = site.run("promo_codes", path)
    assert counts(result) == {"read": 1, "inserted": 1}
    assert site.query("SELECT pool_system_id, issue_end FROM loyalty.promo_code") == [
        ("spring", datetime(2024, 2, 2, tzinfo=UTC))
    ]
    # The place is remembered with the job: its file has left it.
    settings = site.job(result)["settings"]
    assert (settings["pool"], settings["delimiter"], settings["slash_dates"]) == ("spring", ";", "day_first")
    assert list(contents(site.folder / "landing" / "promo_codes")) == ["_settings.yaml", "spring/_settings.yaml"]


def test_x12_release_and_settling_of_the_type_s_folder_hold_below_it(site: Site):
    drop(site, "promo_codes", "_settings.yaml", "release: '0 2 * * *'")
    drop(site, "promo_codes/spring", "a.csv", CODES)
    assert waiting(site) == {"promo_codes/spring/a.csv": "released at 2026-03-02 02:00 UTC"}
    drop(site, "promo_codes/spring", "_settings.yaml", "settle_seconds: 600\nrelease: '* * * * *'")
    assert waiting(site) == {"promo_codes/spring/a.csv": "settling"}


def test_pc02_a_file_whose_settings_disagree_with_its_folder_starts_so_that_its_job_can_say_so(site: Site):
    drop(site, "promo_codes/spring", "a.csv.settings.yaml", "pool: autumn")
    path = drop(site, "promo_codes/spring", "a.csv", CODES)
    assert ready(site) == {"promo_codes/spring/a.csv": "promo_codes"}
    assert (site.run("promo_codes", path).reason or {})["rule"] == "file.pool_disagrees"


def test_a_killed_take_goes_on_with_the_pool_of_the_folder(site: Site):
    site.load("promo_code_pools", POOLS)
    path = drop(site, "promo_codes/spring", "a.csv", CODES)
    request = site.request("promo_codes", path)
    take_file(site.runtime, request)
    assert not path.exists()
    assert counts(import_file(site.runtime, request)) == {"read": 1, "inserted": 1}
    assert site.query("SELECT pool_system_id FROM loyalty.promo_code") == [("spring",)]


def test_gc05_codes_wait_for_pool_files_that_wait_or_run_thirty_minutes_at_most(site: Site):
    drop(site, "promo_codes/spring", "codes.csv", CODES)
    drop(site, "promo_codes", "others.csv", "Code,pool\nB1,spring\n")
    pools = drop(site, "promo_code_pools", "pools.csv", POOLS, at=EVENING + timedelta(seconds=3))
    held = "after promo_code_pools, until 18:30 UTC at most"
    assert waiting(site, minutes=1) == {"promo_codes/spring/codes.csv": held, "promo_codes/others.csv": held}
    assert ready(site, minutes=1) == {"promo_code_pools/pools.csv": "promo_code_pools"}
    assert waiting(site, minutes=30) == {}
    request = site.request("promo_code_pools", pools)
    take_file(site.runtime, request)
    assert set(waiting(site, minutes=1).values()) == {held}
    assert import_file(site.runtime, request).state == "completed"
    assert waiting(site, minutes=1) == {}


def test_x14_pool_files_start_in_the_order_of_arrival(site: Site):
    drop(site, "promo_code_pools", "first.csv", f"{POOLS}cut off")
    drop(site, "promo_code_pools", "second.csv", POOLS, EVENING + timedelta(seconds=1))
    assert waiting(site, minutes=0.5)["promo_code_pools/second.csv"] == "after first.csv, which arrived before it"


def test_x06_a_preview_has_the_pool_of_the_folder_and_masks_codes(site: Site):
    site.load("promo_code_pools", POOLS)
    path = drop(site, "promo_codes/spring", "a.csv", "Code,pool\nSECRET-0001,autumn\nSECRET-0002,\n")
    shown = preview_file(site.runtime, "promo_codes", UPath(str(path)))
    assert [bool(row.reasons) for row in shown.rows] == [True, False]
    assert "SECRET" not in shown.as_text()
    nowhere = drop(site, "promo_codes/winter", "a.csv", CODES)
    with pytest.raises(FileRefused, match=r"file\.unknown_pool"):
        preview_file(site.runtime, "promo_codes", UPath(str(nowhere)))
