"""Settings of an import: what is accepted, who wins, what bears on the rows. Source: X-09, X-11, X-13, section 9."""

import codecs
import json
import re
import subprocess
import sys
import time
import tracemalloc
import unicodedata
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given as given_by_hypothesis
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError, FileRefused, SettingsError
from include.import_types import IMPORT_TYPES
from include.settings import checks, files, layers
from include.settings.checks import MOST_MISTAKES
from include.settings.defaults import IMPORTS_YAML
from include.settings.files import LARGEST_SETTINGS_BYTES, read_settings
from include.settings.raw import RawSettings
from include.settings.schema import describe_settings, parameter_schema
from tests.settings import fingerprint_settings, inheritable, load_defaults, read_assignments, resolve, settings_of

pytestmark = pytest.mark.unit

SETTINGS = IMPORT_TYPES.setting_names()


@pytest.fixture
def other_types(monkeypatch):
    """Further import types, as far as settings care: one of codes, one with a choice of actions."""
    fields = (Field("code", "Code"),)
    codes = ImportType("promo_codes", "Codes", ("add_promo_codes",), fields, "code", Path("x.sql"), ("loyalty.code",))
    codes = replace(codes, settings=IMPORT_TYPES["promo_codes"].settings)
    customers = replace(codes, name="customers", label="Customers", actions=("edit_existing", "add_and_edit"))
    customers = replace(customers, settings=IMPORT_TYPES["customers"].settings)
    monkeypatch.setitem(IMPORT_TYPES._types, "promo_codes", codes)
    monkeypatch.setitem(IMPORT_TYPES._types, "customers", customers)


def wrong(import_type="gift_cards", **layers) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(import_type, **layers)
    assert caught.value.rule == "file.settings"
    return caught.value.message


def test_every_key_of_the_specification_is_a_setting_and_no_other():
    assert set(SETTINGS) == set(
        re.findall(
            r"\w+",
            "action encoding delimiter mapping review review_columns review_reject_share review_changed_share "
            "review_header_change review_hours dry_run force max_file_bytes max_reject_share strict_sold_cards "
            "pool on_existing data_source point_of_contact take_point_of_contact_from_file "
            "take_action_template_from_file segment on_invalid_optional slash_dates phone_region rejects_verbatim "
            "replace_external_ids shared_identifier_rows code_pattern settle_seconds retention_days release after "
            "ignore locked",
        )
    )


def test_the_shipped_defaults():
    assert {name: settings.values for name, settings in load_defaults().items()} == {
        "gift_cards": {"after": {"gift_card_pools": 30}},
        "promo_codes": {"after": {"promo_code_pools": 30}},
        "customers": {"action": "add_and_edit"},
    }
    cards = resolve("gift_cards")
    assert (cards.max_file_bytes, cards.settle_seconds, cards.max_reject_share) == (2 * 1024**3, 5, None)
    assert (cards.slash_dates, cards.strict_sold_cards, cards.encoding) == ("refuse", False, "utf-8")
    assert cards.given_by == {}


@pytest.mark.parametrize("name", sorted(IMPORT_TYPES))
def test_every_type_has_an_action_without_a_setting(name):
    assert resolve(name).action in IMPORT_TYPES[name].actions


def test_the_actions_of_the_shipped_types():
    shipped = ("gift_card_pools", "gift_cards", "promo_code_pools", "promo_codes", "customers")
    assert [resolve(name).action for name in shipped] == [
        "add_gift_card_pools",
        "add_gift_cards",
        "add_and_edit_promo_code_pools",
        "add_promo_codes",
        "add_and_edit",
    ]


def test_x11_the_later_layer_wins_key_by_key():
    layers = {
        "folder": {"delimiter": ";", "encoding": "latin-1", "retention_days": 7, "max_reject_share": 0.5},
        "sidecar": {"delimiter": "|", "encoding": "utf-16", "retention_days": 8},
        "parameters": {"delimiter": "tab", "encoding": "cp1251"},
    }
    chosen = resolve("gift_cards", **layers)
    assert (chosen.delimiter, chosen.encoding) == ("\t", "cp1251")
    assert (chosen.retention_days, chosen.max_reject_share) == (8, 0.5)
    assert chosen.given_by == {
        "delimiter": "parameters",
        "encoding": "parameters",
        "retention_days": "sidecar",
        "max_reject_share": "folder",
    }
    assert resolve("gift_cards", folder={"after": {}}).after == {}


def test_x11_a_mapping_replaces_the_one_below_as_a_whole():
    chosen = resolve("gift_cards", folder={"mapping": {"Nr": "card_number"}}, sidecar={"mapping": {"PIN": None}})
    assert chosen.mapping == {"PIN": None}


def test_x11_an_explicit_null_in_a_file_takes_a_setting_back():
    chosen = resolve("gift_cards", folder={"max_reject_share": 0.1}, sidecar={"max_reject_share": None})
    assert chosen.max_reject_share is None


def test_fields_of_a_form_that_were_left_alone_are_not_settings():
    chosen = resolve("gift_cards", folder={"delimiter": ";"}, parameters={"delimiter": None, "encoding": ""})
    assert (chosen.delimiter, chosen.encoding) == (";", "utf-8")
    assert "nonsense" in wrong(parameters={"nonsense": None})


