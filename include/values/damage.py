"""Values that a program has damaged on their way here. Source: X-16, value formats.

Spreadsheets, data frames and database clients change what they pass on: they write identifiers as numbers, put an error
value where a lookup failed, wrap a cell as a formula, and carry along characters that nobody sees. Each kernel looks at
a whole column, and first asks something cheap: whether a byte is anywhere in it without which there is no damage.

Decided where the requirement leaves it open:

- A number that a program has changed is, as the whole cell, digits with
  - a decimal mark (`1001.0`, `14,0`, `5.`),
  - thousands marks, which are `.`, `,`, `'`, `\u2019` or a no-break blank between groups of three digits; a comma also
    between the groups of two that India writes. An ordinary blank is none: people group card numbers so;
  - an exponent as some program writes it: behind a decimal mark (`7.7E15`, Java; `7.7D+15`, Fortran, always with a
    sign), behind a single digit with a sign (`1E+15`, spreadsheets, C, JavaScript), or from 15 on behind a single digit
    and a small e (`7e15`, MySQL). `12E5`, `4711E-2`, `5E20`, `00e+1` and `1.5D10` are identifiers: no program writes a
    number so, and of a million numbers in hexadecimal some hundred have that form.
- A phone is changed by an exponent, or by a decimal mark with two digits at most behind it where it doesn't begin with
  0: `600.123.456`, `0171.1234567` and `0049.30901820` are how people write phone numbers.
- The letter of the requirement decides about the external id of a customer, also where a customer has such an id:
  `1001.0` is a changed number. Keys that a lookup knows are no damage (`include.stages.judging`).
- Error values are those of Excel, Google Sheets, LibreOffice, Bloomberg and C in the languages below, spelled as there,
  as the whole cell; and three hash signs or more, which a spreadsheet shows where a column is too narrow. `#SALE!`,
  `#Beli!` and `##` are none of them.
- A cell between two `'` was quoted by a program for which `'` is a quote; here it is none (X-15). A program quotes the
  whole column: at least two of a block's cells, and more than half of them. Elsewhere, and in names, it only warns.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.values.cells import (
    Reading,
    all_bytes,
    coded_column,
    edges,
    flags,
    matches,
    matching_among,
    no_rows,
    replace_rows,
    trim,
    view,
    without,
)
from include.values.characters import (
    BEFORE_INVISIBLE,
    EMOJI_SEQUENCE,
    INVISIBLE,
    INVISIBLE_RANGES,
    JOINERS,
    name_character,
    name_place,
    show_needed_joiners,
)

Rows = npt.NDArray[np.bool_]


def _first_bytes(*ranges: tuple[int, int]) -> Rows:
    """Mark the bytes that a character of one of the ranges can begin with in UTF-8."""
    table = np.zeros(256, dtype=np.bool_)
    for first, last in ranges:
        table[chr(first).encode()[0] : chr(last).encode()[0] + 1] = True
    table[0x80:0xC0] = False  # these begin none
    return table


_MAY_BE_INVISIBLE = _first_bytes(*INVISIBLE_RANGES)
_MAY_BE_DECOMPOSED = np.zeros(256, dtype=np.bool_)
_MAY_BE_DECOMPOSED[[
    *(0xCC, 0xCD, 0xCE, 0xD2, 0xD6, 0xD7, 0xD8, 0xD9, 0xDB, 0xDC, 0xDD, 0xDF, 0xE0, 0xE1, 0xE2, 0xE3, 0xEA, 0xEF, 0xF0),
]] = True  # fmt: skip
"""First bytes, in UTF-8, of characters that may not occur so in composed text; a test asks `unicodedata`."""

PROBLEMS = ("invisible_character", "error_value", "spreadsheet_number", "changed_number", "single_quotes")
"""What an identifier may be damaged by, in the order in which it is looked for."""

_MARKED = r"[0-9]+[.,][0-9]*"
_EXPONENT = (
    r"(?:[1-9][eE][+-][0-9]+|(?:0|[1-9][0-9]{0,2})[.,][0-9]*(?:[eE][+-]?|[dD][+-])[0-9]+"
    r"|[1-9]e(?:1[5-9]|[2-9][0-9]|[12][0-9]{2}|30[0-8]))"
)
_OTHER_THOUSANDS = "|".join(f"(?:{mark}[0-9]{{3}})+" for mark in ("'", "\u2019", "\u00a0", "\u202f", "\u2009"))
_THOUSANDS = (
    r"(?:[0-9]{1,3}(?:(?:\.[0-9]{3})+(?:,[0-9]*)?|(?:,[0-9]{3})+(?:\.[0-9]*)?|"
    rf"(?:{_OTHER_THOUSANDS})(?:[.,][0-9]*)?)|[0-9]{{1,2}}(?:,[0-9]{{2}})+,[0-9]{{3}}(?:\.[0-9]*)?)"
)
WITH_EXPONENT = rf"^[+-]?{_EXPONENT}(?:[.,]0*)?$"
WITH_MARKS = rf"^[+-]?(?:{_MARKED}|{_THOUSANDS})$"
WITH_THOUSANDS_MARKS = rf"^[+-]?{_THOUSANDS}$"
_NO_CALLING_CODE = "(?:[02-689]|[017][0-9]|2[1-689]|3[578]|42|5[09]|6[789]|8[035789]|9[679])"
PHONE_WITH_DECIMAL_MARK = "|".join(
    (
        r"^[+-]?(?:[1-9][0-9]*[.,][0-9]{0,2}|[0-9]+[.,]0*|[0-9]{10,}[.,][0-9]*)$",
        r"^-?(?:0|[1-9][0-9]?)[.,][0-9]+$",
        rf"^\+(?:{_NO_CALLING_CODE}\.|[0-9]{{1,2}},)[0-9]+$",
    )
)
"""A phone with one mark alone: before decimals or zeros, behind a whole number, or behind the first digit or two, as
in 2.0255501E9 without its exponent. Groups have more marks or other places: `06.12345678`, `+49.30123456`."""
_OF_A_NUMBER = np.zeros(256, dtype=np.bool_)
_OF_A_NUMBER[list(b"0123456789+-.,dDeE'")] = True
_OF_A_NUMBER[0x80:] = True
_NUMBER_MARKS = (b".", b",", b"e", b"E", b"'", b"\xe2", b"\xc2")
_IS_MARK = np.zeros(256, dtype=np.bool_)
_IS_MARK[[mark[0] for mark in _NUMBER_MARKS]] = True

_IN_LANGUAGES = """
    #N/A #n/a #REF! #DIV/0! #VALUE! #NAME? #NUM! #NULL! #SPILL! #CALC! #FIELD! #BLOCKED! #UNKNOWN! #CONNECT! #BUSY!
    #GETTING_DATA #EXTERNAL! #PYTHON! #TIMEOUT! #ERROR! #ERR! #MACRO? #CIRC! #REF #DIV/0 #VALUE #NAME #NUM #NULL
    #NV #WERT! #BEZUG! #ZAHL! #ÜBERLAUF! #KALK! #FELD! #BLOCKIERT! #UNBEKANNT! #VERBINDEN! #DATEN_ABRUFEN
    #VALEUR! #NOM? #NOMBRE! #NUL! #PROPAGATION! #CHAMP! #BLOQUE! #BLOQUÉ! #CONNEXION! #INCONNU! #OBTENTION_DONNEES
    #N/D #¡VALOR! #VALOR! #¡REF! #¡DIV/0! #¿NOMBRE? #NOMBRE? #¡NUM! #¡NULO! #NULO! #¡DESBORDAMIENTO! #DESBORDAMIENTO!
    #¡CALC! #¡CÁLCULO! #¡CAMPO! #¡BLOQUEADO! #¡CONECTAR!
    #NOME? #NÚM! #DESPEJAR! #DESPEJO! #CAMPO! #CÁLC! #BLOQUEADO!
    #VALORE! #RIF! #NULLO! #ESPANSIONE! #CALCOLO!
    #N/B #WAARDE! #VERW! #NAAM? #GETAL! #LEEG! #DEEL/0! #OVERLOOP! #OVERLOPEN! #BEREKENEN!
    #N/D! #ARG! #ADR! #NAZWA? #LICZBA! #ZERO! #DZIEL/0! #ROZLANIE! #OBL!
    #Н/Д #ЗНАЧ! #ССЫЛКА! #ИМЯ? #ЧИСЛО! #ПУСТО! #ДЕЛ/0! #ПЕРЕНОС! #ВЫЧИСЛ!
    #SAKNAS! #VÄRDEFEL! #REFERENS! #NAMN? #OGILTIGT! #SKÄRNING! #DIVISION/0!
    #I/T #VÆRDI! #REFERENCE! #NAVN? #NUMMER! #VERDI! #OVERLØB!
    #PUUTTUU #PUUTTUU! #ARVO! #VIITTAUS! #NIMI? #LUKU! #TYHJÄ! #JAKO/0! #NIHIL!
    #HODNOTA! #ODKAZ! #NÁZEV? #ČÍSLO! #DĚLENÍ_NULOU! #NENÍ_K_DISPOZICI
    #HIÁNYZIK #ÉRTÉK! #HIV! #NÉV? #SZÁM! #NULLA! #ZÉRÓOSZTÓ!
    #YOK #DEĞER! #BAŞV! #AD? #SAYI! #BOŞ! #SAYI/0! #TAŞMA!
    #KIBA! #BELI! #ΤΙΜΗ! #Δ/Υ #ΑΝΑΦ! #ОНОВЛЕННЯ! #ПОСИЛАННЯ! #ІМ'Я? #ЗНАЧЕННЯ!
