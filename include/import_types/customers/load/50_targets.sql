-- Customers, 9 of 18: the accepted rows with their customers. Source: CU-01, CU-13.
--
-- Reads     matched, several, entangled_verdict, entangled_customer, differing
-- Leaves    target          the accepted rows, with their customers. creates: this row makes the customer; is_several:
--                           the customer may have several rows; is_moving: identifiers may change. Rows that are alone
--                           and hit nobody are still missing (60)
--           spoken_for      the lines whose customer is decided here
-- Writes    load_not_found

CREATE TEMP TABLE target (
    line bigint, customer_id bigint, creates boolean, is_several boolean, is_moving boolean
) ON COMMIT DROP;

-- Rows that are alone and hit a customer.
INSERT INTO target
SELECT line, customer_id, false, false, is_moving
FROM matched
WHERE is_valid
  AND NOT is_ambiguous
  AND customer_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM several WHERE several.line = matched.line)
  AND NOT EXISTS (SELECT FROM differing WHERE differing.line = matched.line);

-- Rows that are repeated: the first of them makes the customer that there isn't yet.
INSERT INTO target
SELECT repeated.line, head.customer_id, head.creates AND repeated.line = head.line, true, repeated.is_moving
FROM several AS repeated
JOIN (
    SELECT
        tuple, min(line) AS line, min(customer_id) IS NULL AS creates,
        coalesce(min(customer_id), nextval('loyalty.customer_id_seq')) AS customer_id
    FROM several
    WHERE NOT is_entangled
      AND NOT is_ambiguous
      AND NOT EXISTS (SELECT FROM differing WHERE differing.line = several.line)
    GROUP BY tuple
    HAVING min(customer_id) IS NOT NULL OR (SELECT current_setting('import.action')) = 'add_and_edit'
) AS head USING (tuple)
WHERE NOT repeated.is_entangled;

INSERT INTO target
SELECT verdict.line, coalesce(hit.customer_id, new.customer_id), verdict.creates, true, true
FROM entangled_verdict AS verdict
LEFT JOIN entangled_customer AS hit ON hit.number = verdict.customer
LEFT JOIN (
    SELECT customer, nextval('loyalty.customer_id_seq') AS customer_id
    FROM entangled_verdict
    WHERE creates
) AS new ON new.customer = verdict.customer;
ANALYZE target;

CREATE TEMP TABLE spoken_for ON COMMIT DROP AS
SELECT line FROM several
UNION ALL
SELECT line
FROM matched
WHERE is_valid
  AND customer_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM several WHERE several.line = matched.line);
ANALYZE spoken_for;

INSERT INTO load_not_found
SELECT line
FROM matched
WHERE is_valid
  AND customer_id IS NULL
  AND (SELECT current_setting('import.action')) = 'edit_existing'
  AND NOT EXISTS (SELECT FROM several WHERE several.line = matched.line AND several.is_entangled);
