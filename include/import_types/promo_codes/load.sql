-- Loads the staged codes: new ones are inserted, in their own order; of known ones the dates alone can change, with the
-- setting on_existing = update_dates, while they are unused (PC-04). Dates that the file has a column for are then the
-- row's, blank ones too; a date without a column says nothing, with any setting.
-- Reads the views `staged_row`, `staged` and `staged_reject`; writes `load_count`, `load_reject` and `load_warning`, and
-- the counts of each pool (PC-06).

SELECT loyalty.lock_promo_code_additions(is_alone => current_setting('import.attempt') <> '1');

-- The pool that the settings or the folder name is that of every row; without one the rows name several.
CREATE TEMP TABLE named_pool ON COMMIT DROP AS
SELECT nullif(current_setting('import.pool', true), '') AS system_id
WHERE nullif(current_setting('import.pool', true), '') IS NOT NULL
UNION ALL
SELECT DISTINCT pool
FROM staged
WHERE nullif(current_setting('import.pool', true), '') IS NULL;

-- A pool without codes may be deleted, or have its fill_method changed, until it is locked.
DO $$
BEGIN
    PERFORM FROM loyalty.promo_code_pool
    WHERE system_id IN (SELECT system_id FROM named_pool)
      AND first_code_at IS NULL
    ORDER BY system_id
    FOR NO KEY UPDATE;
END
$$;
CREATE TEMP TABLE closed_pool ON COMMIT DROP AS
SELECT named_pool.system_id
FROM named_pool
LEFT JOIN loyalty.promo_code_pool AS pool USING (system_id)
WHERE pool.system_id IS NULL
   OR pool.fill_method = 'generate';

-- Rows of codes that another job, or a generation, has added, beside what differs. Rows that the suite rejected say
-- as well that their code is taken (X-08), but nothing of dates that could not be read.
CREATE TEMP VIEW row_of_existing_code AS
SELECT
    row.line, row.code, row.pool,
    row.is_valid AND NOT EXISTS (SELECT FROM closed_pool WHERE closed_pool.system_id = row.pool) AS is_valid,
    row.pool <> code.pool_system_id AS is_elsewhere,
    code.used_at IS NOT NULL
        OR EXISTS (SELECT FROM loyalty.promo_code_use AS use WHERE use.code = code.code) AS is_used,
    coalesce(wanted.issue_start >= wanted.issue_end, false)
        OR coalesce(wanted.available_from >= wanted.available_till, false) AS is_reversed,
    wanted.issue_start, wanted.issue_end, wanted.available_from, wanted.available_till,
    concat_ws(', ',
        CASE WHEN wanted.issue_start IS DISTINCT FROM code.issue_start AND (row.is_valid OR row.issue_start IS NOT NULL)
            THEN 'issue_start' END,
        CASE WHEN wanted.issue_end IS DISTINCT FROM code.issue_end AND (row.is_valid OR row.issue_end IS NOT NULL)
            THEN 'issue_end' END,
        CASE WHEN wanted.available_from IS DISTINCT FROM code.available_from AND (row.is_valid OR row.available_from IS NOT NULL)
            THEN 'available_from' END,
        CASE WHEN wanted.available_till IS DISTINCT FROM code.available_till AND (row.is_valid OR row.available_till IS NOT NULL)
            THEN 'available_till' END
    ) AS different
FROM staged_row AS row
JOIN loyalty.promo_code AS code USING (code)
CROSS JOIN LATERAL (
    SELECT (SELECT string_to_array(current_setting('import.fields'), ',')) AS fields
) AS file
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN 'issue_start' <> ALL (fields) THEN code.issue_start ELSE row.issue_start END AS issue_start,
        CASE WHEN 'issue_end' <> ALL (fields) THEN code.issue_end ELSE row.issue_end END AS issue_end,
        CASE WHEN 'available_from' <> ALL (fields) THEN code.available_from ELSE row.available_from END AS available_from,
        CASE WHEN 'available_till' <> ALL (fields) THEN code.available_till ELSE row.available_till END AS available_till
) AS wanted
WHERE code.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint);

CREATE TEMP TABLE existing ON COMMIT DROP AS
SELECT * FROM row_of_existing_code;

-- Rows whose code comes more than once (X-17). To sort hashes and to look closer at the few that come twice takes half the
-- time of sorting the codes.
SET LOCAL enable_hashagg = off;
CREATE TEMP TABLE repeated ON COMMIT DROP AS
SELECT
    line, code,
    row_number() OVER (
        PARTITION BY code
        ORDER BY pool IN (SELECT system_id FROM closed_pool), line
    ) AS occurrence
