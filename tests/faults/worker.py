"""The process that faults strike: it runs a real import and stops where the test says, until it is killed or let go.

Functions of the product are wrapped here, in the child, so that it reports to the test through a pipe where it is and
then waits. Nothing in the product knows of it, and no exception replaces a kill.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import s3fs  # noqa: F401  (imported where children are forked from, not in each child)
from upath import UPath

from include import importer
from include.arrivals import landing
from include.arrivals.landing import Request
from include.cli import context
from include.cli.main import main as run_command_line
from include.errors import FileRefused, WarehouseUnavailable
from include.import_types import IMPORT_TYPES
from include.ledger import jobs
from include.reading import records
from include.review import decision, review
from include.runtime import Runtime
from include.stages import inspection, loading, reporting, validation
from include.storage import locations
from include.storage.locations import Location
from include.warehouse.engine import DiscreetCursor, create_warehouse_engine

CVV_KEY = "key of the tests"
AREAS = ("landing", "work", "reports", "archive")
CHUNK_BYTES, BLOCK_BYTES = 6_000, 2_000
"""Small, so that files of a few hundred rows have several chunks of several blocks."""

Barrier = Callable[[], None]


@dataclass(frozen=True)
class Work:
    """One import for a child to run.

    Args:
        url: the warehouse.
        areas: landing, work, reports, archive: local paths or `s3://…`.
        file: path or URL of the file.
        run_key: as a DAG run would name it; None runs the command line.
        options: of the command line, or `KEY=VALUE` settings of the run.
        stop_at: a key of `POINTS`; None goes right through.
        log: where the child's output goes.
        largest_file_bytes: acts as a full disk.
        full_area: the area whose disk is full; None for all of them.
        resumed_job: go on with the load of this job, as a task does that is tried again; 0 runs all stages.
        chunks: validate these of the resumed job, and do nothing else, as tasks of other workers do.
        is_reviewed: a person is asked, whose first answer can't be used and whose second changes the mapping.
    """

    url: str
    areas: dict[str, str]
    import_type: str
    file: str
    log: str
    run_key: str | None = None
    options: tuple[str, ...] = ()
    stop_at: str | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)
    largest_file_bytes: int | None = None
    full_area: str | None = None
    resumed_job: int = 0
    chunks: tuple[int, ...] = ()
    is_reviewed: bool = False


def run(work: Work, pipe: Connection) -> None:
    """Run one import in this process, its output in `work.log`; the exit code is the command line's."""
    multiprocessing.set_start_method("fork", force=True)  # else tqdm's lock is a semaphore that outlives a killed child
    output = os.open(work.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    cut_small()
    if work.stop_at is not None:
        (POINTS | REVIEW_POINTS)[work.stop_at](barrier_of(pipe))
    if work.largest_file_bytes is not None:
        fill_disk(work.largest_file_bytes, work.full_area)
    try:
        code = run_command(work) if work.run_key is None else run_as_dag(work)
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fill_disk(largest_file_bytes: int, area: str | None) -> None:
    """Let no file be longer, or no file of one area."""
    if area is None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, resource.RLIM_INFINITY))
        return
    real = locations.written_whole

    @contextmanager
    def limited(path: Location) -> Iterator[Any]:
        if f"/{area}/" in str(path):
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, resource.RLIM_INFINITY))
        try:
            with real(path) as stream:
                yield stream
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    for module in (locations, inspection):
        module.written_whole = limited


def run_command(work: Work) -> int:
    """Run `python -m include.cli import …` as the shell would."""
    os.environ.update({f"{name.upper()}_URL": url for name, url in work.areas.items()})
    os.environ.update({"WAREHOUSE_URL": work.url, "CVV_KEY": CVV_KEY})
    return run_command_line(["import", work.import_type, work.file, "--json", *work.options])


def run_as_dag(work: Work) -> int:
    """Run the stages as the tasks of a DAG run do: keyed by the run, outages distinguished from defects."""
    areas = {name: UPath(url, **(work.storage_options if "://" in url else {})) for name, url in work.areas.items()}
    runtime = context.Runtime(
        create_warehouse_engine(work.url), cvv_key=CVV_KEY.encode(), **areas, import_types=IMPORT_TYPES
    )
    try:
        for number in work.chunks:
            importer.validate_chunk(runtime, work.resumed_job, number)
        if work.chunks:
            return 0
        if work.resumed_job:
            importer.load_rows(runtime, work.resumed_job)
            importer.write_report(runtime, work.resumed_job)
            result = importer.close_job(runtime, work.resumed_job)
        elif work.is_reviewed:
            result = import_reviewed(runtime, request_of(work))
        else:
            result = importer.import_file(runtime, request_of(work))
    except (FileRefused, jobs.FileTaken, WarehouseUnavailable, OSError) as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print(f"{result.state} as job {result.job}: {result.reason}")
    return 1 if result.state == "failed" else 0


