"""Corrected rows: which job and line a row of a rejected-rows file comes from. Source: X-09."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.columns.mapping import origin_columns
from include.reading import records
from include.reading.dialect import Dialect
from include.reading.records import Block

ESCAPED = "^'('*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])"
"""A cell that the rejected-rows file gave one apostrophe more, full-width forms included; group 1 is without it.

Read alike by Python and by Arrow.
"""

_PEEK_BYTES = 1 << 20
_PEEK_RECORDS = 100
# To whom quotes in the middle of a cell mean nothing special: this is a guess, which the whole file then confirms.
_RECORD = re.compile(r'(?:[^"\r\n]++|"[^"]*+(?:"|\Z))*+')
_STARTS_WITH_JOB = re.compile(r'\ufeff?"?_job(?![A-Za-z0-9_])')
_NUMBER = re.compile(r"\s*([0-9]{1,18})(?:[.,]0+)?\s*")  # spreadsheets write 5.0
_JOB_CELL = re.compile(r'"?\s*([0-9]{1,18})(?![0-9])')


@dataclass(frozen=True)
class Origins:
    """The columns `_job` and `_line` of a block: one value a record, malformed ones included; null where blank.

    Args:
        unreadable_jobs: cells of `_job` that are neither blank nor a number; they are null too.
    """

    job: pa.Array
    line: pa.Array
    unreadable_jobs: int = 0


def unescape(cell: str) -> str:
    """Take off the one apostrophe that the rejected-rows file has put before a cell."""
    return re.sub(ESCAPED, r"\1", cell)


def unescape_cells(cells: pa.StringArray) -> pa.StringArray:
    """Take off the one apostrophe that the rejected-rows file has put before each cell of a column."""
    return pc.replace_substring_regex(cells, ESCAPED, r"\1")


def read_origins(block: Block, dialect: Dialect, header: Sequence[str]) -> Origins:
    """Return where the records of a block come from; all null when the header has no column `_job`."""
    columns = origin_columns(header)
    (job, unreadable), (line, _) = (
        _numbers(block, dialect, len(header), columns.get(name)) for name in ("_job", "_line")
    )
    return Origins(job, line, unreadable)


def peek_origin(head: bytes) -> int | None:
    """Guess the job of a corrected file from its first bytes, before encoding and delimiter are known.

    The importer puts `_job` first, in the sender's encoding; where a person has moved the column away this finds
    nothing, and the file must be readable by its own settings.
    """
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        if not _STARTS_WITH_JOB.match(head[:64].decode(encoding, errors="ignore")):
            continue
        text = head[:_PEEK_BYTES].decode("latin-1" if encoding == "utf-8-sig" else encoding, errors="ignore")
        return _first_number(text)
    return None


def _first_number(text: str) -> int | None:
    place = 0
    for _ in range(_PEEK_RECORDS):
        record = _RECORD.match(text, place)
        if record is None or record.end() >= len(text):
            return None
        place = record.end() + 1
        if cell := _JOB_CELL.match(text, place):
            return int(cell[1])
    return None


def _numbers(block: Block, dialect: Dialect, columns: int, index: int | None) -> tuple[pa.Array, int]:
    """Return one number a record, null where there is none, and how many cells hold something else."""
    if index is None:
        return pa.nulls(len(block.starts), pa.int64()), 0
    unreadable = 0
    numbers = np.zeros(len(block.starts), np.int64)
    is_blank = np.ones(len(block.starts), np.bool_)
    for record, text in _cells(block, dialect, columns, index):
        if number := _NUMBER.fullmatch(text):
            numbers[record], is_blank[record] = int(number[1]), False
        elif text.strip():
            unreadable += 1
    return pa.array(numbers, mask=is_blank), unreadable


def _cells(block: Block, dialect: Dialect, columns: int, index: int) -> list[tuple[int, str]]:
    """Return (record, text) of one column, of malformed records as far as they have it."""
    well_formed, (texts,) = records.read_cells(block, dialect, columns, [index])
    pairs = list(zip(well_formed.tolist(), texts.to_pylist(), strict=True))
    for record in np.setdiff1d(np.arange(len(block.starts)), well_formed).tolist():
        raw = bytes(block.data[block.starts[record] : block.ends[record]])
        cells = records.split_record(raw, dialect)
        if index < len(cells):
            pairs.append((record, records.unquote(cells[index])))
    return pairs
