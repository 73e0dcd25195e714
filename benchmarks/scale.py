"""`make bench-scale`: how imports grow with the file and with the workers; writes `benchmarks/RESULTS.md`.

Every stage runs in a process of its own, forked from one that has loaded the libraries, Airflow's and those for buckets
among them, as Airflow's workers do. To validate, as many processes as there are workers take the chunks of one job from
a queue; the clock runs from the moment when all of them are ready until the last chunk is committed.

PostgreSQL runs on the same cores. So that workers are compared and not what PostgreSQL leaves to them, they are
measured in a second way as well, "database idle": each has one core to itself, judges its rows and writes them for
COPY, but does not send them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from upath import UPath

from benchmarks.bench import Bench, open_bench
from benchmarks.customers import SETTINGS as CUSTOMER_SETTINGS
from benchmarks.customers import write_customers
from benchmarks.gift_cards import CVV_KEY, write_cards
from include.arrivals import landing
from include.arrivals.landing import Request
from include.import_types import IMPORT_TYPES
from include.ledger import jobs
from include.runtime import Runtime
from include.stages import inspection, loading, reporting, validation
from include.warehouse.engine import DiscreetCursor, create_warehouse_engine

RESULTS = Path(__file__).with_name("RESULTS.md")
SIZES = (1_000_000, 5_000_000, 20_000_000)
WORKERS = (1, 2)
BROKEN_SHARE = 0.02
MAX_FILE_BYTES = 1 << 40
LARGEST_TASK_MIB, GROWTH, SPEED_UP = 600, 1.3, 1.7
"""The targets: memory of any task, time per row beside the smallest file's, two workers beside one."""
SHARED_ROWS = 5_000_000
"""Of the smallest file whose chunks are worth sharing; a million rows are one chunk."""

_LAST_STEPS = ("load_rows", "write_report", "close_job")
_PATIENCE_SECONDS = 60
"""For all workers to be ready; one that could not start leaves the others waiting."""
_LIBRARIES = ("great_expectations", "airflow.sdk.execution_time.task_runner", "s3fs", "aiobotocore.session")
"""What a task of Airflow has in memory besides the stages."""
_PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Kind:
    """A type of import as it is measured.

    Args:
        write: writes so many rows to a path and returns how many of them are broken.
        settings: of the import.
        has_exact_rejects: none but the broken rows are rejected.
    """

    name: str
    import_type: str
    write: Callable[[Path, int], int]
    settings: dict[str, object]
    has_exact_rejects: bool


KINDS = {
    "cards": Kind(
        "Gift cards",
        "gift_cards",
        lambda path, rows: write_cards(path, rows=rows, broken_share=BROKEN_SHARE),
        {},
        has_exact_rejects=True,
    ),
    "rejects": Kind(
        "Gift cards, all rows but the first rejected",
        "gift_cards",
        lambda path, rows: write_cards(path, rows=rows, broken_share=1),
        {},
        has_exact_rejects=True,
    ),
    "customers": Kind(
        "Customers",
        "customers",
        lambda path, rows: write_customers(path, rows=rows),
        CUSTOMER_SETTINGS,
        has_exact_rejects=False,
    ),
}


@dataclass(frozen=True)
class Place:
    """Where one import runs: enough to open a runtime in any process."""

    url: str
    area: str
    chunk_bytes: int

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """Open the runtime of this process."""
        engine = create_warehouse_engine(self.url)
        areas = (UPath(f"{self.area}/{name}") for name in ("landing", "work", "reports", "archive"))
        try:
            yield Runtime(engine, *areas, cvv_key=CVV_KEY, chunk_bytes=self.chunk_bytes, import_types=IMPORT_TYPES)
        finally:
            engine.dispose()


@dataclass
class Measured:
    """One file: seconds by step, MiB by task."""

    rows: int
    file_bytes: int
    job_id: int = 0
    chunks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)

    def per_row(self, workers: int) -> float:
        """Seconds a row from the file to the staging tables."""
        steps = self.seconds["take_file"] + self.seconds["inspect_file"] + self.seconds[validating(workers)]
        return steps / self.rows


def validating(workers: int) -> str:
    """Return the name of the step that validates with so many workers."""
    return f"validate_chunk, {workers} worker{'s' if workers > 1 else ''}"


