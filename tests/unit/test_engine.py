"""The engine names no import type: what a type needs, its declaration says."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from include.declaration.import_type import ImportType
from include.declaration.loads import DUPLICATE, OTHER_VALUES
from include.declaration.settings import ImportSettings
from include.import_types import IMPORT_TYPES
from include.rules.standard import is_standard

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
ENGINE = (
    *(
        f"include/{package}"
        for package in ("storage", "values", "declaration", "ledger", "settings", "columns", "reading", "rules",
                        "arrivals", "stages", "review")
    ),
    *(f"include/{module}.py" for module in ("runtime", "importer", "rule_pages", "located_yaml", "names", "errors")),
    *(f"include/cli/{module}.py" for module in ("context", "errors", "imports", "printing", "warehouse")),
    *(
        f"plugins/loyalty_airflow/{module}.py"
        for module in ("tasks/importing", "tasks/loading", "tasks/review", "pages/upload_pages", "pages/job_pages",
                       "pages/jobs_pages", "job_of_run", "lineage", "mails", "metrics")
    ),
)  # fmt: skip
"""Packages and modules. Mails, notes on runs and some commands are about promo codes as well, so they aren't here."""
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
WORDS_OF_MODULES = {
    "include/reading/stray_rows.py": {"customer"},  # of lines with totals
    "include/rules/plausibility.py": {"customer"},  # in a question about names of any kind
}


def own_names() -> set[str]:
    """Return what belongs to one type: its name, tables, fields, settings, limits and rules."""
    general = {*ImportSettings.names(), *ORDINARY_WORDS, *_rules_of_many()}
    names: set[str] = set()
    for import_type in IMPORT_TYPES.values():
        names |= {import_type.name, *import_type.targets, *(field.name for field in import_type.fields)}
        abilities = {name for base in ImportSettings.__subclasses__() if base.__module__ == ImportSettings.__module__
                     for name in base.names()}  # fmt: skip
        names |= {*import_type.settings.names()} - abilities
        names |= {*import_type.extras.project_limits, *(target.partition(".")[2] for target in import_type.targets)}
        names |= {name for name in _rule_names(import_type) if "_" in name}
    return names - general


def _rule_names(import_type: ImportType, *, standard: bool = False) -> set[str]:
    """Return what comes behind the field in the ids of a type's rules: those of its own, or the standard ones."""
    suite = json.loads((ROOT / "expectations" / f"{import_type.name}.json").read_text(encoding="utf-8"))
    ids = {entry["meta"]["rule"] for entry in suite["expectations"] if is_standard(entry) is standard}
    if not standard:
        ids |= {rule.id for rule in import_type.load_rules}
    return {rule.partition(".")[2] for rule in ids}


def _rules_of_many() -> set[str]:
    """Return the names of rules that a type may take over: the standard ones, and those of a generic load."""
    standard = {name for import_type in IMPORT_TYPES.values() for name in _rule_names(import_type, standard=True)}
    return {*standard, DUPLICATE, OTHER_VALUES}


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
            uses += sorted(names & {word.strip(".") for word in re.findall(r"[\w.]+", node.value)})
    return uses


@pytest.mark.parametrize("part", ENGINE)
def test_no_module_of_the_engine_names_a_type_or_what_is_a_types_own(part: str):
    files = [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py"))
    assert files
    names = own_names()
    names_by_module = {}
    for path in files:
        module = path.relative_to(ROOT).as_posix()
        names_by_module[module] = named(path.read_text(encoding="utf-8"), names - WORDS_OF_MODULES.get(module, set()))
    assert {module: uses for module, uses in names_by_module.items() if uses} == {}


def test_the_search_sees_such_names():
    assert named('if job.import_type == "gift_cards": pass', own_names()) == ["gift_cards"]
    assert named('settings.get("on_existing")', own_names()) == ["on_existing"]
    assert named("settings.segment", own_names()) == ["segment"]
    assert named('query = "INSERT INTO loyalty.customer VALUES (1)"', own_names()) == ["loyalty.customer"]
    assert named('"""On gift_cards."""', own_names()) == []
    assert named('label = "Rows without a matching customer"', own_names()) == ["customer"]
    assert named('rule.endswith(".many_digits")', own_names()) == ["many_digits"]
    assert named("project.max_generation", own_names()) == ["max_generation"]
