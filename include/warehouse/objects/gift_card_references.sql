-- After: refuse_change
-- The references of gift cards, enforced once a statement: PostgreSQL's own check, once a row, takes longer than the
-- insert itself. Every way in which a reference could come to dangle is shut:
--
--   insert of cards          the statement's distinct pools and points of contact are locked FOR KEY SHARE; missing: refused
--   update of a card         its pool never changes, a new point of contact is locked and checked (gift_card_changes.sql)
--   change of a pool         always refused (gift_card_pool_guards.sql)
--   points of contact        neither their keys change nor are they deleted while a card has them (references.sql)

CREATE OR REPLACE FUNCTION loyalty.check_gift_card_references() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pools text[];
    points text[];
    held text[];
BEGIN
    -- EXECUTE makes a plan for each statement: a plan kept from an insert of one card sorts the million of the next.
    EXECUTE $query$
        SELECT array_agg(DISTINCT used.pool_system_name),
               array_agg(DISTINCT used.point_of_contact) FILTER (WHERE used.point_of_contact IS NOT NULL)
        FROM (SELECT DISTINCT pool_system_name, point_of_contact FROM inserted) AS used
    $query$ INTO pools, points;

    -- Exactly the rows that this query has locked count as there: a second look could see others.
    SELECT array_agg(locked.system_name) INTO held
    FROM (
        SELECT system_name
        FROM loyalty.gift_card_pool
        WHERE system_name = ANY (pools)
        ORDER BY system_name
        FOR KEY SHARE
    ) AS locked;
    PERFORM loyalty.refuse_missing(pools, held, 'gift_card_pool_system_name_fkey', 'pool');

    IF points IS NOT NULL THEN
        SELECT array_agg(locked.external_id) INTO held
        FROM (
            SELECT external_id
            FROM loyalty.point_of_contact
            WHERE external_id = ANY (points)
            ORDER BY external_id
            FOR KEY SHARE
        ) AS locked;
        PERFORM loyalty.refuse_missing(points, held, 'gift_card_point_of_contact_fkey', 'point of contact');
    END IF;
    RETURN NULL;
END
$$;

-- Raises a foreign key violation when a wanted key is not among those held. The error names no key: a file whose
-- columns are mixed up has card numbers there (X-20).
CREATE OR REPLACE FUNCTION loyalty.refuse_missing(wanted text[], held text[], constraint_name text, what text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing bigint;
BEGIN
    SELECT count(*) INTO missing FROM unnest(wanted) AS key WHERE key <> ALL (coalesce(held, '{}'));
    IF missing > 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = format('gift cards refer to %s unknown %s value(s)', missing, what),
            SCHEMA = 'loyalty',
            TABLE = 'gift_card',
            CONSTRAINT = constraint_name;
    END IF;
END
$$;

CREATE OR REPLACE TRIGGER check_references
    AFTER INSERT ON loyalty.gift_card
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_gift_card_references();
