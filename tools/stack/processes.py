"""Sessions of processes: all that a component has started, found and ended together."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence

import psutil

log = logging.getLogger("stack")

SECOND_REQUEST_SECONDS = 3.0


def created_at(pid: int) -> float | None:
    """Creation time of a process, which distinguishes it from a later one of the same number; None when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def session_members(leader: int, created: float | None) -> list[psutil.Process]:
    """Processes of the session that `leader` opened, also when the leader itself is dead.

    The system gives a session's number to nobody else while one member lives; so only a leader that was created at
    another time shows that the number now means other processes, and then there are none of ours.
    """
    now = created_at(leader)
    if now is not None and created is not None and abs(now - created) > 0.1:
        return []
    return [process for process in psutil.process_iter() if _session(process.pid) == leader and is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process still runs; a zombie, which only waits for its parent, does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def end_session(leader: int, created: float | None, *, patience_seconds: float) -> None:
    """Ask the leader to end, or what is left of its session; kill what hasn't ended after `patience_seconds`."""
    members = session_members(leader, created)
    for one in [one for one in members if one.pid == leader] or members:
        _send(one, signal.SIGTERM)
    wait_for_session(members, leader, created, patience_seconds=patience_seconds)


def wait_for_session(
    members: Sequence[psutil.Process], leader: int, created: float | None, *, patience_seconds: float
) -> None:
    """Wait until processes that were asked to end have ended; ask once more; then kill what the session still holds."""
    alive = _wait(members, patience_seconds)
    if alive:
        # To Airflow's components a second signal means: don't wait for anything.
        for one in alive:
            if one.pid == leader:
                _send(one, signal.SIGTERM)
        _wait(alive, SECOND_REQUEST_SECONDS)
    left = session_members(leader, created)
    if left:
        log.warning("killed %d process(es) of session %d that did not end in time", len(left), leader)
    for one in left:
        _send(one, signal.SIGKILL)
    _wait(left, 5)


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return those that still run when the time is up; psutil's own wait counts zombies among them."""
    deadline = time.monotonic() + seconds
    while (alive := [one for one in processes if is_alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
