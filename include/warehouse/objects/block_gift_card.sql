-- Blocks one card: it can neither be sold nor pay any more, and there is no way back. Source: GC-06.
--
--   SELECT loyalty.block_gift_card('4000123');
--
-- result: blocked
--         not_found                  no such card
--         already_blocked
--
-- Nothing changes unless the result is `blocked`. A payment and a block of a card at once go one after the other.
CREATE OR REPLACE FUNCTION loyalty.block_gift_card(card_number text, OUT result text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    stored_status text;
BEGIN
    SELECT card.status INTO stored_status
    FROM loyalty.gift_card AS card
    WHERE card.card_number = block_gift_card.card_number
    FOR NO KEY UPDATE OF card;
    result := CASE WHEN NOT FOUND THEN 'not_found' WHEN stored_status = 'Blocked' THEN 'already_blocked' END;
    IF result IS NULL THEN
        UPDATE loyalty.gift_card AS card
        SET status = 'Blocked'
        WHERE card.card_number = block_gift_card.card_number;
        result := 'blocked';
    END IF;
END
$$;
