"""Settings whose names are written otherwise, twice or wrongly: no file loads without them. Source: X-11, X-12."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import s3fs

from include.arrivals import copying, settings_files
from include.arrivals.landing import Request, take_file
from include.arrivals.listing import Listing, list_landing
from include.arrivals.refusals import record_unusable
from include.errors import FileRefused, FileUnsettled
from include.importer import import_file
from include.storage.locations import Location, locate
from tests.imports import CARD_HEADER, Site, contents
from tests.object_storage import s3_server

pytestmark = pytest.mark.integration

CARD = f"{CARD_HEADER}\n77,flexible_gift,10\n"
POOLS = "system_id,name\ncaf\u00e9,Caf\u00e9\nspring,Spring\n"


def look(site: Site, **after: float) -> Listing:
    return list_landing(site.runtime, datetime.now(UTC) + timedelta(**(after or {"minutes": 5})))


def waiting(listing: Listing) -> dict[str, str]:
    return {entry.arrival.file_name: entry.reason for entry in listing.waiting}


def reported(listing: Listing) -> dict[str, str]:
    return {entry.file_name: entry.rule for entry in listing.unusable}


def rehearse_all(site: Site) -> dict[str, bool]:
    """Import what is ready, as its runs would; return file → whether it was a dry run."""
    done = {}
    for arrival in look(site).ready:
        asked = Request(str(arrival.import_type), arrival.url, f"run of {arrival.url}", listed_version=arrival.version)
        done[arrival.file_name] = site.job(import_file(site.runtime, asked))["is_dry_run"]
    return done


@pytest.mark.parametrize(
    "sidecar", ["a.csv.settings.yml", "a.csv.Settings.YAML", "A.CSV.settings.yaml", "a.CSV.SETTINGS.YML",
                "_settings.yml", "_SETTINGS.YAML", "_Settings.Yml"],
)  # fmt: skip
def test_x11_settings_hold_in_any_letter_case_and_with_either_ending(stocked: Site, sidecar: str):
    """`pub-45` and its kind."""
    stocked.drop("gift_cards", sidecar, "dry_run: true\n")
    stocked.drop("gift_cards", "a.csv", CARD)
    assert rehearse_all(stocked) == {"a.csv": True}
    assert stocked.card_numbers() == []
    left = [name for name in contents(stocked.folder / "landing") if name.startswith("gift_cards/")]
    assert left == ([f"gift_cards/{sidecar}"] if sidecar.startswith("_") else [])


@pytest.mark.parametrize("of_file", ["NFC", "NFD"])
@pytest.mark.parametrize("of_sidecar", ["NFC", "NFD"])
def test_x11_settings_hold_in_any_unicode_form(stocked: Site, of_file: str, of_sidecar: str):
    name = "M\u00e4rz \u00c9.csv"
    stocked.drop("gift_cards", f"{unicodedata.normalize(of_sidecar, name)}.settings.yaml", "dry_run: true\n")
    stocked.drop("gift_cards", unicodedata.normalize(of_file, name), CARD)
    assert list(rehearse_all(stocked).values()) == [True]
    assert [name for name in contents(stocked.folder / "landing") if name.startswith("gift_cards/")] == []


@pytest.mark.parametrize(
    "names", [("a.csv.settings.yaml", "a.csv.settings.yml"), ("a.csv.settings.yaml", "A.csv.settings.yaml"),
              ("_settings.yaml", "_settings.yml"), ("_settings.yaml", "_Settings.yaml")],
)  # fmt: skip
def test_x11_two_settings_files_refuse_the_file_and_stay(stocked: Site, names: tuple[str, str]):
    for name in names:
        stocked.drop("gift_cards", name, "retention_days: 3\n")
    path = stocked.drop("gift_cards", "a.csv", CARD)
    assert [arrival.file_name for arrival in look(stocked).ready] == ["a.csv"]
    refused = stocked.run("gift_cards", path)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert all(name in (refused.reason or {})["message"] for name in names)
    left = {name for name in contents(stocked.folder / "landing") if name.startswith("gift_cards/")}
    assert left == {f"gift_cards/{name}" for name in names}


def test_x11_files_that_differ_in_letter_case_have_each_their_own(stocked: Site):
    for number, name in enumerate(("Cards.csv", "cards.csv", "CARDS.CSV")):
        stocked.drop("gift_cards", name, CARD.replace("77", str(number)), {"dry_run": name == "cards.csv"})
    assert rehearse_all(stocked) == {"Cards.csv": False, "cards.csv": True, "CARDS.CSV": False}
    assert stocked.card_numbers() == ["0", "2"]


@pytest.mark.parametrize(
    "name", ["a.csv.settings", "a.csv.setting.yaml", "a.csv.yaml", "a.yaml", "a.settings.yaml", "a.csv .settings.yaml",
             "a.csv.settings.json", "a.csv.settings.yaml.txt", "a.csv.settings.yaml.bak", "a.csv.settings.ymal",
             "A.CSV.SETT\u0130NGS.YAML", "settings.yaml", "_setting.yaml", "_settings", ".settings.yaml",
             "_settings.json", "_settings.yaml.txt"],
)  # fmt: skip
def test_x11_a_name_that_resembles_settings_is_reported_once_and_holds_the_file(stocked: Site, name: str):
    like = stocked.drop("gift_cards", name, "dry_run: true\n")
    path = stocked.drop("gift_cards", "a.csv", CARD)
    listing = look(stocked)
    assert listing.ready == []
    assert list(waiting(listing)) == ["a.csv"]
    assert waiting(listing)["a.csv"].startswith(f"{name} may be meant to be ")
    assert reported(listing) == {name: "file.settings_name"}
    assert record_unusable(stocked.runtime, listing.unusable) == listing.unusable
    assert record_unusable(stocked.runtime, look(stocked, hours=30).unusable) == []
    with pytest.raises(FileUnsettled, match="may be meant to be"):
        take_file(stocked.runtime, stocked.request("gift_cards", path))
    assert (path.exists(), like.exists(), stocked.card_numbers()) == (True, True, [])
    like.rename(like.with_name("a.csv.settings.yaml"))
    assert rehearse_all(stocked) == {"a.csv": True}


def test_x11_other_files_of_the_folder_are_not_held(stocked: Site):
    stocked.drop("gift_cards", "a.csv.setting.yaml", "dry_run: true\n")
    for name in ("a.csv", "aa.csv", "settings.csv", "b.txt"):
        stocked.drop("gift_cards", name, CARD)
    listing = look(stocked)
    assert list(waiting(listing)) == ["a.csv"]
    assert {arrival.file_name for arrival in listing.ready} == {"aa.csv", "settings.csv", "b.txt"}


def test_x11_a_name_like_the_type_folder_s_settings_holds_the_files_of_pools_too(site: Site):
    site.load("promo_code_pools", POOLS)
    like = site.drop("promo_codes", "settings.yaml", "dry_run: true\n")
    path = site.drop("promo_codes/spring", "a.csv", "Code\nA1\n")
    site.drop("customers", "b.csv", "ExternalId\n1\n")
    listing = look(site)
    assert waiting(listing) == {"a.csv": "settings.yaml may be meant to be _settings.yaml: rename or remove it"}
    assert [arrival.file_name for arrival in listing.ready] == ["b.csv"]
    with pytest.raises(FileUnsettled):
        take_file(site.runtime, site.request("promo_codes", path))
    like.unlink()
    assert site.run("promo_codes", path).state == "completed"


def test_x11_a_file_is_held_by_settings_that_come_while_its_run_waits(stocked: Site):
    stocked.drop("gift_cards", "a.csv", CARD)
    (arrival,) = look(stocked).ready
    like = stocked.drop("gift_cards", "a.csv.setting.yaml", "dry_run: true\n")
    with pytest.raises(FileUnsettled):
        take_file(stocked.runtime, Request("gift_cards", arrival.url, "a run", listed_version=arrival.version))
    like.unlink()
    assert rehearse_all(stocked) == {"a.csv": False}


@pytest.mark.parametrize(
    "name", ["a.csv.settings.yaml.part", "a.csv.settings.yml.1a2b3c4d.partial", "_settings.yaml.tmp"]
)
def test_x11_settings_that_are_still_being_written_are_waited_for_and_reported_after_an_hour(stocked: Site, name: str):
    half = stocked.drop("gift_cards", name, "dry_")
    stocked.drop("gift_cards", "a.csv", CARD)
    assert list(waiting(look(stocked, minutes=59))) == ["a.csv"]
    assert "is still being written" in waiting(look(stocked, minutes=59))["a.csv"]
    assert reported(look(stocked, minutes=59)) == {}
    assert reported(look(stocked, minutes=61)) == {name: "file.settings_name"}
    half.write_text("dry_run: true\n")
    half.rename(half.with_name("_settings.yaml" if name.startswith("_") else "a.csv.settings.yaml"))
    assert rehearse_all(stocked) == {"a.csv": True}


def test_x11_new_settings_on_their_way_leave_those_that_hold(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "dry_run: true\n")
    stocked.drop("gift_cards", "_settings.yaml.part", "dry_")
    stocked.drop("gift_cards", "a.csv", CARD)
    assert rehearse_all(stocked) == {"a.csv": True}


def test_x11_a_copy_of_settings_is_reported_and_holds_nothing(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "dry_run: true\n")
    stocked.drop("gift_cards", "_settings.yaml.bak", "dry_run: false\n")
    stocked.drop("gift_cards", "a.csv", CARD)
    (entry,) = look(stocked).unusable
    assert (entry.file_name, "no file waits for it" in entry.reason) == ("_settings.yaml.bak", True)
    assert rehearse_all(stocked) == {"a.csv": True}


def test_x11_settings_without_their_file_are_reported_after_an_hour(stocked: Site):
    stocked.drop("gift_cards", "cards.csv.settings.yaml", "dry_run: true\n")
    stocked.drop("gift_cards", "cards.txt", CARD)
    stocked.drop("gift_cards", "other.csv", CARD.replace("77", "78"))
    young = look(stocked, minutes=59)
    assert ({arrival.file_name for arrival in young.ready}, young.unusable) == ({"cards.txt", "other.csv"}, [])
    old = look(stocked, minutes=61)
    assert reported(old) == {"cards.csv.settings.yaml": "file.settings_name"}
    assert list(waiting(old)) == ["cards.txt"]
    assert [arrival.file_name for arrival in old.ready] == ["other.csv"]
    stocked.drop("gift_cards", "cards.csv", CARD)
    settled = look(stocked, minutes=61)
    assert (settled.unusable, settled.waiting) == ([], [])


def test_x11_settings_that_only_differ_by_blanks_and_dashes_hold_at_once(stocked: Site):
    stocked.drop("gift_cards", "cards-march.csv.settings.yaml", "dry_run: true\n")
    stocked.drop("gift_cards", "cards_march.csv", CARD)
    assert list(waiting(look(stocked))) == ["cards_march.csv"]
    (entry,) = look(stocked, minutes=61).unusable
    assert entry.reason.endswith("; until then this file waits: cards_march.csv")


def test_x11_settings_that_may_be_those_of_two_files_are_reported_with_both(stocked: Site):
    for name in ("a.csv", "A.csv"):
        stocked.drop("gift_cards", name, CARD)
    stocked.drop("gift_cards", "A.CSV.settings.yaml", "dry_run: true\n")
    (entry,) = look(stocked).unusable
    assert (entry.file_name, entry.rule) == ("A.CSV.settings.yaml", "file.settings_name")
    assert entry.reason.endswith("; until then these files wait: A.csv, a.csv")


def test_x11_a_report_names_some_of_very_many_files_that_wait(site: Site):
    site.drop("promo_codes", "_settings-DESKTOP-AB12.yaml", "dry_run: true\n")
    for number in range(6):
        site.drop("promo_codes/spring" if number % 2 else "promo_codes", f"{number}.csv", "Code\nA1\n")
    (entry,) = look(site).unusable
    assert entry.reason.endswith("; until then these files wait: 0.csv, 1.csv, 2.csv and 3 more")


@pytest.mark.parametrize(
    "like", ["old.csv.settings.yaml.bak", "old.csv.settings (1).yaml", "cards_may.csv.setting.yaml"]
)
def test_x11_a_report_says_that_files_wait_only_if_some_do(stocked: Site, like: str):
    """Once more when a file comes that waits: nobody has read of it yet."""
    stocked.drop("gift_cards", like, "dry_run: true\n")
    stocked.drop("gift_cards", "cards.csv", CARD)
    listing = look(stocked)
    assert [arrival.file_name for arrival in listing.ready] == ["cards.csv"]
    assert "wait" not in listing.unusable[0].reason
    assert record_unusable(stocked.runtime, listing.unusable) == listing.unusable
    name = like.partition(".settings")[0].partition(".setting")[0]
    late = stocked.drop("gift_cards", name, CARD)
    (entry,) = look(stocked).unusable
    assert entry.reason.endswith(f"; until then this file waits: {name}")
    assert record_unusable(stocked.runtime, [entry]) == [entry]
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []
    late.unlink()
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []


def test_x12_a_name_that_the_folder_ignores_holds_nothing(site: Site):
    site.load("promo_code_pools", POOLS)
    site.drop("promo_codes", "_settings.yaml", "ignore: ['settings.ini', 'x.*']\ndry_run: true\n")
    site.drop("promo_codes/spring", "_settings.yaml", "ignore: ['a.csv.yaml']\n")
    for name in ("promo_codes/settings.ini", "promo_codes/x.csv.settings.yaml", "promo_codes/spring/a.csv.yaml"):
        site.drop(*name.rsplit("/", 1), "review: true\n")
    site.drop("promo_codes/spring", "a.csv", "Code\nA1\n")
    assert (look(site, hours=2).unusable, waiting(look(site))) == ([], {})
    assert set(reported(look(site, hours=25)).values()) == {"file.ignored"}
    assert rehearse_all(site) == {"a.csv": True}


@pytest.mark.parametrize("folder", [".", "nobody", "gift_cards/deep"])
def test_x11_a_folder_s_settings_where_no_type_has_a_folder_are_reported(stocked: Site, folder: str):
    stocked.drop(folder, "_settings.yaml", "dry_run: true\n")
    assert reported(look(stocked)) == {"_settings.yaml": "file.settings_name"}


@pytest.mark.parametrize("name", ["cards.csv.part", ".cards.csv", "_SUCCESS", "cards.md5", "~$cards.csv", "a.csv~"])
def test_x12_ignored_files_older_than_a_day_are_listed_once_and_stay(stocked: Site, name: str):
    path = stocked.drop("gift_cards", name, "x")
    assert look(stocked, hours=23).unusable == []
    (entry,) = look(stocked, hours=25).unusable
    assert (entry.file_name, entry.rule, "is ignored" in entry.reason) == (name, "file.ignored", True)
    assert record_unusable(stocked.runtime, [entry]) == [entry]
    assert record_unusable(stocked.runtime, look(stocked, hours=50).unusable) == []
    listed = stocked.query(
        "SELECT state, refusal_rule, file_name FROM ledger.import_job WHERE launched_by = 'pick_up_files'"
    )
    assert listed == [("cancelled", "file.ignored", name)]
    assert path.read_text() == "x"


def test_x12_an_ignored_file_that_brings_an_old_time_along_is_as_old_as_that(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv.part", "x")
    os.utime(path, (10**9, 10**9))
    assert reported(look(stocked)) == {"cards.csv.part": "file.ignored"}


def test_x11_what_is_beside_a_file_from_elsewhere_holds_too(stocked: Site, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text(CARD)
    (elsewhere / "settings.yaml").write_text("somebody's own\n")
    sidecar = elsewhere / "a.csv.Settings.yml"
    sidecar.write_text("dry_run: true\n")
    done = stocked.run("gift_cards", str(elsewhere / "a.csv"))
    assert stocked.job(done)["is_dry_run"]
    sidecar.rename(elsewhere / "a.csv.setting.yaml")
    with pytest.raises(FileRefused, match=r"file\.settings: Beside a.csv, a.csv.setting.yaml may be meant"):
        stocked.run("gift_cards", str(elsewhere / "a.csv"))
    assert stocked.card_numbers() == []


def test_x21_a_lock_in_the_type_s_folder_holds_whatever_the_case_of_its_name(stocked: Site, tmp_path: Path):
    stocked.drop("gift_cards", "_Settings.YML", "dry_run: true\nlocked: [dry_run]\n")
    (tmp_path / "a.csv").write_text(CARD)
    refused = stocked.run("gift_cards", str(tmp_path / "a.csv"), dry_run=False)
    assert "is locked" in (refused.reason or {})["message"]
    assert stocked.job(stocked.run("gift_cards", str(tmp_path / "a.csv")))["is_dry_run"]


@pytest.mark.parametrize("of_folder", ["NFC", "NFD"])
@pytest.mark.parametrize("of_setting", ["NFC", "NFD"])
def test_x16_a_pool_s_folder_and_setting_are_the_pool_in_any_unicode_form(site: Site, of_folder: str, of_setting: str):
    site.load("promo_code_pools", POOLS)
    folder = f"promo_codes/{unicodedata.normalize(of_folder, 'café')}"
    settings = {"pool": unicodedata.normalize(of_setting, "caf\u00e9")}
    done = site.run("promo_codes", site.drop(folder, "a.csv", "Code\nA1\n", settings))
    assert done.state == "completed"
    assert site.query("SELECT pool_system_id FROM loyalty.promo_code") == [("caf\u00e9",)]
    path = site.drop("promo_codes", "b.csv", "Code\nB1\n", settings)
    assert site.run("promo_codes", path).state == "completed"


@pytest.mark.parametrize("folder", ["spring", "caf\u00e9", "cafe\u0301"])
@pytest.mark.parametrize("place", ["type folder", "elsewhere"])
def test_x21_what_a_pool_s_folder_locks_holds_for_files_that_name_the_pool(
    site: Site, tmp_path: Path, folder: str, place: str
):
    site.load("promo_code_pools", POOLS)
    site.drop(f"promo_codes/{folder}", "_settings.yaml", "dry_run: true\ndelimiter: ';'\nlocked: [dry_run, pool]\n")
    pool = unicodedata.normalize("NFC", folder)
    text = "Code,issue_end\nA1,2030-01-01\n"
    if place == "elsewhere":
        path = tmp_path / "a.csv"
        path.write_text(text)
    else:
        path = site.drop("promo_codes", "a.csv", text)
    assert site.job(site.run("promo_codes", path, pool=pool))["is_dry_run"], "and no other setting of it"
    path = tmp_path / "b.csv"
    path.write_text(text)
    refused = site.run("promo_codes", path, pool=pool, dry_run=False)
    assert (
        f"dry_run: is locked by _settings.yaml of the folder {pool} and stays true" in (refused.reason or {})["message"]
    )
    assert site.run("promo_codes", path, pool="spring" if pool != "spring" else "caf\u00e9").state == "completed"


def test_x21_a_pool_that_names_no_folder_is_none(site: Site):
    for pool in ("..", "a/b", ".hidden", "x" * 300):
        path = site.drop("promo_codes", "a.csv", "Code\nA1\n")
        assert (site.run("promo_codes", path, pool=pool).reason or {})["rule"] == "file.unknown_pool"


@pytest.fixture
def bucket(stocked: Site):
    """A site whose areas are in a bucket, and the bucket's file system."""
    with s3_server() as options:
        store = s3fs.S3FileSystem(**options)
        store.mkdir("names")
        areas = {name: locate(f"s3://names/{name}", options) for name in ("landing", "work", "archive", "reports")}
        yield replace(stocked, runtime=replace(stocked.runtime, **areas)), store


