"""What names say: still being written, settings, only like settings, in which order. Source: X-11, X-12, X-14."""

from __future__ import annotations

import itertools
import random
import unicodedata
from pathlib import PurePosixPath

import pytest

from include.declaration.settings import IGNORED_NAMES
from include.storage.file_names import (
    SettingsNames,
    _key,
    fold,
    is_ignored,
    is_settings,
    is_unfinished,
    matches,
    natural_key,
    resemblance,
    settings_target,
)

pytestmark = pytest.mark.unit


def cases(name: str) -> set[str]:
    """Return a name in several letter cases and Unicode forms."""
    forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    return {changed for form in forms for changed in (form, form.upper(), form.title(), form.swapcase())}


@pytest.mark.parametrize(
    "ending", ["part", "partial", "tmp", "temp", "filepart", "crdownload", "download", "opdownload", "uploading",
               "inprogress", "_copying_", "aria2", "!ut", "swp", "swx"],
)  # fmt: skip
def test_x12_names_that_are_still_being_written_are_ignored_in_any_letter_case(ending: str):
    for name in cases(f"cärds.csv.{ending}"):
        assert is_unfinished(name), name
        assert is_ignored(name)
    assert not is_unfinished(f"{ending}.csv")
    assert not is_unfinished(f"a.{ending}.csv")


@pytest.mark.parametrize(
    "name", ["cards.csv.1a2b3c4d.partial", "a.csv~", "~a.csv", "~$a.csv", ".a.csv", ".csv", "a.csv.sb-1a2b3c4d-Xy1",
             "a.sb-12.csv", ".~lock.a.csv#", "a.CSV.SB-1"],
)  # fmt: skip
def test_x12_names_of_programs_that_write_are_ignored(name: str):
    assert is_unfinished(name)


@pytest.mark.parametrize(
    "name", ["_a.csv", "a.part.csv", "a.tmp.csv", "a.csv.bak", "a.lftp-pget-status", "a.csv.pendingoverwrite", "tmp",
             "part", "a.csv.ffs_tmp", "a.xlsx", "settings.csv", "a.settings.csv", "_settings.csv", "settings.txt",
             "user settings.txt", "notes.yml.txt", "a.yaml", "a.csv.json", "offset.yaml"],
)  # fmt: skip
def test_x01_other_names_are_rows_or_refused(name: str):
    assert not is_ignored(name)


@pytest.mark.parametrize("suffix", [".settings.yaml", ".settings.yml"])
def test_x11_a_sidecar_is_recognised_in_any_letter_case_and_form(suffix: str):
    for name in cases(f"Zoë ½.csv{suffix}"):
        target = settings_target(name)
        assert target is not None
        assert fold(target) == fold(name[: -len(suffix)])
    for name in (*cases("_settings.yaml"), *cases("_settings.yml")):
        assert settings_target(name) == ""


FOLDER_LIKE = (
    "settings.yaml", "settings.yml", "_setting.yaml", "_settings", "settings", "_settings.json", "_settings.yaml.txt",
    "_settings.txt", ".settings.yaml", ".settings.yml", "__settings.yaml", "-settings.yaml", "_settings .yaml",
    "_settings.yaml ", "_settings (1).yaml", "_settings - Copy.yaml", "Copy of _settings.yaml", "_setings.yaml",
    "_settigns.yaml", "_settings.ymal", "_settings.yaml.bak", "_settings.old", "Settings.YAML", "_SETT\u0130NGS.YAML",
    "_sett\u0131ngs.yaml", "\uff3fsettings.yaml", "_set\u200btings.yaml", "_settings.toml",
    "settings.x.csv.yaml", "_settings (Ada's conflicted copy 2026-11-30).yaml", "_settings-DESKTOP-AB12.yaml",
    "_settings.sync-conflict-20261130-101010-ABCDEF.yaml", "_settings.yaml.gz", "_settings_2.yaml",
    "Kopie von _settings.yml",
)  # fmt: skip
FILE_LIKE = (
    "x.csv.settings", "x.csv.setting.yaml", "x.csv.yaml", "x.csv.yml", "x.csv.settings.json", "x.csv.settings.yaml.txt",
    "x.csv.settings.txt", "x.csv .settings.yaml", "x.csv. settings.yaml", "x.csv.settings.yaml ", "x.csv_settings.yaml",
    "x.csv-settings.yml", "x.csvsettings.yaml", "x.csv.settingsyaml", "x.csv.setings.yaml", "x.csv.settings.ymal",
    "x.csv.settings (2).yaml", "x.csv.settings.yaml.bak", "x.csv.settings.new.yaml",
    "X.CSV.SETT\u0130NGS.YAML", "x.csv.settings.yaml.old", "x.csv.config.yaml", "x .csv.settings", "x.settings.yaml",
    "x.settings.yml", "x_settings.yaml", "x.csv.set\u00adtings.yaml", "x.csv.settings.yaml.part",
    "x.csv.settings.yaml.1a2b3c4d.partial", "x.csv.settings.YML.FilePart", "x.csv.setting.yaml.tmp",
    "x.csv.settings (Ada's conflicted copy 2026-11-30).yaml", "x.csv.settings-DESKTOP-AB12.yaml",
    "x.csv.settings.sync-conflict-20261130-101010-ABCDEF.yaml", "x.csv.settings (Konflikt).yaml",
    "x.csv.settings.final.yaml", "x.csv.settings.v2.yaml", "x.csv.settings (my settings).yaml",
    "x.csv.settings.yaml.gz",
    "x.csv.settings.yaml.pgp", "x.csv.settings.yaml.rej", "x.csv.settings.txt.part", "x.csv.settings.yaml.txt.part",
    "x.csv (1).settings.yaml", "x.csv.stettings.yaml",
)  # fmt: skip


