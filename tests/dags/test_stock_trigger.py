"""The trigger that listens for pools of promo codes that run low. Source: PG-05, TU-01."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import psycopg2
import pytest

from loyalty_airflow.triggers.stock import StockTrigger

pytestmark = pytest.mark.dags

RETRY_SECONDS = 0.1
QUIET_SECONDS = 0.4


@pytest.fixture
def listen(connected):
    """Run a trigger over actions; return the pools of the events before the first, and after each one."""

    def run(*actions, quiet=QUIET_SECONDS, pause_seconds=0.05, **arguments):
        async def collect():
            trigger = StockTrigger(pause_seconds, RETRY_SECONDS, **arguments)
            events = [[]]

            async def follow():
                async for event in trigger.run():
                    events[-1].append(event.payload["pools"])

            task = asyncio.create_task(follow())
            await asyncio.sleep(quiet)
            for action in actions:
                events.append([])
                await asyncio.to_thread(action)
                await asyncio.sleep(quiet)
            assert not task.done(), task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return events

        return asyncio.run(collect())

    return run


@pytest.fixture
def signal(connected):
    """Signal pools in one transaction, as the functions that hand codes out do."""

    def run(*pools, commit=True):
        connection = psycopg2.connect(connected.url)
        with connection.cursor() as cursor:
            for pool in pools:
                cursor.execute("SELECT pg_notify('promo_code_stock', %s)", (pool,))
        connection.commit() if commit else connection.rollback()
        connection.close()

    return run


def end_connections(url):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'loyalty-stock-trigger'"
        )
        ended = cursor.rowcount
    connection.close()
    return ended


def test_a_signal_wakes_at_once_and_names_the_pool(connected, signal):
    """Source: PG-05."""

    async def wake():
        events = StockTrigger().run()
        assert (await anext(events)).payload == {"pools": []}
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.6)  # past the pause after the first event
        await asyncio.to_thread(signal, "summer")
        event = await asyncio.wait_for(waiting, 30)
        await events.aclose()
        return event.payload

    assert asyncio.run(wake()) == {"pools": ["summer"]}


def test_the_first_event_comes_with_the_connection_because_earlier_signals_are_lost(listen, signal):
    signal("unheard")
    assert listen() == [[[]]]


def test_signals_that_come_together_make_one_event(listen, signal):
    assert listen(lambda: signal("b", "a", "b")) == [[[]], [["a", "b"]]]


def test_a_burst_of_signals_makes_few_events_and_loses_no_pool(listen, signal):
    names = [f"pool_{number:02d}" for number in range(20)]
    _, events = listen(lambda: [signal(name) for name in names], pause_seconds=0.5, quiet=1.2)
    assert len(events) <= 3
    assert sorted(name for pools in events for name in pools) == names


def test_a_transaction_that_was_rolled_back_signals_nothing(listen, signal):
    assert listen(lambda: signal("summer", commit=False)) == [[[]], []]


def test_a_lost_connection_is_replaced_and_announced(listen, signal, connected, caplog):
    """A signal given meanwhile is lost, so the new connection starts with an event."""
    caplog.set_level(logging.INFO)

    def lose():
        assert end_connections(connected.url) == 1

    assert listen(lose, lambda: signal("summer")) == [[[]], [[]], [["summer"]]]
    texts = [
        record.getMessage() for record in caplog.records if record.name.startswith("loyalty_airflow.triggers.stock")
    ]
    assert len(texts) == 2
    assert "can't be listened to" in texts[0]
    assert "is listened to again" in texts[1]


def test_an_unreachable_warehouse_is_logged_once_and_outlived(listen, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    address = os.environ["AIRFLOW_CONN_WAREHOUSE_POSTGRES"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", "postgres://nobody:secret-word@127.0.0.1:1/nothing")
    assert listen(lambda: monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", address)) == [[], [[]]]
    texts = [
        record.getMessage() for record in caplog.records if record.name.startswith("loyalty_airflow.triggers.stock")
    ]
    assert len(texts) == 2
    assert "can't be listened to" in texts[0]
    assert "is listened to again" in texts[1]
    assert "secret-word" not in caplog.text


def test_the_connection_is_renewed_now_and_then(listen, signal):
    before, after = listen(lambda: signal("summer"), renew_seconds=0.3, quiet=1.0)
    assert before.count([]) > 1
    assert [pools for pools in after if pools] == [["summer"]]


def test_no_connection_is_left_behind(listen, connected):
    listen()
    assert end_connections(connected.url) == 0


def test_a_waiting_trigger_leaves_the_loop_idle(connected):
    async def measure():
        events = StockTrigger().run()
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.6)
        used = time.process_time()
        await asyncio.sleep(1)
        used = time.process_time() - used
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return used

    assert asyncio.run(measure()) < 0.2


def test_the_trigger_is_rebuilt_from_what_it_serialises():
    trigger = StockTrigger(1.5, 20, 30)
    path, arguments = trigger.serialize()
    assert path == f"{StockTrigger.__module__}.{StockTrigger.__qualname__}"
    assert StockTrigger(**arguments).serialize() == trigger.serialize()
