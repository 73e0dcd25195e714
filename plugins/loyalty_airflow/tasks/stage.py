"""What every task has in common: its errors quote no values, its time and memory are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from airflow.sdk import task

from loyalty_airflow import metrics
from loyalty_airflow.withheld_errors import withhold_values

P = ParamSpec("P")
T = TypeVar("T")


def task_body(body: Callable[P, T]) -> Callable[P, T]:
    """Make a function, or an operator's method, the body of a task (X-20)."""
    return withhold_values(metrics.timed(body))


def stage_task(**arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a task, as `@task` does with the same arguments; nobody can forget what all tasks need."""

    def decorate(body: Callable[..., Any]) -> Any:
        return task(**arguments)(task_body(body))

    return decorate
