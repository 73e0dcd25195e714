"""Two processes that are given the same file at once load each row once. Source: X-14."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.children import Child
from tests.faults.conftest import MakeScene, Undisturbed
from tests.faults.kinds import DROPPED_CARDS, DROPPED_POOLS, NAMED_CARDS, NAMED_POOLS
from tests.faults.scenes import Kind
from tests.faults.waiting import wait_until_blocked

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("kind", [NAMED_CARDS, NAMED_POOLS, DROPPED_CARDS, DROPPED_POOLS], ids=str)
def test_two_processes_that_run_the_same_import_at_once_do_together_what_one_does(
    kind: Kind, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(kind)
    workers = [Child(scene.work("before the job is opened")) for _ in range(2)]
    for worker in workers:
        worker.wait_until_reached()
    for worker in workers:
        worker.let_go()
    ended = [worker.end() for worker in workers]
    assert [result.code for result in ended] == [0, 0], ended[0].output
    left = scene.left_behind()
    assert left == undisturbed(numbered(kind, left))


@pytest.mark.parametrize("point", ["planned, not yet committed", "half of a COPY", "rows inserted, not yet committed"])
def test_a_process_that_waits_for_another_takes_over_when_that_is_killed(
    point: str, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(NAMED_CARDS)
    first = Child(scene.work(point))
    first.wait_until_reached()
    second = Child(scene.work())
    wait_until_blocked(scene, second)
    first.kill()
    ended = second.end()
    assert ended.code == 0, ended.output
    assert scene.left_behind() == undisturbed(NAMED_CARDS)


@pytest.mark.parametrize(
    "point",
    ["claimed, not yet brought", "brought, not yet committed", "taken", "rows inserted, not yet committed", "reported"],
)
def test_another_run_reports_that_the_file_is_taken_and_changes_nothing(
    point: str, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(DROPPED_CARDS)
    first = Child(scene.work(point))
    first.wait_until_reached()
    refused = Child(scene.work(run_key="import/drop-2", log=str(scene.home / "second.txt"))).end()
    assert (refused.code, refused.output.startswith("FileTaken: файл 1.csv ")) == (1, True), refused.output
    assert "job 1" in refused.output
    first.let_go()
    assert first.end().code == 0
    assert scene.left_behind() == undisturbed(DROPPED_CARDS)


def test_of_two_runs_that_start_together_for_one_file_one_imports_it(make_scene: MakeScene, undisturbed: Undisturbed):
    scene = make_scene(DROPPED_POOLS)
    workers = [
        Child(
            scene.work(
                "before the job is opened", run_key=f"import/drop-{number}", log=str(scene.home / f"{number}.txt")
            )
        )
        for number in (1, 2)
    ]
    for worker in workers:
        worker.wait_until_reached()
    for worker in workers:
        worker.let_go()
    ended = [worker.end() for worker in workers]
    assert sorted(result.code for result in ended) == [0, 1], [result.output for result in ended]
    left = scene.left_behind()
    assert left == undisturbed(numbered(DROPPED_POOLS, left))


def numbered(kind: Kind, left: dict[str, Any]) -> Kind:
    """Return the kind with the number that the job has got: the process that came second may have used up the first."""
    number = left["jobs"][0]["job"]["id"]
    assert number in (1, 2)
    return replace(kind, first_job=number)
