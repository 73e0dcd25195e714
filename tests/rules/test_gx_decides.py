"""The suite's JSON alone says which rows are rejected, and Great Expectations is who reads it: over 1,000 rows each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from great_expectations.core import ExpectationSuite
from great_expectations.execution_engine import pandas_execution_engine

from include.errors import SuiteError
from include.rules.row_sentences import sentences
from include.rules.suites import Checker, load_suite
from tests.rules.frames import DECIMAL, read_rows

pytestmark = pytest.mark.rules

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "expectations" / "gift_cards.json"
ROWS = 10_000

LOOKUPS: dict[str, dict[str, dict[str, Any]]] = {
    "pool": {
        "fifty": {"card_value": Decimal(50), "cvv_required": False, "supports_arbitrary_value": False},
        "flexible": {"card_value": None, "cvv_required": False, "supports_arbitrary_value": True},
    },
    "point_of_contact": {"site-main": {}, "shop": {}},
}


def card(number: int) -> dict[str, str]:
    """Return a card: every 2nd has a balance of its own, every 3rd starts with an X, every 4th was sold in 2023."""
    return {
        "card_number": f"{'X' if number % 3 == 0 else '0'}{number:08d}",
        "pool_system_name": "fifty" if number % 2 == 0 else "flexible",
        "balance": "50" if number % 2 == 0 else str(number % 100),
        "status": "CanBeUsed",
        "purchased_at": "2023-06-01" if number % 4 == 0 else "2024-06-01",
        "point_of_contact": "site-main" if number % 5 == 0 else "shop",
    }


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return read_rows("gift_cards", [card(number) for number in range(ROWS)], LOOKUPS)


def numbers(is_broken: Callable[[int], bool]) -> list[int]:
    row_numbers = [number for number in range(ROWS) if is_broken(number)]
    assert len(row_numbers) > 1_000
    return row_numbers


def declared() -> dict[str, Any]:
    suite: dict[str, Any] = json.loads(SUITE.read_text(encoding="utf-8"))
    return suite


def rejected(frame: pd.DataFrame, suite: dict[str, Any], folder: Path) -> dict[str, list[int]]:
    """Return rule id → rows, of the rules that reject any."""
    path = folder / "changed.json"
    path.write_text(json.dumps(suite), encoding="utf-8")
    loaded = load_suite(path, columns=set(frame.columns), settings={"strict_sold_cards": True})
    results = Checker(loaded).check(frame)
    for result in results:
        assert len(sentences(result, frame, hidden=["cvv"])) == len(result.rows)
    return {result.rule.id: result.rows.tolist() for result in results if len(result.rows)}


def added(type_: str, **kwargs: Any) -> dict[str, Any]:
    meta = {"rule": "card_number.added", "message": "Card number {value} is wrong.", "source": "test"}
    suite = declared()
    suite["expectations"].append({"type": type_, "kwargs": kwargs, "severity": "critical", "meta": meta})
    return suite


def rule(suite: dict[str, Any], rule_id: str) -> dict[str, Any]:
    (entry,) = [entry for entry in suite["expectations"] if entry["meta"]["rule"] == rule_id]
    assert isinstance(entry, dict)
    return entry


def test_the_shipped_suite_rejects_none_of_these_cards(frame: pd.DataFrame, tmp_path: Path) -> None:
    assert rejected(frame, declared(), tmp_path) == {}


def test_removing_a_rule_lets_its_rows_through(tmp_path: Path) -> None:
    rows = [card(number) | {"balance": "49.99"} for number in range(ROWS)]
    frame = read_rows("gift_cards", rows, LOOKUPS)
    suite = declared()
    in_fixed_pools = numbers(lambda number: number % 2 == 0)
    assert rejected(frame, suite, tmp_path) == {"balance.equals_pool_value": in_fixed_pools}
    suite["expectations"].remove(rule(suite, "balance.equals_pool_value"))
    assert rejected(frame, suite, tmp_path) == {}


def test_changing_an_argument_changes_the_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    suite = declared()
    rule(suite, "balance.negative")["kwargs"]["min_value"] = 50
    below_fifty = numbers(lambda number: number % 2 == 1 and number % 100 < 50)
    assert rejected(frame, suite, tmp_path) == {"balance.negative": below_fifty}


def test_changing_the_severity_turns_rejects_into_warnings(frame: pd.DataFrame, tmp_path: Path) -> None:
    suite = declared()
    rule(suite, "balance.negative")["kwargs"]["min_value"] = 50
    rule(suite, "balance.negative")["severity"] = "warning"
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(suite), encoding="utf-8")
    loaded = load_suite(path, columns=set(frame.columns), settings={"strict_sold_cards": False})
    broken = [result for result in Checker(loaded).check(frame) if len(result.rows)]
    assert [(result.rule.id, result.rule.severity) for result in broken] == [("balance.negative", "warning")]
    assert len(broken[0].rows) > 1_000


GX_OWN: list[tuple[str, dict[str, Any], Callable[[int], bool]]] = [
    (
        "expect_column_values_to_match_regex",
        {"column": "card_number", "regex": "^[0-9]+$"},
        lambda number: number % 3 == 0,
    ),
    (
        "expect_column_values_to_not_match_regex",
        {"column": "card_number", "regex": "^X"},
        lambda number: number % 3 == 0,
    ),
    (
        "expect_column_values_to_be_in_set",
        {"column": "point_of_contact", "value_set": ["site-main"]},
        lambda number: number % 5 != 0,
    ),
    (
        "expect_column_value_lengths_to_be_between",
        {"column": "point_of_contact", "max_value": 4},
        lambda number: number % 5 == 0,
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "balance", "min_value": 50},
        lambda number: number % 2 == 1 and number % 100 < 50,
    ),
    (
        "expect_column_values_to_be_between",
        {"column": "balance", "max_value": 49.99, "strict_max": True},
        lambda number: number % 2 == 0 or number % 100 > 49,
    ),
    ("expect_column_values_to_be_null", {"column": "point_of_contact"}, lambda _number: True),
    (
        "expect_column_values_to_not_be_null",
        {"column": "pool__card_value"},
        lambda number: number % 2 == 1,
    ),
    (
        "expect_column_pair_values_to_be_in_set",
        {
            "column_A": "pool_system_name",
            "column_B": "point_of_contact",
            "value_pairs_set": [["fifty", "shop"], ["flexible", "site-main"]],
            "ignore_row_if": "either_value_is_missing",
        },
        lambda number: (number % 2 == 0) == (number % 5 == 0),
    ),
    (
        "expect_select_column_values_to_be_unique_within_record",
        {"column_list": ["status", "status__sent"], "ignore_row_if": "any_value_is_missing"},
        lambda _number: True,
    ),
    (
        "expect_multicolumn_sum_to_equal",
        {"column_list": ["balance", "pool__card_value"], "sum_total": 99, "ignore_row_if": "any_value_is_missing"},
        lambda number: number % 2 == 0,
    ),
    (
        "expect_column_values_to_match_regex",
        {
            "column": "card_number",
            "regex": "^0",
            "row_condition": {
                "type": "comparison",
                "column": {"name": "pool_system_name"},
                "operator": "==",
                "parameter": "fifty",
            },
        },
        lambda number: number % 6 == 0,
    ),
]


@pytest.mark.parametrize(("type_", "kwargs", "is_broken"), GX_OWN)
def test_an_expectation_of_gxs_own_in_the_json_rejects_its_rows(
    type_: str, kwargs: dict[str, Any], is_broken: Callable[[int], bool], frame: pd.DataFrame, tmp_path: Path
) -> None:
    assert rejected(frame, added(type_, **kwargs), tmp_path) == {"card_number.added": numbers(is_broken)}


def test_a_pair_of_columns_is_compared_by_gx_where_both_are_filled(frame: pd.DataFrame, tmp_path: Path) -> None:
    bound = pa.array([Decimal(60)] * 4_000 + [None] * (ROWS - 4_000), DECIMAL)
    with_bound = frame.assign(bound=pd.Series(pd.arrays.ArrowExtensionArray(bound)))
    pair = {"column_A": "balance", "column_B": "bound", "ignore_row_if": "either_value_is_missing"}
    greater = added("expect_column_pair_values_a_to_be_greater_than_b", **pair)
    at_most_sixty = numbers(lambda number: number < 4_000 and (number % 2 == 0 or number % 100 <= 60))
    assert rejected(with_bound, greater, tmp_path) == {"card_number.added": at_most_sixty}
    equal = added("expect_column_pair_values_to_be_equal", **(pair | {"column_B": "pool__card_value"}))
    assert rejected(frame.assign(balance=with_bound["bound"]), equal, tmp_path)["card_number.added"] == numbers(
        lambda number: number % 2 == 0 and number < 4_000
    )


def test_gx_can_not_compare_with_a_blank_cell_and_stops(frame: pd.DataFrame, tmp_path: Path) -> None:
    pair = {"column_A": "balance", "column_B": "pool__card_value", "ignore_row_if": "neither"}
    with pytest.raises(SuiteError, match=r"\['balance', 'pool__card_value'\] raised TypeError"):
        rejected(frame, added("expect_column_pair_values_to_be_equal", **pair), tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda suite: suite.update(expectations=[]),
        lambda suite: suite["expectations"][3].update(type="expect_column_values_to_be_presnt"),
        lambda suite: suite["expectations"][3]["kwargs"].update(column="card_numbre"),
        lambda suite: suite["expectations"].append(suite["expectations"][0]),
    ],
    ids=["empty", "misspelt", "missing column", "twice"],
)
def test_a_spoilt_suite_refuses_to_run(
    spoil: Callable[[dict[str, Any]], object], frame: pd.DataFrame, tmp_path: Path
) -> None:
    suite = declared()
    spoil(suite)
    with pytest.raises(SuiteError):
        rejected(frame, suite, tmp_path)


def test_any_gx_user_gets_the_same_verdict_from_the_same_json(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pandas_execution_engine, "HASH_THRESHOLD", 0)
    suite = declared()
    rule(suite, "balance.negative")["kwargs"]["min_value"] = 50
    rule(suite, "card_number.too_long")["kwargs"]["max_characters"] = 8
    mine = rejected(frame, suite, tmp_path)
    assert {name: len(rows) for name, rows in mine.items()} == {"balance.negative": 2_500, "card_number.too_long": ROWS}

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("any").add_dataframe_asset("cards")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    theirs = batch.validate(ExpectationSuite(**suite), result_format="COMPLETE")
    assert {
        result.expectation_config.meta["rule"]: result.result["unexpected_index_list"]
        for result in theirs.results
        if not result.success
    } == mine


def test_a_class_that_is_not_imported_leaves_gx_without_the_rule(tmp_path: Path) -> None:
    # Why `load_suite` counts: GX logs an error and goes on with what is left of the suite.
    program = (
        "import json, sys, logging; logging.disable()\n"
        "from great_expectations.core import ExpectationSuite\n"
        "suite = json.load(open(sys.argv[1]))\n"
        "print(len(suite['expectations']), len(ExpectationSuite(**suite).expectations))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(SUITE)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    declared_count, loaded_count = map(int, ran.stdout.split())
    assert declared_count == len(declared()["expectations"])
    assert loaded_count == 0


def test_x20_a_check_prints_nothing_writes_nothing_and_calls_nobody(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite = declared()
    rule(suite, "card_number.too_long")["kwargs"]["max_characters"] = 8
    (tmp_path / "suite").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "work"))

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert len(rejected(frame, suite, tmp_path / "suite")["card_number.too_long"]) == ROWS
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "work").iterdir()) == []


def test_three_hundred_thousand_rejects_are_all_listed_and_said(tmp_path: Path) -> None:
    rows = 300_000
    small = read_rows("gift_cards", [card(1) | {"balance": "-1"}], LOOKUPS)
    frame = small.loc[np.zeros(rows, dtype=np.int64)].reset_index(drop=True)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(declared()), encoding="utf-8")
    loaded = load_suite(path, columns=set(frame.columns), settings={"strict_sold_cards": False})
    (broken,) = [result for result in Checker(loaded).check(frame) if len(result.rows)]
    assert broken.rule.id == "balance.negative"
    assert np.array_equal(broken.rows, np.arange(rows))
    started = datetime.now(UTC)
    assert set(sentences(broken, frame)) == {"Card balance '-1' is below 0."}
    assert (datetime.now(UTC) - started).total_seconds() < 3
