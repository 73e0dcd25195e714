"""From Connections and Variables to the stages' runtime."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import text

from include.errors import ConfigurationError
from loyalty_airflow.runtime import location, open_runtime, warehouse_url, with_chunk_size

pytestmark = pytest.mark.dags


def test_the_runtime_has_warehouse_folders_and_key(connected, folders):
    with open_runtime() as runtime:
        with runtime.engine.connect() as connection:
            assert connection.execute(text("SHOW timezone")).scalar_one() == "UTC"
        assert [str(getattr(runtime, name)) for name in ("landing", "work", "reports", "archive")] == [
            str(folders.landing), str(folders.work), str(folders.reports), str(folders.archive),
        ]  # fmt: skip
        assert runtime.cvv_key == b"key of the tests"
        assert runtime.code_key == b"code key of the tests"
        assert "key of the tests" not in repr(runtime)


def test_a_warehouse_without_a_schema_says_what_to_run(connected, empty_database, monkeypatch):
    url = empty_database.url.replace("postgresql://", "postgres://")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", url)
    with (
        open_runtime() as runtime,
        pytest.raises(ConfigurationError, match=r"no schema: run `python -m include\.cli migrate`"),
    ):
        runtime.engine.connect()


def test_the_warehouse_address_keeps_what_a_url_must_quote(monkeypatch):
    parts = {
        "conn_type": "postgres", "host": "db.example.com", "port": 5433, "login": "loader", "password": "p@ss/w:rd",
        "schema": "warehouse", "extra": {"sqlalchemy_scheme": "postgresql+psycopg2", "sslmode": "require"},
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_POSTGRES", json.dumps(parts))
    assert warehouse_url() == "postgresql://loader:p%40ss%2Fw%3Ard@db.example.com:5433/warehouse?sslmode=require"


def test_a_bucket_gets_the_storage_connection(monkeypatch):
    parts = {
        "conn_type": "aws", "login": "id", "password": "secret of the bucket",
        "extra": {"endpoint_url": "http://127.0.0.1:9000", "region_name": "eu-north-1"},
    }  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_LANDING_STORAGE", json.dumps(parts))
    monkeypatch.setenv("AIRFLOW_VAR_LANDING_URL", "s3://loyalty/landing")
    path = location("landing")
    assert (str(path), path.protocol) == ("s3://loyalty/landing", "s3")
    assert path.options == {
        "key": "id",
        "secret": "secret of the bucket",
        "endpoint_url": "http://127.0.0.1:9000",
        "client_kwargs": {"region_name": "eu-north-1"},
        "use_listings_cache": False,
    }


def test_without_a_storage_connection_a_bucket_takes_the_credentials_of_the_machine(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_LANDING_STORAGE", raising=False)
    monkeypatch.setenv("AIRFLOW_VAR_LANDING_URL", "s3://loyalty/landing")
    assert location("landing").options == {"use_listings_cache": False}


@pytest.mark.parametrize(
    "name", ["AIRFLOW_CONN_WAREHOUSE_POSTGRES", "AIRFLOW_VAR_LANDING_URL", "AIRFLOW_VAR_ARCHIVE_URL"]
)
def test_what_is_missing_is_named(airflow_database, connected, monkeypatch, name):
    monkeypatch.delenv(name)
    wanted = name.removeprefix("AIRFLOW_CONN_").removeprefix("AIRFLOW_VAR_").lower()
    with pytest.raises(ConfigurationError, match=wanted), open_runtime():
        pass


def test_a_variable_says_how_large_a_chunk_is(airflow_database, connected, monkeypatch):
    with open_runtime() as runtime:
        assert with_chunk_size(runtime) == runtime
        monkeypatch.setenv("AIRFLOW_VAR_CHUNK_BYTES", "1048576")
        assert with_chunk_size(runtime).chunk_bytes == 1 << 20


@pytest.mark.parametrize("chunk_bytes", ["1 MiB", "65535", "-1", "1e6", "٦٥٥٣٦"])
def test_an_invalid_chunk_size_is_reported(connected, monkeypatch, chunk_bytes):
    monkeypatch.setenv("AIRFLOW_VAR_CHUNK_BYTES", chunk_bytes)
    with open_runtime() as runtime, pytest.raises(ConfigurationError, match="chunk_bytes"):
        with_chunk_size(runtime)
