-- After: promo_code_closing
-- The signals that wake the top-up: channel promo_code_stock, payload the pool's system_id. Source: PG-05, TU-01.
--
-- A pool's levels are those of loyalty.promo_code_levels. When the committed stock falls below one, a
-- signal is delivered, and the next caller of count_promo_code_pool sees it. A signal may repeat, but is never lost:
--
--   take     a code of a single-use pool leaves the stock, by whichever statement. Its row is locked first, then it draws
--            its number n from the pool's sequence, then it looks at the stock as last counted. After n takes at least
--                counted_available - counted_ending - (n - counted_at_take)
--            codes are there. Below signal_below, or when the count is old or missing, it signals with its commit.
--   count    reads the sequence first and then counts: a take up to that number has locked its row, so the count sees
--            the row taken or locked. A locked row counts as gone: two takers of the last two codes draw 1 and 2, the
--            second signals, and may commit first; the first will not signal any more.
--   raise    takers that looked at an older count with a lower signal_below have drawn before the new count is
--            committed, perhaps after it read the sequence. So a count that raises signal_below signals, and the count
--            that follows has them.
--   fall     a count may see a code locked whose taker looks at the stock only after it, and finds signal_below lowered.
--            So a count that lowers signal_below while codes are locked signals: a mere count takes no signal away.
--
-- A take that is rolled back makes the bound too low, which is a signal too early; the next count corrects it. Code
-- windows that end, unlike takes, signal nothing: codes that end within the count's validity are off the bound, and the
-- schedule does the rest. Changes made around the triggers are noticed when an issue finds no code against the bound. The
-- number of a take says nothing to those outside: rolled-back ones have used numbers up.
--
-- Advisory locks: a count locks (7310588, hash of the pool) alone, one count of a pool after the other; changes of levels
-- and issue windows hold it shared, so that no count takes them for takes. Takers lock nothing but their code.

-- Whether all locks and changes of a row that the snapshot still shows unchanged are over. Its xmax is a transaction, or
-- the number of several: of lockers side by side, or of one that locked the row before a savepoint and changed it after.
-- Where it could be either it is taken for both, which errs towards a row that is gone.
CREATE OR REPLACE FUNCTION loyalty.is_over(row_xmax xid, snapshot pg_snapshot) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_several boolean;
BEGIN
    IF NOT loyalty.is_transaction_over(row_xmax, snapshot) THEN
        RETURN false;
    END IF;
    SELECT row_xmax <> 0 AND mxid_age(row_xmax) BETWEEN 1 AND mxid_age(datminmxid) INTO is_several
    FROM pg_database
    WHERE datname = current_database();
    RETURN NOT is_several OR NOT EXISTS (
        SELECT FROM pg_get_multixact_members(row_xmax) AS member
        WHERE member.mode <> 'keysh'                           -- of a foreign key: hinders nobody who takes the code
          AND NOT loyalty.is_transaction_over(member.xid, snapshot));
END
$$;

-- Whether a transaction was only a lock, or has been rolled back, for the rows that the snapshot shows unchanged. Not,
-- when it goes on or has been committed since.
CREATE OR REPLACE FUNCTION loyalty.is_transaction_over(row_xmax xid, snapshot pg_snapshot) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    epoch_size CONSTANT bigint := 4294967296;
    next_id bigint := pg_snapshot_xmax(snapshot)::text::bigint;
    id bigint := row_xmax::text::bigint + next_id / epoch_size * epoch_size;
BEGIN
    IF row_xmax = 0 THEN
        RETURN true;
    END IF;
    id := id + CASE WHEN id > next_id + epoch_size / 2 THEN -epoch_size
                    WHEN id < next_id - epoch_size / 2 THEN epoch_size
                    ELSE 0 END;
    IF id < pg_snapshot_xmin(snapshot)::text::bigint THEN
        RETURN true;
    ELSIF id >= next_id THEN
        RETURN false;
    END IF;
    RETURN pg_xact_status(id::text::xid8) = 'aborted';    -- knows savepoints, which the snapshot doesn't list
END
$$;

-- Counts a pool's stock, stores and returns it. NULL: no such pool, or one of codes for multiple use, which never runs out.
--
--   SELECT counted_available FROM loyalty.count_promo_code_pool('summer');
--
-- counted_available is what TU-01 compares with the levels: codes issuable now and those scheduled to become so, but for
-- those that an open transaction holds. Waits for counts of the pool by others until they commit, and for changes of
-- issue windows, never for takers.
CREATE OR REPLACE FUNCTION loyalty.count_promo_code_pool(pool text) RETURNS loyalty.promo_code_pool_stock
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
SET enable_seqscan = off                                  -- the pool may be a small part of the table
AS $$
#variable_conflict use_column
DECLARE
    counted loyalty.promo_code_pool;
    signalled_below bigint;
    held bigint;                                          -- codes that open transactions have locked or taken
    stock loyalty.promo_code_pool_stock;
