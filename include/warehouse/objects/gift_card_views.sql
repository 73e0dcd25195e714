-- One row a pool: its product, its cards by status and the sum of their balances. Source: GP-04.
CREATE OR REPLACE VIEW loyalty.gift_card_pool_overview AS
SELECT pool.system_name AS pool_system_name,
       pool.name AS pool_name,
       product.external_system AS product_external_system,
       product.external_id AS product_external_id,
       product.brand,
       coalesce(cards.total, 0) AS cards,
       coalesce(cards.inactive, 0) AS cards_inactive,
       coalesce(cards.can_be_used, 0) AS cards_can_be_used,
       coalesce(cards.blocked, 0) AS cards_blocked,
       coalesce(cards.balance, 0.00) AS total_balance
FROM loyalty.gift_card_pool AS pool
JOIN loyalty.technical_product AS product ON product.pool_system_name = pool.system_name
LEFT JOIN (
    SELECT pool_system_name,
           count(*) AS total,
           count(*) FILTER (WHERE status = 'Inactive') AS inactive,
           count(*) FILTER (WHERE status = 'CanBeUsed') AS can_be_used,
           count(*) FILTER (WHERE status = 'Blocked') AS blocked,
           sum(balance) AS balance
    FROM loyalty.gift_card
    GROUP BY pool_system_name
) AS cards ON cards.pool_system_name = pool.system_name;

-- One row a card, with the values it was imported with: the oldest entry of its history, else the card itself. X-17.
CREATE OR REPLACE VIEW loyalty.gift_card_as_imported AS
SELECT card.card_number,
       card.pool_system_name,
       card.cvv_hash,
       CASE WHEN oldest.card_number IS NULL THEN card.balance ELSE oldest.balance END AS balance,
       CASE WHEN oldest.card_number IS NULL THEN card.status ELSE oldest.status END AS status,
       CASE WHEN oldest.card_number IS NULL THEN card.point_of_contact ELSE oldest.point_of_contact END AS point_of_contact,
       CASE WHEN oldest.card_number IS NULL THEN card.purchased_at ELSE oldest.purchased_at END AS purchased_at,
       CASE WHEN oldest.card_number IS NULL THEN card.expires_at ELSE oldest.expires_at END AS expires_at,
       card.import_job_id,
       card.import_line
FROM loyalty.gift_card AS card
LEFT JOIN LATERAL (
    SELECT change.card_number, change.balance, change.status, change.point_of_contact, change.purchased_at,
           change.expires_at
    FROM loyalty.gift_card_change AS change
    WHERE change.card_number = card.card_number
    ORDER BY change.number
    LIMIT 1
) AS oldest ON true;
