"""The local stack without Airflow: the supervisor over small programs, the demonstration's table, the samples."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from include.import_types import IMPORT_TYPES
from tools.stack.demo import HEADINGS, Job, Sample, drop, find_samples, step_lines, table_lines
from tools.stack.demo_promo_codes import Step, make_files
from tools.stack.processes import created_at, end_session, is_alive, session_members
from tools.stack.supervisor import STATE, GaveUpError, Patience, Program, Supervisor, tail, take_lock

pytestmark = pytest.mark.unit

QUICK = Patience(first_pause_seconds=0.05, longest_pause_seconds=0.2, most_deaths=3, leftovers_seconds=0.5)


def program(code: str, stop_seconds: float = 5.0) -> Program:
    return Program((sys.executable, "-c", code), stop_seconds)


def wait_until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def state(run: Path) -> dict[str, dict[str, dict[str, int]]]:
    path = run / STATE
    return json.loads(path.read_text()) if path.exists() else {"components": {}}


@contextmanager
def supervised(folder: Path, patience: Patience = QUICK, **programs: Program) -> Iterator[Path]:
    supervisor = Supervisor(
        programs, logs=folder, run=folder, ports={"PORT": 1}, keep_database=lambda: None, patience=patience
    )
    thread = threading.Thread(target=supervisor.supervise, args=(0.02,))
    thread.start()
    try:
        wait_until(lambda: state(folder)["components"].keys() == programs.keys())
        yield folder
    finally:
        supervisor.request_stop()
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_a_component_that_dies_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, sleeper=program("import time; time.sleep(60)")) as run:
        first = state(run)["components"]["sleeper"]["pid"]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: state(run)["components"].get("sleeper", {}).get("pid", first) != first)
        second = state(run)["components"]["sleeper"]["pid"]
        assert psutil.pid_exists(second)
        assert state(run)["deaths"] == {"sleeper": 1}
    assert not psutil.pid_exists(second)


def test_what_a_dead_component_left_behind_is_ended_before_it_starts_again(tmp_path: Path) -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    with supervised(tmp_path, parent=program(code)) as run:
        log = tmp_path / "parent.log"
        wait_until(lambda: log.read_text().strip())
        child = psutil.Process(int(log.read_text().split()[0]))
        os.kill(state(run)["components"]["parent"]["pid"], signal.SIGKILL)
        wait_until(lambda: len(log.read_text().split()) == 2)
        assert not is_alive(child)


def test_a_component_that_keeps_dying_stops_the_others_and_its_log_is_shown(tmp_path: Path) -> None:
    supervisor = Supervisor(
        {"sleeper": program("import time; time.sleep(60)"), "broken": program("raise SystemExit('no such table')")},
        logs=tmp_path,
        run=tmp_path,
        ports={},
        keep_database=lambda: None,
        patience=QUICK,
    )
    with pytest.raises(GaveUpError, match=r"(?s)broken died 3 times .* exit status: 1.*no such table"):
        supervisor.supervise(0.02)
    assert not psutil.pid_exists(state(tmp_path)["components"]["sleeper"]["pid"])


def test_a_component_that_does_not_want_to_end_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with supervised(tmp_path, stubborn=program(stubborn, stop_seconds=0.1)) as run:
        pid = state(run)["components"]["stubborn"]["pid"]
        wait_until(lambda: "deaf" in (tmp_path / "stubborn.log").read_text())
    assert not psutil.pid_exists(pid)


def test_the_database_is_looked_after(tmp_path: Path) -> None:
    checks: list[float] = []
    supervisor = Supervisor({}, logs=tmp_path, run=tmp_path, ports={}, keep_database=lambda: checks.append(0))
    supervisor.request_stop()
    supervisor.supervise()
    assert checks == []
    supervisor = Supervisor({}, logs=tmp_path, run=tmp_path, ports={}, keep_database=lambda: checks.append(0))
    thread = threading.Thread(target=supervisor.supervise, args=(0.02,))
    thread.start()
    wait_until(lambda: checks)
    supervisor.request_stop()
    thread.join(timeout=10)


def test_a_number_that_now_means_another_process_is_left_alone(tmp_path: Path) -> None:
    with supervised(tmp_path, sleeper=program("import time; time.sleep(60)")) as run:
        pid = state(run)["components"]["sleeper"]["pid"]
        created = created_at(pid)
        assert created is not None
        assert [one.pid for one in session_members(pid, created)] == [pid]
        end_session(pid, created - 100, patience_seconds=0.1)
        assert is_alive(psutil.Process(pid))


def test_one_supervisor_holds_the_folder(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    assert lock is not None
    assert take_lock(tmp_path) is None
    lock.close()
    again = take_lock(tmp_path)
    assert again is not None
    again.close()


def test_the_end_of_a_long_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert tail(log, 2) == "line 99998\nline 99999"
    assert tail(tmp_path / "none.log") == "(there is no log)"


# -- the demonstration


def test_there_is_a_sample_of_every_import_type() -> None:
    assert {sample.import_type for sample in find_samples()} == set(IMPORT_TYPES)


def test_a_sample_is_dropped_whole_and_under_its_own_name(tmp_path: Path) -> None:
    source = tmp_path / "sample.csv"
    source.write_bytes(b"Card number\r\n1\r\n")
    sample = Sample("gift_cards", source, "gift_cards.sample.csv")
    drop(sample, tmp_path / "landing")
    drop(sample, tmp_path / "landing")
    dropped = list((tmp_path / "landing").rglob("*.csv*"))
    assert dropped == [tmp_path / "landing" / "gift_cards" / "gift_cards.sample.csv"]
    assert dropped[0].read_bytes() == source.read_bytes()


def test_the_table_shows_counts_reports_and_reasons() -> None:
    jobs = [
        (
            Sample("gift_cards", Path("sample.csv"), "gift_cards.sample.csv"),
            Job("completed_with_rejects", True, (1200, 1050, 30, 0, 20, 100), "/elsewhere/rejected.csv", None),
        ),
        (
            Sample("customers", Path("sample.csv"), "customers.sample.csv"),
            Job("refused", True, (None,) * 6, None, "The file is empty."),
        ),
    ]
    heading, _, cards, customers, reason = table_lines(jobs)
    assert heading.split("  ")[0] == HEADINGS[0]
    assert cards.split() == [
        "gift_cards.sample.csv", "completed_with_rejects", "1,200", "1,050", "30", "0", "20", "100",
        "/elsewhere/rejected.csv",
    ]  # fmt: skip
    assert customers.split() == ["customers.sample.csv", "refused"]
    assert reason.strip() == "The file is empty."


def test_each_demonstration_uploads_codes_that_were_not_there_before(tmp_path: Path) -> None:
    first, second = (make_files(tmp_path)["promo_codes"].read_text().splitlines() for _ in range(2))
    assert first[0] == second[0] == "Code,Pool"
    assert len(set(first) | set(second)) == 1 + 20 + 20


def test_the_steps_of_the_pools_are_a_table_too() -> None:
    steps = [Step("one", "filled", 1234), Step("two", "mail sent", seconds=1.26)]
    assert [line.split() for line in step_lines(steps)[2:]] == [
        ["1,234", "one", "filled"],
        ["1.3", "two", "mail", "sent"],
    ]
