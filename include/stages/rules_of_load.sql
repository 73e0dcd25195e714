-- How many rows each rule of the load rejects or warns of, and on which lines first.
SELECT rule, severity, count(*), array_agg(line ORDER BY line) FILTER (WHERE place <= :lines)
FROM (
    SELECT line, rule, severity, row_number() OVER (PARTITION BY rule, severity ORDER BY line) AS place
    FROM (
        SELECT line, rule, 'critical' AS severity FROM load_reject
        UNION ALL
        SELECT line, rule, 'warning' FROM load_warning
    ) AS verdict
) AS numbered
GROUP BY rule, severity
