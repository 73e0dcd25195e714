"""Typed reading of cell texts. Source: value formats, X-16."""

import itertools
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.declaration.fields import Field, Kind
from include.errors import ConfigurationError
from include.reading.parsing import REASONS, ReadOptions, absent_field, read_field
from include.values import cells

pytestmark = pytest.mark.unit

OPTIONS = ReadOptions(slash_dates="refuse", phone_region="US", today=date(2026, 5, 1))
SEX = Field(
    "f",
    "Sex",
    Kind.ENUM,
    choices=("male", "female"),
    synonyms={"m": "male", "f": "female", "w": "female"},
)


def read(kind: Kind, texts: list[str | None], **declared: object) -> dict[str, list[object]]:
    columns = read_field(pa.array(texts, pa.string()), Field("f", "F", kind, **declared), OPTIONS)
    return {name: column.to_pylist() for name, column in columns.items()}


def verdict(kind: Kind, text: str, **declared: object) -> object:
    """The value of one text, or its problem's code."""
    columns = read(kind, [text], **declared)
    [value], [problem] = columns["f"], columns["f__problem"]
    assert (value is None) is (problem is not None)
    return problem or value


# Trimming


def test_white_space_is_unicodes_own_list() -> None:
    """X-16: Python's isspace differs from Unicode White_Space by the four separators U+001C-U+001F alone."""
    python_space = {character for character in map(chr, range(sys.maxunicode + 1)) if character.isspace()}
    assert set(cells.WHITE_SPACE) == python_space - set("\x1c\x1d\x1e\x1f")
    assert len(cells.WHITE_SPACE) == len(set(cells.WHITE_SPACE)) == 25


@pytest.mark.parametrize("space", cells.WHITE_SPACE, ids=lambda space: f"U+{ord(space):04X}")
def test_x16_every_white_space_character_is_trimmed_and_a_cell_of_nothing_else_is_blank(space: str) -> None:
    texts = [f"{space}{space}a{space}b{space}", space, "c"]
    assert read(Kind.TEXT, texts) == {"f": [unicodedata.normalize("NFC", f"a{space}b"), None, "c"]}


@pytest.mark.parametrize("other", ["\x1c", "\x1f", "\u200b", "\u2060", "\ufeff", "\u180e", "\x00"])
def test_x16_what_is_no_white_space_stays(other: str) -> None:
    assert read(Kind.TEXT, [f" {other}a{other} ", other]) == {"f": [f"{other}a{other}", other]}


@given(st.lists(st.none() | st.text(st.sampled_from([*cells.WHITE_SPACE, *"ab\x1c\ufeffé中\u0680\u2000"]), max_size=5)))
def test_x16_trimming_a_column_is_trimming_each_cell(texts: list[str | None]) -> None:
    expected = [text.strip(cells.WHITE_SPACE) or None if text is not None else None for text in texts]
    assert cells.trim(pa.array(texts, pa.string())).to_pylist() == expected


def test_a_column_without_surrounding_white_space_or_blanks_is_not_copied() -> None:
    column = pa.array(["a b", "éa", "中x"])
    assert cells.trim(column) is column


def test_blanks_become_null_without_a_copy_of_the_texts() -> None:
    column = pa.array(["a", "", "b"])
    trimmed = cells.trim(column)
    assert trimmed.to_pylist() == ["a", None, "b"]
    assert trimmed.null_count == 1
    assert trimmed.buffers()[2].address == column.buffers()[2].address


def test_a_null_cell_stays_null_even_if_bytes_are_under_it() -> None:
    """Arrow leaves the bytes of a nulled cell where they are."""
    whole = pa.array(["a", "hidden", "", "b"])
    _, offsets, texts = whole.buffers()
    hidden = pa.Array.from_buffers(pa.string(), 4, [pa.py_buffer(bytes([0b1101])), offsets, texts])
    assert cells.trim(hidden).to_pylist() == ["a", None, None, "b"]
    for kind in (Kind.DATE, Kind.EMAIL, Kind.PHONE, Kind.DECIMAL, Kind.ENUM):
        columns = read_field(hidden, Field("f", "F", kind), OPTIONS)
        assert columns["f__sent"].to_pylist() == ["a", None, None, "b"]
        assert columns["f__problem"].is_null().to_pylist() == [False, True, True, False]


