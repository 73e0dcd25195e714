-- What `migrate` has applied: the revisions, and the functions, views and triggers with the files that they come from.

CREATE TABLE ledger.schema_revision (
    number integer CONSTRAINT schema_revision_pkey PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ledger.schema_object (
    kind text NOT NULL CONSTRAINT schema_object_kind_check CHECK (kind IN ('ROUTINE', 'TRIGGER', 'VIEW')),
    name text NOT NULL,
    file text NOT NULL,
    sha256 text NOT NULL,
    CONSTRAINT schema_object_pkey PRIMARY KEY (kind, name)
);
