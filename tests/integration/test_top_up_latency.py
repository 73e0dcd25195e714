"""What those who hand codes out notice of a large top-up."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from multiprocessing.connection import Connection as Pipe

import pytest
from sqlalchemy import text

from include.promo_codes.top_up import top_up_pool
from include.warehouse.engine import create_warehouse_engine
from tests.integration.promo_codes import make_runtime
from tests.integration.top_ups import add_pool, available

pytestmark = pytest.mark.integration

CODES = 1_000_000
IN_STOCK = 20_000
MOST_SECONDS = 0.050
PAUSE_SECONDS = 0.002


def fill_pool(url: str, pool: str, pipe: Pipe) -> None:
    """Top up a pool, in a process of its own: in this one the two would wait for Python's lock."""
    engine = create_warehouse_engine(url)
    runtime = make_runtime(engine)
    pipe.send("begins")
    done = top_up_pool(runtime, pool)
    pipe.send(done.added)
    engine.dispose()


def test_codes_are_handed_out_in_milliseconds_while_a_million_are_added(warehouse, site, capsys):
    """Source: PG-05, TU-01: the 99th percentile of an issue, each a transaction of its own."""
    with warehouse.engine.begin() as connection:
        pool = add_pool(connection, quantity=IN_STOCK)
    assert top_up_pool(site.runtime, pool).added == IN_STOCK
    with warehouse.engine.begin() as connection:
        changed = "UPDATE loyalty.promo_code_pool SET quantity = :quantity, top_up_threshold = :threshold"
        connection.execute(text(changed), {"quantity": CODES, "threshold": IN_STOCK + 1})

    spawning = multiprocessing.get_context("spawn")
    pipe, far_end = spawning.Pipe()
    process = spawning.Process(target=fill_pool, args=(warehouse.url, pool, far_end))
    process.start()
    seconds = []
    try:
        assert pipe.recv() == "begins"
        began_at = time.monotonic()
        with warehouse.shop.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            statement = text("SELECT result FROM loyalty.issue_promo_code(:pool, 'customer')")
            while not pipe.poll():
                started_at = time.perf_counter()
                assert connection.execute(statement, {"pool": pool}).scalar_one() == "issued"
                seconds.append(time.perf_counter() - started_at)
                time.sleep(PAUSE_SECONDS)
        lasted = time.monotonic() - began_at
        assert pipe.recv() == CODES
    finally:
        process.join(60)
        process.kill()
    percentile = statistics.quantiles(seconds, n=100)[98]
    with capsys.disabled():
        print(
            f"\n{len(seconds):,} codes handed out during a top-up of {CODES:,} that took {lasted:.1f} s: "
            f"median {statistics.median(seconds) * 1000:.1f} ms, p99 {percentile * 1000:.1f} ms, "
            f"longest {max(seconds) * 1000:.0f} ms (load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)"
        )
    assert len(seconds) > 100
    assert percentile <= MOST_SECONDS
    with warehouse.engine.connect() as connection:
        assert available(connection, pool) == IN_STOCK + CODES - len(seconds)
