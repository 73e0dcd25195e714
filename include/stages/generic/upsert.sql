-- Loads the staged rows of a type that adds and edits: a blank cell keeps the stored value, `%CLEAR%` erases it.
-- Reads the views `staged` and `staged_reject`; writes `load_count` and `load_reject`.
-- In braces: table, key and columns of the declaration (include/stages/generic_load.py).

-- Loads into one table wait for one another, so that two files whose rows cross can't deadlock.
SELECT pg_advisory_xact_lock(hashtext({table_name}));

-- Later rows of a key that the file has before (X-17). To sort hashes, and to look closer at the few that come twice,
-- takes half the time of sorting the keys.
SET LOCAL enable_hashagg = off;
CREATE TEMP TABLE repeated ON COMMIT DROP AS
SELECT line, {key}
FROM (
    SELECT line, {key}, row_number() OVER (PARTITION BY {key} ORDER BY line) AS occurrence
    FROM staged
    WHERE {hash} IN (
        SELECT {hash} FROM staged GROUP BY 1 HAVING count(*) > 1
    )
) AS row
WHERE occurrence > 1;
SET LOCAL enable_hashagg = DEFAULT;
ANALYZE repeated;

DO $load$
#variable_conflict use_column
DECLARE
    rows_updated bigint;
    rows_inserted bigint;
BEGIN
    UPDATE {table} AS stored
    SET {edits}
    FROM staged AS row
    WHERE row.{key} = stored.{key}
      AND NOT EXISTS (SELECT FROM repeated WHERE repeated.line = row.line)
      AND ({changes});
    GET DIAGNOSTICS rows_updated = ROW_COUNT;

    -- Sorted input keeps the key's index warm.
    INSERT INTO {table} ({columns}, import_job_id, import_line)
    SELECT {columns}, (SELECT current_setting('import.job_id')::bigint), line
    FROM staged
    WHERE NOT EXISTS (SELECT FROM repeated WHERE repeated.line = staged.line)
      AND NOT EXISTS (SELECT FROM {table} AS stored WHERE stored.{key} = staged.{key})
    ORDER BY {key};
    GET DIAGNOSTICS rows_inserted = ROW_COUNT;

    INSERT INTO load_count
    VALUES
        ('updated', rows_updated),
        ('inserted', rows_inserted),
        ('unchanged', (SELECT count(*) FROM staged) - (SELECT count(*) FROM repeated) - rows_updated - rows_inserted);
END
$load$;

-- Rows that the suite rejected come along, so that all reasons are reported at once (X-08).
INSERT INTO load_reject
SELECT
    later.line, rule.id,
    replace(replace(rule.message, '{{line}}', accepted.line::text), '{{value}}', left(later.{key}::text, 100))
FROM (
    SELECT line, {key} FROM repeated
    UNION ALL
    SELECT line, {key} FROM staged_reject
) AS later
JOIN (
    SELECT {key}, min(line) AS line
    FROM staged
    WHERE {key} IN (SELECT {key} FROM repeated UNION ALL SELECT {key} FROM staged_reject)
    GROUP BY {key}
) AS accepted USING ({key})
JOIN load_rule AS rule ON rule.id = {duplicate}
WHERE accepted.line < later.line;

DROP TABLE repeated;
