"""The preview of a file: first rows with the mapping applied, and the suite's verdict on them. Source: X-06.

Touches neither the ledger nor any target table. Values of sensitive fields are masked (X-20).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from upath import UPath

from include import import_types
from include.importing import records, settings
from include.importing.files import SIDECAR_SUFFIX
from include.importing.mapping import ColumnMapping, map_columns
from include.importing.runtime import Runtime
from include.importing.stages import values_hidden
from include.importing.validation import Judge, read_lookups

FIRST_ROWS = 10
_FIRST_BYTES = 1 << 18
_WIDEST = 40


@dataclass(frozen=True)
class PreviewRow:
    """One row: its physical line, its values by field, and why it would be rejected ("" when it would not)."""

    line: int
    values: dict[str, str]
    reasons: str


@dataclass(frozen=True)
class Preview:
    """What a person looks at before an import is launched."""

    file_name: str
    mapping: ColumnMapping
    rows: list[PreviewRow]

    def as_text(self) -> str:
        """Return the preview for a terminal."""
        lines = [f"{self.file_name}: columns"]
        for column in self.mapping.columns:
            target = column.field or f"not imported{f' (perhaps {column.suggestion}?)' if column.suggestion else ''}"
            lines.append(f"  {column.header or '(no name)'} -> {target}")
        fields = list(self.mapping.field_indexes)
        widths = {
            name: min(_WIDEST, max([len(name), *(len(row.values.get(name, "")) for row in self.rows)]))
            for name in fields
        }
        lines.append("  " + "  ".join(["line".rjust(6), *(name.ljust(widths[name]) for name in fields)]))
        for row in self.rows:
            cells = (row.values.get(name, "")[:_WIDEST].ljust(widths[name]) for name in fields)
            lines.append("  " + "  ".join([str(row.line).rjust(6), *cells]).rstrip())
            if row.reasons:
                lines.append(f"{'':10}rejected: {row.reasons}")
        return "\n".join(lines)


def preview_file(
    runtime: Runtime,
    import_type: str,
    source: UPath,
    *,
    sidecar: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    rows: int = FIRST_ROWS,
) -> Preview:
    """Read the first rows of a file as an import would, and judge them.

    Raises:
        FileRefused: an import would refuse the file.
    """
    declared = import_types.get(import_type)
    given = None if sidecar is None else settings.read_settings(sidecar, f"{source.name}{SIDECAR_SUFFIX}")
    chosen = settings.resolve(import_type, sidecar=given, parameters=parameters, defaults_file=runtime.defaults_file)
    with source.open("rb") as stream, tempfile.TemporaryFile() as recoded:
        binary: BinaryIO = stream
        is_recoded = chosen.encoding != "utf-8"
        inspection = records.inspect(
            binary, encoding=chosen.encoding, delimiter=chosen.delimiter, utf8_only=declared.utf8_only,
            text_out=cast(BinaryIO, recoded) if is_recoded else None, max_bytes=chosen.max_file_bytes,
        )  # fmt: skip
        mapping = map_columns(inspection.header, declared.all_fields(runtime.project), chosen.mapping, declared)
        with values_hidden(), runtime.engine.connect() as connection:
            lookups = read_lookups(connection, declared)
        judge = Judge(
            runtime, declared, dialect=inspection.dialect, mapping=mapping, import_settings=chosen,
            launched_at=runtime.clock(), lookups=lookups,
        )  # fmt: skip
        text = cast(BinaryIO, recoded) if is_recoded else binary
        found: list[PreviewRow] = []
        for chunk in inspection.chunks[:1]:
            blocks = records.read_blocks(text, chunk, inspection.dialect, len(inspection.header), _FIRST_BYTES)
            found = _rows(judge, next(blocks), rows)
    return Preview(source.name, mapping, found)


def _rows(judge: Judge, block: records.Block, rows: int) -> list[PreviewRow]:
    judged = judge.judge(block)
    hidden = {field.name for field in judge.fields if field.sensitive or field.is_secret}
    values = {
        int(row["line"]): {
            name: _shown(row[name], is_hidden=name in hidden) for name in judge.mapping.field_indexes
        }
        for row in judged.frame.head(rows).to_dict("records")
    }  # fmt: skip
    reasons = dict(zip(judged.rejects["line"].to_pylist(), judged.rejects["reasons"].to_pylist(), strict=True))
    lines = [int(line) for line in block.lines[:rows]]
    return [PreviewRow(line, values.get(line, {}), reasons.get(line, "")) for line in lines]


def _shown(value: object, *, is_hidden: bool) -> str:
    text = "" if value is None or value != value else str(value)
    return (
        f"{'*' * max(0, len(text) - 4)}{text[-4:]}"
        if is_hidden and len(text) > 4
        else "*" * len(text)
        if is_hidden
        else text
    )
