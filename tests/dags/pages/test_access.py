"""Who may open the pages, and from where."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from include.warehouse.roles import Role
from tests.dags.pages.conftest import ROLES

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]


def test_nobody_sees_a_page_without_signing_in(browse: Browse) -> None:
    assert browse(None).get("/imports/").status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_everyone_who_is_signed_in_sees_the_imports(browse: Browse, role: str) -> None:
    answer = browse(role).get("/imports/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "<h1>Imports</h1>" in answer.text


@pytest.mark.parametrize("name", ["warehouse_pages", "warehouse_postgres"])
def test_connections_and_variables_made_in_airflow_serve_the_pages(
    name: str,
    browse: Browse,
    connected: Any,
    folders: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An API server finds them in Airflow's own database; the tests' other ones are in the environment.

    Without a Connection of their own the pages take the importer's, and say so (X-22).
    """
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # as airflow.api_fastapi.main sets it
    uri = os.environ[f"AIRFLOW_CONN_{name.upper()}"]
    for role in ("POSTGRES", "PAGES"):
        monkeypatch.delenv(f"AIRFLOW_CONN_WAREHOUSE_{role}")
    assert browse("viewer").get("/imports/").status_code == 503
    areas = ("landing", "work", "reports", "archive")
    with create_session() as session:
        session.add(Connection(conn_id=name, uri=uri))
        for area in areas:
            monkeypatch.delenv(f"AIRFLOW_VAR_{area.upper()}_URL")
            session.add(Variable(key=f"{area}_url", val=str(getattr(folders, area))))
    try:
        browser = browse("viewer")
        assert browser.get("/imports/").status_code == 200
        assert browser.get("/imports/jobs/1").status_code == 404
        warned = "The Connection warehouse_pages is not defined" in caplog.text
        assert warned == (name == "warehouse_postgres")
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id == name))
            session.execute(delete(Variable).where(Variable.key.in_([f"{area}_url" for area in areas])))


def test_pages_of_a_warehouse_without_a_schema_say_what_to_run(browse, empty_database, monkeypatch):
    for role in (Role.PAGES, Role.IMPORTER):
        name = "PAGES" if role is Role.PAGES else "POSTGRES"
        url = empty_database.server.url(empty_database.name, role).replace("postgresql://", "postgres://")
        monkeypatch.setenv(f"AIRFLOW_CONN_WAREHOUSE_{name}", url)
    answer = browse("viewer").get("/imports/")
    assert answer.status_code == 503
    assert "python -m include.cli migrate" in answer.text
