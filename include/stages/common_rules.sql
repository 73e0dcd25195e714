-- The three rules that reject most rows.
SELECT rule, count(*)
FROM (
    SELECT unnest(string_to_array(rules, ' ')) AS rule FROM ledger.reject WHERE job_id = :job_id
    UNION ALL
    SELECT rule FROM load_reject
) AS failed
GROUP BY rule
ORDER BY count(*) DESC, rule
LIMIT 3
