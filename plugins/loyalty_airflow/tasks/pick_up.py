"""Starting one DAG run per arrived file. Source: X-01, X-12, X-14, GC-05.

A run's id says which arrival of which file version it imports. Asking for a run that exists already changes nothing, so
a listing may be repeated at any time; a file that is still in landing after its run has ended has arrived again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from include.ledger.jobs import PICK_UP, dag_of
from loyalty_airflow import airflow_internals, time_limits
from loyalty_airflow.job_of_run import ENDED, GOING_ON
from loyalty_airflow.tasks.importing import LISTED_VERSION
from loyalty_airflow.tasks.stage import stage_task
from loyalty_airflow.withheld_errors import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from include.arrivals.listing import Arrival, Unusable, Waiting
    from include.runtime import Runtime

log = logging.getLogger(__name__)

STEM_LENGTH = 100
NOTE_LENGTH = 1000
RUNS_ASKED_ABOUT = 200
NOTICED_KEY = "noticed"
"""Of the XCom with what can't be imported, a line each; `run_notes` puts it into the run's note."""
MOST_NOTICED = 10
TRIES = 5
"""How often a logical date is looked for that no other run has: two dispatchers may ask in the same microsecond."""
KEPT_IN_PLACE = ("file.too_big", "file.not_removable")
MOST_LOGGED = 200
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)


class PickUpError(Exception):
    """Some files could not be started; the others were, and the next tick tries again."""


def make_run_id(arrival: Arrival, number: int) -> str:
    """Name the run of the n-th arrival of one version of a file.

    Airflow 3.3 refuses blanks, parentheses, `..` and letters outside ASCII in run ids, and stores 250 characters; the
    real name goes into the run's note.
    """
    ascii_name = unicodedata.normalize("NFKD", arrival.file_name).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_name.rpartition(".")[0] or ascii_name).strip("_")[:STEM_LENGTH]
    version = f"{arrival.url}\n{arrival.size_bytes}\n{arrival.version}\n{number}"
    digest = hashlib.sha256(version.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    return f"{arrival.import_type or 'unknown'}__{stem or 'file'}__{digest}"


def pause_before(number: int) -> timedelta:
    """Return how long a file rests between the end of its last run and its n-th arrival, so that a fault is no loop."""
    pause: timedelta = FIRST_PAUSE * 2 ** min(number - 2, 10)
    return min(pause, LONGEST_PAUSE)


@stage_task(task_id="start_imports", execution_timeout=time_limits.START_IMPORTS)
def start_imports() -> dict[str, int]:
    """List the landing folders, refuse what no type can import, start a run for each other file that is ready.

    One task starts them all, in the order of their arrival (X-14). A mapped TriggerDagRunOperator would start them in
    any order, and costs two processes more.

    Returns:
        How many files were started and refused, how many wait, and how many entries are newly found unusable.

    Raises:
        PickUpError: a file could not be started or refused; the other files were dealt with first.
    """
    from include.arrivals.listing import list_landing
    from loyalty_airflow.runtime import open_runtime
    from loyalty_airflow.tasks.abandoned import close_abandoned

    counts = {"started": 0, "refused": 0, "waiting": 0, "unusable": 0}
    failures = []
    noticed: list[str] = []
    with open_runtime() as runtime:
        close_abandoned(runtime)  # first: an open job holds other types' files back
        listing = list_landing(runtime, datetime.now(UTC))
        counts["waiting"] = len(listing.waiting)
        log_waiting(listing.waiting)
        try:
            fresh = report_unusable(runtime, listing.unusable)
            counts["unusable"] = len(fresh)
            noticed += [f"{entry.file_name}: it {entry.reason}" for entry in fresh]
        except Exception as error:
            failures.append(f"unusable entries: {describe(error)}")
            log.error("Entries that can't be imported could not be reported: %s", describe(error))
        going_on = runs_going_on(listing.ready)
        for arrival in listing.ready:  # in the order of arrival
            if arrival.url in going_on:
                continue
            try:
                if arrival.import_type is None:
                    noticed.append(refuse(runtime, arrival))
                    counts["refused"] += 1
                elif start_import(runtime, arrival):
                    counts["started"] += 1
            except Exception as error:
                failures.append(f"{arrival.file_name}: {describe(error)}")
                log.error("%s could not be started: %s", arrival.file_name, describe(error))
    if noticed:
        note(noticed)
    if failures:
        raise PickUpError(f"{len(failures)} files could not be started; the log names them")
    return counts


def log_waiting(waiting: Sequence[Waiting]) -> None:
    """Say what each file waits for, as far as a person reads a log."""
    for entry in waiting[:MOST_LOGGED]:
        log.info("%s waits: %s", entry.arrival.file_name, entry.reason)
    if len(waiting) > MOST_LOGGED:
        log.info("… and %s more wait", len(waiting) - MOST_LOGGED)


def note(noticed: Sequence[str]) -> None:
    """Keep what can't be imported for the run's note."""
    from airflow.sdk import get_current_context

    from include.names import one_line

    lines = [one_line(line) for line in noticed[:MOST_NOTICED]]
    if len(noticed) > MOST_NOTICED:
        lines.append(f"and {len(noticed) - MOST_NOTICED:,} more, which the page of imports lists")
    get_current_context()["ti"].xcom_push(key=NOTICED_KEY, value=lines)


def report_unusable(runtime: Runtime, entries: Sequence[Unusable]) -> Sequence[Unusable]:
    """Write entries that can't be imported into the history, and mail them to the subscribers: each once (X-01, X-12).

    Of those that are ignored on purpose history and log are enough: markers and checksums would mean a mail a day.

    Returns:
        The new ones. The rest of very many comes with the next ticks.
    """
    from airflow.sdk import get_current_context

    from include.arrivals import refusals
    from include.arrivals.listing import IGNORED
    from loyalty_airflow.notifications import UnusableNotifier

    fresh = refusals.record_unusable(runtime, entries)
    for entry in fresh[:MOST_LOGGED]:
        log.warning("%s is not imported: it %s", entry.url, entry.reason)
    if alarming := [entry for entry in fresh if entry.rule != IGNORED]:
        UnusableNotifier(alarming).send(get_current_context())
    return fresh


def runs_going_on(ready: Sequence[Arrival]) -> set[str]:
    """Return the URLs of files whose first run is queued or running, asked for many at once.

    A queue of thousands of files is listed at every tick, and would be asked about one by one.
    """
    from airflow.sdk import get_current_context

    ti = get_current_context()["ti"]
    by_type: dict[str, list[Arrival]] = {}
    for arrival in ready:
        if arrival.import_type is not None:
            by_type.setdefault(arrival.import_type, []).append(arrival)
    going_on: set[str] = set()
    for import_type, arrivals in by_type.items():
        for first in range(0, len(arrivals), RUNS_ASKED_ABOUT):
            batch = arrivals[first : first + RUNS_ASKED_ABOUT]
            run_ids = [make_run_id(arrival, 1) for arrival in batch]
            if ti.get_dr_count(dag_id=dag_of(import_type), run_ids=run_ids, states=GOING_ON) == len(batch):
                going_on.update(arrival.url for arrival in batch)
    return going_on


def refuse(runtime: Runtime, arrival: Arrival) -> str:
    """Refuse a file that belongs to no import type, report it to the subscribers (X-01), and return what was wrong."""
    from airflow.sdk import get_current_context

    from include.arrivals import refusals
    from include.stages import reporting
    from loyalty_airflow.notifications import ImportNotifier
    from loyalty_airflow.tasks.importing import digest

    job_id = refusals.refuse_arrival(
        runtime, arrival, run_key=f"{PICK_UP}/{make_run_id(arrival, 1)}", launched_by=f"file drop {arrival.url}"
    )
    reporting.write_report(runtime, job_id)
    result = digest(runtime, reporting.close_job(runtime, job_id))
    sentence = f"{arrival.file_name} is refused: {result['reason']['message']}"
    log.warning("%s", sentence)
    ImportNotifier(result).send(get_current_context())
    return sentence


def start_import(runtime: Runtime, arrival: Arrival) -> str | None:
    """Start the run of an arrival unless it has one; return the run's id if one was started.

    A run that has ended while its file is still in landing (an outage outlasted its retries, someone put the very
    same file there again) is followed by another, after a pause.
    """
    target = dag_of(str(arrival.import_type))
    number = 1
    if not trigger(target, make_run_id(arrival, number), arrival):
        while earlier := find_run(target, make_run_id(arrival, number)):
            latest = earlier
            number += 1
        if latest.state not in ENDED:
            return None
        if datetime.now(UTC) < latest.end_date + pause_before(number):
            log.info("%s: its run %s has just ended; it is started again later", arrival.file_name, latest.run_id)
            return None
        if not is_in_landing(runtime, arrival):  # the run ended, and took the file away, after the listing
            return None
        if is_refused_for_good(runtime, target, latest.run_id):
            log.info("%s: refused by the run %s; it stays until a person changes it", arrival.file_name, latest.run_id)
            return None
        trigger(target, make_run_id(arrival, number), arrival)
    log.info("%s: started %s", arrival.file_name, make_run_id(arrival, number))
    return make_run_id(arrival, number)


def is_refused_for_good(runtime: Runtime, target: str, run_id: str) -> bool:
    """Return whether a run has refused a file that it could not take away: another run would only say so again."""
    from include.ledger import jobs

    with runtime.engine.connect() as connection:
        job = jobs.find(connection, f"{target}/{run_id}")
    return job is not None and job.refusal_rule in KEPT_IN_PLACE and job.archive_url is None


def is_in_landing(runtime: Runtime, arrival: Arrival) -> bool:
    """Return whether the same version of the file is there now."""
    from include.arrivals.files import locate
    from include.arrivals.places import Source
    from include.errors import FileRefused

    try:
        return (
            Source(locate(runtime, arrival.url), runtime.landing, runtime.import_types).stat().version
            == arrival.version
        )
    except FileRefused:
        return False


def trigger(target: str, run_id: str, arrival: Arrival) -> bool:
    """Create the DAG run that imports a file; return False when it exists already."""
    for _ in range(TRIES):
        is_created = airflow_internals.create_run(
            target,
            run_id,
            logical_date=logical_date(),
            conf={"file": arrival.url, LISTED_VERSION: arrival.version},
            note=arrival.file_name[:NOTE_LENGTH],
        )
        if is_created:
            return True
        if has_run(target, run_id):
            return False
    raise AirflowException(f"Airflow could not create the run {run_id} of {target}: its logical dates are taken")


def logical_date() -> datetime:
    """Return the logical date of the next run: without one, Airflow's home page doesn't count a run that has failed.

    A DAG has one run a logical date (3.3.2), and the newest is the one that the page goes by.
    """
    return datetime.now(UTC)


def has_run(target: str, run_id: str) -> bool:
    """Return whether a DAG has a run of this id."""
    from airflow.sdk import get_current_context

    return get_current_context()["ti"].get_dr_count(dag_id=target, run_ids=[run_id]) > 0


def find_run(target: str, run_id: str) -> Any:
    """Return a DAG run with `state` and `end_date`, or None when there is none."""
    return airflow_internals.find_run(target, run_id) if has_run(target, run_id) else None
