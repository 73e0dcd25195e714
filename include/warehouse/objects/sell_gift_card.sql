-- Sells one card: Inactive → CanBeUsed with purchase date, point of contact and expiry. Source: GC-06, GC-03.
--
--   SELECT result, expires_at, product_external_system, product_external_id, brand
--   FROM loyalty.sell_gift_card('4000123', now(), 'site-main');
--
-- result: sold
--         not_found                  no such card
--         already_sold, blocked      the card is CanBeUsed or Blocked
--         purchase_date_required     NULL or infinite
--         purchase_date_in_future
--         point_of_contact_required  NULL
--         unknown_point_of_contact
-- expires_at: of the card sold; NULL when the pool's cards do not expire, and for every other result.
-- product_external_system, product_external_id, brand: the technical product of the card's pool, by which the
-- sale is to be booked (GP-02); NULL for every other result.
--
-- Nothing changes unless the result is `sold`. Several sellers of a card at once: one sells, the others wait for its
-- commit and get `already_sold` (at REPEATABLE READ and SERIALIZABLE: a serialization failure, to be repeated).
CREATE OR REPLACE FUNCTION loyalty.sell_gift_card(
    card_number text, purchased_at timestamptz, point_of_contact text,
    OUT result text, OUT expires_at timestamptz,
    OUT product_external_system text, OUT product_external_id text, OUT brand text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored_status text;
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
    INTO stored_status, expiry, sold_system, sold_id, sold_brand
    FROM loyalty.gift_card AS card
    JOIN loyalty.gift_card_pool AS pool ON pool.system_name = card.pool_system_name
    JOIN loyalty.technical_product AS product ON product.pool_system_name = card.pool_system_name
    WHERE card.card_number = sell_gift_card.card_number
    FOR NO KEY UPDATE OF card;

    IF NOT FOUND THEN
        result := 'not_found';
    ELSIF stored_status = 'CanBeUsed' THEN
        result := 'already_sold';
    ELSIF stored_status = 'Blocked' THEN
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
