"""Upload one file of promo codes into `loyalty.promo_code`.

`pick_up_files` starts a run for each file dropped into `landing/promo_codes/`, where a column or the setting `pool`
names the pool, or into `landing/promo_codes/<pool ID>/`; *Trigger* starts one by hand, with the settings of the form.
Dropped files wait while promo code pool files are on their way, 30 minutes at most.

A corrected file may be dropped into the folder of another pool if its rows belong there; `file.pool_changed` reports
that. `file.unknown_pool`: import the pool, then drop the file again. `file.generate_pool`: the pool is filled by
generation, from its first code on for good. With `on_existing: update_dates` codes that are stored get new dates.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(schedule=None, **importing.dag_arguments("promo_codes", __doc__))
def import_promo_codes() -> None:
    """Import one file of promo codes."""
    importing.import_file("promo_codes")


import_promo_codes()
