SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

ALTER TABLE ONLY ledger.customer_change
    ADD CONSTRAINT customer_change_pkey PRIMARY KEY (job_id, line);

ALTER TABLE ONLY ledger.customer_placeholder
    ADD CONSTRAINT customer_placeholder_pkey PRIMARY KEY (job_id, identifier, salt, digest);

ALTER TABLE ONLY ledger.dropped_value
    ADD CONSTRAINT dropped_value_pkey PRIMARY KEY (job_id, line, field);

ALTER TABLE ONLY ledger.import_chunk
    ADD CONSTRAINT import_chunk_pkey PRIMARY KEY (job_id, number);

ALTER TABLE ONLY ledger.import_job_parent
    ADD CONSTRAINT import_job_parent_pkey PRIMARY KEY (job_id, parent_job_id);

ALTER TABLE ONLY ledger.import_job
    ADD CONSTRAINT import_job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ledger.import_job
    ADD CONSTRAINT import_job_run_key_key UNIQUE (run_key);

ALTER TABLE ONLY ledger.import_review
    ADD CONSTRAINT import_review_pkey PRIMARY KEY (job_id, number);

ALTER TABLE ONLY ledger.job_rule
    ADD CONSTRAINT job_rule_pkey PRIMARY KEY (job_id, rule, severity);

ALTER TABLE ONLY ledger.not_found
    ADD CONSTRAINT not_found_pkey PRIMARY KEY (job_id, line);

ALTER TABLE ONLY ledger.promo_code_alert
    ADD CONSTRAINT promo_code_alert_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ledger.promo_code_generation
    ADD CONSTRAINT promo_code_generation_pkey PRIMARY KEY (id);

ALTER TABLE ONLY ledger.promo_code_generation
    ADD CONSTRAINT promo_code_generation_run_key_key UNIQUE (run_key);

ALTER TABLE ONLY ledger.promo_code_upload
    ADD CONSTRAINT promo_code_upload_pkey PRIMARY KEY (job_id, pool_system_id);

ALTER TABLE ONLY ledger.reject
    ADD CONSTRAINT reject_pkey PRIMARY KEY (job_id, line);

ALTER TABLE ONLY loyalty.action_template
    ADD CONSTRAINT action_template_pkey PRIMARY KEY (system_name);

ALTER TABLE ONLY loyalty.brand
    ADD CONSTRAINT brand_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.custom_field
    ADD CONSTRAINT custom_field_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.customer_action
    ADD CONSTRAINT customer_action_pkey PRIMARY KEY (customer_id, number);

ALTER TABLE ONLY loyalty.customer_external_id
    ADD CONSTRAINT customer_external_id_customer_key UNIQUE (customer_id, system);

ALTER TABLE ONLY loyalty.customer_external_id
    ADD CONSTRAINT customer_external_id_pkey PRIMARY KEY (system, value);

ALTER TABLE ONLY loyalty.customer
    ADD CONSTRAINT customer_pkey PRIMARY KEY (id);

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_key UNIQUE NULLS NOT DISTINCT (customer_id, brand, channel, topic);

ALTER TABLE ONLY loyalty.data_source
    ADD CONSTRAINT data_source_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.external_identity
    ADD CONSTRAINT external_identity_pkey PRIMARY KEY (system_name);

ALTER TABLE ONLY loyalty.external_system
    ADD CONSTRAINT external_system_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.gift_card_change
    ADD CONSTRAINT gift_card_change_pkey PRIMARY KEY (card_number, number);

ALTER TABLE ONLY loyalty.gift_card
    ADD CONSTRAINT gift_card_pkey PRIMARY KEY (card_number);

ALTER TABLE ONLY loyalty.gift_card_plain_number
    ADD CONSTRAINT gift_card_plain_number_pkey PRIMARY KEY (card_number);

ALTER TABLE ONLY loyalty.gift_card_pool
    ADD CONSTRAINT gift_card_pool_pkey PRIMARY KEY (system_name);

ALTER TABLE ONLY loyalty.gift_card_pool
    ADD CONSTRAINT gift_card_pool_product_key UNIQUE (product_external_system, product_external_id);