class TestInherited:
    """X-09: a corrected file inherits the settings of the job in `_job`; explicit new ones win."""

    @staticmethod
    def job(**layers) -> dict:
        return json.loads(json.dumps(resolve("gift_cards", **layers).model_dump(mode="json")))

    @pytest.mark.parametrize("layer", ["sidecar", "parameters", "folder"])
    def test_what_the_job_was_given_holds_without_being_given_again(self, layer):
        job = self.job(**{layer: {"mapping": {"Nr": "card_number"}, "delimiter": ";"}})
        chosen = resolve("gift_cards", inherited=job)
        assert (chosen.mapping, chosen.delimiter) == ({"Nr": "card_number"}, ";")

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    def test_new_ones_of_this_drop_win(self, layer):
        job = self.job(parameters={"slash_dates": "month_first"})
        assert resolve("gift_cards", inherited=job, **{layer: {"slash_dates": "day_first"}}).slash_dates == "day_first"

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    def test_what_was_set_for_the_job_itself_wins_over_the_folder_as_it_did_then(self, layer):
        folder = {"mapping": {"Number": "card_number"}}
        job = self.job(folder=folder, **{layer: {"mapping": {"Nr": "card_number"}}})
        assert resolve("gift_cards", folder=folder, inherited=job).mapping == {"Nr": "card_number"}

    @pytest.mark.parametrize("then", [{}, {"slash_dates": "month_first"}])
    def test_a_folder_that_was_corrected_since_counts(self, then):
        job = self.job(folder=then)
        assert resolve("gift_cards", folder={"slash_dates": "day_first"}, inherited=job).slash_dates == "day_first"

    def test_it_holds_through_a_chain_of_corrected_files(self):
        first = self.job(sidecar={"delimiter": ";"})
        second = self.job(inherited=first)
        assert second["given_by"] == {"delimiter": "sidecar"}
        assert resolve("gift_cards", folder={"delimiter": "|"}, inherited=second).delimiter == ";"

    def test_what_was_wanted_of_one_run_is_not_inherited(self):
        job = self.job(parameters={"dry_run": True, "force": True, "delimiter": ";"})
        chosen = resolve("gift_cards", inherited=job)
        assert (chosen.dry_run, chosen.force, chosen.delimiter) == (False, False, ";")

    def test_two_jobs_are_of_different_settings_only_if_their_values_differ(self):
        by_folder, by_sidecar = (
            inheritable("gift_cards", self.job(**{layer: {"delimiter": ";"}})) for layer in ("folder", "sidecar")
        )
        assert by_folder == by_sidecar
        assert by_folder != inheritable("gift_cards", self.job())
        dry_run = self.job(sidecar={"dry_run": True})
        assert inheritable("gift_cards", dry_run) == inheritable("gift_cards", self.job())

    def test_without_a_word_on_who_gave_them_all_win_over_the_folder(self):
        assert resolve("gift_cards", folder={"delimiter": "|"}, inherited={"delimiter": ";"}).delimiter == ";"

    def test_settings_that_no_longer_exist_are_passed_over(self):
        assert resolve("gift_cards", inherited={"delimiter": ";", "retired": 1}).delimiter == ";"


def test_an_unknown_key_is_named_with_source_line_and_close_match():
    sidecar = read_settings("dry_run: true\ndelimeter: ';'\n", "cards.csv.settings.yaml")
    assert wrong(sidecar=sidecar) == (
        "cards.csv.settings.yaml: line 2, delimeter: there is no such setting (did you mean delimiter?)."
    )
    assert wrong(folder={"given_by": {}}).startswith("the folder's settings: given_by: there is no such setting")
    assert wrong(parameters=read_assignments(["x=1"])).startswith("--set: x: there is no such setting")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dry_run": "yes"}, "dry_run: must be true or false, found 'yes'."),
        ({"dry_run": 1}, "dry_run: must be true or false, found 1."),
        ({"dry_run": None}, "dry_run: must be true or false, found nothing."),
        ({"max_file_bytes": 0}, "max_file_bytes: must be greater than or equal to 1, found 0."),
        ({"max_file_bytes": "2 GiB"}, "max_file_bytes: must be a number, found '2 GiB'."),
        ({"max_reject_share": 1.01}, "max_reject_share: must be less than or equal to 1, found 1.01."),
        ({"max_reject_share": -0.1}, "max_reject_share: must be greater than or equal to 0, found -0.1."),
        ({"settle_seconds": -1}, "settle_seconds: must be greater than or equal to 0, found -1."),
        ({"settle_seconds": True}, "settle_seconds: must be a number, found true."),
        ({"retention_days": 0}, "retention_days: must be greater than or equal to 1, found 0."),
        ({"slash_dates": "us"}, "slash_dates: must be 'refuse', 'month_first' or 'day_first', found 'us'."),
        ({"mapping": ["a"]}, "mapping: must have keys of its own, as in {key: value}; found a list."),
        ({"mapping": {"Nr": 5}}, "mapping: 'Nr' must be text, found 5; text that looks otherwise needs quotes."),
        ({"mapping": {"Nr": " "}}, "mapping: 'Nr' must have at least 1 character, found ' '."),
        ({"encoding": "utf-9"}, "encoding: there is no encoding 'utf-9'; usual ones are"),
        ({"encoding": "rot13"}, "encoding: 'rot13' is no encoding of text files."),
        ({"encoding": "unicode_escape"}, "encoding: 'unicode_escape' is no encoding of text files."),
        ({"encoding": "x\0"}, "encoding: there is no encoding"),
        *(
            ({"delimiter": text}, "delimiter: must be one character")
            for text in ("", '"', "'", "_", "\n", "a", "1", ";;", "§")
        ),
        ({"release": "0 25 * * *"}, "release: '25' is no hour of a cron expression: numbers 0 to 23"),
        ({"release": "0 2 * *"}, "release: must be a cron expression of five fields such as '0 2 * * *', found 4."),
        ({"release": "*/0 2 * * *"}, "release: '*/0' is no minute"),
        ({"release": "9-3 2 * * *"}, "release: '9-3' is no minute"),
        ({"release": "nightly"}, "release: must be a cron expression"),
        ({"after": ["gift_card_pool"]}, "after: there is no other import type 'gift_card_pool' (did you mean"),
        ({"after": ["gift_cards"]}, "after: there is no other import type 'gift_cards'"),
        ({"after": {"gift_card_pools": -1}}, "after: 'gift_card_pools' must be greater than or equal to 0, found -1."),
        ({"action": "add_cards"}, "action: gift_cards have no action 'add_cards' (did you mean add_gift_cards?)."),
        ({"pool": "p"}, "pool: only promo_codes have this setting, not gift_cards."),
        ({"segment": "s"}, "segment: only customers have this setting, not gift_cards."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_source_and_what_was_expected(values, sentence):
    assert wrong(folder=values).startswith(f"the folder's settings: {sentence}")


def test_all_mistakes_of_a_file_are_reported_at_once():
    message = wrong(sidecar=read_settings("pool: x\nforce: 1\nzzz: 2\n", "s.yaml"))
    assert [part.split(":")[0] for part in message.split("s.yaml: ")[1:]] == [
        "line 1, pool",
        "line 3, zzz",
        "line 2, force",
    ]


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"delimiter": "Tab"}, {"delimiter": "\t"}),
        ({"delimiter": "semicolon"}, {"delimiter": ";"}),
        ({"delimiter": "^"}, {"delimiter": "^"}),
        ({"encoding": "Windows-1251"}, {"encoding": "cp1251"}),
        ({"encoding": "UTF8"}, {"encoding": "utf-8"}),
        ({"encoding": "utf-8-sig"}, {"encoding": "utf-8"}),
        ({"release": "*/15  1-5,22 * * 0"}, {"release": "*/15 1-5,22 * * 0"}),
        ({"after": ["gift_card_pools"]}, {"after": {"gift_card_pools": 30}}),
        ({"after": {"gift_card_pools": 90}}, {"after": {"gift_card_pools": 90}}),
        ({"max_reject_share": 1}, {"max_reject_share": 1.0}),
        ({"settle_seconds": 0.5}, {"settle_seconds": 0.5}),
    ],
)
def test_values_are_stored_in_one_spelling(values, stored):
    assert resolve("gift_cards", folder=values).model_dump(include=set(stored)) == stored


