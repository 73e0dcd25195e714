-- Active pools whose codes go out once, unless their last count is fresh and what has been taken since leaves them
-- above every level; those with a forecast at every tick, but not at every signal. And pools with an open alert.
SELECT pool.system_id
FROM loyalty.promo_code_pool AS pool
LEFT JOIN loyalty.promo_code_pool_stock AS stock ON stock.pool_system_id = pool.system_id
WHERE pool.state = 'active' AND NOT pool.multi_use
    AND (
        stock.pool_system_id IS NULL
        OR stock.valid_until < :fresh_until
        OR pool.lead_hours IS NOT NULL AND stock.counted_at < :forecast_at
        OR stock.counted_available - stock.counted_ending - (
            coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', pool.number)::regclass), 0)
            - stock.counted_at_take
        ) < (
            SELECT max(level)
            FROM unnest(loyalty.promo_code_levels(pool.top_up_threshold, pool.notify_below)) AS level
        )
    )
    OR EXISTS (
        SELECT FROM ledger.promo_code_alert AS alert
        WHERE alert.pool_system_id = pool.system_id AND alert.recovered_at IS NULL
    )
ORDER BY pool.system_id
