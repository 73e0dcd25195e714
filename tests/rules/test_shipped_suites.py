"""What holds for every suite that ships."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from include import import_types
from include.declaration.fields import Kind

pytestmark = pytest.mark.rules

SUITES = sorted((Path(__file__).resolve().parents[2] / "expectations").glob("*.json"))
READABLE = "expect_column_values_to_be_readable"


def rules_of(path: Path) -> list[dict[str, Any]]:
    expectations: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    return expectations


def test_every_import_type_has_its_suite_and_every_suite_its_type() -> None:
    assert {path.stem for path in SUITES} == set(import_types.IMPORT_TYPES)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_problem_of_reading_rejects(path: Path) -> None:
    rules = [rule for rule in rules_of(path) if rule["type"] == READABLE]
    for field in import_types.get(path.stem).fields:
        if field.kind is Kind.TEXT:
            continue
        of_field = [rule["kwargs"] for rule in rules if rule["kwargs"]["column"] == field.name]
        catch_all = [kwargs for kwargs in of_field if "problems" not in kwargs]
        named = {problem for kwargs in of_field for problem in kwargs.get("problems", [])}
        assert [set(kwargs.get("other_than", [])) for kwargs in catch_all] == [named], field.name
    assert {rule["severity"] for rule in rules} == {"critical"}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_required_field_has_a_rule_for_its_blank_cells(path: Path) -> None:
    present = {
        rule["kwargs"]["column"]
        for rule in rules_of(path)
        if rule["type"] == "expect_column_values_to_be_present" and "when_column" not in rule["kwargs"]
    }
    assert present == {field.name for field in import_types.get(path.stem).fields if field.required}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_message_begins_with_a_word_and_is_ascii(path: Path) -> None:
    # It is written in the sender's encoding, in a cell that a spreadsheet must not take for a formula.
    for rule in rules_of(path):
        message = rule["meta"]["message"]
        begins_with_label = message.startswith("{label}") and "*" in rule["meta"]["rule"]
        assert re.match("[A-Z][a-z]*|CVV", message) or begins_with_label, message
        assert message.isascii(), message
        assert " | " not in message, message


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_x20_no_message_quotes_a_secret(path: Path) -> None:
    for field in import_types.get(path.stem).fields:
        if field.is_secret:
            own = [rule for rule in rules_of(path) if rule["meta"]["rule"].startswith(f"{field.name}.")]
            assert own
            for rule in rules_of(path):
                assert f"{{{field.name}" not in rule["meta"]["message"]
            for rule in own:
                assert "{value}" not in rule["meta"]["message"]
