-- Customers, 18 of 18: which row changed what, the actions, and the counts. Source: CU-05, CU-10, CU-11, CU-13.
--
-- Reads     target, created, several_row, folded, folded_field, subscription, change; the views staged, final
-- Writes    ledger.customer_change, loyalty.customer_action, load_count
-- Leaves    nothing: what the files have left for one another is dropped, so that a pooled session never sees it

-- What a row adds to a customer that an earlier row of the file has made.
INSERT INTO change
SELECT
    field.customer_id, field.line, field.staging_column, field.key,
    CASE field.staging_column
        WHEN 'external_ids' THEN 'external_id.' || field.key
        WHEN 'custom_fields' THEN 'custom_field.' || field.key
        WHEN 'subscriptions' THEN 'subscription.' || subscription.name
        ELSE field.staging_column
    END,
    NULL, field.value
FROM folded
JOIN folded_field AS field USING (customer_id)
LEFT JOIN subscription ON field.staging_column = 'subscriptions' AND subscription.key = field.key
WHERE folded.is_created
  AND field.line <> folded.line
  AND field.value IS NOT NULL;
ANALYZE change;

INSERT INTO ledger.customer_change (job_id, line, customer_id, fields)
SELECT
    (SELECT current_setting('import.job_id')::bigint), line, customer_id,
    jsonb_object_agg(name, jsonb_build_array(before, after))
FROM change
GROUP BY line, customer_id
ORDER BY line;

-- Only with a template of this category; what others name is saved without an action (CU-10).
INSERT INTO loyalty.customer_action (
    customer_id, kind, action_template, data_source, point_of_contact, acted_at, job_id, line
)
SELECT
    created.customer_id, 'creation', template.system_name, (SELECT current_setting('import.data_source')),
    coalesce(created.point_of_contact, (SELECT current_setting('import.point_of_contact'))), created.acted_at,
    (SELECT current_setting('import.job_id')::bigint), created.line
FROM created
JOIN loyalty.action_template AS template
  ON template.category = 'Personal action'
 AND template.system_name = created.source_action_template;

INSERT INTO loyalty.customer_action (
    customer_id, kind, action_template, data_source, point_of_contact, acted_at, job_id, line
)
SELECT
    row.customer_id, CASE WHEN row.creates THEN 'creation' ELSE 'edit' END, template.system_name,
    (SELECT current_setting('import.data_source')),
    coalesce(
        CASE WHEN row.creates THEN row.source_point_of_contact END, row.last_update_point_of_contact,
        row.source_point_of_contact, (SELECT current_setting('import.point_of_contact'))),
    row.acted_at, (SELECT current_setting('import.job_id')::bigint), row.line
FROM (
    SELECT
        customer_id, line, creates, acted_at, source_action_template, last_update_action_template,
        source_point_of_contact, last_update_point_of_contact
    FROM several_row
    UNION ALL
    SELECT
        target.customer_id, line, false,
        coalesce(staged.last_update_date_time, (SELECT current_setting('import.launched_at')::timestamptz)),
        staged.source_action_template, staged.last_update_action_template, staged.source_point_of_contact,
        staged.last_update_point_of_contact
    FROM staged
    JOIN target USING (line)
    WHERE NOT target.is_several
      AND NOT target.creates
) AS row
JOIN loyalty.action_template AS template
  ON template.category = 'Personal action'
 AND template.system_name = CASE
     WHEN row.creates THEN row.source_action_template
     ELSE coalesce(row.last_update_action_template, row.source_action_template)
 END
WHERE row.creates
   OR row.line IN (SELECT line FROM change)
ORDER BY row.line;

INSERT INTO load_count
SELECT 'inserted', count(*) FROM target WHERE creates
UNION ALL
SELECT 'updated', count(DISTINCT line) FROM change
UNION ALL
SELECT 'unchanged', (SELECT count(*) FROM target WHERE NOT creates) - (SELECT count(DISTINCT line) FROM change)
UNION ALL
SELECT 'not_found', count(*) FROM load_not_found;

DROP VIEW final, matching, customer_row;
DROP TABLE
    load_setting, identifier, plain_field, matched, shared, placeholder, several, several_staged, entangled_identifier,
    held_before, entangled_hit, entangled_customer, entangled_value, entangled_line, entangled_verdict,
    ambiguous_identifier, differing, target, spoken_for, created, several_row, folded_field, folded, subscription,
    candidate, candidate_final, change;