ALTER TABLE ONLY loyalty.point_of_contact
    ADD CONSTRAINT point_of_contact_pkey PRIMARY KEY (external_id);

ALTER TABLE ONLY loyalty.promo_code_format
    ADD CONSTRAINT promo_code_format_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.promo_code_look_alike
    ADD CONSTRAINT promo_code_look_alike_pkey PRIMARY KEY (code);

ALTER TABLE ONLY loyalty.promo_code
    ADD CONSTRAINT promo_code_pkey PRIMARY KEY (code);

ALTER TABLE ONLY loyalty.promo_code_pool
    ADD CONSTRAINT promo_code_pool_number_key UNIQUE (number);

ALTER TABLE ONLY loyalty.promo_code_pool
    ADD CONSTRAINT promo_code_pool_pkey PRIMARY KEY (system_id);

ALTER TABLE ONLY loyalty.promo_code_pool_stock
    ADD CONSTRAINT promo_code_pool_stock_pkey PRIMARY KEY (pool_system_id);

ALTER TABLE ONLY loyalty.promo_code_use
    ADD CONSTRAINT promo_code_use_pkey PRIMARY KEY (code, number);

ALTER TABLE ONLY loyalty.segment_member
    ADD CONSTRAINT segment_member_pkey PRIMARY KEY (segment, customer_id);

ALTER TABLE ONLY loyalty.segment
    ADD CONSTRAINT segment_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.subscription_channel
    ADD CONSTRAINT subscription_channel_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.subscription_topic
    ADD CONSTRAINT subscription_topic_pkey PRIMARY KEY (name);

ALTER TABLE ONLY loyalty.technical_product
    ADD CONSTRAINT technical_product_external_key UNIQUE (external_system, external_id);

ALTER TABLE ONLY loyalty.technical_product
    ADD CONSTRAINT technical_product_pkey PRIMARY KEY (pool_system_name);

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);

CREATE INDEX customer_change_customer_idx ON ledger.customer_change USING btree (customer_id);

CREATE UNIQUE INDEX import_job_claim_key ON ledger.import_job USING btree (source_url, source_version) WHERE (finished_at IS NULL);

CREATE INDEX import_job_duplicate_of_idx ON ledger.import_job USING btree (duplicate_of) WHERE (duplicate_of IS NOT NULL);

CREATE INDEX import_job_fingerprint_idx ON ledger.import_job USING btree (fingerprint);

CREATE INDEX import_job_folder_idx ON ledger.import_job USING btree (import_type, md5(regexp_replace(source_url, '/[^/]*$'::text, ''::text)), loaded_at) WHERE (loaded_at IS NOT NULL);

CREATE INDEX import_job_list_idx ON ledger.import_job USING btree (id) INCLUDE (import_type, state, launched_at, file_name);

CREATE INDEX import_job_parent_parent_idx ON ledger.import_job_parent USING btree (parent_job_id);

CREATE INDEX import_job_run_idx ON ledger.import_job USING btree (dag_run_id text_pattern_ops) WHERE (import_type = 'promo_code_pools'::text);

CREATE INDEX import_job_type_idx ON ledger.import_job USING btree (import_type, id);

CREATE INDEX import_job_unloaded_codes_idx ON ledger.import_job USING btree (((settings ->> 'pool'::text)), id) WHERE ((import_type = 'promo_codes'::text) AND (NOT is_dry_run) AND (loaded_at IS NULL));

CREATE UNIQUE INDEX promo_code_alert_open_key ON ledger.promo_code_alert USING btree (pool_system_id, kind) WHERE (recovered_at IS NULL);

CREATE INDEX promo_code_alert_unsent_idx ON ledger.promo_code_alert USING btree (id) WHERE (sent_at IS NULL);

CREATE INDEX promo_code_generation_pool_idx ON ledger.promo_code_generation USING btree (pool_system_id, id);

CREATE INDEX promo_code_upload_pool_idx ON ledger.promo_code_upload USING btree (pool_system_id, job_id);

CREATE INDEX reject_fixed_idx ON ledger.reject USING btree (job_id, fixed_by_job_id) WHERE (fixed_by_job_id IS NOT NULL);

