"""Everything that a running stack shows or keeps of some jobs, to be searched for what nobody may see. Source: X-20."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from tests.end_to_end.imports import QUESTIONS, STAGES, Imports

Jobs = Mapping[str, Mapping[str, Any]]
COMPONENT_LOGS = {f"logs/{name}.log" for name in ("scheduler", "triggerer", "dag-processor", "api-server")}
AIRFLOW_TABLES = {
    f"public.{name}"
    for name in ("xcom", "rendered_task_instance_fields", "dag_run", "dag_run_note", "log", "hitl_detail")
}


def task_log(imports: Imports, job: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """Return a task's log as the UI shows it."""
    path = f"/api/v2/dags/{job['dag_id']}/dagRuns/{job['dag_run_id']}/taskInstances/{task['task_id']}"
    return json.dumps(imports.api.get(f"{path}/logs/{task['try_number']}?map_index={task['map_index']}"))


def shown_by_the_api(imports: Imports, jobs: Jobs) -> Iterator[tuple[str, str]]:
    """Return (where, text) of all that Airflow's UI can show of these jobs' runs."""
    for name, job in jobs.items():
        yield f"{name}: run", json.dumps(imports.run(job))
        instances = imports.task_instances(job)
        assert {one["task_id"] for one in instances} == {*STAGES, *QUESTIONS}
        yield f"{name}: task instances", json.dumps(instances)
        path = f"/api/v2/dags/{job['dag_id']}/dagRuns/{job['dag_run_id']}/taskInstances"
        for one in instances:
            task, index = one["task_id"], one["map_index"]
            if one["try_number"] > 0:
                yield f"{name}: log of {task}", task_log(imports, job, one)
            for entry in imports.api.get(f"{path}/{task}/xcomEntries?map_index={index}")["xcom_entries"]:
                value = imports.api.get(f"{path}/{task}/xcomEntries/{entry['key']}?map_index={index}")
                yield f"{name}: XCom {task}.{entry['key']}", json.dumps(value)
    yield "audit log", json.dumps(imports.api.get("/api/v2/eventLogs?limit=1000"))


def tables(url: str, schema: str) -> Iterator[tuple[str, str]]:
    """Return (table, everything in it) of a database."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (schema,))
            for (table,) in cursor.fetchall():
                cursor.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(schema, table)))
                yield f"{schema}.{table}", "\n".join(text for (text,) in cursor)
    finally:
        connection.close()


def log_files(home: Path) -> Iterator[tuple[str, str]]:
    """Return (file, content) of every log: tasks, components, database."""
    for path in [*home.rglob("*.log"), *home.rglob("*.log.1")]:
        yield str(path.relative_to(home)), path.read_text(errors="replace")


def places_of(texts: Iterator[tuple[str, str]], has_secret: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Return where was looked and where secrets were found, without repeating them."""
    looked, leaks = [], []
    for place, text in texts:
        looked.append(place)
        if has_secret(text):
            leaks.append(place)
    return looked, leaks
