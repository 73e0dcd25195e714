"""Which column of the file is which field: matched by name, corrected by settings, never guessed. Source: X-05."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from include.declaration.fields import Field
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError, FileRefused, SettingsError
from include.located_yaml import quoted
from include.names import LONGEST_NAME, closest, did_you_mean, looks_like_data, mask_header, normalise_name

ORIGIN_JOB = "_job"
ORIGIN_COLUMNS = (ORIGIN_JOB, "_line", "_rules", "_reasons")
"""Columns that a rejected-rows file has before the sender's (X-09). They are never fields."""

SKIPPED = "file.column_skipped"
SUGGESTED_COLUMNS = 200
"""So many unmatched columns get a suggestion: a file of 100,000 columns would otherwise be compared for minutes."""
_NUMBERED = re.compile(r"(.*) \[([0-9]{1,6})\]", re.DOTALL)


class How(StrEnum):
    """Why a column is mapped as it is."""

    EXACT = "exact"
    SETTING = "setting"
    SWITCHED_OFF = "switched_off"
    IGNORED = "ignored"
    UNMATCHED = "unmatched"


@dataclass(frozen=True)
class Column:
    """One column of the file.

    Args:
        index: its place, 0-based.
        header: as the sender wrote it.
        field: canonical name of the field it is read as; None when it isn't imported.
        suggestion: the field it might mean (unmatched) or would be without the setting (switched off). Never applied.
        needs: the setting without which the field's column is ignored (switched off by it).
    """

    index: int
    header: str
    field: str | None
    how: How
    suggestion: str | None = None
    needs: str | None = None


@dataclass(frozen=True)
class ColumnMapping:
    """The mapping of one file: every column, in file order."""

    columns: tuple[Column, ...]

    @property
    def is_headed(self) -> bool:
        """Say whether the first row is known to be a header: a cell of it is a field's name.

        That a person has said which column is which proves nothing: the first row may be data all the same.
        """
        return any(column.how is How.EXACT for column in self.columns)

    def shown(self, column: Column) -> str:
        """Return a column's header for a person who looks at the file: what may be data is masked (X-20)."""
        header = column.header if self._is_safe(column) else mask_header(column.header)
        return _shortened(header) or "no name"

    def named(self, column: Column) -> str:
        """Name a column in a message, which goes into logs and mails, by its header unless that may be data (X-20).

        That of a column which isn't imported may be, also beside a field's name, where any other such looks like data.
        """
        is_certain = column.how is not How.UNMATCHED or not any(
            looks_like_data(other.header) for other in self.columns if other.how is not How.EXACT
        )
        if column.header.strip() and is_certain and self._is_safe(column):
            return _shortened(column.header)
        return f"column {column.index + 1} ({mask_header(column.header) or 'no name'})"

    def numbered(self, column: Column) -> str:
        """Name a column in the middle of a message by its place and, where it may be shown there, its header (X-20)."""
        name = self.named(column)
        return name if name.startswith("column ") else f"column {column.index + 1} ({name})"

    def _is_safe(self, column: Column) -> bool:
        return column.how is How.EXACT or (self.is_headed and not looks_like_data(column.header))

    @property
    def field_indexes(self) -> dict[str, int]:
        """Field → index of its column, in file order."""
        return {column.field: column.index for column in self.columns if column.field is not None}

    @property
    def skipped(self) -> tuple[Column, ...]:
        """Columns that aren't imported, those of a rejected-rows file apart: they are listed for the sender (X-05)."""
        return tuple(column for column in self.columns if column.field is None and column.how is not How.IGNORED)

    def skipped_messages(
        self, explain: Callable[[str], tuple[str, str] | None] = lambda _: None
    ) -> list[tuple[str, str]]:
        """Say of each skipped column that it is, and what it might mean; for files that are imported (X-05).

        Args:
            explain: of the import type: the rule and the sentence for an unmatched header that it can say more of.

        Returns:
            Rule and sentence of each.
        """
        return [_skipped_message(column, self.shown(column), explain) for column in self.skipped]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, for the ledger."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave."""
        return cls(tuple(Column(**{**column, "how": How(column["how"])}) for column in stored["columns"]))


