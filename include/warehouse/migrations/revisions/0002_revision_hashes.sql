-- With the hash of what ran, an edit of a revision that this database has is seen.
ALTER TABLE ledger.schema_revision ADD COLUMN sha256 text;
COMMENT ON COLUMN ledger.schema_revision.sha256 IS
    'Of the SQL that ran: `migrate` refuses a revision of this number with another text.';
