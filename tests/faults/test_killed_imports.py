"""Imports killed with SIGKILL at every point and run again end like imports that nothing disturbed. Source: X-14."""

from __future__ import annotations

import pytest

from tests.faults import children
from tests.faults.conftest import MakeScene
from tests.faults.scenes import Kind
from tests.faults.worker import POINTS

pytestmark = pytest.mark.faults

NAMED_CARDS = Kind("cards named on the command line", "gift_cards", is_dropped=False)
DROPPED_CARDS = Kind("cards dropped into landing", "gift_cards", is_dropped=True, encoding="windows-1251")
NAMED_POOLS = Kind("pools named on the command line", "gift_card_pools", is_dropped=False)
DROPPED_POOLS = Kind(
    "pools dropped into landing", "gift_card_pools", is_dropped=True, areas_elsewhere=("work",)
)
KINDS = (NAMED_CARDS, DROPPED_CARDS, NAMED_POOLS, DROPPED_POOLS)

BY_COPY_INTO_WORK = ("half copied into work", "copied into work, source not yet deleted")
BY_COPY_INTO_ARCHIVE = ("half copied into the archive",)


def points_of(kind: Kind) -> list[str]:
    """Return the points that such an import comes to: some exist only where a file is copied."""
    is_copied = not kind.is_dropped or "work" in kind.areas_elsewhere
    is_recoded = kind.encoding != "utf-8"
    return [
        point
        for point in POINTS
        if (is_copied or is_recoded or point != "half copied into work")
        and (is_copied or point != "copied into work, source not yet deleted")
        and ("work" in kind.areas_elsewhere or point not in BY_COPY_INTO_ARCHIVE)
    ]


CASES = [pytest.param(kind, point, id=f"{kind}-{point}") for kind in KINDS for point in points_of(kind)]


@pytest.mark.parametrize(("kind", "point"), CASES)
def test_an_import_killed_at_any_point_and_run_again_ends_like_one_that_nothing_disturbed(
    kind: Kind, point: str, make_scene: MakeScene, undisturbed
):
    scene = make_scene(kind)
    children.kill_at(scene.work(point))
    ended = children.run(scene.work())
    assert ended.code == 0, ended.output
    assert scene.left_behind() == undisturbed(kind)
