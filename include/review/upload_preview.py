"""What a person sees of an upload before launching it: its columns, its first rows, and what is wrong. Source: X-06.

Only the beginning of the file is read: a page must not wait for two gibibytes. Counts over the whole file are a dry
run's (X-19).
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.arrivals.uploads import Upload, folder_layers
from include.columns.mapping import ColumnMapping, How, match_columns, refuse_unusable
from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.declaration.settings import ImportSettings
from include.errors import FileRefused, SettingsError
from include.reading.dialect import Undecodable, find_encoding, make_decoder, sniff_delimiter
from include.reading.scan import scan
from include.review.preview import PreviewRow, judge_first_rows
from include.runtime import Runtime
from include.settings.form import read_form
from include.settings.layers import resolve
from include.settings.raw import RawSettings
from include.stages.inspection import describe_oddities, file_text, look_at
from include.stages.verdict import Looked
from include.storage import locations
from include.storage.locations import Location
from include.warehouse.transactions import values_hidden

HEAD_BYTES = 1 << 20
MOST_FIELDS = 60
"""A project may add hundreds of fields; those beyond are offered only where a column has, or seems to have, them."""
MOST_COLUMNS = 100


@dataclass(frozen=True)
class FieldChoice:
    """A field, and the file's column that it is read from.

    Args:
        column: index; None when it is read from none.
        suggested: the column that it might be; never applied by itself (X-05).
        needs: the setting without which its column is ignored.
        problem: what is wrong with the choice, "" when nothing is.
    """

    field: Field
    is_required: bool
    column: int | None
    suggested: int | None = None
    needs: str | None = None
    problem: str = ""


@dataclass(frozen=True)
class UploadPreview:
    """What is known of an upload with what is chosen for it.

    Args:
        settings: those taken over and those chosen, the mapping among them, as its sidecar will have them.
        problems: setting → what is wrong with it.
        refusal: why an import would refuse the file as it is; "" when it wouldn't.
        columns: index → the column's name as it may be shown.
        fields: what can be chosen; none before a header could be read.
        rows: the first rows, judged; none while something is wrong.
        skipped: what is said of each column that isn't imported.
        is_part: the file goes on behind what was read.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    problems: Mapping[str, str] = dataclasses.field(default_factory=dict)
    refusal: str = ""
    columns: Mapping[int, str] = dataclasses.field(default_factory=dict)
    fields: tuple[FieldChoice, ...] = ()
    rows: tuple[PreviewRow, ...] = ()
    skipped: tuple[str, ...] = ()
    is_part: bool = False

    @property
    def can_launch(self) -> bool:
        """Say whether nothing speaks against an import."""
        return not (self.problems or self.refusal or any(choice.problem for choice in self.fields))


def preview_upload(runtime: Runtime, upload: Upload) -> UploadPreview:
    """Look at the beginning of an upload with what is chosen for it. Nothing is written anywhere."""
    types = runtime.import_types
    declared = types.of(upload.import_type)
    chosen_on_page, problems = read_form(types, declared, upload.choices.settings)
    settings = {**upload.taken_over, **chosen_on_page}
    with tempfile.TemporaryDirectory() as name, values_hidden(), runtime.engine.connect() as connection:
        try:
            layers = folder_layers(runtime, upload) | {"sidecar": RawSettings("the form", settings)}
            chosen = resolve(types, declared, **layers, defaults_file=runtime.defaults_file)
            head, is_part = _copy_head(declared, upload.path(runtime), Path(name) / upload.file_name, chosen)
            text_copy = locations.locate(str(Path(name) / "text.utf8"))
            looked = look_at(runtime, connection, declared, head, text_copy, layers)
        except FileRefused as refusal:
            return UploadPreview(settings, problems, refusal=refusal.message)
        columns = _Columns(runtime, declared, looked, upload.choices.columns)
        rows: list[PreviewRow] = []
        refusal_message = columns.refusal
        try:
            if columns.is_changed:
                settings["mapping"] = columns.overrides
                layers["sidecar"] = RawSettings("the form", settings)
                resolve(types, declared, **layers, defaults_file=runtime.defaults_file)  # it may be locked
            if not columns.problems and not columns.refusal:
                refuse_unusable(columns.mapping, columns.fields, declared)
                text = text_copy if text_copy.exists() else head
                oddities = describe_oddities(
                    runtime, connection, declared, looked.settings, columns.mapping, file_text(looked, text)
                )
                rows = judge_first_rows(
                    runtime, connection, declared, looked, columns.mapping, text, is_doubtful=bool(oddities)
                )
        except FileRefused as refusal:
            refusal_message = refusal.message
    return UploadPreview(
        settings=settings,
        problems=problems,
        refusal=refusal_message,
        columns=columns.shown(),
        fields=columns.choices(),
        rows=tuple(rows),
        skipped=columns.skipped(),
        is_part=is_part,
    )


