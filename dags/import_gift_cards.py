"""Import one file of gift cards into `loyalty.gift_card`.

`pick_up_files` starts a run for each file dropped into `landing/gift_cards/`; *Trigger* starts one by hand, with the
settings of the form. Dropped files wait while gift card pool files are on their way, 30 minutes at most.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(schedule=None, **importing.dag_arguments("gift_cards", __doc__))
def import_gift_cards() -> None:
    """Import one file of gift cards."""
    importing.import_file("gift_cards")


import_gift_cards()
