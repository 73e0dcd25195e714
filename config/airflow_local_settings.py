"""Import heavy libraries once, in the process that task processes are forked from.

Airflow imports this module at the start of each of its processes. Loading Great Expectations takes seconds and
140-190 MiB, so only two pay for it: the scheduler under LocalExecutor, and a Celery worker's main process. What every
task would load besides, 0.2 s of it, is loaded there too. So tasks run the code that was there when that process
started: new code in `include/` needs a restart.
"""

import importlib
import os
import sys

LOADED = (
    "great_expectations",
    "pyarrow.csv",
    "include.importer",  # the stages of an import
    "include.promo_codes.generation",
    "include.promo_codes.top_up",
    "include.warehouse.cvv",
    "jinja2.ext",
    # Airflow's own part of a task's start (3.3.2): the process around it, the task decorators, the kinds of assets.
    # The names of private modules are here, because Airflow starts without `plugins` as well.
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.definitions.decorators",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.hitl",
    "airflow.providers.amazon.aws.assets.s3",
)


def forks_tasks(argv: list[str], executor: str) -> bool:
    """Say whether the process of this command line forks task processes."""
    return argv[1:3] == ["celery", "worker"] or (argv[1:2] == ["scheduler"] and executor == "LocalExecutor")


if forks_tasks(sys.argv, os.environ.get("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")):
    for _module in LOADED:
        importlib.import_module(_module)
