"""Declarations of promo code pools and promo codes, and what the engine reads for them. Source: sections 4 and 5."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from include import import_types
from include.arrivals.pasting import begins_with_header
from include.declaration.fields import Field, Kind
from include.errors import SettingsError
from include.import_types.promo_code_pools import make_system_id
from include.reading import parsing
from include.stages.judging import staging_columns
from tests.settings import fingerprint_settings, inheritable, resolve, settings_of

pytestmark = pytest.mark.unit

POOLS, CODES = import_types.get("promo_code_pools"), import_types.get("promo_codes")
OPTIONS = parsing.ReadOptions(slash_dates="refuse", phone_region="US", today=date(2026, 5, 1))


def read(field: Field, *cells: str) -> dict[str, list[object]]:
    return {name: values.to_pylist() for name, values in
            parsing.read_field(pa.array(cells, pa.string()), field, OPTIONS).items()}  # fmt: skip


def test_section_4_the_fields_of_pools():
    assert {field.name: field.kind for field in POOLS.fields} == {
        "system_id": Kind.IDENTIFIER, "name": Kind.IDENTIFIER, "description": Kind.TEXT, "campaign": Kind.TEXT,
        "parameter_name": Kind.IDENTIFIER, "fill_method": Kind.ENUM, "format": Kind.IDENTIFIER,
        "quantity": Kind.INTEGER,
        "auto_generate": Kind.BOOLEAN, "top_up_threshold": Kind.INTEGER, "notify_below": Kind.INTEGER,
        "lead_hours": Kind.INTEGER, "issue_check": Kind.BOOLEAN, "assigned_validity_days": Kind.INTEGER,
        "processing": Kind.ENUM, "multi_use": Kind.BOOLEAN, "code_pattern": Kind.TEXT,
        "launch": Kind.BOOLEAN,
    }  # fmt: skip
    assert [field.name for field in POOLS.fields if field.required] == ["name"]
    assert [field.name for field in POOLS.fields if not field.clearable] == ["launch"]
    assert [field.name for field in POOLS.fields if field.default is not None] == []  # a blank cell keeps
    assert POOLS.edits


def test_section_5_the_fields_of_codes_and_which_of_them_is_masked():
    assert {field.name: field.kind for field in CODES.fields} == {
        "code": Kind.IDENTIFIER, "pool": Kind.IDENTIFIER, "issue_start": Kind.DATETIME, "issue_end": Kind.DATETIME,
        "available_from": Kind.DATETIME, "available_till": Kind.DATETIME,
    }  # fmt: skip
    assert [field.name for field in CODES.fields if field.required] == ["code"]
    assert [field.name for field in CODES.fields if field.is_end] == ["issue_end", "available_till"]
    assert [field.name for field in CODES.fields if field.sensitive] == ["code"]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("CodeType", "pool"), ("IssueStartDateTimeUtc", "issue_start"), ("IssueEndDateTimeUtc", "issue_end"),
        ("AvailableFromDateTimeUtc", "available_from"), ("AvailableTillDateTimeUtc", "available_till"),
        ("active-from", "available_from"), ("expired-at", "available_till"),
    ],
)  # fmt: skip
def test_section_5_further_names_of_the_columns_of_codes(header: str, field: str):
    assert header in next(code_field for code_field in CODES.fields if code_field.name == field).aliases


@pytest.mark.parametrize(
    ("name", "system_id"),
    [
        ("Spring Sale 2026!", "spring_sale_2026"), ("  -10 % off- ", "10_off"), ("Весна / Лето", "весна_лето"),
        ("a__b", "a_b"), ("STRASSE Straße", "strasse_strasse"), ("Ｆｕｌｌ", "full"), ("é", "é"), ("e\u0301", "é"),
        ("हिन्दी", "हिन्दी"), ("२०", "२०"), ("春のセール", "春のセール"), ("!?", None), ("", None), ("_", None),
        ("€" * 1000, None), ("ä" * 1300, "ä" * 1300), ("ä" * 1301, None),
    ],
)  # fmt: skip
def test_section_4_the_id_is_made_of_the_letters_and_digits_of_any_script(name: str, system_id: str | None):
    assert make_system_id(name) == system_id


@pytest.mark.parametrize("kind", [Kind.TEXT, Kind.IDENTIFIER, Kind.BOOLEAN, Kind.INTEGER, Kind.ENUM, Kind.DATETIME,
                                  Kind.DECIMAL, Kind.EMAIL, Kind.PHONE, Kind.DATE])  # fmt: skip
def test_pp02_clear_gives_null_and_no_problem_where_a_field_can_be_erased(kind: Kind):
    field = Field("f", "F", kind, clearable=True, choices=("x",) if kind is Kind.ENUM else ())
    columns = read(field, " %CLEAR% ", "", "%CLEAR")
    assert columns["f__clear"] == [True, False, False]
    assert columns["f"][:2] == [None, None]
    assert columns.get("f__problem", [None, None])[:2] == [None, None]
    assert columns.get("f__sent", ["%CLEAR%"])[0] == "%CLEAR%"
    kept = read(replace(field, clearable=False), "%CLEAR%")
    assert "f__clear" not in kept
    assert kept["f"] == ["%CLEAR%"] or kept["f__problem"] != [None]


def test_pp02_a_field_without_a_column_is_not_cleared():
    field = Field("f", "F", clearable=True)
    assert parsing.absent_field(field, 2)["f__clear"].to_pylist() == [False, False]
    assert staging_columns(POOLS, POOLS.fields)["quantity__clear"] == "boolean NOT NULL DEFAULT false"


def test_cu04_clear_is_no_blank_that_a_default_would_fill():
    field = Field("f", "F", Kind.ENUM, choices=("x",), default="x", clearable=True)
    assert read(field, "%CLEAR%", "")["f"] == [None, "x"]


def test_pc03_a_day_alone_ends_with_the_next_midnight_and_a_time_is_taken_as_it_is():
    end = Field("f", "F", Kind.DATETIME, is_end=True)
    cells = ("2024-02-28", "31.12.2024", "2024-02-28 00:00", "2024-02-28T23:30+01:00", "", "2024-02-30", "9999-12-31",
             "9999-12-30", "9999-12-31 00:00")  # fmt: skip
    columns = read(end, *cells)
    assert columns["f"] == [
        datetime(2024, 2, 29, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC), datetime(2024, 2, 28, tzinfo=UTC),
        datetime(2024, 2, 28, 22, 30, tzinfo=UTC), None, None, datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC),
    ]  # fmt: skip
    assert columns["f__problem"] == [*[None] * 5, "impossible_date", *[None] * 3]
    assert read(replace(end, is_end=False), "2024-02-28")["f"] == [datetime(2024, 2, 28, tzinfo=UTC)]


def test_pc02_a_setting_fills_blank_cells_and_no_unreadable_ones():
    field = next(field for field in CODES.fields if field.name == "pool")
    columns = parsing.read_field(pa.array(["a", " ", "1E+15"]), field, OPTIONS)
    filled = parsing.with_setting(columns, field, "b")
    assert filled["pool"].to_pylist() == ["a", "b", None]
    assert filled["pool__sent"].to_pylist() == ["a", None, "1E+15"]
    assert filled["pool__setting"].to_pylist() == ["b"] * 3
    without = parsing.with_setting(columns, field, None)
    assert (without["pool"].to_pylist(), without["pool__setting"].to_pylist()) == (["a", None, None], [None] * 3)


class TestFolderOfAPool:
    def test_pc02_the_folder_s_name_is_the_pool(self):
        chosen = resolve("promo_codes", folder_name="spring")
        assert (chosen.pool, chosen.given_by["pool"]) == ("spring", "folder")
        assert resolve("promo_codes", folder_name="spring", parameters={"pool": "spring"}).pool == "spring"
        assert resolve("promo_codes").pool is None

    @pytest.mark.parametrize("layer", ["type_folder", "folder", "sidecar", "parameters"])
    def test_pc02_a_layer_that_names_another_pool_disagrees(self, layer: str):
        with pytest.raises(SettingsError) as caught:
            resolve("promo_codes", folder_name="spring", **{layer: {"pool": "autumn"}})
        assert caught.value.rule == "file.pool_disagrees"
        assert "'spring'" in caught.value.message
        assert "'autumn'" in caught.value.message

    @pytest.mark.parametrize("giver", ["folder", "sidecar", "parameters", None])
    def test_x09_the_folder_goes_before_the_inherited_pool_and_only_before_that(self, giver: str | None):
        stored = {"pool": "autumn", "delimiter": "|", "given_by": {"pool": giver, "delimiter": giver} if giver else {}}
        chosen = resolve("promo_codes", folder_name="spring", inherited=inheritable("promo_codes", stored))
        assert (chosen.pool, chosen.given_by["pool"], chosen.delimiter) == ("spring", "folder", "|")
        with pytest.raises(SettingsError, match="winter"):
            resolve(
                "promo_codes",
                folder_name="spring",
                inherited=inheritable("promo_codes", stored),
                sidecar={"pool": "winter"},
            )

    def test_x11_the_settings_of_the_type_s_folder_hold_below_it_and_the_folder_s_own_go_before_them(self):
        above = {"delimiter": ";", "slash_dates": "day_first"}
        chosen = resolve("promo_codes", type_folder=above, folder={"delimiter": "|"}, folder_name="spring")
        assert (chosen.delimiter, chosen.slash_dates) == ("|", "day_first")

    def test_x09_the_pool_of_a_folder_is_inherited(self):
        stored = resolve("promo_codes", folder_name="spring").model_dump(mode="json")
        assert resolve("promo_codes", inherited=inheritable("promo_codes", stored)).pool == "spring"

    def test_other_types_have_no_folders_below_theirs(self):
        assert [name for name, import_type in import_types.IMPORT_TYPES.items() if import_type.folder_setting] == [
            "promo_codes"
        ]
        assert resolve("gift_cards", folder_name="spring") == resolve("gift_cards")


@pytest.mark.parametrize(
    ("text", "is_header"),
    [
        ("Code\nA1", True), ("code", True), ("\n \n CODE \n", True), ('"Code";Pool\nA;b', True),
        ("pool\tcode\nx", True),
        ("A1\nCode", False), ("POOL\nA1", False), ("Issue-start\n", False), ("CODE1", False), ("MYCODE,x", False),
        ("Gutschein\nA1", True), ("Gutschein1", False),
    ],
)  # fmt: skip
def test_pc01_a_pasted_text_begins_with_a_header_when_its_first_line_names_the_code_s_column(text, is_header):
    chosen = settings_of("promo_codes", mapping={"Gutschein": "code"})
    assert begins_with_header(text, CODES, chosen) is is_header
    assert not begins_with_header("code;x", CODES, settings_of("promo_codes", delimiter="|"))


def test_x13_pool_and_on_existing_bear_on_what_is_loaded():
    prints = {fingerprint_settings(resolve("promo_codes", parameters=parameters))
              for parameters in ({}, {"pool": "a"}, {"pool": "b"}, {"on_existing": "update_dates"})}  # fmt: skip
    assert len(prints) == 4
    assert fingerprint_settings(resolve("promo_codes", folder_name="a")) in prints
