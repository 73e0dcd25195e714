"""
### Import gift card pools

Loads **one file** of gift card pools into `loyalty.gift_card_pool`, each with its technical product.
`pick_up_files` starts a run for each file dropped into `landing/gift_card_pools/`; *Trigger* starts one by hand, with
the settings of the form. Gift card files wait until the pools are in.

| state of the job | run | meaning |
|---|---|---|
| `completed` | green | every pool was inserted, or is there already with the same parameters (`unchanged`) |
| `completed_with_rejects` | green | the rest was loaded; the rejected-rows file says what is wrong with each row left out |
| `duplicate` | green, middle skipped | the same content was imported before: nothing to do |
| `refused` | red | the file as a whole can't be imported; the reason stands in the log of `close_job`, the file in quarantine |
| `failed` | red | an outage outlasted the retries, or a defect: see the first red task |

**At 3 a.m.** A *refused* file or *rejected* rows are the sender's to mend: forward the rejected-rows file or the reason.
Repaired, the file is simply dropped again. A pool that exists never changes: `pool_locked` names the fields that differ.
A *failed* run has loaded nothing, unless `load_rows` is green.
Check that the warehouse and the storage answer, then **clear** the first red task with everything downstream.
Clearing is safe at every task: rows that are loaded stay as they are, and only reports are written again.
A run that is *skipped* found its file in the hands of another run.
"""

import import_tasks
from airflow.sdk import dag


@dag(doc_md=__doc__, **import_tasks.dag_arguments("gift_card_pools"))
def import_gift_card_pools() -> None:
    """Import one file of gift card pools."""
    import_tasks.import_file("gift_card_pools")


import_gift_card_pools()
