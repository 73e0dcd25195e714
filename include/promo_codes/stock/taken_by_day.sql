-- What left a pool's stock on each day, the newest :most codes of it; and when the oldest of them left it.
SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS codes, sum(count(*)) OVER () AS counted,
       min(min(at)) OVER () AS oldest
FROM (
    SELECT coalesce(code.issued_at, code.used_at) AS at
    FROM loyalty.promo_code_state AS code
    WHERE code.pool_system_id = :pool AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
        AND coalesce(code.issued_at, code.used_at) >= :since
    ORDER BY coalesce(code.issued_at, code.used_at) DESC
    LIMIT :most
) AS take
GROUP BY 1
