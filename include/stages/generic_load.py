"""The load of types that declare one (`ImportType.load`): SQL made from key, fields and table. Source: X-07, X-17.

It reads and writes what every load statement does (`include.stages.loading`), set-wise, and names nothing but what is
declared: rows stay in the database.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from psycopg2.sql import SQL, Composed, Identifier, Literal

from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.declaration.loads import DUPLICATE, OTHER_VALUES, Insert

TEMPLATES = Path(__file__).parent / "generic"
_TEXTS = (Kind.TEXT, Kind.IDENTIFIER, Kind.ENUM, Kind.EMAIL, Kind.PHONE)


def statement(import_type: ImportType, mapped: Collection[str]) -> Composed:
    """Return the SQL text that turns staged rows into loaded ones.

    Args:
        import_type: one that declares its `load`.
        mapped: names of the fields that the file has a column for; only these are compared with stored rows.
    """
    key = import_type.key
    others = [field for field in import_type.fields if field.name != key and field.name in mapped]
    kind = next(field.kind for field in import_type.fields if field.name == key)
    places = {
        "table": Identifier(*import_type.targets[0].split(".")),
        "table_name": Literal(import_type.targets[0]),
        "key": Identifier(key),
        "hash": SQL("hashtextextended({}, 0)" if kind in _TEXTS else "{}").format(Identifier(key)),
        "columns": SQL(", ").join(Identifier(field.name) for field in import_type.fields),
        "differences": SQL("").join(map(_difference, others)),
        "edits": SQL(", ").join(map(_edit, others or import_type.fields[:1])),
        "changes": SQL(" OR ").join(map(_change, others)) if others else SQL("FALSE"),
        "duplicate": Literal(f"{key}.{DUPLICATE}"),
        "other_values": Literal(f"{key}.{OTHER_VALUES}"),
    }
    return SQL(template_of(import_type).read_text(encoding="utf-8")).format(**places)


def template_of(import_type: ImportType) -> Path:
    """Return the file that the SQL is made from."""
    return TEMPLATES / ("insert.sql" if isinstance(import_type.load, Insert) else "upsert.sql")


def _difference(field: Field) -> Composed:
    return SQL(",\n    CASE WHEN row.{0} IS DISTINCT FROM stored.{0} THEN {1} END").format(
        Identifier(field.name), Literal(field.name)
    )


def _edited(field: Field) -> Composed:
    kept = SQL("coalesce(row.{0}, stored.{0})").format(Identifier(field.name))
    if not field.clearable:
        return kept
    return SQL("CASE WHEN NOT row.{} THEN {} END").format(Identifier(f"{field.name}__clear"), kept)


def _edit(field: Field) -> Composed:
    return SQL("{} = {}").format(Identifier(field.name), _edited(field))


def _change(field: Field) -> Composed:
    """Show where a row changes the stored value. A blank cell is answered without a look at it."""
    changes = SQL("row.{0} IS NOT NULL AND row.{0} IS DISTINCT FROM stored.{0}").format(Identifier(field.name))
    if not field.clearable:
        return changes
    return SQL("CASE WHEN row.{} THEN stored.{} IS NOT NULL ELSE {} END").format(
        Identifier(f"{field.name}__clear"), Identifier(field.name), changes
    )
