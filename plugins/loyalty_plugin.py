"""The one file that Airflow loads as a plugin."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import chunk_priority
from airflow.plugins_manager import AirflowPlugin

from loyalty_airflow import PAGES, run_notes
from loyalty_airflow.chunk_priority import LaterChunksWait


async def pages(*call: Any) -> None:
    """Answer a request for a page. The application is made for the first one: only API servers have any."""
    await _application()(*call)


@cache
def _application() -> Any:
    from loyalty_airflow.pages.app import make_app

    return make_app()


class LoyaltyPlugin(AirflowPlugin):
    """What the project adds to Airflow's own pages and processes."""

    name = "loyalty"
    # Airflow's base class declares lists:
    listeners = [run_notes]  # noqa: RUF012
    priority_weight_strategies = [LaterChunksWait, chunk_priority.LaterChunksWait]  # noqa: RUF012
    fastapi_apps = [{"app": pages, "url_prefix": PAGES, "name": "Imports"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Imports",
            "href": f"{PAGES}/",
            "destination": "nav",
            "url_route": PAGES.removeprefix("/"),
            "nav_top_level": True,
            "icon": f"{PAGES}/static/imports.svg",
            "icon_dark_mode": f"{PAGES}/static/imports-dark.svg",
        },
        # Airflow fills in the places, encoded. A tab of every DAG run: those that import nothing say so.
        {
            "name": "Import",
            "href": f"{PAGES}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "import",
        },
    ]


run_notes.watch_questions(sys.argv)
