"""The rejected-rows file: the sender's records byte for byte, with what is wrong put before them. Source: X-09."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Protocol

from include.importing.dialect import Dialect
from include.importing.records import split_record

COLUMNS = ("_job", "_line", "_rules", "_reasons")
# What a spreadsheet takes for a formula, after any apostrophes: = + - @ tab CR, and full-width forms of the first four.
_STARTS_FORMULA = re.compile(rb"'*(?:[=+\-@\t\r]|\xef\xbc[\x9d\x8b\x8d\xa0])")


class Rejected(Protocol):
    """A row of `ledger.reject`."""

    line: int
    rules: str
    reasons: str


def file_name(source_name: str) -> str:
    """Return the name of the rejected-rows file: `cards.csv` gives `cards.rejected.csv`."""
    path = PurePosixPath(source_name)
    stem = path.stem.removesuffix(".rejected")
    return f"{stem}.rejected{path.suffix}"


class Writer:
    """Makes the bytes of one rejected-rows file.

    Args:
        header: the cells of the sender's header.
        is_corrected: the sender's file carries `_job` itself: its four columns are replaced by new ones, and cells that
            already have their apostrophe get no second.
        is_verbatim: leave out the apostrophe that keeps spreadsheets from running formulas.
    """

    def __init__(
        self, *, job_id: int, dialect: Dialect, header: Sequence[str], is_corrected: bool, is_verbatim: bool
    ) -> None:
        self._job = str(job_id).encode()
        self._dialect = dialect
        self._delimiter = dialect.delimiter.encode()
        self._line_end = dialect.line_end.encode()
        self._ours = {index for index, name in enumerate(header) if is_corrected and name in COLUMNS}
        self._is_corrected = is_corrected
        self._is_verbatim = is_verbatim
        escaped = re.escape(self._delimiter)
        self._may_need_escape = re.compile(rb"(?:^|" + escaped + rb')"?' + _STARTS_FORMULA.pattern)

    def header(self, raw: bytes) -> bytes:
        """Return the file's first bytes: byte order mark, our columns, the sender's header."""
        names = self._delimiter.join(name.encode() for name in COLUMNS)
        return self._dialect.bom + self._encoded(names + self._delimiter + self._without_ours(raw) + self._line_end)

    def record(self, reject: Rejected, raw: bytes) -> bytes:
        """Return one rejected record with its reasons.

        Args:
            raw: the record as UTF-8, without its line end.
        """
        own = b"%s%s%d%s%s%s%s" % (
            self._job, self._delimiter, reject.line, self._delimiter, self._cell(reject.rules), self._delimiter,
            self._cell(reject.reasons),
        )  # fmt: skip
        sent = self._without_ours(raw)
        if not self._is_verbatim and self._may_need_escape.search(sent):
            sent = self._delimiter.join(map(self._defused, split_record(sent, self._dialect)))
        return self._encoded(own + self._delimiter + sent + self._line_end)

    def _cell(self, text: str) -> bytes:
        return b'"' + text.replace('"', '""').encode() + b'"'

    def _without_ours(self, raw: bytes) -> bytes:
        if not self._ours:
            return raw
        cells = split_record(raw, self._dialect)
        return self._delimiter.join(cell for index, cell in enumerate(cells) if index not in self._ours)

    def _defused(self, cell: bytes) -> bytes:
        quote, content = (b'"', cell[1:]) if cell.startswith(b'"') else (b"", cell)
        if not _STARTS_FORMULA.match(content):
            return cell
        if self._is_corrected and content.startswith(b"'"):  # one was taken off when it was read; this puts it back
            return cell
        return quote + b"'" + content

    def _encoded(self, utf8: bytes) -> bytes:
        if self._dialect.encoding == "utf-8":
            return utf8
        return utf8.decode().encode(self._dialect.encoding, errors="replace")
