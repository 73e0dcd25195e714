-- Whether the rows of a table name the job and the line that they come from.
SELECT count(*) = 2
FROM pg_attribute
WHERE attrelid = to_regclass(:target) AND attname IN ('import_job_id', 'import_line')
