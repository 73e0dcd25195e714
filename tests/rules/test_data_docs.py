"""GX's own page of a validation, for each type's whole suite. Source: X-08, X-20."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from include.import_types import IMPORT_TYPES
from include.project.loader import load_project
from include.rules.data_docs import render
from include.rules.wildcards import expand_entries
from include.runtime import ROOT

pytestmark = pytest.mark.rules

LAUNCHED_AT = "2026-01-31T12:00:00+00:00"


def evidence(import_type: str) -> dict[str, Any]:
    """Every rule judged 1,000 rows, and every third found 10 of them broken; the reader rejected one more."""
    suite = json.loads((ROOT / "expectations" / f"{import_type}.json").read_text())
    entries = expand_entries(suite["expectations"], IMPORT_TYPES[import_type].all_fields(load_project()))
    results = [
        {
            "success": number % 3 > 0,
            "expectation_config": entry,
            "result": {
                "element_count": 1000,
                "unexpected_count": 0 if number % 3 else 10,
                "unexpected_percent": 0.0 if number % 3 else 1.0,
            },
        }
        for number, entry in enumerate(entries)
    ]
    reader = {
        "success": False,
        "expectation_config": {"meta": {"rule": "row.ragged"}, "severity": "critical"},
        "result": {"element_count": 1000, "unexpected_count": 1, "unexpected_percent": 0.1},
    }
    meta = {"job": 17, "file": "<b>cards</b>.csv"}
    return {"success": False, "suite_name": suite["name"], "meta": meta, "results": [*results, reader]}


@pytest.mark.parametrize("import_type", IMPORT_TYPES)
def test_the_page_has_every_expectation_and_nothing_that_is_loaded_or_run(import_type: str) -> None:
    validation_result = evidence(import_type)
    page = render(validation_result, LAUNCHED_AT)
    text = unescape(re.sub(r"<[^>]+>", "", page))
    judged = [result for result in validation_result["results"] if "type" in result["expectation_config"]]
    kinds = {result["expectation_config"]["type"] for result in judged}
    assert {kind for kind in kinds if kind not in text} == set()
    rules = {result["expectation_config"]["meta"]["rule"] for result in judged}
    assert {rule for rule in rules if f"{rule}: " not in text} == set()  # by its name, not as a call of Python
    assert "(**{" not in text
    assert page.count("fa-times text-danger") >= sum(not result["success"] for result in judged)
    assert "job 17" in text
    assert "2026-01-31" in text
    assert re.findall(r"<(?:script|link|img|iframe|form)\b|\son\w+=|https?://|href=\"(?!#)", page) == []
