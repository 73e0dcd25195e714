"""Names as people write them: how they are compared, what a misspelt one may have meant, how they are masked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches

_DATA = re.compile(r"[^\s'\"`,;:=]*(?:\d{5}|@)[^\s'\"`,;]*")
MASK = "…"
"""Shows what is left out of a masked value, on pages, in mails and logs. One sign, whatever is masked."""
ASCII_MASK = "..."
"""The same in sentences that go into a file of the sender's encoding."""
_LONG_NUMBER = re.compile(r"(?=(?:[^0-9]*[0-9]){9})[0-9A-Za-z +-]{12,}")
"""A number, or a code of at least nine digits: a birth date has eight."""
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
    """Mask the words of a sentence that look like data: numbers as long as a card's or a phone's, e-mail addresses."""
    return _DATA.sub(lambda match: mask_header(match[0]), text)


def mask_header(header: str) -> str:
    """Return the beginning of an unmatched header: a file without headers has data there. Source: X-20."""
    text = header.strip()
    return f"{text[: min(3, len(text) // 3)]}{MASK}" if text else ""
