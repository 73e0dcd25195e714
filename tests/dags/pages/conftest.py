"""Airflow's API server in this process, with the importer's pages, and its users by role."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from upath import UPath

from include.arrivals.landing import Request
from include.import_types import IMPORT_TYPES
from include.importer import import_file
from include.ledger.jobs import JobResult
from include.runtime import Runtime
from tests.dags.conftest import Run, load_dag, read_run, take_up

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


@pytest.fixture
def load(connected: Any, folders: Any) -> Callable[..., JobResult]:
    """Return a function that drops a file and imports it, as its DAG would, without the seconds that a run takes."""
    areas = {name: UPath(str(getattr(folders, name))) for name in ("landing", "work", "reports", "archive")}
    keys = {"cvv_key": b"key of the tests", "code_key": b"code key of the tests"}
    runtime = Runtime(engine=connected.engine, **areas, **keys, import_types=IMPORT_TYPES)
    numbers = itertools.count(1)

    def drop_and_import(import_type: str, name: str, content: str | bytes, **parameters: object) -> JobResult:
        path = folders.landing / import_type / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        dag_id, run_id = f"import_{import_type}", f"manual__2026-01-31T12:00:0{next(numbers)}+00:00"
        request = Request(
            import_type=import_type,
            source_url=str(path),
            run_key=f"{dag_id}/{run_id}",
            launched_by="somebody",
            parameters=parameters,
            dag_id=dag_id,
            dag_run_id=run_id,
        )
        return import_file(runtime, request)

    return drop_and_import


@pytest.fixture
def stored_dags(api_server: Any) -> Iterator[None]:
    """The project's DAGs in Airflow's database, where pages start runs of them; the runs are deleted afterwards."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete, update

    manager = DagBundlesManager()
    with create_session() as session:
        manager.sync_bundles_to_db(session=session)
    for bundle in manager.get_all_dag_bundles():
        bundle.initialize()
        bag = BundleDagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(bag, bundle.name, bundle.version)
    with create_session() as session:
        session.execute(update(DagModel).values(is_paused=False))
    yield
    with create_session() as session:
        session.execute(delete(DagRun))


@pytest.fixture
def carry_out(stored_dags: None, connected: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Run]:
    """Return a function that runs a queued run to its end, as the scheduler would."""
    from airflow.models import dagrun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState

    def carry_out_run(dag_id: str, run_id: str) -> Run:
        with create_session() as session:
            dag_run = session.query(dagrun.DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
            dag_run.set_state(DagRunState.RUNNING)
        run = Run(dag_id, run_id, "running", {}, None)
        # dag.test() makes or takes up a run: here it must take up this one.
        with monkeypatch.context() as patched:
            patched.setattr(dagrun, "get_or_create_dagrun", lambda dag, session, **_: take_up(dag, session, run))
            load_dag(dag_id).test()
        return read_run(dag_id, run_id)

    return carry_out_run
