-- Finds out which customer each staged row is about, as if the rows were taken one by one in the order of the file
-- (CU-01 to CU-03); load_customers_changes.sql then does what they say. Reads the views `staged_row` and `staged`, and
-- `load_field`; writes `load_reject`, `load_warning`, `load_not_found`, and for the second file the tables below.
--
-- Placeholders (`noemail@example.com`) are taken out of the staging tables first, in this transaction: a value that more
-- than `shared_identifier_rows` rows, rejected ones too, give with different other identifiers matches nobody and is
-- stored of nobody. Such rows are matched by their other identifiers; rows without any are rejected. What is a
-- placeholder in a file is one in those that correct its rows, which may be few.
--
-- Rows that name different values of one external system are about different customers, whatever else they share. And
-- no row that finds its customer by e-mail or phone alone replaces an external id that the customer has, unless the
-- setting `replace_external_ids` says so.
--
--   target          the accepted rows, with their customers. creates: this row makes the customer; is_several: the
--                   customer may have several rows; is_moving: identifiers may change. Rows that are alone and hit
--                   nobody are still missing
--   spoken_for      the lines of which it is decided here whose they are
--   held_before     who held which identifier, of the customers that entangled rows hit
--
-- A row with identifiers of its own is judged by sets: the customers that hold one of them are its hits. Rows that
-- repeat exactly the identifiers of another share the verdict of the first. Only rows that share some identifier, or a
-- customer, with a row of other identifiers are entangled: what one does decides whom the next is about. They are few,
-- and a loop takes them one by one.

-- Loads of customers go one after the other, and nobody is erased meanwhile.
SELECT pg_advisory_xact_lock(hashtext('loyalty.customer'));
SELECT loyalty.hold_customers();

-- Jobs that were opened by an earlier version have neither.
CREATE TEMP TABLE load_setting ON COMMIT DROP AS
SELECT
    coalesce(nullif(current_setting('import.shared_identifier_rows', true), ''), '20')::integer AS shared_identifier_rows,
    coalesce(nullif(current_setting('import.replace_external_ids', true), ''), 'false')::boolean AS replace_external_ids;

-- The identifiers that the file has columns for, in the order in which they decide, with SQL that gives their values
-- from a staged row and finds who holds them.
CREATE TEMP TABLE identifier ON COMMIT DROP AS
SELECT
    position, field.name, field.label, part.*
FROM (
    SELECT
        (row_number() OVER (ORDER BY staging_column <> 'external_ids', load_field.position))::integer AS position,
        name, label, staging_column, key
    FROM load_field
    WHERE staging_column IN ('external_ids', 'email', 'mobile_phone')
      AND name = ANY (string_to_array(current_setting('import.fields'), ','))
) AS field
CROSS JOIN LATERAL (
    SELECT
        key AS system,
        format('row.external_ids ->> %L', key) AS given,
        format('row.external_ids -> %L = ''null''', key) AS is_cleared,
        format('holder_%s.customer_id', position) AS holder,
        format('LEFT JOIN loyalty.customer_external_id AS holder_%1$s ON holder_%1$s.system = %2$L '
               'AND holder_%1$s.value = row.external_ids ->> %2$L', position, key) AS join_holder
    WHERE staging_column = 'external_ids'
    UNION ALL
    SELECT
        NULL,
        'lower(row.email)',
        'row.email__clear',
        format('holder_%s.id', position),
        format('LEFT JOIN loyalty.customer AS holder_%1$s '
               'ON lower(holder_%1$s.email) = lower(row.email)', position)
    WHERE staging_column = 'email'
    UNION ALL
    SELECT
        NULL,
        'row.mobile_phone',
        'row.mobile_phone__clear',
        format('holder_%s.id', position),
        format('LEFT JOIN loyalty.customer AS holder_%1$s ON holder_%1$s.mobile_phone = row.mobile_phone', position)
    WHERE staging_column = 'mobile_phone'
) AS part;

