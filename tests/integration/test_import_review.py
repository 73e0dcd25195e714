"""The review of an import, without Airflow: questions, answers, rehearsal, repeats. Source: X-05, X-06, X-10, X-14."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from include import import_types
from include.arrivals import files
from include.arrivals.landing import Request, take_file
from include.errors import FileRefused, Reason, ReviewNeeded
from include.ledger import jobs
from include.ledger.jobs import JobResult
from include.project.sync import sync_in_turn
from include.review import review
from include.review.decision import LOAD_QUESTION
from include.review.preview import preview_file
from include.review.review import Answer, Question, Step, Turn
from include.stages.inspection import inspect_file
from include.stages.loading import load_rows
from include.stages.reporting import close_job, write_report
from include.stages.retention import delete_expired
from include.stages.validation import validate_chunk
from include.storage.locations import area
from tests.imports import CARD_HEADER, Site, counts, rejected_file, rejects, summary

pytestmark = pytest.mark.integration

ROWS = ("1,flexible_gift,1", "2,flexible_gift,2", "3,nowhere,3", "4,flexible_gift,-4", "1,flexible_gift,1")
CONTENT = "\n".join([CARD_HEADER, *ROWS, ""])
COUNTS = {"read": 5, "inserted": 2, "rejected": 3}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Reviewed:
    """One import, up to its review and beyond."""

    def __init__(self, site: Site, request: Request) -> None:
        self.site, self.request = site, request
        self.inspected = None
        self.job = self.take()

    def take(self) -> int:
        job = take_file(self.site.runtime, self.request).job_id
        self.inspected = inspect_file(self.site.runtime, job)
        if self.inspected.is_usable:
            for number in range(self.inspected.chunks):
                validate_chunk(self.site.runtime, job, number)
        return job

    def ask(self, number: int = 1) -> Step:
        return review.ask(self.site.runtime, self.job, number)

    def put(self, number: int = 1) -> Question:
        """Ask as the task does: put the question, then write it down."""
        question = self.ask(number).question
        assert question is not None
        review.record(self.site.runtime, self.job, question)
        return question

    def answer(self, option: str = "Launch", number: int = 1, user: str | None = "ada", **columns: str) -> Step:
        return review.answer(self.site.runtime, self.job, number, Answer(option, columns, user, NOW))

    def end(self) -> JobResult:
        """Load if there is something to load, and close."""
        if self.site.job(self.job)["state"] == "running":
            load_rows(self.site.runtime, self.job)
        write_report(self.site.runtime, self.job)
        return close_job(self.site.runtime, self.job)

    @property
    def state(self) -> str:
        return str(self.site.job(self.job)["state"])

    def asked(self) -> list[tuple[Any, ...]]:
        return self.site.query(
            "SELECT number, answer, answered_by, problem IS NOT NULL FROM ledger.import_review WHERE job_id = :job "
            "ORDER BY number",
            job=self.job,
        )


def reviewed(site: Site, content: str = CONTENT, name: str = "cards.csv", **settings: object) -> Reviewed:
    path = site.drop("gift_cards", name, content, {"review": True, **settings})
    return Reviewed(site, site.request("gift_cards", path))


def label(question: Question, field: str) -> str:
    """Return what is preselected for a field."""
    (choice,) = [choice for choice in question.form.choices if choice.field == field]
    return choice.selected


def everything(site: Site) -> list[object]:
    names = ("import_job", "import_chunk", "reject", "job_rule", "not_found", "dropped_value")
    return [site.loyalty(), *(site.query(f"SELECT * FROM ledger.{name} AS t ORDER BY t::text") for name in names)]


def test_x06_the_question_says_exactly_what_the_load_would_do_and_touches_nothing(stocked: Site):
    waiting = reviewed(stocked)
    before = everything(stocked)
    question = waiting.ask().question
    assert everything(stocked) == before
    assert question is not None
    assert vars(question.counts) == {"unchanged": 0, "not_found": 0, "updated": 0, **COUNTS}
    waiting.put()
    assert waiting.state == "awaiting_review"
    assert waiting.answer() == Step(Turn.LOAD)
    result = waiting.end()
    assert (result.state, counts(result)) == ("completed_with_rejects", COUNTS)
    assert waiting.asked() == [(1, "launch", "ada", False)]
    (review,) = summary(result)["reviews"]
    assert (review["answered_by"], review["reasons"][0]["rule"], review["mapping"]) == ("ada", "review.setting", None)
    assert review["counts"]["rejected"] == 3


def test_x06_the_form_has_a_dropdown_a_field_with_the_match_preselected_and_suggestions_only_shown(stocked: Site):
    content = CONTENT.replace("balance", "balance,statsu").replace(",flexible_gift,1", ",flexible_gift,1,Blocked")
    question = reviewed(stocked, content).put()
    choices = {choice.field: choice for choice in question.form.choices}
    assert set(choices) == {
        "card_number", "pool_system_name", "cvv", "balance", "point_of_contact", "purchased_at", "status",
    }  # fmt: skip
    options = (
        "(skip)", "card_number (column 1)", "pool_system_name (column 2)", "balance (column 3)", "statsu (column 4)",
    )  # fmt: skip
    assert {choice.options for choice in choices.values()} == {options}
    assert {name: choice.selected for name, choice in choices.items() if choice.selected != "(skip)"} == {
        "card_number": options[1], "pool_system_name": options[2], "balance": options[3],
    }  # fmt: skip
    assert choices["status"].description == "Perhaps: statsu (column 4)."
    assert choices["balance"].description == "Required."


def test_x06_a_changed_mapping_is_validated_loaded_written_down_and_inherited(stocked: Site):
    """The header's own words match nothing of the card number (GC-01); the balance is read from another column."""
    rows = ("1,flexible_gift,1,10", "2,flexible_gift,2,20", "3,nowhere,3,30")
    waiting = reviewed(stocked, "\n".join(["card_number,pool_system_name,balance,Betrag", *rows, ""]))
    question = waiting.put()
    assert waiting.answer(balance="Betrag (column 4)") == Step(Turn.LOAD)
    result = waiting.end()
    assert counts(result) == {"read": 3, "inserted": 2, "rejected": 1}
    assert stocked.query("SELECT card_number, balance::int FROM loyalty.gift_card ORDER BY 1") == [("1", 10), ("2", 20)]
    job = stocked.job(waiting.job)
    assert job["settings"]["mapping"] == {"balance": None, "Betrag": "balance"}
    assert job["settings"]["given_by"]["mapping"] == "review"
    assert {column["header"]: column["field"] for column in job["mapping"]["columns"]} == {
        "card_number": "card_number", "pool_system_name": "pool_system_name", "balance": None, "Betrag": "balance",
    }  # fmt: skip
    assert {warning["message"] for warning in job["warnings"]} == {
        "Column 3 (balance) is switched off by the settings."
    }
    assert waiting.asked() == [(1, "launch", "ada", False)]
    assert label(question, "balance") == "balance (column 3)"

    corrected = rejected_file(result).replace(b",nowhere,", b",flexible_gift,")
    again = stocked.load("gift_cards", corrected)
    assert counts(again) == {"read": 1, "inserted": 1}
    assert stocked.query("SELECT balance::int FROM loyalty.gift_card WHERE card_number = '3'") == [(30,)]


