"""Suites of row rules: read from `expectations/*.json`, judged by Great Expectations, block after block.

A suite is an ordinary GX expectation suite. Each expectation's `meta` says what the import needs beside GX's verdict:

- `rule`: stable id, `field.rule`; the ids of a suite differ.
- `message`: a sentence for the sender. Places in braces name a column of the frame, an argument of the expectation,
  `{line}`, or `{value}`: the field's cell as it was sent.
- `source`: the requirement it comes from.
- `critical_if`: optional; a boolean setting of the import that turns a warning into a reject.
- `share`: optional, of a warning: `{"above": 0.9, "of_at_least": 20}`. It is given only where more than this share of
  the file's rows that the rule applies to, and of at least so many, break it; the rule counts those rows
  (`applies_to`).
- `asks`: optional, of a warning about numbers: a person is asked whether its field has the right column, which holds so
  many numbers of this kind (`of twelve digits and more`).
- `standard`: true of the entries that follow from the declaration and are written by `make suites`: see
  `include.rules.standard`.

GX's severity says what a broken rule does: `critical` rejects the row, `warning` lets it load and reports it.

An expectation on a column `prefix_*` means one on each field of that prefix which the project settings add: see
`include.rules.wildcards`.

Only rules that judge each row by itself are allowed, GX's own included. A suite that GX would run with less than what
its JSON says (a misspelt rule, a class that isn't imported, `mostly`) is refused as a whole: see `load_suite`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.exceptions.exceptions import (
    ExpectationNotFoundError,
    GreatExpectationsError,
    MetricResolutionError,
)
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import (
    ColumnMapExpectation,
    ColumnPairMapExpectation,
    Expectation,
    MulticolumnMapExpectation,
)
from great_expectations.expectations.metadata_types import FailureSeverity
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.validator.validator import Validator

from include.declaration.fields import Field
from include.errors import SuiteError
from include.rules.expectations import RowRule, forget_columns
from include.rules.wildcards import expand_entries

_RULE_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")

# What GX files under "map" but decides over all rows at once: it would see one block of the file at a time.
_COMPARES_ROWS = frozenset(
    {
        "expect_column_value_z_scores_to_be_less_than",
        "expect_column_values_to_be_decreasing",
        "expect_column_values_to_be_in_type_list",
        "expect_column_values_to_be_increasing",
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_unique",
        "expect_column_values_to_not_be_outliers",
        "expect_compound_columns_to_be_unique",
    }
)

# COMPLETE is the only format with the positions of all failing rows; the rest keeps values out of it and spares
# the text of a query that nobody runs.
_RESULT_FORMAT: dict[str, Any] = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "include_unexpected_rows": False,
    "partial_unexpected_count": 0,
    "return_unexpected_index_query": False,
}


@dataclass(frozen=True)
class Share:
    """From which share of a file's rows on a rule says something.

    Args:
        above: share, 0 to 1, exclusive.
        of_at_least: so many rows that the rule applies to.
    """

    above: float
    of_at_least: int

    def is_exceeded(self, failed: int, evaluated: int) -> bool:
        """Say whether the rows of a file are enough to say something."""
        return evaluated >= self.of_at_least and failed > self.above * evaluated


@dataclass(frozen=True)
class Rule:
    """One rule of a suite.

    Args:
        id: `field.rule`.
        field: the field that the rule is filed under.
        severity: `critical` rejects the row, `warning` reports it; after `critical_if`.
        message: the sentence, with its places.
        source: requirement number.
        expectation: what GX runs.
        share: of the file's rows; below it a warning says nothing.
    """

    id: str
    field: str
    severity: Literal["critical", "warning"]
    message: str
    source: str
    expectation: Expectation
    share: Share | None = None


@dataclass(frozen=True)
class Suite:
    """A suite that can be trusted: every rule of its JSON is there, and the frame has what each one reads."""

    name: str
    rules: tuple[Rule, ...]
    expectations: ExpectationSuite


@dataclass(frozen=True)
class RuleResult:
    """GX's verdict on one block.

    Args:
        rule: the rule.
        rows: positions in the frame of the rows that break the rule, ascending.
        evidence: what GX was asked and how many rows it counted; no values of rows (X-20).
        evaluated: rows that the rule was applied to.
    """

    rule: Rule
    rows: np.ndarray[Any, np.dtype[np.int64]]
    evidence: dict[str, Any]
    evaluated: int = 0


def load_suite(
    path: Path, *, columns: Collection[str], settings: Mapping[str, object], fields: Sequence[Field] = ()
) -> Suite:
    """Read a suite and refuse it unless GX will run all of it on each row.

    Args:
        path: the JSON of a GX expectation suite.
        columns: every column that the frames will have.
        settings: the import's effective settings, for `critical_if`.
        fields: the fields that the frames will have, for wildcards.

    Raises:
        SuiteError: not the JSON of a suite; no rules; a rule misspelt, not imported, misconfigured, without the three
            entries of `meta`, with an id twice; a rule that isn't about single rows, uses `mostly` or suite
            parameters; a column or a place of a message that isn't there.
    """
    declared = _read(path)
    name = declared["name"]
    for entry in declared["expectations"]:
        _check_entry(name, entry)
    declared = {**declared, "expectations": expand_entries(declared["expectations"], fields)}
    try:
        expectations = ExpectationSuite(**declared)
    except (GreatExpectationsError, TypeError, ValueError) as error:
        raise SuiteError(f"Suite {name} can't be loaded: {error}") from error
    if len(expectations.expectations) != len(declared["expectations"]):
        raise SuiteError(
            f"Suite {name} has {len(declared['expectations'])} expectations in {path.name}, but Great Expectations "
            f"loaded {len(expectations.expectations)} of them."
        )
    rules = tuple(_rule(name, expectation, set(columns), settings) for expectation in expectations.expectations)
    ids = [rule.id for rule in rules]
    if twice := sorted({rule_id for rule_id in ids if ids.count(rule_id) > 1}):
        raise SuiteError(f"Suite {name} has more than one rule with the id {', '.join(twice)}.")
    return Suite(name, rules, expectations)


class Checker:
    """Runs one suite over many frames with one GX validator.

    GX's engine, calculator and configurations are built once; a frame costs its kernels and about a millisecond a rule.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        # The cache would only keep a block's verdicts in memory until the next block.
        self._engine = PandasExecutionEngine(caching=False)
        self._validator = Validator(execution_engine=self._engine, expectation_suite=suite.expectations)
        self._validator.metrics_calculator.show_progress_bars = False
        self._configurations = suite.expectations.expectation_configurations
        self._rules = {rule.id: rule for rule in suite.rules}

    def check(self, frame: pd.DataFrame) -> list[RuleResult]:
        """Judge every row of a frame by every rule.

        GX is asked for the rules that a row may break: of a rule whose cheap question (`RowRule.may_fail`) says that
        none does, the verdict is known.

        Args:
            frame: Arrow-backed columns as in `include.rules.expectations`, RangeIndex from 0. Not modified.

        Returns:
            One result per rule, in the suite's order, also where no row breaks it.

        Raises:
            SuiteError: a rule could not be evaluated, or GX's result isn't complete.
        """
        if not isinstance(frame.index, pd.RangeIndex) or frame.index.start != 0 or frame.index.step != 1:
            raise SuiteError(f"Suite {self._suite.name} needs a frame numbered from 0: its positions are the result.")
        try:
            return self._check(frame)
        finally:
            forget_columns()

    def _check(self, frame: pd.DataFrame) -> list[RuleResult]:
        asked = [
            configuration
            for configuration in self._configurations
            if _may_fail(self._rules[configuration.meta["rule"]], frame)
        ]
        if not asked:
            return [_passed(rule, frame) for rule in self._suite.rules]
        self._engine.load_batch_data("block", frame)
        try:
            results = self._validator.graph_validate(
                configurations=asked,
                runtime_configuration={"catch_exceptions": False, "result_format": dict(_RESULT_FORMAT)},
            )
        except Exception as error:
            # The error's text may quote values of the file: only its kind is passed on.
            raise SuiteError(f"Suite {self._suite.name} could not be evaluated: {_what_failed(error)}.") from None
        by_rule = {cast("Any", result.expectation_config).meta["rule"]: result for result in results}
        if by_rule.keys() != {configuration.meta["rule"] for configuration in asked} or len(results) != len(asked):
            raise SuiteError(
                f"GX was asked for {len(asked)} rules of suite {self._suite.name}, and judged {len(results)}."
            )
        return [
            _result(rule, by_rule[rule.id], frame) if rule.id in by_rule else _passed(rule, frame)
            for rule in self._suite.rules
        ]


