"""Children of a warm parent: the libraries, Great Expectations above all, take seconds to import."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path

from tests.faults import worker
from tests.faults.worker import Work

PATIENCE_SECONDS = 120
_context = multiprocessing.get_context("forkserver")
PROJECT = Path(__file__).resolve().parents[2]


def warm_up() -> None:
    """Start the process that children are forked from; it has imported everything and opened nothing."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(PROJECT)  # the fork server of Python 3.11 doesn't take over sys.path
    _context.set_forkserver_preload([worker.__name__])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@dataclass(frozen=True)
class Ended:
    """A child that has ended by itself."""

    code: int
    output: str


class Child:
    """An import in a process of its own."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=worker.run, args=(work, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def output(self) -> str:
        """What the child has printed."""
        log = Path(self.work.log)
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def wait_until_reached(self) -> None:
        """Wait until the child is where `stop_at` says."""
        try:
            if self._pipe.poll(PATIENCE_SECONDS) and self._pipe.recv() == "reached":
                return
        except EOFError:
            self._process.join(PATIENCE_SECONDS)
        raise AssertionError(
            f"The child never came to {self.work.stop_at!r} (exit code {self._process.exitcode}):\n{self.output}"
        )

    def kill(self) -> None:
        """End the child as `kill -9` does."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(PATIENCE_SECONDS)
        assert self._process.exitcode == -signal.SIGKILL
        self._pipe.close()

    def let_go(self) -> None:
        """Let a child that has stopped go on."""
        self._pipe.send("go on")

    def end(self) -> Ended:
        """Wait until the child has ended."""
        self._process.join(PATIENCE_SECONDS)
        code = self._process.exitcode
        if code is None:
            self.kill()
            raise AssertionError(f"The child did not end:\n{self.output}")
        self._pipe.close()
        return Ended(code, self.output)


def run(work: Work) -> Ended:
    """Run an import to its end."""
    return Child(work).end()


def kill_at(work: Work) -> None:
    """Run an import up to `work.stop_at` and kill it there."""
    child = Child(work)
    child.wait_until_reached()
    child.kill()
