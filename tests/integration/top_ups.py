"""Pools of promo codes, their codes and alerts for the tests of the top-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, text

from include.promo_codes.shortage import Stock
from tests.integration.gift_cards import insert

POOL = {
    "system_id": "summer_pool",
    "name": "Summer pool",
    "description": "Codes of the tests",
    "fill_method": "generate",
    "format": "summer",
    "quantity": 10,
    "auto_generate": True,
    "top_up_threshold": None,
    "notify_below": None,
    "lead_hours": None,
    "multi_use": False,
    "state": "active",
}
UPLOAD = {"fill_method": "upload", "format": None, "quantity": None, "auto_generate": False}


def add_pool(connection: Connection, system_id: str = "summer_pool", **changes: Any) -> str:
    """Insert a pool that is topped up by ten codes; a draft that isn't launched with `state="draft"`."""
    insert(connection, "loyalty.promo_code_pool", {**POOL, "system_id": system_id, **changes})
    return system_id


def stock_of(engine: Engine, available: int, daily: float | None, now: datetime) -> Stock:
    """Return a stock with the run-out that the warehouse predicts."""
    statement = text("SELECT loyalty.promo_code_run_out(false, :available, :daily, :now)")
    with engine.connect() as connection:
        values = {"available": available, "daily": daily, "now": now}
        return Stock(available, daily, connection.execute(statement, values).scalar_one())


def add_format(connection: Connection, name: str = "tiny", **changes: Any) -> str:
    """Insert a format of 16 codes."""
    tiny = {"name": name, "alphabet": "AB", "length": 6, "prefix": "T-", "suffix": "", "max_codes": None}
    insert(connection, "loyalty.promo_code_format", tiny | changes)
    return name


def add_codes(connection: Connection, pool: str, count: int, prefix: str = "UP", **columns: Any) -> None:
    """Add codes as an upload does; `columns` are the same for all of them."""
    job = connection.execute(
        text(
            """
            INSERT INTO ledger.import_job (
                run_key, import_type, state, launched_by, source_url, source_version, file_name, arrived_at, parameters,
                settings, warnings, is_dry_run, launched_at
            )
            VALUES (gen_random_uuid()::text, 'promo_codes', 'completed', 'test', gen_random_uuid()::text, '1', 'x.csv',
                now(), '{}', '{}', '[]', false, now())
            RETURNING id
            """
        )
    ).scalar_one()
    names = "".join(f", {name}" for name in columns)
    places = "".join(f", :{name}" for name in columns)
    statement = text(
        f"""
        INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id, import_line{names})
        SELECT :prefix || :pool || '-' || number, :pool, :job, number + 1{places}
        FROM generate_series(1, :count) AS number
        """
    )
    connection.execute(statement, {"prefix": prefix, "pool": pool, "job": job, "count": count} | columns)


def issue(connection: Connection, pool: str, count: int = 1) -> list[str]:
    """Hand out codes; return the results."""
    statement = text("SELECT result FROM loyalty.issue_promo_code(:pool, 'customer')")
    return [connection.execute(statement, {"pool": pool}).scalar_one() for _ in range(count)]


def issued_in_the_past(connection: Connection, pool: str, *, days: int, daily: int) -> None:
    """Let so many of the codes have been issued on each of the last days, the first ones `days` days ago."""
    statement = text(
        """
        UPDATE loyalty.promo_code
        SET issued_at = :at
        WHERE code IN (
            SELECT code FROM loyalty.promo_code WHERE pool_system_id = :pool AND issued_at IS NULL LIMIT :daily
        )
        """
    )
    for day in range(1, days + 1):
        at = datetime.now(UTC) - timedelta(days=day)
        assert connection.execute(statement, {"pool": pool, "daily": daily, "at": at}).rowcount == daily


def available(connection: Connection, pool: str) -> int:
    """Return how many codes can be handed out, counted without the functions under test."""
    statement = text(
        """
        SELECT count(*)
        FROM loyalty.promo_code
        WHERE pool_system_id = :pool AND issued_at IS NULL AND used_at IS NULL
            AND (issue_end IS NULL OR issue_end > now())
        """
    )
    return int(connection.execute(statement, {"pool": pool}).scalar_one())


def generations(connection: Connection, pool: str) -> list[dict[str, Any]]:
    """Return the pool's history of generations, oldest first."""
    statement = text("SELECT * FROM ledger.promo_code_generation WHERE pool_system_id = :pool ORDER BY id")
    return [dict(row) for row in connection.execute(statement, {"pool": pool}).mappings()]


def alerts(connection: Connection, pool: str) -> list[tuple[str, bool, bool]]:
    """Return (kind, is sent, has recovered) of the pool's alerts, oldest first."""
    statement = text(
        """
        SELECT kind, sent_at IS NOT NULL, recovered_at IS NOT NULL
        FROM ledger.promo_code_alert
        WHERE pool_system_id = :pool
        ORDER BY id
        """
    )
    return [tuple(row) for row in connection.execute(statement, {"pool": pool})]
