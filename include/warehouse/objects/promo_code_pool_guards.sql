-- After: refuse_change
-- What a launch and the first code freeze. Source: PP-01, PP-02.
--
--   launch               state stays active; system_id and multi_use never change; launched_at is set here
--   first code           fill_method never changes, not to NULL either; system_id never changes, codes refer to it
--   always               a pool with codes is not deleted
--
-- The rest (description to launch, issue_check against multi_use, quantity with auto_generate) are CHECKs.
CREATE OR REPLACE FUNCTION loyalty.guard_promo_code_pool() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER guard
    BEFORE INSERT OR UPDATE OR DELETE ON loyalty.promo_code_pool
    FOR EACH ROW EXECUTE FUNCTION loyalty.guard_promo_code_pool();

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.promo_code_pool
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('codes may refer to pools');

-- The sequence that numbers a pool's takes (promo_code_signals.sql) is made and dropped with it, by the owner: who adds pools
-- may create nothing in this schema. Those who read the stock read its last number (include/warehouse/rights.py).
CREATE OR REPLACE FUNCTION loyalty.keep_promo_code_take_sequence() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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

CREATE OR REPLACE TRIGGER keep_take_sequence
    AFTER INSERT OR DELETE ON loyalty.promo_code_pool
    FOR EACH ROW EXECUTE FUNCTION loyalty.keep_promo_code_take_sequence();