-- matched has one row a staged row, rejected ones too: a hash of all that it says of identifiers, a mark for each of them
-- (a hash of its value) and the customer that holds it. customer_id is one of those, the only one unless is_ambiguous;
-- is_named: an external id of the row is that customer's.
-- shared has the marks that several valid rows have (position as above), and customers that several of them hit
-- (position 0); and marks that may be placeholders, of many rows.
--
-- Placeholders are found among the marks of many rows; their rows are then matched anew, without them. What shared says
-- of the other identifiers of these rows stays: rows may be called entangled that are no more, and the loop takes these
-- as it takes any.
CREATE TEMP TABLE placeholder (line bigint, position integer, value text COLLATE "C", is_valid boolean, others bigint)
ON COMMIT DROP;
DO $$
DECLARE
    most_rows integer := (SELECT shared_identifier_rows FROM load_setting);
    this_job bigint := current_setting('import.job_id')::bigint;
    matching text;
    each record;
    chunk text;
BEGIN
    SELECT format(
        'SELECT row.line, row.is_valid, hash_record_extended(ROW(%1$s), 0) AS tuple, %2$s, '
        'least(%3$s) AS customer_id, coalesce(least(%3$s) <> greatest(%3$s), false) AS is_ambiguous, '
        'coalesce(%4$s, false) AS is_moving, coalesce(%6$s) IS NOT NULL AS is_named '
        'FROM staged_row AS row %5$s',
        string_agg(format('%s, %s', given, is_cleared), ', ' ORDER BY position),
        string_agg(
            format('hashtextextended(%1$s, %2$s) AS mark_%2$s, %3$s AS holder_%2$s', given, position, holder), ', '
            ORDER BY position),
        string_agg(holder, ', ' ORDER BY position),
        string_agg(
            format('(%s) IS NOT NULL AND %s IS NULL OR coalesce(%s, false)', given, holder, is_cleared), ' OR '),
        string_agg(join_holder, ' ' ORDER BY position),
        concat_ws(', ', 'NULL::bigint', string_agg(holder, ', ') FILTER (WHERE system IS NOT NULL)))
    INTO matching
    FROM identifier;
    EXECUTE 'CREATE TEMP TABLE matched ON COMMIT DROP AS ' || matching;
    ANALYZE matched;

    SET LOCAL enable_hashagg = off;
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
                       'FROM matched WHERE mark_%1$s IS NOT NULL GROUP BY mark_%1$s '
                       'HAVING count(*) > 1 AND (count(*) FILTER (WHERE is_valid) > 1 OR count(*) > %2$s)',
                       position, most_rows),
                ' UNION ALL ' ORDER BY position),
            string_agg(format(' UNION ALL SELECT holder_%1$s, tuple FROM matched WHERE is_valid AND is_ambiguous '
                              'AND holder_%1$s <> customer_id', position), ''))
        FROM identifier
    );
    SET LOCAL enable_hashagg = DEFAULT;

    FOR each IN
        SELECT own.position, own.given, string_agg(other.given, ', ' ORDER BY other.position) AS others
        FROM identifier AS own
        JOIN identifier AS other ON other.position <> own.position
        WHERE own.position IN (SELECT position FROM shared WHERE is_questionable)
        GROUP BY own.position, own.given
    LOOP
        EXECUTE format(
            'INSERT INTO placeholder '
            'SELECT row.line, %1$s, %2$s, row.is_valid, '
            'CASE WHEN coalesce(%3$s) IS NOT NULL THEN hash_record_extended(ROW(%3$s), 0) END '
            'FROM matched '
            'JOIN staged_row AS row USING (line) '
            'WHERE matched.mark_%1$s IN (SELECT mark FROM shared WHERE position = %1$s AND is_questionable)',
            each.position, each.given, each.others);
    END LOOP;
    DELETE FROM placeholder
    WHERE (position, value) NOT IN (
        SELECT position, value
        FROM placeholder
        GROUP BY position, value
        HAVING count(DISTINCT others) > most_rows
    );

    INSERT INTO ledger.customer_placeholder (job_id, identifier, salt, digest)
    SELECT DISTINCT this_job, placeholder_name.name, salt, sha256(convert_to(salt || value, 'UTF8'))
    FROM placeholder
    JOIN identifier AS placeholder_name USING (position)
    CROSS JOIN gen_random_uuid() AS salt;
    INSERT INTO ledger.customer_placeholder (job_id, identifier, salt, digest)
    SELECT DISTINCT this_job, identifier, salt, digest
    FROM ledger.customer_placeholder
    JOIN ledger.import_job_parent AS parent ON parent.parent_job_id = customer_placeholder.job_id
    WHERE parent.job_id = this_job
      AND parent.parent_job_id <> this_job;
    IF FOUND THEN
        FOR each IN SELECT * FROM identifier LOOP
            EXECUTE format(
                'INSERT INTO placeholder '
                'SELECT row.line, %1$s, %2$s, row.is_valid, NULL '
                'FROM staged_row AS row '
                'JOIN ledger.customer_placeholder AS earlier '
                'ON earlier.digest = sha256(convert_to(earlier.salt || (%2$s), ''UTF8'')) '
                'WHERE earlier.job_id = $1 AND earlier.identifier = %3$L',
                each.position, each.given, each.name)
            USING this_job;
        END LOOP;
    END IF;
    IF NOT EXISTS (SELECT FROM placeholder) THEN
        RETURN;
    END IF;
    ANALYZE placeholder;

    FOR chunk IN
        SELECT format('staging.%I', tablename)
        FROM pg_tables
        WHERE schemaname = 'staging'
          AND starts_with(tablename, 'job_' || current_setting('import.job_id') || '_chunk_')
    LOOP
        FOR each IN SELECT * FROM identifier WHERE position IN (SELECT position FROM placeholder) LOOP
            EXECUTE format(
                'UPDATE %s AS row SET %s WHERE line IN (SELECT line FROM placeholder WHERE position = %s)',
                chunk,
                CASE
                    WHEN each.system IS NULL THEN format('%I = NULL', each.name)
                    ELSE format('external_ids = nullif(external_ids - %L, ''{}'')', each.system)
                END,
                each.position);
        END LOOP;
        EXECUTE (
            SELECT format(
                'WITH nobody AS ('
                'UPDATE %1$s AS row SET is_valid = false '
                'WHERE is_valid AND coalesce(%2$s) IS NULL AND line IN (SELECT line FROM placeholder) RETURNING line) '
                'INSERT INTO load_reject '
                'SELECT nobody.line, rule.id, replace(rule.message, ''{value}'', %3$L) '
                'FROM nobody JOIN load_rule AS rule ON rule.id = ''row.placeholder_only''',
                chunk, string_agg(given, ', '), most_rows)
            FROM identifier
        );
    END LOOP;
    INSERT INTO load_warning
    SELECT DISTINCT
        placeholder.line, CASE WHEN system IS NULL THEN identifier.name ELSE 'external_id' END || '.placeholder'
    FROM placeholder
    JOIN identifier USING (position)
    WHERE placeholder.is_valid
      AND NOT EXISTS (SELECT FROM load_reject WHERE load_reject.line = placeholder.line);

    DELETE FROM matched WHERE line IN (SELECT line FROM placeholder);
    EXECUTE 'INSERT INTO matched ' || matching || ' WHERE row.line IN (SELECT line FROM placeholder)';
    DELETE FROM shared
    WHERE (position, mark) IN (SELECT position, hashtextextended(value, position) FROM placeholder);
