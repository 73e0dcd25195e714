"""Fill pools of promo codes before they run out, and say so when they run low. Source: TU-01 to TU-05.

`review_pools` finds the pools that need something, `top_up_pool` gives it to one of them: codes and alerts in one
transaction, or in several of at most `max_generation` codes each (PP-02), of which the last one judges the alerts.
`send_alerts` tells the subscribers afterwards. Each may be repeated and run beside itself at any time:
what is done depends on what a pool lacks then, counted under the pool's lock. That a generation runs, or has failed, is
committed beside that transaction (PG-04).

What the levels mean: a pool is filled up to `top_up_threshold`, or `notify_below`, or 1 code, where 0 is a level that
nothing falls below; with `lead_hours`, so far that the predicted run-out lies beyond them. Staff are told when fewer
than `notify_below` are left afterwards, of a pool that has been used or that the top-up was to fill.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import lock_format
from include.promo_codes.generation import (
    Added,
    check_format,
    end_failed,
    generate_into,
    lock_additions,
    open_running,
    settle_interrupted,
)
from include.runtime import Runtime
from include.warehouse.transactions import repeat_on_conflict, values_hidden

LOW_STOCK, RUNS_OUT_SOON, FORMAT_EXHAUSTED = "low_stock", "runs_out_soon", "format_exhausted"
LAUNCHED_BY = "top-up"
ATTEMPTS = 5
"""How often to begin again when uploads take the last codes of a format's space meanwhile."""
FRESH = timedelta(minutes=6)
"""A count that stays valid for so long needn't be repeated: the schedule comes by before it ends."""
FORECAST_PAUSE = timedelta(minutes=4)
"""Least time between two looks at a forecast; shorter than the schedule's."""


@dataclass(frozen=True)
class Pool:
    """What the top-up reads of a pool; the names are those of `loyalty.promo_code_pool`."""

    system_id: str
    name: str
    state: str
    multi_use: bool
    fill_method: str | None
    format: str | None
    quantity: int | None
    auto_generate: bool
    top_up_threshold: int | None
    notify_below: int | None
    lead_hours: int | None

    @property
    def is_watched(self) -> bool:
        """True where codes can run out: they are handed out, and once each."""
        return self.state == "active" and not self.multi_use

    @property
    def is_topped_up(self) -> bool:
        """True where the top-up may generate codes (TU-01)."""
        return self.is_watched and self.auto_generate and self.fill_method == "generate"

    @property
    def level(self) -> int:
        """Fewer available codes than this are a shortage (TU-01)."""
        levels = (self.top_up_threshold, self.notify_below, 1)
        return next(level for level in levels if level is not None)


@dataclass(frozen=True)
class Stock:
    """What a pool has.

    Args:
        available: codes that are issuable or scheduled to become so, without those that are just being handed out.
        daily: mean codes issued a day; None with too little history (TU-05).
        has_shrunk: some code has left it, by issue, by use or by its time. False: it has only been filled so far.
    """

    available: int
    daily: float | None = None
    has_shrunk: bool = True

    def runs_out_at(self, now: datetime, within_hours: float) -> datetime | None:
        """Return when the last code is predicted to go, unless that is later than so many hours from now."""
        if not self.daily:
            return None
        hours = self.available / self.daily * 24
        return now + timedelta(hours=hours) if hours <= within_hours else None


@dataclass(frozen=True)
class Shortage:
    """Why a pool is to be topped up, and to how many available codes at least."""

    target: int
    reason: str


@dataclass(frozen=True)
class Due:
    """An alert that should stand: what it tells besides its kind."""

    level: int | None = None
    runs_out_at: datetime | None = None


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
        told = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


@dataclass(frozen=True)
class Alert:
    """One row of `ledger.promo_code_alert`, with its pool's name and what decides on the cure.

    Args:
        fill_method: of the pool; None before its first code.
        format_available: codes that the pool's format can still give.
    """

    id: int
    pool: str
    pool_name: str
    kind: str
    raised_at: datetime
    available: int
    level: int | None
    runs_out_at: datetime | None
    fill_method: str | None = None
    format: str | None = None
    format_available: int | None = None


# -- judgement


