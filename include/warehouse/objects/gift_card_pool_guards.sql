-- After: refuse_change
-- A pool's technical product is made with it: one row for each inserted pool, in the same statement.
-- Primary key, foreign key and the locks below leave no way to have none or two. Source: GP-02.
CREATE OR REPLACE FUNCTION loyalty.create_technical_products() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO loyalty.technical_product (pool_system_name, external_system, external_id, brand)
    SELECT system_name, product_external_system, product_external_id, brand
    FROM inserted;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER create_technical_products
    AFTER INSERT ON loyalty.gift_card_pool
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.create_technical_products();

-- Pools and their products are locked once imported. Source: GP-03.
CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE OR DELETE ON loyalty.gift_card_pool
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the parameters of a gift card pool are locked once imported');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.gift_card_pool
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the parameters of a gift card pool are locked once imported');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE OR DELETE ON loyalty.technical_product
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('a technical product is locked like its gift card pool');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.technical_product
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('a technical product is locked like its gift card pool');
