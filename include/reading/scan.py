"""Where records end and which quotes count: one vectorised look at a piece of UTF-8 text.

A quote opens a quoted cell only as the first byte of a cell; inside, a doubled quote is a quote; anything else after a
quote closes the cell. A quote within an unquoted cell is text (`5" pipe`). After a closing quote that is followed by
more text (`"x"y`) the cell goes on as unquoted text: the record is malformed, and its neighbours are not.
Source: X-15.

In well-formed text every second quote opens or reopens (the second of a doubled pair), and that is checked for all
quotes at once. Only where the check fails does a loop step in, one turn per irregular quote, and the check carries on
behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

LINE_FEED = 0x0A
CARRIAGE_RETURN = 0x0D
QUOTE = 0x22

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Symbols: TypeAlias = npt.NDArray[np.uint8]

_NONE: Ints = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class Scan:
    """The complete records of a piece of text, blank lines included.

    Args:
        ends: where each record's line end begins (exclusive end of the record).
        nexts: where the next record begins.
        lines: physical lines finished at `nexts`, counted from the beginning of the text.
        quotes: per byte of the text whether it is a quote that opens, closes or doubles; None where none does.
        inside: per byte whether what follows it is inside quotes; None without `quotes`.
        text_after_quote: closing quotes with more text behind them.
    """

    ends: Ints
    nexts: Ints
    lines: Ints
    quotes: Bools | None
    inside: Bools | None
    text_after_quote: Ints

    def open_quote(self, end: int | None = None) -> int | None:
        """Return where the cell opened whose quotes are still open at the end of the text, or at `end`."""
        if self.quotes is None or self.inside is None:
            return None
        quotes, inside = self.quotes[:end], self.inside[:end]
        if not len(inside) or not inside[-1]:
            return None
        opening = np.flatnonzero(quotes & inside)
        doubles_another = quotes[opening - 1] & (opening > 0)
        return int(opening[~doubles_another][-1])


def scan(text: bytes, delimiter: int, *, is_final: bool) -> Scan:
    """Find the records of a piece of text that begins where a record begins.

    Args:
        text: UTF-8, or the beginning of it, cut anywhere.
        delimiter: one ASCII byte.
        is_final: the text ends here: a last record needs no line end. Otherwise what is after the last line end
            is left out, and so is a CR as the very last byte (an LF may follow).
    """
    symbols = np.frombuffer(text, np.uint8)
    quotes, inside, text_after_quote = _quotes(text, symbols, delimiter)
    ends, nexts = _line_ends(text, symbols)
    if not is_final and len(ends) and nexts[-1] == len(text) and text.endswith(b"\r"):
        ends, nexts = ends[:-1], nexts[:-1]
    line_count = len(ends)
    if inside is None:
        lines = np.arange(1, line_count + 1, dtype=np.int64)
    else:
        outside = np.flatnonzero(~inside[ends])
        ends, nexts, lines = ends[outside], nexts[outside], outside + 1
    if is_final and (nexts[-1] if len(nexts) else 0) < len(text):
        ends, nexts = np.append(ends, len(text)), np.append(nexts, len(text))
        lines = np.append(lines, line_count + 1)
    return Scan(ends, nexts, lines, quotes, inside, text_after_quote)


def delimiters_outside_quotes(text: bytes, delimiter: int, structure: Scan) -> Ints:
    """Return where the delimiters are that separate cells, ascending."""
    is_delimiter = np.frombuffer(text, np.uint8) == delimiter
    if structure.inside is not None:
        is_delimiter &= ~structure.inside
    return np.flatnonzero(is_delimiter)


def count_cells(delimiters: Ints, structure: Scan) -> npt.NDArray[np.int32]:
    """Count the cells of each record: delimiters outside quotes, plus one."""
    delimiters_before = np.searchsorted(delimiters, structure.ends)
    return (np.diff(delimiters_before, prepend=0) + 1).astype(np.int32)


def cells_before(delimiters: Ints, starts: Ints, places: Ints) -> Ints:
    """Count the cells that end between the start of a record and a place in it: the number of the place's cell."""
    return np.searchsorted(delimiters, places) - np.searchsorted(delimiters, starts)


