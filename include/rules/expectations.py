"""The row rules: Great Expectations expectation classes that judge a whole column with one Arrow kernel.

They are ordinary registered `ColumnMapExpectation`s: a suite's JSON names them like GX's own, and any GX user can load
and run such a suite after `import include.rules.expectations`. What differs is the cost. GX's own expectations copy the
frame to leave out nulls and to apply a row condition, and collect the unexpected values; these look at the column once
and give back positions only, so no value of a row gets into a validation result (X-20).

A rule leaves a row alone when it can't judge it: a blank or unreadable cell, an unknown pool. The rules for *those*
(`present`, `readable`, `known`) have their say instead, so a row gets the reasons that apply and nothing that follows
from them.

The frame is pandas with one Arrow-backed column per name. Beside the field `f` it may hold `f__sent` (the text as sent,
where `f` is typed), `f__problem` (why the text could not be read, else null) and `<lookup>__found` and
`<lookup>__<column>` (facts of another table).
"""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache, reduce
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.compatibility.pydantic import (
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    root_validator,
    validator,
)
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine.execution_engine import ExecutionEngine
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnMapExpectation
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration, parse_result_format
from great_expectations.expectations.metrics.map_metric_provider.column_map_metric_provider import (
    ColumnMapMetricProvider,
)
from great_expectations.expectations.metrics.metric_provider import metric_partial
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.render.components import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer
from great_expectations.util import camel_to_snake
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import ValidationDependencies

from include.values import damage
from include.values.cells import WHITE_SPACE, all_bytes, contains_byte, edges, flags, longest, matching_among, view
from include.values.characters import SOMETHING_TO_READ
from include.values.code_patterns import LONGEST_PATTERN, is_pattern, matches_whole

Column: TypeAlias = pa.Array
Number: TypeAlias = StrictInt | StrictFloat | StrictStr


IS_ASCII_WORD = np.zeros(256, dtype=np.bool_)
"""The bytes of ASCII letters and digits."""
IS_ASCII_WORD[[byte for byte in range(128) if chr(byte).isalnum()]] = True
_APOSTROPHES = "'`\u00b4\u02bc\u2018\u2019\u201b\u2032\uff07"
"""The typewriter's and what programs make of it while a person types, accents and primes among them."""
_MAY_BE_APOSTROPHE = np.zeros(256, dtype=np.bool_)
_MAY_BE_APOSTROPHE[[mark.encode()[0] for mark in _APOSTROPHES]] = True


class _FrameColumns(threading.local):
    """The columns of the frame that is being judged, as Arrow: dozens of rules ask for the same few."""

    def __init__(self) -> None:
        self.frame: pd.DataFrame | None = None
        self.columns: dict[str, Column] = {}


_columns = _FrameColumns()


def forget_columns() -> None:
    """Let the frame go that was judged last."""
    _columns.frame, _columns.columns = None, {}


def _column(frame: pd.DataFrame, name: str) -> Column:
    """Return a column of the frame as Arrow, without a copy where it is Arrow-backed with one chunk."""
    if _columns.frame is not frame:
        _columns.frame, _columns.columns = frame, {}
    if name not in _columns.columns:
        values = pa.array(frame[name])
        _columns.columns[name] = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    return _columns.columns[name]


def _sent(frame: pd.DataFrame, name: str) -> Column:
    """Return what the sender wrote in a field, before it was read as its kind."""
    return _column(frame, f"{name}__sent" if f"{name}__sent" in frame.columns else name)


def _no_row(frame: pd.DataFrame) -> Column:
    return pa.repeat(pa.scalar(False), len(frame))


def _decimal(number: int | float | str) -> Decimal:
    return Decimal(str(number))


@lru_cache(maxsize=1_000)
def _rule(name: str, column: str, arguments: str) -> RowRule:
    """Return the rule that GX names, with its arguments as JSON: every block of a file asks for the same ones."""
    rule_class = cast("type[RowRule]", get_expectation_impl(name))
    return rule_class(column=column, **json.loads(arguments))


