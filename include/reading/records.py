"""Bytes to records: where each begins, on which physical line, and the cells of the well-formed ones.

Once `chunk_plan.inspect` has planned a file's chunks, each is read here, in any order and on any worker. Offsets always
count bytes of the UTF-8 text: the source itself (its byte order mark included), or the copy that `inspect` writes for
other encodings.

What is outside of RFC 4180 is settled here, before Arrow sees the bytes: Arrow takes `"x"y` and NUL bytes in
silence, and takes a line of white space for a ragged row (seen on 26.0). Source: X-02, X-03, X-15, X-18.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from include.reading.dialect import Dialect, is_blank
from include.reading.scan import Ints, Scan, cells_before, count_cells, delimiters_outside_quotes, scan

MAX_BLOCK_RECORDS = 30_000
RAGGED = "row.ragged"
NUL = "row.nul"
TEXT_AFTER_QUOTE = "row.text_after_quote"
REPEATED_HEADER = "row.repeated_header"
NOT_DATA = "row.not_data"
# Sentences for the sender, with the places {cells} (of the row), {columns} (of the header) and {column} (which cell).
ROW_RULES = {
    RAGGED: "The row has {cells} cells, the header has {columns}.",
    NUL: "The row contains a NUL byte, in {column}.",
    TEXT_AFTER_QUOTE: 'In {column} more text comes after a closing quote ("); expected: the delimiter or the end of '
    "the line. A quote inside a quoted cell is written twice.",
    REPEATED_HEADER: "The row repeats the header of the file: it is no data. Remove it.",
    NOT_DATA: "The row is no data but a line that a program has added, such as a ruler, a count or a total: remove it.",
}

_LINE_END = re.compile(rb"\r\n?|\n")
# The first bytes of Unicode White_Space in UTF-8.
_MAY_BE_BLANK = np.zeros(256, np.bool_)
_MAY_BE_BLANK[[*range(0x09, 0x0E), 0x20, 0xC2, 0xE1, 0xE2, 0xE3]] = True


@dataclass(frozen=True)
class Chunk:
    """A part of a file that is validated as one task: whole records.

    Args:
        number: from 0, in file order.
        byte_start: offset in the UTF-8 text.
        byte_end: exclusive.
        first_line: physical line on which it begins; the file's first line is 1.
    """

    number: int
    byte_start: int
    byte_end: int
    first_line: int


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of a chunk. Blank lines are not among them.

    Args:
        data: whole records, UTF-8.
        offset: of `data` in the UTF-8 text.
        starts: of each record, relative to `data`.
        ends: without the line end.
        lines: physical line on which each record starts.
        cells: of each record.
        has_quotes: some cell is quoted.
        problems: row rule to the ascending positions of the records that break it; no empty entries.
        columns: of the rules that are about one column of a record: its number, from 0, for each of those positions.
        blank_starts: of lines that hold white space only.
        blank_ends: of the same lines.
    """

    data: memoryview
    offset: int
    starts: Ints
    ends: Ints
    lines: Ints
    cells: npt.NDArray[np.int32]
    has_quotes: bool
    problems: dict[str, Ints]
    columns: dict[str, Ints]
    blank_starts: Ints
    blank_ends: Ints


def read_blocks(
    text: BinaryIO, chunk: Chunk, dialect: Dialect, columns: int, block_bytes: int = 8 << 20
) -> Iterator[Block]:
    """Read the records of a chunk, a block at a time, in file order.

    Args:
        text: the UTF-8 text, seekable.
        chunk: as planned by `chunk_plan.inspect`.
        dialect: of the file.
        columns: of the header: a record with another number of cells is ragged.
        block_bytes: at most so much is read at once; a longer record makes its block as long as it needs. Short
            records are cut into blocks of `MAX_BLOCK_RECORDS`.

    Raises:
        RuntimeError: the text is not the one that was inspected.
    """
    delimiter = ord(dialect.delimiter)
    text.seek(chunk.byte_start)
    offset, line, unread = chunk.byte_start, chunk.first_line, chunk.byte_end - chunk.byte_start
    data = b""
    while unread:
        piece = text.read(min(unread, max(block_bytes - len(data), len(data))))
        if not piece:
            raise RuntimeError(f"The text ends {unread} bytes before the end of chunk {chunk.number}.")
        unread -= len(piece)
        data = data + piece if data else piece
        structure = scan(data, delimiter, is_final=not unread)
        if not unread and structure.open_quote() is not None:
            raise RuntimeError(f"Chunk {chunk.number} ends inside quotes.")
        if not len(structure.nexts):
            continue
        block = _make_block(data, offset, line, structure, delimiter, columns)
        yield from _cut(block, MAX_BLOCK_RECORDS)
        length = int(structure.nexts[-1])
        offset += length
        line += int(structure.lines[-1])
        data = data[length:]


