"""`python -m tools.run_tests [FOLDER …]`: all tests, or those of some folders, in two processes at a time.

Tests with a running Airflow mostly wait, and two at once would meet in ports and time limits: one lane runs them one
after another, the other runs everything else, and whichever is ready first takes what is left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
WITH_AIRFLOW = ("end_to_end/through_airflow", "end_to_end/composition", "end_to_end", "browser")
"""In this order; a folder means the files in it that no earlier one has."""
OTHERS = ("integration", "dags", "faults", "unit", "rules")
FILES_OF_A_PART = 12
"""Of the folders in `OTHERS`: small enough that the lanes end together."""
SLOWEST = 5
"""Tests of a part whose times are printed."""


@dataclass(frozen=True)
class Part:
    """Test files that one process of pytest runs."""

    name: str
    files: tuple[Path, ...]


def parts_of(folders: tuple[str, ...], most_files: int) -> list[Part]:
    """Cut folders into parts, in order; every test file below them is in exactly one."""
    taken: set[Path] = set()
    parts = []
    for folder in folders:
        files = [path for path in sorted((TESTS / folder).rglob("test_*.py")) if path not in taken]
        taken.update(files)
        cuts = [files[first : first + most_files] for first in range(0, len(files), most_files)]
        for number, cut in enumerate(cuts, start=1):
            parts.append(Part(f"{folder} {number}/{len(cuts)}" if cuts[1:] else folder, tuple(cut)))
    return parts


class Runner:
    """Two lanes, and what came of each part."""

    def __init__(self, alone: list[Part], others: list[Part]) -> None:
        self._alone, self._others = deque(alone), deque(others)
        self._lock = threading.Lock()
        self._print = threading.Lock()
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    def run(self) -> bool:
        """Run all parts; return whether all passed."""
        lanes = [threading.Thread(target=self._lane, args=(is_first,)) for is_first in (True, False)]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        return not self.failed

    def _lane(self, is_first: bool) -> None:
        while part := self._next(is_first):
            self._run_part(part)

    def _next(self, is_first: bool) -> Part | None:
        with self._lock:
            if is_first and self._alone:
                return self._alone.popleft()
            return self._others.popleft() if self._others else None

    def _run_part(self, part: Part) -> None:
        started = time.monotonic()
        with tempfile.TemporaryFile() as output:
            command = [sys.executable, "-m", "pytest", f"--durations={SLOWEST}", *map(str, part.files)]
            code = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT).returncode
            seconds = time.monotonic() - started
            output.seek(0)
            text = output.read()
        with self._print:
            self.seconds[part.name] = seconds
            if code:
                self.failed.append(part.name)
            sys.stdout.buffer.write(
                f"\n==== {part.name}: {'failed' if code else 'passed'} in {seconds:.0f} s\n".encode()
            )
            sys.stdout.buffer.write(text)
            sys.stdout.flush()


def main() -> int:
    """Run the test files; return the exit code."""
    asked_for = tuple(sys.argv[1:])
    alone = [] if asked_for else parts_of(WITH_AIRFLOW, most_files=1000)
    others = parts_of(asked_for or OTHERS, FILES_OF_A_PART)
    every = {path for folder in asked_for or (".",) for path in (TESTS / folder).rglob("test_*.py")}
    left_out = every - {path for part in (*alone, *others) for path in part.files}
    if left_out or not every:
        sys.exit(f"error: no part runs {', '.join(map(str, sorted(left_out))) or 'anything of these folders'}")
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    runner = Runner(alone, others)
    started = time.monotonic()
    has_passed = runner.run()
    print()
    for name, seconds in sorted(runner.seconds.items(), key=lambda item: -item[1]):
        print(f"  {seconds:6.0f} s  {name}{'   FAILED' if name in runner.failed else ''}")
    print(f"  {time.monotonic() - started:6.0f} s  in all")
    return 0 if has_passed else 1


if __name__ == "__main__":
    sys.exit(main())
