-- Customers, 8 of 18: external ids that rows would replace, of rows that are not entangled. Source: CU-03, X-08.
--
-- A row that finds its customer by e-mail or phone alone replaces no external id that the customer has, unless the
-- setting replace_external_ids allows it; the suite's rejects are reported as well. Where rows may replace it, or find
-- the customer by another external id, that is a warning: nothing is merged silently.
--
-- Reads     identifier, load_setting, matched, several, load_rule
-- Changes   differing: now of all rows
-- Writes    load_reject     external_id.differs
--           load_warning    external_id.replaced

DO $$
DECLARE
    field identifier;
BEGIN
    FOR field IN SELECT * FROM identifier WHERE system IS NOT NULL LOOP
        EXECUTE format(
            'WITH replacing AS ('
            'SELECT row.line, row.tuple, row.is_valid, '
            'row.is_named OR (SELECT replace_external_ids FROM load_setting) AS may_replace '
            'FROM matched AS row '
            'JOIN loyalty.customer_external_id AS own ON own.customer_id = row.customer_id AND own.system = %2$L '
            'WHERE NOT row.is_ambiguous AND row.mark_%1$s IS NOT NULL AND row.holder_%1$s IS NULL '
            'AND NOT EXISTS (SELECT FROM several WHERE several.line = row.line AND several.is_entangled)'
            '), rejected AS ('
            'INSERT INTO differing SELECT line, %1$s FROM replacing WHERE NOT may_replace'
            ') '
            'INSERT INTO load_warning '
            'SELECT min(line), ''external_id.replaced'' '
            'FROM replacing '
            'WHERE may_replace AND is_valid '
            'GROUP BY tuple '
            'HAVING min(line) NOT IN (SELECT line FROM load_warning WHERE rule = ''external_id.replaced'')',
            field.position, field.system);
    END LOOP;
END
$$;
INSERT INTO load_reject
SELECT rejected.line, rule.id, replace(rule.message, '{fields}', rejected.labels)
FROM (
    SELECT differing.line, string_agg(identifier.label, ', ' ORDER BY identifier.position) AS labels
    FROM differing
    JOIN identifier USING (position)
    GROUP BY differing.line
) AS rejected
JOIN load_rule AS rule ON rule.id = 'external_id.differs';
ANALYZE differing;
