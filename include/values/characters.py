"""Characters that belong into no identifier, because nobody can see or type them. Source: X-16.

Control, format and private-use characters, noncharacters, what Unicode calls default-ignorable, line ends, fillers that
look like a blank, and the replacement character of bytes that were lost. Blanks of all widths are not among them: those
can be seen, and around a cell they are trimmed.

Emoji are made of several characters, some of which can't be seen by themselves: the joiner, the variation selectors and
the tags. Within such a sequence they are part of the emoji, anywhere else (and alone) they are not.

Persian, the scripts of India and others need the two joiners within words, and people type them. Names may have them
where IDNA 2008 allows them in domains
(RFC 5892, A.1, A.2): behind a virama, and U+200C between letters that would join.

The patterns are read alike by Python's `re` and by RE2, which Arrow uses. This module needs neither, so that settings
can be checked where a DAG file is parsed.
"""

from __future__ import annotations

import re
import unicodedata

INVISIBLE_RANGES = (
    (0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD),
    (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFF), (0x110BD, 0x110BD),
    (0x110CD, 0x110CD), (0x13430, 0x1343F), (0x16FE4, 0x16FE4), (0x1BCA0, 0x1BCA3), (0x1D159, 0x1D159),
    (0x1D173, 0x1D17A), *((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(1, 14)),
    (0xE0000, 0xE0FFF), (0xEFFFE, 0x10FFFF),
)  # fmt: skip


def _class(*ranges: tuple[int, int]) -> str:
    """Return the inside of a pattern's class."""
    return "".join(chr(first) if first == last else f"{chr(first)}-{chr(last)}" for first, last in ranges)


INVISIBLE = f"[{_class(*INVISIBLE_RANGES)}]"
_VISIBLE = f"[^{_class(*INVISIBLE_RANGES)}]"
_PICTOGRAPH = "[" + _class(
    (0xA9, 0xA9), (0xAE, 0xAE), (0x203C, 0x203C), (0x2049, 0x2049), (0x2122, 0x2122), (0x2139, 0x2139),
    (0x2194, 0x21AA), (0x231A, 0x23FF), (0x24C2, 0x24C2), (0x25AA, 0x25AB), (0x25B6, 0x25B6), (0x25C0, 0x25C0),
    (0x25FB, 0x25FE), (0x2600, 0x27BF), (0x2934, 0x2935), (0x2B05, 0x2B55), (0x3030, 0x3030), (0x303D, 0x303D),
    (0x3297, 0x3297), (0x3299, 0x3299), (0x1F000, 0x1FAFF),
) + "]"  # fmt: skip
_EMOJI = f"{_PICTOGRAPH}(?:[\ufe0e\ufe0f]|[\U0001f3fb-\U0001f3ff]\ufe0f?)?"
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"
_KEYCAP = "[0-9#*]\ufe0f\u20e3"
EMOJI_SEQUENCE = f"(?:{_FLAG}|{_KEYCAP}|{_EMOJI}(?:\u200d{_EMOJI})*)"
"""An emoji with the invisible characters that are part of it."""
BEFORE_INVISIBLE = f"(?s)^(?P<before>(?:{EMOJI_SEQUENCE}|{_VISIBLE})*)(?P<invisible>{INVISIBLE})"
"""The first invisible character of a text that has one, and what comes before it."""
SOMETHING_TO_READ = f"[\\pL\\pN\\p{{Sc}}]|{_PICTOGRAPH}"
"""A letter, a digit, a currency sign or an emoji; for RE2 alone."""

JOINERS = "\u200c\u200d"

_FIRST = re.compile(f"{EMOJI_SEQUENCE}|({INVISIBLE})")

# The Unicode names of controls are aliases, which `unicodedata.name` doesn't give.
_NAMES_OF_CONTROLS = (
    "NULL, START OF HEADING, START OF TEXT, END OF TEXT, END OF TRANSMISSION, ENQUIRY, ACKNOWLEDGE, ALERT, BACKSPACE, "
    "CHARACTER TABULATION, LINE FEED, LINE TABULATION, FORM FEED, CARRIAGE RETURN, SHIFT OUT, SHIFT IN, "
    "DATA LINK ESCAPE, DEVICE CONTROL ONE, DEVICE CONTROL TWO, DEVICE CONTROL THREE, DEVICE CONTROL FOUR, "
    "NEGATIVE ACKNOWLEDGE, SYNCHRONOUS IDLE, END OF TRANSMISSION BLOCK, CANCEL, END OF MEDIUM, SUBSTITUTE, ESCAPE, "
    "INFORMATION SEPARATOR FOUR, INFORMATION SEPARATOR THREE, INFORMATION SEPARATOR TWO, INFORMATION SEPARATOR ONE, "
    "DELETE, PADDING CHARACTER, HIGH OCTET PRESET, BREAK PERMITTED HERE, NO BREAK HERE, INDEX, NEXT LINE, "
    "START OF SELECTED AREA, END OF SELECTED AREA, CHARACTER TABULATION SET, CHARACTER TABULATION WITH JUSTIFICATION, "
    "LINE TABULATION SET, PARTIAL LINE FORWARD, PARTIAL LINE BACKWARD, REVERSE LINE FEED, SINGLE SHIFT TWO, "
    "SINGLE SHIFT THREE, DEVICE CONTROL STRING, PRIVATE USE ONE, PRIVATE USE TWO, SET TRANSMIT STATE, "
    "CANCEL CHARACTER, MESSAGE WAITING, START OF GUARDED AREA, END OF GUARDED AREA, START OF STRING, "
    "SINGLE GRAPHIC CHARACTER INTRODUCER, SINGLE CHARACTER INTRODUCER, CONTROL SEQUENCE INTRODUCER, "
    "STRING TERMINATOR, OPERATING SYSTEM COMMAND, PRIVACY MESSAGE, APPLICATION PROGRAM COMMAND"
)
_CONTROLS = _NAMES_OF_CONTROLS.split(", ")


def name_character(character: str) -> str:
    """Return a character's code point and Unicode name, such as `U+200B ZERO WIDTH SPACE`."""
    code = ord(character)
    if code < 0x20 or 0x7F <= code < 0xA0:
        name = _CONTROLS[code if code < 0x20 else code - 0x5F]
    elif 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
        name = "(a noncharacter)"
    elif unicodedata.category(character) == "Co":
        name = "(a private-use character)"
    else:
        name = unicodedata.name(character, "(an unassigned character)")
    return f"U+{code:04X} {name}"


def name_place(place: int, length: int) -> str:
    """Say which of a text's characters is meant: `1st`, `5th`, `last`.

    Args:
        place: from 1.
        length: of the text, in characters.
    """
    if place == length and length > 1:
        return "last"
    teens = 10 <= place % 100 < 20
    return f"{place}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(place % 10, 'th')}"


def show_needed_joiners(text: str) -> str:
    """Put a letter in place of each joiner that the script of its neighbours needs: what is left can't be typed."""
    if not any(joiner in text for joiner in JOINERS):
        return text
    from idna import valid_contextj  # which no DAG needs when it is parsed

    shown = list(text)
    for place, character in enumerate(text):
        if character in JOINERS:
            try:
                is_needed = valid_contextj(text, place)
            except ValueError:  # beside a character without a name
                is_needed = False
            shown[place] = "x" if is_needed else character
    return "".join(shown)


def describe_invisible(text: str, *, is_name: bool = False) -> str | None:
    """Name the first invisible character of a text and its place; None without one.

    Args:
        is_name: joiners that its script needs are no invisible characters.
    """
    for match in _FIRST.finditer(show_needed_joiners(text) if is_name else text):
        if match[1]:
            return f"{name_character(match[1])} as its {name_place(match.start() + 1, len(text))} character"
    return None
