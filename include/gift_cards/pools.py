"""Gift card pools with their products, their cards by status and what the cards are worth. Source: GP-04.

Counts and sums only: no card number leaves these functions (X-20).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from include.warehouse.search import contains

_POOL = """
    SELECT pool.system_name, pool.name, pool.supports_arbitrary_value, pool.supports_partial_redemption,
           pool.cvv_required, pool.card_value, pool.expiration_type, pool.lifetime_years, pool.max_card_value,
           pool.import_job_id, pool.created_at, product.external_system, product.external_id, product.brand
    FROM loyalty.gift_card_pool AS pool
    JOIN loyalty.technical_product AS product ON product.pool_system_name = pool.system_name
"""
_LIST = sa.text(
    f"""
    {_POOL}
    WHERE pool.system_name ILIKE :wanted OR pool.name ILIKE :wanted
    ORDER BY pool.system_name
    LIMIT :limit OFFSET :offset
    """
)
_FIND = sa.text(f"{_POOL} WHERE pool.system_name = :pool")
# gift_card has no index by pool, which every imported card would pay for: this reads the table, once for all pools.
_COUNT = sa.text(
    """
    SELECT pool_system_name,
           count(*) FILTER (WHERE status = 'Inactive') AS inactive,
           count(*) FILTER (WHERE status = 'CanBeUsed') AS can_be_used,
           count(*) FILTER (WHERE status = 'Blocked') AS blocked,
           sum(balance) AS balance,
           sum(balance) FILTER (WHERE status = 'CanBeUsed') AS spendable
    FROM loyalty.gift_card
    WHERE pool_system_name = ANY(:pools)
    GROUP BY pool_system_name
    """
)


@dataclass(frozen=True)
class GiftCardPool:
    """A pool and its technical product; none of it ever changes (GP-03)."""

    system_name: str
    name: str
    supports_arbitrary_value: bool
    supports_partial_redemption: bool
    cvv_required: bool
    card_value: Decimal | None
    expiration_type: str
    lifetime_years: int | None
    max_card_value: Decimal | None
    import_job_id: int | None
    created_at: datetime
    external_system: str
    external_id: str
    brand: str


@dataclass(frozen=True)
class CardCounts:
    """A pool's cards by status.

    Args:
        balance: of all cards.
        spendable: of those that can be used.
    """

    inactive: int = 0
    can_be_used: int = 0
    blocked: int = 0
    balance: Decimal = Decimal("0.00")
    spendable: Decimal = Decimal("0.00")

    @property
    def total(self) -> int:
        """All cards."""
        return self.inactive + self.can_be_used + self.blocked


def list_pools(connection: Connection, *, wanted: str = "", limit: int, offset: int = 0) -> list[GiftCardPool]:
    """Return pools by system name.

    Args:
        wanted: part of the name or system name, in any letter case.
    """
    values = {"wanted": contains(wanted), "limit": limit, "offset": offset}
    return [_pool(row) for row in connection.execute(_LIST, values)]


def find_pool(connection: Connection, system_name: str) -> GiftCardPool | None:
    """Return a pool, or None when there is none of this system name."""
    if "\0" in system_name:  # which no text of PostgreSQL holds
        return None
    row = connection.execute(_FIND, {"pool": system_name}).one_or_none()
    return _pool(row) if row else None


def count_cards(connection: Connection, pools: Collection[str]) -> dict[str, CardCounts]:
    """Return the cards of each of these pools, counted now; one look at the table however many pools there are."""
    counts = dict.fromkeys(pools, CardCounts())
    if pools:
        for row in connection.execute(_COUNT, {"pools": list(pools)}):
            counts[row.pool_system_name] = CardCounts(
                row.inactive, row.can_be_used, row.blocked, row.balance, row.spendable or Decimal("0.00")
            )
    return counts


def _pool(row: sa.Row[Any]) -> GiftCardPool:
    return GiftCardPool(**row._asdict())
