"""The demonstration: drop the sample files, follow their jobs, show what became of each; then what codes in use do."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from include.deployment.errors import StackError
from include.deployment.names import ADMIN
from include.import_types import IMPORT_TYPES
from include.warehouse.engine import create_warehouse_engine
from tools.stack.demo_promo_codes import Step, make_files, show_promo_codes
from tools.stack.environment import catches_mails
from tools.stack.lifecycle import Stack
from tools.stack.settings import shown_path

STEP_HEADINGS = ("available", "seconds", "pool", "what happened")
COUNTS = ("read", "inserted", "updated", "unchanged", "not found", "rejected")
HEADINGS = ("file", "state", *COUNTS, "rejected-rows file")


@dataclass(frozen=True)
class Sample:
    """A sample file, the import type it shows, and the name under which it is dropped."""

    import_type: str
    source: Path
    name: str


@dataclass(frozen=True)
class Job:
    """What the ledger says of one dropped sample.

    Args:
        rows: a number for each of `COUNTS`; None where there is none yet.
    """

    state: str
    is_finished: bool
    rows: tuple[int | None, ...]
    rejected_file_url: str | None
    refusal_message: str | None


def show_demo(stack: Stack, timeout_seconds: float = 300) -> None:
    """Drop every sample, wait for its job and print the outcome; then show pools of promo codes in use.

    Raises:
        StackError: a job has not ended in time, or a pool was not looked after.
    """
    engine = create_warehouse_engine(stack.warehouse_url)
    try:
        newest = _newest_job(engine)
        with tempfile.TemporaryDirectory() as folder:
            samples = [*find_samples(), *(Sample(*file, file[1].name) for file in make_files(Path(folder)).items())]
            for sample in samples:
                drop(sample, stack.settings.landing)
        jobs = _wait_for_jobs(engine, samples, newest, stack, timeout_seconds)
        print()
        print("\n".join(table_lines(jobs)))
        print("\nPromo codes in use …", flush=True)
        steps = show_promo_codes(stack, engine, timeout_seconds)
    finally:
        engine.dispose()
    print("\n".join(step_lines(steps)))


def find_samples() -> list[Sample]:
    """List the sample files of every import type, by name."""
    return [Sample(name, IMPORT_TYPES[name].sample, f"{name}.sample.csv") for name in sorted(IMPORT_TYPES)]


def drop(sample: Sample, landing: Path) -> None:
    """Put a copy into its type's landing folder: written under a name that is ignored, then renamed. Source: X-12."""
    folder = landing / sample.import_type
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f".{sample.name}.part"
    shutil.copyfile(sample.source, partial)
    partial.replace(folder / sample.name)


def login_lines(stack: Stack) -> list[str]:
    """Say where the UI is and how to get in."""
    return [
        "",
        f"Airflow   {stack.settings.url}   user {ADMIN}, password {stack.keys.admin_password}",
        f"Landing   {shown_path(str(stack.settings.landing))}/<import type>/",
        *([f"Mails     {shown_path(str(stack.settings.mail))}/"] if catches_mails(stack.settings) else []),
        "make stop ends it.",
    ]


def table_lines(jobs: Sequence[tuple[Sample, Job]]) -> list[str]:
    """Format the jobs as a table, a refused file's reason beneath its line."""
    numbers = range(2, 2 + len(COUNTS))
    heading, rule, *rows = _table(HEADINGS, [_cells(sample, job) for sample, job in jobs], numbers=numbers)
    lines = [heading, rule]
    for row, (_, job) in zip(rows, jobs, strict=True):
        lines.append(row)
        if job.refusal_message:
            lines.append(f"  {job.refusal_message}")
    return lines


def step_lines(steps: Sequence[Step]) -> list[str]:
    """Format the steps as a table."""
    return _table(STEP_HEADINGS, [_step_cells(step) for step in steps], numbers=range(2))


def _step_cells(step: Step) -> tuple[str, ...]:
    available = "" if step.available is None else f"{step.available:,}"
    return (available, "" if step.seconds is None else f"{step.seconds:.1f}", step.pool, step.event)


def _cells(sample: Sample, job: Job) -> tuple[str, ...]:
    counts = ["" if count is None else f"{count:,}" for count in job.rows]
    rejected = shown_path(job.rejected_file_url) if job.rejected_file_url else ""
    return (sample.name, job.state, *counts, rejected)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Container[int]) -> list[str]:
    """Return the lines of a table; `numbers` are the columns whose cells are aligned right."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [headings, *rows]
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _wait_for_jobs(
    engine: Engine, samples: Sequence[Sample], newest: int, stack: Stack, timeout_seconds: float
) -> list[tuple[Sample, Job]]:
    progress = Progress(len(samples))
    deadline = time.monotonic() + timeout_seconds
    while True:
        jobs_by_file = _jobs_since(engine, newest)
        jobs = [(sample, jobs_by_file.get((sample.import_type, sample.name))) for sample in samples]
        ended = [(sample, job) for sample, job in jobs if job is not None and job.is_finished]
        progress.show(jobs)
        if len(ended) == len(samples):
            progress.close()
            return ended
        if time.monotonic() > deadline:
            late = ", ".join(sample.name for sample, job in jobs if job is None or not job.is_finished)
            raise StackError(
                f"not finished within {timeout_seconds:.0f} s: {late}. "
                f"See {stack.settings.url} (user {ADMIN}, password {stack.keys.admin_password}) "
                f"and {stack.settings.logs}."
            )
        time.sleep(0.3)


class Progress:
    """One line that changes on a terminal; elsewhere a line for each change."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = ""
        self._is_terminal = sys.stdout.isatty()
        self._started_at = time.monotonic()

    def show(self, jobs: Sequence[tuple[Sample, Job | None]]) -> None:
        """Show how many jobs have ended and what the others are doing."""
        ended = sum(job is not None and job.is_finished for _, job in jobs)
        pending = ", ".join(
            f"{sample.import_type} {job.state if job else 'waiting for pick-up'}"
            for sample, job in jobs
            if job is None or not job.is_finished
        )
        state = f"Importing the samples: {ended} of {self._total} done" + (f"; {pending}" if pending else "")
        if self._is_terminal:
            line = f"{time.monotonic() - self._started_at:3.0f} s  {state}"
            print(f"\r\033[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        elif state != self._shown:
            print(state, flush=True)
        self._shown = state

    def close(self) -> None:
        """Leave the last state on the terminal."""
        if self._is_terminal:
            print()


def _newest_job(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT coalesce(max(id), 0) FROM ledger.import_job")) or 0)


def _jobs_since(engine: Engine, newest: int) -> dict[tuple[str, str], Job]:
    """Read the jobs younger than `newest`, by type and file name; the latest where a name came twice."""
    statement = text(
        """
        SELECT import_type, file_name, state, finished_at IS NOT NULL AS is_finished,
               rows_read, rows_inserted, rows_updated, rows_unchanged, rows_not_found, rows_rejected,
               rejected_file_url, refusal_message
        FROM ledger.import_job
        WHERE id > :newest
        ORDER BY id
        """
    )
    with engine.connect() as connection:
        return {
            (row.import_type, row.file_name): Job(
                state=row.state,
                is_finished=row.is_finished,
                rows=tuple(row._mapping[f"rows_{count.replace(' ', '_')}"] for count in COUNTS),
                rejected_file_url=row.rejected_file_url,
                refusal_message=row.refusal_message,
            )
            for row in connection.execute(statement, {"newest": newest})
        }
