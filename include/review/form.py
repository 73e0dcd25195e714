"""The form of a review: Markdown for a person to read, a dropdown for each field. Source: X-05, X-06, X-20.

Airflow keeps the form in its database and shows it. Where a person is asked because the columns may be wrong, any
column may hold anything: the first rows then show only what is nobody's secret under any header
(`preview.hidden_fields`). Headers are the sender's words, so they are in code spans, where Markdown, HTML and
addresses are but text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from include.columns.mapping import ColumnMapping, How
from include.declaration.fields import Field
from include.ledger.jobs import Job, JobCounts
from include.names import looks_like_data, mask_header
from include.review.decision import LAUNCH, REJECT
from include.review.preview import PreviewRow

SKIP = "(skip)"
LONGEST_HEADER = 60
MOST_COLUMNS = 300
"""So many columns of a file can be chosen from, and those that are mapped already."""
MOST_CHOICES = 30_000
"""Entries of all dropdowns together; beyond, only fields that a file must have, has, or may have get one."""
_CHANGEABLE = (
    "If you have chosen other columns below, all rows are checked again with them first, and you are asked again where "
    "these look wrong too."
)
_LOCKED = "Its columns can't be chosen here: the folder's settings lock the mapping."
_COLUMNS_LISTED = 50
_FIELDS_SHOWN = 12
_RULES_SHOWN = 8
_BACKTICKS = re.compile("`+")
_ADDRESS = re.compile(r"www\.|://|@", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """A dropdown: which column is this field?

    Args:
        options: what to choose from, `SKIP` first.
    """

    field: str
    title: str
    description: str
    options: tuple[str, ...]
    selected: str


@dataclass(frozen=True)
class Form:
    """What a person is shown."""

    subject: str
    body: str
    choices: tuple[Choice, ...]

    @property
    def sha256(self) -> str:
        """Distinguish this form from any other."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Facts:
    """What a form shows.

    Args:
        reasons: sentences: why a person is asked.
        counts: of the rehearsal; None when no row could be judged under this mapping.
        rules: rows by rule that would reject them, most frequent first.
        refusal: why the load would be refused as it is.
        change: the header beside the last good file's, as `HeaderChange.to_json` gave it.
        rows: the first rows, masked.
    """

    reasons: Sequence[str]
    counts: JobCounts | None = None
    rules: Mapping[str, int] | None = None
    refusal: str | None = None
    change: Mapping[str, Any] | None = None
    rows: Sequence[PreviewRow] = ()


def build_form(
    job: Job,
    label: str,
    mapping: ColumnMapping,
    fields: Sequence[Field],
    facts: Facts,
    selected: Mapping[str, int | None],
) -> Form:
    """Build the form of one question.

    Args:
        label: the import type in words.
        mapping: as it is.
        fields: those a column can be chosen for.
        selected: field → index of the column that is preselected.
    """
    return Form(
        subject=f"{plain(job.file_name)}: import these {label.lower()}?",
        body=_body(job, label, mapping, fields, facts),
        choices=tuple(_choices(mapping, fields, selected)),
    )


def offered_fields(fields: Sequence[Field], mapping: ColumnMapping, switches: Mapping[str, object]) -> list[Field]:
    """Return the fields that get a dropdown: not those whose setting is off, and not more than a page can hold."""
    usable = [field for field in fields if field.enabled_by is None or switches.get(field.enabled_by, True)]
    if len(usable) * len(option_labels(mapping)) <= MOST_CHOICES:
        return usable
    named = {column.field for column in mapping.columns} | {column.suggestion for column in mapping.columns}
    return [field for field in usable if field.required or field.identifies or field.name in named]


def option_labels(mapping: ColumnMapping) -> dict[int, str]:
    """Return what the sender's columns are called in dropdowns, by index; no two alike."""
    own = [column for column in mapping.columns if column.how is not How.IGNORED]
    return {
        column.index: f"{plain(mapping.shown(column))} (column {column.index + 1})"
        for position, column in enumerate(own)
        if position < MOST_COLUMNS or column.field is not None
    }


def read_choices(
    labels: Mapping[str, object], mapping: ColumnMapping, selected: Mapping[str, int | None]
) -> dict[str, int | None] | str:
    """Return field → index of the chosen column, or a sentence about an answer that names none.

    Args:
        labels: field → label of the column; fields that are left out keep what was selected.
    """
    columns = {label: index for index, label in option_labels(mapping).items()} | {SKIP: None}
    chosen = dict(selected)
    for field, label in labels.items():
        if field not in chosen or not isinstance(label, str) or label not in columns:
            return f"The answer for {plain(field)} is no column of the file."
        chosen[field] = columns[label]
    return chosen


def plain(text: str) -> str:
    """Return a text in one line, without characters that change how it is shown, and not too long."""
    kept = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(kept.split())
    return line if len(line) <= LONGEST_HEADER else f"{line[: LONGEST_HEADER - 1]}…"


def as_code(text: str) -> str:
    """Return a text as a code span of Markdown, in a table or out of it: nothing in it is markup."""
    return _code(plain(text))


