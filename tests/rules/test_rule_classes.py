"""Each rule class: a row that passes, one that fails, one that it leaves alone; judged by Great Expectations itself."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from great_expectations.compatibility.pydantic import ValidationError
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.validator.validator import Validator

import include.rules.expectations  # noqa: F401 - registers the classes
from tests.rules.frames import DECIMAL, TIMESTAMP, frame_of, texts

pytestmark = pytest.mark.rules

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)


def broken(frame: pd.DataFrame, type_: str, **kwargs: Any) -> list[int]:
    """Return the positions that GX lists for one expectation."""
    engine = PandasExecutionEngine(batch_data_dict={"frame": frame})
    validator = Validator(execution_engine=engine)
    validator.metrics_calculator.show_progress_bars = False
    expectation = get_expectation_impl(type_)(**kwargs)
    (result,) = validator.graph_validate(
        [expectation.configuration], {"catch_exceptions": False, "result_format": "COMPLETE"}
    )
    positions: list[int] = result.result["unexpected_index_list"]
    assert result.result["unexpected_count"] == len(positions)
    assert result.result["element_count"] == len(frame)
    assert result.success is (not positions)
    return positions


def test_present_wants_a_filled_cell() -> None:
    frame = frame_of(name=texts("a", None, "b"))
    assert broken(frame, "expect_column_values_to_be_present", column="name") == [1]


def test_present_takes_an_unreadable_cell_as_filled() -> None:
    frame = frame_of(balance=pa.array([Decimal(1), None, None], DECIMAL), balance__sent=texts("1", "abc", None))
    assert broken(frame, "expect_column_values_to_be_present", column="balance") == [2]


def test_a_condition_limits_a_rule_to_the_rows_that_have_its_value() -> None:
    frame = frame_of(cvv=texts(None, None, None, "1"), needed=pa.array([True, False, None, True]))
    kwargs = {"column": "cvv", "when_column": "needed", "when_value": True}
    assert broken(frame, "expect_column_values_to_be_present", **kwargs) == [0]


def test_absent_wants_a_blank_cell_and_takes_an_unreadable_one_as_filled() -> None:
    frame = frame_of(
        value=pa.array([Decimal(1), None, None, Decimal(2)], DECIMAL),
        value__sent=texts("1", "abc", None, "2"),
        kind=texts("free", "free", "free", "fixed"),
    )
    kwargs = {"column": "value", "when_column": "kind", "when_value": "free"}
    assert broken(frame, "expect_column_values_to_be_absent", **kwargs) == [0, 1]


def test_readable_distinguishes_the_problems() -> None:
    frame = frame_of(
        balance=pa.nulls(5, DECIMAL), balance__problem=texts("not_decimal", "too_many_decimals", "new_code", None, None)
    )
    readable = "expect_column_values_to_be_readable"
    assert broken(frame, readable, column="balance") == [0, 1, 2]
    assert broken(frame, readable, column="balance", problems=["too_many_decimals"]) == [1]
    assert broken(frame, readable, column="balance", other_than=["too_many_decimals"]) == [0, 2]


@pytest.mark.parametrize("arguments", [{}, {"problems": ["a"]}, {"other_than": ["a"]}])
def test_readable_passes_a_column_without_problems(arguments: dict[str, Any]) -> None:
    frame = frame_of(balance=pa.nulls(2, DECIMAL), balance__problem=texts(None, None))
    assert broken(frame, "expect_column_values_to_be_readable", column="balance", **arguments) == []


def test_in_range_keeps_or_leaves_out_its_bounds() -> None:
    decimals = frame_of(n=pa.array([Decimal("-0.01"), Decimal(0), Decimal("0.01"), Decimal(10), None], DECIMAL))
    in_range = "expect_column_values_to_be_in_range"
    assert broken(decimals, in_range, column="n", min_value=0) == [0]
    assert broken(decimals, in_range, column="n", min_value=0, strict_min=True) == [0, 1]
    assert broken(decimals, in_range, column="n", max_value=10) == []
    assert broken(decimals, in_range, column="n", max_value=10, strict_max=True) == [3]
    assert broken(decimals, in_range, column="n", min_value="0.01", max_value="9.99") == [0, 1, 3]
    assert broken(decimals, in_range, column="n", min_value=0.01) == [0, 1]


def test_in_range_judges_integers() -> None:
    integers = frame_of(n=pa.array([0, 1, 10, 11, 2**62, None], pa.int64()))
    assert broken(integers, "expect_column_values_to_be_in_range", column="n", min_value=1, max_value=10) == [0, 3, 4]


def test_in_range_sees_the_last_cent_of_the_largest_amount() -> None:
    frame = frame_of(n=pa.array([Decimal("9999999999999999.98"), Decimal("9999999999999999.99")], DECIMAL))
    assert broken(frame, "expect_column_values_to_be_in_range", column="n", max_value="9999999999999999.98") == [1]


def test_lengths_are_counted_in_characters_and_in_bytes() -> None:
    frame = frame_of(name=texts("abc", "äöü", "abcd", None, "😀😀😀"))
    characters, size = "expect_column_value_characters_to_be_at_most", "expect_column_value_bytes_to_be_at_most"
    assert broken(frame, characters, column="name", max_characters=3) == [2]
    assert broken(frame, size, column="name", max_bytes=4) == [1, 4]


def test_known_rejects_what_the_lookup_did_not_find() -> None:
    frame = frame_of(pool_system_name=texts("a", "b", None), pool__found=pa.array([True, False, None]))
    assert broken(frame, "expect_column_values_to_be_known", column="pool_system_name", lookup="pool") == [1]


def test_equal_column_compares_numbers_as_numbers_and_passes_blanks() -> None:
    frame = frame_of(
        balance=pa.array([Decimal("50.00"), Decimal("49.99"), None, Decimal(1)], DECIMAL),
        value=pa.array([Decimal(50), Decimal(50), Decimal(50), None], pa.decimal128(10, 0)),
    )
    assert broken(frame, "expect_column_values_to_equal_column", column="balance", other_column="value") == [1]


def test_x18_at_most_column_lets_the_limit_pass_and_blanks() -> None:
    frame = frame_of(
        balance=pa.array([Decimal(50), Decimal("50.01"), None, Decimal(60), Decimal(60)], DECIMAL),
        limit=pa.array([Decimal(50)] * 4 + [None], DECIMAL),
        own=pa.array([None, None, None, Decimal(70), None], DECIMAL),
    )
    at_most, kwargs = "expect_column_values_to_be_at_most_column", {"column": "balance", "other_column": "limit"}
    assert broken(frame, at_most, **kwargs) == [1, 3]
    assert broken(frame, at_most, **kwargs, unless_column="own") == [1]
    assert (
        broken(frame_of(balance=pa.array([Decimal(9)], DECIMAL), limit=pa.nulls(1, DECIMAL)), at_most, **kwargs) == []
    )


def test_not_after_column_lets_the_very_moment_pass() -> None:
    frame = frame_of(at=pa.array([NOON, LATER, None], TIMESTAMP), job__launched_at=pa.array([NOON] * 3, TIMESTAMP))
    kwargs = {"column": "at", "other_column": "job__launched_at"}
    assert broken(frame, "expect_column_values_to_not_be_after_column", **kwargs) == [1]


def test_not_after_column_compares_a_date_with_the_day_of_a_time() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2), None]
    frame = frame_of(day=pa.array(days, pa.date32()), job__launched_at=pa.array([NOON] * 3, TIMESTAMP))
    kwargs = {"column": "day", "other_column": "job__launched_at"}
    assert broken(frame, "expect_column_values_to_not_be_after_column", **kwargs) == [1]


def test_present_together_wants_all_or_none_and_leaves_unreadable_rows_alone() -> None:
    frame = frame_of(
        status=texts("CanBeUsed", "Inactive", "CanBeUsed", "Inactive", None, "CanBeUsed"),
        status__problem=texts(None, None, None, None, "unknown_choice", None),
        sold_at=pa.array([NOON, None, None, NOON, NOON, None], TIMESTAMP),
        sold_at__problem=texts(None, None, None, None, None, "not_date"),
        place=texts("shop", None, "shop", None, "shop", "shop"),
    )
    kwargs = {"column": "status", "columns": ["sold_at", "place"], "only_values": {"status": "CanBeUsed"}}
    assert broken(frame, "expect_column_values_to_be_present_together", **kwargs) == [2, 3]


def test_one_of_several_must_be_present() -> None:
    frame = frame_of(
        email=texts("a@b.c", None, None, None),
        phone=texts(None, None, "1", None),
        phone__sent=texts(None, None, "1", "x"),
    )
    assert broken(frame, "expect_column_or_others_to_be_present", column="email", columns=["phone"]) == [1]


def test_a_row_condition_of_gx_gives_positions_in_the_whole_frame() -> None:
    frame = frame_of(name=texts("a", None, "b", None), n=pa.array([1, 2, 3, 4]))
    engine = PandasExecutionEngine(batch_data_dict={"frame": frame})
    condition = {"type": "comparison", "column": {"name": "n"}, "operator": ">", "parameter": 2}
    expectation = get_expectation_impl("expect_column_values_to_be_present")(column="name", row_condition=condition)
    validator = Validator(execution_engine=engine)
    validator.metrics_calculator.show_progress_bars = False
    (result,) = validator.graph_validate([expectation.configuration], {"result_format": "COMPLETE"})
    assert result.result["unexpected_index_list"] == [3]
    assert result.result["element_count"] == 2


@pytest.mark.parametrize(
    ("type_", "kwargs"),
    [
        ("expect_column_values_to_be_present", {"when_column": "b"}),
        ("expect_column_values_to_be_present", {"when_value": True}),
        ("expect_column_values_to_be_present", {"mostly": 0.99}),
        ("expect_column_values_to_be_present", {"colum": "b"}),
        ("expect_column_values_to_be_readable", {"problems": ["x"], "other_than": ["y"]}),
        ("expect_column_values_to_be_in_range", {}),
        ("expect_column_values_to_be_in_range", {"min_value": "nought"}),
        ("expect_column_values_to_be_in_range", {"min_value": "NaN"}),
        ("expect_column_values_to_be_in_range", {"min_value": True}),
        ("expect_column_value_characters_to_be_at_most", {"max_characters": "3"}),
        ("expect_column_value_bytes_to_be_at_most", {}),
        ("expect_column_values_to_be_known", {}),
        ("expect_column_values_to_be_present_together", {"columns": []}),
    ],
)
def test_arguments_that_make_no_sense_are_refused(type_: str, kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        get_expectation_impl(type_)(column="a", **kwargs)
