-- After: refuse_change
-- How many codes are in the space of each format, of any origin, and the lock of formats that have produced codes.
-- Source: PG-02, PP-03.
--
-- Loads append their counts (promo_code_references.sql) and hold the lock of the formats' definitions, shared, until
-- they end. A new or changed format takes it alone, which waits for running loads, and then counts its space again: a
-- load that began earlier could not know it. Only READ COMMITTED sees what was committed during that wait.
CREATE OR REPLACE FUNCTION loyalty.lock_promo_code_formats(is_alone boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
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

-- A condition on a column `code`, as SQL: prefix, suffix, length, and nothing but the alphabet in between. The primary
-- key finds the prefix.
CREATE OR REPLACE FUNCTION loyalty.promo_code_format_condition(format loyalty.promo_code_format) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN format(
    'char_length(code) = %s AND code ~ %L',
    format.length,
    format('^%s[%s]{%s}%s$',
           regexp_replace(format.prefix, '(\W)', '\\\1', 'g'),
           regexp_replace(format.alphabet, '(\W)', '\\\1', 'g'),
           format.length - char_length(format.prefix) - char_length(format.suffix),
           regexp_replace(format.suffix, '(\W)', '\\\1', 'g')));

-- Of a format of the project, by its name: a caller who could give a space of its own would find out codes by counting.
CREATE OR REPLACE FUNCTION loyalty.count_issuable_promo_codes(format text) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    condition text;
    issuable bigint;
BEGIN
    SELECT loyalty.promo_code_format_condition(stored) INTO STRICT condition
    FROM loyalty.promo_code_format AS stored
    WHERE stored.name = count_issuable_promo_codes.format;
    EXECUTE 'SELECT count(*) FROM loyalty.promo_code WHERE issued_at IS NULL AND used_at IS NULL AND ' || condition
    INTO issuable;
    RETURN issuable;
END
$$;

CREATE OR REPLACE FUNCTION loyalty.guard_promo_code_format() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE FUNCTION loyalty.count_promo_code_format_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER guard_new
    BEFORE INSERT OR DELETE ON loyalty.promo_code_format
    FOR EACH ROW EXECUTE FUNCTION loyalty.guard_promo_code_format();

CREATE OR REPLACE TRIGGER guard_definition
    BEFORE UPDATE ON loyalty.promo_code_format
    FOR EACH ROW WHEN (
        (OLD.name, OLD.alphabet, OLD.length, OLD.prefix, OLD.suffix, OLD.max_codes)
        IS DISTINCT FROM (NEW.name, NEW.alphabet, NEW.length, NEW.prefix, NEW.suffix, NEW.max_codes))
    EXECUTE FUNCTION loyalty.guard_promo_code_format();

CREATE OR REPLACE TRIGGER count_use
    AFTER INSERT OR DELETE ON loyalty.promo_code_format
    FOR EACH ROW EXECUTE FUNCTION loyalty.count_promo_code_format_use();

CREATE OR REPLACE TRIGGER count_use_again
    AFTER UPDATE ON loyalty.promo_code_format
    FOR EACH ROW WHEN (
        (OLD.name, OLD.alphabet, OLD.length, OLD.prefix, OLD.suffix)
        IS DISTINCT FROM (NEW.name, NEW.alphabet, NEW.length, NEW.prefix, NEW.suffix))
    EXECUTE FUNCTION loyalty.count_promo_code_format_use();

CREATE OR REPLACE TRIGGER refuse_fewer_generated
    BEFORE UPDATE ON loyalty.promo_code_format
    FOR EACH ROW WHEN (NEW.generated < OLD.generated)
    EXECUTE FUNCTION loyalty.refuse_change('codes that were generated stay generated');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.promo_code_format
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('pools may refer to formats');
