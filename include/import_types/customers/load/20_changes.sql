-- Does what the accepted rows say of their customers: creates them, changes what really changes, and records which row
-- changed what (CU-04 to CU-13). Goes on where load_customers.sql ends.
--
--   created      one row a customer that the file makes: what it says of it in the end. line is the row that makes it;
--                times are those of subscriptions that another row says
--   final        a view, the same of customers that were there before, in the shape of a staged row. line is the row
--                that says it, unless owners names another for a field
--   change       one row for each field of a customer that really changes, with the line that it belongs to

-- Rows that are alone and hit nobody, in the order of the file: the keys of all tables are then filled in their order.
CREATE TEMP TABLE created ON COMMIT DROP AS
SELECT
    nextval('loyalty.customer_id_seq') AS customer_id, row.line, NULL::jsonb AS times,
    coalesce(row.source_date_time, row.last_update_date_time,
             (SELECT current_setting('import.launched_at')::timestamptz)) AS acted_at,
    row.external_ids, row.subscriptions, row.custom_fields, row.source_action_template,
    coalesce(row.source_point_of_contact, row.last_update_point_of_contact) AS point_of_contact,
    row.email, row.is_email_confirmed, row.mobile_phone, row.is_mobile_phone_confirmed, row.discount_card, row.area,
    row.last_name, row.first_name, row.middle_name,
    CASE WHEN coalesce(row.last_name, row.first_name, row.middle_name) IS NULL THEN row.full_name END AS full_name,
    row.sex, row.birth_date
FROM staged AS row
WHERE (SELECT current_setting('import.action')) = 'add_and_edit'
  AND NOT EXISTS (SELECT FROM spoken_for WHERE spoken_for.line = row.line);
INSERT INTO target
SELECT line, customer_id, true, false, false
FROM created;
ANALYZE target;

-- The rows of customers that may have several.
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

-- Rows that became one customer by an e-mail or phone that they share, although they differ in the other one, or in every
-- word of the name: strangers, perhaps (CU-03). Rows that share an external id are surely about the same customer.
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
                WHEN row.first_name IS NOT NULL AND row.last_name IS NOT NULL THEN row.first_name || ' ' || row.last_name
                WHEN coalesce(row.last_name, row.first_name, row.middle_name) IS NULL THEN row.full_name
            END) COLLATE "pg_c_utf8") COLLATE "C")
    ) AS field (name, value)
    WHERE field.value IS NOT NULL
      AND (field.name <> 'name' OR field.value LIKE '% %')
    WINDOW rows_in_order AS (PARTITION BY row.customer_id, field.name ORDER BY row.line)
) AS given
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

-- Customers that may have several rows: each field's values are taken in the order of the file. The last one holds, and
-- belongs to the first row of the run of equal values that it ends.
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
        FROM (
            VALUES
                ('email', to_jsonb(row.email), row.email__clear),
                ('is_email_confirmed', to_jsonb(row.is_email_confirmed), row.is_email_confirmed__clear),
                ('mobile_phone', to_jsonb(row.mobile_phone), row.mobile_phone__clear),
                ('is_mobile_phone_confirmed', to_jsonb(row.is_mobile_phone_confirmed),
                    row.is_mobile_phone_confirmed__clear),
                ('discount_card', to_jsonb(row.discount_card), row.discount_card__clear),
                ('area', to_jsonb(row.area), row.area__clear),
                ('last_name', to_jsonb(row.last_name), row.last_name__clear),
                ('first_name', to_jsonb(row.first_name), row.first_name__clear),
                ('middle_name', to_jsonb(row.middle_name), row.middle_name__clear),
                ('full_name', to_jsonb(row.full_name), row.full_name__clear),
                ('sex', to_jsonb(row.sex), row.sex__clear),
                ('birth_date', to_jsonb(row.birth_date), row.birth_date__clear)
        ) AS plain (staging_column, value, is_cleared)
        WHERE (value IS NOT NULL OR is_cleared)
          AND (staging_column <> 'full_name' OR is_cleared
               OR coalesce(row.last_name, row.first_name, row.middle_name) IS NULL)
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
) AS given
WHERE begins_run
ORDER BY customer_id, staging_column, key, line DESC;
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
INSERT INTO created (
    customer_id, line, times, acted_at, external_ids, subscriptions, custom_fields, email, is_email_confirmed,
    mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name, first_name, middle_name, full_name, sex,
    birth_date
)
SELECT
    customer_id, line, times, acted_at, external_ids, subscriptions, custom_fields, email, is_email_confirmed,
    mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name, first_name, middle_name, full_name, sex,
    birth_date
FROM folded
WHERE is_created;
ANALYZE created (customer_id);

