"""Report to Airflow's lineage which file went into which tables. Source: X-20: names and addresses, no values.

Whatever reads Airflow's lineage gets it, such as the OpenLineage provider; where none is installed, nothing is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.lineage import get_hook_lineage_collector

if TYPE_CHECKING:
    from sqlalchemy import URL

log = logging.getLogger(__name__)


def report_load(context: Any, source: str, warehouse: URL, tables: Iterable[str]) -> None:
    """Name a file as what the running task has read, and tables as what it has written.

    Args:
        context: the object that represents the reader and writer; its identity alone counts.
        source: where the file was when it was picked up: a path or an `s3://` address.
        tables: `schema.table`.
    """
    host = warehouse.host or "localhost"
    database = f"postgres://{f'[{host}]' if ':' in host else host}:{warehouse.port or 5432}/{warehouse.database}"
    collector = get_hook_lineage_collector()
    try:
        collector.add_input_asset(context, uri=file_uri(source))
        for table in tables:
            collector.add_output_asset(context, uri=f"{database}/{table.replace('.', '/')}")
    except ValueError as error:  # an address that is none for Airflow, or too long: the rows are loaded all the same
        log.warning("The lineage of this load is not reported: %s", error)


def file_uri(source: str) -> str:
    """Return a file's address in the letters that Airflow takes for one: names in other alphabets are encoded."""
    scheme, separator, path = source.rpartition("://")
    return f"{scheme}://{quote(path)}" if separator else f"file://{quote(source)}"