END
$$;
ANALYZE shared;

-- Valid rows that are not alone: they are entangled, or repeat exactly what another says.
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
FROM staged
WHERE line IN (SELECT line FROM several);

-- The identifiers of ambiguous rows, with whose they are: a number that tells the customers of a row apart. is_taken:
-- the first hit has another value of its own.
CREATE TEMP TABLE ambiguous_identifier (
    line bigint, position integer, customer bigint, is_taken boolean
) ON COMMIT DROP;

-- Entangled rows are taken one by one, in memory: a table would keep every state that it has been through. Identifiers
-- and customers are numbers there; a customer of before the file comes first, one that a row makes has the number that
-- its row would have. holders[identifier] is the customer that holds it, own[(customer - 1) * positions + position] the
-- identifier that a customer holds, named[likewise] the external id that an accepted row has called the customer by.
CREATE TEMP TABLE entangled_identifier (
    line bigint, position integer, value text COLLATE "C", is_cleared boolean
) ON COMMIT DROP;
CREATE TEMP TABLE held_before (position integer, value text COLLATE "C", customer_id bigint) ON COMMIT DROP;
CREATE TEMP TABLE entangled_hit (customer_id bigint) ON COMMIT DROP;
CREATE TEMP TABLE entangled_verdict (line bigint, customer integer, creates boolean) ON COMMIT DROP;