EXTRA_ROWS = [f"{7700 * 10**12 + n},{n}.50,flexible_gift,AB{n}C" for n in range(200)]
WITH_EXTRA = "\n".join(["card_number,balance,pool_system_name,extra", *EXTRA_ROWS, ""])
WRONG = {"card_number": "extra (column 4)", "balance": "card_number (column 1)"}
EXCHANGED = {"card_number": "balance (column 2)", "balance": "card_number (column 1)"}


@pytest.mark.parametrize(
    ("columns", "expected_text"),
    [
        (WRONG, "column 1 (card_number) is read as card balance"),
        (EXCHANGED, "200 of 200 rows would be rejected"),
    ],
)
def test_x18_columns_chosen_in_an_answer_are_looked_at_again_and_asked_about(
    stocked: Site, columns: dict[str, str], expected_text: str
):
    waiting = reviewed(stocked, WITH_EXTRA)
    waiting.put()
    assert waiting.answer(**columns) == Step(Turn.PASS)
    question = waiting.put(2)
    assert expected_text in " ".join(reason.message for reason in question.reasons).lower()
    assert "The settings ask for a review" not in question.form.body
    assert stocked.card_numbers() == []
    assert (
        waiting.answer(number=2, card_number="card_number (column 1)", balance="balance (column 2)").turn is Turn.LOAD
    )
    assert counts(waiting.end()) == {"read": 200, "inserted": 200}
    assert waiting.asked() == [(1, "launch", "ada", False), (2, "launch", "ada", False)]


def test_x06_odd_columns_that_a_person_approves_after_all_are_loaded_and_a_cleared_run_follows(stocked: Site):
    """The answers to the same questions hold, also where one of them brought the mapping of the next."""
    waiting = reviewed(stocked, WITH_EXTRA)
    waiting.put()
    waiting.answer(**WRONG)
    waiting.put(2)
    assert waiting.answer(number=2) == Step(Turn.LOAD)
    close_job(stocked.runtime, waiting.job, failure="load_rows failed")
    waiting.take()
    assert waiting.ask() == Step(Turn.LOAD)
    assert counts(waiting.end()) == {"read": 200, "inserted": 200}
    assert stocked.card_numbers()[0] == "AB0C"


def test_x06_columns_that_go_back_and_forth_between_answers_come_to_an_end(stocked: Site):
    waiting = reviewed(stocked, WITH_EXTRA)
    waiting.put()
    for number in (1, 2):
        waiting.answer(number=number, **WRONG if number == 1 else EXCHANGED)
        waiting.put(number + 1)
    assert waiting.answer(number=3, **WRONG) == Step(Turn.STOP)
    result = waiting.end()
    assert (result.state, result.reason["rule"]) == ("cancelled", "review.no_more_questions")
    assert result.reason["message"].startswith("3 questions have been asked about this file")
    assert stocked.card_numbers() == []


def test_gc01_a_file_whose_headers_nobody_knows_is_mapped_in_its_review(stocked: Site):
    content = "Nummer,Topf,Wert\n1,flexible_gift,1\n2,nowhere,2\n"
    assert stocked.load("gift_cards", content).state == "refused"
    waiting = reviewed(stocked, content)
    assert (waiting.inspected.is_usable, waiting.inspected.may_need_review) == (False, True)
    question = waiting.put()
    assert question.counts is None
    assert {choice.selected for choice in question.form.choices} == {"(skip)"}
    assert question.form.choices[0].options == (
        "(skip)", "Nu… (column 1)", "T… (column 2)", "W… (column 3)",
    )  # fmt: skip
    step = waiting.answer(card_number="Nu… (column 1)", pool_system_name="T… (column 2)", balance="W… (column 3)")
    assert step == Step(Turn.LOAD)
    result = waiting.end()
    assert counts(result) == {"read": 2, "inserted": 1, "rejected": 1}
    assert rejects(result) == {3: {"pool_system_name.known"}}


@pytest.mark.parametrize(
    ("columns", "expected_text"),
    [
        ({"balance": "card_number (column 1)"}, "Card number and Card balance are read from column 1."),
        ({"balance": "(skip)"}, "Card balance is required"),
        ({"balance": "no such column"}, "The answer for balance is no column of the file."),
        ({"worth": "balance (column 3)"}, "The answer for worth is no column of the file."),
    ],
)
def test_x06_a_mapping_that_cannot_be_used_comes_back_with_the_reason(
    stocked: Site, columns: dict[str, str], expected_text: str
):
    waiting = reviewed(stocked)
    waiting.put()
    assert waiting.answer(**columns) == Step(Turn.PASS)
    assert waiting.state == "running"
    question = waiting.put(2)
    assert expected_text in question.reasons[0].message
    assert stocked.card_numbers() == []
    assert waiting.answer(number=2, balance="balance (column 3)") == Step(Turn.LOAD)
    assert counts(waiting.end()) == COUNTS
    assert waiting.asked() == [(1, "launch", "ada", True), (2, "launch", "ada", False)]