def put(store: s3fs.S3FileSystem, names: Mapping[str, str]) -> None:
    for name, text in names.items():
        store.pipe_file(f"names/landing/{name}", text.encode())


@pytest.mark.parametrize("folder", ["gift_cards", "gift_cards/"])
@pytest.mark.parametrize("sidecar", ["a.csv.settings.yml", "A.csv.Settings.YAML"])
def test_x11_settings_in_a_bucket_hold_in_any_letter_case(bucket, folder: str, sidecar: str):
    site, store = bucket
    put(store, {f"{folder}/a.csv": CARD, f"{folder}/{sidecar}": "dry_run: true\n"})
    assert rehearse_all(site) == {"a.csv": True}
    assert store.find("names/landing") == []


def test_x11_a_name_that_resembles_settings_in_a_bucket_holds_the_file(bucket):
    site, store = bucket
    put(store, {"gift_cards/a.csv": CARD, "gift_cards/a.csv.yaml": "dry_run: true\n", "gift_cards/b.csv.part": "x"})
    listing = look(site)
    assert (listing.ready, list(waiting(listing)), reported(listing)) == (
        [], ["a.csv"], {"a.csv.yaml": "file.settings_name"}
    )  # fmt: skip
    with pytest.raises(FileUnsettled):
        take_file(site.runtime, Request("gift_cards", "s3://names/landing/gift_cards/a.csv", "a run"))


