"""The trigger that wakes `top_up_promo_pools` as soon as a pool of promo codes runs low. Source: PG-05, TU-01."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from loyalty_airflow.withheld_errors import describe

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

log = logging.getLogger(__name__)

CHANNEL = "promo_code_stock"
POOLS_NAMED = 20
CONNECT_TIMEOUT_SECONDS = 10


class StockTrigger(BaseEventTrigger):
    """Listen to the warehouse, which signals a pool's `system_id` when its stock crosses a level.

    Signals that come together make one event, and the event only wakes the DAG, which looks at the pools itself. What
    was signalled while nobody listened is lost, so each new connection starts with an event that names no pool.

    Args:
        pause_seconds: least time between two events.
        retry_seconds: how long to wait after the connection was refused or lost.
        renew_seconds: age at which the connection is replaced: the Airflow Connection may have changed.
    """

    def __init__(self, pause_seconds: float = 0.5, retry_seconds: float = 5.0, renew_seconds: float = 3600.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Airflow's base class (3.3.2)
        self.pause_seconds = pause_seconds
        self.retry_seconds = retry_seconds
        self.renew_seconds = renew_seconds
        self._failure: str | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to build this trigger again."""
        return (
            "loyalty_airflow.triggers.stock.StockTrigger",
            {
                "pause_seconds": self.pause_seconds,
                "retry_seconds": self.retry_seconds,
                "renew_seconds": self.renew_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each connection, then whenever pools are signalled."""
        while True:
            try:
                async with aclosing(self._listen()) as signals:
                    async for pools in signals:
                        yield TriggerEvent({"pools": sorted(pools)[:POOLS_NAMED]})
                        await asyncio.sleep(self.pause_seconds)
            except Exception as error:  # a trigger that raises is gone, and the pools unwatched
                self._note_failure(error)
                await asyncio.sleep(self.retry_seconds)

    async def _listen(self) -> AsyncGenerator[set[str], None]:
        """Yield an empty set once connected, then the pools signalled since the last set; end when it is time to renew.

        Raises:
            psycopg2.OperationalError: the connection was refused or lost.
        """
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + self.renew_seconds
        connection = await asyncio.to_thread(_connect)
        signals = Signals(connection)
        try:
            self._note_success()
            yield set()
            while (remaining := renew_at - loop.time()) > 0:
                yield await asyncio.wait_for(signals.take(), remaining)
        except TimeoutError:
            log.debug("The connection is renewed")
        finally:
            signals.stop()
            connection.close()

    def _note_failure(self, error: Exception) -> None:
        """Log a failure once, not at every attempt."""
        text = describe(error)
        if text != self._failure:
            log.warning("The warehouse can't be listened to: %s", text)
        self._failure = text

    def _note_success(self) -> None:
        if self._failure is not None:
            log.info("The warehouse is listened to again")
        self._failure = None


class Signals:
    """What has come in on a listening connection and was not yet taken. Made and used within the running loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pools: set[str] = set()
        self._failure: Exception | None = None
        self._arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = connection.fileno()  # a lost connection doesn't return it any more
        self._loop.add_reader(self._descriptor, self.receive)

    def stop(self) -> None:
        """Read no more; only once, because the number of a closed socket is soon another trigger's."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def receive(self) -> None:
        """Read what the server has sent. Called by the loop whenever there is something, so it must read everything."""
        try:
            self._connection.poll()
        except Exception as error:  # the loop would swallow it, and call again at once
            self.stop()
            self._failure = error
        self._pools |= {notice.payload for notice in self._connection.notifies}
        self._connection.notifies.clear()
        if self._pools or self._failure:
            self._arrived.set()

    async def take(self) -> set[str]:
        """Wait for signals and return their pools.

        Raises:
            psycopg2.OperationalError: the connection is lost.
        """
        await self._arrived.wait()
        self._arrived.clear()
        if self._failure is not None:
            raise self._failure
        taken, self._pools = self._pools, set()
        return taken


def _connect() -> Connection:
    """Return a connection that listens. Runs in a thread: it does I/O."""
    import psycopg2

    from include.warehouse.engine import KEEPALIVE
    from loyalty_airflow.runtime import warehouse_url

    connection = psycopg2.connect(
        warehouse_url(),
        application_name="loyalty-stock-trigger",
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        **KEEPALIVE,
    )
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
    except BaseException:
        connection.close()
        raise
    return connection
