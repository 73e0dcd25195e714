"""The tasks that take one file from landing to the warehouse: `import_file("gift_cards")` is the whole body of a DAG.

Each task calls one stage of `include.stages`. Stages are keyed by the job and may be repeated at any point (X-14);
XCom carries the job's id and counts (X-20). The stages' libraries are imported inside the tasks: at parse only the
declarations of the import types are read.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, Param, TaskGroup, TaskInstanceState, TriggerRule, get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include import import_types
from include.ledger.outcomes import ALARMING, summarise
from include.settings.schema import parameter_schema
from loyalty_airflow import airflow_internals, metrics, time_limits
from loyalty_airflow.job_of_run import find_job, resume, run_key
from loyalty_airflow.notifications import RESULT_KEY, ImportNotifier
from loyalty_airflow.runbook import RUNBOOK
from loyalty_airflow.runtime import import_roots, open_runtime, with_chunk_size
from loyalty_airflow.tasks.loading import LoadRows
from loyalty_airflow.tasks.review import ReviewMapping, question_tasks
from loyalty_airflow.tasks.stage import stage_task

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.ledger.jobs import JobResult
    from include.runtime import Runtime

log = logging.getLogger(__name__)

OWNER = "loyalty"
RETRIES = 5
RETRY_DELAY = timedelta(seconds=10)
LONGEST_RETRY_DELAY = timedelta(minutes=5)
RULES_KEPT = 10
LISTED_VERSION = "listed_version"
"""Key of a run's conf that `pick_up_files` gives: the version of the file that was ready (X-12). No form offers it."""
ENDED_BY_HAND = "Its tasks were ended by hand before the import was done. Clear the first that did nothing to go on."
"""Why a job has failed of which no task has: a person has marked the run, or tasks, as a success."""
CHUNK_WEIGHTS = "loyalty_airflow.chunk_priority.LaterChunksWait"
"""By its name: of a mapped task Airflow would write down `str()` of the object, and then not know it (3.3.2)."""
PARALLEL_FILES = 16
"""Runs at once of a type whose files may load in any order."""
PARALLEL_TASKS = 10_000
"""Tasks at once of a type: as many as there are workers. Airflow's 16 would leave the others idle before a big file."""


def default_args() -> dict[str, Any]:
    """Return what every task of the project shares: outages are retried for five to ten minutes, none hangs forever.

    Refused files and defects fail at once (see `withheld_errors`).
    """
    return {
        "owner": OWNER,
        "retries": RETRIES,
        "retry_delay": RETRY_DELAY,
        "retry_exponential_backoff": 2,
        "max_retry_delay": LONGEST_RETRY_DELAY,
        "execution_timeout": time_limits.ORDINARY,
    }


def dag_arguments(import_type: str, about: str | None) -> dict[str, Any]:
    """Return what the DAGs of all types have in common.

    Types that may change existing rows run one file at a time: queued runs start in the order in which they were
    created, and `pick_up_files` creates them in the order of arrival (X-14).

    Args:
        about: the docstring of the DAG's file, to which the runbook of all types is added.
    """
    declaration = import_types.get(import_type)
    return {
        "doc_md": f"{(about or '').rstrip()}\n{RUNBOOK}",
        "dag_display_name": f"Import {declaration.label.lower()}",
        "catchup": False,
        "max_active_runs": 1 if declaration.edits else PARALLEL_FILES,
        "max_active_tasks": PARALLEL_TASKS,
        "default_args": default_args(),
        "tags": ["import", import_type],
        "params": form(import_type),
    }


def form(import_type: str) -> dict[str, Param]:
    """Return the trigger form: the file, then every setting; an empty one keeps what the settings files say (X-11)."""
    file = Param(
        type="string",
        minLength=1,
        title="File",
        description="Path or URL of a file of the landing folder, the uploads or the archive of this type, or below a "
        "folder that the Variable import_roots names for it. One outside the landing folder is copied, not moved.",
    )
    schema = parameter_schema(import_types.get(import_type))
    return {"file": file} | {
        name: Param(None, section="Settings for this run alone", **described) for name, described in schema.items()
    }