def origin_columns(header: Sequence[str]) -> dict[str, int]:
    """Return the columns that the importer has put before the sender's: name → index; none without `_job` (X-09).

    A second column of such a name is the sender's own.
    """
    names = [text.strip() for text in header]
    if ORIGIN_JOB not in names:
        return {}
    return {name: names.index(name) for name in ORIGIN_COLUMNS if name in names}


def map_columns(
    header: Sequence[str],
    fields: Sequence[Field],
    overrides: Mapping[str, str | None],
    import_type: ImportType,
    switches: Mapping[str, object] | None = None,
) -> ColumnMapping:
    """Map the columns of a file, and refuse the file when they can't be.

    Args:
        header: the header's cells as sent, unquoted.
        fields: the fields of the import type, those of the project settings included.
        overrides: the setting `mapping`: header → field, or None to switch the column off.
        import_type: says which columns a file can't do without.
        switches: settings by name: a field whose `enabled_by` is among them, and not set, has no column (CU-07).

    Raises:
        SettingsError: `overrides` name no column or no field.
        FileRefused: `file.missing_header`, `file.ambiguous_mapping`, `file.required_switched_off`,
            `file.required_column`.
    """
    mapping = match_columns(header, fields, overrides, switches)
    refuse_unusable(mapping, fields, import_type)
    return mapping


def propose_columns(
    header: Sequence[str],
    fields: Sequence[Field],
    overrides: Mapping[str, str | None],
    switches: Mapping[str, object],
) -> ColumnMapping:
    """Match what can be matched of a file that `map_columns` refuses, for a person to correct (X-06).

    Overrides that name no column or no field are passed over.
    """
    by_name = _fields_by_name(fields)
    usable = {
        key: field
        for key, field in overrides.items()
        if columns_named(key, header) and (field is None or normalise_name(field) in by_name)
    }
    try:
        return match_columns(header, fields, usable, switches)
    except SettingsError:  # two of them name one column
        return match_columns(header, fields, {}, switches)


def match_columns(
    header: Sequence[str],
    fields: Sequence[Field],
    overrides: Mapping[str, str | None],
    switches: Mapping[str, object] | None = None,
) -> ColumnMapping:
    """Match columns and fields without judging whether the file can be imported so; a person may still correct it.

    Args:
        switches: see `map_columns`.

    Raises:
        SettingsError: `overrides` name no column or no field.
        ConfigurationError: two fields share a name.
    """
    by_name = _fields_by_name(fields)
    chosen = dict(_chosen_columns(header, overrides, by_name))
    columns = []
    for index, text in enumerate(header):
        matched = by_name.get(normalise_name(text))
        if text.strip() in ORIGIN_COLUMNS:
            columns.append(Column(index, text, None, How.IGNORED))
        elif index not in chosen:
            columns.append(Column(index, text, matched, How.EXACT if matched else How.UNMATCHED))
        elif chosen[index] is None:
            columns.append(Column(index, text, None, How.SWITCHED_OFF, matched))
        else:
            columns.append(Column(index, text, chosen[index], How.SETTING))
    return _without_switched_off(ColumnMapping(tuple(_with_suggestions(columns, by_name))), fields, switches or {})


def _without_switched_off(
    mapping: ColumnMapping, fields: Sequence[Field], switches: Mapping[str, object]
) -> ColumnMapping:
    """Ignore the columns of fields whose setting is off."""
    off = {
        field.name: field.enabled_by
        for field in fields
        if field.enabled_by is not None and switches.get(field.enabled_by, True) is False
    }
    columns = [
        replace(column, field=None, how=How.SWITCHED_OFF, suggestion=column.field, needs=off[column.field])
        if column.field in off
        else column
        for column in mapping.columns
    ]
    return ColumnMapping(tuple(columns))


