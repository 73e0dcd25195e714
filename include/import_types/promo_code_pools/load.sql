-- Adds and edits the staged pools one after the other in file order. A blank cell keeps what the pool has, `%CLEAR%`
-- erases it (a flag or the processing falls back to what a new pool has); launch = true launches (PP-01, PP-02).
-- Reads the view `staged_row`; writes `load_count` and `load_reject`.

-- Pools are few: loads of pools wait for one another, so that two files that cross can't deadlock.
SELECT pg_advisory_xact_lock(hashtext('loyalty.promo_code_pool'));

CREATE TEMP TABLE accepted (system_id text COLLATE "C" PRIMARY KEY, line bigint, outcome text) ON COMMIT DROP;

DO $$
DECLARE
    largest_shown CONSTANT text := 'FM9,999,999,999,999,999,999';
    largest CONSTANT integer := 2147483647;    -- the suite rejects numbers much smaller, but those rows come along too
    row record;
    first_line bigint;
    pool loyalty.promo_code_pool;
    edited loyalty.promo_code_pool;
    is_new boolean;
    limit_of_project CONSTANT bigint := current_setting('import.max_generation')::bigint;
    is_weighed boolean;
    capacity numeric;
BEGIN
    -- Held against first codes and launches, which freeze what is compared here; in the order of uploads.
    PERFORM FROM loyalty.promo_code_pool
    WHERE system_id IN (SELECT pool_id FROM staged_row)
    ORDER BY system_id
    FOR NO KEY UPDATE;
    -- Rows that the suite rejected come along to get these reasons too (X-08).
    FOR row IN SELECT * FROM staged_row ORDER BY line LOOP
        SELECT line INTO first_line FROM accepted WHERE accepted.system_id = row.pool_id;
        SELECT * INTO pool FROM loyalty.promo_code_pool AS stored WHERE stored.system_id = row.pool_id;
        is_new := NOT FOUND;

        edited := pool;
        edited.name := coalesce(row.name, pool.name);
        edited.description :=
            CASE WHEN NOT row.description__clear THEN coalesce(row.description, pool.description) END;
        edited.campaign := CASE WHEN NOT row.campaign__clear THEN coalesce(row.campaign, pool.campaign) END;
        edited.parameter_name :=
            CASE WHEN NOT row.parameter_name__clear THEN coalesce(row.parameter_name, pool.parameter_name) END;
        edited.fill_method :=
            CASE WHEN NOT row.fill_method__clear THEN coalesce(row.fill_method, pool.fill_method) END;
        edited.format := CASE WHEN NOT row.format__clear THEN coalesce(row.format, pool.format) END;
        edited.quantity := CASE WHEN NOT row.quantity__clear THEN coalesce(row.quantity, pool.quantity) END;
        edited.auto_generate :=
            NOT row.auto_generate__clear AND coalesce(row.auto_generate, pool.auto_generate, false);
        edited.top_up_threshold :=
            CASE WHEN NOT row.top_up_threshold__clear THEN coalesce(row.top_up_threshold, pool.top_up_threshold) END;
        edited.notify_below :=
            CASE WHEN NOT row.notify_below__clear THEN coalesce(row.notify_below, pool.notify_below) END;
        edited.lead_hours := CASE WHEN NOT row.lead_hours__clear
            THEN coalesce(CASE WHEN abs(row.lead_hours) > largest THEN largest ELSE row.lead_hours END,
                          pool.lead_hours) END;
        edited.issue_check := NOT row.issue_check__clear AND coalesce(row.issue_check, pool.issue_check, false);
        edited.assigned_validity_days := CASE WHEN NOT row.assigned_validity_days__clear
            THEN coalesce(CASE WHEN abs(row.assigned_validity_days) > largest THEN largest ELSE row.assigned_validity_days END,
                          pool.assigned_validity_days) END;
        edited.processing := CASE WHEN row.processing__clear THEN 'internal'
            ELSE coalesce(row.processing, pool.processing, 'internal') END;
        edited.multi_use := NOT row.multi_use__clear AND coalesce(row.multi_use, pool.multi_use, false);
        edited.code_pattern :=
            CASE WHEN NOT row.code_pattern__clear THEN coalesce(row.code_pattern, pool.code_pattern) END;
        edited.state := CASE WHEN row.launch THEN 'active' ELSE coalesce(pool.state, 'draft') END;

        -- How many codes at a time, and who gives them: what is there already is judged when codes are generated.
        is_weighed := row.is_readable AND edited.quantity > 0
            AND (is_new OR edited.quantity IS DISTINCT FROM pool.quantity
                 OR edited.format IS DISTINCT FROM pool.format
                 OR edited.auto_generate AND NOT pool.auto_generate);
        capacity := NULL;
        IF is_weighed THEN
            SELECT least(trunc(power(
                char_length(format.alphabet)::numeric,
                format.length - char_length(format.prefix) - char_length(format.suffix))), format.max_codes)
            INTO capacity
            FROM loyalty.promo_code_format AS format
            WHERE format.name = edited.format;
        END IF;

        INSERT INTO load_reject
        SELECT row.line, rule.id,
            replace(replace(replace(rule.message,
                '{line}', coalesce(first_line::text, '')),
                '{fields}', coalesce(CASE rule.id
                    WHEN 'quantity.over_capacity' THEN format(
                        '%s codes at a time, and its format %s has %s in all',
                        to_char(edited.quantity, largest_shown), left(edited.format, 100),
                        to_char(capacity, largest_shown))
                    WHEN 'quantity.over_limit' THEN format(
                        '%s codes at a time, more than the project''s max_generation = %s allows',
                        to_char(edited.quantity, largest_shown), to_char(limit_of_project, largest_shown))
                    ELSE pool.fill_method
                END, '')),
                '{value}', left(coalesce(row.pool_id, row.name, ''), 100))
        FROM unnest(ARRAY[
            CASE WHEN row.pool_id = '' THEN 'system_id.cannot_be_made' END,
            CASE WHEN first_line IS NOT NULL THEN 'system_id.duplicate_in_file'
                 WHEN NOT is_new AND row.is_valid AND row.system_id IS NULL AND row.name <> pool.name
                THEN 'system_id.taken' END,
            CASE WHEN edited.state = 'active' AND edited.description IS NULL THEN 'description.required_to_launch' END,
            CASE WHEN row.is_readable AND edited.auto_generate AND edited.quantity IS NULL
                THEN 'quantity.required' END,
            CASE WHEN is_weighed AND edited.quantity > capacity THEN 'quantity.over_capacity' END,
            CASE WHEN is_weighed AND edited.quantity > limit_of_project THEN 'quantity.over_limit' END,
            CASE WHEN row.is_readable AND edited.issue_check AND edited.assigned_validity_days IS NULL
                THEN 'assigned_validity_days.required' END,
            CASE WHEN row.is_readable AND edited.issue_check AND edited.multi_use THEN 'issue_check.with_multi_use' END,
            CASE WHEN row.is_readable AND pool.state = 'active' AND edited.multi_use <> pool.multi_use
                THEN 'multi_use.frozen' END,
            CASE WHEN row.is_readable AND pool.first_code_at IS NOT NULL
                      AND edited.fill_method IS DISTINCT FROM pool.fill_method
                THEN 'fill_method.frozen' END
        ]) AS broken (rule)
        JOIN load_rule AS rule ON rule.id = broken.rule;

        IF FOUND OR NOT row.is_valid THEN
            CONTINUE;
        END IF;
        INSERT INTO accepted VALUES (
            row.pool_id, row.line, CASE WHEN is_new THEN 'inserted' WHEN edited = pool THEN 'unchanged' ELSE 'updated' END
        );
        IF is_new THEN
            INSERT INTO loyalty.promo_code_pool (
                system_id, name, description, campaign, parameter_name, fill_method, format, quantity, auto_generate,
                top_up_threshold, notify_below, lead_hours, issue_check, assigned_validity_days, processing, multi_use,
                code_pattern, state, import_job_id, import_line
            ) VALUES (
                row.pool_id, edited.name, edited.description, edited.campaign, edited.parameter_name,
                edited.fill_method, edited.format, edited.quantity, edited.auto_generate, edited.top_up_threshold,
                edited.notify_below, edited.lead_hours, edited.issue_check, edited.assigned_validity_days,
                edited.processing, edited.multi_use, edited.code_pattern, edited.state,
                current_setting('import.job_id')::bigint, row.line
            );
        ELSIF edited <> pool THEN
            UPDATE loyalty.promo_code_pool
            SET name = edited.name, description = edited.description, campaign = edited.campaign,
                parameter_name = edited.parameter_name, fill_method = edited.fill_method, format = edited.format,
                quantity = edited.quantity, auto_generate = edited.auto_generate,
                top_up_threshold = edited.top_up_threshold, notify_below = edited.notify_below,
                lead_hours = edited.lead_hours, issue_check = edited.issue_check,
                assigned_validity_days = edited.assigned_validity_days, processing = edited.processing,
                multi_use = edited.multi_use, code_pattern = edited.code_pattern, state = edited.state
            WHERE system_id = row.pool_id;
        END IF;
    END LOOP;
END
$$;

INSERT INTO load_count
SELECT outcome, count(*)
FROM accepted
GROUP BY outcome;

DROP TABLE accepted;
