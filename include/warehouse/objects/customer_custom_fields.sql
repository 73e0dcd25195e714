-- After: refuse_change
-- The custom fields of customers, held to their definitions in loyalty.custom_field.
--
--   insert, update           names that are not defined and values of another type are refused, once a statement
--   definition removed       refused while a customer has a value of it; likewise another type or name, and an enum
--                            without a value that a customer has
--
-- A statement that writes custom fields holds an advisory lock that is shared, a change of definitions holds it alone:
-- either sees what the other has committed. No error quotes a value (X-20).

CREATE OR REPLACE FUNCTION loyalty.lock_custom_fields(is_alone boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF is_alone THEN
        PERFORM pg_advisory_xact_lock(7310589, 2);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7310589, 2);
    END IF;
END
$$;

-- SQL that says of a row's `custom_fields` whether the value of one field, if there is one, is of the field's type.
CREATE OR REPLACE FUNCTION loyalty.custom_field_condition(field loyalty.custom_field) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT format(
        CASE field.type
            WHEN 'string' THEN $sql$coalesce(jsonb_typeof(%1$s) = 'string' AND %1$s <> '""', true)$sql$
            WHEN 'boolean' THEN $sql$coalesce(jsonb_typeof(%1$s) = 'boolean', true)$sql$
            WHEN 'integer' THEN $sql$CASE jsonb_typeof(%1$s)
                WHEN 'number' THEN (%1$s)::numeric = trunc((%1$s)::numeric)
                    AND abs((%1$s)::numeric) < 9223372036854775808
                ELSE %1$s IS NULL END$sql$
            WHEN 'decimal' THEN $sql$CASE jsonb_typeof(%1$s)
                WHEN 'number' THEN (%1$s)::numeric = round((%1$s)::numeric, 2) AND abs((%1$s)::numeric) < 1e16
                ELSE %1$s IS NULL END$sql$
            WHEN 'date' THEN $sql$CASE jsonb_typeof(%1$s)
                WHEN 'string' THEN %2$s ~ '^\d{4}-\d\d-\d\d$' AND pg_input_is_valid(%2$s, 'date')
                ELSE %1$s IS NULL END$sql$
            WHEN 'datetime' THEN $sql$CASE jsonb_typeof(%1$s)
                WHEN 'string' THEN %2$s ~ '^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z$'
                    AND pg_input_is_valid(%2$s, 'timestamptz')
                ELSE %1$s IS NULL END$sql$
            WHEN 'enum' THEN $sql$coalesce(jsonb_typeof(%1$s) = 'string' AND %2$s = ANY (%3$L), true)$sql$
        END,
        format('(custom_fields -> %L)', field.name), format('(custom_fields ->> %L)', field.name), field.enum_values);
END;

-- AFTER INSERT or UPDATE of loyalty.customer, with the new rows as `written`.
CREATE OR REPLACE FUNCTION loyalty.check_custom_fields() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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
        -- The snapshot may be older than a change of the definitions: locking them shows it.
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

CREATE OR REPLACE TRIGGER check_custom_fields_of_new
    AFTER INSERT ON loyalty.customer
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_custom_fields();

CREATE OR REPLACE TRIGGER check_custom_fields_of_changed
    AFTER UPDATE ON loyalty.customer
    REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_custom_fields();

CREATE OR REPLACE FUNCTION loyalty.begin_custom_field_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM loyalty.lock_custom_fields(is_alone => true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER begin_change
    BEFORE UPDATE OR DELETE ON loyalty.custom_field
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.begin_custom_field_change();

CREATE OR REPLACE FUNCTION loyalty.refuse_custom_field_in_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER refuse_change_in_use
    AFTER UPDATE OR DELETE ON loyalty.custom_field
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_custom_field_in_use();

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.custom_field
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('customers may have values of custom fields');
