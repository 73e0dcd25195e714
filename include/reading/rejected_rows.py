"""The rejected-rows file: the sender's records byte for byte, with what is wrong put before them. Source: X-09."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from include.columns.mapping import ORIGIN_COLUMNS, origin_columns
from include.reading.dialect import Dialect
from include.reading.records import split_record
from include.storage.file_names import LONGEST_REPORT_NAME_BYTES

# What a spreadsheet takes for a formula, after any apostrophes: = + - @ tab CR, and full-width forms of the first four.
_FORMULA = "'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]"
_STARTS_FORMULA = re.compile(_FORMULA)
_ESCAPED_FORMULA = re.compile(f"'(?={_FORMULA})")

REJECTED = "rejected"
NOT_FOUND = "not-found"
DROPPED = "dropped-values"
DROPPED_COLUMNS = ("line", "field", "value", "rules", "reasons")


def file_name(source_name: str, kind: str = REJECTED) -> str:
    """Return the name of the file with rows of one kind: `cards.csv` gives `cards.rejected.csv`, and so does that one.

    Args:
        kind: `REJECTED`, `NOT_FOUND`, or another word for the place before the extension.
    """
    path = PurePosixPath(source_name)
    stem = path.stem
    while stem.endswith((f".{REJECTED}", f".{NOT_FOUND}")):
        stem = stem.rpartition(".")[0]
    end = f".{kind}{path.suffix}"
    return stem.encode()[: LONGEST_REPORT_NAME_BYTES - len(end.encode())].decode(errors="ignore") + end


def _quoted(texts: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")


def dropped_values(rows: pa.RecordBatch, *, is_verbatim: bool) -> bytes:
    """Return lines of the file of dropped values: UTF-8, commas, every text quoted.

    Args:
        rows: with `DROPPED_COLUMNS`.
        is_verbatim: leave out the apostrophe that keeps spreadsheets from running formulas.
    """
    values = rows["value"]
    if not is_verbatim:
        values = pc.replace_substring_regex(values, f"^({_FORMULA})", r"'\1")
    texts = [_quoted(column) for column in (rows["field"], values, rows["rules"], rows["reasons"])]
    lines = pc.binary_join_element_wise(rows["line"].cast(pa.string()), *texts, ",")
    return "".join(f"{line}\n" for line in lines.to_pylist()).encode()


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
        self._job = str(job_id)
        self._dialect = dialect
        self._ours = set(origin_columns(header).values())
        self._was_escaped = was_escaped
        self._is_verbatim = is_verbatim
        # Read alike by Python and by Arrow.
        self._may_hold_formula = rf'(?:^|\x{ord(dialect.delimiter):02x})"?{_FORMULA}'

    def header(self, raw: bytes) -> bytes:
        """Return the file's first bytes: byte order mark, our columns, the sender's header."""
        cells = self._dialect.delimiter.join([*ORIGIN_COLUMNS, self._sent(raw.decode())])
        return self._dialect.bom + self._encoded(cells + self._dialect.line_end)

    def records(self, lines: pa.Array, rules: pa.Array, reasons: pa.Array, raw: pa.Array) -> bytes:
        """Return rejected records with their reasons; 300,000 take half a second.

        Args:
            lines: int64, the physical line of each.
            rules, reasons: string, as the ledger has them.
            raw: string, the records without their line ends.
        """
        if self._ours:
            rewritten = pa.array([True] * len(raw))
        elif self._was_escaped or not self._is_verbatim:
            rewritten = pc.match_substring_regex(raw, self._may_hold_formula)
        else:
            rewritten = pa.array([False] * len(raw))
        replacements = [self._sent(text) for text in raw.filter(rewritten).to_pylist()]
        sent = pc.replace_with_mask(raw, rewritten, pa.array(replacements, pa.string()))
        ended = pc.binary_join_element_wise(sent, self._dialect.line_end, "")
        rows = pc.binary_join_element_wise(
            self._job, lines.cast(pa.string()), _quoted(rules), _quoted(reasons), ended, self._dialect.delimiter
        )
        return self._encoded("".join(rows.to_pylist()))

    def _sent(self, raw: str) -> str:
        """Return the sender's own cells, as they were sent but for the apostrophe."""
        is_rewritten = (self._was_escaped or not self._is_verbatim) and re.search(self._may_hold_formula, raw)
        if not self._ours and not is_rewritten:
            return raw
        split = split_record(raw.encode(), self._dialect)
        cells = [cell.decode() for index, cell in enumerate(split) if index not in self._ours]
        return self._dialect.delimiter.join(map(self._rewritten, cells) if is_rewritten else cells)

    def _rewritten(self, cell: str) -> str:
        """Take off the apostrophe of an earlier file, as the reading did, and put this file's on."""
        quote, content = ('"', cell[1:]) if cell.startswith('"') else ("", cell)
        if self._was_escaped and _ESCAPED_FORMULA.match(content):
            content = content[1:]
        if not self._is_verbatim and _STARTS_FORMULA.match(content):
            content = f"'{content}"
        return quote + content

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._dialect.encoding, errors="replace")
