"""Apply the project settings to the warehouse's reference tables. Source: spec section 9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import ARRAY

from include.errors import ConfigurationError
from include.project.model import Project
from include.warehouse.transactions import repeat_on_conflict, values_hidden

SCHEMA = "loyalty"
_LOCK_KEY = int.from_bytes(b"project", "big")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class SyncCounts:
    """What became of the entries of one reference table."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class _Reference:
    """A reference table: its key column first. Imports may own further rows, those that `ours` doesn't hold."""

    table: sa.TableClause
    what: str
    ours: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def key(self) -> str:
        return next(iter(self.table.columns)).name


def _reference(name: str, what: str, *columns: str | sa.ColumnClause[Any], **ours: Any) -> _Reference:
    typed = [sa.column(column, sa.Text) if isinstance(column, str) else column for column in columns]
    return _Reference(sa.table(name, *typed, *(sa.column(column) for column in ours), schema=SCHEMA), what, ours)


_REFERENCES = (
    _reference("brand", "brand", "name"),
    _reference("external_system", "external system", "name"),
    _reference("point_of_contact", "point of contact", "external_id", "brand"),
    _reference("data_source", "data source", "name", "point_of_contact", sa.column("is_default", sa.Boolean)),
    _reference("subscription_channel", "channel", "name"),
    _reference("subscription_topic", "topic", "name"),
    _reference("external_identity", "external identity", "system_name"),
    _reference("custom_field", "custom field", "name", "type", sa.column("enum_values", ARRAY(sa.Text))),
    _reference("action_template", "action template", "system_name", "category"),
    _reference("segment", "segment", "name", is_configured=True),
    _reference(
        "promo_code_format", "promo code format", "name", "alphabet", sa.column("length", sa.Integer), "prefix",
        "suffix", sa.column("max_codes", sa.BigInteger),
    ),
)  # fmt: skip
"""In the order of their references: an entry is added after, and removed before, what it refers to."""

_NAMED_USERS = {
    "point_of_contact": "external_id",
    "data_source": "name",
    "gift_card_pool": "system_name",
    "technical_product": "pool_system_name",
    "promo_code_pool": "system_id",
}
"""Tables whose rows a refusal may name by this column; of others, such as cards, it gives the number (X-20)."""


def sync_in_turn(engine: Engine, project: Project) -> dict[str, SyncCounts]:
    """Do `sync` in a transaction of its own, and again when another one, such as a load, was in its way.

    Raises:
        ConfigurationError: as `sync`.
        WarehouseConflict: every attempt met another transaction.
        WarehouseUnavailable, WarehouseFault
    """

    def attempt(_: int) -> dict[str, SyncCounts]:
        with values_hidden(), engine.begin() as connection:
            return sync(connection, project)

    return repeat_on_conflict(attempt)


