"""Deleting what may not be kept any longer. Source: X-20."""

from __future__ import annotations

from datetime import UTC, datetime

from loyalty_airflow import time_limits
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.stage import stage_task


@stage_task(execution_timeout=time_limits.DELETE_FILES)
def delete_expired() -> dict[str, int]:
    """Delete files and staging tables past `retention_days`; return how many jobs lost theirs, by type."""
    from include.stages import retention

    with open_runtime() as runtime:
        return retention.delete_expired(runtime, datetime.now(UTC))


@stage_task(execution_timeout=time_limits.DELETE_FILES)
def delete_uploads() -> dict[str, int]:
    """Delete uploads that nobody launched within a day, and launched ones that are taken; return how many, by type."""
    from include.arrivals import uploads

    with open_runtime() as runtime:
        return uploads.delete_expired(runtime, datetime.now(UTC))