"""  # noqa: RUF001
_ERRORS = pa.array([*(mark + word for word in _IN_LANGUAGES.split() for mark in ("", "=")), "#N/A N/A"])
_NARROW_COLUMN = "^#{3,}$"
_OFFICE_ERROR = "^Err:5[0-9]{2}$"
_NO_NUMBER = r"^[+-]?1[.,]#(?:QNAN|SNAN|INF|IND)[0-9]*$"
"""What C's library on Windows writes for what is no number."""

_WRAPPED = r'^="((?:[^"]|"")*)"$'
_SINGLE_QUOTED = r"(?s)^'(?:[^'\\]|''|\\.)+'$"
WRAPPING = b'="'
"""Without it a block of a file has no wrapped cell."""


def compose(texts: pa.StringArray) -> pa.StringArray:
    """Bring texts to Unicode's composed form; the same object where they are in it already. Source: X-16."""
    seen = view(texts)
    if not len(seen.starts) or seen.starts[0] == seen.ends[-1]:
        return texts
    used = seen.data[seen.starts[0] : seen.ends[-1]]
    if int(used.max()) < 0xCC or not _MAY_BE_DECOMPOSED[used].any():
        return texts
    return pc.utf8_normalize(texts, form="NFC")


def unwrap(cells: pa.StringArray) -> tuple[pa.StringArray, Rows]:
    """Read cells of the exact form `="…"` as the text in them, and say which they are. Source: X-16.

    A doubled quote in the text is one, as in a spreadsheet.
    """
    if WRAPPING not in all_bytes(cells):
        return cells, no_rows(cells)
    trimmed = trim(cells)
    wrapped = matching_among(trimmed, edges(trimmed)[0] == ord("="), _WRAPPED)
    if not wrapped.any():
        return cells, wrapped
    return replace_rows(trimmed, wrapped, _text_within), wrapped


