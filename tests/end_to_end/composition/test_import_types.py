"""Files of every import type and the top-up, on Celery workers and a bucket, beside a LocalExecutor and folders."""

from __future__ import annotations

import email
import email.policy
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from upath import UPath

from include.deployment.private_files import write_private
from include.import_types import IMPORT_TYPES
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.composition.reference import Reference, assert_same, assert_same_results, results
from tests.end_to_end.composition.stack import Composition
from tests.end_to_end.imports import LOCATIONS, STAGES, Imports, wait_for, watched
from tests.integration.top_ups import available, issue
from tools.stack.temporary import running_stack

pytestmark = pytest.mark.e2e

GENERATED = "welcome"
"""A pool of the samples that is launched, and filled without anyone's doing."""


def sample(import_type: str) -> tuple[str, bytes]:
    return f"{import_type}.sample.csv", IMPORT_TYPES[import_type].sample.read_bytes()


def drop_everything(imports: Imports) -> dict[str, dict[str, Any]]:
    """Drop the samples of all types at once, and one file that is refused; return the jobs by import type."""
    imports.drop("gift_cards", "table.xlsx", b"PK\x03\x04\n")
    for import_type in IMPORT_TYPES:
        imports.drop(import_type, *sample(import_type))
    jobs = {import_type: imports.wait_for_job(sample(import_type)[0], 180) for import_type in IMPORT_TYPES}
    imports.wait_for_job("table.xlsx")
    stocked(imports, 100)
    return jobs


@pytest.fixture(scope="module")
def jobs(imports: Imports, reference: Reference) -> dict[str, dict[str, Any]]:
    """Everything dropped, here and there."""
    jobs = drop_everything(imports)
    assert reference.load("gift_cards", "table.xlsx", b"PK\x03\x04\n") == "refused"
    for import_type in IMPORT_TYPES:
        assert reference.load(import_type, *sample(import_type)).startswith("completed"), import_type
    assert reference.top_up()[GENERATED] == 100
    return jobs


def folders_of(home: Path) -> dict[str, UPath]:
    """Return the four areas of a local stack."""
    return {name: UPath(str(home / name)) for name in LOCATIONS}


@pytest.fixture
def local_imports(composition: Composition) -> Iterator[Imports]:
    """A stack as `make start` makes it, with the keys of the composition."""
    home = Path(tempfile.mkdtemp(prefix="local-executor-"))
    write_private(home / "keys.json", json.dumps(asdict(composition.keys)))
    try:
        with running_stack(home=home) as stack, watched(stack, folders_of(home)) as imports:
            yield imports
    finally:
        shutil.rmtree(home, ignore_errors=True)


def stocked(imports: Imports, codes: int) -> None:
    """Wait until the pool has so many codes that can be issued."""
    with create_warehouse_engine(imports.stack.url_for(Role.OWNER)).connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        wait_for(lambda: available(connection, GENERATED) == codes or None, 60, f"{codes} codes in {GENERATED}")


def drained(engine: sa.Engine, codes: int) -> None:
    """Hand out codes of the pool."""
    with engine.begin() as connection:
        assert issue(connection, GENERATED, codes) == ["issued"] * codes


def test_every_task_was_done_by_a_worker(composition: Composition, imports: Imports, jobs: dict[str, Any]) -> None:
    for job in jobs.values():
        assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
        assert {task["executor"] or "CeleryExecutor" for task in imports.task_instances(job)} == {"CeleryExecutor"}
    for worker in composition.workers:
        assert "Executing workload in Celery" in worker.log.read_text(), worker.name


def test_tables_and_reports_are_those_of_a_local_executor(
    composition: Composition, imports: Imports, reference: Reference, jobs: dict[str, Any], local_imports: Imports
) -> None:
    """Source: X-07, X-09, X-10."""
    local_jobs = drop_everything(local_imports)
    for job in local_jobs.values():
        assert {task["executor"] or "LocalExecutor" for task in local_imports.task_instances(job)} == {"LocalExecutor"}
    imported = results(imports, composition.began_at)
    assert_same(imported, results(local_imports, composition.began_at))
    assert_same(imported, reference.results())
    assert {name for name, _ in imported[1]} == {
        sample(import_type)[0] for import_type, job in jobs.items() if job["rows_rejected"]
    }


def test_a_pool_that_runs_low_is_topped_up(
    composition: Composition, imports: Imports, reference: Reference, jobs: dict[str, Any]
) -> None:
    """Source: TU-01, TU-04."""
    stocked(imports, 100)
    engine = create_warehouse_engine(composition.url_for(Role.OWNER))
    drained(engine, 81)
    engine.dispose()
    drained(reference.site.warehouse.owner, 81)
    assert reference.top_up() == {GENERATED: 100}
    stocked(imports, 119)
    assert_same_results(imports, reference)


def test_rejected_rows_are_reported_by_mail(composition: Composition, jobs: dict[str, Any]) -> None:
    def subjects_of_mails() -> list[str] | None:
        mails = [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in composition.mail.glob("*.eml")
        ]
        subjects = [mail["Subject"] for mail in mails if sample("gift_cards")[0] in mail["Subject"]]
        return subjects or None

    assert len(wait_for(subjects_of_mails, 30, "the mail")) == 1
