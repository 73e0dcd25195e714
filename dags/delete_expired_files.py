"""Delete files that are past their import's `retention_days`, and uploads that nobody launched, once a day.

Source copies, rejected-rows files and staging tables hold full card numbers, codes and addresses. The history of the
jobs, with their counts, stays. An upload from the importer's pages is kept for a day after its last use.

**At 3 a.m.** It may wait until morning. *Red* means that the storage or the warehouse did not answer, or denies
deleting: clear the task when that is fixed; it goes on with what is left.
"""

from airflow.sdk import CronTriggerTimetable, dag

from loyalty_airflow.tasks import importing, retention


@dag(
    doc_md=__doc__,
    dag_display_name="Delete expired files",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=importing.default_args(),
    tags=["retention"],
)
def delete_expired_files() -> None:
    """Delete what is past its retention."""
    retention.delete_expired()
    retention.delete_uploads()


delete_expired_files()
