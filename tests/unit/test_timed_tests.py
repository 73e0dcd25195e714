"""No test fails because the machine is busy: how long things take is measured in `benchmarks/`.

A guard against work that grows out of proportion counts the process's own processor time, with a wide margin.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
CLOCKS = {"time", "monotonic", "perf_counter"}


def reads_clock(node: ast.AST) -> bool:
    """Whether an expression reads a clock that runs while the process waits."""
    return any(
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in CLOCKS
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "time"
        for call in ast.walk(node)
    )


def upper_limits(source: str) -> list[int]:
    """Return the lines of a module where time that has passed must be below something."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
                smaller = left if isinstance(operator, ast.Lt | ast.LtE) else right
                if isinstance(smaller, ast.BinOp) and isinstance(smaller.op, ast.Sub) and reads_clock(smaller):
                    lines.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr == "perf_counter":
            lines.append(node.lineno)
    return lines


def test_what_the_check_refuses_and_what_not():
    assert upper_limits("assert time.monotonic() - began < 5") == [1]
    assert upper_limits("assert 5 >= time.time() - began") == [1]
    assert upper_limits("began = time.perf_counter()") == [1]
    assert upper_limits("assert time.monotonic() < deadline") == []
    assert upper_limits("assert time.monotonic() - began >= 0.3") == []
    assert upper_limits("assert time.process_time() - began < 5") == []


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_limits_the_time_that_passes(path: Path):
    assert upper_limits(path.read_text()) == []
