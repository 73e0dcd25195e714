"""Runs of the DAG that tops up pools of promo codes. Source: TU-01 to TU-04."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from tests.dags.conftest import PROJECT
from tests.dags.mailbox import free_port, smtp_address, text_of
from tests.integration.top_ups import UPLOAD, add_codes, add_pool, alerts, available, generations, issue

pytestmark = pytest.mark.dags

DAG = "top_up_promo_pools"


@pytest.fixture
def connection(connected):
    """A connection whose every statement is committed."""
    with connected.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


def mapped_names(run):
    """Return what the UI calls each task of a mapped one."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        statement = select(TaskInstance).where(TaskInstance.run_id == run.run_id, TaskInstance.map_index >= 0)
        return sorted(ti.rendered_map_index for ti in session.scalars(statement))


def xcoms(run):
    """Return all XComs of a run as one text."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        return "\n".join(
            str(xcom.value) for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id))
        )


def test_tu04_each_pool_has_a_task_that_bears_its_name_and_the_reason_is_recorded(run_dag, connection, caplog):
    add_pool(connection, "summer_pool", name="Summer sale")
    add_pool(connection, "winter_pool", name="Зима", quantity=7, top_up_threshold=12)
    add_pool(connection, "settled", auto_generate=False)
    run = run_dag(DAG)
    assert run.state == "success"
    assert run.tasks == {"review_pools": "success", "top_up_pool[0]": "success", "top_up_pool[1]": "success"}
    assert mapped_names(run) == ["Summer sale (summer_pool)", "Зима (winter_pool)"]
    assert run.note.splitlines() == [
        "summer_pool: 10 codes added (no code is available)",
        "winter_pool: 14 codes added (no code is available)",
    ]
    ((generation,), _) = (generations(connection, name) for name in ("summer_pool", "winter_pool"))
    assert (generation["dag_id"], generation["dag_run_id"]) == (DAG, run.run_id)
    assert generation["reason"] == "no code is available"
    codes = connection.execute(text("SELECT code FROM loyalty.promo_code")).scalars().all()
    assert len(codes) == 24
    shown = xcoms(run) + caplog.text
    assert "summer_pool" in shown
    assert [code for code in codes if code in shown] == []


def test_without_a_need_nothing_runs_but_the_review(run_dag, connection):
    add_pool(connection, quantity=5)
    assert run_dag(DAG).tasks == {"review_pools": "success", "top_up_pool[0]": "success"}
    run = run_dag(DAG)
    assert run.state == "success"
    assert run.tasks == {"review_pools": "success", "top_up_pool": "skipped"}
    assert run.note is None
    assert available(connection, "summer_pool") == 5


def test_tu03_a_low_upload_pool_is_mailed_once_to_every_subscriber(run_dag, connection, inbox, subscribers):
    name = add_pool(connection, "uploads", **UPLOAD | {"name": "Uploads", "notify_below": 5})
    add_codes(connection, name, 6)
    run_dag(DAG)
    assert inbox.mails == []
    issue(connection, name, 2)
    run = run_dag(DAG)
    assert run.note == "uploads: alert: low stock"
    ((recipients, mail),) = inbox.mails
    assert recipients == subscribers
    assert mail["Subject"] == "Uploads: few promo codes left (4 left)"
    assert f"/dags/{DAG}/runs/" in text_of(mail)
    issue(connection, name)
    assert run_dag(DAG).tasks["top_up_pool"] == "skipped"
    assert len(inbox.mails) == 1
    add_codes(connection, name, 9, prefix="MORE")
    assert run_dag(DAG).note == "uploads: over: low stock"
    issue(connection, name, 8)
    run_dag(DAG)
    assert [mail["Subject"] for _, mail in inbox.mails] == ["Uploads: few promo codes left (4 left)"] * 2
    codes = connection.execute(text("SELECT code FROM loyalty.promo_code")).scalars().all()
    assert [code for code in codes for _, mail in inbox.mails if code in mail.as_string()] == []


def test_tu03_a_mail_server_that_is_down_fails_nothing_and_the_next_run_sends_the_mail(
    run_dag, connection, inbox, subscribers, monkeypatch
):
    name = add_pool(connection, "uploads", **UPLOAD | {"notify_below": 5})
    add_codes(connection, name, 5)
    issue(connection, name)
    with monkeypatch.context() as broken:
        broken.setenv("AIRFLOW_CONN_ALERTS_SMTP", smtp_address(free_port()))
        assert run_dag(DAG).state == "success"
    assert alerts(connection, name) == [("low_stock", False, False)]
    assert run_dag(DAG).state == "success"
    assert len(inbox.mails) == 1
    assert alerts(connection, name) == [("low_stock", True, False)]


def test_a_pool_that_can_not_be_topped_up_is_red_and_reported_and_the_others_are_filled(
    run_dag, connection, inbox, subscribers, capsys
):
    """Source: TU-03, TU-04."""
    add_pool(connection, "broken", name="Broken", format=None, notify_below=5)
    add_pool(connection, "sound")
    run = run_dag(DAG)
    assert run.state == "failed"
    assert run.tasks == {"review_pools": "success", "top_up_pool[0]": "failed", "top_up_pool[1]": "success"}
    assert "Broken (broken) can't be topped up (generation.no_format): The pool" in capsys.readouterr().out
    assert [mail["Subject"] for _, mail in inbox.mails] == ["Broken: out of promo codes"]
    assert available(connection, "sound") == 10


def test_the_schedule_is_a_listening_trigger_with_a_clock_behind_it():
    """Source: PG-05, TU-01."""
    from airflow.dag_processing.dagbag import DagBag

    from loyalty_airflow.triggers.stock import StockTrigger

    dag = DagBag(PROJECT / "dags" / f"{DAG}.py").dags[DAG]
    (watcher,) = dag.timetable.asset_condition.watchers
    assert isinstance(watcher.trigger, StockTrigger)
    assert dag.timetable.timetable.expression == "*/5 * * * *"
