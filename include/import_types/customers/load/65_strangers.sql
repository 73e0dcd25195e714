-- Customers, 12 of 18: the rows of customers that may have several, and strangers among them. Source: CU-03, CU-13.
--
-- Reads     target, several_staged
-- Leaves    several_row     the accepted rows of customers that may have several, with their customers
-- Writes    load_warning    row.shared_identifier

CREATE TEMP TABLE several_row ON COMMIT DROP AS
SELECT
    target.customer_id, target.creates,
    coalesce(
        CASE WHEN target.creates THEN row.source_date_time END, row.last_update_date_time,
        (SELECT current_setting('import.launched_at')::timestamptz)
    ) AS acted_at,
    row.*
FROM several_staged AS row
JOIN target USING (line)
WHERE target.is_several;
CREATE UNIQUE INDEX ON several_row (line);
ANALYZE several_row (line, customer_id);

-- Rows that became one customer by an e-mail or phone that they share, although they differ in the other one, or in
-- every word of the name: strangers, perhaps (CU-03). Rows that share an external id are surely about the same
-- customer.
-- Names of one word may be corrected or shortened: only from the fourth on are they too many for one person.
INSERT INTO load_warning
SELECT line, 'row.shared_identifier'
FROM (
    SELECT
        row.line, field.name, field.value, lower(row.email) AS email, row.mobile_phone, row.external_ids,
        lag(field.value) OVER rows_in_order AS earlier_value,
        lag(lower(row.email)) OVER rows_in_order AS earlier_email,
        lag(row.mobile_phone) OVER rows_in_order AS earlier_phone,
        lag(row.external_ids) OVER rows_in_order AS earlier_ids
    FROM several_row AS row
    CROSS JOIN LATERAL (
        VALUES
            ('email', lower(row.email)),
            ('mobile_phone', row.mobile_phone),
            ('name', lower((CASE
                WHEN row.first_name IS NOT NULL AND row.last_name IS NOT NULL
                    THEN row.first_name || ' ' || row.last_name
                WHEN coalesce(row.last_name, row.first_name, row.middle_name) IS NULL THEN row.full_name
            END) COLLATE "pg_c_utf8") COLLATE "C")
    ) AS field (name, value)
    WHERE field.value IS NOT NULL
      AND (field.name <> 'name' OR field.value LIKE '% %')
    WINDOW rows_in_order AS (PARTITION BY row.customer_id, field.name ORDER BY row.line)
) AS successive
WHERE value <> earlier_value
  AND (email = earlier_email OR mobile_phone = earlier_phone)
  AND NOT (name = 'name' AND string_to_array(value, ' ') && string_to_array(earlier_value, ' '))
  AND NOT EXISTS (
      SELECT
      FROM jsonb_each_text(external_ids) AS id
      WHERE id.value = earlier_ids ->> id.key
  )
UNION
SELECT line, 'row.shared_identifier'
FROM (
    SELECT line, dense_rank() OVER (PARTITION BY customer_id ORDER BY first_line) AS place
    FROM (
        SELECT row.line, row.customer_id, min(row.line) OVER (PARTITION BY row.customer_id, name) AS first_line
        FROM several_row AS row
        CROSS JOIN LATERAL lower(
            coalesce(row.first_name, row.last_name, row.middle_name, row.full_name) COLLATE "pg_c_utf8") AS name
        WHERE name IS NOT NULL
          AND NOT EXISTS (SELECT FROM jsonb_each_text(row.external_ids) AS id WHERE id.value IS NOT NULL)
    ) AS named
) AS numbered
WHERE place > 3;
