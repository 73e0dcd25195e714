"""Rights by DAG, with the auth manager that knows them: who may read one import DAG sees that type and no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.ledger.jobs import JobResult
from include.warehouse.roles import Role
from tests.dags.conftest import PROJECT
from tests.dags.test_import_runs import CARDS, POOLS

pytestmark = pytest.mark.dags

MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
CARDS_DAG, POOLS_DAG = "DAG:import_gift_cards", "DAG:import_gift_card_pools"
USERS = {
    "all": [("can_read", "DAGs")],
    "cards": [("can_read", CARDS_DAG)],
    "launcher": [
        ("can_read", CARDS_DAG), ("can_edit", CARDS_DAG), ("can_create", "DAG Runs"), ("can_read", POOLS_DAG),
    ],
    "nobody": [("can_read", "Website")],
}  # fmt: skip
POOL_JOB, CARD_JOB = 1, 2
BELOW_A_JOB = ("", "/rejects", "/files/original", "/files/summary", "/validation")
CARD_PAGES = [f"/imports/jobs/{CARD_JOB}{rest}" for rest in BELOW_A_JOB]
CARD_ROWS = [f"/imports/jobs/{CARD_JOB}/files/{kind}" for kind in ("original", "summary")]
POOL_ROWS = [f"/imports/jobs/{POOL_JOB}/files/{kind}" for kind in ("original", "summary")]
POOL_PAGES = [f"/imports/jobs/{POOL_JOB}{rest}" for rest in BELOW_A_JOB]
LISTS = ["/imports/", "/imports/?type=gift_card_pools", "/imports/?name=p"]
CARD_RUN = "/imports/runs/import_gift_cards/manual__2026-01-31T12:00:02+00:00"
POOL_RUN = "/imports/runs/import_gift_card_pools/manual__2026-01-31T12:00:01+00:00"
UPLOAD = "0" * 32
CARD_POSTS = {
    f"/imports/jobs/{CARD_JOB}/upload": 303,
    "/imports/upload/gift_cards": 400,
    f"/imports/upload/gift_cards/{UPLOAD}": 404,
}
"""What somebody gets who may launch imports of cards."""
OTHER_POSTS = (
    f"/imports/jobs/{POOL_JOB}/upload", "/imports/upload/gift_card_pools", f"/imports/upload/customers/{UPLOAD}",
    "/imports/paste", "/imports/pools/generate?pool=x", "/imports/pools/launch?pool=x",
)  # fmt: skip


@pytest.fixture
def answers(
    warehouse_server: Any, connected: Any, load: Callable[..., JobResult], tmp_path: Path
) -> dict[str, dict[str, Any]]:
    """What each user got, by user and address."""
    load("gift_card_pools", "p.csv", POOLS)
    load("gift_cards", "cards.csv", f"{CARDS}4000000000000003,nowhere,50\n")
    warehouse_server.create_database("airflow_with_rights", owner=Role.AIRFLOW)
    url = warehouse_server.url("airflow_with_rights", Role.AIRFLOW).replace("postgresql://", "postgresql+psycopg2://")
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__AUTH_MANAGER": MANAGER,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT / "plugins"), os.environ.get("PYTHONPATH")])),
    }
    asked = {"users": USERS, "addresses": [*LISTS, *CARD_PAGES, *POOL_PAGES, CARD_RUN, POOL_RUN]}
    asked["posts"] = [*CARD_POSTS, *OTHER_POSTS]
    command = [sys.executable, "-m", "tests.dags.pages.rights_by_dag"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, cwd=PROJECT, env=environment, timeout=300
        )
    finally:
        warehouse_server.drop_database("airflow_with_rights")
    assert done.returncode == 0, done.stderr[-4000:]
    answers: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert answers.pop("manager") == "FabAuthManager"
    return answers


def test_who_may_read_one_dag_sees_its_imports_and_no_others(answers: dict[str, dict[str, Any]]) -> None:
    """One process for all users: to start it takes most of the time."""
    statuses = {
        user: {address: answer[0] for address, answer in got.items()} for user, got in without_launches(answers)
    }
    jobs = {user: {address: got[address][1] for address in LISTS} for user, got in answers.items()}

    assert jobs["all"] == {LISTS[0]: [1, 2], LISTS[1]: [1], LISTS[2]: [1]}
    assert {statuses["all"].pop(address) for address in (*CARD_ROWS, *POOL_ROWS)} == {403}, "rows (X-21)"
    assert set(statuses["all"].values()) == {200, 303}
    assert [statuses["launcher"][address] for address in (*CARD_ROWS, *POOL_ROWS)] == [200, 200, 403, 403]

    assert jobs["cards"] == {LISTS[0]: [2], LISTS[1]: [], LISTS[2]: []}
    assert {address: statuses["cards"][address] for address in (*CARD_PAGES, CARD_RUN)} == {
        **dict.fromkeys(CARD_PAGES, 200), **dict.fromkeys(CARD_ROWS, 403), CARD_RUN: 303,
    }  # fmt: skip
    assert {statuses["cards"][address] for address in (*POOL_PAGES, POOL_RUN)} == {403}

    assert jobs["nobody"] == {address: [] for address in LISTS}
    assert {statuses["nobody"][address] for address in (*CARD_PAGES, *POOL_PAGES, CARD_RUN, POOL_RUN)} == {403}

    assert {user: got["launches"] for user, got in answers.items()} == {
        "all": [], "cards": [], "launcher": ["gift_cards"], "nobody": [],
    }  # fmt: skip
    for user, got in answers.items():
        allowed = CARD_POSTS if user == "launcher" else dict.fromkeys(CARD_POSTS, 403)
        assert got["posts"] == allowed | dict.fromkeys(OTHER_POSTS, 403), user


def without_launches(answers: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (user, {address: got[address] for address in got if address.startswith("/")}) for user, got in answers.items()
    ]
