-- Customers, 5 of 18: the valid rows that are not alone. Source: CU-03, CU-13.
--
-- A row with identifiers of its own is judged by sets: the customers that hold one of them are its hits. Rows that
-- repeat exactly the identifiers of another share the verdict of the first. Only rows that share some identifier, or a
-- customer, with a row of other identifiers are entangled: what one does decides whom the next is about. They are few.
--
-- Reads     identifier, matched, shared; the view customer_row
-- Leaves    several         the valid rows that are entangled, or repeat exactly what another says
--           several_staged  the same rows, with all that they say

DO $$
BEGIN
    EXECUTE (
        SELECT format(
            'CREATE TEMP TABLE several ON COMMIT DROP AS '
            'SELECT line, tuple, customer_id, is_ambiguous, is_moving, coalesce(%s, false) AS is_entangled '
            'FROM matched '
            'WHERE is_valid AND (%s)',
            string_agg(
                format('mark_%1$s IN (SELECT mark FROM shared WHERE position = %1$s AND is_entangled) '
                       'OR holder_%1$s IN (SELECT mark FROM shared WHERE position = 0 AND is_entangled)', position),
                ' OR '),
            string_agg(
                format('mark_%1$s IN (SELECT mark FROM shared WHERE position = %1$s) '
                       'OR holder_%1$s IN (SELECT mark FROM shared WHERE position = 0 AND is_entangled)', position),
                ' OR '))
        FROM identifier
    );
END
$$;
CREATE INDEX ON several (line);
ANALYZE several;
CREATE TEMP TABLE several_staged ON COMMIT DROP AS
SELECT *
FROM customer_row
WHERE line IN (SELECT line FROM several);
