-- Loads the staged rows of a type that only adds: new keys are inserted, in their order; nothing is ever changed.
-- Reads the views `staged_row`, `staged` and `staged_reject`; writes `load_count` and `load_reject`.
-- In braces: table, key and columns of the declaration (include/stages/generic_load.py).

-- Rows of keys that another job loaded, beside what differs. Rows that the suite rejected come along, so that all
-- reasons are reported at once (X-08).
CREATE TEMP VIEW row_of_stored_key AS
SELECT row.line, row.{key}, row.is_valid, concat_ws(', ', NULL::text{differences}) AS different
FROM staged_row AS row
JOIN {table} AS stored USING ({key})
WHERE stored.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint);

CREATE TEMP TABLE stored_before ON COMMIT DROP AS
SELECT * FROM row_of_stored_key;

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
ANALYZE stored_before, repeated;

-- Sorted input keeps the key's index warm, and gives concurrent loads one order of locking.
CREATE TEMP VIEW new_row AS
SELECT {columns}, (SELECT current_setting('import.job_id')::bigint) AS import_job_id, line AS import_line
FROM staged
WHERE NOT EXISTS (SELECT FROM stored_before WHERE stored_before.line = staged.line)
  AND NOT EXISTS (SELECT FROM repeated WHERE repeated.line = staged.line)
ORDER BY {key};

-- A plain INSERT takes half the time of ON CONFLICT DO NOTHING, which is needed only when another job commits one of
-- these keys at the same moment: its rows are then stored before, and the others inserted.
DO $load$
#variable_conflict use_column
DECLARE
    rows_inserted bigint;
BEGIN
    BEGIN
        INSERT INTO {table} ({columns}, import_job_id, import_line)
        SELECT * FROM new_row;
        GET DIAGNOSTICS rows_inserted = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO {table} ({columns}, import_job_id, import_line)
        SELECT * FROM new_row
        ON CONFLICT ({key}) DO NOTHING;
        GET DIAGNOSTICS rows_inserted = ROW_COUNT;
        DELETE FROM stored_before;
        INSERT INTO stored_before SELECT * FROM row_of_stored_key;
    END;
    INSERT INTO load_count VALUES ('inserted', rows_inserted);
END
$load$;

-- The accepted row of each key in this file: inserted, or the first one that equals the row loaded before.
CREATE TEMP TABLE accepted ON COMMIT DROP AS
SELECT {key}, min(line) AS line, 'unchanged' AS outcome
FROM stored_before
WHERE different = '' AND is_valid
GROUP BY {key}
UNION ALL
SELECT {key}, import_line, 'inserted'
FROM {table}
WHERE import_job_id = (SELECT current_setting('import.job_id')::bigint)
  AND {key} IN (SELECT {key} FROM repeated UNION ALL SELECT {key} FROM staged_reject);

INSERT INTO load_reject
SELECT
    row.line, rule.id,
    replace(replace(rule.message, '{{fields}}', row.different), '{{value}}', left(row.{key}::text, 100))
FROM stored_before AS row
JOIN load_rule AS rule ON rule.id = {other_values}
WHERE row.different <> '';

INSERT INTO load_reject
SELECT
    later.line, rule.id,
    replace(replace(rule.message, '{{line}}', accepted.line::text), '{{value}}', left(later.{key}::text, 100))
FROM (
    SELECT line, {key} FROM repeated
    UNION
    SELECT line, {key} FROM stored_before
    UNION
    SELECT line, {key} FROM staged_reject
) AS later
JOIN accepted USING ({key})
JOIN load_rule AS rule ON rule.id = {duplicate}
WHERE accepted.line < later.line;

INSERT INTO load_count
SELECT 'unchanged', count(*)
FROM accepted
WHERE outcome = 'unchanged';

DROP VIEW new_row, row_of_stored_key;
DROP TABLE stored_before, repeated, accepted;
