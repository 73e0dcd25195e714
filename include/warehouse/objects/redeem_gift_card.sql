-- Pays with one card. Source: GC-06.
--
--   SELECT result, paid, forfeited, balance, product_external_system, product_external_id, brand
--   FROM loyalty.redeem_gift_card('4000123', 30.00, '\x…');
--
-- cvv_hash is HMAC-SHA-256(key, card number and CVV), made by the caller (include/warehouse/cvv.py); it is compared when
-- the card's pool requires a CVV, and not looked at otherwise. A pool without partial redemption: one payment of at most
-- the balance, the rest of it is forfeited.
--
-- result: redeemed
--         invalid_amount             NULL, not above 0, over 2 decimals, NaN or infinite
--         not_found                  no such card
--         cvv_required               the pool requires one and cvv_hash is NULL
--         cvv_mismatch
--         inactive, blocked          the card is not sold yet, or blocked
--         expired                    expires_at is reached
--         insufficient_balance       less than the amount
-- A CVV has few digits, and nothing here counts wrong ones: a thousand guesses take half a second. Callers must limit the
-- attempts, by card and by who makes them, and lock out who guesses (X-22).
--
-- paid, forfeited: amounts of this payment; NULL unless redeemed.
-- balance: what is left; NULL for the results up to cvv_mismatch.
-- product_external_system, product_external_id, brand: the technical product of the card's pool, by which the payment
-- is to be booked (GP-02); NULL unless redeemed.
--
-- Nothing changes unless the result is `redeemed`. Several payments by a card at once wait for each other and never
-- overspend it (at REPEATABLE READ and SERIALIZABLE the later ones get a serialization failure, to be repeated).
CREATE OR REPLACE FUNCTION loyalty.redeem_gift_card(
    card_number text, amount numeric, cvv_hash bytea DEFAULT NULL,
    OUT result text, OUT paid numeric, OUT forfeited numeric, OUT balance numeric,
    OUT product_external_system text, OUT product_external_id text, OUT brand text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
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
    -- The CVV comes before everything that says something about the card.
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
