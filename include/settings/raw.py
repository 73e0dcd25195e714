"""Settings as a person wrote them, and what they came to. Source: X-11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from include.declaration.import_type import ImportType
from include.located_yaml import shown
from include.names import mask_data


@dataclass(frozen=True)
class RawSettings:
    """Settings as a person wrote them, not yet validated.

    Args:
        source: what messages call them, such as the file's name.
        lines: line of each key, where there are lines.
        checked: what they came to for each type, so that a text that is read once is checked once as well; None for
            values that may change.
    """

    source: str
    values: Mapping[str, object]
    lines: Mapping[str, int] = field(default_factory=dict)
    checked: dict[str, Checked] | None = field(default=None, compare=False, repr=False)

    def at(self, key: str) -> str:
        """Name a key for a message: source, line, key."""
        line = f"line {self.lines[key]}, " if key in self.lines else ""
        return f"{shown(self.source)}: {line}{mask_data(shown(key))}"


class Mistakes(NamedTuple):
    """What is wrong with raw settings.

    Args:
        first: (key, sentence), as many as are shown.
        number: of all of them.
    """

    first: list[tuple[str, str]]
    number: int


class Checked(NamedTuple):
    """What raw settings came to for an import type."""

    import_type: ImportType
    values: Mapping[str, Any]
    mistakes: Mistakes
