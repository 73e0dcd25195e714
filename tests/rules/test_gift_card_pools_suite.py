"""The gift card pools' suite: for each rule of its own a row that breaks it and nothing else, and one that doesn't."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from include import import_types
from include.rules.row_sentences import sentences
from include.rules.suites import Checker, load_suite
from tests.rules.frames import read_rows, written_by_hand

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
    sentences_by_row: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(load_suite(SUITE, columns=set(frame.columns), settings={})).check(frame):
        if result.rule.severity == severity:
            for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
                sentences_by_row[row][result.rule.id] = sentence
    return sentences_by_row


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


REJECTED = [
    (
        "product_external_system.known",
        HOLIDAY | {"product_external_system": "Website"},
        "External system of the technical product 'Website' is not in the project settings; letter case counts.",
    ),
    (
        "brand.known",
        HOLIDAY | {"brand": "Nadir"},
        "Brand of the technical product 'Nadir' is not in the project settings; letter case counts.",
    ),
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
        "max_card_value.not_positive",
        FLEXIBLE | {"max_card_value": "0"},
        "Highest gift card value in the pool '0' is not above 0.",
    ),
    (
        "lifetime_years.required",
        HOLIDAY | {"lifetime_years": ""},
        "Gift card lifetime in the pool is blank, but expiration type Year needs it.",
    ),
    (
        "lifetime_years.out_of_range",
        HOLIDAY | {"lifetime_years": "11"},
        "Gift card lifetime in the pool '11' is not between 1 and 10 years.",
    ),
]


@pytest.mark.parametrize(("rule", "pool", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_pool_that_breaks_one_rule_gets_its_sentence_and_no_other(
    rule: str, pool: dict[str, str], sentence: str
) -> None:
    assert broken([FLEXIBLE, pool, HOLIDAY]) == [{}, {rule: sentence}, {}]


def test_every_critical_rule_that_is_written_by_hand_has_a_pool_above() -> None:
    columns = set(read_rows("gift_card_pools", [HOLIDAY], LOOKUPS).columns)
    rules = written_by_hand(load_suite(SUITE, columns=columns, settings={}))
    assert sorted(rule.id for rule in rules if rule.severity == "critical") == sorted(rule for rule, _, _ in REJECTED)
    assert [rule.id for rule in rules if rule.severity == "warning"] == [
        "card_value.many_digits", "lifetime_years.ignored", "max_card_value.many_digits",
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["card_value", "max_card_value"])
def test_x18_a_value_of_twelve_digits_is_a_warning(field: str) -> None:
    pool = HOLIDAY | {"max_card_value": "100000000000"} | {field: "100000000000"}
    (rules,) = broken([pool], "warning")
    assert f"{field}.many_digits" in rules
    assert broken([pool | {"card_value": "5", "max_card_value": "99999999999.99"}], "warning") == [{}]


@pytest.mark.parametrize("lifetime", ["0", "-1", "11", "9" * 19, "9" * 30])
def test_a_lifetime_outside_of_1_to_10_rejects(lifetime: str) -> None:
    assert [set(rules) for rules in broken([HOLIDAY | {"lifetime_years": lifetime}])] == [
        {"lifetime_years.out_of_range"}
    ]


def test_a_value_below_zero_is_read_and_fails_the_range() -> None:
    assert [set(rules) for rules in broken([HOLIDAY | {"card_value": "-5"}])] == [{"card_value.not_positive"}]


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
    assert [set(rules) for rules in broken([dict.fromkeys(FIELDS, "")])] == [
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
