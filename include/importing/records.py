"""Bytes to records: where each begins, on which physical line, and the cells of the well-formed ones.

A file is read twice. `inspect` sees every byte once and plans the chunks; `read_blocks` and `read_cells` then read one
chunk at a time, in any order and on any worker. Offsets always count bytes of the UTF-8 text: the source itself (its
byte order mark included), or the copy that `inspect` writes for other encodings.

What stands outside of RFC 4180 is settled here, before Arrow sees the bytes: Arrow takes `"x"y` and NUL bytes in
silence, and takes a line of white space for a ragged row (seen on 26.0). Source: X-02, X-03, X-15, X-18.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from include.importing.dialect import (
    Decoder,
    Dialect,
    Undecodable,
    check_delimiter,
    find_encoding,
    is_blank,
    is_blank_line,
    make_decoder,
    skip_blank_lines,
    sniff_delimiter,
    undecodable,
    whole_characters,
)
from include.importing.errors import FileRefused
from include.importing.scan import Ints, Scan, count_cells, count_line_ends, scan

HEAD_BYTES = 1 << 20  # the header and the rows that the delimiter is sniffed from; also the longest header
MAX_RECORD_BYTES = 16 << 20
"""A longer record is two quotes with half a file between them, and would have to be held in memory as a whole."""
MAX_BLOCK_RECORDS = 30_000
TOO_BIG = "file.too_big"
RAGGED = "row.ragged"
NUL = "row.nul"
TEXT_AFTER_QUOTE = "row.text_after_quote"
# Sentences for the sender, with the places {cells} (of the row) and {columns} (of the header).
ROW_RULES = {
    RAGGED: "The row has {cells} cells, the header has {columns}.",
    NUL: "The row contains a NUL byte.",
    TEXT_AFTER_QUOTE: 'After a closing quote (") comes more text; expected: the delimiter or the end of the line. '
    "A quote inside a quoted cell is written twice.",
}

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


@dataclass(frozen=True)
class Inspection:
    """What is known of a file before any row is read.

    Args:
        size_bytes: of the source.
        sha256: of the source's bytes, in hexadecimal.
        header: cells as sent, unquoted and untrimmed.
        header_offset: of the header record in the UTF-8 text.
        header_bytes: its length there, without its line end.
        chunks: none when the file holds a header only.
    """

    size_bytes: int
    sha256: str
    dialect: Dialect
    header: tuple[str, ...]
    header_offset: int
    header_bytes: int
    chunks: tuple[Chunk, ...]
    is_header_only: bool


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
    blank_starts: Ints
    blank_ends: Ints


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Refuse a file over the limit. Source: X-18.

    Raises:
        FileRefused: `file.too_big`.
    """
    if size_bytes > max_bytes:
        raise FileRefused(
            TOO_BIG,
            f"The file has more than {max_bytes:,} bytes, the limit that the setting `max_file_bytes` "
            "allows. Expected: a smaller file, or several.",
        )


