-- Customers, 14 of 18: the last values of the file for customers that were there before. Source: CU-06, CU-13.
--
-- Reads     plain_field, load_field, target, folded; the view customer_row
-- Leaves    final           a view, one row a customer that was there before, in the shape of a staged row. line is the
--                           row that has the values, unless owners names another for a field
--           subscription    the subscriptions that the file has columns for

DO $$
BEGIN
    EXECUTE format(
        $sql$
        CREATE TEMP VIEW final AS
        SELECT
            target.customer_id, target.is_moving, row.line, NULL::jsonb AS owners, NULL::jsonb AS times,
            coalesce(row.last_update_date_time, (SELECT current_setting('import.launched_at')::timestamptz))
                AS acted_at,
            row.external_ids, row.custom_fields, row.subscriptions, %1$s
        FROM customer_row AS row
        JOIN target USING (line)
        WHERE NOT target.is_several
          AND NOT target.creates
        UNION ALL
        SELECT
            customer_id, is_moving, line, owners, times, acted_at,
            external_ids, custom_fields, subscriptions, %2$s
        FROM folded
        WHERE NOT is_created
        $sql$,
        (SELECT string_agg(format('row.%I, row.%I', name, name || '__clear'), ', ' ORDER BY position) FROM plain_field),
        (SELECT string_agg(format('%I, %I', name, name || '__clear'), ', ' ORDER BY position) FROM plain_field));
END
$$;

CREATE TEMP TABLE subscription ON COMMIT DROP AS
SELECT
    key,
    nullif(split_part(key, '/', 1), '') AS channel,
    nullif(substr(key, length(split_part(key, '/', 1)) + 2), '') AS topic,
    concat_ws('/', current_setting('import.brand'), nullif(key, '')) AS name
FROM load_field
WHERE staging_column = 'subscriptions'
  AND name = ANY (string_to_array(current_setting('import.fields'), ','));
