-- Loads the staged cards: new numbers are inserted, in the order of their numbers; nothing is ever changed (GC-02).
-- Reads the views `staged` and `staged_reject`; writes `load_count` and `load_reject`.

CREATE TEMP TABLE inserted_line (line bigint) ON COMMIT DROP;

-- One row a card number: the first in the file (X-17). Sorted input keeps the key's index warm, and gives concurrent
-- loads one order of locking. A number that another job is just inserting is waited for, then left alone.
WITH inserted AS (
    INSERT INTO loyalty.gift_card (
        card_number, pool_system_name, balance, cvv_hash, point_of_contact, purchased_at, expires_at, status,
        import_job_id, import_line
    )
    SELECT DISTINCT ON (staged.card_number)
        staged.card_number, staged.pool_system_name, staged.balance, staged.cvv_hash, staged.point_of_contact,
        staged.purchased_at, loyalty.gift_card_expiry(staged.purchased_at, pool.lifetime_years), staged.status,
        current_setting('import.job_id')::bigint, staged.line
    FROM staged
    LEFT JOIN loyalty.gift_card_pool AS pool ON pool.system_name = staged.pool_system_name
    ORDER BY staged.card_number, staged.line
    ON CONFLICT ON CONSTRAINT gift_card_pkey DO NOTHING
    RETURNING import_line
)
INSERT INTO inserted_line
SELECT import_line FROM inserted;

-- What was not inserted is a repeat within the file, a card that was there before, or a row that the suite rejected
-- (which is told here too that its number is taken, not only after the next attempt: X-08).
CREATE TEMP TABLE leftover ON COMMIT DROP AS
SELECT staged.*
FROM staged
WHERE NOT EXISTS (SELECT FROM inserted_line WHERE inserted_line.line = staged.line)
UNION ALL
SELECT * FROM staged_reject WHERE card_number IS NOT NULL;
ANALYZE leftover;

-- Rows of numbers that an earlier job loaded, beside that card's values as imported: the oldest change holds what the
-- card was before it was first sold, paid with or blocked (X-17).
CREATE TEMP TABLE known ON COMMIT DROP AS
SELECT
    leftover.line, leftover.card_number, leftover.is_valid,
    concat_ws(', ',
        CASE WHEN leftover.pool_system_name IS DISTINCT FROM card.pool_system_name THEN 'pool_system_name' END,
        CASE WHEN leftover.cvv_hash IS DISTINCT FROM card.cvv_hash THEN 'cvv' END,
        CASE WHEN leftover.balance IS DISTINCT FROM coalesce(first_change.balance, card.balance) THEN 'balance' END,
        CASE WHEN leftover.point_of_contact IS DISTINCT FROM
            CASE WHEN first_change.number IS NULL THEN card.point_of_contact ELSE first_change.point_of_contact END
            THEN 'point_of_contact' END,
        CASE WHEN leftover.purchased_at IS DISTINCT FROM
            CASE WHEN first_change.number IS NULL THEN card.purchased_at ELSE first_change.purchased_at END
            THEN 'purchased_at' END,
        CASE WHEN leftover.status IS DISTINCT FROM coalesce(first_change.status, card.status) THEN 'status' END
    ) AS different
FROM leftover
JOIN loyalty.gift_card AS card USING (card_number)
LEFT JOIN LATERAL (
    SELECT change.number, change.balance, change.point_of_contact, change.purchased_at, change.status
    FROM loyalty.gift_card_change AS change
    WHERE change.card_number = card.card_number
    ORDER BY change.number
    LIMIT 1
) AS first_change ON true
WHERE card.import_job_id IS DISTINCT FROM current_setting('import.job_id')::bigint;

-- The accepted row of each number in this file: inserted, or the first one that equals the card loaded before.
CREATE TEMP TABLE accepted ON COMMIT DROP AS
SELECT card_number, min(line) AS line, 'unchanged' AS outcome
FROM known
WHERE different = '' AND is_valid
GROUP BY card_number
UNION ALL
SELECT card.card_number, card.import_line, 'inserted'
FROM loyalty.gift_card AS card
WHERE card.import_job_id = current_setting('import.job_id')::bigint
  AND card.card_number IN (SELECT card_number FROM leftover);

INSERT INTO load_reject
SELECT
    known.line, rule.id,
    replace(replace(rule.message, '{value}', left(known.card_number, 100)), '{fields}', known.different)
FROM known
JOIN load_rule AS rule ON rule.id = 'card_number.card_exists'
WHERE known.different <> '';

INSERT INTO load_reject
SELECT
    leftover.line, rule.id,
    replace(replace(rule.message, '{value}', left(leftover.card_number, 100)), '{line}', accepted.line::text)
FROM leftover
JOIN accepted USING (card_number)
JOIN load_rule AS rule ON rule.id = 'card_number.duplicate_in_file'
WHERE accepted.line < leftover.line;

INSERT INTO load_count
SELECT 'inserted', count(*) FROM inserted_line
UNION ALL
SELECT 'unchanged', count(*) FROM accepted WHERE outcome = 'unchanged';

DROP TABLE inserted_line, leftover, known, accepted;
