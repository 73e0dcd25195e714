-- Loads the staged cards: new numbers are inserted, in the order of their numbers; nothing is ever changed (GC-02).
-- Reads the views `staged_row`, `staged` and `staged_reject`; writes `load_count`, `load_reject` and `load_warning`.

-- The columns of a card that the file's fields fill; of the CVV its hash alone is staged and stored (X-20).
CREATE TEMP VIEW card_column AS
SELECT name AS field, CASE name WHEN 'cvv' THEN 'cvv_hash' ELSE name END AS name, position
FROM load_field;

-- Rows of numbers that another job loaded, beside that card's values as imported. Rows that the suite rejected say
-- as well that their number is taken, not only after the next attempt (X-08).
DO $$
BEGIN
    EXECUTE format($view$
        CREATE TEMP VIEW row_of_existing_card AS
        SELECT row.line, row.card_number, row.is_valid, concat_ws(', ', %s) AS different
        FROM staged_row AS row
        JOIN loyalty.gift_card_as_imported AS card USING (card_number)
        WHERE card.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint)
    $view$, (
        SELECT string_agg(
            format('CASE WHEN row.%1$I IS DISTINCT FROM card.%1$I THEN %2$L END', name, field), ', ' ORDER BY position)
        FROM card_column
        WHERE name <> 'card_number'
    ));
END
$$;

CREATE TEMP TABLE existing ON COMMIT DROP AS
SELECT * FROM row_of_existing_card;

-- Later rows of a number that is in this file before (X-17). To sort hashes and to look closer at the few that
-- come twice takes half the time of sorting the numbers.
SET LOCAL enable_hashagg = off;
CREATE TEMP TABLE repeated ON COMMIT DROP AS
SELECT line, card_number
FROM (
    SELECT line, card_number, row_number() OVER (PARTITION BY card_number ORDER BY line) AS occurrence
    FROM staged
    WHERE hashtextextended(card_number, 0) IN (
        SELECT hashtextextended(card_number, 0) FROM staged GROUP BY 1 HAVING count(*) > 1
    )
) AS row
WHERE occurrence > 1;
SET LOCAL enable_hashagg = DEFAULT;
ANALYZE existing, repeated;

CREATE TEMP VIEW new_card AS
SELECT
    staged.*, loyalty.gift_card_expiry(staged.purchased_at, pool.lifetime_years) AS expires_at,
    (SELECT current_setting('import.job_id')::bigint) AS import_job_id, staged.line AS import_line
FROM staged
LEFT JOIN loyalty.gift_card_pool AS pool ON pool.system_name = staged.pool_system_name
WHERE NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
  AND NOT EXISTS (SELECT FROM repeated WHERE repeated.line = staged.line);

-- Sorted input keeps the key's index warm, and gives concurrent loads one order of locking.
-- A plain INSERT takes half the time of ON CONFLICT DO NOTHING (a million rows: 2.6 s to 4.9 s), which is needed only
-- when another job commits one of these numbers just now: its rows are then known, and the others inserted.
DO $$
DECLARE
    -- In the order of the table: in another one each row would be copied once more.
    columns text := (
        SELECT string_agg(quote_ident(filled.name), ', ' ORDER BY attnum)
        FROM (
            SELECT name FROM card_column UNION ALL VALUES ('expires_at'), ('import_job_id'), ('import_line')
        ) AS filled
        LEFT JOIN pg_attribute ON attrelid = 'loyalty.gift_card'::regclass AND attname = filled.name
    );
    statement text := format(
        'INSERT INTO loyalty.gift_card (%1$s) SELECT %1$s FROM new_card ORDER BY card_number', columns);
    inserted bigint;
BEGIN
    BEGIN
        EXECUTE statement;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        EXECUTE statement || ' ON CONFLICT ON CONSTRAINT gift_card_pkey DO NOTHING';
        GET DIAGNOSTICS inserted = ROW_COUNT;
        DELETE FROM existing;
        INSERT INTO existing SELECT * FROM row_of_existing_card;
    END;
    INSERT INTO load_count VALUES ('inserted', inserted);
