"""Times of a listing of the landing area: what the trigger does twice a second, and `pick_up_files` at each tick.

Beside the files there are as many odd entries (dangling links, links out of the area, named pipes, sidecars that are
wrong) in a second measurement. The first listing reads the settings files, later ones those that have changed.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.bench import Bench, Samples
from include.arrivals.listing import list_landing
from include.arrivals.refusals import record_unusable
from include.import_types import IMPORT_TYPES
from include.runtime import Runtime
from include.storage.locations import area
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role

SIZES = (500, 5_000, 20_000)
ROUNDS = 3
SLOWEST_SECONDS = 5.0
MOST_GROWTH = 2.0
"""Of the time a file takes, from the smallest area to the largest."""
CONTENT = "card_number,pool_system_name,balance\n1,pool_1,1\n"


def measure_landing(bench: Bench) -> None:
    """List areas of several sizes, and write their odd entries into the history."""
    for is_odd in (False, True):
        for size in SIZES:
            folder = bench.folder / f"landing of {size}{' odd' if is_odd else ''}"
            fill(folder / "landing" / "gift_cards", size, is_odd=is_odd)
            with bench.database() as database:
                engine = create_warehouse_engine(bench.server.url(database, Role.IMPORTER))
                areas = (area(folder / name) for name in ("landing", "work", "reports", "archive"))
                measure(bench.samples, name_of(size, is_odd), Runtime(engine, *areas, import_types=IMPORT_TYPES), size)
                engine.dispose()
            shutil.rmtree(folder)


def name_of(size: int, is_odd: bool) -> str:
    return f"listing of {size:,} files{', as many odd entries' if is_odd else ''}"


def fill(folder: Path, size: int, *, is_odd: bool) -> None:
    """Make the files; of the odd entries a quarter each kind."""
    folder.mkdir(parents=True)
    (folder / "_settings.yaml").write_text("settle_seconds: 1\n")
    for number in range(size):
        (folder / f"cards {number}.csv").write_text(CONTENT)
        if not is_odd:
            continue
        match number % 4:
            case 0:
                (folder / f"odd {number}.csv").symlink_to("nowhere")
            case 1:
                (folder / f"odd {number}.csv").symlink_to("/etc/hostname")
            case 2:
                os.mkfifo(folder / f"odd {number}.csv")
            case 3:
                (folder / f"cards {number}.csv.settings.yaml").write_text(f"unknown_{number}: [\n" * 20)


def measure(samples: Samples, name: str, runtime: Runtime, size: int) -> None:
    now = datetime.now(UTC) + timedelta(minutes=5)
    for number in range(ROUNDS + 1):
        started = time.perf_counter()
        listing = list_landing(runtime, now)
        samples.add(f"{name}{', first' if number == 0 else ''}", time.perf_counter() - started)
        if len(listing.ready) != size:
            raise SystemExit(f"{name}: {len(listing.ready)} files are ready")
    started = time.perf_counter()
    record_unusable(runtime, listing.unusable)
    samples.add(f"{name}, odd entries recorded", time.perf_counter() - started)


def report_landing(samples: Samples) -> None:
    """Print medians, and how the time of a file grows."""
    print(f"\nthe landing area, medians of {ROUNDS}")
    for name, values in samples.values.items():
        if name.startswith("listing of "):
            print(f"  {name:66} {samples.median(name):8.3f} s  ({min(values):.3f} … {max(values):.3f})")
    for is_odd in (False, True):
        seconds = {size: samples.median(name_of(size, is_odd)) for size in SIZES}
        slowest, growth = seconds[SIZES[-1]], (seconds[SIZES[-1]] / SIZES[-1]) / (seconds[SIZES[0]] / SIZES[0])
        kind = "with odd entries" if is_odd else "files alone"
        for label, value, target in (
            (f"seconds at {SIZES[-1]:,}, {kind}", slowest, SLOWEST_SECONDS),
            (f"time a file, {SIZES[-1]:,} beside {SIZES[0]:,}, {kind}", growth, MOST_GROWTH),
        ):
            print(f"  {label:66} {value:8.2f}   target <= {target:g}{'' if value <= target else '   MISSED'}")
