-- Customers, 3 of 18: which identifiers are placeholders (noemail@example.com). Source: CU-03, X-20.
--
-- A value that more than shared_identifier_rows rows, rejected ones too, have beside different other identifiers
-- matches nobody and is stored of nobody. What is a placeholder in a file is one in those that correct its rows, which
-- may be few: the ledger keeps digests of them, with a salt of the job's own.
--
-- Reads     identifier, load_setting, matched, shared; the view staged_row
-- Leaves    placeholder     the rows with a placeholder, and which of their identifiers it is
-- Writes    ledger.customer_placeholder

CREATE TEMP TABLE placeholder (line bigint, position integer, value text COLLATE "C", is_valid boolean, others bigint)
ON COMMIT DROP;
DO $$
DECLARE
    most_rows integer := (SELECT shared_identifier_rows FROM load_setting);
    this_job bigint := current_setting('import.job_id')::bigint;
    field record;
BEGIN
    FOR field IN
        SELECT own.position, own.value_sql, string_agg(other.value_sql, ', ' ORDER BY other.position) AS others
        FROM identifier AS own
        JOIN identifier AS other ON other.position <> own.position
        WHERE own.position IN (SELECT position FROM shared WHERE is_questionable)
        GROUP BY own.position, own.value_sql
    LOOP
        EXECUTE format(
            'INSERT INTO placeholder '
            'SELECT row.line, %1$s, %2$s, row.is_valid, '
            'CASE WHEN coalesce(%3$s) IS NOT NULL THEN hash_record_extended(ROW(%3$s), 0) END '
            'FROM matched '
            'JOIN staged_row AS row USING (line) '
            'WHERE matched.mark_%1$s IN (SELECT mark FROM shared WHERE position = %1$s AND is_questionable)',
            field.position, field.value_sql, field.others);
    END LOOP;
    DELETE FROM placeholder
    WHERE (position, value) NOT IN (
        SELECT position, value
        FROM placeholder
        GROUP BY position, value
        HAVING count(DISTINCT others) > most_rows
    );

    INSERT INTO ledger.customer_placeholder (job_id, identifier, salt, digest)
    SELECT DISTINCT this_job, placeholder_name.name, salt, sha256(convert_to(salt || value, 'UTF8'))
    FROM placeholder
    JOIN identifier AS placeholder_name USING (position)
    CROSS JOIN gen_random_uuid() AS salt;
    INSERT INTO ledger.customer_placeholder (job_id, identifier, salt, digest)
    SELECT DISTINCT this_job, identifier, salt, digest
    FROM ledger.customer_placeholder
    JOIN ledger.import_job_parent AS parent ON parent.parent_job_id = customer_placeholder.job_id
    WHERE parent.job_id = this_job
      AND parent.parent_job_id <> this_job;
    IF FOUND THEN
        FOR field IN SELECT * FROM identifier LOOP
            EXECUTE format(
                'INSERT INTO placeholder '
                'SELECT row.line, %1$s, %2$s, row.is_valid, NULL '
                'FROM staged_row AS row '
                'JOIN ledger.customer_placeholder AS earlier '
                'ON earlier.digest = sha256(convert_to(earlier.salt || (%2$s), ''UTF8'')) '
                'WHERE earlier.job_id = $1 AND earlier.identifier = %3$L',
                field.position, field.value_sql, field.name)
            USING this_job;
        END LOOP;
    END IF;
END
$$;
ANALYZE placeholder;