def test_x06_after_three_answers_without_a_usable_mapping_the_job_is_cancelled(stocked: Site):
    waiting = reviewed(stocked)
    for number in (1, 2):
        waiting.put(number)
        assert waiting.answer(number=number, balance="(skip)") == Step(Turn.PASS)
    waiting.put(3)
    assert waiting.answer(number=3, balance="(skip)") == Step(Turn.STOP)
    result = waiting.end()
    assert (result.state, result.reason["rule"]) == ("cancelled", "review.no_mapping")


def test_x06_a_rejected_file_goes_to_the_archive_from_where_it_can_be_launched(stocked: Site):
    waiting = reviewed(stocked, mapping={"balance": "balance"})
    waiting.put()
    assert waiting.answer("Reject") == Step(Turn.STOP)
    result = waiting.end()
    assert (result.state, result.reason["rule"]) == ("cancelled", "review.rejected")
    assert result.reason["message"] == "ada rejected the import on 2026-03-01 00:00 UTC; nothing was loaded."
    assert stocked.card_numbers() == []
    assert stocked.query("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'") == []
    archived = stocked.job(waiting.job)["archive_url"]
    assert "/imported/gift_cards/" in archived
    launched = stocked.run("gift_cards", archived)
    assert counts(launched) == COUNTS
    assert stocked.job(launched)["settings"]["mapping"] == {"balance": "balance"}


def test_x06_without_an_answer_in_time_the_job_is_cancelled_and_says_so(stocked: Site):
    waiting = reviewed(stocked, review_hours=1)
    waiting.put()
    assert waiting.answer("Reject", user=None) == Step(Turn.STOP)
    result = waiting.end()
    assert (result.state, result.reason["rule"]) == ("cancelled", "review.expired")
    assert "Nobody answered the review by" in result.reason["message"]
    assert waiting.asked() == [(1, "expired", None, False)]


@pytest.mark.parametrize("stage", ["settled", "asked"])
def test_x06_x14_retention_leaves_the_file_of_an_open_job_alone(stocked: Site, stage: str):
    """Source: X-14, X-20. Its days begin with the end of the job, not with its launch."""
    waiting = reviewed(stocked, review_hours=24, retention_days=1)
    if stage == "asked":
        waiting.put()
    late = stocked.runtime.clock() + timedelta(days=30)
    assert delete_expired(stocked.runtime, late - timedelta(days=1)) == {}
    if stage == "settled":
        waiting.put()
    waiting.answer("Launch")
    waiting.site = stocked.changed(clock=lambda: late)
    result = waiting.end()
    assert counts(result) == COUNTS
    assert delete_expired(stocked.runtime, late + timedelta(hours=23))["gift_card_pools"] == 1
    assert stocked.job(result)["archive_url"] is not None
    assert delete_expired(stocked.runtime, late + timedelta(hours=25)) == {"gift_cards": 1}
    assert stocked.job(result)["archive_url"] is None


def test_x20_an_answer_is_not_awaited_for_longer_than_the_file_is_kept(stocked: Site):
    result = stocked.cards("77,flexible_gift,1", settings={"review": True, "review_hours": 48.5, "retention_days": 2})
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")
    assert (result.reason or {})["message"] == (
        "review_hours: 48.5 hours are longer than the file is kept, retention_days 2: state 48 at most, or more days."
    )
    refused = stocked.cards("77,flexible_gift,1", settings={"retention_days": 1}, review_hours=25)
    assert refused.state == "refused"
    assert stocked.cards("78,flexible_gift,1", settings={"review_hours": 48, "retention_days": 2}).state == "completed"
    assert stocked.cards("79,flexible_gift,1", settings={"retention_days": 1}).state == "completed"


def test_a_header_that_may_be_data_is_forgotten_with_the_cancelled_file(stocked: Site):
    """Source: X-20."""
    waiting = reviewed(stocked, "4929333344445555,Maria,12\n4929333344445556,Berta,13\n")
    question = waiting.put()
    shown = f"{question.form} {question.reasons}"
    assert "4929333344445555" not in shown
    assert "Maria" not in shown
    waiting.answer("Reject")
    result = waiting.end()
    everywhere = f"{stocked.query('SELECT t::text FROM ledger.import_job AS t')} {summary(result)} {waiting.asked()}"
    assert "4929333344445555" not in everywhere
    assert "Maria" not in everywhere


HEADERLESS = "4929333344445555,Maria,12\n4929333344445556,Berta,13\n"


def visible_text(site: Site, waiting: Reviewed, *further: object) -> str:
    """Everything that people are shown of a job, and that Airflow or a mail would keep."""
    job = site.job(waiting.job)
    kept = (job["warnings"], job["refusal_message"], site.query("SELECT t::text FROM ledger.import_review AS t"))
    return f"{kept} {further}"


def test_x20_answers_that_cannot_be_used_quote_no_first_row_that_is_data(stocked: Site):
    waiting = reviewed(stocked, HEADERLESS)
    seen: list[object] = []
    for number in (1, 2, 3):
        question = waiting.put(number)
        seen += [question.form, question.reasons]
        (first, second) = question.form.choices[0].options[1:3]
        waiting.answer(number=number, card_number=first, pool_system_name=second, balance="(skip)")
    result = waiting.end()
    assert result.reason["rule"] == "review.no_mapping"
    shown = visible_text(stocked, waiting, seen, result.to_json())
    assert "Card balance" in shown
    for value in ("4929333344445555", "Maria"):
        assert value not in shown


def test_x20_a_headerless_file_shows_no_data_as_new_columns(stocked: Site):
    stocked.run("gift_cards", stocked.drop("gift_cards", "good.csv", CONTENT))
    path = stocked.drop("gift_cards", "headerless.csv", HEADERLESS, {"review_header_change": True})
    waiting = Reviewed(stocked, stocked.request("gift_cards", path))
    question = waiting.put()
    assert "Columns that differ" in question.form.body
    assert "card\\_number" in question.form.body or "card_number" in question.form.body
    shown = visible_text(stocked, waiting, question.form, question.reasons)
    for value in ("4929333344445555", "Maria", "12"):
        assert f" {value} " not in shown
        assert f'"{value}"' not in shown
    assert "Maria" not in shown


