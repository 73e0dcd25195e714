"""Levels, stock and forecast of a pool, as the warehouse computes them. Source: TU-01, TU-05, PG-05."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from include.promo_codes.shortage import Pool, Stock

_POOL = """
    SELECT
        system_id, name, state, multi_use, fill_method, format, quantity, auto_generate, notify_below, lead_hours,
        loyalty.promo_code_level(top_up_threshold, notify_below) AS level, first_code_at
    FROM loyalty.promo_code_pool
    WHERE system_id = :pool
"""
_READ_POOL = sa.text(_POOL)
_LOCK_POOL = sa.text(f"{_POOL} FOR NO KEY UPDATE")
_COUNT = sa.text("SELECT counted_available FROM loyalty.count_promo_code_pool(:pool)")
_FORECAST = sa.text(
    """
    SELECT
        daily_consumption,
        loyalty.promo_code_run_out(multi_use, :available, daily_consumption, :now) AS runs_out_at
    FROM loyalty.promo_code_stock
    WHERE pool_system_id = :pool
    """
)
_HAS_SHRUNK = sa.text("SELECT loyalty.has_promo_code_stock_shrunk(:pool)")
_FORMAT_AVAILABLE = sa.text("SELECT available FROM loyalty.promo_code_format_stock WHERE name = :format")


def read_pool(connection: Connection, system_id: str, *, lock: bool = False) -> Pool:
    """Return a pool; locked, other top-ups and generations of it wait, issues and uploads of codes don't.

    Raises:
        LookupError: there is no such pool.
    """
    row = connection.execute(_LOCK_POOL if lock else _READ_POOL, {"pool": system_id}).mappings().one_or_none()
    if row is None:
        raise LookupError(f"there is no promo code pool {system_id!r}")
    return Pool(**row)


def count_stock(connection: Connection, pool: Pool, now: datetime) -> Stock:
    """Count a pool, which also renews the count behind its signals (PG-05); with a forecast if it has `lead_hours`."""
    available = int(connection.execute(_COUNT, {"pool": pool.system_id}).scalar() or 0)
    daily, runs_out_at = None, None
    if pool.lead_hours is not None:
        values = {"pool": pool.system_id, "available": available, "now": now}
        daily, runs_out_at = connection.execute(_FORECAST, values).one()
    is_low = pool.notify_below is not None and available < pool.notify_below
    has_shrunk = not is_low or bool(connection.execute(_HAS_SHRUNK, {"pool": pool.system_id}).scalar_one())
    return Stock(available, None if daily is None else float(daily), runs_out_at, has_shrunk)


def format_available(connection: Connection, pool: Pool) -> int:
    """Return how many codes the pool's format can still give, without waiting for those who generate."""
    return int(connection.execute(_FORMAT_AVAILABLE, {"format": pool.format}).scalar() or 0)


def gives_no_batch(connection: Connection, pool: Pool) -> bool:
    """Return whether the format of a pool that is topped up is still short of one batch."""
    return pool.is_topped_up and pool.format is not None and format_available(connection, pool) < (pool.quantity or 0)
