"""Picking up files: one run each. Source: X-01, X-12, X-14, GC-05."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

pytestmark = pytest.mark.dags


def drop(folder: Path, name: str, age: float = 100) -> Path:
    path = folder / name
    path.write_text("a\n1\n")
    os.utime(path, (time.time() - age,) * 2)
    return path


def runs(dag_id: str) -> list:
    """Return (run id, file, note) of the runs of a DAG, in the order in which they were created."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        dag_runs = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id))
        return [(run.run_id, run.conf["file"], run.note) for run in dag_runs]


def end(dag_id: str, *, ago: timedelta) -> None:
    """Let the runs of a DAG have ended some time ago."""
    from airflow.models.dagrun import DagRun
    from airflow.sdk import timezone
    from airflow.utils.session import create_session

    with create_session() as session:
        ended = update(DagRun).where(DagRun.dag_id == dag_id)
        session.execute(ended.values(state="failed", end_date=timezone.utcnow() - ago))


def test_each_file_gets_a_run_in_the_order_of_arrival(run_dag, folders):
    """Source: X-14."""
    pools = folders.landing / "gift_card_pools"
    paths = [drop(pools, "c (1).csv", age=300), drop(pools, "a.csv", age=200), drop(pools, "ü.TXT", age=100)]
    assert run_dag("pick_up_files").state == "success"
    assert [(file, note) for _, file, note in runs("import_gift_card_pools")] == [
        (str(path), path.name) for path in paths
    ]


def test_a_repeated_listing_starts_nothing_twice(run_dag, folders):
    drop(folders.landing / "gift_card_pools", "a.csv")
    run_dag("pick_up_files")
    first = runs("import_gift_card_pools")
    assert run_dag("pick_up_files").state == "success"
    assert runs("import_gift_card_pools") == first
    assert len(first) == 1


def test_a_file_that_is_still_there_after_its_run_has_arrived_again_but_not_at_once(run_dag, folders):
    path = drop(folders.landing / "gift_card_pools", "a.csv")
    run_dag("pick_up_files")
    end("import_gift_card_pools", ago=timedelta(seconds=30))
    run_dag("pick_up_files")
    assert len(runs("import_gift_card_pools")) == 1
    end("import_gift_card_pools", ago=timedelta(seconds=61))
    run_dag("pick_up_files")
    created_runs = runs("import_gift_card_pools")
    assert [file for _, file, _ in created_runs] == [str(path)] * 2
    assert len({run_id for run_id, _, _ in created_runs}) == 2


def test_a_file_that_its_ended_run_took_away_after_the_listing_is_not_started_again(run_dag, folders, monkeypatch):
    from include.arrivals import listing

    drop(folders.landing / "gift_card_pools", "a.csv")
    run_dag("pick_up_files")
    end("import_gift_card_pools", ago=timedelta(hours=2))
    real = listing.list_landing

    def listed(*arguments):
        seen = real(*arguments)
        for path in (folders.landing / "gift_card_pools").iterdir():
            path.unlink()
        return seen

    monkeypatch.setattr(listing, "list_landing", listed)
    assert run_dag("pick_up_files").state == "success"
    assert len(runs("import_gift_card_pools")) == 1


def test_a_new_version_of_a_file_gets_a_run_of_its_own_at_once(run_dag, folders):
    drop(folders.landing / "gift_card_pools", "a.csv", age=100)
    run_dag("pick_up_files")
    drop(folders.landing / "gift_card_pools", "a.csv", age=50)
    run_dag("pick_up_files")
    assert len(runs("import_gift_card_pools")) == 2


def test_files_that_wait_are_not_started(run_dag, folders):
    """Source: X-12, GC-05."""
    drop(folders.landing / "gift_card_pools", "new.csv", age=0)
    drop(folders.landing / "gift_card_pools", "half.csv.part")
    drop(folders.landing / "gift_cards", "cards.csv")  # waits for new.csv
    run_dag("pick_up_files")
    assert (runs("import_gift_card_pools"), runs("import_gift_cards")) == ([], [])


