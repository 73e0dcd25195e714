"""Add customers to `loyalty.customer`, or edit those that are there.

`pick_up_files` starts a run for each file dropped into `landing/customers/`; *Trigger* starts one by hand, with the
settings of the form: the action, the data source and its point of contact, a segment, what to take from the file's own
columns, what an invalid optional value costs. Files load one after the other, in the order in which they arrived: the
last one has the last word.

| job | run | meaning |
|---|---|---|
| `completed` | green | every row created or changed a customer, changed nothing, or found nobody (`not_found`) |
| `completed_with_rejects`, some rejected | green | the others were loaded; the rejected-rows file says what is wrong |
| …, mostly rejected | red in `close_job` | over half of the rows were rejected, the rest was loaded |
| nothing loaded | red in `close_job` | no row could be loaded |
| empty | green | a header without rows |
| `duplicate` | green, middle skipped | the same content came before, through the same data source: nothing to do |
| dry run | green, `load_rows` skipped | the load was rolled back; the counts are in the run's note, nobody is alarmed |
| `awaiting_review` | running | a person is asked under *Required actions*: launch, choose other columns, or reject |
| `cancelled` | green, `load_rows` skipped | rejected in its review, or not answered in time; the file is archived |
| `refused` | red | the file as a whole can't be imported; `close_job` says why, the file lies in the quarantine |
| `failed` | red | an outage outlasted the retries, a person ended the run, or a defect: see the first red task |
| none | skipped | another run has the file in hand |

Rows that `edit_existing` finds nobody for stand in a file of their own beside the rejected rows
(`<name>.not-found.<ext>`): dropped back with `action: add_and_edit`, it creates them. Values that
`on_invalid_optional: drop_value` left out stand in `<name>.dropped-values.csv`.

A person is asked when the settings say so, when columns seem to be exchanged, or when over half of at least 100 rows
would be rejected. Nothing is loaded before the answer.

**At 3 a.m.** A *refused* file and *rejected* rows are the sender's to mend: forward the reason or the rejected-rows
file. Repaired, the file is simply dropped again. `file.unknown_data_source`, `file.unknown_point_of_contact`: mend the
name in the folder's `_settings.yaml` or in `project.yaml` (then `sync-project`).
After a *failed* run nothing is loaded unless `load_rows` is green. See that warehouse and storage answer, then
**clear** the first red task with everything downstream.
To run a refused file again with other settings, mend the folder's `_settings.yaml` and clear `take_file` with
everything downstream. Clearing is safe at every task: rows that are loaded stay as they are, only the reports are
written again.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(doc_md=__doc__, schedule=None, **importing.dag_arguments("customers"))
def import_customers() -> None:
    """Import one file of customers."""
    importing.import_file("customers")


import_customers()