def inspect(
    source: BinaryIO,
    *,
    encoding: str | None,
    delimiter: str | None,
    text_out: BinaryIO | None,
    max_bytes: int,
    chunk_bytes: int = 64 << 20,
    utf8_only: bool = False,
    read_bytes: int = 1 << 19,
) -> Inspection:
    """Read a file once, check what concerns it as a whole, and plan its chunks.

    Memory stays within a few `read_bytes`, however long a record is.

    Args:
        source: at its beginning; need not be seekable.
        encoding: as declared, or None for UTF-8; never guessed.
        delimiter: as declared, or None to have it sniffed.
        text_out: receives the UTF-8 text when the encoding is another one.
        max_bytes: of the source; more is refused.
        chunk_bytes: a chunk ends with the first record that fills it.
        utf8_only: the import type takes no other encoding.
        read_bytes: are looked at together.

    Raises:
        FileRefused: `file.too_big`, `file.encoding`, `file.encoding_not_reversible`, `file.empty`,
            `file.missing_header`, `file.header_nul`, `file.delimiter_tie`, `file.unclosed_quote`,
            `file.record_too_long`.
        SettingsError: the declared delimiter can't be one.

    Source: X-02, X-03, X-15, X-18.
    """
    if delimiter is not None:
        check_delimiter(delimiter)
    intake = _Intake(source, max_bytes, read_bytes)
    beginning = intake.read()
    codec, bom = find_encoding(encoding, beginning, utf8_only=utf8_only)
    text_pieces = _decode(
        intake, beginning[len(bom) :], make_decoder(codec, len(bom)), text_out if codec != "utf-8" else None
    )
    reading: _Head | _ChunkPlan
    reading = head = _Head(len(bom) if codec == "utf-8" else 0)
    try:
        for piece, is_final in text_pieces:
            head.add(piece, is_final=is_final)
            if head.is_complete:
                break
        dialect, header = head.settle(codec, bom, delimiter)
        reading = plan = _ChunkPlan(
            ord(dialect.delimiter), header.next_offset, header.next_line, chunk_bytes, read_bytes
        )
        for start in range(0, len(header.rest), read_bytes):
            plan.add(header.rest[start : start + read_bytes])
        for piece, _ in text_pieces:
            plan.add(piece)
    except Undecodable as error:
        raise undecodable(
            error,
            reading.line_after(error.text_before),
            encoding=codec,
            is_declared=encoding is not None,
            utf8_only=utf8_only,
            beginning=beginning,
        ) from None
    chunks = plan.finish()
    return Inspection(
        size_bytes=intake.size_bytes,
        sha256=intake.digest.hexdigest(),
        dialect=dialect,
        header=header.cells,
        header_offset=header.offset,
        header_bytes=header.length,
        chunks=chunks,
        is_header_only=not chunks,
    )


def read_blocks(
    text: BinaryIO, chunk: Chunk, dialect: Dialect, columns: int, block_bytes: int = 8 << 20
) -> Iterator[Block]:
    """Read the records of a chunk, a block at a time, in file order.

    Args:
        text: the UTF-8 text, seekable.
        chunk: as planned by `inspect`.
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
        found = scan(data, delimiter, is_final=not unread)
        if not unread and found.open_quote() is not None:
            raise RuntimeError(f"Chunk {chunk.number} ends inside quotes.")
        if not len(found.nexts):
            continue
        block = _make_block(data, offset, line, found, delimiter, columns)
        yield from _cut(block, MAX_BLOCK_RECORDS)
        length = int(found.nexts[-1])
        offset += length
        line += int(found.lines[-1])
        data = data[length:]


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
                check_utf8=False,  # `inspect` has checked
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


class _Intake:
    """The source's bytes, hashed, counted and limited."""

    def __init__(self, source: BinaryIO, max_bytes: int, read_bytes: int) -> None:
        self.digest = hashlib.sha256()
        self.size_bytes = 0
        self.is_at_end = False
        self._source = source
        self._max_bytes = max_bytes
        self._read_bytes = max(read_bytes, 4)  # a byte order mark comes whole

    def read(self) -> bytes:
        """Read the next piece; all but the last are full."""
        parts, missing = [], self._read_bytes
        while missing and (part := self._source.read(missing)):
            parts.append(part)
            missing -= len(part)
        self.is_at_end = missing > 0
        piece = b"".join(parts)
        self.digest.update(piece)
        self.size_bytes += len(piece)
        check_size(self.size_bytes, self._max_bytes)
        return piece


def _decode(intake: _Intake, beginning: bytes, decoder: Decoder, copy: BinaryIO | None) -> Iterator[tuple[bytes, bool]]:
    """Yield the source as pieces of UTF-8 text, each with whether it is the last (which may be empty)."""
    piece = beginning
    while True:
        text = decoder.decode(piece, is_final=intake.is_at_end)
        if copy is not None:
            copy.write(text)
        yield text, intake.is_at_end
        if intake.is_at_end:
            return
        piece = intake.read()


