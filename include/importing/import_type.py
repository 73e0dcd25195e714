"""What an import type declares: its fields, its lookups, its rules at the load, its statement.

A new type is one declaration of this shape, one suite in `expectations/`, one load statement, one DAG file and one line
in `include/import_types/__init__.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from include.importing.mapping import ColumnMapping
    from include.importing.runtime import Runtime
    from include.importing.settings import ImportSettings
    from include.project.model import Project


class Kind(StrEnum):
    """How a field's cells are read. Source: value formats, X-16."""

    TEXT = "text"
    IDENTIFIER = "identifier"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    INTEGER = "integer"
    DATE = "date"
    DATETIME = "datetime"
    ENUM = "enum"
    EMAIL = "email"
    PHONE = "phone"


class Look(StrEnum):
    """What a field's values usually look like, for the comparison with what a column holds. Source: X-18.

    Most fields have the look of their kind. Two fields of one look can't be told apart by their values.
    """

    TEXT = "text"
    IDENTIFIER = "identifier"
    YES_NO = "yes or no"
    AMOUNT = "amount"
    COUNT = "count"
    DATE = "date"
    MOMENT = "moment"
    CHOICE = "choice"
    EMAIL = "e-mail"
    PHONE = "phone"
    CARD_NUMBER = "card number"
    CODE = "code"
    CVV = "cvv"
    NAME = "name of a thing"
    SYSTEM_NAME = "system name"
    PERSON = "part of a person's name"
    FULL_NAME = "full name"
    PLACE = "place"
    BIRTH = "birth date"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Field:
    """One field that a file's column can be mapped to.

    Args:
        name: canonical name; also the column of the frame, of the suite and of the staging table.
        label: the words a person sees.
        aliases: further headers that mean this field; compared on normalised names (X-05).
        required: the file must have a column for it (X-04); that a cell is filled is a rule of the suite.
        choices: the values of an enumeration, in their stored spelling.
        default: text that stands in for a blank cell, as if the sender had written it.
        sensitive: values are masked wherever X-20 forbids them.
        allows_two_digit_year: BirthDate alone.
        is_secret: never quoted at all, nor kept in the staging table in clear (CVV).
        synonyms: further words for a choice, compared without case: word → the choice's stored spelling.
        clearable: the cell `%CLEAR%` erases the value (PP-02, CU-04): it is read as a blank one, and the column
            `<name>__clear` of the frame and the staging table is true.
        is_end: a day given without a time is included: it is read as the midnight after it (PC-03).
        setting: a setting of the import that stands in for blank cells; the frame's column `<name>__setting` holds it.
        packed: (staging column, key): the field has no staging columns of its own but is a key of a `jsonb` one, with
            the value null where the cell is `%CLEAR%`, left out where it is blank.
        enabled_by: a yes/no setting of the import without which the field's column is ignored (CU-07).
        is_droppable: with `on_invalid_optional: drop_value` an invalid value is left out instead of costing the row
            (CU-14).
        look: what the values usually look like, where the kind alone doesn't say it (X-18).
    """

    name: str
    label: str
    kind: Kind = Kind.TEXT
    aliases: tuple[str, ...] = ()
    required: bool = False
    choices: tuple[str, ...] = ()
    default: str | None = None
    sensitive: bool = False
    is_secret: bool = False
    allows_two_digit_year: bool = False
    description: str = ""
    synonyms: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    clearable: bool = False
    is_end: bool = False
    setting: str | None = None
    packed: tuple[str, str] | None = None
    enabled_by: str | None = None
    is_droppable: bool = False
    look: Look | None = None


@dataclass(frozen=True)
class Lookup:
    """Facts of another table, joined to the frame so that the suite can decide on them.

    The frame gets `<name>__found` (null where the field is blank) and `<name>__<column>` for each of `columns`.

    Args:
        field: the field that holds the key; compared exactly.
        query: SQL whose first result column is the key (text), followed by `columns`.
        columns: column name → kind, for the frame's types.
    """

    name: str
    field: str
    query: str
    columns: Mapping[str, Kind] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Derived:
    """A column of the staging table that is computed from several fields, such as the hash of a secret.

    Args:
        compute: from the frame's columns (`pyarrow` arrays of equal length) and the runtime to one array.
    """

    name: str
    sql_type: str
    compute: Callable[[Mapping[str, pa.Array], Runtime], pa.Array]


