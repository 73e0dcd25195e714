"""
### Pick up files

Starts **one run per file** that lies ready in the landing folders. A trigger watches the folders and wakes this DAG
within a second; every five minutes it runs anyway, in case the triggerer was down.

A file is ready when it is no longer being written, its release time (`release`, such as nightly) has passed, and the
files that it must come after are in (`after`). A file that no import type can take (wrong extension, a folder of no type)
is refused here: it gets a job, a reason and a place in the quarantine.

**At 3 a.m.** *A file isn't picked up*: its name may begin with `.` or end in `.part`, `.tmp`, `.filepart` or `.crdownload`;
it may be waiting (the log of `start_imports` counts those); the triggerer may be down: the next five-minute run takes it.
*This DAG is red*: the log names the files that could not be started; the others were, and the next run tries again.
*A run ended, but its file still lies in landing*: it is started again, at first after a minute, later after an hour at most.
"""

import import_tasks
import pick_up_tasks
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag
from landing_trigger import LandingTrigger

LANDING = Asset("landing", watchers=[AssetWatcher(name="landing_folders", trigger=LandingTrigger())])


@dag(
    doc_md=__doc__,
    dag_display_name="Pick up files",
    schedule=AssetOrTimeSchedule(assets=LANDING, timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC")),
    catchup=False,
    max_active_runs=1,
    default_args=import_tasks.default_args(),
    tags=["landing"],
)
def pick_up_files() -> None:
    """List the landing folders and start the imports."""
    pick_up_tasks.start_imports()


pick_up_files()
