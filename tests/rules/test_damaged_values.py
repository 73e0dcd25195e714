"""What a program has damaged is named in every field of its kind, over all suites. Source: X-16, value formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pytest

from include import import_types
from include.declaration.fields import Field, Kind, Look
from include.import_types.customers import CUSTOMERS
from include.rules.row_sentences import sentences
from include.rules.suites import Checker, Suite, load_suite
from tests.rules.frames import read_rows
from tests.rules.test_customers_suite import PROJECT

pytestmark = pytest.mark.rules

FOLDER = Path(__file__).resolve().parents[2] / "expectations"
IDENTIFIER = {
    "invisible_character": [
        "a\u200b",
        "\u001f1",
        "1\u00850",
        "a\u2028b",
        "\ue000",
        "\ufffd",
        "a\tb",
        "x\ufe0f",
        "\u2800",
    ],
    "error_value": [
        "#N/A",
        "#REF!",
        "#BEZUG!",
        "#\u00a1VALOR!",
        "########",
        "Err:502",
        "#DIV/0!",
        "#Н/Д",
        "#NV",
        "#n/a",
        "#N/A N/A",
        "=#REF!",
        "=#N/A",
        "#VALUE",
        "#DIV/0",
        "#NAME",
        "1.#QNAN",
        "-1.#IND",
        "1.#INF",
        "1.#INF00",
        "###",
    ],
    "spreadsheet_number": [
        "1.23E+15",
        "1,23E+15",
        "7.7E15",
        "7.70000000000001E15",
        "7e15",
        "7.7e+15",
        "7.7D+15",
        "0.77d-02",
        "1E+15",
        "1E-2",
        "1.23E+15.0",
        "12.3E+6",
        "0.00E+00",
    ],
    "changed_number": [
        "1001.0",
        "14,0",
        "7,700,000,000,000,015",
        "7.700.000",
        "7\u00a0700\u00a0000",
        "7'700'000",
        "5.",
    ],
    "single_quotes": ["'a'", "'0077'"],
    "leading_apostrophe": ["'0077", "\u20190077", "\u00b40077", "`0077"],
}
BY_KIND: Mapping[Kind, Mapping[str, list[str]]] = {
    Kind.IDENTIFIER: IDENTIFIER,
    Kind.TEXT: {"error_value": ["#N/A", "#VALUE!", "####", "#NAME?"]},
    Kind.BOOLEAN: {"changed_number": ["1.0", "0,0"]},
    Kind.INTEGER: {"changed_number": ["2.0", "1,000", "1E+3"]},
    Kind.EMAIL: {
        "invisible_character": ["a@b.de\u200b", "so\u00adft@b.de", "a\ufe0f@b.de"],
        "leading_apostrophe": [
            f"{mark}ann@example.com" for mark in ("'", "`", "\u00b4", "\u02bc", "\u2018", "\u2019", "\u2032", "\uff07")
        ],
    },
    Kind.PHONE: {
        "invisible_character": ["\u202a+12025550123\u202c"],
        "spreadsheet_number": ["1.2025550123E10"],
        "changed_number": ["2025550123.0", "2025550123.00", "2025550123,0", "+12025550123."],
        "phone_characters": ["+12025550123 ext. 5", "1-800-FLOWERS", "-2025550122", "=2025550122", "++12025550122"],
    },
}
"""By kind of field: rule and cells that break it."""
FIELDS = [
    (name, field)
    for name, declared in import_types.IMPORT_TYPES.items()
    for field in (CUSTOMERS.all_fields(PROJECT) if declared is CUSTOMERS else declared.fields)
    if field.kind in BY_KIND
]


@lru_cache
def suite_of(name: str) -> Suite:
    declared = import_types.get(name)
    fields = declared.all_fields(PROJECT)
    lookups = {lookup.name: {} for lookup in declared.lookups}
    columns = set(read_rows(name, [{}], lookups, fields=fields).columns)
    settings = {"strict_sold_cards": False}
    return load_suite(FOLDER / f"{name}.json", columns=columns, settings=settings, fields=fields)


def broken_rules(name: str, field: Field, cells: list[str]) -> Iterator[dict[str, str]]:
    """Yield for each cell of a field the rules about the field that it breaks, with their sentences."""
    declared = import_types.get(name)
    beside = {"expiration_type": "Year"} if field.name == "lifetime_years" else {}
    rows = [beside | {field.name: cell} for cell in cells]
    lookups = {lookup.name: {cell: {} for cell in cells} for lookup in declared.lookups}
    frame = read_rows(name, rows, lookups, fields=declared.all_fields(PROJECT))
    sentences_by_row: list[dict[str, str]] = [{} for _ in cells]
    for result in Checker(suite_of(name)).check(frame):
        if result.rule.field == field.name:
            hidden = [field.name] if field.is_secret else []
            for row, sentence in zip(result.rows, sentences(result, frame, hidden=hidden), strict=True):
                sentences_by_row[row][result.rule.id] = sentence
    yield from sentences_by_row


def as_a_name(field: Field, problem: str) -> str:
    """People put single quotes around parts of names: there they warn alone."""
    is_name = field.kind is Kind.IDENTIFIER and field.look is Look.NAME
    return "leading_apostrophe" if is_name and problem == "single_quotes" else problem


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{name}.{field.name}" for name, field in FIELDS])
def test_x16_every_field_of_a_kind_names_all_damage_of_its_kind(name: str, field: Field) -> None:
    for problem, cells in BY_KIND[field.kind].items():
        for cell, rules in zip(cells, broken_rules(name, field, cells), strict=True):
            others = {"lifetime_years.ignored"}
            assert set(rules) - others == {f"{field.name}.{as_a_name(field, problem)}"}, ascii(cell)


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{name}.{field.name}" for name, field in FIELDS])
def test_x16_what_is_whole_breaks_none_of_these_rules(name: str, field: Field) -> None:
    whole = {
        Kind.IDENTIFIER: ["0077", "12E5", "5e3", "1.2.3", "a,b", "7700 0000 0000 0011", "#SALE!", "#1", "\u2764\ufe0f",
                          "1\ufe0f\u20e3", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "O'Neil", "1e-x", "192.168.1",
                          "4711E-2", "12E-3", "1.5D10", "7D+15",
                          "12E+6", "00e+1", "5E20", "01E+5", "#", "##", "#Beli!", "#ref!", "#END", "Error:404",
                          "err:123",
                          "1.#2", "=#VIP"],
        Kind.TEXT: ["#1", "N/A", "Total", "#SALE!", "a\u200bb", "Error:404", "err:123", "err:502", "Fehler:502", "#",
                    "##", "#Beli!", "#nv"],
        Kind.BOOLEAN: ["t", "F", "Y", "n", "on", "OFF", "1", "TRUE"],
        Kind.INTEGER: ["2"],
        Kind.EMAIL: ["a@b.de", "o'neil@b.de"],
        Kind.PHONE: ["+1 (202) 555-0123", "202.555.0123", "+49 30/123456", "(+49) 30 123456", "0171.1234567",
                     "06.12345678", "030.901820", "0049.30901820", "202555.0123", "202.5550123"],
    }[field.kind]  # fmt: skip
    problems = {f"{field.name}.{problem}" for problem in BY_KIND[field.kind]} | {f"{field.name}.not_boolean"}
    for cell, rules in zip(whole, broken_rules(name, field, whole), strict=True):
        assert not set(rules) & problems, ascii(cell)


def test_x16_single_quotes_damage_where_most_of_a_column_has_them() -> None:
    """A leading apostrophe warns, and an apostrophe may be a part of a code."""
    code = import_types.get("promo_codes").fields[0]
    for cells, rejected in [
        (["'A'", "'B'"], [True, True]),
        (["'A'", "'B'", "C"], [True, True, False]),
        (["'A'", "'B'", "C", "D"], [False] * 4),
        (["'90s'", "A"], [False, False]),
        (["'90s'"], [False]),
        (["'a' or 'b'", "'c' or 'd'"], [False, False]),
        (["'it''s'", "'it\\'s'"], [True, True]),
    ]:
        rules_by_cell = [set(rules) & {"code.single_quotes", "code.leading_apostrophe"}
                         for rules in broken_rules("promo_codes", code, cells)]  # fmt: skip
        assert [rules == {"code.single_quotes"} for rules in rules_by_cell] == rejected, cells
        for cell, is_rejected, rules in zip(cells, rejected, rules_by_cell, strict=True):
            assert is_rejected or rules == ({"code.leading_apostrophe"} if cell[0] == "'" else set()), cell


@pytest.mark.parametrize("name", ["gift_card_pools", "promo_code_pools"])
def test_x16_a_name_may_have_the_joiners_of_its_script_and_quotes(name: str) -> None:
    field = next(field for field in import_types.get(name).fields if field.name == "name")
    cells = [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "a\u200cb",
        "\u0645\u200d\u0645\u200c\u0645",
    ]
    sentences_by_cell = list(broken_rules(name, field, cells))
    assert sentences_by_cell[:2] == [{}, {}]
    assert "U+200C ZERO WIDTH NON-JOINER as its 2nd character" in sentences_by_cell[2]["name.invisible_character"]
    assert "U+200D ZERO WIDTH JOINER as its 2nd character" in sentences_by_cell[3]["name.invisible_character"]
    quoted = ["'Buy one' or 'get one'", "'Summer'"]
    assert [set(rules) for rules in broken_rules(name, field, quoted)] == [{"name.leading_apostrophe"}] * 2


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("12345\u200b", "'12345<U+200B>' contains U+200B ZERO WIDTH SPACE as its last character"),
        ("\u001f12345", "' 12345' contains U+001F INFORMATION SEPARATOR ONE as its 1st character"),
        ("1234\u00ad5", "'1234<U+00AD>5' contains U+00AD SOFT HYPHEN as its 5th character"),
        ("1\u00850", "'1<U+0085>0' contains U+0085 NEXT LINE as its 2nd character"),
        ("12\u202e5", "'12<U+202E>5' contains U+202E RIGHT-TO-LEFT OVERRIDE as its 3rd character"),
        ("\ufffd", "'<U+FFFD>' contains U+FFFD REPLACEMENT CHARACTER as its 1st character"),
    ],
)
def test_x16_a_sentence_names_the_character_and_its_place_and_shows_the_value_safely(cell: str, said: str) -> None:
    field = import_types.get("gift_cards").fields[0]
    (sentence_by_rule,) = broken_rules("gift_cards", field, [cell])
    assert sentence_by_rule == {
        "card_number.invisible_character": f"Card number {said}, which nobody can see or type. Remove it, and send the "
        "row again."
    }


def test_x20_a_sentence_about_a_cvv_does_not_quote_it() -> None:
    cvv = next(field for field in import_types.get("gift_cards").fields if field.is_secret)
    for cells in IDENTIFIER.values():
        for sentence_by_rule in broken_rules("gift_cards", cvv, ["987" + cell for cell in cells] + cells):
            assert not any("987" in sentence or "0077" in sentence for sentence in sentence_by_rule.values())


@pytest.mark.parametrize("code", ["----", "(!)", "...", "\u2500\u2500", "\u2022"])
def test_pc04a_a_code_without_letter_or_digit_rejects(code: str) -> None:
    field = import_types.get("promo_codes").fields[0]
    (rules,) = broken_rules("promo_codes", field, [code])
    assert set(rules) == {"code.no_letter_or_digit"}


@pytest.mark.parametrize("code", ["\U0001f389", "-1-", "\u00e9", "\u0416", "\u2764\ufe0f\u2764\ufe0f", "\u4e2d"])
def test_pc04a_a_code_of_one_letter_digit_or_emoji_loads(code: str) -> None:
    field = import_types.get("promo_codes").fields[0]
    assert list(broken_rules("promo_codes", field, [code])) == [{}]


@pytest.mark.parametrize("code", ["A B", "SUMMER 20", "A\u00a0B", "A\u3000B"])
def test_pc04a_a_blank_inside_a_code_warns(code: str) -> None:
    field = import_types.get("promo_codes").fields[0]
    (rules,) = broken_rules("promo_codes", field, [code])
    assert set(rules) == {"code.blank_inside"}
    (rule,) = [rule for rule in suite_of("promo_codes").rules if rule.id == "code.blank_inside"]
    assert rule.severity == "warning"


@pytest.mark.parametrize("sent", ["31.12.1899", "1604-01-01", "0085-03-01", "1899-12-31"])
def test_a_birth_before_1900_rejects(sent: str) -> None:
    """Source: value formats."""
    field = next(field for field in CUSTOMERS.fields if field.name == "birth_date")
    early, first = broken_rules("customers", field, [sent, "1900-01-01"])
    assert early == {
        "birth_date.implausible": f"Birth date '{sent}' is before 1900-01-01, so it is no birth date of a customer. "
        "Correct it, or leave it blank."
    }
    assert first == {}


def test_cu12_a_full_name_that_is_ignored_rejects_nothing() -> None:
    """R2: over-long, or an error value, beside a part of the name."""
    rows = [
        {"email": "a@b.de", "full_name": "x" * 1001, "first_name": "Ann"},
        {"email": "a@b.de", "full_name": "#N/A", "last_name": "Lee"},
        {"email": "a@b.de", "full_name": "x" * 1001, "first_name": "%CLEAR%"},
        {"email": "a@b.de", "full_name": "#N/A"},
    ]
    lookups = {lookup.name: {} for lookup in CUSTOMERS.lookups}
    frame = read_rows("customers", rows, lookups, fields=CUSTOMERS.all_fields(PROJECT))
    broken = {r.rule.id: r.rows.tolist() for r in Checker(suite_of("customers")).check(frame) if len(r.rows)}
    assert broken == {"full_name.too_long": [2], "full_name.error_value": [3]}


@pytest.mark.parametrize("name", import_types.IMPORT_TYPES)
def test_f6_one_limit_of_bytes_holds_for_every_key(name: str) -> None:
    """Source: value formats."""
    entries = json.loads((FOLDER / f"{name}.json").read_text())["expectations"]
    limits = {entry["kwargs"]["max_bytes"] for entry in entries if "max_bytes" in entry["kwargs"]}
    assert limits == {2600}
