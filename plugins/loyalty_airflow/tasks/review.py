"""The task that asks a person before an import is loaded: a form under *Required actions*. Source: X-06, X-20.

Airflow keeps one form for each task instance, and it can't be changed once it is there, not even by clearing the task
(3.3.2). So each question has a task of its own; a job has at most `QUESTIONS`. What is asked and answered is in the
ledger; the task only carries it, and may be killed, retried or cleared at any point (X-14).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.triggers.hitl import HITLTrigger
from airflow.sdk import Param, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from include.review.decision import LAUNCH, LOAD_QUESTION, QUESTIONS, REJECT, Answer, Turn
from loyalty_airflow import airflow_internals, time_limits
from loyalty_airflow.job_of_run import find_job, resume
from loyalty_airflow.notifications import ReviewNotifier
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.stage import task_body

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.review.review import Question, Step
    from include.runtime import Runtime

log = logging.getLogger(__name__)

FIRST_QUESTION = "review_mapping"
LOADING_TASK = "load_rows"
SHORTEST_WAIT = timedelta(seconds=1)


def question_tasks() -> list[str]:
    """Return the names of the tasks that ask, in their order."""
    return [FIRST_QUESTION, *(f"{FIRST_QUESTION}_{number}" for number in range(2, QUESTIONS + 1))]


def asking_tasks() -> list[str]:
    """Return the names of the tasks that may ask, by the number of their question."""
    return [*question_tasks(), LOADING_TASK]


class ReviewMapping(HITLOperator):
    """Ask a person whether, and with which columns, the file of this run is loaded.

    Args:
        number: which of the job's questions this task asks, from 1.
    """

    template_fields: Sequence[str] = ()
    """The form quotes the sender's headers, which Jinja must never see."""
    ui_color = "#fde68a"

    def __init__(self, *, number: int, **kwargs: Any) -> None:
        super().__init__(
            subject="Import this file?",
            options=[LAUNCH, REJECT],
            defaults=[REJECT],  # of a user who doesn't answer in time
            trigger_rule=TriggerRule.NONE_FAILED if number in (1, LOAD_QUESTION) else TriggerRule.ALL_SUCCESS,
            **kwargs | {"execution_timeout": None},
        )
        # Afterwards: a HITLOperator takes a limit that it is given for the person's, and drops it (3.3.2). This one is
        # that of the rehearsal; nobody is waited for within it.
        self.execution_timeout = time_limits.LOAD_ROWS
        self.number = number

    @task_body
    def execute(self, context: Context) -> dict[str, Any]:
        """Put the question, unless there is nothing to ask or it has been put already; then wait."""
        from include.review import review

        with open_runtime() as runtime:
            job = find_job(runtime)
            if job is None:
                raise AirflowSkipException("This run has no job to review")
            resume(runtime, job.id)
            step = review.ask(runtime, job.id, self.number)
            self._ask(context, runtime, step)
        return self._go_on(step, is_answered=False)

    @task_body
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take the answer, or the end of the time limit."""
        with open_runtime() as runtime:
            step = self._answer(runtime, event)
        return self._go_on(step, is_answered=True)

    def _ask(self, context: Context, runtime: Runtime, step: Step) -> None:
        """Put the question of a step that has one, and end this process until it is answered; else do nothing."""
        from include.review import review

        if step.question is not None:
            job = find_job(runtime)
            if job is None:
                raise AirflowFailException("The job of this run is gone")
            self._put(context, step.question)
            # Before the question is written down: killed in between, the task does both again.
            ReviewNotifier(job, step.question.reasons, step.until or datetime.now(UTC)).send(context)
            until = review.record(runtime, job.id, step.question)
            raise TaskAwaitingInput(
                method_name="execute_complete", timeout=max(until - datetime.now(UTC), SHORTEST_WAIT)
            )
        if step.until is not None:
            self._wait_again(context, step.until)

    def _answer(self, runtime: Runtime, event: Mapping[str, Any]) -> Step:
        """Write down what came back, and return what follows."""
        from include.review import review

        if "error" in event:
            raise AirflowFailException(f"Airflow could not wait for an answer ({event.get('error_type')})")
        user = event.get("responded_by_user")
        answer = Answer(
            option=(event.get("chosen_options") or [REJECT])[0],
            columns=event.get("params_input") or {},
            user=str(user["name"] or user["id"]) if user else None,
            answered_at=event["responded_at"],
        )
        job = find_job(runtime)
        if job is None:
            raise AirflowFailException("The job of this run is gone")
        resume(runtime, job.id)
        return review.answer(runtime, job.id, self.number, answer)

    def _put(self, context: Context, question: Question) -> None:
        """Write the form to Airflow."""
        form = question.form
        dropdowns = {
            choice.field: Param(
                choice.selected,
                type="string",
                enum=list(choice.options),
                title=choice.title,
                description=choice.description or None,
            ).serialize()
            for choice in form.choices
        }
        airflow_internals.store_form(
            context["ti"].id,
            options=self.options,
            subject=form.subject,
            body=form.body,
            defaults=self.defaults,
            multiple=False,
            params=dropdowns,
        )

    def _wait_again(self, context: Context, until: datetime) -> NoReturn:
        """Wait for the answer to a form that is there already, without a new `upsert`, which would forget one (3.3.2).

        The answer may be there as well. Parked again, the task would then be queued at once, often before the scheduler
        has heard of the end of this process, which it would take for the end of the queued one: a failure (3.3.2). The
        trigger looks when this process has long ended.
        """
        self.defer(
            trigger=HITLTrigger(
                ti_id=context["ti"].id, options=self.options, defaults=self.defaults, params={}, timeout_datetime=until
            ),
            method_name="execute_complete",
        )

    def _go_on(self, step: Step, *, is_answered: bool) -> dict[str, Any]:
        """End this task so that the right one is next: the load, the next question, or the report."""
        if step.turn is not Turn.PASS:
            later = question_tasks()[self.number :]
            airflow_internals.skip_tasks([*later, LOADING_TASK] if step.turn is Turn.STOP else later)
            if not is_answered:
                _skip(step.turn is Turn.LOAD)
        return {"question": self.number, "next": str(step.turn)}


def _skip(is_loading: bool) -> NoReturn:
    raise AirflowSkipException("Nobody needs to be asked" if is_loading else "There is nothing to review")
