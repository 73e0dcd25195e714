"""Which role may do what with each table, view, sequence and function: declared here, and nowhere else. Source: X-22.

`migrate` brings the database's grants in line with these declarations each time, so that a revision never grants
anything. What isn't declared, nobody but the owner may touch; a test names every table and function that is missing
here, and the documentation's table is made of these declarations.

The owner has everything, by owning it. `PUBLIC` has nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Connection, text

from include.errors import ConfigurationError
from include.warehouse.roles import GROUPS, SCHEMAS, Role

PUBLIC = "PUBLIC"
_TAKES = "loyalty.promo_code_take_*"
"""Sequences, one a promo code pool, which a trigger makes together with their grants."""

Rights = Mapping[Role, str]
_I, _P, _S = Role.IMPORTER, Role.PAGES, Role.SHOP
_READ: Rights = {_I: "SELECT", _P: "SELECT"}
_REFERENCE = _READ
"""Of a table that the project settings fill: the owner does, by `sync-project`."""

SCHEMA_RIGHTS: Mapping[str, Rights] = MappingProxyType(
    {
        "ledger": {_I: "USAGE", _P: "USAGE"},
        "loyalty": {_I: "USAGE", _P: "USAGE", _S: "USAGE"},
        "staging": {_I: "CREATE, USAGE"},
    }
)

_POOL_SETTINGS = (
    "name, description, campaign, parameter_name, fill_method, format, quantity, auto_generate, top_up_threshold, "
    "notify_below, lead_hours, issue_check, assigned_validity_days, processing, multi_use, code_pattern, state"
)
_CODE_WINDOWS = "issue_start, issue_end, available_from, available_till"

TABLE_RIGHTS: Mapping[str, Rights] = MappingProxyType(
    {
        # --- the ledger: history is written and read, and goes only where its readers' files go
        "ledger.import_job": {_I: "INSERT, SELECT, UPDATE", _P: "SELECT"},
        "ledger.import_job_parent": {_I: "INSERT, SELECT", _P: "SELECT"},
        "ledger.import_chunk": {_I: "DELETE, INSERT, SELECT, UPDATE", _P: "SELECT"},
        "ledger.import_review": {_I: "INSERT, SELECT, UPDATE", _P: "SELECT"},
        "ledger.job_rule": {_I: "DELETE, INSERT, SELECT", _P: "SELECT"},
        "ledger.reject": {
            _I: "DELETE, INSERT, SELECT, UPDATE",
            _P: "SELECT (fixed_by_job_id, job_id, line, rules)",  # reasons quote cells
        },
        "ledger.customer_placeholder": {_I: "INSERT, SELECT"},
        "ledger.not_found": {_I: "DELETE, INSERT, SELECT"},
        "ledger.dropped_value": {_I: "DELETE, INSERT, SELECT"},
        "ledger.customer_change": {_I: "INSERT, SELECT"},
        "ledger.promo_code_generation": {_I: "INSERT, SELECT, UPDATE", _P: "SELECT"},
        "ledger.promo_code_upload": {_I: "INSERT, SELECT", _P: "SELECT"},
        "ledger.promo_code_pool_launch": _READ,
        "ledger.promo_code_alert": {_I: "INSERT, SELECT, UPDATE", _P: "SELECT"},
        "ledger.schema_revision": _READ,
        "ledger.schema_object": {},
        # --- what the project settings name
        "loyalty.brand": _REFERENCE,
        "loyalty.external_system": _REFERENCE,
        "loyalty.point_of_contact": _REFERENCE,
        "loyalty.data_source": _REFERENCE,
        "loyalty.subscription_channel": _REFERENCE,
        "loyalty.subscription_topic": _REFERENCE,
        "loyalty.external_identity": _REFERENCE,
        "loyalty.custom_field": _REFERENCE,
        "loyalty.action_template": _REFERENCE,
        "loyalty.segment": {_I: "INSERT, SELECT", _P: "SELECT"},
        "loyalty.promo_code_format": {
            _I: "SELECT, UPDATE (generated, key_fingerprint, next_index)",
            _P: "SELECT",
        },
        # --- gift cards: money. They change by the public functions alone
        "loyalty.gift_card_pool": {_I: "INSERT, SELECT", _P: "SELECT"},
        "loyalty.technical_product": _READ,
        "loyalty.gift_card": {_I: "INSERT, SELECT", _P: "SELECT (balance, pool_system_name, status)"},
        "loyalty.gift_card_plain_number": {_I: "INSERT, SELECT"},
        "loyalty.gift_card_change": {_I: "SELECT"},
        "loyalty.gift_card_pool_overview": _READ,
        "loyalty.gift_card_as_imported": {_I: "SELECT"},
        # --- promo codes: handed out and used by the public functions alone
        "loyalty.promo_code_pool": {
            _I: f"INSERT (import_job_id, import_line, {_POOL_SETTINGS}, system_id), SELECT, "
            f"UPDATE ({_POOL_SETTINGS}, updated_at)",
            _P: "SELECT",
        },
        "loyalty.promo_code": {
            _I: f"INSERT (code, generation_id, import_job_id, import_line, pool_system_id, {_CODE_WINDOWS}), SELECT, "
            f"UPDATE ({_CODE_WINDOWS})",
        },
        "loyalty.promo_code_look_alike": {_I: "INSERT, SELECT"},
        "loyalty.promo_code_state": _READ,
        "loyalty.promo_code_use": {_I: "SELECT"},
        "loyalty.promo_code_batch": {_I: "SELECT"},
        "loyalty.promo_code_closing_day": {_I: "SELECT"},
        "loyalty.promo_code_pool_stock": _READ,
        "loyalty.promo_code_format_use": _READ,
        "loyalty.promo_code_stock": _READ,
        "loyalty.promo_code_pool_history": _READ,
        "loyalty.promo_code_format_stock": _READ,
        _TAKES: _READ,
        # --- customers: people. The pages show none of them
        "loyalty.customer": {_I: "INSERT, SELECT, UPDATE"},
        "loyalty.customer_external_id": {_I: "DELETE, INSERT, SELECT"},
        "loyalty.customer_subscription": {_I: "INSERT, SELECT, UPDATE"},
        "loyalty.segment_member": {_I: "INSERT, SELECT"},
        "loyalty.customer_action": {_I: "INSERT, SELECT"},
        "loyalty.customer_overview": {_I: "SELECT"},
        "loyalty.subscription_overview": {_I: "SELECT"},
        "loyalty.segment_overview": {_I: "SELECT"},
        "loyalty.customer_id_seq": {_I: "USAGE"},
        # --- types that are loaded as they are declared
    }
)
"""Schema and name of a table, view or sequence → role → rights; those with columns are for these columns alone."""

FUNCTION_RIGHTS: Mapping[str, frozenset[Role]] = MappingProxyType(
    {
        # The contract with the systems that sell cards and hand codes out.
        "loyalty.sell_gift_card": frozenset({_S}),
        "loyalty.redeem_gift_card": frozenset({_S}),
        "loyalty.block_gift_card": frozenset({_S}),
        "loyalty.issue_promo_code": frozenset({_S}),
        "loyalty.mark_promo_code_issued": frozenset({_S}),
        "loyalty.activate_promo_code": frozenset({_S}),
        # What loads, generations and top-ups call.
        "loyalty.lock_promo_code_additions": frozenset({_I}),
        "loyalty.lock_promo_code_generation": frozenset({_I}),
        "loyalty.settle_promo_code_generations": frozenset({_I}),
        "loyalty.count_promo_code_pool": frozenset({_I}),
        "loyalty.has_promo_code_stock_shrunk": frozenset({_I}),
        "loyalty.promo_code_levels": frozenset({_I}),
        "loyalty.gift_card_expiry": frozenset({_I}),
        "loyalty.hold_customers": frozenset({_I}),
        # What views call, and queries of the pages, which is asked of those who read them.
        "loyalty.promo_code_closes_at": frozenset({_I, _P}),
        "loyalty.promo_code_level": frozenset({_I, _P}),
        "loyalty.promo_code_threshold": frozenset({_I, _P}),
        "loyalty.promo_code_forecast_begin": frozenset({_I, _P}),
        "loyalty.promo_code_daily_consumption": frozenset({_I, _P}),
        "loyalty.promo_code_run_out": frozenset({_I, _P}),
        "loyalty.promo_code_generation_state": frozenset({_I, _P}),
        "loyalty.count_issuable_promo_codes": frozenset({_I, _P}),
    }
)
"""Who may call a function; all others are the owner's, and run by triggers and by these."""