class RowRuleMetric(ColumnMapMetricProvider):
    """Runs the kernel of the rule it is asked for, over the whole column, blank cells included."""

    condition_metric_name = "import_row_rule"
    condition_value_keys = ("rule", "arguments")
    filter_column_isnull = False

    @metric_partial(
        engine=PandasExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.MAP_CONDITION_SERIES,
        domain_type=MetricDomainTypes.COLUMN,
    )
    def _pandas(
        cls,
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        **_kwargs: Any,
    ) -> tuple[pd.Series, dict[str, Any], dict[str, Any]]:
        frame, compute_domain, accessor = execution_engine.get_compute_domain(
            metric_domain_kwargs, MetricDomainTypes.COLUMN
        )
        arguments = json.dumps(metric_value_kwargs["arguments"], sort_keys=True)
        rule = _rule(metric_value_kwargs["rule"], accessor["column"], arguments)
        failing = pd.Series(rule.failing_rows(frame), index=frame.index, copy=False)
        return failing, compute_domain, accessor

    @classmethod
    def _get_evaluation_dependencies(
        cls,
        metric: MetricConfiguration,
        configuration: ExpectationConfiguration | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> dict[str, MetricConfiguration]:
        """Ask for nothing beside the kernel: GX would add three metrics of the table to each rule."""
        if metric.metric_name == f"{cls.condition_metric_name}.condition":
            return {}
        dependencies: dict[str, MetricConfiguration] = super()._get_evaluation_dependencies(
            metric, configuration, execution_engine, runtime_configuration
        )
        return dependencies


class RowRule(ColumnMapExpectation, ABC):
    """What the row rules share: one metric, positions as the result, and a condition on another column.

    `when_column` and `when_value` limit any rule to the rows whose `when_column` equals `when_value`; where the
    condition's cell is blank or unreadable, the rule does not apply. (GX's `row_condition` works too, at the price of
    a copy of the frame.) `unless_present` exempts the rows in which one of these columns has a value.
    """

    when_column: StrictStr | None = None
    when_value: StrictBool | StrictInt | StrictStr | None = None
    unless_present: list[StrictStr] = Field(default_factory=list)

    map_metric: ClassVar[str | None] = RowRuleMetric.condition_metric_name
    computed_places: ClassVar[frozenset[str]] = frozenset()
    """Places of a message that the rule itself can fill in: see `fill_place`."""

    @root_validator(skip_on_failure=True)
    def _judges_rows_one_by_one(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["mostly"] != 1:
            raise ValueError("mostly would let rows through that break the rule")
        if (values["when_column"] is None) != (values["when_value"] is None):
            raise ValueError("when_column and when_value belong together")
        return values

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: ExpectationConfiguration | None = None,
        result: ExpectationValidationResult | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> list[RenderedStringTemplateContent]:
        """Name the rule on GX's own page, and say it in its own words: GX would show a call of Python."""
        configuration = result.expectation_config if result is not None else configuration
        meta = (configuration.meta if configuration is not None else None) or {}
        text = f"{meta.get('rule', cls.__name__)}: {meta.get('message', '')} ({camel_to_snake(cls.__name__)})"
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={"template": text.replace("$", "$$"), "params": {}, "styling": {}},
            )
        ]

    @abstractmethod
    def failing(self, frame: pd.DataFrame) -> Column:
        """Return a boolean per row: True where the row breaks the rule, whatever `when_column` says; null is False."""

    def failing_rows(self, frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return a boolean per row: True where the rule applies and the row breaks it."""
        failing = self.failing(frame)
        if self.when_column is not None:
            failing = pc.and_(failing, pc.equal(_column(frame, self.when_column), self.when_value))
        for name in self.unless_present:
            failing = pc.and_(failing, pc.is_null(_column(frame, name)))
        return np.asarray(pc.fill_null(failing, False).to_numpy(zero_copy_only=False))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return {self.column, *self.unless_present} | ({self.when_column} if self.when_column is not None else set())

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Ask something cheap first: False where surely no row of the frame breaks the rule, so GX need not ask it."""
        return len(frame) > 0

    def fill_place(self, place: str, sent: Column) -> Column:
        """Return what a message says of each of some cells, as they were sent, at one of `computed_places`."""
        raise NotImplementedError(place)

    def get_validation_dependencies(
        self,
        execution_engine: ExecutionEngine[Any] | None = None,
        runtime_configuration: dict[str, Any] | None = None,
        **_kwargs: Any,
    ) -> ValidationDependencies:
        """Ask GX for one metric, the kernel's verdict."""
        domain: dict[str, Any] = {"column": self.column, "batch_id": self.batch_id}
        if self.row_condition is not None:
            domain |= {"row_condition": self.row_condition, "condition_parser": self.condition_parser}
        own_arguments = set(self.__fields__) - set(ColumnMapExpectation.__fields__)
        verdict = MetricConfiguration(
            f"{self.map_metric}.condition",
            domain,
            {"rule": self.expectation_type, "arguments": self.dict(include=own_arguments)},
        )
        result_format = (runtime_configuration or {}).get("result_format")
        if result_format is None:  # `Checker` names one, and the rule's own is dear to ask for
            result_format = self._get_result_format(runtime_configuration)
        return ValidationDependencies({"verdict": verdict}, parse_result_format(result_format))

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any] | None = None,
        execution_engine: ExecutionEngine[Any] | None = None,
    ) -> dict[str, Any]:
        failing: pd.Series = metrics["verdict"][0]
        unexpected = failing.index.to_numpy()[failing.to_numpy()]
        rows = len(failing)
        share = len(unexpected) / rows if rows else 0.0
        return {
            "success": len(unexpected) == 0,
            "result": {
                "element_count": rows,
                "unexpected_count": len(unexpected),
                "unexpected_percent": 100 * share,
                "unexpected_index_list": unexpected.tolist(),
            },
        }


