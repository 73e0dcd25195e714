"""Rows that are no data: a repeated header, and what database clients and spreadsheets add. Source: X-15, PC-04a.

A ruler (`-----`), a count (`(3 rows affected)`), a total (`Total: 5`) or a comment (`# made by …`, `-- …`, `; …`) is
one text that is alone in its row. So a row is no data only where its first imported cell reads like one of these
and nothing is beside it, in columns that are not imported either (beside a ruler other rulers, beside a total other
numbers): a customer whose name is Total is one.

Decided where the requirement leaves it open:

- Where such a line is in the file decides nothing: a code may be the last one too.
- A total has a mark (`TOTAL: 5`, `Total:`), or its word is capitalised (`Total`, `Total 5`): `TOTAL` and `TOTAL 20` are
  codes. A count is in brackets or has a word of databases behind it: `20 ROWS` is a code, `20 rows selected` none.
- A comment has a blank behind its mark and three words, or says by, on, at or from what it was made: `#SALE`, `;)`,
  `// CDN` and `# 1 DAD` are codes. Without a mark `Made by x` is one too.
- A header is repeated where all of the sender's cells repeat it but for white space: in a file of one column too, where
  a code that is spelled like the header can't be distinguished from it. Where the header is known to be one, because
  one of its cells is a field's name, upper and lower case make no difference, nor do delimiters behind it in a file of
  one column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.values.cells import (
    WHITE_SPACE,
    all_bytes,
    edges,
    flags,
    matches,
    matching_among,
    no_rows,
    view,
)

Rows = npt.NDArray[np.bool_]

_SPACE = f"[{WHITE_SPACE}]"
_RULER = "[-=_+*|~\u2010-\u2015\u2500-\u257f][-=_+*|~.: \u2010-\u2015\u2500-\u257f]+"
_NUMBER = "[0-9][0-9.,' \u00a0\u202f]*"
_ROWS = (
    "(?i:rows?|records?|zeilen?|datensatz|datensätze|lignes?|enregistrements?|filas?|registros?|linhas?|righe|riga|"
    "rijen|wiersz[ey]?|строк[аи]?|řádk[yůa]?|rader|rækker|satır)"  # noqa: RUF001
)
_OTHER_ROWS = "(?i:lines?|entries|results?|codes?|cards?|pools?|customers?)"
_DONE = (
    "(?i:affected|selected|returned|fetched|exported|processed|in set|inserted|updated|deleted|created|total|"
    "betroffen|ausgewählt|gefunden|exportiert|affectées?|sélectionnées?|afectadas?|seleccionad[ao]s?|exportad[ao]s?)"
)
_DURATION = rf"(?:{_SPACE}*\([0-9.,]+{_SPACE}*\pL+\))?"
_COUNT = (
    rf"\({_SPACE}*{_NUMBER}{_SPACE}*(?:{_ROWS}|{_OTHER_ROWS})(?:\(s\))?(?:{_SPACE}+\pL+)*\.?{_SPACE}*\)"
    rf"|{_NUMBER}{_SPACE}+{_ROWS}(?:\(s\))?{_SPACE}+{_DONE}\.?{_DURATION}"
    rf"|(?i:no {_ROWS}){_SPACE}+{_DONE}\.?|(?i:{_ROWS} {_DONE}){_SPACE}*[:=]?{_SPACE}*{_NUMBER}"
    rf"|(?i:empty set){_DURATION}"
)
_TOTAL_WORD = (
    "total|totals|grand total|sum|subtotal|count|row count|record count|rows|records|number of rows|total rows|"
    "total records|total codes|total cards|total customers|number of codes|gesamt|gesamtsumme|summe|anzahl|zeilen|"
    "total général|somme|nombre de lignes|total general|suma|totale|somma|soma|razem|totaal|итого|всего|итог"
)
_BARE_TOTALS = (
    "Total|Totals|Grand total|Grand Total|Subtotal|Gesamt|Gesamtsumme|Summe|Total général|Total general|Totale|Razem|"
    "Totaal|Итого|Всего"  # noqa: RUF001
)
_COUNTED = rf"{_NUMBER}(?:{_SPACE}*(?:{_ROWS}|{_OTHER_ROWS}))?"
_TOTAL = (
    rf"(?i:{_TOTAL_WORD}){_SPACE}*[:=]{_SPACE}*{_COUNTED}|(?:{_BARE_TOTALS}|Sum|Somme|Soma|Suma){_SPACE}+{_COUNTED}"
)
_BARE_TOTAL = rf"(?:{_BARE_TOTALS}){_SPACE}*:?|(?i:{_TOTAL_WORD}){_SPACE}*:"
_GENERATED = rf"(?i:(?:(?:report|file) )?(?:made|generated|created|exported) (?:by|on|at|from)){_SPACE}+.+"
_DATE = r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4})"
_WORD = f"[^{WHITE_SPACE}]+"
_COMMENT = "|".join(
    (
        rf"(?:#|--|;|//){_SPACE}+{_WORD}{_SPACE}+{_WORD}{_SPACE}.+",
        rf"(?:#|--|;|//|REM|rem){_SPACE}*{_GENERATED}",
        r"#(?:Fields|Version|Date|Software|Source): .+",  # the extended log format of the W3C
        rf"(?i:(?:report )?(?:generated|exported|created)(?: on| at)?):?{_SPACE}+{_DATE}.*",
        rf"/\*{_SPACE}.*",
        r"\\\.",  # ends psql's COPY
        r"(?i:<EOF>|EOF|\(END\)|END OF (?:FILE|DATA|REPORT))",
        r"Query OK\b.*",
        "(?:Elapsed|Completion time):.*[0-9].*",
        "Time: [0-9].*",
        "(?:INSERT 0|COPY|UPDATE|DELETE) [0-9]+",
        rf"Records: [0-9]+{_SPACE}+Duplicates: [0-9]+.*",
        r"PL/SQL procedure successfully completed\.?",
        r"(?:Commit|Rollback) complete\.?",
        "(?:Page|Seite) [0-9]+ (?:of|von|/) [0-9]+",
        "(?i:sep=.?)",
        r"SQL>\s*(?i:select|spool|set|exit|quit|disconnect)\b.*",
    )
)
_ALONE = f"(?:{_RULER}|{_COUNT}|{_TOTAL}|{_BARE_TOTAL}|{_COMMENT})"
_NOT_DATA = f"(?s)^{_ALONE}$"
_BLANK = f"^[{WHITE_SPACE}]*$"

_DELIMITERS = ",;|\t"
_MOST_DELIMITERS = 4
_MARKS = (b" ", b":", b"=")
"""Without any of these, or a blank beyond ASCII, a line of a program is one word or begins with a symbol."""
_IS_SYMBOL = np.zeros(256, dtype=np.bool_)
"""By its first byte, whether a text may be a ruler, a comment or a count in brackets."""
_IS_SYMBOL[list(b"-=_+*|~#;/\\(<\xe2")] = True
_MAY_BE_WORD = np.zeros(1 << 16, dtype=np.bool_)
"""By its first two bytes, whether a text may begin with a word of a program's lines."""
_WORDS = (
    "total grand sum subtotal count row record number gesamt anzahl zeilen nombre somme soma razem итого всего rem eof "
    "end query elapsed time completion generated exported created report sep sql no empty insert copy update delete pl "
    "commit rollback page seite filas lignes registros righe datensatz enregistrements linhas"
)
for _word in _WORDS.split():
    for _form in (_word, _word.capitalize(), _word.upper()):
        _MAY_BE_WORD[int.from_bytes(_form.encode()[:2], "big")] = True
