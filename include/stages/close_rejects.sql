-- Rejects of earlier jobs whose corrected rows have now loaded, through the whole chain of `_job`s (X-09).
WITH RECURSIVE fixed AS (
    SELECT staged.origin_job_id AS job_id, staged.origin_line AS line
    FROM staged
    WHERE staged.origin_line IS NOT NULL
      AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
      AND NOT EXISTS (SELECT FROM load_not_found WHERE load_not_found.line = staged.line)
    UNION
    SELECT earlier.origin_job_id, earlier.origin_line
    FROM fixed
    CROSS JOIN LATERAL (
        SELECT origin_job_id, origin_line
        FROM ledger.reject
        WHERE reject.job_id = fixed.job_id AND reject.line = fixed.line
        UNION ALL
        SELECT origin_job_id, origin_line
        FROM ledger.not_found
        WHERE not_found.job_id = fixed.job_id AND not_found.line = fixed.line
    ) AS earlier
    WHERE earlier.origin_line IS NOT NULL
), locked AS (                                            -- in one order: parts of a file may load at the same time
    SELECT reject.job_id, reject.line
    FROM ledger.reject
    JOIN fixed USING (job_id, line)
    WHERE reject.fixed_by_job_id IS NULL
      AND reject.job_id <> :job_id
    ORDER BY reject.job_id, reject.line
    FOR NO KEY UPDATE OF reject
)
UPDATE ledger.reject
SET fixed_by_job_id = :job_id
FROM locked
WHERE (reject.job_id, reject.line) = (locked.job_id, locked.line)
