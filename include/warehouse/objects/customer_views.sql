-- One row a customer, with the name to show (separate parts win over the full name, CU-12) and what belongs to the
-- customer as JSON: external ids {system: value}, subscriptions {brand[/channel[/topic]]: true, false, or null when it
-- was erased}, names of segments. Made for looking customers up: what belongs to each is fetched by its key.
CREATE OR REPLACE VIEW loyalty.customer_overview AS
SELECT customer.id,
       coalesce(nullif(concat_ws(' ', customer.first_name, customer.middle_name, customer.last_name), ''),
                customer.full_name) AS display_name,
       customer.email,
       customer.is_email_confirmed,
       customer.mobile_phone,
       customer.is_mobile_phone_confirmed,
       customer.discount_card,
       customer.area,
       customer.last_name,
       customer.first_name,
       customer.middle_name,
       customer.full_name,
       customer.sex,
       customer.birth_date,
       customer.custom_fields,
       coalesce((
           SELECT jsonb_object_agg(external_id.system, external_id.value)
           FROM loyalty.customer_external_id AS external_id
           WHERE external_id.customer_id = customer.id
       ), '{}') AS external_ids,
       coalesce((
           SELECT jsonb_object_agg(
               concat_ws('/', subscription.brand, subscription.channel, subscription.topic), subscription.is_subscribed)
           FROM loyalty.customer_subscription AS subscription
           WHERE subscription.customer_id = customer.id
       ), '{}') AS subscriptions,
       ARRAY(
           SELECT segment.name
           FROM loyalty.segment
           JOIN loyalty.segment_member AS member ON member.segment = segment.name
           WHERE member.customer_id = customer.id
           ORDER BY segment.name
       ) AS segments,
       customer.created_at,
       customer.import_job_id,
       customer.import_line
FROM loyalty.customer;

-- One row for each brand, channel and topic that someone has been asked about.
CREATE OR REPLACE VIEW loyalty.subscription_overview AS
SELECT brand,
       channel,
       topic,
       count(*) FILTER (WHERE is_subscribed) AS subscribed,
       count(*) FILTER (WHERE NOT is_subscribed) AS unsubscribed,
       count(*) FILTER (WHERE is_subscribed IS NULL) AS erased,
       max(changed_at) AS last_changed_at
FROM loyalty.customer_subscription
GROUP BY brand, channel, topic;

-- One row a segment, empty ones too.
CREATE OR REPLACE VIEW loyalty.segment_overview AS
SELECT segment.name AS segment,
       segment.is_configured,
       count(member.customer_id) AS members,
       max(member.added_at) AS last_added_at
FROM loyalty.segment
LEFT JOIN loyalty.segment_member AS member ON member.segment = segment.name
GROUP BY segment.name;