def test_x03_pools_are_utf_8_or_refused():
    assert resolve("gift_card_pools", folder={"encoding": "utf8"}).encoding == "utf-8"
    assert "files of gift_card_pools are UTF-8, found 'cp1251'" in wrong(
        "gift_card_pools", folder={"encoding": "cp1251"}
    )


def test_settings_that_fit_one_type_are_errors_for_others(other_types):
    assert resolve("gift_cards", folder={"strict_sold_cards": True}).strict_sold_cards is True
    assert "only gift_cards have this" in wrong("gift_card_pools", folder={"strict_sold_cards": True})
    assert resolve("promo_codes", folder={"pool": "spring", "on_existing": "update_dates"}).pool == "spring"
    assert resolve("customers", parameters={"action": "edit_existing", "segment": "vip"}).segment == "vip"


def test_without_an_action_a_type_with_several_is_refused(other_types, tmp_path):
    silent = tmp_path / "imports.yaml"
    silent.write_text("gift_cards: {defaults: {retention_days: 1}}\n")
    message = wrong("customers", defaults_file=silent)
    assert message == "action: must be stated for customers, one of edit_existing, add_and_edit."
    assert resolve("promo_codes").action == "add_promo_codes"


def test_a_folder_of_no_import_type_is_refused_with_a_close_match():
    with pytest.raises(FileRefused) as caught:
        resolve("gift_card")
    assert (caught.value.rule, caught.value.message) == (
        "file.unknown_type",
        "There is no import type 'gift_card' (did you mean gift_cards?).",
    )


def test_settings_files_are_read_with_lines():
    settings = read_settings(b"\xef\xbb\xbfreview: true\n\nmapping: {No: card_number, Off: null}\n", "_settings.yaml")
    assert settings == RawSettings(
        "_settings.yaml",
        {"review": True, "mapping": {"No": "card_number", "Off": None}},
        {"review": 1, "mapping": 3},
    )
    assert read_settings("", "s.yaml").values == {}
    assert read_settings("# nothing yet\n", "s.yaml").values == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"pool: \xff", "s.yaml: not UTF-8 at byte 6."),
        ("a: 1\na: 2", "s.yaml: line 2: 'a' is written twice, first on line 1."),
        ("a: [1", "s.yaml: line 1: not valid YAML"),
        ("- a", "s.yaml: expected lines such as `encoding: windows-1251`."),
        ("just text", "s.yaml: expected lines such as"),
        ("a: !!python/name:os.system", "s.yaml: line 1: tags (!) are not supported"),
    ],
)
def test_settings_files_that_can_not_be_read_refuse_the_file(text, sentence):
    with pytest.raises(SettingsError) as caught:
        read_settings(text, "s.yaml")
    assert caught.value.message.startswith(sentence)


LONGEST_MESSAGE_BYTES = 2100


def refusal(text, source="cards.csv.settings.yaml") -> str:
    with pytest.raises(SettingsError) as caught:
        resolve("gift_cards", sidecar=read_settings(text, source))
    return caught.value.message


@pytest.mark.parametrize("text", [b"#" * (64 * 1024 + 1), "é" * (32 * 1024) + "#", b"\0" * 10_000_000])
def test_x11_a_settings_file_of_more_than_64_kib_refuses_its_file(text):
    assert refusal(text) == "cards.csv.settings.yaml: larger than the 65,536 bytes of a settings file."


def test_x11_a_settings_file_of_64_kib_is_read():
    text = b"review: true\n#"
    settings = read_settings(text.ljust(LARGEST_SETTINGS_BYTES, b"#"), "s.yaml")
    assert (LARGEST_SETTINGS_BYTES, settings.values) == (65_536, {"review": True})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mapping: {Größe: balance}".encode("latin-1"), "not UTF-8 at byte 12."),
        (codecs.BOM_UTF8 + b"pool: \xff", "not UTF-8 at byte 9."),
        ("review: true".encode("utf-16"), "not UTF-8 at byte 0. It seems to be UTF-16: save it as UTF-8."),
        ("review: true".encode("utf-16-be"), "special characters are not allowed, found U+0000 at byte 0."),
        ("review: ü".encode() + b"\0", "special characters are not allowed, found U+0000 at byte 10."),
        ("\ufeff\ufeffreview: true", "special characters are not allowed, found U+FEFF at byte 3."),
        (codecs.BOM_UTF8 + b"pool: \0", "special characters are not allowed, found U+0000 at byte 9."),
        ("pool: \x1b[31m", "special characters are not allowed, found U+001B at byte 6."),
        ("pool: \ud800", "not UTF-8 at byte 6."),
    ],
)
def test_x11_what_is_not_utf_8_text_refuses_the_file_with_the_byte(text, place):
    assert refusal(text) == f"cards.csv.settings.yaml: {place}"


