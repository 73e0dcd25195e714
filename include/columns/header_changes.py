"""What has changed in the columns of a sender's files: renamed, lost and new ones. Source: X-05, X-06."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

from include.columns.mapping import ORIGIN_COLUMNS
from include.names import LONGEST_NAME, normalise_name

ALIKE = 0.7
"""Names that share so much are taken for one that was renamed; so are those in the same place."""
_COMPARED = 200


@dataclass(frozen=True)
class HeaderChange:
    """How a header differs from an earlier one. The order of columns is no difference.

    Args:
        renamed: (before, now).
        lost: headers that only the earlier file had, in its order.
        new: headers that only this file has, in its order.
    """

    renamed: tuple[tuple[str, str], ...] = ()
    lost: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """True when there is any difference."""
        return bool(self.renamed or self.lost or self.new)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, for the ledger."""
        return asdict(self)


def compare_headers(before: Sequence[str], now: Sequence[str]) -> HeaderChange:
    """Compare the sender's own columns of two files by their normalised names.

    A new column with a name like a lost one's is the lost one renamed; so is one in its very place, when the number of
    columns is the same.
    """
    earlier, later = ([text for text in header if text.strip() not in ORIGIN_COLUMNS] for header in (before, now))
    lost = _without(earlier, later)
    new = _without(later, earlier)
    renamed = []
    for place in list(lost):
        like = _renamed_to(place, earlier, later, new)
        if like is not None:
            renamed.append((earlier[place], later[like]))
            lost.remove(place)
            new.remove(like)
    return HeaderChange(tuple(renamed), tuple(earlier[place] for place in lost), tuple(later[place] for place in new))


def _without(header: Sequence[str], other: Sequence[str]) -> list[int]:
    """Return the places of columns that the other header has not, each as often as it is short of them."""
    left = [normalise_name(text) for text in other]
    places = []
    for place, text in enumerate(header):
        name = normalise_name(text)
        if name in left:
            left.remove(name)
        else:
            places.append(place)
    return places


def _renamed_to(place: int, earlier: Sequence[str], later: Sequence[str], new: Sequence[int]) -> int | None:
    if place in new and len(earlier) == len(later):
        return place
    name = normalise_name(earlier[place][:LONGEST_NAME])
    for candidate in new[:_COMPARED]:
        other = normalise_name(later[candidate][:LONGEST_NAME])
        if name and other and SequenceMatcher(None, name, other).ratio() >= ALIKE:
            return candidate
    return None
