"""What the rules say without the values that they say it of. Source: X-08, X-20."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from include.import_types import IMPORT_TYPES
from include.project.loader import load_project
from include.reading.records import ROW_RULES
from include.rules.sentences import masked_sentences
from include.rules.wildcards import expand_entries, expand_load_rules
from include.runtime import ROOT, Runtime

pytestmark = pytest.mark.unit

SUITES, PROJECT = ROOT / "expectations", ROOT / "include" / "config" / "project.yaml"
RUNTIME = Runtime(sa.create_engine("postgresql://"), *["/nowhere"] * 4, import_types=IMPORT_TYPES)


@pytest.mark.parametrize("name", IMPORT_TYPES)
def test_every_rule_of_a_type_has_a_sentence_without_places(name: str) -> None:
    declared, fields = IMPORT_TYPES[name], IMPORT_TYPES[name].all_fields(load_project(PROJECT))
    entries = json.loads((SUITES / f"{name}.json").read_text())["expectations"]
    rules = {entry["meta"]["rule"] for entry in expand_entries(entries, fields)}
    rules |= {rule.id for rule in expand_load_rules(declared.load_rules, fields)} | set(ROW_RULES)
    sentences = masked_sentences(RUNTIME, IMPORT_TYPES[name])
    assert set(sentences) == rules
    assert [sentence for sentence in sentences.values() if not sentence or "{" in sentence] == []


def test_values_are_left_out_and_what_the_rule_asks_for_is_shown() -> None:
    cards = masked_sentences(RUNTIME, IMPORT_TYPES["gift_cards"])
    assert cards["balance.negative"] == "Card balance … is below 0."
    assert cards["balance.equals_pool_value"] == ("Card balance … differs from the fixed value of pool …, which is ….")
    assert cards["card_number.duplicate_in_file"] == (
        "Duplicate card number, first seen on line …. The first row is kept."
    )
    assert cards["row.ragged"] == "The row has … cells, the header has …."
    customers = masked_sentences(RUNTIME, IMPORT_TYPES["customers"])
    assert customers["email.not_email"] == "Email … is not an e-mail address."
