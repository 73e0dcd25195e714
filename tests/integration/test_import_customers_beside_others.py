"""Imports of customers beside other systems that write to the same ones: nothing is lost, nothing doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from include.ledger.jobs import JobResult
from include.stages import loading
from tests.imports import Site

pytestmark = pytest.mark.integration

ANN = "Email,FirstName\nann@x.com,Anna\n"


@pytest.fixture
def other(site: Site) -> Iterator[psycopg2.extensions.connection]:
    """A session of another system, at READ COMMITTED; Ann is customer 1, committed."""
    connection = psycopg2.connect(site.warehouse.owner_url)
    execute(
        connection, "INSERT INTO loyalty.customer (id, email, first_name, area) VALUES (1, 'ann@x.com', 'Ann', 'Rome')"
    )
    execute(connection, "SELECT setval('loyalty.customer_id_seq', 1)")
    connection.commit()
    yield connection
    connection.close()


def execute(connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def load_beside(site: Site, text: str, go_on: Callable[[], None]) -> JobResult:
    """Import a file that has to wait for another session, which goes on as soon as it does."""
    results: list[JobResult] = []
    thread = threading.Thread(target=lambda: results.append(site.load("customers", text)))
    thread.start()
    wait_for_a_lock(site, thread)
    go_on()
    thread.join(60)
    assert len(results) == 1
    assert results[0].state == "completed", results[0].reason
    return results[0]


def wait_for_a_lock(site: Site, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 60
    while not site.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ):
        assert thread.is_alive(), "the import did not wait"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def customers(site: Site) -> list[tuple]:
    return site.query("SELECT email, mobile_phone, first_name, area FROM loyalty.customer ORDER BY id")


def changes(site: Site) -> list[tuple]:
    return site.query("SELECT line, fields FROM ledger.customer_change ORDER BY job_id, line")


def outcomes(result: JobResult) -> tuple[int, int, int]:
    return result.rows.inserted, result.rows.updated, result.rows.unchanged


def test_columns_that_the_file_does_not_change_stay_as_another_system_has_just_left_them(site, other):
    execute(other, "UPDATE loyalty.customer SET area = 'Oslo', full_name = 'Ann Lee' WHERE id = 1")
    result = load_beside(site, ANN, other.commit)
    assert outcomes(result) == (0, 1, 0)
    assert customers(site) == [("ann@x.com", None, "Anna", "Oslo")]
    assert site.query("SELECT full_name FROM loyalty.customer") == [("Ann Lee",)]
    assert changes(site) == [(2, {"first_name": ["Ann", "Anna"]})]


def test_before_is_what_another_system_has_just_written_to_the_same_column(site, other):
    execute(other, "UPDATE loyalty.customer SET first_name = 'Annie' WHERE id = 1")
    load_beside(site, ANN, other.commit)
    assert changes(site) == [(2, {"first_name": ["Annie", "Anna"]})]


def test_cu05_a_change_that_another_system_has_just_made_is_none(site, other):
    execute(other, "UPDATE loyalty.customer SET first_name = 'Anna' WHERE id = 1")
    result = load_beside(site, ANN, other.commit)
    assert outcomes(result) == (0, 0, 1)
    assert changes(site) == []


def test_cu03_an_email_that_another_system_takes_away_meanwhile_is_matched_again(site, other):
    execute(other, "UPDATE loyalty.customer SET email = 'ann@new.com' WHERE id = 1")
    result = load_beside(site, ANN, other.commit)
    assert outcomes(result) == (1, 0, 0)
    assert customers(site) == [("ann@new.com", None, "Ann", "Rome"), ("ann@x.com", None, "Anna", None)]


@pytest.mark.parametrize("kept", ["", "e-mail that stays"])
def test_cu03_an_external_id_that_another_system_takes_away_meanwhile_is_matched_again(site, other, kept):
    execute(other, "INSERT INTO loyalty.customer_external_id VALUES ('website', '17', 1)")
    other.commit()
    execute(other, "UPDATE loyalty.customer SET first_name = 'Annie' WHERE id = 1")
    execute(other, "DELETE FROM loyalty.customer_external_id")
    email = "ann@x.com" if kept else ""
    result = load_beside(site, f"ExternalId,Email,FirstName\n17,{email},Anna\n", other.commit)
    assert outcomes(result) == ((0, 1, 0) if kept else (1, 0, 0))
    first_names = site.query(
        "SELECT first_name FROM loyalty.customer JOIN loyalty.customer_external_id ON customer_id = id"
    )
    assert first_names == [("Anna",)]


def test_cu03_entangled_rows_are_matched_again_when_another_system_moves_an_identifier_meanwhile(site, other):
    """Line 3 is Ann's only through line 2, which is Ann's only by the e-mail that another system takes away."""
    execute(other, "UPDATE loyalty.customer SET email = 'ann@new.com' WHERE id = 1")
    text = "Email,MobilePhone,FirstName\nann@x.com,+12025550143,Anna\n,+12025550143,Anya\n"
    result = load_beside(site, text, other.commit)
    assert outcomes(result) == (1, 1, 0)
    assert customers(site) == [("ann@new.com", None, "Ann", "Rome"), ("ann@x.com", "+12025550143", "Anya", None)]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("INSERT INTO loyalty.customer (email, first_name) VALUES ('bob@x.com', 'Bob')",
         "Email,FirstName\nBob@X.com,Bobby\n"),
        ("INSERT INTO loyalty.customer (mobile_phone, first_name) VALUES ('+12025550143', 'Bob')",
         "MobilePhone,FirstName\n+12025550143,Bobby\n"),
        ("WITH bob AS (INSERT INTO loyalty.customer (first_name) VALUES ('Bob') RETURNING id)"
         " INSERT INTO loyalty.customer_external_id SELECT 'website', '17', id FROM bob",
         "ExternalId,FirstName\n17,Bobby\n"),
    ],
    ids=["e-mail", "phone", "external id"],
)  # fmt: skip
def test_cu03_a_customer_that_another_system_creates_meanwhile_is_found_not_doubled(site, other, statement, text):
    execute(other, statement)
    result = load_beside(site, text, other.commit)
    assert outcomes(result) == (0, 1, 0)
    assert site.query("SELECT first_name FROM loyalty.customer WHERE id > 1") == [("Bobby",)]
    assert [fields for _, fields in changes(site)] == [{"first_name": ["Bob", "Bobby"]}]


def test_cu06_a_subscription_that_another_system_writes_meanwhile_is_known(site, other):
    execute(
        other,
        "INSERT INTO loyalty.customer_subscription (customer_id, brand, is_subscribed, changed_at)"
        " VALUES (1, 'Acme', false, now())",
    )
    load_beside(site, "Email,IsSubscribed\nann@x.com,yes\n", other.commit)
    assert site.query("SELECT brand, channel, is_subscribed FROM loyalty.customer_subscription") == [
        ("Acme", None, True)
    ]
    assert changes(site) == [(2, {"subscription.Acme": [False, True]})]


def test_erasing_a_person_waits_for_a_load_and_takes_what_it_wrote(site, other, monkeypatch):
    """The load stops before it commits; the deletion, begun then, must see its rows."""
    text = "Email,ExternalId,IsSubscribed\nann@x.com,17,yes\n"
    loaded, erased = threading.Event(), threading.Event()
    count = loading._count

    def stop(*arguments):
        loaded.set()
        wait_for_a_lock(site, eraser)
        return count(*arguments)

    def erase():
        loaded.wait(60)
        execute(other, "DELETE FROM loyalty.customer WHERE id = 1")
        other.commit()
        erased.set()

    eraser = threading.Thread(target=erase)
    eraser.start()
    monkeypatch.setattr(loading, "_count", stop)
    result = site.load("customers", text)
    eraser.join(60)
    assert erased.is_set()
    assert outcomes(result) == (0, 1, 0)
    for table in ("customer", "customer_external_id", "customer_subscription"):
        assert site.query(f"SELECT count(*) FROM loyalty.{table}") == [(0,)]
    assert changes(site) == []


def test_a_unique_index_of_another_owner_is_named_and_not_taken_for_a_race(site: Site):
    with site.warehouse.owner.begin() as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX one_card_each ON loyalty.customer (discount_card)")
    result = site.load("customers", "Email,DiscountCard\na@x.com,5\nb@x.com,5\n")
    assert result.state == "failed"
    assert result.reason is not None
    assert "loyalty.customer refuses (one_card_each)" in result.reason["message"]
    assert customers(site) == []
