"""Whole imports through the DAGs, in this process, against a real warehouse. Source: X-07, X-13, X-14, X-19, X-20."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text

pytestmark = pytest.mark.dags

POOLS = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime\n"
    "Fifty,fifty,false,true,p50,website,Acme,false,50,NoExpiration,\n"
)
HEADER = "card_number,pool_system_name,balance\n"
CARDS = f"{HEADER}4000000000000001,fifty,50\n4000000000000002,fifty,50\n"
CANARY = "4929333344445555"
UNASKED = dict.fromkeys(("review_mapping", "review_mapping_2", "review_mapping_3"), "skipped")
ALL_GREEN = UNASKED | {
    "take_file": "success",
    "inspect_file": "success",
    "validate_chunk[0]": "success",
    "load_rows": "success",
    "write_report": "success",
    "close_job": "success",
}


def put(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content)
    return path


def count(warehouse, table: str) -> int:
    with warehouse.owner.connect() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def jobs(warehouse) -> list:
    query = "SELECT state, launched_by, dag_id, dag_run_id, finished_at FROM ledger.import_job ORDER BY id"
    with warehouse.owner.connect() as connection:
        return connection.execute(text(query)).all()


@pytest.fixture
def pools(run_dag, folders):
    assert run_dag("import_gift_card_pools", file=put(folders.landing / "gift_card_pools", "p.csv", POOLS)).tasks == {
        **ALL_GREEN
    }


def test_a_file_is_loaded_archived_and_noted(run_dag, folders, connected):
    source = put(folders.landing / "gift_card_pools", "new pools.csv", POOLS)
    run = run_dag("import_gift_card_pools", file=source)
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert run.note == "new pools.csv: loaded: 1 read, 1 inserted"
    assert count(connected, "loyalty.gift_card_pool") == 1
    assert not source.exists()
    assert [path.name for path in folders.archive.rglob("*.csv")] == ["new pools.csv"]
    (job,) = jobs(connected)
    assert (job.state, job.launched_by, job.dag_id) == ("completed", "dag_test", "import_gift_card_pools")
    assert job.dag_run_id == run.run_id
    assert job.finished_at is not None


def test_rows_that_fail_are_left_out_and_the_run_is_green(run_dag, folders, connected, pools):
    """Source: X-07, X-08."""
    run = run_dag(
        "import_gift_cards",
        file=put(folders.landing / "gift_cards", "cards.csv", f"{CARDS}4000000000000003,nowhere,50\n"),
    )
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert run.note == "cards.csv: some rejected: 3 read, 2 inserted, 1 rejected"
    assert len(list(folders.reports.rglob("*.rejected.csv"))) == 1


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ("4000000000000001,nowhere,50\n4000000000000002,nowhere,50\n", "nothing loaded: 2 read, 2 rejected"),
        (
            "4000000000000001,fifty,50\n4000000000000002,nowhere,50\n4000000000000003,nowhere,50\n",
            "mostly rejected: 3 read, 1 inserted, 2 rejected",
        ),
    ],
)
def test_x10_a_file_of_which_nothing_or_little_was_loaded_makes_the_run_red_and_one_mail(
    run_dag, clear, folders, connected, pools, inbox, rows, outcome
):
    """Its rows are loaded and reported as ever, and clearing tasks repeats neither rows nor alarms beyond its own."""
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", HEADER + rows))
    assert (run.state, run.tasks) == ("failed", ALL_GREEN | {"close_job": "failed"})
    assert run.note == f"cards.csv: {outcome}"
    ((_, mail),) = inbox.mails
    assert mail["Subject"].startswith("cards.csv: ")
    loaded = count(connected, "loyalty.gift_card")
    assert len(list(folders.reports.rglob("*.rejected.csv"))) == 1
    again = clear(run, "write_report")
    assert (again.state, again.note) == (run.state, run.note)
    assert count(connected, "loyalty.gift_card") == loaded


def test_x19_a_dry_run_of_which_nothing_would_be_loaded_is_green_and_alarms_nobody(
    run_dag, folders, connected, pools, inbox
):
    rows = "4000000000000001,nowhere,50\n"
    source = put(folders.landing / "gift_cards", "cards.csv", HEADER + rows)
    run = run_dag("import_gift_cards", file=source, dry_run=True)
    assert run.state == "success"
    assert run.note == "cards.csv: dry run: would load nothing: 1 read, 1 rejected"
    assert inbox.mails == []


def test_x08_the_result_of_a_run_says_why_rows_were_rejected_by_the_values_that_may_be_read(
    run_dag, folders, connected, pools
):
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    rows = "".join(f"{4000000000000003 + number},xmas,50\n" for number in range(3)) + f"{CANARY},fifty,-1\n"
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS + rows))
    with create_session() as session:
        xcom = session.scalars(select(XComModel).where(XComModel.run_id == run.run_id, XComModel.key == "result")).one()
        result = XComModel.deserialize_value(xcom)
    said = {rule["rule"]: (rule["rows"], rule["sentence"]) for rule in result["rules"]}
    assert said["pool_system_name.known"][0] == 3
    assert "'xmas'" in said["pool_system_name.known"][1]
    assert "'-1'" in said["balance.negative"][1]
    assert CANARY not in str(result)


def test_a_refused_file_makes_the_run_red_and_is_quarantined(run_dag, folders, connected):
    """Source: X-04."""
    run = run_dag(
        "import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS.replace("balance", "worth"))
    )
    assert run.state == "failed"
    assert run.tasks == {
        "take_file": "success",
        "inspect_file": "failed",
        "validate_chunk": "upstream_failed",
        "review_mapping": "upstream_failed",
        "review_mapping_2": "upstream_failed",
        "review_mapping_3": "upstream_failed",
        "load_rows": "upstream_failed",
        "write_report": "success",
        "close_job": "failed",
    }
    assert run.note == "cards.csv: refused (file.required_column)"
    assert [path.name for path in (folders.archive / "quarantine").rglob("*.csv")] == ["cards.csv"]
    assert [job.state for job in jobs(connected)] == ["refused"]


def test_a_duplicate_is_green_with_the_middle_skipped(run_dag, folders, connected, pools):
    """Source: X-13."""
    run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "again.csv", CARDS))
    assert run.state == "success"
    assert run.tasks == {
        "take_file": "success",
        "inspect_file": "skipped",
        "validate_chunk": "skipped",
        "load_rows": "skipped",
        "write_report": "success",
        "close_job": "success",
        **UNASKED,
    }
    assert run.note == "again.csv: duplicate of job 2"


def test_a_file_of_a_header_alone_completes(run_dag, folders, connected):
    """Source: X-02."""
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", HEADER))
    assert run.state == "success"
    assert {name for name, state in run.tasks.items() if state == "skipped"} == {"validate_chunk", *UNASKED}
    assert [job.state for job in jobs(connected)] == ["completed"]


def test_a_dry_run_counts_and_reports_no_asset(run_dag, folders, connected, pools):
    """Source: X-19."""
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS), dry_run=True)
    assert run.state == "success"
    assert {name for name, state in run.tasks.items() if state != "success"} == {"load_rows", *UNASKED}
    assert run.note == "cards.csv: dry run: would load: 2 read, 2 inserted"
    assert count(connected, "loyalty.gift_card") == 0
    assert asset_events("import_gift_cards", run.run_id) == []


def test_a_load_reports_an_asset_per_table_with_counts(run_dag, folders, connected, pools):
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    counts = {"read": 2, "inserted": 2, "updated": 0, "unchanged": 0, "not_found": 0, "rejected": 0}
    assert asset_events("import_gift_cards", run.run_id) == [
        ("warehouse://loyalty/gift_card", {"job_id": 2, **counts}),
    ]


def asset_events(dag_id: str, run_id: str) -> list[tuple[str, dict]]:
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run_id))
        return sorted((event.asset.uri, dict(event.extra)) for event in events if event.source_dag_id == dag_id)


def test_a_file_in_the_hands_of_another_run_skips_the_run(run_dag, folders, connected):
    """Source: X-14."""
    source = put(folders.landing / "gift_cards", "cards.csv", CARDS)
    from include.arrivals.landing import Request, take_file
    from loyalty_airflow.runtime import open_runtime

    with open_runtime() as runtime:
        take_file(runtime, Request("gift_cards", str(source), "another run"))
    run = run_dag("import_gift_cards", file=source)
    assert (run.state, set(run.tasks.values())) == ("success", {"skipped"})


def test_a_file_that_does_not_exist_makes_the_run_red(run_dag, folders, connected):
    run = run_dag("import_gift_cards", file=folders.landing / "gift_cards" / "nothing.csv")
    assert run.state == "failed"
    assert (run.tasks["take_file"], run.tasks["close_job"]) == ("failed", "failed")
    assert jobs(connected) == []


def test_an_outage_is_retried_until_it_is_over(run_dag, folders, connected, pools, monkeypatch):
    from include.stages import loading

    answers = iter([psycopg2.OperationalError("server closed the connection unexpectedly"), None])
    load_rows = loading.load_rows

    def load_rows_after_an_outage(*arguments):
        if error := next(answers):
            raise error
        return load_rows(*arguments)

    monkeypatch.setattr(loading, "load_rows", load_rows_after_an_outage)
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert next(answers, "used up") == "used up"


def test_a_defect_fails_the_job_at_once_and_clearing_the_task_goes_on_from_there(
    run_dag, clear, folders, connected, pools, monkeypatch, caplog
):
    """Source: X-14, X-20."""
    from include.stages import validation

    calls = []

    def broken(*arguments):
        calls.append(arguments)
        raise ValueError(f"{CANARY} is odd")

    with monkeypatch.context() as patched:
        patched.setattr(validation, "validate_chunk", broken)
        run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    assert (run.state, len(calls)) == ("failed", 1)
    assert run.tasks["load_rows"] == "upstream_failed"
    assert run.note == "cards.csv: failed (job.failed)"
    assert [job.state for job in jobs(connected)] == ["completed", "failed"]
    assert CANARY not in caplog.text

    run = clear(run, "validate_chunk")
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert run.note == "cards.csv: loaded: 2 read, 2 inserted"
    assert [job.state for job in jobs(connected)] == ["completed", "completed"]


@pytest.mark.parametrize(
    "first", ["take_file", "inspect_file", "validate_chunk", "load_rows", "write_report", "close_job"]
)
def test_clearing_any_task_of_a_loaded_job_changes_nothing(run_dag, clear, folders, connected, pools, first):
    """Source: X-14."""
    content = f"{CARDS}4000000000000003,nowhere,50\n"
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", content))
    (rejects,) = folders.reports.rglob("*.rejected.csv")
    before = rejects.read_bytes()
    again = clear(run, first)
    assert (again.state, again.tasks, again.note) == ("success", ALL_GREEN, run.note)
    assert count(connected, "loyalty.gift_card") == 2
    assert rejects.read_bytes() == before
    assert [path.name for path in folders.archive.rglob("cards.csv")] == ["cards.csv"]


def test_clearing_a_refused_run_after_correcting_the_settings_imports_the_file(
    run_dag, clear, folders, connected, pools
):
    """Source: X-11, X-14."""
    run = run_dag(
        "import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS.replace("balance", "worth"))
    )
    assert run.note == "cards.csv: refused (file.required_column)"
    put(folders.landing / "gift_cards", "_settings.yaml", "mapping: {worth: balance}\n")
    again = clear(run, "take_file")
    assert (again.state, again.tasks) == ("success", ALL_GREEN)
    assert count(connected, "loyalty.gift_card") == 2


def test_no_value_of_a_row_is_in_xcom_rendered_fields_or_notes(run_dag, folders, connected, pools, caplog):
    """Source: X-20."""
    content = f"{HEADER}{CANARY},fifty,50\n{CANARY},fifty,x{CANARY}\n{CANARY},nowhere,50\n"
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", content))
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        xcoms = [str(xcom.value) for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id))]
        rendered = [
            json.dumps(task_fields.rendered_fields, default=str)
            for task_fields in session.scalars(
                select(RenderedTaskInstanceFields).where(RenderedTaskInstanceFields.run_id == run.run_id)
            )
        ]
    assert len(xcoms) >= 5
    assert len(rendered) >= 5
    assert CANARY not in "".join([*xcoms, *rendered, str(run.note), caplog.text])
    assert all(len(value) < 2000 for value in xcoms)


def test_a_note_that_a_person_wrote_is_kept(run_dag, folders, connected):
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from loyalty_airflow import run_notes

    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", HEADER))
    assert run.note == "cards.csv: empty"
    with create_session() as session:
        dag_run = session.scalars(select(DagRun).where(DagRun.run_id == run.run_id)).one()
        dag_run.note = "asked the sender"
        run_notes.on_dag_run_success(dag_run, "")
        assert dag_run.note == "asked the sender"


def test_settings_of_the_form_are_given_to_the_job_and_empty_ones_are_not(run_dag, folders, connected, pools):
    """Source: X-11."""
    source = put(folders.landing / "gift_cards", "cards.csv", CARDS.replace(",", ";"))
    assert run_dag("import_gift_cards", file=source, delimiter=";", encoding=None).state == "success"
    with connected.owner.connect() as connection:
        query = "SELECT parameters -> 'run' FROM ledger.import_job ORDER BY id DESC LIMIT 1"
        assert connection.execute(text(query)).scalar_one() == {"delimiter": ";"}


def test_a_file_of_customers_with_the_settings_of_its_form(run_dag, folders, connected, caplog):
    """Source: X-11, X-20, CU-01, CU-07, CU-14."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    file = put(folders.landing / "customers", "people.csv", f"Email,LastName,Sex\n{CANARY}@example.com,{CANARY},\n")
    assert run_dag("import_customers", file=file).note == "people.csv: loaded: 1 read, 1 inserted"
    rows = f"{CANARY}@example.com,New{CANARY},neither\n{CANARY}@example.org,{CANARY},\n"
    run = run_dag(
        "import_customers", file=put(folders.landing / "customers", "edited.csv", f"Email,LastName,Sex\n{rows}"),
        action="edit_existing", on_invalid_optional="drop_value", segment="autumn", data_source=None,
    )  # fmt: skip
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert run.note == "edited.csv: loaded: 2 read, 1 updated, 1 not found"
    with connected.owner.connect() as connection:
        members = connection.execute(text("SELECT last_name, segment FROM loyalty.customer JOIN loyalty.segment_member "
                                          "ON customer_id = id")).all()  # fmt: skip
    assert members == [(f"New{CANARY}", "autumn")]
    reports = {path.name for path in folders.reports.rglob("*.csv")}
    assert reports == {"edited.not-found.csv", "edited.dropped-values.csv"}
    nobody = put(folders.landing / "customers", "nobody.csv", f"Email,LastName\n{CANARY}@example.org,{CANARY}\n")
    other = run_dag("import_customers", file=nobody, action="edit_existing")
    assert (other.state, other.note) == ("success", "nobody.csv: nobody found: 1 read, 1 not found")
    with create_session() as session:
        xcoms = [str(xcom.value) for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id))]
    assert "edited.not-found.csv" in "".join(xcoms)
    assert CANARY not in "".join([*xcoms, str(run.note), caplog.text])


