"""What Airflow may see of an error. Source: X-20."""

from __future__ import annotations

import logging

import psycopg2
import pytest
import sqlalchemy as sa
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.errors import ConfigurationError, FileRefused, SuiteError, WarehouseFault, WarehouseUnavailable
from include.ledger.jobs import FileTaken
from loyalty_airflow.withheld_errors import OutageError, is_outage, withhold_values

pytestmark = pytest.mark.dags

CANARY = "4929333344445555"


def raised_by(error: BaseException) -> BaseException:
    @withhold_values
    def body() -> None:
        raise error

    with pytest.raises(Exception) as caught:  # noqa: PT011  which one it is, is what the tests ask
        body()
    return caught.value


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (FileRefused("file.empty", "The file is empty."), AirflowFailException),
        (FileTaken("a.csv is already being imported"), AirflowSkipException),
        (SuiteError("the suite is empty"), AirflowFailException),
        (ConfigurationError("imports.yaml: line 3"), AirflowFailException),
        (WarehouseFault("SQLSTATE 23505"), AirflowFailException),
        (WarehouseUnavailable("the server is starting"), OutageError),
        (ConnectionResetError(104, "Connection reset by peer"), OutageError),
        (TimeoutError(), OutageError),
        (psycopg2.OperationalError("connection refused"), OutageError),
        (ValueError("no"), AirflowFailException),
        (KeyError("no"), AirflowFailException),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_outages_are_retried_and_everything_else_is_not(error, seen):
    assert type(raised_by(error)) is seen


def test_a_refusal_says_rule_and_sentence():
    assert str(raised_by(FileRefused("file.empty", "The file is empty."))) == (
        "The file is refused (file.empty): The file is empty."
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        RuntimeError(CANARY),
        UnicodeDecodeError("ascii", CANARY.encode(), 0, 1, "x"),
    ],
)
def test_texts_that_may_quote_values_are_withheld_also_from_the_log(error, caplog):
    caplog.set_level(logging.DEBUG)
    seen = raised_by(error)
    assert CANARY not in str(seen)
    assert type(error).__name__ in str(seen)
    assert (seen.__cause__, seen.__context__) == (None, None)
    assert "test_withheld_errors.py" in caplog.text  # the log shows where it was raised
    assert CANARY not in caplog.text


def test_the_text_of_an_import_error_is_shown():
    assert "no module named x" in str(raised_by(ImportError("no module named x")))


def test_database_errors_name_their_objects_and_no_values(warehouse):
    with warehouse.owner.begin() as connection:
        connection.execute(sa.text("CREATE TABLE card (number text CONSTRAINT card_number_key UNIQUE, worth integer)"))
    plain = sa.create_engine(
        warehouse.owner_url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sa.NullPool
    )

    def fail(statement: str) -> BaseException:
        try:
            with plain.begin() as connection:
                connection.execute(sa.text(statement), {"number": CANARY})
        except sa.exc.DBAPIError as error:
            return raised_by(error)
        raise AssertionError("the statement should have failed")

    duplicate = fail("INSERT INTO card VALUES (:number, 1), (:number, 2)")
    assert "card_number_key" in str(duplicate)
    assert "23505" in str(duplicate)
    unreadable = fail("INSERT INTO card (worth) VALUES (CAST('x' || :number AS integer))")
    assert "22P02" in str(unreadable)
    assert CANARY not in f"{duplicate}{unreadable}"


def test_a_server_that_is_not_there_is_an_outage():
    engine = sa.create_engine("postgresql+psycopg2://nobody@127.0.0.1:1/nothing", poolclass=sa.NullPool)
    with pytest.raises(sa.exc.OperationalError) as caught:
        engine.connect()
    assert is_outage(caught.value)
    assert "Connection refused" in str(raised_by(caught.value))


@pytest.mark.parametrize("client", ["botocore.exceptions", "aiohttp.client_exceptions"])
def test_errors_of_the_storage_clients_are_outages(client):
    assert is_outage(type("ClientError", (Exception,), {"__module__": client})())


def test_what_a_body_returns_is_passed_on():
    assert withhold_values(lambda number: number + 1)(1) == 2
