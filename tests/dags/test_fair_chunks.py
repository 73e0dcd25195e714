"""Chunks of several files share the workers: a large file lets small ones through."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.dags.conftest import load_dag

pytestmark = pytest.mark.dags

DAG_ID = "import_gift_cards"


@pytest.fixture
def session(airflow_database: None) -> Iterator[Any]:
    """A session that sees the DAG as the scheduler does, rolled back at the end."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.flush()
        dag = LazyDeserializedDAG(data=DagSerialization.to_dict(load_dag(DAG_ID)))
        SerializedDAG.bulk_write_to_db("dags-folder", None, [dag], session=session)
        SerializedDagModel.write_dag(dag, bundle_name="dags-folder", session=session)
        session.execute(update(DagModel).where(DagModel.dag_id == DAG_ID).values(is_paused=False))
        session.flush()
        yield session
        session.rollback()


def start_validating(session: Any, name: str, chunks: int, *, minutes_ago: int) -> None:
    """Bring a run to where the chunks of its file wait for workers."""
    from airflow.models.dagbag import DBDagBag
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskmap import TaskMap
    from airflow.sdk import timezone
    from airflow.utils.state import DagRunState, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    moment = timezone.utcnow() - timedelta(minutes=minutes_ago)
    dag = DBDagBag().get_latest_version_of_dag(DAG_ID, session=session)
    run = dag.create_dagrun(
        run_id=name, logical_date=moment, data_interval=(moment, moment), run_after=moment,
        conf={"file": f"/landing/{name}.csv"}, run_type=DagRunType.MANUAL, triggered_by=DagRunTriggeredByType.TEST,
        state=DagRunState.RUNNING, session=session,
    )  # fmt: skip
    run.dag = dag
    for task_id in ("take_file", "inspect_file"):
        ti = session.scalars(
            select(TaskInstance).where(TaskInstance.run_id == name, TaskInstance.task_id == task_id)
        ).one()
        ti.state = TaskInstanceState.SUCCESS
    session.flush()
    session.add(TaskMap(DAG_ID, "inspect_file", name, -1, chunks, None))
    session.flush()
    ready, _ = run.update_state(session=session, execute_callbacks=False)
    run.schedule_tis(ready, session=session)
    session.flush()


def handed_out(session: Any, slots: int) -> list[tuple[str, str, int]]:
    """Return what the scheduler puts into the executor's queue when so many slots are free, in its order."""
    from airflow.executors.executor_loader import ExecutorLoader
    from airflow.executors.local_executor import LocalExecutor
    from airflow.jobs.job import Job
    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    executor = ExecutorLoader.get_default_executor()
    assert isinstance(executor, LocalExecutor)
    runner = SchedulerJobRunner(Job(), executors=[executor])
    task_instances = runner._executable_task_instances_to_queued(max_tis=slots, session=session)
    return [(ti.run_id, ti.task_id, ti.map_index) for ti in task_instances]


def test_the_chunks_of_files_take_turns_however_many_a_file_that_came_first_has(session: Any):
    start_validating(session, "large", 80, minutes_ago=10)
    start_validating(session, "small", 1, minutes_ago=5)
    start_validating(session, "middling", 3, minutes_ago=1)
    assert handed_out(session, 8) == [
        ("large", "validate_chunk", 0),
        ("small", "validate_chunk", 0),
        ("middling", "validate_chunk", 0),
        ("large", "validate_chunk", 1),
        ("middling", "validate_chunk", 1),
        ("large", "validate_chunk", 2),
        ("middling", "validate_chunk", 2),
        ("large", "validate_chunk", 3),
    ]


def test_every_other_task_goes_before_the_chunks_that_wait(session: Any):
    """A small file is taken, loaded and reported on while a large one is validated."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    start_validating(session, "large", 80, minutes_ago=10)
    start_validating(session, "small", 1, minutes_ago=5)
    for ti in session.scalars(select(TaskInstance).where(TaskInstance.run_id == "small")):
        ti.state = {"load_rows": TaskInstanceState.SCHEDULED}.get(ti.task_id, TaskInstanceState.SUCCESS)
    session.flush()
    assert handed_out(session, 2) == [("small", "load_rows", -1), ("large", "validate_chunk", 0)]
