-- After: refuse_change
-- A transaction that adds many codes takes this lock before all others, shared, until it ends. Two that add the same
-- codes in different orders wait for each other: PostgreSQL ends one of them (40P01), which then begins again, alone.
CREATE OR REPLACE FUNCTION loyalty.lock_promo_code_additions(is_alone boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_alone THEN
        PERFORM pg_advisory_xact_lock(7310587443);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7310587443);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION loyalty.note_promo_code_closing_day(pool text, day timestamptz, opens_at timestamptz) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO loyalty.promo_code_closing_day (pool_system_id, day, opens_at)
    SELECT pool, day, opens_at
    WHERE NOT EXISTS (
        SELECT FROM loyalty.promo_code_closing_day AS stored
        WHERE stored.pool_system_id = note_promo_code_closing_day.pool
          AND stored.day = note_promo_code_closing_day.day
          AND stored.opens_at <= note_promo_code_closing_day.opens_at);
END;

-- What follows from new codes, once a statement for INSERT and COPY alike:
--
--   pool            locked FOR KEY SHARE; an unknown one is refused. Codes are never deleted, pools with codes neither,
--                   and key changes and truncates are refused (promo_code_pool_guards.sql): no reference can dangle
--   first code      sets the pool's first_code_at and, when blank, its fill_method; until the transaction ends other
--                   first codes and edits of the pool wait (FOR NO KEY UPDATE). PP-02
--   fill_method     codes of the other origin are refused. PC-05
--   formats         the codes that are in the space of each are counted (promo_code_format_use.sql). PG-02
--   stock           the pools are signalled, to be counted again; their batches, and the days on which windows close,
--                   are noted. PG-05
--
-- No error names a pool: in a file whose columns are mixed up codes may be there (X-20).
CREATE OR REPLACE FUNCTION loyalty.check_promo_codes_added() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pools text[];
    batches bigint[];
    are_generated boolean[];
    days timestamptz[];
    openings timestamptz[];
    held text[];
    first_filled text[];
    refused bigint;
    stored_format loyalty.promo_code_format;
    codes bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN
        RETURN NULL;
    END IF;
    PERFORM loyalty.lock_promo_code_formats(is_alone => false);

    -- EXECUTE makes a new plan for each statement: a plan kept from an insert of one code is wrong for a million.
    EXECUTE $query$
        SELECT array_agg(pool_system_id), array_agg(coalesce(generation_id, import_job_id)),
               array_agg(generation_id IS NOT NULL), array_agg(day), array_agg(coalesce(opens_at, '-infinity'))
        FROM (
            SELECT pool_system_id, generation_id, import_job_id,
                   loyalty.promo_code_closing_day_of(issue_end, available_till) AS day,
                   CASE WHEN count(issue_start) = count(*) THEN min(issue_start) END AS opens_at
            FROM inserted
            GROUP BY pool_system_id, generation_id, import_job_id, day
        ) AS part
    $query$ INTO pools, batches, are_generated, days, openings;

    -- Exactly the rows that this query has locked count as there: a second look could see others.
    SELECT array_agg(locked.system_id), array_agg(locked.system_id) FILTER (WHERE locked.first_code_at IS NULL)
    INTO held, first_filled
    FROM (
        SELECT system_id, first_code_at
        FROM loyalty.promo_code_pool
        WHERE system_id = ANY (pools)
        ORDER BY system_id
        FOR KEY SHARE
    ) AS locked;
    SELECT count(DISTINCT pool) INTO refused FROM unnest(pools) AS pool WHERE pool <> ALL (coalesce(held, '{}'));
    IF refused > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = format('promo codes refer to %s unknown pool value(s)', refused),
            SCHEMA = 'loyalty',
            TABLE = 'promo_code',
            CONSTRAINT = 'promo_code_pool_system_id_fkey';
    END IF;

    IF first_filled IS NOT NULL THEN
        PERFORM FROM loyalty.promo_code_pool
        WHERE system_id = ANY (first_filled)
        ORDER BY system_id
        FOR NO KEY UPDATE;
        UPDATE loyalty.promo_code_pool AS pool
        SET first_code_at = clock_timestamp(),
            fill_method = coalesce(pool.fill_method, CASE WHEN part.is_generated THEN 'generate' ELSE 'upload' END)
        FROM unnest(pools, are_generated) AS part (pool, is_generated)
        WHERE pool.system_id = part.pool
          AND pool.system_id = ANY (first_filled)
          AND pool.first_code_at IS NULL;
    END IF;
    SELECT count(DISTINCT part.pool) INTO refused
    FROM unnest(pools, are_generated) AS part (pool, is_generated)
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = part.pool
    WHERE pool.fill_method <> CASE WHEN part.is_generated THEN 'generate' ELSE 'upload' END;
    IF refused > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format(
                'INSERT of loyalty.promo_code refused: %s pool(s) are filled the other way, by generation or upload',
                refused),
            SCHEMA = 'loyalty',
            TABLE = 'promo_code',
            CONSTRAINT = 'promo_code_fill_method';
    END IF;

    FOR stored_format IN SELECT * FROM loyalty.promo_code_format ORDER BY name LOOP
        EXECUTE 'SELECT count(*) FROM inserted WHERE ' || loyalty.promo_code_format_condition(stored_format)
        INTO codes;
        IF codes > 0 THEN
            INSERT INTO loyalty.promo_code_format_use (format, codes) VALUES (stored_format.name, codes);
        END IF;
    END LOOP;

    INSERT INTO loyalty.promo_code_batch (pool_system_id, batch)
    SELECT DISTINCT part.pool, part.batch
    FROM unnest(pools, batches) AS part (pool, batch)
    WHERE NOT EXISTS (
        SELECT FROM loyalty.promo_code_batch AS stored
        WHERE stored.pool_system_id = part.pool
          AND stored.batch = part.batch);

    PERFORM loyalty.note_promo_code_closing_day(part.pool, part.day, part.opens_at)
    FROM unnest(pools, days, openings) AS part (pool, day, opens_at);

    PERFORM pg_notify('promo_code_stock', system_id)
    FROM loyalty.promo_code_pool
    WHERE system_id = ANY (pools)
      AND NOT multi_use;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER check_added
    AFTER INSERT ON loyalty.promo_code
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_promo_codes_added();

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.promo_code
    FOR EACH ROW WHEN (
        OLD.code <> NEW.code
        OR OLD.pool_system_id <> NEW.pool_system_id
        OR (OLD.import_job_id, OLD.import_line, OLD.generation_id)
            IS DISTINCT FROM (NEW.import_job_id, NEW.import_line, NEW.generation_id)
        OR OLD.issued_at IS NOT NULL AND NEW.issued_at IS DISTINCT FROM OLD.issued_at
        OR OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at)
    EXECUTE FUNCTION loyalty.refuse_change(
        'code, pool and origin of a promo code never change, nor a time of issue or use once it is set');

CREATE OR REPLACE TRIGGER refuse_delete
    BEFORE DELETE ON loyalty.promo_code
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('promo codes are never deleted');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.promo_code
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('promo codes are never deleted');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE OR DELETE ON loyalty.promo_code_use
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of promo codes never changes');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.promo_code_use
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of promo codes never changes');
