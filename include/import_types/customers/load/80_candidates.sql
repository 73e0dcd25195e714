-- Customers, 15 of 18: lock the customers that were there before and may change. Source: CU-05.
--
-- Most of them stay as they are; to find that out takes no lock.
--
-- Reads     plain_field, identifier, final, subscription, held_before
-- Leaves    candidate         the customers that may change, locked
--           candidate_final   their rows of final
-- Raises    serialization_failure: the customers are no longer those that the rows were matched with. The load is
--           repeated

DO $$
BEGIN
    EXECUTE format(
        $sql$
        CREATE TEMP TABLE candidate ON COMMIT DROP AS
        SELECT final.customer_id
        FROM final
        JOIN loyalty.customer ON customer.id = final.customer_id
        WHERE final.is_moving
           OR %s
           OR NOT customer.custom_fields @> final.custom_fields
              AND jsonb_strip_nulls(customer.custom_fields || final.custom_fields) <> customer.custom_fields
        $sql$,
        (SELECT string_agg(
             format('final.%1$I IS DISTINCT FROM customer.%1$I AND (final.%1$I IS NOT NULL OR final.%2$I)',
                    name, name || '__clear'), ' OR ' ORDER BY position)
         FROM plain_field
         WHERE name NOT IN ('email', 'mobile_phone')));    -- of which is_moving reports the change
END
$$;

INSERT INTO candidate
SELECT final.customer_id
FROM final
JOIN subscription ON final.subscriptions ? subscription.key
LEFT JOIN loyalty.customer_subscription AS stored
  ON stored.customer_id = final.customer_id
 AND stored.brand = (SELECT current_setting('import.brand'))
 AND coalesce(stored.channel, '') = coalesce(subscription.channel, '')
 AND coalesce(stored.topic, '') = coalesce(subscription.topic, '')
WHERE stored.is_subscribed IS DISTINCT FROM (final.subscriptions ->> subscription.key)::boolean;
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

-- They must still be the customers that the rows were matched with: otherwise another transaction has moved an
-- identifier meanwhile, and the load is repeated.
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
