"""Tell Airflow's lineage which file went into which tables. Source: X-20: names and addresses, no values.

Whatever reads Airflow's lineage gets it, such as the OpenLineage provider; where none is installed, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.lineage import get_hook_lineage_collector

if TYPE_CHECKING:
    from sqlalchemy import URL


def tell_load(context: Any, source: str, warehouse: URL, tables: Iterable[str]) -> None:
    """Name a file as what the running task has read, and tables as what it has written.

    Args:
        context: whatever stands for the reader and writer; its identity alone counts.
        source: where the file lay when it was picked up: a path or an `s3://` address.
        tables: `schema.table`.
    """
    collector = get_hook_lineage_collector()
    collector.add_input_asset(context, uri=file_uri(source))
    for table in tables:
        schema, name = table.split(".")
        database = f"postgres://{warehouse.host or 'localhost'}:{warehouse.port or 5432}/{warehouse.database}"
        collector.add_output_asset(context, uri=f"{database}/{schema}/{name}")


def file_uri(source: str) -> str:
    """Return a file's address in the letters that Airflow takes for one: names in other alphabets are encoded."""
    scheme, separator, path = source.rpartition("://")
    return f"{scheme}://{quote(path)}" if separator else f"file://{quote(source)}"
