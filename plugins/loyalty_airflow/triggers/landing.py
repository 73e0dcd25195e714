"""The trigger that wakes `pick_up_files` as soon as a file can be imported."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from loyalty_airflow.withheld_errors import describe

if TYPE_CHECKING:
    from include.runtime import Runtime

log = logging.getLogger(__name__)

MEMORY_KEY = "announced"
RENEW_SECONDS = 60
LISTING_SECONDS = 60
"""How long a listing may take before the log says so: a disk may hang. It goes on; no second one is begun beside it."""
PAUSE_FACTOR = 4
"""A pause is at least so many times as long as the listing took: hundreds of waiting files must not fill a core."""


class LandingTrigger(BaseEventTrigger):
    """Fire once for each file that has become ready: settled, released, no longer waiting for other files.

    It fires for entries that can't be imported as well: the DAG writes them into the history (X-12).

    It only wakes the DAG, which lists the folders itself: Airflow 3.3.2 keeps one queued event per asset and DAG, so an
    event per file would lose files. Files announced are remembered in the asset state store; a restarted triggerer
    announces nothing twice. An unreachable bucket or database is logged when it starts and ends, and asked again.

    Args:
        poll_seconds: how often folders on a disk are listed.
        remote_poll_seconds: how often buckets are listed.
        error_pause_seconds: how long to wait after a listing failed.
    """

    def __init__(
        self, poll_seconds: float = 0.5, remote_poll_seconds: float = 5.0, error_pause_seconds: float = 5.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Airflow's base class (3.3.2)
        self.poll_seconds = poll_seconds
        self.remote_poll_seconds = remote_poll_seconds
        self.error_pause_seconds = error_pause_seconds
        self._failure: str | None = None
        self._opened = ExitStack()
        self._runtime: Runtime | None = None
        self._renew_at = 0.0
        self._listing: asyncio.Task[tuple[set[str], float]] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what another triggerer needs to build this trigger again."""
        return (
            "loyalty_airflow.triggers.landing.LandingTrigger",
            {
                "poll_seconds": self.poll_seconds,
                "remote_poll_seconds": self.remote_poll_seconds,
                "error_pause_seconds": self.error_pause_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event whenever files have become ready that were not announced before."""
        announced: set[str] | None = None
        while True:
            pause = self.error_pause_seconds
            try:
                if announced is None:
                    announced = await self._recall()
                ready, pause = await self._listed()
                fresh = ready - announced
                if fresh:
                    yield TriggerEvent({"files": len(fresh)})
                if ready != announced:
                    announced = ready  # what has left landing, or waits again, may become ready again
                    await self._remember(announced)
                self._note_success()
            except Exception as error:  # a trigger that raises is gone, and the landing folders unwatched
                self._note_failure(error)
            await asyncio.sleep(pause)

    async def _listed(self) -> tuple[set[str], float]:
        """Return what a listing says, unless it takes too long: the loop must stay alive, and so must other triggers.

        Raises:
            TimeoutError: it takes too long; the next call waits for the same listing.
        """
        if self._listing is None:
            self._listing = asyncio.create_task(asyncio.to_thread(self._list))
        done, _ = await asyncio.wait({self._listing}, timeout=LISTING_SECONDS)
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, f"no answer for {LISTING_SECONDS} seconds")
        listing, self._listing = self._listing, None
        return listing.result()

    def _list(self) -> tuple[set[str], float]:
        """Return a short key for each ready file and unusable entry, and when to look again. Runs in a thread."""
        from include.arrivals.listing import list_landing

        runtime = self._open_runtime()
        started = time.monotonic()
        try:
            listing = list_landing(runtime, datetime.now(UTC))
        except Exception:
            self._close_runtime()
            raise
        pause = self.poll_seconds if runtime.landing.is_local else self.remote_poll_seconds
        pause = max(pause, PAUSE_FACTOR * (time.monotonic() - started))
        keys = {_key(arrival.url, arrival.version) for arrival in listing.ready}
        return keys | {_key(entry.url, entry.version) for entry in listing.unusable}, pause

    def _open_runtime(self) -> Runtime:
        """Keep the runtime between polls, and renew it now and then: Connections and Variables may have changed."""
        from loyalty_airflow.runtime import open_runtime

        if time.monotonic() > self._renew_at:
            self._close_runtime()
            self._runtime = self._opened.enter_context(open_runtime())
            self._renew_at = time.monotonic() + RENEW_SECONDS
        assert self._runtime is not None
        return self._runtime

    def _close_runtime(self) -> None:
        self._renew_at = 0.0
        self._opened.close()

    async def cleanup(self) -> None:
        """Close the database connections when the trigger ends."""
        await asyncio.to_thread(self._close_runtime)

    async def _recall(self) -> set[str]:
        store = self.asset_state_store
        remembered = await store.aget(MEMORY_KEY, []) if store is not None else []
        return set(map(str, remembered)) if isinstance(remembered, list) else set()

    async def _remember(self, announced: set[str]) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(MEMORY_KEY, [*sorted(announced)])

    def _note_failure(self, error: Exception) -> None:
        """Log a failure once, not at every poll."""
        text = describe(error)
        if text != self._failure:
            log.warning("The landing folders can't be listed: %s", text)
        self._failure = text

    def _note_success(self) -> None:
        if self._failure is not None:
            log.info("The landing folders can be listed again")
        self._failure = None


def _key(url: str, version: str) -> str:
    return hashlib.sha256(f"{url}\n{version}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
