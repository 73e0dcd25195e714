"""What Airflow's own home page counts of runs of dropped files. Source: X-10."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.dags.test_pick_up_runs import drop, end

pytestmark = pytest.mark.dags


def test_airflows_tile_counts_the_dag_of_a_dropped_file_that_has_failed(
    browse: Callable[[str | None], TestClient], stored_dags: None, run_dag: Callable[..., Any], folders: Any
) -> None:
    """Airflow 3.3.2 looks at the newest run that has a logical date, and said 0 above six failures."""
    browser = browse("admin")
    before = browser.get("/ui/dashboard/dag_stats").json()
    drop(folders.landing / "gift_card_pools", "a.csv")
    assert run_dag("pick_up_files").state == "success"
    end("import_gift_card_pools", ago=timedelta(hours=1))
    after = browser.get("/ui/dashboard/dag_stats").json()
    assert after["failed_dag_count"] == before["failed_dag_count"] + 1
