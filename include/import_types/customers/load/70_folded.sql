-- Customers, 13 of 18: fold the rows of one customer. Source: CU-13.
--
-- The values of every field are taken in the order of the file. The last one holds, and belongs to the first row of
-- the run of equal values that it ends.
--
-- Reads     plain_field, target, several_row
-- Leaves    folded_field    one row for each field of a customer that may have several rows: the value that holds
--                           (NULL: cleared), and the line that it belongs to
--           folded          one row a customer: the same in the shape of a staged row, with owners (field -> line) and
--                           times (subscription -> time)
-- Changes   created: now of all customers that the file makes

DO $$
BEGIN
    EXECUTE format(
        $sql$
        CREATE TEMP TABLE folded_field ON COMMIT DROP AS
        SELECT DISTINCT ON (customer_id, staging_column, key) customer_id, staging_column, key, value, line
        FROM (
            SELECT
                row.customer_id, row.line, field.staging_column, field.key, field.value,
                row_number() OVER rows_in_order = 1
                    OR CASE WHEN field.staging_column = 'email'
                           THEN lower((field.value #>> '{}') COLLATE "C")
                               IS DISTINCT FROM lower((lag(field.value) OVER rows_in_order #>> '{}') COLLATE "C")
                           ELSE field.value IS DISTINCT FROM lag(field.value) OVER rows_in_order
                       END AS begins_run
            FROM several_row AS row
            CROSS JOIN LATERAL (
                SELECT staging_column, '' AS key, value
                FROM (VALUES %s) AS plain (staging_column, value, is_cleared)
                WHERE value IS NOT NULL OR is_cleared
                UNION ALL
                SELECT 'external_ids', key, nullif(value, 'null')
                FROM jsonb_each(row.external_ids)
                UNION ALL
                SELECT 'custom_fields', key, nullif(value, 'null')
                FROM jsonb_each(row.custom_fields)
                UNION ALL
                SELECT 'subscriptions', key, nullif(value, 'null')
                FROM jsonb_each(row.subscriptions)
            ) AS field
            WINDOW rows_in_order AS (PARTITION BY row.customer_id, field.staging_column, field.key ORDER BY row.line)
        ) AS successive
        WHERE begins_run
        ORDER BY customer_id, staging_column, key, line DESC
        $sql$,
        (SELECT string_agg(format('(%1$L, to_jsonb(row.%1$I), row.%2$I)', name, name || '__clear'), ', ')
         FROM plain_field));
END
$$;
ANALYZE folded_field;

CREATE TEMP TABLE folded ON COMMIT DROP AS
SELECT head.is_created, head.is_moving, field.owners, field.times, final.*
FROM (
    SELECT customer_id, bool_or(creates) AS is_created, bool_or(is_moving) AS is_moving, min(line) AS line
    FROM target
    WHERE is_several
    GROUP BY customer_id
) AS head
JOIN several_row AS row USING (line)
JOIN (
    SELECT
        field.customer_id,
        jsonb_object_agg(staging_column || '.' || key, field.line) AS owners,
        jsonb_object_agg(key, owner.acted_at) FILTER (WHERE staging_column = 'subscriptions') AS times,
        coalesce(jsonb_object_agg(staging_column, value)
                 FILTER (WHERE key = '' AND staging_column <> 'subscriptions'), '{}')
            || coalesce(jsonb_object_agg(staging_column || '__clear', true)
                        FILTER (WHERE key = '' AND staging_column <> 'subscriptions' AND value IS NULL), '{}')
            || jsonb_build_object(
                'external_ids', jsonb_object_agg(key, value) FILTER (WHERE staging_column = 'external_ids'),
                'custom_fields', jsonb_object_agg(key, value) FILTER (WHERE staging_column = 'custom_fields'),
                'subscriptions', jsonb_object_agg(key, value) FILTER (WHERE staging_column = 'subscriptions')
            ) AS values
    FROM folded_field AS field
    JOIN several_row AS owner USING (line)
    GROUP BY field.customer_id
) AS field ON field.customer_id = head.customer_id
CROSS JOIN LATERAL jsonb_populate_record(NULL::several_row, field.values || jsonb_build_object(
    'customer_id', head.customer_id, 'line', head.line, 'acted_at', row.acted_at)
) AS final;
ANALYZE folded (customer_id);

DO $$
BEGIN
    EXECUTE format(
        $sql$
        INSERT INTO created (
            customer_id, line, times, acted_at, external_ids, subscriptions, custom_fields, %1$s
        )
        SELECT customer_id, line, times, acted_at, external_ids, subscriptions, custom_fields, %1$s
        FROM folded
        WHERE is_created
        $sql$,
        (SELECT string_agg(format('%I', name), ', ') FROM plain_field));
END
$$;
ANALYZE created (customer_id);