def _read(path: Path) -> dict[str, Any]:
    try:
        declared = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SuiteError(f"Suite {path.name} can't be read: {error}") from error
    if not isinstance(declared, dict) or not isinstance(declared.get("name"), str):
        raise SuiteError(f"Suite {path.name} is not the JSON of an expectation suite: it has no name.")
    entries = declared.get("expectations")
    if not isinstance(entries, list) or not entries:
        raise SuiteError(f"Suite {path.name} has no expectations: every row would pass.")
    return declared


def _check_entry(suite: str, entry: Any) -> None:
    """Refuse what GX would drop, or run in a way that lets broken rows through."""
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise SuiteError(f"Suite {suite} has an expectation without a type.")
    kind, arguments = entry["type"], entry.get("kwargs", {})
    where = f"Suite {suite}, {kind}"
    try:
        implementation = get_expectation_impl(kind)
    except ExpectationNotFoundError:
        raise SuiteError(f"{where}: no such expectation. Is it misspelt, or its class not imported?") from None
    if not issubclass(implementation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation):
        raise SuiteError(f"{where}: only expectations about single rows can reject rows.")
    if kind in _COMPARES_ROWS:
        raise SuiteError(f"{where}: it compares rows, and a suite sees one block of the file at a time.")
    if not isinstance(arguments, dict):
        raise SuiteError(f"{where}: kwargs must be an object.")
    if arguments.get("mostly", 1) != 1:
        raise SuiteError(f"{where}: mostly would let rows through that break the rule.")
    if not issubclass(implementation, ColumnMapExpectation) and "ignore_row_if" not in arguments:
        raise SuiteError(
            f"{where}: say which blank cells exempt a row (ignore_row_if: either_value_is_missing for two columns, "
            "any_value_is_missing for several); by default GX calls a row with one blank cell broken."
        )


