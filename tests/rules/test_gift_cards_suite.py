"""The gift cards' suite: for each rule of its own a row that breaks it and nothing else, and one that doesn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from include.rules.row_sentences import sentences
from include.rules.suites import Checker, load_suite
from tests.rules.frames import read_rows, written_by_hand

pytestmark = pytest.mark.rules

SUITE = Path(__file__).resolve().parents[2] / "expectations" / "gift_cards.json"

LOOKUPS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "pool": {
        "fifty": {"card_value": Decimal(50), "cvv_required": False, "supports_arbitrary_value": False},
        "secure": {"card_value": Decimal(50), "cvv_required": True, "supports_arbitrary_value": False},
        "flexible": {"cvv_required": False, "supports_arbitrary_value": True},
        "limited": {"cvv_required": False, "supports_arbitrary_value": True, "max_card_value": Decimal(100)},
    },
    "point_of_contact": {"site-main": {}},
}

PROJECT_LIMIT = Decimal("9999999999999999.98")

CARD = {"card_number": "0001", "pool_system_name": "fifty", "balance": "50"}
SOLD = CARD | {"status": "CanBeUsed", "purchased_at": "2024-02-29", "point_of_contact": "site-main"}


def reasons(rows: Sequence[Mapping[str, str]], *, strict: bool = False, **options: Any) -> list[dict[str, str]]:
    """Return, for each row, the rules it breaks that reject it, with their sentences."""
    return _broken(rows, "critical", strict, **options)


def warnings(rows: Sequence[Mapping[str, str]], *, strict: bool = False) -> list[dict[str, str]]:
    return _broken(rows, "warning", strict)


def _broken(rows: Sequence[Mapping[str, str]], severity: str, strict: bool, **options: Any) -> list[dict[str, str]]:
    frame = read_rows("gift_cards", rows, LOOKUPS, max_card_value=PROJECT_LIMIT, **options)
    suite = load_suite(SUITE, columns=set(frame.columns), settings={"strict_sold_cards": strict})
    sentences_by_row: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(suite).check(frame):
        if result.rule.severity == severity:
            for row, sentence in zip(result.rows, sentences(result, frame, hidden=["cvv"]), strict=True):
                sentences_by_row[row][result.rule.id] = sentence
    return sentences_by_row


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        SOLD,
        CARD | {"balance": "50.00"},
        CARD | {"balance": "50,0"},
        CARD | {"pool_system_name": "flexible", "balance": "0"},
        CARD | {"pool_system_name": "flexible", "balance": "9999999999999999.98"},
        CARD | {"pool_system_name": "limited", "balance": "100.00"},
        CARD | {"pool_system_name": "secure", "cvv": "007"},
        CARD | {"card_number": "x" * 1000},
        CARD | {"cvv": "x" * 1000},
        CARD | {"status": "blocked"},
        SOLD | {"purchased_at": "01.03.2026 12:00"},
        SOLD | {"purchased_at": "2026-03-01T14:00:00+02:00"},
    ],
)
def test_a_good_card_breaks_no_rule(card: dict[str, str]) -> None:
    assert reasons([card], strict=True) == [{}]
    assert warnings([card | {"balance": "50"}]) == [{}]


REJECTED = [
    (
        "pool_system_name.known",
        CARD | {"pool_system_name": "Fifty"},
        "Pool 'Fifty' does not exist. Import the pool, then retry these rows. Names are case-sensitive.",
    ),
    (
        "cvv.required",
        CARD | {"pool_system_name": "secure"},
        "Gift card CVV is blank, but pool 'secure' requires one for each card.",
    ),
    (
        "balance.negative",
        CARD | {"pool_system_name": "flexible", "balance": "-0.01"},
        "Card balance '-0.01' is below 0.",
    ),
    (
        "balance.equals_pool_value",
        CARD | {"balance": "49.99"},
        "Card balance '49.99' differs from the fixed value of pool 'fifty', which is 50.00.",
    ),
    (
        "balance.above_maximum",
        CARD | {"pool_system_name": "limited", "balance": "100.01"},
        "Card balance '100.01' is above 100.00, the highest value of a card in pool 'limited'. Correct the balance, or "
        "check that the columns are the right ones.",
    ),
    (
        "balance.above_project_maximum",
        CARD | {"pool_system_name": "flexible", "balance": "9999999999999999.99"},
        "Card balance '9999999999999999.99' is above 9999999999999999.98, the highest value that the project allows "
        "for a card (max_card_value). Correct the balance, or check that the columns are the right ones.",
    ),
    (
        "point_of_contact.known",
        SOLD | {"point_of_contact": "nowhere"},
        "There is no point of contact with the external ID 'nowhere' in the project settings; letter case counts.",
    ),
    (
        "purchased_at.in_the_future",
        SOLD | {"purchased_at": "2026-03-01 12:00:01"},
        "Card purchase date '2026-03-01 12:00:01' is in the future: this import started at 2026-03-01 12:00:00 UTC.",
    ),
]


@pytest.mark.parametrize(("rule", "card", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_card_that_breaks_one_rule_gets_its_sentence_and_no_other(
    rule: str, card: dict[str, str], sentence: str
) -> None:
    assert reasons([SOLD, card, CARD], strict=True) == [{}, {rule: sentence}, {}]


def test_every_critical_rule_that_is_written_by_hand_has_a_card_above() -> None:
    suite = load_suite(
        SUITE, columns=set(read_rows("gift_cards", [CARD], LOOKUPS).columns), settings={"strict_sold_cards": False}
    )
    rules = written_by_hand(suite)
    assert sorted(rule.id for rule in rules if rule.severity == "critical") == sorted(rule for rule, _, _ in REJECTED)
    assert [rule.id for rule in rules if rule.severity == "warning"] == [
        "card_number.rounded", "cvv.many_digits", "balance.many_digits", "status.sold_card_incomplete",
    ]  # fmt: skip


def test_x18_a_balance_of_twelve_digits_is_a_warning() -> None:
    card = CARD | {"pool_system_name": "flexible", "balance": "100000000000"}
    assert reasons([card]) == [{}]
    assert warnings([card, card | {"balance": "99999999999.99"}]) == [
        {
            "balance.many_digits": "Card balance has twelve digits or more before the decimal mark, as "
            "card numbers have. Check that the columns are the right ones."
        },
        {},
    ]


@pytest.mark.parametrize(
    ("cvv", "is_odd"),
    [
        ("603000000001", True), ("4111 1111 1111 1111", True), ("4111-1111-1111-1111", True), ("1" * 30, True),
        ("'6030635058774641", True), ("60300000001", False), ("007", False), ("12 34", False),
        ("1a2b3c4d5e6f7890a1b2c3d4", False), ("", False),
    ],
)  # fmt: skip
def test_x18_a_cvv_of_twelve_digits_is_a_warning(cvv: str, is_odd: bool) -> None:
    secure = CARD | {"pool_system_name": "flexible"}
    _, broken = warnings([secure | {"cvv": "123"}, secure | {"cvv": cvv}])
    broken.pop("cvv.leading_apostrophe", None)
    sentence = (
        "Gift card CVV is a number of twelve digits or more, as card numbers are. Check that the columns are the "
        "right ones."
    )
    assert broken == ({"cvv.many_digits": sentence} if is_odd else {})
    assert reasons([secure | {"cvv": cvv}]) == [{}]


def test_x08_a_card_gets_all_its_reasons() -> None:
    card = {"card_number": "", "pool_system_name": "", "balance": "1.234", "status": "?", "purchased_at": "?"}
    assert [set(rules) for rules in reasons([card])] == [
        {
            "card_number.required",
            "pool_system_name.required",
            "balance.too_many_decimals",
            "purchased_at.not_date",
            "status.unknown_choice",
        }
    ]


def test_x18_the_limit_of_a_pool_goes_before_the_projects_and_without_both_there_is_none() -> None:
    frame = read_rows(
        "gift_cards",
        [
            CARD | {"pool_system_name": "limited", "balance": "60"},
            CARD | {"pool_system_name": "flexible", "balance": "60"},
        ],
        LOOKUPS,
        max_card_value=Decimal(50),
    )
    unlimited = read_rows("gift_cards", [CARD | {"pool_system_name": "flexible", "balance": "60"}], LOOKUPS)
    suite = load_suite(SUITE, columns=set(frame.columns), settings={"strict_sold_cards": False})
    broken = {result.rule.id: result.rows.tolist() for result in Checker(suite).check(frame) if len(result.rows)}
    assert broken == {"balance.above_project_maximum": [1]}
    assert not any(len(result.rows) for result in Checker(suite).check(unlimited))


def test_a_negative_balance_in_a_fixed_pool_breaks_both_rules() -> None:
    assert [set(rules) for rules in reasons([CARD | {"balance": "-50"}])] == [
        {"balance.negative", "balance.equals_pool_value"}
    ]


@pytest.mark.parametrize("pool", ["", "nowhere", "1E+15"])
def test_a_card_of_no_pool_is_not_blamed_for_what_the_pool_would_say(pool: str) -> None:
    (rules,) = reasons([CARD | {"pool_system_name": pool, "balance": "7"}])
    assert len(rules) == 1
    assert all(rule.startswith("pool_system_name.") for rule in rules)


@pytest.mark.parametrize(("order", "day"), [("month_first", "02/29/2024"), ("day_first", "29/02/2024")])
def test_slash_dates_are_read_when_the_setting_says_how(order: str, day: str) -> None:
    assert reasons([SOLD | {"purchased_at": day}], slash_dates=order) == [{}]


INCOMPLETE = [
    CARD | {"status": "CanBeUsed"},
    CARD | {"purchased_at": "2024-02-29"},
    CARD | {"point_of_contact": "site-main"},
    SOLD | {"status": ""},
    SOLD | {"status": "Blocked"},
    SOLD | {"purchased_at": ""},
    SOLD | {"point_of_contact": ""},
]


@pytest.mark.parametrize("card", INCOMPLETE)
def test_gc04_a_sold_card_that_lacks_something_is_a_warning_and_with_the_setting_a_reject(card: dict[str, str]) -> None:
    rule = {"status.sold_card_incomplete"}
    assert reasons([card]) == [{}]
    assert [set(rules) for rules in warnings([card])] == [rule]
    assert [set(rules) for rules in reasons([card], strict=True)] == [rule]
    assert warnings([card], strict=True) == [{}]


def test_gc04_the_warning_names_what_there_is() -> None:
    assert warnings([SOLD | {"status": "", "point_of_contact": ""}])[0]["status.sold_card_incomplete"] == (
        "A sold card has the status CanBeUsed, a purchase date and a point of contact; this one has status 'Inactive', "
        "purchase date '2024-02-29' and point of contact (blank)."
    )


def test_gc04_a_card_with_an_unreadable_date_is_not_called_incomplete() -> None:
    card = CARD | {"purchased_at": "?"}
    assert [set(rules) for rules in reasons([card], strict=True)] == [{"purchased_at.not_date"}]


def test_x20_no_sentence_quotes_a_cvv() -> None:
    card = {"card_number": "", "pool_system_name": "?", "cvv": "4711" * 300, "balance": "?", "point_of_contact": "?"}
    (sentence_by_rule,) = reasons([card], strict=True)
    assert len(sentence_by_rule) >= 5
    assert not [sentence for sentence in sentence_by_rule.values() if "4711" in sentence]