FROM staged
WHERE hashtextextended(code, 0) IN (
    SELECT hashtextextended(code, 0) FROM staged GROUP BY 1 HAVING count(*) > 1
);
SET LOCAL enable_hashagg = DEFAULT;

-- New codes with small letters: of two twins (PC-04) one at least has some.
CREATE TEMP TABLE mixed_case ON COMMIT DROP AS
SELECT line, upper(code COLLATE "pg_c_utf8") COLLATE "C" AS folded
FROM staged
WHERE code <> upper(code COLLATE "pg_c_utf8")
  AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line);

-- Whether the project has had such codes before. The index of them knows at once; a scan of all codes would take long.
SET LOCAL enable_seqscan = off;
CREATE TEMP TABLE lower_case_before ON COMMIT DROP AS
SELECT EXISTS (SELECT FROM loyalty.promo_code WHERE code <> upper(code COLLATE "pg_c_utf8")) AS is_true;
SET LOCAL enable_seqscan = DEFAULT;
ANALYZE closed_pool, existing, repeated, mixed_case;

CREATE TEMP VIEW new_code AS
SELECT
    staged.code, staged.pool AS pool_system_id, staged.issue_start, staged.issue_end, staged.available_from,
    staged.available_till, (SELECT current_setting('import.job_id')::bigint) AS import_job_id, staged.line AS import_line
FROM staged
WHERE NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
  AND NOT EXISTS (SELECT FROM repeated WHERE repeated.line = staged.line AND occurrence > 1)
  AND NOT EXISTS (SELECT FROM closed_pool WHERE closed_pool.system_id = staged.pool);

CREATE TEMP TABLE updated (line bigint, code text COLLATE "C") ON COMMIT DROP;
DO $$
DECLARE
    inserted bigint;
BEGIN
    -- Sorted input keeps the key's index warm, and gives concurrent loads one order of locking.
    -- ON CONFLICT, which takes twice the time, is needed only when another job commits one of these codes just now: its
    -- rows are then existing, and the others inserted.
    BEGIN
        INSERT INTO loyalty.promo_code (
            code, pool_system_id, issue_start, issue_end, available_from, available_till, import_job_id, import_line
        )
        SELECT * FROM new_code ORDER BY code;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO loyalty.promo_code (
            code, pool_system_id, issue_start, issue_end, available_from, available_till, import_job_id, import_line
        )
        SELECT * FROM new_code ORDER BY code
        ON CONFLICT ON CONSTRAINT promo_code_pkey DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        DELETE FROM existing;
        INSERT INTO existing SELECT * FROM row_of_existing_code;
    END;
    INSERT INTO load_count VALUES ('inserted', inserted);

    IF current_setting('import.on_existing') = 'update_dates' THEN
        -- Counts of the stock wait: they must not take the locks for takes (promo_code_signals.sql).
        PERFORM pg_advisory_xact_lock_shared(7310588, hash)
        FROM (
            SELECT DISTINCT hashtext(pool) AS hash
            FROM existing
            WHERE different <> '' AND NOT is_elsewhere AND is_valid
            ORDER BY hash
        ) AS pool;
        PERFORM FROM loyalty.promo_code
        WHERE code IN (
            SELECT code
            FROM existing
            WHERE different <> '' AND is_valid AND NOT is_elsewhere AND NOT is_used AND NOT is_reversed
        )
        ORDER BY code
        FOR NO KEY UPDATE;
        DELETE FROM existing;    -- some may have been used, or got other dates, before they were locked
        INSERT INTO existing SELECT * FROM row_of_existing_code;
        -- A code's first acceptable row is the one that counts (X-17).
        INSERT INTO updated
        SELECT line, code
        FROM (
            SELECT DISTINCT ON (code) line, code, different
            FROM existing
            WHERE is_valid AND NOT is_elsewhere AND (different = '' OR NOT is_used AND NOT is_reversed)
            ORDER BY code, line
        ) AS first_row
        WHERE different <> '';
        UPDATE loyalty.promo_code AS code
        SET issue_start = existing.issue_start, issue_end = existing.issue_end,
            available_from = existing.available_from, available_till = existing.available_till
        FROM updated
        JOIN existing USING (line)
        WHERE code.code = updated.code;
    END IF;
    INSERT INTO load_count SELECT 'updated', count(*) FROM updated;
END
$$;

-- Rows that an accepted one may be before.
CREATE TEMP TABLE questioned ON COMMIT DROP AS
SELECT line, code FROM repeated
UNION
SELECT line, code FROM existing
UNION
SELECT line, code FROM staged_reject WHERE code IS NOT NULL;
ANALYZE questioned, updated;