@pytest.mark.parametrize("state", ["failed", "success"])
@pytest.mark.parametrize("task", ["take_file", "inspect_file", "validate_chunk"])
def test_x12_a_run_that_a_person_ends_closes_its_job(
    run_dag, clear, folders, connected, pools, monkeypatch, task, state
):
    """An open job would hold gift cards back for thirty minutes each (GC-05), again and again."""
    from include.arrivals import landing
    from include.stages import inspection, validation

    stages = {"take_file": landing, "inspect_file": inspection, "validate_chunk": validation}
    real = getattr(stages[task], task)

    def ended_meanwhile(*arguments):
        done = real(*arguments)
        mark_run("import_gift_cards", state)
        return done

    with monkeypatch.context() as patched:
        patched.setattr(stages[task], task, ended_meanwhile)
        run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    assert (run.state, run.tasks["load_rows"], run.tasks["close_job"]) == ("failed", "skipped", "failed")
    assert run.note == "cards.csv: failed (job.failed)"
    job = jobs(connected)[-1]
    assert job.state == "failed"
    assert job.finished_at is not None
    assert count(connected, "loyalty.gift_card") == 0

    run = clear(run, task)
    assert (run.state, run.tasks) == ("success", ALL_GREEN)
    assert jobs(connected)[-1].state == "completed"
    assert count(connected, "loyalty.gift_card") == 2


