-- After: refuse_change
-- The state machine of a gift card. Source: GC-06.
--
--   sale      Inactive → CanBeUsed      purchase date, point of contact and expiry are set      sell_gift_card
--   payment   CanBeUsed stays           the balance goes down; to 0 in a pool without partial   redeem_gift_card
--                                       redemption
--   block     Inactive or CanBeUsed → Blocked, nothing else changes; there is no way back       block_gift_card
--
-- Any other UPDATE, every DELETE and TRUNCATE is refused. Sales and payments are made by their functions alone: no role
-- but the owner of the table may UPDATE it, and the functions run with the owner's rights (include/warehouse/rights.py).
-- They announce themselves in the transaction-local setting loyalty.gift_card_action, `sale` or `payment <amount paid>`.
-- Any user can set it, so it permits nothing: what it says must agree with what changes. X-22.
-- Each change leaves what the card was before in loyalty.gift_card_change, a sale or payment also the technical product
-- that it is booked by (GP-02). Error texts hold no card numbers (X-20).
CREATE OR REPLACE FUNCTION loyalty.record_gift_card_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    action text := coalesce(current_setting('loyalty.gift_card_action', true), '');
    is_as_purchased boolean := (NEW.purchased_at, NEW.point_of_contact, NEW.expires_at)
        IS NOT DISTINCT FROM (OLD.purchased_at, OLD.point_of_contact, OLD.expires_at);
    permitted loyalty.gift_card := OLD;
    pool loyalty.gift_card_pool;
    product loyalty.technical_product;
    paid numeric;
    change text;
    refusal text;
BEGIN
    SELECT * INTO STRICT pool FROM loyalty.gift_card_pool WHERE system_name = OLD.pool_system_name;

    -- Whole rows are compared, so that a column of a later revision is locked unless it is named here.
    permitted.balance := NEW.balance;
    permitted.status := NEW.status;
    IF NOT is_as_purchased THEN
        permitted.purchased_at := NEW.purchased_at;
        permitted.point_of_contact := NEW.point_of_contact;
        permitted.expires_at := NEW.expires_at;
    END IF;
    IF permitted IS DISTINCT FROM NEW THEN
        refusal := 'card number, pool, CVV hash and import of a gift card never change, nor do other imported columns';
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

CREATE OR REPLACE TRIGGER record_change
    AFTER UPDATE ON loyalty.gift_card
    FOR EACH ROW EXECUTE FUNCTION loyalty.record_gift_card_change();

CREATE OR REPLACE TRIGGER refuse_delete
    BEFORE DELETE ON loyalty.gift_card
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('gift cards are money: block the card instead');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.gift_card
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('gift cards are money: block the cards instead');

-- The history is written by the trigger above alone, and never changed.
CREATE OR REPLACE TRIGGER refuse_insert
    BEFORE INSERT ON loyalty.gift_card_change
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION loyalty.refuse_change('changes are recorded by a trigger of loyalty.gift_card alone');

CREATE OR REPLACE TRIGGER refuse_change
    BEFORE UPDATE OR DELETE ON loyalty.gift_card_change
    FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of gift cards never changes');

CREATE OR REPLACE TRIGGER refuse_truncate
    BEFORE TRUNCATE ON loyalty.gift_card_change
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of gift cards never changes');