CREATE TEMP VIEW final AS
SELECT
    target.customer_id, target.is_moving, row.line, NULL::jsonb AS owners, NULL::jsonb AS times,
    coalesce(row.last_update_date_time, (SELECT current_setting('import.launched_at')::timestamptz)) AS acted_at,
    row.email, row.email__clear, row.is_email_confirmed, row.is_email_confirmed__clear,
    row.mobile_phone, row.mobile_phone__clear, row.is_mobile_phone_confirmed, row.is_mobile_phone_confirmed__clear,
    row.discount_card, row.discount_card__clear, row.area, row.area__clear,
    row.last_name, row.last_name__clear, row.first_name, row.first_name__clear, row.middle_name, row.middle_name__clear,
    CASE WHEN coalesce(row.last_name, row.first_name, row.middle_name) IS NULL THEN row.full_name END AS full_name,
    row.full_name__clear, row.sex, row.sex__clear, row.birth_date, row.birth_date__clear,
    row.external_ids, row.custom_fields, row.subscriptions
FROM staged AS row
JOIN target USING (line)
WHERE NOT target.is_several
  AND NOT target.creates
UNION ALL
SELECT
    customer_id, is_moving, line, owners, times, acted_at,
    email, email__clear, is_email_confirmed, is_email_confirmed__clear,
    mobile_phone, mobile_phone__clear, is_mobile_phone_confirmed, is_mobile_phone_confirmed__clear,
    discount_card, discount_card__clear, area, area__clear,
    last_name, last_name__clear, first_name, first_name__clear, middle_name, middle_name__clear,
    full_name, full_name__clear, sex, sex__clear, birth_date, birth_date__clear,
    external_ids, custom_fields, subscriptions
FROM folded
WHERE NOT is_created;

-- The subscriptions that the file has columns for.
CREATE TEMP TABLE subscription ON COMMIT DROP AS
SELECT
    key,
    nullif(split_part(key, '/', 1), '') AS channel,
    nullif(substr(key, length(split_part(key, '/', 1)) + 2), '') AS topic,
    concat_ws('/', current_setting('import.brand'), nullif(key, '')) AS name
FROM load_field
WHERE staging_column = 'subscriptions'
  AND name = ANY (string_to_array(current_setting('import.fields'), ','));

-- Customers of before the file that it may change. What it says of most is as it was; to find that out takes no lock.
CREATE TEMP TABLE candidate ON COMMIT DROP AS
SELECT final.customer_id
FROM final
JOIN loyalty.customer ON customer.id = final.customer_id
WHERE final.is_moving
   OR final.is_email_confirmed <> customer.is_email_confirmed
   OR final.is_email_confirmed IS NOT NULL AND customer.is_email_confirmed IS NULL
   OR final.is_email_confirmed__clear AND customer.is_email_confirmed IS NOT NULL
   OR final.is_mobile_phone_confirmed <> customer.is_mobile_phone_confirmed
   OR final.is_mobile_phone_confirmed IS NOT NULL AND customer.is_mobile_phone_confirmed IS NULL
   OR final.is_mobile_phone_confirmed__clear AND customer.is_mobile_phone_confirmed IS NOT NULL
   OR final.discount_card <> customer.discount_card
   OR final.discount_card IS NOT NULL AND customer.discount_card IS NULL
   OR final.discount_card__clear AND customer.discount_card IS NOT NULL
   OR final.area <> customer.area
   OR final.area IS NOT NULL AND customer.area IS NULL
   OR final.area__clear AND customer.area IS NOT NULL
   OR final.last_name <> customer.last_name
   OR final.last_name IS NOT NULL AND customer.last_name IS NULL
   OR final.last_name__clear AND customer.last_name IS NOT NULL
   OR final.first_name <> customer.first_name
   OR final.first_name IS NOT NULL AND customer.first_name IS NULL
   OR final.first_name__clear AND customer.first_name IS NOT NULL
   OR final.middle_name <> customer.middle_name
   OR final.middle_name IS NOT NULL AND customer.middle_name IS NULL
   OR final.middle_name__clear AND customer.middle_name IS NOT NULL
   OR final.full_name <> customer.full_name
   OR final.full_name IS NOT NULL AND customer.full_name IS NULL
   OR final.full_name__clear AND customer.full_name IS NOT NULL
   OR final.sex <> customer.sex
   OR final.sex IS NOT NULL AND customer.sex IS NULL
   OR final.sex__clear AND customer.sex IS NOT NULL
   OR final.birth_date <> customer.birth_date
   OR final.birth_date IS NOT NULL AND customer.birth_date IS NULL
   OR final.birth_date__clear AND customer.birth_date IS NOT NULL
   OR NOT customer.custom_fields @> final.custom_fields
      AND jsonb_strip_nulls(customer.custom_fields || final.custom_fields) <> customer.custom_fields;

