"""Workers that share the chunks of one file: what becomes of one of them is no matter to the others. Source: X-14."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults import children
from tests.faults.children import Child
from tests.faults.conftest import MakeScene, Undisturbed
from tests.faults.kinds import DROPPED_CARDS
from tests.faults.scenes import Scene

pytestmark = pytest.mark.faults

MANY_CARDS = replace(DROPPED_CARDS, name="many cards", rows=1_000)


def staged(scene: Scene) -> dict[str, int]:
    """Return the identity of each staging table: a chunk that is judged again gets another table."""
    with scene.transaction() as connection:
        return dict(
            connection.exec_driver_sql(
                "SELECT relname, oid FROM pg_class WHERE relnamespace = 'staging'::regnamespace AND relkind = 'r'"
            ).all()
        )


def test_a_slow_worker_delays_no_other_chunk_and_a_killed_ones_chunk_alone_is_repeated(
    make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(MANY_CARDS)
    children.kill_at(scene.work("inspected"))
    with scene.transaction() as connection:
        chunks = [number for (number,) in connection.exec_driver_sql("SELECT number FROM ledger.import_chunk")]
    assert len(chunks) >= 5
    slow = Child(scene.work("half of a COPY", resumed_job=1, chunks=(1,), log=str(scene.home / "slow.txt")))
    slow.wait_until_reached()

    others = tuple(number for number in chunks if number != 1)
    ended = children.run(scene.work(resumed_job=1, chunks=others, log=str(scene.home / "others.txt")))
    assert ended.code == 0, ended.output
    done = staged(scene)
    assert set(done) == {f"job_1_chunk_{number}" for number in others}
    slow.kill()

    ended = children.run(scene.work(resumed_job=1, chunks=(1,), log=str(scene.home / "again.txt")))
    assert ended.code == 0, ended.output
    again = staged(scene)
    assert set(again) - set(done) == {"job_1_chunk_1"}
    assert done.items() <= again.items()
    ended = children.run(scene.work(resumed_job=1, log=str(scene.home / "load.txt")))
    assert ended.code == 0, ended.output
    assert scene.left_behind() == undisturbed(MANY_CARDS)
