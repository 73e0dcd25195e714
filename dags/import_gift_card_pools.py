"""Import one file of gift card pools into `loyalty.gift_card_pool`, each with its technical product.

`pick_up_files` starts a run for each file dropped into `landing/gift_card_pools/`; *Trigger* starts one by hand, with
the settings of the form. Gift card files wait until the pools are in.

A pool never changes: the rule `pool_locked` names the fields that differ.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(schedule=None, **importing.dag_arguments("gift_card_pools", __doc__))
def import_gift_card_pools() -> None:
    """Import one file of gift card pools."""
    importing.import_file("gift_card_pools")


import_gift_card_pools()
