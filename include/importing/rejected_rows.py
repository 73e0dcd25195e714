"""The rejected-rows file: the sender's records byte for byte, with what is wrong put before them. Source: X-09."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Protocol

from include.importing.dialect import Dialect
from include.importing.mapping import ORIGIN_COLUMNS, origin_columns
from include.importing.records import split_record

LONGEST_NAME_BYTES = 240
"""Of a report's file name: file systems take 255."""
# What a spreadsheet takes for a formula, after any apostrophes: = + - @ tab CR, and full-width forms of the first four.
_FORMULA = rb"'*(?:[=+\-@\t\r]|\xef\xbc[\x9d\x8b\x8d\xa0])"
_STARTS_FORMULA = re.compile(_FORMULA)
_ESCAPED_FORMULA = re.compile(rb"'(?=" + _FORMULA + rb")")


class Rejected(Protocol):
    """A row of `ledger.reject`."""

    line: int
    rules: str
    reasons: str


def file_name(source_name: str) -> str:
    """Return the name of the rejected-rows file: `cards.csv` gives `cards.rejected.csv`, and so does that one."""
    path = PurePosixPath(source_name)
    stem = path.stem.removesuffix(".rejected").encode()
    end = f".rejected{path.suffix}"
    return stem[: LONGEST_NAME_BYTES - len(end.encode())].decode(errors="ignore") + end


def _quoted(text: str) -> bytes:
    return b'"' + text.replace('"', '""').encode() + b'"'


class Writer:
    """Makes the bytes of one rejected-rows file.

    Args:
        header: the cells of the sender's header. If it carries `_job` itself, its four columns are replaced.
        was_escaped: the sender's cells have the apostrophe that an earlier rejected-rows file gave them.
        is_verbatim: leave out the apostrophe that keeps spreadsheets from running formulas.
    """

    def __init__(
        self, *, job_id: int, dialect: Dialect, header: Sequence[str], was_escaped: bool, is_verbatim: bool
    ) -> None:
        self._job = str(job_id).encode()
        self._dialect = dialect
        self._delimiter = dialect.delimiter.encode()
        self._line_end = dialect.line_end.encode()
        self._ours = set(origin_columns(header).values())
        self._was_escaped = was_escaped
        self._is_verbatim = is_verbatim
        self._may_hold_formula = re.compile(rb"(?:^|" + re.escape(self._delimiter) + rb')"?' + _FORMULA)

    def header(self, raw: bytes) -> bytes:
        """Return the file's first bytes: byte order mark, our columns, the sender's header."""
        names = [name.encode() for name in ORIGIN_COLUMNS]
        return self._dialect.bom + self._encoded(self._delimiter.join([*names, self._sent(raw)]) + self._line_end)

    def record(self, reject: Rejected, raw: bytes) -> bytes:
        """Return one rejected record with its reasons.

        Args:
            raw: the record as UTF-8, without its line end.
        """
        own = [self._job, b"%d" % reject.line, _quoted(reject.rules), _quoted(reject.reasons)]
        return self._encoded(self._delimiter.join([*own, self._sent(raw)]) + self._line_end)

    def _sent(self, raw: bytes) -> bytes:
        """Return the sender's own cells, as they were sent but for the apostrophe."""
        is_rewritten = (self._was_escaped or not self._is_verbatim) and self._may_hold_formula.search(raw)
        if not self._ours and not is_rewritten:
            return raw
        cells = [cell for index, cell in enumerate(split_record(raw, self._dialect)) if index not in self._ours]
        return self._delimiter.join(map(self._rewritten, cells) if is_rewritten else cells)

    def _rewritten(self, cell: bytes) -> bytes:
        """Take off the apostrophe of an earlier file, as the reading did, and put this file's on."""
        quote, content = (b'"', cell[1:]) if cell.startswith(b'"') else (b"", cell)
        if self._was_escaped and _ESCAPED_FORMULA.match(content):
            content = content[1:]
        if not self._is_verbatim and _STARTS_FORMULA.match(content):
            content = b"'" + content
        return quote + content

    def _encoded(self, utf8: bytes) -> bytes:
        if self._dialect.encoding == "utf-8":
            return utf8
        return utf8.decode().encode(self._dialect.encoding, errors="replace")