def sync(connection: Connection, project: Project) -> dict[str, SyncCounts]:
    """Make the reference tables equal to the project settings, in the caller's transaction.

    Segments that imports created stay. Doing it again changes nothing; two at once go one after the other.

    Args:
        project: the settings, validated.
        connection: at READ COMMITTED, so that uses by others are seen once the lock is held; not committed here.

    Returns:
        Table name → counts.

    Raises:
        ConfigurationError: an entry that the settings no longer hold is in use, a promo code format that they change
            has produced codes (PP-03), or customers have values of a custom field that would not fit its new type;
            says which and by whom, all of them. The caller must roll back.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_KEY)))
    wanted = {name: {row[_key(name)]: row for row in rows} for name, rows in reference_rows(project).items()}
    if _redefines_custom_fields(connection, wanted["custom_field"]):
        # Before any row is locked: loads, which hold this lock longer than any other, would wait for that row.
        _hold_custom_fields(connection)
    counts: dict[str, SyncCounts] = {}
    obsolete: dict[str, list[str]] = {}
    refusals: list[str] = []
    for reference in _REFERENCES:
        counts[reference.name], obsolete[reference.name], locked = _upsert(
            connection, reference, wanted[reference.name]
        )
        refusals += locked
    for reference in reversed(_REFERENCES):
        refusals += _remove(connection, reference, obsolete[reference.name])
    if refusals:
        raise ConfigurationError("\n".join(refusals))
    return counts


def reference_rows(project: Project) -> dict[str, list[Row]]:
    """Return the rows that each reference table has to hold."""
    return {
        "brand": [{"name": name} for name in project.brands],
        "external_system": [{"name": name} for name in project.external_systems],
        "point_of_contact": [
            {"external_id": contact.external_id, "brand": contact.brand} for contact in project.points_of_contact
        ],
        "data_source": [
            {"name": source.name, "point_of_contact": source.point_of_contact, "is_default": source.is_default}
            for source in project.data_sources
        ],
        "subscription_channel": [{"name": name} for name in project.channels],
        "subscription_topic": [{"name": name} for name in project.topics],
        "external_identity": [{"system_name": name} for name in project.external_identities],
        "custom_field": [
            {"name": custom.name, "type": str(custom.type), "enum_values": list(custom.values) or None}
            for custom in project.custom_fields
        ],
        "action_template": [
            {"system_name": action.system_name, "category": action.category} for action in project.action_templates
        ],
        "segment": [{"name": name, "is_configured": True} for name in project.segments],
        "promo_code_format": [
            {"name": code_format.name, "alphabet": code_format.alphabet, "length": code_format.length,
             "prefix": code_format.prefix, "suffix": code_format.suffix, "max_codes": code_format.max_codes}
            for code_format in project.promo_code_formats
        ],
    }  # fmt: skip


def _key(table_name: str) -> str:
    return next(reference.key for reference in _REFERENCES if reference.name == table_name)


def _upsert(
    connection: Connection, reference: _Reference, wanted: Mapping[str, Row]
) -> tuple[SyncCounts, list[str], list[str]]:
    """Add and change rows; return the counts, with the obsolete rows as removed, the keys of those, and refusals."""
    table, key = reference.table, reference.table.c[reference.key]
    there = {row[reference.key]: dict(row) for row in connection.execute(sa.select(table)).mappings()}
    obsolete = [
        name
        for name, row in there.items()
        if name not in wanted and all(row[column] == value for column, value in reference.ours.items())
    ]
    changed = [row for name, row in wanted.items() if name in there and there[name] != row]
    added = [row for name, row in wanted.items() if name not in there]
    if reference.name == "data_source":
        _take_back_default(connection, wanted)
    refusals = _refused_changes(connection, reference, there, changed)
    for row in changed:
        if row[reference.key] in refusals:
            continue
        connection.execute(sa.update(table).where(key == row[reference.key]).values(dict(row)))
    if added:
        connection.execute(sa.insert(table), [dict(row) for row in added])
    unchanged = len(wanted) - len(changed) - len(added)
    sentences = [sentence for of_entry in refusals.values() for sentence in of_entry]
    return SyncCounts(len(added), len(changed), len(obsolete), unchanged), obsolete, sentences


def _refused_changes(
    connection: Connection, reference: _Reference, there: Mapping[str, Row], changed: Sequence[Row]
) -> dict[str, list[str]]:
    """Return, by key, why entries can't be changed as the settings want it; those that can are left out."""
    if reference.name == "custom_field" and changed:
        misfits = {row["name"]: _values_that_misfit(connection, there[row["name"]], row) for row in changed}
        return {name: sentences for name, sentences in misfits.items() if sentences}
    return {
        name: [
            f"The {reference.what} {name!r} can't be changed in the project settings: {codes:,} codes have been "
            "generated in it. Add a format of another name."
        ]
        for name, codes in _generated_codes(connection, reference, [row[reference.key] for row in changed]).items()
    }


def _values_that_misfit(connection: Connection, before: Row, after: Row) -> list[str]:
    """Return a sentence for each reason why customers' values of a custom field would not fit its new definition."""
    name = before["name"]
    if before["type"] != after["type"]:
        return [
            f"The custom field {name!r} can't become {after['type']} in the project settings: {_customers(count)} "
            f"values of the type {before['type']}. Add a field of another name."
            for count in _customers_with_values(connection, [name]).values()
        ]
    gone = [value for value in before["enum_values"] or () if value not in (after["enum_values"] or ())]
    rows = connection.execute(
        sa.text(
            "SELECT custom_fields ->> :name, count(*) FROM loyalty.customer "
            "WHERE custom_fields ->> :name = ANY (CAST(:gone AS text[])) GROUP BY 1 ORDER BY 1"
        ),
        {"name": name, "gone": gone},
    )
    return [
        f"The value {value!r} of the custom field {name!r} can't be removed from the project settings: "
        f"{_customers(count)} it."
        for value, count in rows
    ]


def _customers(count: int) -> str:
    return f"{count:,} customers have" if count > 1 else "1 customer has"


