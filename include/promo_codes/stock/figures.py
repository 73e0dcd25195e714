"""What pools have in stock, how fast it goes, and when it runs out. Source: TU-01, TU-05."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include.promo_codes.stock.pools import PromoPool, list_settings
from include.warehouse.sql_files import statement_beside

POOL_LIMIT = 100_000
"""Codes of one kind that the page of one pool counts: 0.1 s."""
LIST_LIMIT = 2_000
"""The same for each pool of a list."""
_FIGURES = statement_beside(__file__, "figures.sql")


@dataclass(frozen=True)
class Figure:
    """A count, exact or "so many at least"."""

    value: int
    is_exact: bool = True

    def __str__(self) -> str:
        """Return it as it is shown."""
        if self.is_exact:
            return f"{self.value:,}"
        return f"{self.value:,} or more" if self.value else "not counted"


@dataclass(frozen=True)
class PoolStock:
    """A pool's codes by what has become of them, and how fast they go; as `loyalty.promo_code_stock` defines it.

    Args:
        available: issuable now or scheduled to become so; in a pool for multiple use issued ones too.
        scheduled: those of them whose issue window has not opened.
        issued, used: at any time.
        expired: neither issued nor used in their time.
        daily: `loyalty.promo_code_daily_consumption`; of as many takes as were counted when there are more (TU-05).
        runs_out_at: `loyalty.promo_code_run_out`, at that rate. Not before then, when `available` is no exact figure.
        counted_at: when `available` was counted; None: just now.
    """

    available: Figure
    scheduled: Figure
    issued: Figure
    used: Figure
    expired: Figure
    daily: float | None
    runs_out_at: datetime | None
    counted_at: datetime | None = None


@dataclass(frozen=True)
class PoolWithStock:
    """A pool, its stock, and when it last got codes."""

    pool: PromoPool
    stock: PoolStock
    last_added: int | None
    last_generation_at: datetime | None
    last_inserted: int | None
    last_upload_at: datetime | None


def list_pools(
    connection: Connection, now: datetime, *, wanted: str = "", limit: int, offset: int = 0
) -> list[PoolWithStock]:
    """Return pools with their stock, by system id.

    Args:
        wanted: part of the name or system id, in any letter case.
    """
    pools = list_settings(connection, wanted=wanted, limit=limit, offset=offset)
    return _with_stock(connection, pools, now, LIST_LIMIT)


def read_stock(connection: Connection, pool: PromoPool, now: datetime) -> PoolStock:
    """Return what a pool has, counted now up to `POOL_LIMIT` codes of a kind."""
    (counted,) = _with_stock(connection, [pool], now, POOL_LIMIT)
    return counted.stock


def look_by_index(connection: Connection) -> None:
    """Keep the planner from reading all codes of all pools to find the first few of one."""
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    connection.exec_driver_sql("SET LOCAL jit = off")


def _with_stock(connection: Connection, pools: Sequence[PromoPool], now: datetime, most: int) -> list[PoolWithStock]:
    look_by_index(connection)
    values = {"pools": [pool.system_id for pool in pools], "most": most, "now": now}
    rows = {row.system_id: row for row in connection.execute(_FIGURES, values)}
    return [
        PoolWithStock(
            pool=pool,
            stock=_stock(row, is_reusable=pool.multi_use, most=most),
            last_added=row.last_added,
            last_generation_at=row.last_generation_at,
            last_inserted=row.last_inserted,
            last_upload_at=row.last_upload_at,
        )
        for pool in pools
        if (row := rows.get(pool.system_id)) is not None
    ]


def _stock(row: sa.Row[Any], *, is_reusable: bool, most: int) -> PoolStock:
    all_taken = row.taken <= most
    all_used = all_taken and not (is_reusable and max(row.in_stock, row.expired) > most)
    return PoolStock(
        available=Figure(row.available, row.is_exact),
        scheduled=_figure(row.scheduled, is_exact=row.in_stock <= most),
        issued=_figure(row.issued, is_exact=all_taken),
        used=_figure(row.used, is_exact=all_used),
        expired=_figure(row.expired, is_exact=row.expired <= most),
        daily=None if row.daily is None else float(row.daily),
        runs_out_at=row.runs_out_at,
        counted_at=row.counted_at,
    )


def _figure(counted: int, *, is_exact: bool) -> Figure:
    return Figure(counted if is_exact else max(0, counted - 1), is_exact)
