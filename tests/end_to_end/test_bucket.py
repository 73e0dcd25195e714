"""Landing, work, reports and archive in a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import s3fs
from upath import UPath

from tests.end_to_end.imports import (
    CARD_HEADER,
    LOCATIONS,
    STAGES,
    Imports,
    card_numbers,
    cards,
    pools,
    watched,
)
from tests.object_storage import s3_server
from tools.stack.temporary import running_stack

pytestmark = pytest.mark.e2e

BROKEN = f"""\
{CARD_HEADER}
6000000200000001,bucketful,,10
6000000200000002,no_such_pool,,10
6000000200000003,bucketful,,10
""".encode()


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, Any]]:
    """What s3fs needs to reach an S3 server on this machine; `imports` is its one bucket."""
    with s3_server() as options:
        s3fs.S3FileSystem(**options).mkdir("imports")
        yield options


@pytest.fixture(scope="module")
def imports(storage: dict[str, Any]) -> Iterator[Imports]:
    connection = {
        "conn_type": "aws",
        "login": storage["key"],
        "password": storage["secret"],
        "extra": {"endpoint_url": storage["endpoint_url"], "region_name": "eu-west-1"},
    }
    environment = {f"AIRFLOW_VAR_{name.upper()}_URL": f"s3://imports/{name}" for name in LOCATIONS}
    with running_stack(
        extra_environment=environment | {"AIRFLOW_CONN_LANDING_STORAGE": json.dumps(connection)}
    ) as stack:
        folders = {name: UPath(f"s3://imports/{name}", **storage) for name in LOCATIONS}
        folders["landing"].fs.touch("imports/landing/gift_cards/")  # how many tools show an empty folder
        with watched(stack, folders) as imports:
            yield imports


@pytest.fixture(scope="module")
def jobs(imports: Imports) -> Mapping[str, dict[str, Any]]:
    """Files dropped together: pools and their cards, two files side by side, rejects, refusals."""
    imports.drop("gift_card_pools", "pools.csv", pools("bucketful"))
    imports.drop("gift_cards", "broken.csv", BROKEN)
    imports.drop("gift_cards", "left.csv", cards(10, 60, "bucketful"))
    imports.drop("gift_cards", "right.csv", cards(11, 60, "bucketful"))
    imports.drop("gift_cards", "table.xlsx", b"PK\x03\x04\n")
    imports.drop("gift_card", "typo.csv", cards(12, 1, "bucketful"))
    names = ("pools.csv", "broken.csv", "left.csv", "right.csv", "table.xlsx", "typo.csv")
    return {name: imports.wait_for_job(name, 150) for name in names}


def test_every_file_is_imported_once_and_leaves_landing(imports: Imports, jobs: Mapping[str, dict[str, Any]]) -> None:
    assert {name: (job["state"], imports.rows(job)) for name, job in jobs.items()} == {
        "pools.csv": ("completed", {"read": 1, "inserted": 1}),
        "broken.csv": ("completed_with_rejects", {"read": 3, "inserted": 2, "rejected": 1}),
        "left.csv": ("completed", {"read": 60, "inserted": 60}),
        "right.csv": ("completed", {"read": 60, "inserted": 60}),
        "table.xlsx": ("refused", {}),
        "typo.csv": ("refused", {}),
    }
    for series in (10, 11):
        assert imports.loaded(*card_numbers(series, 60)) == card_numbers(series, 60)
    assert objects(imports.landing) == {"gift_cards/"}, "the empty object that shows a folder is no file"
    assert objects(imports.work) == set()


def objects(folder: UPath) -> set[str]:
    """Return the keys below a folder of the bucket."""
    return {name.removeprefix(f"{folder.path}/") for name in folder.fs.find(folder.path)}


def test_archive_quarantine_and_reports_are_in_the_bucket(imports: Imports, jobs: Mapping[str, dict[str, Any]]) -> None:
    numbers = {name: job["id"] for name, job in jobs.items()}
    assert objects(imports.archive) == {
        f"imported/gift_card_pools/{numbers['pools.csv']}/pools.csv",
        f"imported/gift_cards/{numbers['broken.csv']}/broken.csv",
        f"imported/gift_cards/{numbers['left.csv']}/left.csv",
        f"imported/gift_cards/{numbers['right.csv']}/right.csv",
        f"quarantine/gift_cards/{numbers['table.xlsx']}/table.xlsx",
        f"quarantine/unknown/{numbers['typo.csv']}/typo.csv",
    }
    assert imports.read(jobs["left.csv"]["archive_url"]) == cards(10, 60, "bucketful")
    assert jobs["left.csv"]["launched_by"] == "file drop s3://imports/landing/gift_cards/left.csv"
    assert jobs["left.csv"]["summary_file_url"] == f"s3://imports/reports/gift_cards/{numbers['left.csv']}/summary.json"
    assert json.loads(imports.read(jobs["left.csv"]["summary_file_url"]))["rows"]["inserted"] == 60


def test_a_refused_file_is_red(imports: Imports, jobs: Mapping[str, dict[str, Any]]) -> None:
    job = jobs["table.xlsx"]
    assert job["refusal_rule"] == "file.extension"
    assert imports.run(job)["state"] == "failed"
    assert imports.tasks(job)["close_job"] == "failed"


def test_corrected_rows_are_dropped_back_and_close_the_rejects(
    imports: Imports, jobs: Mapping[str, dict[str, Any]]
) -> None:
    """Source: X-09."""
    rejected = imports.read(jobs["broken.csv"]["rejected_file_url"])
    assert rejected.endswith(b"," + BROKEN.splitlines(keepends=True)[2])
    imports.drop("gift_cards", "broken.rejected.csv", rejected.replace(b",no_such_pool,", b",bucketful,"))
    again = imports.wait_for_job("broken.rejected.csv")
    assert (again["state"], imports.rows(again)) == ("completed", {"read": 1, "inserted": 1})
    assert imports.loaded(*card_numbers(2, 3)) == card_numbers(2, 3)
    fixed = imports.query(
        "SELECT line, fixed_by_job_id FROM ledger.reject WHERE job_id = :job", job=jobs["broken.csv"]["id"]
    )
    assert fixed == [{"line": 3, "fixed_by_job_id": again["id"]}]


def test_clearing_the_whole_run_changes_nothing(imports: Imports, jobs: Mapping[str, dict[str, Any]]) -> None:
    """Source: X-14."""
    job = jobs["left.csv"]
    before = imports.job(job["id"]), {path.path: path.read_bytes() for path in imports.reports.rglob("*.*")}
    assert len(before[1]) > 4
    imports.clear(job, "take_file")
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    assert (imports.job(job["id"]), {path.path: path.read_bytes() for path in imports.reports.rglob("*.*")}) == before
    assert imports.loaded(*card_numbers(10, 60)) == card_numbers(10, 60)
    assert objects(imports.work) == set()


def test_the_same_object_dropped_again_is_a_duplicate(imports: Imports, jobs: Mapping[str, dict[str, Any]]) -> None:
    """Source: X-13."""
    imports.drop("gift_cards", "left.csv", cards(10, 60, "bucketful"))
    again = imports.wait_for_job("left.csv", number=2)
    assert (again["state"], again["duplicate_of"]) == ("duplicate", jobs["left.csv"]["id"])


def test_two_runs_that_want_the_same_object_import_it_once(
    imports: Imports, jobs: Mapping[str, dict[str, Any]]
) -> None:
    """A rename is no claim in a bucket: it is copy and delete, and every racer "wins". Source: X-14."""
    imports.drop("gift_cards", "wanted.csv", cards(13, 60, "bucketful"), {"release": "0 0 1 1 *"})
    url = f"{imports.landing}/gift_cards/wanted.csv"
    runs = [imports.start("gift_cards", file=url) for _ in range(2)]
    for run in runs:
        assert imports.wait_for_run("import_gift_cards", run)["state"] == "success"
    (job,) = imports.jobs("wanted.csv")
    assert (job["state"], imports.rows(job)) == ("completed", {"read": 60, "inserted": 60})
    (other,) = set(runs) - {job["dag_run_id"]}
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    assert imports.tasks(job | {"dag_run_id": other}) == dict.fromkeys(STAGES, "skipped")
    assert imports.loaded(*card_numbers(13, 60)) == card_numbers(13, 60)
    assert objects(imports.landing) == {"gift_cards/"}
