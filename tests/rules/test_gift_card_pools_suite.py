"""The gift card pools' suite: for each rule a row that breaks it and nothing else, and the row that doesn't."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from include import import_types
from include.rules.suites import Checker, load_suite, sentences
from tests.rules.frames import is_about_damage, read_rows

pytestmark = pytest.mark.rules

SUITE = Path(__file__).resolve().parents[2] / "expectations" / "gift_card_pools.json"
LOOKUPS = {"external_system": {"website": {}}, "brand": {"Acme": {}}}

FIELDS = [field.name for field in import_types.get("gift_card_pools").fields]

EXAMPLE = """\
Holiday $50,holiday_50,false,true,gc-holiday-50,website,Acme,true,50,Year,2
Flexible Gift,flexible_gift,true,true,gc-flexible,website,Acme,false,,NoExpiration,
"""
HOLIDAY, FLEXIBLE = (dict(zip(FIELDS, [*cells, ""], strict=True)) for cells in csv.reader(io.StringIO(EXAMPLE)))


def broken(rows: Sequence[Mapping[str, str]], severity: str = "critical") -> list[dict[str, str]]:
    frame = read_rows("gift_card_pools", rows, LOOKUPS, max_card_value=Decimal(1000))
    found: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(load_suite(SUITE, columns=set(frame.columns), settings={})).check(frame):
        if result.rule.severity == severity:
            for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
                found[row][result.rule.id] = sentence
    return found


@pytest.mark.parametrize(
    "pool",
    [
        HOLIDAY,
        FLEXIBLE,
        HOLIDAY | {"supports_arbitrary_value": "NO", "supports_partial_redemption": "1", "cvv_required": "Yes"},
        HOLIDAY | {"card_value": "0,01", "lifetime_years": "10"},
        HOLIDAY | {"card_value": "1000"},
        HOLIDAY | {"card_value": "1000.01", "max_card_value": "1000,01"},
        FLEXIBLE | {"max_card_value": "5"},
        HOLIDAY | {"expiration_type": "", "lifetime_years": ""},
        HOLIDAY | {"expiration_type": "year", "lifetime_years": "1"},
    ],
)
def test_gp01_a_good_pool_breaks_no_rule(pool: dict[str, str]) -> None:
    assert broken([pool]) == [{}]
    assert broken([pool], "warning") == [{}]


def boolean_rules(field: str, label: str) -> list[tuple[str, dict[str, str], str]]:
    return [
        (f"{field}.required", HOLIDAY | {field: ""}, f"{label} is blank, but every row needs one."),
        (f"{field}.not_boolean", HOLIDAY | {field: "ja"}, f"{label} 'ja' is none of true, false, yes, no, 1 and 0."),
    ]


def key_rules(field: str, label: str, max_bytes: int) -> list[tuple[str, dict[str, str], str]]:
    return [
        (f"{field}.required", HOLIDAY | {field: " "}, f"{label} is blank, but every row needs one."),
        (
            f"{field}.spreadsheet_number",
            HOLIDAY | {field: "4.00638E+12"},
            f"{label} '4.00638E+12' looks like a number that a program has rounded: its last digits "
            "may be lost. Format the column as text "
            "and export the file again.",
        ),
        (
            f"{field}.too_long",
            HOLIDAY | {field: "x" * 1001},
            f"{label} has more than 1000 characters: '{'x' * 100}...'.",
        ),
        (
            f"{field}.too_many_bytes",
            HOLIDAY | {field: "€" * (max_bytes // 3 + 1)},
            f"{label} takes more than {max_bytes} bytes in UTF-8, too many for a key: '{'€' * 100}...'.",
        ),
    ]


REJECTED = [
    ("name.required", HOLIDAY | {"name": ""}, "Gift card pool name is blank, but every row needs one."),
    (
        "name.too_long",
        HOLIDAY | {"name": "ä" * 1001},
        f"Gift card pool name has more than 1000 characters: '{'ä' * 100}...'.",
    ),
    *key_rules("system_name", "Gift card pool system name", 2600),
    *boolean_rules("supports_partial_redemption", "Supports partial redemption"),
    *key_rules("product_external_id", "External product ID", 2600),
    (
        "product_external_system.required",
        HOLIDAY | {"product_external_system": ""},
        "External system of the technical product is blank, but every row needs one.",
    ),
    (
        "product_external_system.known",
        HOLIDAY | {"product_external_system": "Website"},
        "External system of the technical product 'Website' is not in the project settings; letter case counts.",
    ),
    ("brand.required", HOLIDAY | {"brand": ""}, "Brand of the technical product is blank, but every row needs one."),
    (
        "brand.known",
        HOLIDAY | {"brand": "Nadir"},
        "Brand of the technical product 'Nadir' is not in the project settings; letter case counts.",
    ),
    *boolean_rules("cvv_required", "CVV required for gift cards"),
    *boolean_rules("supports_arbitrary_value", "Supports arbitrary gift card value"),
    (
        "card_value.required",
        HOLIDAY | {"card_value": ""},
        "Gift card value in the pool is blank, but the pool's cards have a fixed value (supports arbitrary gift card "
        "value is false).",
    ),
    (
        "card_value.must_be_blank",
        FLEXIBLE | {"card_value": "50"},
        "Gift card value in the pool is '50', but must be blank: the pool's cards have values of their own (supports "
        "arbitrary gift card value is true).",
    ),
    (
        "card_value.not_decimal",
        HOLIDAY | {"card_value": "1e3"},
        "Gift card value in the pool '1e3' is not a number. Write digits with a point or a comma as the decimal mark, "
        "such as 19.99, without currency sign or thousands separator.",
    ),
    (
        "card_value.too_many_decimals",
        HOLIDAY | {"card_value": "1.999"},
        "Gift card value in the pool '1.999' has more than 2 digits after the decimal mark.",
    ),
    (
        "card_value.too_many_digits",
        HOLIDAY | {"card_value": "12345678901234567"},
        "Gift card value in the pool '12345678901234567' has more than 16 digits before the decimal mark.",
    ),
    (
        "card_value.not_positive",
        HOLIDAY | {"card_value": "0.00"},
        "Gift card value in the pool '0.00' is not above 0.",
    ),
    (
        "card_value.above_maximum",
        HOLIDAY | {"card_value": "50", "max_card_value": "49.99"},
        "Gift card value in the pool '50' is above 49.99, the highest gift card value that the same row allows.",
    ),
    (
        "card_value.above_project_maximum",
        HOLIDAY | {"card_value": "1000.01"},
        "Gift card value in the pool '1000.01' is above 1000.00, the highest value that the project allows for a card "
        "(max_card_value). Give the pool a highest gift card value of its own if it is right.",
    ),
    (
        "max_card_value.not_decimal",
        FLEXIBLE | {"max_card_value": "1,000.00"},
        "Highest gift card value in the pool '1,000.00' is not a number. Write digits with a point or a comma as the "
        "decimal mark, such as 19.99, without currency sign or thousands separator.",
    ),
    (
        "max_card_value.too_many_decimals",
        FLEXIBLE | {"max_card_value": "1.999"},
        "Highest gift card value in the pool '1.999' has more than 2 digits after the decimal mark.",
    ),
    (
        "max_card_value.too_many_digits",
        FLEXIBLE | {"max_card_value": "12345678901234567"},
        "Highest gift card value in the pool '12345678901234567' has more than 16 digits before the decimal mark.",
    ),
    (
        "max_card_value.not_positive",
        FLEXIBLE | {"max_card_value": "0"},
        "Highest gift card value in the pool '0' is not above 0.",
    ),
    (
        "expiration_type.unknown_choice",
        HOLIDAY | {"expiration_type": "Month"},
        "Gift card expiration type 'Month' is neither NoExpiration nor Year.",
    ),
    (
        "lifetime_years.required",
        HOLIDAY | {"lifetime_years": ""},
        "Gift card lifetime in the pool is blank, but expiration type Year needs it.",
    ),
    (
        "lifetime_years.not_integer",
        HOLIDAY | {"lifetime_years": "two"},
        "Gift card lifetime in the pool 'two' is not a whole number of years.",
    ),
    (
        "lifetime_years.out_of_range",
        HOLIDAY | {"lifetime_years": "11"},
        "Gift card lifetime in the pool '11' is not between 1 and 10 years.",
    ),
]


@pytest.mark.parametrize(("rule", "pool", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_pool_that_breaks_one_rule_is_told_that_and_nothing_else(
    rule: str, pool: dict[str, str], sentence: str
) -> None:
    assert broken([FLEXIBLE, pool, HOLIDAY]) == [{}, {rule: sentence}, {}]


def test_every_critical_rule_of_the_suite_has_a_pool_above() -> None:
    columns = set(read_rows("gift_card_pools", [HOLIDAY], LOOKUPS).columns)
    rules = load_suite(SUITE, columns=columns, settings={}).rules
    others = [rule for rule in rules if not is_about_damage(rule.id)]
    tried = [rule for rule, _, _ in REJECTED if not is_about_damage(rule)]
    assert sorted(rule.id for rule in others if rule.severity == "critical") == sorted(tried)
    assert [rule.id for rule in others if rule.severity == "warning"] == [
        "card_value.many_digits", "lifetime_years.ignored", "max_card_value.many_digits",
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["card_value", "max_card_value"])
def test_x18_a_value_of_twelve_digits_is_a_warning(field: str) -> None:
    pool = HOLIDAY | {"max_card_value": "100000000000"} | {field: "100000000000"}
    (found,) = broken([pool], "warning")
    assert f"{field}.many_digits" in found
    assert broken([pool | {"card_value": "5", "max_card_value": "99999999999.99"}], "warning") == [{}]


@pytest.mark.parametrize("lifetime", ["0", "-1", "11", "9" * 19, "9" * 30])
def test_a_lifetime_outside_of_1_to_10_rejects(lifetime: str) -> None:
    assert [set(found) for found in broken([HOLIDAY | {"lifetime_years": lifetime}])] == [
        {"lifetime_years.out_of_range"}
    ]


def test_a_value_below_zero_is_read_and_fails_the_range() -> None:
    assert [set(found) for found in broken([HOLIDAY | {"card_value": "-5"}])] == [{"card_value.not_positive"}]


@pytest.mark.parametrize("lifetime", ["5", "0", "abc"])
def test_a_lifetime_without_expiration_is_a_warning_whatever_it_says(lifetime: str) -> None:
    pool = FLEXIBLE | {"lifetime_years": lifetime, "expiration_type": ""}
    assert broken([pool]) == [{}]
    assert broken([pool], "warning") == [
        {
            "lifetime_years.ignored": f"Gift card lifetime in the pool '{lifetime}' is ignored, because the cards of "
            "this pool don't expire (expiration type NoExpiration)."
        }
    ]


def test_x08_a_pool_gets_all_its_reasons() -> None:
    assert [set(found) for found in broken([dict.fromkeys(FIELDS, "")])] == [
        {
            "name.required",
            "system_name.required",
            "supports_arbitrary_value.required",
            "supports_partial_redemption.required",
            "product_external_id.required",
            "product_external_system.required",
            "brand.required",
            "cvv_required.required",
        }
    ]