def _copy_head(declared: ImportType, source: Location, target: Path, chosen: ImportSettings) -> tuple[Location, bool]:
    """Copy a file's beginning up to the end of a record, so that it is a file like any other.

    Returns:
        The copy, and whether the file goes on behind it.
    """
    with source.open_parts() as stream:
        raw = stream.read(HEAD_BYTES + 1)
    is_part = len(raw) > HEAD_BYTES
    target.write_bytes(_whole_records(declared, raw[:HEAD_BYTES], chosen) if is_part else raw)
    return locations.locate(str(target)), is_part


def _whole_records(declared: ImportType, raw: bytes, chosen: ImportSettings) -> bytes:
    codec, bom = find_encoding(chosen.encoding, raw, utf8_only=declared.settings.utf8_alone)
    try:
        text = make_decoder(codec, len(bom)).decode(raw[len(bom) :], is_final=False)
    except Undecodable:
        return raw  # where, the inspection will say
    delimiter = chosen.delimiter or sniff_delimiter(text, is_final=False)
    scanned = scan(text, ord(delimiter), is_final=False)
    if not len(scanned.nexts):
        return raw
    whole = text[: int(scanned.nexts[-1])]
    return bom + (whole if codec == "utf-8" else whole.decode().encode(codec))


class _Columns:
    """Which column each field is read from: as found, or as chosen on the page, and how the settings say so."""

    def __init__(
        self, runtime: Runtime, declared: ImportType, looked: Looked, chosen: Mapping[str, int | None] | None
    ) -> None:
        self._declared = declared
        self._header = looked.header
        self.fields = declared.all_fields(runtime.project)
        self._switches = looked.settings.model_dump()
        self._automatic = match_columns(self._header, self.fields, {})
        self.problems: dict[str, str] = {}
        self.refusal = ""
        try:
            mapping = self._match(looked.overrides)
        except SettingsError as error:  # those of the folder name a column that this file has not
            mapping, self.refusal = self._match({}), error.message
        before = self._columns_of(mapping)
        self._offered = self._offer(mapping)
        self._wanted = before if chosen is None else {**before, **self._checked(chosen)}
        is_unclear = bool(self.refusal) or max(self._columns_by_field(mapping).values(), default=0) > 1
        self.is_changed = chosen is not None and (is_unclear or self._wanted != before)
        self.overrides = self._overrides() if self.is_changed else dict(looked.overrides)
        self.mapping = self._match(self.overrides) if self.is_changed else mapping
        self.refusal = "" if self.is_changed else self.refusal
        self._find_problems(is_chosen=chosen is not None)

    def shown(self) -> dict[int, str]:
        """Return the columns that can be chosen, by index, with their names masked where they may be data."""
        columns = [column for column in self.mapping.columns if column.how is not How.IGNORED]
        in_use = {index for index in self._wanted.values() if index is not None}
        offered = {column.index for column in columns[:MOST_COLUMNS]} | in_use
        return {
            column.index: self.mapping.shown(column) if self.mapping.is_headed else self.mapping.named(column)
            for column in columns
            if column.index in offered
        }

    def skipped(self) -> tuple[str, ...]:
        """Say of each column that isn't imported that it is not; nothing where they may be data."""
        messages = self.mapping.skipped_messages() if self.mapping.is_headed else []
        return tuple(message for _, message in messages[:MOST_COLUMNS])

    def choices(self) -> tuple[FieldChoice, ...]:
        """Return the fields with what is chosen for each."""
        taken = {index for index in self._wanted.values() if index is not None}
        suggested = {
            column.suggestion: column.index
            for column in reversed(self.mapping.columns)
            if column.how is How.UNMATCHED and column.suggestion and column.index not in taken
        }
        needs = {column.suggestion: column.needs for column in self.mapping.columns if column.needs}
        return tuple(
            FieldChoice(
                field,
                self._is_required(field),
                self._wanted.get(field.name),
                None if self._wanted.get(field.name) is not None else suggested.get(field.name),
                needs.get(field.name),
                self.problems.get(field.name, ""),
            )
            for field in self._offered
        )

    def _match(self, overrides: Mapping[str, str | None]) -> ColumnMapping:
        return match_columns(self._header, self.fields, overrides, self._switches)

    def _columns_of(self, mapping: ColumnMapping) -> dict[str, int | None]:
        """Return field → column; of several columns the first. One whose setting is off keeps its column."""
        columns: dict[str, int | None] = {field.name: None for field in self.fields}
        for column in reversed(mapping.columns):
            name = column.suggestion if column.needs else column.field
            if name is not None:
                columns[name] = column.index
        return columns

    @staticmethod
    def _columns_by_field(mapping: ColumnMapping) -> Counter[str]:
        return Counter(column.field for column in mapping.columns if column.field is not None)

    def _offer(self, mapping: ColumnMapping) -> tuple[Field, ...]:
        if len(self.fields) <= MOST_FIELDS:
            return self.fields
        near = {name for column in mapping.columns for name in (column.field, column.suggestion)}
        declared = len(self._declared.fields)
        return (
            self.fields[:declared]
            + tuple(field for field in self.fields[declared:] if field.name in near)[:MOST_FIELDS]
        )

    def _checked(self, chosen: Mapping[str, int | None]) -> dict[str, int | None]:
        offered = {field.name for field in self._offered}
        kept = {name: index for name, index in chosen.items() if name in offered}
        for name, index in kept.items():
            if index is not None and not 0 <= index < len(self._header):
                self.problems[name] = "The file has no such column."
                kept[name] = None
        return kept

    def _overrides(self) -> dict[str, str | None]:
        """Say in terms of the setting `mapping` what differs from the automatic matching; it replaces any other."""
        field_of = {index: name for name, index in self._wanted.items() if index is not None}
        return {
            column.header.strip(): field_of.get(column.index)
            for column in self._automatic.columns
            if column.how is not How.IGNORED and column.field != field_of.get(column.index)
        }

    def _find_problems(self, *, is_chosen: bool) -> None:
        labels = {field.name: field.label for field in self.fields}
        by_column: dict[int, list[str]] = {}
        for name, index in self._wanted.items():
            if index is not None:
                by_column.setdefault(index, []).append(name)
        for names in by_column.values():
            for name in names if len(names) > 1 else ():
                others = ", ".join(labels[other] for other in names if other != name)
                self.problems[name] = f"The same column is chosen for {others}."
        for field in self.fields:
            if field.required and self._wanted[field.name] is None:
                self.problems.setdefault(field.name, f"{field.label} is required: choose its column.")
        if not self.problems:
            self._find_twins(is_chosen=is_chosen)

    def _find_twins(self, *, is_chosen: bool) -> None:
        """Find fields that more columns than one are read as: settings name columns by their header."""
        twins = self._columns_by_field(self.mapping)
        columns = self._columns_of(self.mapping)
        for field in self.fields:
            if twins[field.name] > 1 or columns[field.name] != self._wanted[field.name]:
                self.problems[field.name] = (
                    "Several columns have this header, and settings can't distinguish them: rename one in the file."
                    if is_chosen
                    else "Several columns are known by this name: choose one."
                )

    def _is_required(self, field: Field) -> bool:
        return field.required or field.identifies
