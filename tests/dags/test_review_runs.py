"""Reviews through the DAGs, in this process. Source: X-06, X-10, X-14, X-20."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.dags.mailbox import text_of

pytestmark = pytest.mark.dags

POOLS = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime\n"
    "Fifty,fifty,false,true,p50,website,Acme,false,50,NoExpiration,\n"
)
CANARY = "4929333344445555"
CARDS = f"card_number,pool_system_name,balance,Betrag\n{CANARY},fifty,50,50\n4929333344445556,nowhere,50,\n"
QUESTIONS = ("review_mapping", "review_mapping_2", "review_mapping_3")


class Person:
    """Answers what waits under Required actions, one answer after the other, as Airflow's API does."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.notes: list[str | None] = []
        self._answers: list[tuple[str, dict[str, str]]] = []

    def will(self, option: str = "Launch", **columns: str) -> None:
        """Plan one more answer, columns named here changed."""
        self._answers.append((option, columns))

    def answer(self) -> None:
        """Answer the question that waits, if one does."""
        from airflow.models.hitl import HITLDetail
        from airflow.models.taskinstance import TaskInstance
        from airflow.models.trigger import handle_event_submit
        from airflow.triggers.base import TriggerEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session(scoped=False) as session:
            ti = session.scalar(select(TaskInstance).where(TaskInstance.state == "awaiting_input"))
            if ti is None:
                return
            assert self._answers, f"{ti.task_id} asks, and no answer is planned"
            option, columns = self._answers.pop(0)
            form = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == ti.id)).one()
            self.seen.append({"task": ti.task_id, "body": form.body, "subject": form.subject, "params": form.params})
            self.notes.append(ti.dag_run.note)
            form.responded_by = {"id": "7", "name": "ada"}
            form.responded_at = datetime.now(UTC)
            form.chosen_options = [option]
            form.params_input = {name: param["value"] for name, param in form.params.items()} | columns
            handle_event_submit(TriggerEvent(form.as_resume_event_payload()), task_instance=ti, session=session)


