"""Jobs that nobody will close any more: their run, or their command, has ended without it. Source: X-12, X-14, GC-05.

`close_job` closes a job whatever became of its run, unless it couldn't itself (an outage longer than its retries), or
the run was deleted. An open job holds files of other types back, and its page says that it is running.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from include.ledger.jobs import JOB, JobResult
from include.runtime import Runtime
from include.stages import reporting
from include.warehouse.transactions import values_hidden

SHORTEST_AGE = timedelta(minutes=1)
"""Of a command's job: it is opened before the command says that it goes on."""
_COMMAND_LOCK = 7310591
"""First key of an advisory lock whose second is the job's number."""
_TRY_LOCK = sa.text("SELECT pg_try_advisory_lock_shared(:key, :job)")
_IS_HELD = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid, objid, objsubid) = (:key, :job, 2) AND granted)"
)


@dataclass(frozen=True)
class OpenJob:
    """A job that has not been closed.

    Args:
        dag_id, dag_run_id: None when a command runs it.
    """

    id: int
    dag_id: str | None
    dag_run_id: str | None


@contextmanager
def command_going_on(runtime: Runtime, job_id: int) -> Iterator[None]:
    """Show others that a command works on a job, for as long as this process and its connection live."""
    with values_hidden():
        connection = runtime.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(_TRY_LOCK, {"key": _COMMAND_LOCK, "job": _lock_number(job_id)})
    with connection:
        try:
            yield
        finally:
            connection.invalidate()  # the session ends, and the lock with it, also when the server is away


def open_jobs(runtime: Runtime, now: datetime) -> list[OpenJob]:
    """Return the jobs that are open and whose command, if one runs them, has ended."""
    query = sa.select(JOB.c.id, JOB.c.dag_id, JOB.c.dag_run_id, JOB.c.launched_at).where(JOB.c.finished_at.is_(None))
    with values_hidden(), runtime.engine.connect() as connection:
        rows = connection.execute(query.order_by(JOB.c.id)).all()
        return [
            OpenJob(row.id, row.dag_id, row.dag_run_id)
            for row in rows
            if row.dag_run_id is not None
            or (row.launched_at < now - SHORTEST_AGE and not _has_command(connection, row.id))
        ]


def close(runtime: Runtime, job: OpenJob, *, is_deleted: bool = False) -> JobResult | None:
    """Close an open job whose run or command has ended: as failed, unless it was loaded, refused or cancelled before.

    Its file is where `close_job` leaves that of any other failed job: a cleared run, or the same command, goes on.

    Args:
        is_deleted: there is no such run any more.

    Returns:
        Its result; None when a task that is just being ended still has it in hand: the next look finds it closed, or
        free.
    """
    mine = sa.select(JOB.c.id).where(JOB.c.id == job.id, JOB.c.finished_at.is_(None))
    with values_hidden(), runtime.engine.begin() as connection:
        if connection.execute(mine.with_for_update(skip_locked=True)).first() is None:
            return None
    if job.dag_run_id is None:
        failure = "The command that imported it ended before the import was done. Give it again to go on."
    elif is_deleted:
        failure = "Its run was deleted before the import was done. Trigger a new one, or drop the file again."
    else:
        failure = "Its run ended before the import was done. Clear the first task that did nothing to go on."
    return reporting.close_job(runtime, job.id, failure=failure)


def _has_command(connection: sa.Connection, job_id: int) -> bool:
    values = {"key": _COMMAND_LOCK, "job": _lock_number(job_id)}
    return bool(connection.execute(_IS_HELD, values).scalar_one())


def _lock_number(job_id: int) -> int:
    return job_id % (2**31 - 1)
