-- Rows read, and those that the suite or the load rejects.
SELECT (SELECT sum(rows_read) FROM ledger.import_chunk WHERE job_id = :job_id),
       (SELECT count(*) FROM (
            SELECT line FROM ledger.reject WHERE job_id = :job_id UNION SELECT line FROM load_reject
        ) AS rejected)