def mark_run(dag_id: str, state: str) -> None:
    """End the latest run of a DAG as a person does in the UI."""
    from airflow.api_fastapi.core_api.datamodels.dag_run import DagRunMutableStates
    from airflow.api_fastapi.core_api.services.public.dag_run import patch_dag_run_state
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc())).first()
        dag = DBDagBag().get_dag_for_run(run, session=session)
        patch_dag_run_state(dag=dag, dag_run=run, state=DagRunMutableStates(state), session=session)


def test_x12_a_source_that_hangs_is_given_up_and_its_job_closed(run_dag, folders, connected, monkeypatch):
    """It would hold a slot for as long as it hangs."""
    import os

    from include.storage import locations
    from tests.dags.conftest import load_dag, read_run

    dag = load_dag("import_gift_cards")
    dag.task_dict["take_file"].execution_timeout = timedelta(seconds=0.5)
    reader, writer = os.pipe()
    looks = []

    def stalled(source, target):
        looks.append(source.name)
        os.read(reader, 1)

    monkeypatch.setattr(locations, "copy", stalled)
    path = put(folders.landing / "gift_cards", "cards.csv", CARDS)
    run = read_run(dag.dag_id, dag.test(run_conf={"file": str(path)}).run_id)
    os.close(reader)
    os.close(writer)
    assert (run.state, run.tasks["take_file"], run.tasks["close_job"]) == ("failed", "failed", "failed")
    assert looks == ["cards.csv"] * 6, "a first attempt, five more"
    (job,) = jobs(connected)
    assert job.state == "failed"
    assert job.finished_at is not None
    assert path.read_text() == CARDS
