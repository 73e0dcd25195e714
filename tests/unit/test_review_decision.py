"""What a question of a review leads to, by what has been asked and answered before. Source: X-06, X-14."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.errors import Reason
from include.review.decision import (
    LAUNCH,
    LAUNCHED,
    LOAD_QUESTION,
    QUESTIONS,
    REJECT,
    Answer,
    Asked,
    Chosen,
    Decision,
    Turn,
    after_launch,
    after_question,
    without_launch,
)  # fmt: skip

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REASONS = [Reason("review.setting", "The settings ask for a review.")]
OTHER_COLUMNS = {"PIN": "cvv"}


def asked(number: int, form: str = "a", answer: str | None = None, **values: object) -> Asked:
    return Asked(number, form, NOON, answer, **values)


def decide(before: list[Asked], form: str | None = "a", number: int = 1, since: int | None = None) -> Decision:
    return after_question(before, form, REASONS, number, since)


def test_nothing_to_ask_lets_the_load_begin():
    assert decide([], form=None) == LAUNCHED
    assert decide([asked(1)], form=None) == LAUNCHED


def test_the_task_of_the_next_question_puts_it_and_the_others_pass():
    assert decide([], number=1) == Decision(Turn.ASK)
    assert decide([], number=2) == Decision(Turn.PASS)
    assert decide([asked(1, "b", "launch", mapping=OTHER_COLUMNS)], number=2) == Decision(Turn.ASK)


def test_a_question_that_was_put_and_not_answered_is_waited_for_by_its_own_task():
    assert decide([asked(1)], number=1) == Decision(Turn.WAIT)
    assert decide([asked(1)], number=2) == Decision(Turn.PASS)


def test_another_question_replaces_one_that_nobody_has_answered():
    assert decide([asked(1, "b")], number=2) == Decision(Turn.ASK, superseded=1)
    assert decide([asked(1, "b")], number=3) == Decision(Turn.PASS, superseded=1)


def test_the_same_question_has_the_same_answer_in_a_run_that_was_cleared():
    assert decide([asked(1, answer="launch")]) == LAUNCHED
    launched = asked(1, answer="launch", mapping=OTHER_COLUMNS)
    assert decide([launched]) == Decision(None, read_again=(OTHER_COLUMNS, 1))


@pytest.mark.parametrize(
    "before",
    [
        [asked(1, answer="launch"), asked(2, "b", "reject")],
        [asked(1, answer="reject")],
        [asked(1, answer="launch", problem="There is no such column.")],
        [asked(1, answer="superseded")],
    ],
)
def test_an_answer_that_a_person_took_back_or_that_could_not_be_used_does_not_count(before: list[Asked]):
    assert decide(before, number=len(before) + 1) == Decision(Turn.ASK)


def test_answers_of_before_the_mapping_changed_were_about_another_one():
    before = [asked(1, answer="launch", mapping=OTHER_COLUMNS), asked(2, "b", "launch")]
    assert decide(before, number=3, since=1) == Decision(Turn.ASK)
    assert decide(before, number=3) == Decision(None, read_again=(OTHER_COLUMNS, 1))


def test_a_job_asks_no_more_often_than_its_run_has_tasks():
    before = [asked(number, f"form {number}", "superseded") for number in range(1, QUESTIONS + 1)]
    decision = decide(before, number=QUESTIONS)
    assert (decision.turn, decision.is_approved) == (Turn.STOP, False)
    assert decision.cancelled is not None
    assert decision.cancelled[0] == "review.no_more_questions"
    assert decision.cancelled[1].startswith("3 questions have been asked about this file")
    assert "The settings ask for a review." in decision.cancelled[1]


def test_the_loads_own_question_is_put_once_by_the_task_that_loads():
    before = [asked(number, f"form {number}", "superseded") for number in range(1, QUESTIONS + 1)]
    assert decide(before, number=LOAD_QUESTION) == Decision(Turn.ASK)
    again = decide([*before, asked(LOAD_QUESTION, "b", "superseded")], number=LOAD_QUESTION)
    assert again.turn is Turn.STOP


def test_without_an_answer_in_time_and_after_a_reject_nothing_is_loaded():
    expired = without_launch(Answer(LAUNCH, {}, None, NOON), NOON)
    assert expired is not None
    assert (expired[0], expired[1].turn) == ("expired", Turn.STOP)
    assert expired[1].cancelled == (
        "review.expired", "Nobody answered the review by 2026-03-01 12:00 UTC; nothing was loaded.",
    )  # fmt: skip
    rejected = without_launch(Answer(REJECT, {}, "ada", NOON), NOON)
    assert rejected is not None
    assert rejected[0] == "reject"
    assert rejected[1].cancelled == (
        "review.rejected", "ada rejected the import on 2026-03-01 12:00 UTC; nothing was loaded.",
    )  # fmt: skip
    assert without_launch(Answer(LAUNCH, {}, "ada", NOON), NOON) is None


def test_a_launch_loads_or_has_the_file_looked_at_again_with_the_columns_that_it_names():
    assert after_launch(Chosen({"cvv": 1}), 1) == LAUNCHED
    assert after_launch(Chosen({"cvv": 1}, OTHER_COLUMNS), 2) == Decision(None, read_again=(OTHER_COLUMNS, 2))


def test_a_launch_with_columns_that_cannot_be_used_is_followed_by_the_next_question_while_there_is_one():
    wrong = Chosen({}, problem="Balance needs a column.")
    assert after_launch(wrong, QUESTIONS - 1) == Decision(Turn.PASS, unusable=wrong)
    last = after_launch(wrong, QUESTIONS)
    assert last.turn is Turn.STOP
    assert last.cancelled is not None
    assert last.cancelled[1].endswith("nothing was loaded. Balance needs a column.")