def test_x11_one_byte_order_mark_is_allowed():
    assert read_settings(codecs.BOM_UTF8 + b"review: true", "s.yaml") == read_settings("review: true", "s.yaml")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("".join(f"wrong_{number}: 1\n" for number in range(4000)), 4000),
        ("mapping: {" + ", ".join(f"k{number}: 5" for number in range(3000)) + "}", 3000),
        ("after: {" + ", ".join(f"k{number}: 5" for number in range(3000)) + "}", 3000),
        ("".join(f"wrong_{number}: 1\n" for number in range(8)) + "force: 1\nreview: 2\ndry_run: 3\n", 11),
    ],
)
def test_x11_a_refusal_lists_ten_mistakes_and_the_number_of_the_others(text, number):
    message = refusal(text)
    assert message.count("cards.csv.settings.yaml: line ") == MOST_MISTAKES == 10
    assert message.endswith(f". … and {number - 10:,} more.")


def test_x11_ten_mistakes_are_listed_without_a_number():
    message = refusal("".join(f"wrong_{number}: 1\n" for number in range(10)))
    assert message.count("there is no such setting") == 10
    assert "more." not in message


HOSTILE = {
    "long keys": "".join(f"{number}{'é' * 900}: 1\n" for number in range(30)),
    "long values": "".join(f"{name}: {'字' * 900}\n" for name in SETTINGS),
    "a long value": f"review: {'x' * 60_000}",
    "a decimal of 60,000 digits": f"max_file_bytes: {'9' * 60_000}",
    "a hexadecimal number of 60,000 digits": f"max_file_bytes: 0x{'f' * 60_000}",
    "a binary number": f"settle_seconds: 0b{'1' * 60_000}",
    "a number in base 60": f"settle_seconds: {'1:' * 20_000}1",
    "a float": f"settle_seconds: 1{'0' * 60_000}.5e+9",
    "what can't be seen": 'review: "\\u202e\\u200b\\x1b[31m\\u2028\\0"\n"\\u202eaction": 1',
    "many keys": "".join(f"{number}:\n" for number in range(9000)),
    "a long list": f"after: [{'1,' * 32_000}]",
    "a long list of names": f"after: [{'a,' * 32_000}]",
    "many locks": f"locked: [{'a,' * 32_000}]",
    "a long lock": f"locked: [{'a' * 60_000}]",
    "a long cron": f"release: {'1,' * 30_000}",
    "blanks for a cron": f"release: '{' ' * 60_000}1'",
    "an encoding": f"encoding: {'u' * 60_000}",
    "a long duplicate": f"{'k' * 900}: 1\n" * 2,
    "a long date": f"action: 2001-99-99 {' ' * 60_000}1:2:3",
    "a key too long for YAML": f"{'k' * 60_000}: 1",
    "an anchor": f"a: &{'x' * 60_000}",
    "a tag": f"a: !{'x' * 60_000}",
    "a handle": f"a: !{'x' * 60_000}!y z",
    "an alias": f"a: *{'x' * 60_000}",
    "deep": "[" * 60_000,
    "deep by blocks": "- " * 30_000,
    "deep by keys": "? " * 30_000,
    "braces": "{" * 60_000,
    "documents": "---\n" * 15_000,
    "directives": "%" * 60_000,
    "quotes": '"' * 60_000 + "'",
    "an escape": 'a: "\\q"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_x22_whatever_a_settings_file_holds_it_is_read_soon_and_refused_in_a_short_message(text):
    started = time.process_time()
    message = refusal(text)
    assert time.process_time() - started < 1  # 0.2 s at most; 40,000 wrong keys took 5.7
    assert len(message.encode()) <= LONGEST_MESSAGE_BYTES
    assert [character for character in message if unicodedata.category(character)[0] in "CZ" and character != " "] == []
    assert re.search(r"(\S)\1{100}", message) is None, "a key or value is quoted in full"


@hypothesis_settings(max_examples=300, deadline=None)
@given_by_hypothesis(
    st.one_of(
        st.binary(max_size=400),
        st.text(max_size=200),
        st.dictionaries(
            st.one_of(st.sampled_from(SETTINGS), st.text(max_size=100)),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=100)),
                lambda inner: st.one_of(
                    st.lists(inner, max_size=4),
                    st.dictionaries(st.one_of(st.sampled_from(SETTINGS), st.text(max_size=50)), inner, max_size=4),
                ),
                max_leaves=8,
            ),
            max_size=15,
        ).map(json.dumps),
    )
)
def test_x22_any_settings_text_gives_settings_or_a_short_refusal(text):
    try:
        chosen = resolve("customers", folder=read_settings(text, "s.yaml"))
    except SettingsError as error:
        message = error.message
    else:
        message = ""
        assert type(chosen).from_stored(json.loads(json.dumps(chosen.model_dump(mode="json")))) == chosen
    assert len(message.encode()) <= LONGEST_MESSAGE_BYTES


def test_x22_a_text_is_read_and_checked_once_however_often_it_is_listed(monkeypatch):
    reads, checked = [], []
    read_yaml, check = files.read_yaml, checks._check
    monkeypatch.setattr(files, "read_yaml", lambda text: reads.append(text) or read_yaml(text))
    monkeypatch.setattr(
        checks, "_check", lambda settings, *types: checked.append(settings.values) or check(settings, *types)
    )
    good, bad = "mapping: {read once: null}\n", "read_once: 1\n"
    for number in range(5):
        assert resolve("gift_cards", sidecar=read_settings(good, f"{number}.yaml")).mapping == {"read once": None}
        assert wrong(sidecar=read_settings(bad, f"{number}.yaml")).startswith(
            f"{number}.yaml: line 1, read_once: there"
        )
    assert (reads.count(good), reads.count(bad)) == (1, 1)
    assert checked.count({"read_once": 1}) == checked.count({"mapping": {"read once": None}}) == 1


