"""Jobs that nobody closed: they are closed by the next pick-up, and hold nobody back. Source: X-12, X-14, GC-05."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import delete, text

pytestmark = pytest.mark.dags

POOLS = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime\n"
    "Fifty,fifty,false,true,p50,website,Acme,false,50,NoExpiration,\n"
)


def put(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    os.utime(path, (time.time() - 100,) * 2)
    return path


def jobs(warehouse) -> list:
    query = "SELECT state, refusal_message, finished_at IS NOT NULL AS is_closed FROM ledger.import_job ORDER BY id"
    with warehouse.engine.connect() as connection:
        return connection.execute(text(query)).all()


@pytest.fixture
def left_open(run_dag, folders, connected, monkeypatch):
    """Run an import of pools whose task can't be done and whose job can't be closed, as while the storage is away."""
    from include.stages import inspection, reporting

    def away(*arguments, **named):
        raise OSError(5, "Input/output error")

    def run(content: str = POOLS, broken: tuple = ((inspection, "inspect_file"), (reporting, "close_job"))):
        with monkeypatch.context() as patched:
            for module, name in broken:
                patched.setattr(module, name, away)
            return run_dag("import_gift_card_pools", file=put(folders.landing / "gift_card_pools", "p.csv", content))

    return run


def test_x12_a_job_that_could_not_be_closed_is_closed_by_the_next_pick_up_and_holds_nobody_back(
    run_dag, clear, left_open, folders, connected
):
    run = left_open()
    assert (run.state, run.tasks["close_job"]) == ("failed", "failed")
    assert [(job.state, job.is_closed) for job in jobs(connected)] == [("running", False)]
    put(folders.landing / "gift_cards", "cards.csv", "card_number,pool_system_name,balance\n")
    picked_up = run_dag("pick_up_files")
    (job,) = jobs(connected)
    assert (job.state, job.is_closed) == ("failed", True)
    assert job.refusal_message.startswith("Its run ended before the import was done.")
    assert picked_up.state == "success"
    assert [conf["file"] for conf in started("import_gift_cards")] == [
        str(folders.landing / "gift_cards" / "cards.csv")
    ]

    run = clear(run, "inspect_file")
    assert (run.state, [job.state for job in jobs(connected)]) == ("success", ["completed"])


def started(dag_id: str) -> list:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return list(session.scalars(select(DagRun.conf).where(DagRun.dag_id == dag_id)))


def test_x12_the_job_of_a_deleted_run_is_closed(run_dag, left_open, connected):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    left_open()
    with create_session() as session:
        session.execute(delete(DagRun))
    run_dag("pick_up_files")
    (job,) = jobs(connected)
    assert (job.state, job.is_closed) == ("failed", True)
    assert job.refusal_message.startswith("Its run was deleted before the import was done.")


def test_x12_a_refused_or_loaded_file_is_put_where_it_belongs(run_dag, left_open, folders, connected):
    from include.stages import reporting

    left_open(POOLS, ((reporting, "close_job"),))
    left_open("nonsense\n1\n", ((reporting, "close_job"),))
    assert [(job.state, job.is_closed) for job in jobs(connected)] == [("completed", False), ("refused", False)]
    run_dag("pick_up_files")
    assert [(job.state, job.is_closed) for job in jobs(connected)] == [("completed", True), ("refused", True)]
    assert [path.parts[-4] for path in sorted(folders.archive.rglob("p.csv"))] == ["imported", "quarantine"]
    assert list(folders.work.rglob("p.csv")) == []


def test_x12_the_jobs_of_runs_that_go_on_stay_open(run_dag, left_open, connected):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import update

    left_open()
    for state in ("queued", "running"):
        with create_session() as session:
            session.execute(update(DagRun).where(DagRun.dag_id == "import_gift_card_pools").values(state=state))
        run_dag("pick_up_files")
        assert [(job.state, job.is_closed) for job in jobs(connected)] == [("running", False)]


def test_x12_a_job_that_a_task_still_has_in_hand_is_not_waited_for(run_dag, left_open, connected):
    left_open()
    with connected.engine.begin() as connection:
        connection.execute(text("SELECT id FROM ledger.import_job FOR SHARE"))
        assert run_dag("pick_up_files").state == "success"
        assert [job.is_closed for job in jobs(connected)] == [False]
    run_dag("pick_up_files")
    assert [job.is_closed for job in jobs(connected)] == [True]


def test_x12_jobs_that_can_not_be_closed_stop_no_pick_up(run_dag, left_open, folders, connected, monkeypatch):
    from include.stages import abandoned

    def broken(*arguments, **named):
        raise ValueError("odd")

    left_open()
    put(folders.landing / "gift_card_pools", "next.csv", POOLS)
    for name in ("close", "open_jobs"):
        with monkeypatch.context() as patched:
            patched.setattr(abandoned, name, broken)
            assert run_dag("pick_up_files").state == "success"
    assert len(started("import_gift_card_pools")) == 2
