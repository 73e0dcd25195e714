"""Files dropped into a running stack, and what became of them: the ledger, Airflow's runs, the folders."""

from __future__ import annotations

import atexit
import contextlib
import functools
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
import yaml
from upath import UPath

from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tools.stack.airflow_api import AirflowApi
from tools.stack.lifecycle import Stack

T = TypeVar("T")

LOCATIONS = ("landing", "work", "reports", "archive")
POOL_HEADER = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime"
)
CARD_HEADER = "card_number,pool_system_name,cvv,balance"
SETTLES_SOON = {"settle_seconds": 1}
UNASKED = SETTLES_SOON | {"review_reject_share": 1}
"""Of files most of whose rows are to be rejected (X-18)."""
CARD_NUMBER = re.compile(r"(?<!\d)60\d{14}(?!\d)")
"""Every card number of these tests looks like this, and nothing else does."""
STAGES = ("take_file", "inspect_file", "validate_chunk", "load_rows", "write_report", "close_job")
QUESTIONS = ("review_mapping", "review_mapping_2", "review_mapping_3")
"""Tasks that ask a person; skipped where there is nothing to ask."""
WAITING = ("awaiting_input", "deferred")
"""States of a task whose question waits for an answer: since it was put, and since the task was repeated."""


def pools(*names: str, brand: str = "Acme") -> bytes:
    """Return a file of pools that take any value and need no CVV."""
    rows = [f"{name},{name},true,true,product-{name},website,{brand},false,,NoExpiration," for name in names]
    return "\n".join([POOL_HEADER, *rows, ""]).encode()


def card_numbers(series: int, count: int) -> list[str]:
    """Return the numbers of one series, 16 digits each."""
    return [f"60{series:06d}{number:08d}" for number in range(1, count + 1)]


def cards(series: int, count: int, pool: str) -> bytes:
    """Return a file of cards without faults."""
    rows = [f"{number},{pool},,25.00" for number in card_numbers(series, count)]
    return "\n".join([CARD_HEADER, *rows, ""]).encode()


def wait_for(poll: Callable[[], T | None], seconds: float, what: str, pause_seconds: float = 0.1) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while (answer := poll()) is None:
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(pause_seconds)
    return answer