def test_x22_the_memory_of_what_was_read_is_bounded():
    kept = files._ReadTexts(1 << 20)
    tracemalloc.start()
    for number in range(40):
        kept.get(f"# {number}\n".encode() + b"".join(b"%d:\n" % key for key in range(900)))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 2 << 20  # all forty hold seven


def test_values_that_yaml_has_other_plans_for_are_text():
    assert read_settings("delimiter: =\npool: <<\n", "s.yaml").values == {"delimiter": "=", "pool": "<<"}


class TestLocked:
    """X-21: what a folder locks, its senders and the starters of runs can't change."""

    FOLDER = "review: true\nlocked: [review]\n"

    def folder(self, text=FOLDER, source="_settings.yaml"):
        return read_settings(text, source)

    @pytest.mark.parametrize(
        ("layer", "settings", "who"),
        [
            ("sidecar", read_settings("force: true\nreview: false\n", "a.settings.yaml"), "a.settings.yaml: line 2"),
            ("sidecar", {"review": False}, "the file's settings:"),
            ("parameters", {"review": False}, "the run's parameters:"),
            ("parameters", read_assignments(["review=false"]), "--set:"),
        ],
    )  # fmt: skip
    def test_who_gives_it_another_value_is_refused_and_the_message_names_who_locked_it(self, layer, settings, who):
        message = wrong(folder=self.folder(), **{layer: settings})
        assert message.startswith(who)
        assert message.endswith("review: is locked by _settings.yaml and stays true; found false.")

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    def test_the_same_value_is_fine_and_stays_the_folders(self, layer):
        chosen = resolve("gift_cards", folder=self.folder(), **{layer: {"review": True, "force": True}})
        assert (chosen.review, chosen.force, chosen.locked) == (True, True, ["review"])
        assert chosen.given_by == {"review": "folder", "locked": "folder", "force": layer}

    def test_what_is_not_locked_may_be_changed(self):
        assert resolve("gift_cards", folder=self.folder(), sidecar={"retention_days": 3}).retention_days == 3

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    @pytest.mark.parametrize("name", [name for name in SETTINGS if name not in ("locked", "ignore")])
    def test_every_setting_can_be_locked_at_its_default(self, layer, name):
        other = {
            **OF_THE_ROWS, **OF_THE_RUN, "action": "edit_existing", "after": {"gift_card_pools": 5},
        }[name]  # fmt: skip
        kind = {
            "pool": "promo_codes", "on_existing": "promo_codes", "code_pattern": "promo_codes",
            "strict_sold_cards": "gift_cards",
        }.get(name, "customers")  # fmt: skip
        default = getattr(resolve(kind), name)
        if name in ("settle_seconds", "release", "after") and layer == "parameters":
            assert name not in parameter_schema(IMPORT_TYPES[kind])
        assert getattr(resolve(kind, **{layer: {name: other}}), name) == other != default
        assert f"{name}: is locked by the folder's settings" in wrong(
            kind, folder={"locked": [name]}, **{layer: {name: other}}
        )

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    def test_x12_only_folders_say_what_is_ignored(self, layer):
        expected = "ignore: only a folder's settings file can say which names are ignored."
        assert wrong("gift_cards", **{layer: {"ignore": ["*.bak"]}}).endswith(expected)
        assert "ignore" not in parameter_schema(IMPORT_TYPES["gift_cards"])

    def test_the_lock_of_a_types_folder_holds_in_the_folders_below_it(self):
        above = self.folder("retention_days: 5\nlocked: [retention_days]\n", "_settings.yaml of the folder above")
        layers = {"type_folder": above, "folder_name": "spring"}
        sentence = "retention_days: is locked by _settings.yaml of the folder above and stays 5; found 6."
        assert sentence in wrong("promo_codes", folder={"retention_days": 6}, **layers)
        assert sentence in wrong("promo_codes", folder={"locked": []}, sidecar={"retention_days": 6}, **layers)
        chosen = resolve("promo_codes", folder={"locked": ["force"]}, sidecar={"retention_days": 5}, **layers)
        assert chosen.locked == ["retention_days", "force"]

    def test_a_locked_pool_is_that_of_the_folder(self):
        layers = {"type_folder": {"locked": ["pool"]}, "folder_name": "spring"}
        assert resolve("promo_codes", sidecar={"pool": "spring"}, **layers).pool == "spring"
        assert "pool: is locked" in wrong("promo_codes", sidecar={"pool": "summer"}, **layers)

    def test_a_locked_action_is_the_types_only_one(self, other_types, tmp_path):
        silent = tmp_path / "imports.yaml"
        silent.write_text("gift_cards: {defaults: {retention_days: 1}}\n")
        layers = {"folder": {"locked": ["action"]}, "defaults_file": silent}
        assert resolve("gift_cards", parameters={"action": "add_gift_cards"}, **layers).action == "add_gift_cards"

    def test_the_defaults_of_a_type_can_lock_too(self, tmp_path):
        path = tmp_path / "imports.yaml"
        path.write_text("gift_cards: {defaults: {max_reject_share: 0.1, locked: [max_reject_share]}}")
        for layer in ("folder", "sidecar", "parameters"):
            assert "max_reject_share: is locked by imports.yaml and stays 0.1; found 0.5." in wrong(
                defaults_file=path, **{layer: {"max_reject_share": 0.5}}
            )

    @pytest.mark.parametrize("layer", ["sidecar", "parameters"])
    def test_senders_and_starters_can_lock_nothing(self, layer):
        assert "locked: only a folder's settings file can lock settings." in wrong(**{layer: {"locked": ["review"]}})
        assert "locked: only a folder's settings file" in wrong(folder=self.folder(), **{layer: {"locked": []}})

    def test_what_a_corrected_file_inherits_yields_to_the_lock(self):
        job = TestInherited.job(sidecar={"delimiter": ";", "retention_days": 9})
        chosen = resolve("gift_cards", folder={"locked": ["delimiter"]}, inherited=job)
        assert (chosen.delimiter, chosen.retention_days) == (None, 9)
        of_folder = TestInherited.job(folder={"delimiter": ";"})
        assert resolve("gift_cards", folder={"locked": ["delimiter"]}, inherited=of_folder).delimiter is None

    def test_a_lock_is_not_inherited(self):
        job = TestInherited.job(folder={"delimiter": ";", "locked": ["delimiter"]})
        assert resolve("gift_cards", inherited=job, sidecar={"delimiter": "|"}).locked == []

    def test_of_the_landing_folder_only_what_it_locks_holds_for_files_from_elsewhere(self):
        landing = read_settings("review: true\nencoding: cp1251\nlocked: [review, force]\n", "_settings.yaml there")
        chosen = resolve("gift_cards", landing_folder=landing)
        assert (chosen.review, chosen.encoding, chosen.locked) == (True, "utf-8", ["review", "force"])
        for parameters in ({"review": False}, {"force": True}):
            assert "is locked by _settings.yaml there" in wrong(landing_folder=landing, parameters=parameters)

    def test_of_a_mapping_no_header_is_quoted(self):
        message = wrong(
            folder={"mapping": {"Anna Secret": "card_number"}, "locked": ["mapping"]},
            sidecar={"mapping": {"Bob": None}},
        )
        assert message == ("the file's settings: mapping: is locked by the folder's settings and can't be another one.")

    @pytest.mark.parametrize(
        ("locked", "sentence"),
        [
            (["reviw"], "locked: there is no setting 'reviw' to lock (did you mean review?)."),
            (["locked"], "locked: there is no setting 'locked' to lock"),
            (["given_by"], "locked: there is no setting 'given_by' to lock"),
            (["segment"], "locked: only customers have the setting segment, not gift_cards."),
            ("review", "locked: must be a valid list, found 'review'."),
            ([1], "locked: '[0]' must be text, found 1"),
        ],
    )
    def test_a_lock_of_what_is_no_setting_of_the_type_is_a_mistake(self, locked, sentence):
        assert wrong(folder={"locked": locked}).startswith(f"the folder's settings: {sentence}")


