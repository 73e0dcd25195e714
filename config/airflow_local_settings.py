"""Import heavy libraries once, in the process that task processes are forked from.

Airflow imports this module at the start of each of its processes. Loading Great Expectations takes seconds and
140-190 MiB, so only two pay for it: the scheduler under LocalExecutor, and a Celery worker's main process.
"""

import os
import sys


def forks_tasks(argv: list[str], executor: str) -> bool:
    """Tell whether the process of this command line forks task processes."""
    return argv[1:3] == ["celery", "worker"] or (argv[1:2] == ["scheduler"] and executor == "LocalExecutor")


if forks_tasks(sys.argv, os.environ.get("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")):
    import great_expectations  # noqa: F401
    import pyarrow.csv  # noqa: F401