def count_line_ends(text: bytes) -> int:
    """Count physical lines: LF, CR and CRLF each end one."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _line_ends(text: bytes, symbols: Symbols) -> tuple[Ints, Ints]:
    """Return where each line end begins and where the next line begins, inside quotes as well as outside."""
    if b"\r" not in text:
        ends = np.flatnonzero(symbols == LINE_FEED)
        return ends, ends + 1
    places = np.flatnonzero((symbols == LINE_FEED) | (symbols == CARRIAGE_RETURN))
    is_return = symbols[places] == CARRIAGE_RETURN
    is_pair = np.zeros(len(places), np.bool_)
    is_pair[:-1] = is_return[:-1] & ~is_return[1:] & (places[1:] == places[:-1] + 1)
    is_own_end = np.ones(len(places), np.bool_)
    is_own_end[1:] = ~is_pair[:-1]
    ends = places[is_own_end]
    return ends, ends + 1 + is_pair[is_own_end]


def _quotes(text: bytes, symbols: Symbols, delimiter: int) -> tuple[Bools | None, Bools | None, Ints]:
    """Return which quotes count, what is inside them, and the quotes with text behind them."""
    if b'"' not in text:
        return None, None, _NONE
    quotes = symbols == QUOTE
    inside = inside_quotes(quotes)
    is_edge = edges(symbols, delimiter)
    if is_well_formed(quotes, inside, is_edge):
        return quotes, inside, _NONE
    places = np.flatnonzero(quotes)
    counts, text_after_quote = walk_quotes(places, is_edge)
    if not counts.any():
        return None, None, _NONE
    quotes[places[~counts]] = False
    return quotes, inside_quotes(quotes), text_after_quote


def edges(symbols: Symbols, delimiter: int) -> Bools:
    """Say which bytes are delimiters or line ends, with one more edge before the text and one behind it."""
    is_edge = np.ones(len(symbols) + 2, np.bool_)
    within = is_edge[1:-1]
    np.equal(symbols, delimiter, out=within)
    within |= symbols == LINE_FEED
    within |= symbols == CARRIAGE_RETURN
    return is_edge


def inside_quotes(quotes: Bools) -> Bools:
    """Say per byte whether the number of quotes up to it, itself included, is odd.

    Works on words of 64 bits, a bit a byte: four times as fast as a cumulated sum.
    """
    packed = np.packbits(quotes, bitorder="little")
    words = np.zeros(-(-len(packed) // 8), np.dtype("<u8"))
    words.view(np.uint8)[: len(packed)] = packed
    for distance in (1, 2, 4, 8, 16, 32):
        words ^= words << np.uint64(distance)
    is_odd = words >> np.uint64(63)
    odd_before = (np.cumsum(is_odd) - is_odd) & np.uint64(1)
    words[odd_before != 0] ^= np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    return np.unpackbits(words.view(np.uint8), count=len(quotes), bitorder="little").view(np.bool_)


def is_well_formed(quotes: Bools, inside: Bools, is_edge: Bools) -> bool:
    """Say whether all quotes open and close in turn, each where it may.

    An opening one is behind an edge or, doubled, behind the one it reopens; a closing one before an edge or before
    its double.

    Args:
        quotes: per byte whether it is a quote, literal or not.
        inside: of the same quotes, see `inside_quotes`.
        is_edge: see `edges`.
    """
    may_touch = is_edge.copy()
    may_touch[1:-1] |= quotes
    before, behind = may_touch[:-2], may_touch[2:]
    fits = before ^ behind
    fits &= inside
    fits ^= behind  # `before` where inside, else `behind`
    np.logical_not(fits, out=fits)
    fits &= quotes
    return not fits.any()


def walk_quotes(places: Ints, is_edge: Bools) -> tuple[Bools, Ints]:
    """Separate the quotes that count from literal ones, and find the closing ones with text behind them.

    The exact answer for any text, at the cost of a turn per irregular quote.

    Args:
        places: of all quotes of the text, ascending.
        is_edge: see `edges`; `is_edge[place]` is the byte before the place, `is_edge[place + 2]` the byte behind.
    """
    count = len(places)
    is_first = is_edge[places]
    is_doubled = np.diff(places) == 1
    may_open, may_close = is_first.copy(), is_edge[places + 2]
    may_open[1:] |= is_doubled
    may_close[:-1] |= is_doubled
    may_open_even, may_open_odd = may_close.copy(), may_close
    may_open_even[::2] = may_open[::2]
    may_open_odd[1::2] = may_open[1::2]
    next_irregular = (_next(~may_open_even), _next(~may_open_odd))
    next_first = _next(is_first)

    counts = np.ones(count, np.bool_)
    text_after = []
    here = 0
    while here < count:  # outside quotes, the text of an unquoted cell behind us
        opening = next_first[here]
        if opening > here:
            counts[here:opening] = False
        if opening == count:
            break
        irregular = next_irregular[opening % 2][opening]
        if irregular == count:
            break
        if (irregular - opening) % 2:
            text_after.append(irregular)
            here = irregular + 1
        else:
            here = irregular
    return counts, places[text_after] if text_after else _NONE


def _next(flags: Bools) -> memoryview:
    """Return, per index, the nearest flagged index from there on, or the length.

    A memoryview, because picking single numbers out of it is several times as fast as out of an array.
    """
    count = len(flags)
    nearest = np.full(count + 1, count, np.int64)
    nearest[:-1][flags] = np.flatnonzero(flags)
    return np.ascontiguousarray(np.minimum.accumulate(nearest[::-1])[::-1]).data
