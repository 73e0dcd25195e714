"""The DAG generate_promo_codes, run in this process against a real warehouse. Source: PG-01 to PG-04, X-20."""

from __future__ import annotations

import pytest
from sqlalchemy import text

pytestmark = pytest.mark.dags

GREEN = {"open_generation": "success", "generate": "success"}
RED = {"open_generation": "success", "generate": "failed"}


def query(warehouse, statement: str) -> list[tuple]:
    with warehouse.owner.begin() as connection:
        result = connection.execute(text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
def stocked(connected):
    """A pool, and a format of 81 codes."""
    query(connected, "INSERT INTO loyalty.promo_code_format (name, alphabet, length) VALUES ('tiny', 'ABC', 4)")
    query(
        connected, "INSERT INTO loyalty.promo_code_pool (system_id, name, format) VALUES ('spring', 'Spring', 'tiny')"
    )
    return connected


def codes(warehouse) -> int:
    return query(warehouse, "SELECT count(*) FROM loyalty.promo_code")[0][0]


def generations(warehouse) -> list[tuple]:
    return query(
        warehouse,
        "SELECT state, requested, generated, added, refusal_rule FROM ledger.promo_code_generation ORDER BY id",
    )


def test_pg01_a_run_of_the_form_adds_the_codes_and_saves_the_settings(run_dag, stocked):
    run = run_dag("generate_promo_codes", pool="spring", quantity=20, format="summer", auto_generate=True)
    assert (run.state, run.tasks, run.note) == ("success", GREEN, "spring: completed: 20 codes added")
    assert codes(stocked) == 20
    settings = "SELECT fill_method, format, quantity, auto_generate FROM loyalty.promo_code_pool"
    assert query(stocked, settings) == [("generate", "summer", 20, True)]
    launch = "SELECT launched_by, reason, dag_id, dag_run_id FROM ledger.promo_code_generation"
    assert query(stocked, launch) == [("dag_test", "form", "generate_promo_codes", run.run_id)]


def test_pg01_pool_and_quantity_are_enough(run_dag, stocked):
    run = run_dag("generate_promo_codes", pool="spring", quantity=5)
    assert (run.state, codes(stocked)) == ("success", 5)
    assert query(stocked, "SELECT format, auto_generate FROM loyalty.promo_code_pool") == [("tiny", False)]


def test_pg02_a_refused_run_is_red_at_once_and_says_why(run_dag, stocked, capsys):
    run = run_dag("generate_promo_codes", pool="spring", quantity=82)
    assert (run.state, run.tasks) == ("failed", RED)
    assert run.note == "spring: refused (generation.not_enough_codes)"
    assert "81 available" in capsys.readouterr().out
    assert codes(stocked) == 0
    assert generations(stocked) == [("refused", 82, None, None, "generation.not_enough_codes")]


def test_pg03_clearing_a_task_adds_nothing_twice(run_dag, clear, stocked):
    run = run_dag("generate_promo_codes", pool="spring", quantity=20)
    for task in ("generate", "open_generation"):
        run = clear(run, task)
        assert (run.state, run.tasks) == ("success", GREEN)
    assert codes(stocked) == 20
    assert generations(stocked) == [("completed", 20, 20, 20, None)]


def test_pg03_a_refused_run_is_cleared_when_its_reason_is_gone(run_dag, clear, stocked):
    run = run_dag("generate_promo_codes", pool="summer pool", quantity=20)
    assert run.state == "failed"
    query(stocked, "INSERT INTO loyalty.promo_code_pool (system_id, name, format) VALUES ('summer pool', 'S', 'tiny')")
    run = clear(run, "generate")
    assert (run.state, run.note, codes(stocked)) == ("success", "summer pool: completed: 20 codes added", 20)


def test_pg04_without_a_key_the_run_fails_at_once_and_names_what_is_missing(run_dag, stocked, monkeypatch, capsys):
    monkeypatch.delenv("AIRFLOW_CONN_CODE_KEY")
    run = run_dag("generate_promo_codes", pool="spring", quantity=20)
    assert (run.state, run.tasks, codes(stocked)) == ("failed", RED, 0)
    assert "code_key" in capsys.readouterr().out
    assert generations(stocked) == [("failed", 20, None, None, "generation.failed")]


def test_pg04_an_outage_is_retried_and_the_quantity_added_once(run_dag, stocked, monkeypatch):
    from include.errors import WarehouseUnavailable
    from include.promo_codes import walk

    real, attempts = walk.write_progress, []

    def unavailable_at_first(*args, **values):
        attempts.append(1)
        if len(attempts) < 3:
            raise WarehouseUnavailable("The database gave up.")
        real(*args, **values)

    monkeypatch.setattr(walk, "write_progress", unavailable_at_first)
    run = run_dag("generate_promo_codes", pool="spring", quantity=20)
    assert (run.state, len(attempts), codes(stocked)) == ("success", 3, 20)
    assert generations(stocked) == [("completed", 20, 20, 20, None)]


@pytest.mark.parametrize("form", [{"quantity": 5}, {"pool": "spring"}, {"pool": "spring", "quantity": 0}])
def test_pg01_the_form_wants_a_pool_and_a_quantity(run_dag, stocked, form):
    with pytest.raises(Exception, match=r"(?i)param"):
        run_dag("generate_promo_codes", **form)
    assert generations(stocked) == []


def test_x20_no_code_and_no_key_is_in_logs_or_xcom(run_dag, stocked, capsys, caplog, airflow_database):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    run_dag("generate_promo_codes", pool="spring", quantity=81)
    with create_session() as session:
        xcoms = [str(xcom.value) for xcom in session.scalars(select(XComModel))]
    assert xcoms
    logged = capsys.readouterr()
    assert "This is generation 1" in caplog.text
    assert "Done. Returned value was" in logged.out
    output = f"{logged.out} {logged.err} {caplog.text} {xcoms}"
    words = set(output.replace('"', " ").replace("'", " ").replace(",", " ").split())
    codes = {code for (code,) in query(stocked, "SELECT code FROM loyalty.promo_code")}
    assert len(codes) == 81
    assert not words & codes
    assert "code key of the tests" not in output
