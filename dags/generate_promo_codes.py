"""Generate promo codes into a pool.

*Trigger* asks for the pool, the format, the quantity and whether the pool generates more by itself when it runs out.
The codes and these settings of the pool are written together. Pools that are on *auto-generate* are topped up by
`top_up_promo_pools`; this form is for the first batch, or one more.

| generation | run | meaning |
|---|---|---|
| `completed` | green | the quantity was added; `generated` is higher when codes of it were there already |
| `refused` | red | nothing was written; `generate` says why |
| `failed` | red | an outage outlasted the retries, the worker died, or there is no key: nothing was written |

**At 3 a.m.** Clearing `generate` is safe: what has been added is not added again.
*Refused* is the answer to the person who asked. `not_enough_codes` names what the format has left:
`python -m include.cli formats` shows it for all of them, the project settings take a new, larger one.
`over_limit`: more than `max_generation` of the project settings at once; take fewer, and generate again.
`wrong_key`: the Connection `code_key` is not the one that made the format's codes. Bring the old key back; if it is
lost, or was changed on purpose, run `python -m include.cli rotate-code-key FORMAT` and clear `generate`.
*Failed*: see that the warehouse answers, or define the Connection `code_key`, and clear `generate`.
"""

from airflow.sdk import dag

from loyalty_airflow.tasks import generation, importing


@dag(
    doc_md=__doc__,
    dag_display_name="Generate promo codes",
    schedule=None,
    catchup=False,
    max_active_runs=importing.PARALLEL_FILES,
    default_args=importing.default_args(),
    params=generation.form(),
    tags=["promo_codes"],
)
def generate_promo_codes() -> None:
    """Generate promo codes into a pool."""
    generation.generate_codes()


generate_promo_codes()
