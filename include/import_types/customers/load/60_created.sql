-- Customers, 11 of 18: the customers that the file creates. Source: CU-01, CU-10, CU-11.
--
-- Reads     plain_field, spoken_for; the view customer_row; the settings import.action, import.launched_at
-- Leaves    created         one row a customer that the file creates, with the last values of the file. line is the row
--                           that creates it; times are those of subscriptions from another row. Customers that may
--                           have several rows are still missing (70)
-- Changes   target: now of all accepted rows

-- Rows that are alone and hit nobody, in the order of the file: the keys of all tables are then filled in their order.
DO $$
BEGIN
    EXECUTE format(
        $sql$
        CREATE TEMP TABLE created ON COMMIT DROP AS
        SELECT
            nextval('loyalty.customer_id_seq') AS customer_id, row.line, NULL::jsonb AS times,
            coalesce(row.source_date_time, row.last_update_date_time,
                     (SELECT current_setting('import.launched_at')::timestamptz)) AS acted_at,
            row.external_ids, row.subscriptions, row.custom_fields, row.source_action_template,
            coalesce(row.source_point_of_contact, row.last_update_point_of_contact) AS point_of_contact, %s
        FROM customer_row AS row
        WHERE (SELECT current_setting('import.action')) = 'add_and_edit'
          AND NOT EXISTS (SELECT FROM spoken_for WHERE spoken_for.line = row.line)
        $sql$,
        (SELECT string_agg(format('row.%I', name), ', ' ORDER BY position) FROM plain_field));
END
$$;
INSERT INTO target
SELECT line, customer_id, true, false, false
FROM created;
ANALYZE target;
