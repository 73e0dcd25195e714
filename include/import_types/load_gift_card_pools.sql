-- Loads the staged pools one after the other in file order: whether a row is accepted depends on those before it.
-- Reads the views `staged` and `staged_reject`; writes `load_count` and `load_reject`.

-- Pools are few: loads of pools wait for one another, so that two files that cross can't deadlock.
SELECT pg_advisory_xact_lock(hashtext('loyalty.gift_card_pool'));

CREATE TEMP TABLE accepted (system_name text COLLATE "C" PRIMARY KEY, line bigint, outcome text) ON COMMIT DROP;

DO $$
DECLARE
    this_job bigint := current_setting('import.job_id')::bigint;
    row record;
    pool loyalty.gift_card_pool;
    first_line bigint;
    different text;
    broken_rule text;
BEGIN
    FOR row IN SELECT * FROM staged UNION ALL SELECT * FROM staged_reject ORDER BY line LOOP
        SELECT line INTO first_line FROM accepted WHERE accepted.system_name = row.system_name;
        SELECT * INTO pool FROM loyalty.gift_card_pool WHERE gift_card_pool.system_name = row.system_name;
        different := NULL;
        broken_rule := NULL;
        IF first_line IS NOT NULL THEN
            broken_rule := 'system_name.duplicate_in_file';
        ELSIF pool.system_name IS NOT NULL THEN
            different := concat_ws(', ',
                CASE WHEN row.name IS DISTINCT FROM pool.name THEN 'name' END,
                CASE WHEN row.supports_arbitrary_value IS DISTINCT FROM pool.supports_arbitrary_value
                    THEN 'supports_arbitrary_value' END,
                CASE WHEN row.supports_partial_redemption IS DISTINCT FROM pool.supports_partial_redemption
                    THEN 'supports_partial_redemption' END,
                CASE WHEN row.product_external_id IS DISTINCT FROM pool.product_external_id
                    THEN 'product_external_id' END,
                CASE WHEN row.product_external_system IS DISTINCT FROM pool.product_external_system
                    THEN 'product_external_system' END,
                CASE WHEN row.brand IS DISTINCT FROM pool.brand THEN 'brand' END,
                CASE WHEN row.cvv_required IS DISTINCT FROM pool.cvv_required THEN 'cvv_required' END,
                CASE WHEN row.card_value IS DISTINCT FROM pool.card_value THEN 'card_value' END,
                CASE WHEN row.expiration_type IS DISTINCT FROM pool.expiration_type THEN 'expiration_type' END,
                CASE WHEN row.expiration_type = 'Year' AND row.lifetime_years IS DISTINCT FROM pool.lifetime_years
                    THEN 'lifetime_years' END
            );
            broken_rule := CASE WHEN different <> '' THEN 'system_name.pool_locked' END;
        ELSE
            SELECT other.* INTO pool
            FROM loyalty.gift_card_pool AS other
            WHERE other.product_external_system = row.product_external_system
              AND other.product_external_id = row.product_external_id;
            first_line := pool.import_line;
            broken_rule := CASE
                WHEN pool.import_job_id = this_job THEN 'product_external_id.duplicate_in_file'
                WHEN pool.system_name IS NOT NULL THEN 'product_external_id.taken'
            END;
        END IF;

        IF broken_rule IS NOT NULL THEN
            INSERT INTO load_reject
            SELECT row.line, rule.id,
                replace(replace(replace(replace(rule.message,
                    '{value}', left(CASE WHEN rule.id LIKE 'product%' THEN row.product_external_id
                                         ELSE row.system_name END, 100)),
                    '{line}', coalesce(first_line::text, '')),
                    '{fields}', coalesce(different, '')),
                    '{pool}', left(pool.system_name, 100))
            FROM load_rule AS rule
            WHERE rule.id = broken_rule;
        ELSIF row.is_valid AND different IS NOT NULL THEN
            INSERT INTO accepted VALUES (row.system_name, row.line, 'unchanged');
        ELSIF row.is_valid THEN
            INSERT INTO loyalty.gift_card_pool (
                system_name, name, supports_arbitrary_value, supports_partial_redemption, product_external_id,
                product_external_system, brand, cvv_required, card_value, expiration_type, lifetime_years,
                import_job_id, import_line
            ) VALUES (
                row.system_name, row.name, row.supports_arbitrary_value, row.supports_partial_redemption,
                row.product_external_id, row.product_external_system, row.brand, row.cvv_required, row.card_value,
                row.expiration_type, CASE WHEN row.expiration_type = 'Year' THEN row.lifetime_years END,
                this_job, row.line
            );
            INSERT INTO accepted VALUES (row.system_name, row.line, 'inserted');
        END IF;
    END LOOP;
END
$$;

INSERT INTO load_count
SELECT outcome, count(*)
FROM accepted
GROUP BY outcome;

DROP TABLE accepted;
