"""The first of a file's two readings: every byte once, what concerns the file as a whole, and a plan of its chunks.

`records` then reads the chunks. Source: X-02, X-03, X-15, X-18.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from include.errors import FileRefused
from include.reading.dialect import (
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
from include.reading.records import Chunk, split_record, unquote
from include.reading.scan import Scan, count_line_ends, scan

HEAD_BYTES = 1 << 20  # the header and the rows that the delimiter is sniffed from; also the longest header
MAX_RECORD_BYTES = 16 << 20
"""A longer record is two quotes with half a file between them, and would have to be held in memory as a whole."""
TOO_BIG = "file.too_big"
NO_FINAL_LINE_END = "file.no_final_line_end"
_NO_FINAL_LINE_END = (
    "The last row has no line end: the file may have been cut off. Compare the last row with where it comes from; a "
    "file that is complete ends with a line end."
)


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
        warnings: rule and sentence of what a person should know of the file's bytes (X-03, X-12).
    """

    size_bytes: int
    sha256: str
    dialect: Dialect
    header: tuple[str, ...]
    header_offset: int
    header_bytes: int
    chunks: tuple[Chunk, ...]
    is_header_only: bool
    warnings: tuple[tuple[str, str], ...] = ()


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
    decoder = make_decoder(codec, len(bom))
    text_pieces = _decode(intake, beginning[len(bom) :], decoder, text_out if codec != "utf-8" else None)
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
    warnings = list(decoder.warnings)
    if plan.ends_in_record:
        warnings.append((NO_FINAL_LINE_END, _NO_FINAL_LINE_END))
    return Inspection(
        size_bytes=intake.size_bytes,
        sha256=intake.digest.hexdigest(),
        dialect=dialect,
        header=header.cells,
        header_offset=header.offset,
        header_bytes=header.length,
        chunks=chunks,
        is_header_only=not chunks,
        warnings=tuple(warnings),
    )


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
        structure = scan(text, ord(delimiter), is_final=self._is_final)
        self._check_header_ends(structure)
        end, after = int(structure.ends[0]), int(structure.nexts[0])
        dialect = Dialect(encoding, bom, delimiter, text[end:after].decode() or "\n")
        cells = tuple(unquote(cell) for cell in split_record(text[:end], dialect))
        self._check_header(text[:end], cells, has_text_after_quote=bool((structure.text_after_quote < end).any()))
        return dialect, _Header(
            cells=cells,
            offset=self._offset,
            length=end,
            next_offset=self._offset + after,
            next_line=self._line + int(structure.lines[0]),
            rest=text[after:],
        )

    def _check_header_ends(self, structure: Scan) -> None:
        opened = structure.open_quote()
        is_complete = len(structure.ends) > (1 if self._is_final else 0)
        if opened is not None and not is_complete:
            raise _unclosed_quote(self._line + count_line_ends(self._text[:opened]))
        if not len(structure.ends):
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
    by a substitute that leaves the scan in the same state: an unclosed quote must not take the file into memory.
    """

    def __init__(self, delimiter: int, offset: int, line: int, chunk_bytes: int, hold_bytes: int) -> None:
        self._delimiter = delimiter
        self._chunk_bytes = chunk_bytes
        self._hold_bytes = hold_bytes
        self._held = b""
        self._end = offset  # of the text so far
        self._line = line  # on which the held text begins
        self._opened_line: int | None = None  # of the quote that a substitute begins with
        self._has_records = False
        self.ends_in_record = False
        """Whether the last record has no line end; known once the plan is finished."""
        self._dropped_bytes = 0  # of the record that a substitute replaces
        self._long_line: int | None = None  # on which the first record begins that is too long
        self._record_line = line  # on which the held record begins
        self._chunks: list[Chunk] = []
        self._chunk_start, self._chunk_line = offset, line

    def add(self, text: bytes) -> None:
        """Take the next piece of text."""
        data = self._held + text
        self._end += len(text)
        structure = scan(data, self._delimiter, is_final=False)
        if len(structure.nexts):
            self._note_length(int(structure.ends[0]))
            self._note_records(data, structure)
            self._close_chunks(structure, self._end - len(data))
            self._held = data[int(structure.nexts[-1]) :]
            self._line += int(structure.lines[-1])
            self._opened_line = None
            self._dropped_bytes, self._record_line = 0, self._line
        elif len(data) > self._hold_bytes:
            self._shorten(data, structure)
        else:
            self._held = data

    def finish(self) -> tuple[Chunk, ...]:
        """Return the chunks, none when there is no row."""
        structure = scan(self._held, self._delimiter, is_final=True)
        opened = structure.open_quote()
        if opened is not None:
            raise _unclosed_quote(self._line_of_quote(self._held, opened))
        self._note_length(len(self._held))
        if self._long_line is not None:
            raise _record_too_long(self._long_line)
        self._note_records(self._held, structure)
        if not self._has_records:
            return ()
        is_ended = not self._held or structure.ends[-1] < len(self._held)
        self.ends_in_record = not is_ended and not is_blank_line(
            self._held[int(structure.nexts[-2]) if len(structure.nexts) > 1 else 0 :], self._delimiter
        )
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

    def _close_chunks(self, structure: Scan, offset: int) -> None:
        record = 0
        while True:
            full = self._chunk_start + self._chunk_bytes - offset
            record = max(record, int(np.searchsorted(structure.nexts, full)))
            if record >= len(structure.nexts):
                return
            self._close_chunk(offset + int(structure.nexts[record]), self._line + int(structure.lines[record]))
            record += 1

    def _close_chunk(self, end: int, next_line: int) -> None:
        self._chunks.append(Chunk(len(self._chunks), self._chunk_start, end, self._chunk_line))
        self._chunk_start, self._chunk_line = end, next_line

    def _note_records(self, data: bytes, structure: Scan) -> None:
        if self._has_records:
            return
        starts = np.concatenate(([0], structure.nexts))[:-1]
        for record in np.flatnonzero(structure.ends > starts):
            if not is_blank_line(data[starts[record] : structure.ends[record]], self._delimiter):
                self._has_records = True
                return

    def _shorten(self, data: bytes, structure: Scan) -> None:
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
            placeholder = b""
        elif structure.inside is not None and structure.inside[settled - 1]:
            placeholder = b'"'
            opened = structure.open_quote(settled)
            self._opened_line = self._line_of_quote(data, opened or 0)
        elif data[settled - 1] == self._delimiter:
            placeholder = bytes([self._delimiter])
        else:
            placeholder = b"x"
        self._line += count_line_ends(data[:settled])
        self._held = placeholder + tail
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