@dataclass(frozen=True)
class _Header:
    """The header record, and where the text goes on behind it.

    Args:
        rest: the text read so far behind it.
    """

    cells: tuple[str, ...]
    offset: int
    length: int
    next_offset: int
    next_line: int
    rest: bytes


class _Head:
    """The beginning of the text, from the first line that is not blank.

    Args:
        offset: of the text's first byte that is no byte order mark.
    """

    def __init__(self, offset: int) -> None:
        self.is_complete = False
        self._offset = offset
        self._line = 1
        self._text = b""
        self._is_final = False

    def add(self, piece: bytes, *, is_final: bool) -> None:
        """Take more text, until there is enough of it."""
        self._text += piece
        self._is_final = is_final
        length, lines = skip_blank_lines(self._text, is_final=is_final)
        self._text = self._text[length:]
        self._offset += length
        self._line += lines
        self.is_complete = is_final or len(self._text) >= HEAD_BYTES

    def line_after(self, text: bytes) -> int:
        """Return the line on which a further text would end."""
        return self._line + count_line_ends(self._text + text)

    def settle(self, encoding: str, bom: bytes, delimiter: str | None) -> tuple[Dialect, _Header]:
        """Settle the dialect, and read the header record."""
        text = self._text
        if not text:
            raise FileRefused("file.empty", "The file is empty. Expected: a first row of column headers, then rows.")
        if delimiter is None:
            delimiter = sniff_delimiter(text, is_final=self._is_final)
        found = scan(text, ord(delimiter), is_final=self._is_final)
        self._check_header_ends(found)
        end, after = int(found.ends[0]), int(found.nexts[0])
        dialect = Dialect(encoding, bom, delimiter, text[end:after].decode() or "\n")
        cells = tuple(unquote(cell) for cell in split_record(text[:end], dialect))
        self._check_header(text[:end], cells, has_text_after_quote=bool((found.text_after_quote < end).any()))
        return dialect, _Header(
            cells=cells,
            offset=self._offset,
            length=end,
            next_offset=self._offset + after,
            next_line=self._line + int(found.lines[0]),
            rest=text[after:],
        )

    def _check_header_ends(self, found: Scan) -> None:
        opened = found.open_quote()
        is_complete = len(found.ends) > (1 if self._is_final else 0)
        if opened is not None and not is_complete:
            raise _unclosed_quote(self._line + count_line_ends(self._text[:opened]))
        if not len(found.ends):
            raise FileRefused(
                "file.missing_header",
                f"Line {self._line} is longer than {HEAD_BYTES:,} bytes. Expected: a first row of column headers.",
            )

    def _check_header(self, record: bytes, cells: tuple[str, ...], *, has_text_after_quote: bool) -> None:
        if b"\0" in record:
            raise FileRefused(
                "file.header_nul",
                f"The header on line {self._line} contains a NUL byte. Expected: column headers in plain text; a file "
                "in UTF-16 or UTF-32 needs that encoding declared in its settings.",
            )
        if has_text_after_quote:
            raise FileRefused(
                "file.missing_header",
                f'In the header on line {self._line} more text follows a closing quote ("). '
                "Expected: column headers, with quotes inside a quoted one written twice.",
            )
        if all(is_blank(cell.encode()) for cell in cells):
            raise FileRefused(
                "file.missing_header",
                f"Line {self._line} has no column headers: it has {len(cells)} cells, all blank. "
                "Expected: a first row of column headers.",
            )