def test_assignments_of_the_command_line():
    settings = read_assignments(
        ["pool=0123", "encoding=utf-16", "dry_run=true", "mapping={No: card_number, PIN: null}", "delimiter==",
         "max_reject_share=0.5", "release=0 2 * * *"]
    )  # fmt: skip
    assert settings.values == {
        "pool": "0123",
        "encoding": "utf-16",
        "dry_run": True,
        "mapping": {"No": "card_number", "PIN": None},
        "delimiter": "=",
        "max_reject_share": 0.5,
        "release": "0 2 * * *",
    }


@pytest.mark.parametrize("assignments", [["pool"], ["pool="], ["pool=a", "pool=b"], ["mapping={a"]])
def test_assignments_that_can_not_be_read_are_refused(assignments):
    with pytest.raises(SettingsError, match=r"--set"):
        read_assignments(assignments)


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("", ["expected a section for each import type, found none"]),
        ("a: [", ["line 1: not valid YAML: did not find expected node content"]),
        (
            "gift_card:\n  defaults: {}\ngift_cards:\n  action: x\n",
            [
                "line 1, gift_card: there is no such import type (did you mean gift_cards?)",
                "line 3, gift_cards: must have the key defaults, with settings below it, and nothing else",
            ],
        ),
        (
            "gift_cards:\n  defaults:\n    dry_run: 1\n    pol: x\n    after:\n      [nothing]\n",
            [
                "line 4, gift_cards.defaults.pol: there is no such setting (there are: action,",
                "line 3, gift_cards.defaults.dry_run: must be true or false, found 1",
            ],
        ),
    ],
)
def test_mistakes_of_the_defaults_file_are_reported_with_key_and_line(tmp_path, text, mistakes):
    path = tmp_path / "imports.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_defaults(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(mistakes)
    for line, mistake in zip(lines, mistakes, strict=True):
        assert line.startswith(f"imports.yaml: {mistake}")


def test_other_defaults_can_be_read_from_another_file(tmp_path):
    path = tmp_path / "imports.yaml"
    path.write_text("gift_cards: {defaults: {retention_days: 3}}")
    assert resolve("gift_cards", defaults_file=path).retention_days == 3
    assert IMPORTS_YAML.name == "imports.yaml"


OF_THE_ROWS = {
    "action": "add_and_edit", "encoding": "cp1251", "delimiter": ";", "mapping": {"a": None}, "strict_sold_cards": True,
    "pool": "p", "on_existing": "update_dates", "data_source": "d", "point_of_contact": "p",
    "take_point_of_contact_from_file": True, "take_action_template_from_file": True, "segment": "s",
    "on_invalid_optional": "drop_value", "slash_dates": "day_first", "phone_region": "DE",
    "replace_external_ids": True, "shared_identifier_rows": 5, "code_pattern": "[A-Z]+",
}  # fmt: skip
OF_THE_RUN = {
    "review": True, "review_columns": False, "review_reject_share": 0.25, "review_changed_share": 0.5,
    "review_header_change": True,
    "review_hours": 1, "dry_run": True, "force": True, "max_file_bytes": 5, "max_reject_share": 0.5,
    "rejects_verbatim": True, "settle_seconds": 9, "retention_days": 9, "release": "0 2 * * *",
    "after": {"gift_card_pools": 5}, "ignore": ["*.bak"], "locked": ["review"], "given_by": {"delimiter": "folder"},
}  # fmt: skip


def test_x13_every_setting_either_bears_on_the_rows_or_on_the_run():
    assert {*OF_THE_ROWS, *OF_THE_RUN} == {*SETTINGS, "given_by"}


