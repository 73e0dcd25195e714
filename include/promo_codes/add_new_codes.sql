-- Adds the first codes of pg_temp.generated_code that are not there yet, as many as are missing. A code that another
-- transaction adds at the same time is waited for, and then skipped.
WITH fresh AS MATERIALIZED (
    SELECT generated_code.position, generated_code.code
    FROM pg_temp.generated_code
    WHERE NOT EXISTS (SELECT FROM loyalty.promo_code AS stored WHERE stored.code = generated_code.code)
    ORDER BY generated_code.position
    LIMIT :missing
), added AS (
    INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id)
    SELECT fresh.code, :pool, :generation_id
    FROM fresh
    ORDER BY fresh.position
    ON CONFLICT ON CONSTRAINT promo_code_pkey DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS added, count(*) AS fresh, max(fresh.position) AS last_position
FROM fresh
