"""`kill -9` of a task at work in the running Airflow: its retry finishes the import, with nobody's help."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest
import sqlalchemy as sa

from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.imports import SETTLES_SOON, STAGES, Imports, card_numbers, cards, wait_for

pytestmark = pytest.mark.e2e


def task_at_work(imports: Imports, name: str) -> dict[str, Any]:
    """Wait until the load of a file waits for the lock that the test holds, and return its task instance."""

    def waiting() -> dict[str, Any] | None:
        jobs = imports.jobs(name)
        is_blocked = imports.query(
            "SELECT FROM pg_locks WHERE relation = 'loyalty.gift_card'::regclass AND NOT granted"
        )
        if not jobs or not is_blocked:
            return None
        tasks = [task for task in imports.task_instances(jobs[0]) if task["task_id"] == "load_rows"]
        return tasks[0] if tasks and tasks[0]["state"] == "running" else None

    return wait_for(waiting, 60, f"load_rows of {name} to wait for the lock")


@pytest.mark.parametrize("victim", ["task", "worker and task"])
def test_a_task_killed_in_the_middle_of_the_load_is_retried_and_loads_each_row_once(
    victim: str, imports: Imports, pool: str
) -> None:
    """Source: X-14."""
    series = 900 if victim == "task" else 901
    name = f"killed-{series}.csv"
    engine = create_warehouse_engine(imports.stack.url_for(Role.OWNER))
    with engine.begin() as blocker:
        blocker.execute(sa.text("LOCK TABLE loyalty.gift_card IN SHARE MODE"))
        imports.drop("gift_cards", name, cards(series, 500, pool) + b"6000090099999999,nowhere,,1\n", SETTLES_SOON)
        running = task_at_work(imports, name)
        process = psutil.Process(running["pid"])
        worker = process.parent()
        assert worker is not None
        assert "airflow" in " ".join(worker.cmdline())
        if victim != "task":
            os.kill(worker.pid, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
    engine.dispose()

    job = imports.wait_for_job(name, seconds=150)
    assert job["state"] == "completed_with_rejects"
    assert imports.rows(job) == {"read": 501, "inserted": 500, "rejected": 1}
    assert imports.loaded(*card_numbers(series, 500)) == card_numbers(series, 500)
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    (load,) = [task for task in imports.task_instances(job) if task["task_id"] == "load_rows"]
    assert load["try_number"] == 2
    assert imports.run(job)["state"] == "success"
