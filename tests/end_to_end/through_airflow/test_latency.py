"""How long a small file takes from its drop to its loaded rows, on a stack that has nothing else to do."""

from __future__ import annotations

import os
import statistics
import time
from datetime import datetime
from typing import Any

import pytest

from tests.end_to_end.imports import SETTLES_SOON, Imports, cards, wait_for

pytestmark = pytest.mark.e2e

FILES = 10
ROWS = 1_000
MOST_SECONDS = 5.0


def wait_until_loaded(imports: Imports, name: str) -> float:
    """Wait until every user can see a file's rows; return when."""

    def seen() -> float | None:
        return time.time() if any(job["loaded_at"] for job in imports.jobs(name)) else None

    return wait_for(seen, 60, f"the rows of {name}", pause_seconds=0.02)


def ends(imports: Imports, job: dict[str, Any], dropped_at: float) -> dict[str, float]:
    """Return how many seconds after the drop each step of an import had ended."""
    times = {"run created": imports.run(job)["queued_at"]}
    times |= {task["task_id"]: task["end_date"] for task in imports.task_instances(job)}
    return {step: datetime.fromisoformat(at).timestamp() - dropped_at for step, at in times.items()}


def test_a_thousand_rows_are_loaded_within_five_seconds(
    imports: Imports, pool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The median of ten files, one after another, beyond the time for which a file must lie unchanged."""
    settling = SETTLES_SOON["settle_seconds"]
    latencies, steps = [], []
    for series in range(1001, 1001 + FILES):
        name = f"{ROWS}_rows_{series}.csv"
        dropped_at = imports.drop("gift_cards", name, cards(series, ROWS, pool), SETTLES_SOON)
        latencies.append(wait_until_loaded(imports, name) - dropped_at - settling)
        job = imports.wait_for_job(name)
        assert imports.rows(job) == {"read": ROWS, "inserted": ROWS}
        steps.append(ends(imports, job, dropped_at + settling))
    median = statistics.median(latencies)
    with capsys.disabled():
        print(
            f"\n{ROWS:,} rows from drop to loaded, beyond settling: median {median:.2f} s of",
            " ".join(f"{one:.1f}" for one in sorted(latencies)),
            f"(load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores); medians of the steps' ends:",
            ", ".join(f"{step} {statistics.median(times[step] for times in steps):.2f}" for step in steps[0]),
        )
    assert median <= MOST_SECONDS