def judging(workers: int) -> str:
    """Return the name of the same step where workers have a core each and send no rows: the database is idle."""
    return f"{validating(workers)}, database idle"


def measure(
    bench: Bench, kind: Kind, rows: int, workers: Sequence[int], chunk_bytes: int, *, is_loaded: bool
) -> Measured:
    """Measure one file: planned and validated by each number of workers, loaded and reported on behind the last."""
    file = bench.folder / f"{kind.import_type}_{rows}.csv"
    broken = int(in_a_process(kind.write, file, rows).value)
    measured = Measured(rows, file.stat().st_size)
    for program in ("cat", "sha256sum"):
        start = time.perf_counter()
        subprocess.run([program, str(file)], check=True, stdout=subprocess.DEVNULL)
        measured.seconds[program] = time.perf_counter() - start
    for count in workers:
        area = bench.folder / "area"
        with bench.database() as database:
            place = Place(bench.server.url(database), str(area), chunk_bytes)
            try:
                _measure_validation(place, kind, file, count, measured)
                if is_loaded and count == workers[-1]:
                    _measure_load(place, kind, measured, broken)
            finally:
                shutil.rmtree(area, ignore_errors=True)
    file.unlink()
    return measured


def _measure_validation(place: Place, kind: Kind, file: Path, workers: int, measured: Measured) -> None:
    job_id = _step(place, measured, "take_file", _take, kind, str(file))
    measured.chunks = _step(place, measured, "inspect_file", _inspect, job_id)
    for name, is_sent in ((judging(workers), False), (validating(workers), True)):
        shared = _validate(place, job_id, measured.chunks, workers, is_sent=is_sent)
        measured.seconds[name] = shared.seconds
        measured.seconds[f"{name}, processor time"] = shared.processor_seconds
        measured.peak_mib["validate_chunk"] = max(shared.peak_mib, measured.peak_mib.get("validate_chunk", 0.0))
        if shared.value != measured.rows:
            raise SystemExit(f"{file.name}: expected {measured.rows} rows, got {shared.value}")
    measured.job_id = job_id


def _measure_load(place: Place, kind: Kind, measured: Measured, broken: int) -> None:
    loaded = _step(place, measured, "load_rows", _load, measured.job_id)
    _step(place, measured, "write_report", _report, measured.job_id)
    _step(place, measured, "close_job", _close, measured.job_id)
    rejected = loaded["rejected"]
    if loaded["read"] != measured.rows or (rejected != broken if kind.has_exact_rejects else rejected < broken):
        raise SystemExit(f"{kind.name}: expected {broken} rejects of {measured.rows}, got {loaded}")


def _step(place: Place, measured: Measured, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    ended = in_a_process(function, place, *arguments)
    measured.seconds[name] = ended.seconds
    measured.peak_mib[name] = ended.peak_mib
    return ended.value


# ------------------------------------------------------------------------------- what runs in processes of their own


@dataclass(frozen=True)
class Ended:
    """What became of a process, or of several that shared their work: the seconds of all, the largest peak."""

    value: Any
    seconds: float
    processor_seconds: float
    peak_mib: float


def in_a_process(function: Callable[..., Any], *arguments: Any) -> Ended:
    """Run a function in a process of its own, and return what it returned, how long it took, its peak memory."""
    ours, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_send_ended, args=(theirs, function, *arguments))
    process.start()
    theirs.close()
    return _hear(ours, process)