BEGIN
    PERFORM pg_advisory_xact_lock(7310588, hashtext(count_promo_code_pool.pool));
    SELECT * INTO counted
    FROM loyalty.promo_code_pool
    WHERE system_id = count_promo_code_pool.pool
      AND NOT multi_use;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM loyalty.%I',
                   'promo_code_take_' || counted.number)
    INTO stock.counted_at_take;

    stock.pool_system_id := counted.system_id;
    stock.counted_at := clock_timestamp();
    stock.valid_until := stock.counted_at + interval '15 minutes';
    SELECT count(*) FILTER (WHERE is_there),
           count(*) FILTER (WHERE is_there AND usable_till <= stock.valid_until),
           count(*) FILTER (WHERE NOT is_there)
    INTO stock.counted_available, stock.counted_ending, held
    FROM (
        SELECT
            loyalty.promo_code_closes_at(issue_end, available_till) AS usable_till,
            CASE WHEN code.xmax = 0 THEN true ELSE loyalty.is_over(code.xmax, pg_current_snapshot()) END AS is_there
        FROM loyalty.promo_code AS code
        WHERE pool_system_id = counted.system_id
          AND issued_at IS NULL
          AND used_at IS NULL
          AND loyalty.promo_code_closes_at(issue_end, available_till) > stock.counted_at
        OFFSET 0                                          -- is_over is asked once a code
    ) AS code;

    SELECT coalesce(max(level), 0) INTO stock.signal_below
    FROM unnest(loyalty.promo_code_levels(counted.top_up_threshold, counted.notify_below)) AS level
    WHERE level <= stock.counted_available;

    SELECT signal_below INTO signalled_below
    FROM loyalty.promo_code_pool_stock
    WHERE pool_system_id = counted.system_id;
    IF stock.signal_below > signalled_below OR stock.signal_below < signalled_below AND held > 0 THEN
        PERFORM pg_notify('promo_code_stock', counted.system_id);
    END IF;

    INSERT INTO loyalty.promo_code_pool_stock (
        pool_system_id, counted_available, counted_at_take, signal_below, valid_until, counted_at, counted_ending
    )
    VALUES (
        stock.pool_system_id, stock.counted_available, stock.counted_at_take, stock.signal_below, stock.valid_until,
        stock.counted_at, stock.counted_ending
    )
    ON CONFLICT ON CONSTRAINT promo_code_pool_stock_pkey DO UPDATE
    SET counted_available = excluded.counted_available,
        counted_at_take = excluded.counted_at_take,
        signal_below = excluded.signal_below,
        valid_until = excluded.valid_until,
        counted_at = excluded.counted_at,
        counted_ending = excluded.counted_ending;
    RETURN stock;
END
$$;

