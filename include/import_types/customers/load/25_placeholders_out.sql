-- Customers, 4 of 18: take placeholders out of the staging tables, in this transaction. Source: CU-03.
--
-- Their rows are matched by their other identifiers; those without any are rejected. What shared says of the other
-- identifiers of these rows stays: rows may be called entangled that are no more, and the loop (40) takes these as it
-- takes any.
--
-- Reads     identifier, load_setting, placeholder, matching, load_rule
-- Changes   the staging tables of the job, matched, shared
-- Writes    load_reject     row.placeholder_only
--           load_warning    email.placeholder, mobile_phone.placeholder, external_id.placeholder

DO $$
DECLARE
    most_rows integer := (SELECT shared_identifier_rows FROM load_setting);
    field record;
    chunk text;
BEGIN
    IF NOT EXISTS (SELECT FROM placeholder) THEN
        RETURN;
    END IF;
    FOR chunk IN
        SELECT format('staging.%I', tablename)
        FROM pg_tables
        WHERE schemaname = 'staging'
          AND starts_with(tablename, 'job_' || current_setting('import.job_id') || '_chunk_')
    LOOP
        FOR field IN SELECT * FROM identifier WHERE position IN (SELECT position FROM placeholder) LOOP
            EXECUTE format(
                'UPDATE %s AS row SET %s WHERE line IN (SELECT line FROM placeholder WHERE position = %s)',
                chunk,
                CASE
                    WHEN field.system IS NULL THEN format('%I = NULL', field.name)
                    ELSE format('external_ids = nullif(external_ids - %L, ''{}'')', field.system)
                END,
                field.position);
        END LOOP;
        EXECUTE (
            SELECT format(
                'WITH nobody AS ('
                'UPDATE %1$s AS row SET is_valid = false '
                'WHERE is_valid AND coalesce(%2$s) IS NULL AND line IN (SELECT line FROM placeholder) RETURNING line) '
                'INSERT INTO load_reject '
                'SELECT nobody.line, rule.id, replace(rule.message, ''{value}'', %3$L) '
                'FROM nobody JOIN load_rule AS rule ON rule.id = ''row.placeholder_only''',
                chunk, string_agg(value_sql, ', '), most_rows)
            FROM identifier
        );
    END LOOP;
    INSERT INTO load_warning
    SELECT DISTINCT
        placeholder.line, CASE WHEN system IS NULL THEN identifier.name ELSE 'external_id' END || '.placeholder'
    FROM placeholder
    JOIN identifier USING (position)
    WHERE placeholder.is_valid
      AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = placeholder.line);

    DELETE FROM matched WHERE line IN (SELECT line FROM placeholder);
    INSERT INTO matched
    SELECT *
    FROM matching
    WHERE line IN (SELECT line FROM placeholder);
    DELETE FROM shared
    WHERE (position, mark) IN (SELECT position, hashtextextended(value, position) FROM placeholder);
END
$$;
ANALYZE shared;
