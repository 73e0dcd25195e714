"""Upload one file of promo codes into `loyalty.promo_code`.

`pick_up_files` starts a run for each file dropped into `landing/promo_codes/`, where a column or the setting `pool`
names the pool, or into `landing/promo_codes/<pool ID>/`; *Trigger* starts one by hand, with the settings of the form.
Dropped files wait while promo code pool files are on their way, 30 minutes at most.

| job | run | meaning |
|---|---|---|
| `completed` | green | every code was inserted, got new dates (`on_existing`), or is there already (`unchanged`) |
| `completed_with_rejects`, some rejected | green | the others were loaded; the rejected-rows file says what is wrong |
| …, mostly rejected | red in `close_job` | over half of the rows were rejected, the rest was loaded |
| nothing loaded | red in `close_job` | no row could be loaded |
| empty | green | a header without rows |
| `duplicate` | green, middle skipped | the same content was imported before: nothing to do |
| dry run | green, `load_rows` skipped | the load was rolled back; the counts are in the run's note, nobody is alarmed |
| `awaiting_review` | running | a person is asked under *Required actions*: launch, choose other columns, or reject |
| `cancelled` | green, `load_rows` skipped | rejected in its review, or not answered in time; the file is archived |
| `refused` | red | the file as a whole can't be imported; `close_job` says why, the file lies in the quarantine |
| `failed` | red | an outage outlasted the retries, a person ended the run, or a defect: see the first red task |
| none | skipped | another run has the file in hand |

A person is asked when the settings say so, when columns seem to be exchanged, or when over half of at least 100 rows
would be rejected. Nothing is loaded before the answer.

**At 3 a.m.** A *refused* file and *rejected* rows are the sender's to mend: forward the reason or the rejected-rows
file. Repaired, the file is simply dropped again, into the folder of another pool if its rows belong there:
`file.pool_changed` then tells so. `file.unknown_pool`: import the pool, then drop the file again.
`file.generate_pool`: the pool is filled by generation, from its first code on for good.
After a *failed* run nothing is loaded unless `load_rows` is green. See that warehouse and storage answer, then
**clear** the first red task with everything downstream.
To run a refused file again with other settings, mend the folder's `_settings.yaml` and clear `take_file` with
everything downstream. Clearing is safe at every task: rows that are loaded stay as they are, only the reports are
written again.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import importing


@dag(doc_md=__doc__, schedule=None, **importing.dag_arguments("promo_codes"))
def import_promo_codes() -> None:
    """Import one file of promo codes."""
    importing.import_file("promo_codes")


import_promo_codes()
