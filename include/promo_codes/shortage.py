"""What a pool of codes lacks, and which of its alerts are due: judgement without a database. Source: TU-01 to TU-05.

Level, consumption and predicted run-out are computed in the warehouse (objects/promo_code_levels.sql).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LOW_STOCK, RUNS_OUT_SOON, FORMAT_EXHAUSTED = "low_stock", "runs_out_soon", "format_exhausted"


@dataclass(frozen=True)
class Pool:
    """What top-up and generation read of a pool; the names are those of `loyalty.promo_code_pool`.

    Args:
        level: fewer available codes than this are a shortage (TU-01): `loyalty.promo_code_level`.
    """

    system_id: str
    name: str
    state: str
    multi_use: bool
    fill_method: str | None
    format: str | None
    quantity: int | None
    auto_generate: bool
    notify_below: int | None
    lead_hours: int | None
    level: int
    first_code_at: datetime | None = None

    @property
    def is_watched(self) -> bool:
        """True where codes can run out: they are handed out, and once each."""
        return self.state == "active" and not self.multi_use

    @property
    def is_topped_up(self) -> bool:
        """True where the top-up may generate codes (TU-01)."""
        return self.is_watched and self.auto_generate and self.fill_method == "generate"


@dataclass(frozen=True)
class Stock:
    """What a pool has.

    Args:
        available: codes that are issuable or scheduled to become so, without those that are just being handed out.
        daily: mean codes issued a day; None with too little history (TU-05).
        runs_out_at: when the last code is predicted to go; None without a prediction.
        has_shrunk: some code has left it, by issue, by use or by its time. False: it has only been filled so far.
    """

    available: int
    daily: float | None = None
    runs_out_at: datetime | None = None
    has_shrunk: bool = True

    def run_out_within(self, hours: float, now: datetime) -> datetime | None:
        """Return when the last code is predicted to go, unless that is later than so many hours from now."""
        if self.runs_out_at is None or self.runs_out_at - now > timedelta(hours=hours):
            return None
        return self.runs_out_at


@dataclass(frozen=True)
class Shortage:
    """Why a pool is to be topped up, and to how many available codes at least."""

    target: int
    reason: str


@dataclass(frozen=True)
class Due:
    """An alert that should be open: what its mail says besides its kind."""

    level: int | None = None
    runs_out_at: datetime | None = None


def find_shortage(pool: Pool, stock: Stock, now: datetime) -> Shortage | None:
    """Say what a pool lacks that the top-up may generate, or None. Source: TU-01, TU-05."""
    if not pool.is_topped_up:
        return None
    reasons, target = [], 0
    if stock.available < pool.level:
        target = pool.level
        is_empty = stock.available == 0
        reasons.append("no code is available" if is_empty else f"{stock.available:,} available, below {pool.level:,}")
    if pool.lead_hours is not None and (runs_out_at := stock.run_out_within(pool.lead_hours, now)):
        assert stock.daily is not None
        target = max(target, int(stock.daily * pool.lead_hours / 24) + 1)
        moment = f"{runs_out_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        reasons.append(f"predicted to run out at {moment}, within {pool.lead_hours} hours")
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

    A stock that has never been more has not fallen below the level: a pool that is just being set up has no alert,
    unless the top-up fills it.
    """
    due: dict[str, Due] = {}
    if not pool.is_watched:
        return due
    has_crossed = stock.has_shrunk or pool.is_topped_up
    if pool.notify_below is not None and stock.available < pool.notify_below and has_crossed:
        due[LOW_STOCK] = Due(level=pool.notify_below)
    if pool.lead_hours is not None and (runs_out_at := stock.run_out_within(pool.lead_hours, now)):
        due[RUNS_OUT_SOON] = Due(runs_out_at=runs_out_at)
    return due
