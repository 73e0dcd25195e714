"""Two dispatchers that see the same files at once start one run each file. Source: X-14."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dags.test_pick_up_runs import drop, runs

pytestmark = pytest.mark.dags

PROJECT = Path(__file__).resolve().parents[2]
DISPATCH = """
import sys, time
from pathlib import Path
from airflow import settings
from include.arrivals import listing
from tests.dags.conftest import load_dag

mine, other = map(Path, sys.argv[1:])
real = listing.list_landing

def list_landing(*arguments):
    listed = real(*arguments)
    mine.touch()
    while not other.exists():  # go on when the other one has seen the same files
        time.sleep(0.001)
    return listed

listing.list_landing = list_landing
run = load_dag("pick_up_files").test()
print("state:", run.state)
"""


def test_two_dispatchers_that_have_listed_the_same_files_start_one_run_of_each(run_dag, folders, tmp_path):
    """As when two schedulers, or a person and the schedule, run `pick_up_files` at the same moment."""
    run_dag("pick_up_files")  # makes the DAGs known
    pools = folders.landing / "gift_card_pools"
    paths = [drop(pools, f"{number}.csv", age=100 - number) for number in range(5)]
    marks = tmp_path / "first", tmp_path / "second"
    dispatchers = [
        subprocess.Popen(
            [sys.executable, "-c", DISPATCH, *map(str, order)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        for order in (marks, marks[::-1])
    ]
    outputs = [dispatcher.communicate(timeout=120)[0] for dispatcher in dispatchers]
    assert [dispatcher.returncode for dispatcher in dispatchers] == [0, 0]
    assert all("state: success" in output for output in outputs), outputs
    started = runs("import_gift_card_pools")
    assert sorted(file for _, file, _ in started) == [str(path) for path in paths]
    assert len({run_id for run_id, _, _ in started}) == 5
