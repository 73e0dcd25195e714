"""Every interface of Airflow that is not public, in one place: what an upgrade of Airflow has to look at.

Written for Airflow 3.3.2. Each function says which public interface is missing. Airflow is imported inside them: task
processes, API servers and the scheduler each have other parts of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser as BaseUser
    from airflow.models.dagrun import DagRun as DagRun
    from airflow.models.hitl import HITLDetail as HITLDetail
    from airflow.models.taskinstance import TaskInstance as TaskInstance
    from airflow.sdk.execution_time.comms import DagRunResult
    from fastapi import Request
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session


# -- in the process of a task, which reaches Airflow through its supervisor


def skip_tasks(names: Sequence[str]) -> None:
    """Set tasks of this run to skipped before they would start.

    What `SkipMixin` asks of the supervisor; the mixin can do so only by ending the task with an exception.
    """
    from airflow.sdk.execution_time.comms import SkipDownstreamTasks
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    if names:
        SUPERVISOR_COMMS.send(SkipDownstreamTasks(tasks=list(names)))


def create_run(dag_id: str, run_id: str, *, logical_date: datetime, conf: Mapping[str, Any], note: str) -> bool:
    """Create a DAG run; return False when Airflow has one of this id, or of this logical date.

    What `TriggerDagRunOperator` asks of the supervisor; the operator creates one run, and ends the task with an
    exception.

    Raises:
        AirflowRuntimeError: Airflow refuses it.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer = SUPERVISOR_COMMS.send(
        TriggerDagRun(dag_id=dag_id, run_id=run_id, logical_date=logical_date, conf=dict(conf), note=note)
    )
    if not isinstance(answer, ErrorResponse):
        return True
    if answer.error is ErrorType.DAGRUN_ALREADY_EXISTS:
        return False
    raise AirflowRuntimeError(answer)


def find_run(dag_id: str, run_id: str) -> DagRunResult:
    """Return a run that exists, with `state` and `end_date`: `get_dr_count` only counts."""
    from airflow.sdk.execution_time.comms import GetDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    # `send` declares every possible answer; the answer to GetDagRun is the run, or an exception.
    return cast("DagRunResult", SUPERVISOR_COMMS.send(GetDagRun(dag_id=dag_id, run_id=run_id)))


def store_form(task_instance_id: UUID, **form: Any) -> None:
    """Store what a person is asked: `HITLOperator` writes only the form that it was made with."""
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    upsert_hitl_detail(ti_id=task_instance_id, **form)


def metrics_client() -> Any:
    """Return the module that sends metrics as the settings `[metrics]` say.

    `airflow.sdk` exports none; `airflow.stats`, the former public one, is deprecated and passes this one on.
    """
    from airflow.sdk.observability import stats

    return stats


# -- in an API server, which has Airflow's database


def user_dependency() -> Any:
    """Return the annotation of a route's user: plugins' routes have no public one."""
    from airflow.api_fastapi.core_api.security import GetUserDep

    return GetUserDep


def is_allowed(
    user: BaseUser,
    method: Literal["GET", "POST", "PUT"],
    dag_id: str,
    entity: Literal["RUN", "HITL_DETAIL"] | None = None,
) -> bool:
    """Return whether a user may do something with a DAG: the auth manager is public, how to get it is not."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
    from airflow.models import DagModel

    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(
        method=method, access_entity=None if entity is None else DagAccessEntity[entity], details=details, user=user
    )


@contextmanager
def database_session() -> Iterator[Session]:
    """Yield a session of Airflow's database: the public API answers over HTTP alone, under the user's token."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        yield session


def is_paused(session: Session, dag_id: str) -> bool:
    """Return whether a user has paused a DAG."""
    from airflow.models import DagModel
    from sqlalchemy import select

    return bool(session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id)))


def run_state(session: Session, dag_id: str, run_id: str) -> str | None:
    """Return the state of a run, None when there is none."""
    from airflow.models import DagRun
    from sqlalchemy import select

    state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return None if state is None else str(state)


def run_conf(session: Session, dag_id: str, run_id: str) -> tuple[dict[str, Any] | None] | None:
    """Return what a run was started with, in a tuple; None when there is no such run."""
    from airflow.models import DagRun
    from sqlalchemy import select

    row = session.execute(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one_or_none()
    return None if row is None else (row.conf,)


def start_run_as(
    session: Session,
    request: Request,
    user: BaseUser,
    dag_id: str,
    run_id: str,
    *,
    logical_date: datetime,
    conf: Mapping[str, Any],
) -> None:
    """Start a run as Airflow's own form does, and write its audit log, in the session's transaction.

    The route's function, called: over HTTP the run would be there before the caller's own work is certain.

    Raises:
        IntegrityError: a run of this id exists.
        HTTPException: the DAG is missing, or refuses the parameters.
    """
    from airflow.api_fastapi.core_api.datamodels.dag_run import TriggerDAGRunPostBody
    from airflow.api_fastapi.core_api.routes.public.dag_run import trigger_dag_run
    from airflow.models import Log
    from airflow.models.dagbag import DBDagBag

    body = TriggerDAGRunPostBody(dag_run_id=run_id, logical_date=logical_date, conf=dict(conf))
    trigger_dag_run(dag_id=dag_id, body=body, dag_bag=DBDagBag(), user=user, session=session, request=request)
    session.flush()  # another call with the same id waits here until this one has committed
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


def watch_forms(on_form: Callable[[Any, Connection, HITLDetail], None]) -> None:
    """Have a function called in the transaction that stores a form: no listener of Airflow's hears of it."""
    from airflow.models.hitl import HITLDetail
    from sqlalchemy import event

    if not event.contains(HITLDetail, "after_insert", on_form):
        event.listen(HITLDetail, "after_insert", on_form)


def run_of_task(session: Session, task_instance_id: UUID, task_ids: Sequence[str]) -> DagRun | None:
    """Return the run of a task instance, if it is one of some tasks."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    return session.scalar(
        select(DagRun)
        .join(TaskInstance, (TaskInstance.dag_id == DagRun.dag_id) & (TaskInstance.run_id == DagRun.run_id))
        .where(TaskInstance.id == task_instance_id, TaskInstance.task_id.in_(task_ids))
    )


# -- in the process that ends a run, of which a listener hears


def results_of(dag_run: DagRun, key: str, task_id: str | None = None) -> list[Any]:
    """Return what tasks of a run have left under a key, in the order of their map indexes.

    A listener gets the run of a session that is to be committed, in which the public client can't be used.
    """
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is None:
        return []
    query = (
        select(XComModel)
        .where(XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == key)
        .order_by(XComModel.map_index)
    )
    if task_id is not None:
        query = query.where(XComModel.task_id == task_id)
    return [XComModel.deserialize_value(row) for row in session.scalars(query)]
