-- Loads the staged cards: new numbers are inserted, in the order of their numbers; nothing is ever changed (GC-02).
-- Reads the views `staged_row`, `staged` and `staged_reject`; writes `load_count`, `load_reject` and `load_warning`.

-- Rows of numbers that another job loaded, beside that card's values as imported. Rows that the suite rejected say
-- as well that their number is taken, not only after the next attempt (X-08).
CREATE TEMP VIEW row_of_existing_card AS
SELECT
    row.line, row.card_number, row.is_valid,
    concat_ws(', ',
        CASE WHEN row.pool_system_name IS DISTINCT FROM card.pool_system_name THEN 'pool_system_name' END,
        CASE WHEN row.cvv_hash IS DISTINCT FROM card.cvv_hash THEN 'cvv' END,
        CASE WHEN row.balance IS DISTINCT FROM card.balance THEN 'balance' END,
        CASE WHEN row.point_of_contact IS DISTINCT FROM card.point_of_contact THEN 'point_of_contact' END,
        CASE WHEN row.purchased_at IS DISTINCT FROM card.purchased_at THEN 'purchased_at' END,
        CASE WHEN row.status IS DISTINCT FROM card.status THEN 'status' END
    ) AS different
FROM staged_row AS row
JOIN loyalty.gift_card_as_imported AS card USING (card_number)
WHERE card.import_job_id IS DISTINCT FROM (SELECT current_setting('import.job_id')::bigint);

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

-- Sorted input keeps the key's index warm, and gives concurrent loads one order of locking.
CREATE TEMP VIEW new_card AS
SELECT
    staged.card_number, staged.pool_system_name, staged.balance, staged.cvv_hash, staged.point_of_contact,
    staged.purchased_at, loyalty.gift_card_expiry(staged.purchased_at, pool.lifetime_years) AS expires_at, staged.status,
    (SELECT current_setting('import.job_id')::bigint) AS import_job_id, staged.line AS import_line
FROM staged
LEFT JOIN loyalty.gift_card_pool AS pool ON pool.system_name = staged.pool_system_name
WHERE NOT EXISTS (SELECT FROM existing WHERE existing.line = staged.line)
  AND NOT EXISTS (SELECT FROM repeated WHERE repeated.line = staged.line)
ORDER BY staged.card_number;

-- A plain INSERT takes half the time of ON CONFLICT DO NOTHING (a million rows: 2.6 s to 4.9 s), which is needed only
-- when another job commits one of these numbers just now: its rows are then known, and the others inserted.
DO $$
DECLARE
    inserted bigint;
BEGIN
    BEGIN
        INSERT INTO loyalty.gift_card (
            card_number, pool_system_name, balance, cvv_hash, point_of_contact, purchased_at, expires_at, status,
            import_job_id, import_line
        )
        SELECT * FROM new_card;
        GET DIAGNOSTICS inserted = ROW_COUNT;
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO loyalty.gift_card (
            card_number, pool_system_name, balance, cvv_hash, point_of_contact, purchased_at, expires_at, status,
            import_job_id, import_line
        )
        SELECT * FROM new_card
        ON CONFLICT ON CONSTRAINT gift_card_pkey DO NOTHING;
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

DROP VIEW new_card, row_of_existing_card;
DROP TABLE existing, repeated, accepted, odd;
