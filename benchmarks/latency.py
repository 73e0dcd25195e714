"""Times a person waits for, on a local stack of its own with nothing else to do: from a file's drop to its rows.

Every other benchmark leaves Airflow out; here its scheduler and triggerer take most of the time. A pool of promo codes
that has run dry is measured as well: from the issue of its last code to new ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, text

from benchmarks.bench import Bench, Samples
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tools.stack.demo import Sample, drop
from tools.stack.lifecycle import Stack
from tools.stack.temporary import running_stack

FILES, ROWS = 10, 1_000
DRAINS, CODES = 5, 20
SETTLE_SECONDS = 1
"""A file is taken when it has been the same for so long; not a part of the times."""
LOADED_SECONDS, REFILLED_SECONDS = 5.0, 10.0
"""The targets, as medians."""
PATIENCE_SECONDS = 120
POOL = "latency"
GIFT_CARD_POOL = f"""\
pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,cvv_required,\
card_value,expiration_type,lifetime
Latency,{POOL},true,true,latency,website,Acme,false,,NoExpiration,
"""
PROMO_CODE_POOL = f"""
INSERT INTO loyalty.promo_code_pool (
    system_id, name, description, state, fill_method, format, quantity, auto_generate
)
VALUES ('{POOL}', 'Latency', 'Of the benchmark', 'active', 'generate', 'summer', {CODES}, true)
"""
_JOB = "SELECT * FROM ledger.import_job WHERE file_name = :name AND finished_at IS NOT NULL"
_IS_LOADED = "SELECT 1 FROM ledger.import_job WHERE file_name = :name AND loaded_at IS NOT NULL"
_ISSUE = "SELECT result FROM loyalty.issue_promo_code(:pool, 'customer')"
_HAS_CODES = "SELECT 1 FROM loyalty.promo_code WHERE pool_system_id = :pool AND issued_at IS NULL LIMIT 1"
_LOADED, _REFILLED = "from the drop to loaded rows", "from the last code's issue to new codes"


def measure_latency(bench: Bench) -> None:
    """Start a stack, drop small files one after another, and drain a pool of promo codes several times."""
    with running_stack() as stack:
        engine = create_warehouse_engine(stack.url_for(Role.OWNER))
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                _drop_files(stack, connection, bench.folder, bench.samples)
                _drain_pool(connection, bench.samples)
        finally:
            engine.dispose()


def report_latency(samples: Samples) -> None:
    """Print medians, those of the steps' ends too, and the two beside their targets."""
    print(f"\na running Airflow, medians: {FILES} files of {ROWS:,} gift cards, {DRAINS} drains of a pool")
    for name, values in samples.values.items():
        if name.startswith((_LOADED, _REFILLED)):
            print(f"  {name:66} {samples.median(name):8.2f} s  ({min(values):.2f} … {max(values):.2f})")
    for name, target in ((_LOADED, LOADED_SECONDS), (_REFILLED, REFILLED_SECONDS)):
        seconds = samples.median(name)
        print(f"  {name:66} {seconds:8.2f}   target <= {target:g}{'' if seconds <= target else '   MISSED'}")


def _drop_files(stack: Stack, connection: Connection, folder: Path, samples: Samples) -> None:
    landing = stack.settings.landing
    for import_type in ("gift_card_pools", "gift_cards"):
        (landing / import_type).mkdir(mode=0o700, parents=True, exist_ok=True)
        (landing / import_type / "_settings.yaml").write_text(f"settle_seconds: {SETTLE_SECONDS}\n")
    source = folder / "latency.csv"
    source.write_text(GIFT_CARD_POOL)
    drop(Sample("gift_card_pools", source, "pool.csv"), landing)
    _wait_for(lambda: _row(connection, _JOB, name="pool.csv"), "the pool of gift cards")
    for series in range(FILES):
        rows = (f"60{series:06d}{number:08d},{POOL},25.00" for number in range(ROWS))
        source.write_text("\n".join(["card_number,pool_system_name,balance", *rows, ""]))
        name = f"cards {series}.csv"
        drop(Sample("gift_cards", source, name), landing)
        settles_at = time.time() + SETTLE_SECONDS
        _wait_for(lambda name=name: _row(connection, _IS_LOADED, name=name), name)
        samples.add(_LOADED, time.time() - settles_at)
        job = _wait_for(lambda name=name: _row(connection, _JOB, name=name), f"the end of {name}")
        if job["rows_inserted"] != ROWS:
            raise SystemExit(f"{name}: expected {ROWS} inserted rows, got {job['rows_inserted']}")
        for step, ended_at in _ends(stack, job).items():
            samples.add(f"{_LOADED}, end of {step}", ended_at - settles_at)


def _ends(stack: Stack, job: dict[str, Any]) -> dict[str, float]:
    """Return when each step of an import ended, in seconds since 1970; steps with nothing to do are left out."""
    run = f"/api/v2/dags/{job['dag_id']}/dagRuns/{quote(job['dag_run_id'])}"
    api = stack.api()
    _wait_for(lambda: api.get(run)["state"] == "success" or None, f"the run of {job['file_name']}")
    times = {"the run's creation": api.get(run)["queued_at"]}
    for task in api.get(f"{run}/taskInstances?limit=100")["task_instances"]:
        if task["state"] == "success":
            times[task["task_id"]] = task["end_date"]
    return {step: datetime.fromisoformat(ended_at).timestamp() for step, ended_at in times.items()}


def _drain_pool(connection: Connection, samples: Samples) -> None:
    connection.execute(text(PROMO_CODE_POOL))
    for number in range(DRAINS + 1):
        started_at = time.monotonic()
        _wait_for(lambda: _row(connection, _HAS_CODES, pool=POOL), "new promo codes")
        if number:  # the first filling is of a pool that nobody has drained
            samples.add(_REFILLED, time.monotonic() - started_at)
        for _ in range(CODES):
            result = connection.execute(text(_ISSUE), {"pool": POOL}).scalar_one()
            if result != "issued":
                raise SystemExit(f"issue_promo_code returned {result}")


def _row(connection: Connection, statement: str, **values: str) -> dict[str, Any] | None:
    row = connection.execute(text(statement), values).mappings().first()
    return None if row is None else dict(row)


def _wait_for(look: Callable[[], Any], what: str) -> Any:
    """Return the first answer that is not None.

    Raises:
        SystemExit: there is none in time.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := look()) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: nothing after {PATIENCE_SECONDS} s")
        time.sleep(0.02)
    return answer
