-- Marks one given code as handed out, by a system that chose it itself. Source: PG-05.
--
--   SELECT loyalty.mark_promo_code_issued('S-7KQ2M4XA', 'customer 17');
--
-- result: issued
--         code_not_found             no such code
--         not_active                 its pool is not launched yet
--         already_used
--         already_issued
--         outside_issue_window       its issue window is not open now
--
-- customer is opaque text, kept with the code. A code for multiple use can be marked any number of times; issued_at and
-- issued_to keep the first time.
--
-- Nothing changes unless the result is `issued`. Several callers for one code at once: one marks it, the others wait for
-- its commit and get `already_issued` (at REPEATABLE READ and SERIALIZABLE a serialization failure, to be repeated).
CREATE OR REPLACE FUNCTION loyalty.mark_promo_code_issued(code text, customer text, OUT result text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    pool_row record;
BEGIN
    SELECT pool.state, pool.multi_use INTO pool_row
    FROM loyalty.promo_code AS candidate
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = candidate.pool_system_id
    WHERE candidate.code = mark_promo_code_issued.code;
    IF NOT FOUND OR pool_row.state <> 'active' THEN
        result := CASE WHEN pool_row.state IS NULL THEN 'code_not_found' ELSE 'not_active' END;
        RETURN;
    END IF;

    IF NOT pool_row.multi_use THEN
        -- A code that cannot be marked is not even locked: locked ones count as being handed out.
        UPDATE loyalty.promo_code AS marked
        SET issued_at = moment,
            issued_to = customer
        WHERE marked.code = mark_promo_code_issued.code
          AND marked.issued_at IS NULL
          AND marked.used_at IS NULL
          AND coalesce(marked.issue_start, '-infinity') <= moment
          AND coalesce(marked.issue_end, 'infinity') > moment;
        IF FOUND THEN
            result := 'issued';
            RETURN;
        END IF;
    END IF;

    SELECT CASE
        WHEN NOT pool_row.multi_use AND candidate.used_at IS NOT NULL THEN 'already_used'
        WHEN NOT pool_row.multi_use AND candidate.issued_at IS NOT NULL THEN 'already_issued'
        WHEN pool_row.multi_use
            AND coalesce(candidate.issue_start, '-infinity') <= moment
            AND coalesce(candidate.issue_end, 'infinity') > moment THEN 'issued'
        ELSE 'outside_issue_window'
    END
    INTO result
    FROM loyalty.promo_code AS candidate
    WHERE candidate.code = mark_promo_code_issued.code;
    IF result = 'issued' THEN
        PERFORM loyalty.note_first_issue(mark_promo_code_issued.code, customer, moment);
    END IF;
END
$$;