CREATE UNIQUE INDEX customer_email_key ON loyalty.customer USING btree (lower(email)) WHERE (email IS NOT NULL);

CREATE UNIQUE INDEX customer_mobile_phone_key ON loyalty.customer USING btree (mobile_phone) WHERE (mobile_phone IS NOT NULL);

CREATE UNIQUE INDEX data_source_default_key ON loyalty.data_source USING btree (is_default) WHERE is_default;

CREATE INDEX gift_card_plain_number_plain_number ON loyalty.gift_card_plain_number USING hash (plain_number);

CREATE INDEX promo_code_batch_idx ON loyalty.promo_code_batch USING btree (pool_system_id, batch);

CREATE INDEX promo_code_closing_day_idx ON loyalty.promo_code_closing_day USING btree (pool_system_id, day, opens_at);

CREATE INDEX promo_code_format_use_format_idx ON loyalty.promo_code_format_use USING btree (format);

CREATE INDEX promo_code_look_alike_skeleton ON loyalty.promo_code_look_alike USING hash (skeleton);

CREATE INDEX promo_code_lower_case_idx ON loyalty.promo_code USING btree (upper((code COLLATE pg_c_utf8))) WHERE (code <> upper((code COLLATE pg_c_utf8)));

CREATE INDEX promo_code_stock_idx ON loyalty.promo_code USING btree (pool_system_id, COALESCE(LEAST(issue_end, available_till), 'infinity'::timestamp with time zone), COALESCE(issue_start, '-infinity'::timestamp with time zone), COALESCE(generation_id, import_job_id)) WHERE ((issued_at IS NULL) AND (used_at IS NULL));

CREATE INDEX promo_code_taken_idx ON loyalty.promo_code USING btree (pool_system_id, COALESCE(issued_at, used_at)) WHERE ((issued_at IS NOT NULL) OR (used_at IS NOT NULL));

CREATE OR REPLACE VIEW loyalty.segment_overview AS
 SELECT segment.name AS segment,
    segment.is_configured,
    count(member.customer_id) AS members,
    max(member.added_at) AS last_added_at
   FROM (loyalty.segment
     LEFT JOIN loyalty.segment_member member ON ((member.segment = segment.name)))
  GROUP BY segment.name;

CREATE TRIGGER check_references_of_changed AFTER UPDATE ON ledger.customer_change REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_new AFTER INSERT ON ledger.customer_change REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER refuse_change BEFORE UPDATE ON ledger.customer_change FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of customers never changes');

CREATE TRIGGER refuse_delete BEFORE DELETE ON ledger.customer_change FOR EACH STATEMENT WHEN ((pg_trigger_depth() = 0)) EXECUTE FUNCTION loyalty.refuse_change('the history of a customer goes with the customer alone');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON ledger.customer_change FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of a customer goes with the customer alone');

CREATE TRIGGER begin_change BEFORE DELETE OR UPDATE ON loyalty.custom_field FOR EACH STATEMENT EXECUTE FUNCTION loyalty.begin_custom_field_change();

CREATE TRIGGER begin_delete BEFORE DELETE ON loyalty.customer FOR EACH STATEMENT EXECUTE FUNCTION loyalty.begin_customer_delete();

CREATE TRIGGER check_added AFTER INSERT ON loyalty.promo_code REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_promo_codes_added();

CREATE TRIGGER check_custom_fields_of_changed AFTER UPDATE ON loyalty.customer REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_custom_fields();

CREATE TRIGGER check_custom_fields_of_new AFTER INSERT ON loyalty.customer REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_custom_fields();

CREATE TRIGGER check_references AFTER INSERT ON loyalty.gift_card REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_gift_card_references();

CREATE TRIGGER check_references_of_changed AFTER UPDATE ON loyalty.customer_action REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_changed AFTER UPDATE ON loyalty.customer_external_id REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_changed AFTER UPDATE ON loyalty.customer_subscription REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_changed AFTER UPDATE ON loyalty.segment_member REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_new AFTER INSERT ON loyalty.customer_action REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_new AFTER INSERT ON loyalty.customer_external_id REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_new AFTER INSERT ON loyalty.customer_subscription REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER check_references_of_new AFTER INSERT ON loyalty.segment_member REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION loyalty.check_references();

