"""
### Delete expired files

Deletes source copies, rejected-rows files and staging tables that are older than their import's `retention_days`, once a
day: they hold full card numbers, codes and addresses. The history of the jobs stays.

**At 3 a.m.** It may wait until morning. *Red* means that the storage or the warehouse did not answer, or denies deleting:
clear the task when it does; nothing is deleted twice, and what was left is deleted then.
"""

import import_tasks
import retention_tasks
from airflow.sdk import CronTriggerTimetable, dag


@dag(
    doc_md=__doc__,
    dag_display_name="Delete expired files",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=import_tasks.default_args(),
    tags=["retention"],
)
def delete_expired_files() -> None:
    """Delete what is past its retention."""
    retention_tasks.delete_expired()


delete_expired_files()
