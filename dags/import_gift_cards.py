"""
### Import gift cards

Loads **one file** of gift cards into `loyalty.gift_card`. `pick_up_files` starts a run for each file dropped into
`landing/gift_cards/`; *Trigger* starts one by hand, with the settings of the form.
A file waits there while gift card pool files are on their way, 30 minutes at most.

| state of the job | run | meaning |
|---|---|---|
| `completed` | green | every row was inserted, or is there already (`unchanged`) |
| `completed_with_rejects` | green | the rest was loaded; the rejected-rows file says what is wrong with each row left out |
| `duplicate` | green, middle skipped | the same content was imported before: nothing to do |
| `refused` | red | the file as a whole can't be imported; the reason stands in the log of `close_job`, the file in quarantine |
| `failed` | red | an outage outlasted the retries, or a defect: see the first red task |

**At 3 a.m.** A *refused* file or *rejected* rows are the sender's to mend: forward the rejected-rows file or the reason.
Repaired, the file is simply dropped again. A *failed* run has loaded nothing, unless `load_rows` is green.
Check that the warehouse and the storage answer, then **clear** the first red task with everything downstream.
Clearing is safe at every task: rows that are loaded stay as they are, and only reports are written again.
A run that is *skipped* found its file in the hands of another run.
"""

import import_tasks
from airflow.sdk import dag


@dag(doc_md=__doc__, **import_tasks.dag_arguments("gift_cards"))
def import_gift_cards() -> None:
    """Import one file of gift cards."""
    import_tasks.import_file("gift_cards")


import_gift_cards()