@pytest.mark.parametrize("name", FOLDER_LIKE)
def test_x11_a_name_like_a_folder_s_settings_holds_the_whole_folder(name: str):
    assert resemblance(name) is not None
    names = SettingsNames([name, "x.csv", "other.txt"])
    assert names.folder_obstacle is not None
    assert names.folder_obstacle.name == name


@pytest.mark.parametrize("name", FILE_LIKE)
def test_x11_a_name_like_a_file_s_settings_holds_that_file_alone(name: str):
    assert is_ignored(name)
    names = SettingsNames([name, "x.csv", "y.csv", "xx.csv"])
    assert names.folder_obstacle is None
    obstacle = names.file_obstacle("x.csv")
    assert obstacle is not None
    assert obstacle.name == name
    assert [names.file_obstacle(other) for other in ("y.csv", "xx.csv")] == [None, None]


@pytest.mark.parametrize("name", ["_settings.yaml~", "._settings.yaml", "._x.csv.settings.yaml", "~$_settings.yaml",
                                  ".x.csv.settings.yaml.swp", ".x.csv.settings.yaml"])  # fmt: skip
def test_x12_copies_that_editors_and_systems_make_hold_nothing(name: str):
    assert is_ignored(name)
    names = SettingsNames([name, "x.csv"])
    assert (names.folder_obstacle, names.file_obstacle("x.csv"), names.sidecars("x.csv")) == (None, None, [])


@pytest.mark.parametrize("name", ["_settings.yaml.bak", "_settings.yaml.old", "_settings.yaml.part"])
def test_x11_a_copy_beside_the_settings_that_hold_holds_nothing(name: str):
    names = SettingsNames([name, "_settings.yaml", "x.csv"])
    assert (names.of_folder, names.folder_obstacle) == (["_settings.yaml"], None)


def test_x11_a_yaml_file_of_a_file_s_own_name_holds_it():
    names = SettingsNames(["x.yaml", "y.yaml", "x.csv"])
    assert set(names.resembling) == {"x.yaml"}
    assert names.file_obstacle("x.csv") is not None


def test_x11_a_settings_file_belongs_to_its_exact_file_before_any_other():
    files = ["cards.csv", "Cards.csv", "CARDS.CSV"]
    names = SettingsNames([*files, *(f"{name}.settings.yaml" for name in files)])
    assert {name: names.sidecars(name) for name in files} == {name: [f"{name}.settings.yaml"] for name in files}
    assert [names.file_obstacle(name) for name in files] == [None] * 3
    assert names.orphans == []


@pytest.mark.parametrize(
    ("file", "sidecar"),
    [
        ("a.csv", "A.CSV.Settings.YAML"),
        ("caf\u00e9.csv", "cafe\u0301.csv.settings.yml"),
        ("cafe\u0301.csv", "CAF\u00c9.csv.settings.yaml"),
        ("stra\u00dfe.csv", "STRASSE.CSV.SETTINGS.YAML"),
    ],
)
def test_x11_a_settings_file_in_other_letters_or_form_belongs_to_the_file(file: str, sidecar: str):
    names = SettingsNames([file, sidecar])
    assert names.sidecars(file) == [sidecar]
    assert (names.orphans, names.file_obstacle(file)) == ([], None)


