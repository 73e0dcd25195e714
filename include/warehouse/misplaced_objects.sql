-- Objects that the wrong role owns, and who shall own them. Those of extensions stay, and what belongs to another object
-- follows it.
WITH own AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY (%(schemas)s) OR nspname = 'public'
), misplaced AS (
    SELECT 'SCHEMA' AS kind, quote_ident(nspname) AS name, nspname, 'pg_namespace'::regclass AS class, oid,
           nspowner AS owner
    FROM pg_namespace
    WHERE nspname = ANY (%(schemas)s)
    UNION ALL
    SELECT 'TABLE', relation.oid::regclass::text, nspname, 'pg_class'::regclass, relation.oid, relowner
    FROM pg_class AS relation JOIN own ON own.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND (nspname <> 'public' OR NOT %(is_warehouse)s OR relname = 'alembic_version')
      AND NOT EXISTS (
          SELECT FROM pg_depend
          WHERE classid = 'pg_class'::regclass AND objid = relation.oid AND relkind = 'S' AND deptype IN ('a', 'i'))
    UNION ALL
    SELECT 'ROUTINE', routine.oid::regprocedure::text, nspname, 'pg_proc'::regclass, routine.oid, proowner
    FROM pg_proc AS routine JOIN own ON own.oid = pronamespace
    WHERE nspname <> 'public' OR NOT %(is_warehouse)s
    UNION ALL
    SELECT 'TYPE', type.oid::regtype::text, nspname, 'pg_type'::regclass, type.oid, typowner
    FROM pg_type AS type JOIN own ON own.oid = typnamespace
    WHERE typtype IN ('d', 'e', 'r')
      AND (nspname <> 'public' OR NOT %(is_warehouse)s)
)
SELECT kind, name, CASE WHEN nspname = 'staging' AND kind = 'TABLE' THEN %(stager)s ELSE %(owner)s END AS wanted
FROM misplaced
WHERE pg_get_userbyid(owner) <> CASE WHEN nspname = 'staging' AND kind = 'TABLE' THEN %(stager)s ELSE %(owner)s END
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = class AND objid = misplaced.oid AND deptype = 'e')
ORDER BY kind, name