class _ChunkPlan:
    """Cuts the text behind the header into chunks.

    Holds the text from the beginning of the last unfinished record on. A record that outgrows `hold_bytes` is replaced
    by a stand-in that leaves the scan in the same state, so that an unclosed quote does not take the file into memory.
    """

    def __init__(self, delimiter: int, offset: int, line: int, chunk_bytes: int, hold_bytes: int) -> None:
        self._delimiter = delimiter
        self._chunk_bytes = chunk_bytes
        self._hold_bytes = hold_bytes
        self._held = b""
        self._end = offset  # of the text so far
        self._line = line  # on which the held text begins
        self._opened_line: int | None = None  # of the quote that a stand-in begins with
        self._has_records = False
        self._dropped_bytes = 0  # of the record that a stand-in stands for
        self._long_line: int | None = None  # on which the first record begins that is too long
        self._record_line = line  # on which the held record begins
        self._chunks: list[Chunk] = []
        self._chunk_start, self._chunk_line = offset, line

    def add(self, text: bytes) -> None:
        """Take the next piece of text."""
        data = self._held + text
        self._end += len(text)
        found = scan(data, self._delimiter, is_final=False)
        if len(found.nexts):
            self._note_length(int(found.ends[0]))
            self._note_records(data, found)
            self._close_chunks(found, self._end - len(data))
            self._held = data[int(found.nexts[-1]) :]
            self._line += int(found.lines[-1])
            self._opened_line = None
            self._dropped_bytes, self._record_line = 0, self._line
        elif len(data) > self._hold_bytes:
            self._shorten(data, found)
        else:
            self._held = data

    def finish(self) -> tuple[Chunk, ...]:
        """Return the chunks, none when there is no row."""
        found = scan(self._held, self._delimiter, is_final=True)
        opened = found.open_quote()
        if opened is not None:
            raise _unclosed_quote(self._line_of_quote(self._held, opened))
        self._note_length(len(self._held))
        if self._long_line is not None:
            raise _record_too_long(self._long_line)
        self._note_records(self._held, found)
        if not self._has_records:
            return ()
        if self._chunk_start < self._end:
            self._close_chunk(self._end, self._line)
        return tuple(self._chunks)

    def line_after(self, text: bytes) -> int:
        """Return the line on which a further text would end."""
        return self._line + count_line_ends(self._held + text)

    def _note_length(self, held_bytes: int) -> None:
        """Remember the held record when it is too long: further ones end in the piece in which they begin."""
        if self._long_line is None and self._dropped_bytes + held_bytes > MAX_RECORD_BYTES:
            self._long_line = self._record_line

    def _close_chunks(self, found: Scan, offset: int) -> None:
        record = 0
        while True:
            full = self._chunk_start + self._chunk_bytes - offset
            record = max(record, int(np.searchsorted(found.nexts, full)))
            if record >= len(found.nexts):
                return
            self._close_chunk(offset + int(found.nexts[record]), self._line + int(found.lines[record]))
            record += 1

    def _close_chunk(self, end: int, next_line: int) -> None:
        self._chunks.append(Chunk(len(self._chunks), self._chunk_start, end, self._chunk_line))
        self._chunk_start, self._chunk_line = end, next_line

    def _note_records(self, data: bytes, found: Scan) -> None:
        if self._has_records:
            return
        starts = np.concatenate(([0], found.nexts))[:-1]
        for record in np.flatnonzero(found.ends > starts):
            if not is_blank_line(data[starts[record] : found.ends[record]], self._delimiter):
                self._has_records = True
                return

    def _shorten(self, data: bytes, found: Scan) -> None:
        """Replace a long unfinished record by a short text that leaves the scan where the record leaves it."""
        if not self._has_records:
            whole = whole_characters(data.removesuffix(b"\r"))
            if is_blank_line(data[:whole], self._delimiter):  # may become a blank line yet
                self._held = b" " + data[whole:]
                self._dropped_bytes += len(data) - len(self._held)
                return
            self._has_records = True
        # Whether a CR or a quote at the end ends or closes something is open until the next byte. Of a run of quotes
        # only it matters whether their number is even.
        if data.endswith(b"\r"):
            settled, tail = len(data) - 1, b"\r"
        else:
            settled = len(data.rstrip(b'"'))
            run = len(data) - settled
            tail = b'"' * (2 - run % 2 if run else 0)
        if not settled:
            stand_in = b""
        elif found.inside is not None and found.inside[settled - 1]:
            stand_in = b'"'
            opened = found.open_quote(settled)
            self._opened_line = self._line_of_quote(data, opened or 0)
        elif data[settled - 1] == self._delimiter:
            stand_in = bytes([self._delimiter])
        else:
            stand_in = b"x"
        self._line += count_line_ends(data[:settled])
        self._held = stand_in + tail
        self._dropped_bytes += len(data) - len(self._held)

    def _line_of_quote(self, data: bytes, place: int) -> int:
        if place == 0 and self._opened_line is not None:
            return self._opened_line
        return self._line + count_line_ends(data[:place])