def find_shortage(pool: Pool, stock: Stock, now: datetime) -> Shortage | None:
    """Say what a pool lacks that the top-up may generate, or None. Source: TU-01, TU-05."""
    if not pool.is_topped_up:
        return None
    reasons, target = [], 0
    if stock.available < pool.level:
        target = pool.level
        told = f"{stock.available:,} available, below {pool.level:,}"
        reasons.append("no code is available" if stock.available == 0 else told)
    if pool.lead_hours is not None and (runs_out_at := stock.runs_out_at(now, pool.lead_hours)):
        assert stock.daily is not None
        target = max(target, int(stock.daily * pool.lead_hours / 24) + 1)
        reasons.append(f"predicted to run out at {runs_out_at:%Y-%m-%d %H:%M} UTC, within {pool.lead_hours} hours")
    return Shortage(target, "; ".join(reasons)) if reasons else None


def batches(pool: Pool, stock: Stock, shortage: Shortage) -> int:
    """Return how many codes to generate: the pool's quantity, as often as it takes to meet the target (TU-01)."""
    assert pool.quantity is not None  # a CHECK of the table: auto_generate needs it
    return -((stock.available - shortage.target) // pool.quantity) * pool.quantity


def part_of(wanted: int, pool: Pool, most: int) -> int:
    """Return how many of the wanted codes one transaction generates: whole batches, as many as it may (PP-02).

    Args:
        most: `max_generation` of the project settings; a larger quantity, of a pool of former days, counts as that.
    """
    assert pool.quantity is not None
    return min(wanted, most // min(pool.quantity, most) * min(pool.quantity, most))


def due_alerts(pool: Pool, stock: Stock, now: datetime) -> dict[str, Due]:
    """Return the alerts that a pool's stock calls for, by kind. Source: TU-03, TU-05.

    A stock that has never been more has not fallen below the level: a pool that is just being set up is not told of,
    unless it is one that the top-up fills.
    """
    due: dict[str, Due] = {}
    if not pool.is_watched:
        return due
    has_crossed = stock.has_shrunk or pool.is_topped_up
    if pool.notify_below is not None and stock.available < pool.notify_below and has_crossed:
        due[LOW_STOCK] = Due(level=pool.notify_below)
    if pool.lead_hours is not None and (runs_out_at := stock.runs_out_at(now, pool.lead_hours)):
        due[RUNS_OUT_SOON] = Due(runs_out_at=runs_out_at)
    return due


# -- review


def review_pools(engine: Engine, now: datetime) -> list[Need]:
    """Return the pools that need codes, an alert or a mail, by system id.

    Pools whose last count still proves that they need nothing are passed over; the others are counted, which also
    renews what their signals go by (PG-05). A pool that another top-up fills just now is left to it: its commit signals
    the pool again. Generations that were interrupted since the last review are settled.
    """
    with values_hidden():
        settle_interrupted(engine)
    with values_hidden(), engine.connect() as connection:
        times = {"fresh_until": now + FRESH, "forecast_at": now - FORECAST_PAUSE}
        candidates = [row.system_id for row in connection.execute(_CANDIDATES, times)]
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


# Active pools whose codes go out once, unless their last count is fresh and what has been taken since leaves them above
# every level; those with a forecast at every tick, but not at every signal. And pools with an open alert.
_CANDIDATES = sa.text(
    """
    SELECT pool.system_id
    FROM loyalty.promo_code_pool AS pool
    LEFT JOIN loyalty.promo_code_pool_stock AS stock ON stock.pool_system_id = pool.system_id
    WHERE pool.state = 'active' AND NOT pool.multi_use
        AND (
            stock.pool_system_id IS NULL
            OR stock.valid_until < :fresh_until
            OR pool.lead_hours IS NOT NULL AND stock.counted_at < :forecast_at
            OR stock.counted_available - stock.counted_ending - (
                coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', pool.number)::regclass), 0)
                - stock.counted_at_take
            ) < greatest(pool.top_up_threshold, pool.notify_below, 1)
        )
        OR EXISTS (
            SELECT FROM ledger.promo_code_alert AS alert
            WHERE alert.pool_system_id = pool.system_id AND alert.recovered_at IS NULL
        )
    ORDER BY pool.system_id
    """
)


def _review_pool(connection: Connection, system_id: str, now: datetime) -> Need | None:
    pool = _read_pool(connection, system_id)
    stock = _count_stock(connection, pool)
    standing = _open_alerts(connection, system_id)
    shortage = find_shortage(pool, stock, now)
    stays_exhausted = FORMAT_EXHAUSTED in standing and _gives_no_batch(connection, pool)
    if shortage is not None and not (stays_exhausted and _format_available(connection, pool) == 0):
        return Need(system_id, pool.name, shortage.reason)
    due = {*due_alerts(pool, stock, now)} | ({FORMAT_EXHAUSTED} if stays_exhausted else set())
    reasons = [f"{kind} is to be told" for kind in sorted(due) if not standing.get(kind)]
    reasons += [f"{kind} is over" for kind in sorted(standing.keys() - due)]
    return Need(system_id, pool.name, "; ".join(reasons)) if reasons else None


# -- top-up


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
    launch = {"launched_by": LAUNCHED_BY, "dag_id": dag_id, "dag_run_id": dag_run_id}

    def run(attempt: int) -> tuple[TopUp, bool]:
        filling = Filling(runtime.engine, runtime.code_key, launch)
        try:
            with values_hidden(), runtime.engine.begin() as connection:
                lock_additions(connection, attempt)
                return _top_up(connection, system_id, filling, runtime.clock(), runtime.project.max_generation)
        except Exception as error:
            if filling.generation_id is not None:
                with suppress(Exception):  # the first error is the one to tell
                    end_failed(runtime, filling.generation_id, error)
            raise

    with values_hidden():
        settle_interrupted(runtime.engine, system_id)
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
    pool = _read_pool(connection, system_id, lock=True)
    stock = _count_stock(connection, pool)
    shortage = find_shortage(pool, stock, now)
    if shortage is not None:
        connection.execute(_FILLING_LOCK, {"pool": system_id})
        wanted = batches(pool, stock, shortage)
        part = part_of(wanted, pool, most)
        filling.fill(connection, pool, part, shortage.reason)
        stock = _count_stock(connection, pool)
        if filling.added == part < wanted:
            done = TopUp(
                system_id, pool.name, shortage.reason, filling.requested, filling.added, available=stock.available
            )
            return done, False
    due = due_alerts(pool, stock, now)
    standing = _open_alerts(connection, system_id)
    if filling.is_exhausted or (FORMAT_EXHAUSTED in standing and _gives_no_batch(connection, pool)):
        due[FORMAT_EXHAUSTED] = Due(level=shortage.target if shortage else None)
    recovered = _close_alerts(connection, system_id, standing.keys() - due.keys(), now)
    raised = _raise_alerts(connection, system_id, stock, due, now)
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


@dataclass
class Filling:
    """An attempt to fill a pool, and how it went.

    Args:
        engine: for what is committed beside the transaction of the codes.
        launch: columns of the history that say who asked.
        generation_id: of the generation, once it is shown as running.
        is_exhausted: the format could not give all that was wanted.
        refusal: why no codes could be generated: the rule and a sentence.
    """

    engine: Engine
    key: bytes | None
    launch: Mapping[str, object]
    generation_id: int | None = None
    requested: int = 0
    added: int = 0
    is_exhausted: bool = False
    refusal: tuple[str, str] | None = None

    def fill(self, connection: Connection, pool: Pool, wanted: int, reason: str) -> None:
        """Generate what is wanted, or what the format has left of it (TU-02), and write it into the history."""
        self.requested = wanted
        opened = {
            "run_key": f"top-up/{pool.system_id}/{uuid.uuid4()}",
            "pool_system_id": pool.system_id,
            "format": pool.format,
            "requested": wanted,
            "reason": reason,
            **self.launch,
        }
        try:
            self._generate(connection, pool, wanted, opened)
        except GenerationRefused as refusal:
            self.refusal = (refusal.rule, refusal.message)
            told = {"refusal_rule": refusal.rule, "refusal_message": refusal.message}
            if self.generation_id is None:
                connection.execute(_NOTE_REFUSAL, {**opened, **told})
            else:
                connection.execute(_END_REFUSED, {"id": self.generation_id, **told})

    def _generate(self, connection: Connection, pool: Pool, wanted: int, opened: Mapping[str, object]) -> None:
        if pool.format is None:
            raise GenerationRefused("generation.no_format", f"The pool {pool.system_id!r} has no format.")
        if not self.key:
            raise GenerationRefused("generation.no_key", "There is no key to generate promo codes with.")
        made = Added(0, 0)
        attempts = ATTEMPTS
        while (quantity := min(wanted, (state := lock_format(connection, pool.format)).available)) > 0:
            if self.generation_id is None:
                check_format(state, quantity, state.format.key(self.key))  # what stands refused already isn't begun
                self.generation_id = open_running(self.engine, connection, opened)
            try:
                with connection.begin_nested():
                    made = generate_into(
                        connection,
                        pool=pool.system_id,
                        format=pool.format,
                        quantity=quantity,
                        generation_id=self.generation_id,
                        key=self.key,
                    )
            except GenerationRefused as refusal:
                attempts -= 1
                if refusal.rule != "generation.not_enough_codes" or not attempts:
                    raise
                continue
            break
        self.added = made.added
        self.is_exhausted = self.added < wanted
        if self.generation_id is not None:
            ended = {"id": self.generation_id, "generated": made.generated, "added": made.added}
            connection.execute(_COMPLETE_GENERATION, ended)


_FILLING_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('top-up of promo codes: ' || :pool, 0))")
_IS_NOT_BEING_FILLED = sa.text(
    "SELECT pg_try_advisory_xact_lock_shared(hashtextextended('top-up of promo codes: ' || :pool, 0))"
)
_COMPLETE_GENERATION = sa.text(
    """
    UPDATE ledger.promo_code_generation
    SET state = 'completed', generated = :generated, added = :added, finished_at = clock_timestamp()
    WHERE id = :id
    """
)
_END_REFUSED = sa.text(
    """
    UPDATE ledger.promo_code_generation
    SET state = 'refused', refusal_rule = :refusal_rule, refusal_message = :refusal_message,
        finished_at = clock_timestamp()
    WHERE id = :id
    """
)
# A refusal that stands there already as the pool's latest generation isn't written again at every tick.
_NOTE_REFUSAL = sa.text(
    """
    INSERT INTO ledger.promo_code_generation (
        run_key, pool_system_id, format, requested, reason, state, launched_by, started_at, finished_at, refusal_rule,
        refusal_message, dag_id, dag_run_id
    )
    SELECT :run_key, :pool_system_id, :format, :requested, :reason, 'refused', :launched_by, clock_timestamp(),
        clock_timestamp(), :refusal_rule, :refusal_message, :dag_id, :dag_run_id
    WHERE NOT EXISTS (
        SELECT
        FROM (
            SELECT launched_by, refusal_rule, refusal_message
            FROM ledger.promo_code_generation
            WHERE pool_system_id = :pool_system_id
            ORDER BY id DESC
            LIMIT 1
        ) AS latest
        WHERE (launched_by, refusal_rule, refusal_message) = (:launched_by, :refusal_rule, :refusal_message)
    )
    """
)


# -- alerts


def send_alerts(engine: Engine, system_id: str, send: Callable[[Alert], bool], clock: Callable[[], datetime]) -> int:
    """Send the alerts of a pool that stand and were not sent yet; return how many could not be sent.

    An alert is locked while its mail is sent: another sender passes over it. One that `send` refuses stays for the next
    time.

    Args:
        send: returns whether the mail has been taken; raises nothing.
    """
    unsent, after = 0, 0
    while True:
        with values_hidden(), engine.begin() as connection:
            found = connection.execute(_NEXT_UNSENT, {"pool": system_id, "after": after}).mappings().one_or_none()
            if found is None:
                return unsent
            alert = Alert(**found)
            after = alert.id
            if send(alert):
                connection.execute(_MARK_SENT, {"id": alert.id, "sent_at": clock()})
            else:
                unsent += 1


_NEXT_UNSENT = sa.text(
    """
    SELECT alert.id, pool.system_id AS pool, pool.name AS pool_name, alert.kind, alert.raised_at, alert.available,
        alert.level, alert.runs_out_at, pool.fill_method, pool.format,
        (SELECT stock.available FROM loyalty.promo_code_format_stock AS stock WHERE stock.name = pool.format)
            AS format_available
    FROM ledger.promo_code_alert AS alert
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = alert.pool_system_id
    WHERE alert.pool_system_id = :pool AND alert.id > :after AND alert.sent_at IS NULL AND alert.recovered_at IS NULL
    ORDER BY alert.id
    LIMIT 1
    FOR UPDATE OF alert SKIP LOCKED
    """
)
_MARK_SENT = sa.text("UPDATE ledger.promo_code_alert SET sent_at = :sent_at WHERE id = :id")


def _open_alerts(connection: Connection, system_id: str) -> dict[str, bool]:
    """Return the alerts that stand, by kind, and whether each was sent."""
    statement = sa.text(
        """
        SELECT kind, sent_at IS NOT NULL AS is_sent
        FROM ledger.promo_code_alert
        WHERE pool_system_id = :pool AND recovered_at IS NULL
        """
    )
    return {row.kind: row.is_sent for row in connection.execute(statement, {"pool": system_id})}


def _raise_alerts(
    connection: Connection, system_id: str, stock: Stock, due: Mapping[str, Due], now: datetime
) -> tuple[str, ...]:
    """Open the alerts that are due and don't stand yet; return their kinds (TU-03: once per crossing)."""
    statement = sa.text(
        """
        INSERT INTO ledger.promo_code_alert (pool_system_id, kind, raised_at, available, level, runs_out_at)
        VALUES (:pool, :kind, :now, :available, :level, :runs_out_at)
        ON CONFLICT (pool_system_id, kind) WHERE recovered_at IS NULL DO NOTHING
        """
    )
    raised = []
    for kind, alert in sorted(due.items()):
        values = {"level": alert.level, "runs_out_at": alert.runs_out_at, "available": stock.available}
        if connection.execute(statement, {"pool": system_id, "kind": kind, "now": now, **values}).rowcount:
            raised.append(kind)
    return tuple(raised)


def _close_alerts(connection: Connection, system_id: str, kinds: Collection[str], now: datetime) -> tuple[str, ...]:
    """Note that the pool has recovered from these; a mail that was never sent isn't sent any more."""
    statement = sa.text(
        """
        UPDATE ledger.promo_code_alert
        SET recovered_at = :now
        WHERE pool_system_id = :pool AND kind = ANY(:kinds) AND recovered_at IS NULL
        """
    )
    if kinds:
        connection.execute(statement, {"pool": system_id, "kinds": list(kinds), "now": now})
    return tuple(sorted(kinds))


# -- what the warehouse tells


def _read_pool(connection: Connection, system_id: str, *, lock: bool = False) -> Pool:
    """Return a pool; locked, other top-ups and generations of it wait, issues and uploads of codes don't."""
    statement = sa.select(_POOL).where(_POOL.c.system_id == system_id)
    found = (
        connection.execute(statement.with_for_update(key_share=True) if lock else statement).mappings().one_or_none()
    )
    if found is None:
        raise LookupError(f"there is no promo code pool {system_id!r}")
    return Pool(**found)


_POOL = sa.table("promo_code_pool", *(sa.column(each.name) for each in fields(Pool)), schema="loyalty")


def _count_stock(connection: Connection, pool: Pool) -> Stock:
    """Count a pool anew, which also renews what its signals go by (PG-05); with its forecast if it has a use for it."""
    statement = sa.text("SELECT counted_available FROM loyalty.count_promo_code_pool(:pool)")
    available = int(connection.execute(statement, {"pool": pool.system_id}).scalar() or 0)
    daily = None
    if pool.lead_hours is not None:
        statement = sa.text("SELECT daily_consumption FROM loyalty.promo_code_stock WHERE pool_system_id = :pool")
        daily = connection.execute(statement, {"pool": pool.system_id}).scalar_one()
    is_low = pool.notify_below is not None and available < pool.notify_below
    has_shrunk = not is_low or bool(connection.execute(_HAS_SHRUNK, {"pool": pool.system_id}).scalar_one())
    return Stock(available, None if daily is None else float(daily), has_shrunk)


_HAS_SHRUNK = sa.text("SELECT loyalty.has_promo_code_stock_shrunk(:pool)")


def _format_available(connection: Connection, pool: Pool) -> int:
    """Return how many codes the pool's format can still give, without waiting for those who generate."""
    statement = sa.text("SELECT available FROM loyalty.promo_code_format_stock WHERE name = :format")
    return int(connection.execute(statement, {"format": pool.format}).scalar() or 0)


def _gives_no_batch(connection: Connection, pool: Pool) -> bool:
    """Tell whether the format of a pool that is topped up is still short of one batch."""
    return pool.is_topped_up and pool.format is not None and _format_available(connection, pool) < (pool.quantity or 0)
