"""Names as people write them: how they are compared, what a misspelt one may have meant, how they are masked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_END = r"[^\s'\"`,;]*"
_ADDRESS = rf"[^\s'\"`,;:=]{{1,64}}\s?[\[({{<]\s?[aA][tT]\s?[\])}}>]\s?{_END}"
"""An e-mail address that is written out: `jane (at) example.com`."""
_BETWEEN = r"\s()./_+\u2010-\u2015-"
"""What people write between the groups of a number."""
_GROUPED_NUMBER = rf"\+?\(?\d(?:[{_BETWEEN}]{{0,3}}\d){{8,}}{_END}"
"""A number of more than eight digits, in groups as those of cards and phones are written."""
AT_SIGNS = "@\ufe6b\uff20"
"""As addresses have them: on an East Asian keyboard the wide one comes first."""
_LONG_WORD = rf"(?<![^\s'\"`,;:=])[^\s'\"`,;:=]*(?:\d{{5}}|[{AT_SIGNS}]){_END}"
_DAY = r"(?:19|20)\d\d[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[./]\d{1,2}[./](?:19|20)\d\d"
_TIME = r"[ T]\d{1,2}:\d\d(?::\d\d)?"
_DATE = re.compile(rf"(?<![\w.-])(?:{_DAY})(?:{_TIME})?(?=[\s'\"`,;:=)\]]|\.?\s|\.?$)")
_WORD = r"(?<![^\W_])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*(?![^\W_])"
_DATA = re.compile(rf"(?P<date>{_DATE.pattern})|{_ADDRESS}|{_LONG_WORD}|{_GROUPED_NUMBER}|(?P<word>{_WORD})")
_NUMBER_ALONE = re.compile(rf"[{_BETWEEN}]*(?:\d[{_BETWEEN}]*){{5,}}")
"""No header, although a card or a phone has more digits: the first row of a file without headers has such."""
_LEAST_OF_CODE = 8
"""Shorter words with digits are words: `B2B`, `2024Q1`."""
MASK = "…"
"""Shows what is left out of a masked value, on pages, in mails and logs. One sign, whatever is masked."""
ASCII_MASK = "..."
"""The same in sentences that go into a file of the sender's encoding."""
_LONG_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){9})[0-9A-Za-z +-]{12,}")
"""A number, or a code of at least nine digits: a birth date has eight."""
MOST_DIGITS = 8
"""Of a text or a header that may be shown in clear: phone and card numbers have more, days and names have not."""
LONGEST_NAME = 100
"""Longer texts are no misspelt names; comparing them would take time that grows with the square of their length."""


def normalise_name(name: str) -> str:
    """Return what is compared of a column's name: letters and digits, whatever their case and width. Source: X-05."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(character for character in text if unicodedata.category(character)[0] in "LNM")
    return unicodedata.normalize("NFKC", kept)


def closest(name: str, meanings: Mapping[str, str]) -> str | None:
    """Return what the most similar of the names means, or None when none is similar.

    `difflib` serves: with some dozens of short names a faster library would be one more dependency for nothing.

    Args:
        name: as a person wrote it.
        meanings: normalised name → what it means.
    """
    wanted = normalise_name(name[: 2 * LONGEST_NAME])
    if not 1 <= len(wanted) <= LONGEST_NAME:
        return None
    near = get_close_matches(wanted, meanings, n=1, cutoff=0.7)
    return meanings[near[0]] if near else None


def did_you_mean(name: str, choices: Collection[str]) -> str:
    """Return the end of a sentence about an unknown name: the near miss, else the names to choose from."""
    near = closest(name, {normalise_name(choice): choice for choice in choices})
    if near is not None:
        return f" (did you mean {near}?)"
    return f" (there are: {', '.join(choices)})" if choices else ""


def one_line(text: str) -> str:
    """Return a text of any origin as one line that shows what it is: for mails, logs and headers.

    Line ends and other white space become a blank each; what controls, can't be seen, turns the direction of writing or
    is half a character becomes a replacement character. What is left can be encoded everywhere.
    """
    line = " ".join(text.split())
    return "".join("\ufffd" if unicodedata.category(character)[0] == "C" else character for character in line)


def mask(text: str) -> str:
    """Return a masked value: `…`, and of a long number its last four characters, which distinguish cards (X-20).

    The end of a name, a birth date or an address would say what is masked.
    """
    return f"{MASK}{text[-4:] if _LONG_NUMBER.fullmatch(text) else ''}" if text.strip() else ""


def mask_data(text: str) -> str:
    """Mask the words of a sentence that look like data: numbers of cards and phones, codes, e-mail addresses (X-20)."""
    return _DATA.sub(_masked_data, text)


def looks_like_data(header: str) -> bool:
    """Say whether a header may be a cell of a file without headers: it has data, or many digits in all (X-20)."""
    digits = sum(character.isdigit() for character in _DATE.sub("", header))
    return digits > MOST_DIGITS or _NUMBER_ALONE.fullmatch(header) is not None or mask_data(header) != header


def _masked_data(match: re.Match[str]) -> str:
    is_shown = match["date"] or (match["word"] and not _is_code(match[0]))
    return match[0] if is_shown else mask_header(match[0])


def _is_code(word: str) -> bool:
    """Say whether a word is a code such as `GC-AB12CD34`, `K7QW-PL0M` or `ABCD-1234-EFGH`.

    In a code letters follow digits at once, or there are three groups of capitals and digits, four at least in each.
    """
    groups, digits = word.split("-"), sum(character.isdigit() for character in word)
    if len(word) - len(groups) + 1 < _LEAST_OF_CODE or not digits:
        return False
    is_mixed = re.search("[0-9][A-Za-z]", word) is not None and digits >= (2 if word.isupper() else 4)
    return is_mixed or (word.isupper() and len(groups) > 2 and min(map(len, groups)) >= 4)


def mask_header(header: str) -> str:
    """Return the beginning of an unmatched header: a file without headers has data there. Source: X-20."""
    text = header.strip()
    return f"{text[: min(3, len(text) // 3)]}{MASK}" if text else ""