-- Whether any code has left the stock, by issue, by use or by its time. Until then a pool is only being filled, and its stock
-- has fallen below no level (TU-03).
CREATE OR REPLACE FUNCTION loyalty.has_promo_code_stock_shrunk(pool text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
AS $$
SELECT EXISTS (
    SELECT FROM loyalty.promo_code
    WHERE pool_system_id = pool
      AND (issued_at IS NOT NULL OR used_at IS NOT NULL)
) OR EXISTS (
    SELECT FROM loyalty.promo_code
    WHERE pool_system_id = pool
      AND issued_at IS NULL
      AND used_at IS NULL
      AND loyalty.promo_code_closes_at(issue_end, available_till) <= clock_timestamp()
)
$$;

CREATE OR REPLACE FUNCTION loyalty.count_promo_code_take() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pool record;
    take bigint;
    is_above boolean;
BEGIN
    SELECT number, multi_use INTO STRICT pool FROM loyalty.promo_code_pool WHERE system_id = NEW.pool_system_id;
    IF pool.multi_use THEN
        RETURN NULL;
    END IF;
    take := nextval(('loyalty.promo_code_take_' || pool.number)::regclass);
    -- Not in one statement with nextval: its snapshot would be older than the number.
    SELECT stock.counted_available - stock.counted_ending - (take - stock.counted_at_take) >= stock.signal_below
           AND stock.valid_until > clock_timestamp()
    INTO is_above
    FROM loyalty.promo_code_pool_stock AS stock
    WHERE stock.pool_system_id = NEW.pool_system_id;
    -- The snapshot of a repeatable read is always older.
    IF is_above IS NOT TRUE OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM pg_notify('promo_code_stock', NEW.pool_system_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER count_take
    AFTER UPDATE ON loyalty.promo_code
    FOR EACH ROW WHEN (
        OLD.issued_at IS NULL AND OLD.used_at IS NULL AND (NEW.issued_at IS NOT NULL OR NEW.used_at IS NOT NULL))
    EXECUTE FUNCTION loyalty.count_promo_code_take();

-- No code was found though the last count, less the takes since, says that some are there: a user has changed codes or
-- counts without the triggers. The count is set to none, so the pool is counted again, and only the first caller gets
-- true; counts of the last minute are left alone: a contradiction that stays must not have it counted again and again.
-- Waits for nobody: the session that holds the count is just counting.
CREATE OR REPLACE FUNCTION loyalty.correct_promo_code_stock(pool text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    take bigint;
BEGIN
    SELECT coalesce(pg_sequence_last_value(format('loyalty.promo_code_take_%s', number)::regclass), 0) INTO take
    FROM loyalty.promo_code_pool
    WHERE system_id = pool;
    WITH wrong AS (
        SELECT stock.pool_system_id
        FROM loyalty.promo_code_pool_stock AS stock
        WHERE stock.pool_system_id = pool
          AND stock.counted_available - stock.counted_ending - (take - stock.counted_at_take) > 0
          AND stock.counted_at < clock_timestamp() - interval '1 minute'
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE loyalty.promo_code_pool_stock AS stock
    SET counted_available = 0,
        counted_ending = 0,
        counted_at_take = take,
        signal_below = 0
    FROM wrong
    WHERE stock.pool_system_id = wrong.pool_system_id;
    RETURN FOUND;
END
$$;

-- What makes a count wrong otherwise than by takes: new issue windows, new levels. It is out of date from the commit on:
-- a count that is going on has ended before, and none begins until then.
CREATE OR REPLACE FUNCTION loyalty.outdate_promo_code_stock(pool text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7310588, hashtext(outdate_promo_code_stock.pool));
    UPDATE loyalty.promo_code_pool_stock
    SET valid_until = counted_at
    WHERE pool_system_id = outdate_promo_code_stock.pool
      AND valid_until > counted_at;
    PERFORM pg_notify('promo_code_stock', outdate_promo_code_stock.pool);
END
$$;

CREATE OR REPLACE FUNCTION loyalty.note_new_issue_window() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM loyalty.outdate_promo_code_stock(system_id)
    FROM loyalty.promo_code_pool
    WHERE system_id = NEW.pool_system_id
      AND NOT multi_use;
    PERFORM loyalty.note_promo_code_closing_day(
        NEW.pool_system_id, loyalty.promo_code_closing_day_of(NEW.issue_end, NEW.available_till),
        coalesce(NEW.issue_start, '-infinity'));
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER note_new_issue_window
    BEFORE UPDATE ON loyalty.promo_code
    FOR EACH ROW WHEN (
        NEW.issued_at IS NULL AND NEW.used_at IS NULL
        AND (OLD.issue_start, OLD.issue_end, OLD.available_till)
            IS DISTINCT FROM (NEW.issue_start, NEW.issue_end, NEW.available_till))
    EXECUTE FUNCTION loyalty.note_new_issue_window();

-- A pool that is launched, or whose way of filling changes, is looked at again as well.
CREATE OR REPLACE FUNCTION loyalty.signal_promo_code_pool() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('promo_code_stock', NEW.system_id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER signal_new
    AFTER INSERT ON loyalty.promo_code_pool
    FOR EACH ROW WHEN (NEW.state = 'active' AND NOT NEW.multi_use)
    EXECUTE FUNCTION loyalty.signal_promo_code_pool();

CREATE OR REPLACE TRIGGER signal_change
    AFTER UPDATE ON loyalty.promo_code_pool
    FOR EACH ROW WHEN (
        NOT NEW.multi_use
        AND (OLD.state, OLD.fill_method, OLD.format, OLD.quantity, OLD.auto_generate)
            IS DISTINCT FROM (NEW.state, NEW.fill_method, NEW.format, NEW.quantity, NEW.auto_generate))
    EXECUTE FUNCTION loyalty.signal_promo_code_pool();

CREATE OR REPLACE FUNCTION loyalty.note_new_levels() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM loyalty.outdate_promo_code_stock(NEW.system_id);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER note_new_levels
    AFTER UPDATE ON loyalty.promo_code_pool
    FOR EACH ROW WHEN (
        NOT NEW.multi_use
        AND (OLD.top_up_threshold, OLD.notify_below, OLD.lead_hours, OLD.multi_use)
            IS DISTINCT FROM (NEW.top_up_threshold, NEW.notify_below, NEW.lead_hours, NEW.multi_use))
    EXECUTE FUNCTION loyalty.note_new_levels();
