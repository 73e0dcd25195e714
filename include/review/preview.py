"""The preview of a file: first rows with the mapping applied, and the suite's verdict on them. Source: X-06.

Touches neither the ledger nor any target table. Values of sensitive fields are masked (X-20).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection

from include.arrivals.places import permitted
from include.arrivals.settings_files import read_layers, settings_texts
from include.columns.mapping import ColumnMapping
from include.declaration.fields import Field, Kind, Look
from include.declaration.import_type import ImportType
from include.names import MASK, mask, one_line
from include.reading import records
from include.reading.records import Chunk
from include.rules.plausibility import FEWEST, look_of, may_be_birth_date
from include.rules.sentences import for_people
from include.runtime import Runtime
from include.stages.inspection import describe_oddities, file_text, look_at
from include.stages.judging import Judge
from include.stages.validation import read_lookups
from include.stages.verdict import Looked
from include.storage import locations
from include.storage.locations import Location
from include.values.private_values import may_be_private
from include.values.short_codes import CVV_ALONE
from include.warehouse.transactions import values_hidden

FIRST_ROWS = 10
_FIRST_BYTES = 1 << 18
_WIDEST = 40
_SHORT_NUMBER = 7
_DAYS = (Kind.DATE, Kind.DATETIME)


@dataclass(frozen=True)
class PreviewRow:
    """One row.

    Args:
        line: physical line.
        values: by field.
        reasons: why it would be rejected; "" when it would not.
        dropped: why it would be loaded without some of its values; "" when it has all (CU-14).
    """

    line: int
    values: dict[str, str]
    reasons: str
    dropped: str = ""


@dataclass(frozen=True)
class Preview:
    """What a person looks at before an import is launched.

    Args:
        oddities: why a person would be asked about its columns, a sentence each (X-18).
    """

    file_name: str
    mapping: ColumnMapping
    rows: list[PreviewRow]
    oddities: Sequence[str] = ()

    def as_text(self) -> str:
        """Return the preview for a terminal."""
        lines = [f"{one_line(self.file_name)}: columns"]
        for column in self.mapping.columns:
            perhaps = f" (perhaps {column.suggestion}?)" if column.suggestion else ""
            off = f" (the setting {column.needs} is off)" if column.needs else perhaps
            lines.append(f"  {self.mapping.shown(column)} -> {column.field or f'not imported{off}'}")
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
            if row.dropped:
                lines.append(f"{'':10}values left out: {row.dropped}")
        lines += [f"  A person is asked before the load: {sentence}" for sentence in self.oddities]
        return "\n".join(lines)


def preview_file(
    runtime: Runtime,
    import_type: str,
    source: Location,
    *,
    sidecar: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    rows: int = FIRST_ROWS,
) -> Preview:
    """Read the first rows of a file as an import would, with the settings that it would have, and judge them.

    Args:
        sidecar: text of a settings file; None looks beside the file.
        parameters: settings of the import alone.
        rows: how many.

    Raises:
        FileRefused: an import would refuse the file.
    """
    declared = runtime.import_types.of(import_type)
    named = permitted(runtime, import_type, str(source), roots=None)
    content = named.content()
    texts = settings_texts(runtime, named.named, import_type)
    layers = read_layers(texts if sidecar is None else texts | {"sidecar": sidecar}, source.name)
    with tempfile.TemporaryDirectory() as folder, values_hidden(), runtime.engine.connect() as connection:
        text_copy = locations.locate(str(Path(folder) / "text.utf8"))
        looked = look_at(runtime, connection, declared, content, text_copy, layers | {"parameters": parameters})
        mapping = looked.map_columns(declared, declared.all_fields(runtime.project))
        text = text_copy if text_copy.exists() else content
        oddities = describe_oddities(runtime, connection, declared, looked.settings, mapping, file_text(looked, text))
        first_rows = judge_first_rows(
            runtime, connection, declared, looked, mapping, text, is_doubtful=bool(oddities), rows=rows
        )
    return Preview(source.name, mapping, first_rows, oddities)


def judge_first_rows(
    runtime: Runtime,
    connection: Connection,
    declared: ImportType,
    looked: Looked,
    mapping: ColumnMapping,
    text: Location,
    *,
    is_doubtful: bool,
    rows: int = FIRST_ROWS,
) -> list[PreviewRow]:
    """Read the first rows of a file with a mapping, and judge them as an import with these settings would.

    Args:
        text: the file in UTF-8.
        is_doubtful: see `hidden_fields`.

    Raises:
        FileRefused: an import would refuse the file.
    """
    if declared.extras.check_file is not None:
        declared.extras.check_file(connection, looked.settings, mapping.field_indexes)
    judge = Judge(
        runtime, declared, dialect=looked.inspection.dialect, mapping=mapping, import_settings=looked.settings,
        launched_at=runtime.clock(), lookups=read_lookups(connection, declared), unescape=looked.is_escaped,
        hidden=hidden_fields(declared.all_fields(runtime.project), mapping, is_doubtful=is_doubtful),
        masks_private=True,
    )  # fmt: skip
    with text.open_parts() as stream:
        return judged_rows(judge, stream, looked.inspection.chunks, rows, is_doubtful=is_doubtful)


def hidden_fields(fields: Sequence[Field], mapping: ColumnMapping, *, is_doubtful: bool) -> list[str]:
    """Return the fields whose values people may not read: by what the field is, never because a row is rejected.

    All of them where no header is a field's name: the first row may be data, and any column may hold anything (X-20).
    Other dates where the type has birth dates: of a row or two nobody sees that their columns are exchanged.

    Args:
        is_doubtful: the columns may be exchanged, so that the same holds.
    """
    is_anything = is_doubtful or not mapping.is_headed
    has_birth_dates = any(look_of(field) is Look.BIRTH for field in fields)
    return [
        field.name
        for field in fields
        if field.sensitive or field.is_secret or is_anything or (has_birth_dates and field.kind in _DAYS)
    ]


def judged_rows(
    judge: Judge, text: BinaryIO, chunks: Sequence[Chunk], rows: int = FIRST_ROWS, *, is_doubtful: bool
) -> list[PreviewRow]:
    """Judge the first block of a file and return its first rows, as people may read them.

    Args:
        text: the file in UTF-8.
        chunks: as planned.
        is_doubtful: see `hidden_fields`.
    """
    block = records.first_block(text, chunks, judge.dialect, len(judge.mapping.columns), _FIRST_BYTES)
    if block is None:
        return []
    judged = judge.judge(block)
    new_names = {f"{table.lookup.name}__found": f"{table.lookup.field}__is_known" for table in judge.lookups}
    shown = [field for field in judge.fields if field.name in judge.mapping.field_indexes]
    if judge.mapping.is_headed and not is_doubtful:
        is_compared = judge.reads_codes and len(block.lines) >= FEWEST
        show = partial(
            shown_cell,
            may_be_cvv=judge.masks_codes and not is_compared,
            has_birth_dates=any(look_of(field) is Look.BIRTH for field in judge.fields),
        )
    else:
        show = partial(safely_shown_cell, has_cvvs=judge.masks_codes)
    values = {
        int(row["line"]): {field.name: show(row, field) for field in shown}
        for row in judged.frame.head(rows).rename(columns=new_names).to_dict("records")
    }
    reasons = dict(zip(judged.rejects["line"].to_pylist(), judged.rejects["reasons"].to_pylist(), strict=True))
    lines = [int(line) for line in block.lines[:rows]]
    dropped: dict[int, list[str]] = {}
    for row in judged.dropped.to_pylist():
        dropped.setdefault(row["line"], []).append(row["reasons"])
    return [
        PreviewRow(
            line,
            values.get(line, {}),
            for_people(reasons.get(line, "")),
            for_people(" | ".join(dropped.get(line, ()))),
        )
        for line in lines
    ]


def shown_cell(row: Mapping[Any, Any], field: Field, *, may_be_cvv: bool = False, has_birth_dates: bool = False) -> str:
    """Return a cell as it was sent, masked where its field is, or where it may be private under any header (X-20).

    Args:
        may_be_cvv: the file may have CVVs, and nobody has compared the columns: three to five digits alone may be one.
        has_birth_dates: the type has such a field, and what looks like a birth date may be one in any column.
    """
    text = sent_text(row, field)
    is_private = may_be_private(text) or (may_be_cvv and re.match(CVV_ALONE, text) is not None)
    is_private |= has_birth_dates and may_be_birth_date(text, is_date=field.kind in _DAYS)
    return masked(text, field) if field.sensitive or field.is_secret or is_private else text


def safely_shown_cell(row: Mapping[Any, Any], field: Field, *, has_cvvs: bool) -> str:
    """Return a cell of any column: in full only where it can hold nobody's secret, whatever it is (X-20).

    That is: yes or no, a choice, a short number, a name that our own tables know; `<field>__is_known` says so.

    Args:
        has_cvvs: the file has CVVs, so three to five digits alone may be one.
    """
    text = sent_text(row, field)
    is_read = (value := row[field.name]) is not None and value == value
    may_be_cvv = has_cvvs and re.match(CVV_ALONE, text) is not None
    is_short = field.kind in (Kind.DECIMAL, Kind.INTEGER) and len(text) <= _SHORT_NUMBER and not may_be_cvv
    is_safe = is_read and (field.kind in (Kind.BOOLEAN, Kind.ENUM) or is_short or row.get(f"{field.name}__is_known"))
    return text if is_safe and not (field.sensitive or field.is_secret) else masked(text, field)


def sent_text(row: Mapping[Any, Any], field: Field) -> str:
    """Return a cell as it was sent, without characters that a terminal would obey."""
    sent = row.get(f"{field.name}__sent", row[field.name])
    if sent is None or sent != sent:
        return ""
    return "".join(character if character.isprintable() else " " for character in str(sent))


def masked(text: str, field: Field) -> str:
    """Return a masked cell; of a secret one not even the end."""
    return mask(text) if not field.is_secret else MASK if text else ""
