"""Rows that are no data: a repeated header, and what database clients and spreadsheets add. Source: X-15, PC-04a.

A ruler (`-----`), a count (`(3 rows affected)`), a total (`Total: 5`) or a comment (`# made by …`, `-- …`, `; …`) is
one text that stands alone in its row. So a row is no data only where its first cell reads like one of these and nothing
stands beside it (beside a ruler other rulers, beside a total other numbers): a customer whose name is Total is one.

Decided where the requirement leaves it open:

- A code `TOTAL` in capitals is a code; `Total`, `Total:` and `TOTAL: 5` are not.
- `#SALE` and `#1 FAN` are codes: a comment has a blank behind its `#`, or a word of those that programs write there.
- A header is repeated where every column that is imported repeats its own cell, letter by letter but for white space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.importing.cells import (
    WHITE_SPACE,
    contains_byte,
    edges,
    flags,
    matches,
    matching_among,
    no_rows,
    trim,
    view,
)

Rows = npt.NDArray[np.bool_]

_RULER = "[-=_+*|~\u2010-\u2015\u2500-\u257f][-=_+*|~.: \u2010-\u2015\u2500-\u257f]+"
_NUMBER = "[0-9][0-9.,' \u00a0\u202f]*"
_ROWS = (
    "(?i:rows?|records?|zeilen?|datensatz|datensätze|lignes?|enregistrements?|filas?|registros?|linhas?|righe|riga|"
    "rijen|wiersz[ey]?|строк[аи]?|řádk[yůa]?|rader|rækker|satır)"  # noqa: RUF001
)
_OTHER_ROWS = "(?i:lines?|entries|results?|items?|objects?)"
_DONE = (
    "(?i:affected|selected|returned|fetched|exported|processed|in set|inserted|updated|total|betroffen|ausgewählt|"
    "gefunden|exportiert|affectées?|sélectionnées?|afectadas?|seleccionad[ao]s?|exportad[ao]s?)"
)
_COUNT = (
    rf"\(\s*{_NUMBER}\s*(?:{_ROWS}|{_OTHER_ROWS})(?:\(s\))?(?:\s+\pL+)*\.?\s*\)"
    rf"|{_NUMBER}\s+{_ROWS}(?:\(s\))?(?:\s+{_DONE})?\.?(?:\s*\([0-9.,]+\s*\pL+\))?"
)
_TOTAL_WORD = (
    "total|totals|grand total|sum|subtotal|count|row count|record count|rows|records|number of rows|total rows|"
    "total records|gesamt|gesamtsumme|summe|anzahl|zeilen|total général|somme|nombre de lignes|total general|suma|"
    "totale|somma|soma|razem|totaal|итого|всего|итог"
)
_TOTAL = rf"(?i:{_TOTAL_WORD})(?:\s*[:=]\s*|\s+){_NUMBER}"
_BARE_TOTALS = (
    "Total|Totals|Grand total|Grand Total|Subtotal|Gesamt|Gesamtsumme|Summe|Total général|Total general|Totale|Razem|"
    "Totaal|Итого|Всего"  # noqa: RUF001
)
_BARE_TOTAL = rf"(?:{_BARE_TOTALS}|{_BARE_TOTALS.lower()})\s*:?|(?i:{_TOTAL_WORD})\s*:"
_COMMENT = "|".join(
    (
        r"#\s+\S.*",
        r"#(?i:made|generated|created|exported|fields|version|date|source|end|rows|records|query)\b.*",
        "--.*",
        ";.*",
        r"//\s.*",
        r"/\*.*",
        r"(?:REM|rem)\s.*",
        r"\\\.",  # ends psql's COPY
        r"(?i:<EOF>|EOF|\(END\)|END OF (?:FILE|DATA|REPORT))",
        r"Query OK\b.*",
        "(?:Elapsed|Completion time):.*",
        "Time: [0-9].*",
        r"(?i:(?:report )?(?:generated|exported|created) (?:by|on|at|from|with)\b.*)",
        "(?i:sep=.?)",
        "SQL>.*",
    )
)
_ALONE = f"(?:{_RULER}|{_COUNT}|{_TOTAL}|{_BARE_TOTAL}|{_COMMENT})"
_NOT_DATA = f"(?s)^{_ALONE}$"
_BLANK = f"^[{WHITE_SPACE}]*$"

_IS_SYMBOL = np.zeros(256, dtype=np.bool_)
"""By its first byte, whether a text may be a ruler, a comment or a count in brackets."""
_IS_SYMBOL[list(b"-=_+*|~#;/\\(<\xe2")] = True
_MAY_BE_WORD = np.zeros(1 << 16, dtype=np.bool_)
"""By its first two bytes, whether a text may begin with a word of a program's lines."""
_WORDS = (
    "total grand sum subtotal count row record number gesamt anzahl zeilen nombre somme soma razem итого всего rem eof "
    "end query elapsed time completion generated exported created report sep sql"
)
for _word in _WORDS.split():
    for _form in (_word, _word.capitalize(), _word.upper()):
        _MAY_BE_WORD[int.from_bytes(_form.encode()[:2], "big")] = True
