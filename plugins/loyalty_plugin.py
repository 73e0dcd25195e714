"""The one file that Airflow loads as a plugin."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

import run_notes


class LoyaltyPlugin(AirflowPlugin):
    """What the project adds to Airflow's own pages and processes."""

    name = "loyalty"
    listeners = [run_notes]  # noqa: RUF012  Airflow's base class declares it so
