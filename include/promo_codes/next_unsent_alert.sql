-- The first open alert of a pool that was not sent, behind the last one that was tried. It is locked while its mail is
-- sent; one that another sender has locked is passed over.
SELECT
    alert.id, pool.system_id AS pool, pool.name AS pool_name, alert.kind, alert.raised_at, alert.available, alert.level,
    alert.runs_out_at, pool.fill_method, pool.format,
    (
        SELECT stock.available FROM loyalty.promo_code_format_stock AS stock WHERE stock.name = pool.format
    ) AS format_available
FROM ledger.promo_code_alert AS alert
JOIN loyalty.promo_code_pool AS pool ON pool.system_id = alert.pool_system_id
WHERE alert.pool_system_id = :pool
  AND alert.id > :after
  AND alert.sent_at IS NULL
  AND alert.recovered_at IS NULL
ORDER BY alert.id
LIMIT 1
FOR UPDATE OF alert SKIP LOCKED
