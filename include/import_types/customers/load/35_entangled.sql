-- Customers, 6 of 18: the identifiers of entangled rows and of the customers that they hit, as numbers. Source: CU-03.
--
-- Entangled rows are taken one by one, in memory (40): a table would keep every state that it has been through.
-- Identifiers and customers are numbers there; a customer that was there before comes first, one that a row creates has
-- the number that its row would have.
--
-- Reads     identifier, matched, several, several_staged
-- Leaves    entangled_identifier  the identifiers that entangled rows give or clear
--           entangled_customer    the customers that they hit, numbered
--           held_before           who held which identifier, of these customers
--           entangled_value       every identifier of both, numbered, with the number of its holder
--           entangled_line        the entangled rows, numbered, with the numbers of their identifiers by position

CREATE TEMP TABLE entangled_identifier (
    line bigint, position integer, value text COLLATE "C", is_cleared boolean
) ON COMMIT DROP;
CREATE TEMP TABLE held_before (position integer, value text COLLATE "C", customer_id bigint) ON COMMIT DROP;
CREATE TEMP TABLE entangled_hit (customer_id bigint) ON COMMIT DROP;
DO $$
DECLARE
    field identifier;
BEGIN
    IF NOT EXISTS (SELECT FROM several WHERE is_entangled) THEN
        RETURN;
    END IF;
    CREATE TEMP TABLE entangled_row ON COMMIT DROP AS
    SELECT row.line, row.email, row.email__clear, row.mobile_phone, row.mobile_phone__clear, row.external_ids
    FROM several_staged AS row
    WHERE line IN (SELECT line FROM several WHERE is_entangled);
    FOR field IN SELECT * FROM identifier LOOP
        EXECUTE format(
            'INSERT INTO entangled_identifier SELECT line, %s, %s, coalesce(%s, false) FROM entangled_row AS row',
            field.position, field.value_sql, field.cleared_sql);
        EXECUTE format(
            'INSERT INTO entangled_hit '
            'SELECT DISTINCT holder_%1$s FROM matched '
            'WHERE holder_%1$s IS NOT NULL AND line IN (SELECT line FROM several WHERE is_entangled)', field.position);
    END LOOP;
    DROP TABLE entangled_row;
END
$$;
CREATE TEMP TABLE entangled_customer ON COMMIT DROP AS
SELECT customer_id, row_number() OVER ()::integer AS number
FROM (SELECT DISTINCT customer_id FROM entangled_hit) AS hit;
ANALYZE entangled_identifier, entangled_customer;

INSERT INTO held_before
SELECT identifier.position, external_id.value, external_id.customer_id
FROM entangled_customer
JOIN loyalty.customer_external_id AS external_id USING (customer_id)
JOIN identifier USING (system)
UNION ALL
SELECT identifier.position, lower(customer.email), customer.id
FROM entangled_customer
JOIN loyalty.customer ON customer.id = entangled_customer.customer_id
JOIN identifier ON identifier.name = 'email'
WHERE customer.email IS NOT NULL
UNION ALL
SELECT identifier.position, customer.mobile_phone, customer.id
FROM entangled_customer
JOIN loyalty.customer ON customer.id = entangled_customer.customer_id
JOIN identifier ON identifier.name = 'mobile_phone'
WHERE customer.mobile_phone IS NOT NULL;

CREATE TEMP TABLE entangled_value ON COMMIT DROP AS
SELECT row_number() OVER ()::integer AS number, used.position, used.value, customer.number AS customer
FROM (
    SELECT position, value FROM entangled_identifier WHERE value IS NOT NULL
    UNION
    SELECT position, value FROM held_before
) AS used
LEFT JOIN held_before USING (position, value)
LEFT JOIN entangled_customer AS customer USING (customer_id);
ANALYZE held_before, entangled_value;

CREATE TEMP TABLE entangled_line ON COMMIT DROP AS
SELECT
    used.line,
    row_number() OVER (ORDER BY used.line)::integer AS number,
    array_agg(value.number ORDER BY used.position) AS identifiers,
    array_agg(used.is_cleared ORDER BY used.position) AS is_cleared
FROM entangled_identifier AS used
LEFT JOIN entangled_value AS value USING (position, value)
GROUP BY used.line;
