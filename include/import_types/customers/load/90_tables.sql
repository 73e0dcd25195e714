-- Customers, 17 of 18: write the customers. Source: CU-04, CU-06, CU-09.
--
-- Reads     plain_field, identifier, entangled_identifier, created, candidate_final, subscription, change, target
-- Writes    loyalty.customer, customer_external_id, customer_subscription, segment, segment_member
-- Raises    serialization_failure: another transaction has just committed the same identifier, subscription or member;
--           the load is repeated, and finds it

DO $$
DECLARE
    plain_columns text := (SELECT string_agg(format('%I', name), ', ' ORDER BY position) FROM plain_field);
    violated text;
BEGIN
    -- Identifiers that one customer gives away and another one gets must be free before.
    UPDATE loyalty.customer
    SET email = CASE WHEN released.columns ? 'email' THEN NULL ELSE customer.email END,
        mobile_phone = CASE WHEN released.columns ? 'mobile_phone' THEN NULL ELSE customer.mobile_phone END
    FROM (
        SELECT change.customer_id, jsonb_agg(DISTINCT change.staging_column) AS columns
        FROM change
        JOIN identifier ON identifier.name = change.staging_column
        JOIN entangled_identifier AS wanted
          ON wanted.position = identifier.position
         AND wanted.value = lower((change.before #>> '{}') COLLATE "C")
        GROUP BY change.customer_id
    ) AS released
    WHERE customer.id = released.customer_id;
    DELETE FROM loyalty.customer_external_id AS own
    USING change
    WHERE change.staging_column = 'external_ids'
      AND change.before IS NOT NULL
      AND own.customer_id = change.customer_id
      AND own.system = change.key;

    EXECUTE format(
        $sql$
        INSERT INTO loyalty.customer (id, custom_fields, created_at, import_job_id, import_line, %1$s)
        SELECT
            customer_id, coalesce(jsonb_strip_nulls(custom_fields), '{}'), acted_at,
            (SELECT current_setting('import.job_id')::bigint), line, %1$s
        FROM created
        $sql$, plain_columns);
    EXECUTE format(
        $sql$
        UPDATE loyalty.customer
        SET (custom_fields, %1$s) = (
            SELECT jsonb_strip_nulls(customer.custom_fields || coalesce(changed.custom_fields, '{}')), %1$s
            FROM jsonb_populate_record(customer, changed.columns)
        )
        FROM (
            SELECT
                customer_id,
                coalesce(
                    jsonb_object_agg(staging_column, after) FILTER (WHERE staging_column <> 'custom_fields'), '{}'
                ) AS columns,
                jsonb_object_agg(key, after) FILTER (WHERE staging_column = 'custom_fields') AS custom_fields
            FROM change
            WHERE staging_column NOT IN ('external_ids', 'subscriptions')
            GROUP BY customer_id
        ) AS changed
        WHERE customer.id = changed.customer_id
        $sql$, plain_columns);

    INSERT INTO loyalty.customer_external_id (system, value, customer_id)
    SELECT identifier.system, (created.external_ids ->> identifier.system) COLLATE "C", created.customer_id
    FROM created
    JOIN identifier ON created.external_ids ->> identifier.system IS NOT NULL
    WHERE identifier.system IS NOT NULL
    UNION ALL
    SELECT key, after #>> '{}', customer_id
    FROM change
    WHERE staging_column = 'external_ids'
      AND after IS NOT NULL;

    UPDATE loyalty.customer_subscription AS stored
    SET is_subscribed = (change.after)::boolean,
        changed_at = coalesce((final.times ->> change.key)::timestamptz, final.acted_at),
        data_source = (SELECT current_setting('import.data_source')),
        job_id = (SELECT current_setting('import.job_id')::bigint)
    FROM change
    JOIN subscription USING (key)
    JOIN candidate_final AS final USING (customer_id)
    WHERE change.staging_column = 'subscriptions'
      AND stored.customer_id = change.customer_id
      AND stored.brand = (SELECT current_setting('import.brand'))
      AND stored.channel IS NOT DISTINCT FROM subscription.channel
      AND stored.topic IS NOT DISTINCT FROM subscription.topic;
    INSERT INTO loyalty.customer_subscription (
        customer_id, brand, channel, topic, is_subscribed, changed_at, data_source, job_id
    )
    SELECT
        created.customer_id, (SELECT current_setting('import.brand')), subscription.channel, subscription.topic,
        (created.subscriptions ->> subscription.key)::boolean,
        coalesce((created.times ->> subscription.key)::timestamptz, created.acted_at),
        (SELECT current_setting('import.data_source')), (SELECT current_setting('import.job_id')::bigint)
    FROM created
    JOIN subscription ON created.subscriptions ->> subscription.key IS NOT NULL
    UNION ALL
    SELECT
        change.customer_id, (SELECT current_setting('import.brand')), subscription.channel, subscription.topic,
        (change.after)::boolean, coalesce((final.times ->> change.key)::timestamptz, final.acted_at),
        (SELECT current_setting('import.data_source')), (SELECT current_setting('import.job_id')::bigint)
    FROM change
    JOIN subscription USING (key)
    JOIN candidate_final AS final USING (customer_id)
    WHERE change.staging_column = 'subscriptions'
      AND NOT EXISTS (
          SELECT
          FROM loyalty.customer_subscription AS stored
          WHERE stored.customer_id = change.customer_id
            AND stored.brand = (SELECT current_setting('import.brand'))
            AND stored.channel IS NOT DISTINCT FROM subscription.channel
            AND stored.topic IS NOT DISTINCT FROM subscription.topic
      );

    INSERT INTO loyalty.segment (name, is_configured)
    SELECT current_setting('import.segment', true), false
    WHERE nullif(current_setting('import.segment', true), '') IS NOT NULL
      AND EXISTS (SELECT FROM target)
    ON CONFLICT DO NOTHING;
    INSERT INTO loyalty.segment_member (segment, customer_id, job_id)
    SELECT DISTINCT
        (SELECT current_setting('import.segment', true)), customer_id,
        (SELECT current_setting('import.job_id')::bigint)
    FROM target
    WHERE nullif(current_setting('import.segment', true), '') IS NOT NULL
      AND NOT EXISTS (
          SELECT
          FROM loyalty.segment_member AS stored
          WHERE stored.segment = (SELECT current_setting('import.segment', true))
            AND stored.customer_id = target.customer_id
      )
    ORDER BY customer_id;
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    IF violated NOT IN ('customer_email_key', 'customer_mobile_phone_key', 'customer_external_id_pkey',
                        'customer_external_id_customer_key', 'customer_subscription_key', 'segment_member_pkey')
    THEN
        RAISE;
    END IF;
    -- Another load has just committed the same identifier, subscription or member: doing it again finds it there.
    RAISE EXCEPTION USING
        ERRCODE = 'serialization_failure',
        MESSAGE = 'customers were changed while the file was being loaded';
END
$$;
