# ruff: noqa: E501 - the DDL has its comments beside the columns
"""The ledger of imports, and the schema of the per-job staging tables."""

from alembic import op

from include.warehouse.migrations import run_sql

revision = "0001"
down_revision = None

LEDGER = """
CREATE SCHEMA ledger;
CREATE TABLE ledger.import_job (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT import_job_pkey PRIMARY KEY,
    run_key text NOT NULL CONSTRAINT import_job_run_key_key UNIQUE,      -- what asked for the import: DAG and run, or the command line's file version
    import_type text NOT NULL,
    action text,
    state text NOT NULL DEFAULT 'awaiting_execution' CONSTRAINT import_job_state_check CHECK (state IN (
        'awaiting_execution', 'running', 'awaiting_review', 'completed', 'completed_with_rejects',
        'refused', 'duplicate', 'cancelled', 'failed')),
    launched_at timestamptz NOT NULL DEFAULT now(),
    launched_by text NOT NULL,
    dag_id text,
    dag_run_id text,
    source_url text NOT NULL,
    source_version text NOT NULL,                                        -- size, mtime or ETag of the object when it was claimed
    file_name text NOT NULL,
    arrived_at timestamptz NOT NULL,
    size_bytes bigint,
    sha256 text,
    fingerprint text,
    parameters jsonb NOT NULL DEFAULT '{}',                              -- settings given for this run alone
    settings jsonb NOT NULL DEFAULT '{}',                                -- the effective ones (X-11)
    inspection jsonb,                                                    -- dialect and header
    mapping jsonb,
    is_dry_run boolean NOT NULL DEFAULT false,
    duplicate_of bigint CONSTRAINT import_job_duplicate_of_fkey REFERENCES ledger.import_job,
    work_url text,
    archive_url text,
    rows_read bigint, rows_inserted bigint, rows_updated bigint, rows_unchanged bigint, rows_not_found bigint, rows_rejected bigint,
    warnings jsonb NOT NULL DEFAULT '[]',
    refusal_rule text,
    refusal_message text,
    rejected_file_url text,
    not_found_file_url text,
    summary_file_url text,
    evidence_file_url text,
    loaded_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT import_job_counts_check CHECK (state NOT IN ('completed', 'completed_with_rejects') OR
        rows_read = rows_inserted + rows_updated + rows_unchanged + rows_not_found + rows_rejected)
);
-- The claim (X-14): one open job an arrival. A finished job frees it, so that the same file may arrive again.
CREATE UNIQUE INDEX import_job_claim_key ON ledger.import_job (source_url, source_version)
    WHERE finished_at IS NULL;
CREATE INDEX import_job_fingerprint_idx ON ledger.import_job (fingerprint);
CREATE INDEX import_job_type_idx ON ledger.import_job (import_type, id);
CREATE TABLE ledger.import_job_parent (
    job_id bigint NOT NULL REFERENCES ledger.import_job, parent_job_id bigint NOT NULL REFERENCES ledger.import_job,
    CONSTRAINT import_job_parent_pkey PRIMARY KEY (job_id, parent_job_id)
);
CREATE TABLE ledger.import_chunk (
    job_id bigint NOT NULL REFERENCES ledger.import_job, number integer NOT NULL,
    byte_start bigint NOT NULL, byte_end bigint NOT NULL, first_line bigint NOT NULL,
    rows_read bigint, rows_staged bigint, rows_rejected bigint,         -- NULL until staged; staged = well-formed rows
    evidence jsonb,                                                     -- per rule: evaluated, failed (no values)
    CONSTRAINT import_chunk_pkey PRIMARY KEY (job_id, number)
);
CREATE TABLE ledger.reject (
    job_id bigint NOT NULL, line bigint NOT NULL, chunk_number integer NOT NULL,
    byte_offset bigint NOT NULL, byte_length bigint NOT NULL,            -- of the record in the UTF-8 text
    rules text NOT NULL, reasons text NOT NULL,                          -- as the rejected-rows file shows them: ids by blanks, sentences by " | "
    origin_job_id bigint, origin_line bigint,                            -- `_job` and `_line` of a corrected row (X-09)
    fixed_by_job_id bigint,
    CONSTRAINT reject_pkey PRIMARY KEY (job_id, line)
);
CREATE TABLE ledger.job_rule (
    job_id bigint NOT NULL REFERENCES ledger.import_job, rule text NOT NULL, severity text NOT NULL, rows bigint NOT NULL,
    first_lines bigint[] NOT NULL DEFAULT '{}',
    CONSTRAINT job_rule_pkey PRIMARY KEY (job_id, rule, severity)
);
CREATE SCHEMA staging;
"""


def upgrade() -> None:
    """Create the schemas `ledger` and `staging`."""
    run_sql(op.get_bind(), LEDGER)