@dataclass(frozen=True)
class LoadRule:
    """A rule that only the load transaction can decide (keys, locked rows).

    Args:
        id: `field.rule`, or `row.rule`; `prefix*.rule` is one rule for each dynamic field with that prefix.
        message: a sentence with places such as `{value}`, filled in by the load statement; `{label}`, the label of a
            dynamic field, is filled in already.
        source: requirement number.
        severity: a `warning` lets the row load; the load statement writes such rows to `load_warning`.
    """

    id: str
    message: str
    source: str
    severity: Literal["critical", "warning"] = "critical"


@dataclass(frozen=True)
class ImportType:
    """One import type.

    Args:
        name: as in folders, DAG ids and suites.
        key: field that tells rows apart within one file (X-17).
        load_statements: SQL files that turn staged rows into loaded ones, in the order in which they run.
        targets: tables the load writes, most important first, as `schema.table`.
        edits: True when rows may change existing ones: files load in the order of their arrival (X-14).
        utf8_only: another encoding can't be declared (X-03).
        required_any: names of fields of which at least one needs a column (X-04); `*` at the end stands for any rest,
            for fields that the project settings name.
        dynamic_fields: fields that the project settings add. Only those that a file has a column for are read.
        dynamic_headers: for the documentation: what such columns are called, values, description.
        packed_columns: every `jsonb` column of the staging table that fields are packed into; they are there always.
        explain_unmatched: says of a header that no field has which entry of the project settings it seems to miss: rule
            (`file.…`) and the end of a sentence that begins with the column's name; None for any other header (CU-08).
        derive_settings: returns what follows from the settings given and the project's: stored with the job, part of
            the fingerprint (X-13), shown to the load statement in place of the settings of the same names (CU-07).
        not_found_reason: sentence for rows that the load statement lists in `load_not_found` (CU-01).
        folder_setting: the setting that a folder below the type's own names: files in `<type>/<name>/` have it (PC-02).
        check_file: refuses a file by its settings and mapping, before any row is judged.
        pasted_header: the header of texts that are pasted without one (PC-01).
        shown_settings: settings that the suite compares cells with; the frame's columns `setting__<name>` hold them.
    """

    name: str
    label: str
    actions: tuple[str, ...]
    fields: tuple[Field, ...]
    key: str
    load_statements: tuple[Path, ...]
    targets: tuple[str, ...]
    lookups: tuple[Lookup, ...] = ()
    load_rules: tuple[LoadRule, ...] = ()
    derived: tuple[Derived, ...] = ()
    edits: bool = False
    utf8_only: bool = False
    required_any: tuple[str, ...] = ()
    dynamic_fields: Callable[[Project], tuple[Field, ...]] | None = None
    dynamic_headers: tuple[tuple[str, str, str], ...] = ()
    packed_columns: tuple[str, ...] = ()
    explain_unmatched: Callable[[str, Project], tuple[str, str] | None] | None = None
    derive_settings: Callable[[Connection, ImportSettings, Project], dict[str, str]] | None = None
    not_found_reason: str | None = None
    folder_setting: str | None = None
    check_file: Callable[[Connection, ImportSettings, ColumnMapping], None] | None = None
    pasted_header: str | None = None
    shown_settings: tuple[str, ...] = ()

    def all_fields(self, project: Project) -> tuple[Field, ...]:
        """Return the declared fields followed by those the project settings add."""
        return self.fields + (self.dynamic_fields(project) if self.dynamic_fields else ())

    def read_fields(self, project: Project, mapping: ColumnMapping) -> tuple[Field, ...]:
        """Return the declared fields followed by those of the project settings that the file has a column for.

        A project may have hundreds of topics times channels: what no file names costs nothing.
        """
        mapped = mapping.field_indexes
        declared = len(self.fields)
        return self.fields + tuple(each for each in self.all_fields(project)[declared:] if each.name in mapped)
