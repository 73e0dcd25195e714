-- Customers, 7 of 18: take the entangled rows one by one, in memory. Source: CU-03, CU-13.
--
-- holders[identifier] is the customer that holds it, own[(customer - 1) * positions + position] the identifier that a
-- customer holds, named[likewise] the external id that an accepted row has called the customer by. A second round asks
-- whether the file, sent again, would take its rows where it has taken them now.
--
-- Reads     identifier, load_setting, entangled_customer, entangled_value, entangled_line, load_rule
-- Leaves    entangled_verdict     the accepted rows, with the number of their customer
--           ambiguous_identifier  the identifiers of ambiguous rows, with whose they are: a number that
--                                 distinguishes the customers of a row. is_taken: the first hit has another value
--                                 of its own
--           differing             external ids that would replace another one of a customer whom the row finds by
--                                 e-mail or phone alone
-- Writes    load_reject           ….belongs_to_another, of rows that call a customer by another external id
--           load_warning          row.not_repeatable, external_id.replaced
--           load_not_found

CREATE TEMP TABLE entangled_verdict (line bigint, customer integer, creates boolean) ON COMMIT DROP;
CREATE TEMP TABLE ambiguous_identifier (
    line bigint, position integer, customer bigint, is_taken boolean
) ON COMMIT DROP;
CREATE TEMP TABLE differing (line bigint, position integer) ON COMMIT DROP;
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
    taken_as integer[] := array_fill(NULL::integer, ARRAY[lines]);    -- the customer of every line; 0: it is rejected
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
                hit := holders[row.identifiers[place]];
                is_ambiguous := is_ambiguous OR coalesce(hit <> customer, false);
                is_named := is_named OR is_external[place] AND hit IS NOT NULL;
                customer := coalesce(customer, hit);
            END LOOP;
            is_another := false;
            is_differing := false;
            FOR place IN 1 .. CASE WHEN is_ambiguous OR customer IS NULL THEN 0 ELSE positions END LOOP
                IF is_external[place] AND row.identifiers[place] IS NOT NULL THEN
                    slot := (customer - 1) * positions + place;
                    is_another := is_another OR coalesce(named[slot] <> row.identifiers[place], false);
                    is_differing := is_differing OR coalesce(own[slot] <> row.identifiers[place], false);
                END IF;
            END LOOP;
            is_differing := is_differing AND NOT is_named AND NOT may_replace;

            -- All rows have been taken: would the file, sent again, take them where it has taken them now?
            IF round = 2 THEN
                IF taken_as[row.number] IS DISTINCT FROM (
                    CASE WHEN is_ambiguous OR is_another OR is_differing THEN 0 ELSE customer END)
                THEN
                    INSERT INTO load_warning VALUES (row.line, 'row.not_repeatable');
                END IF;
                FOR place IN 1 .. CASE WHEN taken_as[row.number] > 0 THEN positions ELSE 0 END LOOP
                    slot := (taken_as[row.number] - 1) * positions + place;
                    named[slot] := coalesce(CASE WHEN is_external[place] THEN row.identifiers[place] END, named[slot]);
                END LOOP;
                CONTINUE;
            END IF;

            IF is_ambiguous THEN
                taken_as[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    hit := holders[row.identifiers[place]];
                    IF hit IS NOT NULL THEN
                        INSERT INTO ambiguous_identifier VALUES (
                            row.line, place, hit,
                            hit <> customer AND own[(customer - 1) * positions + place] IS NOT NULL);
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF is_another THEN
                taken_as[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    IF holders[row.identifiers[place]] IS NOT NULL THEN
                        INSERT INTO load_reject
                        SELECT row.line, rule.id, rule.message
                        FROM identifier
                        JOIN load_rule AS rule ON rule.id = identifier.name || '.belongs_to_another'
                        WHERE identifier.position = place;
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF is_differing THEN
                taken_as[row.number] := 0;
                FOR place IN 1 .. positions LOOP
                    IF is_external[place] AND own[(customer - 1) * positions + place] <> row.identifiers[place] THEN
                        INSERT INTO differing VALUES (row.line, place);
                    END IF;
                END LOOP;
                CONTINUE;
            ELSIF customer IS NULL AND NOT may_create THEN
                INSERT INTO load_not_found VALUES (row.line);
                CONTINUE;
            END IF;

            taken_as[row.number] := coalesce(customer, customers + row.number);
            INSERT INTO entangled_verdict VALUES (row.line, taken_as[row.number], customer IS NULL);
            customer := taken_as[row.number];
            is_replaced := false;
            FOR place IN 1 .. positions LOOP
                slot := (customer - 1) * positions + place;
                named[slot] := coalesce(CASE WHEN is_external[place] THEN row.identifiers[place] END, named[slot]);
                IF (row.identifiers[place] IS NOT NULL OR row.is_cleared[place])
                    AND own[slot] IS DISTINCT FROM row.identifiers[place]
                THEN
                    IF own[slot] IS NOT NULL THEN
                        holders[own[slot]] := NULL;
                        is_replaced := is_replaced OR is_external[place] AND row.identifiers[place] IS NOT NULL;
                    END IF;
                    own[slot] := row.identifiers[place];
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
