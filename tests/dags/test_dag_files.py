"""The DAG files as Airflow parses them, and the rules of the house."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from include.import_types import IMPORT_TYPES
from include.settings.schema import parameter_schema

pytestmark = pytest.mark.dags

PROJECT = Path(__file__).resolve().parents[2]
PLUGINS = PROJECT / "plugins"
SHIPPED_TYPES = {"customers", "gift_card_pools", "gift_cards", "promo_code_pools", "promo_codes"}
"""By name, so that none gets lost: what else is expected of types follows from the registry."""
IMPORT_DAGS = {f"import_{name}": name for name in IMPORT_TYPES}
EXPECTED_DAGS = {
    "delete_expired_files",
    "generate_promo_codes",
    "pick_up_files",
    "top_up_promo_pools",
    *IMPORT_DAGS,
}
RUNS_AT_ONCE = {
    **{dag_id: 1 if IMPORT_TYPES[name].edits else 16 for dag_id, name in IMPORT_DAGS.items()},
    "generate_promo_codes": 16,
    "top_up_promo_pools": 4,
}
"""Edits load one file after the other (X-14); a generation of millions of codes must not keep other pools waiting."""
HEAVY = ("great_expectations", "pandas", "pyarrow", "numpy", "psycopg2")
PARSE = """
import json, sys, time
from airflow.dag_processing.dagbag import DagBag
started = time.process_time()
bag = DagBag(sys.argv[1])
print(json.dumps({
    "dags": sorted(bag.dags), "errors": bag.import_errors, "seconds": time.process_time() - started,
    "heavy": [name for name in sys.argv[2:] if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def bag():
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(PROJECT / "dags")


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """The DAG folder parsed in a fresh process in which no Connection, Variable or database is defined."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment |= {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:1/nothing",
        "PYTHONPATH": str(PROJECT),
    }
    environment.pop("WAREHOUSE_URL", None)
    # SQLAlchemy's dialect imports psycopg2 for Airflow's own address; SQLite's doesn't.
    environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{environment['AIRFLOW_HOME']}/none.db"
    command = [sys.executable, "-c", PARSE, str(PROJECT / "dags"), *HEAVY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_all_dags_parse_with_no_connection_and_no_variable(parsed):
    assert parsed["errors"] == {}
    assert set(parsed["dags"]) == EXPECTED_DAGS


def test_nothing_heavy_is_imported_at_parse(parsed):
    assert parsed["heavy"] == []


def test_parsing_all_files_takes_seconds_at_most(parsed):
    assert parsed["seconds"] < 5  # 0.5 s on an idle machine


def test_each_import_type_has_its_dag(bag):
    assert set(IMPORT_DAGS) == {dag_id for dag_id in bag.dags if dag_id.startswith("import_")}


def test_the_types_that_ship_are_there_and_which_of_them_edit():
    """Source: X-14."""
    assert set(IMPORT_TYPES) >= SHIPPED_TYPES
    assert {name for name in SHIPPED_TYPES if IMPORT_TYPES[name].edits} == {"customers", "promo_code_pools"}


@pytest.mark.parametrize("dag_id", sorted(EXPECTED_DAGS))
def test_the_rules_of_the_house(bag, dag_id):
    dag = bag.dags[dag_id]
    assert "At 3 a.m." in dag.doc_md
    assert dag.tags
    assert dag.catchup is False
    assert {task.owner for task in dag.tasks} == {"loyalty"}
    assert all(task.retries >= 3 and task.retry_exponential_backoff for task in dag.tasks)
    assert dag.max_active_runs == RUNS_AT_ONCE.get(dag_id, 1)
    assert Path(dag.fileloc).name == f"{dag_id}.py"


@pytest.mark.parametrize("dag_id", sorted(EXPECTED_DAGS))
def test_x12_every_task_has_a_time_limit(bag, dag_id):
    limits = {task.task_id: task.execution_timeout for task in bag.dags[dag_id].tasks}
    assert [name for name, limit in limits.items() if limit is None] == []
    assert max(limits.values()) <= timedelta(hours=12)
    assert all(task.execution_timeout <= timedelta(minutes=30) for task in bag.dags[dag_id].tasks
               if task.task_id in ("take_file", "start_imports"))  # fmt: skip


@pytest.mark.parametrize("dag_id", sorted(EXPECTED_DAGS))
def test_a_dag_file_only_wires(dag_id):
    tree = ast.parse((PROJECT / "dags" / f"{dag_id}.py").read_text())
    ast.get_docstring(tree)
    code = [node for node in tree.body if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant)]
    assert sum(node.end_lineno - node.lineno + 1 for node in code) <= 25
    assert not any(isinstance(node, ast.Import) and node.names[0].name.startswith("include") for node in code)


def test_types_that_edit_load_one_file_at_a_time(monkeypatch):
    """Source: X-14."""
    from dataclasses import replace

    from loyalty_airflow.tasks import importing

    monkeypatch.setitem(IMPORT_TYPES._types, "gift_cards", replace(IMPORT_TYPES.of("gift_cards"), edits=True))
    assert importing.dag_arguments("gift_cards", None)["max_active_runs"] == 1


@pytest.mark.parametrize("dag_id", sorted(IMPORT_DAGS))
def test_the_tasks_of_a_file(bag, dag_id):
    dag = bag.dags[dag_id]
    assert {task.task_id: (task.trigger_rule.value, sorted(task.downstream_task_ids)) for task in dag.tasks} == {
        "take_file": ("all_success", ["inspect_file", "load_rows", "validate_chunk"]),
        "inspect_file": ("all_success", ["load_rows", "validate_chunk"]),
        "validate_chunk": ("all_success", ["load_rows", "review_mapping", "write_report"]),
        "review_mapping": ("none_failed", ["review_mapping_2"]),
        "review_mapping_2": ("all_success", ["review_mapping_3"]),
        "review_mapping_3": ("all_success", ["load_rows"]),
        "load_rows": ("none_failed", ["write_report"]),
        "write_report": ("all_done", ["close_job"]),
        "close_job": ("all_done_setup_success", []),
    }
    assert dag.task_dict["validate_chunk"].is_mapped
    assert {task.task_id for task in dag.tasks if task.is_teardown} == {"close_job"}
    assert dag.task_dict["close_job"].on_failure_fail_dagrun


@pytest.mark.parametrize(("dag_id", "import_type"), sorted(IMPORT_DAGS.items()))
def test_the_form_asks_for_the_file_and_offers_every_setting_left_alone(bag, dag_id, import_type):
    """Source: X-11."""
    params = bag.dags[dag_id].params
    offered = {name for name in params if name != "file"}
    assert offered == set(parameter_schema(IMPORT_TYPES[import_type]))
    assert offered >= {"delimiter", "mapping", "dry_run", "force"}
    assert {params[name] for name in offered} == {None}
    assert not params.get_param("file").has_value
    assert params.get_param("file").schema["type"] == "string"


@pytest.mark.parametrize(("dag_id", "import_type"), sorted(IMPORT_DAGS.items()))
def test_load_rows_reports_an_asset_per_target_table(bag, dag_id, import_type):
    uris = {asset.uri for asset in bag.dags[dag_id].task_dict["load_rows"].outlets}
    assert uris == {f"warehouse://{table.replace('.', '/')}" for table in IMPORT_TYPES.of(import_type).targets}
    assert uris


def test_include_never_imports_airflow():
    offenders = []
    files = sorted((PROJECT / "include").rglob("*.py"))
    assert len(files) > 20
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            offenders += [f"{path.name}: {name}" for name in names if name.split(".")[0] == "airflow"]
    assert offenders == []


def test_airflow_loads_one_file_of_plugins_as_a_plugin():
    from airflow._shared.module_loading import find_path_from_directory

    paths = find_path_from_directory(str(PLUGINS), ".airflowignore", "glob")
    assert [Path(path).name for path in paths if path.endswith(".py")] == ["loyalty_plugin.py"]


def test_the_top_level_names_of_plugins_hide_no_other_module():
    """Airflow puts `plugins/` on the path: the package and the names of before are imported as they are."""
    stems = {path.stem for path in PLUGINS.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert stems == {"loyalty_airflow", "loyalty_plugin", "chunk_priority", "landing_trigger", "stock_trigger"}
    folders = {path.name for path in (PROJECT, *map(Path, sys.path)) if path != PLUGINS and path.is_dir()}
    others = {path.stem for entry in sys.path if entry and Path(entry) != PLUGINS for path in Path(entry).glob("*.py")}
    assert stems & (others | set(sys.stdlib_module_names) | folders) == set()


def test_class_paths_that_airflows_database_holds_of_earlier_versions_are_still_importable():
    import landing_trigger
    import stock_trigger
    from airflow.task.priority_strategy import validate_and_load_priority_weight_strategy

    from loyalty_airflow import chunk_priority
    from loyalty_airflow.triggers.landing import LandingTrigger
    from loyalty_airflow.triggers.stock import StockTrigger

    assert (landing_trigger.LandingTrigger, stock_trigger.StockTrigger) == (LandingTrigger, StockTrigger)
    strategy = validate_and_load_priority_weight_strategy("chunk_priority.LaterChunksWait")
    assert isinstance(strategy, chunk_priority.LaterChunksWait)


def test_the_listener_of_notes_is_registered():
    from airflow.listeners.listener import get_listener_manager

    from loyalty_airflow import run_notes

    assert run_notes in get_listener_manager().pm.get_plugins()
