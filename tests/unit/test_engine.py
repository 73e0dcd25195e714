"""The engine names no import type: what a type needs, its declaration says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from include.declaration.settings import ImportSettings
from include.import_types import IMPORT_TYPES

pytestmark = pytest.mark.unit

INCLUDE = Path(__file__).resolve().parents[2] / "include"
ENGINE = (
    "storage", "values", "declaration", "ledger", "settings", "columns", "reading", "rules", "arrivals", "stages",
    "review",
)  # fmt: skip
ORDINARY_WORDS = {
    "customers",
    "name",
    "code",
    "status",
    "description",
    "launch",
    "email",
    "cvv",
    "format",
    "brand",
    "pool",
    "area",
}
"""What the engine uses for other things: kinds, columns of the ledger, words of forms and of lines with totals."""


def own_names() -> set[str]:
    """Return what belongs to one type: its name, its tables, its fields and its settings."""
    general = {*ImportSettings.names(), *ORDINARY_WORDS}
    names: set[str] = set()
    for import_type in IMPORT_TYPES.values():
        names |= {import_type.name, *import_type.targets, *(field.name for field in import_type.fields)}
        abilities = {name for base in ImportSettings.__subclasses__() if base.__module__ == ImportSettings.__module__
                     for name in base.names()}  # fmt: skip
        names |= {*import_type.settings.names()} - abilities
    return names - general


def named(source: str, names: set[str]) -> list[str]:
    """Return the names that a module's texts and attributes have; comments and docstrings don't count."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    uses = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in names:
            uses.append(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            uses += sorted(names & set(re.findall(r"[\w.]+", node.value)))
    return uses


@pytest.mark.parametrize("package", ENGINE)
def test_no_module_of_the_engine_names_a_type_or_what_is_a_types_own(package: str):
    files = sorted((INCLUDE / package).rglob("*.py"))
    assert files
    names_by_module = {
        str(path.relative_to(INCLUDE)): named(path.read_text(encoding="utf-8"), own_names()) for path in files
    }
    assert {path: names for path, names in names_by_module.items() if names} == {}


def test_the_search_sees_such_names():
    assert named('if job.import_type == "gift_cards": pass', own_names()) == ["gift_cards"]
    assert named('settings.get("on_existing")', own_names()) == ["on_existing"]
    assert named("settings.segment", own_names()) == ["segment"]
    assert named('query = "INSERT INTO loyalty.customer VALUES (1)"', own_names()) == ["loyalty.customer"]
    assert named('"""On gift_cards."""', own_names()) == []