CREATE TRIGGER count_take AFTER UPDATE ON loyalty.promo_code FOR EACH ROW WHEN (((old.issued_at IS NULL) AND (old.used_at IS NULL) AND ((new.issued_at IS NOT NULL) OR (new.used_at IS NOT NULL)))) EXECUTE FUNCTION loyalty.count_promo_code_take();

CREATE TRIGGER count_use AFTER INSERT OR DELETE ON loyalty.promo_code_format FOR EACH ROW EXECUTE FUNCTION loyalty.count_promo_code_format_use();

CREATE TRIGGER count_use_again AFTER UPDATE ON loyalty.promo_code_format FOR EACH ROW WHEN ((((((old.name IS DISTINCT FROM new.name) OR (old.alphabet IS DISTINCT FROM new.alphabet)) OR (old.length IS DISTINCT FROM new.length)) OR (old.prefix IS DISTINCT FROM new.prefix)) OR (old.suffix IS DISTINCT FROM new.suffix))) EXECUTE FUNCTION loyalty.count_promo_code_format_use();

CREATE TRIGGER create_technical_products AFTER INSERT ON loyalty.gift_card_pool REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.create_technical_products();

CREATE TRIGGER erase AFTER DELETE ON loyalty.customer REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.erase_customers();

CREATE TRIGGER guard BEFORE INSERT OR DELETE OR UPDATE ON loyalty.promo_code_pool FOR EACH ROW EXECUTE FUNCTION loyalty.guard_promo_code_pool();

CREATE TRIGGER guard_definition BEFORE UPDATE ON loyalty.promo_code_format FOR EACH ROW WHEN (((((((old.name IS DISTINCT FROM new.name) OR (old.alphabet IS DISTINCT FROM new.alphabet)) OR (old.length IS DISTINCT FROM new.length)) OR (old.prefix IS DISTINCT FROM new.prefix)) OR (old.suffix IS DISTINCT FROM new.suffix)) OR (old.max_codes IS DISTINCT FROM new.max_codes))) EXECUTE FUNCTION loyalty.guard_promo_code_format();

CREATE TRIGGER guard_new BEFORE INSERT OR DELETE ON loyalty.promo_code_format FOR EACH ROW EXECUTE FUNCTION loyalty.guard_promo_code_format();

CREATE TRIGGER keep_take_sequence AFTER INSERT OR DELETE ON loyalty.promo_code_pool FOR EACH ROW EXECUTE FUNCTION loyalty.keep_promo_code_take_sequence();

CREATE TRIGGER note_new_issue_window BEFORE UPDATE ON loyalty.promo_code FOR EACH ROW WHEN (((new.issued_at IS NULL) AND (new.used_at IS NULL) AND (((old.issue_start IS DISTINCT FROM new.issue_start) OR (old.issue_end IS DISTINCT FROM new.issue_end)) OR (old.available_till IS DISTINCT FROM new.available_till)))) EXECUTE FUNCTION loyalty.note_new_issue_window();

CREATE TRIGGER note_new_levels AFTER UPDATE ON loyalty.promo_code_pool FOR EACH ROW WHEN (((NOT new.multi_use) AND ((((old.top_up_threshold IS DISTINCT FROM new.top_up_threshold) OR (old.notify_below IS DISTINCT FROM new.notify_below)) OR (old.lead_hours IS DISTINCT FROM new.lead_hours)) OR (old.multi_use IS DISTINCT FROM new.multi_use)))) EXECUTE FUNCTION loyalty.note_new_levels();

CREATE TRIGGER record_change AFTER UPDATE ON loyalty.gift_card FOR EACH ROW EXECUTE FUNCTION loyalty.record_gift_card_change();

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.customer FOR EACH ROW WHEN (((old.id <> new.id) OR (old.import_job_id IS DISTINCT FROM new.import_job_id) OR (old.import_line IS DISTINCT FROM new.import_line))) EXECUTE FUNCTION loyalty.refuse_change('number and origin of a customer never change');

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.customer_action FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('actions of customers never change');

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.customer_external_id FOR EACH ROW WHEN ((old.customer_id <> new.customer_id)) EXECUTE FUNCTION loyalty.refuse_change('delete the external id and insert it for the other customer');

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.customer_subscription FOR EACH ROW WHEN ((old.customer_id <> new.customer_id)) EXECUTE FUNCTION loyalty.refuse_change('a subscription stays its customer''s');

CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON loyalty.gift_card_change FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of gift cards never changes');

CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON loyalty.gift_card_pool FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the parameters of a gift card pool are locked once imported');

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.promo_code FOR EACH ROW WHEN (((old.code <> new.code) OR (old.pool_system_id <> new.pool_system_id) OR (((old.import_job_id IS DISTINCT FROM new.import_job_id) OR (old.import_line IS DISTINCT FROM new.import_line)) OR (old.generation_id IS DISTINCT FROM new.generation_id)) OR ((old.issued_at IS NOT NULL) AND (new.issued_at IS DISTINCT FROM old.issued_at)) OR ((old.used_at IS NOT NULL) AND (new.used_at IS DISTINCT FROM old.used_at)))) EXECUTE FUNCTION loyalty.refuse_change('code, pool and origin of a promo code never change, nor a time of issue or use once it is set');

CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON loyalty.promo_code_use FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('the history of promo codes never changes');

CREATE TRIGGER refuse_change BEFORE UPDATE ON loyalty.segment_member FOR EACH ROW WHEN ((old.customer_id <> new.customer_id)) EXECUTE FUNCTION loyalty.refuse_change('delete the member and insert the other customer');

CREATE TRIGGER refuse_change BEFORE DELETE OR UPDATE ON loyalty.technical_product FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('a technical product is locked like its gift card pool');

CREATE TRIGGER refuse_change_in_use AFTER DELETE OR UPDATE ON loyalty.custom_field FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_custom_field_in_use();

CREATE TRIGGER refuse_delete BEFORE DELETE ON loyalty.customer_action FOR EACH STATEMENT WHEN ((pg_trigger_depth() = 0)) EXECUTE FUNCTION loyalty.refuse_change('actions go with their customer alone');

CREATE TRIGGER refuse_delete BEFORE DELETE ON loyalty.gift_card FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('gift cards are money: block the card instead');

CREATE TRIGGER refuse_delete BEFORE DELETE ON loyalty.promo_code FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('promo codes are never deleted');

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.action_template REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.brand REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.data_source REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.external_identity REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.point_of_contact REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.segment REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.subscription_channel REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_delete_in_use AFTER DELETE ON loyalty.subscription_topic REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_delete_in_use();

CREATE TRIGGER refuse_fewer_generated BEFORE UPDATE ON loyalty.promo_code_format FOR EACH ROW WHEN ((new.generated < old.generated)) EXECUTE FUNCTION loyalty.refuse_change('codes that were generated stay generated');

