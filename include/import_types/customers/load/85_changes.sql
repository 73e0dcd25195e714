-- Customers, 16 of 18: what really changes. Source: CU-04, CU-05, CU-13.
--
-- Reads     plain_field, candidate_final, subscription, loyalty.customer and its tables
-- Leaves    change          one row for each field of a customer that really changes, with the line that it belongs to;
--                           before and after are NULL where there is no value

CREATE TEMP TABLE change (
    customer_id bigint, line bigint, staging_column text, key text, name text, before jsonb, after jsonb
) ON COMMIT DROP;

DO $$
BEGIN
    EXECUTE format(
        $sql$
        INSERT INTO change
        SELECT
            final.customer_id, coalesce((final.owners ->> (field.staging_column || '.'))::bigint, final.line),
            field.staging_column, '', field.staging_column, field.before, field.after
        FROM candidate_final AS final
        JOIN loyalty.customer ON customer.id = final.customer_id
        CROSS JOIN LATERAL (%s) AS field (staging_column, before, after)
        $sql$,
        (SELECT string_agg(
             format('SELECT %1$L, to_jsonb(customer.%1$I), to_jsonb(final.%1$I) '
                    'WHERE final.%1$I IS DISTINCT FROM customer.%1$I AND (final.%1$I IS NOT NULL OR final.%2$I)',
                    name, name || '__clear'), ' UNION ALL ' ORDER BY position)
         FROM plain_field
         WHERE name <> 'email'));
END
$$;

INSERT INTO change
SELECT
    final.customer_id, coalesce((final.owners ->> 'email.')::bigint, final.line), 'email', '', 'email',
    to_jsonb(customer.email), to_jsonb(final.email)
FROM candidate_final AS final
JOIN loyalty.customer ON customer.id = final.customer_id
WHERE (final.email IS NOT NULL OR final.email__clear)
  AND lower(final.email) IS DISTINCT FROM lower(customer.email)
UNION ALL
SELECT
    final.customer_id, coalesce((final.owners ->> ('custom_fields.' || field.key))::bigint, final.line),
    'custom_fields', field.key, 'custom_field.' || field.key, customer.custom_fields -> field.key,
    nullif(field.value, 'null')
FROM candidate_final AS final
JOIN loyalty.customer ON customer.id = final.customer_id
CROSS JOIN LATERAL jsonb_each(final.custom_fields) AS field
WHERE nullif(field.value, 'null') IS DISTINCT FROM customer.custom_fields -> field.key
UNION ALL
SELECT
    final.customer_id, coalesce((final.owners ->> ('external_ids.' || field.key))::bigint, final.line), 'external_ids',
    field.key, 'external_id.' || field.key, to_jsonb(own.value), nullif(field.value, 'null')
FROM candidate_final AS final
CROSS JOIN LATERAL jsonb_each(final.external_ids) AS field
LEFT JOIN loyalty.customer_external_id AS own
  ON own.customer_id = final.customer_id
 AND own.system = field.key
WHERE field.value #>> '{}' IS DISTINCT FROM own.value
UNION ALL
SELECT
    final.customer_id, coalesce((final.owners ->> ('subscriptions.' || subscription.key))::bigint, final.line),
    'subscriptions', subscription.key, 'subscription.' || subscription.name, to_jsonb(stored.is_subscribed),
    nullif(final.subscriptions -> subscription.key, 'null')
FROM candidate_final AS final
JOIN subscription ON final.subscriptions ? subscription.key
LEFT JOIN loyalty.customer_subscription AS stored
  ON stored.customer_id = final.customer_id
 AND stored.brand = (SELECT current_setting('import.brand'))
 AND stored.channel IS NOT DISTINCT FROM subscription.channel
 AND stored.topic IS NOT DISTINCT FROM subscription.topic
WHERE stored.is_subscribed IS DISTINCT FROM (final.subscriptions ->> subscription.key)::boolean;
ANALYZE change;
