-- Writes one generation that was refused. A refusal that is already the pool's latest generation is not written again:
-- the top-up comes to it at every tick.
INSERT INTO ledger.promo_code_generation (
    run_key, pool_system_id, format, requested, auto_generate, reason, state, launched_by, started_at, finished_at,
    refusal_rule, refusal_message, dag_id, dag_run_id
)
SELECT
    :run_key, :pool, :format, :requested, :auto_generate, :reason, :state, :launched_by, clock_timestamp(),
    clock_timestamp(), :refusal_rule, :refusal_message, :dag_id, :dag_run_id
WHERE NOT EXISTS (
    SELECT
    FROM (
        SELECT launched_by, refusal_rule, refusal_message
        FROM ledger.promo_code_generation
        WHERE pool_system_id = :pool
        ORDER BY id DESC
        LIMIT 1
    ) AS latest
    WHERE (launched_by, refusal_rule, refusal_message) = (:launched_by, :refusal_rule, :refusal_message)
)