# Columns


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.TEXT])
def test_a_typed_field_has_its_value_the_trimmed_text_and_the_problem(kind: Kind) -> None:
    columns = read_field(pa.array([" ?E+? ", " ", "", None]), Field("f", "F", kind), OPTIONS)
    assert list(columns) == ["f", "f__sent", "f__problem"]
    assert columns["f__sent"].to_pylist() == ["?E+?", None, None, None]
    assert columns["f__problem"].to_pylist()[1:] == [None, None, None]
    assert columns["f"].to_pylist()[1:] == [None, None, None]


TYPES = {
    Kind.TEXT: pa.string(),
    Kind.IDENTIFIER: pa.string(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.DECIMAL: pa.decimal128(18, 2),
    Kind.INTEGER: pa.int64(),
    Kind.DATE: pa.date32(),
    Kind.DATETIME: pa.timestamp("us", "UTC"),
    Kind.ENUM: pa.string(),
    Kind.EMAIL: pa.string(),
    Kind.PHONE: pa.string(),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("texts", [[], [""], ["1"], ["x"], ["x", "", "1"]], ids=str)
def test_types_do_not_depend_on_the_values(kind: Kind, texts: list[str]) -> None:
    field = Field("f", "F", kind)
    present = read_field(pa.array(texts, pa.string()), field, OPTIONS)
    absent = absent_field(field, len(texts))
    expected = {"f": TYPES[kind]} | ({} if kind is Kind.TEXT else {"f__sent": pa.string(), "f__problem": pa.string()})
    for columns in (present, absent):
        assert {name: column.type for name, column in columns.items()} == expected
        assert all(isinstance(column, pa.Array) and len(column) == len(texts) for column in columns.values())
    assert all(column.null_count == len(texts) for column in absent.values())


ODDS_AND_ENDS = [
    *["", " ", "1", "0", "yes", " No ", "1.5", "1,5", "-3", "1.234", "1.23E+15", "007", "é", "中文", "m"],
    *["a\u200bb", "#N/A", "'1'", "0.0", "1,000", "+999 123456789", "-", "a@b.de\u200b"],
    *["2024-02-29", "30.2.2024 10:00Z", "01/02/2024", "a@b.de", "ü@b.de", "+12125550100", "(212) 555-0100", "x 1"],
]


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=60)
@given(
    texts=st.lists(st.none() | st.sampled_from(ODDS_AND_ENDS), max_size=12),
    start=st.integers(0, 4),
    length=st.integers(0, 12),
)
@example(texts=["1.5", "1,5", "-3"], start=1, length=2)
@example(texts=[" x", "2024-02-29", "30.2.2024 10:00Z"], start=1, length=2)
def test_a_slice_of_a_column_reads_like_a_column_of_its_own(
    kind: Kind, texts: list[str | None], start: int, length: int
) -> None:
    """Arrow slices share the buffers of the whole: offsets that are forgotten read the neighbours' cells."""
    field = replace(SEX, kind=kind)
    piece = pa.array(texts, pa.string()).slice(start, length)
    alone = read_field(pa.array(piece.to_pylist(), pa.string()), field, OPTIONS)
    columns = read_field(piece, field, OPTIONS)
    for name, column in columns.items():
        column.validate(full=True)
        assert column.to_pylist() == alone[name].to_pylist()


@pytest.mark.parametrize("kind", Kind)
@given(texts=st.lists(st.text(max_size=30) | st.text("0123456789.,:-+/ TZE@", max_size=30), max_size=8))
def test_no_text_makes_the_reader_fail_and_every_problem_has_a_reason(kind: Kind, texts: list[str]) -> None:
    field = replace(SEX, kind=kind, allows_two_digit_year=True)
    for slash_dates in ("refuse", "month_first"):
        columns = read_field(pa.array(texts, pa.string()), field, replace(OPTIONS, slash_dates=slash_dates))
        if kind is Kind.TEXT:
            continue
        rows = zip(*(columns[name].to_pylist() for name in ("f", "f__sent", "f__problem")), strict=True)
        for value, sent, problem in rows:
            assert problem is None or problem in REASONS
            assert (sent is not None) == ((value is not None) or (problem is not None))


def test_every_reason_belongs_to_a_problem_that_can_occur() -> None:
    texts = [*ODDS_AND_ENDS, "1" * 20, "x" * 255, "+1 111 111 1111"]
    seen = set()
    for kind in (kind for kind in Kind if kind is not Kind.TEXT):
        seen |= set(read(kind, texts)["f__problem"])
    seen |= set(read(Kind.IDENTIFIER, ["'1'", "'2'"])["f__problem"])
    assert seen == {*REASONS, None}


# Identifiers


def test_x16_identifiers_keep_their_leading_zeros_and_their_case() -> None:
    assert read(Kind.IDENTIFIER, [" 000123 ", "aBc", "1.2.3", "12E5", "1E5", "5e3"])["f"] == [
        *["000123", "aBc", "1.2.3", "12E5", "1E5", "5e3"]
    ]


@pytest.mark.parametrize("text", ["1.23E+15", "1,23E+15", "1.23e+15", "1E+15", "-1.5E+09", "1.23457E+18", "4.5E+100"])
def test_a_number_mangled_by_a_spreadsheet_is_no_identifier(text: str) -> None:
    columns = read(Kind.IDENTIFIER, ["a+b", f" {text} ", "E+15", "1.2.3E+15"])
    assert columns == {
        "f": ["a+b", None, "E+15", "1.2.3E+15"],
        "f__sent": ["a+b", text, "E+15", "1.2.3E+15"],
        "f__problem": [None, "spreadsheet_number", None, None],
    }


@given(st.lists(st.text("019eE+-., aé", max_size=10)))
@example(["1E+1", "", " 2,5E+03 "])
def test_identifiers_read_as_each_one_alone_would(texts: list[str]) -> None:
    columns = read(Kind.IDENTIFIER, list(texts))
    for text, value, sent, problem in zip(texts, columns["f"], columns["f__sent"], columns["f__problem"], strict=True):
        trimmed = text.strip(cells.WHITE_SPACE) or None
        problem_of = {
            r"[+-]?([19][eE][+-][0-9]+|(0|[1-9][0-9]{0,2})[.,][0-9]*[eE][+-]?[0-9]+|[19]e[19][0-9]{1,2})([.,]0*)?": (
                "spreadsheet_number"
            ),
            r"[+-]?[0-9]+[.,][0-9]*": "changed_number",
            r"[+-]?[0-9]{1,3}((\.[0-9]{3})+(,[0-9]*)?|(,[0-9]{3})+(\.[0-9]*)?)": "changed_number",
            r"[+-]?[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}(\.[0-9]*)?": "changed_number",
        }
        expected = next((code for form, code in problem_of.items() if trimmed and re.fullmatch(form, trimmed)), None)
        assert sent == trimmed
        assert (value, problem) == (None if expected else trimmed, expected)


# Booleans and enumerations


@given(st.lists(st.sampled_from(["true", "false", "yes", "no", "1", "0", "y", "on", "", "TrUE", "01", "ｙes", "yeſ"])))
@example(["".join(case) for case in itertools.product("yY", "eE", "sS")])
def test_booleans_read_as_each_one_alone_would(texts: list[str]) -> None:
    columns = read(Kind.BOOLEAN, list(texts))
    for text, value, problem in zip(texts, columns["f"], columns["f__problem"], strict=True):
        yes, no = (
            dict.fromkeys(words.split(), value) for words, value in (("true yes y t on 1", True), ("false no 0", False))
        )
        expected = (yes | no).get(text.lower())
        assert value is expected
        assert problem == (None if expected is not None or not text else "not_boolean")


def test_x16_enumerations_are_read_in_any_case_and_stored_in_the_declared_spelling() -> None:
    columns = read(
        Kind.ENUM,
        ["CANBEUSED", "inactive", " Blocked ", "", "can be used"],
        choices=("CanBeUsed", "Inactive", "Blocked"),
    )
    assert columns["f"] == ["CanBeUsed", "Inactive", "Blocked", None, None]
    assert columns["f__problem"] == [None, None, None, None, "unknown_choice"]


def test_sex_is_read_with_its_synonyms() -> None:
    texts = pa.array(["male", "Female", "m", "F", "w", "W", "x", "mf"])
    columns = read_field(texts, SEX, OPTIONS)
    assert columns["f"].to_pylist() == ["male", "female", "male", "female", "female", "female", None, None]
    assert columns["f__problem"].to_pylist() == [None] * 6 + ["unknown_choice"] * 2


def test_a_synonym_for_no_choice_is_an_error_of_the_declaration() -> None:
    with pytest.raises(ConfigurationError, match="field f: synonym 'd' means 'divers'"):
        read_field(pa.array(["m"]), replace(SEX, synonyms={"d": "divers"}), OPTIONS)


def test_a_field_with_synonyms_can_still_be_hashed() -> None:
    assert len({SEX, replace(SEX), replace(SEX, name="g")}) == 2


# Numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50", Decimal("50.00")),
        ("50.0", Decimal("50.00")),
        ("50,25", Decimal("50.25")),
        ("007.50", Decimal("7.50")),
        (".5", Decimal("0.50")),
        ("5.", Decimal("5.00")),
        ("5,", Decimal("5.00")),
        ("-12,5", Decimal("-12.50")),
        ("9999999999999999.99", Decimal("9999999999999999.99")),
        ("-9999999999999999,99", Decimal("-9999999999999999.99")),
        ("10.000", "too_many_decimals"),
        ("1,234", "too_many_decimals"),
        ("0.30000000000000004", "too_many_decimals"),
        ("12345678901234567", "too_many_digits"),
        ("00000000000000001.00", "too_many_digits"),
        ("99999999999999999.999", "too_many_decimals"),
        *[
            (text, "not_decimal")
            for text in (
                ".",
                ",",
                "-",
                "-.",
                "+5",
                "5-",
                "--5",
                "1.234,50",
                "1,234.50",
                "1 000",
                "1'000",
                "$5",
                "5 EUR",
            )
        ],
        *[(text, "not_decimal") for text in ("1e3", "1.5E+3", "NaN", "Infinity", "-inf", "0x10", "1_000", "\u22125")],
        *[(text, "not_decimal") for text in ("٣", "１２", "१.५", "1\u066b5", "5%", "½", "x")],
    ],
)
def test_decimals(text: str, expected: object) -> None:
    assert verdict(Kind.DECIMAL, text) == expected


