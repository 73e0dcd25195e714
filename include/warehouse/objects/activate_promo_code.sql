-- Activates (redeems) one code. Source: PG-05, PP-02.
--
--   SELECT loyalty.activate_promo_code('S-7KQ2M4XA', 'customer 17');
--
-- result: activated
--         code_not_found             no such code
--         not_active                 its pool is not launched yet
--         external_processing        another system activates the codes of this pool
--         already_used               of a code for one use
--         not_issued                 the pool checks that codes were issued before (issue_check), and this one was not
--         not_yet_available          before available_from
--         expired                    available_till is reached, or so many times 24 hours since the issue have passed as
--                                    the pool's assigned_validity_days says
--
-- customer is opaque text, kept with the activation. Codes for multiple use leave one row for each activation in
-- loyalty.promo_code_use; assigned_validity_days does not apply to them.
--
-- Nothing changes unless the result is `activated`. Several callers for one code at once: one activates it, the others
-- wait for its commit and get `already_used` (at REPEATABLE READ and SERIALIZABLE a serialization failure, to be
-- repeated); nobody waits for a code for multiple use.
CREATE OR REPLACE FUNCTION loyalty.activate_promo_code(code text, customer text, OUT result text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    pool_row record;
    validity interval;
BEGIN
    SELECT pool.state, pool.processing, pool.multi_use, pool.issue_check, pool.assigned_validity_days INTO pool_row
    FROM loyalty.promo_code AS candidate
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = candidate.pool_system_id
    WHERE candidate.code = activate_promo_code.code;
    result := CASE
        WHEN NOT FOUND THEN 'code_not_found'
        WHEN pool_row.state <> 'active' THEN 'not_active'
        WHEN pool_row.processing = 'external' THEN 'external_processing'
    END;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;

    IF NOT pool_row.multi_use THEN
        validity := make_interval(hours => 24 * pool_row.assigned_validity_days);
        -- A code that cannot be activated is not even locked: locked ones count as being handed out.
        UPDATE loyalty.promo_code AS activated
        SET used_at = moment,
            used_by = customer
        WHERE activated.code = activate_promo_code.code
          AND activated.used_at IS NULL
          AND (activated.issued_at IS NOT NULL OR NOT pool_row.issue_check)
          AND coalesce(activated.available_from, '-infinity') <= moment
          AND coalesce(least(activated.available_till, activated.issued_at + validity), 'infinity') > moment;
        IF FOUND THEN
            result := 'activated';
            RETURN;
        END IF;
    END IF;

    SELECT CASE
        WHEN NOT pool_row.multi_use AND candidate.used_at IS NOT NULL THEN 'already_used'
        WHEN candidate.issued_at IS NULL AND pool_row.issue_check THEN 'not_issued'
        WHEN candidate.available_from > moment THEN 'not_yet_available'
        WHEN pool_row.multi_use AND coalesce(candidate.available_till, 'infinity') > moment THEN 'activated'
        ELSE 'expired'
    END
    INTO result
    FROM loyalty.promo_code AS candidate
    WHERE candidate.code = activate_promo_code.code;
    IF result = 'activated' THEN
        INSERT INTO loyalty.promo_code_use (code, customer, used_at)
        VALUES (activate_promo_code.code, activate_promo_code.customer, moment);
    END IF;
END
$$;