-- The accepted row of each code in this file: inserted, updated, or the first one that equals the code as it was.
CREATE TEMP TABLE accepted ON COMMIT DROP AS
SELECT code, line, 'updated' AS outcome
FROM updated
UNION ALL
SELECT code, min(line), 'unchanged'
FROM existing
WHERE different = '' AND is_valid AND NOT is_elsewhere
  AND NOT EXISTS (SELECT FROM updated WHERE updated.code = existing.code)
GROUP BY code
UNION ALL
SELECT code.code, code.import_line, 'inserted'
FROM loyalty.promo_code AS code
WHERE code.import_job_id = (SELECT current_setting('import.job_id')::bigint)
  AND code.code IN (SELECT code FROM questioned);

INSERT INTO load_reject
SELECT existing.line, rule.id, replace(rule.message, '{fields}', existing.different)
FROM existing
JOIN load_rule AS rule ON rule.id = CASE
    WHEN existing.is_elsewhere THEN 'code.in_another_pool'
    WHEN existing.different <> '' AND (SELECT current_setting('import.on_existing')) <> 'update_dates' THEN 'code.other_dates'
    WHEN existing.different <> '' AND existing.is_used THEN 'code.used'
    WHEN existing.different <> '' AND existing.is_reversed AND existing.is_valid THEN 'code.reversed_window'
END;

INSERT INTO load_reject
SELECT later.line, rule.id, replace(rule.message, '{line}', accepted.line::text)
FROM questioned AS later
JOIN accepted USING (code)
JOIN load_rule AS rule ON rule.id = 'code.duplicate_in_file'
WHERE accepted.line < later.line;

INSERT INTO load_reject
SELECT staged.line, rule.id, replace(rule.message, '{value}', left(staged.pool, 100))
FROM staged
JOIN closed_pool ON closed_pool.system_id = staged.pool
JOIN load_rule AS rule ON rule.id = 'pool.closed';

INSERT INTO load_count
SELECT 'unchanged', count(*)
FROM accepted
WHERE outcome = 'unchanged';

-- New codes that are twins by letter case (PC-04): of an earlier row's, of a known one that is all capitals, and of one
-- that is not, which its own index finds.
DO $$
BEGIN
    IF EXISTS (SELECT FROM mixed_case) THEN
        SET LOCAL enable_hashagg = off;
        WITH member AS (
            SELECT line, folded
            FROM mixed_case
            UNION ALL
            SELECT line, code
            FROM staged
            WHERE code IN (SELECT folded FROM mixed_case)
              AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
        ), placed AS (
            SELECT line, row_number() OVER (PARTITION BY folded ORDER BY line) AS place
            FROM member
            WHERE hashtextextended(folded, 0) IN (
                    SELECT hashtextextended(folded, 0) FROM member GROUP BY 1 HAVING count(*) > 1)
              AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = member.line)
        )
        INSERT INTO load_warning
        SELECT line, 'code.case_twin'
        FROM placed
        WHERE place > 1
        UNION
        SELECT mixed_case.line, 'code.case_twin'
        FROM mixed_case
        JOIN loyalty.promo_code AS twin ON twin.code = mixed_case.folded
        WHERE twin.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint)
          AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = mixed_case.line);
        SET LOCAL enable_hashagg = DEFAULT;
    END IF;

    IF (SELECT is_true FROM lower_case_before) THEN
        -- What the index holds can't be estimated: the planner would read the whole table.
        SET LOCAL enable_hashjoin = off;
        SET LOCAL enable_mergejoin = off;
        INSERT INTO load_warning
        SELECT DISTINCT staged.line, 'code.case_twin'
        FROM staged
        JOIN loyalty.promo_code AS twin
          ON upper(twin.code COLLATE "pg_c_utf8") = upper(staged.code COLLATE "pg_c_utf8")
         AND twin.code <> upper(twin.code COLLATE "pg_c_utf8")
         AND twin.code <> staged.code
        WHERE twin.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint)
          AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
          AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
          AND NOT EXISTS (SELECT FROM load_warning AS warning WHERE warning.line = staged.line);
        SET LOCAL enable_hashjoin = DEFAULT;
        SET LOCAL enable_mergejoin = DEFAULT;
    END IF;
END
$$;