@pytest.mark.parametrize("state", ["running", "failed"])
def test_x06_nothing_is_loaded_that_nobody_has_approved_whatever_state_the_job_was_brought_to(
    stocked: Site, state: str
):
    waiting = reviewed(stocked)
    if state == "failed":
        waiting.put()
    with stocked.runtime.engine.begin() as connection:
        jobs.update(connection, waiting.job, state=jobs.State.RUNNING)
    with pytest.raises(LookupError, match="nobody has approved"):
        load_rows(stocked.runtime, waiting.job)
    assert stocked.card_numbers() == []


def test_x05_an_upload_is_compared_with_what_was_dropped_into_the_folder(stocked: Site):
    """An upload is stored in a folder of its own."""
    stocked.run("gift_cards", stocked.drop("gift_cards", "good.csv", CONTENT))
    folder = stocked.folder / "work" / files.UPLOADS / "gift_cards" / "ada" / "1"
    folder.mkdir(parents=True)
    file = folder / "cards.csv"
    file.write_text(CONTENT.replace("balance", "balance,news").replace("\n", ",\n").replace("news,", "news", 1))
    request = stocked.request("gift_cards", file, review_header_change=True)
    waiting = Reviewed(stocked, request)
    assert "news" in waiting.put().form.body


def test_x20_the_form_shows_no_value_that_could_be_a_secret(stocked: Site):
    rows = ("4929333344445555,flexible_gift,50,2026-01-31", "4929333344445556,4929333344445557,4929333344445558,")
    content = "\n".join(["card_number,pool_system_name,balance,purchased_at", *rows, ""])
    question = reviewed(stocked, content).put()
    assert "49293333" not in f"{question.form}"
    assert "` flexible_gift `" in question.form.body
    assert "` 50 `" in question.form.body
    assert "` …5555 `" in question.form.body


@pytest.mark.parametrize(
    ("content", "private"),
    [
        ("card_number,pool_system_name,balance\n" + "flexible_gift,GIFT-{0}-A{0},10\n" * 20, "GIFT-"),
        ("Email,Sex,FirstName,BirthDate,SourceDateTime\nu{0}@example.com,Maria,f,2024-01-01,19{0}-03-04\n", "Maria 19"),
        ("card_number,pool_system_name,balance,cvv\n770000000000{0},flexible_gift,7{0},10.50\n", "7{0} 7700"),
    ],
    ids=["card number and pool", "first name and sex, dates", "CVV and balance"],
)
def test_x20_the_form_that_asks_about_exchanged_columns_does_not_show_what_was_exchanged(
    stocked: Site, content: str, private: str
):
    header, row = content.split("\n")[:2]
    rows = [row.replace("{0}", str(number)) for number in range(40, 70)]
    import_type = "customers" if header.startswith("Email") else "gift_cards"
    path = stocked.drop(import_type, "rows.csv", "\n".join([header, *rows, ""]))
    preview = preview_file(stocked.runtime, import_type, area(path)).as_text()
    question = Reviewed(stocked, stocked.request(import_type, path)).put()
    assert [reason.rule for reason in question.reasons] == ["review.columns"]
    first_rows = question.form.body.partition("### First rows")[2]
    assert "| 2 |" in first_rows
    for value in private.replace("{0}", "40").split():
        assert value not in first_rows
        assert value not in preview.partition("line")[2].replace("dates before 1995", "")


def test_x20_the_form_shows_no_value_where_most_rows_would_be_rejected(stocked: Site):
    waiting = reviewed(stocked, cards(1, 9).replace("nowhere", "K7QW-PL0M"), review_reject_share=0.5)
    question = waiting.put()
    assert [reason.rule for reason in question.reasons] == ["review.setting", "review.reject_share"]
    assert "K7QW" not in f"{question.form}"


def test_x20_a_row_of_a_file_without_headers_is_in_no_sentence(stocked: Site):
    content = 'anna.secret@example.com,Annabel\n"b@example.com"x,Bert\nc@example.com,Carl\n'
    mapping = {"anna.secret@example.com": "email", "Annabel": "first_name"}
    path = stocked.drop("customers", "rows.csv", content, {"review": True, "mapping": mapping})
    previewed = preview_file(stocked.runtime, "customers", area(path)).as_text()
    shown = f"{previewed} {Reviewed(stocked, stocked.request('customers', path)).put().form}"
    assert "In column 1 (ann…) more text comes after" in shown.replace("\\", "")
    assert "secret" not in shown


# -- repeats


