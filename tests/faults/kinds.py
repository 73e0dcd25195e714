"""The ways for a file to come in that the tests go through."""

from tests.faults.scenes import Kind
from tests.faults.worker import POINTS

NAMED_CARDS = Kind("cards named on the command line", "gift_cards", is_dropped=False, is_by_command=True)
DROPPED_CARDS = Kind("cards dropped in another encoding", "gift_cards", is_dropped=True, encoding="windows-1251")
DROPPED_AND_NAMED_CARDS = Kind(
    "cards dropped and named on the command line", "gift_cards", is_dropped=True, is_by_command=True
)
NAMED_POOLS = Kind("pools named on the command line", "gift_card_pools", is_dropped=False, is_by_command=True, rows=150)
DROPPED_POOLS = Kind(
    "pools dropped on another device", "gift_card_pools", is_dropped=True, areas_elsewhere=("work",), rows=150
)
_OF_CUSTOMERS = (("take_action_template_from_file", "true"), ("segment", "spring"))
DROPPED_CUSTOMERS = Kind("dropped customers", "customers", is_dropped=True, rows=200, settings=_OF_CUSTOMERS)
NAMED_CUSTOMERS = Kind(
    "customers named on the command line", "customers", is_dropped=False, is_by_command=True, rows=200,
    settings=_OF_CUSTOMERS,
)  # fmt: skip
CARDS_IN_BUCKET = Kind("cards dropped into a bucket", "gift_cards", is_dropped=True, is_in_bucket=True)
REVIEWED_CARDS = Kind(
    "dropped cards that a person is asked about", "gift_cards", is_dropped=True, settings=(("review", "true"),)
)
REFUSED_FILE = Kind("a dropped file that is refused", "gift_cards", is_dropped=True, is_refused=True)


def points_of(kind: Kind) -> list[str]:
    """Return the points that the import of such a file comes to."""
    absent = set()
    if not kind.is_dropped:
        absent |= {"out of landing, not yet copied", "brought and committed, source not yet deleted"}
    if "work" in kind.areas_elsewhere:
        absent.add("out of landing, not yet copied")
    else:
        absent.add("half copied into the archive")
    return [point for point in POINTS if point not in absent]