def request_of(work: Work) -> Request:
    """Return the request of a run; a file outside the landing area is in a folder whose files may be imported."""
    return Request(work.import_type, work.file, str(work.run_key), roots=(work.file.rpartition("/")[0],))


ANSWERS = ({"balance": "Card number (column 1)"}, {"balance": "Card balance (column 4)", "status": "(skip)"})


def import_reviewed(runtime: Runtime, request: Request) -> jobs.JobResult:
    """Run the stages of a file that a person is asked about, as its tasks do."""
    job = importer.take_file(runtime, request).job_id
    for number in range(importer.inspect_file(runtime, job).chunks):
        importer.validate_chunk(runtime, job, number)
    for number, columns in enumerate(ANSWERS, start=1):
        step = review.ask(runtime, job, number)
        if step.question is not None:
            review.record(runtime, job, step.question)
        if step.turn in (decision.Turn.ASK, decision.Turn.WAIT):
            answer = decision.Answer(decision.LAUNCH, columns, "ada", runtime.clock())
            step = review.answer(runtime, job, number, answer)
        if step.turn is decision.Turn.LOAD:
            break
    importer.load_rows(runtime, job)
    importer.write_report(runtime, job)
    return importer.close_job(runtime, job)


def is_approved(_: Any, __: int, **values: Any) -> bool:
    review = (values.get("inspection") or {}).get("review") or {}
    return bool(review.get("is_approved"))


def is_second_load() -> Condition:
    """Return a condition that holds for the load itself, after the rehearsals of two questions."""
    loads = iter((False, False))
    return lambda *_: next(loads, True)


def is_answered(_: Any, __: int, number: int, **values: Any) -> bool:
    return number == 2 and "answer" in values


def cut_small() -> None:
    """Cut files into several chunks, and chunks into several blocks."""
    locations._COPY_BYTES = 4_000
    context.Runtime = partial(Runtime, chunk_bytes=CHUNK_BYTES, block_bytes=BLOCK_BYTES)


def barrier_of(pipe: Connection) -> Barrier:
    """Return a function that stops this process at its first call, and lets it pass at later ones."""
    reached = False

    def barrier() -> None:
        nonlocal reached
        if reached:
            return
        reached = True
        pipe.send("reached")
        try:
            pipe.recv()
        except EOFError:  # the test has ended
            os._exit(71)

    return barrier


Condition = Callable[..., bool]


def before(module: ModuleType | type, name: str, barrier: Barrier, when: Condition = lambda *_, **__: True) -> None:
    """Stop before a function of the product runs."""
    real = getattr(module, name)

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if when(*args, **kwargs):
            barrier()
        return real(*args, **kwargs)

    setattr(module, name, stopped)


