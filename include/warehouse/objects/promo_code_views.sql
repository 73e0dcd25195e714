-- After: promo_code_closing, promo_code_format_use, promo_code_generations, promo_code_levels
-- One row a code without the code, nor to whom it was issued or who used it: for those who show how a pool is doing. X-22.
--
--   is_reused           of codes for multiple use: it was used at least once
CREATE OR REPLACE VIEW loyalty.promo_code_state AS
SELECT code.pool_system_id,
       code.issue_start,
       code.issue_end,
       code.available_till,
       code.issued_at,
       code.used_at,
       EXISTS (SELECT FROM loyalty.promo_code_use AS use WHERE use.code = code.code) AS is_reused
FROM loyalty.promo_code AS code;

-- One row a pool: its codes by what has become of them, its consumption and the predicted run-out. Source: TU-01, TU-05.
--
--   available           issuable now, or scheduled to become so; in pools of codes for multiple use issued ones too
--   scheduled           those of them whose issue window has not opened yet
--   issued, used        at any time; a used code is counted among the issued ones as well when it was issued. Of codes
--                       for multiple use those that were used at least once
--   expired             neither issued nor used before their issue window closed or available_till was reached
--   threshold           loyalty.promo_code_threshold
--   daily_consumption   loyalty.promo_code_daily_consumption: by issue, or by activation without issue
--   runs_out_at         loyalty.promo_code_run_out, at that rate
CREATE OR REPLACE VIEW loyalty.promo_code_stock AS
SELECT pool.system_id AS pool_system_id,
       pool.name AS pool_name,
       pool.state,
       pool.fill_method,
       pool.format,
       pool.quantity,
       pool.auto_generate,
       pool.multi_use,
       pool.top_up_threshold,
       pool.notify_below,
       pool.lead_hours,
       loyalty.promo_code_threshold(pool.top_up_threshold, pool.notify_below) AS threshold,
       count.available,
       count.scheduled,
       count.issued,
       count.used,
       count.expired,
       count.daily_consumption,
       loyalty.promo_code_run_out(pool.multi_use, count.available, count.daily_consumption, now()) AS runs_out_at
FROM loyalty.promo_code_pool AS pool
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE loyalty.promo_code_closes_at(code.issue_end, code.available_till) > now()) AS available,
           count(*) FILTER (WHERE code.issue_start > now()) AS scheduled,
           count(*) FILTER (WHERE loyalty.promo_code_closes_at(code.issue_end, code.available_till) <= now()) AS expired
    FROM loyalty.promo_code AS code
    WHERE code.pool_system_id = pool.system_id
      AND code.issued_at IS NULL
      AND code.used_at IS NULL
) AS stock
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (
               WHERE pool.multi_use AND loyalty.promo_code_closes_at(code.issue_end, code.available_till) > now()
           ) AS available,
           count(*) FILTER (WHERE pool.multi_use AND code.issue_start > now()) AS scheduled,
           count(code.issued_at) AS issued,
           count(code.used_at) AS used
    FROM loyalty.promo_code AS code
    WHERE code.pool_system_id = pool.system_id
      AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
) AS taken
CROSS JOIN LATERAL (
    SELECT CASE WHEN pool.multi_use THEN (
               SELECT count(*)
               FROM loyalty.promo_code AS code
               WHERE code.pool_system_id = pool.system_id
                 AND EXISTS (SELECT FROM loyalty.promo_code_use AS use WHERE use.code = code.code)
           ) ELSE 0 END AS used
) AS multi
CROSS JOIN LATERAL (
    SELECT (
               SELECT min(coalesce(code.issued_at, code.used_at))
               FROM loyalty.promo_code AS code
               WHERE code.pool_system_id = pool.system_id
                 AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
           ) AS first_at,
           (
               SELECT count(*)
               FROM loyalty.promo_code AS code
               WHERE code.pool_system_id = pool.system_id
                 AND (code.issued_at IS NOT NULL OR code.used_at IS NOT NULL)
                 AND coalesce(code.issued_at, code.used_at) > loyalty.promo_code_forecast_begin(now())
           ) AS takes
) AS history
CROSS JOIN LATERAL (
    SELECT stock.available + taken.available AS available,
           stock.scheduled + taken.scheduled AS scheduled,
           taken.issued,
           taken.used + multi.used AS used,
           stock.expired,
           loyalty.promo_code_daily_consumption(history.takes, history.first_at, NULL, now()) AS daily_consumption
) AS count;

