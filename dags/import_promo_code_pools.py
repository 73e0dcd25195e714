"""Add and edit the promo code pools of one file in `loyalty.promo_code_pool`, and launch those that say `launch`.

`pick_up_files` starts a run for each file dropped into `landing/promo_code_pools/`, one after the other in the order of
their arrival; *Trigger* starts one by hand, with the settings of the form. Promo code files wait until the pools are
in.

A blank cell keeps what the pool has, `%CLEAR%` erases it. What a launch or the first code has frozen
(`multi_use.frozen`, `fill_method.frozen`) needs a new pool.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(schedule=None, **importing.dag_arguments("promo_code_pools", __doc__))
def import_promo_code_pools() -> None:
    """Import one file of promo code pools."""
    importing.import_file("promo_code_pools")


import_promo_code_pools()
