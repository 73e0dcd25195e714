"""Waiting for what happens in the database."""

from __future__ import annotations

import time

from include.warehouse.engine import create_warehouse_engine
from tests.faults.children import PATIENCE_SECONDS, Child
from tests.faults.scenes import Scene


def wait_until_blocked(scene: Scene, child: Child, sessions: int = 1) -> None:
    """Wait until so many sessions of the scene's database wait for a lock."""
    engine = create_warehouse_engine(scene.admin_url)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            with engine.connect() as connection:
                if connection.exec_driver_sql(waiting).scalar_one() >= sessions:
                    return
            time.sleep(0.02)
    finally:
        engine.dispose()
    raise AssertionError(f"Nothing waits for a lock:\n{child.output}")
