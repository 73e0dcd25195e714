"""What the databases need before Airflow starts; the same for the local stack and for containers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from include.deployment.errors import StackError
from include.errors import ConfigurationError
from include.project.loader import load_project
from include.project.sync import sync_in_turn
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate


def prepare_databases(owner_url: str, environment: Mapping[str, str], log: Path) -> None:
    """Bring both databases to the current schema, and the project settings into the warehouse.

    Side by side, because both spend their time loading libraries.

    Args:
        owner_url: the owner's address of the database that is imported into.
        environment: of the process that migrates Airflow's own database.
        log: receives that process's output.

    Raises:
        StackError: a migration failed, or the project settings are wrong.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        airflow = pool.submit(_migrate_airflow, environment, log)
        _prepare_warehouse(owner_url)
        airflow.result()


def _migrate_airflow(environment: Mapping[str, str], log: Path) -> None:
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    with log.open("w") as output:
        completed = subprocess.run(
            command, check=False, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    if completed.returncode != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise StackError(f"Airflow's database could not be brought up to date. The end of {log}:\n{end}")


def _prepare_warehouse(url: str) -> None:
    engine = create_warehouse_engine(url)
    try:
        migrate(engine)
        sync_in_turn(engine, load_project())
    except ConfigurationError as error:
        raise StackError(f"The warehouse can't be prepared:\n{error}") from None
    finally:
        engine.dispose()
