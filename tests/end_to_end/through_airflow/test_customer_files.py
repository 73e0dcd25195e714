"""Files of customers in a running Airflow: dropped, by form, dropped back; nothing of a person leaks."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import pytest

from include.warehouse.roles import Role
from tests.end_to_end.imports import SETTLES_SOON, STAGES, Imports, exports
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

Jobs = dict[str, dict[str, Any]]

HEADER = (
    "ExternalIdentityWebsite,Email,MobilePhone,LastName,FirstName,FullName,BirthDate,DiscountCard,IsSubscribedByEmail,"
    "FavoriteColor,LastUpdateActionTemplate,LastUpdateDateTime"
)
CANARIES = ("c4n4ry", "2122077", "212-207-7", "212) 207-7", "kanarienvogel", "1911-11-", ".11.1911", "kanariengelb")
"""E-mails, phones, names, birth dates, cards and custom fields of these tests hold one of these, in any letter case."""


def row(number: int, **cells: str) -> str:
    """Return a customer's row, every value of which is personal."""
    values = {
        "ExternalIdentityWebsite": f"c4n4ry-id-{number:02d}",
        "Email": f"C4n4ry.{number:02d}@Mail.com",
        "MobilePhone": f"(212) 207-70{number:02d}",
        "LastName": "Kanarienvogel",
        "FirstName": f"Kanarienvogel {number}",
        "BirthDate": f"{number:02d}.11.1911",
        "DiscountCard": f"c4n4ry-card-{number:02d}",
        "IsSubscribedByEmail": "yes",
        "FavoriteColor": "kanariengelb",
        **cells,
    }
    assert set(values) <= set(HEADER.split(","))
    return ",".join(values.get(name, "") for name in HEADER.split(","))


