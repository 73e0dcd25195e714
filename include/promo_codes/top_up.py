"""Fill pools of promo codes before they run out, and say so when they run low. Source: TU-01 to TU-05.

`review_pools` finds the pools that need something, `top_up_pool` gives it to one of them: codes and alerts in one
transaction, or in several of at most `max_generation` codes each (PP-02), of which the last one judges the alerts.
`alerts.send_alerts` mails the subscribers afterwards. Each may be repeated and run beside itself at any time:
what is done depends on what a pool lacks then, counted under the pool's lock. That a generation runs, or has failed, is
committed beside that transaction (PG-04).

A pool is filled up to its level (objects/promo_code_levels.sql), where 0 is a level that nothing falls below; with
`lead_hours`, so far that the predicted run-out is later than they end. Subscribers get a mail when fewer than
`notify_below` are left afterwards, of a pool that has been used or that the top-up was to fill.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from include.promo_codes import ledger
from include.promo_codes.alerts import close_alerts, open_alerts, raise_alerts
from include.promo_codes.filling import Filling
from include.promo_codes.levels import count_stock, format_available, gives_no_batch, read_pool
from include.promo_codes.shortage import FORMAT_EXHAUSTED, Due, batches, due_alerts, find_shortage, part_of
from include.promo_codes.walk import lock_additions
from include.runtime import Runtime
from include.warehouse.sql_files import statement_beside
from include.warehouse.transactions import repeat_on_conflict, values_hidden

FRESH = timedelta(minutes=6)
"""A count that stays valid for so long needn't be repeated: the schedule comes by before it ends."""
FORECAST_PAUSE = timedelta(minutes=4)
"""Least time between two looks at a forecast; shorter than the schedule's."""
_POOLS_TO_REVIEW = statement_beside(__file__, "pools_to_review.sql")
_FILLING_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('top-up of promo codes: ' || :pool, 0))")
_IS_NOT_BEING_FILLED = sa.text(
    "SELECT pg_try_advisory_xact_lock_shared(hashtextextended('top-up of promo codes: ' || :pool, 0))"
)


@dataclass(frozen=True)
class Need:
    """A pool that needs something, and what."""

    pool: str
    name: str
    reason: str


@dataclass(frozen=True)
class TopUp:
    """What was done for a pool.

    Args:
        reason: why codes were generated; None when none were lacking.
        requested: codes that were wanted; the format may have given fewer.
        available: afterwards.
        raised, recovered: kinds of alerts.
        refusal: why no codes could be generated: the rule and a sentence.
    """

    pool: str
    name: str
    reason: str | None = None
    requested: int = 0
    added: int = 0
    available: int = 0
    raised: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()
    refusal: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values; no codes, safe for logs and XCom (X-20)."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def review_pools(engine: Engine, now: datetime) -> list[Need]:
    """Return the pools that need codes, an alert or a mail, by system id.

    Pools whose last count still proves that they need nothing are passed over; the others are counted, which also
    renews what their signals go by (PG-05). A pool that another top-up fills just now is left to it: its commit signals
    the pool again. Generations that were interrupted since the last review are settled.
    """
    with values_hidden():
        ledger.settle_interrupted(engine)
    with values_hidden(), engine.connect() as connection:
        times = {"fresh_until": now + FRESH, "forecast_at": now - FORECAST_PAUSE}
        candidates = [row.system_id for row in connection.execute(_POOLS_TO_REVIEW, times)]
    needs = []
    for system_id in candidates:
        with values_hidden(), engine.begin() as connection:  # on its own: a top-up that waits for it may hold the count
            is_being_filled = not connection.execute(_IS_NOT_BEING_FILLED, {"pool": system_id}).scalar_one()
        if is_being_filled:
            continue
        with values_hidden(), engine.begin() as connection:  # one each: a count keeps others from counting the pool
            need = _review_pool(connection, system_id, now)
        if need is not None:
            needs.append(need)
    return needs


