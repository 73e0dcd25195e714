"""Fill pools of promo codes before they run out, and send the staff a mail when they run low.

The database signals a pool's last code, and the crossing of its levels; a trigger listens and wakes this DAG at once.
It also runs every five minutes, in case the triggerer is down, or time alone has changed a forecast. `review_pools`
finds the pools that need something, `top_up_pool` is one task each, named for the pool: it adds at most so many codes
in one transaction as `max_generation` of the project settings says, and goes on until the level is met. Why a pool was
topped up is in the task's log, in the run's note and in the history of the pool (`ledger.promo_code_generation`).

Topped up are active pools that are filled by generation, with `auto_generate`, when fewer codes than
`top_up_threshold` (blank: `notify_below`, else 1; 0: never) are available, or the predicted run-out is within
`lead_hours`. A mail goes to `alert_subscribers` when afterwards fewer than `notify_below` are left, when the run-out
is within `lead_hours`, or when the format can't give a whole batch: once, and again only after the pool has
recovered. A pool that is filled by hand and has lost no code yet is only being set up: no mail says that it is low.

**At 3 a.m.** *`top_up_pool` is red*: its log says why nothing could be generated. `generation.wrong_key`,
`generation.no_key`: fix the Connection `code_key`. `generation.no_format`: give the pool a format. Anything else is an
outage that outlasted the retries: the next run does the same again, nothing is added twice. Each attempt is in the
pool's history as `failed`.
*A mail says that a format can't give enough codes*: what was left has been added. Give the pool another format, with a
larger code space: one that has given codes never changes.
*A mail did not come*: see the Connection `alerts_smtp`; alerts without `sent_at` in `ledger.promo_code_alert` are sent
by the next run.
"""

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag

from loyalty_airflow.tasks import importing, top_up
from loyalty_airflow.triggers.stock import StockTrigger

STOCK = Asset("promo_code_stock", watchers=[AssetWatcher(name="promo_code_signals", trigger=StockTrigger())])


@dag(
    doc_md=__doc__,
    dag_display_name="Top up promo code pools",
    schedule=AssetOrTimeSchedule(assets=STOCK, timetable=CronTriggerTimetable("*/5 * * * *", timezone="UTC")),
    catchup=False,
    max_active_runs=4,
    default_args=importing.default_args(),
    tags=["promo_codes"],
)
def top_up_promo_pools() -> None:
    """Review the pools and give each what it needs."""
    top_up.top_up_pools()


top_up_promo_pools()
