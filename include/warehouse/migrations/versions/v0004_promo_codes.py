"""Promo code pools, their codes, uses and stock; the state of each format's generation; their history and alerts."""

from alembic import op

from include.warehouse.migrations import run_function_files, run_sql

revision = "0004"
down_revision = "0003"

FORMATS = """
ALTER TABLE loyalty.promo_code_format
    ADD COLUMN key_fingerprint bytea,
    ADD COLUMN next_index bigint NOT NULL DEFAULT 0
        CONSTRAINT promo_code_format_next_index_check CHECK (next_index >= 0),
    ADD COLUMN generated bigint NOT NULL DEFAULT 0
        CONSTRAINT promo_code_format_generated_check CHECK (generated >= 0);
COMMENT ON COLUMN loyalty.promo_code_format.key_fingerprint IS
    'Of the key whose permutation next_index walks (PG-03); NULL before the first code.';
COMMENT ON COLUMN loyalty.promo_code_format.next_index IS
    'Counter of the permutation: the next index to turn into a code.';
COMMENT ON COLUMN loyalty.promo_code_format.generated IS
    'Codes added by generation, of all pools and keys. Above 0 the format is locked (PP-03).';

-- No reference to the format: its check would wait for the generation that holds the format's row.
CREATE TABLE loyalty.promo_code_format_use (
    format text COLLATE "C" NOT NULL,
    codes bigint NOT NULL CONSTRAINT promo_code_format_use_codes_check CHECK (codes > 0),
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX promo_code_format_use_format_idx ON loyalty.promo_code_format_use (format);
COMMENT ON TABLE loyalty.promo_code_format_use IS
    'Codes of any origin in the space of a format, as parts that add up: writers never wait for each other.';
"""

