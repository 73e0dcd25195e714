"""The trigger that watches the landing folders. Source: X-12, GC-05."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import pytest

from include.ledger.jobs import JOB, State
from loyalty_airflow.triggers.landing import LandingTrigger

pytestmark = pytest.mark.dags

POOLS = "pool_name\n"
POLL_SECONDS = 0.02


class Store:
    """An asset state store in memory."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    async def aget(self, key, default=None):
        return self.values.get(key, default)

    async def aset(self, key, value):
        self.values[key] = value


@pytest.fixture
def watch(connected, monkeypatch):
    """Run a trigger over an action; return the events it yielded from then on until it was quiet."""
    monkeypatch.setattr(
        "loyalty_airflow.triggers.landing.RENEW_SECONDS", 0
    )  # each poll reads the environment of the test

    def run(store, *actions, quiet=0.5):
        async def collect():
            trigger = LandingTrigger(POLL_SECONDS, POLL_SECONDS, POLL_SECONDS)
            trigger.asset_state_store = store
            events = [[]]

            async def follow():
                async for event in trigger.run():
                    events[-1].append(event.payload)

            task = asyncio.create_task(follow())
            await asyncio.sleep(quiet)
            for action in actions:
                events.append([])
                action()
                await asyncio.sleep(quiet)
            assert not task.done(), task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await trigger.cleanup()
            return events

        return asyncio.run(collect())

    return run


def drop(folder, name, content=POOLS, age=10):
    path = folder / name
    path.write_text(content)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_a_file_is_announced_once_and_another_one_too(watch, folders):
    pools = folders.landing / "gift_card_pools"
    drop(pools, "a.csv")
    assert watch(Store(), lambda: (drop(pools, "b.csv"), drop(pools, "c.csv"))) == [[{"files": 1}], [{"files": 2}]]


def test_a_new_version_of_a_file_is_announced(watch, folders):
    pools = folders.landing / "gift_card_pools"
    drop(pools, "a.csv")
    assert watch(Store(), lambda: drop(pools, "a.csv", age=20)) == [[{"files": 1}], [{"files": 1}]]


def test_a_file_that_left_and_came_back_is_announced_again(watch, folders):
    path = drop(folders.landing / "gift_card_pools", "a.csv")
    elsewhere = folders.work / "a.csv"
    assert watch(Store(), lambda: path.rename(elsewhere), lambda: elsewhere.rename(path)) == [
        [{"files": 1}], [], [{"files": 1}],
    ]  # fmt: skip


def test_a_restarted_trigger_repeats_nothing(watch, folders):
    drop(folders.landing / "gift_card_pools", "a.csv")
    store = Store()
    assert watch(store) == [[{"files": 1}]]
    assert watch(store) == [[]]


def test_a_file_still_being_written_is_not_announced(watch, folders):
    pools = folders.landing / "gift_card_pools"
    drop(pools, "a.csv", age=0)
    drop(pools, "b.csv.part")
    assert watch(Store()) == [[]]


def test_a_file_in_a_folder_of_no_type_is_announced(watch, folders):
    """Source: X-01."""
    (folders.landing / "colours").mkdir()
    drop(folders.landing / "colours", "a.xlsx", age=100)
    assert watch(Store()) == [[{"files": 1}]]


def test_gift_cards_are_announced_when_the_pools_before_them_are_in(watch, folders, connected):
    """Source: GC-05."""
    import sqlalchemy as sa

    with connected.owner.begin() as connection:
        connection.execute(
            sa.insert(JOB).values(
                run_key="pools", import_type="gift_card_pools", state=State.RUNNING, launched_by="x", source_url="x",
                source_version="1", file_name="pools.csv", arrived_at=sa.func.now(), parameters={}, settings={},
                warnings=[], is_dry_run=False, launched_at=sa.func.now(),
            )
        )  # fmt: skip
    drop(folders.landing / "gift_cards", "cards.csv")

    def end_the_pools():
        with connected.owner.begin() as connection:
            connection.execute(sa.update(JOB).values(state=State.FAILED, finished_at=sa.func.now()))

    assert watch(Store(), end_the_pools, quiet=0.8) == [[], [{"files": 1}]]


def test_a_failure_is_logged_once_and_outlived(watch, folders, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    drop(folders.landing / "gift_card_pools", "a.csv")
    landing_url = os.environ["AIRFLOW_VAR_LANDING_URL"]
    monkeypatch.delenv("AIRFLOW_VAR_LANDING_URL")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", "postgres://nobody@127.0.0.1:1/nothing")
    warehouse_url = os.environ["AIRFLOW_CONN_WAREHOUSE_POSTGRES"]

    def restore_settings():
        monkeypatch.setenv("AIRFLOW_VAR_LANDING_URL", landing_url)
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", warehouse_url)

    assert watch(Store(), restore_settings) == [[], [{"files": 1}]]
    texts = [
        record.getMessage() for record in caplog.records if record.name.startswith("loyalty_airflow.triggers.landing")
    ]
    assert len(texts) == 2
    assert "can't be listed" in texts[0]
    assert "landing_url" in texts[0]
    assert "can be listed again" in texts[1]


def test_the_trigger_is_rebuilt_from_what_it_serialises():
    trigger = LandingTrigger(1.5, 20, 30)
    path, arguments = trigger.serialize()
    assert path == f"{LandingTrigger.__module__}.{LandingTrigger.__qualname__}"
    assert LandingTrigger(**arguments).serialize() == trigger.serialize()
