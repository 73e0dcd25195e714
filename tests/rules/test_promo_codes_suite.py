"""The promo codes' suite: for each rule of its own a row that breaks it and nothing else, and rows that don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from include.rules.row_sentences import sentences
from include.rules.suites import Checker, load_suite
from tests.rules.frames import read_rows, written_by_hand

pytestmark = pytest.mark.rules

SUITE = Path(__file__).resolve().parents[2] / "expectations" / "promo_codes.json"
LOOKUPS = {
    "pool": {
        "a": {"fill_method": None}, "b": {"fill_method": "upload"}, "made": {"fill_method": "generate"},
        "strict": {"fill_method": "upload", "code_pattern": "[A-Z]{2}[0-9]+"},
    }
}  # fmt: skip
CODE = {"code": "0042", "pool": "a"}
DATED = CODE | {
    "issue_start": "2024-01-01", "issue_end": "2024-01-01", "available_from": "2024-01-01 10:00",
    "available_till": "2024-01-01 10:00:01",
}  # fmt: skip


def broken(rows: Sequence[Mapping[str, str]], **settings: str) -> list[dict[str, str]]:
    frame = read_rows("promo_codes", rows, LOOKUPS, settings=settings)
    sentences_by_row: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(load_suite(SUITE, columns=set(frame.columns), settings={})).check(frame):
        if result.rule.severity == "warning":
            assert result.rule.id.endswith((".leading_apostrophe", ".blank_inside"))
            continue
        for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
            sentences_by_row[row][result.rule.id] = sentence
    return sentences_by_row


def test_pc04a_codes_match_the_patterns_of_their_pool_and_of_the_setting() -> None:
    rows = [{"code": code, "pool": pool} for code in ("AB1", "ab1", "AB1\u00e9") for pool in ("strict", "a")]
    assert [set(rules) for rules in broken(rows)] == [set(), set(), {"code.pattern"}, set(), {"code.pattern"}, set()]
    by_setting = broken(rows, code_pattern="(?i)ab.*")
    assert [set(rules) for rules in by_setting] == [set(), set(), {"code.pattern"}, set(), {"code.pattern"}, set()]
    assert [set(rules) for rules in broken(rows, code_pattern="B|A")] == [{"code.pattern"}] * 6


@pytest.mark.parametrize("row", [CODE, DATED, CODE | {"pool": "b"}, CODE | {"code": "x" * 1000}])
def test_pc02_a_good_code_breaks_no_rule(row: dict[str, str]) -> None:
    assert broken([row]) == [{}]


def test_pc02_the_setting_replaces_a_blank_pool() -> None:
    assert broken([{"code": "1"}, CODE], pool="a") == [{}, {}]
    assert [set(rules) for rules in broken([{"code": "1"}, CODE])] == [{"pool.required"}, set()]


REJECTED = [
    (
        "code.pattern",
        {"code": "AB1x", "pool": "strict"},
        "Code 'AB1x' doesn't have the form that the code_pattern of its pool, or of the settings, demands. Correct the "
        "code, or the pattern.",
    ),
    ("pool.required", {"code": "1"}, "Promo code pool is blank, and neither the settings nor the folder name one."),
    (
        "pool.known",
        CODE | {"pool": "A"},
        "Pool 'A' does not exist. Import the pool, then retry these rows. IDs are case-sensitive.",
    ),
    (
        "pool.generated",
        CODE | {"pool": "made"},
        "Promo code pool 'made' is filled by generation and takes no uploads.",
    ),
    (
        "issue_end.not_after_start",
        DATED | {"issue_end": "2024-01-01 00:00"},
        "Issue-end '2024-01-01 00:00' is not after Issue-start '2024-01-01': the time between them is empty.",
    ),
    (
        "available_till.not_after_start",
        DATED | {"available_till": "31.12.2023"},
        "Available-till '31.12.2023' is not after Available-from '2024-01-01 10:00': the time between them is empty.",
    ),
]


@pytest.mark.parametrize(("rule", "row", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_a_code_that_breaks_one_rule_gets_its_sentence_and_no_other(
    rule: str, row: dict[str, str], sentence: str
) -> None:
    assert broken([CODE, row, DATED]) == [{}, {rule: sentence}, {}]


def test_pc02_the_reason_of_a_column_that_disagrees_with_the_setting_names_both() -> None:
    sentence = "Promo code pool 'b' is not the one that the settings or the folder name: 'a'."
    assert broken([CODE, CODE | {"pool": "b"}, {"code": "1"}], pool="a") == [{}, {"pool.disagrees": sentence}, {}]


def test_every_critical_rule_that_is_written_by_hand_has_a_row_above() -> None:
    columns = set(read_rows("promo_codes", [CODE], LOOKUPS).columns)
    rules = written_by_hand(load_suite(SUITE, columns=columns, settings={}))
    # `test_damaged_values.py` has codes without letter or digit, and with a blank inside.
    tried = {rule for rule, _, _ in REJECTED} | {"pool.disagrees", "code.no_letter_or_digit"}
    assert {rule.id for rule in rules if rule.severity == "critical"} == tried
    assert [rule.id for rule in rules if rule.severity == "warning"] == ["code.blank_inside"]


def test_pc03_a_window_that_is_open_at_one_side_is_never_empty() -> None:
    for cells in ({"issue_start": "9999-12-31"}, {"issue_end": "0001-01-01"}, {"available_till": "0001-01-01"}):
        assert broken([CODE | cells]) == [{}]