def _code(line: str) -> str:
    shown = line.replace("|", "\\|")
    longest = max((len(run) for run in _BACKTICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {shown} {fence}" if shown else ""


def _choices(mapping: ColumnMapping, fields: Sequence[Field], selected: Mapping[str, int | None]) -> Iterable[Choice]:
    labels = option_labels(mapping)
    options = (SKIP, *labels.values())
    suggested: dict[str, str] = {}
    for column in mapping.columns:
        if column.how is How.UNMATCHED and column.suggestion is not None and column.index in labels:
            suggested.setdefault(column.suggestion, labels[column.index])
    for field in fields:
        index = selected.get(field.name)
        parts = [
            "Required." if field.required else "",
            f"Perhaps: {suggested[field.name]}." if field.name in suggested and index is None else "",
        ]
        yield Choice(
            field.name,
            f"{field.label} ({field.name})" if field.label != field.name else field.name,
            " ".join(filter(None, parts)),
            options,
            labels[index] if index is not None else SKIP,
        )


def _body(job: Job, label: str, mapping: ColumnMapping, fields: Sequence[Field], facts: Facts) -> str:
    size = "" if job.size_bytes is None else f", {job.size_bytes:,} bytes"
    parts = [
        f"**{label}** of {as_code(job.file_name)}, job {job.id}{size}. Nothing has been loaded yet.",
        "### Why you are asked",
        "\n".join(f"- {_sentence(reason)}" for reason in facts.reasons),
        *_rehearsed(facts),
        *_changed(facts.change, mapping),
        "### Columns",
        _table(("column", "header", "read as"), _columns(mapping, fields)),
        *_first_rows(mapping, fields, facts.rows),
        f"**{LAUNCH}** loads the file. {_CHANGEABLE if fields else _LOCKED} **{REJECT}** loads nothing.",
    ]
    return "\n\n".join(parts)


def _sentence(text: str) -> str:
    """Return a sentence of ours that may quote headers, with every character of it plain text.

    Addresses would become links whatever is escaped in them, except in code.
    """
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if _ADDRESS.search(line):
        return _code(line)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)


def _rehearsed(facts: Facts) -> list[str]:
    if facts.counts is None:
        return ["### What the load would do", "Unknown: no row can be read before the columns are chosen."]
    counts = {name.replace("_", " "): f"{count:,}" for name, count in asdict(facts.counts).items()}
    parts = ["### What the load would do", _table(counts, [tuple(counts.values())])]
    if facts.refusal is not None:
        parts.append(f"It would be refused: {_sentence(facts.refusal)}")
    if facts.rules:
        rules = ", ".join(f"{as_code(rule)} {rows:,}" for rule, rows in list(facts.rules.items())[:_RULES_SHOWN])
        parts.append(f"Rejected by: {rules}")
    return parts


def _changed(change: Mapping[str, Any] | None, mapping: ColumnMapping) -> list[str]:
    if not change:
        return []
    now_shown = {column.header: mapping.shown(column) for column in mapping.columns}

    def shown(header: str) -> str:
        if header in now_shown:
            return as_code(now_shown[header])
        return as_code(mask_header(header) if looks_like_data(header) else header) or "(no name)"

    lines = [(shown(before), shown(now), "renamed") for before, now in change["renamed"]]
    lines += [(shown(before), "", "lost") for before in change["lost"]]
    lines += [("", shown(now), "new") for now in change["new"]]
    return ["### Columns that differ from the last file", _table(("before", "now", ""), lines[:_COLUMNS_LISTED])]


def _columns(mapping: ColumnMapping, fields: Sequence[Field]) -> Iterable[tuple[str, ...]]:
    labels = {field.name: field.label for field in fields}
    own = [column for column in mapping.columns if column.how is not How.IGNORED]
    for column in own[:_COLUMNS_LISTED]:
        if column.field is not None:
            read_as = labels.get(column.field, column.field)
        elif column.how is How.UNMATCHED and column.suggestion:
            read_as = f"*not imported* (perhaps {labels.get(column.suggestion, column.suggestion)}?)"
        else:
            read_as = "*not imported*"
        yield str(column.index + 1), as_code(mapping.shown(column)), read_as
    if len(own) > _COLUMNS_LISTED:
        yield "…", f"{len(own) - _COLUMNS_LISTED:,} more", ""


def _first_rows(mapping: ColumnMapping, fields: Sequence[Field], rows: Sequence[PreviewRow]) -> list[str]:
    if not rows:
        return []
    labels = {field.name: field.label for field in fields}
    shown = list(mapping.field_indexes)[:_FIELDS_SHOWN]
    header = ("line", *(labels.get(name, name) for name in shown), "verdict")
    lines = [(str(row.line), *(as_code(row.values.get(name, "")) for name in shown), _verdict(row)) for row in rows]
    more = len(mapping.field_indexes) - len(shown)
    return ["### First rows", _table(header, lines), *([f"{more:,} more columns are imported."] if more else [])]


def _verdict(row: PreviewRow) -> str:
    if row.reasons:
        return f"rejected: {_sentence(row.reasons)}"
    return f"without values: {_sentence(row.dropped)}" if row.dropped else "ok"


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