def test_x12_an_object_that_is_replaced_after_it_was_copied_stays_and_comes_again(
    bucket, monkeypatch: pytest.MonkeyPatch
):
    site, store = bucket
    put(store, {"gift_cards/a.csv": CARD})
    (arrival,) = look(site).ready
    real = copying._is_there

    def replaced(*args: object) -> bool:
        is_there = real(*args)
        put(store, {"gift_cards/a.csv": CARD.replace("77", "78")})
        return is_there

    monkeypatch.setattr(copying, "_is_there", replaced)
    asked = Request("gift_cards", arrival.url, "a run", listed_version=arrival.version)
    assert import_file(site.runtime, asked).state == "completed"
    assert site.card_numbers() == ["77"]
    monkeypatch.undo()
    assert rehearse_all(site) == {"a.csv": False}
    assert site.card_numbers() == ["77", "78"]
    assert store.find("names/landing") == []


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link_to_a_folder(path: Path) -> None:
    (path.parent / "sub").mkdir(exist_ok=True)
    path.symlink_to("sub")


def make_link_by_a_link_to_a_folder(path: Path) -> None:
    (path.parent / "sub").mkdir(exist_ok=True)
    (path.parent / ".way").symlink_to("sub")
    path.symlink_to(".way")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


NO_FILE = [make_folder, make_link_to_a_folder, make_link_by_a_link_to_a_folder, make_dangling_link, os.mkfifo]
NAMES = ["_settings.yaml", "_Settings.YML", "a.csv.settings.yaml", "A.csv.Settings.yml"]