class ExpectColumnValuesToBePresent(RowRule):
    """The sender filled the cell, with whatever but `%CLEAR%`. Source: X-04, X-16."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Blank cells, and cells that erase."""
        is_blank = pc.is_null(_sent(frame, self.column))
        if f"{self.column}__clear" in frame.columns:
            is_blank = pc.or_(is_blank, _column(frame, f"{self.column}__clear"))
        return is_blank

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any cell is blank, or can be erased."""
        return bool(_sent(frame, self.column).null_count) or f"{self.column}__clear" in frame.columns


class ExpectColumnValuesToBeAbsent(RowRule):
    """The sender left the cell blank; meant to be used with `when_column`."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Filled cells, readable or not."""
        return pc.is_valid(_sent(frame, self.column))


class ExpectColumnValuesToBeReadable(RowRule):
    """The cell could be read as its kind. Source: value formats.

    Args:
        problems: the codes of `<column>__problem` that break this rule; every code when absent.
        other_than: codes that are left to other rules, in place of `problems`: one of a field's rules should be of
            this form, so that no code is left to none.
        left_to_range: codes that break the field's range, and are left to its rule.

    A message may say `{character}`: the first character that nobody can see, and its place (X-16).
    """

    problems: list[StrictStr] | None = None
    other_than: list[StrictStr] = Field(default_factory=list)
    left_to_range: list[StrictStr] = Field(default_factory=list)

    computed_places: ClassVar[frozenset[str]] = frozenset({"character"})

    @root_validator(skip_on_failure=True)
    def _not_both(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["problems"] is not None and values["other_than"]:
            raise ValueError("give problems or other_than, not both")
        return values

    def failing(self, frame: pd.DataFrame) -> Column:
        """Cells with one of the problems."""
        problem = _column(frame, f"{self.column}__problem")
        if problem.null_count == len(problem):
            return _no_row(frame)
        if self.problems is not None:
            return pc.is_in(problem, pa.array(self.problems, problem.type))
        others = pa.array([*self.other_than, *self.left_to_range], problem.type)
        return pc.and_not(pc.is_valid(problem), pc.is_in(problem, others))

    def fill_place(self, place: str, sent: Column) -> Column:
        """Return such as `U+200B ZERO WIDTH SPACE as its last character`."""
        return damage.describe_invisible(sent)

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any cell has one of the problems."""
        problem = _column(frame, f"{self.column}__problem")
        if problem.null_count == len(problem):
            return False
        there = set(pc.unique(problem.drop_null()).to_pylist())
        if self.problems is not None:
            return not there.isdisjoint(self.problems)
        return not there <= {*self.other_than, *self.left_to_range}

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {f"{self.column}__problem"}


class ExpectColumnValuesToBeNoErrorValues(RowRule):
    """Text that is not what a spreadsheet shows in place of a value, such as `#N/A`. Source: X-16."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Error values."""
        return pa.array(damage.is_error_value(_column(frame, self.column)))

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any character of an error value is there."""
        texts = _column(frame, self.column)
        return contains_byte(texts, "#") or contains_byte(texts, ":")


class ExpectColumnValuesToHaveALetterOrDigit(RowRule):
    """The text has a letter, a digit or an emoji. Source: PC-04a."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Texts of nothing but punctuation."""
        texts = _column(frame, self.column)
        return pc.invert(pc.match_substring_regex(texts, SOMETHING_TO_READ))

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any text does not begin with an ASCII letter or digit."""
        texts = _column(frame, self.column)
        return not IS_ASCII_WORD[edges(texts)[0]].all()


class ExpectColumnValuesToHaveNoBlankInside(RowRule):
    """The text has no White_Space between its characters. Source: PC-04a."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Texts with a blank."""
        return pc.match_substring_regex(_column(frame, self.column), f"[{WHITE_SPACE}]")

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether a blank is there, or a character beyond ASCII."""
        texts = _column(frame, self.column)
        return contains_byte(texts, " ") or not all_bytes(texts).isascii()


class ExpectColumnValuesToNotBeginWithApostrophe(RowRule):
    """The cell does not begin with `'`, with which a spreadsheet marks a text, in any of its forms. Source: X-16."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Cells that do; those that end with it too are single-quoted, which is another rule's affair."""
        texts = _column(frame, self.column)
        return pa.array(matching_among(texts, _MAY_BE_APOSTROPHE[edges(texts)[0]], f"^[{_APOSTROPHES}]"))

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether an apostrophe is there, or a character beyond ASCII."""
        texts = _column(frame, self.column)
        return contains_byte(texts, "'") or contains_byte(texts, "`") or not all_bytes(texts).isascii()


class ExpectColumnValuesToHaveFewDigits(RowRule):
    """The cell is no number of more than `max_digits` digits, whatever separates these. Source: X-18.

    Letters make it something else: a secret of letters and digits may be long.
    """

    max_digits: StrictInt

    def failing(self, frame: pd.DataFrame) -> Column:
        """Cells without a letter that have more digits."""
        number = rf"^(?:[^0-9\pL]*[0-9]){{{self.max_digits + 1},}}[^0-9\pL]*$"
        return pc.match_substring_regex(_column(frame, self.column), number)

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any text is so long."""
        return longest(_column(frame, self.column)) > self.max_digits


class ExpectColumnValuesToNotBeRounded(RowRule):
    """The digits behind the fifteenth are not all 0, as where a spreadsheet has rounded. Source: X-16.

    One number says nothing. `meta.share` of the suite says which share of the file's numbers does: of those of 16
    to 20 digits, which are the rows that this rule applies to.
    """

    def applies_to(self, frame: pd.DataFrame) -> int:
        """Count the rows that the share is of."""
        return int(self._are_long(_column(frame, self.column)).sum())

    def failing(self, frame: pd.DataFrame) -> Column:
        """Numbers that end as a rounded one does."""
        texts = _column(frame, self.column)
        seen, is_rounded = view(texts), self._are_long(texts)
        for place in range(15, 20):
            rows = np.flatnonzero(is_rounded & (seen.ends - seen.starts > place))
            is_rounded[rows] = seen.data[seen.starts[rows] + place] == ord("0")
        return pa.array(is_rounded)

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any text is so long."""
        return longest(_column(frame, self.column)) >= 16

    def _are_long(self, texts: Column) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Say which texts are numbers of 16 to 20 digits."""
        seen = view(texts)
        lengths = seen.ends - seen.starts
        are_long = (lengths >= 16) & (lengths <= 20)
        if texts.null_count or all_bytes(texts).translate(None, b"0123456789"):
            are_long &= flags(pc.ascii_is_decimal(texts))
        return are_long


class ExpectColumnValuesToBeInRange(RowRule):
    """Decimals or integers between two bounds.

    Args:
        min_value: lower bound, a number or its text ("0.01"); none when absent.
        max_value: upper bound, likewise.
        strict_min: the lower bound itself breaks the rule.
        strict_max: the upper bound itself breaks the rule.

    A whole number of more digits than can be kept is above any upper bound.
    """

    min_value: Number | None = None
    max_value: Number | None = None
    strict_min: StrictBool = False
    strict_max: StrictBool = False

    @validator("min_value", "max_value")
    def _is_a_number(cls, bound: int | float | str | None) -> int | float | str | None:
        try:
            is_finite = bound is None or _decimal(bound).is_finite()
        except InvalidOperation:
            is_finite = False
        if not is_finite:
            raise ValueError("is not a number")
        return bound

    @root_validator(skip_on_failure=True)
    def _has_a_bound(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["min_value"] is None and values["max_value"] is None:
            raise ValueError("give min_value or max_value")
        return values

    def failing(self, frame: pd.DataFrame) -> Column:
        """Numbers outside the bounds."""
        values = _column(frame, self.column)
        outside = []
        if self.min_value is not None:
            outside.append((pc.less_equal if self.strict_min else pc.less)(values, _decimal(self.min_value)))
        if self.max_value is not None:
            outside.append((pc.greater_equal if self.strict_max else pc.greater)(values, _decimal(self.max_value)))
            # A whole number too long to be read is out of any range; decimals have a rule of their own for that.
            if pa.types.is_integer(values.type) and f"{self.column}__problem" in frame.columns:
                outside.append(pc.equal(_column(frame, f"{self.column}__problem"), "too_many_digits"))
        return reduce(pc.or_kleene, (pc.fill_null(is_outside, False) for is_outside in outside))

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether the smallest or the largest number is outside, or one could not be read."""
        values = _column(frame, self.column)
        ends = pc.min_max(values)
        least, most = ends["min"].as_py(), ends["max"].as_py()
        is_outside = False
        if self.min_value is not None and least is not None:
            bound = _decimal(self.min_value)
            is_outside = least <= bound if self.strict_min else least < bound
        if self.max_value is not None and most is not None:
            bound = _decimal(self.max_value)
            is_outside = is_outside or (most >= bound if self.strict_max else most > bound)
        return is_outside or (pa.types.is_integer(values.type) and self.max_value is not None)


class ExpectColumnValuesToBeAtMostColumn(RowRule):
    """A number is not above another column's of the same row; a blank on either side passes. Source: X-18.

    Args:
        other_column: the limit.
        unless_column: a column that has a limit of its own: where it is filled, this rule does not apply.
    """

    other_column: StrictStr
    unless_column: StrictStr | None = None

    def failing(self, frame: pd.DataFrame) -> Column:
        """Numbers above the limit."""
        limits = _column(frame, self.other_column)
        if limits.null_count == len(limits):
            return _no_row(frame)
        above = pc.greater(_column(frame, self.column), limits)
        return above if self.unless_column is None else pc.and_(above, pc.is_null(_column(frame, self.unless_column)))

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any row has a limit."""
        limits = _column(frame, self.other_column)
        return bool(limits.null_count < len(limits))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        unless = {self.unless_column} if self.unless_column is not None else set()
        return super().columns_read() | {self.other_column} | unless


class ExpectColumnValueCharactersToBeAtMost(RowRule):
    """Text of at most `max_characters` characters (Unicode code points)."""

    max_characters: StrictInt

    def failing(self, frame: pd.DataFrame) -> Column:
        """Longer texts."""
        return pc.greater(pc.utf8_length(_column(frame, self.column)), self.max_characters)

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any text has more bytes than it may have characters."""
        return longest(_column(frame, self.column)) > self.max_characters


class ExpectColumnValueBytesToBeAtMost(RowRule):
    """Text of at most `max_bytes` bytes in UTF-8: an index entry of PostgreSQL holds no more than about 2,700."""

    max_bytes: StrictInt

    def failing(self, frame: pd.DataFrame) -> Column:
        """Larger texts."""
        return pc.greater(pc.binary_length(_column(frame, self.column)), self.max_bytes)

    def may_fail(self, frame: pd.DataFrame) -> bool:
        """Whether any text has more bytes."""
        return longest(_column(frame, self.column)) > self.max_bytes


class ExpectColumnValuesToBeKnown(RowRule):
    """The cell's text is a key of another table.

    Args:
        lookup: name of the import type's lookup, which joins `<lookup>__found` to the frame.
    """

    lookup: StrictStr

    def failing(self, frame: pd.DataFrame) -> Column:
        """Keys that the other table lacks."""
        return pc.invert(_column(frame, f"{self.lookup}__found"))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {f"{self.lookup}__found"}


class ExpectColumnValuesToEqualColumn(RowRule):
    """The cell equals another column's; numbers compare as numbers (50 = 50.00), a blank on either side passes."""

    other_column: StrictStr

    def failing(self, frame: pd.DataFrame) -> Column:
        """Cells that differ."""
        return pc.not_equal(_column(frame, self.column), _column(frame, self.other_column))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {self.other_column}


class ExpectColumnValuesToBePatterns(RowRule):
    """The text is a regular expression that codes can be compared with. Source: PC-04a."""

    def failing(self, frame: pd.DataFrame) -> Column:
        """Texts that are none, each looked at once; longer ones than any pattern are left to the rule on the length."""
        values = _column(frame, self.column)
        tried = [text for text in pc.unique(values).to_pylist() if text is not None and len(text) <= LONGEST_PATTERN]
        wrong = [text for text in tried if not is_pattern(text)]
        return pc.is_in(values, pa.array(wrong, values.type))


class ExpectColumnValuesToMatchPatternColumns(RowRule):
    """The text matches, as a whole, the regular expressions that other columns hold, where they hold any.

    Each is compared with the texts beside it alone, since every pool may have one of its own. Source: PC-04a.

    Args:
        pattern_columns: columns of regular expressions, of which there are few different ones.
    """

    pattern_columns: list[StrictStr]

    def failing(self, frame: pd.DataFrame) -> Column:
        """Texts that don't match one of them."""
        texts, failing = _column(frame, self.column), np.zeros(len(frame), dtype=np.bool_)
        for name in self.pattern_columns:
            patterns = _column(frame, name)
            if patterns.null_count == len(patterns):
                continue
            encoded = patterns.dictionary_encode()
            numbers = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
            by_pattern = np.argsort(numbers, kind="stable")
            ends = np.searchsorted(numbers[by_pattern], np.arange(-1, len(encoded.dictionary)), side="right")
            _, *rows_of, _ = np.split(by_pattern, ends)
            for pattern, rows in zip(
                encoded.dictionary.to_pylist(), rows_of, strict=True
            ):  # each on its own rows alone
                matches = pc.fill_null(matches_whole(texts.take(pa.array(rows)), pattern), True)
                failing[rows] |= ~matches.to_numpy(zero_copy_only=False)
        return pa.array(failing)

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | set(self.pattern_columns)


class ExpectColumnValuesToNotBeAfterColumn(RowRule):
    """The date or time is not after another column's; a date counts from its midnight, UTC."""

    other_column: StrictStr

    def failing(self, frame: pd.DataFrame) -> Column:
        """Later dates and times."""
        return pc.greater(_column(frame, self.column), _column(frame, self.other_column))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {self.other_column}


class ExpectColumnValuesToNotBeBefore(RowRule):
    """The day is not before a certain one. Source: value formats.

    Args:
        earliest: the first day that is allowed, `yyyy-MM-dd`.
    """

    earliest: StrictStr

    @validator("earliest")
    def _is_a_day(cls, earliest: str) -> str:
        date.fromisoformat(earliest)
        return earliest

    def failing(self, frame: pd.DataFrame) -> Column:
        """Earlier days."""
        return pc.less(_column(frame, self.column), pa.scalar(date.fromisoformat(self.earliest), pa.date32()))


class ExpectColumnValuesToBeAfterColumn(RowRule):
    """The date or time is after another column's: a window from there to here is not empty. Source: PC-03."""

    other_column: StrictStr

    def failing(self, frame: pd.DataFrame) -> Column:
        """Equal and earlier dates and times."""
        return pc.less_equal(_column(frame, self.column), _column(frame, self.other_column))

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {self.other_column}


class ExpectColumnValuesToBePresentTogether(RowRule):
    """Either all of several cells are filled or none is. Source: GC-04.

    A row with an unreadable cell among them is left alone.

    Args:
        columns: the cells that belong together with `column`.
        only_values: column → the one value that counts as filled. (A card's status is always filled; only `CanBeUsed`
            says that the card was sold.)
    """

    columns: list[StrictStr] = Field(min_items=1)
    only_values: dict[StrictStr, StrictStr] = Field(default_factory=dict)

    def failing(self, frame: pd.DataFrame) -> Column:
        """Rows where some are filled and some are not."""
        names = (self.column, *self.columns)
        filled = [
            pc.fill_null(pc.equal(_column(frame, name), self.only_values[name]), False)
            if name in self.only_values
            else pc.is_valid(_column(frame, name))
            for name in names
        ]
        in_part = pc.and_not(reduce(pc.or_, filled), reduce(pc.and_, filled))
        for problem in (f"{name}__problem" for name in names):
            if problem in frame.columns:
                in_part = pc.and_(in_part, pc.is_null(_column(frame, problem)))
        return in_part

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | {*self.columns, *self.only_values}


class ExpectColumnOrOthersToBePresent(RowRule):
    """At least one of several cells is filled, `column` or one of `columns`.

    Args:
        cleared_is_blank: `%CLEAR%` fills no cell.
    """

    columns: list[StrictStr] = Field(min_items=1)
    cleared_is_blank: StrictBool = False

    def failing(self, frame: pd.DataFrame) -> Column:
        """Rows in which all of them are blank."""
        return reduce(pc.and_, (self._is_blank(frame, name) for name in (self.column, *self.columns)))

    def _is_blank(self, frame: pd.DataFrame, name: str) -> Column:
        is_blank = pc.is_null(_sent(frame, name))
        if self.cleared_is_blank and f"{name}__clear" in frame.columns:
            is_blank = pc.or_(is_blank, _column(frame, f"{name}__clear"))
        return is_blank

    def columns_read(self) -> set[str]:
        """Return the columns that the frame must have for this rule."""
        return super().columns_read() | set(self.columns)
