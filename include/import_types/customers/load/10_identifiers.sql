-- Customers, 1 of 18: the identifiers and the plain fields of the file. Source: CU-01, CU-03.
--
-- All files together find out which customer each staged row is about, as if the rows were taken one by one in the
-- order of the file (10 to 55), then do what the accepted rows say (60 to 95). docs/explanation/customer-matching.md
-- has a worked example.
--
-- Reads     load_field; the view staged; the settings import.*
-- Leaves    load_setting    one row: the settings of this load
--           identifier      the identifiers that the file has columns for, in the order in which they decide, with SQL
--                           that reads their value from a staged row and finds who holds it
--           plain_field     the fields with a column of their own in loyalty.customer
--           customer_row    a view: staged, with full_name only where the row has no part of the name (CU-12)

-- Loads of customers go one after the other, and nobody is erased meanwhile.
SELECT pg_advisory_xact_lock(hashtext('loyalty.customer'));
SELECT loyalty.hold_customers();

-- Jobs that were opened by an earlier version have neither.
CREATE TEMP TABLE load_setting ON COMMIT DROP AS
SELECT
    coalesce(nullif(current_setting('import.shared_identifier_rows', true), ''), '20')::integer
        AS shared_identifier_rows,
    coalesce(nullif(current_setting('import.replace_external_ids', true), ''), 'false')::boolean
        AS replace_external_ids;

CREATE TEMP TABLE identifier ON COMMIT DROP AS
SELECT
    position, field.name, field.label, part.*
FROM (
    SELECT
        (row_number() OVER (ORDER BY staging_column <> 'external_ids', load_field.position))::integer AS position,
        name, label, staging_column, key
    FROM load_field
    WHERE staging_column IN ('external_ids', 'email', 'mobile_phone')
      AND name = ANY (string_to_array(current_setting('import.fields'), ','))
) AS field
CROSS JOIN LATERAL (
    SELECT
        key AS system,
        format('row.external_ids ->> %L', key) AS value_sql,
        format('row.external_ids -> %L = ''null''', key) AS cleared_sql,
        format('holder_%s.customer_id', position) AS holder_sql,
        format('LEFT JOIN loyalty.customer_external_id AS holder_%1$s ON holder_%1$s.system = %2$L '
               'AND holder_%1$s.value = row.external_ids ->> %2$L', position, key) AS join_sql
    WHERE staging_column = 'external_ids'
    UNION ALL
    SELECT
        NULL,
        'lower(row.email)',
        'row.email__clear',
        format('holder_%s.id', position),
        format('LEFT JOIN loyalty.customer AS holder_%1$s '
               'ON lower(holder_%1$s.email) = lower(row.email)', position)
    WHERE staging_column = 'email'
    UNION ALL
    SELECT
        NULL,
        'row.mobile_phone',
        'row.mobile_phone__clear',
        format('holder_%s.id', position),
        format('LEFT JOIN loyalty.customer AS holder_%1$s ON holder_%1$s.mobile_phone = row.mobile_phone', position)
    WHERE staging_column = 'mobile_phone'
) AS part;

CREATE TEMP TABLE plain_field ON COMMIT DROP AS
SELECT load_field.name, load_field.position
FROM load_field
JOIN pg_attribute AS attribute
  ON attribute.attrelid = 'loyalty.customer'::regclass
 AND attribute.attname = load_field.name
 AND NOT attribute.attisdropped
WHERE load_field.key IS NULL;

DO $$
BEGIN
    EXECUTE (
        SELECT format(
            'CREATE TEMP VIEW customer_row AS SELECT %s FROM staged',
            string_agg(
                CASE attname
                    WHEN 'full_name' THEN
                        'CASE WHEN coalesce(last_name, first_name, middle_name) IS NULL THEN full_name END AS full_name'
                    ELSE format('%I', attname)
                END, ', ' ORDER BY attnum))
        FROM pg_attribute
        WHERE attrelid = 'pg_temp.staged'::regclass
          AND attnum > 0
    );
END
$$;
