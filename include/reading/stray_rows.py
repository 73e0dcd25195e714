"""Rows that are no data: a repeated header, and what database clients and spreadsheets add. Source: X-15, PC-04a.

A ruler (`-----`), a count (`(3 rows affected)`), a total (`Total: 5`) or a comment (`# made by …`, `-- …`, `; …`) is
one text that is alone in its row. So a row is no data only where its first imported cell reads like one of these
and nothing is beside it, in columns that are not imported either (beside a ruler other rulers, beside a total other
numbers): a customer whose name is Total is one.

Decided where the requirement leaves it open:

- Where such a line is in the file decides nothing: a code may be the last one too.
- A total has a mark (`TOTAL: 5`, `Total:`), or its word is capitalised (`Total`, `Total 5`): `TOTAL` and `TOTAL 20` are
  codes. A count is in brackets or has a word of databases behind it: `20 ROWS` is a code, `20 rows selected` none.
- A label that names rows needs no mark before its number (`Total rows 5`); what was done to them does (`Exported: 5`).
- A comment has a blank behind its mark and three words or a word with a colon, or says by, on, at or from what it was
  made: `#SALE`, `;)`, `// CDN` and `# 1 DAD` are codes. Without a mark or a colon `Made by x` is one too.
- A label with a day behind it (`Export date: 2026-01-01`), an end between marks (`-- END --`), a page between dashes
  (`- 1 -`), a statement of SQL and a warning of three words (`Warning: …`) are lines of programs; `--SALE--`,
  `*** END OF SUMMER ***` and `Error:404` are codes.
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
    TextView,
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
_WORD = f"[^{WHITE_SPACE}]+"
_RULER = "[-=_+*|~\u2010-\u2015\u2500-\u257f][-=_+*|~.: \u2010-\u2015\u2500-\u257f]+"
_NUMBER = "[0-9][0-9.,' \u00a0\u202f]*"
_ROWS = (
    "(?i:rows?|records?|zeilen?|datensatz|datensätze|lignes?|enregistrements?|filas?|registros?|linhas?|righe|riga|"
    "rijen|wiersz[ey]?|строк[аи]?|řádk[yůa]?|rader|rækker|satır)"  # noqa: RUF001
)
_OTHER_ROWS = "(?i:lines?|entries|results?|codes?|cards?|pools?|customers?)"
_CJK_ROWS = "(?:行|件|条|筆|笔|レコード|개|행)"
_DONE = (
    "(?i:affected|selected|returned|fetched|exported|processed|in set|inserted|updated|deleted|created|total|"
    "betroffen|ausgewählt|gefunden|exportiert|affectées?|sélectionnées?|afectadas?|seleccionad[ao]s?|exportad[ao]s?)"
)
_ANY_ROWS = f"(?:{_ROWS}|{_OTHER_ROWS})"
_ENDING = r"\([^()]{1,3}\)"
"""Of a plural, as in `Zeile(n)`."""
_REST = rf"(?:{_ENDING})?(?:[,.{WHITE_SPACE}](?:[^()0-9:]|{_ENDING})*)?"
"""What is said of the rows. A class of all letters would take ten times as long to compile."""
_DURATION = rf"(?:{_SPACE}*\([0-9.,]+{_SPACE}*[^()0-9]+\))?"
_COUNT = (
    rf"\({_SPACE}*{_NUMBER}{_SPACE}*(?:{_ANY_ROWS}{_REST}|{_CJK_ROWS}[^()0-9:]*)\)"
    rf"|\((?:[^()0-9:]*{_SPACE})?{_ROWS}{_REST}:{_SPACE}*{_NUMBER}\)"
    rf"|{_NUMBER}{_SPACE}+{_ROWS}(?:\(s\))?{_SPACE}+{_DONE}\.?{_DURATION}"
    rf"|(?i:no {_ROWS}){_SPACE}+{_DONE}\.?|{_ROWS}{_SPACE}{_DONE}{_SPACE}*[:=]?{_SPACE}*{_NUMBER}"
    rf"|(?i:empty set){_DURATION}"
)
_LABELLED_ROWS = (
    r"(?i:(?:(?:grand )?total )?(?:number|no\.?|count) of|total|anzahl(?: der)?|nombre (?:total )?de"
    rf"|n[úu]mero (?:total )?de|количество|всего){_SPACE}{_ANY_ROWS}(?:{_SPACE}{_DONE})?"
)
"""What says of a number that it counts rows, so that it needs no mark."""
_TOTAL_WORD = (
    "total|totals|grand total|sum|subtotal|count|row count|record count|rows|records|number of rows|total rows|"
    "total records|total codes|total cards|total customers|number of codes|gesamt|gesamtsumme|summe|anzahl|zeilen|"
    "total général|somme|nombre de lignes|total general|suma|totale|somma|soma|razem|totaal|итого|всего|итог"
)
_BARE_TOTALS = (
    "Total|Totals|Grand total|Grand Total|Subtotal|Gesamt|Gesamtsumme|Summe|Total général|Total general|Totale|Razem|"
    "Totaal|Итого|Всего"  # noqa: RUF001
)
_COUNTED = rf"{_NUMBER}(?:{_SPACE}*{_ANY_ROWS})?"
_TOTAL = (
    rf"(?:(?:(?i:{_TOTAL_WORD})|(?:{_ANY_ROWS}{_SPACE})?{_DONE}){_SPACE}*[:=]|{_LABELLED_ROWS}{_SPACE}*[:=]?"
    rf"|(?:{_BARE_TOTALS}|Sum|Somme|Soma|Suma){_SPACE}){_SPACE}*{_COUNTED}"
)
_BARE_TOTAL = rf"(?:{_BARE_TOTALS}){_SPACE}*:?|(?i:{_TOTAL_WORD}){_SPACE}*:"
_WRITTEN = "(?:made|generated|created|exported|printed|produced|downloaded|extracted|dumped)"
_GENERATED = rf"(?i:(?:(?:report|file) )?{_WRITTEN} (?:by|on|at|from|with)):?{_SPACE}+.+"
_DATE = r"(?:[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{2,4})"
_DATED = (
    rf"(?i:(?:(?:report|file|data) )?(?:{_WRITTEN}|saved|(?:last )?updated)(?: on| at)?"
    "|(?:(?:export|report|print|creation|generation|file|run|dump|extract|download) )?(?:date|timestamp)(?: of export)?"
    "|(?:export|druck|erstellungs)?datum|(?:erstellt|erzeugt|exportiert|gedruckt)(?: am)?|stand"
    "|(?:date d'export|(?:génér|cré|export|imprim)é le|fecha|(?:generado|exportado|creado) el"
    "|дата|создано|выгружено))"
)
"""What is written before the day on which a program has written the file."""
_MARK = "(?:#|--|;|//|REM|rem)"
_FINISHED = "(?i:completed?|finished|done|ended|end|started|begins?)"
_EXPORT = "(?i:(?:database |table |data )?(?:dump|export|report|backup))"
_END = r"(?i:EOF|END(?: OF (?:FILE|DATA|REPORT|LIST|EXPORT|TABLE|DUMP|OUTPUT))?)"
_STATEMENT = (
    r"(?:SELECT|select)\s.+\s(?:FROM|from)\s.+"
    r"|(?i:insert into|delete from|create (?:temp |temporary )?table|drop table|alter table|truncate table|copy)\s.+;"
    r"|(?i:set nocount (?:on|off));?"
    r"|(?:SQL|mysql|sqlite|MariaDB \[.*\])>\s*(?i:select|spool|set|exit|quit|disconnect)\b.*"
)
_WARNING = (
    r"(?:(?i:warning|error|notice|hint|detail|info)|Warnung|Fehler|Avertissement|Erreur)"
    r"(?: ?\([^)]*\)| [0-9]+ \(.+\))?:"
    rf"{_SPACE}+{_WORD}{_SPACE}+{_WORD}{_SPACE}.+|(?:ORA|SP2|PLS|TNS)-[0-9]{{4,5}}: .+|Msg [0-9]+, Level .+"
)
_COMMENT = "|".join(
    (
        rf"(?:#|--|;|//){_SPACE}+{_WORD}{_SPACE}+{_WORD}{_SPACE}.+",
        rf"(?:#|--|;|//){_SPACE}+{_WORD}:{_SPACE}+.+",
        rf"{_MARK}{_SPACE}*{_GENERATED}",
        rf"(?i:(?:(?:report|file) )?{_WRITTEN} (?:by|on|at|from|with)){_SPACE}*:{_SPACE}*.+",
        r"#(?:Fields|Version|Date|Software|Source): .+",  # the extended log format of the W3C
        rf"(?:{_MARK}{_SPACE}*)?{_DATED}{_SPACE}*:?{_SPACE}+{_DATE}.*",
        rf"(?:{_MARK}{_SPACE}*)?{_EXPORT}{_SPACE}{_FINISHED}(?:(?i: successfully|{_SPACE}(?:on|at){_SPACE}.+))?[.!]?",
        rf"(?:(?:[-=*_#~+]{{2,}}|#){_SPACE}+|[-=*_#~+]{{3,}}){_END}(?:{_SPACE}*[-=*_#~+]{{2,}})?",
        "[-\u2013\u2014] (?:(?:Page|Seite) )?[0-9]{1,4} [-\u2013\u2014]",
        _STATEMENT,
        _WARNING,
        rf"/\*{_SPACE}.*",
        r"\\[.N]",  # ends psql's COPY, and is an absent value of its
        r"(?i:<?<EOF>>?|#?EOF|\(END\)|END OF (?:FILE|DATA|REPORT)|NULL|[(<]NULL[)>])",
        r"Query OK\b.*",
        "(?:Elapsed|Completion time):.*[0-9].*",
        "Time: [0-9].*",
        "(?:INSERT 0|COPY|UPDATE|DELETE) [0-9]+",
        rf"Records: [0-9]+{_SPACE}+Duplicates: [0-9]+.*",
        r"PL/SQL procedure successfully completed\.?",
        r"(?:Commit|Rollback) complete\.?",
        "(?:Page|Seite) [0-9]+ (?:of|von|/) [0-9]+",
        "(?i:sep=.?)",
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
_ENDS_WORD = np.ones(256, dtype=np.bool_)
"""Bytes behind which a word has ended; those of blanks beyond ASCII too."""
_ENDS_WORD[
    [*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", *range(0x80, 0xC2), *range(0xC3, 0xE2)]
] = False
_WORDS = (
    "total rows grand sum subtotal count row record number gesamt anzahl zeilen nombre somme soma razem итого всего "
    "eof end query elapsed time completion generated exported created report sep sql no empty insert copy update "
    "delete pl commit rollback page seite filas lignes registros righe datensatz enregistrements linhas made printed "
    "produced downloaded extracted dumped saved last updated print creation date run timestamp druckdatum erstellt "
    "exportiert stan gedruckt généré crée imprimé fecha дата создано выгружено количество numero número select set "
    "create drop alter truncate mysql sqlite mariadb warning warnung error erreur fehler avertissement notice hint "
    "detail info ora sp2 tns pls msg erstellungsdatum exportdatum datum erzeugt file data download extract generation "
    "dump generado exportado creado exporté créé totals totale totaal gesamtsumme summe suma zeile wiersze řádky "
    "rader rækker satır rijen riga linha fila registro records lines line entry result code card pool customer "  # noqa: RUF001
    "enregistrement datensätze строки строка строк affectées affectadas ausgewählt exportadas seleccionadas "
    "sélectionné affected returned fetched processed inserted deleted in betroffen gefunden sélectionnées afectadas "
    "entries results codes cards pools customers database backup table rem null"
)
for _word in _WORDS.split():
    for _form in (_word, _word.capitalize(), _word.upper()):
        _MAY_BE_WORD[int.from_bytes(_form.encode()[:2], "big")] = True
_BEGINNINGS = np.unique([
    int.from_bytes(form.encode()[:4].ljust(4), "big")
    for word in _WORDS.split()
    for form in (word, word.capitalize(), word.upper())
]).astype(np.uint32)  # fmt: skip
"""The first four bytes of these words, with blanks behind a shorter one."""
_SINGLE_WORDS = pa.array([*_BARE_TOTALS.split("|"), "EOF", "eof", "NULL", "Null", "null"])
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


def are_alone(leading: pa.StringArray, others: Iterable[pa.StringArray]) -> Rows:
    """Say beside which of some lines of programs nothing is written.

    Args:
        leading: the lines.
        others: the cells of the sender's other columns in the same rows.
    """
    alone = np.ones(len(leading), dtype=np.bool_)
    if not len(leading):
        return alone
    is_ruler, is_bare_total = matches(leading, f"^{_RULER}$"), matches(leading, f"^(?:{_BARE_TOTAL})$")
    for beside in others:
        is_alone = ~flags(beside.is_valid()) | matches(beside, _BLANK)
        is_alone |= is_ruler & matches(beside, f"^{_RULER}$")
        is_alone |= is_bare_total & matches(beside, rf"^{_SPACE}*-?{_NUMBER}$")
        alone &= is_alone
    return alone


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
        suspects |= _begin_with_words(seen, words) | begins_with_digit & (
            ends_in_letter | (ends == ord(".")) | (ends == ord(")"))
        )
    elif (words := words & ends_in_letter).any():
        rows = np.flatnonzero(words)
        is_line[rows] = flags(pc.is_in(texts.take(pa.array(rows)), value_set=_SINGLE_WORDS))
    return is_line | matching_among(texts, suspects, _NOT_DATA)


def _begin_with_words(seen: TextView, suspects: Rows) -> Rows:
    """Return which of the suspects begin with one of `_WORDS`, by four bytes."""
    rows = np.flatnonzero(suspects)
    begins = np.zeros(len(suspects), dtype=np.bool_)
    beginnings = np.zeros(len(rows), dtype=np.uint32)
    has_ended = np.zeros(len(rows), dtype=np.bool_)
    for place in range(4):
        at = seen.starts[rows] + place
        following = np.where(at < seen.ends[rows], seen.data[np.minimum(at, len(seen.data) - 1)], np.uint8(ord(" ")))
        has_ended |= _ENDS_WORD[following]
        beginnings = beginnings << np.uint32(8) | np.where(has_ended, np.uint8(ord(" ")), following)
    begins[rows] = np.isin(beginnings, _BEGINNINGS)
    return begins


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
