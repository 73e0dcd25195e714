SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA ledger;

CREATE SCHEMA loyalty;

CREATE SCHEMA staging;

CREATE FUNCTION loyalty.activate_promo_code(code text, customer text, OUT result text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    found_pool record;
    validity interval;
BEGIN
    SELECT pool.state, pool.processing, pool.multi_use, pool.issue_check, pool.assigned_validity_days INTO found_pool
    FROM loyalty.promo_code AS candidate
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = candidate.pool_system_id
    WHERE candidate.code = activate_promo_code.code;
    result := CASE
        WHEN NOT FOUND THEN 'code_not_found'
        WHEN found_pool.state <> 'active' THEN 'not_active'
        WHEN found_pool.processing = 'external' THEN 'external_processing'
    END;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;

    IF NOT found_pool.multi_use THEN
        validity := make_interval(hours => 24 * found_pool.assigned_validity_days);
        -- A code that cannot be activated is not even locked: locked ones count as being handed out.
        UPDATE loyalty.promo_code AS activated
        SET used_at = moment,
            used_by = customer
        WHERE activated.code = activate_promo_code.code
          AND activated.used_at IS NULL
          AND (activated.issued_at IS NOT NULL OR NOT found_pool.issue_check)
          AND coalesce(activated.available_from, '-infinity') <= moment
          AND coalesce(least(activated.available_till, activated.issued_at + validity), 'infinity') > moment;
        IF FOUND THEN
            result := 'activated';
            RETURN;
        END IF;
    END IF;

    SELECT CASE
        WHEN NOT found_pool.multi_use AND candidate.used_at IS NOT NULL THEN 'already_used'
        WHEN candidate.issued_at IS NULL AND found_pool.issue_check THEN 'not_issued'
        WHEN candidate.available_from > moment THEN 'not_yet_available'
        WHEN found_pool.multi_use AND coalesce(candidate.available_till, 'infinity') > moment THEN 'activated'
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

CREATE FUNCTION loyalty.begin_custom_field_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM loyalty.lock_custom_fields(is_alone => true);
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.begin_customer_delete() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = 'customers can be deleted at READ COMMITTED only: at other isolation levels what refers to them '
                'would stay where it is newer than the transaction',
            SCHEMA = 'loyalty',
            TABLE = 'customer';
    END IF;
    PERFORM pg_advisory_xact_lock(7310589, 1);
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.block_gift_card(card_number text, OUT result text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    found_status text;
BEGIN
    SELECT card.status INTO found_status
    FROM loyalty.gift_card AS card
    WHERE card.card_number = block_gift_card.card_number
    FOR NO KEY UPDATE OF card;
    result := CASE WHEN NOT FOUND THEN 'not_found' WHEN found_status = 'Blocked' THEN 'already_blocked' END;
    IF result IS NULL THEN
        UPDATE loyalty.gift_card AS card
        SET status = 'Blocked'
        WHERE card.card_number = block_gift_card.card_number;
        result := 'blocked';
    END IF;
END
$$;

CREATE FUNCTION loyalty.check_custom_fields() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    conditions text;
    refused bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM written WHERE custom_fields <> '{}') THEN
        RETURN NULL;
    END IF;
    PERFORM loyalty.lock_custom_fields(is_alone => false);
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        -- The snapshot may be older than a change of the definitions: locking them tells.
        PERFORM FROM loyalty.custom_field ORDER BY name FOR SHARE;
    END IF;
    SELECT concat_ws(' AND ',
               format('custom_fields - %L::text[] = ''{}''', coalesce(array_agg(field.name), '{}')),
               string_agg(loyalty.custom_field_condition(field), ' AND '))
    INTO conditions
    FROM loyalty.custom_field AS field;
    EXECUTE format('SELECT count(*) FROM written WHERE custom_fields <> ''{}'' AND NOT (%s)', conditions) INTO refused;
    IF refused > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation',
            MESSAGE = format(
                '%s customer(s) have a custom field that is not defined, or a value that is not of its type', refused),
            SCHEMA = 'loyalty',
            TABLE = 'customer',
            CONSTRAINT = 'customer_custom_fields';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.check_gift_card_references() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    pools text[];
    points text[];
    held text[];
BEGIN
    -- EXECUTE plans anew for each statement: a plan kept from an insert of one card sorts the million of the next.
    EXECUTE $query$
        SELECT array_agg(DISTINCT used.pool_system_name),
               array_agg(DISTINCT used.point_of_contact) FILTER (WHERE used.point_of_contact IS NOT NULL)
        FROM (SELECT DISTINCT pool_system_name, point_of_contact FROM inserted) AS used
    $query$ INTO pools, points;

    -- Exactly the rows that this query has locked count as there: a second look could see others.
    SELECT array_agg(locked.system_name) INTO held
    FROM (
        SELECT system_name
        FROM loyalty.gift_card_pool
        WHERE system_name = ANY (pools)
        ORDER BY system_name
        FOR KEY SHARE
    ) AS locked;
    PERFORM loyalty.refuse_missing(pools, held, 'gift_card_pool_system_name_fkey', 'pool');

    IF points IS NOT NULL THEN
        SELECT array_agg(locked.external_id) INTO held
        FROM (
            SELECT external_id
            FROM loyalty.point_of_contact
            WHERE external_id = ANY (points)
            ORDER BY external_id
            FOR KEY SHARE
        ) AS locked;
        PERFORM loyalty.refuse_missing(points, held, 'gift_card_point_of_contact_fkey', 'point of contact');
    END IF;
    RETURN NULL;
END
$_$;

CREATE FUNCTION loyalty.check_promo_codes_added() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    pools text[];
    batches bigint[];
    are_generated boolean[];
    days timestamptz[];
    openings timestamptz[];
    held text[];
    first_filled text[];
    refused bigint;
    known_format loyalty.promo_code_format;
    codes bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM inserted) THEN
        RETURN NULL;
    END IF;
    PERFORM loyalty.lock_promo_code_formats(is_alone => false);

    -- EXECUTE plans anew for each statement: a plan kept from an insert of one code is wrong for a million.
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

    FOR known_format IN SELECT * FROM loyalty.promo_code_format ORDER BY name LOOP
        EXECUTE 'SELECT count(*) FROM inserted WHERE ' || loyalty.promo_code_format_condition(known_format)
        INTO codes;
        IF codes > 0 THEN
            INSERT INTO loyalty.promo_code_format_use (format, codes) VALUES (known_format.name, codes);
        END IF;
    END LOOP;

    INSERT INTO loyalty.promo_code_batch (pool_system_id, batch)
    SELECT DISTINCT part.pool, part.batch
    FROM unnest(pools, batches) AS part (pool, batch)
    WHERE NOT EXISTS (
        SELECT FROM loyalty.promo_code_batch AS known
        WHERE known.pool_system_id = part.pool
          AND known.batch = part.batch);

    PERFORM loyalty.note_promo_code_closing_day(part.pool, part.day, part.opens_at)
    FROM unnest(pools, days, openings) AS part (pool, day, opens_at);

    PERFORM pg_notify('promo_code_stock', system_id)
    FROM loyalty.promo_code_pool
    WHERE system_id = ANY (pools)
      AND NOT multi_use;
    RETURN NULL;
END
$_$;

CREATE FUNCTION loyalty.check_references() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    reference record;
    columns text;
    used jsonb;
    wanted text[];
    held text[];
    missing bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM written) THEN
        RETURN NULL;
    END IF;

    -- EXECUTE plans anew for each statement: a plan kept from a statement of one row is wrong for a million.
    SELECT string_agg(quote_ident(child_column), ', ') INTO columns
    FROM loyalty.unenforced_references(TG_RELID, NULL)
    WHERE parent_table <> 'loyalty.customer'::regclass;
    IF columns IS NOT NULL THEN
        EXECUTE format('SELECT jsonb_agg(part) FROM (SELECT DISTINCT %s FROM written) AS part', columns) INTO used;
    END IF;

    FOR reference IN SELECT * FROM loyalty.unenforced_references(TG_RELID, NULL) LOOP
        IF reference.parent_table = 'loyalty.customer'::regclass THEN
            -- A row never changes its customer (customer_guards.sql).
            CONTINUE WHEN TG_OP = 'UPDATE';
            PERFORM loyalty.hold_customers();
            IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
                -- The snapshot may be older than a deletion: locking the rows tells.
                EXECUTE format(
                    'SELECT count(*) FROM ('
                    'SELECT FROM loyalty.customer WHERE id IN (SELECT %I FROM written) ORDER BY id FOR KEY SHARE'
                    ') AS locked', reference.child_column)
                INTO missing;
            END IF;
            EXECUTE format(
                'SELECT count(DISTINCT %1$I) FROM written '
                'WHERE NOT EXISTS (SELECT FROM loyalty.customer WHERE customer.id = written.%1$I)',
                reference.child_column)
            INTO missing;
        ELSE
            SELECT array_agg(DISTINCT part ->> reference.child_column) INTO wanted
            FROM jsonb_array_elements(used) AS part
            WHERE part ->> reference.child_column IS NOT NULL;
            -- Exactly the rows that this query has locked count as there: a second look could see others.
            EXECUTE format(
                'SELECT array_agg(key) FROM ('
                'SELECT %1$I AS key FROM %2$s WHERE %1$I = ANY ($1) ORDER BY %1$I FOR KEY SHARE'
                ') AS locked', reference.parent_column, reference.parent_table)
            INTO held USING wanted;
            SELECT count(*) INTO missing FROM unnest(wanted) AS key WHERE key <> ALL (coalesce(held, '{}'));
        END IF;
        IF missing > 0 THEN
            RAISE EXCEPTION USING
                ERRCODE = 'foreign_key_violation',
                MESSAGE = format('%s.%s refers to %s unknown %s value(s)',
                    TG_TABLE_SCHEMA, TG_TABLE_NAME, missing, reference.parent_table),
                SCHEMA = TG_TABLE_SCHEMA,
                TABLE = TG_TABLE_NAME,
                CONSTRAINT = reference.name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$_$;

