"""What an import reports to Airflow's lineage, and the OpenLineage events that come of it. Source: X-20."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import URL

from loyalty_airflow import lineage
from tests.dags.conftest import PROJECT
from tests.dags.test_import_runs import CANARY, CARDS, POOLS, put

pytestmark = pytest.mark.dags

RUN = """
import os, sys
from tests.dags import conftest  # the settings of the tests, and the plugins
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = sys.argv[1]
dag = conftest.load_dag(sys.argv[2])
sys.exit(dag.test(run_conf={"file": sys.argv[3]}).state != "success")
"""


def with_events(database: str, dag_id: str, file: Path, log: Path) -> list[dict[str, Any]]:
    """Run a DAG in a process whose settings send OpenLineage events to a file; return the events."""
    completed = subprocess.run(
        [sys.executable, "-c", RUN, database, dag_id, str(file)],
        cwd=PROJECT,
        env=os.environ
        | {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(log), "append": True})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout[-3000:] + completed.stderr[-3000:]
    return [json.loads(line) for line in log.read_text().splitlines()]


def datasets(event: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    return {(dataset["namespace"], dataset["name"]) for dataset in event[kind]}


def test_openlineage_receives_which_file_went_into_which_table_and_no_values(run_dag, folders, connected, tmp_path):
    pools = put(folders.landing / "gift_card_pools", "p.csv", POOLS)
    assert run_dag("import_gift_card_pools", file=pools).state == "success"
    file = put(folders.landing / "gift_cards", "spring cards.csv", f"{CARDS}{CANARY},nowhere,x{CANARY}\n")
    events = with_events(
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], "import_gift_cards", file, tmp_path / "events.json"
    )
    datasets_by_task = {
        event["job"]["name"]: (datasets(event, "inputs"), datasets(event, "outputs"))
        for event in events
        if event["eventType"] == "COMPLETE" and (event.get("inputs") or event.get("outputs"))
    }
    url = connected.engine.url
    loaded = (
        {("file", str(file).replace(" ", "%20"))},
        {(f"postgres://{url.host}:{url.port}", f"{url.database}.loyalty.gift_card")},
    )
    assert datasets_by_task.pop("import_gift_cards.load_rows") == loaded
    # dag.test() runs all tasks in one process, whose collector the later ones find full; a real task has its own.
    assert datasets_by_task.keys() <= {"import_gift_cards.write_report", "import_gift_cards.close_job"}
    assert CANARY not in json.dumps(events)
    assert "4000000000000001" not in json.dumps(events)


@pytest.mark.parametrize(
    ("source", "uri"),
    [
        ("/landing/gift_cards/cards.csv", "file:///landing/gift_cards/cards.csv"),
        ("/landing/spring cards.csv", "file:///landing/spring%20cards.csv"),
        ("/landing/what?#1.csv", "file:///landing/what%3F%231.csv"),
        (
            "s3://imports/landing/gift_cards/карты.csv",
            "s3://imports/landing/gift_cards/%D0%BA%D0%B0%D1%80%D1%82%D1%8B.csv",
        ),
    ],
)
def test_a_file_has_an_address_whatever_its_name(source: str, uri: str) -> None:
    from airflow.sdk import Asset

    assert lineage.file_uri(source) == uri
    assert Asset(uri).uri == uri


def test_an_import_reports_its_file_and_tables_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.lineage import HookLineageCollector

    collector = HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    warehouse = URL.create("postgresql", "importer", "secret", "db.example.com", None, "warehouse")
    lineage.report_load(object(), "s3://imports/landing/p.csv", warehouse, ["loyalty.gift_card_pool", "ledger.x"])
    assets = collector.collected_assets
    assert [entry.asset.uri for entry in assets.inputs] == ["s3://imports/landing/p.csv"]
    assert [entry.asset.uri for entry in assets.outputs] == [
        "postgres://db.example.com:5432/warehouse/loyalty/gift_card_pool",
        "postgres://db.example.com:5432/warehouse/ledger/x",
    ]


def test_without_a_reader_of_lineage_nothing_is_collected(run_dag, folders, connected):
    from airflow.sdk.lineage import NoOpCollector, get_hook_lineage_collector

    assert run_dag("import_gift_card_pools", file=put(folders.landing / "gift_card_pools", "p.csv", POOLS)).state == (
        "success"
    )
    collector = get_hook_lineage_collector()
    assert isinstance(collector, NoOpCollector)
    assert not collector.has_collected


@pytest.mark.parametrize(
    ("source", "host"),
    [("/landing/" + "ф" * 500 + ".csv", "db.example.com"), ("/landing/cards.csv", "a host")],
)
def test_what_airflow_takes_for_no_address_fails_no_load(source, host):
    warehouse = URL.create("postgresql", host=host, port=5432, database="warehouse")
    lineage.report_load(object(), source, warehouse, ["loyalty.gift_card"])


def test_a_server_without_a_name_has_its_number_in_brackets(monkeypatch):
    uris = []
    collector = SimpleNamespace(
        add_input_asset=lambda context, uri: None, add_output_asset=lambda context, uri: uris.append(uri)
    )
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    warehouse = URL.create("postgresql", host="::1", port=5432, database="warehouse")
    lineage.report_load(object(), "/landing/cards.csv", warehouse, ["loyalty.gift_card"])
    assert uris == ["postgres://[::1]:5432/warehouse/loyalty/gift_card"]