CREATE TRIGGER refuse_insert BEFORE INSERT ON loyalty.gift_card_change FOR EACH STATEMENT WHEN ((pg_trigger_depth() = 0)) EXECUTE FUNCTION loyalty.refuse_change('changes are recorded by a trigger of loyalty.gift_card alone');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.action_template FOR EACH ROW WHEN ((old.system_name <> new.system_name)) EXECUTE FUNCTION loyalty.refuse_change('system_name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.brand FOR EACH ROW WHEN ((old.name <> new.name)) EXECUTE FUNCTION loyalty.refuse_change('name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.data_source FOR EACH ROW WHEN ((old.name <> new.name)) EXECUTE FUNCTION loyalty.refuse_change('name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.external_identity FOR EACH ROW WHEN ((old.system_name <> new.system_name)) EXECUTE FUNCTION loyalty.refuse_change('system_name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.point_of_contact FOR EACH ROW WHEN ((old.external_id <> new.external_id)) EXECUTE FUNCTION loyalty.refuse_change('external_id never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.segment FOR EACH ROW WHEN ((old.name <> new.name)) EXECUTE FUNCTION loyalty.refuse_change('name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.subscription_channel FOR EACH ROW WHEN ((old.name <> new.name)) EXECUTE FUNCTION loyalty.refuse_change('name never changes: other tables refer to it');

CREATE TRIGGER refuse_key_change BEFORE UPDATE ON loyalty.subscription_topic FOR EACH ROW WHEN ((old.name <> new.name)) EXECUTE FUNCTION loyalty.refuse_change('name never changes: other tables refer to it');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.action_template FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.brand FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.custom_field FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('customers may have values of custom fields');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.customer FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to customers');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.customer_action FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('actions go with their customer alone');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.data_source FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.external_identity FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.gift_card FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('gift cards are money: block the cards instead');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.gift_card_change FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of gift cards never changes');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.gift_card_pool FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the parameters of a gift card pool are locked once imported');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.point_of_contact FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.promo_code FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('promo codes are never deleted');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.promo_code_format FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('pools may refer to formats');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.promo_code_pool FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('codes may refer to pools');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.promo_code_use FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('the history of promo codes never changes');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.segment FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.subscription_channel FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.subscription_topic FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('other tables may refer to its rows');

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON loyalty.technical_product FOR EACH STATEMENT EXECUTE FUNCTION loyalty.refuse_change('a technical product is locked like its gift card pool');

CREATE TRIGGER signal_change AFTER UPDATE ON loyalty.promo_code_pool FOR EACH ROW WHEN (((NOT new.multi_use) AND (((((old.state IS DISTINCT FROM new.state) OR (old.fill_method IS DISTINCT FROM new.fill_method)) OR (old.format IS DISTINCT FROM new.format)) OR (old.quantity IS DISTINCT FROM new.quantity)) OR (old.auto_generate IS DISTINCT FROM new.auto_generate)))) EXECUTE FUNCTION loyalty.signal_promo_code_pool();

CREATE TRIGGER signal_new AFTER INSERT ON loyalty.promo_code_pool FOR EACH ROW WHEN (((new.state = 'active'::text) AND (NOT new.multi_use))) EXECUTE FUNCTION loyalty.signal_promo_code_pool();

ALTER TABLE ONLY ledger.customer_change
    ADD CONSTRAINT customer_change_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES loyalty.customer(id) NOT ENFORCED;

ALTER TABLE ONLY ledger.import_chunk
    ADD CONSTRAINT import_chunk_job_id_fkey FOREIGN KEY (job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.import_job
    ADD CONSTRAINT import_job_duplicate_of_fkey FOREIGN KEY (duplicate_of) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.import_job_parent
    ADD CONSTRAINT import_job_parent_job_id_fkey FOREIGN KEY (job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.import_job_parent
    ADD CONSTRAINT import_job_parent_parent_job_id_fkey FOREIGN KEY (parent_job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.import_review
    ADD CONSTRAINT import_review_job_id_fkey FOREIGN KEY (job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.job_rule
    ADD CONSTRAINT job_rule_job_id_fkey FOREIGN KEY (job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY ledger.promo_code_upload
    ADD CONSTRAINT promo_code_upload_job_id_fkey FOREIGN KEY (job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY loyalty.customer_action
    ADD CONSTRAINT customer_action_action_template_fkey FOREIGN KEY (action_template) REFERENCES loyalty.action_template(system_name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_action
    ADD CONSTRAINT customer_action_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES loyalty.customer(id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_action
    ADD CONSTRAINT customer_action_data_source_fkey FOREIGN KEY (data_source) REFERENCES loyalty.data_source(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_action
    ADD CONSTRAINT customer_action_point_of_contact_fkey FOREIGN KEY (point_of_contact) REFERENCES loyalty.point_of_contact(external_id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_external_id
    ADD CONSTRAINT customer_external_id_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES loyalty.customer(id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_external_id
    ADD CONSTRAINT customer_external_id_system_fkey FOREIGN KEY (system) REFERENCES loyalty.external_identity(system_name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_brand_fkey FOREIGN KEY (brand) REFERENCES loyalty.brand(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_channel_fkey FOREIGN KEY (channel) REFERENCES loyalty.subscription_channel(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES loyalty.customer(id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_data_source_fkey FOREIGN KEY (data_source) REFERENCES loyalty.data_source(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.customer_subscription
    ADD CONSTRAINT customer_subscription_topic_fkey FOREIGN KEY (topic) REFERENCES loyalty.subscription_topic(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.data_source
    ADD CONSTRAINT data_source_point_of_contact_fkey FOREIGN KEY (point_of_contact) REFERENCES loyalty.point_of_contact(external_id);

ALTER TABLE ONLY loyalty.gift_card_change
    ADD CONSTRAINT gift_card_change_card_number_fkey FOREIGN KEY (card_number) REFERENCES loyalty.gift_card(card_number);

ALTER TABLE ONLY loyalty.gift_card_change
    ADD CONSTRAINT gift_card_change_point_of_contact_fkey FOREIGN KEY (point_of_contact) REFERENCES loyalty.point_of_contact(external_id);

ALTER TABLE ONLY loyalty.gift_card
    ADD CONSTRAINT gift_card_point_of_contact_fkey FOREIGN KEY (point_of_contact) REFERENCES loyalty.point_of_contact(external_id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.gift_card_pool
    ADD CONSTRAINT gift_card_pool_brand_fkey FOREIGN KEY (brand) REFERENCES loyalty.brand(name);

ALTER TABLE ONLY loyalty.gift_card_pool
    ADD CONSTRAINT gift_card_pool_import_job_id_fkey FOREIGN KEY (import_job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY loyalty.gift_card_pool
    ADD CONSTRAINT gift_card_pool_product_external_system_fkey FOREIGN KEY (product_external_system) REFERENCES loyalty.external_system(name);

ALTER TABLE ONLY loyalty.gift_card
    ADD CONSTRAINT gift_card_pool_system_name_fkey FOREIGN KEY (pool_system_name) REFERENCES loyalty.gift_card_pool(system_name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.point_of_contact
    ADD CONSTRAINT point_of_contact_brand_fkey FOREIGN KEY (brand) REFERENCES loyalty.brand(name);

ALTER TABLE ONLY loyalty.promo_code_pool
    ADD CONSTRAINT promo_code_pool_format_fkey FOREIGN KEY (format) REFERENCES loyalty.promo_code_format(name);

ALTER TABLE ONLY loyalty.promo_code_pool
    ADD CONSTRAINT promo_code_pool_import_job_id_fkey FOREIGN KEY (import_job_id) REFERENCES ledger.import_job(id);

ALTER TABLE ONLY loyalty.promo_code_pool_stock
    ADD CONSTRAINT promo_code_pool_stock_pool_system_id_fkey FOREIGN KEY (pool_system_id) REFERENCES loyalty.promo_code_pool(system_id) ON UPDATE CASCADE ON DELETE CASCADE;

ALTER TABLE ONLY loyalty.promo_code
    ADD CONSTRAINT promo_code_pool_system_id_fkey FOREIGN KEY (pool_system_id) REFERENCES loyalty.promo_code_pool(system_id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.promo_code_use
    ADD CONSTRAINT promo_code_use_code_fkey FOREIGN KEY (code) REFERENCES loyalty.promo_code(code);

ALTER TABLE ONLY loyalty.segment_member
    ADD CONSTRAINT segment_member_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES loyalty.customer(id) NOT ENFORCED;

ALTER TABLE ONLY loyalty.segment_member
    ADD CONSTRAINT segment_member_segment_fkey FOREIGN KEY (segment) REFERENCES loyalty.segment(name) NOT ENFORCED;

ALTER TABLE ONLY loyalty.technical_product
    ADD CONSTRAINT technical_product_brand_fkey FOREIGN KEY (brand) REFERENCES loyalty.brand(name);

ALTER TABLE ONLY loyalty.technical_product
    ADD CONSTRAINT technical_product_external_system_fkey FOREIGN KEY (external_system) REFERENCES loyalty.external_system(name);

ALTER TABLE ONLY loyalty.technical_product
    ADD CONSTRAINT technical_product_pool_system_name_fkey FOREIGN KEY (pool_system_name) REFERENCES loyalty.gift_card_pool(system_name);
