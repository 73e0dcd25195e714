-- The highest value that a card of a gift card pool may have. Source: X-18.
ALTER TABLE loyalty.gift_card_pool
    ADD COLUMN max_card_value numeric(18,2),
    ADD CONSTRAINT gift_card_pool_max_card_value_check CHECK (
        max_card_value > 0 AND max_card_value < 'NaN' AND (card_value IS NULL OR card_value <= max_card_value));
