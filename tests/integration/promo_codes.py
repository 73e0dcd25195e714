"""Pools, formats and generations for the tests of promo codes: only what a test names differs from the usual."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from upath import UPath

from include.import_types import IMPORT_TYPES
from include.promo_codes.generation import open_generation, run_generation
from include.promo_codes.ledger import GenerationRequest, GenerationResult
from include.runtime import Runtime
from tests.imports import CODE_KEY

if TYPE_CHECKING:
    from tests.conftest import Warehouse


@dataclass
class Shop:
    """A warehouse to generate into."""

    runtime: Runtime
    warehouse: Warehouse
    _runs: itertools.count = field(default_factory=lambda: itertools.count(1))

    def with_key(self, key: bytes | None) -> Shop:
        """Return the same warehouse with another master key."""
        return replace(self, runtime=replace(self.runtime, code_key=key))

    def query(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run one statement, as the server's administrator, in a transaction of its own and return its rows."""
        with self.warehouse.admin.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def add_format(self, name: str = "tiny", alphabet: str = "ABC", length: int = 4, **more: object) -> None:
        """Add a format; `tiny` has 81 codes."""
        self._insert("loyalty.promo_code_format", {"name": name, "alphabet": alphabet, "length": length, **more})

    def add_pool(self, system_id: str = "pool", **more: object) -> None:
        """Add a draft of a pool."""
        self._insert("loyalty.promo_code_pool", {"system_id": system_id, "name": system_id, **more})

    def _insert(self, table: str, row: dict[str, object]) -> None:
        places = ", ".join(f":{column}" for column in row)
        self.query(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", **row)

    def upload(self, pool: str, *codes: str) -> None:
        """Add codes as an import does."""
        self.query(
            "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id, import_line) "
            "SELECT code, :pool, 1, line FROM unnest(CAST(:codes AS text[])) WITH ORDINALITY AS of_file (code, line)",
            pool=pool,
            codes=list(codes),
        )

    def open(self, pool: str = "pool", quantity: int = 10, **more: Any) -> int:
        """Open a generation of its own."""
        run_key = more.pop("run_key", f"run {next(self._runs)}")
        return open_generation(self.runtime, GenerationRequest(pool, quantity, run_key, "a test", "form", **more))

    def generate(self, pool: str = "pool", quantity: int = 10, **more: Any) -> GenerationResult:
        """Open a generation and run it."""
        return run_generation(self.runtime, self.open(pool, quantity, **more))

    def codes(self, pool: str | None = None) -> list[str]:
        """Return the codes of a pool, or all."""
        rows = self.query("SELECT code FROM loyalty.promo_code WHERE pool_system_id = coalesce(:pool, pool_system_id) "
                           "ORDER BY code", pool=pool)  # fmt: skip
        return [code for (code,) in rows]

    def available(self, name: str = "tiny") -> int:
        """Return the format's *Available codes for generation*."""
        query = "SELECT available FROM loyalty.promo_code_format_stock WHERE name = :name"
        ((available,),) = self.query(query, name=name)
        return int(available)

    def format_row(self, name: str = "tiny") -> tuple[Any, ...]:
        """Return a format's next_index and generated."""
        query = "SELECT next_index, generated FROM loyalty.promo_code_format WHERE name = :name"
        return self.query(query, name=name)[0]


def make_shop(warehouse: Warehouse) -> Shop:
    """Return a shop whose folders are never used; what it generates, the importer does (X-22)."""
    return Shop(make_runtime(warehouse.engine), warehouse)


def make_runtime(engine: Engine) -> Runtime:
    """Return what a generation needs."""
    return Runtime(engine, *[UPath("/nowhere")] * 4, code_key=CODE_KEY, import_types=IMPORT_TYPES)


@contextmanager
def winner_of_deadlocks(warehouse: Warehouse) -> Iterator[Connection]:
    """Give a connection whose transactions no deadlock ends: it ends those of the others, after three seconds.

    PostgreSQL ends the one that looks for a deadlock, which each does when it has waited for `deadlock_timeout`.
    """
    with warehouse.admin.begin() as connection:
        name = connection.dialect.identifier_preparer.quote(warehouse.name)
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET deadlock_timeout = '3s'")
    for engine in (*warehouse.engines.values(), warehouse.admin):
        engine.dispose()  # sessions to come have it
    with warehouse.admin.connect() as connection:
        connection.detach()  # from the pool: nobody else is to have it afterwards
        connection.exec_driver_sql("SET deadlock_timeout = '1min'")
        connection.commit()
        yield connection
