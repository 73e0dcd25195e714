"""One file through all stages in this process: what the DAGs spread over tasks. Source: the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress

from include.arrivals.landing import Request, Taken, take_file
from include.errors import (
    ConfigurationError,
    FileRefused,
    ReviewNeeded,
    SourceChanged,
    SuiteError,
    WarehouseFault,
)
from include.ledger.jobs import JobResult, State
from include.review.review import refuse_after_load, refuse_unasked
from include.runtime import Runtime
from include.stages.abandoned import command_going_on
from include.stages.inspection import inspect_file
from include.stages.loading import load_rows
from include.stages.reporting import close_job, write_report
from include.stages.validation import validate_chunk

Progress = Callable[[str, int, int], None]
"""Called with the stage's name, how many of its steps are done, and how many there are."""


def import_file(runtime: Runtime, request: Request, *, progress: Progress = lambda *_: None) -> JobResult:
    """Import one file; killed and called again with the same request, it continues where it was.

    Returns:
        The job's result, a refused one included.

    Raises:
        FileRefused: there is no file, so there is no job either.
        FileTaken: another request has this file in hand.
        FileUnsettled: the file is still being written, or no longer the one that was listed.
        WarehouseUnavailable: an outage; calling again continues.
        OSError: the file could not be brought into work, or what has been imported not be reported or put away.
    """
    taken = take_file(runtime, request)
    with command_going_on(runtime, taken.job_id):
        return _import(runtime, taken, progress)


def _import(runtime: Runtime, taken: Taken, progress: Progress) -> JobResult:
    failure = None
    try:
        inspected = inspect_file(runtime, taken.job_id)
        if inspected.state is not State.DUPLICATE:
            if inspected.may_need_review:
                refuse_unasked(runtime, taken.job_id, has_rows=False)
            for number in range(inspected.chunks):
                progress("validating", number, inspected.chunks)
                validate_chunk(runtime, taken.job_id, number)
            if inspected.may_need_review:
                progress("rehearsing", 0, 1)
                refuse_unasked(runtime, taken.job_id, has_rows=True)
            progress("loading", 0, 1)
            try:
                load_rows(runtime, taken.job_id)
            except ReviewNeeded as needed:
                refuse_after_load(runtime, taken.job_id, needed)
    except FileRefused:
        pass  # recorded in the ledger; the result says it
    except (ConfigurationError, SourceChanged, SuiteError, WarehouseFault, OSError) as error:
        failure = str(error)
    progress("writing reports", 0, 1)
    with suppress(OSError) if failure else nullcontext():  # a full disk has no room for reports either
        write_report(runtime, taken.job_id)
    return close_job(runtime, taken.job_id, failure=failure)
