"""Start one run for each file that is ready in the landing folders.

A trigger watches the folders and wakes this DAG within a second or two; every five minutes it runs anyway, in case
the triggerer is down.

A file is ready when it is no longer being written, its `release` time (nightly, for one) has passed, and the files
that go before it (`after`) are in. A file in a folder of no import type is refused here: it gets a job, a reason and
a place in the quarantine.

A job that was left open (its run was deleted, or the warehouse was away when it ended) is closed here first, as
`failed`: open jobs hold other files back.

**At 3 a.m.** *A file isn't picked up*: the log of `start_imports` says what each waiting file waits for. Names that
begin with `.` or `~`, or end in `.part`, `.tmp`, `.filepart` and the like, are files still being written; those that
the setting `ignore` names are left alone. Both are in the history once they are a day old. If the triggerer is down,
the next five-minute run takes the file.
*A file waits for a name beside it*: that name resembles settings, and would not be read. Rename it to
`_settings.yaml`, or to the file's name and `.settings.yaml`, or remove it.
*This DAG is red*: the log names the files that could not be started; the others were, and the next run tries again.
*An entry can't be imported* (a named pipe, a link out of the area, a file that can't be read or removed): it stays
where it is and stops nothing; the log, the history and one mail name it with its reason.
*A run has ended, but its file is still in landing*: it is started again, after a minute at first, an hour at last.
"""

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag

from loyalty_airflow.tasks import importing, pick_up
from loyalty_airflow.triggers.landing import LandingTrigger

LANDING = Asset("landing", watchers=[AssetWatcher(name="landing_folders", trigger=LandingTrigger())])


@dag(
    doc_md=__doc__,
    dag_display_name="Pick up files",
    schedule=AssetOrTimeSchedule(assets=LANDING, timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC")),
    catchup=False,
    max_active_runs=1,
    default_args=importing.default_args(),
    tags=["landing"],
)
def pick_up_files() -> None:
    """List the landing folders and start the imports."""
    pick_up.start_imports()


pick_up_files()
