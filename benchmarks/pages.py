"""Times of the pages with 100,000 jobs and a million rejects in the ledger.

The pages are asked for as a browser would, through Airflow's API server application with a user who is signed in, but
within one process: what the network and the browser take is not in it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench import Bench, Samples
from include.warehouse.roles import Role

PROJECT = Path(__file__).resolve().parents[1]
JOBS = 100_000
REJECTS = 1_000_000
ROUNDS = 15
SLOWEST_MS = 250
REJECTED_JOB = JOBS // 2
RUNNING_JOB = JOBS - 10
# The first job is a real one, of which the others are copies: settings and mapping make the rows as wide as they are.
FILL = f"""
INSERT INTO ledger.import_job (
    run_key, import_type, action, state, launched_at, launched_by, dag_id, dag_run_id, source_url, source_version,
    file_name, arrived_at, size_bytes, sha256, fingerprint, parameters, settings, inspection, mapping, is_dry_run,
    archive_url, rows_read, rows_inserted, rows_updated, rows_unchanged, rows_not_found, rows_rejected, loaded_at,
    finished_at, duplicate_of
)
SELECT
    'run ' || number,
    (ARRAY['gift_cards', 'gift_card_pools', 'promo_codes', 'promo_code_pools', 'customers'])[1 + number % 5],
    job.action,
    CASE WHEN number = {RUNNING_JOB} THEN 'running' WHEN number % 1000 = 0 THEN 'refused'
        WHEN number % 7 = 0 THEN 'completed_with_rejects' ELSE 'completed' END,
    timestamptz '2025-01-01' + number * interval '5 minutes', 'file drop', 'import_gift_cards', 'run ' || number,
    'landing/file_' || number, '1', 'file_' || md5(number::text) || '.csv', now(), 1000, md5(number::text),
    md5(number::text), job.parameters, job.settings, job.inspection, job.mapping, false, 'archive', {REJECTS}, 0, 0, 0,
    0, {REJECTS}, now(), CASE WHEN number <> {RUNNING_JOB} THEN now() END, CASE WHEN number % 100 = 0 THEN job.id END
FROM (SELECT * FROM ledger.import_job ORDER BY id LIMIT 1) AS job, generate_series(2, {JOBS}) AS number
ORDER BY number;
INSERT INTO ledger.import_job_parent
SELECT number + 1, number FROM generate_series(2, {JOBS - 1}, 10) AS number;
INSERT INTO ledger.import_job_parent VALUES ({REJECTED_JOB + 5}, {REJECTED_JOB}) ON CONFLICT DO NOTHING;
INSERT INTO ledger.reject (job_id, line, chunk_number, byte_offset, byte_length, rules, reasons, fixed_by_job_id)
SELECT
    {REJECTED_JOB}, number + 1, 1, number * 60, 59, 'balance.not_decimal pool_system_name.known',
    'Card balance ''abc'' is not a number. | Pool ''nowhere'' does not exist.',
    CASE WHEN number % 2 = 0 THEN {REJECTED_JOB + 5} END
FROM generate_series(1, {REJECTS}) AS number;
INSERT INTO ledger.job_rule VALUES
    ({REJECTED_JOB}, 'balance.not_decimal', 'critical', {REJECTS},
     (SELECT array_agg(number) FROM generate_series(2, 101) AS number)),
    ({REJECTED_JOB}, 'pool_system_name.known', 'critical', {REJECTS}, '{{2}}');
INSERT INTO ledger.import_chunk (
    job_id, number, byte_start, byte_end, first_line, rows_read, rows_staged, rows_rejected
)
SELECT
    {RUNNING_JOB}, number, number * 1000, number * 1000 + 1000, number * 10, 10, CASE WHEN number < 300 THEN 10 END, 1