def file_of(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode(errors="surrogateescape")


def has_canary(text: str) -> bool:
    return any(canary in text.lower() for canary in CANARIES)


FIRST = file_of(
    row(1),
    row(2, FullName="Kanarienvogel the Second"),
    row(3, Email="C4n4ry.03"),
    row(4, MobilePhone="212-207-7"),
    row(5, BirthDate="30.11.1911x"),
    row(6, ExternalIdentityWebsite="", Email="", MobilePhone=""),
    f"{row(7)},kanarienvogel",
    row(8, ExternalIdentityWebsite="c4n4ry-id-01", Email="c4n4ry.02@mail.com", MobilePhone=""),
)
EDITS = file_of(
    row(1, FavoriteColor="%CLEAR%", LastUpdateActionTemplate="ImportedFromCrm", LastUpdateDateTime="2025-02-03 04:05"),
    row(2),
    row(9),
    row(10, BirthDate="2.11.1911 or so"),
    row(2, BirthDate="30.02.1911"),
)
REFUSED = {
    "customers_headerless.csv": file_of(row(11), header=row(12)),
    "customers_undecodable.csv": file_of(row(11), f"{row(12)}\udcff"),
    "customers_unclosed.csv": file_of(row(11), row(12, LastName='"Kanarienvogel')),
}


def customers(imports: Imports) -> list[dict[str, Any]]:
    """Return the customers of these tests by external id."""
    return imports.query(
        "SELECT external_ids ->> 'website' AS name, email, mobile_phone, birth_date, custom_fields, subscriptions, "
        "segments FROM loyalty.customer_overview WHERE external_ids ->> 'website' LIKE 'c4n4ry%' ORDER BY 1"
    )


@pytest.fixture(scope="module")
def jobs(imports: Imports) -> Jobs:
    """The jobs of all files, one after the other, but for those that are refused."""
    jobs = {}
    imports.drop("customers", "customers.csv", FIRST, SETTLES_SOON)
    jobs["customers.csv"] = imports.wait_for_job("customers.csv")

    by_hand = exports() / "edits.csv"
    by_hand.write_bytes(EDITS)
    form = {
        "file": str(by_hand),
        "action": "edit_existing",
        "data_source": "Maestra Platform admin panel",
        "point_of_contact": "site-main",
        "segment": "winter",
        "take_action_template_from_file": True,
        "on_invalid_optional": "drop_value",
    }
    jobs["edits.csv"] = imports.trigger("customers", **form)
    assert imports.run(jobs["edits.csv"])["conf"].items() >= form.items()

    for name, content in REFUSED.items():
        imports.drop("customers", name, content, SETTLES_SOON)
    return jobs | {name: imports.wait_for_job(name) for name in REFUSED}


@pytest.fixture(scope="module")
def dropped_back(imports: Imports, jobs: Jobs) -> Jobs:
    """The customers that the edit did not find, dropped back to be created."""
    not_found = imports.read(jobs["edits.csv"]["not_found_file_url"])
    imports.drop("customers", "edits.not-found.csv", not_found, SETTLES_SOON | {"action": "add_and_edit"})
    jobs["edits.not-found.csv"] = imports.wait_for_job("edits.not-found.csv")
    return jobs


def rules(imports: Imports, job: Mapping[str, Any]) -> dict[int, set[str]]:
    rejects = imports.query("SELECT line, rules FROM ledger.reject WHERE job_id = :job", job=job["id"])
    return {row["line"]: set(row["rules"].split()) for row in rejects}


def test_a_dropped_file_creates_customers_and_rejects_the_others(imports: Imports, jobs: Jobs) -> None:
    """Source: CU-01, CU-02, CU-03, X-07."""
    job = jobs["customers.csv"]
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success") | {"close_job": "failed"}  # most rows
    assert imports.run(job)["note"] == "customers.csv: mostly rejected: 8 read, 2 inserted, 6 rejected"
    assert rules(imports, job) == {
        4: {"email.not_email"},
        5: {"mobile_phone.invalid_phone"},
        6: {"birth_date.not_date"},
        7: {"row.no_identifier"},
        8: {"row.ragged"},
        9: {"row.ambiguous_customer", "email.belongs_to_another"},
    }


def test_the_form_decides_what_the_import_does(imports: Imports, jobs: Jobs) -> None:
    """Source: CU-01, CU-07, CU-09, CU-10, CU-11, CU-14, X-11."""
    job = jobs["edits.csv"]
    assert (job["state"], job["action"], job["launched_by"]) == ("completed", "edit_existing", "admin")
    assert imports.rows(job) == {"read": 5, "updated": 1, "unchanged": 2, "not_found": 2}
    assert imports.run(job)["note"] == "edits.csv: loaded: 5 read, 1 updated, 2 not found, 2 unchanged"
    customer_by_id = {row["name"]: row for row in customers(imports)}
    assert customer_by_id["c4n4ry-id-01"]["custom_fields"] == {}
    assert customer_by_id["c4n4ry-id-01"]["segments"] == customer_by_id["c4n4ry-id-02"]["segments"] == ["winter"]
    assert customer_by_id["c4n4ry-id-02"]["subscriptions"] == {"Acme/Email": True}
    (action,) = imports.query(
        "SELECT kind, action_template, data_source, point_of_contact, acted_at::text, line "
        "FROM loyalty.customer_action WHERE job_id = :job",
        job=job["id"],
    )
    assert action.pop("acted_at").startswith("2025-02-03 04:05:00")
    assert tuple(action.values()) == ("edit", "ImportedFromCrm", "Maestra Platform admin panel", "site-main", 2)
    (change,) = imports.query("SELECT line, fields FROM ledger.customer_change WHERE job_id = :job", job=job["id"])
    assert (change["line"], change["fields"]) == (2, {"custom_field.FavoriteColor": ["kanariengelb", None]})


def test_invalid_values_that_cost_no_row_are_listed(imports: Imports, dropped_back: Jobs) -> None:
    """Source: CU-14. Each by the import that loads the row without it."""
    statement = "SELECT line, field, rules FROM ledger.dropped_value WHERE job_id = :job"
    dropped_values = {
        name: [tuple(row.values()) for row in imports.query(statement, job=dropped_back[name]["id"])]
        for name in ("edits.csv", "edits.not-found.csv")
    }
    assert dropped_values == {
        "edits.csv": [(6, "birth_date", "birth_date.impossible_date")],
        "edits.not-found.csv": [(3, "birth_date", "birth_date.not_date")],
    }
    (listed,) = csv.DictReader(io.StringIO(imports.read(dropped_back["edits.csv"]["dropped_values_file_url"]).decode()))
    assert "30.02.1911" in listed.values()


def test_customers_that_were_not_found_are_created_when_dropped_back(imports: Imports, dropped_back: Jobs) -> None:
    """Source: CU-01, X-09."""
    content = imports.read(dropped_back["edits.csv"]["not_found_file_url"]).decode()
    header, *records = csv.reader(io.StringIO(content))
    assert header == ["_job", "_line", "_rules", "_reasons", *HEADER.split(",")]
    assert [record[:3] for record in records] == [
        [str(dropped_back["edits.csv"]["id"]), str(line), "row.not_found"] for line in (4, 5)
    ]
    job = dropped_back["edits.not-found.csv"]
    assert imports.rows(job) == {"read": 2, "inserted": 2}
    assert (job["settings"]["segment"], job["settings"]["on_invalid_optional"]) == ("winter", "drop_value")
    customer_by_id = {row["name"]: row for row in customers(imports)}
    assert customer_by_id["c4n4ry-id-09"]["email"] == "C4n4ry.09@Mail.com"
    assert (customer_by_id["c4n4ry-id-10"]["mobile_phone"], customer_by_id["c4n4ry-id-10"]["birth_date"]) == (
        "+12122077010",
        None,
    )


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("customers_headerless.csv", "file.missing_header"),
        ("customers_undecodable.csv", "file.encoding"),
        ("customers_unclosed.csv", "file.unclosed_quote"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(name: str, rule: str, imports: Imports, jobs: Jobs) -> None:
    job = jobs[name]
    assert (job["state"], job["refusal_rule"]) == ("refused", rule)
    assert imports.run(job)["note"] == f"{name}: refused ({rule})"


def test_a_broken_constraint_is_named_and_its_values_are_not(imports: Imports, dropped_back: Jobs) -> None:
    """Source: X-20. The database's own message would quote the whole customer."""
    imports.query("ALTER TABLE loyalty.customer ADD CONSTRAINT canary CHECK (last_name <> 'Kanarienvogel 20')")
    imports.drop("customers", "customers_violation.csv", file_of(row(20, LastName="Kanarienvogel 20")), SETTLES_SOON)
    job = dropped_back["customers_violation.csv"] = imports.wait_for_job("customers_violation.csv")
    assert (job["state"], imports.tasks(job)["load_rows"]) == ("failed", "failed")
    (load_rows,) = (task for task in imports.task_instances(job) if task["task_id"] == "load_rows")
    assert "loyalty.customer refuses (canary); nothing was loaded" in task_log(imports, job, load_rows)
    imports.query("ALTER TABLE loyalty.customer DROP CONSTRAINT canary")


def test_nothing_of_a_person_is_where_airflow_shows_or_keeps_things(imports: Imports, dropped_back: Jobs) -> None:
    """Source: X-20."""
    assert all(has_canary(file.decode(errors="replace")) for file in (FIRST, EDITS, *REFUSED.values()))
    looked, leaks = places_of(shown_by_the_api(imports, dropped_back), has_canary)
    assert leaks == []
    assert {"customers.csv: XCom close_job.result", "customers_violation.csv: log of load_rows"} <= set(looked)
    looked, leaks = places_of(tables(imports.stack.url_for(Role.AIRFLOW), "public"), has_canary)
    assert leaks == []
    assert set(looked) >= AIRFLOW_TABLES
    looked, leaks = places_of(log_files(imports.stack.settings.home), has_canary)
    assert leaks == []
    assert COMPONENT_LOGS | {"postgres/data/server.log"} <= set(looked)


def test_the_ledger_holds_personal_data_in_three_tables_only(imports: Imports, dropped_back: Jobs) -> None:
    """Source: X-20: sentences about rejects, dropped values, and who was changed how."""
    _, leaks = places_of(tables(imports.stack.url_for(Role.OWNER), "ledger"), has_canary)
    assert set(leaks) <= {"ledger.reject", "ledger.dropped_value", "ledger.customer_change"}
    assert {"ledger.dropped_value", "ledger.customer_change"} <= set(leaks)
    reports = [*imports.reports.rglob("summary.json"), *imports.reports.rglob("validation.json")]
    assert places_of(((str(path), path.read_text()) for path in reports), has_canary)[1] == []
    assert len(reports) >= len(dropped_back)