def test_minus_nothing_is_zero() -> None:
    columns = read(Kind.DECIMAL, ["-0", "-0.00", "-,0"])
    assert [str(value) for value in columns["f"]] == ["0.00"] * 3


def _reference_decimal(text: str) -> object:
    whole, _, decimals = text.removeprefix("-").replace(",", ".").partition(".")
    if set(whole + decimals) - set("0123456789") or not whole + decimals:
        return "not_decimal"
    if len(decimals) > 2:
        return "too_many_decimals"
    return "too_many_digits" if len(whole) > 16 else Decimal(text.replace(",", ".")) + 0


@given(
    st.lists(
        st.from_regex(r"-?[0-9]{0,19}([.,][0-9]{0,4})?", fullmatch=True, alphabet=st.characters(codec="ascii"))
        | st.text("0123456789.,-+eE٣ ", max_size=6)
    )
)
def test_decimals_read_as_each_one_alone_would(texts: list[str]) -> None:
    texts = [text.strip() for text in texts]
    columns = read(Kind.DECIMAL, list(texts))
    expected = [_reference_decimal(text) if text else None for text in texts]
    assert [problem or value for value, problem in zip(columns["f"], columns["f__problem"], strict=True)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("0", 0), ("10", 10), ("007", 7), ("-5", -5), ("9" * 18, 10**18 - 1)],
        *[("9" * 19, "too_many_digits"), ("0" * 19, "too_many_digits")],
        *[(text, "changed_number") for text in ("1.0", "1,0", "1E+15", "1,000", "-2.0", "1.5E3")],
        *[(text, "not_integer") for text in ("2.5", "1,25", "+1", "1e3", " 1 2", "-", "٣", "１", "0x1", "one")],
    ],
)
def test_integers(text: str, expected: object) -> None:
    assert verdict(Kind.INTEGER, text) == expected


