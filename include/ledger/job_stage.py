"""The frame of every stage of a job: the job's row locked, refusals recorded. Source: X-14."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from include.errors import FileRefused
from include.ledger import jobs
from include.ledger.jobs import Job
from include.runtime import Runtime
from include.warehouse.transactions import values_hidden


@contextmanager
def stage(runtime: Runtime, job_id: int, *, lock: str = "update") -> Iterator[tuple[Connection, Job]]:
    """Run a stage in one transaction that owns the job's row, or shares it with other chunks of the same job.

    A second process at the same stage waits and then finds the work done. A refusal rolls the stage back, is recorded
    in a transaction of its own and then raised.

    Raises:
        FileRefused, WarehouseUnavailable, WarehouseFault
    """
    with values_hidden():
        try:
            with runtime.engine.begin() as connection:
                yield connection, jobs.get(connection, job_id, lock=lock)
        except FileRefused as refusal:
            with runtime.engine.begin() as connection:
                if not jobs.get(connection, job_id, lock="update").state.is_completed:
                    jobs.refuse(connection, job_id, refusal)
            raise
