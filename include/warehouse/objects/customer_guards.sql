-- After: refuse_change
-- Customers, and how a person is erased: DELETE FROM loyalty.customer takes everything that refers to the customer with
-- it.
--
-- Tables that refer to a customer have millions of rows, so neither a statement that inserts some nor the deletion
-- locks the other's rows. Instead the one holds an advisory lock that is shared until its transaction ends, and then
-- looks whether its customers exist (references.sql); the other holds it alone, and then removes what refers to its
-- customers: either sees what the other has committed. A customer's number never changes, nor the customer of a row.
CREATE OR REPLACE FUNCTION loyalty.hold_customers() RETURNS void
LANGUAGE sql
RETURN pg_advisory_xact_lock_shared(7310589, 1);
COMMENT ON FUNCTION loyalty.hold_customers IS 'Makes deletions of customers wait until this transaction ends.';

CREATE OR REPLACE FUNCTION loyalty.begin_customer_delete() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER begin_delete
    BEFORE DELETE ON loyalty.customer
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.begin_customer_delete();

CREATE OR REPLACE FUNCTION loyalty.erase_customers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER erase
    AFTER DELETE ON loyalty.customer
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.erase_customers();

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.customer
    FOR EACH ROW WHEN (
        OLD.id <> NEW.id
        OR OLD.import_job_id IS DISTINCT FROM NEW.import_job_id
        OR OLD.import_line IS DISTINCT FROM NEW.import_line)
    EXECUTE FUNCTION loyalty.refuse_change('number and origin of a customer never change');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.customer
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to customers');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.customer_external_id
    FOR EACH ROW WHEN (OLD.customer_id <> NEW.customer_id)
    EXECUTE FUNCTION loyalty.refuse_change('delete the external id and insert it for the other customer');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.customer_subscription
    FOR EACH ROW WHEN (OLD.customer_id <> NEW.customer_id)
    EXECUTE FUNCTION loyalty.refuse_change('a subscription stays its customer''s');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.segment_member
    FOR EACH ROW WHEN (OLD.customer_id <> NEW.customer_id)
    EXECUTE FUNCTION loyalty.refuse_change('delete the member and insert the other customer');

-- History: written once, and gone only with the person.
CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON loyalty.customer_action
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('actions of customers never change');

CREATE OR REPLACE TRIGGER refuse_delete
    BEFORE DELETE ON loyalty.customer_action
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION loyalty.refuse_change('actions go with their customer alone');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.customer_action
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('actions go with their customer alone');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE ON ledger.customer_change
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of customers never changes');

CREATE OR REPLACE TRIGGER refuse_delete
    BEFORE DELETE ON ledger.customer_change
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION loyalty.refuse_change('the history of a customer goes with the customer alone');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON ledger.customer_change
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of a customer goes with the customer alone');