def _review_pool(connection: Connection, system_id: str, now: datetime) -> Need | None:
    pool = read_pool(connection, system_id)
    stock = count_stock(connection, pool, now)
    open_kinds = open_alerts(connection, system_id)
    shortage = find_shortage(pool, stock, now)
    stays_exhausted = FORMAT_EXHAUSTED in open_kinds and gives_no_batch(connection, pool)
    if shortage is not None and not (stays_exhausted and format_available(connection, pool) == 0):
        return Need(system_id, pool.name, shortage.reason)
    due = {*due_alerts(pool, stock, now)} | ({FORMAT_EXHAUSTED} if stays_exhausted else set())
    reasons = [f"{kind} is to be reported" for kind in sorted(due) if not open_kinds.get(kind)]
    reasons += [f"{kind} is over" for kind in sorted(open_kinds.keys() - due)]
    return Need(system_id, pool.name, "; ".join(reasons)) if reasons else None


def top_up_pool(runtime: Runtime, system_id: str, *, dag_id: str | None = None, dag_run_id: str | None = None) -> TopUp:
    """Add the codes that a pool lacks, once, and raise or close its alerts, in one transaction.

    In several, when it lacks more than `max_generation` codes: each is a generation of its own, and stays when a later
    one fails.

    Two at once: the second waits for the first one's commit, counts again and finds nothing lacking (TU-02). One that
    fails leaves its generation in the history, as failed.

    Returns:
        What was done. Codes that can't be generated at all (no key, no format) are a refusal; alerts are judged anyway.

    Raises:
        LookupError: there is no such pool.
        WarehouseUnavailable, WarehouseFault
    """

    def run(attempt: int) -> tuple[TopUp, bool]:
        filling = Filling(runtime.engine, runtime.code_key, dag_id, dag_run_id)
        try:
            with values_hidden(), runtime.engine.begin() as connection:
                lock_additions(connection, attempt)
                return _top_up(connection, system_id, filling, runtime.clock(), runtime.project.max_generation)
        except Exception as error:
            if filling.generation_id is not None:
                with suppress(Exception):  # the first error is the one to report
                    ledger.fail_afterwards(runtime.engine, filling.generation_id, error)
            raise

    with values_hidden():
        ledger.settle_interrupted(runtime.engine, system_id)
    done, is_finished = repeat_on_conflict(run)
    while not is_finished:
        earlier = done
        done, is_finished = repeat_on_conflict(run)
        done = replace(
            done,
            reason=earlier.reason,
            requested=earlier.requested + done.requested,
            added=earlier.added + done.added,
        )
    return done


def _top_up(connection: Connection, system_id: str, filling: Filling, now: datetime, most: int) -> tuple[TopUp, bool]:
    """Do what one transaction does for a pool.

    Args:
        most: codes that it may add.

    Returns:
        What was done, and whether that was all. If not, alerts are left to the next transaction.
    """
    pool = read_pool(connection, system_id, lock=True)
    stock = count_stock(connection, pool, now)
    shortage = find_shortage(pool, stock, now)
    if shortage is not None:
        connection.execute(_FILLING_LOCK, {"pool": system_id})
        wanted = batches(pool, stock, shortage)
        part = part_of(wanted, pool, most)
        filling.fill(connection, pool, part, shortage.reason)
        stock = count_stock(connection, pool, now)
        if filling.added == part < wanted:
            done = TopUp(
                system_id, pool.name, shortage.reason, filling.requested, filling.added, available=stock.available
            )
            return done, False
    due = due_alerts(pool, stock, now)
    open_kinds = open_alerts(connection, system_id)
    if filling.is_exhausted or (FORMAT_EXHAUSTED in open_kinds and gives_no_batch(connection, pool)):
        due[FORMAT_EXHAUSTED] = Due(level=shortage.target if shortage else None)
    recovered = close_alerts(connection, system_id, open_kinds.keys() - due.keys(), now)
    raised = raise_alerts(connection, system_id, stock.available, due, now)
    done = TopUp(
        pool=system_id,
        name=pool.name,
        reason=shortage.reason if shortage else None,
        requested=filling.requested,
        added=filling.added,
        available=stock.available,
        raised=raised,
        recovered=recovered,
        refusal=filling.refusal,
    )
    return done, True
