"""Regular expressions that codes must match as a whole: RE2's, whose time grows with the text alone. Source: PC-04a."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_PATTERN = 500
"""Characters of a pattern. RE2 itself refuses those whose program would take too much memory."""


def check_pattern(pattern: str) -> str:
    """Return the pattern, if codes can be compared with it.

    Raises:
        ValueError: it is too long, or RE2 can't read it; the sentence says why.
    """
    import pyarrow as pa  # which no DAG needs when it is parsed

    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"has more than {LONGEST_PATTERN} characters")
    for tried in (pattern, _whole(pattern)):  # `a)|(b` is one only with something around it
        try:
            _matches(pa.array([""]), tried)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).removeprefix("Invalid regular expression: ")
            raise ValueError(
                f"is no regular expression of RE2 ({reason}): it has no look-arounds and no references back"
            ) from None
    return pattern


def is_pattern(pattern: str) -> bool:
    """Say whether codes can be compared with a pattern."""
    try:
        check_pattern(pattern)
    except ValueError:
        return False
    return True


def matches_whole(texts: pa.StringArray, pattern: str) -> pa.BooleanArray:
    """Say which texts match a pattern from end to end; null where a text is null."""
    return _matches(texts, _whole(pattern))


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _matches(texts: pa.StringArray, pattern: str) -> pa.BooleanArray:
    import pyarrow.compute as pc

    return pc.match_substring_regex(texts, pattern)
