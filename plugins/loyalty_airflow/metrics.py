"""What tasks tell Airflow's metrics: rows, rejects, bytes, seconds, memory, codes. Names and numbers, no values (X-20).

Sent where Airflow's own `[metrics]` settings say, StatsD or OpenTelemetry; without them every call here does nothing.
Types, stages, outcomes and rules are parts of the names: plain StatsD knows no tags.
"""

from __future__ import annotations

import functools
import logging
import resource
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from include.ledger.jobs import Job, JobResult
    from include.promo_codes.top_up import TopUp

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PREFIX = "importer"
_REPORTS = {"critical": "rejects", "warning": "warnings"}


def timed(body: Callable[P, T]) -> Callable[P, T]:
    """Make a task body tell how long it took and how much memory, by DAG and task, in its log as well.

    One that raises has no duration worth comparing.
    """

    @functools.wraps(body)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        started = time.monotonic()
        result = body(*args, **kwargs)
        seconds = time.monotonic() - started
        mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        log.info("Took %.1f s; the process has held %.0f MiB of memory at most", seconds, mebibytes)
        ti = get_current_context()["ti"]
        stats.timing(name(ti.dag_id, "duration", ti.task_id), timedelta(seconds=seconds))
        stats.gauge(name(ti.dag_id, "memory", ti.task_id), mebibytes)
        return result

    return call


def count_chunk(dag_id: str, read: int, rejected: int) -> None:
    """Count the rows of a chunk as soon as it is judged: the progress of a big file."""
    count(name(dag_id, "validated", "rows"), read)
    count(name(dag_id, "validated", "rejected"), rejected)


def count_job(dag_id: str, job: Job, result: JobResult) -> None:
    """Count a file that has ended: its state, and what became of its bytes and rows.

    Args:
        job: as it was before it was closed. One that had ended already is not counted again, whoever clears its task.
    """
    if job.finished_at is not None:
        return
    count(name(dag_id, "files", "dry_run" if job.is_dry_run else result.state), 1)
    if job.is_dry_run or not job.state.is_completed:
        return
    count(name(dag_id, "bytes"), job.size_bytes or 0)
    for outcome, rows in vars(result.rows).items():
        count(name(dag_id, "rows", outcome), rows)
    for rule in result.rules:
        count(name(dag_id, _REPORTS[rule["severity"]], rule["rule"]), rule["rows"])


def count_codes(dag_id: str, added: int) -> None:
    """Count codes that were generated into a pool."""
    count(name(dag_id, "codes"), added)


def count_top_up(dag_id: str, done: TopUp) -> None:
    """Count what a pool was given, and its alerts by kind; tell how many codes it has now."""
    count_codes(dag_id, done.added)
    for kind in done.raised:
        count(name(dag_id, "alerts", kind), 1)
    stats.gauge(name(dag_id, "available", done.pool), done.available)


def count(metric: str, number: int) -> None:
    """Add to a counter; a counter that stays 0 is not sent."""
    if number:
        stats.incr(metric, number)


def name(dag_id: str, *parts: str) -> str:
    """Return a metric's name: `importer.`, what the DAG imports or does, the parts; other letters become `_`."""
    return stats.normalize_name_for_stats(".".join((PREFIX, dag_id.removeprefix("import_"), *parts)), log_warning=False)