CREATE FUNCTION loyalty.correct_promo_code_stock(pool text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    take bigint;
BEGIN
    SELECT coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', number)::regclass), 0) INTO take
    FROM loyalty.promo_code_pool
    WHERE system_id = pool;
    WITH wrong AS (
        SELECT stock.pool_system_id
        FROM loyalty.promo_code_pool_stock AS stock
        WHERE stock.pool_system_id = pool
          AND stock.counted_available - stock.counted_ending - (take - stock.counted_at_take) > 0
          AND stock.counted_at < clock_timestamp() - interval '1 minute'
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE loyalty.promo_code_pool_stock AS stock
    SET counted_available = 0,
        counted_ending = 0,
        counted_at_take = take,
        signal_below = 0
    FROM wrong
    WHERE stock.pool_system_id = wrong.pool_system_id;
    RETURN FOUND;
END
$$;

CREATE FUNCTION loyalty.count_issuable_promo_codes(format text) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    condition text;
    issuable bigint;
BEGIN
    SELECT loyalty.promo_code_format_condition(known) INTO STRICT condition
    FROM loyalty.promo_code_format AS known
    WHERE known.name = count_issuable_promo_codes.format;
    EXECUTE 'SELECT count(*) FROM loyalty.promo_code WHERE issued_at IS NULL AND used_at IS NULL AND ' || condition
    INTO issuable;
    RETURN issuable;
END
$$;

CREATE FUNCTION loyalty.count_promo_code_format_use() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    present bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM loyalty.promo_code_format_use WHERE format = OLD.name;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        EXECUTE 'SELECT count(*) FROM loyalty.promo_code WHERE ' || loyalty.promo_code_format_condition(NEW)
        INTO present;
        INSERT INTO loyalty.promo_code_format_use (format, codes)
        SELECT NEW.name, present
        WHERE present > 0;
    END IF;
    RETURN NULL;
END
$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE loyalty.promo_code_pool_stock (
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    counted_available bigint NOT NULL,
    counted_at_take bigint NOT NULL,
    signal_below bigint NOT NULL,
    valid_until timestamp with time zone NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    counted_ending bigint NOT NULL
);

COMMENT ON TABLE loyalty.promo_code_pool_stock IS 'The stock as count_promo_code_pool last counted it, for the signals of promo_code_signals.sql (PG-05).';

COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_available IS 'Issuable then or scheduled, but for codes that an open transaction was handing out: what is compared with levels.';

COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_at_take IS 'Number of the last take that the count includes.';

COMMENT ON COLUMN loyalty.promo_code_pool_stock.signal_below IS 'The highest of top_up_threshold, notify_below and 1 that counted_available had not fallen below; else 0.';

COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_ending IS 'Those of counted_available whose issue window closes before valid_until.';

CREATE FUNCTION loyalty.count_promo_code_pool(pool text) RETURNS loyalty.promo_code_pool_stock
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    counted loyalty.promo_code_pool;
    signalled_below bigint;
    held bigint;                                          -- codes that open transactions have locked or taken
    stock loyalty.promo_code_pool_stock;
BEGIN
    PERFORM pg_advisory_xact_lock(7310588, hashtext(count_promo_code_pool.pool));
    SELECT * INTO counted
    FROM loyalty.promo_code_pool
    WHERE system_id = count_promo_code_pool.pool
      AND NOT multi_use;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM loyalty.%I',
                   'promo_code_take_' || counted.number)
    INTO stock.counted_at_take;

    stock.pool_system_id := counted.system_id;
    stock.counted_at := clock_timestamp();
    stock.valid_until := stock.counted_at + interval '15 minutes';
    SELECT count(*) FILTER (WHERE is_there),
           count(*) FILTER (WHERE is_there AND usable_till <= stock.valid_until),
           count(*) FILTER (WHERE NOT is_there)
    INTO stock.counted_available, stock.counted_ending, held
    FROM (
        SELECT
            coalesce(least(issue_end, available_till), 'infinity') AS usable_till,
            CASE WHEN code.xmax = 0 THEN true ELSE loyalty.is_over(code.xmax, pg_current_snapshot()) END AS is_there
        FROM loyalty.promo_code AS code
        WHERE pool_system_id = counted.system_id
          AND issued_at IS NULL
          AND used_at IS NULL
          AND coalesce(least(issue_end, available_till), 'infinity') > stock.counted_at
        OFFSET 0                                          -- is_over is asked once a code
    ) AS code;

    SELECT coalesce(max(level), 0) INTO stock.signal_below
    FROM unnest(ARRAY[counted.top_up_threshold, counted.notify_below, 1]) AS level
    WHERE level <= stock.counted_available;

    SELECT signal_below INTO signalled_below
    FROM loyalty.promo_code_pool_stock
    WHERE pool_system_id = counted.system_id;
    IF stock.signal_below > signalled_below OR stock.signal_below < signalled_below AND held > 0 THEN
        PERFORM pg_notify('promo_code_stock', counted.system_id);
    END IF;

    INSERT INTO loyalty.promo_code_pool_stock AS known (
        pool_system_id, counted_available, counted_at_take, signal_below, valid_until, counted_at, counted_ending
    )
    VALUES (
        stock.pool_system_id, stock.counted_available, stock.counted_at_take, stock.signal_below, stock.valid_until,
        stock.counted_at, stock.counted_ending
    )
    ON CONFLICT ON CONSTRAINT promo_code_pool_stock_pkey DO UPDATE
    SET counted_available = excluded.counted_available,
        counted_at_take = excluded.counted_at_take,
        signal_below = excluded.signal_below,
        valid_until = excluded.valid_until,
        counted_at = excluded.counted_at,
        counted_ending = excluded.counted_ending;
    RETURN stock;
END
$$;

CREATE FUNCTION loyalty.count_promo_code_take() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    pool record;
    take bigint;
    is_above boolean;
BEGIN
    SELECT number, multi_use INTO STRICT pool FROM loyalty.promo_code_pool WHERE system_id = NEW.pool_system_id;
    IF pool.multi_use THEN
        RETURN NULL;
    END IF;
    take := nextval(('loyalty.promo_code_take_' || pool.number)::regclass);
    -- Not in one statement with nextval: its snapshot would be older than the number.
    SELECT stock.counted_available - stock.counted_ending - (take - stock.counted_at_take) >= stock.signal_below
           AND stock.valid_until > clock_timestamp()
    INTO is_above
    FROM loyalty.promo_code_pool_stock AS stock
    WHERE stock.pool_system_id = NEW.pool_system_id;
    -- The snapshot of a repeatable read is always older.
    IF is_above IS NOT TRUE OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM pg_notify('promo_code_stock', NEW.pool_system_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.create_technical_products() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO loyalty.technical_product (pool_system_name, external_system, external_id, brand)
    SELECT system_name, product_external_system, product_external_id, brand
    FROM inserted;
    RETURN NULL;
END
$$;

CREATE TABLE loyalty.custom_field (
    name text NOT NULL COLLATE pg_catalog."C",
    type text NOT NULL,
    enum_values text[],
    CONSTRAINT custom_field_enum_values_check CHECK (((type = 'enum'::text) = (COALESCE(cardinality(enum_values), 0) > 0))),
    CONSTRAINT custom_field_type_check CHECK ((type = ANY (ARRAY['string'::text, 'boolean'::text, 'integer'::text, 'decimal'::text, 'date'::text, 'datetime'::text, 'enum'::text])))
);

CREATE FUNCTION loyalty.custom_field_condition(field loyalty.custom_field) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT format(
         CASE (field).type
             WHEN 'string'::text THEN 'coalesce(jsonb_typeof(%1$s) = ''string'' AND %1$s <> ''""'', true)'::text
             WHEN 'boolean'::text THEN 'coalesce(jsonb_typeof(%1$s) = ''boolean'', true)'::text
             WHEN 'integer'::text THEN 'CASE jsonb_typeof(%1$s)
                WHEN ''number'' THEN (%1$s)::numeric = trunc((%1$s)::numeric)
                    AND abs((%1$s)::numeric) < 9223372036854775808
                ELSE %1$s IS NULL END'::text
             WHEN 'decimal'::text THEN 'CASE jsonb_typeof(%1$s)
                WHEN ''number'' THEN (%1$s)::numeric = round((%1$s)::numeric, 2) AND abs((%1$s)::numeric) < 1e16
                ELSE %1$s IS NULL END'::text
             WHEN 'date'::text THEN 'CASE jsonb_typeof(%1$s)
                WHEN ''string'' THEN %2$s ~ ''^\d{4}-\d\d-\d\d$'' AND pg_input_is_valid(%2$s, ''date'')
                ELSE %1$s IS NULL END'::text
             WHEN 'datetime'::text THEN 'CASE jsonb_typeof(%1$s)
                WHEN ''string'' THEN %2$s ~ ''^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z$''
                    AND pg_input_is_valid(%2$s, ''timestamptz'')
                ELSE %1$s IS NULL END'::text
             WHEN 'enum'::text THEN 'coalesce(jsonb_typeof(%1$s) = ''string'' AND %2$s = ANY (%3$L), true)'::text
             ELSE NULL::text
         END, format('(custom_fields -> %L)'::text, (field).name), format('(custom_fields ->> %L)'::text, (field).name), (field).enum_values) AS format;
END;

CREATE FUNCTION loyalty.erase_customers() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    reference record;
BEGIN
    IF EXISTS (SELECT FROM deleted) THEN
        FOR reference IN SELECT * FROM loyalty.unenforced_references(NULL, TG_RELID) LOOP
            EXECUTE format(
                'DELETE FROM %s WHERE %I IN (SELECT id FROM deleted)', reference.child_table, reference.child_column);
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.gift_card_expiry(purchased_at timestamp with time zone, lifetime_years integer) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (((purchased_at AT TIME ZONE 'UTC'::text) + make_interval(years => lifetime_years)) AT TIME ZONE 'UTC'::text);

CREATE FUNCTION loyalty.guard_promo_code_format() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.generated > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format('%s of loyalty.promo_code_format refused: a format that has produced codes cannot change',
                             TG_OP),
            SCHEMA = 'loyalty',
            TABLE = 'promo_code_format';
    END IF;
    PERFORM loyalty.lock_promo_code_formats(is_alone => true);
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

CREATE FUNCTION loyalty.guard_promo_code_pool() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    refusal text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.first_code_at IS NOT NULL THEN
            refusal := 'it has codes';
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        refusal := CASE
            WHEN OLD.state = 'active' AND NEW.state <> 'active'
                THEN 'a launched pool stays launched'
            WHEN OLD.state = 'active' AND NEW.launched_at IS DISTINCT FROM OLD.launched_at
                THEN 'the time of the launch never changes'
            WHEN OLD.state = 'active' AND NEW.multi_use <> OLD.multi_use
                THEN 'multi_use is frozen by the launch'
            WHEN OLD.state = 'active' AND NEW.system_id <> OLD.system_id
                THEN 'system_id is frozen by the launch'
            WHEN OLD.first_code_at IS NOT NULL AND NEW.system_id <> OLD.system_id
                THEN 'system_id is frozen by the first code'
            WHEN OLD.first_code_at IS NOT NULL AND NEW.fill_method IS DISTINCT FROM OLD.fill_method
                THEN 'fill_method is frozen by the first code'
            WHEN OLD.first_code_at IS NOT NULL AND NEW.first_code_at IS DISTINCT FROM OLD.first_code_at
                THEN 'the time of the first code never changes'
            WHEN NEW.number <> OLD.number
                THEN 'the number of a pool never changes'
        END;
    END IF;
    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format('%s of loyalty.promo_code_pool refused: %s', TG_OP, refusal),
            SCHEMA = 'loyalty',
            TABLE = 'promo_code_pool';
    END IF;

    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.state = 'active' AND NEW.launched_at IS NULL THEN
        NEW.launched_at := now();
    END IF;
    IF TG_OP = 'UPDATE' AND NEW IS DISTINCT FROM OLD THEN
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END
$$;

CREATE PROCEDURE loyalty.guard_references()
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
DECLARE
    guarded record;
BEGIN
    FOR guarded IN
        SELECT DISTINCT child_table AS name
        FROM loyalty.unenforced_references(NULL, NULL)
        WHERE child_table NOT IN ('loyalty.gift_card'::regclass, 'loyalty.promo_code'::regclass)
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER check_references_of_new AFTER INSERT ON %s '
            'REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references()',
            guarded.name);
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER check_references_of_changed AFTER UPDATE ON %s '
            'REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references()',
            guarded.name);
    END LOOP;
    FOR guarded IN
        SELECT DISTINCT parent_table AS name, parent_column AS key
        FROM loyalty.unenforced_references(NULL, NULL)
        WHERE parent_table NOT IN (
            'loyalty.customer'::regclass, 'loyalty.gift_card_pool'::regclass, 'loyalty.promo_code_pool'::regclass)
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER refuse_delete_in_use AFTER DELETE ON %s '
            'REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use()',
            guarded.name);
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER refuse_key_change BEFORE UPDATE ON %s '
            'FOR EACH ROW WHEN (OLD.%2$I <> NEW.%2$I) '
            'EXECUTE FUNCTION loyalty.refuse_change(''%2$s never changes: other tables refer to it'')',
            guarded.name, guarded.key);
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change(''other tables may refer to its rows'')',
            guarded.name);
    END LOOP;
END
$_$;

CREATE FUNCTION loyalty.has_promo_code_stock_shrunk(pool text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
SELECT EXISTS (
    SELECT FROM loyalty.promo_code
    WHERE pool_system_id = pool
      AND (issued_at IS NOT NULL OR used_at IS NOT NULL)
) OR EXISTS (
    SELECT FROM loyalty.promo_code
    WHERE pool_system_id = pool
      AND issued_at IS NULL
      AND used_at IS NULL
      AND coalesce(least(issue_end, available_till), 'infinity') <= clock_timestamp()
)
$$;

CREATE FUNCTION loyalty.hold_customers() RETURNS void
    LANGUAGE sql
    RETURN pg_advisory_xact_lock_shared(7310589, 1);

COMMENT ON FUNCTION loyalty.hold_customers() IS 'Makes deletions of customers wait until this transaction ends.';

CREATE FUNCTION loyalty.is_over(row_xmax xid, snapshot pg_snapshot) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    is_several boolean;
BEGIN
    IF NOT loyalty.is_transaction_over(row_xmax, snapshot) THEN
        RETURN false;
    END IF;
    SELECT row_xmax <> 0 AND mxid_age(row_xmax) BETWEEN 1 AND mxid_age(datminmxid) INTO is_several
    FROM pg_database
    WHERE datname = current_database();
    RETURN NOT is_several OR NOT EXISTS (
        SELECT FROM pg_get_multixact_members(row_xmax) AS member
        WHERE member.mode <> 'keysh'                           -- of a foreign key: hinders nobody who takes the code
          AND NOT loyalty.is_transaction_over(member.xid, snapshot));
END
$$;

CREATE FUNCTION loyalty.is_transaction_over(row_xmax xid, snapshot pg_snapshot) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    epoch_size CONSTANT bigint := 4294967296;
    next_id bigint := pg_snapshot_xmax(snapshot)::text::bigint;
    id bigint := row_xmax::text::bigint + next_id / epoch_size * epoch_size;
BEGIN
    IF row_xmax = 0 THEN
        RETURN true;
    END IF;
    id := id + CASE WHEN id > next_id + epoch_size / 2 THEN -epoch_size
                    WHEN id < next_id - epoch_size / 2 THEN epoch_size
                    ELSE 0 END;
    IF id < pg_snapshot_xmin(snapshot)::text::bigint THEN
        RETURN true;
    ELSIF id >= next_id THEN
        RETURN false;
    END IF;
    RETURN pg_xact_status(id::text::xid8) = 'aborted';    -- knows savepoints, which the snapshot doesn't list
END
$$;

CREATE FUNCTION loyalty.issue_multi_use_promo_code(pool text, customer text, moment timestamp with time zone, OUT code text, OUT available_from timestamp with time zone, OUT available_till timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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
              AND coalesce(least(issued.issue_end, issued.available_till), 'infinity') > moment
              AND coalesce(issued.issue_start, '-infinity') <= moment
            ORDER BY coalesce(least(issued.issue_end, issued.available_till), 'infinity')
            LIMIT 1
        )
        UNION ALL
        (
            SELECT fresh.*
            FROM loyalty.promo_code AS fresh
            WHERE fresh.pool_system_id = issue_multi_use_promo_code.pool
              AND fresh.issued_at IS NULL
              AND fresh.used_at IS NULL
              AND coalesce(least(fresh.issue_end, fresh.available_till), 'infinity') > moment
              AND coalesce(fresh.issue_start, '-infinity') <= moment
            ORDER BY coalesce(least(fresh.issue_end, fresh.available_till), 'infinity'), coalesce(fresh.issue_start, '-infinity'),
                     coalesce(fresh.generation_id, fresh.import_job_id)
            LIMIT 1
        )
    ) AS candidate
    ORDER BY coalesce(least(candidate.issue_end, candidate.available_till), 'infinity'), candidate.issued_at NULLS LAST
    LIMIT 1;

    PERFORM loyalty.note_first_issue(issue_multi_use_promo_code.code, customer, moment);