def _send_ended(pipe: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    start, start_processor = time.perf_counter(), time.process_time()
    value = function(*arguments)
    pipe.send(
        Ended(value, time.perf_counter() - start, time.process_time() - start_processor, peak_mib()),
    )


def _hear(pipe: Connection, process: Any) -> Ended:
    try:
        ended = pipe.recv()
    except EOFError:
        process.join()
        raise SystemExit(f"a process ended with code {process.exitcode}; its error is above") from None
    process.join()
    return ended


def peak_mib() -> float:
    """Return the peak of this process's own memory; `ru_maxrss` would count that of the process it was made by."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _take(place: Place, kind: Kind, file: str) -> int:
    parameters = {**kind.settings, "max_file_bytes": MAX_FILE_BYTES}
    with place.runtime() as runtime:
        run = f"scale {time.time_ns()}"
        request = Request(kind.import_type, file, run, "benchmark", parameters, roots=None)
        return landing.take_file(runtime, request).job_id


def _inspect(place: Place, job_id: int) -> int:
    with place.runtime() as runtime:
        return inspection.inspect_file(runtime, job_id).chunks


def _load(place: Place, job_id: int) -> dict[str, int]:
    with place.runtime() as runtime:
        return vars(loading.load_rows(runtime, job_id))


def _report(place: Place, job_id: int) -> None:
    with place.runtime() as runtime:
        reporting.write_report(runtime, job_id)


def _close(place: Place, job_id: int) -> str:
    with place.runtime() as runtime:
        return reporting.close_job(runtime, job_id).state


def _validate(place: Place, job_id: int, chunks: int, workers: int, *, is_sent: bool) -> Ended:
    """Let workers share the chunks; return how many rows they read.

    Args:
        is_sent: send the rows to the database; else every worker keeps to one core, and keeps its rows.
    """
    numbers = _PROCESSES.SimpleQueue()
    for number in [*range(chunks), *[None] * workers]:
        numbers.put(number)
    ready = _PROCESSES.Barrier(workers + 1)
    running = []
    cores = sorted(os.sched_getaffinity(0))
    for worker in range(workers):
        core = None if is_sent else cores[worker % len(cores)]
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(
            target=_send_ended, args=(theirs, _take_chunks, place, job_id, numbers, ready, core)
        )
        process.start()
        theirs.close()
        running.append((ours, process))
    ready.wait(_PATIENCE_SECONDS)
    start = time.perf_counter()
    ended = [_hear(pipe, process) for pipe, process in running]
    seconds = time.perf_counter() - start
    return Ended(
        sum(part.value for part in ended),
        seconds,
        sum(part.processor_seconds for part in ended),
        max(part.peak_mib for part in ended),
    )


def _take_chunks(place: Place, job_id: int, numbers: Any, ready: Any, core: int | None) -> int:
    if core is not None:
        os.sched_setaffinity(0, {core})
        DiscreetCursor.copy_expert = lambda *_, **__: None
    read = 0
    with place.runtime() as runtime:
        with runtime.engine.connect() as connection:
            jobs.get(connection, job_id)
        ready.wait(_PATIENCE_SECONDS)
        while (number := numbers.get()) is not None:
            read += validation.validate_chunk(runtime, job_id, number).read
    return read


# ------------------------------------------------------------------------------------------------------------ tables


def describe_machine(postgresql: str) -> str:
    """Describe the machine in general terms."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, Linux, "
        f"Python {platform.python_version()}, PostgreSQL {postgresql} on the same machine"
    )


def table(kind: Kind, files: Sequence[Measured], workers: Sequence[int]) -> str:
    """Return the measurements of a type as a Markdown table, a column a file."""
    few, many = workers[0], workers[-1]

    def line(name: str, cell: Callable[[Measured], str]) -> str:
        return f"| {name} | " + " | ".join(map(cell, files)) + " |"

    def per_second(step: str) -> Callable[[Measured], str]:
        return lambda measured: f"{measured.file_bytes / measured.seconds[step] / 1e6:,.0f} MB/s"

    def seconds(step: str) -> Callable[[Measured], str]:
        return lambda measured: f"{measured.seconds[step]:.1f} s"

    lines = [
        f"### {kind.name}",
        "",
        line("", lambda measured: f"{measured.rows:,} rows"),
        "|---|" + "--:|" * len(files),
        line("size of the file", lambda measured: f"{measured.file_bytes / (1 << 20):,.0f} MiB"),
        line("chunks", lambda measured: str(measured.chunks)),
        line("plan (`inspect_file`)", lambda measured: f"{measured.seconds['inspect_file']:.1f} s"),
        line("plan, speed", per_second("inspect_file")),
        line("beside it: `sha256sum`", per_second("sha256sum")),
        line("beside it: `cat` to nowhere", per_second("cat")),
    ]
    for step in (validating, judging):
        for count in workers:
            name = step(count)
            lines.append(line(f"`{name.replace(',', '`,', 1)}", seconds(name)))
            lines.append(
                line("… rows a second", lambda measured, name=name: f"{measured.rows / measured.seconds[name]:,.0f}")
            )
            lines.append(line("… processor time of the workers", seconds(f"{name}, processor time")))
        lines.append(
            line(f"speed-up of {many} workers", lambda measured, step=step: f"{gain(measured, step, few, many):.2f}")
        )
    lines += [
        *(line(f"`{step}`", seconds(step)) for step in _LAST_STEPS if step in files[0].seconds),
        line(f"file to staging, {few} worker, µs a row", lambda measured: f"{measured.per_row(few) * 1e6:.2f}"),
        line("… beside the smallest file", lambda measured: f"{measured.per_row(few) / files[0].per_row(few):.2f}"),
        *(
            line(f"peak memory of `{task}`", lambda measured, task=task: f"{measured.peak_mib[task]:.0f} MiB")
            for task in files[0].peak_mib
        ),
    ]
    return "\n".join(lines) + "\n"


