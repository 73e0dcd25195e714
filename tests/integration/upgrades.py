"""Databases of former versions, kept as dumps in `former_schemas`, and what is in them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import Engine

FOLDER = Path(__file__).with_name("former_schemas")

# The sequences that belong to the pools of the dump.
_DROP_TAKES = r"""
DO $$
DECLARE take regclass;
BEGIN
    FOR take IN SELECT oid FROM pg_class WHERE relkind = 'S' AND relname ~ '^promo_code_take_\d+$' LOOP
        EXECUTE format('DROP SEQUENCE %s', take);
    END LOOP;
END $$
"""

Rows = dict[str, list[dict[str, Any]]]


def restore(url: str, schema: str, *, has_rows: bool = True) -> None:
    """Make an empty database what a former version left.

    Args:
        url: of the login that shall own it.
        schema: `revision_0007`, as of before the roles; `revision_0010`, the last before the baseline; or `baseline`.
        has_rows: with rows of every import type; else with the stamp of its revision alone.
    """
    tables, stored, guards = (
        (FOLDER / schema / name).read_text(encoding="utf-8") for name in ("1_tables.sql", "2_rows.sql", "3_guards.sql")
    )
    stamp = f"{_DROP_TAKES}; INSERT INTO public.alembic_version VALUES ('{schema.removeprefix('revision_')}')"
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for text in (tables, stored if has_rows else stamp, guards):
            cursor.execute(text)


def rows(engine: Engine) -> Rows:
    """Return the rows of every table of the ledger and of `loyalty`, but for what `migrate` records of itself."""
    with engine.connect() as connection:
        tables = connection.execute(
            sa.text(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname IN ('ledger', 'loyalty') AND NOT tablename ~ '^schema_' ORDER BY 1"
            )
        ).scalars()
        return {
            table: list(connection.execute(sa.text(f"SELECT to_jsonb(t) FROM {table} AS t ORDER BY t::text")).scalars())
            for table in tables
        }
