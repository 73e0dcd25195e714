"""A column of cell texts, looked at all at once.

The kernels that the readers of typed values share: trimming, the numpy view of a string column, the *shapes* of its
texts (every digit folded to `0`, so that a million time stamps have a handful of shapes, and the place of each number
is found once a shape instead of once a cell), and the pair of columns that every reader gives back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Unicode White_Space, PropList.txt. str.strip() and Arrow's utf8_trim_whitespace differ from it: Python also takes
# U+001C-U+001F. U+200B, U+2060 and U+FEFF have not been White_Space since Unicode 4.0.1 (or never were).
ASCII_WHITE_SPACE = "\t\n\v\f\r "
WHITE_SPACE = ASCII_WHITE_SPACE + (
    "\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

_ZERO = np.uint8(ord("0"))


def _bytes_table(position: int) -> npt.NDArray[np.bool_]:
    """Mark the bytes that a White_Space character can begin (0) or end (-1) with in UTF-8."""
    table = np.zeros(256, dtype=np.bool_)
    for character in WHITE_SPACE:
        table[character.encode()[position]] = True
    return table


_CAN_BEGIN = _bytes_table(0)
_CAN_END = _bytes_table(-1)


@dataclass(frozen=True)
class Reading:
    """What a column's texts say.

    Args:
        values: typed, null where the text is null or can't be read.
        problems: string, the problem's code where a text can't be read, else null.
    """

    values: pa.Array
    problems: pa.Array


@dataclass(frozen=True)
class TextView:
    """The bytes of a string column without a copy; text `i` is `data[starts[i]:ends[i]]`, also where it is null."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]


def view(texts: pa.StringArray) -> TextView:
    """Return a string column's bytes and offsets."""
    _, offsets, characters = texts.buffers()
    if offsets is None or len(texts) == 0:
        empty = np.zeros(0, dtype=np.int32)
        return TextView(np.zeros(0, dtype=np.uint8), empty, empty)
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.frombuffer(characters, dtype=np.uint8) if characters is not None else np.zeros(0, dtype=np.uint8)
    return TextView(data, bounds[:-1], bounds[1:])


def flags(array: pa.Array) -> npt.NDArray[np.bool_]:
    """Return a boolean column as numpy, null counted as False."""
    if array.null_count:
        array = pc.fill_null(array, False)
    result: npt.NDArray[np.bool_] = array.to_numpy(zero_copy_only=False)
    return result


