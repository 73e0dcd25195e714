"""Start DAG runs from the pages, as Airflow's own form does: by the code of its API, in the user's name.

A form carries a token made when it was shown, and the run's id is made of it: to send it twice, by a double click or a
lost answer, starts one run.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
from airflow.api_fastapi.core_api.routes.public.dag_run import trigger_dag_run
from airflow.models import DagModel, DagRun, Log
from airflow.models.dagbag import DBDagBag
from airflow.utils.session import create_session
from fastapi import HTTPException, status
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from fastapi import Request
    from sqlalchemy.orm import Session

_TOKEN = re.compile("[0-9a-f]{16}")
ENDED = ("success", "failed")


class RunRefused(Exception):
    """The run can't be started; nothing was.

    Args:
        message: a sentence for the person who asked.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def make_token() -> str:
    """Return what tells one form from another."""
    return secrets.token_hex(8)


def check_token(token: str) -> str:
    """Return the token of a form that was sent.

    Raises:
        HTTPException: 400: it is none of ours.
    """
    if not _TOKEN.fullmatch(token):
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The form has no token of this page; load the page anew.")
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
    # Airflow's home page counts failures by runs that have a logical date; its own form gives the time as well.
    body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=datetime.now(UTC), conf=dict(conf))
    with create_session(scoped=False) as session:
        if _is_started(session, dag_id, run_id, conf):
            return False
        try:
            trigger_dag_run(dag_id=dag_id, body=body, dag_bag=DBDagBag(), user=user, session=session, request=request)
            session.flush()  # another call with the same id waits here until this one has committed
        except IntegrityError:
            session.rollback()
            if _is_started(session, dag_id, run_id, conf):
                return False
            raise
        except HTTPException as error:
            session.rollback()
            raise RunRefused(str(error.detail)) from None
        _log_action(session, request, user, dag_id, run_id, conf)
        try:
            if prepare is not None:
                prepare()
        except BaseException:
            session.rollback()
            raise
    return True


def is_paused(dag_id: str) -> bool:
    """Tell whether runs of a DAG wait because somebody has paused it."""
    with create_session(scoped=False) as session:
        return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


def run_path(dag_id: str, run_id: str) -> str:
    """Return Airflow's page of a run, below the root of Airflow."""
    return f"/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"


@dataclass(frozen=True)
class Run:
    """A DAG run as the pages tell of it.

    Args:
        is_paused: its DAG is, so that the run begins when somebody unpauses it.
    """

    dag_id: str
    run_id: str
    state: str
    is_paused: bool

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
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
    with create_session(scoped=False) as session:
        state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        return None if state is None else str(state)


def _is_started(session: Session, dag_id: str, run_id: str, conf: Mapping[str, Any]) -> bool:
    found = session.execute(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one_or_none()
    if found is None:
        return False
    if found.conf != dict(conf):
        raise RunRefused("This form has been sent before, with other values. Load the page anew to send these.")
    return True


def _log_action(
    session: Session, request: Request, user: BaseUser, dag_id: str, run_id: str, conf: Mapping[str, Any]
) -> None:
    """Write the audit log as Airflow's route does, which leaves it to a dependency of its own."""
    session.add(
        Log(
            event=trigger_dag_run.__name__,
            task_instance=None,
            owner=user.get_name(),
            owner_display_name=user.get_name(),
            extra=json.dumps({"method": request.method, "conf": dict(conf)}),
            dag_id=dag_id,
            run_id=run_id,
        )
    )