-- Uploads and generations of each pool, by the number of the task; interrupted generations as failed. Source: PC-06, PG-04.
CREATE OR REPLACE VIEW loyalty.promo_code_pool_history AS
SELECT generation.pool_system_id,
       'generation' AS kind,
       generation.id AS number,
       CASE generation.state
           WHEN 'running' THEN loyalty.promo_code_generation_state(generation.id, generation.state)
           ELSE generation.state
       END AS state,
       generation.launched_at,
       generation.launched_by,
       generation.requested,
       generation.added,
       NULL::bigint AS updated,
       NULL::bigint AS unchanged,
       NULL::bigint AS rejected,
       generation.reason,
       generation.refusal_message,
       generation.finished_at
FROM ledger.promo_code_generation AS generation
UNION ALL
SELECT coalesce(upload.pool_system_id, job.settings ->> 'pool'),
       'upload',
       job.id,
       job.state,
       job.launched_at,
       job.launched_by,
       NULL,
       upload.inserted,
       upload.updated,
       upload.unchanged,
       upload.rejected,
       job.file_name,
       job.refusal_message,
       job.finished_at
FROM ledger.import_job AS job
LEFT JOIN ledger.promo_code_upload AS upload ON upload.job_id = job.id
WHERE job.import_type = 'promo_codes'
  AND NOT job.is_dry_run
  AND (upload.job_id IS NOT NULL OR job.settings ->> 'pool' IS NOT NULL);

-- One row a format. Source: PG-02.
--
--   capacity            how many codes it can ever give: of its space, max_codes at most
--   generated           codes that generations have added, of all pools
--   present             codes of any origin in its space
--   available           codes that can still be generated
--   codes_issuable      codes in its space that are neither issued nor used; a look at all codes, only when asked for
--   guess_probability   of one guess in the space to hit a code that is present
CREATE OR REPLACE VIEW loyalty.promo_code_format_stock AS
SELECT format.name,
       least(space.codes, format.max_codes) AS capacity,
       format.generated,
       use.present,
       greatest(0, least(format.max_codes - format.generated, space.codes - use.present)) AS available,
       loyalty.count_issuable_promo_codes(format.name) AS codes_issuable,
       use.present / space.codes AS guess_probability
FROM loyalty.promo_code_format AS format
CROSS JOIN LATERAL (
    SELECT trunc(power(
        char_length(format.alphabet)::numeric,
        format.length - char_length(format.prefix) - char_length(format.suffix))) AS codes
) AS space
CROSS JOIN LATERAL (
    SELECT coalesce(sum(part.codes), 0) AS present
    FROM loyalty.promo_code_format_use AS part
    WHERE part.format = format.name
) AS use;

-- Imports of promo code pools, and why one did nothing: what the page of a pool says of its launches. Those who may not
-- read the reasons of all rejects, which quote cells, may read these, which are about pools alone.
CREATE OR REPLACE VIEW ledger.promo_code_pool_launch AS
SELECT
    job.id AS job,
    job.state,
    job.launched_at,
    job.launched_by,
    job.dag_run_id,
    job.finished_at,
    coalesce(reject.reasons, job.refusal_message) AS reason
FROM ledger.import_job AS job
LEFT JOIN LATERAL (
    SELECT reasons FROM ledger.reject WHERE job_id = job.id ORDER BY line LIMIT 1
) AS reject ON true
WHERE job.import_type = 'promo_code_pools';
