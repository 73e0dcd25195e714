"""Reviews through the running Airflow: a file waits under Required actions, a person answers. Source: X-06, X-14."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest
import sqlalchemy as sa

from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.imports import (
    CARD_HEADER,
    QUESTIONS,
    SETTLES_SOON,
    STAGES,
    Imports,
    card_numbers,
    cards,
    wait_for,
)

pytestmark = pytest.mark.e2e

REVIEW = SETTLES_SOON | {"review": True}
LAUNCHED = dict.fromkeys((*STAGES, QUESTIONS[0]), "success")


def file_of(series: int, pool: str, header: str = CARD_HEADER) -> bytes:
    """Return two good rows and one of an unknown pool."""
    return (
        cards(series, 2, pool).replace(CARD_HEADER.encode(), header.encode()) + f"60{series:06d}99,nope,,1\n".encode()
    )


def reviews(imports: Imports, job: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows = imports.query("SELECT * FROM ledger.import_review WHERE job_id = :job ORDER BY number", job=job["id"])
    return [(row["number"], row["answer"], row["answered_by"]) for row in rows]


def test_a_file_waits_until_a_person_launches_it_and_is_loaded_as_the_form_says(imports: Imports, pool: str) -> None:
    """Source: X-06, X-10."""
    imports.drop("gift_cards", "reviewed.csv", file_of(2001, pool), REVIEW)
    form = imports.wait_for_question("reviewed.csv")
    assert (form["subject"], form["options"]) == ("reviewed.csv: import these gift cards?", ["Launch", "Reject"])
    assert "| 3 | 2 | 0 | 0 | 0 | 1 |" in form["body"]
    assert {name: param["value"] for name, param in form["params"].items()} == {
        "card_number": "card_number (column 1)",
        "pool_system_name": "pool_system_name (column 2)",
        "cvv": "cvv (column 3)",
        "balance": "balance (column 4)",
        "point_of_contact": "(skip)",
        "purchased_at": "(skip)",
        "status": "(skip)",
    }
    (waiting,) = imports.jobs("reviewed.csv")
    run = imports.run(waiting)
    assert (run["state"], run["note"]) == ("running", "reviewed.csv: awaits review")
    assert imports.loaded(*card_numbers(2001, 2)) == []
    imports.answer("reviewed.csv")
    job = imports.wait_for_job("reviewed.csv")
    assert job["state"] == "completed_with_rejects"
    assert imports.rows(job) == {"read": 3, "inserted": 2, "rejected": 1}
    assert imports.tasks(job) == LAUNCHED
    assert reviews(imports, job) == [(1, "launch", "admin")]
    assert imports.run(job)["note"] == "reviewed.csv: some rejected: 3 read, 2 inserted, 1 rejected"


def test_a_rejected_file_ends_as_cancelled_in_a_green_run(imports: Imports, pool: str) -> None:
    imports.drop("gift_cards", "not wanted.csv", file_of(2002, pool), REVIEW)
    imports.wait_for_question("not wanted.csv")
    imports.answer("not wanted.csv", "Reject")
    job = imports.wait_for_job("not wanted.csv")
    assert (job["state"], job["refusal_rule"]) == ("cancelled", "review.rejected")
    assert job["refusal_message"].startswith("admin rejected the import on ")
    assert imports.tasks(job) == LAUNCHED | {"load_rows": "skipped"}
    run = imports.run(job)
    assert (run["state"], run["note"]) == ("success", "not wanted.csv: cancelled (review.rejected)")
    assert imports.loaded(*card_numbers(2002, 2)) == []
    launched = imports.trigger("gift_cards", file=job["archive_url"])
    assert imports.rows(launched) == {"read": 3, "inserted": 2, "rejected": 1}


def test_a_mapping_that_cannot_be_used_comes_back_and_the_corrected_one_is_loaded(imports: Imports, pool: str) -> None:
    """Source: X-05, GC-01."""
    imports.drop("gift_cards", "words.csv", file_of(2003, pool, "Nummer,Topf,cvv,Wert"), REVIEW)
    form = imports.wait_for_question("words.csv")
    assert "Unknown: no row can be read" in form["body"]
    columns = {"card_number": "Nummer (column 1)", "pool_system_name": "Topf (column 2)"}
    imports.answer("words.csv", **columns, balance="Nummer (column 1)")
    form = imports.wait_for_question("words.csv", 2)
    assert "Card number and Card balance are read from column 1" in form["body"]
    assert form["params"]["pool_system_name"]["value"] == "Topf (column 2)", "what was chosen is kept"
    imports.answer("words.csv", number=2, balance="Wert (column 4)")
    job = imports.wait_for_job("words.csv")
    assert imports.rows(job) == {"read": 3, "inserted": 2, "rejected": 1}
    assert imports.tasks(job) == LAUNCHED | {QUESTIONS[1]: "success", "validate_chunk": "skipped"}
    assert job["settings"]["mapping"] == {
        "Nummer": "card_number", "Topf": "pool_system_name", "Wert": "balance",
    }  # fmt: skip
    assert reviews(imports, job) == [(1, "launch", "admin"), (2, "launch", "admin")]
    (row,) = imports.query("SELECT problem FROM ledger.import_review WHERE job_id = :j AND number = 1", j=job["id"])
    assert row["problem"] == "Card number and Card balance are read from column 1."


def test_a_changed_mapping_judges_the_whole_file_again(imports: Imports, pool: str) -> None:
    content = f"card_number,pool_system_name,balance,Betrag\n{card_numbers(2004, 1)[0]},{pool},1,20\n".encode()
    imports.drop("gift_cards", "amounts.csv", content, REVIEW)
    imports.wait_for_question("amounts.csv")
    imports.answer("amounts.csv", balance="Betrag (column 4)")
    job = imports.wait_for_job("amounts.csv")
    (card,) = imports.query("SELECT balance::int FROM loyalty.gift_card WHERE import_job_id = :job", job=job["id"])
    assert card["balance"] == 20
    assert imports.tasks(job) == LAUNCHED


def test_without_an_answer_in_time_the_file_is_cancelled(imports: Imports, pool: str) -> None:
    imports.drop("gift_cards", "forgotten.csv", file_of(2005, pool), REVIEW | {"review_hours": 0.002})
    job = imports.wait_for_job("forgotten.csv")
    assert (job["state"], job["refusal_rule"]) == ("cancelled", "review.expired")
    assert imports.run(job)["state"] == "success"
    assert imports.run(job)["note"] == "forgotten.csv: cancelled (review.expired)"
    assert reviews(imports, job) == [(1, "expired", None)]


HOSTILE = (
    "<script>alert(1)</script>",
    "{{ conn.get('warehouse_postgres').password }}{% raw %}",
    "[click](javascript:alert(1)) **bold** `code` | pipe www.example.com",
    "=cmd|' /C calc'!A0",
    "x" * 5000,
    "bell\u0007\u202eright\u200bto",
    "twin",
    "twin",
)


def test_hostile_headers_are_shown_as_text(imports: Imports, pool: str) -> None:
    header = ",".join([CARD_HEADER, *(f'"{name}"' for name in HOSTILE)])
    row = ",".join([card_numbers(2006, 1)[0], pool, "", "1", *[""] * len(HOSTILE)])
    imports.drop("gift_cards", "hostile.csv", f"{header}\n{row}\n".encode(), REVIEW)
    form = imports.wait_for_question("hostile.csv")
    shown = {
        5: "` <script>alert(1)</script> `",
        6: "` {{ conn.get('warehouse_postgres').password }}{% raw %} `",
        7: "`` [click](javascript:alert(1)) **bold** `code` \\| pipe www.exa… ``",
        8: "` =cmd\\|' /C calc'!A0 `",
        9: f"` {'x' * 59}… `",
        10: "` bell right to `",
        11: "` twin `",
        12: "` twin `",
    }
    for number, header in shown.items():
        assert f"| {number} | {header} | *not imported* |" in form["body"], number
    options = form["params"]["balance"]["schema"]["enum"]
    assert options[-2:] == ["twin (column 11)", "twin (column 12)"]
    assert all(option.isprintable() and len(option) < 80 for option in options)
    imports.answer("hostile.csv", status="twin (column 12)")
    job = imports.wait_for_job("hostile.csv")
    assert imports.rows(job) == {"read": 1, "inserted": 1}
    assert job["settings"]["mapping"] == {"twin [2]": "status"}


# -- repeats


def test_clearing_tasks_while_a_person_thinks_and_after_the_answer_asks_nothing_twice(
    imports: Imports, pool: str
) -> None:
    imports.drop("gift_cards", "cleared.csv", file_of(2007, pool), REVIEW)
    first = imports.wait_for_question("cleared.csv")
    for task in (QUESTIONS[0], "validate_chunk", "take_file"):
        clear(imports, "cleared.csv", task)
        again = imports.wait_for_question("cleared.csv")
        assert (again["body"], again["response_received"]) == (first["body"], False), task
    imports.answer("cleared.csv")
    job = imports.wait_for_job("cleared.csv")
    assert reviews(imports, job) == [(1, "launch", "admin")]
    for task in ("take_file", "validate_chunk"):
        imports.clear(job, task)
        assert imports.run(job)["state"] == "success"
    assert reviews(imports, job) == [(1, "launch", "admin")]
    assert imports.rows(imports.job(job["id"])) == {"read": 3, "inserted": 2, "rejected": 1}


def clear(imports: Imports, name: str, task: str) -> None:
    job = imports.jobs(name)[-1]
    before = {one["task_id"]: one["id"] for one in imports.task_instances(job)}
    body = {
        "dry_run": False, "dag_run_id": job["dag_run_id"], "task_ids": [task], "include_downstream": True,
        "only_failed": False, "reset_dag_runs": True,
    }  # fmt: skip
    imports.api.post(f"/api/v2/dags/{job['dag_id']}/clearTaskInstances", body)
    after = {one["task_id"]: one["id"] for one in imports.task_instances(job)}
    assert before[QUESTIONS[0]] != after[QUESTIONS[0]], "the question's task was cleared"


def test_an_answer_survives_the_kill_of_the_task_that_takes_it(imports: Imports, pool: str) -> None:
    """Source: X-14."""
    imports.drop("gift_cards", "answer killed.csv", file_of(2008, pool), REVIEW)
    imports.wait_for_question("answer killed.csv")
    (job,) = imports.jobs("answer killed.csv")
    engine = create_warehouse_engine(imports.stack.url_for(Role.OWNER))
    with engine.begin() as blocker:
        blocker.execute(sa.text("LOCK TABLE ledger.import_review IN ACCESS EXCLUSIVE MODE"))
        imports.answer("answer killed.csv")

        def at_work() -> int | None:
            is_blocked = "SELECT FROM pg_locks WHERE relation = 'ledger.import_review'::regclass AND NOT granted"
            (task,) = [one for one in imports.task_instances(job) if one["task_id"] == QUESTIONS[0]]
            return task["pid"] if task["state"] == "running" and imports.query(is_blocked) else None

        os.kill(wait_for(at_work, 60, "the task that takes the answer"), signal.SIGKILL)
    engine.dispose()
    ended = imports.wait_for_job("answer killed.csv", 150)
    assert ended["state"] == "completed_with_rejects"
    assert reviews(imports, ended) == [(1, "launch", "admin")]
    (task,) = [one for one in imports.task_instances(ended) if one["task_id"] == QUESTIONS[0]]
    assert task["try_number"] == 2, "the first repetition takes it"


def test_an_answer_that_comes_while_the_scheduler_restarts_is_taken(imports: Imports, pool: str) -> None:
    imports.drop("gift_cards", "restarted.csv", file_of(2009, pool), REVIEW)
    imports.wait_for_question("restarted.csv")
    state = json.loads((imports.stack.settings.run / "state.json").read_text())
    os.kill(state["components"]["scheduler"]["pid"], signal.SIGKILL)
    imports.answer("restarted.csv")
    job = imports.wait_for_job("restarted.csv", 150)
    assert job["state"] == "completed_with_rejects"
    assert reviews(imports, job) == [(1, "launch", "admin")]


def test_a_gate_asks_only_when_its_limit_is_passed(imports: Imports, pool: str) -> None:
    gate = SETTLES_SOON | {"review_reject_share": 0.3}
    imports.drop("gift_cards", "passes.csv", cards(2010, 3, pool), gate)
    job = imports.wait_for_job("passes.csv")
    assert (job["state"], imports.tasks(job)) == ("completed", dict.fromkeys(STAGES, "success"))
    imports.drop("gift_cards", "stopped.csv", file_of(2011, pool), gate)
    form = imports.wait_for_question("stopped.csv")
    assert "1 of 3 rows would be rejected" in form["body"]
    imports.answer("stopped.csv", "Reject")
    assert imports.wait_for_job("stopped.csv")["state"] == "cancelled"
    assert json.dumps(imports.run(imports.jobs("stopped.csv")[0])["note"]).startswith('"stopped.csv: cancelled')
