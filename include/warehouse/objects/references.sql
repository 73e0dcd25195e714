-- After: refuse_change
-- References that are enforced once a statement instead of once a row, for any table whose foreign keys are declared
-- NOT ENFORCED: these functions read the keys of their table, or those that refer to it, from the catalogue. Every key
-- is one column, and its target a text primary key or the number of a customer. All ways to dangle are shut:
--
--   insert, update           the statement's distinct parents are locked FOR KEY SHARE in order; missing: refused
--   delete of a parent       waits for those locks, then looks for users with a new snapshot. Only READ COMMITTED has
--                            a new one; at the other levels the look would miss rows committed since the transaction
--                            began, so there the delete is refused
--   key change, truncate     of a parent: always refused (loyalty.refuse_change)
--   customers                are millions: no lock on rows, see customer_guards.sql
--
-- No error names a key: in a file whose columns are mixed up anything may be there (X-20).
CREATE OR REPLACE FUNCTION loyalty.unenforced_references(child regclass, parent regclass)
RETURNS TABLE (name name, child_table regclass, child_column name, parent_table regclass, parent_column name)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT key.conname, key.conrelid::regclass, referring.attname, key.confrelid::regclass, referred.attname
    FROM pg_constraint AS key
    JOIN pg_attribute AS referring ON referring.attrelid = key.conrelid AND referring.attnum = key.conkey[1]
    JOIN pg_attribute AS referred ON referred.attrelid = key.confrelid AND referred.attnum = key.confkey[1]
    WHERE key.contype = 'f'
      AND NOT key.conenforced
      AND (child IS NULL OR key.conrelid = child)
      AND (parent IS NULL OR key.confrelid = parent)
    ORDER BY key.conname;
END;

-- AFTER INSERT or UPDATE, FOR EACH STATEMENT, with the new rows as `written`.
CREATE OR REPLACE FUNCTION loyalty.check_references() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
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

    -- EXECUTE makes a new plan for each statement: a plan kept from a statement of one row is wrong for a million.
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
                -- The snapshot may be older than a deletion: locking the rows shows it.
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
$$;

-- AFTER DELETE, FOR EACH STATEMENT, with the old rows as `deleted`.
CREATE OR REPLACE FUNCTION loyalty.refuse_delete_in_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

-- Sets the triggers of every table with such references, and of the tables that these name; of new ones as well when
-- this is called again. Gift cards and promo codes have functions of their own for their inserts.
CREATE OR REPLACE PROCEDURE loyalty.guard_references()
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

CALL loyalty.guard_references();
