"""The tasks that generate promo codes: a row of the history, then the codes. Source: PG-01 to PG-04.

A generation is keyed by its run: clearing a task, or a worker dying, never adds the quantity twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, Param, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from loyalty_airflow import metrics, time_limits
from loyalty_airflow.notifications import RESULT_KEY
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.stage import stage_task

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

GENERATING_TASK = "generate"
CODES = Asset("warehouse://loyalty/promo_code")


def form() -> dict[str, Param]:
    """Return the trigger form: what to generate. It is saved as the pool's settings with the codes (PG-01)."""
    return {
        "pool": Param(
            type="string",
            minLength=1,
            title="Pool",
            description="System id of the promo code pool.",
        ),
        "format": Param(
            None,
            type=["null", "string"],
            title="Format",
            description="Name of a promo code format of the project settings. Left empty: the pool's own.",
        ),
        "quantity": Param(
            type="integer",
            minimum=1,
            maximum=2**63 - 1,
            title="Quantity",
            description="Codes to add now, and in each top-up. At most what the format has available for generation: "
            "`python -m include.cli formats`.",
        ),
        "auto_generate": Param(
            None,
            type=["null", "boolean"],
            enum=[None, True, False],
            values_display={"true": "on", "false": "off"},
            title="Generate more when the pool runs out",
            description="Left empty: as the pool has it.",
        ),
    }


def generate_codes() -> None:
    """Arrange the tasks."""
    generation_id: Any = open_generation()  # at parse, a placeholder of the task's result
    generate(generation_id)


@stage_task()
def open_generation() -> int:
    """Write the generation into the pool's history, awaiting execution."""
    from include.promo_codes import generation
    from include.promo_codes.ledger import GenerationRequest

    context = get_current_context()
    params = context["params"]
    request = GenerationRequest(
        pool=params["pool"],
        quantity=params["quantity"],
        run_key=f"{context['ti'].dag_id}/{context['ti'].run_id}",
        launched_by=launched_by(context),
        reason="form",
        format=params["format"] or None,  # an emptied field of the form
        auto_generate=params["auto_generate"],
        dag_id=context["ti"].dag_id,
        dag_run_id=context["ti"].run_id,
    )
    with open_runtime() as runtime:
        number = generation.open_generation(runtime, request)
    log.info("This is generation %s", number)
    return number


@stage_task(outlets=[CODES], execution_timeout=time_limits.GENERATE)
def generate(generation_id: int) -> dict[str, int | None]:
    """Add the codes and save the pool's settings in one transaction; fail when it is refused, with the reason."""
    from include.promo_codes import generation

    context = get_current_context()
    with open_runtime() as runtime:
        result = generation.run_generation(runtime, generation_id).to_json()
    context["ti"].xcom_push(key=RESULT_KEY, value=result)
    if result["refusal"]:
        raise AirflowFailException(f"Refused ({result['refusal']['rule']}): {result['refusal']['message']}")
    metrics.count_codes(context["ti"].dag_id, result["added"])
    counts = {name: result[name] for name in ("requested", "generated", "added")}
    context["outlet_events"][CODES].extra = {"generation": generation_id, "pool": result["pool"], **counts}
    return counts


def launched_by(context: Context) -> str:
    """Return the user who started the run, else how it was started."""
    run = context["dag_run"]
    return str(run.triggering_user_name or run.run_type)
