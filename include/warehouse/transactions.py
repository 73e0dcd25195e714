"""Transactions: repeated when another was in the way, their errors without the values of rows. Source: X-14, X-20."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg2
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from include.errors import WarehouseConflict, WarehouseFault, WarehouseUnavailable
from include.warehouse.engine import text_without_values

T = TypeVar("T")

ATTEMPTS = 5
"""How often a transaction is run before a conflict with others is reported."""
_OUTAGES = ("08", "40", "53", "57")
"""SQLSTATE classes: connection, transaction rollback (deadlock), insufficient resources, operator intervention."""
_CONFLICTS = ("40001", "40P01")
"""Serialization failure and deadlock."""


def repeat_on_conflict(run: Callable[[int], T]) -> T:
    """Run a whole transaction, and again when it was rolled back because another one was in its way.

    Args:
        run: begins, and commits, a transaction of its own; is given the number of the attempt, from 1.

    Raises:
        WarehouseConflict: every attempt met another transaction.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return run(attempt)
        except WarehouseConflict:
            time.sleep(random.uniform(0.01, 0.1) * attempt)  # two that met shouldn't meet again
    return run(ATTEMPTS)


@contextmanager
def values_hidden() -> Iterator[None]:
    """Turn database errors into ones that quote no values: a duplicate key error shows the card number (X-20)."""
    try:
        yield
    except DBAPIError as error:
        raise _without_values(error.orig, is_outage=isinstance(error, OperationalError | InterfaceError)) from None
    except PoolTimeout:
        raise WarehouseUnavailable("All connections to the database are in use.") from None
    except psycopg2.Error as error:
        is_outage = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        raise _without_values(error, is_outage=is_outage) from None


def _without_values(error: BaseException | None, *, is_outage: bool) -> WarehouseUnavailable | WarehouseFault:
    state = getattr(error, "pgcode", None)
    message = text_without_values(error) if isinstance(error, psycopg2.Error) else type(error).__name__
    message = " ".join([*message.split(), *getattr(error, "__notes__", ())])  # libpq breaks lines
    if state in _CONFLICTS:
        return WarehouseConflict(f"Another transaction was in the way: {message}")
    if (state is None and is_outage) or (state is not None and state[:2] in _OUTAGES):
        return WarehouseUnavailable(f"The database gave up or could not be reached: {message}")
    return WarehouseFault(f"The database refused a statement: {message}")
