-- What project.yaml names: brands, points of contact, channels, custom fields and so on. `sync-project` keeps these
-- tables equal to it; foreign keys refuse the removal of an entry in use.

CREATE SCHEMA loyalty;

CREATE TABLE loyalty.brand (
    name text COLLATE "C" CONSTRAINT brand_pkey PRIMARY KEY
);

CREATE TABLE loyalty.external_system (
    name text COLLATE "C" CONSTRAINT external_system_pkey PRIMARY KEY
);

CREATE TABLE loyalty.point_of_contact (
    external_id text COLLATE "C" CONSTRAINT point_of_contact_pkey PRIMARY KEY,
    brand text COLLATE "C" NOT NULL CONSTRAINT point_of_contact_brand_fkey REFERENCES loyalty.brand
);

CREATE TABLE loyalty.data_source (
    name text COLLATE "C" CONSTRAINT data_source_pkey PRIMARY KEY,
    point_of_contact text COLLATE "C" NOT NULL
        CONSTRAINT data_source_point_of_contact_fkey REFERENCES loyalty.point_of_contact,
    is_default boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX data_source_default_key ON loyalty.data_source (is_default) WHERE is_default;

CREATE TABLE loyalty.subscription_channel (
    name text COLLATE "C" CONSTRAINT subscription_channel_pkey PRIMARY KEY
);

CREATE TABLE loyalty.subscription_topic (
    name text COLLATE "C" CONSTRAINT subscription_topic_pkey PRIMARY KEY
);

CREATE TABLE loyalty.external_identity (
    system_name text COLLATE "C" CONSTRAINT external_identity_pkey PRIMARY KEY
);

CREATE TABLE loyalty.custom_field (
    name text COLLATE "C" CONSTRAINT custom_field_pkey PRIMARY KEY,
    type text NOT NULL CONSTRAINT custom_field_type_check
        CHECK (type IN ('string', 'boolean', 'integer', 'decimal', 'date', 'datetime', 'enum')),
    enum_values text[],
    CONSTRAINT custom_field_enum_values_check CHECK ((type = 'enum') = (coalesce(cardinality(enum_values), 0) > 0))
);

CREATE TABLE loyalty.action_template (
    system_name text COLLATE "C" CONSTRAINT action_template_pkey PRIMARY KEY,
    category text NOT NULL
);

CREATE TABLE loyalty.segment (
    name text COLLATE "C" CONSTRAINT segment_pkey PRIMARY KEY,
    is_configured boolean NOT NULL
);

CREATE TABLE loyalty.promo_code_format (
    name text COLLATE "C" CONSTRAINT promo_code_format_pkey PRIMARY KEY,
    alphabet text COLLATE "C" NOT NULL CONSTRAINT promo_code_format_alphabet_check CHECK (alphabet <> ''),
    length integer NOT NULL CONSTRAINT promo_code_format_length_check CHECK (length BETWEEN 4 AND 64),
    prefix text COLLATE "C" NOT NULL DEFAULT '',
    suffix text COLLATE "C" NOT NULL DEFAULT '',
    max_codes bigint CONSTRAINT promo_code_format_max_codes_check CHECK (max_codes > 0),
    key_fingerprint bytea,
    next_index bigint NOT NULL DEFAULT 0 CONSTRAINT promo_code_format_next_index_check CHECK (next_index >= 0),
    generated bigint NOT NULL DEFAULT 0 CONSTRAINT promo_code_format_generated_check CHECK (generated >= 0),
    CONSTRAINT promo_code_format_free_length_check CHECK (length > char_length(prefix) + char_length(suffix))
);