def refuse_unusable(mapping: ColumnMapping, fields: Sequence[Field], import_type: ImportType) -> None:
    """Refuse the file when this mapping can't be imported.

    Raises:
        FileRefused: see `map_columns`.
    """
    labels = {field.name: field.label for field in fields}
    _refuse_missing_header(mapping, fields)
    _refuse_two_columns_on_one(mapping, labels)
    for field in fields:
        if field.required and field.name not in mapping.field_indexes:
            raise _without_required(mapping, field, fields)
    wanted = [field for field in fields if field.identifies]
    if wanted and not any(field.name in mapping.field_indexes for field in wanted):
        raise FileRefused(
            "file.required_column",
            f"At least one of these columns is required, and the file has none: {_names(wanted)}. {_headers(mapping)}",
        )


def override_key(columns: Sequence[Column], index: int) -> str:
    """Return the key of the setting `mapping` that names one column and no other."""
    header = columns[index].header.strip()
    same = [column.index for column in columns if column.header.strip() == header and column.how is not How.IGNORED]
    return header if len(same) == 1 else f"{header} [{same.index(index) + 1}]"


def _skipped_message(column: Column, shown: str, explain: Callable[[str], tuple[str, str] | None]) -> tuple[str, str]:
    name = f"Column {column.index + 1} ({shown})"
    if column.needs is not None:
        return SKIPPED, f"{name} is switched off: the setting {column.needs} would take it from the file."
    if column.how is How.SWITCHED_OFF:
        return SKIPPED, f"{name} is switched off by the settings."
    perhaps = f"; the setting mapping can make it {column.suggestion}" if column.suggestion else ""
    if (explained := explain(column.header)) is not None:
        rule, sentence = explained
        return rule, f"{name} is not imported: it {sentence}{perhaps}."
    return SKIPPED, f"{name} is not imported: no field has this name{perhaps}."


def _shortened(header: str) -> str:
    return " ".join(header.split())[:LONGEST_NAME]


def _fields_by_name(fields: Sequence[Field]) -> dict[str, str]:
    """Return normalised name → field, over canonical names, labels and aliases."""
    by_name: dict[str, str] = {}
    for field in fields:
        for name in (field.name, field.label, *field.aliases):
            other = by_name.setdefault(normalise_name(name), field.name)
            if other != field.name:
                raise ConfigurationError(f"the fields {other} and {field.name} are both known as {name!r}")
    by_name.pop("", None)
    return by_name


def _chosen_columns(
    header: Sequence[str], overrides: Mapping[str, str | None], by_name: Mapping[str, str]
) -> Iterator[tuple[int, str | None]]:
    """Give the columns that settings decide on, and their field. An exact header goes before a similar one."""
    chosen_by: dict[int, str] = {}
    for key, value in overrides.items():
        indexes = columns_named(key, header)
        if not indexes:
            raise SettingsError(_no_such_column(key, header, by_name))
        field = None
        if value is not None:
            field = by_name.get(normalise_name(value))
            if field is None:
                names = list(dict.fromkeys(by_name.values()))
                raise SettingsError(
                    f"mapping, {_shown(key, by_name)}: there is no field {_shown(value, by_name)}"
                    f"{_near_field(value, by_name) or did_you_mean(value, names)}."
                )
        for index in indexes:
            if index in chosen_by:
                both = f"{_shown(chosen_by[index], by_name)} and {_shown(key, by_name)}"
                raise SettingsError(f"mapping: {both} both name column {index + 1}.")
            chosen_by[index] = key
            yield index, field


def columns_named(key: str, header: Sequence[str]) -> list[int]:
    """Return the columns that a key of the setting `mapping` names: by the exact header, else by a similar one.

    Of several columns with the same header `code [2]` names the second.
    """
    candidates = [(index, text) for index, text in enumerate(header) if text.strip() not in ORIGIN_COLUMNS]
    exact = [index for index, text in candidates if text.strip() == key.strip()]
    if exact:
        return exact
    if numbered := _NUMBERED.fullmatch(key):  # of several columns of one name, the n-th
        same = [index for index, text in candidates if text.strip() == numbered[1].strip()]
        if len(same) > 1 and 1 <= int(numbered[2]) <= len(same):
            return [same[int(numbered[2]) - 1]]
    if not normalise_name(key):
        return []
    return [index for index, text in candidates if normalise_name(text) == normalise_name(key)]