FROM generate_series(1, 500) AS number;
INSERT INTO loyalty.promo_code_pool (system_id, name, fill_method) VALUES ('summer', 'Summer', 'upload');
"""
PAGES = {
    "list, first page": "/imports/",
    "list, page 1,000 by cursor": f"/imports/?before={JOBS - 50_000}",
    "list, one type": "/imports/?type=customers",
    "list, a common state": "/imports/?state=completed",
    "list, the one running job": "/imports/?state=running",
    "list, a state that no job has": "/imports/?state=cancelled",
    "list, part of a common name": "/imports/?name=file_a",
    "list, a name that no file has": "/imports/?name=nowhere",
    "list, the oldest day": "/imports/?since=2025-01-01&until=2025-01-01",
    "list, type, state, name and days": (
        "/imports/?type=customers&state=refused&name=nowhere&since=2025-01-01&until=2026-12-31"
    ),
    "job, a small one": "/imports/jobs/1",
    "job, running, 500 chunks": f"/imports/jobs/{RUNNING_JOB}",
    "job, 1,000,000 rejects, half of them fixed": f"/imports/jobs/{REJECTED_JOB}",
    "rejects, first page": f"/imports/jobs/{REJECTED_JOB}/rejects",
    "rejects, the last page": f"/imports/jobs/{REJECTED_JOB}/rejects?after={REJECTS - 50}",
    "rejects, of one rule": f"/imports/jobs/{REJECTED_JOB}/rejects?rule=balance.not_decimal",
    "pools": "/imports/pools",
    "promo code pool": "/imports/pools/promo-codes/summer",
    "promo code pool, its history": "/imports/pools/promo-code-history?pool=summer",
}


def measure_pages(bench: Bench) -> None:
    """Fill the ledger of a database of its own, and time each page in a process with Airflow."""
    bench.server.create_database("bench_airflow", owner=Role.AIRFLOW)
    try:
        with bench.database() as database, tempfile.TemporaryDirectory() as home:
            bench.execute(database, FILL)
            bench.execute(database, "VACUUM ANALYZE")
            environment = {
                **os.environ,
                "AIRFLOW_HOME": home,
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
                "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": bench.server.url("bench_airflow", Role.AIRFLOW).replace(
                    "postgresql://", "postgresql+psycopg2://"
                ),
                "AIRFLOW__API_AUTH__JWT_SECRET": "secret of the benchmark, as long as its algorithm wants it to be",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
                "AIRFLOW_CONN_WAREHOUSE_PAGES": bench.server.url(database, Role.PAGES).replace(
                    "postgresql://", "postgres://"
                ),
                **{f"AIRFLOW_VAR_{name}_URL": home for name in ("LANDING", "WORK", "REPORTS", "ARCHIVE")},
                "PYTHONPATH": str(PROJECT / "plugins"),
            }
            command = [sys.executable, "-m", "benchmarks.pages"]
            printed = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=PROJECT
            ).stdout
    finally:
        bench.server.drop_database("bench_airflow")
    for name, values in json.loads(printed.splitlines()[-1]).items():
        for value in values:
            bench.samples.add(f"page: {name}", value)


def report_pages(samples: Samples) -> None:
    """Print medians in milliseconds, beside the slowest and the target."""
    print(f"\nPages with {JOBS:,} jobs and {REJECTS:,} rejects in the ledger, medians of {ROUNDS}")
    for name in PAGES:
        values = samples.values[f"page: {name}"]
        median = 1000 * statistics.median(values)
        missed = "" if median <= SLOWEST_MS else "   MISSED"
        print(f"  {name:46} {median:7.0f} ms  (slowest {1000 * max(values):.0f})   target <= {SLOWEST_MS}{missed}")


def time_pages() -> dict[str, list[float]]:
    """Ask for each page, all of them in turn, in this process."""
    from airflow import settings
    from airflow.utils.db import initdb

    settings.configure_vars()
    settings.configure_orm()
    initdb()
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    browser = TestClient(create_app(apps="core"), base_url="http://airflow.example.com")
    browser.cookies.set("_token", get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="a", role="viewer")))
    times: dict[str, list[float]] = {name: [] for name in PAGES}
    for number in range(ROUNDS + 1):
        for name, address in PAGES.items():
            start = time.perf_counter()
            answer = browser.get(address)
            taken = time.perf_counter() - start
            if answer.status_code != 200:
                raise SystemExit(f"{name}: {answer.status_code}")
            if number:  # the first time, modules are imported and connections opened
                times[name].append(taken)
    return times


if __name__ == "__main__":
    print(f"\n{json.dumps(time_pages())}")