def _text_within(cells: pa.StringArray) -> pa.StringArray:
    """Return the texts of cells that are wrapped."""
    return pc.replace_substring(pc.replace_substring_regex(cells, _WRAPPED, r"\1"), '""', '"')


def read_identifiers(texts: pa.StringArray, *, are_names: bool = False) -> Reading:
    """Read trimmed texts as identifiers: a damaged one has the first of `PROBLEMS` that it has, and no value.

    Args:
        are_names: of pools or segments, which people have typed: joiners that their script needs, and single quotes,
            are no damage.
    """
    raw = all_bytes(texts)
    codes = np.full(len(texts), -1, dtype=np.int8)
    with_exponent, with_marks = changed_numbers(texts, raw)
    has_problem = (
        has_invisible(show_joiners(texts, raw), raw) if are_names else has_invisible(texts, raw),
        is_error_value(texts, raw),
        with_exponent,
        with_marks,
        no_rows(texts) if are_names else is_single_quoted(texts, raw),
    )
    for code in reversed(range(len(PROBLEMS))):
        codes[has_problem[code]] = code
    return Reading(without(texts, codes >= 0), coded_column(codes, PROBLEMS))


def has_invisible(texts: pa.StringArray, raw: bytes | None = None) -> Rows:
    """Say which texts have an invisible character that is no part of an emoji.

    Args:
        raw: the bytes of the column, where the caller has them.
    """
    used = np.frombuffer(all_bytes(texts) if raw is None else raw, np.uint8)
    if not len(used) or (int(used.min()) >= 0x20 and int(used.max()) < 0x7F):
        return no_rows(texts)
    if int(used.max()) >= 0x7F and int(used.min()) >= 0x20 and not _MAY_BE_INVISIBLE[used].any():
        return no_rows(texts)
    is_invisible = matches(texts, INVISIBLE)
    if not is_invisible.any():
        return is_invisible
    rows = np.flatnonzero(is_invisible)
    rest = pc.replace_substring_regex(texts.take(pa.array(rows)), EMOJI_SEQUENCE, "")
    is_invisible[rows] = matches(rest, INVISIBLE)
    return is_invisible