def test_a_file_of_no_type_is_refused_in_the_same_tick(run_dag, folders, connected):
    """Source: X-01."""
    (folders.landing / "colours").mkdir()
    drop(folders.landing / "colours", "red.csv")
    drop(folders.landing, "stray.csv")
    drop(folders.landing / "gift_card_pools", "a.csv")
    assert run_dag("pick_up_files").state == "success"
    with connected.owner.connect() as connection:
        jobs = connection.execute(
            text("SELECT file_name, state, refusal_rule, finished_at IS NOT NULL FROM ledger.import_job ORDER BY 1")
        ).all()
    assert jobs == [
        ("red.csv", "refused", "file.unknown_type", True),
        ("stray.csv", "refused", "file.unknown_type", True),
    ]
    assert sorted(path.name for path in (folders.archive / "quarantine").rglob("*.csv")) == ["red.csv", "stray.csv"]
    assert len(runs("import_gift_card_pools")) == 1


def test_x01_the_run_that_has_refused_a_file_says_so_in_its_note(run_dag, folders, connected):
    (folders.landing / "vouchers").mkdir()
    drop(folders.landing / "vouchers", "red.csv")
    run = run_dag("pick_up_files")
    assert (run.state, run.note) == (
        "success",
        'red.csv is refused: This file was in "vouchers", which is not the folder of any import type. Put it into one '
        "of: gift_card_pools, gift_cards, promo_code_pools, promo_codes, customers.",
    )
    assert run_dag("pick_up_files").note is None


def logical_dates(dag_id: str) -> list:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        return list(session.scalars(select(DagRun.logical_date).where(DagRun.dag_id == dag_id).order_by(DagRun.id)))


def test_each_run_has_a_logical_date_of_its_own(run_dag, folders):
    """Airflow's home page counts failures by them (3.3.2)."""
    pools = folders.landing / "gift_card_pools"
    for number in range(3):
        drop(pools, f"{number}.csv", age=100 - number)
    run_dag("pick_up_files")
    dates = logical_dates("import_gift_card_pools")
    assert len(set(dates)) == 3
    assert None not in dates
    assert dates == sorted(dates)
    run_dag("pick_up_files")
    assert logical_dates("import_gift_card_pools") == dates


def test_a_logical_date_that_another_run_has_costs_no_file(run_dag, folders, monkeypatch):
    """Two dispatchers may ask in the same microsecond."""
    from loyalty_airflow.tasks import pick_up

    real = pick_up.logical_date
    first = real()
    moments = [first, first, first]
    monkeypatch.setattr(pick_up, "logical_date", lambda: moments.pop() if moments else real())
    for number in range(2):
        drop(folders.landing / "gift_card_pools", f"{number}.csv", age=100 - number)
    assert run_dag("pick_up_files").state == "success"
    assert len(runs("import_gift_card_pools")) == 2


def test_one_file_that_cannot_be_started_does_not_stop_the_others(run_dag, folders, monkeypatch):
    from loyalty_airflow.tasks import pick_up

    trigger = pick_up.trigger

    def fail_for_the_first(target, run_id, arrival):
        if arrival.file_name == "a.csv":
            raise RuntimeError("no")
        return trigger(target, run_id, arrival)

    monkeypatch.setattr(pick_up, "trigger", fail_for_the_first)
    drop(folders.landing / "gift_card_pools", "a.csv", age=200)
    drop(folders.landing / "gift_card_pools", "b.csv", age=100)
    assert run_dag("pick_up_files").state == "failed"
    assert [note for _, _, note in runs("import_gift_card_pools")] == ["b.csv"]


def test_expired_files_are_deleted_and_the_history_stays(run_dag, folders, connected):
    """Source: X-20."""
    drop(folders.landing, "stray.csv")
    run_dag("pick_up_files")
    with connected.owner.begin() as connection:
        connection.execute(text("UPDATE ledger.import_job SET finished_at = now() - interval '31 days'"))
    assert list(folders.archive.rglob("*.csv"))
    assert run_dag("delete_expired_files").state == "success"
    assert list(folders.archive.rglob("*.csv")) == []
    with connected.owner.connect() as connection:
        assert connection.execute(text("SELECT state FROM ledger.import_job")).scalars().all() == ["refused"]
