"""A whole local stack with one small DAG: it starts, repairs itself, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from include.deployment.errors import StackError
from tools.stack.lifecycle import Stack
from tools.stack.processes import is_alive
from tools.stack.temporary import free_ports, running_stack, stack_settings

pytestmark = pytest.mark.e2e

DAG = """
from airflow.sdk import dag, task

@dag(schedule=None)
def small():
    @task
    def report():
        import sys
        return "great_expectations" in sys.modules
    report()

small()
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("small project")
    (folder / "plugins").mkdir()
    (folder / "dags").mkdir()
    (folder / "dags" / "small.py").write_text(DAG)
    with running_stack(dags=folder / "dags", plugins=folder / "plugins") as running:
        yield running


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a stack; pytest's own are closed to the other user as whom root runs PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        yield Path(folder)


def state(stack: Stack) -> dict[str, dict[str, dict[str, int]]]:
    return json.loads((stack.settings.run / "state.json").read_text())


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except OSError:  # the API is away
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def run_small(stack: Stack) -> object:
    """Run the DAG and return what its task returned."""
    api = stack.api()
    started: list[str] = []
    # After a crash of the database the first questions fail: each connection of the API's pool is found dead once.
    wait_until(
        lambda: started.append(api.post("/api/v2/dags/small/dagRuns", {"logical_date": None})["dag_run_id"]) or 1
    )
    (run,) = started
    wait_until(lambda: api.get(f"/api/v2/dags/small/dagRuns/{run}")["state"] in ("success", "failed"), 90)
    task = f"/api/v2/dags/small/dagRuns/{run}/taskInstances/report"
    assert api.get(task)["state"] == "success"
    return api.get(f"{task}/xcomEntries/return_value")["value"]


def test_a_task_finds_great_expectations_imported(stack: Stack) -> None:
    assert run_small(stack) is True


def test_files_are_closed_to_other_users(stack: Stack) -> None:
    for name in ("airflow", "logs", "run", "landing", "work", "reports", "archive"):
        assert stat.S_IMODE((stack.settings.home / name).stat().st_mode) == 0o700, name
    for name in ("keys.json", "airflow/passwords.json"):
        assert stat.S_IMODE((stack.settings.home / name).stat().st_mode) == 0o600, name


def test_the_login_is_needed(stack: Stack) -> None:
    api = stack.api()
    assert api.get("/api/v2/dags/small")["is_paused"] is False
    with pytest.raises(OSError, match="401"):
        type(api)(stack.settings.url, "admin", "wrong").get("/api/v2/dags/small")


def test_a_second_start_finds_everything_running(stack: Stack) -> None:
    before = state(stack)
    Stack(stack.settings, say=lambda _: None).start()
    assert state(stack) == before


def test_a_killed_scheduler_comes_back(stack: Stack) -> None:
    first = state(stack)["components"]["scheduler"]["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: state(stack)["components"].get("scheduler", {}).get("pid", first) != first)
    run_small(stack)


def test_a_crashed_database_comes_back(stack: Stack) -> None:
    stack.server.stop("immediate")
    wait_until(stack.server.is_running)
    run_small(stack)


def test_a_stop_ends_every_process_also_after_the_supervisor_was_killed(stack: Stack) -> None:
    stack_state = state(stack)
    processes = [psutil.Process(stack_state["supervisor"]["pid"])]
    processes += [psutil.Process(component["pid"]) for component in stack_state["components"].values()]
    family = [child for process in processes for child in [process, *process.children(recursive=True)]]
    assert len(family) > 10
    os.kill(processes[0].pid, signal.SIGKILL)
    assert stack.stop() is True
    assert [process for process in family if is_alive(process)] == []
    assert not stack.server.is_running()
    assert stack.stop() is False


@pytest.mark.parametrize(("variable", "field"), [("PORT", "port"), ("PG_PORT", "pg_port"), ("SMTP_PORT", "smtp_port")])
def test_a_busy_port_is_named_and_nothing_is_left_running(variable: str, field: str, home: Path) -> None:
    ports = dict(zip(("port", "pg_port", "smtp_port"), free_ports(3), strict=True))
    stack = Stack(stack_settings(home, **ports), say=lambda _: None)
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", ports[field]))
        other_program.listen()
        with pytest.raises(StackError, match=rf"^{variable}={ports[field]} can't be used.*make demo {variable}="):
            stack.start()
    assert not stack.is_running()
    assert not stack.server.is_running()


def test_a_dag_that_cannot_be_read_stops_the_start_with_its_error(tmp_path: Path, home: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "broken.py").write_text("from airflow.sdk import dag\nimport no_such_module\n")
    with (
        pytest.raises(StackError, match=r"(?s)broken\.py.*no_such_module"),
        running_stack(dags=tmp_path / "dags", plugins=tmp_path, home=home),
    ):
        pass
