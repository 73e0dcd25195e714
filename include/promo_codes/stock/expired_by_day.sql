-- What expired in a pool's stock on each day, the newest :most codes of it; and when the oldest of them expired.
SELECT (at AT TIME ZONE 'UTC')::date AS day, count(*) AS codes, sum(count(*)) OVER () AS counted,
       min(min(at)) OVER () AS oldest
FROM (
    SELECT coalesce(least(code.issue_end, code.available_till), 'infinity') AS at
    FROM loyalty.promo_code_state AS code
    WHERE code.pool_system_id = :pool AND code.issued_at IS NULL AND code.used_at IS NULL
        AND coalesce(least(code.issue_end, code.available_till), 'infinity') >= :since
        AND coalesce(least(code.issue_end, code.available_till), 'infinity') <= now()
    ORDER BY coalesce(least(code.issue_end, code.available_till), 'infinity') DESC
    LIMIT :most
) AS code
GROUP BY 1