INSERT INTO candidate
SELECT final.customer_id
FROM final
JOIN subscription ON final.subscriptions ? subscription.key
LEFT JOIN loyalty.customer_subscription AS known
  ON known.customer_id = final.customer_id
 AND known.brand = (SELECT current_setting('import.brand'))
 AND coalesce(known.channel, '') = coalesce(subscription.channel, '')
 AND coalesce(known.topic, '') = coalesce(subscription.topic, '')
WHERE known.is_subscribed IS DISTINCT FROM (final.subscriptions ->> subscription.key)::boolean;
ANALYZE candidate;

-- From here on nobody else changes them.
DO $$
BEGIN
    PERFORM FROM loyalty.customer
    WHERE id IN (SELECT customer_id FROM candidate)
    ORDER BY id
    FOR NO KEY UPDATE;
END
$$;

CREATE TEMP TABLE candidate_final ON COMMIT DROP AS
SELECT *
FROM final
WHERE customer_id IN (SELECT customer_id FROM candidate);
ANALYZE candidate_final;

-- They must still be whom the rows were matched with: otherwise somebody else has given an identifier away meanwhile,
-- and the load begins anew.
DO $$
BEGIN
    IF EXISTS (
        SELECT
        FROM held_before
        JOIN candidate USING (customer_id)
        JOIN identifier USING (position)
        WHERE CASE
            WHEN identifier.system IS NOT NULL THEN NOT EXISTS (
                SELECT
                FROM loyalty.customer_external_id AS own
                WHERE own.customer_id = held_before.customer_id
                  AND own.system = identifier.system
                  AND own.value = held_before.value)
            ELSE NOT EXISTS (
                SELECT
                FROM loyalty.customer
                WHERE customer.id = held_before.customer_id
                  AND held_before.value = CASE identifier.name
                      WHEN 'email' THEN lower(customer.email)
                      ELSE customer.mobile_phone
                  END)
        END
    ) OR EXISTS (
        SELECT
        FROM candidate_final AS final
        JOIN loyalty.customer ON customer.id = final.customer_id
        WHERE final.customer_id NOT IN (SELECT customer_id FROM held_before)
          AND coalesce(lower(final.email) <> lower(customer.email), true)
          AND coalesce(final.mobile_phone <> customer.mobile_phone, true)
          AND NOT EXISTS (
              SELECT
              FROM loyalty.customer_external_id AS own
              WHERE own.customer_id = final.customer_id
                AND own.value = final.external_ids ->> own.system)
    ) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'serialization_failure',
            MESSAGE = 'identifiers of customers were changed while the file was being loaded';
    END IF;
END
$$;

CREATE TEMP TABLE change (
    customer_id bigint, line bigint, staging_column text, key text, name text, before jsonb, after jsonb
) ON COMMIT DROP;

INSERT INTO change
SELECT
    final.customer_id, coalesce((final.owners ->> (field.staging_column || '.'))::bigint, final.line),
    field.staging_column, '', field.staging_column, field.before, field.after
FROM candidate_final AS final
JOIN loyalty.customer ON customer.id = final.customer_id
CROSS JOIN LATERAL (
    VALUES
        ('is_email_confirmed', to_jsonb(customer.is_email_confirmed), to_jsonb(final.is_email_confirmed),
            final.is_email_confirmed__clear),
        ('mobile_phone', to_jsonb(customer.mobile_phone), to_jsonb(final.mobile_phone), final.mobile_phone__clear),
        ('is_mobile_phone_confirmed', to_jsonb(customer.is_mobile_phone_confirmed),
            to_jsonb(final.is_mobile_phone_confirmed), final.is_mobile_phone_confirmed__clear),
        ('discount_card', to_jsonb(customer.discount_card), to_jsonb(final.discount_card), final.discount_card__clear),
        ('area', to_jsonb(customer.area), to_jsonb(final.area), final.area__clear),
        ('last_name', to_jsonb(customer.last_name), to_jsonb(final.last_name), final.last_name__clear),
        ('first_name', to_jsonb(customer.first_name), to_jsonb(final.first_name), final.first_name__clear),
        ('middle_name', to_jsonb(customer.middle_name), to_jsonb(final.middle_name), final.middle_name__clear),
        ('full_name', to_jsonb(customer.full_name), to_jsonb(final.full_name), final.full_name__clear),
        ('sex', to_jsonb(customer.sex), to_jsonb(final.sex), final.sex__clear),
        ('birth_date', to_jsonb(customer.birth_date), to_jsonb(final.birth_date), final.birth_date__clear)
) AS field (staging_column, before, after, is_cleared)
WHERE (field.after IS NOT NULL OR field.is_cleared)
  AND field.after IS DISTINCT FROM field.before
