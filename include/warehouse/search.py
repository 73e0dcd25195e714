"""Conditions for what people type into a search field."""

from __future__ import annotations


def contains(wanted: str) -> str:
    """Return the pattern of LIKE for a text that holds `wanted`: `%`, `_` and a backslash mean themselves."""
    text = wanted.replace("\0", "")
    for character in "\\%_":
        text = text.replace(character, f"\\{character}")
    return f"%{text}%"
