"""The task that loads a file, and asks a person itself when the load's rejects call for one. Source: X-06, X-18.

How many rows a load rejects is known when it has been run. Where they are too many and nobody has been asked, it is
rolled back and the question is put by this very task: a file without reasons pays for no rehearsal and no other task.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from include import import_types
from include.review.decision import LOAD_QUESTION
from loyalty_airflow import lineage
from loyalty_airflow.job_of_run import resume
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.review import ReviewMapping
from loyalty_airflow.tasks.stage import task_body

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.runtime import Runtime

log = logging.getLogger(__name__)


class LoadRows(ReviewMapping):
    """Load the valid rows in one transaction and update the assets. Skipped for a dry run, after rolling it back.

    Args:
        job_id: of `take_file`; None when that was skipped.
        chunks: of `inspect_file`; None when there is nothing to import.
    """

    template_fields: Sequence[str] = ("job_id", "chunks")
    ui_color = "#ffefeb"

    def __init__(self, *, job_id: Any, chunks: Any, **kwargs: Any) -> None:
        super().__init__(number=LOAD_QUESTION, **kwargs)
        self.job_id = job_id
        self.chunks = chunks

    @task_body
    def execute(self, context: Context) -> dict[str, Any]:
        """Load, unless a person must be asked first."""
        from include.errors import ReviewNeeded
        from include.review import review

        if self.job_id is None or self.chunks is None:
            raise AirflowSkipException("There is nothing to load")
        with open_runtime() as runtime:
            resume(runtime, self.job_id)
            if not review.is_asked_by_load(runtime, self.job_id):
                try:
                    return self._load(context, runtime)
                except ReviewNeeded as needed:
                    log.warning("Nothing was loaded, a person is asked first: %s", needed)
                review.call_for_review(runtime, self.job_id)
            step = review.ask(runtime, self.job_id, self.number)
            self._ask(context, runtime, step)
            return self._go_on_loading(context, runtime, step)

    @task_body
    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take the answer, or the end of the time limit, and load if that is what it says."""
        with open_runtime() as runtime:
            step = self._answer(runtime, event)
            return self._go_on_loading(context, runtime, step)

    def _go_on_loading(self, context: Context, runtime: Runtime, step: Any) -> dict[str, Any]:
        from include.review.decision import Turn

        if step.turn is not Turn.LOAD:
            raise AirflowSkipException(f"Job {self.job_id} was cancelled in its review: there is nothing to load")
        return self._load(context, runtime)

    def _load(self, context: Context, runtime: Runtime) -> dict[str, Any]:
        from include.ledger import jobs
        from include.stages import loading

        counts = asdict(loading.load_rows(runtime, self.job_id))
        with runtime.engine.connect() as connection:
            job = jobs.get(connection, self.job_id)
        if job.is_dry_run:
            context["ti"].xcom_push(key="dry_run", value=counts)
            raise AirflowSkipException(f"Dry run, rolled back; a launch for real would give {counts}")
        tables = import_types.get(job.import_type).targets
        lineage.report_load(context["ti"], job.source_url, runtime.engine.url, tables)
        for asset in context["ti"].task.outlets:
            context["outlet_events"][asset].extra = {"job_id": self.job_id, **counts}
        return counts