class Imports:
    """A running stack with the project's DAGs.

    Args:
        folders: where its four areas are.
    """

    def __init__(self, stack: Stack, folders: Mapping[str, UPath]) -> None:
        self.stack = stack
        self.api: AirflowApi = stack.api()
        self.landing, self.work, self.reports, self.archive = (folders[name] for name in LOCATIONS)
        self._warehouse = create_warehouse_engine(stack.url_for(Role.OWNER))
        self.dropped_numbers: set[str] = set()

    def close(self) -> None:
        """Close the database connections."""
        self._warehouse.dispose()

    # -- files

    def drop(self, folder: str, name: str, content: bytes, settings: Mapping[str, object] | None = None) -> float:
        """Put a file into a landing folder, as the README recommends: write, then rename; return when (X-12)."""
        target = self.landing / folder
        self.remember(content)
        is_bucket = target.protocol not in ("", "file", "local")
        if not is_bucket:
            target.mkdir(parents=True, exist_ok=True)
        if settings is not None:
            (target / f"{name}.settings.yaml").write_bytes(yaml.safe_dump(dict(settings)).encode())
        if is_bucket:
            (target / name).write_bytes(content)
            return time.time()
        partial = target / f".{name}.part"
        partial.write_bytes(content)
        partial.rename(target / name)
        return time.time()

    def remember(self, content: bytes) -> None:
        """Note the card numbers of a file."""
        self.dropped_numbers |= set(CARD_NUMBER.findall(content.decode(errors="replace")))

    def names_in_landing(self) -> set[str]:
        """Return the names of all files in the landing area."""
        return {path.name for path in self.landing.rglob("*") if path.is_file()}

    def read(self, url: str) -> bytes:
        """Return a file that the ledger names."""
        return UPath(url, **self.landing.storage_options).read_bytes()

    # -- the warehouse

    def query(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """Run one statement in a transaction of its own and return its rows."""
        with self._warehouse.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def loaded(self, *numbers: str) -> list[str]:
        """Return which of these cards exist."""
        rows = self.query(
            "SELECT card_number FROM loyalty.gift_card WHERE card_number = ANY(:numbers) ORDER BY 1",
            numbers=list(numbers),
        )
        return [row["card_number"] for row in rows]

    def job(self, number: int) -> dict[str, Any]:
        """Return a job."""
        (job,) = self.query("SELECT * FROM ledger.import_job WHERE id = :number", number=number)
        return job

    def jobs(self, name: str) -> list[dict[str, Any]]:
        """Return the jobs of a file name, oldest first."""
        return self.query("SELECT * FROM ledger.import_job WHERE file_name = :name ORDER BY id", name=name)

    def wait_for_job(self, name: str, seconds: float = 90, number: int = 1) -> dict[str, Any]:
        """Wait until the n-th job of a file name has ended, and its run too; there must be no other after it."""

        def ended() -> dict[str, Any] | None:
            jobs = self.jobs(name)[number - 1 :]
            return jobs[0] if jobs and jobs[0]["finished_at"] is not None else None

        job = wait_for(ended, seconds, f"the end of job {number} of {name}")
        if job["dag_run_id"]:
            self.wait_for_run(job["dag_id"], job["dag_run_id"])
        assert len(self.jobs(name)) == number
        return self.job(job["id"])

    def rows(self, job: Mapping[str, Any]) -> dict[str, int]:
        """Return a job's counts that are not 0."""
        names = ("read", "inserted", "updated", "unchanged", "not_found", "rejected")
        return {name: job[f"rows_{name}"] for name in names if job[f"rows_{name}"]}

    # -- Airflow

    def run(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run of a job."""
        run: dict[str, Any] = self.api.get(_run_path(job["dag_id"], job["dag_run_id"]))
        return run

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a run has ended."""

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = self.api.get(_run_path(dag_id, run_id))
            return run if run["state"] in ("success", "failed") else None

        return wait_for(ended, seconds, f"the run {run_id}")

    def tasks(self, job: Mapping[str, Any]) -> dict[str, str]:
        """Return the state of each task of a job's run, skipped questions left out.

        A mapped one must be in the same state everywhere.
        """
        states: dict[str, set[str]] = {}
        for task in self.task_instances(job):
            states.setdefault(task["task_id"], set()).add(task["state"])
        assert all(len(task_states) == 1 for task_states in states.values()), states
        state_by_task = {task: task_states.pop() for task, task_states in states.items()}
        return {task: state for task, state in state_by_task.items() if task not in QUESTIONS or state != "skipped"}

    def task_instances(self, job: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the tasks of a job's run as Airflow reports them."""
        path = f"{_run_path(job['dag_id'], job['dag_run_id'])}/taskInstances?limit=100"
        instances: list[dict[str, Any]] = self.api.get(path)["task_instances"]
        return instances

    def clear(self, job: Mapping[str, Any], task: str) -> None:
        """Clear a task with everything downstream, as a person does in the UI, and wait until the run has ended."""
        body = {
            "dry_run": False, "dag_run_id": job["dag_run_id"], "task_ids": [task], "include_downstream": True,
            "only_failed": False, "reset_dag_runs": True,
        }  # fmt: skip
        cleared_at = datetime.now(UTC)
        self.api.post(f"/api/v2/dags/{job['dag_id']}/clearTaskInstances", body)
        self.wait_for_run(job["dag_id"], job["dag_run_id"])
        repeated = {
            one["task_id"] for one in self.task_instances(job) if datetime.fromisoformat(one["start_date"]) > cleared_at
        }
        assert repeated & set(STAGES) == set(STAGES[STAGES.index(task) :])

    # -- reviews

    def wait_for_question(self, name: str, number: int = 1, seconds: float = 60) -> dict[str, Any]:
        """Wait until the n-th question about a file has been put; return its form as Airflow shows it."""
        task = QUESTIONS[number - 1]

        def waiting() -> dict[str, Any] | None:
            jobs = [job for job in self.jobs(name) if job["state"] == "awaiting_review"]
            if not jobs:
                return None
            states = {one["task_id"]: one["state"] for one in self.task_instances(jobs[0])}
            return jobs[0] if states[task] in WAITING else None

        job = wait_for(waiting, seconds, f"question {number} about {name}")
        form: dict[str, Any] = self.api.get(self._form_path(job, number))
        # As nobody answers within a second. The scheduler would take the end of the process that asked for that of the
        # one that goes on (3.3.2), and repeat the task ten seconds later; the answer isn't lost.
        time.sleep(1)
        return form

    def answer(self, name: str, option: str = "Launch", number: int = 1, **columns: str) -> None:
        """Answer a question as the UI does: with every dropdown, those named here changed."""
        job = self.jobs(name)[-1]
        form = self.api.get(self._form_path(job, number))
        chosen = {field: param["value"] for field, param in form["params"].items()} | columns
        self.api.patch(self._form_path(job, number), {"chosen_options": [option], "params_input": chosen})

    def _form_path(self, job: Mapping[str, Any], number: int) -> str:
        task = QUESTIONS[number - 1]
        return f"{_run_path(job['dag_id'], job['dag_run_id'])}/taskInstances/{task}/-1/hitlDetails"

    def start(self, import_type: str, **form: object) -> str:
        """Start a run by hand with the form's fields; return its id."""
        body = {"logical_date": None, "conf": form}
        return str(self.api.post(f"/api/v2/dags/import_{import_type}/dagRuns", body)["dag_run_id"])

    def trigger(self, import_type: str, **form: object) -> dict[str, Any]:
        """Start a run by hand and wait for its job."""
        run_id = self.start(import_type, **form)
        self.wait_for_run(f"import_{import_type}", run_id)
        (job,) = self.query("SELECT * FROM ledger.import_job WHERE dag_run_id = :run_id", run_id=run_id)
        return job


@functools.cache
def exports() -> Path:
    """Return a folder outside the landing area whose files runs may name (X-21)."""
    folder = Path(tempfile.mkdtemp(prefix="exports-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return folder


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id)}"


@contextlib.contextmanager
def watched(stack: Stack, folders: Mapping[str, UPath]) -> Iterator[Imports]:
    """Return the imports of a running stack."""
    imports = Imports(stack, folders)
    try:
        yield imports
    finally:
        imports.close()
