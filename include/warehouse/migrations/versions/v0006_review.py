# ruff: noqa: E501 - the DDL has its comments beside the columns
"""Questions that a person is asked before a load, and the answers; the last good file of a folder."""

from alembic import op

from include.warehouse.migrations import run_sql

revision = "0006"
down_revision = "0005"

REVIEW = """
CREATE TABLE ledger.import_review (
    job_id bigint NOT NULL REFERENCES ledger.import_job,
    number integer NOT NULL,                                             -- 1 for a job's first question
    asked_at timestamptz NOT NULL,
    answers_until timestamptz NOT NULL,
    form_sha256 text NOT NULL,                                           -- of what was shown: the same form is not shown twice
    reasons jsonb NOT NULL,                                              -- why a person was asked: [{rule, message}]
    counts jsonb,                                                        -- of the rehearsal; NULL when the mapping allowed none
    answered_at timestamptz,
    answered_by text,                                                    -- Airflow user; NULL when the time ran out
    answer text CONSTRAINT import_review_answer_check CHECK (answer IN ('launch', 'reject', 'expired', 'superseded')),
    mapping jsonb,                                                       -- the setting `mapping` of a launch that changed it
    problem text,                                                        -- why the answer could not be used; another question follows
    CONSTRAINT import_review_pkey PRIMARY KEY (job_id, number),
    CONSTRAINT import_review_answered_check CHECK ((answer IS NULL) = (answered_at IS NULL))
);
COMMENT ON TABLE ledger.import_review IS 'Reviews before the launch (X-06): each question with its answer.';
-- The last file that was loaded from a folder. Hashed, for an index row holds 2,700 bytes.
CREATE INDEX import_job_folder_idx
    ON ledger.import_job (import_type, md5(regexp_replace(source_url, '/[^/]*$', '')), loaded_at)
    WHERE loaded_at IS NOT NULL;
"""


def upgrade() -> None:
    """Create `ledger.import_review` and the index of folders."""
    run_sql(op.get_bind(), REVIEW)