POOLS = """
CREATE TABLE loyalty.promo_code_pool (
    system_id text COLLATE "C"
        CONSTRAINT promo_code_pool_pkey PRIMARY KEY
        CONSTRAINT promo_code_pool_system_id_check CHECK (system_id <> ''),
    number integer GENERATED ALWAYS AS IDENTITY CONSTRAINT promo_code_pool_number_key UNIQUE,
    name text NOT NULL CONSTRAINT promo_code_pool_name_check CHECK (name <> ''),
    description text CONSTRAINT promo_code_pool_description_check CHECK (description <> ''),
    campaign text,
    parameter_name text,
    fill_method text CONSTRAINT promo_code_pool_fill_method_check CHECK (fill_method IN ('upload', 'generate')),
    format text COLLATE "C" CONSTRAINT promo_code_pool_format_fkey REFERENCES loyalty.promo_code_format,
    quantity bigint CONSTRAINT promo_code_pool_quantity_check CHECK (quantity > 0),
    auto_generate boolean NOT NULL DEFAULT false,
    top_up_threshold bigint CONSTRAINT promo_code_pool_top_up_threshold_check CHECK (top_up_threshold >= 0),
    notify_below bigint CONSTRAINT promo_code_pool_notify_below_check CHECK (notify_below >= 0),
    lead_hours integer CONSTRAINT promo_code_pool_lead_hours_check CHECK (lead_hours > 0),
    issue_check boolean NOT NULL DEFAULT false,
    assigned_validity_days integer
        CONSTRAINT promo_code_pool_assigned_validity_days_check CHECK (assigned_validity_days BETWEEN 1 AND 36500),
    processing text NOT NULL DEFAULT 'internal'
        CONSTRAINT promo_code_pool_processing_check CHECK (processing IN ('internal', 'external')),
    multi_use boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'draft' CONSTRAINT promo_code_pool_state_check CHECK (state IN ('draft', 'active')),
    launched_at timestamptz,
    first_code_at timestamptz,
    import_job_id bigint CONSTRAINT promo_code_pool_import_job_id_fkey REFERENCES ledger.import_job,
    import_line bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT promo_code_pool_issue_check_or_multi_use_check CHECK (NOT (issue_check AND multi_use)),
    CONSTRAINT promo_code_pool_issue_check_validity_check
        CHECK (NOT issue_check OR assigned_validity_days IS NOT NULL),
    CONSTRAINT promo_code_pool_auto_generate_quantity_check CHECK (NOT auto_generate OR quantity IS NOT NULL),
    CONSTRAINT promo_code_pool_launch_check
        CHECK ((state = 'active') = (launched_at IS NOT NULL) AND (state = 'draft' OR description IS NOT NULL)),
    CONSTRAINT promo_code_pool_first_code_at_check CHECK (first_code_at IS NULL OR fill_method IS NOT NULL)
);
COMMENT ON COLUMN loyalty.promo_code_pool.number IS
    'Names the sequence of the pool''s takes, loyalty.promo_code_take_<number>, made and dropped with the pool.';
COMMENT ON COLUMN loyalty.promo_code_pool.quantity IS 'Codes of one generation.';
COMMENT ON COLUMN loyalty.promo_code_pool.top_up_threshold IS
    'Topped up below this many available codes; 0: never; NULL: notify_below, else 1 (TU-01).';
COMMENT ON COLUMN loyalty.promo_code_pool.notify_below IS 'Staff are told when fewer are available; NULL: never.';
COMMENT ON COLUMN loyalty.promo_code_pool.lead_hours IS
    'Topped up, or announced, when the predicted run-out is this near (TU-05).';
COMMENT ON COLUMN loyalty.promo_code_pool.launched_at IS 'Set by a trigger with the state active.';
COMMENT ON COLUMN loyalty.promo_code_pool.first_code_at IS
    'Set by a trigger with the first code: from then on fill_method is frozen (PP-02).';

-- Millions of rows: references are checked once a statement by triggers (functions/promo_code_references.sql).
CREATE TABLE loyalty.promo_code (
    code text COLLATE "C"
        CONSTRAINT promo_code_pkey PRIMARY KEY
        CONSTRAINT promo_code_code_check CHECK (code <> ''),
    pool_system_id text COLLATE "C" NOT NULL,
    issue_start timestamptz,
    issue_end timestamptz,
    available_from timestamptz,
    available_till timestamptz,
    issued_at timestamptz,
    issued_to text,
    used_at timestamptz,
    used_by text,
    import_job_id bigint,
    import_line bigint,
    generation_id bigint,
    CONSTRAINT promo_code_issue_window_check CHECK (issue_start < issue_end),
    CONSTRAINT promo_code_available_window_check CHECK (available_from < available_till),
    CONSTRAINT promo_code_origin_check CHECK ((import_job_id IS NULL) <> (generation_id IS NULL)),
    CONSTRAINT promo_code_pool_system_id_fkey FOREIGN KEY (pool_system_id)
        REFERENCES loyalty.promo_code_pool NOT ENFORCED
);
COMMENT ON TABLE loyalty.promo_code IS
    'Codes are never deleted; code, pool and origin never change, nor a time of issue or use once it is set.';
COMMENT ON COLUMN loyalty.promo_code.issue_start IS
    'Windows are half-open [from, till) and NULL is open (PC-03). This one: when the code may be handed out.';
COMMENT ON COLUMN loyalty.promo_code.available_from IS 'When the code may be activated.';
COMMENT ON COLUMN loyalty.promo_code.issued_at IS 'The first time, in a pool of codes for multiple use.';
COMMENT ON COLUMN loyalty.promo_code.issued_to IS 'Opaque text of the system that hands codes out: no reference.';
COMMENT ON COLUMN loyalty.promo_code.used_at IS
    'Stays NULL in a pool of codes for multiple use: loyalty.promo_code_use has their activations.';
COMMENT ON COLUMN loyalty.promo_code.import_job_id IS
    'ledger.import_job that uploaded the code, or else generation_id, of ledger.promo_code_generation.';

-- What issue_promo_code takes from the front: the window that closes first, then the oldest batch. Entries of one batch
-- are equal but for the row's place, which needs little room. Newer batches come last: codes that a running generation
-- has not committed yet lie behind those that can be issued.
CREATE INDEX promo_code_stock_idx ON loyalty.promo_code (
    pool_system_id, coalesce(least(issue_end, available_till), 'infinity'), coalesce(issue_start, '-infinity'),
    coalesce(generation_id, import_job_id)
) WHERE issued_at IS NULL AND used_at IS NULL;
CREATE INDEX promo_code_taken_idx ON loyalty.promo_code (pool_system_id, coalesce(issued_at, used_at))
    WHERE issued_at IS NOT NULL OR used_at IS NOT NULL;
-- The other twin of a code (PC-04) is found by promo_code_pkey when it is all upper case. Empty for the usual codes.
-- The collation knows the case of letters beyond ASCII, "C" doesn't.
CREATE INDEX promo_code_lower_case_idx ON loyalty.promo_code (upper(code COLLATE "pg_c_utf8"))
    WHERE code <> upper(code COLLATE "pg_c_utf8");

CREATE TABLE loyalty.promo_code_batch (
    pool_system_id text COLLATE "C" NOT NULL,
    batch bigint NOT NULL
);
CREATE INDEX promo_code_batch_idx ON loyalty.promo_code_batch (pool_system_id, batch);
COMMENT ON TABLE loyalty.promo_code_batch IS
    'Import jobs and generations with codes in a pool, committed with the codes: issue_promo_code looks no further '
    'than the newest one that it sees, instead of through all that a running generation has not committed yet.';

CREATE TABLE loyalty.promo_code_closing_day (
    pool_system_id text COLLATE "C" NOT NULL,
    day timestamptz NOT NULL,
    opens_at timestamptz NOT NULL
);
CREATE INDEX promo_code_closing_day_idx ON loyalty.promo_code_closing_day (pool_system_id, day, opens_at);
COMMENT ON TABLE loyalty.promo_code_closing_day IS
    'Days on which issue windows of a pool close, infinity for never, and when the first of those opens; '
    'a day may stand here several times. issue_promo_code passes over days of which no window has opened.';

CREATE TABLE loyalty.promo_code_use (
    code text COLLATE "C" NOT NULL CONSTRAINT promo_code_use_code_fkey REFERENCES loyalty.promo_code,
    number bigint GENERATED ALWAYS AS IDENTITY,
    customer text,
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT promo_code_use_pkey PRIMARY KEY (code, number)
);
COMMENT ON TABLE loyalty.promo_code_use IS 'Activations of codes for multiple use, one row each; never changed.';

CREATE TABLE loyalty.promo_code_pool_stock (
    pool_system_id text COLLATE "C"
        CONSTRAINT promo_code_pool_stock_pkey PRIMARY KEY
        CONSTRAINT promo_code_pool_stock_pool_system_id_fkey
            REFERENCES loyalty.promo_code_pool ON UPDATE CASCADE ON DELETE CASCADE,
    counted_available bigint NOT NULL,
    counted_at_take bigint NOT NULL,
    signal_below bigint NOT NULL,
    valid_until timestamptz NOT NULL,
    counted_at timestamptz NOT NULL,
    counted_ending bigint NOT NULL
);
COMMENT ON TABLE loyalty.promo_code_pool_stock IS
    'The stock as count_promo_code_pool last counted it, for the signals of promo_code_signals.sql (PG-05).';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_available IS
    'Issuable then or scheduled, but for codes that an open transaction was handing out: what is compared with levels.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_at_take IS 'Number of the last take that the count includes.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.signal_below IS
    'The highest of top_up_threshold, notify_below and 1 that counted_available had not fallen below; else 0.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_ending IS
    'Those of counted_available whose issue window closes before valid_until.';
"""

