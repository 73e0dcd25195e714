-- What a load statement writes to, and what it may look up; dropped again before the transaction ends.
SET LOCAL work_mem = '256MB';
SET LOCAL jit = off;
CREATE TEMP TABLE load_rule (id text, message text) ON COMMIT DROP;
CREATE TEMP TABLE load_field (
    name text, label text, staging_column text, key text, position integer
) ON COMMIT DROP;
CREATE TEMP TABLE load_reject (line bigint, rule text, reason text) ON COMMIT DROP;
CREATE TEMP TABLE load_warning (line bigint, rule text) ON COMMIT DROP;
CREATE TEMP TABLE load_count (outcome text, rows bigint) ON COMMIT DROP;
CREATE TEMP TABLE load_not_found (line bigint) ON COMMIT DROP;
