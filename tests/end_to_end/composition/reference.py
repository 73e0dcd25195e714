"""The same files through the engine alone, on a warehouse of its own, and how two warehouses are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine
from upath import UPath

from include.promo_codes import top_up
from include.storage.locations import Location, area, locate
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.imports import Imports
from tests.imports import Site

Rows = dict[str, list[str]]
Reports = dict[tuple[str, str], bytes]
Results = tuple[Rows, Reports]

OF_JOBS = {"job_id", "import_job_id", "origin_job_id", "fixed_by_job_id", "parent_job_id", "duplicate_of"}
"""Columns with a job's number: they are compared by the name of its file."""
LEFT_OUT = {
    "loyalty.promo_code_pool": {"number"},
    "loyalty.gift_card_change": {"number"},
    "loyalty.customer_action": {"number"},
    "loyalty.promo_code": {"generation_id"},
    "loyalty.promo_code_batch": {"batch"},
    "loyalty.promo_code_use": {"number"},
    "ledger.import_job": {
        "id", "run_key", "launched_by", "dag_id", "dag_run_id", "source_url", "source_version", "archive_url",
        "rejected_file_url", "not_found_file_url", "dropped_values_file_url", "summary_file_url", "evidence_file_url",
    },
    "ledger.promo_code_generation": {"id", "run_key", "reason", "launched_by", "dag_id", "dag_run_id"},
}  # fmt: skip
"""Numbers in the order of arrival, and where a file came from: not the same even in two runs of one stack."""
NOT_COMPARED = {
    "loyalty.promo_code_pool_stock",  # when the stock was last counted
    "ledger.promo_code_alert",  # raised while a pool waits for its codes, which depends on who comes first
    "ledger.schema_revision",  # when the database was migrated
}
NAMES_OF_CUSTOMERS = """
SELECT customer.id,
    coalesce(email, mobile_phone, (
        SELECT min(system || ' ' || value) FROM loyalty.customer_external_id WHERE customer_id = customer.id))
FROM loyalty.customer
"""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
START = re.compile(rb"(started at )[-0-9]+ [:0-9]+ UTC")
"""In the reason of a date that lies in the future."""


def contents(engine: Engine, since: datetime) -> Rows:
    """Return what all tables of the warehouse hold, each row as a text.

    Args:
        since: when the tests began; times after it say `now`.
    """
    with engine.connect() as connection:
        jobs = dict(iter(connection.execute(sa.text("SELECT id, file_name FROM ledger.import_job"))))
        customers = dict(iter(connection.execute(sa.text(NAMES_OF_CUSTOMERS))))
        tables = connection.execute(
            sa.text(
                "SELECT schemaname || '.' || tablename FROM pg_tables "
                "WHERE schemaname IN ('loyalty', 'ledger') ORDER BY 1"
            )
        ).scalars()
        rows_by_table = {}
        for table in set(tables) - NOT_COMPARED:
            rows = connection.execute(sa.text(f"SELECT to_jsonb(t) FROM {table} AS t")).scalars()
            shown = (_shown(table, row, jobs, customers, since) for row in rows)
            rows_by_table[table] = sorted(str(sorted(row.items())) for row in shown)
    return rows_by_table


def _shown(
    table: str, row: Mapping[str, Any], jobs: Mapping[int, str], customers: Mapping[int, str], since: datetime
) -> dict[str, Any]:
    shown = {}
    for column, value in row.items():
        if column in LEFT_OUT.get(table, ()):
            continue
        if column in OF_JOBS and value is not None:
            shown[column] = jobs.get(value, "no job")
        elif column == "customer_id" or (table, column) == ("loyalty.customer", "id"):
            shown[column] = customers[value]
        elif isinstance(value, str) and TIME.match(value) and datetime.fromisoformat(value) >= since:
            shown[column] = "now"
        elif column == "reasons":
            shown[column] = START.sub(rb"\1now", str(value).encode())
        else:
            shown[column] = value
    return shown


def reports(engine: Engine, folder: UPath | Location) -> Reports:
    """Return the files of rejected rows and the like, by file and report; jobs by name, not by number."""
    columns = ("rejected_file_url", "not_found_file_url", "dropped_values_file_url")
    with engine.connect() as connection:
        jobs = connection.execute(sa.text(f"SELECT id, file_name, {', '.join(columns)} FROM ledger.import_job")).all()
    content_by_report = {}
    for job in jobs:
        for url in filter(None, job[2:]):
            path = locate(url, area(folder).options)
            content = re.sub(rb"(?m)^%d," % job.id, b"JOB,", path.open_whole().read())
            content_by_report[job.file_name, path.name] = START.sub(rb"\1now", content)
    return content_by_report


@dataclass
class Reference:
    """The engine without Airflow, in folders and a database of its own."""

    site: Site
    began_at: datetime

    def load(self, import_type: str, name: str, content: bytes, *, chunk_bytes: int | None = None) -> str:
        """Import a file; return the job's state."""
        site = self.site.changed(chunk_bytes=chunk_bytes) if chunk_bytes else self.site
        return site.load(import_type, content, name).state

    def top_up(self) -> dict[str, int]:
        """Top up every pool that is low; return how many codes each was given."""
        needs = top_up.review_pools(self.site.runtime.engine, datetime.now(UTC))
        added = (top_up.top_up_pool(self.site.runtime, need.pool, dag_id="a", dag_run_id="b") for need in needs)
        return {need.pool: done.added for need, done in zip(needs, added, strict=True)}

    def results(self) -> Results:
        """Return what was imported."""
        engine = self.site.warehouse.owner
        return contents(engine, self.began_at), reports(engine, self.site.runtime.reports)


def differences(one: Rows, other: Rows) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Return by table the rows that only one of two warehouses has."""
    assert one.keys() == other.keys()
    rows_by_table = {}
    for table in one:
        if one[table] != other[table]:
            both = set(one[table]) & set(other[table])
            rows_by_table[table] = tuple(
                [row for row in rows if row not in both][:5] for rows in (one[table], other[table])
            )
    return rows_by_table


def results(imports: Imports, since: datetime) -> Results:
    """Return what a running stack has imported."""
    engine = create_warehouse_engine(imports.stack.url_for(Role.OWNER))
    try:
        return contents(engine, since), reports(engine, imports.reports)
    finally:
        engine.dispose()


def assert_same(one: Results, other: Results) -> None:
    """Compare what two have imported: all rows of all tables, and the files of rows."""
    differing_rows = differences(one[0], other[0])
    assert not differing_rows, differing_rows
    assert one[1] == other[1]


def assert_same_results(imports: Imports, reference: Reference) -> None:
    """Compare everything that was imported so far with the engine alone."""
    assert_same(results(imports, reference.began_at), reference.results())
