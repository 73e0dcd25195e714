"""The promo code pools' suite: for each rule a row that breaks it and nothing else, and the rows that don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from include import import_types
from include.rules.suites import Checker, load_suite, sentences
from tests.rules.frames import is_about_damage, read_rows

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
    found: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(load_suite(SUITE, columns=set(frame.columns), settings={})).check(frame):
        if result.rule.severity == "warning":
            assert is_about_damage(result.rule.id)
            continue
        for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
            found[row][result.rule.id] = sentence
    return found


@pytest.mark.parametrize("pool", [BARE, FULL, BARE | CLEARED, FULL | CLEARED], ids=["bare", "full", "cleared", "both"])
def test_pp02_a_good_pool_breaks_no_rule_and_clear_is_readable_as_anything(pool: dict[str, str]) -> None:
    assert broken([pool]) == [{}]


def boolean_rule(field: str, label: str) -> tuple[str, dict[str, str], str]:
    return f"{field}.not_boolean", {field: "ja"}, f"{label} 'ja' is none of true, false, yes, no, 1 and 0."


def integer_rules(field: str, label: str) -> list[tuple[str, dict[str, str], str]]:
    sentence = f"{label} '{{}}' is not a whole number of at most 18 digits."
    cells = ("two",) if field in ("lead_hours", "assigned_validity_days") else ("two", "1" * 19)
    return [(f"{field}.not_integer", {field: cell}, sentence.format(cell)) for cell in cells]


def too_long(field: str, label: str) -> tuple[str, dict[str, str], str]:
    return f"{field}.too_long", {field: "ä" * 1001}, f"{label} has more than 1000 characters: '{'ä' * 100}...'."


REJECTED = [
    (
        "system_id.spreadsheet_number",
        {"system_id": "4.00638E+12"},
        "Pool ID '4.00638E+12' looks like a number that a program has rounded: its last digits "
        "may be lost. Format the column as text and "
        "export the file again.",
    ),
    too_long("system_id", "Pool ID"),
    (
        "system_id.too_many_bytes",
        {"system_id": "€" * 867},
        f"Pool ID takes more than 2600 bytes in UTF-8, too many for a key: '{'€' * 100}...'.",
    ),
    (
        "system_id.cannot_be_cleared",
        {"system_id": "%CLEAR%"},
        "Pool ID can't be erased: it never changes.",
    ),
    ("name.required", {"name": " "}, "Pool name is blank, but every row needs one."),
    ("name.required", {"name": "%CLEAR%"}, "Pool name is blank, but every row needs one."),
    too_long("name", "Pool name"),
    too_long("description", "Description"),
    too_long("campaign", "Campaign"),
    too_long("parameter_name", "Parameter name"),
    ("fill_method.unknown_choice", {"fill_method": "both"}, "Fill method 'both' is neither upload nor generate."),
    (
        "format.known",
        {"format": "Summer"},
        "Promo code format 'Summer' is not in the project settings; letter case counts.",
    ),
    *integer_rules("quantity", "Quantity"),
    ("quantity.not_positive", {"quantity": "0"}, "Quantity '0' is not above 0."),
    boolean_rule("auto_generate", "Auto-generate"),
    *integer_rules("top_up_threshold", "Top-up threshold"),
    ("top_up_threshold.negative", {"top_up_threshold": "-1"}, "Top-up threshold '-1' is below 0."),
    *integer_rules("notify_below", "Notify when code amount is below"),
    (
        "notify_below.negative",
        {"notify_below": "-1"},
        "Notify when code amount is below '-1': the number can't be below 0.",
    ),
    *integer_rules("lead_hours", "Lead hours"),
    ("lead_hours.out_of_range", {"lead_hours": "0"}, "Lead hours '0' is not between 1 and 8760."),
    ("lead_hours.out_of_range", {"lead_hours": "8761"}, "Lead hours '8761' is not between 1 and 8760."),
    boolean_rule("issue_check", "Check that code was issued"),
    *integer_rules("assigned_validity_days", "Validity period for an assigned promo code"),
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
    ("processing.unknown_choice", {"processing": "both"}, "Processing 'both' is neither internal nor external."),
    boolean_rule("multi_use", "Codes can be used multiple times"),
    (
        "code_pattern.too_long",
        {"code_pattern": "x" * 501},
        f"Code pattern has more than 500 characters: '{'x' * 100}...'.",
    ),
    (
        "code_pattern.not_pattern",
        {"code_pattern": "(?=A)"},
        "Code pattern '(?=A)' is no regular expression of RE2, which knows no look-arounds and no references back.",
    ),
    boolean_rule("launch", "Launch"),
    ("launch.not_boolean", {"launch": "%CLEAR%"}, "Launch '%CLEAR%' is none of true, false, yes, no, 1 and 0."),
]


@pytest.mark.parametrize(("rule", "cells", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_pool_that_breaks_one_rule_is_told_that_and_nothing_else(
    rule: str, cells: dict[str, str], sentence: str
) -> None:
    assert broken([BARE, FULL | cells, BARE]) == [{}, {rule: sentence}, {}]


def test_every_rule_of_the_suite_has_a_pool_above() -> None:
    rules = load_suite(SUITE, columns=set(read_rows("promo_code_pools", [BARE], LOOKUPS).columns), settings={}).rules
    assert {rule.id for rule in rules if not is_about_damage(rule.id)} == {
        rule for rule, _, _ in REJECTED if not is_about_damage(rule)
    }


def test_section_4_a_blank_row_lacks_its_name_alone() -> None:
    assert [set(found) for found in broken([dict.fromkeys(FIELDS, "")])] == [{"name.required"}]
