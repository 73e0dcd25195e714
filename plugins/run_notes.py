"""A listener that writes the outcome of an import into its run's note, where the list of runs shows it.

A task can't: Airflow 3.3's execution API takes a note only when a run is created. Listeners of DAG runs are called
where the run's state changes (the scheduler, or the API server when a person changes it), inside that session.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Note the outcome of an import that ended green."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Note the outcome of an import that ended red."""
    write_note(dag_run)


def write_note(dag_run: DagRun) -> None:
    """Set the note to file, state and counts, unless a person has written one."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    from notifications import CLOSING_TASK, RESULT_KEY

    session = object_session(dag_run)
    if session is None or not dag_run.dag_id.startswith("import_"):
        return
    found = session.scalar(
        select(XComModel).where(
            XComModel.dag_id == dag_run.dag_id,
            XComModel.run_id == dag_run.run_id,
            XComModel.task_id == CLOSING_TASK,
            XComModel.key == RESULT_KEY,
        )
    )
    if found is None:
        return
    result = XComModel.deserialize_value(found)
    if not dag_run.note or dag_run.note.startswith(result["file"]):
        dag_run.note = outcome(result)


def outcome(result: dict[str, Any]) -> str:
    """Say in one line how an import ended; no cell values (X-20)."""
    text = f"{result['file']}: {result['state'].replace('_', ' ')}"
    if reason := result.get("reason"):
        return f"{text} ({reason['rule']})"
    if earlier := result.get("duplicate_of"):
        return f"{text} of job {earlier}"
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result["rows"].items() if count)
    return f"{text}{f': {counts}' if counts else ''}{' (dry run)' if result['is_dry_run'] else ''}"