-- New codes that look like an earlier row's or another job's (PC-04a): they have one skeleton. Codes beyond ASCII bring
-- theirs, first in look_alike_forms, and are stored with it in loyalty.promo_code_look_alike; they find stored codes of
-- ASCII, which have none there, by the texts after it. Of the file's codes of ASCII those alone count that have a
-- skeleton of these.
CREATE TEMP TABLE look_alike ON COMMIT DROP AS
SELECT line, code, look_alike_forms[1] COLLATE "C" AS skeleton, look_alike_forms[2:] AS ascii_texts
FROM staged
WHERE look_alike_forms IS NOT NULL
  AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
  AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line);
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM look_alike) AND NOT EXISTS (SELECT FROM loyalty.promo_code_look_alike) THEN
        RETURN;
    END IF;
    ANALYZE look_alike;

    INSERT INTO look_alike
    SELECT line, code, skeleton
    FROM (
        SELECT
            line, code,
            replace(replace(replace(translate(code, '01I|`', 'Olll'''), 'm', 'rn'), '"', ''''''), '%', 'º/₀') AS skeleton
        FROM staged
        WHERE look_alike_forms IS NULL
          AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
          AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
    ) AS of_ascii
    WHERE skeleton IN (SELECT skeleton FROM look_alike UNION ALL SELECT skeleton FROM loyalty.promo_code_look_alike);

    INSERT INTO load_warning
    SELECT line, 'code.lookalike'
    FROM (
        SELECT
            line, ascii_texts,
            row_number() OVER earlier AS place,
            count(ascii_texts) OVER earlier AS beyond_ascii
        FROM look_alike
        WINDOW earlier AS (PARTITION BY skeleton ORDER BY line)
    ) AS placed
    WHERE place > 1
      AND (ascii_texts IS NOT NULL OR beyond_ascii > 0)
    UNION
    SELECT look_alike.line, 'code.lookalike'
    FROM look_alike
    JOIN loyalty.promo_code_look_alike AS twin USING (skeleton)
    WHERE twin.code <> look_alike.code
    UNION
    SELECT look_alike.line, 'code.lookalike'
    FROM look_alike
    CROSS JOIN LATERAL unnest(ascii_texts) AS of_ascii (text)
    JOIN loyalty.promo_code AS twin ON twin.code = of_ascii.text COLLATE "C"
    WHERE twin.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint);

    INSERT INTO loyalty.promo_code_look_alike (code, skeleton)
    SELECT look_alike.code, look_alike.skeleton
    FROM look_alike
    JOIN loyalty.promo_code AS code USING (code)
    WHERE look_alike.ascii_texts IS NOT NULL
      AND code.import_job_id = (SELECT current_setting('import.job_id')::bigint)
    ORDER BY look_alike.code;
END
$$;

-- The counts of each pool (PC-06). Everything in a file with a pool of its own is that pool's, malformed rows too.
INSERT INTO ledger.promo_code_upload (job_id, pool_system_id, inserted, updated, unchanged, rejected)
SELECT
    current_setting('import.job_id')::bigint, nullif(current_setting('import.pool', true), ''),
    coalesce(sum(rows) FILTER (WHERE outcome = 'inserted'), 0),
    coalesce(sum(rows) FILTER (WHERE outcome = 'updated'), 0),
    coalesce(sum(rows) FILTER (WHERE outcome = 'unchanged'), 0),
    (SELECT count(*) FROM (
        SELECT line FROM ledger.reject WHERE job_id = current_setting('import.job_id')::bigint
        UNION
        SELECT line FROM load_reject
    ) AS rejected)
FROM load_count
HAVING nullif(current_setting('import.pool', true), '') IS NOT NULL;

INSERT INTO ledger.promo_code_upload (job_id, pool_system_id, inserted, updated, unchanged, rejected)
SELECT
    current_setting('import.job_id')::bigint, pool.system_id,
    coalesce(sum(rows) FILTER (WHERE outcome = 'inserted'), 0),
    coalesce(sum(rows) FILTER (WHERE outcome = 'updated'), 0),
    coalesce(sum(rows) FILTER (WHERE outcome = 'unchanged'), 0),
    coalesce(sum(rows) FILTER (WHERE outcome = 'rejected'), 0)
FROM (
    SELECT pool_system_id AS pool, 'inserted' AS outcome, count(*) AS rows
    FROM new_code
    GROUP BY pool_system_id
    UNION ALL
    SELECT row.pool, accepted.outcome, count(*)
    FROM accepted
    JOIN staged AS row USING (line)
    WHERE accepted.outcome <> 'inserted'
    GROUP BY row.pool, accepted.outcome
    UNION ALL
    SELECT row.pool, 'rejected', count(*)
    FROM staged_row AS row
    WHERE NOT row.is_valid
       OR row.line IN (SELECT line FROM load_reject)
    GROUP BY row.pool
) AS counted
JOIN loyalty.promo_code_pool AS pool ON pool.system_id = counted.pool
WHERE nullif(current_setting('import.pool', true), '') IS NULL
GROUP BY pool.system_id;

DROP VIEW new_code, row_of_existing_code;
DROP TABLE named_pool, closed_pool, existing, repeated, mixed_case, lower_case_before, updated, questioned, accepted,
    look_alike;
