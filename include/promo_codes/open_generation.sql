-- Writes one generation; none when the key is there already.
INSERT INTO ledger.promo_code_generation (
    run_key, pool_system_id, format, requested, auto_generate, reason, state, launched_by, started_at, dag_id,
    dag_run_id
)
VALUES (
    :run_key, :pool, :format, :requested, :auto_generate, :reason, :state, :launched_by,
    CASE WHEN :state = 'running' THEN clock_timestamp() END, :dag_id, :dag_run_id
)
ON CONFLICT (run_key) DO NOTHING
RETURNING id
