"""Numbers of three or four digits that may be a CVV under a wrong header, masked in texts. Source: X-08, X-20.

Where columns are shifted, exchanged or merged, a CVV is a cell of its own or is set off in one: by `;`, `,`, `|`, `/`,
`:`, `=` or a tab, or by a blank beside another number. Such a number is masked. Anything else is what the sender looks
for and stays in clear: decimals (`100.00`, `19.999`), names with digits (`pool_100`), a word and a number
(`summer 2024`), dates and times.

`-777.00` is masked although it is a decimal: its sign says what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.names import ASCII_MASK

Rows = npt.NDArray[np.bool_]

CVV_DIGITS = range(3, 5)
"""How many digits a CVV has."""
CVV_ALONE = rf"^\s*[0-9]{{{CVV_DIGITS[0]},{CVV_DIGITS[-1] + 1}}}\s*$"
"""Whole cells that are masked under any header: to be safe, those of one digit more as well."""
_TIMES = f"{{{CVV_DIGITS[0]},{CVV_DIGITS[-1]}}}"
_CUT = "\x1f"
"""Is between the words and the separators of a text while it is cut."""
_TIME = r"([ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?( ?(Z|UTC|[+-][0-9]{2}:?([0-9]{2})?))?)?"
_YEAR = "(19|20)[0-9]{2}"
_DAYS = (
    rf"{_YEAR}[./-][0-9]{{1,2}}[./-][0-9]{{1,2}}",
    rf"[0-9]{{1,2}}[./-][0-9]{{1,2}}[./-]{_YEAR}",
    rf"[0-9]{{1,2}}\.? [A-Za-z]{{3,9}}\.?,? {_YEAR}",
    rf"[A-Za-z]{{3,9}}\.? [0-9]{{1,2}},? {_YEAR}",
)
_AMOUNTS = (
    r"\+?[0-9]+,([1-9]|[0-9]{2})",
    r"\+?[0-9]{1,3}([ .'][0-9]{3})+,[0-9]{2}",
    r"\+?[0-9]{1,3}([ ,'][0-9]{3})+\.[0-9]{2}",
)
_CLEAR = rf"^\s*(({'|'.join(_DAYS)}){_TIME}|({'|'.join(_AMOUNTS)}))\s*$"
"""Whole cells that are a day with its year, or an amount with a comma or with its thousands grouped."""


@dataclass(frozen=True)
class _Patterns:
    """The patterns of one alphabet: Arrow compiles them at each call, which takes a millisecond with Unicode classes.

    Args:
        separator: what is between two words.
        mark: a separator is more than blanks.
        blank: a separator is blanks alone.
        suspect: a text may have a short number somewhere.
        short: a word is a short number, with marks around it or with `.0` behind it.
        neighbour: a word is a number, or the name of what is masked: what a blank beside it sets off may be a CVV.
        digits: the digits to replace.
    """

    separator: str
    mark: str
    blank: str
    suspect: str
    short: str
    neighbour: str
    digits: str


def _patterns(digits: str, around: str, *, blanks: str, marks: str) -> _Patterns:
    """Return the patterns over classes of characters: digits, what may be around them, blanks, other separators."""
    digit, number = f"[{digits}]", f"[{digits}]{_TIMES}"
    return _Patterns(
        separator=f"([{blanks}{marks}]+)",
        mark=f"[\t\r\n{marks}]",
        blank=f"^[{blanks}]+$",
        suspect=f"(^|[^{digits}]){number}($|[^{digits}])",
        short=rf"^({around}*{number}([.,]0)?{around}*|-{number}\.0+)$",
        neighbour=rf"^{around}*({digit}([.,']?{digit})*|(?i:cvv2?|cvc2?|cvn|cid|csc)){around}*$",
        digits=number,
    )


_ASCII = _patterns("0-9", "[^0-9A-Za-z]", blanks=r"\s", marks=";,|:/=")
_UNICODE = _patterns(r"\p{Nd}", r"[^\pL\pN]", blanks=r"\s\pZ", marks=";,|:/=\uff1b\uff0c\uff5c\uff1a\uff0f\uff1d\u3001")


def mask_short_codes(texts: pa.StringArray) -> pa.StringArray:
    """Replace the digits of numbers that may be a CVV by `...`."""
    is_ascii = pc.all(pc.string_is_ascii(texts), skip_nulls=True, min_count=0).as_py()
    patterns = _ASCII if is_ascii else _UNICODE
    is_suspect = pc.fill_null(pc.match_substring_regex(texts, patterns.suspect), False)
    if not pc.any(is_suspect, min_count=0).as_py():
        return texts
    is_suspect = pc.and_not(is_suspect, pc.fill_null(pc.match_substring_regex(texts, _CLEAR), False))
    suspects = texts.filter(is_suspect)
    return pc.replace_with_mask(texts, is_suspect, _masked(suspects, patterns)) if len(suspects) else texts


def mask_short_amounts(texts: pa.StringArray) -> pa.StringArray:
    """Do the same with amounts as they were read: `777.00` is how a CVV reads in a column of amounts."""
    return pc.replace_substring_regex(texts, rf"^(-?)[0-9]{_TIMES}(\.0+)?$", rf"\1{ASCII_MASK}\2")


def _masked(texts: pa.StringArray, patterns: _Patterns) -> pa.StringArray:
    """Cut texts into words and separators, mask the words that are set off, and put the texts together again."""
    marked = pc.replace_substring(texts, _CUT, " ")
    marked = pc.replace_substring_regex(marked, patterns.separator, rf"{_CUT}\1{_CUT}")
    pieces = pc.split_pattern(marked, _CUT)
    is_masked = _are_masked(pieces, patterns)
    words = pieces.values
    hidden = pc.replace_substring_regex(words.filter(pa.array(is_masked)), patterns.digits, ASCII_MASK)
    words = pc.replace_with_mask(words, pa.array(is_masked), hidden)
    return pc.binary_join(pa.ListArray.from_arrays(pieces.offsets, words), "")


def _are_masked(pieces: pa.ListArray, patterns: _Patterns) -> Rows:
    """Say which pieces are a short number that is a cell of its own, or is set off on one side at least.

    The pieces of a text are word, separator, word, … word; the first and the last word may be empty.
    """
    words = pieces.values
    is_short, is_neighbour, is_mark, is_blank = (
        pc.match_substring_regex(words, pattern).to_numpy(zero_copy_only=False)
        for pattern in (patterns.short, patterns.neighbour, patterns.mark, patterns.blank)
    )
    is_empty = pc.equal(words, "").to_numpy(zero_copy_only=False)
    offsets = pieces.offsets.to_numpy()
    is_first, is_last = np.zeros(len(words), dtype=np.bool_), np.zeros(len(words), dtype=np.bool_)
    is_first[offsets[:-1]] = is_last[offsets[1:] - 1] = True
    is_set_off, is_edge = np.zeros(len(words), dtype=np.bool_), np.ones(len(words), dtype=np.bool_)
    for step, is_end in ((1, is_first), (-1, is_last)):
        separator_marks, separator_blanks = _moved(is_mark, step), _moved(is_blank, step)
        has_number = separator_blanks & _moved(is_neighbour, 2 * step)
        is_set_off |= ~is_end & (separator_marks | has_number)
        is_edge &= is_end | (separator_blanks & _moved(is_empty, 2 * step))
    is_masked: Rows = is_short & (is_set_off | is_edge)
    return is_masked


def _moved(flags: Rows, step: int) -> Rows:
    """Return for each piece the flag of the one `step` before it; of one that is behind the end, False."""
    moved: Rows = np.zeros(len(flags), dtype=np.bool_)
    if step > 0:
        moved[step:] = flags[:-step]
    else:
        moved[:step] = flags[-step:]
    return moved
