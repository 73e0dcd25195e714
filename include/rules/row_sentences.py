"""What is wrong with each row, in a sentence that quotes its cells, and what most rows have in common. Source: X-08.

`include.rules.sentences` has what the rules say of any row, without a cell: pages show that, and it needs no GX.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from great_expectations.expectations.expectation import Expectation

from include.names import ASCII_MASK, MOST_DIGITS, mask
from include.rules.expectations import RowRule
from include.rules.suites import Rule, RuleResult, column_of, computed_places, parse_message
from include.values.damage import show_invisible
from include.values.private_values import may_be_private
from include.values.short_codes import CVV_ALONE, mask_short_amounts, mask_short_codes

QUOTED_CHARACTERS = 100
"""How much of a value a sentence quotes. Source: X-08."""
BLANK = "(blank)"
COMMON_SENTENCES = 10
COMMON_ROWS = 3
"""So many rows of a block have a value that is common to them: private values differ from row to row."""
FEW_NUMBERS = 5
"""So many distinct amounts and counts are shown as they are; of more only those that several rows share."""
MANY_ROWS = 10
"""So many rows, and more than half, share a value that is no CVV though it looks like one: CVVs differ."""
_PLAIN_NUMBER = rf"^\s*[+-]?[0-9]{{1,{MOST_DIGITS}}}([.,][0-9]{{1,{MOST_DIGITS}}})?\s*$"


def sentences(
    result: RuleResult,
    frame: pd.DataFrame,
    *,
    hidden: Collection[str] = (),
    masks_codes: bool = False,
    masks_private: bool = False,
) -> list[str]:
    """Say for each row that breaks a rule what is wrong with it.

    Texts of the file are quoted and cut at `QUOTED_CHARACTERS`; quotes and ellipses are ASCII, because a sentence goes
    into a file of the sender's encoding.

    Args:
        result: of `Checker.check` on the same frame.
        frame: the frame.
        hidden: fields whose values are never quoted.
        masks_codes: in what the row itself says, replace numbers that may be a CVV: the file has CVVs, and where its
            columns are shifted or swapped they are under other headers (X-20). See `include.values.short_codes`.
        masks_private: mask what may be private under any header, for pages and mails.

    Returns:
        One sentence per `result.rows`, in that order.
    """
    rule, rows = result.rule, pa.array(result.rows)
    if not len(rows):
        return []
    parts: list[Any] = []
    for literal, place in parse_message(rule.message):
        parts.append(literal)
        if place is None:
            continue
        column = column_of(place, rule.field, frame.columns)
        if place in computed_places(rule.expectation):
            sent = pa.array(frame[column_of("value", rule.field, frame.columns)]).take(rows)
            parts.append(cast("RowRule", rule.expectation).fill_place(place, _one_array(sent)))
        elif column is None:
            parts.append(_argument(rule.expectation, place))
        elif column.split("__")[0] in hidden:
            parts.append(ASCII_MASK)
        else:
            is_own = _is_own(column)
            values = pa.array(frame[column]).take(rows)
            if masks_private and is_own:
                values = _without_private(values)
            parts.append(_quoted(values, masks_codes=masks_codes and is_own))
    if all(isinstance(part, str) for part in parts):
        return ["".join(parts)] * len(rows)
    return cast("list[str]", pc.binary_join_element_wise(*parts, "").to_numpy(zero_copy_only=False).tolist())


class CommonValues:
    """What the rows that break a rule have in the fields that its sentence quotes, for pages and mails.

    A pool that came late and a wrong amount are the answer that a person looks for. Values that may be private under
    any header are named only where they are common: see `_is_common`. Amounts and counts are named where they are few,
    or where several rows share them (X-20). Beside CVVs a number that looks like one is named only where most rows
    share it: see `_is_shared_by_most`. Blocks are collected, and counted together: a rule that breaks here and
    there would else be counted thousands of times.

    Args:
        hidden: fields whose values must not be read there.
        masks_codes: see `sentences`.
    """

    def __init__(self, rule: Rule, *, hidden: Collection[str], masks_codes: bool) -> None:
        self._rule, self._hidden, self._masks_codes = rule, hidden, masks_codes
        self._blocks: list[pa.Table] = []
        self._columns: list[str] = []
        self._numbers: set[str] = set()
        self.rows = 0

    def add(self, result: RuleResult, frame: pd.DataFrame) -> None:
        """Collect the values of one block's broken rows; nothing of a rule that quotes no other fields."""
        if not len(result.rows):
            return
        if not self._columns:
            places = [place for _, place in parse_message(self._rule.message) if place]
            columns = (column_of(place, self._rule.field, frame.columns) for place in places)
            self._columns = list(dict.fromkeys(filter(None, columns)))
            kinds = {column: pa.array(frame[column.split("__")[0]]).type for column in filter(_is_own, self._columns)}
            self._numbers = {
                column for column, kind in kinds.items() if pa.types.is_decimal(kind) or pa.types.is_integer(kind)
            }
        if not self._own:
            return
        rows = pa.array(result.rows)
        self._blocks.append(
            pa.table({column: _one_array(pa.array(frame[column]).take(rows)) for column in self._clear})
        )
        self.rows += len(result.rows)

    def count(self) -> dict[str, int]:
        """Say what is wrong with most of the rows collected: sentence → rows; and begin again."""
        blocks, self._blocks, self.rows = self._blocks, [], 0
        if not blocks:
            return {}
        values = {column: _one_array(pa.concat_tables(blocks)[column]) for column in self._clear}
        shown = {column: self._may_be_shown(column, values[column].cast(pa.string())) for column in self._own}
        for column, is_shown in shown.items():
            texts = values[column].cast(pa.string())
            masked = self._without_codes(texts)
            values[column] = pc.if_else(pc.or_(is_shown, pc.is_null(texts)), masked, ASCII_MASK)
        combine = pc.and_ if computed_places(self._rule.expectation) else pc.or_
        is_quoted = reduce(combine, shown.values())
        counted = pa.table(values).filter(is_quoted).group_by(self._clear, use_threads=False)
        counted = counted.aggregate([([], "count_all")])
        if counted.num_rows > FEW_NUMBERS:
            counted = counted.filter(pc.greater(counted["count_all"], 1))
        counted = counted.sort_by([("count_all", "descending")]).slice(0, COMMON_SENTENCES)
        columns = {
            column: counted[column] if column in self._clear else pa.nulls(counted.num_rows) for column in self._columns
        }
        small = pd.DataFrame(
            {name: pd.Series(pd.arrays.ArrowExtensionArray(column)) for name, column in columns.items()}
        )
        result = RuleResult(self._rule, np.arange(counted.num_rows, dtype=np.int64), {})
        texts = sentences(result, small, hidden=self._hidden, masks_private=True)
        rows_by_sentence: dict[str, int] = {}
        for sentence, count in zip(texts, counted["count_all"].to_pylist(), strict=True):
            rows_by_sentence[sentence] = rows_by_sentence.get(sentence, 0) + count
        return rows_by_sentence

    @property
    def _clear(self) -> list[str]:
        return [column for column in self._columns if column.split("__")[0] not in self._hidden]

    @property
    def _own(self) -> list[str]:
        return [column for column in self._clear if _is_own(column)]

    def _may_be_shown(self, column: str, texts: pa.Array) -> pa.Array:
        """Return of which rows people may read the value of a column of the sender's (X-20)."""
        is_shown = _is_common(texts)
        if column in self._numbers:
            digits = pc.utf8_length(pc.replace_substring_regex(texts, "[^0-9]", ""))
            is_number = pc.and_(pc.match_substring_regex(texts, _PLAIN_NUMBER), pc.less_equal(digits, MOST_DIGITS))
            is_shown = pc.or_(is_shown, pc.fill_null(is_number, False))
        if self._masks_codes:
            may_be_code = pc.and_not(pc.match_substring_regex(texts, CVV_ALONE), _is_shared_by_most(texts))
            is_shown = pc.and_not(is_shown, pc.fill_null(may_be_code, False))
        return is_shown

    def _without_codes(self, texts: pa.Array) -> pa.Array:
        """Mask what may be a CVV in a column of the sender's, unless most rows share the value (X-20)."""
        if not self._masks_codes:
            return texts
        return pc.if_else(_is_shared_by_most(texts), texts, mask_short_codes(texts))


