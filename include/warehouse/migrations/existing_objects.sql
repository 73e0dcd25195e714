-- Views, functions and triggers, as DROP wants their names, with a version: that of a row in the catalogue changes
-- whenever its object is created or replaced.
SELECT 'VIEW', format('%I.%I', nspname, relname), view.oid, rule.xmin::text
FROM pg_class AS view
JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
JOIN pg_rewrite AS rule ON ev_class = view.oid AND rulename = '_RETURN'
WHERE relkind = 'v' AND nspname = ANY (:schemas)
UNION ALL
SELECT 'ROUTINE', format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(routine.oid)),
       routine.oid, routine.xmin::text
FROM pg_proc AS routine
JOIN pg_namespace AS namespace ON namespace.oid = pronamespace
WHERE nspname = ANY (:schemas)
UNION ALL
SELECT 'TRIGGER', format('%I ON %I.%I', tgname, nspname, relname), trigger.oid, trigger.xmin::text
FROM pg_trigger AS trigger
JOIN pg_class AS relation ON relation.oid = tgrelid
JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
WHERE NOT tgisinternal AND nspname = ANY (:schemas)
