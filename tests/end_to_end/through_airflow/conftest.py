"""One stack with the project's own DAGs and plugins for all tests of this folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from upath import UPath

from tests.end_to_end.imports import LOCATIONS, SETTLES_SOON, Imports, exports, pools, watched
from tools.stack.settings import PROJECT
from tools.stack.temporary import running_stack

NOTICES_DEAD_WORKERS_SOON = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",  # by default five minutes
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}
FOLLOWER = '''
from airflow.sdk import Asset, dag, task

@dag(schedule=[Asset("warehouse://loyalty/gift_card")], catchup=False)
def follow_gift_cards():
    """Another team's DAG, scheduled on loaded cards."""
    @task
    def report_events(triggering_asset_events=None):
        return [dict(event.extra) for events in triggering_asset_events.values() for event in events]
    report_events()

follow_gift_cards()
'''


@pytest.fixture(scope="package")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imports]:
    dags = tmp_path_factory.mktemp("dags") / "dags"
    shutil.copytree(PROJECT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    (dags / "follow_gift_cards.py").write_text(FOLLOWER)
    roots = json.dumps({name: [str(exports())] for name in ("customers", "promo_codes")})
    environment = NOTICES_DEAD_WORKERS_SOON | {"AIRFLOW_VAR_IMPORT_ROOTS": roots}
    with running_stack(dags=dags, extra_environment=environment) as stack:
        folders = {name: UPath(str(stack.settings.home / name)) for name in LOCATIONS}
        with watched(stack, folders) as imports:
            yield imports


@pytest.fixture(scope="package")
def pool(imports: Imports) -> str:
    """A pool that is there already; cards that need it wait for nothing."""
    imports.drop("gift_card_pools", "everyday.csv", pools("everyday"), SETTLES_SOON)
    assert imports.wait_for_job("everyday.csv")["state"] == "completed"
    return "everyday"