@pytest.fixture
def person(airflow_database: None, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A user who answers between two rounds of dag.test().

    Not in a thread: dag.test() writes a task's state after the task has, and an answer in between is lost.
    """
    from airflow.models.dagrun import DagRun

    person, update_state = Person(), DagRun.update_state

    def answer_and_update(run: DagRun, *args: Any, **kwargs: Any) -> Any:
        person.answer()
        return update_state(run, *args, **kwargs)

    monkeypatch.setattr(DagRun, "update_state", answer_and_update)
    return person


@pytest.fixture
def drop(run_dag: Callable[..., Any], folders: Any) -> Callable[..., Any]:
    pools = folders.landing / "gift_card_pools" / "pools.csv"
    pools.write_text(POOLS)
    assert run_dag("import_gift_card_pools", file=pools).state == "success"

    def import_cards(content: str = CARDS, **settings: Any) -> Any:
        path: Path = folders.landing / "gift_cards" / "cards.csv"
        path.write_text(content)
        return run_dag("import_gift_cards", file=path, **{"review": True} | settings)

    return import_cards


def reviews(warehouse: Any) -> list[tuple[Any, ...]]:
    query = "SELECT number, answer, answered_by FROM ledger.import_review ORDER BY job_id, number"
    with warehouse.owner.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def balances(warehouse: Any) -> list[int]:
    with warehouse.owner.connect() as connection:
        return list(connection.execute(text("SELECT balance::int FROM loyalty.gift_card ORDER BY 1")).scalars())


def test_there_is_a_task_for_each_question_of_the_engine():
    from include.review import decision
    from loyalty_airflow.tasks import review as mapping_review

    assert decision.LOAD_QUESTION == decision.QUESTIONS + 1 == len(mapping_review.asking_tasks())
    assert mapping_review.asking_tasks()[decision.LOAD_QUESTION - 1] == mapping_review.LOADING_TASK
    assert tuple(mapping_review.question_tasks()) == QUESTIONS
    assert mapping_review.ReviewMapping.template_fields == ()


def test_a_launched_file_is_loaded(drop, person, connected):
    person.will()
    run = drop()
    assert run.state == "success"
    assert {run.tasks[name] for name in QUESTIONS[1:]} == {"skipped"}
    assert (run.tasks["review_mapping"], run.tasks["load_rows"]) == ("success", "success")
    assert run.note == "cards.csv: some rejected: 2 read, 1 inserted, 1 rejected"
    assert reviews(connected) == [(1, "launch", "ada")]
    assert person.seen[0]["subject"] == "cards.csv: import these gift cards?"


def test_a_rejected_file_leaves_the_run_green(drop, person, connected):
    person.will("Reject")
    run = drop()
    assert (run.state, run.tasks["load_rows"], run.tasks["close_job"]) == ("success", "skipped", "success")
    assert run.note == "cards.csv: cancelled (review.rejected)"
    assert balances(connected) == []


def test_a_wrong_mapping_comes_back_and_the_next_one_is_loaded(drop, person, connected):
    person.will(balance="card_number (column 1)")
    person.will(balance="Betrag (column 4)")
    run = drop()
    assert run.state == "success"
    assert [run.tasks[name] for name in QUESTIONS] == ["success", "success", "skipped"]
    assert [form["task"] for form in person.seen] == list(QUESTIONS[:2])
    assert "Card number and Card balance are read from column 1" in person.seen[1]["body"]
    assert balances(connected) == [50]
    assert reviews(connected) == [(1, "launch", "ada"), (2, "launch", "ada")]


def test_three_wrong_mappings_cancel_the_job(drop, person, connected):
    for _ in QUESTIONS:
        person.will(balance="(skip)")
    run = drop()
    assert (run.state, run.tasks["load_rows"]) == ("success", "skipped")
    assert [run.tasks[name] for name in QUESTIONS] == ["success"] * 3
    assert run.note == "cards.csv: cancelled (review.no_mapping)"


def test_nobody_is_asked_when_no_limit_is_passed(drop, person, connected):
    run = drop(review=False, review_reject_share=0.5)
    assert run.state == "success"
    assert {run.tasks[name] for name in QUESTIONS} == {"skipped"}
    assert balances(connected) == [50]


def test_an_empty_file_is_reviewed_too(drop, person):
    """Source: X-02."""
    person.will()
    run = drop("card_number,pool_system_name,balance\n")
    assert (run.state, run.note, run.tasks["validate_chunk"]) == ("success", "cards.csv: empty", "skipped")


@pytest.mark.parametrize("task", ["take_file", "inspect_file", "validate_chunk", "review_mapping", "load_rows"])
def test_clearing_a_task_of_a_reviewed_and_loaded_run_asks_nothing(drop, clear, person, connected, task):
    """Source: X-14."""
    person.will()
    run = drop()
    again = clear(run, task)
    assert (again.state, again.note) == ("success", run.note)
    assert reviews(connected) == [(1, "launch", "ada")]
    assert balances(connected) == [50]


def test_clearing_a_rejected_run_from_its_start_asks_again_and_from_its_load_does_not(drop, clear, person, connected):
    person.will("Reject")
    run = drop()
    assert clear(run, "load_rows").tasks["load_rows"] == "skipped"
    assert clear(run, "review_mapping").note == "cards.csv: cancelled (review.rejected)"
    person.will()
    again = clear(run, "take_file")
    assert (again.state, again.tasks["load_rows"]) == ("success", "success")
    assert reviews(connected) == [(1, "reject", "ada"), (2, "launch", "ada")]
    assert balances(connected) == [50]


def test_the_wait_is_noted_and_mailed(drop, person, connected, inbox, subscribers):
    from airflow.models.hitl import HITLDetail
    from sqlalchemy import event

    from loyalty_airflow import run_notes

    run_notes.watch_questions(["airflow", "scheduler"])
    assert not event.contains(HITLDetail, "after_insert", run_notes.on_question)
    run_notes.watch_questions(["airflow", "api-server"])
    person.will("Reject")
    try:
        drop()
    finally:
        event.remove(HITLDetail, "after_insert", run_notes.on_question)
    assert person.notes == ["cards.csv: awaits review"]
    ((recipients, mail),) = inbox.mails
    assert recipients == subscribers
    assert mail["Subject"].startswith("cards.csv: waits for an answer until ")
    assert "The settings ask for a review." in text_of(mail)
    assert CANARY not in text_of(mail)


def test_x10_a_run_whose_rejects_a_person_has_approved_is_green(drop, person, inbox, subscribers):
    person.will()
    run = drop(CARDS.replace(",fifty,", ",nowhere,"))
    assert (run.state, run.note) == ("success", "cards.csv: nothing loaded: 2 read, 2 rejected")
    assert "Correct the rejected rows" in " ".join(text_of(inbox.mails[-1][1]).split())


def test_x06_the_mail_goes_out_before_the_question_is_written_down(drop, person, inbox, subscribers, monkeypatch):
    """A task that is killed in between does both again; else nobody would hear of the question (X-14)."""
    from include.review import review

    mails, write = [], review.record

    def record(*args: Any) -> datetime:
        mails.append(len(inbox.mails))
        return write(*args)

    monkeypatch.setattr(review, "record", record)
    person.will("Reject")
    drop()
    assert mails == [1]


def test_no_value_of_a_row_is_in_the_form_or_anywhere_else(drop, person, caplog, connected):
    """Source: X-20."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    person.will()
    run = drop(CARDS.replace(",50,50", f",50,{CANARY}").replace("nowhere,50", f"{CANARY},{CANARY}"))
    with create_session() as session:
        xcoms = [str(xcom.value) for xcom in session.scalars(select(XComModel).where(XComModel.run_id == run.run_id))]
        rests = [str(ti.next_kwargs) for ti in session.scalars(select(TaskInstance))]
    assert run.state == "success"
    assert CANARY not in "".join([*xcoms, *rests, str(person.seen), str(run.note), caplog.text])
    assert "…5555" in person.seen[0]["body"]


EXCHANGED = "\n".join(
    ["Card balance,pool_system_name,Card number", *(f"49293333{n:08},flexible,{n}.50" for n in range(30)), ""]
)
FLEXIBLE = "Any,flexible,true,true,p0,website,Acme,false,,NoExpiration,\n"


@pytest.fixture
def flexible(run_dag: Callable[..., Any], folders: Any, drop: Any) -> None:
    pools = folders.landing / "gift_card_pools" / "more.csv"
    pools.write_text(POOLS.partition("\n")[0] + "\n" + FLEXIBLE)
    assert run_dag("import_gift_card_pools", file=pools).state == "success"


def test_x18_exchanged_columns_are_asked_about_before_the_load(drop, flexible, person, connected):
    """S1-1: number and balance; nobody asked for a review."""
    person.will("Reject")
    run = drop(EXCHANGED, review=False)
    assert (run.state, run.tasks["load_rows"], run.note) == (
        "success",
        "skipped",
        "cards.csv: cancelled (review.rejected)",
    )
    assert balances(connected) == []
    (form,) = person.seen
    assert form["task"] == "review_mapping"
    body = form["body"].replace("\\", "")
    assert "Column 1 (Card balance) is read as Card balance, but its first values are numbers of twelve digits" in body
    assert "Column 3 (Card number) is read as Card number, but its first values are numbers with decimals" in body
    assert "49293333" not in body


def test_x18_exchanged_columns_load_as_the_answer_says(drop, flexible, person, connected):
    person.will(card_number="Card balance (column 1)", balance="Card number (column 3)")
    run = drop(EXCHANGED, review=False)
    assert run.note == "cards.csv: loaded: 30 read, 30 inserted"
    with connected.owner.connect() as connection:
        extremes = connection.execute(text("SELECT min(card_number), max(balance) FROM loyalty.gift_card")).one()
    assert tuple(map(str, extremes)) == ("4929333300000000", "29.50")


def repeated(rows: int = 120, good: int = 50) -> str:
    """Return a file of which the load rejects more than half: numbers that are in it twice, after good ones."""
    numbers = [*range(good), *(number % 2 for number in range(rows - good))]
    return "\n".join(["card_number,pool_system_name,balance", *(f"49293333{n:08},fifty,50" for n in numbers), ""])


def test_x18_a_load_that_rejects_more_than_half_asks_itself_and_loads_when_the_answer_says_so(drop, person, connected):
    person.will()
    run = drop(repeated(), review=False, review_columns=False)
    assert {run.tasks[name] for name in QUESTIONS} == {"skipped"}
    assert (run.state, run.tasks["load_rows"]) == ("success", "success")  # green: a person has seen the counts
    assert run.note == "cards.csv: mostly rejected: 120 read, 50 inserted, 70 rejected"
    (form,) = person.seen
    assert form["task"] == "load_rows"
    body = form["body"].replace("\\", "")
    assert "70 of 120 rows would be rejected, more than review_reject_share = 0.5 allows, 100% of them" in body
    assert "(card_number.duplicate_in_file). Is column 1 (card_number) the right one?" in body
    assert reviews(connected) == [(4, "launch", "ada")]
    assert len(balances(connected)) == 50


def test_x18_a_load_that_rejects_more_than_half_loads_nothing_when_it_is_rejected(drop, clear, person, connected):
    person.will("Reject")
    run = drop(repeated(), review=False, review_columns=False)
    assert (run.state, run.tasks["load_rows"], run.note) == (
        "success",
        "skipped",
        "cards.csv: cancelled (review.rejected)",
    )
    assert clear(run, "load_rows").tasks["load_rows"] == "skipped"
    assert balances(connected) == []
    assert reviews(connected) == [(4, "reject", "ada")]


def test_x18_a_question_of_the_load_is_not_put_twice(drop, clear, person, connected):
    """Source: X-14."""
    person.will()
    run = drop(repeated(), review=False, review_columns=False)
    for task in ("load_rows", "validate_chunk", "take_file"):
        again = clear(run, task)
        assert (again.state, again.note) == ("success", run.note)
    assert reviews(connected) == [(4, "launch", "ada")]


def test_x18_an_answer_to_the_question_of_the_load_may_name_other_columns(drop, person, connected):
    content = repeated().replace("balance\n", "balance,Nr\n")
    head, *rows = content.splitlines()
    content = "\n".join([head, *(f"{row},5{number:015}" for number, row in enumerate(rows)), ""])
    person.will(card_number="Nr (column 4)")
    run = drop(content, review=False, review_columns=False)
    assert run.note == "cards.csv: loaded: 120 read, 120 inserted"
    assert len(balances(connected)) == 120


def test_x18_an_answer_to_the_question_of_the_load_that_names_no_columns_loads_nothing(drop, person, connected):
    person.will(balance="(skip)")
    run = drop(repeated(), review=False, review_columns=False)
    assert (run.state, run.note) == ("success", "cards.csv: cancelled (review.no_mapping)")
    assert balances(connected) == []


def test_x18_a_share_of_one_asks_nobody(drop, person, connected):
    run = drop(repeated(), review=False, review_columns=False, review_reject_share=1)
    assert (run.tasks["load_rows"], person.seen, len(balances(connected))) == ("success", [], 50)


@pytest.mark.parametrize(
    ("state", "error"), [("awaiting_review", "AirflowFailException"), ("cancelled", "AirflowSkipException")]
)
def test_a_load_that_nobody_has_approved_is_not_begun_when_a_user_marks_or_clears_tasks(connected, state, error):
    """Source: X-06, X-14."""
    from include.stages.loading import load_rows
    from loyalty_airflow.job_of_run import resume
    from loyalty_airflow.runtime import open_runtime
    from loyalty_airflow.withheld_errors import shown_error

    insert = (
        "INSERT INTO ledger.import_job (run_key, import_type, state, launched_by, source_url, source_version, "
        "file_name, arrived_at) VALUES ('k', 'gift_cards', :state, 'x', 'u', '1', 'f', now()) RETURNING id"
    )
    with connected.owner.begin() as connection:
        job_id = connection.execute(text(insert), {"state": state}).scalar_one()
    with open_runtime() as runtime:
        assert resume(runtime, job_id) is False
        with pytest.raises(LookupError) as caught:
            load_rows(runtime, job_id)
    shown = shown_error(caught.value)
    assert type(shown).__name__ == error
    assert str(job_id) in str(shown)
