-- Loads the staged pools one after the other in file order: whether a row is accepted depends on those before it.
-- Reads the view `staged_row`; writes `load_count` and `load_reject`.

-- Pools are few: loads of pools wait for one another, so that two files that cross can't deadlock.
SELECT pg_advisory_xact_lock(hashtext('loyalty.gift_card_pool'));

CREATE TEMP TABLE accepted (system_name text COLLATE "C" PRIMARY KEY, line bigint, outcome text) ON COMMIT DROP;

DO $$
DECLARE
    this_job bigint := current_setting('import.job_id')::bigint;
    row record;
    first_line bigint;
    pool loyalty.gift_card_pool;
    product_owner loyalty.gift_card_pool;
    different text;
BEGIN
    -- Rows that the suite rejected come along to get these reasons too (X-08).
    FOR row IN SELECT * FROM staged_row ORDER BY line LOOP
        SELECT line INTO first_line FROM accepted WHERE accepted.system_name = row.system_name;
        SELECT * INTO pool
        FROM loyalty.gift_card_pool AS stored
        WHERE stored.system_name = row.system_name
          AND stored.import_job_id IS DISTINCT FROM this_job;
        SELECT * INTO product_owner
        FROM loyalty.gift_card_pool AS other
        WHERE other.product_external_system = row.product_external_system
          AND other.product_external_id = row.product_external_id
          AND other.system_name IS DISTINCT FROM row.system_name;
        different := CASE WHEN pool.system_name IS NOT NULL THEN concat_ws(', ',
            CASE WHEN row.name IS DISTINCT FROM pool.name THEN 'name' END,
            CASE WHEN row.supports_arbitrary_value IS DISTINCT FROM pool.supports_arbitrary_value
                THEN 'supports_arbitrary_value' END,
            CASE WHEN row.supports_partial_redemption IS DISTINCT FROM pool.supports_partial_redemption
                THEN 'supports_partial_redemption' END,
            CASE WHEN row.product_external_id IS DISTINCT FROM pool.product_external_id THEN 'product_external_id' END,
            CASE WHEN row.product_external_system IS DISTINCT FROM pool.product_external_system
                THEN 'product_external_system' END,
            CASE WHEN row.brand IS DISTINCT FROM pool.brand THEN 'brand' END,
            CASE WHEN row.cvv_required IS DISTINCT FROM pool.cvv_required THEN 'cvv_required' END,
            CASE WHEN row.card_value IS DISTINCT FROM pool.card_value THEN 'card_value' END,
            CASE WHEN row.expiration_type IS DISTINCT FROM pool.expiration_type THEN 'expiration_type' END,
            CASE WHEN row.expiration_type = 'Year' AND row.lifetime_years IS DISTINCT FROM pool.lifetime_years
                THEN 'lifetime_years' END,
            -- A file of before there was this column says nothing of it (R4).
            CASE WHEN 'max_card_value' = ANY (string_to_array(current_setting('import.fields'), ','))
                  AND row.max_card_value IS DISTINCT FROM pool.max_card_value THEN 'max_card_value' END
        ) END;

        INSERT INTO load_reject
        SELECT row.line, rule.id,
            replace(replace(replace(rule.message,
                '{line}', coalesce(broken.first_line::text, '')),
                '{fields}', coalesce(different, '')),
                '{value}', left(broken.value, 100))
        FROM (
            VALUES
                (CASE WHEN first_line IS NOT NULL THEN 'system_name.duplicate_in_file' END,
                    row.system_name, first_line),
                (CASE WHEN different <> '' THEN 'system_name.pool_locked' END, row.system_name, NULL),
                (CASE WHEN product_owner.import_job_id = this_job THEN 'product_external_id.duplicate_in_file'
                      WHEN product_owner.system_name IS NOT NULL THEN 'product_external_id.taken' END,
                    row.product_external_id, product_owner.import_line)
        ) AS broken (rule, value, first_line)
        JOIN load_rule AS rule ON rule.id = broken.rule;

        IF FOUND OR NOT row.is_valid THEN
            CONTINUE;
        END IF;
        IF different = '' THEN
            INSERT INTO accepted VALUES (row.system_name, row.line, 'unchanged');
            CONTINUE;
        END IF;
        INSERT INTO accepted VALUES (row.system_name, row.line, 'inserted');
        INSERT INTO loyalty.gift_card_pool (
            system_name, name, supports_arbitrary_value, supports_partial_redemption, product_external_id,
            product_external_system, brand, cvv_required, card_value, expiration_type, lifetime_years,
            max_card_value, import_job_id, import_line
        ) VALUES (
            row.system_name, row.name, row.supports_arbitrary_value, row.supports_partial_redemption,
            row.product_external_id, row.product_external_system, row.brand, row.cvv_required, row.card_value,
            row.expiration_type, CASE WHEN row.expiration_type = 'Year' THEN row.lifetime_years END,
            row.max_card_value, this_job, row.line
        );
    END LOOP;
END
$$;

INSERT INTO load_count
SELECT outcome, count(*)
FROM accepted
GROUP BY outcome;

DROP TABLE accepted;