@dataclass(frozen=True, order=True)
class Grant:
    """One right that one role has.

    Args:
        kind: SCHEMA, TABLE, SEQUENCE or ROUTINE, as GRANT wants it; a view is a table.
        name: as GRANT wants it: with schema, quoted, a function with the types of its parameters.
        column: "" for the whole object.
    """

    kind: str
    name: str
    grantee: str
    privilege: str
    column: str = ""

    def sql(self, verb: str, preposition: str) -> str:
        """Return the statement that gives or takes the right."""
        columns = f' ("{self.column}")' if self.column else ""
        return f"{verb} {self.privilege}{columns} ON {self.kind} {self.name} {preposition} {self.grantee}"


def apply_rights(connection: Connection) -> None:
    """Give and take what the declarations say and the database doesn't, as the owner of its objects.

    Raises:
        ConfigurationError: the group roles have not been made.
    """
    missing = sorted(set(GROUPS.values()) - set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars()))
    if missing:
        raise ConfigurationError(
            f"The database server has no role {', '.join(missing)}: an administrator makes the roles once, with "
            "`python -m include.warehouse.bootstrap` (docs/operate/configuration.md, Database roles)."
        )
    # Whatever the owner makes from now on belongs to nobody else until the next line declares it.
    connection.exec_driver_sql("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC")
    actual, declared = actual_grants(connection), declared_grants(connection)
    for grant in sorted(actual - declared):
        connection.exec_driver_sql(grant.sql("REVOKE", "FROM"))
    for grant in sorted(declared - actual):
        connection.exec_driver_sql(grant.sql("GRANT", "TO"))


