"""Pools of promo codes that run low, in a running Airflow: from the last code to new ones, and the mail."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Connection, text

from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.imports import Imports, wait_for
from tests.integration.top_ups import UPLOAD, add_codes, add_pool, alerts, available, generations, issue
from tools.stack.demo import show_demo
from tools.stack.demo_promo_codes import GENERATED

pytestmark = pytest.mark.e2e

DAG = "top_up_promo_pools"
DRAINS = 5


@pytest.fixture
def connection(imports: Imports) -> Iterator[Connection]:
    """A connection of its own to the stack's warehouse, whose every statement is committed."""
    engine = create_warehouse_engine(imports.stack.url_for(Role.OWNER))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection
    engine.dispose()


def wait_for_codes(connection: Connection, pool: str) -> None:
    """Wait until others can see new codes in a pool."""
    wait_for(lambda: available(connection, pool) or None, 60, f"new codes in {pool}", pause_seconds=0.02)


def mails(imports: Imports, pool_name: str) -> list[EmailMessage]:
    """Return the mails about a pool that the stack's mail catcher has taken, oldest first."""
    messages = [
        email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        for path in sorted(imports.stack.settings.mail.glob("*.eml"))
    ]
    return [mail for mail in messages if mail["Subject"].startswith(f"{pool_name}: ")]


def test_a_drained_pool_is_filled_by_its_signal_not_by_the_schedule(imports: Imports, connection: Connection) -> None:
    """Source: TU-01, TU-04, PG-05. The schedule behind the signals comes every 300 seconds."""
    pool = add_pool(connection, "drained", name="Drained pool", quantity=20)
    wait_for_codes(connection, pool)
    for _ in range(DRAINS):
        assert issue(connection, pool, 20) == ["issued"] * 20
        assert issue(connection, pool) == ["no_available_codes"]
        wait_for_codes(connection, pool)
    history = generations(connection, pool)
    assert [(generation["added"], generation["reason"]) for generation in history] == [(20, "no code is available")] * (
        DRAINS + 1
    )
    kinds = [imports.wait_for_run(DAG, generation["dag_run_id"])["run_type"] for generation in history]
    assert kinds.count("asset_triggered") >= DRAINS, "the schedule comes once at most meanwhile"
    run = f"/api/v2/dags/{DAG}/dagRuns/{quote(history[-1]['dag_run_id'])}"
    tasks = imports.api.get(f"{run}/taskInstances/top_up_pool/listMapped")["task_instances"]
    assert "Drained pool (drained)" in [task["rendered_map_index"] for task in tasks]
    assert "drained: 20 codes added (no code is available)" in imports.api.get(run)["note"].splitlines()


def test_a_low_upload_pool_is_reported_once_by_a_real_mail(imports: Imports, connection: Connection) -> None:
    """Source: TU-03."""
    pool = add_pool(connection, "told", **UPLOAD | {"name": "Told pool", "notify_below": 5, "state": "draft"})
    add_codes(connection, pool, 6)
    connection.execute(text("UPDATE loyalty.promo_code_pool SET state = 'active' WHERE system_id = 'told'"))
    assert issue(connection, pool, 2) == ["issued"] * 2
    mail = wait_for(lambda: next(iter(mails(imports, "Told pool")), None), 60, "the mail", pause_seconds=0.05)
    assert mail["Subject"] == "Told pool: few promo codes left (4 left)"
    assert mail["X-Envelope-To"] == "ops@example.com"
    wait_for(lambda: alerts(connection, pool) == [("low_stock", True, False)] or None, 30, "the note of the sending")
    assert issue(connection, pool, 3) == ["issued"] * 3
    run = imports.api.post(f"/api/v2/dags/{DAG}/dagRuns", {"logical_date": None, "conf": {}})
    assert imports.wait_for_run(DAG, run["dag_run_id"])["state"] == "success"
    assert len(mails(imports, "Told pool")) == 1


def test_no_code_is_in_a_log_or_a_mail(imports: Imports, connection: Connection) -> None:
    """Source: X-20."""
    rows = imports.query("SELECT code FROM loyalty.promo_code WHERE pool_system_id IN ('drained', 'told')")
    codes = [row["code"].encode() for row in rows]
    assert len(codes) > 20
    settings = imports.stack.settings
    files = [path for folder in (settings.logs, settings.airflow_home, settings.mail) for path in folder.rglob("*")]
    texts = {path: path.read_bytes() for path in files if path.is_file()}
    assert any(b"Drained pool (drained)" in content for content in texts.values())
    assert {path for path, content in texts.items() if any(code in content for code in codes)} == set()


def test_the_demonstration_shows_a_pool_topped_up_and_a_mail_sent(
    imports: Imports, capsys: pytest.CaptureFixture[str]
) -> None:
    """Source: TU-01, TU-03. Twice, because `make demo` may be repeated."""
    for filled in ("100", "249"):
        show_demo(imports.stack, timeout_seconds=120)
        output = capsys.readouterr().out
        steps = [line.split() for line in output.splitlines() if f" {GENERATED} " in line]
        assert [step[0] for step in steps] == [filled, "49", "149"]
        assert "100 codes added by top_up_promo_pools: 49 available, below 50" in output
        assert "codes handed out: below its notification level of 10" in output
        (mail,) = re.findall(r"mail sent: to ops@example\.com, (\S+\.eml)", output)
        assert "9 left" in Path(mail).read_text()
        assert "DEMO-" not in output
