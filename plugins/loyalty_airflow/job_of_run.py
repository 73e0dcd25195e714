"""The job of a DAG run in the ledger, found by the run's own name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DagRunState, get_current_context

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.ledger.jobs import Job
    from include.runtime import Runtime

GOING_ON: list[str] = [DagRunState.QUEUED.value, DagRunState.RUNNING.value]
ENDED = (DagRunState.SUCCESS.value, DagRunState.FAILED.value)
"""States of a run."""


def run_key(context: Context) -> str:
    """Name this run in the ledger; clearing tasks keeps it, so that a rerun finds its job."""
    return f"{context['ti'].dag_id}/{context['ti'].run_id}"


def find_job(runtime: Runtime) -> Job | None:
    """Return this run's job: by its key, since a refused `take_file` fails and leaves no XCom."""
    from include.ledger import jobs

    with runtime.engine.connect() as connection:
        return jobs.find(connection, run_key(get_current_context()))


def resume(runtime: Runtime, job_id: int) -> bool:
    """Let a failed job go on where it stopped, its task having been cleared; return False when it can't (X-14)."""
    from sqlalchemy import update

    from include.arrivals import files
    from include.ledger import jobs

    with runtime.engine.begin() as connection:
        # Without a lock: the tasks of the other chunks share one on the row for as long as they run.
        connection.execute(
            update(jobs.JOB)
            .where(
                jobs.JOB.c.id == job_id,
                jobs.JOB.c.state == jobs.State.FAILED,
                jobs.JOB.c.refusal_rule.is_distinct_from(files.CHANGED),  # whose file is taken again, and read again
            )
            .values(state=jobs.State.RUNNING, finished_at=None, refusal_rule=None, refusal_message=None)
        )
        state = jobs.get(connection, job_id).state
    return state is jobs.State.RUNNING or state.is_completed
