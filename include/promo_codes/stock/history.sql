-- Uploads and generations of a pool, the newest first. An upload has a row for each pool that it gave codes to; one
-- that was refused, or goes on, is of the pool that its settings name.
SELECT *
FROM (
    (
        SELECT 'generation' AS kind, generation.id AS number,
               CASE generation.state
                   WHEN 'running' THEN loyalty.promo_code_generation_state(generation.id, generation.state)
                   ELSE generation.state
               END AS state,
               generation.launched_at, generation.launched_by, generation.requested, generation.generated,
               generation.added, NULL::bigint AS updated, NULL::bigint AS unchanged, NULL::bigint AS rejected,
               generation.reason AS origin, generation.refusal_message AS refusal, generation.finished_at,
               generation.dag_id, generation.dag_run_id
        FROM ledger.promo_code_generation AS generation
        WHERE :with_generations AND generation.pool_system_id = :pool
        ORDER BY generation.id DESC
        LIMIT :limit + :offset
    )
    UNION ALL
    (
        SELECT 'upload', job.id, job.state, job.launched_at, job.launched_by, NULL, NULL,
               upload.inserted, upload.updated, upload.unchanged, upload.rejected, job.file_name,
               job.refusal_message, job.finished_at, job.dag_id, job.dag_run_id
        FROM ledger.promo_code_upload AS upload
        JOIN ledger.import_job AS job ON job.id = upload.job_id
        WHERE :with_uploads AND upload.pool_system_id = :pool
        ORDER BY upload.job_id DESC
        LIMIT :limit + :offset
    )
    UNION ALL
    (
        SELECT 'upload', job.id, job.state, job.launched_at, job.launched_by, NULL, NULL,
               NULL, NULL, NULL, NULL, job.file_name, job.refusal_message, job.finished_at, job.dag_id,
               job.dag_run_id
        FROM ledger.import_job AS job
        WHERE :with_uploads AND job.import_type = 'promo_codes' AND NOT job.is_dry_run AND job.loaded_at IS NULL
            AND job.settings ->> 'pool' = :pool
            AND NOT EXISTS (SELECT FROM ledger.promo_code_upload AS upload WHERE upload.job_id = job.id)
        ORDER BY job.id DESC
        LIMIT :limit + :offset
    )
) AS entry
ORDER BY launched_at DESC, kind, number DESC
LIMIT :limit OFFSET :offset
