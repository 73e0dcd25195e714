"""The one file that Airflow loads as a plugin."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from chunk_priority import LaterChunksWait

import run_notes


class LoyaltyPlugin(AirflowPlugin):
    """What the project adds to Airflow's own pages and processes."""

    name = "loyalty"
    # Airflow's base class declares lists:
    listeners = [run_notes]  # noqa: RUF012
    priority_weight_strategies = [LaterChunksWait]  # noqa: RUF012