def target_assets(import_type: str) -> list[Asset]:
    """Return one asset per table that the type loads, for DAGs that are scheduled on loaded data."""
    return [Asset(f"warehouse://{table.replace('.', '/')}") for table in import_types.get(import_type).targets]


def import_file(import_type: str) -> None:
    """Arrange the tasks of one file."""
    job_id: Any = take_file(import_type)  # at parse, a placeholder of the task's result
    chunks = inspect_file(import_type, job_id)
    checked = validate_chunk.partial(job_id=job_id).expand_kwargs(chunks)
    reviewed = review_mapping()
    # A file of a header alone has no chunks, and Airflow skips the empty map.
    loaded = LoadRows(task_id="load_rows", job_id=job_id, chunks=chunks, outlets=target_assets(import_type))
    reported = write_report()
    # As a teardown it runs also after a person has marked the run: Airflow ends the other tasks, and waits for it.
    closed = close_job().as_teardown(on_failure_fail_dagrun=True)
    checked >> reviewed >> loaded >> reported >> closed
    checked >> loaded  # also where no question is asked
    checked >> reported  # load_rows gives up as soon as one chunk fails: the others may still be running


def review_mapping() -> TaskGroup:
    """Arrange the tasks that ask a person, one a question. `inspect_file` skips them when there is nothing to ask."""
    with TaskGroup("review", prefix_group_id=False, tooltip="A person approves the import") as group:
        tasks = [ReviewMapping(task_id=name, number=number) for number, name in enumerate(question_tasks(), start=1)]
        for earlier, later in pairwise(tasks):
            earlier >> later
    return group


@stage_task(execution_timeout=time_limits.TAKE_FILE)
def take_file(import_type: str) -> int:
    """Open the job and move the file out of landing. Skipped when another run has the file in hand."""
    from include.arrivals import landing

    with open_runtime() as runtime:
        taken = landing.take_file(runtime, request(import_type))
    log.info("This is job %s", taken.job_id)
    return taken.job_id


@stage_task(execution_timeout=time_limits.INSPECT_FILE)
def inspect_file(import_type: str, job_id: int) -> list[dict[str, Any]]:
    """Read the header, map the columns, cut the file into chunks. Skipped for a duplicate."""
    from include.arrivals import landing
    from include.ledger import jobs
    from include.stages import inspection

    with open_runtime() as runtime:
        if not resume(runtime, job_id):  # cleared after the job had ended: its file is in archive or quarantine
            landing.take_file(runtime, request(import_type))
        inspected = inspection.inspect_file(with_chunk_size(runtime), job_id)
        with runtime.engine.connect() as connection:
            chunks = jobs.chunks(connection, job_id)
    if not inspected.may_need_review:
        # At once: a file that needs no review doesn't wait for a task that says so.
        airflow_internals.skip_tasks(question_tasks())
    if inspected.state is jobs.State.DUPLICATE:
        raise AirflowSkipException(f"Job {job_id} repeats an earlier one: there is nothing to import")
    if not inspected.is_usable:
        return []  # no row can be judged before a person has said which column is which; the load judges them
    return [
        {"number": chunk.number, "label": f"chunk {position} of {len(chunks)}, from line {chunk.first_line:,}"}
        for position, chunk in enumerate(chunks, start=1)
    ]


@stage_task(
    map_index_template="{{ task.op_kwargs['label'] }}",
    weight_rule=CHUNK_WEIGHTS,
    execution_timeout=time_limits.VALIDATE_CHUNK,
)
def validate_chunk(job_id: int, number: int, label: str) -> dict[str, int]:
    """Judge the rows of one chunk: they go to staging, those with faults to the ledger's rejects."""
    from include.stages import validation

    with open_runtime() as runtime:
        resume(runtime, job_id)
        counts = validation.validate_chunk(runtime, job_id, number)
    metrics.count_chunk(get_current_context()["ti"].dag_id, counts.read, counts.rejected)
    return asdict(counts)


