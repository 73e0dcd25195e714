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
)


def forks_tasks(argv: list[str], executor: str) -> bool:
    """Say whether the process of this command line forks task processes."""
    return argv[1:3] == ["celery", "worker"] or (argv[1:2] == ["scheduler"] and executor == "LocalExecutor")


if forks_tasks(sys.argv, os.environ.get("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")):
    from loyalty_airflow.airflow_internals import LOADED_FOR_TASKS  # light; Airflow has put `plugins` on the path

    for _module in LOADED + LOADED_FOR_TASKS:
        importlib.import_module(_module)
