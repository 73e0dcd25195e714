"""The promo code pools' suite: for each rule of its own a row that breaks it and nothing else, and rows that don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from include import import_types
from include.rules.row_sentences import sentences
from include.rules.suites import Checker, load_suite
from tests.rules.frames import read_rows, written_by_hand

pytestmark = pytest.mark.rules

SUITE = Path(__file__).resolve().parents[2] / "expectations" / "promo_code_pools.json"
LOOKUPS = {"format": {"summer": {}}}
FIELDS = [field.name for field in import_types.get("promo_code_pools").fields]
BARE = {"name": "Spring"}
FULL = {
    "system_id": "spring", "name": "Spring sale", "description": "D", "campaign": "C", "parameter_name": "code",
    "fill_method": "Generate", "format": "summer", "quantity": "100", "auto_generate": "yes", "top_up_threshold": "0",
    "notify_below": "0", "lead_hours": "8760", "issue_check": "TRUE", "assigned_validity_days": "36500",
    "processing": "External", "multi_use": "0", "launch": "1",
}  # fmt: skip
CLEARED = {name: "%CLEAR%" for name in FIELDS if name not in ("system_id", "name", "launch")}


def broken(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    frame = read_rows("promo_code_pools", rows, LOOKUPS)
    sentences_by_row: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(load_suite(SUITE, columns=set(frame.columns), settings={})).check(frame):
        if result.rule.severity == "warning":
            assert result.rule.id.endswith(".leading_apostrophe")
            continue
        for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
            sentences_by_row[row][result.rule.id] = sentence
    return sentences_by_row


@pytest.mark.parametrize("pool", [BARE, FULL, BARE | CLEARED, FULL | CLEARED], ids=["bare", "full", "cleared", "both"])
def test_pp02_a_good_pool_breaks_no_rule_and_clear_is_readable_as_anything(pool: dict[str, str]) -> None:
    assert broken([pool]) == [{}]


REJECTED = [
    (
        "system_id.cannot_be_cleared",
        {"system_id": "%CLEAR%"},
        "Pool ID can't be erased: it never changes.",
    ),
    ("name.required", {"name": "%CLEAR%"}, "Pool name is blank, but every row needs one."),
    (
        "format.known",
        {"format": "Summer"},
        "Promo code format 'Summer' is not in the project settings; letter case counts.",
    ),
    ("quantity.not_positive", {"quantity": "0"}, "Quantity '0' is not above 0."),
    ("top_up_threshold.negative", {"top_up_threshold": "-1"}, "Top-up threshold '-1' is below 0."),
    (
        "notify_below.negative",
        {"notify_below": "-1"},
        "Notify when code amount is below '-1': the number can't be below 0.",
    ),
    (
        "top_up_threshold.over_limit",
        {"top_up_threshold": "10000001"},
        "Top-up threshold '10000001' is above 10000000, the most codes that the project generates at once "
        "(max_generation). Take a smaller number.",
    ),
    (
        "notify_below.over_limit",
        {"notify_below": "999999999999999999"},
        "Notify when code amount is below '999999999999999999': the number is above 10000000, the most codes that "
        "the project generates at once (max_generation). Take a smaller number.",
    ),
    ("lead_hours.out_of_range", {"lead_hours": "0"}, "Lead hours '0' is not between 1 and 8760."),
    ("lead_hours.out_of_range", {"lead_hours": "8761"}, "Lead hours '8761' is not between 1 and 8760."),
    (
        "assigned_validity_days.out_of_range",
        {"assigned_validity_days": "0"},
        "Validity period for an assigned promo code '0' is not between 1 and 36500 days.",
    ),
    (
        "assigned_validity_days.out_of_range",
        {"assigned_validity_days": "36501"},
        "Validity period for an assigned promo code '36501' is not between 1 and 36500 days.",
    ),
    (
        "code_pattern.not_pattern",
        {"code_pattern": "(?=A)"},
        "Code pattern '(?=A)' is no regular expression of RE2, which has no look-arounds and no references back.",
    ),
    (
        "launch.not_boolean",
        {"launch": "%CLEAR%"},
        "Launch '%CLEAR%' is not true/false, t/f, yes/no, y/n, on/off or 1/0.",
    ),
]


@pytest.mark.parametrize(("rule", "cells", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_pool_that_breaks_one_rule_gets_its_sentence_and_no_other(
    rule: str, cells: dict[str, str], sentence: str
) -> None:
    assert broken([BARE, FULL | cells, BARE]) == [{}, {rule: sentence}, {}]


def test_every_rule_that_is_written_by_hand_has_a_pool_above() -> None:
    columns = set(read_rows("promo_code_pools", [BARE], LOOKUPS).columns)
    rules = written_by_hand(load_suite(SUITE, columns=columns, settings={}))
    tried = {rule for rule, _, _ in REJECTED} - {"name.required", "launch.not_boolean"}
    assert {rule.id for rule in rules} == tried


def test_section_4_a_blank_row_lacks_its_name_alone() -> None:
    assert [set(rules) for rules in broken([dict.fromkeys(FIELDS, "")])] == [{"name.required"}]