# Defaults


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        (Kind.TEXT, "none given", "none given"),
        (Kind.IDENTIFIER, "007", "007"),
        (Kind.BOOLEAN, "no", False),
        (Kind.DECIMAL, "0", Decimal("0.00")),
        (Kind.INTEGER, "1", 1),
        (Kind.DATE, "2024-01-01", date(2024, 1, 1)),
        (Kind.DATETIME, "2024-01-01 10:00+01:00", datetime(2024, 1, 1, 9, tzinfo=UTC)),
        (Kind.ENUM, "MALE", "male"),
        (Kind.EMAIL, "a@b.de", "a@b.de"),
        (Kind.PHONE, "+49 30 123456", "+4930123456"),
    ],
)
def test_a_blank_cell_is_read_as_the_default_but_was_not_sent(kind: Kind, default: str, expected: object) -> None:
    field = replace(SEX, kind=kind, default=default)
    nothing = {} if kind is Kind.TEXT else {"f__sent": [None, None], "f__problem": [None, None]}
    blank = read_field(pa.array(["", " "]), field, OPTIONS)
    absent = absent_field(field, 2)
    for columns in (blank, absent):
        assert {name: column.to_pylist() for name, column in columns.items()} == {"f": [expected] * 2} | nothing


def test_an_unreadable_cell_does_not_get_the_default() -> None:
    columns = read(Kind.INTEGER, ["x", "2", ""], default="1")
    assert columns == {"f": [None, 2, 1], "f__sent": ["x", "2", None], "f__problem": ["not_integer", None, None]}