def gain(measured: Measured, step: Callable[[int], str], few: int, many: int) -> float:
    """Return how many times as fast many workers are as few."""
    return measured.seconds[step(few)] / measured.seconds[step(many)]


def verdicts(kind: Kind, files: Sequence[Measured], workers: Sequence[int]) -> str:
    """Say of each target whether it is met."""
    few, many = workers[0], workers[-1]
    largest = max(max(measured.peak_mib.values()) for measured in files)
    growth = files[-1].per_row(few) / files[0].per_row(few)
    lines = [
        (f"memory of any task: {largest:.0f} MiB", largest <= LARGEST_TASK_MIB, f"{LARGEST_TASK_MIB} at most"),
        (f"time a row, largest file beside smallest: {growth:.2f}", growth <= GROWTH, f"{GROWTH} at most"),
    ]
    for measured in (file for file in files if file.rows >= SHARED_ROWS):
        reached = gain(measured, judging, few, many)
        lines.append(
            (
                f"{many} workers beside {few}, {measured.rows:,} rows, database idle: {reached:.2f}",
                reached >= SPEED_UP,
                f"{SPEED_UP} at least",
            )
        )
    return "\n".join(f"- {name} (target: {target}{'' if is_met else '; MISSED'})" for name, is_met, target in lines)


def report(machine: str, measurements: dict[str, list[Measured]], workers: Sequence[int]) -> str:
    """Return the whole of `RESULTS.md`."""
    method = __doc__.split("\n\n", 1)[1]
    sections = [f"# How imports grow\n\nWritten by `make bench-scale`. The machine: {machine}.\n\n{method}"]
    for name, files in measurements.items():
        sections.append(f"{table(KINDS[name], files, workers)}\n{verdicts(KINDS[name], files, workers)}\n")
    return "\n".join(sections)


def run(
    bench: Bench,
    kinds: Sequence[str],
    sizes: Sequence[int],
    workers: Sequence[int],
    results: Path,
    *,
    chunk_bytes: int = 64 << 20,
    is_loaded: bool = True,
) -> dict[str, list[Measured]]:
    """Measure, and write the results after each file: a run of hours may be broken off."""
    query = "SELECT current_setting('server_version')"
    machine = describe_machine(bench.run_psql("bench_template", query).strip())
    measurements: dict[str, list[Measured]] = {}
    for name in kinds:
        for rows in sizes:
            measured = measure(bench, KINDS[name], rows, workers, chunk_bytes, is_loaded=is_loaded)
            print(name, json.dumps(vars(measured)), flush=True)
            measurements.setdefault(name, []).append(measured)
            results.write_text(report(machine, measurements, workers), encoding="utf-8")
    return measurements


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-scale", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes of the files, ascending")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--only", choices=list(KINDS), help="leave the other type out")
    parser.add_argument("--chunk-mib", type=int, default=64, help="size of a chunk")
    parser.add_argument("--validation-only", action="store_true", help="load nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file to write")
    parsed = parser.parse_args()
    kinds = [parsed.only] if parsed.only else list(KINDS)
    with open_bench() as bench:
        os.environ.setdefault("AIRFLOW_HOME", str(bench.folder))
        for library in _LIBRARIES:
            importlib.import_module(library)
        options = {"chunk_bytes": parsed.chunk_mib << 20, "is_loaded": not parsed.validation_only}
        run(bench, kinds, parsed.rows, parsed.workers, parsed.results, **options)
    print(parsed.results.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
