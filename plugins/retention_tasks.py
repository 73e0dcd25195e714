"""Deleting what may not be kept any longer. Source: X-20."""

from __future__ import annotations

from datetime import UTC, datetime

import time_limits
from airflow.sdk import task

from warehouse_runtime import open_runtime
from withheld_errors import withhold_values


@task(execution_timeout=time_limits.DELETE_FILES)
@withhold_values
def delete_expired() -> dict[str, int]:
    """Delete files and staging tables past `retention_days`; return how many jobs lost theirs, by type."""
    from include.stages import reporting

    with open_runtime() as runtime:
        return reporting.delete_expired(runtime, datetime.now(UTC))


@task(execution_timeout=time_limits.DELETE_FILES)
@withhold_values
def delete_uploads() -> dict[str, int]:
    """Delete uploads that nobody launched within a day, and launched ones that are taken; return how many, by type."""
    from include.arrivals import uploads

    with open_runtime() as runtime:
        return uploads.delete_expired(runtime, datetime.now(UTC))
