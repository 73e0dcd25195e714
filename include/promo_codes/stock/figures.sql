-- One row for each of the pools: its codes by what has become of them, each count of at most :most + 1 codes, and what
-- was last written into it. Codes for multiple use stay in stock when they are issued.
--
-- Two lower bounds help where a pool has more codes than are counted: `at_least`, the last count for the signals
-- (PG-05) less the takes since, whose numbers have gaps; and what the ledger has `written` into the pool, less what has
-- gone.
SELECT
    pool.system_id, stock.available AS in_stock, stock.scheduled, past.expired, takes.taken, takes.issued,
    stock.used + past.used + takes.used AS used, figure.available, figure.is_exact, figure.counted_at, forecast.daily,
    loyalty.promo_code_run_out(pool.multi_use, figure.available, forecast.daily, :now) AS runs_out_at,
    generated.last_added, generated.last_generation_at, uploaded.last_inserted, uploaded.last_upload_at
FROM loyalty.promo_code_pool AS pool
CROSS JOIN LATERAL (
    SELECT count(*) AS available,
           count(*) FILTER (WHERE code.issue_start > now()) AS scheduled,
           count(*) FILTER (WHERE code.is_reused) AS used
    FROM (
        SELECT code.issue_start, pool.multi_use AND code.is_reused AS is_reused
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = pool.system_id AND code.issued_at IS NULL AND code.used_at IS NULL
            AND loyalty.promo_code_closes_at(code.issue_end, code.available_till) > now()
        LIMIT :most + 1
    ) AS code
) AS stock
CROSS JOIN LATERAL (
    SELECT count(*) AS expired, count(*) FILTER (WHERE code.is_reused) AS used
    FROM (
        SELECT pool.multi_use AND code.is_reused AS is_reused
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = pool.system_id AND code.issued_at IS NULL AND code.used_at IS NULL
            AND loyalty.promo_code_closes_at(code.issue_end, code.available_till) <= now()
        LIMIT :most + 1
    ) AS code
) AS past
CROSS JOIN LATERAL (
    SELECT count(*) AS taken,
           count(*) FILTER (WHERE pool.multi_use AND code.closes > now()) AS reusable,
           count(code.issued_at) AS issued,
           count(*) FILTER (WHERE code.used_at IS NOT NULL OR code.is_reused) AS used,
           count(*) FILTER (WHERE code.at > loyalty.promo_code_forecast_begin(:now)) AS recent,
           min(code.at) AS oldest
    FROM (
        SELECT pool.multi_use AND code.is_reused AS is_reused, code.issued_at, code.used_at,
               loyalty.promo_code_closes_at(code.issue_end, code.available_till) AS closes,
               coalesce(code.issued_at, code.used_at) AS at
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = pool.system_id AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
        ORDER BY coalesce(code.issued_at, code.used_at) DESC
        LIMIT :most + 1
    ) AS code
) AS takes
CROSS JOIN LATERAL (
    SELECT min(code.at) AS first_at
    FROM (
        SELECT coalesce(code.issued_at, code.used_at) AS at
        FROM loyalty.promo_code_state AS code
        WHERE code.pool_system_id = pool.system_id AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
        ORDER BY coalesce(code.issued_at, code.used_at)
        LIMIT 1
    ) AS code
) AS beginning
LEFT JOIN LATERAL (
    SELECT greatest(0, counted.counted_available - (
               coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', pool.number)::regclass), 0)
               - counted.counted_at_take
           )) AS at_least,
           counted.counted_at
    FROM loyalty.promo_code_pool_stock AS counted
    WHERE counted.pool_system_id = pool.system_id
) AS estimate ON true
CROSS JOIN LATERAL (
    SELECT (
               SELECT coalesce(sum(generation.added), 0)
               FROM ledger.promo_code_generation AS generation
               WHERE generation.pool_system_id = pool.system_id AND generation.state = 'completed'
           ) + (
               SELECT coalesce(sum(upload.inserted), 0)
               FROM ledger.promo_code_upload AS upload
               WHERE upload.pool_system_id = pool.system_id
           ) AS codes
) AS written
LEFT JOIN LATERAL (
    SELECT generation.added AS last_added, generation.finished_at AS last_generation_at
    FROM ledger.promo_code_generation AS generation
    WHERE generation.pool_system_id = pool.system_id AND generation.state = 'completed'
    ORDER BY generation.id DESC
    LIMIT 1
) AS generated ON true
LEFT JOIN LATERAL (
    SELECT upload.inserted AS last_inserted, job.launched_at AS last_upload_at
    FROM ledger.promo_code_upload AS upload
    JOIN ledger.import_job AS job ON job.id = upload.job_id
    WHERE upload.pool_system_id = pool.system_id
    ORDER BY upload.job_id DESC
    LIMIT 1
) AS uploaded ON true
-- What is available: exact where all was counted, else the highest of the lower bounds.
CROSS JOIN LATERAL (
    SELECT bound.codes AS available, bound.is_exact, bound.counted_at
    FROM (
        SELECT stock.available + takes.reusable AS codes, true AS is_exact, NULL::timestamptz AS counted_at, 1 AS place
        WHERE stock.available <= :most AND (takes.taken <= :most OR NOT pool.multi_use)
        UNION ALL
        SELECT stock.available + takes.reusable - 1, false, NULL, 2
        UNION ALL
        SELECT written.codes::bigint - past.expired - (takes.taken - takes.reusable), false, NULL, 3
        WHERE takes.taken <= :most AND past.expired <= :most
        UNION ALL
        SELECT estimate.at_least, false, estimate.counted_at, 4
        WHERE estimate.at_least IS NOT NULL
    ) AS bound
    ORDER BY bound.is_exact DESC, bound.codes DESC, bound.place
    LIMIT 1
) AS figure
CROSS JOIN LATERAL loyalty.promo_code_daily_consumption(
    takes.recent, beginning.first_at, CASE WHEN takes.recent > :most THEN takes.oldest END, :now) AS forecast (daily)
WHERE pool.system_id = ANY(:pools)