def _rule(suite: str, expectation: Expectation, columns: set[str], settings: Mapping[str, object]) -> Rule:
    where = f"Suite {suite}, {expectation.expectation_type}"
    meta = expectation.meta or {}
    for key in ("rule", "message", "source"):
        if not isinstance(meta.get(key), str) or not meta[key]:
            raise SuiteError(f"{where}: meta.{key} is missing.")
    rule_id, message = meta["rule"], meta["message"]
    where = f"Suite {suite}, rule {rule_id}"
    if not _RULE_ID.fullmatch(rule_id):
        raise SuiteError(f"{where}: an id is field.rule in small letters, digits and underscores.")
    if expectation.suite_parameter_options:
        raise SuiteError(f"{where}: suite parameters are not filled in.")
    if missing := sorted(_columns_read(expectation) - columns):
        raise SuiteError(f"{where}: there is no column {', '.join(missing)}.")
    field = rule_id.partition(".")[0]
    _check_message(where, message, field, expectation, columns)
    severity = _severity(where, expectation, meta.get("critical_if"), settings)
    share = _share(where, expectation, severity, meta.get("share"))
    asks = meta.get("asks")
    if "asks" in meta and (not isinstance(asks, str) or not asks or severity != "warning" or field not in columns):
        raise SuiteError(f"{where}: asks says, in a warning about a field, of which kind the numbers are.")
    return Rule(rule_id, field, severity, message, meta["source"], expectation, share)


def _share(where: str, expectation: Expectation, severity: str, declared: object) -> Share | None:
    if declared is None:
        return None
    try:
        share = Share(**cast("dict[str, Any]", declared))
        is_share = 0 <= share.above < 1 and share.of_at_least > 0
    except TypeError:
        is_share = False
    if not is_share or severity != "warning" or not hasattr(expectation, "applies_to"):
        raise SuiteError(
            f"{where}: share is {{above, of_at_least}} of a warning whose rule counts the rows that it applies to."
        )
    return share


def _columns_read(expectation: Expectation) -> set[str]:
    if isinstance(expectation, RowRule):
        return expectation.columns_read()
    named = {getattr(expectation, name, None) for name in ("column", "column_A", "column_B")}
    return {name for name in named if name is not None} | set(getattr(expectation, "column_list", ()))


