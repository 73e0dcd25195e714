-- Hands out one code of a pool. Source: PG-05.
--
--   SELECT result, code, available_from, available_till FROM loyalty.issue_promo_code('summer', 'customer 17');
--
-- result: issued
--         pool_not_found             no such pool
--         not_active                 the pool is not launched yet
--         outside_issue_window       codes are left, but none whose issue window is open now
--         no_available_codes         none is left, or others are just being handed the last ones
-- code: the one handed out; NULL for every other result.
-- available_from, available_till: when it can be activated, [from, till); NULL: no limit. In a pool with
-- assigned_validity_days it ends so many times 24 hours after the issue at the latest.
--
-- customer is opaque text, kept with the code. A code past its available_till is not handed out; codes whose issue window,
-- or else available_till, ends first go out first. In a pool of
-- codes for multiple use a code stays in stock and is handed out again; issued_at and issued_to keep the first time, and
-- assigned_validity_days does not apply.
--
-- No code changes unless the result is `issued`. Any number of clients may call at once: each code goes out once, and
-- nobody waits, neither for a transaction that holds a code nor for one that adds a million. (At REPEATABLE READ and
-- SERIALIZABLE a client may get a serialization failure, to be repeated.) A code issued by a transaction that is rolled
-- back is in stock again.
CREATE OR REPLACE FUNCTION loyalty.issue_promo_code(
    pool text, customer text,
    OUT result text, OUT code text, OUT available_from timestamptz, OUT available_till timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Always the front of promo_code_stock_idx, also where statistics are old or missing: a pool that has run dry looks like
-- one of which a scan of the table soon finds a code.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    pool_row record;
    newest_batch bigint;
    has_shut_days boolean;
    first_end timestamptz := '-infinity';
    last_end timestamptz := 'infinity';
BEGIN
    SELECT state, multi_use, assigned_validity_days, first_code_at INTO pool_row
    FROM loyalty.promo_code_pool
    WHERE system_id = issue_promo_code.pool;
    IF NOT FOUND OR pool_row.state <> 'active' THEN
        result := CASE WHEN pool_row.state IS NULL THEN 'pool_not_found' ELSE 'not_active' END;
        RETURN;
    END IF;

    IF pool_row.multi_use THEN
        SELECT issued.code, issued.available_from, issued.available_till
        INTO code, available_from, available_till
        FROM loyalty.issue_multi_use_promo_code(issue_promo_code.pool, customer, moment) AS issued;
    ELSE
        SELECT max(stored.batch),
               EXISTS (
                   SELECT FROM loyalty.promo_code_closing_day AS shut
                   WHERE shut.pool_system_id = issue_promo_code.pool
                     AND shut.day > moment - interval '24 hours'
                     AND shut.opens_at > moment)
        INTO newest_batch, has_shut_days
        FROM loyalty.promo_code_batch AS stored
        WHERE stored.pool_system_id = issue_promo_code.pool;

        -- Where codes are scheduled, one day on which windows close after the other: those of which none has opened yet
        -- may have hundreds of thousands of codes before the first one that can be handed out.
        LOOP
            IF has_shut_days THEN
                SELECT min(open.day) INTO first_end
                FROM loyalty.promo_code_closing_day AS open
                WHERE open.pool_system_id = issue_promo_code.pool
                  AND open.day > greatest(first_end, moment - interval '24 hours')
                  AND open.opens_at <= moment;
                EXIT WHEN first_end IS NULL;
                last_end := first_end + interval '24 hours' - interval '1 microsecond';
            END IF;

            SELECT candidate.code INTO code
            FROM loyalty.promo_code AS candidate
            WHERE candidate.pool_system_id = issue_promo_code.pool
              AND candidate.issued_at IS NULL
              AND candidate.used_at IS NULL
              AND loyalty.promo_code_closes_at(candidate.issue_end, candidate.available_till) > moment
              AND loyalty.promo_code_closes_at(candidate.issue_end, candidate.available_till) BETWEEN first_end AND last_end
              AND coalesce(candidate.issue_start, '-infinity') <= moment
              AND coalesce(candidate.generation_id, candidate.import_job_id) <= newest_batch
            ORDER BY loyalty.promo_code_closes_at(candidate.issue_end, candidate.available_till),
                     coalesce(candidate.issue_start, '-infinity'),
                     coalesce(candidate.generation_id, candidate.import_job_id)
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED;
            EXIT WHEN FOUND OR NOT has_shut_days;
        END LOOP;

        UPDATE loyalty.promo_code AS taken
        SET issued_at = moment,
            issued_to = customer
        WHERE taken.code = issue_promo_code.code
        RETURNING taken.available_from,
                  least(taken.available_till, moment + make_interval(hours => 24 * pool_row.assigned_validity_days))
        INTO available_from, available_till;
    END IF;
    IF code IS NOT NULL THEN
        result := 'issued';
        RETURN;
    END IF;

    result := CASE
        WHEN pool_row.multi_use AND pool_row.first_code_at IS NOT NULL THEN 'outside_issue_window'
        WHEN pool_row.multi_use THEN 'no_available_codes'
        WHEN EXISTS (
            SELECT FROM loyalty.promo_code AS missed
            WHERE missed.pool_system_id = issue_promo_code.pool
              AND missed.issued_at IS NULL
              AND missed.used_at IS NULL
              AND loyalty.promo_code_closes_at(missed.issue_end, missed.available_till) <= moment
              AND coalesce(missed.generation_id, missed.import_job_id) <= newest_batch
        ) OR EXISTS (
            SELECT FROM loyalty.promo_code AS scheduled
            WHERE scheduled.pool_system_id = issue_promo_code.pool
              AND scheduled.issued_at IS NULL
              AND scheduled.used_at IS NULL
              AND coalesce(scheduled.issue_start, '-infinity') > moment
              AND coalesce(scheduled.generation_id, scheduled.import_job_id) <= newest_batch
        ) THEN 'outside_issue_window'
        ELSE 'no_available_codes'
    END;
    -- The take of the last code has signalled, unless there never was one, the windows of the rest have closed since, or the
    -- last count is wrong.
    IF NOT pool_row.multi_use THEN
        PERFORM pg_notify('promo_code_stock', issue_promo_code.pool)
        WHERE NOT EXISTS (
                SELECT FROM loyalty.promo_code_pool_stock AS stock
                WHERE stock.pool_system_id = issue_promo_code.pool
                  AND stock.valid_until > clock_timestamp())
           OR result = 'no_available_codes' AND loyalty.correct_promo_code_stock(issue_promo_code.pool);
    END IF;
END
$$;

-- The code of a multiple-use pool whose issue window closes first, rather one that has been issued before; nothing when
-- none is open. The first issue is noted unless another caller is just noting it.
CREATE OR REPLACE FUNCTION loyalty.issue_multi_use_promo_code(
    pool text, customer text, moment timestamptz,
    OUT code text, OUT available_from timestamptz, OUT available_till timestamptz)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    SELECT candidate.code, candidate.available_from, candidate.available_till
    INTO code, available_from, available_till
    FROM (
        (
            SELECT issued.*
            FROM loyalty.promo_code AS issued
            WHERE issued.pool_system_id = issue_multi_use_promo_code.pool
              AND (issued.issued_at IS NOT NULL OR issued.used_at IS NOT NULL)
              AND loyalty.promo_code_closes_at(issued.issue_end, issued.available_till) > moment
              AND coalesce(issued.issue_start, '-infinity') <= moment
            ORDER BY loyalty.promo_code_closes_at(issued.issue_end, issued.available_till)
            LIMIT 1
        )
        UNION ALL
        (
            SELECT fresh.*
            FROM loyalty.promo_code AS fresh
            WHERE fresh.pool_system_id = issue_multi_use_promo_code.pool
              AND fresh.issued_at IS NULL
              AND fresh.used_at IS NULL
              AND loyalty.promo_code_closes_at(fresh.issue_end, fresh.available_till) > moment
              AND coalesce(fresh.issue_start, '-infinity') <= moment
            ORDER BY loyalty.promo_code_closes_at(fresh.issue_end, fresh.available_till),
                     coalesce(fresh.issue_start, '-infinity'),
                     coalesce(fresh.generation_id, fresh.import_job_id)
            LIMIT 1
        )
    ) AS candidate
    ORDER BY loyalty.promo_code_closes_at(candidate.issue_end, candidate.available_till), candidate.issued_at NULLS LAST
    LIMIT 1;

    PERFORM loyalty.note_first_issue(issue_multi_use_promo_code.code, customer, moment);
END
$$;

CREATE OR REPLACE FUNCTION loyalty.note_first_issue(code text, customer text, moment timestamptz) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    UPDATE loyalty.promo_code AS noted
    SET issued_at = moment,
        issued_to = customer
    FROM (
        SELECT candidate.code
        FROM loyalty.promo_code AS candidate
        WHERE candidate.code = note_first_issue.code
          AND candidate.issued_at IS NULL
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked
    WHERE noted.code = locked.code;
END;