def test_x11_two_settings_files_of_one_file_are_both_its():
    names = SettingsNames(["a.csv", "a.csv.settings.yaml", "a.csv.settings.yml", "A.csv.settings.yaml"])
    assert len(names.sidecars("a.csv")) == 3


def test_x11_settings_that_may_be_those_of_two_files_hold_both():
    names = SettingsNames(["a.csv", "A.csv", "A.CSV.settings.yaml"])
    assert [bool(names.file_obstacle(name)) for name in ("a.csv", "A.csv")] == [True, True]


@pytest.mark.parametrize(
    ("sidecar", "is_at_once", "is_held"),
    [
        ("ca-rds.csv.settings.yaml", True, True),
        ("cards .csv.settings.yaml", True, True),
        ("card.csv.settings.yaml", False, False),
        ("cards_may.csv.settings.yaml", False, False),
        ("cards.txt.settings.yaml", False, True),
        ("bards.csv.settings.yaml", False, False),
        ("cards1.csv.settings.yaml", False, False),
        ("customers.csv.settings.yaml", False, False),
    ],
)
def test_x11_settings_without_their_file_hold_the_file_that_may_be_meant(sidecar: str, is_at_once: bool, is_held: bool):
    names = SettingsNames(["cards.csv", sidecar])
    assert names.orphans == [sidecar]
    assert bool(names.file_obstacle("cards.csv")) is is_at_once
    assert bool(names.file_obstacle("cards.csv", {sidecar})) is is_held


COPIES = (
    "Copy of cards.csv", "Kopie von cards.csv", "new-cards.csv", "1_cards.csv", "Copy of Copy of CARDS.CSV",
    "(1) cards.csv", "backup.cards.csv", "Copie de\u00a0cards.csv", "\u30b3\u30d4\u30fc \uff5e cards.csv",
    "copy_Cards.csv", "neu \u2013 cards.csv",
)  # fmt: skip


@pytest.mark.parametrize(
    "ending", [".settings.yaml", ".settings.yml", ".Settings.YAML", ".settings", ".yaml", ".setting.yaml"]
)
@pytest.mark.parametrize("copy", COPIES)
def test_x11_a_copy_of_a_file_s_settings_holds_that_file_at_once(copy: str, ending: str):
    names = SettingsNames([f"{copy}{ending}", "cards.csv", "scards.csv", "cards.txt", "other.csv", "csv", "csv.csv"])
    obstacle = names.file_obstacle("cards.csv")
    assert obstacle is not None
    assert obstacle.name == f"{copy}{ending}"
    others = ("scards.csv", "cards.txt", "other.csv", "csv", "csv.csv")
    assert [names.file_obstacle(name) for name in others] == [None] * len(others)


@pytest.mark.parametrize("name", ["Copy of cards.settings.yaml", "new_cards.settings.yml", "1 cards.setting.yaml"])
def test_x11_a_copy_of_settings_without_the_extension_holds_the_file(name: str):
    names = SettingsNames([name, "cards.csv", "scards.csv"])
    assert (names.file_obstacle("cards.csv") is None, names.file_obstacle("scards.csv")) == (False, None)


@pytest.mark.parametrize("copy", COPIES)
def test_x11_settings_whose_file_is_there_are_no_copy_of_anothers(copy: str):
    names = SettingsNames([copy, f"{copy}.settings.yaml", f"{copy}.settings", "cards.csv"])
    assert names.file_obstacle("cards.csv") is None


def test_x11_numbers_distinguish_files():
    """Yesterday's settings, whose file never came, don't hold today's file."""
    names = SettingsNames(["cards_2026-11-30.csv", "cards_2026-11-29.csv.settings.yaml"])
    assert names.file_obstacle("cards_2026-11-30.csv", set(names.orphans)) is None


@pytest.mark.parametrize(
    ("file", "other"), [("cards_1_12.csv", "cards_11_2.csv"), ("\u2605.csv", "\u2606.csv"), ("a+b.csv", "ab.csv"),
                        ("\u0915\u093f.csv", "\u0915\u0941.csv"), ("cards_may.csv", "cards.csv")],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".settings.yaml", ".setting.yaml", ".settings (1).yaml"])
def test_x11_what_distinguishes_files_distinguishes_their_settings(file: str, other: str, ending: str):
    for name, sidecar in ((file, f"{other}{ending}"), (other, f"{file}{ending}")):
        names = SettingsNames([name, sidecar])
        assert (names.file_obstacle(name, set(names.orphans)), names.folder_obstacle) == (None, None)