END
$$;

-- The accepted row of each number in this file: inserted, or the first one that equals the card loaded before.
CREATE TEMP TABLE accepted ON COMMIT DROP AS
SELECT card_number, min(line) AS line, 'unchanged' AS outcome
FROM existing
WHERE different = '' AND is_valid
GROUP BY card_number
UNION ALL
SELECT card.card_number, card.import_line, 'inserted'
FROM loyalty.gift_card AS card
WHERE card.import_job_id = (SELECT current_setting('import.job_id')::bigint)
  AND card.card_number IN (SELECT card_number FROM repeated UNION ALL SELECT card_number FROM staged_reject);

INSERT INTO load_reject
SELECT
    existing.line, rule.id,
    replace(replace(rule.message, '{fields}', existing.different), '{value}', left(existing.card_number, 100))
FROM existing
JOIN load_rule AS rule ON rule.id = 'card_number.card_exists'
WHERE existing.different <> '';

INSERT INTO load_reject
SELECT
    later.line, rule.id,
    replace(replace(rule.message, '{line}', accepted.line::text), '{value}', left(later.card_number, 100))
FROM (
    SELECT line, card_number FROM repeated
    UNION
    SELECT line, card_number FROM existing
    UNION
    SELECT line, card_number FROM staged_reject
) AS later
JOIN accepted USING (card_number)
JOIN load_rule AS rule ON rule.id = 'card_number.duplicate_in_file'
WHERE accepted.line < later.line;

INSERT INTO load_count
SELECT 'unchanged', count(*)
FROM accepted
WHERE outcome = 'unchanged';

-- Twins: new numbers that differ by blanks, dashes or letter case alone from an earlier row's or another job's (PC-04a).
-- Few numbers have any of these; those that have are stored with their plain form in loyalty.gift_card_plain_number.
CREATE TEMP TABLE odd ON COMMIT DROP AS
SELECT line, card_number, plain_number
FROM staged
WHERE plain_number IS NOT NULL
  AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
  AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line);
DO $$
DECLARE
    has_odd boolean := EXISTS (SELECT FROM odd);
BEGIN
    IF EXISTS (SELECT FROM loyalty.gift_card_plain_number) THEN
        INSERT INTO load_warning
        SELECT DISTINCT staged.line, 'card_number.twin'
        FROM staged
        JOIN loyalty.gift_card_plain_number AS twin ON twin.plain_number = coalesce(staged.plain_number, staged.card_number)
        WHERE twin.card_number <> staged.card_number
          AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
          AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line);
    END IF;
    IF NOT has_odd THEN
        RETURN;
    END IF;

    ANALYZE odd;
    INSERT INTO load_warning
    SELECT line, 'card_number.twin'
    FROM (
        SELECT line, row_number() OVER (PARTITION BY plain_number ORDER BY line) AS place
        FROM (
            SELECT line, plain_number
            FROM odd
            UNION ALL
            SELECT line, card_number
            FROM staged
            WHERE card_number IN (SELECT plain_number FROM odd)
              AND NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
              AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
        ) AS member
    ) AS placed
    WHERE place > 1
      AND line NOT IN (SELECT line FROM load_warning)
    UNION
    SELECT odd.line, 'card_number.twin'
    FROM odd
    JOIN loyalty.gift_card AS twin ON twin.card_number = odd.plain_number
    WHERE twin.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint)
      AND odd.line NOT IN (SELECT line FROM load_warning);

    INSERT INTO loyalty.gift_card_plain_number (card_number, plain_number)
    SELECT odd.card_number, odd.plain_number
    FROM odd
    JOIN loyalty.gift_card AS card USING (card_number)
    WHERE card.import_job_id = (SELECT current_setting('import.job_id')::bigint)
    ORDER BY odd.card_number;
END
$$;

DROP VIEW new_card, row_of_existing_card, card_column;
DROP TABLE existing, repeated, accepted, odd;