def owner(key):
    """Return the name of the first type that has a setting."""
    return next(iter(IMPORT_TYPES.with_setting(key)), "gift_cards")


@pytest.mark.parametrize(("key", "value"), OF_THE_ROWS.items())
def test_x13_settings_that_bear_on_the_rows_change_the_fingerprint(key, value):
    changed, plain = settings_of(owner(key), **{key: value}), settings_of(owner(key))
    assert fingerprint_settings(changed) != fingerprint_settings(plain)


@pytest.mark.parametrize(("key", "value"), OF_THE_RUN.items())
def test_x13_settings_of_the_run_leave_the_fingerprint_alone(key, value):
    changed, plain = settings_of(owner(key), **{key: value}), settings_of(owner(key))
    assert fingerprint_settings(changed) == fingerprint_settings(plain)


@pytest.mark.parametrize(
    ("import_type", "values", "stated"),
    [
        ("gift_cards", {}, '"action":null,"data_source":null,"delimiter":null,'),
        (
            "customers",
            {"data_source": "shop", "shared_identifier_rows": 5},
            '"action":null,"data_source":"shop","delimiter":null,',
        ),
    ],
)
def test_x13_a_file_that_an_earlier_version_imported_is_recognised(import_type, values, stated):
    """The first version named every setting that bears on rows for every type; later settings are named when given."""
    later = '"shared_identifier_rows":5,' if "shared_identifier_rows" in values else ""
    assert fingerprint_settings(settings_of(import_type, **values)) == (
        f'{{{stated}"encoding":"utf-8","mapping":{{}},"on_existing":"reject","on_invalid_optional":"reject_row",'
        f'"point_of_contact":null,"pool":null,"segment":null,{later}"slash_dates":"refuse","strict_sold_cards":false,'
        '"take_action_template_from_file":false,"take_point_of_contact_from_file":false}'
    )


@pytest.mark.parametrize("key", ["pool", "data_source", "point_of_contact", "segment"])
def test_x16_names_are_composed_and_hold_no_character_that_nobody_sees(key):
    import_type = "promo_codes" if key == "pool" else "customers"
    assert getattr(resolve(import_type, folder={key: " Cafe\u0301 "}), key) == "Caf\u00e9"
    assert getattr(resolve(import_type, folder={key: "\u2764\ufe0f"}), key) == "\u2764\ufe0f"
    assert "contains U+200D ZERO WIDTH JOINER as its 2nd character" in wrong(import_type, folder={key: "a\u200db"})
    assert "contains U+0007 ALERT as its last character" in wrong(import_type, folder={key: "ab\a"})


def test_pc02_a_folders_name_is_compared_composed():
    assert resolve("promo_codes", folder={"pool": "Caf\u00e9"}, folder_name="Cafe\u0301").pool == "Caf\u00e9"


@pytest.mark.parametrize(("value", "region"), [("DE", "DE"), (" gb ", "GB")])
def test_a_phone_region_is_one_that_numbers_are_known_for(value, region):
    """Source: value formats."""
    assert resolve("customers", folder={"phone_region": value}).phone_region == region
    assert "phone_region: 'XX' is no region" in wrong("customers", folder={"phone_region": "XX"})
    assert "only customers have this setting" in wrong("gift_cards", folder={"phone_region": "DE"})


def test_x13_the_fingerprint_does_not_depend_on_the_order_of_keys():
    texts = {
        fingerprint_settings(settings_of("gift_cards", mapping=mapping))
        for mapping in ({"a": "x", "b": None}, {"b": None, "a": "x"})
    }
    assert len(texts) == 1
    assert json.loads(texts.pop())["mapping"] == {"a": "x", "b": None}


def test_settings_survive_the_ledger():
    chosen = resolve("gift_cards", sidecar={"mapping": {"Nr": "card_number"}, "max_reject_share": 0.5})
    assert type(chosen).from_stored(json.loads(json.dumps(chosen.model_dump(mode="json")))) == chosen


def test_x06_any_user_may_ask_for_a_review_and_it_is_meant_for_one_file_alone():
    assert resolve("gift_cards").review is False
    assert resolve("gift_cards", folder={"review": True}).review is True
    assert resolve("gift_cards", folder={"review": True}, parameters={"review": False}).review is False
    asked = resolve("customers", sidecar={"review": True, "review_changed_share": 0.1, "review_hours": 2})
    taken_over = inheritable("customers", asked.model_dump(mode="json")).values
    assert not {name for name in taken_over if name.startswith("review")}
    editing = IMPORT_TYPES.with_setting("review_changed_share")
    assert editing[:2] == ["promo_code_pools", "customers"]
    assert f"only {', '.join(editing)} have this" in wrong("gift_cards", folder={"review_changed_share": 0.1})


def test_x09_a_mapping_of_a_review_is_inherited_before_the_folders_own():
    chosen = resolve("gift_cards", folder={"mapping": {"a": "balance"}}).model_dump(mode="json")
    chosen |= {"mapping": {"b": "balance"}, "given_by": {"mapping": "review"}}
    again = resolve("gift_cards", folder={"mapping": {"a": "balance"}}, inherited=inheritable("gift_cards", chosen))
    assert (again.mapping, again.given_by["mapping"]) == ({"b": "balance"}, "review")


def test_the_form_offers_what_fits_the_type_and_is_not_over_before_a_run():
    assert set(parameter_schema(IMPORT_TYPES["gift_card_pools"])) == {
        "action", "encoding", "delimiter", "mapping", "review", "review_columns", "review_reject_share",
        "review_header_change", "review_hours", "dry_run", "force", "max_file_bytes",
        "max_reject_share", "slash_dates", "rejects_verbatim", "retention_days",
    }  # fmt: skip
    assert set(parameter_schema(IMPORT_TYPES["gift_cards"])) - set(
        parameter_schema(IMPORT_TYPES["gift_card_pools"])
    ) == {"strict_sold_cards"}


