"""What a question of a review leads to: asked, waited for, left to another task, launched or cancelled. Source: X-06.

Light on purpose: DAG files import this when they are parsed.
Functions of what the ledger says and of what would be asked; `review` loads the one and carries out the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from include.errors import Reason

LAUNCH, REJECT = "Launch", "Reject"
"""The two options of a form."""
LOAD_QUESTION = 4
"""The question that the task which loads puts itself, when its rejects call for one."""
QUESTIONS = 3
"""So many times a job asks: Airflow keeps one form for each task, so the DAGs have that many tasks for it (3.3.2)."""


class Turn(StrEnum):
    """What comes next for the task that asks."""

    ASK = "ask"
    WAIT = "wait"
    PASS = "pass"
    LOAD = "load"
    STOP = "stop"


@dataclass(frozen=True)
class Asked:
    """A question that has been put before; a row of `ledger.import_review`.

    Args:
        answer: `launch`, `reject`, `expired` or `superseded`; None while it is waited for.
        mapping: what the answer changed; None when it launched as it was.
        problem: why the answer could not be used.
    """

    number: int
    form_sha256: str
    answers_until: datetime
    answer: str | None = None
    mapping: Mapping[str, str | None] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        option: one of the form's two; anything but `LAUNCH` rejects.
        columns: field → the column's name in the dropdown.
        user: who answered; None when the time ran out.
    """

    option: str
    columns: Mapping[str, object]
    user: str | None
    answered_at: datetime


@dataclass(frozen=True)
class Chosen:
    """What an answer says of the columns.

    Args:
        columns: field → index of its column.
        overrides: the setting `mapping` that says so; None when nothing was changed.
        problem: why it can't be used.
    """

    columns: Mapping[str, int | None]
    overrides: Mapping[str, str | None] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Decision:
    """What is done now.

    Args:
        turn: what comes next for the task; None when the file is to be looked at again first.
        is_approved: the load may begin, with the mapping that was judged.
        superseded: number of a question that the one to be put replaces.
        read_again: the mapping with which the columns are looked at again, and the question whose answer brought it.
        cancelled: rule and sentence with which the job ends.
        unusable: an answer whose columns can't be used: the next question says why.
    """

    turn: Turn | None
    is_approved: bool = False
    superseded: int | None = None
    read_again: tuple[Mapping[str, str | None], int] | None = None
    cancelled: tuple[str, str] | None = None
    unusable: Chosen | None = None


LAUNCHED = Decision(Turn.LOAD, is_approved=True)


def after_question(
    asked: Sequence[Asked],
    form_sha256: str | None,
    reasons: Sequence[Reason],
    number: int,
    since: int | None,
) -> Decision:
    """Compare what would be asked with what has been asked before.

    Args:
        asked: oldest first.
        form_sha256: of the form that would be shown; None when nothing speaks for asking.
        reasons: why it would be.
        number: of the question that the task puts.
        since: number of the question whose answer brought the mapping: those before it were about another one.
    """
    if form_sha256 is None:
        return LAUNCHED
    earlier = _launched_by(asked, form_sha256, since)
    if earlier is not None:  # the run was cleared; the same question, so the same answer
        return LAUNCHED if earlier.mapping is None else Decision(None, read_again=(earlier.mapping, earlier.number))
    last, superseded = asked[-1] if asked else None, None
    if last is not None and last.answer is None:
        if last.form_sha256 == form_sha256:
            # Put already: putting it again would make Airflow forget an answer that has come meanwhile (3.3.2).
            return Decision(Turn.WAIT if last.number == number else Turn.PASS)
        superseded = last.number
    numbers = {row.number for row in asked}
    due = LOAD_QUESTION if number == LOAD_QUESTION else max(numbers - {LOAD_QUESTION}, default=0) + 1
    if due in numbers or (due > QUESTIONS and due != number):
        count = "1 question has" if len(asked) == 1 else f"{len(asked)} questions have"
        why = " ".join(reason.message for reason in reasons)
        message = (
            f"{count} been asked about this file, and its run can't ask another. {why} Nothing was loaded: import "
        )
        cancelled = ("review.no_more_questions", f"{message}the file again to be asked once more.")
        return Decision(Turn.STOP, superseded=superseded, cancelled=cancelled)
    return Decision(Turn.ASK if due == number else Turn.PASS, superseded=superseded)


def without_launch(reply: Answer, answers_until: datetime) -> tuple[str, Decision] | None:
    """Return how an answer that doesn't launch is recorded, and what it leads to; None for one that launches."""
    if reply.user is None:
        message = f"Nobody answered the review by {answers_until:%Y-%m-%d %H:%M} UTC; nothing was loaded."
        return "expired", Decision(Turn.STOP, cancelled=("review.expired", message))
    if reply.option != LAUNCH:
        message = f"{reply.user} rejected the import on {reply.answered_at:%Y-%m-%d %H:%M} UTC; nothing was loaded."
        return "reject", Decision(Turn.STOP, cancelled=("review.rejected", message))
    return None


def after_launch(chosen: Chosen, number: int) -> Decision:
    """Decide what an answer that launches leads to.

    With another mapping all is judged again, and asked about if it speaks for that: what a person has approved is what
    was shown. A mapping that can't be used is followed by the next question.
    """
    if chosen.problem is None:
        if chosen.overrides is None:
            return LAUNCHED
        return Decision(None, read_again=(chosen.overrides, number))
    if number < QUESTIONS:
        return Decision(Turn.PASS, unusable=chosen)
    message = f"The last answer named no columns that can be imported; nothing was loaded. {chosen.problem}"
    return Decision(Turn.STOP, cancelled=("review.no_mapping", message))


def _launched_by(asked: Sequence[Asked], form_sha256: str, since: int | None) -> Asked | None:
    """Return the answer that launched after this very question; none where a later one was answered by a reject."""
    numbers = [row.number for row in asked]
    later = asked[numbers.index(since) + 1 :] if since in numbers else asked
    rejected = [position for position, row in enumerate(later) if row.answer == "reject"]
    for row in later[rejected[-1] + 1 :] if rejected else later:
        if row.form_sha256 == form_sha256 and row.answer == "launch" and row.problem is None:
            return row
    return None


def asked_of(row: Any) -> Asked:
    """Return a row of `ledger.import_review`."""
    return Asked(row.number, row.form_sha256, row.answers_until, row.answer, row.mapping, row.problem)