def _near_field(name: str, by_name: Mapping[str, str]) -> str:
    near = closest(name, by_name)
    return f" (did you mean {near}?)" if near else ""


def _no_such_column(key: str, header: Sequence[str], by_name: Mapping[str, str]) -> str:
    """Say so, with a near miss; its header in full only if it is a field's name: it may be data (X-20)."""
    near = closest(key, {normalise_name(text): text.strip() for text in header[:SUGGESTED_COLUMNS]})
    shown = None if near is None else quoted(near) if normalise_name(near) in by_name else mask_header(near)
    hint = f" (did you mean {shown}?)" if shown else ""
    return f"mapping: the file has no column {_shown(key, by_name)}{hint}."


def _shown(text: str, by_name: Mapping[str, str]) -> str:
    """Quote a text of the setting `mapping`; in full only if a field is called so, or nearly: it may be data (X-20)."""
    is_near = normalise_name(text) in by_name or text.strip() in ORIGIN_COLUMNS or closest(text, by_name) is not None
    is_name = is_near and not looks_like_data(text)
    return repr(_shortened(text) if is_name else mask_header(text))


def _with_suggestions(columns: list[Column], by_name: Mapping[str, str]) -> Iterator[Column]:
    taken = {column.field for column in columns}
    free = {name: field for name, field in by_name.items() if field not in taken}
    left = SUGGESTED_COLUMNS
    for column in columns:
        if column.how is How.UNMATCHED and left:
            left -= 1
            yield Column(column.index, column.header, None, column.how, closest(column.header, free))
        else:
            yield column


def _refuse_missing_header(mapping: ColumnMapping, fields: Sequence[Field]) -> None:
    if any(column.how not in (How.UNMATCHED, How.IGNORED) for column in mapping.columns):
        return
    raise FileRefused(
        "file.missing_header",
        "No column of the file was recognised: is the header missing? "
        f"Expected names such as {_names([field for field in fields if field.required] or fields[:5])}. "
        f"Headers in your own words need the setting mapping. {_headers(mapping)}",
    )


def _refuse_two_columns_on_one(mapping: ColumnMapping, labels: Mapping[str, str]) -> None:
    job_columns = sum(column.header.strip() == ORIGIN_JOB for column in mapping.columns)
    if job_columns > 1:
        raise FileRefused("file.ambiguous_mapping", f"The file has {job_columns} columns {ORIGIN_JOB}.")
    by_field: dict[str, list[Column]] = {}
    for column in mapping.columns:
        if column.field is not None:
            by_field.setdefault(column.field, []).append(column)
    sentences = [
        f"{labels[field]} is read from {len(columns)} columns: "
        + ", ".join(f"{mapping.named(column)} (column {column.index + 1})" for column in columns)
        + "."
        for field, columns in by_field.items()
        if len(columns) > 1
    ]
    if sentences:
        advice = "Switch off all but one with the setting mapping, for example mapping: {Header: null}."
        raise FileRefused("file.ambiguous_mapping", " ".join([*sentences, advice]))


def _without_required(mapping: ColumnMapping, field: Field, fields: Sequence[Field]) -> FileRefused:
    for column in mapping.columns:
        if column.how is How.SWITCHED_OFF and column.suggestion == field.name:
            return FileRefused(
                "file.required_switched_off",
                f"{field.label} is required, and the settings switch its column {mapping.named(column)} off.",
            )
    missing = [candidate for candidate in fields if candidate.required and candidate.name not in mapping.field_indexes]
    return FileRefused("file.required_column", f"Required columns are missing: {_names(missing)}. {_headers(mapping)}")


def _names(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.label} ({field.name})" for field in fields)


def _headers(mapping: ColumnMapping) -> str:
    """List the headers that were found, at most 50, with what they might mean."""
    labels = [
        f"{mapping.named(column)} [perhaps {column.suggestion}]"
        if column.how is How.UNMATCHED and column.suggestion
        else mapping.named(column)
        for column in mapping.columns[:50]
    ]
    more = f" and {len(mapping.columns) - 50} more" if len(mapping.columns) > 50 else ""
    return f"Found: {', '.join(labels)}{more}."
