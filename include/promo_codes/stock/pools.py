"""Pools with their settings. Source: PC-01, TU-01."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from include.warehouse.search import contains
from include.warehouse.sql_files import statement_beside

_POOLS = statement_beside(__file__, "pools.sql")


@dataclass(frozen=True)
class PromoPool:
    """A pool's settings; the names are those of `loyalty.promo_code_pool`.

    Args:
        threshold: `loyalty.promo_code_threshold`, the level that people have set.
    """

    system_id: str
    name: str
    description: str | None
    campaign: str | None
    parameter_name: str | None
    fill_method: str | None
    format: str | None
    quantity: int | None
    auto_generate: bool
    top_up_threshold: int | None
    notify_below: int | None
    lead_hours: int | None
    issue_check: bool
    assigned_validity_days: int | None
    processing: str
    multi_use: bool
    state: str
    launched_at: datetime | None
    first_code_at: datetime | None
    import_job_id: int | None
    created_at: datetime
    threshold: int | None

    @property
    def takes_uploads(self) -> bool:
        """False for a pool that is filled by generation (PC-05)."""
        return self.fill_method != "generate"

    @property
    def takes_generations(self) -> bool:
        """False once codes have been uploaded (PC-05 the other way round)."""
        return not (self.fill_method == "upload" and self.first_code_at is not None)


def find_pool(connection: Connection, system_id: str) -> PromoPool | None:
    """Return a pool's settings, or None when there is no such pool."""
    if "\0" in system_id:  # which no text of PostgreSQL holds
        return None
    pools = _read(connection, system_id=system_id, wanted="%", limit=1, offset=0)
    return pools[0] if pools else None


def list_settings(connection: Connection, *, wanted: str, limit: int, offset: int) -> list[PromoPool]:
    """Return pools by system id.

    Args:
        wanted: part of the name or system id, in any letter case.
    """
    return _read(connection, system_id=None, wanted=contains(wanted), limit=limit, offset=offset)


def _read(connection: Connection, **values: object) -> list[PromoPool]:
    return [PromoPool(**row) for row in connection.execute(_POOLS, values).mappings()]
