"""The project's own errors, which commands report in a sentence. Source: X-12."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from include.cli.errors import is_expected

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
CAUGHT_NEAR_BY = {
    "include.arrivals.places.OutOfPlace", "include.arrivals.uploads._Abandoned", "include.located_yaml.YamlMistake",
    "include.reading.dialect.Undecodable",
}  # fmt: skip
"""Never seen by a command: what raises them is called where they are caught."""
OF_OTHER_COMMANDS = {"include.deployment.errors.StackError", "include.warehouse.bootstrap.BootstrapError"}
"""Of programs of their own, which report them."""


def own_errors() -> dict[str, type[BaseException]]:
    """Return the exceptions that the project defines, by their full names."""
    errors = {}
    for path in sorted((ROOT / "include").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.bases:
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                defined = getattr(importlib.import_module(module), node.name)
                if issubclass(defined, BaseException):
                    errors[f"{module}.{node.name}"] = defined
    return errors


def test_x12_a_command_reports_every_error_of_the_project_in_a_sentence() -> None:
    errors = own_errors()
    unexpected = {name for name, error in errors.items() if not is_expected(error.__new__(error))}
    assert unexpected == CAUGHT_NEAR_BY | OF_OTHER_COMMANDS
    assert "include.errors.FileUnsettled" in errors
