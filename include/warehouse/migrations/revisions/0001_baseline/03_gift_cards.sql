-- Gift card pools, their technical products, gift cards, and the history of each card's changes.

CREATE TABLE loyalty.gift_card_pool (
    system_name text COLLATE "C"
        CONSTRAINT gift_card_pool_pkey PRIMARY KEY
        CONSTRAINT gift_card_pool_system_name_check CHECK (system_name <> ''),
    name text NOT NULL CONSTRAINT gift_card_pool_name_check CHECK (name <> ''),
    supports_arbitrary_value boolean NOT NULL,
    supports_partial_redemption boolean NOT NULL,
    product_external_id text COLLATE "C" NOT NULL
        CONSTRAINT gift_card_pool_product_external_id_check CHECK (product_external_id <> ''),
    product_external_system text COLLATE "C" NOT NULL
        CONSTRAINT gift_card_pool_product_external_system_fkey REFERENCES loyalty.external_system,
    brand text COLLATE "C" NOT NULL CONSTRAINT gift_card_pool_brand_fkey REFERENCES loyalty.brand,
    cvv_required boolean NOT NULL,
    card_value numeric(18,2),
    expiration_type text NOT NULL DEFAULT 'NoExpiration'
        CONSTRAINT gift_card_pool_expiration_type_check CHECK (expiration_type IN ('NoExpiration', 'Year')),
    lifetime_years integer,
    import_job_id bigint CONSTRAINT gift_card_pool_import_job_id_fkey REFERENCES ledger.import_job,
    import_line bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    max_card_value numeric(18,2),
    CONSTRAINT gift_card_pool_product_key UNIQUE (product_external_system, product_external_id),
    CONSTRAINT gift_card_pool_card_value_check CHECK (
        CASE WHEN supports_arbitrary_value THEN card_value IS NULL
             ELSE card_value IS NOT NULL AND card_value > 0 AND card_value < 'NaN' END),
    CONSTRAINT gift_card_pool_max_card_value_check CHECK (
        max_card_value > 0 AND max_card_value < 'NaN' AND (card_value IS NULL OR card_value <= max_card_value)),
    CONSTRAINT gift_card_pool_lifetime_years_check CHECK (
        CASE expiration_type WHEN 'Year' THEN lifetime_years IS NOT NULL AND lifetime_years BETWEEN 1 AND 10
             ELSE lifetime_years IS NULL END)
);

CREATE TABLE loyalty.technical_product (
    pool_system_name text COLLATE "C" CONSTRAINT technical_product_pkey PRIMARY KEY
        CONSTRAINT technical_product_pool_system_name_fkey REFERENCES loyalty.gift_card_pool,
    external_system text COLLATE "C" NOT NULL
        CONSTRAINT technical_product_external_system_fkey REFERENCES loyalty.external_system,
    external_id text COLLATE "C" NOT NULL,
    brand text COLLATE "C" NOT NULL CONSTRAINT technical_product_brand_fkey REFERENCES loyalty.brand,
    CONSTRAINT technical_product_external_key UNIQUE (external_system, external_id)
);

-- Millions of rows: the card number is the only index, and the references are checked once a statement by triggers
-- (objects/gift_card_references.sql) instead of once a row. NOT ENFORCED tells people and tools what refers to what.
CREATE TABLE loyalty.gift_card (
    card_number text COLLATE "C"
        CONSTRAINT gift_card_pkey PRIMARY KEY
        CONSTRAINT gift_card_card_number_check CHECK (card_number <> ''),
    pool_system_name text COLLATE "C" NOT NULL,
    balance numeric(18,2) NOT NULL CONSTRAINT gift_card_balance_check CHECK (balance >= 0 AND balance < 'NaN'),
    cvv_hash bytea CONSTRAINT gift_card_cvv_hash_check CHECK (octet_length(cvv_hash) = 32),
    point_of_contact text COLLATE "C",
    purchased_at timestamptz,
    expires_at timestamptz,
    status text COLLATE "C" NOT NULL DEFAULT 'Inactive'
        CONSTRAINT gift_card_status_check CHECK (status IN ('CanBeUsed', 'Inactive', 'Blocked')),
    import_job_id bigint,
    import_line bigint,
    CONSTRAINT gift_card_expires_at_check CHECK (
        expires_at IS NULL OR purchased_at IS NOT NULL AND expires_at > purchased_at),
    CONSTRAINT gift_card_pool_system_name_fkey FOREIGN KEY (pool_system_name)
        REFERENCES loyalty.gift_card_pool NOT ENFORCED,
    CONSTRAINT gift_card_point_of_contact_fkey FOREIGN KEY (point_of_contact)
        REFERENCES loyalty.point_of_contact NOT ENFORCED
);

CREATE TABLE loyalty.gift_card_change (
    card_number text COLLATE "C" NOT NULL
        CONSTRAINT gift_card_change_card_number_fkey REFERENCES loyalty.gift_card,
    number bigint GENERATED ALWAYS AS IDENTITY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL CONSTRAINT gift_card_change_kind_check CHECK (kind IN ('sale', 'payment', 'block')),
    paid numeric(18,2),
    balance numeric(18,2) NOT NULL,
    status text COLLATE "C" NOT NULL,
    point_of_contact text COLLATE "C"
        CONSTRAINT gift_card_change_point_of_contact_fkey REFERENCES loyalty.point_of_contact,
    purchased_at timestamptz,
    expires_at timestamptz,
    product_external_system text COLLATE "C",
    product_external_id text COLLATE "C",
    brand text COLLATE "C",
    CONSTRAINT gift_card_change_pkey PRIMARY KEY (card_number, number),
    CONSTRAINT gift_card_change_paid_check CHECK ((kind = 'payment') = (paid IS NOT NULL))
);

-- No reference: cards are never deleted. A hash index, because a number may be longer than what a row of a btree holds.
CREATE TABLE loyalty.gift_card_plain_number (
    card_number text COLLATE "C" CONSTRAINT gift_card_plain_number_pkey PRIMARY KEY,
    plain_number text COLLATE "C" NOT NULL
);
CREATE INDEX gift_card_plain_number_plain_number ON loyalty.gift_card_plain_number USING hash (plain_number);
