"""What commands print about imports."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import TextIO

from include.declaration.import_type import ImportTypes
from include.ledger.jobs import JobResult, State
from include.names import one_line

SUCCESSES = (State.COMPLETED, State.COMPLETED_WITH_REJECTS, State.DUPLICATE)


def legible(text: str) -> str:
    """Return lines without what a terminal would carry out, and without what turns the direction of writing."""
    return "".join("\ufffd" if _is_control(character) else character for character in text)


def as_json(value: object, indent: int | None = None) -> str:
    """Return a value as JSON that can be printed on a terminal: what controls one is escaped, and stays as it is."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(json.dumps(character)[1:-1] if _is_control(character) else character for character in text)


def _is_control(character: str) -> bool:
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf")


def json_line(result: JobResult) -> dict[str, object]:
    """Return a result as `--json` prints it."""
    values = result.to_json()
    names = ["job", "type", "file", "state", "outcome", "rows", "warnings", "rejected_file", "summary_file", "reason"]
    names += [name for name in ("not_found_file", "dropped_values_file") if values[name] is not None]
    return {name: values[name] for name in names} | {"job": result.job or None}


def text_of(result: JobResult, import_types: ImportTypes) -> str:
    """Return a result in lines for a person."""
    rows = result.rows
    outcome = f"{'dry run, ' if result.is_dry_run else ''}{result.outcome.replace('_', ' ')}"
    lines = [f"{one_line(result.file)}: {outcome}" + (f" (job {result.job})" if result.job else "")]
    if result.reason:
        lines.append(f"  {result.reason['message']} [{result.reason['rule']}]")
    if result.duplicate_of:
        lines.append(f"  The same content was imported by job {result.duplicate_of}; --force imports it again.")
    elif result.state in SUCCESSES:
        parts = {"inserted": rows.inserted, "updated": rows.updated, "unchanged": rows.unchanged,
                 "not found": rows.not_found, "rejected": rows.rejected}  # fmt: skip
        counts = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count)
        lines.append(f"  {rows.read:,} rows read" + (f": {counts}" if counts else ""))
    lines += [f"  {rule.rows:>9,} x {rule.rule}" for rule in result.rules if rule.is_critical]
    lines += [f"  warning: {warning['message']} [{warning['rule']}]" for warning in result.warnings]
    if result.rejects_fixed:
        lines.append(f"  rejects: {result.rejects_open:,} open, {result.rejects_fixed:,} fixed by later jobs")
    if result.rejected_file:
        lines.append(f"  rejected rows: {result.rejected_file}")
    if result.not_found_file:
        label = import_types.of(result.type).extras.not_found.label
        lines.append(f"  {label[:1].lower()}{label[1:]}: {result.not_found_file}")
    if result.dropped_values_file:
        lines.append(f"  dropped values: {result.dropped_values_file}")
    return legible("\n".join(lines))


def show_progress(stream: TextIO, name: str) -> Callable[[str, int, int], None]:
    """Return a function that shows what is being done, on a terminal alone."""

    def show(stage: str, done: int, steps: int) -> None:
        if stream.isatty():
            part = f" {done + 1} of {steps}" if steps > 1 else ""
            print(f"\r\033[K{one_line(name)}: {stage}{part} …\r", end="", file=stream, flush=True)

    return show
