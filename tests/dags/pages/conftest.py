"""Airflow's API server in this process, with the importer's pages, and its users by role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

ROLES = ("viewer", "user", "op", "admin")
"""Of Airflow's simple auth manager: a viewer looks, a user also launches."""


@pytest.fixture(scope="session")
def api_server(airflow_database: None) -> Iterator[Any]:
    """The application as `airflow api-server` makes it, plugins and all."""
    from airflow.api_fastapi.app import create_app, purge_cached_app

    yield create_app(apps="core")
    purge_cached_app()


@pytest.fixture
def browse(api_server: Any, connected: Any) -> Callable[[str | None], TestClient]:
    """Return a function that opens a browser, signed in with a role, or with None not at all."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    def open_browser(role: str | None) -> TestClient:
        client = TestClient(api_server, base_url="http://airflow.example.com", follow_redirects=False)
        if role:
            user = SimpleAuthManagerUser(username=f"the {role}", role=role)
            client.cookies.set("_token", get_auth_manager().generate_jwt(user))
        return client

    return open_browser
