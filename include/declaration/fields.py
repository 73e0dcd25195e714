"""What an import type is made of: fields, lookups, derived columns, rules of the load."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa  # which no DAG needs when it is parsed


class Secrets(Protocol):
    """The keys that derived columns are made with."""

    @property
    def cvv_key(self) -> bytes | None:
        """Key of the CVV hashes (X-20)."""


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

    Most fields have the look of their kind. Two fields of one look can't be distinguished by their values.
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
        default: text that replaces a blank cell, as if the sender had written it.
        sensitive: values are masked wherever X-20 forbids them.
        allows_two_digit_year: a year of two digits is read as the latest such year that is not in the future.
        is_secret: never quoted at all, nor kept in the staging table in clear (CVV).
        synonyms: further words for a choice, compared without case: word → the choice's stored spelling.
        clearable: the cell `%CLEAR%` erases the value (PP-02, CU-04): it is read as a blank one, and the column
            `<name>__clear` of the frame and the staging table is true.
        is_end: a day given without a time is included: it is read as the midnight after it (PC-03).
        setting: a setting of the import that replaces blank cells; the frame's column `<name>__setting` holds it.
        packed: (staging column, key): the field has no staging columns of its own but is a key of a `jsonb` one, with
            the value null where the cell is `%CLEAR%`, left out where it is blank.
        enabled_by: a yes/no setting of the import without which the field's column is ignored (CU-07).
        is_droppable: with `on_invalid_optional: drop_value` an invalid value is left out instead of costing the row
            (CU-14).
        look: what the values usually look like, where the kind alone doesn't say it (X-18).
        identifies: of the fields that say so the file must have a column for at least one (X-04).
        max_characters: how long a text or an identifier may be; one that a lookup has to find needs no limit.
        is_indexed: stored in an index, whose rows hold few bytes: longer values are rejected.
        label_in_rules: the words for the field in the sentences of its standard rules, where the label is too long.
        rule_condition: arguments of the field's standard rules that limit them to some rows: `when_column` and
            `when_value`, or `unless_present`. See `include.rules.standard`.
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
    identifies: bool = False
    max_characters: int = 1000
    is_indexed: bool = False
    label_in_rules: str = ""
    rule_condition: Mapping[str, object] = dataclasses.field(default_factory=dict, hash=False)


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
        compute: from the frame's columns (`pyarrow` arrays of equal length) and the keys to one array.
    """

    name: str
    sql_type: str
    compute: Callable[[Mapping[str, pa.Array], Secrets], pa.Array]


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