HISTORY = """
CREATE TABLE ledger.promo_code_generation (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT promo_code_generation_pkey PRIMARY KEY,
    run_key text NOT NULL CONSTRAINT promo_code_generation_run_key_key UNIQUE,
    pool_system_id text COLLATE "C" NOT NULL,
    format text COLLATE "C",
    requested bigint NOT NULL,
    auto_generate boolean,
    reason text NOT NULL,
    state text NOT NULL DEFAULT 'awaiting_execution' CONSTRAINT promo_code_generation_state_check
        CHECK (state IN ('awaiting_execution', 'running', 'completed', 'refused', 'failed')),
    generated bigint,
    added bigint,
    launched_by text NOT NULL,
    launched_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    refusal_rule text,
    refusal_message text,
    dag_id text,
    dag_run_id text,
    CONSTRAINT promo_code_generation_counts_check
        CHECK (state <> 'completed' OR generated IS NOT NULL AND added IS NOT NULL AND added <= generated)
);
CREATE INDEX promo_code_generation_pool_idx ON ledger.promo_code_generation (pool_system_id, id);
COMMENT ON TABLE ledger.promo_code_generation IS 'Every generation that was asked for (PG-04).';
COMMENT ON COLUMN ledger.promo_code_generation.run_key IS
    'What asked for it: DAG and run, or the command. A repetition is the same generation (PG-03).';
COMMENT ON COLUMN ledger.promo_code_generation.state IS
    'As last recorded; loyalty.promo_code_pool_history shows a running one that was interrupted as failed.';
COMMENT ON COLUMN ledger.promo_code_generation.reason IS '`form`, `command line`, or why the top-up made it (TU-04).';
COMMENT ON COLUMN ledger.promo_code_generation.generated IS 'Indexes of the permutation that were walked.';
COMMENT ON COLUMN ledger.promo_code_generation.added IS 'Codes of them that were new.';

CREATE TABLE ledger.promo_code_upload (
    job_id bigint NOT NULL CONSTRAINT promo_code_upload_job_id_fkey REFERENCES ledger.import_job,
    pool_system_id text COLLATE "C" NOT NULL,
    inserted bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    CONSTRAINT promo_code_upload_pkey PRIMARY KEY (job_id, pool_system_id)
);
CREATE INDEX promo_code_upload_pool_idx ON ledger.promo_code_upload (pool_system_id, job_id);
COMMENT ON TABLE ledger.promo_code_upload IS 'What an import of codes did to each of its pools (PC-06).';

CREATE TABLE ledger.promo_code_alert (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT promo_code_alert_pkey PRIMARY KEY,
    pool_system_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CONSTRAINT promo_code_alert_kind_check
        CHECK (kind IN ('low_stock', 'format_exhausted', 'runs_out_soon')),
    raised_at timestamptz NOT NULL DEFAULT now(),
    available bigint NOT NULL,
    level bigint,
    runs_out_at timestamptz,
    sent_at timestamptz,
    recovered_at timestamptz
);
-- At most one open alert a pool and kind: once per crossing, again only after recovery (TU-03).
CREATE UNIQUE INDEX promo_code_alert_open_key ON ledger.promo_code_alert (pool_system_id, kind)
    WHERE recovered_at IS NULL;
CREATE INDEX promo_code_alert_unsent_idx ON ledger.promo_code_alert (id) WHERE sent_at IS NULL;
"""


def upgrade() -> None:
    """Create the promo code tables, then the functions, triggers and views that guard, count and show them."""
    connection = op.get_bind()
    for statements in (FORMATS, POOLS, HISTORY):
        run_sql(connection, statements)
    run_function_files(
        connection,
        "promo_code_format_use",
        "promo_code_pool_guards",
        "promo_code_references",
        "promo_code_levels",
        "promo_code_signals",
        "promo_code_generations",
        "issue_promo_code",
        "mark_promo_code_issued",
        "activate_promo_code",
        "promo_code_views",
    )