@stage_task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=time_limits.WRITE_REPORT)
def write_report() -> None:
    """Write the rejected-rows file, the summary and the evidence, also of a refused file."""
    from include.stages import reporting

    with open_runtime() as runtime:
        job = find_job(runtime)
        if job is None:
            raise AirflowSkipException("This run has no job to report on")
        reporting.write_report(runtime, job.id)


@stage_task(
    execution_timeout=time_limits.CLOSE_JOB,
    on_success_callback=ImportNotifier(),
    on_failure_callback=ImportNotifier(),
)
def close_job() -> dict[str, Any]:
    """Put the file into the archive or the quarantine, and end the run as the job ended; no job stays open (X-12).

    It must fail after a refusal or a failure, and where most rows were rejected or nothing was loaded, unless a person
    has approved that: a last task that succeeds would turn the whole run green. Whether it fails or not, one mail is
    sent.
    """
    from include.stages import reporting

    context = get_current_context()
    failure = failed_tasks(context)
    with open_runtime() as runtime:
        job = find_job(runtime)
        if job is None:
            skipped = "This run has opened no job; the log of take_file says why"
            raise AirflowFailException(failure) if failure else AirflowSkipException(skipped)
        closed = reporting.close_job(runtime, job.id, failure=failure or ENDED_BY_HAND)
        result = digest(runtime, closed)
    metrics.count_job(context["ti"].dag_id, job, closed)
    context["ti"].xcom_push(key=RESULT_KEY, value=result)
    if result["reason"] and result["state"] != "cancelled":
        raise AirflowFailException(f"{result['file']} is {result['state']}: {result['reason']['message']}")
    if failure:
        raise AirflowFailException(f"{result['file']} is {result['state']}, but: {failure}")
    if closed.outcome in ALARMING and not (closed.is_dry_run or closed.has_approved_rejects):
        raise AirflowFailException(f"{result['file']}: {summarise(closed.state, closed.rows, is_dry_run=False)}")
    return {"state": result["state"], **result["rows"]}


def digest(runtime: Runtime, result: JobResult) -> dict[str, Any]:
    """Return the part of a result that goes into XCom: facts for the note and the mail, few enough to be read there.

    Its sentences quote what pages show, and nothing else (X-20).
    """
    from include.rules.sentences import with_sentences

    facts = result.to_json()
    facts["warnings"] = len(facts["warnings"])
    with runtime.engine.connect() as connection:
        rules = with_sentences(runtime, connection, result.job, result.type)
    facts["rules"] = [asdict(rule) for rule in rules[:RULES_KEPT]]
    return facts


def failed_tasks(context: Context) -> str | None:
    """Say which tasks of this run have failed, or None."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    failed = sorted(name for name, state in states.items() if state == TaskInstanceState.FAILED and name != ti.task_id)
    return f"{', '.join(failed)} failed; the log says why." if failed else None


def request(import_type: str) -> Any:
    """Return what this run asks for: its file, and the settings of its form that were filled in."""
    from include.arrivals.landing import Request

    context = get_current_context()
    parameters = {name: value for name, value in context["params"].items() if value is not None}
    file = str(parameters.pop("file"))
    listed_version = parameters.pop(LISTED_VERSION, None)
    return Request(
        import_type=import_type,
        source_url=file,
        run_key=run_key(context),
        launched_by=launched_by(context, file),
        parameters=parameters,
        dag_id=context["ti"].dag_id,
        dag_run_id=context["ti"].run_id,
        listed_version=None if listed_version is None else str(listed_version),
        roots=import_roots(import_type),
    )


def launched_by(context: Context, file: str) -> str:
    """Return the user who started the run, or the dropped file that did (X-10)."""
    from include.arrivals.places import shown

    run = context["dag_run"]
    if run.run_type == "manual" and run.triggering_user_name:
        return str(run.triggering_user_name)
    return f"file drop {shown(file)}"
