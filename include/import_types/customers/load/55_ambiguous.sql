-- Customers, 10 of 18: reject ambiguous rows. Source: CU-03, X-08.
--
-- Those of before the file are added here: all but the entangled ones, and the suite's rejects are reported as well.
--
-- Reads     identifier, matched, several, load_rule
-- Changes   ambiguous_identifier: now of all rows
-- Writes    load_reject     row.ambiguous_customer, ….belongs_to_another

DO $$
DECLARE
    field identifier;
BEGIN
    FOR field IN SELECT * FROM identifier LOOP
        EXECUTE format(
            'INSERT INTO ambiguous_identifier '
            'SELECT line, %1$s, holder_%1$s, is_valid AND holder_%1$s <> first_hit AND %2$s '
            'FROM (SELECT *, coalesce(%3$s) AS first_hit FROM matched WHERE is_ambiguous) AS row '
            'WHERE holder_%1$s IS NOT NULL '
            'AND NOT EXISTS (SELECT FROM several WHERE several.line = row.line AND several.is_entangled)',
            field.position,
            CASE
                WHEN field.system IS NULL THEN format(
                    'EXISTS (SELECT FROM loyalty.customer WHERE id = first_hit AND %I IS NOT NULL)', field.name)
                ELSE format(
                    'EXISTS (SELECT FROM loyalty.customer_external_id AS own '
                    'WHERE own.customer_id = first_hit AND own.system = %L)', field.system)
            END,
            (SELECT string_agg(format('holder_%s', position), ', ' ORDER BY position) FROM identifier));
    END LOOP;
END
$$;

INSERT INTO load_reject
SELECT
    ambiguous.line, rule.id,
    replace(replace(rule.message, '{value}', ambiguous.customers::text), '{fields}', ambiguous.labels)
FROM (
    SELECT
        hit.line, count(DISTINCT hit.customer) AS customers,
        string_agg(identifier.label, ', ' ORDER BY identifier.position) AS labels
    FROM ambiguous_identifier AS hit
    JOIN identifier USING (position)
    GROUP BY hit.line
) AS ambiguous
JOIN load_rule AS rule ON rule.id = 'row.ambiguous_customer';

INSERT INTO load_reject
SELECT hit.line, rule.id, rule.message
FROM ambiguous_identifier AS hit
JOIN identifier USING (position)
JOIN load_rule AS rule ON rule.id = identifier.name || '.belongs_to_another'
WHERE hit.is_taken;