def test_an_unreadable_default_is_an_error_of_the_declaration() -> None:
    with pytest.raises(ConfigurationError, match="field f: its default 'x' is not a whole number"):
        read(Kind.INTEGER, [""], default="x")


# Cost


def test_reading_usual_columns_imports_neither_phonenumbers_nor_email_validator() -> None:
    """Both cost every worker time and memory; dnspython is never needed, as nothing asks DNS."""
    script = """
import sys, datetime, pyarrow as pa
from include.declaration.fields import Field, Kind
from include.reading.parsing import ReadOptions, read_field
options = ReadOptions("refuse", "US", datetime.date(2026, 5, 1))
for kind in Kind:
    if kind is not Kind.PHONE:
        read_field(pa.array(["a@example.com", "2024-01-01", "1.5", "x"]), Field("f", "F", kind), options)
print(sorted({"phonenumbers", "email_validator", "dns"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_long_column_reads_like_its_rows() -> None:
    """Over 65,536 rows with repeating values: codes, masks and scattered rows stay in their places."""
    texts = [("", "1.5", "2,25", "x", "3.999")[number % 5] for number in range(70_001)]
    columns = read_field(pa.array(texts), Field("f", "F", Kind.DECIMAL), OPTIONS)
    expected_values = [None, Decimal("1.50"), Decimal("2.25"), None, None]
    expected_problems = [None, None, None, "not_decimal", "too_many_decimals"]
    assert columns["f"].to_pylist() == [expected_values[number % 5] for number in range(70_001)]
    assert columns["f__problem"].to_pylist() == [expected_problems[number % 5] for number in range(70_001)]
    assert np.array_equal(columns["f__sent"].is_null().to_numpy(zero_copy_only=False), np.arange(70_001) % 5 == 0)