def test_every_field_of_the_form_may_be_left_alone_and_is_described():
    for name, schema in parameter_schema(IMPORT_TYPES["gift_cards"]).items():
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(None, schema)
        assert schema["title"], name
        assert schema["description"].endswith("."), name


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("action", "add_gift_cards", "add"),
        ("slash_dates", "day_first", "us"),
        ("dry_run", True, "yes"),
        ("max_reject_share", 0.5, 2),
        ("retention_days", 3, 0),
        ("mapping", {"Nr": "card_number", "PIN": None}, {"Nr": 5}),
        ("delimiter", ";", 5),
    ],
)
def test_the_form_accepts_what_the_settings_accept(name, good, bad):
    schema = parameter_schema(IMPORT_TYPES["gift_cards"])[name]
    jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)
    assert resolve("gift_cards", parameters={name: good}).model_dump()[name] == good


def test_the_table_of_settings_describes_every_one_in_a_line():
    table = {row.name: row for row in describe_settings(IMPORT_TYPES)}
    assert list(table) == list(SETTINGS)
    assert all("\n" not in row.description and row.description.endswith(".") for row in table.values())
    assert table["max_reject_share"][1:4] == ("number from 0 to 1", "", ())
    assert table["slash_dates"][1:4] == ("refuse, month_first, day_first", "refuse", ())
    assert table["strict_sold_cards"][1:4] == ("true, false", "false", ("gift_cards",))


def test_importing_the_settings_is_light_enough_for_the_parsing_of_dags():
    heavy = ["airflow", "pandas", "pyarrow", "numpy", "sqlalchemy", "great_expectations", "phonenumbers"]
    code = (
        "import sys; import include.settings.layers; import include.import_types; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    root = Path(layers.__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["*"], "'*' would ignore every file"),
        (["a.csv", "**"], "'**' would ignore every file"),
        (["?*"], "would ignore every file"),
        ([""], "ignore"),
        (["x" * 256], "ignore"),
        ([f"{number}.bak" for number in range(101)], "ignore"),
        ("*.bak", "ignore"),
        ([1], "ignore"),
    ],
)
def test_x12_patterns_of_ignored_names_are_bounded(patterns, message):
    assert message in wrong("gift_cards", folder={"ignore": patterns})


def test_x12_patterns_of_ignored_names_replace_the_usual_ones():
    assert resolve("gift_cards").ignore == ["*.md5", "*.sha256", "_SUCCESS", "Thumbs.db", "desktop.ini"]
    assert resolve("gift_cards", folder={"ignore": ["[ab]*.old", "[ab]*.old"]}).ignore == ["[ab]*.old"]
    assert resolve("gift_cards", folder={"ignore": []}).ignore == []


def test_x16_names_in_settings_are_composed():
    assert resolve("promo_codes", sidecar={"pool": "cafe\u0301"}).pool == "caf\u00e9"
    assert resolve("promo_codes", folder={"pool": "cafe\u0301"}, folder_name="caf\u00e9").pool == "caf\u00e9"


def refusal_of(import_type: str, text: str, source: str, **layers) -> str:
    with pytest.raises(SettingsError) as caught:
        resolve(import_type, sidecar=files.read_settings(text, source), **layers)
    return caught.value.message


@pytest.mark.parametrize(
    ("import_type", "text", "message"),
    [
        ("gift_cards", "dry_runn: true", "cards_20261201.csv: line 1, dry_runn: there is no such setting"),
        ("gift_cards", "retention_days: 36500", "must be less than or equal to 3650, found 36500."),
        ("gift_cards", "settle_seconds: 90000", "must be less than or equal to 86400, found 90000."),
        ("gift_cards", "release: 30 2 30 2 *", "release: '30 2 30 2 *' never comes"),
        ("gift_cards", "\n" * 12345 + "force: 1", "cards_20261201.csv: line 12346, force: must be true or false"),
        ("promo_codes", "pool: WIN-20261", "pool 'SUMMER-20261', but its settings (sidecar) name the pool 'WIN-20261'"),
    ],
)  # fmt: skip
def test_x08_a_sentence_about_settings_shows_names_lines_and_limits(import_type: str, text: str, message: str):
    """Source: X-08, X-11."""
    folder = "SUMMER-20261" if import_type == "promo_codes" else None
    assert message in refusal_of(import_type, text, "cards_20261201.csv", folder_name=folder)


@pytest.mark.parametrize("data", ["4929333344445555", "ann@example.com", "+49 30 1234567", "GC-AB12CD34"])
@pytest.mark.parametrize(
    "text",
    ["'{0}': x", "force: '{0}'", "slash_dates: '{0}'", "encoding: '{0}'", "retention_days: {0}", "after: {{'{0}': 5}}",
     "mapping: {{'{0}': 5}}", "mapping: '{0}'", "locked: ['{0}']", "ignore: '{0}'", "release: '{0} 1 1 1 1'",
     "delimiter: '{0}'", "action: '{0}'", "'{0}': 1\n'{0}': 2", "'{0}", "2024-13-45 {0}", "code_pattern: '({0}'",
     "phone_region: '{0}'", "max_file_bytes: -{0}"],
)  # fmt: skip
def test_x20_a_sentence_about_settings_masks_keys_and_values_that_look_like_data(text: str, data: str):
    for import_type in ("gift_cards", "promo_codes", "customers"):
        with pytest.raises(SettingsError) as caught:
            resolve(
                import_type, sidecar=files.read_settings(text.format(data), "cards.csv"), parameters={"action": "?"}
            )
        assert data not in caught.value.message
        assert data[3:] not in caught.value.message


@pytest.mark.parametrize("data", ["4929333344445555", "ann@example.com"])
def test_x20_assignments_of_the_command_line_are_masked_in_sentences(data: str):
    for assignments in ([data], [f"{data}=1", f"{data}=2"], [f"{data}=[", "x=1"], [f"mapping={{{data}"]):
        with pytest.raises(SettingsError) as caught:
            read_assignments(assignments)
        assert data not in caught.value.message