@pytest.mark.parametrize("name", ["sittings.yaml", "settling.json", "etting", "typesetting.json", "typesetting.pdf",
                                  "x.json", "user settings.txt", "settings.txt", "offsettings.yml"])  # fmt: skip
def test_x11_a_name_without_the_word_holds_nothing(name: str):
    names = SettingsNames([name, "x.csv", "type.csv"])
    assert (names.resembling, names.folder_obstacle) == ({}, None)


@pytest.mark.parametrize("name", ["x.csv.json", "x.settings.txt", "x settings.txt"])
def test_x11_a_name_that_says_little_holds_the_file_that_is_there(name: str):
    assert SettingsNames([name, "y.csv"]).resembling == {}
    names = SettingsNames([name, "x.csv", "y.csv"])
    assert (names.file_obstacle("x.csv") is None, names.file_obstacle("y.csv")) == (False, None)


def test_x12_names_are_compared_once_however_often_they_are_listed():
    files = [f"customers_export_{number:05}.csv" for number in range(1000)]
    compared = []
    for _ in range(2):
        names = SettingsNames([*files, "lost.csv.settings.yaml"])
        assert not any(names.file_obstacle(name, set(names.orphans)) for name in files)
        compared.append(_key.cache_info().misses)
    assert compared[0] == compared[1]


def test_x12_what_is_ignored_resembles_nothing():
    names = SettingsNames(["settings.ini", "x.yaml", "y.csv.settings.yaml", "x.csv", "y-.csv", "_settings.yaml"])
    names.leave_out(["settings.*", "X.yaml", "y.csv.*"])
    assert (names.of_folder, names.resembling, names.orphans) == (["_settings.yaml"], {}, [])
    assert [names.folder_obstacle, names.file_obstacle("x.csv"), names.file_obstacle("y-.csv")] == [None] * 3


@pytest.mark.parametrize("target", ["a.xlsx", "a", "cards"])
def test_x11_settings_of_a_file_that_is_no_file_of_rows_are_its(target: str):
    names = SettingsNames([target, f"{target}.settings.yaml"])
    assert (names.resembling, names.orphans) == ({}, [])


@pytest.mark.parametrize("name", ["a.md5", "A.SHA256", "_success", "_SUCCESS", "thumbs.db", "Desktop.ini"])
def test_x12_the_usual_markers_are_ignored_in_any_letter_case(name: str):
    assert matches(name, IGNORED_NAMES)


@pytest.mark.parametrize("name", ["a.md5.csv", "md5", "_SUCCESS.csv", "SUCCESS", "a.csv"])
def test_x12_other_names_are_not(name: str):
    assert not matches(name, IGNORED_NAMES)


def test_x12_patterns_compare_unicode_forms_and_never_take_a_name_for_one():
    assert matches("cafe\u0301.old", ["caf\u00e9.*"])
    assert not matches("*.md5x", ["a.md5"])
    assert not matches("a", [])


def test_x14_names_are_ordered_by_the_numbers_in_them():
    ordered = ["c.csv", "c (2).csv", "c_1.csv", "c_09.csv", "c_9.csv", "c_9a.csv", "c_10.csv", "C_11.csv", "c_100.csv"]
    for seed in range(20):
        shuffled = random.Random(seed).sample(ordered, len(ordered))
        assert sorted(shuffled, key=natural_key) == ordered


@pytest.mark.parametrize(
    "name", ["", ".", "9", "9.csv", "a9", "\u0663.csv", "x\u00b2.csv", "a" * 255, "\udce9.csv", "1" * 250]
)
def test_x14_any_name_has_a_place(name: str):
    assert sorted([name, "a.csv", "10"], key=natural_key)
    assert natural_key(name) == natural_key(name)


def test_x12_any_name_is_judged():
    """Names of every kind of character, alone and together: nothing raises, and rows stay rows."""
    pieces = ["settings", "_", ".", "yaml", "csv", " ", "~", "part", "\u0130", "\udce9", "9", "\n", "copy", "bak", "x"]
    for parts in itertools.product(pieces, repeat=3):
        name = "".join(parts)
        is_settings(name)
        is_row = PurePosixPath(name).suffix == ".csv"
        assert not (is_row and not is_unfinished(name) and is_ignored(name)), name
        SettingsNames([name, "x.csv"]).file_obstacle("x.csv", {name})