def _unclosed_quote(line: int) -> FileRefused:
    return FileRefused(
        "file.unclosed_quote",
        f'The quote (") that opens a cell on line {line} is never closed. Expected: a closing quote before the next '
        "delimiter, or the end of the line.",
    )


def _record_too_long(line: int) -> FileRefused:
    return FileRefused(
        "file.record_too_long",
        f"The record that begins on line {line} is longer than {MAX_RECORD_BYTES:,} bytes. Expected: a line of cells; "
        'perhaps a closing quote (") is missing there, and the next one ends the cell far below.',
    )


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
    problems = {
        rule: positions[np.searchsorted(positions, first) : np.searchsorted(positions, last)] - first
        for rule, positions in block.problems.items()
    }
    return Block(
        data=block.data[start:end],
        offset=block.offset + start,
        starts=block.starts[first:last] - start,
        ends=block.ends[first:last] - start,
        lines=block.lines[first:last],
        cells=block.cells[first:last],
        has_quotes=block.has_quotes,
        problems={rule: positions for rule, positions in problems.items() if len(positions)},
        blank_starts=block.blank_starts[low:high] - start,
        blank_ends=block.blank_ends[low:high] - start,
    )


def _make_block(data: bytes, offset: int, line: int, found: Scan, delimiter: int, columns: int) -> Block:
    length = int(found.nexts[-1])
    starts, ends = np.concatenate(([0], found.nexts[:-1])), found.ends
    lines = np.concatenate(([line], found.lines[:-1] + line))
    cells = count_cells(data, delimiter, found)
    blanks = _white_lines(data, starts, ends, cells)
    blank_starts, blank_ends = starts[blanks], ends[blanks]
    is_row = ends > starts
    is_row[blanks] = False
    if not is_row.all():
        starts, ends, lines, cells = starts[is_row], ends[is_row], lines[is_row], cells[is_row]
    problems = {RAGGED: np.flatnonzero(cells != columns)}
    if b"\0" in data:
        problems[NUL] = _records_at(np.flatnonzero(np.frombuffer(data, np.uint8, length) == 0), starts)
    problems[TEXT_AFTER_QUOTE] = _records_at(found.text_after_quote[found.text_after_quote < length], starts)
    return Block(
        data=memoryview(data)[:length],
        offset=offset,
        starts=starts,
        ends=ends,
        lines=lines,
        cells=cells,
        has_quotes=found.quotes is not None and bool(found.quotes[:length].any()),
        problems={rule: positions for rule, positions in problems.items() if len(positions)},
        blank_starts=blank_starts,
        blank_ends=blank_ends,
    )


def _white_lines(data: bytes, starts: Ints, ends: Ints, cells: npt.NDArray[np.int32]) -> Ints:
    """Find the lines of white space, which are no rows. Source: X-15, X-16."""
    candidates = np.flatnonzero((cells == 1) & (ends > starts))
    candidates = candidates[_MAY_BE_BLANK[np.frombuffer(data, np.uint8)[starts[candidates]]]]
    blanks = [record for record in candidates.tolist() if is_blank(data[starts[record] : ends[record]])]
    return np.array(blanks, np.int64)


def _records_at(places: Ints, starts: Ints) -> Ints:
    """Return the positions of the records that hold the places, each once."""
    return np.unique(np.searchsorted(starts, places, side="right") - 1)


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
