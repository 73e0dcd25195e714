"""Airflow for the tests of the DAGs: settings before its first import, a metadata database, runs in this process."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.warehouse.roles import Role

PROJECT = Path(__file__).resolve().parents[2]

# Read by Airflow when it is first imported, which test modules do while they are collected.
os.environ.update(
    {
        "AIRFLOW_HOME": tempfile.mkdtemp(prefix="airflow-"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__API__BASE_URL": "http://airflow.example.com",
        "AIRFLOW__API__SECRET_KEY": "secret of the tests",
        "AIRFLOW__API_AUTH__JWT_SECRET": "secret of the tests, long enough for the algorithm that signs the tokens",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
)
os.environ.pop("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", None)

logging.getLogger("great_expectations").setLevel(logging.WARNING)  # a thousand lines at its import

import sys  # noqa: E402

sys.path.append(str(PROJECT / "plugins"))  # as Airflow does, for modules that are imported before it


@pytest.fixture(scope="session")
def airflow_database(warehouse_server: Any) -> None:
    """Airflow's own tables, in a database of this session."""
    from airflow import settings
    from airflow.utils.db import initdb

    warehouse_server.create_database("airflow_of_tests", owner=Role.AIRFLOW)
    url = warehouse_server.url("airflow_of_tests", Role.AIRFLOW).replace("postgresql://", "postgresql+psycopg2://")
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url
    settings.configure_vars()
    settings.configure_orm()
    initdb()


@dataclass(frozen=True)
class Folders:
    """The four areas, below one temporary folder."""

    landing: Path
    work: Path
    reports: Path
    archive: Path


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    areas = Folders(*(tmp_path / name for name in ("landing", "work", "reports", "archive")))
    for folder in (
        areas.landing / "customers",
        areas.landing / "gift_cards",
        areas.landing / "gift_card_pools",
        areas.work,
        areas.reports,
        areas.archive,
    ):
        folder.mkdir(parents=True)
    return areas


@pytest.fixture
def connected(warehouse: Any, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The Connections and Variables of the project, for this test's warehouse and folders."""
    for name, role in (("POSTGRES", Role.IMPORTER), ("PAGES", Role.PAGES)):
        url = warehouse.server.url(warehouse.name, role).replace("postgresql://", "postgres://")
        monkeypatch.setenv(f"AIRFLOW_CONN_WAREHOUSE_{name}", url)
    monkeypatch.setenv("AIRFLOW_CONN_CVV_KEY", '{"conn_type": "generic", "password": "key of the tests"}')
    monkeypatch.setenv("AIRFLOW_CONN_CODE_KEY", '{"conn_type": "generic", "password": "code key of the tests"}')
    for name in ("landing", "work", "reports", "archive"):
        monkeypatch.setenv(f"AIRFLOW_VAR_{name.upper()}_URL", str(getattr(folders, name)))
    return warehouse


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A mail server that the Connection alerts_smtp names."""
    from aiosmtpd.controller import Controller

    from tests.dags.mailbox import Inbox, free_port, smtp_address

    received = Inbox()
    server = Controller(received, hostname="127.0.0.1", port=free_port())
    server.start()
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", smtp_address(server.port))
    yield received
    server.stop()


@pytest.fixture
def subscribers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three subscribers of alerts instead of the shipped one."""
    from include.project import loader

    names = ["a@example.com", "b@example.com", "c@example.com"]
    project = loader.load_project().model_copy(update={"alert_subscribers": tuple(names)})
    monkeypatch.setattr(loader, "load_project", lambda *_: project)
    return names


@dataclass(frozen=True)
class Run:
    """A DAG run that has ended."""

    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]
    note: str | None


@pytest.fixture
def run_dag(airflow_database: None, connected: Any) -> Iterator[Callable[..., Run]]:
    """Run a DAG in this process, without a scheduler: `run_dag("import_gift_cards", file=…, dry_run=True)`."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    def run(dag_id: str, **params: Any) -> Run:
        conf = {name: str(value) if isinstance(value, Path) else value for name, value in params.items()}
        return read_run(dag_id, load_dag(dag_id).test(run_conf=conf).run_id)

    yield run
    with create_session() as session:
        session.execute(delete(DagRun))


@pytest.fixture
def clear(run_dag: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Callable[[Run, str], Run]:
    """Clear a task of an ended run with everything downstream, as a person does in the UI, and let the run go on."""
    from airflow.models import dagrun
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def clear_and_run(run: Run, task_id: str) -> Run:
        dag = load_dag(run.dag_id)
        cleared = [task_id, *(task.task_id for task in dag.task_dict[task_id].get_flat_relatives(upstream=False))]
        with create_session() as session:
            dag_run = session.scalars(
                select(dagrun.DagRun).where(dagrun.DagRun.dag_id == run.dag_id, dagrun.DagRun.run_id == run.run_id)
            ).one()
            DBDagBag().get_dag_for_run(dag_run, session=session).clear(
                run_id=run.run_id, task_ids=cleared, session=session, dag_run_state="running"
            )
        # dag.test() makes or takes up a run: here it must take up this one.
        with monkeypatch.context() as patched:
            patched.setattr(dagrun, "get_or_create_dagrun", lambda dag, session, **_: take_up(dag, session, run))
            dag.test()
        return read_run(run.dag_id, run.run_id)

    return clear_and_run


def take_up(dag: Any, session: Any, run: Run) -> Any:
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    dag_run = session.scalars(select(DagRun).where(DagRun.dag_id == run.dag_id, DagRun.run_id == run.run_id)).one()
    dag_run.dag = dag
    return dag_run


def load_dag(dag_id: str) -> Any:
    """Return a DAG of the project whose retries don't wait."""
    from airflow.dag_processing.dagbag import DagBag

    dag = DagBag(PROJECT / "dags" / f"{dag_id}.py").dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(seconds=0.1)
        task.retry_exponential_backoff = 0
    return dag


def read_run(dag_id: str, run_id: str) -> Run:
    from airflow.listeners.listener import get_listener_manager
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    with create_session() as session:
        dag_run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).one()
        tasks = {
            f"{ti.task_id}[{ti.map_index}]" if ti.map_index >= 0 else ti.task_id: str(ti.state)
            for ti in dag_run.get_task_instances(session=session)
        }
        # The scheduler notifies the listeners while the run is in its session, dag.test() when the session is closed.
        hook = get_listener_manager().hook
        notify_listeners = hook.on_dag_run_success if dag_run.state == DagRunState.SUCCESS else hook.on_dag_run_failed
        notify_listeners(dag_run=dag_run, msg="ended")
        return Run(dag_id, run_id, str(dag_run.state), tasks, dag_run.note)