_SINGLE_WORDS = pa.array([*_BARE_TOTALS.split("|"), "EOF", "eof"])
"""Lines without a blank or a mark: the column need not be matched with a pattern, which takes Arrow 2 ms to compile."""


_BEGINS_LIKE_STRAY = re.compile(
    rb"""[\s"'\x80-\xff]*(?:[^\s"'0-9,.]|[0-9][0-9.,'\x80-\xff]*(?:\s|[\x80-\xff]))"""
).match
"""Of a record's bytes; those beyond ASCII may be of a blank."""
_BEGINNING = 1000
"""Bytes of a record in which it shows."""
_MOST_LOOKED_AT = 5_000
"""Records whose beginnings are looked at one by one."""


@dataclass(frozen=True)
class Header:
    """A file's header, as rows may repeat it.

    Args:
        cells: of the sender's columns, in file order.
        leading: which of them is the first that is imported.
        is_certain: one of them is a field's name.
    """

    cells: Sequence[str]
    leading: int
    is_certain: bool

    def may_repeat(self, texts: pa.StringArray) -> Rows:
        """Say which trimmed texts of the leading column may repeat its header."""
        cell = _trimmed(self.cells[self.leading])
        if not cell:
            return no_rows(texts)
        seen, length = view(texts), len(cell.encode())
        lengths = seen.ends - seen.starts
        if not self.is_certain:
            return matching_among(texts, lengths == length, f"^{re.escape(cell)}$")
        is_near = (lengths >= length - 2) & (lengths <= length + _MOST_DELIMITERS)
        return matching_among(texts, is_near, f"(?i)^{re.escape(cell)}[{_DELIMITERS}{WHITE_SPACE}]*$")

    def repeated_by(self, columns: Sequence[pa.StringArray]) -> Rows:
        """Say which of some rows repeat the header, by the cells of the sender's columns."""
        is_repeat = np.ones(len(columns[0]), dtype=np.bool_)
        for cells, header in zip(columns, self.cells, strict=True):
            is_repeat &= _equal(cells, is_repeat, self._plain(_trimmed(header)), self._plain)
        return is_repeat

    def _plain(self, text: str) -> str:
        if not self.is_certain:
            return text
        return (text.rstrip(_DELIMITERS + WHITE_SPACE) if len(self.cells) == 1 else text).casefold()


