"""Closing the jobs of runs that have ended, or were deleted, without closing them. Source: X-12, X-14."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

from loyalty_airflow.job_of_run import GOING_ON
from loyalty_airflow.withheld_errors import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from include.runtime import Runtime
    from include.stages.abandoned import OpenJob

log = logging.getLogger(__name__)


def close_abandoned(runtime: Runtime) -> int:
    """Close every open job whose run, or command, does not go on; return how many.

    One that can't be closed is logged, and stops nobody: the next call tries again.
    """
    from include.stages import abandoned

    closed = 0
    try:
        for job, is_deleted in _ended(abandoned.open_jobs(runtime, datetime.now(UTC))):
            try:
                result = abandoned.close(runtime, job, is_deleted=is_deleted)
            except Exception as error:
                log.error("Job %s has ended, but can't be closed: %s", job.id, describe(error))
                continue
            if result is not None:
                closed += 1
                log.warning("Job %s was left open by %s; it is %s", job.id, job.dag_run_id or "a command", result.state)
    except Exception as error:
        log.error("Jobs that were left open can't be looked for: %s", describe(error))
    return closed


def _ended(open_jobs: Iterable[OpenJob]) -> Iterator[tuple[OpenJob, bool]]:
    """Yield the jobs whose run has ended, and whether it was deleted; one question a DAG while all of them go on."""
    ti = get_current_context()["ti"]
    for dag_id, group in groupby(sorted(open_jobs, key=lambda job: job.dag_id or ""), lambda job: job.dag_id):
        jobs = list(group)
        if dag_id is None:
            yield from ((job, False) for job in jobs)
            continue
        run_ids = [str(job.dag_run_id) for job in jobs]
        if ti.get_dr_count(dag_id=dag_id, run_ids=run_ids, states=GOING_ON) == len(jobs):
            continue
        for job, run_id in zip(jobs, run_ids, strict=True):
            if ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=GOING_ON) == 0:
                yield job, ti.get_dr_count(dag_id=dag_id, run_ids=[run_id]) == 0
