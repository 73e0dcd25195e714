"""No card number and no CVV anywhere in Airflow: logs, XCom, rendered fields, parameters, notes. Source: X-20."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from include.warehouse.roles import Role
from tests.end_to_end.imports import CARD_HEADER, POOL_HEADER, SETTLES_SOON, Imports, card_numbers
from tests.end_to_end.leaks import (
    AIRFLOW_TABLES,
    COMPONENT_LOGS,
    log_files,
    places_of,
    shown_by_the_api,
    tables,
    task_log,
)

pytestmark = pytest.mark.e2e

NUMBERS = card_numbers(999, 12)
CVVS = [f"c4n4ry-cvv-{letter}" for letter in "abcdefghijkl"]
GUARDED_POOL = f"{POOL_HEADER}\nguarded,guarded,true,true,product-guarded,website,Acme,true,,NoExpiration,\n".encode()
FULL_HEADER = f"{CARD_HEADER},status"
MAY_BE_SECRET = re.compile(r"(?=(60\d{14}|c4n4ry-cvv-[a-l]))")
"""Any card number or CVV of these tests, also within other text."""


def file_of(*rows: str, header: str = FULL_HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode(errors="surrogateescape")


def row(number: int, pool: str = "guarded", balance: str = "7", status: str = "") -> str:
    return f"{NUMBERS[number]},{pool},{CVVS[number]},{balance},{status}"


FILES = {
    "secret_valid.csv": file_of(row(0), row(1)),
    "secret_rejects.csv": file_of(
        row(2, pool="nowhere"),
        row(3, balance="much"),
        row(4, status=NUMBERS[4]),
        f"{row(5)},{NUMBERS[5]},{CVVS[5]}",
        row(0, balance="8"),
        row(6),
        row(6, balance="9"),
        f"{NUMBERS[7]},{CVVS[7]},{CVVS[7]},{CVVS[7]},{CVVS[7]}",
    ),
    "secret_headerless.csv": file_of(row(8), header=row(9)),
    "secret_undecodable.csv": file_of(row(8), f"{NUMBERS[9]}\udcff,{CVVS[9]}"),
    "secret_unclosed.csv": file_of(row(8), f'"{row(9)}'),
    "secret_review.csv": file_of(
        row(2, balance="5"),
        row(5, pool="nowhere"),
        row(4, status=NUMBERS[4]),
        f"{CVVS[7]},{NUMBERS[7]},{NUMBERS[7]},{NUMBERS[7]},{CVVS[7]}",
        row(3, balance=NUMBERS[3]),
        row(3, balance="9"),
    ),
    "secret_review_headerless.csv": file_of(row(8), header=row(9)),
    "secret_violation.csv": file_of(row(10), row(11)),
}
REVIEWED = {"secret_review.csv": "Launch", "secret_review_headerless.csv": "Reject"}
STATES = {
    "secret_valid.csv": ("completed", None),
    "secret_rejects.csv": ("completed_with_rejects", None),
    "secret_headerless.csv": ("refused", "file.missing_header"),
    "secret_undecodable.csv": ("refused", "file.encoding"),
    "secret_unclosed.csv": ("refused", "file.unclosed_quote"),
    "secret_review.csv": ("completed_with_rejects", None),
    "secret_review_headerless.csv": ("cancelled", "review.rejected"),
    "secret_violation.csv": ("failed", "job.failed"),
}


@pytest.fixture(scope="module")
def jobs(imports: Imports) -> Mapping[str, dict[str, Any]]:
    """The jobs of files that are full of secrets; the last of them breaks a constraint of the database."""
    imports.drop("gift_card_pools", "guarded.csv", GUARDED_POOL, SETTLES_SOON)
    imports.wait_for_job("guarded.csv")
    imports.query(f"ALTER TABLE loyalty.gift_card ADD CONSTRAINT canary CHECK (card_number <> '{NUMBERS[11]}')")
    imports.drop("gift_cards", "secret_valid.csv", FILES["secret_valid.csv"], SETTLES_SOON)
    imports.wait_for_job("secret_valid.csv")
    for name in list(FILES)[1:]:
        imports.drop("gift_cards", name, FILES[name], SETTLES_SOON | {"review": name in REVIEWED})
    for name, option in REVIEWED.items():
        imports.wait_for_question(name)
        imports.answer(name, option)
    return {name: imports.wait_for_job(name) for name in FILES}


def test_each_file_ends_as_it_should(jobs: Mapping[str, dict[str, Any]]) -> None:
    assert {name: (job["state"], job["refusal_rule"]) for name, job in jobs.items()} == STATES
    assert jobs["secret_rejects.csv"]["rows_rejected"] == 7


def test_a_broken_constraint_is_named_and_its_values_are_not(
    imports: Imports, jobs: Mapping[str, dict[str, Any]]
) -> None:
    job = jobs["secret_violation.csv"]
    assert imports.tasks(job)["load_rows"] == "failed"
    assert imports.run(job)["state"] == "failed"
    assert imports.loaded(NUMBERS[10], NUMBERS[11]) == []
    (load_rows,) = (task for task in imports.task_instances(job) if task["task_id"] == "load_rows")
    log = task_log(imports, job, load_rows)
    assert "loyalty.gift_card refuses (canary); nothing was loaded" in log


@pytest.fixture
def secrets(imports: Imports) -> set[str]:
    """Every card number that any test has dropped, and every CVV."""
    assert set(NUMBERS) <= imports.dropped_numbers
    every = imports.dropped_numbers | set(CVVS)
    assert set(MAY_BE_SECRET.findall(" ".join(every))) == every
    return every


def secrets_in(texts: Iterator[tuple[str, str]], secrets: set[str]) -> tuple[list[str], list[str]]:
    """Return where was looked and where secrets were found."""
    return places_of(texts, lambda text: not secrets.isdisjoint(MAY_BE_SECRET.findall(text)))


def test_airflow_shows_no_secret(imports: Imports, jobs: Mapping[str, dict[str, Any]], secrets: set[str]) -> None:
    for name, job in jobs.items():
        conf = imports.run(job)["conf"]
        assert (conf.keys(), conf["file"]) == (
            {"file", "listed_version"}, str(imports.landing / "gift_cards" / name),
        )  # fmt: skip
    looked, leaks = secrets_in(shown_by_the_api(imports, jobs), secrets)
    assert leaks == []
    assert "secret_rejects.csv: XCom close_job.result" in looked
    assert "secret_violation.csv: log of load_rows" in looked


def test_airflows_database_holds_no_secret(
    imports: Imports, jobs: Mapping[str, dict[str, Any]], secrets: set[str]
) -> None:
    looked, leaks = secrets_in(tables(imports.stack.url_for(Role.AIRFLOW), "public"), secrets)
    assert leaks == []
    assert set(looked) >= AIRFLOW_TABLES


def test_no_log_file_holds_a_secret(imports: Imports, jobs: Mapping[str, dict[str, Any]], secrets: set[str]) -> None:
    home = imports.stack.settings.home
    looked, leaks = secrets_in(log_files(home), secrets)
    assert leaks == []
    assert COMPONENT_LOGS | {"postgres/data/server.log"} <= set(looked)
    for job in jobs.values():
        folder = f"airflow/logs/dag_id={job['dag_id']}/run_id={job['dag_run_id']}/"
        assert sum(place.startswith(folder) for place in looked) >= 4


def test_the_ledger_and_the_summaries_hold_no_secret(
    imports: Imports, jobs: Mapping[str, dict[str, Any]], secrets: set[str]
) -> None:
    """Only the sentences about a reject may quote what the sender wrote in another column; they go with its file."""
    looked, leaks = secrets_in(tables(imports.stack.url_for(Role.OWNER), "ledger"), secrets)
    assert set(leaks) <= {"ledger.reject"}
    assert {"ledger.import_job", "ledger.import_chunk", "ledger.job_rule"} < set(looked)
    own = {NUMBERS[number] for number in (0, 2, 3, 6)} | set(CVVS[:7])
    assert secrets_in(tables(imports.stack.url_for(Role.OWNER), "ledger"), own)[1] == []
    reports = [*imports.reports.rglob("summary.json"), *imports.reports.rglob("validation.json")]
    assert secrets_in(((str(path), path.read_text()) for path in reports), secrets)[1] == []
    assert len(reports) >= 2 * len(jobs) - 3


def test_a_failed_run_goes_on_when_the_database_is_repaired(
    imports: Imports, jobs: Mapping[str, dict[str, Any]]
) -> None:
    """Source: X-14."""
    job = jobs["secret_violation.csv"]
    imports.query("ALTER TABLE loyalty.gift_card DROP CONSTRAINT canary")
    imports.clear(job, "load_rows")
    assert imports.job(job["id"])["state"] == "completed"
    assert imports.run(job)["state"] == "success"
    assert imports.loaded(NUMBERS[10], NUMBERS[11]) == [NUMBERS[10], NUMBERS[11]]