def actual_grants(connection: Connection) -> set[Grant]:
    """Read from the catalogue what the group roles and PUBLIC may do in the schemas of the importer.

    What importers have in their own staging tables is no grant; roles that others have added are theirs to look after.
    """
    rows = connection.execute(
        text(_ACTUAL), {"schemas": list(SCHEMAS), "grantees": [*GROUPS.values(), PUBLIC], "public": PUBLIC}
    )
    return {Grant(*row) for row in rows}


def declared_grants(connection: Connection) -> set[Grant]:
    """Return the grants that the declarations make for the objects that are there."""
    return set(_declared(connection))


def _declared(connection: Connection) -> Iterator[Grant]:
    for kind, name, quoted in _objects(connection):
        if kind == "SCHEMA":
            rights: Rights | None = SCHEMA_RIGHTS.get(name)
        elif kind == "ROUTINE":
            rights = dict.fromkeys(FUNCTION_RIGHTS.get(name, ()), "EXECUTE")
        else:
            rights = _table_rights(name)
        for role, text_ in (rights or {}).items():
            for privilege, column in parse_rights(text_):
                yield Grant(kind, quoted, GROUPS[role], privilege, column)


def _table_rights(name: str) -> Rights | None:
    return TABLE_RIGHTS.get(re.sub(r"^(loyalty\.promo_code_take_)\d+$", r"\1*", name))


def parse_rights(rights: str) -> Iterator[tuple[str, str]]:
    """Yield (privilege, column) of `SELECT, UPDATE (a, b)`; the column is "" for the whole table."""
    for privilege, columns in re.findall(r"([A-Z]+)(?: \(([^)]*)\))?", rights):
        for column in columns.split(", "):
            yield privilege, column


def _objects(connection: Connection) -> list[tuple[str, str, str]]:
    """Return (kind, name, name as GRANT wants it) of everything in the schemas but tables of staging."""
    return [(*row,) for row in connection.execute(text(_OBJECTS), {"schemas": list(SCHEMAS)})]


_RELATIONS = """
    SELECT CASE relation.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
           namespace.nspname || '.' || relation.relname AS name,
           format('%I.%I', namespace.nspname, relation.relname) AS quoted,
           relation.oid, relation.relkind, relation.relowner AS owner, relation.relacl AS acl
    FROM pg_class AS relation
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE namespace.nspname = ANY (:schemas)
      AND namespace.nspname <> 'staging'
      AND relation.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
_SCHEMAS = """
    SELECT 'SCHEMA' AS kind, nspname::text AS name, quote_ident(nspname) AS quoted, nspowner AS owner, nspacl AS acl
    FROM pg_namespace
    WHERE nspname = ANY (:schemas)
"""
_ROUTINES = """
    SELECT 'ROUTINE' AS kind, namespace.nspname || '.' || routine.proname AS name,
           format('%I.%I(%s)', namespace.nspname, routine.proname, pg_get_function_identity_arguments(routine.oid))
               AS quoted,
           routine.proowner AS owner, routine.proacl AS acl
    FROM pg_proc AS routine
    JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
    WHERE namespace.nspname = ANY (:schemas)
      AND namespace.nspname <> 'staging'
"""
_OBJECTS = f"""
SELECT kind, name, quoted FROM ({_SCHEMAS}) AS schema
UNION ALL SELECT kind, name, quoted FROM ({_RELATIONS}) AS relation
UNION ALL SELECT kind, name, quoted FROM ({_ROUTINES}) AS routine
"""
# A NULL acl means the defaults, of which only EXECUTE for PUBLIC concerns others than the owner.
_ACTUAL = f"""
SELECT held.kind, held.quoted, held.grantee, held.privilege, held.column_name
FROM (
    SELECT kind, quoted, owner, granted.grantee, privilege_type AS privilege, '' AS column_name
    FROM ({_SCHEMAS}) AS schema, aclexplode(coalesce(acl, acldefault('n', owner))) AS granted
    UNION ALL
    SELECT kind, quoted, owner, granted.grantee, privilege_type, ''
    FROM ({_RELATIONS}) AS relation,
         aclexplode(coalesce(acl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, owner))) AS granted
    UNION ALL
    SELECT kind, quoted, owner, granted.grantee, privilege_type, attname
    FROM ({_RELATIONS}) AS relation
    JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped,
         aclexplode(attacl) AS granted
    UNION ALL
    SELECT kind, quoted, owner, granted.grantee, privilege_type, ''
    FROM ({_ROUTINES}) AS routine, aclexplode(coalesce(acl, acldefault('f', owner))) AS granted
) AS held_by_number
JOIN LATERAL (
    SELECT kind, quoted, privilege, column_name,
           CASE held_by_number.grantee WHEN 0 THEN :public ELSE pg_get_userbyid(held_by_number.grantee)::text END
               AS grantee
) AS held ON held.grantee = ANY (:grantees)
"""
