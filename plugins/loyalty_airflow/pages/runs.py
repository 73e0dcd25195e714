"""Start DAG runs from the pages, as Airflow's own form does: by the code of its API, in the user's name.

A form carries a token made when it was shown, and the run's id is made of it: to send it twice, by a double click or a
lost answer, starts one run.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import HTTPException, status
from sqlalchemy.exc import IntegrityError

from loyalty_airflow import airflow_internals
from loyalty_airflow.airflow_internals import database_session
from loyalty_airflow.job_of_run import ENDED

if TYPE_CHECKING:
    from fastapi import Request
    from sqlalchemy.orm import Session

    from loyalty_airflow.airflow_internals import BaseUser

_TOKEN = re.compile("[0-9a-f]{16}")


class RunRefused(Exception):
    """The run can't be started; nothing was.

    Args:
        message: a sentence for the person who asked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def make_token() -> str:
    """Return what distinguishes one form from another."""
    return secrets.token_hex(8)


def check_token(token: str) -> str:
    """Return the token of a form that was sent.

    Raises:
        HTTPException: 400: it is none of ours.
    """
    if not _TOKEN.fullmatch(token):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The form has no token of this page; load the page again.")
    return token


def start_run(
    request: Request,
    user: BaseUser,
    dag_id: str,
    run_id: str,
    conf: Mapping[str, Any],
    *,
    prepare: Callable[[], None] | None = None,
) -> bool:
    """Start a run once. The rights of the user are for the caller to check.

    Args:
        conf: the run's parameters; Airflow judges them by the DAG's form.
        prepare: is called when it is certain that this call starts the run, before the scheduler can see it.

    Returns:
        False when the very same run has been started before.

    Raises:
        RunRefused: no such DAG, parameters that its form refuses, or the id is that of a run with other parameters.
    """
    with database_session() as session:
        if _is_started(session, dag_id, run_id, conf):
            return False
        try:
            # Airflow's home page counts failures by runs that have a logical date; its own form gives the time as well.
            now = datetime.now(UTC)
            airflow_internals.start_run_as(session, request, user, dag_id, run_id, logical_date=now, conf=conf)
        except IntegrityError:
            session.rollback()
            if _is_started(session, dag_id, run_id, conf):
                return False
            raise
        except HTTPException as error:
            session.rollback()
            raise RunRefused(str(error.detail)) from None
        try:
            if prepare is not None:
                prepare()
        except BaseException:
            session.rollback()
            raise
    return True


def is_paused(dag_id: str) -> bool:
    """Return whether runs of a DAG wait because a user has paused it."""
    with database_session() as session:
        return airflow_internals.is_paused(session, dag_id)


def run_path(dag_id: str, run_id: str) -> str:
    """Return Airflow's page of a run, below the root of Airflow."""
    return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


@dataclass(frozen=True)
class Run:
    """A DAG run as the pages show it.

    Args:
        is_paused: its DAG is, so that the run begins when a user unpauses it.
    """

    dag_id: str
    run_id: str
    state: str
    is_paused: bool

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return self.state in ENDED

    @property
    def path(self) -> str:
        """Airflow's page of it, below the root of Airflow."""
        return run_path(self.dag_id, self.run_id)


def find_run(dag_id: str, run_id: str) -> Run | None:
    """Return a run, None when there is none."""
    state = find_state(dag_id, run_id)
    return None if state is None else Run(dag_id, run_id, state, is_paused(dag_id))


def find_state(dag_id: str, run_id: str) -> str | None:
    """Return the state of a run, None when there is none."""
    with database_session() as session:
        return airflow_internals.run_state(session, dag_id, run_id)


def _is_started(session: Session, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> bool:
    started_with = airflow_internals.run_conf(session, dag_id, run_id)
    if started_with is None:
        return False
    if started_with[0] != dict(conf):
        raise RunRefused("This form has been sent before, with other values. Load the page again to send these.")
    return True