def matches(texts: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    """Say which texts match an RE2 pattern; a null doesn't."""
    return flags(pc.match_substring_regex(texts, pattern))


def contains_byte(texts: pa.StringArray, character: str) -> bool:
    """Say whether an ASCII character is anywhere in the column: a cheap question before a dear one."""
    seen = view(texts)
    if not len(seen.starts):
        return False
    return bool((seen.data[seen.starts[0] : seen.ends[-1]] == ord(character)).any())


def all_bytes(texts: pa.StringArray) -> bytes:
    """Return the bytes of all texts of a column, one behind the other."""
    seen = view(texts)
    return seen.data[seen.starts[0] : seen.ends[-1]].tobytes() if len(seen.starts) else b""


def edges(texts: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the first and the last byte of each text, 0 where it is blank or null."""
    seen = view(texts)
    filled = seen.ends > seen.starts
    if texts.null_count:
        filled &= flags(texts.is_valid())
    if filled.all():
        return seen.data[seen.starts], seen.data[seen.ends - 1]
    first, last = (np.zeros(len(texts), dtype=np.uint8) for _ in range(2))
    first[filled] = seen.data[seen.starts[filled]]
    last[filled] = seen.data[seen.ends[filled] - 1]
    return first, last


def longest(texts: pa.StringArray) -> int:
    """Return how many bytes the longest text has; a null may count with bytes that it no longer has."""
    seen = view(texts)
    return int((seen.ends - seen.starts).max()) if len(seen.starts) else 0


def no_rows(texts: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Flag no text of a column."""
    return np.zeros(len(texts), dtype=np.bool_)


def matching_among(texts: pa.StringArray, suspects: npt.NDArray[np.bool_], pattern: str) -> npt.NDArray[np.bool_]:
    """Say which of the flagged texts match an RE2 pattern; the others are not looked at."""
    is_match = no_rows(texts)
    rows = np.flatnonzero(suspects)
    if len(rows):
        is_match[rows] = matches(texts.take(pa.array(rows)), pattern)
    return is_match


def replace_byte(texts: pa.StringArray, old: str, new: str) -> pa.StringArray:
    """Replace one ASCII character by another one; the same object when it is nowhere in the column."""
    if not contains_byte(texts, old):
        return texts
    data = view(texts).data
    replaced = np.where(data == ord(old), np.uint8(ord(new)), data)
    validity, offsets, _ = texts.buffers()
    return pa.Array.from_buffers(
        pa.string(), len(texts), [validity, offsets, pa.py_buffer(replaced)], texts.null_count, texts.offset
    )


def trim(cells: pa.StringArray) -> pa.StringArray:
    """Take the surrounding White_Space off every cell; what is blank becomes null. Source: X-16.

    The bytes are copied only where a cell does begin or end with what may be White_Space.
    """
    if _may_have_white_space(cells):
        is_ascii = int(view(cells).data.max()) < 0x80
        trim_all, characters = (pc.ascii_trim, ASCII_WHITE_SPACE) if is_ascii else (pc.utf8_trim, WHITE_SPACE)
        cells = trim_all(cells, characters=characters)
    return _blank_to_null(cells)


def _may_have_white_space(cells: pa.StringArray) -> bool:
    seen = view(cells)
    filled = seen.ends > seen.starts
    starts, ends = (seen.starts, seen.ends) if filled.all() else (seen.starts[filled], seen.ends[filled])
    return bool(_CAN_BEGIN[seen.data[starts]].any() or _CAN_END[seen.data[ends - 1]].any())


def _blank_to_null(cells: pa.StringArray) -> pa.StringArray:
    seen = view(cells)
    filled = seen.ends > seen.starts
    if filled.all():
        return cells
    if cells.null_count:
        filled &= flags(cells.is_valid())
    bounds = np.append(seen.starts, seen.ends[-1:])
    buffers = [pa.py_buffer(np.packbits(filled, bitorder="little")), pa.py_buffer(bounds), cells.buffers()[2]]
    return pa.Array.from_buffers(pa.string(), len(cells), buffers, null_count=int((~filled).sum()))


def without(texts: pa.StringArray, rows: npt.NDArray[np.bool_]) -> pa.StringArray:
    """Return the texts with the flagged ones set to null; the same object when none is."""
    return pc.if_else(pa.array(~rows), texts, pa.scalar(None, texts.type)) if rows.any() else texts


def replace_rows(
    texts: pa.StringArray, rows: npt.NDArray[np.bool_], change: Callable[[pa.StringArray], pa.StringArray]
) -> pa.StringArray:
    """Return the texts with the flagged ones changed; the same object when none is."""
    return pc.replace_with_mask(texts, pa.array(rows), change(texts.filter(pa.array(rows)))) if rows.any() else texts


def marked(rows: npt.NDArray[np.bool_], problem: str) -> pa.StringArray:
    """Return a column with the problem's code where a row is flagged, null elsewhere."""
    return coded_column(np.where(rows, np.int8(0), np.int8(-1)), [problem])


def coded_column(codes: npt.NDArray[np.integer], names: Sequence[str]) -> pa.StringArray:
    """Return a column with the name of each code, null where the code is negative."""
    missing = codes < 0
    if missing.all():
        return pa.nulls(len(codes), pa.string())
    return pc.take(pa.array(names, pa.string()), pa.array(codes, mask=missing))


def scatter(rows: int, pieces: Sequence[tuple[npt.NDArray[np.integer], pa.StringArray]]) -> pa.StringArray:
    """Return a text column of `rows` rows that has each piece's texts at that piece's row numbers, null elsewhere."""
    places = np.full(rows, -1, dtype=np.int64)
    filled = 0
    for numbers, texts in pieces:
        places[numbers] = np.arange(filled, filled + len(texts))
        filled += len(texts)
    if not filled:
        return pa.nulls(rows, pa.string())
    return pc.take(pa.concat_arrays([texts for _, texts in pieces]), pa.array(places, mask=places < 0))


class Shapes:
    """The texts of a column sorted by shape: the text with every ASCII digit folded to `0`.

    Args:
        distinct: the shapes, each once.
        codes: for each row the position of its shape in `distinct`; -1 where the text is null.
    """

    def __init__(self, texts: pa.StringArray) -> None:
        self._texts = view(texts)
        encoded = _folded(self._texts).dictionary_encode()
        self.distinct: list[str] = encoded.dictionary.to_pylist()
        self.codes: npt.NDArray[np.int32] = encoded.indices.to_numpy(zero_copy_only=False)
        if texts.null_count:
            self.codes = np.where(flags(texts.is_valid()), self.codes, np.int32(-1))

    def rows(self, code: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the rows that have a shape, rising."""
        return np.flatnonzero(self.codes == code)

    def number(self, rows: npt.NDArray[np.int64], start: int, stop: int) -> npt.NDArray[np.int64]:
        """Return the number that the digits at `start:stop` write in each of the rows.

        The rows must have a shape that has digits and nothing else there, preceded by ASCII characters only.
        """
        first = self._texts.starts[rows]
        total = np.zeros(len(rows), dtype=np.int64)
        for position in range(start, stop):
            total *= 10
            total += self._texts.data[first + position] - _ZERO
        return total


def _folded(texts: TextView) -> pa.StringArray:
    if not len(texts.starts):
        return pa.array([], pa.string())
    first = texts.starts[0]
    used = texts.data[first : texts.ends[-1]]
    folded = np.where(used - _ZERO < 10, _ZERO, used)
    bounds = np.append(texts.starts, texts.ends[-1:]) - first
    return pa.StringArray.from_buffers(len(texts.starts), pa.py_buffer(bounds), pa.py_buffer(folded))
