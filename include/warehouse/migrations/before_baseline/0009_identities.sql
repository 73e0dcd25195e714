-- E-mails that differ in the case of ASCII's letters, codes and card numbers that look alike, placeholders, code patterns,
-- products of sales. Source: X-16, PC-04a, CU-03, GP-02.
CREATE UNIQUE INDEX customer_email_key ON loyalty.customer (lower(email)) WHERE email IS NOT NULL;

CREATE TABLE loyalty.promo_code_look_alike (
    code text COLLATE "C" CONSTRAINT promo_code_look_alike_pkey PRIMARY KEY,
    skeleton text COLLATE "C" NOT NULL
);
CREATE INDEX promo_code_look_alike_skeleton ON loyalty.promo_code_look_alike USING hash (skeleton);

CREATE TABLE loyalty.gift_card_plain_number (
    card_number text COLLATE "C" CONSTRAINT gift_card_plain_number_pkey PRIMARY KEY,
    plain_number text COLLATE "C" NOT NULL
);
CREATE INDEX gift_card_plain_number_plain_number ON loyalty.gift_card_plain_number USING hash (plain_number);

CREATE TABLE ledger.customer_placeholder (
    job_id bigint NOT NULL,
    identifier text COLLATE "C" NOT NULL,
    salt uuid NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT customer_placeholder_pkey PRIMARY KEY (job_id, identifier, salt, digest)
);

ALTER TABLE loyalty.promo_code_pool
    ADD COLUMN code_pattern text CONSTRAINT promo_code_pool_code_pattern_check CHECK (code_pattern <> '');

ALTER TABLE loyalty.gift_card_change
    ADD COLUMN product_external_system text COLLATE "C",
    ADD COLUMN product_external_id text COLLATE "C",
    ADD COLUMN brand text COLLATE "C";
