"""The frame that every stage stands in: the job's row locked, refusals recorded, database errors without values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from include.importing import jobs
from include.importing.errors import FileRefused, WarehouseFault, WarehouseUnavailable
from include.importing.jobs import Job
from include.importing.runtime import Runtime
from include.warehouse.engine import text_without_values

_OUTAGES = ("08", "40", "53", "57")
"""SQLSTATE classes: connection, transaction rollback (deadlock), insufficient resources, operator intervention."""


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


@contextmanager
def values_hidden() -> Iterator[None]:
    """Turn database errors into ones that quote no values: a duplicate key error tells the card number (X-20)."""
    try:
        yield
    except DBAPIError as error:
        raise _without_values(error.orig, is_outage=isinstance(error, OperationalError | InterfaceError)) from None
    except psycopg2.Error as error:
        is_outage = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        raise _without_values(error, is_outage=is_outage) from None


def _without_values(error: BaseException | None, *, is_outage: bool) -> WarehouseUnavailable | WarehouseFault:
    state = getattr(error, "pgcode", None)
    told = text_without_values(error) if isinstance(error, psycopg2.Error) else type(error).__name__
    told = " ".join(told.split())  # libpq breaks lines
    if (state is None and is_outage) or (state is not None and state[:2] in _OUTAGES):
        return WarehouseUnavailable(f"The database gave up or could not be reached: {told}")
    return WarehouseFault(f"The database refused a statement: {told}")
