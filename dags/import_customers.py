"""Add customers to `loyalty.customer`, or edit those that are there.

`pick_up_files` starts a run for each file dropped into `landing/customers/`; *Trigger* starts one by hand, with the
settings of the form: the action, the data source and its point of contact, a segment, what to take from the file's own
columns, what an invalid optional value costs. Files load one after the other, in the order in which they arrived: the
last one has the last word.

Rows that `edit_existing` finds no customer for are in a file of their own beside the rejected rows
(`<name>.not-found.<ext>`): dropped back with `action: add_and_edit`, it creates them. Values that
`on_invalid_optional: drop_value` left out are in `<name>.dropped-values.csv`. `file.unknown_data_source`,
`file.unknown_point_of_contact`: correct the name in the folder's `_settings.yaml` or in `project.yaml` (then
`sync-project`).
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(schedule=None, **importing.dag_arguments("customers", __doc__))
def import_customers() -> None:
    """Import one file of customers."""
    importing.import_file("customers")


import_customers()