def _check_message(where: str, message: str, field: str, expectation: Expectation, columns: set[str]) -> None:
    try:
        parsed = parse_message(message)
    except ValueError as error:
        raise SuiteError(f"{where}: its message can't be read: {error}.") from error
    for _, place in parsed:
        has_value = (
            place is None
            or column_of(place, field, columns)
            or place in expectation.__fields__
            or place in computed_places(expectation)
        )
        if not has_value:
            raise SuiteError(f"{where}: its message names {{{place}}}, neither a column nor an argument.")


def _severity(
    where: str, expectation: Expectation, critical_if: object, settings: Mapping[str, object]
) -> Literal["critical", "warning"]:
    if critical_if is not None:
        if not isinstance(critical_if, str) or not isinstance(settings.get(critical_if, ""), bool | None):
            raise SuiteError(f"{where}: critical_if names no yes/no setting: {critical_if}.")
        if settings[critical_if]:
            expectation.severity = FailureSeverity.CRITICAL
    if expectation.severity is FailureSeverity.CRITICAL:
        return "critical"
    if expectation.severity is FailureSeverity.WARNING:
        return "warning"
    raise SuiteError(f"{where}: severity is critical or warning.")


def _what_failed(error: Exception) -> str:
    """Name the expectation, its column and the kind of error, without the error's text."""
    if not isinstance(error, MetricResolutionError):
        return type(error).__name__
    metric = error.failed_metrics[0]
    rule = metric.metric_value_kwargs.get("rule", metric.metric_name)
    domain = metric.metric_domain_kwargs
    on = [domain[key] for key in ("column", "column_A", "column_B", "column_list") if key in domain]
    return f"{rule} on {on} raised {type(error.__cause__ or error).__name__}"


def _may_fail(rule: Rule, frame: pd.DataFrame) -> bool:
    if not isinstance(rule.expectation, RowRule):
        return True
    try:
        return rule.expectation.may_fail(frame)
    except Exception:  # a rule that can't look at its column: GX asks it, and its failure is reported as the rule's
        return True


def _passed(rule: Rule, frame: pd.DataFrame) -> RuleResult:
    """Return the verdict on a rule that surely no row breaks."""
    evidence = {
        "expectation_type": rule.expectation.expectation_type,
        "success": True,
        "element_count": len(frame),
        "unexpected_count": 0,
    }
    return RuleResult(rule, np.empty(0, np.int64), evidence, _evaluated(rule, frame))


def _evaluated(rule: Rule, frame: pd.DataFrame) -> int:
    return int(cast("Any", rule.expectation).applies_to(frame)) if rule.share else len(frame)


def computed_places(expectation: Expectation) -> frozenset[str]:
    """Return the places of a message that the rule itself fills."""
    return expectation.computed_places if isinstance(expectation, RowRule) else frozenset()


def _result(rule: Rule, judged: ExpectationValidationResult, frame: pd.DataFrame) -> RuleResult:
    rows = len(frame)
    positions, count = judged.result.get("unexpected_index_list"), judged.result.get("unexpected_count")
    if positions is None or len(positions) != count or judged.success is not (count == 0):
        raise SuiteError(
            f"Rule {rule.id}: GX counted {count} broken rows, success {judged.success}, and listed "
            f"{'none' if positions is None else len(positions)}."
        )
    places = np.asarray(positions, dtype=np.int64)
    if count and (places[0] < 0 or places[-1] >= rows or not np.all(places[1:] > places[:-1])):
        raise SuiteError(f"Rule {rule.id}: GX listed rows that the frame doesn't have, or twice.")
    evidence = {
        "expectation_type": rule.expectation.expectation_type,
        "success": judged.success,
        "element_count": judged.result["element_count"],
        "unexpected_count": count,
    }
    return RuleResult(rule, places, evidence, _evaluated(rule, frame))


def parse_message(message: str) -> list[tuple[str, str | None]]:
    """Split a message into literal texts, each with the place that follows it.

    Raises:
        ValueError: an unpaired brace, a place without a name, or one with a format.
    """
    parsed = []
    for literal, place, form, conversion in Formatter().parse(message):
        if place is not None and (not place.isidentifier() or form or conversion):
            raise ValueError("a place is a name in braces and nothing else")
        parsed.append((literal, place))
    return parsed


def column_of(place: str, field: str, columns: Collection[str]) -> str | None:
    """Return the frame's column that fills a place, or None."""
    if place == "value":
        place = f"{field}__sent" if f"{field}__sent" in columns else field
    return place if place in columns else None
