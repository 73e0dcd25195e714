-- What expired in a pool's stock on each day, the newest :most codes of it; and when the oldest of them expired.
SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS codes, sum(count(*)) OVER () AS counted,
       min(min(at)) OVER () AS oldest
FROM (
    SELECT loyalty.promo_code_closes_at(code.issue_end, code.available_till) AS at
    FROM loyalty.promo_code_state AS code
    WHERE code.pool_system_id = :pool AND code.issued_at IS NULL AND code.used_at IS NULL
        AND loyalty.promo_code_closes_at(code.issue_end, code.available_till) >= :since
        AND loyalty.promo_code_closes_at(code.issue_end, code.available_till) <= now()
    ORDER BY loyalty.promo_code_closes_at(code.issue_end, code.available_till) DESC
    LIMIT :most
) AS code
GROUP BY 1