def show_joiners(texts: pa.StringArray, raw: bytes | None = None) -> pa.StringArray:
    """Put a letter in place of each joiner that the script of its neighbours needs; the same object without any."""
    raw = all_bytes(texts) if raw is None else raw
    if not any(joiner.encode() in raw for joiner in JOINERS):
        return texts
    return pa.array([text and show_needed_joiners(text) for text in texts.to_pylist()], pa.string())


def describe_invisible(texts: pa.StringArray) -> pa.StringArray:
    """Name the first invisible character of each text, and its place; null where there is none.

    Such as `U+200B ZERO WIDTH SPACE as its last character`. A joiner that its script needs is named only where there is
    nothing else.
    """
    shown = show_joiners(texts)
    if shown is not texts:
        texts = pc.if_else(pa.array(has_invisible(shown)), shown, texts)
    texts = without(texts, ~has_invisible(texts))  # the pattern would cut an emoji, for want of anything else
    parts = pc.extract_regex(texts, BEFORE_INVISIBLE)
    before, invisible = parts.field("before"), parts.field("invisible")
    is_found = flags(parts.is_valid())
    invisible = pc.if_else(pa.array(is_found), invisible, pa.scalar(None, pa.string())).dictionary_encode()
    names = pa.array([name_character(character) for character in invisible.dictionary.to_pylist()], pa.string())
    places = np.zeros((len(texts), 2), dtype=np.int64)
    places[is_found, 0] = pc.utf8_length(before.filter(pa.array(is_found))).to_numpy() + 1
    places[is_found, 1] = pc.utf8_length(texts.filter(pa.array(is_found))).to_numpy()
    distinct, which = np.unique(places, axis=0, return_inverse=True)
    places_in_words = pa.array(
        [f" as its {name_place(place, length)} character" for place, length in distinct.tolist()], pa.string()
    )
    return pc.binary_join_element_wise(names.take(invisible.indices), places_in_words.take(pa.array(which.ravel())), "")


