"""One import in a process of its own, with its stages timed from outside; prints one JSON line.

`python -m benchmarks.import_once URL FOLDER TYPE FILE [SETTINGS as JSON]`
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

START = time.perf_counter()


def main(url: str, folder: Path, import_type: str, file: Path, settings: str = "{}") -> None:
    """Import a file and report how long each stage took, in seconds, and the peak memory in MiB."""
    from upath import UPath

    from benchmarks.gift_cards import CVV_KEY
    from include import importer
    from include.arrivals.landing import Request
    from include.import_types import IMPORT_TYPES
    from include.runtime import Runtime
    from include.warehouse.engine import create_warehouse_engine

    landing, work, reports, archive = (UPath(str(folder / name)) for name in ("landing", "work", "reports", "archive"))
    runtime = Runtime(
        create_warehouse_engine(url), landing, work, reports, archive, cvv_key=CVV_KEY, import_types=IMPORT_TYPES
    )
    seconds: dict[str, float] = {}
    for name in ("take_file", "inspect_file", "validate_chunk", "load_rows", "write_report", "close_job"):
        setattr(importer, name, _timed(name, getattr(importer, name), seconds))
    loaded = time.perf_counter()
    run = f"benchmark {file} {time.time_ns()}"  # a request of an earlier run would only be shown what became of it
    request = Request(import_type, str(file), run, "benchmark", json.loads(settings), roots=None)
    result = importer.import_file(runtime, request)
    ended = time.perf_counter()
    print(
        json.dumps(
            {
                "libraries": loaded - START,
                "wall": ended - loaded,
                "stages": seconds,
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "state": result.state,
                "rows": result.to_json()["rows"],
            }
        )
    )


def _timed(name, function, seconds):
    def timed(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start

    return timed


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), *sys.argv[5:])
