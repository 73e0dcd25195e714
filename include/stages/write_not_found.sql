-- Rows of nobody (CU-01): their records are listed in a file of their own.
INSERT INTO ledger.not_found
    (job_id, line, chunk_number, byte_offset, byte_length, origin_job_id, origin_line)
SELECT :job_id, row.line, row.chunk_number, row.byte_offset, row.byte_length, row.origin_job_id, row.origin_line
FROM load_not_found
JOIN staged_row AS row USING (line)
