"""What a database consists of, as PostgreSQL's catalogue has it: to compare databases with different pasts."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy import Engine

_OWN = "nspname IN ('ledger', 'loyalty', 'staging')"
# One sequence a promo code pool, which is data.
_TAKES = "relname ~ '^promo_code_take_[0-9]+$'"

_QUERIES: Mapping[str, str] = {
    "schemas": f"SELECT nspname, '' FROM pg_namespace WHERE {_OWN} OR nspname = 'public'",
    "relations": f"""
        SELECT relation.oid::regclass::text,
               concat_ws(' ', relkind, relpersistence, reloptions, relrowsecurity, relreplident)
        FROM pg_class AS relation JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
        WHERE ({_OWN} OR nspname = 'public') AND NOT {_TAKES}
    """,
    "columns": f"""
        SELECT relation.oid::regclass::text || ' ' || row_number() OVER (PARTITION BY relation.oid ORDER BY attnum),
               concat_ws(' ', attname, format_type(atttypid, atttypmod), attcollation::regcollation, attnotnull,
                         attidentity, attgenerated, attstorage, pg_get_expr(adbin, adrelid))
        FROM pg_attribute
        JOIN pg_class AS relation ON relation.oid = attrelid
        JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE {_OWN} AND NOT {_TAKES} AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v', 'S')
    """,
    "constraints": f"""
        SELECT concat_ws(' ', conrelid::regclass, conname),
               concat_ws(' ', contype, convalidated, conenforced, pg_get_constraintdef(key.oid))
        FROM pg_constraint AS key JOIN pg_namespace AS namespace ON namespace.oid = connamespace
        WHERE {_OWN}
    """,
    "indexes": f"""
        SELECT schemaname || '.' || indexname, indexdef
        FROM pg_indexes
        WHERE {_OWN.replace("nspname", "schemaname")}
    """,
    "functions": f"""
        SELECT routine.oid::regprocedure::text, pg_get_functiondef(routine.oid)
        FROM pg_proc AS routine JOIN pg_namespace AS namespace ON namespace.oid = pronamespace
        WHERE {_OWN}
    """,
    "views": f"""
        SELECT schemaname || '.' || viewname, definition
        FROM pg_views
        WHERE {_OWN.replace("nspname", "schemaname")}
    """,
    "triggers": f"""
        SELECT concat_ws(' ', tgrelid::regclass, tgname), concat_ws(' ', tgenabled, pg_get_triggerdef(trigger.oid))
        FROM pg_trigger AS trigger
        JOIN pg_class AS relation ON relation.oid = tgrelid
        JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
        WHERE {_OWN} AND NOT tgisinternal
    """,
    "types": f"""
        SELECT format_type(type.oid, NULL), concat_ws(' ', typtype, typnotnull, format_type(typbasetype, typtypmod))
        FROM pg_type AS type JOIN pg_namespace AS namespace ON namespace.oid = typnamespace
        WHERE {_OWN} AND typtype IN ('d', 'e', 'r')
    """,
    "comments": f"""
        SELECT concat_ws(' ', identity.type, identity.identity), description
        FROM pg_description
        CROSS JOIN LATERAL pg_identify_object(classoid, objoid, objsubid) AS identity
        WHERE {_OWN.replace("nspname", "coalesce(identity.schema, identity.identity)")}
    """,
    "owners": f"""
        SELECT concat_ws(' ', identity.type, identity.identity), pg_get_userbyid(owner)
        FROM (
            SELECT 'pg_class'::regclass AS class, oid, relowner AS owner FROM pg_class WHERE NOT {_TAKES}
            UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
            UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace
        ) AS owned
        CROSS JOIN LATERAL pg_identify_object(class, oid, 0) AS identity
        WHERE {_OWN.replace("nspname", "coalesce(identity.schema, identity.identity)")}
    """,
    "rights": f"""
        SELECT concat_ws(' ', object, granted.grantee::regrole, privilege_type, is_grantable), ''
        FROM (
            SELECT relation.oid::regclass::text AS object, relacl AS acl
            FROM pg_class AS relation JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
            WHERE {_OWN} AND NOT {_TAKES}
            UNION ALL
            SELECT concat_ws(' ', attrelid::regclass, attname), attacl
            FROM pg_attribute
            JOIN pg_class AS relation ON relation.oid = attrelid
            JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
            WHERE {_OWN} AND NOT attisdropped
            UNION ALL
            SELECT routine.oid::regprocedure::text, proacl
            FROM pg_proc AS routine JOIN pg_namespace AS namespace ON namespace.oid = pronamespace
            WHERE {_OWN}
            UNION ALL SELECT nspname, nspacl FROM pg_namespace WHERE {_OWN}
        ) AS held
        CROSS JOIN LATERAL aclexplode(acl) AS granted
    """,
    "default rights": """
        SELECT concat_ws(' ', defaclrole::regrole, defaclnamespace, defaclobjtype), defaclacl::text
        FROM pg_default_acl
    """,
    "files of objects": "SELECT concat_ws(' ', kind, name), concat_ws(' ', file, sha256) FROM ledger.schema_object",
    "revisions": "SELECT number::text, concat_ws(' ', name, sha256) FROM ledger.schema_revision",
}


def catalogue(engine: Engine) -> dict[str, dict[str, str | None]]:
    """Return kind → name → definition of everything in a database's schemas; the engine is the owner's."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL search_path = ''")
        return {kind: dict(iter(connection.execute(sa.text(query)))) for kind, query in _QUERIES.items()}