@pytest.mark.parametrize("make", NO_FILE)
@pytest.mark.parametrize("name", NAMES)
def test_x11_settings_that_are_no_file_hold_the_files_they_are_for(
    stocked: Site, name: str, make: Callable[[Path], None]
):
    path = stocked.drop("gift_cards", "a.csv", CARD)
    make(path.with_name(name))
    listing = look(stocked)
    assert listing.ready == []
    assert name in waiting(listing)["a.csv"]
    (entry,) = [entry for entry in listing.unusable if entry.file_name == name]
    assert entry.reason.endswith("; until then this file waits: a.csv")
    assert record_unusable(stocked.runtime, [entry]) == [entry]
    assert record_unusable(stocked.runtime, look(stocked).unusable) == []
    # A run that names the file does not load it either.
    refused = stocked.run("gift_cards", path)
    assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert name in (refused.reason or {})["message"]
    assert stocked.card_numbers() == []


@pytest.mark.parametrize("make", NO_FILE)
def test_x11_settings_of_the_folder_above_that_are_no_file_hold_the_pools_files(
    site: Site, make: Callable[[Path], None]
):
    path = site.drop("promo_codes/SUMMER", "codes.csv", "Code\nX1\n")
    make(path.parent.with_name("_settings.yaml"))
    listing = look(site)
    assert listing.ready == []
    assert "_settings.yaml" in waiting(listing)["codes.csv"]