def _customers_with_values(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return how many customers have a value of custom fields, of those that are used."""
    rows = connection.execute(
        sa.text(
            "SELECT name, count(*) FROM loyalty.customer JOIN unnest(CAST(:names AS text[])) AS name "
            "ON jsonb_exists(custom_fields, name) GROUP BY name ORDER BY name"
        ),
        {"names": list(names)},
    )
    return {str(name): int(count) for name, count in rows}


def _redefines_custom_fields(connection: Connection, wanted: Mapping[str, Row]) -> bool:
    table = next(reference.table for reference in _REFERENCES if reference.name == "custom_field")
    return any(dict(row) != wanted.get(row["name"]) for row in connection.execute(sa.select(table)).mappings())


def _hold_custom_fields(connection: Connection) -> None:
    """Wait for those who write values of custom fields, and keep others from it until the transaction ends."""
    connection.execute(sa.text("SELECT loyalty.lock_custom_fields(is_alone => true)"))


def _generated_codes(connection: Connection, reference: _Reference, names: Sequence[str]) -> dict[str, int]:
    """Return how many codes were generated in formats, those that have some. They are locked: no more can follow."""
    if reference.name != "promo_code_format" or not names:
        return {}
    format_ = sa.table(reference.name, sa.column("name", sa.Text), sa.column("generated", sa.BigInteger), schema=SCHEMA)
    rows = connection.execute(
        sa.select(format_.c.name, format_.c.generated)
        .where(format_.c.name.in_(names))
        .order_by(format_.c.name)
        .with_for_update()
    )
    return {name: codes for name, codes in rows if codes}


def _take_back_default(connection: Connection, wanted: Mapping[str, Row]) -> None:
    """Free the only place for a default, whichever entry has it next: an index allows one at any moment."""
    keeps = [name for name, row in wanted.items() if row["is_default"]]
    source = next(reference.table for reference in _REFERENCES if reference.name == "data_source")
    connection.execute(
        sa.update(source).where(source.c.is_default, source.c.name.not_in(keeps)).values(is_default=False)
    )


def _remove(connection: Connection, reference: _Reference, names: Sequence[str]) -> list[str]:
    """Remove rows that nobody uses; return a sentence for each of the others."""
    if not names:
        return []
    table, key = reference.table, reference.table.c[reference.key]
    connection.execute(sa.select(key).where(key.in_(names)).order_by(key).with_for_update())
    used_by: dict[str, list[str]] = {}
    for user in _users(connection, reference):
        for name, sentence in _uses(connection, user, names):
            used_by.setdefault(name, []).append(sentence)
    for name, codes in _generated_codes(connection, reference, names).items():
        used_by.setdefault(name, []).append(f"{codes:,} generated codes")
    if reference.name == "custom_field":
        for name, count in _customers_with_values(connection, names).items():
            used_by.setdefault(name, []).append(f"{count:,} customer{'s' if count > 1 else ''}")
    free = [name for name in names if name not in used_by]
    if free:
        connection.execute(sa.delete(table).where(key.in_(free)))
    return [
        f"The {reference.what} {name!r} can't be removed from the project settings: it is used by {', '.join(users)}."
        for name, users in used_by.items()
    ]


def _users(connection: Connection, reference: _Reference) -> list[sa.TableClause]:
    """Return the tables that refer to one, each with the column that does: also where a trigger enforces it."""
    rows = connection.execute(
        sa.text(
            """
            SELECT DISTINCT namespace.nspname, relation.relname, attribute.attname
            FROM pg_constraint AS reference
            JOIN pg_class AS relation ON relation.oid = reference.conrelid
            JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
            JOIN pg_attribute AS referred ON referred.attrelid = reference.confrelid AND referred.attname = :key
            JOIN pg_attribute AS attribute ON attribute.attrelid = reference.conrelid
                AND attribute.attnum = reference.conkey[array_position(reference.confkey, referred.attnum)]
            WHERE reference.contype = 'f' AND reference.confrelid = CAST(:table AS regclass)
                AND reference.conparentid = 0
            ORDER BY 1, 2, 3
            """
        ),
        {"table": f"{SCHEMA}.{reference.name}", "key": reference.key},
    )
    return [sa.table(relation, sa.column(column, sa.Text), schema=schema) for schema, relation, column in rows]


def _uses(connection: Connection, user: sa.TableClause, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return (entry, who uses it) for the entries that one table refers to."""
    column = next(iter(user.columns))
    what = user.name.replace("_", " ")
    named_by = _NAMED_USERS.get(user.name)
    example = sa.func.min(sa.column(named_by, sa.Text)) if named_by else sa.null()
    rows = connection.execute(
        sa.select(column, sa.func.count(), example).select_from(user).where(column.in_(names)).group_by(column)
    )
    uses = []
    for name, count, first in rows:
        example_text = "" if first is None else f" ({first!r})" if count == 1 else f" ({first!r} for one)"
        uses.append((name, f"{count:,} {what}{'s' if count > 1 else ''}{example_text}"))
    return uses