def after(module: ModuleType | type, name: str, barrier: Barrier, when: Condition = lambda *_, **__: True) -> None:
    """Stop after a function of the product has returned."""
    real = getattr(module, name)

    def stopped(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        if when(*args, **kwargs):
            barrier()
        return result

    setattr(module, name, stopped)


def within_writing(area: str, barrier: Barrier, at_write: int = 1) -> None:
    """Stop when some bytes of a file in this area are on the disk and some are not."""
    real = locations.written_whole

    @contextmanager
    def stopped(path: Location) -> Iterator[Any]:
        with real(path) as stream:
            yield Halting(stream, barrier, at_write) if f"/{area}/" in str(path) else stream

    for module in (locations, inspection):
        module.written_whole = stopped


class Halting:
    """A stream that stops in the middle of one of its writes."""

    def __init__(self, stream: BinaryIO, barrier: Barrier, at_write: int) -> None:
        self._stream = stream
        self._barrier = barrier
        self._writes_before = at_write

    def write(self, data: bytes) -> int:
        self._writes_before -= 1
        if self._writes_before != 0:
            return self._stream.write(data)
        self._stream.write(data[: len(data) // 2])
        self._stream.flush()
        self._barrier()
        return self._stream.write(data[len(data) // 2 :])


def within_copy(barrier: Barrier) -> None:
    """Stop when the server has half the rows of a COPY into staging."""
    real = DiscreetCursor.copy_expert

    class Halved:
        def __init__(self, data: bytes) -> None:
            self._parts = [data[: len(data) // 2], data[len(data) // 2 :]]

        def read(self, _: int) -> bytes:
            if len(self._parts) == 1:
                barrier()
            return self._parts.pop(0) if self._parts else b""

    def stopped(cursor: Any, statement: Any, source: Any, **options: Any) -> Any:
        data = source.read()
        halves = Halved(bytes(data))
        return real(cursor, statement, halves, size=max(1, len(data)))

    DiscreetCursor.copy_expert = stopped


def between_blocks(barrier: Barrier) -> None:
    """Stop when one block of a chunk has been handed to staging and the next has not been read."""
    real = records.read_blocks

    def stopped(*args: Any) -> Iterator[Any]:
        for number, block in enumerate(real(*args)):
            if number == 2:
                barrier()
            yield block

    validation.records.read_blocks = stopped


def is_first_chunk(_: Any, __: int, number: int) -> bool:
    return number == 0


def is_load(*_: Any, **values: Any) -> bool:
    return "loaded_at" in values


def is_rejected_file(_: Any, target: str) -> bool:
    return Path(target).stem.endswith(".rejected")


def is_summary(path: Location, _: Any) -> bool:
    return path.name == "summary.json"


POINTS: dict[str, Callable[[Barrier], None]] = {
    # Taking.
    "before the job is opened": lambda stop: before(importer, "take_file", stop),
    "claimed, not yet brought": lambda stop: before(landing, "bring", stop),
    "out of landing, not yet copied": lambda stop: after(locations, "take_out", stop),
    "half copied into work": lambda stop: within_writing("work", stop),
    "copied into work, source not yet deleted": lambda stop: after(locations, "copy", stop),
    "brought, not yet committed": lambda stop: after(landing, "bring", stop),
    "brought and committed, source not yet deleted": lambda stop: before(landing, "remove_taken", stop),
    "taken": lambda stop: after(importer, "take_file", stop),
    # Inspection.
    "scanned": lambda stop: after(inspection, "_scan", stop),
    "planned, not yet committed": lambda stop: after(inspection, "_plan", stop),
    "inspected": lambda stop: after(importer, "inspect_file", stop),
    # Staging.
    "half of a COPY": within_copy,
    "between two blocks": between_blocks,
    "chunk staged, not yet committed": lambda stop: after(validation, "stage_chunk", stop),
    "between two chunks": lambda stop: after(importer, "validate_chunk", stop, is_first_chunk),
    "staged": lambda stop: before(importer, "load_rows", stop),
    # The load.
    "before the load's statement": lambda stop: before(loading, "_run_statement", stop),
    "rows inserted, not yet committed": lambda stop: after(loading, "_run_statement", stop),
    "state set, not yet committed": lambda stop: after(jobs, "update", stop, is_load),
    "loaded": lambda stop: after(importer, "load_rows", stop),
    # Reports.
    "half of the rejected rows": lambda stop: within_writing("reports", stop, at_write=2),
    "rejected rows complete, not yet under their name": lambda stop: before(
        locations.os, "replace", stop, is_rejected_file
    ),
    "rejected rows written, no summary yet": lambda stop: before(reporting, "_write_json", stop, is_summary),
    "reports written, not yet committed": lambda stop: after(reporting, "_write_json", stop, is_summary),
    "reported": lambda stop: after(importer, "write_report", stop),
    # Closing.
    "half copied into the archive": lambda stop: within_writing("archive", stop),
    "archived, not yet committed": lambda stop: after(reporting, "_put_away", stop),
    "closed": lambda stop: after(importer, "close_job", stop),
}
REVIEW_POINTS: dict[str, Callable[[Barrier], None]] = {
    "rehearsed, taken back": lambda stop: after(loading, "_rehearse_once", stop),
    "rehearsed, not yet taken back": lambda stop: after(jobs, "rule_counts", stop),
    "decided to ask": lambda stop: after(review, "ask", stop),
    "question written, not yet committed": lambda stop: after(review, "_await", stop),
    "awaiting review": lambda stop: after(review, "record", stop),
    "a useless answer taken": lambda stop: after(review, "answer", stop),
    "the second question asked": lambda stop: after(review, "record", stop, lambda _, __, asked: asked.number == 2),
    "answer written, not yet committed": lambda stop: after(review, "_write", stop, is_answered),
    "approved, not yet committed": lambda stop: after(jobs, "update", stop, is_approved),
    "mapping changed, not yet committed": lambda stop: after(review, "_read_again", stop),
    "approved": lambda stop: before(importer, "load_rows", stop),
    "rows inserted after the review": lambda stop: after(loading, "_run_statement", stop, is_second_load()),
}
"""Where a file comes to that a person is asked about."""