@pytest.mark.parametrize("make", NO_FILE)
@pytest.mark.parametrize("name", NAMES)
def test_x11_settings_of_another_file_that_are_no_file_hold_no_other(
    stocked: Site, name: str, make: Callable[[Path], None]
):
    stocked.drop("gift_cards", "a.csv", CARD)
    stocked.drop("customers", "people.csv", "x\n")
    other = stocked.drop("gift_cards", "b.csv", CARD)
    make(other.with_name(name))
    ready = {arrival.file_name for arrival in look(stocked).ready}
    assert ready == ({"people.csv"} if name.startswith("_") else {"people.csv", "b.csv"})


@pytest.mark.parametrize("make", NO_FILE)
@pytest.mark.parametrize("is_listed", [True, False])
def test_x11_settings_that_are_no_file_refuse_a_file_from_elsewhere(
    stocked: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], is_listed: bool
):
    path = tmp_path / "elsewhere" / "a.csv"
    path.parent.mkdir()
    path.write_text(CARD)
    make(path.with_name("a.csv.settings.yaml"))
    if not is_listed:

        def unlisted(folder: Location) -> list[str]:
            raise PermissionError(13, "Permission denied", folder.path)

        monkeypatch.setattr(settings_files, "names_in", unlisted)
    with contextlib.suppress(PermissionError):  # of the landing folder, which can't be listed either
        refused = stocked.run("gift_cards", path)
        assert (refused.state, (refused.reason or {})["rule"]) == ("refused", "file.settings")
    assert stocked.card_numbers() == []


def test_x11_a_folder_named_as_the_settings_of_a_file_to_come_is_reported_after_an_hour(stocked: Site):
    path = stocked.drop("gift_cards", "a.csv", CARD)
    path.with_name("later.csv.settings.yaml").mkdir()
    assert [arrival.file_name for arrival in look(stocked).ready] == ["a.csv"]
    assert reported(look(stocked, hours=2))["later.csv.settings.yaml"] == "file.settings_name"
