-- Valid rows that the load neither rejected nor inserted.
SELECT line
FROM staged
WHERE NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = staged.line)
  AND NOT EXISTS (SELECT FROM load_not_found WHERE load_not_found.line = staged.line)
  AND NOT EXISTS (
      SELECT FROM {target} AS loaded WHERE loaded.import_job_id = %(job_id)s AND loaded.import_line = staged.line)
ORDER BY line
LIMIT %(lines)s
