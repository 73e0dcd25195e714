"""Codes and card numbers that people can't distinguish, or that mean the same to them. Source: PC-04a.

Two kinds of twins are warned of by the loads, which compare what is made here: codes that look like another one (by
Unicode's confusables, UTS #39: letters of other alphabets, long dashes, no-break spaces), and card numbers that differ
from another one by blanks, dashes or letter case alone. Nearly all codes and numbers can't be either: one look at the
bytes of a column shows it. So a form is made, and kept by the warehouse, of the odd ones only; the others are their own
form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.values.cells import view

CONFUSABLES = Path(__file__).with_name("confusables.txt")
MOST_TEXTS = 64
"""Texts of ASCII that one code is looked up by: each character that looks like several has them all, up to here."""
_BETWEEN = "\ud800"
"""Separates texts that are turned at once: half a surrogate pair, which no text of Arrow's holds."""

_BLANKS_AND_DASHES = r"[\s\x{0085}\p{Z}\p{Pd}\x{2212}]+"


def _not_plain() -> npt.NDArray[np.bool_]:
    """Mark the bytes of which a card number may have a plain form that is another one."""
    table = np.ones(256, dtype=np.bool_)
    table[[ord(character) for character in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"]] = False
    return table


_NOT_PLAIN = _not_plain()
_NOT_ASCII = np.arange(256) >= 0x80


def plain_numbers(numbers: pa.StringArray) -> pa.StringArray:
    """Return each card number without blanks and dashes, in capitals; null where that is the number itself."""
    rows = _rows_with(numbers, _NOT_PLAIN)
    if not len(rows):
        return pa.nulls(len(numbers), pa.string())
    odd = numbers.take(pa.array(rows))
    plain = pc.utf8_upper(pc.replace_substring_regex(odd, _BLANKS_AND_DASHES, ""))
    plain = pc.if_else(pc.equal(plain, odd), pa.scalar(None, pa.string()), plain)
    return _spread(plain, rows, len(numbers))


def look_alike_forms(codes: pa.StringArray) -> pa.StringArray:
    """Return each code's skeleton, then the texts of ASCII that it looks like, as an array of PostgreSQL's in text.

    Null for codes of ASCII alone. Two codes look alike when they have one skeleton; those of ASCII are stored without
    theirs, so they are looked up by the texts. Two of ASCII that look alike (`0` and `O`) are not compared: people can
    type them.
    """
    rows = _rows_with(codes, _NOT_ASCII)
    if not len(rows):
        return pa.nulls(len(codes), pa.string())
    odd = codes.take(pa.array(rows)).to_pylist()
    forms = [_as_array([form, *texts]) for form, texts in zip(skeletons(odd), _ascii_texts(odd), strict=True)]
    return _spread(pa.array(forms, pa.string()), rows, len(codes))


def skeletons(texts: Sequence[str]) -> list[str]:
    """Return the skeletons of texts: two that look alike have the same (UTS #39, section 4).

    Full-width and other compatible characters are taken for what they mean, of which the standard leaves out some.
    """
    joined = _BETWEEN.join(texts).translate(_skeletons())
    return unicodedata.normalize("NFD", joined).split(_BETWEEN) if texts else []


def _ascii_texts(codes: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts of ASCII that each code looks like; nearly all codes have a character that looks like none."""
    likeliest = _BETWEEN.join(codes).translate(_likeliest()).split(_BETWEEN)
    for code, text in zip(codes, likeliest, strict=True):
        options = [_ascii_options(character) for character in code] if text.isascii() else [[]]
        yield ["".join(parts) for parts in islice(product(*options), MOST_TEXTS)]


class _ByCharacter(dict[int, str]):
    """A table for `str.translate` that is made as characters come: of a million there are a few dozen in use."""

    def __init__(self, make: Callable[[str], str]) -> None:
        self._make = make

    def __missing__(self, point: int) -> str:
        self[point] = self._make(chr(point))
        return self[point]


@cache
def _skeletons() -> _ByCharacter:
    prototypes, _ = _confusables()
    return _ByCharacter(
        lambda character: "".join(prototypes.get(part, part) for part in unicodedata.normalize("NFKD", character))
    )


@cache
def _likeliest() -> _ByCharacter:
    return _ByCharacter(lambda character: next(iter(_ascii_options(character)), character))


@cache
def _confusables() -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return character → prototype, and prototype → the characters of ASCII that have it."""
    prototypes = {}
    for line in CONFUSABLES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            source, target = line.split(";")
            prototypes[chr(int(source, 16))] = "".join(chr(int(point, 16)) for point in target.split())
    of_ascii: dict[str, list[str]] = {}
    for source, target in prototypes.items():
        if source.isascii():
            of_ascii.setdefault(target, []).append(source)
    return prototypes, of_ascii


@cache
def _ascii_options(character: str) -> list[str]:
    """Return the texts of ASCII that a character looks like, the likeliest first; one of ASCII is taken for itself."""
    if character.isascii():
        return [character]
    prototype = unicodedata.normalize("NFD", _skeletons()[ord(character)])
    _, of_ascii = _confusables()
    tried = [unicodedata.normalize("NFKC", character), prototype, *of_ascii.get(prototype, ())]
    return list(dict.fromkeys(text for text in tried if text.isascii()))


def _rows_with(texts: pa.StringArray, table: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return the rows, rising, whose text has one of the marked bytes."""
    seen = view(texts)
    if not len(seen.starts):
        return np.zeros(0, dtype=np.intp)
    begin = seen.starts[0]
    used = seen.data[begin : seen.ends[-1]]
    if not len(used) or not table[used.min() : used.max() + 1].any():  # ten times as fast as to look at each byte
        return np.zeros(0, dtype=np.intp)
    places = np.flatnonzero(table[used])
    if not len(places):
        return places
    rows = np.unique(np.searchsorted(seen.ends, places + begin, side="right"))
    if texts.null_count:
        rows = rows[np.asarray(texts.is_valid().to_numpy(zero_copy_only=False))[rows]]
    return rows


def _spread(texts: pa.StringArray, rows: npt.NDArray[np.intp], count: int) -> pa.StringArray:
    places = np.full(count, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return texts.take(pa.array(places, mask=places < 0))


def _as_array(texts: Sequence[str]) -> str:
    r"""Write texts as an array in PostgreSQL's text form: quoted, with `\` before quotes and backslashes."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