UNION ALL
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
    'subscriptions', subscription.key, 'subscription.' || subscription.name, to_jsonb(known.is_subscribed),
    nullif(final.subscriptions -> subscription.key, 'null')
FROM candidate_final AS final
JOIN subscription ON final.subscriptions ? subscription.key
LEFT JOIN loyalty.customer_subscription AS known
  ON known.customer_id = final.customer_id
 AND known.brand = (SELECT current_setting('import.brand'))
 AND known.channel IS NOT DISTINCT FROM subscription.channel
 AND known.topic IS NOT DISTINCT FROM subscription.topic
WHERE known.is_subscribed IS DISTINCT FROM (final.subscriptions ->> subscription.key)::boolean;
ANALYZE change;

DO $$
DECLARE
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

    INSERT INTO loyalty.customer (
        id, email, is_email_confirmed, mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name,
        first_name, middle_name, full_name, sex, birth_date, custom_fields, created_at, import_job_id, import_line
    )
    SELECT
        customer_id, email, is_email_confirmed, mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name,
        first_name, middle_name, full_name, sex, birth_date, coalesce(jsonb_strip_nulls(custom_fields), '{}'), acted_at,
        (SELECT current_setting('import.job_id')::bigint), line
    FROM created;

    UPDATE loyalty.customer
    SET (email, is_email_confirmed, mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name, first_name,
         middle_name, full_name, sex, birth_date, custom_fields) = (
        SELECT
            email, is_email_confirmed, mobile_phone, is_mobile_phone_confirmed, discount_card, area, last_name,
            first_name, middle_name, full_name, sex, birth_date,
            jsonb_strip_nulls(customer.custom_fields || coalesce(changed.custom_fields, '{}'))
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
    WHERE customer.id = changed.customer_id;

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

    UPDATE loyalty.customer_subscription AS known
    SET is_subscribed = (change.after)::boolean,
        changed_at = coalesce((final.times ->> change.key)::timestamptz, final.acted_at),
        data_source = (SELECT current_setting('import.data_source')),
        job_id = (SELECT current_setting('import.job_id')::bigint)
    FROM change
    JOIN subscription USING (key)
    JOIN candidate_final AS final USING (customer_id)
    WHERE change.staging_column = 'subscriptions'
      AND known.customer_id = change.customer_id
      AND known.brand = (SELECT current_setting('import.brand'))
      AND known.channel IS NOT DISTINCT FROM subscription.channel
      AND known.topic IS NOT DISTINCT FROM subscription.topic;
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
          FROM loyalty.customer_subscription AS known
          WHERE known.customer_id = change.customer_id
            AND known.brand = (SELECT current_setting('import.brand'))
            AND known.channel IS NOT DISTINCT FROM subscription.channel
            AND known.topic IS NOT DISTINCT FROM subscription.topic
      );

    INSERT INTO loyalty.segment (name, is_configured)
    SELECT current_setting('import.segment', true), false
    WHERE nullif(current_setting('import.segment', true), '') IS NOT NULL
      AND EXISTS (SELECT FROM target)
    ON CONFLICT DO NOTHING;
    INSERT INTO loyalty.segment_member (segment, customer_id, job_id)
    SELECT DISTINCT (SELECT current_setting('import.segment', true)), customer_id, (SELECT current_setting('import.job_id')::bigint)
    FROM target
    WHERE nullif(current_setting('import.segment', true), '') IS NOT NULL
      AND NOT EXISTS (
          SELECT
          FROM loyalty.segment_member AS known
          WHERE known.segment = (SELECT current_setting('import.segment', true))
            AND known.customer_id = target.customer_id
      )
    ORDER BY customer_id;
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    IF violated NOT IN ('customer_email_key', 'customer_mobile_phone_key', 'customer_external_id_pkey',
                        'customer_external_id_customer_key', 'customer_subscription_key', 'segment_member_pkey')
    THEN
        RAISE;
    END IF;
    -- Somebody else has just committed the same identifier, subscription or member: doing it again finds it there.
    RAISE EXCEPTION USING
        ERRCODE = 'serialization_failure',
        MESSAGE = 'customers were changed while the file was being loaded';
END
$$;

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

DROP VIEW final;
DROP TABLE load_setting, identifier, placeholder, differing, matched, shared, several, several_staged, ambiguous_identifier, entangled_identifier,
    held_before, entangled_hit, entangled_customer, entangled_value, entangled_line, entangled_verdict, target, spoken_for,
    created, several_row, folded_field, folded, subscription, candidate, candidate_final, change;
