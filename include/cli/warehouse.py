"""The commands about the warehouse: migrate, sync-project."""

from __future__ import annotations

import argparse

from include.cli.context import DONE, make_engine, make_runtime
from include.project.sync import sync_in_turn
from include.warehouse.migrations import migrate
from include.warehouse.roles import Role
from include.warehouse.transactions import values_hidden


def run_migrate(_: argparse.Namespace) -> int:
    """Bring the schema up to date."""
    with values_hidden():
        migrate(make_engine(Role.OWNER))
    print("The warehouse's schema is up to date.")
    return DONE


def run_sync_project(_: argparse.Namespace) -> int:
    """Apply the project settings to the reference tables."""
    runtime = make_runtime(Role.OWNER)
    counts = sync_in_turn(runtime.engine, runtime.project)
    for table, count in counts.items():
        if count.added or count.changed or count.removed:
            print(f"{table}: {count.added} added, {count.changed} changed, {count.removed} removed")
    print("The reference tables agree with include/config/project.yaml.")
    return DONE
