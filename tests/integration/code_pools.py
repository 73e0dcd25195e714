"""Pools of promo codes and their codes by raw SQL, for the tests of the warehouse: only what a test names differs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from sqlalchemy import Connection, text

from tests.integration.gift_cards import insert

POOL = {"system_id": "summer", "name": "Summer", "description": "Codes of the tests", "state": "active"}
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
_batches = itertools.count(1)


def from_now(**time_: float) -> datetime:
    """Return a moment so far from now."""
    return datetime.now(UTC) + timedelta(**time_)


def add_pool(connection: Connection, system_id: str = "summer", **changes: Any) -> str:
    """Insert a pool, active unless `state="draft"` says otherwise."""
    insert(connection, "loyalty.promo_code_pool", {**POOL, "system_id": system_id, **changes})
    return system_id


def add_codes(connection: Connection, *codes: str, pool: str = "summer", **columns: Any) -> None:
    """Insert codes in one statement, by upload unless `generation_id` is given; `columns` are the same for all."""
    if "generation_id" not in columns:
        columns.setdefault("import_job_id", next(_batches))
    names = "".join(f", {name}" for name in columns)
    places = "".join(f", CAST(:{name} AS {_type(name)})" for name in columns)
    statement = f"INSERT INTO loyalty.promo_code (code, pool_system_id{names}) SELECT code, :pool{places} "
    connection.execute(
        text(statement + "FROM unnest(CAST(:codes AS text[])) AS code"), {"codes": list(codes), "pool": pool, **columns}
    )


def _type(name: str) -> str:
    if name.endswith(("_id", "_line")):
        return "bigint"
    return "text" if name.endswith(("_to", "_by")) else "timestamptz"


def number_codes(connection: Connection, count: int, pool: str = "summer", prefix: str = "C", **columns: Any) -> None:
    """Insert codes C00001, C00002, … in one statement."""
    add_codes(connection, *(f"{prefix}{number:05}" for number in range(1, count + 1)), pool=pool, **columns)


def code(connection: Connection, code: str) -> dict[str, Any]:
    """Return a code as it is."""
    statement = text("SELECT * FROM loyalty.promo_code WHERE code = :code")
    return dict(connection.execute(statement, {"code": code}).mappings().one())


def issue(connection: Connection, pool: str | None = "summer", customer: str | None = "Ann") -> tuple[Any, ...]:
    """Return (result, code, available_from, available_till) of an issue."""
    statement = text("SELECT * FROM loyalty.issue_promo_code(:pool, :customer)")
    return tuple(connection.execute(statement, {"pool": pool, "customer": customer}).one())


def mark(connection: Connection, code: str | None, customer: str | None = "Ann") -> str:
    """Return the result of marking a code as issued."""
    statement = text("SELECT loyalty.mark_promo_code_issued(:code, :customer)")
    return str(connection.scalar(statement, {"code": code, "customer": customer}))


def activate(connection: Connection, code: str | None, customer: str | None = "Ann") -> str:
    """Return the result of activating a code."""
    statement = text("SELECT loyalty.activate_promo_code(:code, :customer)")
    return str(connection.scalar(statement, {"code": code, "customer": customer}))


def stock(connection: Connection, pool: str = "summer") -> dict[str, Any]:
    """Return the pool's row of the stock view."""
    statement = text("SELECT * FROM loyalty.promo_code_stock WHERE pool_system_id = :pool")
    return dict(connection.execute(statement, {"pool": pool}).mappings().one())


class Client:
    """A connection of its own, in autocommit mode unless the caller says otherwise."""

    def __init__(self, url: str, *, autocommit: bool = True) -> None:
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = autocommit
        self.cursor = self.connection.cursor()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows."""
        self.cursor.execute(statement, values or None)
        return self.cursor.fetchall() if self.cursor.description else []

    def issue(self, pool: str = "summer") -> tuple[str, str | None]:
        """Hand out a code; return result and code."""
        ((result, issued),) = self.run("SELECT result, code FROM loyalty.issue_promo_code(%s, 'Ann')", pool)
        return result, issued

    def add_codes(self, codes: Sequence[str], pool: str = "summer", **columns: Any) -> None:
        """Insert codes in one statement, by generation 1 unless `columns` say otherwise."""
        columns = columns or {"generation_id": 1}
        execute_values(
            self.cursor,
            f"INSERT INTO loyalty.promo_code (code, pool_system_id, {', '.join(columns)}) VALUES %s",
            [(code, pool, *columns.values()) for code in codes],
            page_size=len(codes),
        )

    def count(self, pool: str = "summer") -> int:
        """Count the pool's stock as the top-up does."""
        return self.count_row(pool)["counted_available"]

    def count_row(self, pool: str = "summer") -> dict[str, Any]:
        """Count the pool's stock; return all of it."""
        rows = self.run("SELECT * FROM loyalty.count_promo_code_pool(%s)", pool)
        assert self.cursor.description is not None
        return dict(zip([column.name for column in self.cursor.description], rows[0], strict=True))


class Listener(Client):
    """A connection that listens to the signals of pools."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.run("LISTEN promo_code_stock")

    def signals(self) -> list[str]:
        """Return the pools that were signalled since the last call, sorted; all that is committed has arrived."""
        self.run("SELECT 1")  # the server sends what it has before it answers
        heard = sorted(notice.payload for notice in self.connection.notifies)
        self.connection.notifies.clear()
        return heard


def wait_until_blocked(client: Client, count: int = 1) -> None:
    """Return once so many sessions of the database wait for a lock."""
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(600):
        if client.run(statement)[0][0] >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits for a lock")
