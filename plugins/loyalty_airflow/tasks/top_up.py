"""Topping up the pools of promo codes that run low, and sending the subscribers a mail. Source: TU-01 to TU-05."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from loyalty_airflow import metrics, time_limits
from loyalty_airflow.notifications import StockNotifier
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.stage import stage_task

log = logging.getLogger(__name__)

POOL_TASK = "top_up_pool"
LABEL_LENGTH = 200
"""Airflow stores 250 characters."""


@stage_task()
def review_pools() -> list[dict[str, str]]:
    """Find the pools that need codes, an alert or a mail; one task is made for each."""
    from include.promo_codes import top_up

    with open_runtime() as runtime:
        needs = top_up.review_pools(runtime.engine, datetime.now(UTC))
    for need in needs:
        log.info("%s: %s", need.pool, need.reason)
    return [
        {"pool": need.pool, "label": f"{need.name} ({need.pool})"[:LABEL_LENGTH], "reason": need.reason}
        for need in needs
    ]


@stage_task(
    task_id=POOL_TASK,
    map_index_template="{{ task.op_kwargs['label'] }}",
    execution_timeout=time_limits.GENERATE,
)
def top_up_pool(pool: str, label: str, reason: str) -> dict[str, Any]:
    """Add what the pool lacks, once, then send its alerts; fail when codes are lacking and can't be generated."""
    from include.promo_codes import alerts, top_up

    context = get_current_context()
    ti = context["ti"]
    with open_runtime() as runtime:
        done = top_up.top_up_pool(runtime, pool, dag_id=ti.dag_id, dag_run_id=ti.run_id)
        metrics.count_top_up(ti.dag_id, done)
        if done.added:
            log.info("%s: %s codes added: %s", label, f"{done.added:,}", done.reason)
        unsent = alerts.send_alerts(
            runtime.engine, pool, lambda alert: StockNotifier(alert).send(context), runtime.clock
        )
    if unsent:
        log.warning("%s: %s alerts are not sent; the next run tries again", label, unsent)
    if done.refusal:
        raise AirflowFailException(f"{label} can't be topped up ({done.refusal[0]}): {done.refusal[1]}")
    return done.to_json()


def top_up_pools() -> None:
    """Arrange the tasks: a review, then one task for each pool, named for it."""
    top_up_pool.expand_kwargs(review_pools())
