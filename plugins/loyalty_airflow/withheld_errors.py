"""Errors leave a task without their text when it might quote a cell value. Source: X-20.

PostgreSQL puts keys and cells into its messages ("Key (card_number)=(…) already exists"), Python puts what it could not
convert. Airflow writes both into task logs. So every task body is wrapped: what goes on to Airflow says which error,
where and under which SQLSTATE, and decides whether a repetition helps.
"""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRuntimeError, AirflowSkipException

from include.errors import (
    ConfigurationError,
    FileRefused,
    FileUnsettled,
    LoadCancelled,
    NotAllDeleted,
    NotApproved,
    SourceChanged,
    SuiteError,
    WarehouseFault,
    WarehouseUnavailable,
    is_storage_error,
)

if TYPE_CHECKING:
    import psycopg2

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

OWN_ERRORS = (ConfigurationError, NotAllDeleted, SourceChanged, SuiteError, WarehouseFault, WarehouseUnavailable)
"""Their texts are ours and quote no values."""
OF_CODE = (ImportError, ModuleNotFoundError, NameError, AttributeError, TypeError)
"""Errors of the program's own words, as Python raises them; subclasses (pyarrow's, for one) may quote values."""


class OutageError(Exception):
    """The database, the storage or the network did not answer: the task is repeated after a pause."""


def withhold_values(body: Callable[P, T]) -> Callable[P, T]:
    """Make a task body raise only errors that quote no values.

    A refused file fails its task at once, a file that another run has skips it, an outage is retried; anything else is
    a defect and fails at once: repeating it would only repeat it.
    """

    @functools.wraps(body)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return body(*args, **kwargs)
        except (AirflowException, AirflowRuntimeError):
            raise
        except Exception as error:
            shown = shown_error(error)
            is_expected = isinstance(error, (FileRefused, NotApproved, *OWN_ERRORS))
            if not is_expected and not isinstance(shown, AirflowSkipException):
                # Source lines only: the text of the error and of its causes is what may hold values.
                log.error("Where it was raised:\n%s", "".join(traceback.format_tb(error.__traceback__)))
        raise shown  # outside the handler: inside, Python would keep the original as its context, and Airflow log it

    return call


def shown_error(error: Exception) -> Exception:
    """Return the error that Airflow may see in place of this one."""
    from include.ledger.jobs import FileTaken
    from include.promo_codes.errors import GenerationRefused

    if isinstance(error, GenerationRefused):
        return AirflowFailException(f"Refused ({error.rule}): {error.message}")
    if isinstance(error, FileRefused):
        return AirflowFailException(f"The file is refused ({error.rule}): {error.message}")
    if isinstance(error, NotApproved):
        return AirflowFailException(f"{_sentence(error)}: clear review_mapping to be asked again")
    if isinstance(error, LoadCancelled):
        return AirflowSkipException(_sentence(error))
    if isinstance(error, (FileTaken, FileUnsettled)):
        return AirflowSkipException(str(error))
    return (OutageError if is_outage(error) else AirflowFailException)(describe(error))


def _sentence(error: Exception) -> str:
    """Return an error's text, which is ours, with a capital letter."""
    return f"{str(error)[:1].upper()}{str(error)[1:]}"


def is_outage(error: BaseException) -> bool:
    """Return whether the same call may succeed later: lost connections, locks, full disks, a restarting server."""
    import psycopg2
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_outage(error.orig))
    if is_storage_error(error):
        return True
    # psycopg2 keeps SQLSTATE classes 08, 40, 53, 55, 57 and 58 under OperationalError.
    return isinstance(error, (WarehouseUnavailable, psycopg2.OperationalError, psycopg2.InterfaceError, OSError))


def describe(error: BaseException) -> str:
    """Say what kind of error it was and where, without its text."""
    import psycopg2

    database_error = getattr(error, "orig", None) or error
    if isinstance(database_error, psycopg2.Error) and database_error.pgcode is not None:
        return _describe_database_error(database_error)
    if isinstance(database_error, psycopg2.OperationalError):  # the connection itself: no statement, no values
        return f"{type(database_error).__name__}: {str(database_error).strip().partition(chr(10))[0]}"
    if isinstance(error, OWN_ERRORS):
        return f"{type(error).__name__}: {error}"
    name = f"{type(error).__module__}.{type(error).__name__}".removeprefix("builtins.")
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}" + (f": {error.filename}" if error.filename else "")
    if type(error) in OF_CODE:
        return f"{name}: {error}"
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" in {last[0].name} ({last[0].filename}:{last[0].lineno})" if last else ""
    return f"{name}{place}; its text is withheld because it may quote values"


def _describe_database_error(error: psycopg2.Error) -> str:
    """Name the SQLSTATE and the objects involved."""
    objects = {
        "schema": error.diag.schema_name,
        "table": error.diag.table_name,
        "column": error.diag.column_name,
        "constraint": error.diag.constraint_name,
    }
    named = "".join(f", {kind} {name}" for kind, name in objects.items() if name)
    return f"{type(error).__name__}: SQLSTATE {error.pgcode}{named}; its text is withheld because it may quote values"