def test_x14_a_question_that_has_been_put_is_waited_for_and_not_put_again(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    for _ in range(2):
        step = waiting.ask()
        assert (step.turn, step.question) == (Turn.WAIT, None)
        assert step.until is not None
    assert waiting.ask(2).turn is Turn.PASS
    assert waiting.asked() == [(1, None, None, False)]


def test_x14_a_killed_task_puts_the_same_question_again(stocked: Site):
    waiting = reviewed(stocked)
    first, again = waiting.ask().question, waiting.ask().question
    assert first == again


def test_x14_an_answer_that_is_recorded_is_not_asked_for_again(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    waiting.answer()
    assert waiting.answer("Reject", user="eve") == Step(Turn.LOAD)
    assert waiting.ask() == Step(Turn.LOAD)
    result = waiting.end()
    assert waiting.ask() == Step(Turn.LOAD)
    before = everything(stocked)
    assert load_rows(stocked.runtime, waiting.job).inserted == 2
    assert everything(stocked) == before
    assert counts(result) == COUNTS
    assert waiting.asked() == [(1, "launch", "ada", False)]


def test_x14_a_failed_run_that_waited_waits_again_without_putting_the_question(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    assert close_job(stocked.runtime, waiting.job, failure="review_mapping failed").state == "failed"
    stocked.query("UPDATE ledger.import_job SET state = 'running', finished_at = NULL WHERE id = :j", j=waiting.job)
    assert waiting.ask().turn is Turn.WAIT
    assert waiting.state == "awaiting_review"
    waiting.answer()
    assert counts(waiting.end()) == COUNTS


@pytest.mark.parametrize("columns", [{}, {"balance": "Betrag (column 4)"}])
def test_x14_a_cleared_run_takes_the_answer_that_it_has_to_the_same_question(stocked: Site, columns: dict[str, str]):
    waiting = reviewed(stocked, "card_number,pool_system_name,balance,Betrag\n1,flexible_gift,1,10\n")
    waiting.put()
    waiting.answer(**columns)
    close_job(stocked.runtime, waiting.job, failure="load_rows failed")
    assert waiting.take() == waiting.job
    assert waiting.ask() == Step(Turn.LOAD)
    waiting.end()
    assert stocked.query("SELECT balance::int FROM loyalty.gift_card") == [(10 if columns else 1,)]
    assert len(waiting.asked()) == 1


def asked_by_load(site: Site) -> Reviewed:
    """Return an import whose load has called for a review, and put the question."""
    path = site.drop("gift_cards", "cards.csv", cards(10, 110))
    waiting = Reviewed(site, site.request("gift_cards", path))
    with pytest.raises(ReviewNeeded):
        load_rows(site.runtime, waiting.job)
    review.call_for_review(site.runtime, waiting.job)
    waiting.put(LOAD_QUESTION)
    return waiting


def test_x14_a_cleared_run_keeps_the_approval_of_the_question_that_the_load_put(stocked: Site):
    waiting = asked_by_load(stocked)
    assert waiting.answer(number=4) == Step(Turn.LOAD)
    close_job(stocked.runtime, waiting.job, failure="load_rows failed")
    waiting.take()
    assert waiting.inspected.may_need_review
    assert waiting.ask() == Step(Turn.LOAD)
    assert counts(waiting.end()) == {"read": 120, "inserted": 10, "rejected": 110}
    assert waiting.asked() == [(4, "launch", "ada", False)]


def test_x06_a_load_is_approved_with_the_rejects_that_a_person_has_seen(stocked: Site):
    waiting = asked_by_load(stocked)
    waiting.answer(number=4)
    result = waiting.end()
    assert (result.outcome, result.has_approved_rejects) == ("mostly_rejected", True)
    unasked = stocked.load("gift_cards", cards(1, 3, first=500))
    assert (unasked.outcome, unasked.has_approved_rejects) == ("mostly_rejected", False)


def test_x06_rejects_under_columns_chosen_in_an_answer_were_not_seen(stocked: Site):
    waiting = reviewed(stocked, "card_number,pool_system_name,balance,Betrag\n1,flexible_gift,1,x\n")
    waiting.put()
    assert waiting.answer(balance="Betrag (column 4)") == Step(Turn.LOAD)
    result = waiting.end()
    assert (result.outcome, result.has_approved_rejects) == ("nothing_loaded", False)


def test_x14_other_counts_in_a_cleared_run_are_asked_about_with_a_free_question(stocked: Site):
    """Another sender's card changes what the load would do: that was not approved (X-06)."""
    waiting = asked_by_load(stocked)
    waiting.answer(number=4)
    close_job(stocked.runtime, waiting.job, failure="load_rows failed")
    assert stocked.cards("6030000000000000,flexible_gift,99").outcome == "loaded"
    waiting.take()
    question = waiting.put(1)
    assert (question.counts.rejected, waiting.state) == (111, "awaiting_review")
    assert waiting.answer() == Step(Turn.LOAD)
    assert counts(waiting.end()) == {"read": 120, "inserted": 9, "rejected": 111}


@pytest.mark.parametrize(("option", "user"), [("Reject", "ada"), ("Reject", None)])
def test_x14_a_cleared_run_asks_again_after_a_rejection_or_an_expiry_of_the_loads_question(
    stocked: Site, option: str, user: str | None
):
    waiting = asked_by_load(stocked)
    assert waiting.answer(option, 4, user) == Step(Turn.STOP)
    waiting.end()
    for number in (1, 2, 3):
        waiting.take()
        waiting.put(number)
        assert waiting.answer(option, number, user) == Step(Turn.STOP)
        waiting.end()
    waiting.take()
    assert waiting.ask(1) == Step(Turn.STOP)
    assert waiting.end().reason["message"].startswith("4 questions have been asked about this file")


def test_x14_a_run_cleared_with_other_settings_asks_again(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    folder = stocked.folder / "landing" / "gift_cards"
    (folder / "_settings.yaml").write_text("max_reject_share: 0.1\n")
    waiting.take()
    assert waiting.ask(1).turn is Turn.PASS
    question = waiting.put(2)
    assert "more than max_reject_share" in question.form.body.replace("\\", "")
    assert waiting.asked() == [(1, "superseded", None, False), (2, None, None, False)]


def test_a_rejected_file_whose_run_is_cleared_is_asked_about_again(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    waiting.answer("Reject")
    waiting.end()
    assert waiting.ask() == Step(Turn.STOP)
    waiting.take()
    assert waiting.ask(1).turn is Turn.PASS
    waiting.put(2)
    assert waiting.answer(number=2) == Step(Turn.LOAD)
    result = waiting.end()
    assert (result.state, result.reason, counts(result)) == ("completed_with_rejects", None, COUNTS)


def test_a_late_answer_to_a_superseded_question_does_nothing(stocked: Site):
    waiting = reviewed(stocked)
    waiting.put()
    (stocked.folder / "landing" / "gift_cards" / "_settings.yaml").write_text("max_reject_share: 0.1\n")
    waiting.take()
    waiting.put(2)
    assert waiting.answer("Reject", number=1) == Step(Turn.PASS)
    assert waiting.state == "awaiting_review"


def test_staging_lost_while_a_person_thinks_is_filled_again(stocked: Site):
    """A database crash empties unlogged tables."""
    waiting = reviewed(stocked)
    waiting.put()
    stocked.query(f"TRUNCATE staging.job_{waiting.job}_chunk_0")
    waiting.answer()
    assert counts(waiting.end()) == COUNTS


@pytest.mark.parametrize("change", ["DROP COLUMN plain_number", "ADD COLUMN of_former_days text"])
def test_x14_staging_of_another_version_is_filled_again(stocked: Site, change: str):
    """A job may wait for its review while the project is upgraded."""
    waiting = reviewed(stocked)
    waiting.put()
    stocked.query(f"ALTER TABLE staging.job_{waiting.job}_chunk_0 {change}")
    waiting.answer()
    assert counts(waiting.end()) == COUNTS


# -- the gate


def test_without_reasons_nobody_is_asked(stocked: Site):
    waiting = reviewed(stocked, review=False)
    assert not waiting.inspected.may_need_review
    assert waiting.ask() == Step(Turn.LOAD)
    waiting = reviewed(stocked, f"{CONTENT}\n", review=False, review_reject_share=0.6)
    assert waiting.inspected.may_need_review
    assert waiting.ask() == Step(Turn.LOAD)
    assert waiting.asked() == []
    assert counts(waiting.end()) == COUNTS


def test_more_rejects_than_allowed_ask_a_person(stocked: Site):
    waiting = reviewed(stocked, review=False, review_reject_share=0.59)
    (reason,) = waiting.put().reasons
    assert reason == Reason(
        "review.reject_share", "3 of 5 rows would be rejected, more than review_reject_share = 0.59 allows."
    )


def cards(good: int, bad: int, *, first: int = 0) -> str:
    rows = [f"603000{first + n:010},flexible_gift,{n}" for n in range(good)]
    return "\n".join([CARD_HEADER, *rows, *(f"603100{first + n:010},nowhere,{n}" for n in range(bad)), ""])


@pytest.mark.parametrize(
    ("good", "bad", "is_asked"), [(49, 50, False), (49, 51, True), (50, 50, False), (99, 101, True), (500, 500, False)]
)
def test_x18_over_half_of_a_hundred_rows_that_fail_are_asked_about_by_default(
    stocked: Site, good: int, bad: int, is_asked: bool
):
    result = stocked.load("gift_cards", cards(good, bad))
    if not is_asked:
        assert counts(result) == {"read": good + bad, "inserted": good, "rejected": bad}
        return
    assert (result.state, result.reason["rule"]) == ("refused", "file.review")
    assert result.reason["message"].startswith(
        f"{bad} of {good + bad} rows would be rejected, more than review_reject_share = 0.5 allows, 100% of them for "
        "this: Pool … does not exist (pool_system_name.known). Is column 2 (pool_system_name) the right one?"
    )
    assert "--set review_reject_share=1," in result.reason["message"]
    assert stocked.card_numbers() == []
    again = stocked.load("gift_cards", cards(good, bad), review_reject_share=1)
    assert counts(again) == {"read": good + bad, "inserted": good, "rejected": bad}


def test_x18_rows_that_only_the_load_rejects_count_as_well(stocked: Site):
    assert stocked.load("gift_cards", cards(150, 0)).state == "completed"
    others = cards(150, 0).replace(",flexible_gift,", ",flexible_gift,1")
    before = stocked.loyalty()
    result = stocked.load("gift_cards", others)
    message = result.reason["message"]
    assert "100% of them for this: " in message
    assert "(card_number.card_exists). Is column 1 (card_number) the right one?" in message
    assert stocked.loyalty() == before


def test_x18_one_rule_over_half_of_the_rows_asks_under_a_higher_share_too(stocked: Site):
    loose = {"review_reject_share": 0.9}
    result = stocked.load("gift_cards", cards(50, 110), settings=loose)
    assert result.reason["message"].startswith(
        "110 of 160 rows would be rejected, 100% of them for this: Pool … does not exist (pool_system_name.known). "
        "Is column 2 (pool_system_name) the right one?"
    )
    assert stocked.load("gift_cards", cards(50, 99), settings=loose).state == "completed_with_rejects"


def test_x18_an_amount_of_twelve_digits_anywhere_in_the_file_is_asked_about(stocked: Site):
    """Three exports joined, the second with other columns: the rows of the first look don't show it."""
    rows = [f"88000000000{n:05},flexible_gift,10.50" for n in range(300)]
    rows += [f"{500_000 + n},flexible_gift,99000000000{n:05}" for n in range(290)]
    rows += [f"77000000000{n:05},flexible_gift,10.50" for n in range(1000)]
    joined = stocked.cards(*rows)
    assert joined.reason["message"].startswith(
        "Column 3 (balance) holds 290 numbers of twelve digits and more, first on line 302: is it the right one?"
    )
    assert "--set review_columns=false" in joined.reason["message"]
    assert stocked.card_numbers() == []
    assert stocked.cards("1,flexible_gift,100000000000").reason["rule"] == "file.review"
    assert stocked.cards("1,flexible_gift,99999999999.99").outcome == "loaded"
    approved = stocked.cards("2,flexible_gift,100000000000", review_columns=False)
    assert (approved.outcome, [rule.rule for rule in approved.rules]) == ("loaded", ["balance.many_digits"])


def test_x18_amounts_of_many_digits_are_asked_about_in_airflow_and_loaded_once_approved(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\n1,flexible_gift,100000000000\n")
    waiting = Reviewed(stocked, stocked.request("gift_cards", path))
    with pytest.raises(ReviewNeeded, match="holds 1 number of twelve digits and more, first on line 2"):
        load_rows(stocked.runtime, waiting.job)
    review.call_for_review(stocked.runtime, waiting.job)
    waiting.put(LOAD_QUESTION)
    assert waiting.answer(number=4) == Step(Turn.LOAD)
    assert counts(waiting.end()) == {"read": 1, "inserted": 1}


def test_x18_a_cvv_of_twelve_digits_anywhere_in_the_file_is_asked_about(stocked: Site):
    """The columns of card numbers and CVVs are exchanged, in one row and behind right rows."""
    header = "card_number,pool_system_name,balance,cvv"
    one = stocked.cards("509,flexible_gift,50,6030635058774641", header=header)
    assert one.reason["message"].startswith(
        "Column 4 (cvv) holds 1 number of twelve digits and more, first on line 2: is it the right one?"
    )
    assert "--set review_columns=false" in one.reason["message"]
    rows = [f"88000000000{n:05},flexible_gift,10.50,{n % 900 + 100}" for n in range(300)]
    rows += [f"{n + 100},flexible_gift,10.50,99000000000{n:05}" for n in range(150)]
    rows += [f"77000000000{n:05},flexible_gift,10.50,{n % 900 + 100}" for n in range(400)]  # few where rows are sampled
    joined = stocked.cards(*rows, header=header)
    assert "Column 4 (cvv) holds 150 numbers of twelve digits and more, first on line 302" in joined.reason["message"]
    assert not any(number in str(joined.to_json()) for number in ("6030635058774641", "9900000"))
    assert stocked.card_numbers() == []
    grouped = stocked.cards("1,flexible_gift,50,4111 1111 1111 1111", header=header)
    assert grouped.reason["rule"] == "file.review"
    approved = stocked.cards("2,flexible_gift,50,411111111111", header=header, review_columns=False)
    assert (approved.outcome, [rule.rule for rule in approved.rules]) == ("loaded", ["cvv.many_digits"])


def test_x18_the_most_frequent_mistakes_are_named_in_words(stocked: Site):
    """No rule explains half of the rejects, so several are named, each by its sentence without values (X-20)."""
    rows = [f"6030{n:012},nowhere,5" for n in range(40)] + [f"6031{n:012},flexible_gift,five" for n in range(40)]
    rows += [f"6032{n:012},flexible_gift,1.234" for n in range(40)]
    message = stocked.cards(*rows).reason["message"]
    assert message.startswith(
        "120 of 120 rows would be rejected, more than review_reject_share = 0.5 allows. Most frequent: "
        "Card balance … is not a number (balance.not_decimal, 40 rows); "
        "Card balance … has more than 2 digits after the decimal mark (balance.too_many_decimals, 40 rows); "
        "Pool … does not exist (pool_system_name.known, 40 rows). "
        "Are column 3 (balance) and column 2 (pool_system_name) the right ones?"
    )


def test_x18_a_dry_run_counts_what_a_load_would_ask_about(stocked: Site):
    dry = stocked.load("gift_cards", cards(0, 150), dry_run=True)
    assert counts(dry) == {"read": 150, "rejected": 150}


def test_x18_max_reject_share_refuses_without_a_question(stocked: Site):
    result = stocked.load("gift_cards", cards(0, 150), max_reject_share=0.3)
    assert result.reason["rule"] == "file.reject_share"


def test_x21_a_locked_question_is_not_switched_off_by_a_run(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "locked: [review_reject_share, review_columns]\n")
    for setting in ({"review_reject_share": 1}, {"review_columns": False}):
        result = stocked.load("gift_cards", cards(0, 150), **setting)
        assert result.reason["rule"] == "file.settings"
        assert "is locked by" in result.reason["message"]
    assert stocked.load("gift_cards", cards(0, 150)).reason["rule"] == "file.review"


@pytest.mark.parametrize(
    ("locked", "is_named"),
    [("[]", True), ("[review_columns]", True), ("[review_reject_share]", False), ("[mapping]", True)],
)
def test_x21_the_command_line_advises_no_setting_that_the_folder_locks(stocked: Site, locked: str, is_named: bool):
    stocked.drop("gift_cards", "_settings.yaml", f"locked: {locked}\n")
    message = stocked.load("gift_cards", cards(0, 150)).reason["message"]
    assert ("--set review_reject_share=1" in message) is is_named
    assert ("correct the file or its mapping" in message) is (locked != "[mapping]")
    assert "drop it into the landing area" in message
    if is_named:
        again = stocked.load("gift_cards", cards(0, 150), review_reject_share=1)
        assert again.outcome == "nothing_loaded"


def test_x06_the_command_line_advises_no_setting_where_one_would_not_do(stocked: Site):
    """Without a column for the balance the file can't be loaded, whether it is reviewed or not (X-04)."""
    result = stocked.load("gift_cards", "card_number,pool_system_name,blance\n1,flexible_gift,5\n", review=True)
    assert "Card balance (balance)" in result.reason["message"]
    assert "--set" not in result.reason["message"]


def test_x18_a_folder_switches_the_questions_off(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "review_reject_share: null\nreview_columns: false\n")
    assert stocked.load("gift_cards", cards(10, 150)).state == "completed_with_rejects"


def test_x18_columns_that_look_exchanged_are_refused_and_the_setting_is_named(stocked: Site):
    """S1-1: 20,000 rows, 200 of which would have become cards."""
    rows = [f"{n % 200}.50,flexible_gift,6030{n:012}" for n in range(2000)]
    content = "\n".join([CARD_HEADER, *rows, ""])
    result = stocked.load("gift_cards", content)
    assert (result.state, result.reason["rule"]) == ("refused", "file.review")
    assert "Column 1 (card_number) is read as Card number" in result.reason["message"]
    assert "Column 3 (balance) is read as Card balance" in result.reason["message"]
    assert "--set review_columns=false" in result.reason["message"]
    assert not any(value in str(result.to_json()) for value in ("6030", "199.50"))
    assert stocked.card_numbers() == []
    right = {"card_number": "balance", "balance": "card_number"}
    assert stocked.load("gift_cards", content, mapping=right).rows.inserted == 2000


def test_x06_the_preview_says_what_would_be_asked(stocked: Site):
    rows = [f"{n}.50,flexible_gift,6030{n:012}" for n in range(20)]
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *rows, ""]))
    preview = preview_file(stocked.runtime, "gift_cards", area(path)).as_text()
    assert "A person is asked before the load: Column 1 (card_number) is read as Card number, but" in preview


def test_x18_a_file_in_another_encoding_is_looked_at_too(stocked: Site):
    rows = [f"{n}.50,flexible_gift,6030{n:012}" for n in range(20)]
    content = "\n".join([CARD_HEADER, *rows, ""]).encode("utf-16")
    assert stocked.load("gift_cards", content, settings={"encoding": "utf-16"}).reason["rule"] == "file.review"


@pytest.mark.parametrize("import_type", sorted(import_types.IMPORT_TYPES))
def test_x18_no_template_and_no_sample_is_asked_about(stocked: Site, import_type: str):
    sync_in_turn(stocked.warehouse.owner, stocked.runtime.project)
    if import_type == "promo_codes":
        stocked.load("promo_code_pools", import_types.get("promo_code_pools").sample.read_bytes())
    declared = import_types.get(import_type)
    for content in (declared.template.encode(), declared.sample.read_bytes()):
        result = stocked.load(import_type, content, force=True)
        assert result.state.startswith("completed"), result.reason


def test_more_changed_customers_than_allowed_ask_a_person(stocked: Site):
    def customers(last_name: str, share: float) -> Reviewed:
        rows = [f"a{number}@example.com,{last_name if number < 3 else 'Old'}" for number in range(5)]
        content = "\n".join(["Email,LastName", *rows, ""])
        path = stocked.drop("customers", f"{last_name}.csv", content, {"review_changed_share": share})
        return Reviewed(stocked, stocked.request("customers", path))

    first = customers("Old", 0)
    assert first.ask() == Step(Turn.LOAD), "new customers are no changed ones"
    first.end()
    assert customers("New", 0.6).ask() == Step(Turn.LOAD)
    (reason,) = customers("Newer", 0.59).put().reasons
    assert reason.message == "3 of 5 rows would change what is stored, more than review_changed_share = 0.59 allows."


def test_x05_other_columns_than_the_last_good_file_of_the_folder_ask_a_person(stocked: Site):
    gate: dict[str, Any] = {"review": False, "review_header_change": True}
    first = reviewed(stocked, CONTENT, "first.csv", **gate)
    assert first.ask() == Step(Turn.LOAD), "there is no earlier file to compare with"
    first.end()
    stocked.load("gift_cards", "card_number,other\n1,2\n")  # refused: no good one
    moved = "balance,POOL-SYSTEM-NAME,card_number\n7,flexible_gift,7\n"
    assert not reviewed(stocked, moved, "moved.csv", **gate).inspected.may_need_review, "the order says nothing"
    changed = reviewed(stocked, "card_number,pool_system_name,balances,status\n8,flexible_gift,8,\n", "b.csv", **gate)
    assert not changed.inspected.is_usable
    question = changed.put()
    assert [reason.rule for reason in question.reasons] == ["review.header_change", "review.mapping"]
    assert question.reasons[0].message.endswith("from this folder: 1 renamed, 1 new.")
    assert "| ` balance ` | ` balances ` | renamed |" in question.form.body
    assert "|  | ` status ` | new |" in question.form.body
    assert changed.answer(balance="balances (column 3)") == Step(Turn.LOAD)
    assert counts(changed.end()) == {"read": 1, "inserted": 1}


def test_the_last_good_file_of_a_folder_is_found_by_an_index(stocked: Site):
    statement = """
        INSERT INTO ledger.import_job (run_key, import_type, state, launched_by, source_url, source_version, file_name,
            arrived_at, loaded_at, finished_at, inspection, rows_read, rows_inserted, rows_updated, rows_unchanged,
            rows_not_found, rows_rejected)
        SELECT 'of ' || n, 'gift_cards', 'completed', 'x', '/in/' || n % 50 || '/' || n || '.csv', '1', n || '.csv',
            now(), now() - n * interval '1 minute', now(), '{"header": ["a"], "dialect": {}, "header_offset": 0,
            "header_bytes": 1, "unescape": false, "warnings": []}', 0, 0, 0, 0, 0, 0
        FROM generate_series(1, 20000) AS n
    """
    stocked.query(statement)
    stocked.query("ANALYZE ledger.import_job")
    seen = []
    with stocked.runtime.engine.begin() as connection:
        sa.event.listen(connection, "before_cursor_execute", lambda c, cursor, *arguments: seen.append(arguments[:2]))
        job = jobs.get(connection, connection.scalar(sa.text("SELECT max(id) FROM ledger.import_job")))
        assert jobs.last_good_header(connection, job, job.source_url) == ["a"]
        query, values = seen[-1]
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {query}", values).scalars())
    assert "import_job_folder_idx" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("import_type", sorted(import_types.IMPORT_TYPES))
def test_x06_the_rehearsal_counts_what_the_load_of_each_type_does(stocked: Site, import_type: str):
    sync_in_turn(stocked.warehouse.owner, stocked.runtime.project)
    if import_type == "promo_codes":
        stocked.load("promo_code_pools", import_types.get("promo_code_pools").sample.read_bytes())
    content = import_types.get(import_type).sample.read_bytes()
    path = stocked.drop(import_type, "sample.csv", content, {"review": True, "force": True})
    waiting = Reviewed(stocked, stocked.request(import_type, path))
    before = stocked.loyalty()
    question = waiting.put()
    assert stocked.loyalty() == before
    waiting.answer()
    result = waiting.end()
    assert result.rows == question.counts
    assert result.rows.read > 0


def test_x19_nobody_is_asked_about_a_dry_run(stocked: Site):
    waiting = reviewed(stocked, dry_run=True, review_reject_share=0, review_header_change=True)
    assert not waiting.inspected.may_need_review
    assert waiting.end().state == "completed_with_rejects"


# -- the command line


@pytest.mark.parametrize("setting", [{"review": True}, {"review_reject_share": 0.1}])
def test_the_command_line_refuses_what_a_person_is_to_look_at(stocked: Site, setting: dict[str, object]):
    result = stocked.load("gift_cards", CONTENT, settings=setting)
    assert (result.state, result.reason["rule"]) == ("refused", "file.review")
    assert "can't ask a person" in result.reason["message"]
    assert stocked.card_numbers() == []
    assert stocked.load("gift_cards", CONTENT, settings=setting, review=False, review_reject_share=1).state != "refused"


def test_a_refusal_of_the_rehearsal_is_reported_and_leaves_the_job_as_it_was(stocked: Site):
    waiting = reviewed(stocked, max_reject_share=0.1)
    question = waiting.put()
    assert "It would be refused: 3 of 5 rows were rejected" in question.form.body.replace("\\", "")
    waiting.answer()
    with pytest.raises(FileRefused):
        waiting.end()
    assert waiting.state == "refused"


def test_x21_a_locked_mapping_is_not_changed_by_an_answer(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "locked: [mapping]\n")
    waiting = reviewed(stocked, f"{CARD_HEADER},Betrag\n1,flexible_gift,1,10\n")
    question = waiting.put()
    assert question.form.choices == ()
    assert "the folder's settings lock the mapping" in question.form.body
    assert waiting.answer(balance="Betrag (column 4)") == Step(Turn.PASS)
    assert waiting.asked() == [(1, "launch", "ada", True)]
    waiting.put(2)
    assert waiting.answer(number=2) == Step(Turn.LOAD)
    assert counts(waiting.end()) == {"read": 1, "inserted": 1}
    assert stocked.query("SELECT balance::text FROM loyalty.gift_card") == [("1.00",)]


def test_x21_a_file_that_a_locked_mapping_can_not_read_is_refused_unasked(stocked: Site):
    stocked.drop("gift_cards", "_settings.yaml", "locked: [mapping]\n")
    with pytest.raises(FileRefused, match="required") as caught:
        reviewed(stocked, "Nr,pool_system_name,balance\n1,flexible_gift,1\n")
    assert caught.value.rule == "file.required_column"