END
$$;

CREATE FUNCTION loyalty.issue_promo_code(pool text, customer text, OUT result text, OUT code text, OUT available_from timestamp with time zone, OUT available_till timestamp with time zone) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    found_pool record;
    newest_batch bigint;
    has_shut_days boolean;
    first_end timestamptz := '-infinity';
    last_end timestamptz := 'infinity';
BEGIN
    SELECT state, multi_use, assigned_validity_days, first_code_at INTO found_pool
    FROM loyalty.promo_code_pool
    WHERE system_id = issue_promo_code.pool;
    IF NOT FOUND OR found_pool.state <> 'active' THEN
        result := CASE WHEN found_pool.state IS NULL THEN 'pool_not_found' ELSE 'not_active' END;
        RETURN;
    END IF;

    IF found_pool.multi_use THEN
        SELECT issued.code, issued.available_from, issued.available_till
        INTO code, available_from, available_till
        FROM loyalty.issue_multi_use_promo_code(issue_promo_code.pool, customer, moment) AS issued;
    ELSE
        SELECT max(known.batch),
               EXISTS (
                   SELECT FROM loyalty.promo_code_closing_day AS shut
                   WHERE shut.pool_system_id = issue_promo_code.pool
                     AND shut.day > moment - interval '24 hours'
                     AND shut.opens_at > moment)
        INTO newest_batch, has_shut_days
        FROM loyalty.promo_code_batch AS known
        WHERE known.pool_system_id = issue_promo_code.pool;

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
              AND coalesce(least(candidate.issue_end, candidate.available_till), 'infinity') > moment
              AND coalesce(least(candidate.issue_end, candidate.available_till), 'infinity') BETWEEN first_end AND last_end
              AND coalesce(candidate.issue_start, '-infinity') <= moment
              AND coalesce(candidate.generation_id, candidate.import_job_id) <= newest_batch
            ORDER BY coalesce(least(candidate.issue_end, candidate.available_till), 'infinity'),
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
                  least(taken.available_till, moment + make_interval(hours => 24 * found_pool.assigned_validity_days))
        INTO available_from, available_till;
    END IF;
    IF code IS NOT NULL THEN
        result := 'issued';
        RETURN;
    END IF;

    result := CASE
        WHEN found_pool.multi_use AND found_pool.first_code_at IS NOT NULL THEN 'outside_issue_window'
        WHEN found_pool.multi_use THEN 'no_available_codes'
        WHEN EXISTS (
            SELECT FROM loyalty.promo_code AS missed
            WHERE missed.pool_system_id = issue_promo_code.pool
              AND missed.issued_at IS NULL
              AND missed.used_at IS NULL
              AND coalesce(least(missed.issue_end, missed.available_till), 'infinity') <= moment
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
    IF NOT found_pool.multi_use THEN
        PERFORM pg_notify('promo_code_stock', issue_promo_code.pool)
        WHERE NOT EXISTS (
                SELECT FROM loyalty.promo_code_pool_stock AS stock
                WHERE stock.pool_system_id = issue_promo_code.pool
                  AND stock.valid_until > clock_timestamp())
           OR result = 'no_available_codes' AND loyalty.correct_promo_code_stock(issue_promo_code.pool);
    END IF;
END
$$;

CREATE FUNCTION loyalty.keep_promo_code_take_sequence() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        EXECUTE format('CREATE SEQUENCE loyalty.%I', 'promo_code_take_' || NEW.number);
        EXECUTE format('GRANT SELECT ON SEQUENCE loyalty.%I TO loyalty_importer, loyalty_pages',
                       'promo_code_take_' || NEW.number);
    ELSE
        EXECUTE format('DROP SEQUENCE loyalty.%I', 'promo_code_take_' || OLD.number);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.lock_custom_fields(is_alone boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF is_alone THEN
        PERFORM pg_advisory_xact_lock(7310589, 2);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7310589, 2);
    END IF;
END
$$;

CREATE FUNCTION loyalty.lock_promo_code_additions(is_alone boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF is_alone THEN
        PERFORM pg_advisory_xact_lock(7310587443);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7310587443);
    END IF;
END
$$;

CREATE FUNCTION loyalty.lock_promo_code_formats(is_alone boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = 'promo codes and their formats can be added at READ COMMITTED only: '
                'at other isolation levels the codes in a format''s space would be counted without the newest',
            SCHEMA = 'loyalty',
            TABLE = 'promo_code_format';
    END IF;
    IF is_alone THEN
        PERFORM pg_advisory_xact_lock(7310587442);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7310587442);
    END IF;
END
$$;

CREATE FUNCTION loyalty.lock_promo_code_generation(generation bigint, waits boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF NOT waits THEN
        RETURN pg_try_advisory_xact_lock(7310590, (generation % 2147483647)::integer);
    END IF;
    PERFORM pg_advisory_xact_lock(7310590, (generation % 2147483647)::integer);
    RETURN true;
END
$$;

CREATE FUNCTION loyalty.mark_promo_code_issued(code text, customer text, OUT result text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    moment timestamptz := clock_timestamp();
    found_pool record;
BEGIN
    SELECT pool.state, pool.multi_use INTO found_pool
    FROM loyalty.promo_code AS candidate
    JOIN loyalty.promo_code_pool AS pool ON pool.system_id = candidate.pool_system_id
    WHERE candidate.code = mark_promo_code_issued.code;
    IF NOT FOUND OR found_pool.state <> 'active' THEN
        result := CASE WHEN found_pool.state IS NULL THEN 'code_not_found' ELSE 'not_active' END;
        RETURN;
    END IF;

    IF NOT found_pool.multi_use THEN
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
        WHEN NOT found_pool.multi_use AND candidate.used_at IS NOT NULL THEN 'already_used'
        WHEN NOT found_pool.multi_use AND candidate.issued_at IS NOT NULL THEN 'already_issued'
        WHEN found_pool.multi_use
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

CREATE TABLE loyalty.promo_code (
    code text NOT NULL COLLATE pg_catalog."C",
    pool_system_id text CONSTRAINT promo_code_pool_system_id_not_null1 NOT NULL COLLATE pg_catalog."C",
    issue_start timestamp with time zone,
    issue_end timestamp with time zone,
    available_from timestamp with time zone,
    available_till timestamp with time zone,
    issued_at timestamp with time zone,
    issued_to text,
    used_at timestamp with time zone,
    used_by text,
    import_job_id bigint,
    import_line bigint,
    generation_id bigint,
    CONSTRAINT promo_code_available_window_check CHECK ((available_from < available_till)),
    CONSTRAINT promo_code_code_check CHECK ((code <> ''::text)),
    CONSTRAINT promo_code_issue_window_check CHECK ((issue_start < issue_end)),
    CONSTRAINT promo_code_origin_check CHECK (((import_job_id IS NULL) <> (generation_id IS NULL)))
);

COMMENT ON TABLE loyalty.promo_code IS 'Codes are never deleted; code, pool and origin never change, nor a time of issue or use once it is set.';

COMMENT ON COLUMN loyalty.promo_code.issue_start IS 'Windows are half-open [from, till) and NULL is open (PC-03). This one: when the code may be handed out.';

COMMENT ON COLUMN loyalty.promo_code.available_from IS 'When the code may be activated.';

COMMENT ON COLUMN loyalty.promo_code.issued_at IS 'The first time, in a pool of codes for multiple use.';

COMMENT ON COLUMN loyalty.promo_code.issued_to IS 'Opaque text of the system that hands codes out: no reference.';

COMMENT ON COLUMN loyalty.promo_code.used_at IS 'Stays NULL in a pool of codes for multiple use: loyalty.promo_code_use has their activations.';

COMMENT ON COLUMN loyalty.promo_code.import_job_id IS 'ledger.import_job that uploaded the code, or else generation_id, of ledger.promo_code_generation.';

CREATE FUNCTION loyalty.note_first_issue(code text, customer text, moment timestamp with time zone) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE loyalty.promo_code noted SET issued_at = note_first_issue.moment, issued_to = note_first_issue.customer
    FROM ( SELECT candidate.code
            FROM loyalty.promo_code candidate
           WHERE ((candidate.code = note_first_issue.code) AND (candidate.issued_at IS NULL))
          FOR NO KEY UPDATE OF candidate SKIP LOCKED) locked
   WHERE (noted.code = locked.code);
END;

CREATE FUNCTION loyalty.note_new_issue_window() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM loyalty.outdate_promo_code_stock(system_id)
    FROM loyalty.promo_code_pool
    WHERE system_id = NEW.pool_system_id
      AND NOT multi_use;
    PERFORM loyalty.note_promo_code_closing_day(
        NEW.pool_system_id, loyalty.promo_code_closing_day_of(NEW.issue_end, NEW.available_till),
        coalesce(NEW.issue_start, '-infinity'));
    RETURN NEW;
END
$$;

CREATE FUNCTION loyalty.note_new_levels() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM loyalty.outdate_promo_code_stock(NEW.system_id);
    RETURN NULL;
END
$$;

CREATE TABLE loyalty.promo_code_closing_day (
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    day timestamp with time zone NOT NULL,
    opens_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE loyalty.promo_code_closing_day IS 'Days on which issue windows of a pool close, infinity for never, and when the first of those opens; a day may stand here several times. issue_promo_code passes over days of which no window has opened.';

CREATE FUNCTION loyalty.note_promo_code_closing_day(pool text, day timestamp with time zone, opens_at timestamp with time zone) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO loyalty.promo_code_closing_day (pool_system_id, day, opens_at)  SELECT note_promo_code_closing_day.pool AS pool,
             note_promo_code_closing_day.day AS day,
             note_promo_code_closing_day.opens_at AS opens_at
           WHERE (NOT (EXISTS ( SELECT
                    FROM loyalty.promo_code_closing_day known
                   WHERE ((known.pool_system_id = note_promo_code_closing_day.pool) AND (known.day = note_promo_code_closing_day.day) AND (known.opens_at <= note_promo_code_closing_day.opens_at)))));
END;

CREATE FUNCTION loyalty.outdate_promo_code_stock(pool text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7310588, hashtext(outdate_promo_code_stock.pool));
    UPDATE loyalty.promo_code_pool_stock
    SET valid_until = counted_at
    WHERE pool_system_id = outdate_promo_code_stock.pool
      AND valid_until > counted_at;
    PERFORM pg_notify('promo_code_stock', outdate_promo_code_stock.pool);
END
$$;

CREATE FUNCTION loyalty.promo_code_closing_day_of(issue_end timestamp with time zone, available_till timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    RETURN COALESCE(date_bin('1 day'::interval, LEAST(issue_end, available_till), '2000-01-01 00:00:00+00'::timestamp with time zone), 'infinity'::timestamp with time zone);

CREATE TABLE loyalty.promo_code_format (
    name text NOT NULL COLLATE pg_catalog."C",
    alphabet text NOT NULL COLLATE pg_catalog."C",
    length integer NOT NULL,
    prefix text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    suffix text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    max_codes bigint,
    key_fingerprint bytea,
    next_index bigint DEFAULT 0 NOT NULL,
    generated bigint DEFAULT 0 NOT NULL,
    CONSTRAINT promo_code_format_alphabet_check CHECK ((alphabet <> ''::text)),
    CONSTRAINT promo_code_format_free_length_check CHECK ((length > (char_length(prefix) + char_length(suffix)))),
    CONSTRAINT promo_code_format_generated_check CHECK ((generated >= 0)),
    CONSTRAINT promo_code_format_length_check CHECK (((length >= 4) AND (length <= 64))),
    CONSTRAINT promo_code_format_max_codes_check CHECK ((max_codes > 0)),
    CONSTRAINT promo_code_format_next_index_check CHECK ((next_index >= 0))
);

COMMENT ON COLUMN loyalty.promo_code_format.length IS 'Of the whole code, prefix and suffix included.';

COMMENT ON COLUMN loyalty.promo_code_format.key_fingerprint IS 'Of the key whose permutation next_index walks (PG-03); NULL before the first code.';

COMMENT ON COLUMN loyalty.promo_code_format.next_index IS 'Counter of the permutation: the next index to turn into a code.';

COMMENT ON COLUMN loyalty.promo_code_format.generated IS 'Codes added by generation, of all pools and keys. Above 0 the format is locked (PP-03).';

CREATE FUNCTION loyalty.promo_code_format_condition(format loyalty.promo_code_format) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN format('char_length(code) = %s AND code ~ %L'::text, (format).length, format('^%s[%s]{%s}%s$'::text, regexp_replace((format).prefix, '(\W)'::text, '\\\1'::text, 'g'::text), regexp_replace((format).alphabet, '(\W)'::text, '\\\1'::text, 'g'::text), (((format).length - char_length((format).prefix)) - char_length((format).suffix)), regexp_replace((format).suffix, '(\W)'::text, '\\\1'::text, 'g'::text)));

CREATE FUNCTION loyalty.promo_code_generation_state(generation bigint, known_state text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION loyalty.record_gift_card_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    action text := coalesce(current_setting('loyalty.gift_card_action', true), '');
    is_as_purchased boolean := (NEW.purchased_at, NEW.point_of_contact, NEW.expires_at)
        IS NOT DISTINCT FROM (OLD.purchased_at, OLD.point_of_contact, OLD.expires_at);
    pool loyalty.gift_card_pool;
    product loyalty.technical_product;
    paid numeric;
    change text;
    refusal text;
BEGIN
    SELECT * INTO STRICT pool FROM loyalty.gift_card_pool WHERE system_name = OLD.pool_system_name;

    IF (NEW.card_number, NEW.pool_system_name, NEW.cvv_hash, NEW.import_job_id, NEW.import_line)
        IS DISTINCT FROM (OLD.card_number, OLD.pool_system_name, OLD.cvv_hash, OLD.import_job_id, OLD.import_line)
    THEN
        refusal := 'card number, pool, CVV hash and import of a gift card never change';
    ELSIF OLD.status = 'Inactive' AND NEW.status = 'CanBeUsed' AND NEW.balance = OLD.balance THEN
        change := 'sale';
        IF action <> 'sale' THEN
            refusal := 'a gift card is sold by loyalty.sell_gift_card';
        ELSIF NEW.purchased_at IS NULL OR NEW.point_of_contact IS NULL
            OR NEW.expires_at IS DISTINCT FROM loyalty.gift_card_expiry(NEW.purchased_at, pool.lifetime_years)
        THEN
            refusal := 'a sale sets purchase date, point of contact and the expiry of the pool''s lifetime';
        ELSIF NOT isfinite(NEW.purchased_at) OR NEW.purchased_at > clock_timestamp() THEN
            refusal := 'a gift card is not sold in the future';
        END IF;
    ELSIF OLD.status = 'CanBeUsed' AND NEW.status = 'CanBeUsed' AND NEW.balance < OLD.balance AND is_as_purchased THEN
        change := 'payment';
        IF action NOT LIKE 'payment %' OR NOT pg_input_is_valid(substr(action, length('payment ') + 1), 'numeric') THEN
            refusal := 'a gift card pays by loyalty.redeem_gift_card';
        ELSIF OLD.expires_at <= clock_timestamp() THEN
            refusal := 'an expired gift card pays no more';
        ELSIF NEW.balance > 0 AND NOT pool.supports_partial_redemption THEN
            refusal := 'a gift card of a pool without partial redemption pays once and keeps no balance';
        ELSE
            paid := substr(action, length('payment ') + 1)::numeric;
            IF pool.supports_partial_redemption AND paid <> OLD.balance - NEW.balance
                OR paid <= 0 OR paid > OLD.balance OR paid <> round(paid, 2)
            THEN
                refusal := 'the amount paid and the change of the balance differ';
            END IF;
        END IF;
    ELSIF OLD.status IN ('Inactive', 'CanBeUsed') AND NEW.status = 'Blocked'
        AND NEW.balance = OLD.balance AND is_as_purchased
    THEN
        change := 'block';
    ELSE
        refusal := 'a gift card can be sold while Inactive, pay while CanBeUsed, or be blocked, and nothing else';
    END IF;

    IF refusal IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = 'UPDATE of loyalty.gift_card refused: ' || refusal,
            SCHEMA = 'loyalty',
            TABLE = 'gift_card';
    END IF;

    IF change = 'sale' THEN
        PERFORM FROM loyalty.point_of_contact WHERE external_id = NEW.point_of_contact FOR KEY SHARE;
        IF NOT FOUND THEN
            PERFORM loyalty.refuse_missing(
                ARRAY[NEW.point_of_contact], '{}', 'gift_card_point_of_contact_fkey', 'point of contact');
        END IF;
    END IF;

    IF change IN ('sale', 'payment') THEN
        SELECT * INTO STRICT product FROM loyalty.technical_product WHERE pool_system_name = OLD.pool_system_name;
    END IF;
    INSERT INTO loyalty.gift_card_change (
        card_number, kind, paid, balance, status, point_of_contact, purchased_at, expires_at,
        product_external_system, product_external_id, brand)
    VALUES (
        OLD.card_number, change, paid, OLD.balance, OLD.status, OLD.point_of_contact, OLD.purchased_at, OLD.expires_at,
        product.external_system, product.external_id, product.brand);
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.redeem_gift_card(card_number text, amount numeric, cvv_hash bytea DEFAULT NULL::bytea, OUT result text, OUT paid numeric, OUT forfeited numeric, OUT balance numeric, OUT product_external_system text, OUT product_external_id text, OUT brand text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    card record;
    rest numeric;
BEGIN
    IF amount IS NULL OR amount <= 0 OR amount >= 'Infinity' OR amount <> round(amount, 2) THEN
        result := 'invalid_amount';
        RETURN;
    END IF;

    SELECT candidate.status, candidate.balance, candidate.cvv_hash, candidate.expires_at,
           pool.cvv_required, pool.supports_partial_redemption,
           product.external_system, product.external_id, product.brand
    INTO card
    FROM loyalty.gift_card AS candidate
    JOIN loyalty.gift_card_pool AS pool ON pool.system_name = candidate.pool_system_name
    JOIN loyalty.technical_product AS product ON product.pool_system_name = candidate.pool_system_name
    WHERE candidate.card_number = redeem_gift_card.card_number
    FOR NO KEY UPDATE OF candidate;

    IF NOT FOUND THEN
        result := 'not_found';
        RETURN;
    END IF;
    -- The CVV comes before everything that tells about the card.
    IF card.cvv_required AND redeem_gift_card.cvv_hash IS DISTINCT FROM card.cvv_hash OR
       card.cvv_required AND card.cvv_hash IS NULL
    THEN
        result := CASE WHEN redeem_gift_card.cvv_hash IS NULL THEN 'cvv_required' ELSE 'cvv_mismatch' END;
        RETURN;
    END IF;

    balance := card.balance;
    result := CASE
        WHEN card.status = 'Inactive' THEN 'inactive'
        WHEN card.status = 'Blocked' THEN 'blocked'
        WHEN card.expires_at <= clock_timestamp() THEN 'expired'
        WHEN card.balance < amount THEN 'insufficient_balance'
    END;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;

    rest := CASE WHEN card.supports_partial_redemption THEN card.balance - amount ELSE 0 END;
    PERFORM set_config('loyalty.gift_card_action', 'payment ' || amount, true);
    UPDATE loyalty.gift_card AS candidate
    SET balance = rest
    WHERE candidate.card_number = redeem_gift_card.card_number;
    PERFORM set_config('loyalty.gift_card_action', '', true);
    result := 'redeemed';
    paid := round(amount, 2);
    forfeited := card.balance - paid - rest;
    balance := rest;
    product_external_system := card.external_system;
    product_external_id := card.external_id;
    brand := card.brand;
END
$$;

CREATE FUNCTION loyalty.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = format('%s of %I.%I refused: %s', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_ARGV[0]),
        SCHEMA = TG_TABLE_SCHEMA,
        TABLE = TG_TABLE_NAME;
END
$$;

CREATE FUNCTION loyalty.refuse_custom_field_in_use() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    is_used boolean;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = 'custom fields can be changed at READ COMMITTED only: at other isolation levels the check for '
                'customers that have values of them would miss the newest',
            SCHEMA = 'loyalty',
            TABLE = 'custom_field';
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.name = OLD.name AND NEW.type = OLD.type THEN
        is_used := EXISTS (
            SELECT FROM loyalty.customer WHERE custom_fields ->> OLD.name <> ALL (NEW.enum_values));
    ELSE
        is_used := EXISTS (SELECT FROM loyalty.customer WHERE custom_fields ? OLD.name);
    END IF;
    IF is_used THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format('%s of loyalty.custom_field refused: customers have values of this field', TG_OP),
            SCHEMA = 'loyalty',
            TABLE = 'custom_field';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.refuse_delete_in_use() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    reference record;
    is_used boolean;
BEGIN
    IF NOT EXISTS (SELECT FROM deleted) THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'restrict_violation',
            MESSAGE = format(
                'rows of %I.%I can be deleted at READ COMMITTED only: '
                'at other isolation levels the check for rows that use them would miss the newest',
                TG_TABLE_SCHEMA, TG_TABLE_NAME),
            SCHEMA = TG_TABLE_SCHEMA,
            TABLE = TG_TABLE_NAME;
    END IF;
    FOR reference IN SELECT * FROM loyalty.unenforced_references(NULL, TG_RELID) LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %s WHERE %I IN (SELECT %I FROM deleted))',
            reference.child_table, reference.child_column, reference.parent_column)
        INTO is_used;
        IF is_used THEN
            RAISE EXCEPTION USING
                ERRCODE = 'foreign_key_violation',
                MESSAGE = format('a row of %I.%I that %s refers to cannot be deleted',
                    TG_TABLE_SCHEMA, TG_TABLE_NAME, reference.child_table),
                SCHEMA = TG_TABLE_SCHEMA,
                TABLE = (SELECT relname FROM pg_class WHERE oid = reference.child_table),
                CONSTRAINT = reference.name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.refuse_missing(wanted text[], held text[], constraint_name text, what text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    missing bigint;
BEGIN
    SELECT count(*) INTO missing FROM unnest(wanted) AS key WHERE key <> ALL (coalesce(held, '{}'));
    IF missing > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = format('gift cards refer to %s unknown %s value(s)', missing, what),
            SCHEMA = 'loyalty',
            TABLE = 'gift_card',
            CONSTRAINT = constraint_name;
    END IF;
END
$$;

CREATE FUNCTION loyalty.sell_gift_card(card_number text, purchased_at timestamp with time zone, point_of_contact text, OUT result text, OUT expires_at timestamp with time zone, OUT product_external_system text, OUT product_external_id text, OUT brand text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
DECLARE
    found_status text;
    expiry timestamptz;
    sold_system text;
    sold_id text;
    sold_brand text;
BEGIN
    result := CASE
        WHEN purchased_at IS NULL OR NOT isfinite(purchased_at) THEN 'purchase_date_required'
        WHEN purchased_at > clock_timestamp() THEN 'purchase_date_in_future'
        WHEN point_of_contact IS NULL THEN 'point_of_contact_required'
    END;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT card.status, loyalty.gift_card_expiry(sell_gift_card.purchased_at, pool.lifetime_years),
           product.external_system, product.external_id, product.brand
    INTO found_status, expiry, sold_system, sold_id, sold_brand
    FROM loyalty.gift_card AS card
    JOIN loyalty.gift_card_pool AS pool ON pool.system_name = card.pool_system_name
    JOIN loyalty.technical_product AS product ON product.pool_system_name = card.pool_system_name
    WHERE card.card_number = sell_gift_card.card_number
    FOR NO KEY UPDATE OF card;

    IF NOT FOUND THEN
        result := 'not_found';
    ELSIF found_status = 'CanBeUsed' THEN
        result := 'already_sold';
    ELSIF found_status = 'Blocked' THEN
        result := 'blocked';
    ELSE
        PERFORM FROM loyalty.point_of_contact
        WHERE external_id = sell_gift_card.point_of_contact
        FOR KEY SHARE;
        IF NOT FOUND THEN
            result := 'unknown_point_of_contact';
        END IF;
    END IF;
    IF result IS NOT NULL THEN
        RETURN;
    END IF;

    PERFORM set_config('loyalty.gift_card_action', 'sale', true);
    UPDATE loyalty.gift_card AS card
    SET status = 'CanBeUsed',
        purchased_at = sell_gift_card.purchased_at,
        point_of_contact = sell_gift_card.point_of_contact,
        expires_at = expiry
    WHERE card.card_number = sell_gift_card.card_number;
    PERFORM set_config('loyalty.gift_card_action', '', true);
    result := 'sold';
    expires_at := expiry;
    product_external_system := sold_system;
    product_external_id := sold_id;
    brand := sold_brand;
END
$$;

CREATE FUNCTION loyalty.settle_promo_code_generations(pool text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    found_id bigint;
BEGIN
    FOR found_id IN
        SELECT id
        FROM ledger.promo_code_generation
        WHERE state = 'running'
          AND (pool IS NULL OR pool_system_id = pool)
        ORDER BY id
    LOOP
        IF loyalty.lock_promo_code_generation(found_id, waits => false) THEN
            UPDATE ledger.promo_code_generation
            SET state = 'failed',
                finished_at = clock_timestamp(),
                refusal_rule = 'generation.interrupted',
                refusal_message = 'It was interrupted before its codes were written.'
            WHERE id = found_id
              AND state = 'running';
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION loyalty.signal_promo_code_pool() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_notify('promo_code_stock', NEW.system_id);
    RETURN NULL;
END
$$;

CREATE FUNCTION loyalty.unenforced_references(child regclass, parent regclass) RETURNS TABLE(name name, child_table regclass, child_column name, parent_table regclass, parent_column name)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT key.conname,
     (key.conrelid)::regclass AS conrelid,
     referring.attname,
     (key.confrelid)::regclass AS confrelid,
     referred.attname
    FROM ((pg_constraint key
      JOIN pg_attribute referring ON (((referring.attrelid = key.conrelid) AND (referring.attnum = key.conkey[1]))))
      JOIN pg_attribute referred ON (((referred.attrelid = key.confrelid) AND (referred.attnum = key.confkey[1]))))
   WHERE ((key.contype = 'f'::"char") AND (NOT key.conenforced) AND ((unenforced_references.child IS NULL) OR (key.conrelid = (unenforced_references.child)::oid)) AND ((unenforced_references.parent IS NULL) OR (key.confrelid = (unenforced_references.parent)::oid)))
   ORDER BY key.conname;
END;

CREATE TABLE ledger.customer_change (
    job_id bigint NOT NULL,
    line bigint NOT NULL,
    customer_id bigint NOT NULL,
    fields jsonb NOT NULL
);

COMMENT ON TABLE ledger.customer_change IS 'What each row that was counted as updated changed; creations stand on the customer. Goes with the customer.';

COMMENT ON COLUMN ledger.customer_change.fields IS 'Field → [before, after] of the job''s net change: columns of loyalty.customer, external_id.<system>, custom_field.<name>, subscription.<brand>[/<channel>[/<topic>]].';

CREATE TABLE ledger.customer_placeholder (
    job_id bigint NOT NULL,
    identifier text NOT NULL COLLATE pg_catalog."C",
    salt uuid NOT NULL,
    digest bytea NOT NULL
);

COMMENT ON TABLE ledger.customer_placeholder IS 'What a job judged a placeholder, or a job whose rows it corrects (CU-03): SHA-256 of a random salt and the value.';

CREATE TABLE ledger.dropped_value (
    job_id bigint NOT NULL,
    line bigint NOT NULL,
    field text NOT NULL,
    chunk_number integer NOT NULL,
    value text NOT NULL,
    rules text NOT NULL,
    reasons text NOT NULL
);

COMMENT ON TABLE ledger.dropped_value IS 'Invalid values that rows were loaded without (CU-14).';

CREATE TABLE ledger.import_chunk (
    job_id bigint NOT NULL,
    number integer NOT NULL,
    byte_start bigint NOT NULL,
    byte_end bigint NOT NULL,
    first_line bigint NOT NULL,
    rows_read bigint,
    rows_staged bigint,
    rows_rejected bigint,
    evidence jsonb
);

CREATE TABLE ledger.import_job (
    id bigint NOT NULL,
    run_key text NOT NULL,
    import_type text NOT NULL,
    action text,
    state text DEFAULT 'awaiting_execution'::text NOT NULL,
    launched_at timestamp with time zone DEFAULT now() NOT NULL,
    launched_by text NOT NULL,
    dag_id text,
    dag_run_id text,
    source_url text NOT NULL,
    source_version text NOT NULL,
    file_name text NOT NULL,
    arrived_at timestamp with time zone NOT NULL,
    size_bytes bigint,
    sha256 text,
    fingerprint text,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    settings jsonb DEFAULT '{}'::jsonb NOT NULL,
    inspection jsonb,
    mapping jsonb,
    is_dry_run boolean DEFAULT false NOT NULL,
    duplicate_of bigint,
    work_url text,
    archive_url text,
    rows_read bigint,
    rows_inserted bigint,
    rows_updated bigint,
    rows_unchanged bigint,
    rows_not_found bigint,
    rows_rejected bigint,
    warnings jsonb DEFAULT '[]'::jsonb NOT NULL,
    refusal_rule text,
    refusal_message text,
    rejected_file_url text,
    not_found_file_url text,
    summary_file_url text,
    evidence_file_url text,
    loaded_at timestamp with time zone,
    finished_at timestamp with time zone,
    dropped_values_file_url text,
    CONSTRAINT import_job_counts_check CHECK (((state <> ALL (ARRAY['completed'::text, 'completed_with_rejects'::text])) OR (rows_read = ((((rows_inserted + rows_updated) + rows_unchanged) + rows_not_found) + rows_rejected)))),
    CONSTRAINT import_job_state_check CHECK ((state = ANY (ARRAY['awaiting_execution'::text, 'running'::text, 'awaiting_review'::text, 'completed'::text, 'completed_with_rejects'::text, 'refused'::text, 'duplicate'::text, 'cancelled'::text, 'failed'::text])))
);

ALTER TABLE ledger.import_job ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.import_job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.import_job_parent (
    job_id bigint NOT NULL,
    parent_job_id bigint NOT NULL
);

CREATE TABLE ledger.import_review (
    job_id bigint NOT NULL,
    number integer NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    answers_until timestamp with time zone NOT NULL,
    form_sha256 text NOT NULL,
    reasons jsonb NOT NULL,
    counts jsonb,
    answered_at timestamp with time zone,
    answered_by text,
    answer text,
    mapping jsonb,
    problem text,
    CONSTRAINT import_review_answer_check CHECK ((answer = ANY (ARRAY['launch'::text, 'reject'::text, 'expired'::text, 'superseded'::text]))),
    CONSTRAINT import_review_answered_check CHECK (((answer IS NULL) = (answered_at IS NULL)))
);

COMMENT ON TABLE ledger.import_review IS 'Reviews before the launch (X-06): each question with its answer.';

CREATE TABLE ledger.job_rule (
    job_id bigint NOT NULL,
    rule text NOT NULL,
    severity text NOT NULL,
    rows bigint NOT NULL,
    first_lines bigint[] DEFAULT '{}'::bigint[] NOT NULL
);

CREATE TABLE ledger.not_found (
    job_id bigint NOT NULL,
    line bigint NOT NULL,
    chunk_number integer NOT NULL,
    byte_offset bigint NOT NULL,
    byte_length bigint NOT NULL,
    origin_job_id bigint,
    origin_line bigint
);

COMMENT ON TABLE ledger.not_found IS 'Rows that match nobody, of imports that create nobody (CU-01).';

CREATE TABLE ledger.promo_code_alert (
    id bigint NOT NULL,
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    raised_at timestamp with time zone DEFAULT now() NOT NULL,
    available bigint NOT NULL,
    level bigint,
    runs_out_at timestamp with time zone,
    sent_at timestamp with time zone,
    recovered_at timestamp with time zone,
    CONSTRAINT promo_code_alert_kind_check CHECK ((kind = ANY (ARRAY['low_stock'::text, 'format_exhausted'::text, 'runs_out_soon'::text])))
);

ALTER TABLE ledger.promo_code_alert ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.promo_code_alert_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.promo_code_generation (
    id bigint NOT NULL,
    run_key text NOT NULL,
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    format text COLLATE pg_catalog."C",
    requested bigint NOT NULL,
    auto_generate boolean,
    reason text NOT NULL,
    state text DEFAULT 'awaiting_execution'::text NOT NULL,
    generated bigint,
    added bigint,
    launched_by text NOT NULL,
    launched_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    refusal_rule text,
    refusal_message text,
    dag_id text,
    dag_run_id text,
    CONSTRAINT promo_code_generation_counts_check CHECK (((state <> 'completed'::text) OR ((generated IS NOT NULL) AND (added IS NOT NULL) AND (added <= generated)))),
    CONSTRAINT promo_code_generation_state_check CHECK ((state = ANY (ARRAY['awaiting_execution'::text, 'running'::text, 'completed'::text, 'refused'::text, 'failed'::text])))
);

COMMENT ON TABLE ledger.promo_code_generation IS 'Every generation that was asked for (PG-04).';

COMMENT ON COLUMN ledger.promo_code_generation.run_key IS 'What asked for it: DAG and run, or the command. A repetition is the same generation (PG-03).';

COMMENT ON COLUMN ledger.promo_code_generation.reason IS '`form`, `command line`, or why the top-up made it (TU-04).';

COMMENT ON COLUMN ledger.promo_code_generation.state IS 'As last recorded; loyalty.promo_code_pool_history shows a running one that was interrupted as failed.';

COMMENT ON COLUMN ledger.promo_code_generation.generated IS 'Indexes of the permutation that were walked.';

COMMENT ON COLUMN ledger.promo_code_generation.added IS 'Codes of them that were new.';

ALTER TABLE ledger.promo_code_generation ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.promo_code_generation_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.reject (
    job_id bigint NOT NULL,
    line bigint NOT NULL,
    chunk_number integer NOT NULL,
    byte_offset bigint NOT NULL,
    byte_length bigint NOT NULL,
    rules text NOT NULL,
    reasons text NOT NULL,
    origin_job_id bigint,
    origin_line bigint,
    fixed_by_job_id bigint
);

CREATE VIEW ledger.promo_code_pool_launch AS
 SELECT job.id AS job,
    job.state,
    job.launched_at,
    job.launched_by,
    job.dag_run_id,
    job.finished_at,
    COALESCE(reject.reasons, job.refusal_message) AS reason
   FROM (ledger.import_job job
     LEFT JOIN LATERAL ( SELECT reject_1.reasons
           FROM ledger.reject reject_1
          WHERE (reject_1.job_id = job.id)
          ORDER BY reject_1.line
         LIMIT 1) reject ON (true))
  WHERE (job.import_type = 'promo_code_pools'::text);

CREATE TABLE ledger.promo_code_upload (
    job_id bigint NOT NULL,
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    inserted bigint DEFAULT 0 NOT NULL,
    updated bigint DEFAULT 0 NOT NULL,
    unchanged bigint DEFAULT 0 NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL
);

COMMENT ON TABLE ledger.promo_code_upload IS 'What an import of codes did to each of its pools (PC-06).';

CREATE TABLE loyalty.action_template (
    system_name text NOT NULL COLLATE pg_catalog."C",
    category text NOT NULL
);

CREATE TABLE loyalty.brand (
    name text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE loyalty.customer (
    id bigint NOT NULL,
    email text COLLATE pg_catalog."C",
    is_email_confirmed boolean,
    mobile_phone text COLLATE pg_catalog."C",
    is_mobile_phone_confirmed boolean,
    discount_card text COLLATE pg_catalog."C",
    area text,
    last_name text,
    first_name text,
    middle_name text,
    full_name text,
    sex text COLLATE pg_catalog."C",
    birth_date date,
    custom_fields jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    import_job_id bigint,
    import_line bigint,
    CONSTRAINT customer_blank_check CHECK (((email <> ''::text) AND (discount_card <> ''::text) AND (area <> ''::text) AND (last_name <> ''::text) AND (first_name <> ''::text) AND (middle_name <> ''::text) AND (full_name <> ''::text))),
    CONSTRAINT customer_custom_fields_check CHECK ((jsonb_typeof(custom_fields) = 'object'::text)),
    CONSTRAINT customer_mobile_phone_check CHECK ((mobile_phone ~ '^[+][0-9]+$'::text)),
    CONSTRAINT customer_sex_check CHECK ((sex = ANY (ARRAY['male'::text, 'female'::text])))
);

COMMENT ON TABLE loyalty.customer IS 'DELETE at READ COMMITTED erases a person: external ids, subscriptions, memberships, actions and recorded changes go with the row (functions/customer_guards.sql).';

COMMENT ON COLUMN loyalty.customer.email IS 'As sent, but for the domain, which is an A-label. Found by lower(email): in collation "C" of ASCII alone (X-16).';

COMMENT ON COLUMN loyalty.customer.mobile_phone IS 'E.164.';

COMMENT ON COLUMN loyalty.customer.discount_card IS 'Identifies nobody (CU-02): several customers may have the same.';

COMMENT ON COLUMN loyalty.customer.full_name IS 'As given. Separate parts win: loyalty.customer_overview.display_name (CU-12).';

COMMENT ON COLUMN loyalty.customer.custom_fields IS 'Name in loyalty.custom_field → JSON value of its type: strings, enums, dates (yyyy-mm-dd) and date-times (yyyy-mm-ddThh:mm:ss[.ffffff]Z) as strings, integers and decimals as numbers. No nulls. A trigger enforces it.';

COMMENT ON COLUMN loyalty.customer.created_at IS 'When the creation happened, which a file may backdate.';

COMMENT ON COLUMN loyalty.customer.import_job_id IS 'ledger.import_job that created the customer, by row import_line.';

CREATE TABLE loyalty.customer_action (
    customer_id bigint NOT NULL,
    number bigint NOT NULL,
    kind text NOT NULL,
    action_template text NOT NULL COLLATE pg_catalog."C",
    data_source text NOT NULL COLLATE pg_catalog."C",
    point_of_contact text NOT NULL COLLATE pg_catalog."C",
    acted_at timestamp with time zone NOT NULL,
    job_id bigint,
    line bigint,
    CONSTRAINT customer_action_kind_check CHECK ((kind = ANY (ARRAY['creation'::text, 'edit'::text])))
);

COMMENT ON TABLE loyalty.customer_action IS 'Creations and edits that a "Personal action" template was named for (CU-10); never changed.';

COMMENT ON COLUMN loyalty.customer_action.acted_at IS 'A file may backdate it (CU-11).';

COMMENT ON COLUMN loyalty.customer_action.line IS 'Of the row, in the file of ledger.import_job job_id.';

ALTER TABLE loyalty.customer_action ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME loyalty.customer_action_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE loyalty.customer_external_id (
    system text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    customer_id bigint NOT NULL,
    CONSTRAINT customer_external_id_value_check CHECK ((value <> ''::text))
);

COMMENT ON TABLE loyalty.customer_external_id IS 'What other systems call a customer: one name a system.';

ALTER TABLE loyalty.customer ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME loyalty.customer_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE loyalty.customer_subscription (
    customer_id bigint NOT NULL,
    brand text NOT NULL COLLATE pg_catalog."C",
    channel text COLLATE pg_catalog."C",
    topic text COLLATE pg_catalog."C",
    is_subscribed boolean,
    changed_at timestamp with time zone NOT NULL,
    data_source text COLLATE pg_catalog."C",
    job_id bigint,
    CONSTRAINT customer_subscription_topic_check CHECK (((topic IS NULL) OR (channel IS NOT NULL)))
);

COMMENT ON TABLE loyalty.customer_subscription IS 'To a brand (channel NULL), narrowed by channel (topic NULL) and topic, with the last change (CU-06).';

COMMENT ON COLUMN loyalty.customer_subscription.is_subscribed IS 'NULL: the answer was erased.';

COMMENT ON COLUMN loyalty.customer_subscription.job_id IS 'ledger.import_job that made the last change.';

CREATE TABLE loyalty.segment (
    name text NOT NULL COLLATE pg_catalog."C",
    is_configured boolean NOT NULL
);

COMMENT ON COLUMN loyalty.segment.is_configured IS 'Named by project.yaml; false: created by an import.';

CREATE TABLE loyalty.segment_member (
    segment text NOT NULL COLLATE pg_catalog."C",
    customer_id bigint NOT NULL,
    added_at timestamp with time zone DEFAULT now() NOT NULL,
    job_id bigint
);

COMMENT ON COLUMN loyalty.segment_member.job_id IS 'ledger.import_job that added the member.';

CREATE VIEW loyalty.customer_overview AS
 SELECT id,
    COALESCE(NULLIF(concat_ws(' '::text, first_name, middle_name, last_name), ''::text), full_name) AS display_name,
    email,
    is_email_confirmed,
    mobile_phone,
    is_mobile_phone_confirmed,
    discount_card,
    area,
    last_name,
    first_name,
    middle_name,
    full_name,
    sex,
    birth_date,
    custom_fields,
    COALESCE(( SELECT jsonb_object_agg(external_id.system, external_id.value) AS jsonb_object_agg
           FROM loyalty.customer_external_id external_id
          WHERE (external_id.customer_id = customer.id)), '{}'::jsonb) AS external_ids,
    COALESCE(( SELECT jsonb_object_agg(concat_ws('/'::text, subscription.brand, subscription.channel, subscription.topic), subscription.is_subscribed) AS jsonb_object_agg
           FROM loyalty.customer_subscription subscription
          WHERE (subscription.customer_id = customer.id)), '{}'::jsonb) AS subscriptions,
    ARRAY( SELECT segment.name
           FROM (loyalty.segment
             JOIN loyalty.segment_member member ON ((member.segment = segment.name)))
          WHERE (member.customer_id = customer.id)
          ORDER BY segment.name) AS segments,
    created_at,
    import_job_id,
    import_line
   FROM loyalty.customer;

CREATE TABLE loyalty.data_source (
    name text NOT NULL COLLATE pg_catalog."C",
    point_of_contact text NOT NULL COLLATE pg_catalog."C",
    is_default boolean DEFAULT false NOT NULL
);

CREATE TABLE loyalty.external_identity (
    system_name text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE loyalty.external_identity IS 'Systems that name customers.';

CREATE TABLE loyalty.external_system (
    name text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE loyalty.external_system IS 'Owners of technical products.';

CREATE TABLE loyalty.gift_card (
    card_number text NOT NULL COLLATE pg_catalog."C",
    pool_system_name text CONSTRAINT gift_card_pool_system_name_not_null1 NOT NULL COLLATE pg_catalog."C",
    balance numeric(18,2) NOT NULL,
    cvv_hash bytea,
    point_of_contact text COLLATE pg_catalog."C",
    purchased_at timestamp with time zone,
    expires_at timestamp with time zone,
    status text DEFAULT 'Inactive'::text NOT NULL COLLATE pg_catalog."C",
    import_job_id bigint,
    import_line bigint,
    CONSTRAINT gift_card_balance_check CHECK (((balance >= (0)::numeric) AND (balance < 'NaN'::numeric))),
    CONSTRAINT gift_card_card_number_check CHECK ((card_number <> ''::text)),
    CONSTRAINT gift_card_cvv_hash_check CHECK ((octet_length(cvv_hash) = 32)),
    CONSTRAINT gift_card_expires_at_check CHECK (((expires_at IS NULL) OR ((purchased_at IS NOT NULL) AND (expires_at > purchased_at)))),
    CONSTRAINT gift_card_status_check CHECK ((status = ANY (ARRAY['CanBeUsed'::text, 'Inactive'::text, 'Blocked'::text])))
);

COMMENT ON TABLE loyalty.gift_card IS 'Cards change by sell_gift_card, redeem_gift_card and blocking alone, and are never deleted.';

COMMENT ON COLUMN loyalty.gift_card.cvv_hash IS 'HMAC-SHA-256(key, card number and CVV): include/warehouse/cvv.py.';

COMMENT ON COLUMN loyalty.gift_card.expires_at IS 'The first instant at which the card can pay no more.';

COMMENT ON COLUMN loyalty.gift_card.import_job_id IS 'ledger.import_job that inserted the card.';

CREATE TABLE loyalty.gift_card_change (
    card_number text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    paid numeric(18,2),
    balance numeric(18,2) NOT NULL,
    status text NOT NULL COLLATE pg_catalog."C",
    point_of_contact text COLLATE pg_catalog."C",
    purchased_at timestamp with time zone,
    expires_at timestamp with time zone,
    product_external_system text COLLATE pg_catalog."C",
    product_external_id text COLLATE pg_catalog."C",
    brand text COLLATE pg_catalog."C",
    CONSTRAINT gift_card_change_kind_check CHECK ((kind = ANY (ARRAY['sale'::text, 'payment'::text, 'block'::text]))),
    CONSTRAINT gift_card_change_paid_check CHECK (((kind = 'payment'::text) = (paid IS NOT NULL)))
);

COMMENT ON TABLE loyalty.gift_card_change IS 'What a card was before each of its changes, in the order of `number`; written by a trigger, never changed.';

COMMENT ON COLUMN loyalty.gift_card_change.paid IS 'Of a payment. In a pool without partial redemption the rest of the balance was forfeited.';

COMMENT ON COLUMN loyalty.gift_card_change.product_external_id IS 'Of the technical product that a sale or payment is booked by, with its external system and brand (GP-02). NULL of blocks, and of what was recorded before there were these columns: loyalty.technical_product has it.';

CREATE VIEW loyalty.gift_card_as_imported AS
 SELECT card.card_number,
    card.pool_system_name,
    card.cvv_hash,
        CASE
            WHEN (oldest.card_number IS NULL) THEN card.balance
            ELSE oldest.balance
        END AS balance,
        CASE
            WHEN (oldest.card_number IS NULL) THEN card.status
            ELSE oldest.status
        END AS status,
        CASE
            WHEN (oldest.card_number IS NULL) THEN card.point_of_contact
            ELSE oldest.point_of_contact
        END AS point_of_contact,
        CASE
            WHEN (oldest.card_number IS NULL) THEN card.purchased_at
            ELSE oldest.purchased_at
        END AS purchased_at,
        CASE
            WHEN (oldest.card_number IS NULL) THEN card.expires_at
            ELSE oldest.expires_at
        END AS expires_at,
    card.import_job_id,
    card.import_line
   FROM (loyalty.gift_card card
     LEFT JOIN LATERAL ( SELECT change.card_number,
            change.balance,
            change.status,
            change.point_of_contact,
            change.purchased_at,
            change.expires_at
           FROM loyalty.gift_card_change change
          WHERE (change.card_number = card.card_number)
          ORDER BY change.number
         LIMIT 1) oldest ON (true));

ALTER TABLE loyalty.gift_card_change ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME loyalty.gift_card_change_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE loyalty.gift_card_plain_number (
    card_number text NOT NULL COLLATE pg_catalog."C",
    plain_number text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE loyalty.gift_card_plain_number IS 'Cards whose number has blanks, dashes or small letters, with the number without them (PC-04a).';

CREATE TABLE loyalty.gift_card_pool (
    system_name text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    supports_arbitrary_value boolean NOT NULL,
    supports_partial_redemption boolean NOT NULL,
    product_external_id text NOT NULL COLLATE pg_catalog."C",
    product_external_system text NOT NULL COLLATE pg_catalog."C",
    brand text NOT NULL COLLATE pg_catalog."C",
    cvv_required boolean NOT NULL,
    card_value numeric(18,2),
    expiration_type text DEFAULT 'NoExpiration'::text NOT NULL,
    lifetime_years integer,
    import_job_id bigint,
    import_line bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    max_card_value numeric(18,2),
    CONSTRAINT gift_card_pool_card_value_check CHECK (
CASE
    WHEN supports_arbitrary_value THEN (card_value IS NULL)
    ELSE ((card_value IS NOT NULL) AND (card_value > (0)::numeric) AND (card_value < 'NaN'::numeric))
END),
    CONSTRAINT gift_card_pool_expiration_type_check CHECK ((expiration_type = ANY (ARRAY['NoExpiration'::text, 'Year'::text]))),
    CONSTRAINT gift_card_pool_lifetime_years_check CHECK (
CASE expiration_type
    WHEN 'Year'::text THEN ((lifetime_years IS NOT NULL) AND ((lifetime_years >= 1) AND (lifetime_years <= 10)))
    ELSE (lifetime_years IS NULL)
END),
    CONSTRAINT gift_card_pool_max_card_value_check CHECK (((max_card_value > (0)::numeric) AND (max_card_value < 'NaN'::numeric) AND ((card_value IS NULL) OR (card_value <= max_card_value)))),
    CONSTRAINT gift_card_pool_name_check CHECK ((name <> ''::text)),
    CONSTRAINT gift_card_pool_product_external_id_check CHECK ((product_external_id <> ''::text)),
    CONSTRAINT gift_card_pool_system_name_check CHECK ((system_name <> ''::text))
);

COMMENT ON TABLE loyalty.gift_card_pool IS 'Locked: a trigger refuses every UPDATE, DELETE and TRUNCATE. An insert makes the technical product.';

CREATE TABLE loyalty.technical_product (
    pool_system_name text NOT NULL COLLATE pg_catalog."C",
    external_system text NOT NULL COLLATE pg_catalog."C",
    external_id text NOT NULL COLLATE pg_catalog."C",
    brand text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE loyalty.technical_product IS 'Exactly one for each gift card pool, made with it by a trigger. Locked like the pool.';

CREATE VIEW loyalty.gift_card_pool_overview AS
 SELECT pool.system_name AS pool_system_name,
    pool.name AS pool_name,
    product.external_system AS product_external_system,
    product.external_id AS product_external_id,
    product.brand,
    COALESCE(cards.total, (0)::bigint) AS cards,
    COALESCE(cards.inactive, (0)::bigint) AS cards_inactive,
    COALESCE(cards.can_be_used, (0)::bigint) AS cards_can_be_used,
    COALESCE(cards.blocked, (0)::bigint) AS cards_blocked,
    COALESCE(cards.balance, 0.00) AS total_balance
   FROM ((loyalty.gift_card_pool pool
     JOIN loyalty.technical_product product ON ((product.pool_system_name = pool.system_name)))
     LEFT JOIN ( SELECT gift_card.pool_system_name,
            count(*) AS total,
            count(*) FILTER (WHERE (gift_card.status = 'Inactive'::text)) AS inactive,
            count(*) FILTER (WHERE (gift_card.status = 'CanBeUsed'::text)) AS can_be_used,
            count(*) FILTER (WHERE (gift_card.status = 'Blocked'::text)) AS blocked,
            sum(gift_card.balance) AS balance
           FROM loyalty.gift_card
          GROUP BY gift_card.pool_system_name) cards ON ((cards.pool_system_name = pool.system_name)));

CREATE TABLE loyalty.point_of_contact (
    external_id text NOT NULL COLLATE pg_catalog."C",
    brand text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE loyalty.promo_code_batch (
    pool_system_id text NOT NULL COLLATE pg_catalog."C",
    batch bigint NOT NULL
);

COMMENT ON TABLE loyalty.promo_code_batch IS 'Import jobs and generations with codes in a pool, committed with the codes: issue_promo_code looks no further than the newest one that it sees, instead of through all that a running generation has not committed yet.';

CREATE TABLE loyalty.promo_code_format_use (
    format text NOT NULL COLLATE pg_catalog."C",
    codes bigint NOT NULL,
    added_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT promo_code_format_use_codes_check CHECK ((codes > 0))
);

COMMENT ON TABLE loyalty.promo_code_format_use IS 'Codes of any origin in the space of a format, as parts that add up: writers never wait for each other.';

CREATE VIEW loyalty.promo_code_format_stock AS
 SELECT format.name,
    LEAST(space.codes, (format.max_codes)::numeric) AS capacity,
    format.generated,
    use.present,
    GREATEST((0)::numeric, LEAST(((format.max_codes - format.generated))::numeric, (space.codes - use.present))) AS available,
    loyalty.count_issuable_promo_codes(format.name) AS codes_issuable,
    (use.present / space.codes) AS guess_probability
   FROM ((loyalty.promo_code_format format
     CROSS JOIN LATERAL ( SELECT trunc(power((char_length(format.alphabet))::numeric, (((format.length - char_length(format.prefix)) - char_length(format.suffix)))::numeric)) AS codes) space)
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(part.codes), (0)::numeric) AS present
           FROM loyalty.promo_code_format_use part
          WHERE (part.format = format.name)) use);

CREATE TABLE loyalty.promo_code_look_alike (
    code text NOT NULL COLLATE pg_catalog."C",
    skeleton text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE loyalty.promo_code_look_alike IS 'What codes with characters beyond ASCII look like: their skeletons, made by include/importing/look_alikes.py (PC-04a).';

CREATE TABLE loyalty.promo_code_pool (
    system_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    name text NOT NULL,
    description text,
    campaign text,
    parameter_name text,
    fill_method text,
    format text COLLATE pg_catalog."C",
    quantity bigint,
    auto_generate boolean DEFAULT false NOT NULL,
    top_up_threshold bigint,
    notify_below bigint,
    lead_hours integer,
    issue_check boolean DEFAULT false NOT NULL,
    assigned_validity_days integer,
    processing text DEFAULT 'internal'::text NOT NULL,
    multi_use boolean DEFAULT false NOT NULL,
    state text DEFAULT 'draft'::text NOT NULL,
    launched_at timestamp with time zone,
    first_code_at timestamp with time zone,
    import_job_id bigint,
    import_line bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    code_pattern text,
    CONSTRAINT promo_code_pool_assigned_validity_days_check CHECK (((assigned_validity_days >= 1) AND (assigned_validity_days <= 36500))),
    CONSTRAINT promo_code_pool_auto_generate_quantity_check CHECK (((NOT auto_generate) OR (quantity IS NOT NULL))),
    CONSTRAINT promo_code_pool_code_pattern_check CHECK ((code_pattern <> ''::text)),
    CONSTRAINT promo_code_pool_description_check CHECK ((description <> ''::text)),
    CONSTRAINT promo_code_pool_fill_method_check CHECK ((fill_method = ANY (ARRAY['upload'::text, 'generate'::text]))),
    CONSTRAINT promo_code_pool_first_code_at_check CHECK (((first_code_at IS NULL) OR (fill_method IS NOT NULL))),
    CONSTRAINT promo_code_pool_issue_check_or_multi_use_check CHECK ((NOT (issue_check AND multi_use))),
    CONSTRAINT promo_code_pool_issue_check_validity_check CHECK (((NOT issue_check) OR (assigned_validity_days IS NOT NULL))),
    CONSTRAINT promo_code_pool_launch_check CHECK ((((state = 'active'::text) = (launched_at IS NOT NULL)) AND ((state = 'draft'::text) OR (description IS NOT NULL)))),
    CONSTRAINT promo_code_pool_lead_hours_check CHECK ((lead_hours > 0)),
    CONSTRAINT promo_code_pool_name_check CHECK ((name <> ''::text)),
    CONSTRAINT promo_code_pool_notify_below_check CHECK ((notify_below >= 0)),
    CONSTRAINT promo_code_pool_processing_check CHECK ((processing = ANY (ARRAY['internal'::text, 'external'::text]))),
    CONSTRAINT promo_code_pool_quantity_check CHECK ((quantity > 0)),
    CONSTRAINT promo_code_pool_state_check CHECK ((state = ANY (ARRAY['draft'::text, 'active'::text]))),
    CONSTRAINT promo_code_pool_system_id_check CHECK ((system_id <> ''::text)),
    CONSTRAINT promo_code_pool_top_up_threshold_check CHECK ((top_up_threshold >= 0))
);

COMMENT ON COLUMN loyalty.promo_code_pool.number IS 'Names the sequence of the pool''s takes, loyalty.promo_code_take_<number>, made and dropped with the pool.';

COMMENT ON COLUMN loyalty.promo_code_pool.quantity IS 'Codes of one generation.';

COMMENT ON COLUMN loyalty.promo_code_pool.top_up_threshold IS 'Topped up below this many available codes; 0: never; NULL: notify_below, else 1 (TU-01).';

COMMENT ON COLUMN loyalty.promo_code_pool.notify_below IS 'Staff are told when fewer are available; NULL: never.';

COMMENT ON COLUMN loyalty.promo_code_pool.lead_hours IS 'Topped up, or announced, when the predicted run-out is this near (TU-05).';

COMMENT ON COLUMN loyalty.promo_code_pool.launched_at IS 'Set by a trigger with the state active.';

COMMENT ON COLUMN loyalty.promo_code_pool.first_code_at IS 'Set by a trigger with the first code: from then on fill_method is frozen (PP-02).';

COMMENT ON COLUMN loyalty.promo_code_pool.code_pattern IS 'Regular expression of RE2 that uploaded codes match as a whole (PC-04a).';

CREATE VIEW loyalty.promo_code_pool_history AS
 SELECT generation.pool_system_id,
    'generation'::text AS kind,
    generation.id AS number,
        CASE generation.state
            WHEN 'running'::text THEN loyalty.promo_code_generation_state(generation.id, generation.state)
            ELSE generation.state
        END AS state,
    generation.launched_at,
    generation.launched_by,
    generation.requested,
    generation.added,
    NULL::bigint AS updated,
    NULL::bigint AS unchanged,
    NULL::bigint AS rejected,
    generation.reason,
    generation.refusal_message,
    generation.finished_at
   FROM ledger.promo_code_generation generation
UNION ALL
 SELECT COALESCE(upload.pool_system_id, (job.settings ->> 'pool'::text)) AS pool_system_id,
    'upload'::text AS kind,
    job.id AS number,
    job.state,
    job.launched_at,
    job.launched_by,
    NULL::bigint AS requested,
    upload.inserted AS added,
    upload.updated,
    upload.unchanged,
    upload.rejected,
    job.file_name AS reason,
    job.refusal_message,
    job.finished_at
   FROM (ledger.import_job job
     LEFT JOIN ledger.promo_code_upload upload ON ((upload.job_id = job.id)))
  WHERE ((job.import_type = 'promo_codes'::text) AND (NOT job.is_dry_run) AND ((upload.job_id IS NOT NULL) OR ((job.settings ->> 'pool'::text) IS NOT NULL)));

ALTER TABLE loyalty.promo_code_pool ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME loyalty.promo_code_pool_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE loyalty.promo_code_use (
    code text NOT NULL COLLATE pg_catalog."C",
    number bigint NOT NULL,
    customer text,
    used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE loyalty.promo_code_use IS 'Activations of codes for multiple use, one row each; never changed.';

CREATE VIEW loyalty.promo_code_state AS
 SELECT pool_system_id,
    issue_start,
    issue_end,
    available_till,
    issued_at,
    used_at,
    (EXISTS ( SELECT
           FROM loyalty.promo_code_use use
          WHERE (use.code = code.code))) AS is_reused
   FROM loyalty.promo_code code;

CREATE VIEW loyalty.promo_code_stock AS
 SELECT pool.system_id AS pool_system_id,
    pool.name AS pool_name,
    pool.state,
    pool.fill_method,
    pool.format,
    pool.quantity,
    pool.auto_generate,
    pool.multi_use,
    pool.top_up_threshold,
    pool.notify_below,
    pool.lead_hours,
    COALESCE(pool.top_up_threshold, pool.notify_below) AS threshold,
    count.available,
    count.scheduled,
    count.issued,
    count.used,
    count.expired,
    count.daily_consumption,
        CASE
            WHEN ((NOT pool.multi_use) AND (count.daily_consumption > (0)::numeric) AND (((count.available)::numeric / count.daily_consumption) <= (36500)::numeric)) THEN (now() + make_interval(secs => ((((count.available)::numeric / count.daily_consumption) * (86400)::numeric))::double precision))
            ELSE NULL::timestamp with time zone
        END AS runs_out_at
   FROM (((((loyalty.promo_code_pool pool
     CROSS JOIN LATERAL ( SELECT count(*) FILTER (WHERE (COALESCE(LEAST(code.issue_end, code.available_till), 'infinity'::timestamp with time zone) > now())) AS available,
            count(*) FILTER (WHERE (code.issue_start > now())) AS scheduled,
            count(*) FILTER (WHERE (LEAST(code.issue_end, code.available_till) <= now())) AS expired
           FROM loyalty.promo_code code
          WHERE ((code.pool_system_id = pool.system_id) AND (code.issued_at IS NULL) AND (code.used_at IS NULL))) stock)
     CROSS JOIN LATERAL ( SELECT count(*) FILTER (WHERE (pool.multi_use AND (COALESCE(LEAST(code.issue_end, code.available_till), 'infinity'::timestamp with time zone) > now()))) AS available,
            count(*) FILTER (WHERE (pool.multi_use AND (code.issue_start > now()))) AS scheduled,
            count(code.issued_at) AS issued,
            count(code.used_at) AS used
           FROM loyalty.promo_code code
          WHERE ((code.pool_system_id = pool.system_id) AND ((code.issued_at IS NOT NULL) OR (code.used_at IS NOT NULL)))) taken)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN pool.multi_use THEN ( SELECT count(*) AS count
                       FROM loyalty.promo_code code
                      WHERE ((code.pool_system_id = pool.system_id) AND (EXISTS ( SELECT
                               FROM loyalty.promo_code_use use
                              WHERE (use.code = code.code)))))
                    ELSE (0)::bigint
                END AS used) multi)
     CROSS JOIN LATERAL ( SELECT ( SELECT (EXTRACT(epoch FROM (now() - min(COALESCE(code.issued_at, code.used_at)))) / (86400)::numeric)
                   FROM loyalty.promo_code code
                  WHERE ((code.pool_system_id = pool.system_id) AND ((code.issued_at IS NOT NULL) OR (code.used_at IS NOT NULL)))) AS days,
            ( SELECT count(*) AS count
                   FROM loyalty.promo_code code
                  WHERE ((code.pool_system_id = pool.system_id) AND ((code.issued_at IS NOT NULL) OR (code.used_at IS NOT NULL)) AND (COALESCE(code.issued_at, code.used_at) > (now() - make_interval(hours => (14 * 24)))))) AS takes) history)
     CROSS JOIN LATERAL ( SELECT (stock.available + taken.available) AS available,
            (stock.scheduled + taken.scheduled) AS scheduled,
            taken.issued,
            (taken.used + multi.used) AS used,
            stock.expired,
                CASE
                    WHEN (history.days >= (3)::numeric) THEN ((history.takes)::numeric / LEAST(history.days, (14)::numeric))
                    ELSE NULL::numeric
                END AS daily_consumption) count);

CREATE SEQUENCE loyalty.promo_code_take_1
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE SEQUENCE loyalty.promo_code_take_2
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE SEQUENCE loyalty.promo_code_take_3
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE SEQUENCE loyalty.promo_code_take_4
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE loyalty.promo_code_use ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME loyalty.promo_code_use_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW loyalty.segment_overview AS
SELECT
    NULL::text COLLATE pg_catalog."C" AS segment,
    NULL::boolean AS is_configured,
    NULL::bigint AS members,
    NULL::timestamp with time zone AS last_added_at;

CREATE TABLE loyalty.subscription_channel (
    name text NOT NULL COLLATE pg_catalog."C"
);

CREATE VIEW loyalty.subscription_overview AS
 SELECT brand,
    channel,
    topic,
    count(*) FILTER (WHERE is_subscribed) AS subscribed,
    count(*) FILTER (WHERE (NOT is_subscribed)) AS unsubscribed,
    count(*) FILTER (WHERE (is_subscribed IS NULL)) AS erased,
    max(changed_at) AS last_changed_at
   FROM loyalty.customer_subscription
  GROUP BY brand, channel, topic;

CREATE TABLE loyalty.subscription_topic (
    name text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);

GRANT USAGE ON SCHEMA ledger TO loyalty_importer;
GRANT USAGE ON SCHEMA ledger TO loyalty_pages;

GRANT USAGE ON SCHEMA loyalty TO loyalty_importer;
GRANT USAGE ON SCHEMA loyalty TO loyalty_pages;
GRANT USAGE ON SCHEMA loyalty TO loyalty_shop;

GRANT ALL ON SCHEMA staging TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.activate_promo_code(code text, customer text, OUT result text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.activate_promo_code(code text, customer text, OUT result text) TO loyalty_shop;

REVOKE ALL ON FUNCTION loyalty.begin_custom_field_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.begin_customer_delete() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.block_gift_card(card_number text, OUT result text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.block_gift_card(card_number text, OUT result text) TO loyalty_shop;

REVOKE ALL ON FUNCTION loyalty.check_custom_fields() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.check_gift_card_references() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.check_promo_codes_added() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.check_references() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.correct_promo_code_stock(pool text) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.count_issuable_promo_codes(format text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.count_issuable_promo_codes(format text) TO loyalty_importer;
GRANT ALL ON FUNCTION loyalty.count_issuable_promo_codes(format text) TO loyalty_pages;

REVOKE ALL ON FUNCTION loyalty.count_promo_code_format_use() FROM PUBLIC;

GRANT SELECT ON TABLE loyalty.promo_code_pool_stock TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_pool_stock TO loyalty_pages;

REVOKE ALL ON FUNCTION loyalty.count_promo_code_pool(pool text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.count_promo_code_pool(pool text) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.count_promo_code_take() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.create_technical_products() FROM PUBLIC;

GRANT SELECT ON TABLE loyalty.custom_field TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.custom_field TO loyalty_pages;

REVOKE ALL ON FUNCTION loyalty.custom_field_condition(field loyalty.custom_field) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.erase_customers() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.gift_card_expiry(purchased_at timestamp with time zone, lifetime_years integer) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.gift_card_expiry(purchased_at timestamp with time zone, lifetime_years integer) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.guard_promo_code_format() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.guard_promo_code_pool() FROM PUBLIC;

REVOKE ALL ON PROCEDURE loyalty.guard_references() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.has_promo_code_stock_shrunk(pool text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.has_promo_code_stock_shrunk(pool text) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.hold_customers() FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.hold_customers() TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.is_over(row_xmax xid, snapshot pg_snapshot) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.is_transaction_over(row_xmax xid, snapshot pg_snapshot) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.issue_multi_use_promo_code(pool text, customer text, moment timestamp with time zone, OUT code text, OUT available_from timestamp with time zone, OUT available_till timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.issue_promo_code(pool text, customer text, OUT result text, OUT code text, OUT available_from timestamp with time zone, OUT available_till timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.issue_promo_code(pool text, customer text, OUT result text, OUT code text, OUT available_from timestamp with time zone, OUT available_till timestamp with time zone) TO loyalty_shop;

REVOKE ALL ON FUNCTION loyalty.keep_promo_code_take_sequence() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.lock_custom_fields(is_alone boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.lock_promo_code_additions(is_alone boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.lock_promo_code_additions(is_alone boolean) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.lock_promo_code_formats(is_alone boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.lock_promo_code_generation(generation bigint, waits boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.lock_promo_code_generation(generation bigint, waits boolean) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.mark_promo_code_issued(code text, customer text, OUT result text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.mark_promo_code_issued(code text, customer text, OUT result text) TO loyalty_shop;

GRANT SELECT ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(code) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(pool_system_id) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(issue_start),UPDATE(issue_start) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(issue_end),UPDATE(issue_end) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(available_from),UPDATE(available_from) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(available_till),UPDATE(available_till) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(import_job_id) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(import_line) ON TABLE loyalty.promo_code TO loyalty_importer;

GRANT INSERT(generation_id) ON TABLE loyalty.promo_code TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.note_first_issue(code text, customer text, moment timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.note_new_issue_window() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.note_new_levels() FROM PUBLIC;

GRANT SELECT ON TABLE loyalty.promo_code_closing_day TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.note_promo_code_closing_day(pool text, day timestamp with time zone, opens_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.outdate_promo_code_stock(pool text) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.promo_code_closing_day_of(issue_end timestamp with time zone, available_till timestamp with time zone) FROM PUBLIC;

GRANT SELECT ON TABLE loyalty.promo_code_format TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_format TO loyalty_pages;

GRANT UPDATE(key_fingerprint) ON TABLE loyalty.promo_code_format TO loyalty_importer;

GRANT UPDATE(next_index) ON TABLE loyalty.promo_code_format TO loyalty_importer;

GRANT UPDATE(generated) ON TABLE loyalty.promo_code_format TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.promo_code_format_condition(format loyalty.promo_code_format) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.promo_code_generation_state(generation bigint, known_state text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.promo_code_generation_state(generation bigint, known_state text) TO loyalty_importer;
GRANT ALL ON FUNCTION loyalty.promo_code_generation_state(generation bigint, known_state text) TO loyalty_pages;

REVOKE ALL ON FUNCTION loyalty.record_gift_card_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.redeem_gift_card(card_number text, amount numeric, cvv_hash bytea, OUT result text, OUT paid numeric, OUT forfeited numeric, OUT balance numeric, OUT product_external_system text, OUT product_external_id text, OUT brand text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.redeem_gift_card(card_number text, amount numeric, cvv_hash bytea, OUT result text, OUT paid numeric, OUT forfeited numeric, OUT balance numeric, OUT product_external_system text, OUT product_external_id text, OUT brand text) TO loyalty_shop;

REVOKE ALL ON FUNCTION loyalty.refuse_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.refuse_custom_field_in_use() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.refuse_delete_in_use() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.refuse_missing(wanted text[], held text[], constraint_name text, what text) FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.sell_gift_card(card_number text, purchased_at timestamp with time zone, point_of_contact text, OUT result text, OUT expires_at timestamp with time zone, OUT product_external_system text, OUT product_external_id text, OUT brand text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.sell_gift_card(card_number text, purchased_at timestamp with time zone, point_of_contact text, OUT result text, OUT expires_at timestamp with time zone, OUT product_external_system text, OUT product_external_id text, OUT brand text) TO loyalty_shop;

REVOKE ALL ON FUNCTION loyalty.settle_promo_code_generations(pool text) FROM PUBLIC;
GRANT ALL ON FUNCTION loyalty.settle_promo_code_generations(pool text) TO loyalty_importer;

REVOKE ALL ON FUNCTION loyalty.signal_promo_code_pool() FROM PUBLIC;

REVOKE ALL ON FUNCTION loyalty.unenforced_references(child regclass, parent regclass) FROM PUBLIC;

GRANT SELECT,INSERT ON TABLE ledger.customer_change TO loyalty_importer;

GRANT SELECT,INSERT ON TABLE ledger.customer_placeholder TO loyalty_importer;

GRANT SELECT,INSERT,DELETE ON TABLE ledger.dropped_value TO loyalty_importer;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.import_chunk TO loyalty_importer;
GRANT SELECT ON TABLE ledger.import_chunk TO loyalty_pages;

GRANT SELECT,INSERT,UPDATE ON TABLE ledger.import_job TO loyalty_importer;
GRANT SELECT ON TABLE ledger.import_job TO loyalty_pages;

GRANT SELECT,INSERT ON TABLE ledger.import_job_parent TO loyalty_importer;
GRANT SELECT ON TABLE ledger.import_job_parent TO loyalty_pages;

GRANT SELECT,INSERT,UPDATE ON TABLE ledger.import_review TO loyalty_importer;
GRANT SELECT ON TABLE ledger.import_review TO loyalty_pages;

GRANT SELECT,INSERT,DELETE ON TABLE ledger.job_rule TO loyalty_importer;
GRANT SELECT ON TABLE ledger.job_rule TO loyalty_pages;

GRANT SELECT,INSERT,DELETE ON TABLE ledger.not_found TO loyalty_importer;

GRANT SELECT,INSERT,UPDATE ON TABLE ledger.promo_code_alert TO loyalty_importer;
GRANT SELECT ON TABLE ledger.promo_code_alert TO loyalty_pages;

GRANT SELECT,INSERT,UPDATE ON TABLE ledger.promo_code_generation TO loyalty_importer;
GRANT SELECT ON TABLE ledger.promo_code_generation TO loyalty_pages;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.reject TO loyalty_importer;

GRANT SELECT(job_id) ON TABLE ledger.reject TO loyalty_pages;

GRANT SELECT(line) ON TABLE ledger.reject TO loyalty_pages;

GRANT SELECT(rules) ON TABLE ledger.reject TO loyalty_pages;

GRANT SELECT(fixed_by_job_id) ON TABLE ledger.reject TO loyalty_pages;

GRANT SELECT ON TABLE ledger.promo_code_pool_launch TO loyalty_importer;
GRANT SELECT ON TABLE ledger.promo_code_pool_launch TO loyalty_pages;

GRANT SELECT,INSERT ON TABLE ledger.promo_code_upload TO loyalty_importer;
GRANT SELECT ON TABLE ledger.promo_code_upload TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.action_template TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.action_template TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.brand TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.brand TO loyalty_pages;

GRANT SELECT,INSERT,UPDATE ON TABLE loyalty.customer TO loyalty_importer;

GRANT SELECT,INSERT ON TABLE loyalty.customer_action TO loyalty_importer;

GRANT SELECT,INSERT,DELETE ON TABLE loyalty.customer_external_id TO loyalty_importer;

GRANT USAGE ON SEQUENCE loyalty.customer_id_seq TO loyalty_importer;

GRANT SELECT,INSERT,UPDATE ON TABLE loyalty.customer_subscription TO loyalty_importer;

GRANT SELECT,INSERT ON TABLE loyalty.segment TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.segment TO loyalty_pages;

GRANT SELECT,INSERT ON TABLE loyalty.segment_member TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.customer_overview TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.data_source TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.data_source TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.external_identity TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.external_identity TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.external_system TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.external_system TO loyalty_pages;

GRANT SELECT,INSERT ON TABLE loyalty.gift_card TO loyalty_importer;

GRANT SELECT(pool_system_name) ON TABLE loyalty.gift_card TO loyalty_pages;

GRANT SELECT(balance) ON TABLE loyalty.gift_card TO loyalty_pages;

GRANT SELECT(status) ON TABLE loyalty.gift_card TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.gift_card_change TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.gift_card_as_imported TO loyalty_importer;

GRANT SELECT,INSERT ON TABLE loyalty.gift_card_plain_number TO loyalty_importer;

GRANT SELECT,INSERT ON TABLE loyalty.gift_card_pool TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.gift_card_pool TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.technical_product TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.technical_product TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.gift_card_pool_overview TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.gift_card_pool_overview TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.point_of_contact TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.point_of_contact TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.promo_code_batch TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.promo_code_format_use TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_format_use TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.promo_code_format_stock TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_format_stock TO loyalty_pages;

GRANT SELECT,INSERT ON TABLE loyalty.promo_code_look_alike TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.promo_code_pool TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_pool TO loyalty_pages;

GRANT INSERT(system_id) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(name),UPDATE(name) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(description),UPDATE(description) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(campaign),UPDATE(campaign) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(parameter_name),UPDATE(parameter_name) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(fill_method),UPDATE(fill_method) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(format),UPDATE(format) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(quantity),UPDATE(quantity) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(auto_generate),UPDATE(auto_generate) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(top_up_threshold),UPDATE(top_up_threshold) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(notify_below),UPDATE(notify_below) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(lead_hours),UPDATE(lead_hours) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(issue_check),UPDATE(issue_check) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(assigned_validity_days),UPDATE(assigned_validity_days) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(processing),UPDATE(processing) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(multi_use),UPDATE(multi_use) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(state),UPDATE(state) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(import_job_id) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(import_line) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT UPDATE(updated_at) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT INSERT(code_pattern),UPDATE(code_pattern) ON TABLE loyalty.promo_code_pool TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.promo_code_pool_history TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_pool_history TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.promo_code_use TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.promo_code_state TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_state TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.promo_code_stock TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.promo_code_stock TO loyalty_pages;

GRANT SELECT ON SEQUENCE loyalty.promo_code_take_1 TO loyalty_importer;
GRANT SELECT ON SEQUENCE loyalty.promo_code_take_1 TO loyalty_pages;

GRANT SELECT ON SEQUENCE loyalty.promo_code_take_2 TO loyalty_importer;
GRANT SELECT ON SEQUENCE loyalty.promo_code_take_2 TO loyalty_pages;

GRANT SELECT ON SEQUENCE loyalty.promo_code_take_3 TO loyalty_importer;
GRANT SELECT ON SEQUENCE loyalty.promo_code_take_3 TO loyalty_pages;

GRANT SELECT ON SEQUENCE loyalty.promo_code_take_4 TO loyalty_importer;
GRANT SELECT ON SEQUENCE loyalty.promo_code_take_4 TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.segment_overview TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.subscription_channel TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.subscription_channel TO loyalty_pages;

GRANT SELECT ON TABLE loyalty.subscription_overview TO loyalty_importer;

GRANT SELECT ON TABLE loyalty.subscription_topic TO loyalty_importer;
GRANT SELECT ON TABLE loyalty.subscription_topic TO loyalty_pages;
