"""The files of a new import type: declaration, sample, suite, DAG, revision, and the importer's rights on its table.

The declaration comes first and is a person's from then on; all others are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.errors import ConfigurationError
from include.ledger.staging import SQL_TYPES

_TEMPLATES = Path(__file__).parent
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ROWS_OF_SAMPLE = 3
_MARK_OF_RIGHTS = "        # --- types that are loaded as they are declared\n"


@dataclass(frozen=True)
class NewType:
    """What the names of a new type's files and objects are made of.

    Args:
        name: in the plural, as in folders and DAG ids.
    """

    name: str

    @property
    def singular(self) -> str:
        """One of them: the table's name, and the beginning of the key's."""
        for plural, singular in (("ies", "y"), ("sses", "ss"), ("s", "")):
            if self.name.endswith(plural):
                return self.name.removesuffix(plural) + singular
        return self.name

    @property
    def constant(self) -> str:
        """The declaration's name in Python."""
        return self.name.upper()

    @property
    def words(self) -> str:
        """What people call them, within a sentence."""
        return self.name.replace("_", " ")


def check_name(name: str) -> None:
    """Refuse a name that can't be that of a folder, a DAG and a Python module.

    Raises:
        ConfigurationError
    """
    if not _NAME.fullmatch(name) or len(name) > 40:
        raise ConfigurationError(
            f"NAME={name}: write a plural of small ASCII letters, digits and single underscores, such as stores or "
            "gift_cards, of at most 40 characters."
        )


def parse_fields(text: str) -> list[tuple[str, Kind, bool]]:
    """Read `name! city opened_on:date`: each field's name, its kind (text when left out), and `!` where it is required.

    Raises:
        ConfigurationError
    """
    fields = []
    for word in text.split():
        name, _, kind = word.removesuffix("!").partition(":")
        if not _NAME.fullmatch(name) or (kind and kind not in _kinds()):
            raise ConfigurationError(
                f"FIELDS: {word} is not a name of small letters, digits and underscores, with a kind after a colon: "
                f"{', '.join(_kinds())}."
            )
        fields.append((name, Kind(kind or Kind.TEXT), word.endswith("!")))
    names = [name for name, *_ in fields]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"FIELDS: {', '.join(twice)} comes twice.")
    return fields


def _kinds() -> list[str]:
    return [kind.value for kind in Kind if kind is not Kind.ENUM]  # a choice's words are written by hand


def declaration(new: NewType, fields: Sequence[tuple[str, Kind, bool]]) -> str:
    """Return the text of `include/import_types/<name>/__init__.py`: the key, then the fields."""
    template = (_TEMPLATES / "declaration.txt").read_text(encoding="utf-8")
    key = (f"{new.singular}_code", Kind.IDENTIFIER, True)
    described = [(key, "Unique; it never changes."), *((field, f"{_label(field[0])}.") for field in fields)]
    lines = "".join(
        _declared_field(name, kind, is_required, description, is_key=name == key[0])
        for (name, kind, is_required), description in described
    )
    return template.format(
        name=new.name,
        constant=new.constant,
        label=_label(new.name),
        key=key[0],
        table=f"loyalty.{new.singular}",
        fields=lines.removesuffix("\n"),
    )


def _declared_field(name: str, kind: Kind, is_required: bool, description: str, *, is_key: bool) -> str:
    arguments = [f'"{name}"', f'"{_label(name)}"']
    arguments += [] if kind is Kind.TEXT else [f"Kind.{kind.name}"]
    arguments += ["required=True"] if is_required else []
    arguments += [] if is_required or is_key else ["clearable=True"]
    arguments += ["is_indexed=True"] if is_key else []
    arguments.append(f'description="{description}"')
    return "".join(["        Field(\n", *(f"            {argument},\n" for argument in arguments), "        ),\n"])


def _label(name: str) -> str:
    words = name.replace("_", " ")
    return f"{words[0].upper()}{words[1:]}"


def dag_file(new: NewType) -> str:
    """Return the text of `dags/import_<name>.py`."""
    template = (_TEMPLATES / "dag.txt").read_text(encoding="utf-8")
    return template.format(name=new.name, words=new.words, table=f"loyalty.{new.singular}")


def sample(import_type: ImportType) -> str:
    """Return a file of a few rows, with the labels as its header."""
    header = [field.label for field in import_type.fields]
    rows = [[example(field, number) for field in import_type.fields] for number in range(1, _ROWS_OF_SAMPLE + 1)]
    return "".join(f"{','.join(row)}\n" for row in (header, *rows))


def example(field: Field, number: int) -> str:
    """Return a cell for a field; other numbers give other cells, but of choices.

    Args:
        number: 1 to 28.
    """
    texts = {
        Kind.TEXT: f"{field.label} {number}",
        Kind.IDENTIFIER: f"{field.name.partition('_')[0].upper()}-{number:04}",
        Kind.BOOLEAN: "true" if number % 2 else "false",
        Kind.DECIMAL: f"{number}00.50",
        Kind.INTEGER: f"{number}0",
        Kind.DATE: f"2024-02-{number:02}",
        Kind.DATETIME: f"2024-02-{number:02} 10:30",
        Kind.EMAIL: f"person{number}@example.com",
        Kind.PHONE: f"+1 202-555-01{42 + number}",
    }
    if field.kind is Kind.ENUM:
        return field.choices[number % len(field.choices)]
    return texts[field.kind]


def table_sql(import_type: ImportType) -> str:
    """Return the SQL that makes the type's table, which its `load` fills."""
    table = import_type.targets[0]
    columns = ",\n".join(_columns(import_type, table.split(".")[1]))
    return (
        f"CREATE TABLE {table} (\n{columns}\n);\n"
        f"COMMENT ON TABLE {table} IS '{import_type.label}, as the files of this import type have them.';\n"
        f"COMMENT ON COLUMN {table}.import_job_id IS 'ledger.import_job that inserted the row.';\n"
        f"COMMENT ON COLUMN {table}.import_line IS 'Of the row, in the file of that job.';\n"
    )


def _columns(import_type: ImportType, table: str) -> Iterator[str]:
    for field in import_type.fields:
        definition = f"    {field.name} {SQL_TYPES[field.kind]}"
        if field.name == import_type.key:
            yield f"{definition}\n        CONSTRAINT {table}_pkey PRIMARY KEY"
        else:
            yield f"{definition}{' NOT NULL' if field.required else ''}"
    yield "    import_job_id bigint"
    yield "    import_line bigint"


def with_rights(text: str, import_type: ImportType) -> str:
    """Return the text of `include/warehouse/rights.py` with the importer's rights on the type's table.

    Raises:
        ConfigurationError: the mark is missing that these lines follow.
    """
    table = import_type.targets[0]
    if f'"{table}"' in text:
        return text
    if _MARK_OF_RIGHTS not in text:
        raise ConfigurationError(f"include/warehouse/rights.py has no line {_MARK_OF_RIGHTS.strip()!r}")
    privileges = "INSERT, SELECT, UPDATE" if import_type.edits else "INSERT, SELECT"
    return text.replace(_MARK_OF_RIGHTS, f'{_MARK_OF_RIGHTS}        "{table}": {{_I: "{privileges}"}},\n')
