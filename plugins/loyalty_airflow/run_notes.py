"""A listener that writes the outcome of an import or a generation into its run's note: an icon in the list of runs.

A task can't: Airflow 3.3's execution API takes a note only when a run is created. Listeners of DAG runs are called
where the run's state changes (the scheduler, or the API server when a person changes it), inside that session. That a
file awaits review changes no run's state: the API server notes it when it stores the form.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from include.ledger.jobs import IMPORT_DAGS, PICK_UP
from include.ledger.outcomes import in_words
from loyalty_airflow import airflow_internals
from loyalty_airflow.airflow_internals import results_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from loyalty_airflow.airflow_internals import DagRun, HITLDetail

log = logging.getLogger(__name__)

TOP_UP = "top_up_promo_pools"
NOTE_LENGTH = 1000


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Note the outcome of a run that ended green."""
    write_note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Note the outcome of a run that ended red."""
    write_note(dag_run)


def watch_questions(argv: Sequence[str]) -> None:
    """Note the reviews that begin, if the process of this command line is an API server: it alone stores forms."""
    if list(argv[1:2]) != ["api-server"]:
        return
    airflow_internals.watch_forms(on_question)


def on_question(_: Any, connection: Connection, form: HITLDetail) -> None:
    """Note that the run of a new form awaits review. A note that can't be written doesn't stop the question."""
    from sqlalchemy.orm import Session

    try:
        with connection.begin_nested(), Session(connection) as session:
            note_question(session, form.ti_id)
            session.commit()  # of its savepoint alone
    except Exception as error:
        log.error("The note of a review could not be written: %s", type(error).__name__)


def note_question(session: Session, task_instance_id: UUID) -> None:
    """Set the note of a task's run to file and "awaits review", unless a person has written one."""
    from loyalty_airflow.tasks.review import asking_tasks

    dag_run = airflow_internals.run_of_task(session, task_instance_id, asking_tasks())
    if dag_run is None:
        return
    file = str((dag_run.conf or {}).get("file", "")).rpartition("/")[2]
    if not dag_run.note or dag_run.note == file[:NOTE_LENGTH] or dag_run.note.startswith(f"{file}: "):
        dag_run.note = f"{file}: awaits review"[:NOTE_LENGTH]


def write_note(dag_run: DagRun) -> None:
    """Set the note to file or pool, state and counts, unless a person has written one."""
    from loyalty_airflow.notifications import RESULT_KEY

    if dag_run.dag_id == TOP_UP:
        note_top_ups(dag_run)
        return
    if dag_run.dag_id == PICK_UP:
        note_pick_up(dag_run)
        return
    task_id = task_with_outcome(dag_run.dag_id)
    for result in results_of(dag_run, RESULT_KEY, task_id) if task_id else ():
        if not dag_run.note or dag_run.note.startswith(result.get("file") or result["pool"]):
            dag_run.note = outcome(result) if "file" in result else outcome_of_generation(result)


def task_with_outcome(dag_id: str) -> str | None:
    """Return the task whose XCom has the outcome of a run; None for DAGs that have none."""
    from loyalty_airflow.notifications import CLOSING_TASK
    from loyalty_airflow.tasks.generation import GENERATING_TASK

    if dag_id == "generate_promo_codes":
        return GENERATING_TASK
    return CLOSING_TASK if dag_id.startswith(IMPORT_DAGS) else None


def note_top_ups(dag_run: DagRun) -> None:
    """Set the note to what each pool got and why, unless a person has written one. Source: TU-04."""
    from loyalty_airflow.tasks.top_up import POOL_TASK

    results = results_of(dag_run, "return_value", POOL_TASK)
    text = "\n".join(filter(None, map(outcome_of_top_up, results)))[:NOTE_LENGTH]
    if text and (not dag_run.note or dag_run.note.startswith(tuple(f"{result['pool']}: " for result in results))):
        dag_run.note = text


def note_pick_up(dag_run: DagRun) -> None:
    """Set the note to what can't be imported of the landing area, unless a person has written one. Source: X-01."""
    from loyalty_airflow.tasks.pick_up import NOTICED_KEY

    for noticed in results_of(dag_run, NOTICED_KEY):
        if not dag_run.note:
            dag_run.note = "\n".join(noticed)[:NOTE_LENGTH]


def outcome_of_top_up(result: dict[str, Any]) -> str:
    """Say in one line what a pool got; blank when it got nothing."""
    done = [f"{result['added']:,} codes added ({result['reason']})"] if result["added"] else []
    done += [f"alert: {kind.replace('_', ' ')}" for kind in result["raised"]]
    done += [f"over: {kind.replace('_', ' ')}" for kind in result["recovered"]]
    return f"{result['pool']}: {', '.join(done)}" if done else ""


def outcome_of_generation(result: dict[str, Any]) -> str:
    """Say in one line how a generation ended; no codes (X-20)."""
    text = f"{result['pool']}: {result['state']}"
    if result["refusal"]:
        return f"{text} {_named('promo_codes', result['refusal']['rule'])}"
    return f"{text}: {result['added']:,} codes added"


def outcome(result: dict[str, Any]) -> str:
    """Say in one line how an import ended; no cell values (X-20)."""
    is_dry_run = result["is_dry_run"]
    ending = in_words(result.get("outcome", result["state"]), is_dry_run=is_dry_run)
    text = f"{result['file']}: {'dry run: ' if is_dry_run else ''}{ending}"
    if reason := result.get("reason"):
        return f"{text} {_named(result['type'], reason['rule'])}"
    if earlier := result.get("duplicate_of"):
        return f"{text} of job {earlier}"
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in result["rows"].items() if count)
    return f"{text}{f': {counts}' if counts else ''}"


def _named(import_type: str, rule: str) -> str:
    """Name a rule, with the address at which the documentation explains it."""
    from loyalty_airflow.runtime import rule_link

    url = rule_link(import_type, rule)
    return f"({rule}) {url}" if url else f"({rule})"