def show_invisible(texts: pa.StringArray) -> pa.StringArray:
    """Show each invisible character beyond ASCII as its code point, such as `<U+200B>`. Source: X-08."""
    raw = all_bytes(texts)
    if not len(raw) or not has_invisible(texts, raw).any():
        return texts
    for character in sorted(set(raw.decode(errors="ignore"))):
        if ord(character) >= 0x80 and _is_invisible(character):
            texts = pc.replace_substring(texts, character, f"<U+{ord(character):04X}>")
    return texts


@lru_cache(maxsize=4096)
def _is_invisible(character: str) -> bool:
    return re.fullmatch(INVISIBLE, character) is not None


def is_error_value(texts: pa.StringArray, raw: bytes | None = None) -> Rows:
    """Say which texts are what a spreadsheet shows in place of a value."""
    raw = all_bytes(texts) if raw is None else raw
    is_error = no_rows(texts)
    if b"#" in raw:
        first, _ = edges(texts)
        suspects = np.flatnonzero((first == ord("#")) | (first == ord("=")))
        if len(suspects):
            few = texts.take(pa.array(suspects))
            is_error[suspects] = flags(pc.is_in(few, value_set=_ERRORS)) | matches(few, _NARROW_COLUMN)
        if b"1.#" in raw or b"1,#" in raw:
            is_error |= matching_among(texts, np.isin(first, list(b"1+-")), _NO_NUMBER)
    if b":" in raw and b"Err:" in raw:
        is_error |= matching_among(texts, edges(texts)[0] == ord("E"), _OFFICE_ERROR)
    return is_error


def changed_numbers(texts: pa.StringArray, raw: bytes | None = None, marks: str = WITH_MARKS) -> tuple[Rows, Rows]:
    """Say which texts are numbers that a program has written with an exponent, and which with marks.

    Args:
        marks: the pattern of the latter.
    """
    raw = all_bytes(texts) if raw is None else raw
    if not any(mark in raw for mark in _NUMBER_MARKS):
        return no_rows(texts), no_rows(texts)
    first, last = edges(texts)
    begins = (first - np.uint8(ord("0")) < 10) | (first == ord("+")) | (first == ord("-"))
    ends = (last - np.uint8(ord("0")) < 10) | (last == ord(".")) | (last == ord(","))
    suspects = _only_of(texts, begins & ends & _with_marks(texts), _OF_A_NUMBER)
    return matching_among(texts, suspects, WITH_EXPONENT), matching_among(texts, suspects, marks)


def _with_marks(texts: pa.StringArray) -> Rows:
    """Say which texts have a byte that digits alone don't have: one damaged cell must not cost all others a look."""
    seen = view(texts)
    marked = no_rows(texts)
    if len(marked):
        places = np.flatnonzero(_IS_MARK[seen.data[seen.starts[0] : seen.ends[-1]]]) + seen.starts[0]
        marked[np.searchsorted(seen.starts, places, side="right") - 1] = True
    return marked


def _only_of(texts: pa.StringArray, suspects: Rows, allowed: Rows) -> Rows:
    """Return which of the suspects, which are not blank, have no bytes but allowed ones."""
    rows = np.flatnonzero(suspects)
    if len(rows):
        seen = view(texts.take(pa.array(rows)))
        suspects = no_rows(texts)
        suspects[rows] = np.logical_and.reduceat(allowed[seen.data[: seen.ends[-1]]], seen.starts)
    return suspects


def is_single_quoted(texts: pa.StringArray, raw: bytes | None = None) -> Rows:
    """Say which texts are between two `'`, where a program has quoted the column: two of them, and more than half.

    A `'` within is doubled, or behind a backslash, as programs do.
    """
    if b"'" not in (all_bytes(texts) if raw is None else raw):
        return no_rows(texts)
    first, last = edges(texts)
    quoted = matching_among(texts, (first == ord("'")) & (last == ord("'")), _SINGLE_QUOTED)
    count = int(quoted.sum())
    return quoted if count >= 2 and 2 * count > len(texts) - texts.null_count else no_rows(texts)
