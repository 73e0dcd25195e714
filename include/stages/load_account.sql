-- Valid rows, those of them that the load rejected, and the rows that it counted.
SELECT (SELECT coalesce(sum(rows_read) - sum(rows_rejected), 0) FROM ledger.import_chunk WHERE job_id = :job_id),
       (SELECT count(*)
        FROM (SELECT DISTINCT line FROM load_reject) AS failed
        LEFT JOIN ledger.reject ON reject.job_id = :job_id AND reject.line = failed.line
        WHERE reject.line IS NULL),
       (SELECT coalesce(sum(rows), 0) FROM load_count WHERE outcome = ANY (:outcomes))
