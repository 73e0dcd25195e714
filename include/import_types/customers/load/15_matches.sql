-- Customers, 2 of 18: who holds the identifiers of each row, and which rows share one. Source: CU-01, CU-03.
--
-- Reads     identifier, load_setting; the view staged_row
-- Leaves    matching        a view, one row a staged row, rejected ones too: a hash of all that it says of identifiers
--                           (tuple), a mark for each of them (a hash of its value) and the customer that holds it.
--                           customer_id is one of those, the only one unless is_ambiguous; is_named: an external id of
--                           the row is that customer's; is_moving: identifiers may change
--           matched         the same, computed once
--           shared          the marks that several valid rows have (position as in identifier), and customers that
--                           several of them hit (position 0); and marks that may be placeholders, of many rows

DO $$
BEGIN
    EXECUTE (
        SELECT format(
            'CREATE TEMP VIEW matching AS '
            'SELECT row.line, row.is_valid, hash_record_extended(ROW(%1$s), 0) AS tuple, %2$s, '
            'least(%3$s) AS customer_id, coalesce(least(%3$s) <> greatest(%3$s), false) AS is_ambiguous, '
            'coalesce(%4$s, false) AS is_moving, coalesce(%6$s) IS NOT NULL AS is_named '
            'FROM staged_row AS row %5$s',
            string_agg(format('%s, %s', value_sql, cleared_sql), ', ' ORDER BY position),
            string_agg(
                format('hashtextextended(%1$s, %2$s) AS mark_%2$s, %3$s AS holder_%2$s',
                       value_sql, position, holder_sql), ', '
                ORDER BY position),
            string_agg(holder_sql, ', ' ORDER BY position),
            string_agg(
                format('(%s) IS NOT NULL AND %s IS NULL OR coalesce(%s, false)', value_sql, holder_sql, cleared_sql),
                ' OR '),
            string_agg(join_sql, ' ' ORDER BY position),
            concat_ws(', ', 'NULL::bigint', string_agg(holder_sql, ', ') FILTER (WHERE system IS NOT NULL)))
        FROM identifier
    );
END
$$;
CREATE TEMP TABLE matched ON COMMIT DROP AS
SELECT *
FROM matching;
ANALYZE matched;

-- The marks that repeat are few in most files, so they are looked for first: the other counts are about them alone.
SET LOCAL enable_hashagg = off;
DO $$
DECLARE
    most_rows integer := (SELECT shared_identifier_rows FROM load_setting);
BEGIN
    EXECUTE (
        SELECT format(
            'CREATE TEMP TABLE shared ON COMMIT DROP AS '
            '%s '
            'UNION ALL '
            'SELECT 0, customer_id, min(tuple) <> max(tuple), false '
            'FROM (SELECT customer_id, tuple FROM matched WHERE is_valid AND customer_id IS NOT NULL%s) AS hit '
            'GROUP BY customer_id HAVING count(*) > 1',
            string_agg(
                format('SELECT %1$s AS position, mark_%1$s AS mark, '
                       'coalesce(min(tuple) FILTER (WHERE is_valid) <> max(tuple) FILTER (WHERE is_valid), false) '
                       'AS is_entangled, '
                       'count(*) > %2$s AND min(tuple) <> max(tuple) AS is_questionable '
                       'FROM matched WHERE mark_%1$s IN (SELECT mark_%1$s FROM matched WHERE mark_%1$s IS NOT NULL '
                       'GROUP BY mark_%1$s HAVING count(*) > 1) '
                       'GROUP BY mark_%1$s HAVING count(*) FILTER (WHERE is_valid) > 1 OR count(*) > %2$s',
                       position, most_rows),
                ' UNION ALL ' ORDER BY position),
            string_agg(format(' UNION ALL SELECT holder_%1$s, tuple FROM matched WHERE is_valid AND is_ambiguous '
                              'AND holder_%1$s <> customer_id', position), ''))
        FROM identifier
    );
END
$$;
SET LOCAL enable_hashagg = DEFAULT;
