-- Pools with their settings: the one that is named, or those whose system id or name is like `wanted`.
SELECT
    system_id, name, description, campaign, parameter_name, fill_method, format, quantity, auto_generate,
    top_up_threshold, notify_below, lead_hours, issue_check, assigned_validity_days, processing, multi_use, state,
    launched_at, first_code_at, import_job_id, created_at,
    loyalty.promo_code_threshold(top_up_threshold, notify_below) AS threshold
FROM loyalty.promo_code_pool
WHERE (system_id = :system_id OR :system_id IS NULL)
  AND (system_id ILIKE :wanted OR name ILIKE :wanted)
ORDER BY system_id
LIMIT :limit OFFSET :offset