def _equal(texts: pa.StringArray, suspects: Rows, wanted: str, plain: Callable[[str], str]) -> Rows:
    """Say which of the flagged texts are the wanted one, each in its plain form; a blank one is empty."""
    is_wanted = no_rows(texts)
    rows = np.flatnonzero(suspects)
    if len(rows):
        encoded = texts.take(pa.array(rows)).dictionary_encode()
        same = pa.array([plain(_trimmed(text)) == wanted for text in encoded.dictionary.to_pylist()], pa.bool_())
        is_wanted[rows] = flags(pc.fill_null(same.take(encoded.indices), not wanted))
    return is_wanted


def _trimmed(text: str) -> str:
    return text.strip(WHITE_SPACE)


def stand_alone(leading: pa.StringArray, others: Iterable[pa.StringArray]) -> Rows:
    """Say beside which of some lines of programs nothing is written.

    Args:
        leading: the lines.
        others: the cells of the sender's other columns in the same rows.
    """
    stands_alone = np.ones(len(leading), dtype=np.bool_)
    if not len(leading):
        return stands_alone
    is_ruler, is_bare_total = matches(leading, f"^{_RULER}$"), matches(leading, f"^(?:{_BARE_TOTAL})$")
    for beside in others:
        is_alone = ~flags(beside.is_valid()) | matches(beside, _BLANK)
        is_alone |= is_ruler & matches(beside, f"^{_RULER}$")
        is_alone |= is_bare_total & matches(beside, rf"^{_SPACE}*-?{_NUMBER}$")
        stands_alone &= is_alone
    return stands_alone


def are_lines_of_programs(texts: pa.StringArray) -> Rows:
    """Say which trimmed texts read like a line that a program has added."""
    seen = view(texts)
    if not len(seen.data):
        return no_rows(texts)
    last_byte = len(seen.data) - 1
    filled = (seen.ends > seen.starts) & flags(texts.is_valid())
    first = seen.data[np.minimum(seen.starts, last_byte)]
    second = seen.data[np.minimum(seen.starts + 1, last_byte)]
    suspects = _IS_SYMBOL[first] & filled
    words = _MAY_BE_WORD[first.astype(np.uint16) << np.uint16(8) | second] & filled
    is_line = no_rows(texts)
    ends = edges(texts)[1]
    ends_in_letter = (ends | 0x20 >= ord("a")) & (ends | 0x20 <= ord("z")) | (ends >= 0x80)
    raw = all_bytes(texts)
    if any(mark in raw for mark in _MARKS) or not raw.isascii():
        begins_with_digit = (first >= ord("0")) & (first <= ord("9")) & filled
        suspects |= words | begins_with_digit & (ends_in_letter | (ends == ord(".")) | (ends == ord(")")))
    elif (words := words & ends_in_letter).any():
        rows = np.flatnonzero(words)
        is_line[rows] = flags(pc.is_in(texts.take(pa.array(rows)), value_set=_SINGLE_WORDS))
    return is_line | matching_among(texts, suspects, _NOT_DATA)


def ragged_pattern(delimiter: str, origin_columns: int) -> str:
    """Return what records of the wrong number of cells match that are no data, as they are in the file.

    Args:
        origin_columns: how many columns the importer has put before the sender's (X-09).
    """
    mark = rf"\x{{{ord(delimiter):x}}}"
    cell = f'(?:"(?:[^"]|"")*"|[^"{mark}]*){mark}'
    space = f"[{WHITE_SPACE}]*"
    return f'(?s)^(?:{cell}){{{origin_columns}}}\'?{space}"?\'?{_ALONE}"?{space}(?:{mark}{space}(?:"")?{space})*$'


def may_be_lines_of_programs(data: memoryview, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Rows:
    """Say which of some records may match `ragged_pattern` without columns of the importer: it takes 3 ms to compile.

    They begin with a symbol, a letter, or a number behind which a blank is.
    """
    if len(starts) > _MOST_LOOKED_AT:
        return np.ones(len(starts), dtype=np.bool_)
    beginnings = (bytes(data[start : min(start + _BEGINNING, end)]) for start, end in zip(starts, ends, strict=True))
    return np.fromiter((_BEGINS_LIKE_STRAY(beginning) is not None for beginning in beginnings), np.bool_, len(starts))


def records_of(data: memoryview, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pa.Array:
    """Return the texts of some of a block's records, which follow one another in the block."""
    places = np.column_stack((starts, ends)).ravel()
    pieces = pa.LargeStringArray.from_buffers(
        len(places) - 1, pa.py_buffer(places.astype(np.int64)), pa.py_buffer(data)
    )
    return pieces.take(pa.array(np.arange(0, len(pieces), 2)))
