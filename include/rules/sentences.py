"""What the rules say, for pages and mails. Source: X-08, X-20.

The sentences in the rejected-rows file quote the sender's cells, so no page may show them. Here each place of a value
is an ellipsis; values that all users may read (pool names, statuses, dates, amounts) come from what the chunks
have counted. GX is not needed for it, which takes seconds to import.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter
from typing import Any

from sqlalchemy import Connection

from include.declaration.import_type import ImportType
from include.ledger import jobs
from include.ledger.jobs import UNKNOWN_TYPE
from include.names import ASCII_MASK, MASK
from include.project.loader import load_project
from include.reading.records import ROW_RULES
from include.rules.wildcards import expand_entries, expand_load_rules
from include.runtime import Runtime

EXAMPLES = 3
"""Sentences with values that are shown of a rule."""
_PLACE = re.compile(r"\{\w+\}")
_END_OF_SENTENCE = re.compile(r"\.(?=\s+[A-Z]|\s*$)")


@dataclass(frozen=True)
class _Texts:
    """What the rules of a type say: rule id → text."""

    sentences: Mapping[str, str]
    questions: Mapping[str, str]


def masked_sentences(runtime: Runtime, import_type: ImportType) -> Mapping[str, str]:
    """Return a sentence for each rule that can reject a row of a type, or warn of one: rule id → sentence.

    The suite, and the project settings, which add fields, are read again when they have changed.
    """
    return _texts(runtime, import_type).sentences


def questions(runtime: Runtime, import_type: ImportType) -> Mapping[str, str]:
    """Return which rules have a person asked about a column: rule id → of which kind its numbers are (X-18)."""
    return _texts(runtime, import_type).questions


@dataclass(frozen=True)
class RuleInWords:
    """How many rows of a job a rule rejected or warned about, and what it says of them.

    Args:
        sentence: of all rows of the rule, with what may be read of their values.
        examples: the most frequent of several such sentences, with their rows.
    """

    rule: str
    severity: str
    rows: int
    sentence: str
    examples: list[tuple[str, int]]


def with_sentences(runtime: Runtime, connection: Connection, job_id: int, import_type: str) -> list[RuleInWords]:
    """Return how many rows each rule rejected or warned about, as `jobs.rule_counts`, and what they say."""
    if import_type == UNKNOWN_TYPE:
        return []
    general = masked_sentences(runtime, runtime.import_types.of(import_type))
    common = jobs.common_sentences(connection, job_id)
    rules = []
    for rule in jobs.rule_counts(connection, job_id):
        counted = list(common.get(rule.rule, {}).items())
        is_one = len(counted) == 1 and counted[0][1] == rule.rows
        examples = [(for_people(sentence), rows) for sentence, rows in counted[:EXAMPLES]]
        sentence = examples[0][0] if is_one else general.get(rule.rule, "")
        rules.append(RuleInWords(rule.rule, rule.severity, rule.rows, sentence, [] if is_one else examples))
    return rules


def for_people(sentence: str) -> str:
    """Return a sentence of a rejected-rows file with the sign that pages have for what is masked or cut off."""
    return sentence.replace(ASCII_MASK, MASK)


def mistake_in_words(rule: str, sentences: Mapping[str, str], rows: str = "") -> str:
    """Return what is wrong with the rows that break a rule, and its id; what to do about it is left out (X-08).

    Args:
        sentences: as of `masked_sentences`; a rule without one is named by its id alone.
        rows: how many rows break it, in words, written beside the id.
    """
    mistake = _END_OF_SENTENCE.split(sentences.get(rule, ""), maxsplit=1)[0]
    name = f"{rule}, {rows}" if rows else rule
    return f"{mistake} ({name})" if mistake else name


def _texts(runtime: Runtime, import_type: ImportType) -> _Texts:
    suite, project = runtime.suites / f"{import_type.name}.json", runtime.project_file
    return _read_texts(import_type, suite, suite.stat().st_mtime_ns, project, project.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_texts(declared: ImportType, suite: Path, _: int, project_file: Path, __: int) -> _Texts:
    fields = declared.all_fields(load_project(project_file))
    entries = expand_entries(json.loads(suite.read_text(encoding="utf-8"))["expectations"], fields)
    load_rules = expand_load_rules(declared.load_rules, fields)
    sentences = (
        {rule: _PLACE.sub(MASK, sentence) for rule, sentence in ROW_RULES.items()}
        | {entry["meta"]["rule"]: _filled(entry["meta"]["message"], entry.get("kwargs", {})) for entry in entries}
        | {rule.id: _PLACE.sub(MASK, rule.message) for rule in load_rules}
    )
    metas = [entry["meta"] for entry in entries]
    return _Texts(sentences, {meta["rule"]: meta["asks"] for meta in metas if "asks" in meta})


def _filled(message: str, arguments: Mapping[str, Any]) -> str:
    """Fill in what the rule was given; what it was applied to stays out."""
    parts = []
    for literal, place, _, _ in Formatter().parse(message):
        parts.append(literal)
        if place is not None:
            argument = arguments.get(place, MASK)
            parts.append(", ".join(map(str, argument)) if isinstance(argument, list) else str(argument))
    return "".join(parts)