-- External ids of rows that would replace another one of a customer whom they find by e-mail or phone alone.
CREATE TEMP TABLE differing (line bigint, position integer) ON COMMIT DROP;
DO $$
DECLARE
    each identifier;
BEGIN
    IF NOT EXISTS (SELECT FROM several WHERE is_entangled) THEN
        RETURN;
    END IF;
    CREATE TEMP TABLE entangled_row ON COMMIT DROP AS
    SELECT row.line, row.email, row.email__clear, row.mobile_phone, row.mobile_phone__clear, row.external_ids
    FROM several_staged AS row
    WHERE line IN (SELECT line FROM several WHERE is_entangled);
    FOR each IN SELECT * FROM identifier LOOP
        EXECUTE format(
            'INSERT INTO entangled_identifier SELECT line, %s, %s, coalesce(%s, false) FROM entangled_row AS row',
            each.position, each.given, each.is_cleared);
        EXECUTE format(
            'INSERT INTO entangled_hit '
            'SELECT DISTINCT holder_%1$s FROM matched '
            'WHERE holder_%1$s IS NOT NULL AND line IN (SELECT line FROM several WHERE is_entangled)', each.position);
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
SELECT row_number() OVER ()::integer AS number, given.position, given.value, customer.number AS customer
FROM (
    SELECT position, value FROM entangled_identifier WHERE value IS NOT NULL
    UNION
    SELECT position, value FROM held_before
) AS given
LEFT JOIN held_before USING (position, value)
LEFT JOIN entangled_customer AS customer USING (customer_id);
ANALYZE held_before, entangled_value;

CREATE TEMP TABLE entangled_line ON COMMIT DROP AS
SELECT
    given.line,
    row_number() OVER (ORDER BY given.line)::integer AS number,
    array_agg(value.number ORDER BY given.position) AS given,
    array_agg(given.is_cleared ORDER BY given.position) AS is_cleared
FROM entangled_identifier AS given
LEFT JOIN entangled_value AS value USING (position, value)
GROUP BY given.line;

DO $$
DECLARE
    row record;
    positions integer := (SELECT count(*) FROM identifier);
    is_external boolean[] := ARRAY(SELECT system IS NOT NULL FROM identifier ORDER BY position);
    may_create boolean := current_setting('import.action') = 'add_and_edit';
    may_replace boolean := (SELECT replace_external_ids FROM load_setting);
    customers integer := (SELECT count(*) FROM entangled_customer);
    lines integer := (SELECT count(*) FROM entangled_line);
    holders integer[] := ARRAY(SELECT customer FROM entangled_value ORDER BY number);
    own integer[] := array_fill(NULL::integer, ARRAY[positions * (customers + lines)]);
    named integer[];
    found integer[] := array_fill(NULL::integer, ARRAY[lines]);    -- each line's customer; 0 when it is rejected
    customer integer;    -- the row's
    is_ambiguous boolean;
    is_another boolean;    -- an earlier row of the file has called the customer by another external id
    is_differing boolean;
    is_named boolean;    -- an external id of the row is the customer's
    is_replaced boolean;
    hit integer;
    slot integer;
