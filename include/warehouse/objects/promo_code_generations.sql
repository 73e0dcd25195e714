-- Who makes the codes of a generation holds its lock, from before the generation is shown as running until the transaction
-- with the codes is over. So one that is shown as running, and whose lock nobody holds, was interrupted: its maker was
-- killed or lost the database, and has written nothing. Source: PG-03, PG-04.

-- Returns false, at once, when `waits` is false and another session holds the lock.
CREATE OR REPLACE FUNCTION loyalty.lock_promo_code_generation(generation bigint, waits boolean) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT waits THEN
        RETURN pg_try_advisory_xact_lock(7310590, (generation % 2147483647)::integer);
    END IF;
    PERFORM pg_advisory_xact_lock(7310590, (generation % 2147483647)::integer);
    RETURN true;
END
$$;

-- The state to show of a generation, given the one in its row: an interrupted one has failed. Two looks, each with a
-- snapshot of its own: between them the generation may have ended and let go of its lock.
CREATE OR REPLACE FUNCTION loyalty.promo_code_generation_state(generation bigint, known_state text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF known_state <> 'running' OR EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (classid, objid, objsubid) = (7310590, (generation % 2147483647)::integer, 2)
          AND granted
    ) THEN
        RETURN known_state;
    END IF;
    SELECT state INTO known_state FROM ledger.promo_code_generation WHERE id = generation;
    RETURN CASE known_state WHEN 'running' THEN 'failed' ELSE known_state END;
END
$$;

-- Records interrupted generations as failed, of a pool or of all.
CREATE OR REPLACE FUNCTION loyalty.settle_promo_code_generations(pool text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    running_id bigint;
BEGIN
    FOR running_id IN
        SELECT id
        FROM ledger.promo_code_generation
        WHERE state = 'running'
          AND (pool IS NULL OR pool_system_id = pool)
        ORDER BY id
    LOOP
        IF loyalty.lock_promo_code_generation(running_id, waits => false) THEN
            UPDATE ledger.promo_code_generation
            SET state = 'failed',
                finished_at = clock_timestamp(),
                refusal_rule = 'generation.interrupted',
                refusal_message = 'It was interrupted before its codes were written.'
            WHERE id = running_id
              AND state = 'running';
        END IF;
    END LOOP;
END
$$;