def _is_common(texts: pa.Array) -> pa.Array:
    """Say which values several rows share, where few such values make up at least half of the rows."""
    counted = pc.value_counts(texts.drop_null())
    counts = counted.field("counts").to_numpy(zero_copy_only=False)
    frequent = np.argsort(-counts, kind="stable")[:COMMON_SENTENCES]
    frequent = frequent[counts[frequent] >= COMMON_ROWS]
    if 2 * counts[frequent].sum() < len(texts):
        frequent = frequent[:0]
    return pc.is_in(texts, value_set=counted.field("values").take(pa.array(frequent)))


def _is_shared_by_most(texts: pa.Array) -> pa.Array:
    """Say which rows have the one value that more than half of them share, where they are many."""
    counted = pc.value_counts(texts)
    is_frequent = pc.greater(counted.field("counts"), max(MANY_ROWS - 1, len(texts) // 2))
    return pc.is_in(texts, value_set=counted.field("values").filter(is_frequent))


def _is_own(column: str) -> bool:
    """Say which columns the row itself fills; what else a sentence quotes is said by the project."""
    return "__" not in column or column.endswith("__sent")


def _one_array(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _argument(expectation: Expectation, name: str) -> str:
    argument = getattr(expectation, name)
    return ", ".join(map(str, argument)) if isinstance(argument, list) else str(argument)


def _without_private(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Mask texts that may be private, whatever their column is called."""
    if not pa.types.is_string(values.type) and not pa.types.is_large_string(values.type):
        return values
    distinct = pc.unique(values)
    texts = [mask(text) if text is not None and may_be_private(text) else text for text in distinct.to_pylist()]
    return pa.array(texts, pa.string()).take(pc.index_in(values, value_set=distinct))


def _quoted(values: pa.Array | pa.ChunkedArray, *, masks_codes: bool) -> pa.Array | pa.ChunkedArray:
    """Turn values into what a sentence quotes: texts cut and in quotation marks, anything else as it reads."""
    if masks_codes and not pa.types.is_timestamp(values.type):
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        mask_short = mask_short_codes if is_text else mask_short_amounts
        values = mask_short(_one_array(values.cast(pa.string())))
    if pa.types.is_timestamp(values.type):
        texts = pc.strftime(pc.cast(values, pa.timestamp("s", values.type.tz), safe=False), "%Y-%m-%d %H:%M:%S %Z")
    elif not pa.types.is_string(values.type) and not pa.types.is_large_string(values.type):
        texts = pc.cast(values, pa.string())
    else:
        texts = values
        if pc.any(pc.greater(pc.binary_length(values), QUOTED_CHARACTERS)).as_py():
            is_long = pc.greater(pc.utf8_length(values), QUOTED_CHARACTERS)
            start = pc.utf8_slice_codeunits(values, 0, QUOTED_CHARACTERS)
            texts = pc.if_else(is_long, pc.binary_join_element_wise(start, "...", ""), values)
        texts = show_invisible(_one_array(texts))
        # A line end inside a quoted cell would break the sentence's own line.
        texts = pc.replace_substring_regex(texts, r"[\x00-\x1f\x7f]+", " ")
        texts = pc.binary_join_element_wise("'", texts, "'", "")
    return pc.fill_null(texts, BLANK)