_SINGLE_WORDS = pa.array(
    [*_BARE_TOTALS.split("|"), *(form for word in _BARE_TOTALS.split("|") for form in (word.lower(),)), "EOF", "eof"]
)
"""Lines without a blank or a mark: the column need not be matched with a pattern, which takes Arrow 2 ms to compile."""


def repeat_header(texts: Mapping[str, pa.StringArray], header: Mapping[str, str]) -> Rows:
    """Tell which rows repeat the header.

    Args:
        texts: the cells of the columns that are imported, the first of them trimmed.
        header: the header's cell of each.
    """
    found: Rows | None = None
    for name, cells in texts.items():
        if found is None:
            found = flags(pc.equal(cells, _trimmed(header[name])))
        elif found.any():
            rows = np.flatnonzero(found)
            found[rows] = flags(pc.equal(trim(cells.take(pa.array(rows))), _trimmed(header[name])))
    return np.zeros(0, dtype=np.bool_) if found is None else found


def _trimmed(text: str) -> str:
    return text.strip(WHITE_SPACE)


def are_not_data(texts: Sequence[pa.StringArray]) -> Rows:
    """Tell which rows are lines that a program has added.

    Args:
        texts: the cells of the columns that are imported, from the first in the file on, which is trimmed.
    """
    leading = texts[0]
    found = _are_lines_of_programs(leading)
    for cells in texts[1:]:
        rows = np.flatnonzero(found)
        if not len(rows):
            break
        first, beside = leading.take(pa.array(rows)), cells.take(pa.array(rows))
        is_alone = ~flags(beside.is_valid()) | matches(beside, _BLANK)
        is_alone |= matches(first, f"^{_RULER}$") & matches(beside, f"^{_RULER}$")
        is_alone |= matches(first, f"^(?:{_BARE_TOTAL})$") & matches(beside, rf"^\s*-?{_NUMBER}$")
        found[rows] = is_alone
    return found


def _are_lines_of_programs(texts: pa.StringArray) -> Rows:
    seen = view(texts)
    if not len(seen.data):
        return no_rows(texts)
    last_byte = len(seen.data) - 1
    filled = (seen.ends > seen.starts) & flags(texts.is_valid())
    first = seen.data[np.minimum(seen.starts, last_byte)]
    second = seen.data[np.minimum(seen.starts + 1, last_byte)]
    suspects = _IS_SYMBOL[first] & filled
    words = _MAY_BE_WORD[first.astype(np.uint16) << np.uint16(8) | second] & filled
    found = no_rows(texts)
    ends = edges(texts)[1]
    ends_in_letter = (ends | 0x20 >= ord("a")) & (ends | 0x20 <= ord("z")) | (ends >= 0x80)
    if any(contains_byte(texts, mark) for mark in " :="):
        begins_with_digit = (first >= ord("0")) & (first <= ord("9")) & filled
        suspects |= words | begins_with_digit & (ends_in_letter | (ends == ord(".")) | (ends == ord(")")))
    elif (words := words & ends_in_letter).any():
        rows = np.flatnonzero(words)
        found[rows] = flags(pc.is_in(texts.take(pa.array(rows)), value_set=_SINGLE_WORDS))
    return found | matching_among(texts, suspects, _NOT_DATA)


def ragged_pattern(delimiter: str, origin_columns: int) -> str:
    """Return what records of the wrong number of cells match that are no data, as they stand in the file.

    Args:
        origin_columns: how many columns the importer has put before the sender's (X-09).
    """
    mark = rf"\x{{{ord(delimiter):x}}}"
    cell = f'(?:"(?:[^"]|"")*"|[^"{mark}]*){mark}'
    space = f"[{WHITE_SPACE}]*"
    return f'(?s)^(?:{cell}){{{origin_columns}}}\'?{space}"?\'?{_ALONE}"?{space}(?:{mark}{space}(?:"")?{space})*$'


def records_of(data: memoryview, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pa.Array:
    """Return the texts of some of a block's records, which follow one another in the block."""
    places = np.column_stack((starts, ends)).ravel()
    pieces = pa.LargeStringArray.from_buffers(
        len(places) - 1, pa.py_buffer(places.astype(np.int64)), pa.py_buffer(data)
    )
    return pieces.take(pa.array(np.arange(0, len(pieces), 2)))