def first_block(
    text: BinaryIO, chunks: Sequence[Chunk], dialect: Dialect, columns: int, block_bytes: int
) -> Block | None:
    """Return the first records of a file, those of `block_bytes`; None when it has none. See `read_blocks`."""
    blocks = (block for chunk in chunks for block in read_blocks(text, chunk, dialect, columns, block_bytes))
    return next(blocks, None)


def read_part(
    text: BinaryIO, start: int, end: int, dialect: Dialect, columns: int, *, is_last: bool = False
) -> Block | None:
    """Read the records of a part of the text that begins and ends anywhere; None when it has no whole one.

    It begins behind a line end. Where this is within quotes, some rows are misread, until the next row that begins
    without any: for a look at many rows, never for loading. The lines are not known.

    Args:
        is_last: the text ends where the part does.
    """
    text.seek(start - 1)
    data = text.read(end - start + 1)
    line_end = _LINE_END.search(data)
    data = data[line_end.end() :] if line_end else b""
    structure = scan(data, ord(dialect.delimiter), is_final=is_last)
    return _make_block(data, start, 0, structure, ord(dialect.delimiter), columns) if len(structure.nexts) else None


def read_cells(
    block: Block, dialect: Dialect, header_columns: int, wanted: Sequence[int]
) -> tuple[Ints, list[pa.StringArray]]:
    """Read the cells of the well-formed records.

    Args:
        block: of `read_blocks`.
        dialect: of the file.
        header_columns: number of cells of the header, as given to `read_blocks`.
        wanted: column numbers, from 0, each once.

    Returns:
        The positions of the well-formed records in the block, and per wanted column their cells: unquoted, untrimmed,
        never null.

    Raises:
        RuntimeError: Arrow understands the bytes differently; a defect.
    """
    is_well_formed = np.ones(len(block.starts), np.bool_)
    for positions in block.problems.values():
        is_well_formed[positions] = False
    well_formed = np.flatnonzero(is_well_formed)
    if not len(well_formed) or not len(wanted):
        return well_formed, [pa.array([], pa.string()) for _ in wanted]
    data = _without(block, np.flatnonzero(~is_well_formed))
    names = [str(column) for column in range(header_columns)]
    wanted_names = [names[column] for column in wanted]
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=len(data) + 1),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if block.has_quotes else False,
                newlines_in_values=block.has_quotes,
            ),
            convert_options=pa.csv.ConvertOptions(
                check_utf8=False,  # `chunk_plan.inspect` has checked
                column_types=dict.fromkeys(wanted_names, pa.string()),
                include_columns=wanted_names,
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        # Arrow's own text quotes the row.
        raise RuntimeError(f"Arrow can't read the records at byte offset {block.offset} of the text.") from None
    if table.num_rows != len(well_formed):
        raise RuntimeError(
            f"Arrow reads {table.num_rows} records at byte offset {block.offset} of the text; "
            f"{len(well_formed)} are well-formed."
        )
    return well_formed, [_one_array(column) for column in table.columns]


def split_record(record: bytes, dialect: Dialect) -> list[bytes]:
    """Split a record into its raw cells, quotes included, so that joining them with the delimiter gives it back.

    Malformed records are split as the scan counts their cells: what follows a closing quote belongs to its cell, and
    an unclosed cell takes the rest.
    """
    delimiter = dialect.delimiter.encode()
    if b'"' not in record:
        return record.split(delimiter)
    cells, start = [], 0
    while True:
        cell = _cell_pattern(delimiter).match(record, start)
        if cell is None:
            raise RuntimeError("A cell pattern matches anything, even nothing.")
        cells.append(cell[0])
        if cell.end() >= len(record):
            return cells
        start = cell.end() + 1
        if start == len(record):
            return [*cells, b""]


def unquote(cell: bytes) -> str:
    """Return the text of a raw cell of `split_record`."""
    if not cell.startswith(b'"'):
        return cell.decode()
    quoted = _QUOTED.match(cell)
    if quoted is None:  # unclosed
        return cell[1:].replace(b'""', b'"').decode()
    return (quoted[1].replace(b'""', b'"') + cell[quoted.end() :]).decode()


_QUOTED = re.compile(rb'"((?:[^"]++|"")*+)"')


@lru_cache
def _cell_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    outside = rb"[^" + re.escape(delimiter) + rb"]*+"
    return re.compile(rb'"(?:[^"]++|"")*+(?:"' + outside + rb")?+|" + outside)


def _cut(block: Block, most: int) -> Iterator[Block]:
    """Cut a block of short records into several, for what is kept of a record may be a hundred times as long."""
    count = len(block.starts)
    parts = -(-count // most)
    if parts == 1:
        yield block
    elif parts:
        size = -(-count // parts)
        for first in range(0, count, size):
            yield _part(block, first, min(first + size, count))


def _part(block: Block, first: int, last: int) -> Block:
    """Return some of a block's records, with the lines of white space behind them and, at its start, before them."""
    start = int(block.starts[first]) if first else 0
    end = int(block.starts[last]) if last < len(block.starts) else len(block.data)
    low, high = np.searchsorted(block.blank_starts, (start, end))
    parts = {rule: slice(*np.searchsorted(places, (first, last))) for rule, places in block.problems.items()}
    problems = {rule: positions[parts[rule]] - first for rule, positions in block.problems.items()}
    return Block(
        data=block.data[start:end],
        offset=block.offset + start,
        starts=block.starts[first:last] - start,
        ends=block.ends[first:last] - start,
        lines=block.lines[first:last],
        cells=block.cells[first:last],
        has_quotes=block.has_quotes,
        problems={rule: positions for rule, positions in problems.items() if len(positions)},
        columns={rule: columns[parts[rule]] for rule, columns in block.columns.items() if len(problems[rule])},
        blank_starts=block.blank_starts[low:high] - start,
        blank_ends=block.blank_ends[low:high] - start,
    )


def _make_block(data: bytes, offset: int, line: int, structure: Scan, delimiter: int, columns: int) -> Block:
    length = int(structure.nexts[-1])
    starts, ends = np.concatenate(([0], structure.nexts[:-1])), structure.ends
    lines = np.concatenate(([line], structure.lines[:-1] + line))
    delimiters = delimiters_outside_quotes(data, delimiter, structure)
    cells = count_cells(delimiters, structure)
    blanks = _white_lines(data, starts, ends, cells)
    blank_starts, blank_ends = starts[blanks], ends[blanks]
    is_row = ends > starts
    is_row[blanks] = False
    if not is_row.all():
        starts, ends, lines, cells = starts[is_row], ends[is_row], lines[is_row], cells[is_row]
    problems = {RAGGED: np.flatnonzero(cells != columns)}
    places = {}
    if b"\0" in data:
        places[NUL] = np.flatnonzero(np.frombuffer(data, np.uint8, length) == 0)
    places[TEXT_AFTER_QUOTE] = structure.text_after_quote[structure.text_after_quote < length]
    in_columns = {}
    for rule, at in places.items():
        if len(at):
            problems[rule], firsts = np.unique(np.searchsorted(starts, at, side="right") - 1, return_index=True)
            in_columns[rule] = cells_before(delimiters, starts[problems[rule]], at[firsts])
    return Block(
        data=memoryview(data)[:length],
        offset=offset,
        starts=starts,
        ends=ends,
        lines=lines,
        cells=cells,
        has_quotes=structure.quotes is not None and bool(structure.quotes[:length].any()),
        problems={rule: positions for rule, positions in problems.items() if len(positions)},
        columns=in_columns,
        blank_starts=blank_starts,
        blank_ends=blank_ends,
    )


def _white_lines(data: bytes, starts: Ints, ends: Ints, cells: npt.NDArray[np.int32]) -> Ints:
    """Find the lines of white space, which are no rows. Source: X-15, X-16."""
    candidates = np.flatnonzero((cells == 1) & (ends > starts))
    candidates = candidates[_MAY_BE_BLANK[np.frombuffer(data, np.uint8)[starts[candidates]]]]
    blanks = [record for record in candidates.tolist() if is_blank(data[starts[record] : ends[record]])]
    return np.array(blanks, np.int64)


def _without(block: Block, malformed: Ints) -> bytes | memoryview:
    """Return a block's data without its malformed records and lines of white space.

    Their line ends stay: Arrow passes over empty lines.
    """
    data: bytes | memoryview = block.data
    if len(malformed) or len(block.blank_starts):
        cut_starts = np.sort(np.concatenate((block.starts[malformed], block.blank_starts))).tolist()
        cut_ends = np.sort(np.concatenate((block.ends[malformed], block.blank_ends))).tolist()
        kept = zip([0, *cut_ends], [*cut_starts, len(data)], strict=True)
        data = b"".join([block.data[start:end] for start, end in kept])
    # Arrow would take U+FEFF at the beginning for a byte order mark and drop it from the first cell.
    return b"\n" + data if data[:3] == codecs.BOM_UTF8 else data


def _one_array(column: pa.ChunkedArray) -> pa.StringArray:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
