-- The first lines are numbered, not cut off an array of all: of a file of millions that would be held in memory.
SELECT rule, count(*), array_agg(line ORDER BY line) FILTER (WHERE place <= :lines)
FROM (
    SELECT line, rule, row_number() OVER (PARTITION BY rule ORDER BY line) AS place
    FROM ledger.dropped_value
    CROSS JOIN LATERAL unnest(string_to_array(rules, ' ')) AS rule
    WHERE job_id = :job_id
) AS dropped
GROUP BY rule
