-- A row that only the load could reject, and further reasons for rows that the suite rejected already.
INSERT INTO ledger.reject AS stored
    (job_id, line, chunk_number, byte_offset, byte_length, rules, reasons, origin_job_id, origin_line)
SELECT :job_id, row.line, row.chunk_number, row.byte_offset, row.byte_length,
       failed.rules, failed.reasons, row.origin_job_id, row.origin_line
FROM (
    SELECT line, string_agg(rule, ' ' ORDER BY rule) AS rules, string_agg(reason, ' | ' ORDER BY rule) AS reasons
    FROM load_reject
    GROUP BY line
) AS failed
JOIN staged_row AS row USING (line)
ON CONFLICT ON CONSTRAINT reject_pkey DO UPDATE
SET rules = stored.rules || ' ' || excluded.rules, reasons = stored.reasons || ' | ' || excluded.reasons