BEGIN
    FOR row IN SELECT * FROM entangled_value AS value WHERE value.customer IS NOT NULL LOOP
        own[(row.customer - 1) * positions + row.position] := row.number;
    END LOOP;

    FOR round IN 1 .. 2 LOOP
        named := array_fill(NULL::integer, ARRAY[positions * (customers + lines)]);
        FOR row IN SELECT * FROM entangled_line ORDER BY line LOOP
            customer := NULL;
            is_ambiguous := false;
            is_named := false;
            FOR place IN 1 .. positions LOOP
                hit := holders[row.given[place]];
                is_ambiguous := is_ambiguous OR coalesce(hit <> customer, false);
                is_named := is_named OR is_external[place] AND hit IS NOT NULL;
                customer := coalesce(customer, hit);
            END LOOP;
            is_another := false;
            is_differing := false;
            FOR place IN 1 .. CASE WHEN is_ambiguous OR customer IS NULL THEN 0 ELSE positions END LOOP
                IF is_external[place] AND row.given[place] IS NOT NULL THEN
                    slot := (customer - 1) * positions + place;
                    is_another := is_another OR coalesce(named[slot] <> row.given[place], false);
                    is_differing := is_differing OR coalesce(own[slot] <> row.given[place], false);
                END IF;
            END LOOP;
            is_differing := is_differing AND NOT is_named AND NOT may_replace;

            -- All rows have been taken: would the file, sent again, take them where it has taken them now?
            IF round = 2 THEN
                IF found[row.number] IS DISTINCT FROM (
                    CASE WHEN is_ambiguous OR is_another OR is_differing THEN 0 ELSE customer END)
                THEN
                    INSERT INTO load_warning VALUES (row.line, 'row.not_repeatable');
                END IF;
                FOR place IN 1 .. CASE WHEN found[row.number] > 0 THEN positions ELSE 0 END LOOP
                    slot := (found[row.number] - 1) * positions + place;
                    named[slot] := coalesce(CASE WHEN is_external[place] THEN row.given[place] END, named[slot]);
                END LOOP;
                CONTINUE;
            END IF;

            IF is_ambiguous THEN
                found[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    hit := holders[row.given[place]];
                    IF hit IS NOT NULL THEN
                        INSERT INTO ambiguous_identifier VALUES (
                            row.line, place, hit,
                            hit <> customer AND own[(customer - 1) * positions + place] IS NOT NULL);
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF is_another THEN
                found[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    IF holders[row.given[place]] IS NOT NULL THEN
                        INSERT INTO load_reject
                        SELECT row.line, rule.id, rule.message
                        FROM identifier
                        JOIN load_rule AS rule ON rule.id = identifier.name || '.belongs_to_another'
                        WHERE identifier.position = place;
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF is_differing THEN
                found[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    IF is_external[place] AND own[(customer - 1) * positions + place] <> row.given[place] THEN
                        INSERT INTO differing VALUES (row.line, place);
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF customer IS NULL AND NOT may_create THEN
                INSERT INTO load_not_found VALUES (row.line);
                CONTINUE;
            END IF;

            found[row.number] := coalesce(customer, customers + row.number);
            INSERT INTO entangled_verdict VALUES (row.line, found[row.number], customer IS NULL);
            customer := found[row.number];
            is_replaced := false;
            FOR place IN 1 .. positions LOOP
                slot := (customer - 1) * positions + place;
                named[slot] := coalesce(CASE WHEN is_external[place] THEN row.given[place] END, named[slot]);
                IF (row.given[place] IS NOT NULL OR row.is_cleared[place])
                    AND own[slot] IS DISTINCT FROM row.given[place]
                THEN
                    IF own[slot] IS NOT NULL THEN
                        holders[own[slot]] := NULL;
                        is_replaced := is_replaced OR is_external[place] AND row.given[place] IS NOT NULL;
                    END IF;
                    own[slot] := row.given[place];
                    IF own[slot] IS NOT NULL THEN
                        holders[own[slot]] := customer;
                    END IF;
                END IF;
            END LOOP;
            IF is_replaced THEN
                INSERT INTO load_warning VALUES (row.line, 'external_id.replaced');
            END IF;
        END LOOP;
    END LOOP;
END
$$;

-- The same of rows that are alone or repeated, the suite's rejects among them (X-08). Where they may replace it, or find
-- the customer by another external id, that is said: nothing is merged silently.
DO $$
DECLARE
    each identifier;
BEGIN
    FOR each IN SELECT * FROM identifier WHERE system IS NOT NULL LOOP
        EXECUTE format(
            'WITH replacing AS ('
            'SELECT row.line, row.tuple, row.is_valid, '
            'row.is_named OR (SELECT replace_external_ids FROM load_setting) AS may_replace '
            'FROM matched AS row '
            'JOIN loyalty.customer_external_id AS own ON own.customer_id = row.customer_id AND own.system = %2$L '
            'WHERE NOT row.is_ambiguous AND row.mark_%1$s IS NOT NULL AND row.holder_%1$s IS NULL '
            'AND NOT EXISTS (SELECT FROM several WHERE several.line = row.line AND several.is_entangled)'
            '), rejected AS ('
            'INSERT INTO differing SELECT line, %1$s FROM replacing WHERE NOT may_replace'
            ') '
            'INSERT INTO load_warning '
            'SELECT min(line), ''external_id.replaced'' '
            'FROM replacing '
            'WHERE may_replace AND is_valid '
            'GROUP BY tuple '
            'HAVING min(line) NOT IN (SELECT line FROM load_warning WHERE rule = ''external_id.replaced'')',
            each.position, each.system);
    END LOOP;
END
$$;
INSERT INTO load_reject
SELECT rejected.line, rule.id, replace(rule.message, '{fields}', rejected.labels)
FROM (
    SELECT differing.line, string_agg(identifier.label, ', ' ORDER BY identifier.position) AS labels
    FROM differing
    JOIN identifier USING (position)
    GROUP BY differing.line
) AS rejected
JOIN load_rule AS rule ON rule.id = 'external_id.differs';
ANALYZE differing;

CREATE TEMP TABLE target (
    line bigint, customer_id bigint, creates boolean, is_several boolean, is_moving boolean
) ON COMMIT DROP;

-- Rows that are alone and hit a customer. Those that hit nobody make one: load_customers_changes.sql.
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
SELECT verdict.line, coalesce(known.customer_id, made.customer_id), verdict.creates, true, true
FROM entangled_verdict AS verdict
LEFT JOIN entangled_customer AS known ON known.number = verdict.customer
LEFT JOIN (
    SELECT customer, nextval('loyalty.customer_id_seq') AS customer_id
    FROM entangled_verdict
    WHERE creates
) AS made ON made.customer = verdict.customer;
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

-- Rows that are ambiguous as the customers were before the file: all but the entangled ones. The suite's rejects are
-- told as well (X-08).
DO $$
DECLARE
    each identifier;
BEGIN
    FOR each IN SELECT * FROM identifier LOOP
        EXECUTE format(
            'INSERT INTO ambiguous_identifier '
            'SELECT line, %1$s, holder_%1$s, is_valid AND holder_%1$s <> first_hit AND %2$s '
            'FROM (SELECT *, coalesce(%3$s) AS first_hit FROM matched WHERE is_ambiguous) AS row '
            'WHERE holder_%1$s IS NOT NULL '
            'AND NOT EXISTS (SELECT FROM several WHERE several.line = row.line AND several.is_entangled)',
            each.position,
            CASE
                WHEN each.system IS NULL THEN format(
                    'EXISTS (SELECT FROM loyalty.customer WHERE id = first_hit AND %I IS NOT NULL)', each.name)
                ELSE format(
                    'EXISTS (SELECT FROM loyalty.customer_external_id AS own '
                    'WHERE own.customer_id = first_hit AND own.system = %L)', each.system)
            END,
            (SELECT string_agg(format('holder_%s', position), ', ' ORDER BY position) FROM identifier));
    END LOOP;
END
$$;

INSERT INTO load_reject
SELECT
    ambiguous.line, rule.id,
    replace(replace(rule.message, '{value}', ambiguous.customers::text), '{fields}', ambiguous.labels)
FROM (
    SELECT
        hit.line, count(DISTINCT hit.customer) AS customers,
        string_agg(identifier.label, ', ' ORDER BY identifier.position) AS labels
    FROM ambiguous_identifier AS hit
    JOIN identifier USING (position)
    GROUP BY hit.line
) AS ambiguous
JOIN load_rule AS rule ON rule.id = 'row.ambiguous_customer';

INSERT INTO load_reject
SELECT hit.line, rule.id, rule.message
FROM ambiguous_identifier AS hit
JOIN identifier USING (position)
JOIN load_rule AS rule ON rule.id = identifier.name || '.belongs_to_another'
WHERE hit.is_taken;
