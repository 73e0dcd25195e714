-- Values are listed as dropped of rows that are loaded; the others keep them until they load.
DELETE FROM ledger.dropped_value
WHERE job_id = :job_id
  AND line IN (SELECT line FROM load_reject UNION ALL SELECT line FROM load_not_found)
