-- What the tables and columns mean, for whoever reads the database. Tests hold that every table has a comment.

-- The ledger.
COMMENT ON SCHEMA ledger IS 'The history of imports, generations and reviews.';
COMMENT ON SCHEMA staging IS 'Rows of running imports: one table for each chunk of a file, dropped after the load.';
COMMENT ON TABLE ledger.import_job IS 'Imports: one row for each file version that a run or a command asked for.';
COMMENT ON COLUMN ledger.import_job.run_key IS
    'What asked for the import: DAG and run, or the file version of the command line.';
COMMENT ON COLUMN ledger.import_job.source_version IS 'Size, mtime or ETag of the object when it was claimed (X-14).';
COMMENT ON COLUMN ledger.import_job.parameters IS 'Settings that this run alone was started with.';
COMMENT ON COLUMN ledger.import_job.settings IS 'The effective settings (X-11).';
COMMENT ON COLUMN ledger.import_job.inspection IS 'Dialect, header and what the inspection warned of.';
COMMENT ON COLUMN ledger.import_job.mapping IS 'Which column of the file fills which field.';
COMMENT ON COLUMN ledger.import_job.duplicate_of IS 'The earlier job with the same content (X-14).';
COMMENT ON COLUMN ledger.import_job.loaded_at IS 'When the rows were committed; NULL for dry runs and refusals.';
COMMENT ON COLUMN ledger.import_job.finished_at IS 'When the job ended; a finished job frees its file.';
COMMENT ON TABLE ledger.import_job_parent IS 'Jobs whose rejected rows a file corrects (X-09).';
COMMENT ON TABLE ledger.import_chunk IS 'Parts of a file, each validated by one task.';
COMMENT ON COLUMN ledger.import_chunk.rows_read IS 'NULL until the chunk is staged; the other counts likewise.';
COMMENT ON COLUMN ledger.import_chunk.rows_staged IS 'Well-formed rows, rejected ones included.';
COMMENT ON COLUMN ledger.import_chunk.evidence IS 'For each rule: rows evaluated and failed. Quotes no values.';
COMMENT ON TABLE ledger.reject IS 'Rejected rows: where they are in the file, and every rule that they break (X-08).';
COMMENT ON COLUMN ledger.reject.byte_offset IS 'Of the record in the UTF-8 text of the file.';
COMMENT ON COLUMN ledger.reject.rules IS 'Rule ids as in the rejected-rows file, separated by blanks.';
COMMENT ON COLUMN ledger.reject.reasons IS 'Sentences as in the rejected-rows file, separated by " | ". They quote cells.';
COMMENT ON COLUMN ledger.reject.origin_job_id IS '`_job` of a corrected row, with `_line` in origin_line (X-09).';
COMMENT ON COLUMN ledger.reject.fixed_by_job_id IS 'The job that loaded the corrected row.';
COMMENT ON TABLE ledger.not_found IS 'Rows that match nobody, of imports that create nobody (CU-01).';
COMMENT ON TABLE ledger.dropped_value IS 'Invalid values that rows were loaded without (CU-14).';
COMMENT ON TABLE ledger.job_rule IS 'How many rows of a job broke each rule, with the first lines.';
COMMENT ON COLUMN ledger.job_rule.severity IS '`critical` rejects a row, `warning` does not.';
COMMENT ON TABLE ledger.import_review IS 'Reviews before the launch (X-06): each question with its answer.';
COMMENT ON COLUMN ledger.import_review.number IS '1 for the first question about a job.';
COMMENT ON COLUMN ledger.import_review.form_sha256 IS 'Of what the form showed: the same form is not shown twice.';
COMMENT ON COLUMN ledger.import_review.reasons IS 'Why a person was asked: [{rule, message}].';
COMMENT ON COLUMN ledger.import_review.counts IS 'Of the rehearsal; NULL when the mapping allowed none.';
COMMENT ON COLUMN ledger.import_review.answered_by IS 'Airflow user; NULL when the time ran out.';
COMMENT ON COLUMN ledger.import_review.mapping IS 'The setting `mapping` of a launch that changed it.';
COMMENT ON COLUMN ledger.import_review.problem IS 'Why the answer could not be used; another question follows.';

-- What the project settings name.
COMMENT ON SCHEMA loyalty IS 'Gift cards, promo codes, customers, and what the project settings name.';
COMMENT ON TABLE loyalty.brand IS 'Brands of the project settings.';
COMMENT ON TABLE loyalty.external_system IS 'Owners of technical products.';
COMMENT ON TABLE loyalty.point_of_contact IS 'Places where customers meet a brand: sites, shops, call centres.';
COMMENT ON TABLE loyalty.data_source IS 'Where the data of customers comes from.';
COMMENT ON TABLE loyalty.subscription_channel IS 'Channels that customers subscribe to.';
COMMENT ON TABLE loyalty.subscription_topic IS 'Topics that customers subscribe to.';
COMMENT ON TABLE loyalty.external_identity IS 'Systems that name customers.';
COMMENT ON TABLE loyalty.custom_field IS 'Fields of customers that this project defines.';
COMMENT ON TABLE loyalty.action_template IS 'Templates that the actions of customers are recorded by (CU-10).';
COMMENT ON TABLE loyalty.segment IS 'Segments of customers, by name.';
COMMENT ON COLUMN loyalty.segment.is_configured IS 'In project.yaml; false: created by an import.';
COMMENT ON TABLE loyalty.promo_code_format IS 'How generated codes look, and how far the generation of each format is.';
COMMENT ON COLUMN loyalty.promo_code_format.length IS 'Of the whole code, prefix and suffix included.';
COMMENT ON COLUMN loyalty.promo_code_format.key_fingerprint IS
    'Of the key whose permutation next_index walks (PG-03); NULL before the first code.';
COMMENT ON COLUMN loyalty.promo_code_format.next_index IS
    'Counter of the permutation: the next index to turn into a code.';
COMMENT ON COLUMN loyalty.promo_code_format.generated IS
    'Codes added by generation, of all pools and keys. Above 0 the format is locked (PP-03).';

-- Gift cards.
COMMENT ON TABLE loyalty.gift_card_pool IS
    'Locked: a trigger refuses every UPDATE, DELETE and TRUNCATE. An insert makes the technical product.';
COMMENT ON COLUMN loyalty.gift_card_pool.max_card_value IS
    'The highest balance of its cards (X-18); NULL: the limit of the project settings.';
COMMENT ON TABLE loyalty.technical_product IS
    'Exactly one for each gift card pool, made with it by a trigger. Locked like the pool.';
COMMENT ON TABLE loyalty.gift_card IS
    'Cards change by sell_gift_card, redeem_gift_card and blocking alone, and are never deleted.';
COMMENT ON COLUMN loyalty.gift_card.cvv_hash IS 'HMAC-SHA-256(key, card number and CVV): include/warehouse/cvv.py.';
COMMENT ON COLUMN loyalty.gift_card.expires_at IS 'The first instant at which the card can pay no more.';
COMMENT ON COLUMN loyalty.gift_card.import_job_id IS 'ledger.import_job that inserted the card.';
COMMENT ON TABLE loyalty.gift_card_change IS
    'What a card was before each of its changes, in the order of `number`; written by a trigger, never changed.';
COMMENT ON COLUMN loyalty.gift_card_change.paid IS
    'Of a payment. In a pool without partial redemption the rest of the balance was forfeited.';
COMMENT ON COLUMN loyalty.gift_card_change.product_external_id IS
    'Of the technical product that a sale or payment is booked by, with its external system and brand (GP-02). NULL for '
    'blocks, and for changes older than these columns: loyalty.technical_product has it.';
COMMENT ON TABLE loyalty.gift_card_plain_number IS
    'Cards whose number has blanks, dashes or small letters, with the number without them (PC-04a).';

-- Promo codes.
COMMENT ON TABLE loyalty.promo_code_pool IS
    'Pools of promo codes with their settings. The launch and the first code freeze some of them (PP-01, PP-02).';
COMMENT ON COLUMN loyalty.promo_code_pool.number IS
    'Names the sequence of the pool''s takes, loyalty.promo_code_take_<number>, made and dropped with the pool.';
COMMENT ON COLUMN loyalty.promo_code_pool.quantity IS 'Codes of one generation.';
COMMENT ON COLUMN loyalty.promo_code_pool.top_up_threshold IS
    'Topped up below this many available codes; 0: never; NULL: notify_below, else 1 (TU-01).';
COMMENT ON COLUMN loyalty.promo_code_pool.notify_below IS 'Staff are notified when fewer are available; NULL: never.';
COMMENT ON COLUMN loyalty.promo_code_pool.lead_hours IS
    'Topped up, or announced, when the predicted run-out is this near (TU-05).';
COMMENT ON COLUMN loyalty.promo_code_pool.launched_at IS 'Set by a trigger with the state active.';
COMMENT ON COLUMN loyalty.promo_code_pool.first_code_at IS
    'Set by a trigger with the first code: from then on fill_method is frozen (PP-02).';
COMMENT ON COLUMN loyalty.promo_code_pool.code_pattern IS
    'Regular expression of RE2 that uploaded codes match as a whole (PC-04a).';
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
COMMENT ON TABLE loyalty.promo_code_look_alike IS
    'What codes with characters beyond ASCII look like: their skeletons by Unicode''s confusables (PC-04a).';
COMMENT ON TABLE loyalty.promo_code_batch IS
    'Import jobs and generations with codes in a pool, committed with the codes: issue_promo_code looks no further '
    'than the newest one that it sees, instead of through all that a running generation has not committed yet.';
COMMENT ON TABLE loyalty.promo_code_closing_day IS
    'Days on which issue windows of a pool close, infinity for never, and when the first of those opens; '
    'a day may be here several times. issue_promo_code passes over days of which no window has opened.';
COMMENT ON TABLE loyalty.promo_code_use IS 'Activations of codes for multiple use, one row each; never changed.';
COMMENT ON TABLE loyalty.promo_code_format_use IS
    'Codes of any origin in the space of a format, as parts that add up: writers never wait for each other.';
COMMENT ON TABLE loyalty.promo_code_pool_stock IS
    'The stock as count_promo_code_pool last counted it, for the signals of promo_code_signals.sql (PG-05).';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_available IS
    'Issuable then or scheduled, but for codes that an open transaction was handing out: what is compared with levels.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_at_take IS 'Number of the last take that the count includes.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.signal_below IS
    'The highest of top_up_threshold, notify_below and 1 that counted_available had not fallen below; else 0.';
COMMENT ON COLUMN loyalty.promo_code_pool_stock.counted_ending IS
    'Those of counted_available whose issue window closes before valid_until.';
COMMENT ON TABLE ledger.promo_code_generation IS 'Every generation that was asked for (PG-04).';
COMMENT ON COLUMN ledger.promo_code_generation.run_key IS
    'What asked for it: DAG and run, or the command. A repetition is the same generation (PG-03).';
COMMENT ON COLUMN ledger.promo_code_generation.state IS
    'As last recorded; loyalty.promo_code_pool_history shows a running one that was interrupted as failed.';
COMMENT ON COLUMN ledger.promo_code_generation.reason IS '`form`, `command line`, or why the top-up made it (TU-04).';
COMMENT ON COLUMN ledger.promo_code_generation.generated IS 'Indexes of the permutation that were walked.';
COMMENT ON COLUMN ledger.promo_code_generation.added IS 'Codes of them that were new.';
COMMENT ON TABLE ledger.promo_code_upload IS 'What an import of codes did to each of its pools (PC-06).';
COMMENT ON TABLE ledger.promo_code_alert IS 'Low levels that staff were notified of, and when they recovered (TU-03).';
COMMENT ON COLUMN ledger.promo_code_alert.sent_at IS 'NULL until the mail has left.';

-- Customers.
COMMENT ON TABLE loyalty.customer IS
    'DELETE at READ COMMITTED erases a person: external ids, subscriptions, memberships, actions and recorded changes '
    'go with the row (objects/customer_guards.sql).';
COMMENT ON COLUMN loyalty.customer.email IS
    'As sent, but for the domain, which is an A-label. Found by lower(email): in collation "C" of ASCII alone (X-16).';
COMMENT ON COLUMN loyalty.customer.mobile_phone IS 'E.164.';
COMMENT ON COLUMN loyalty.customer.discount_card IS 'Identifies nobody (CU-02): several customers may have the same.';
COMMENT ON COLUMN loyalty.customer.full_name IS
    'As sent. Separate parts win: loyalty.customer_overview.display_name (CU-12).';
COMMENT ON COLUMN loyalty.customer.custom_fields IS
    'Name in loyalty.custom_field → JSON value of its type: strings, enums, dates (yyyy-mm-dd) and date-times '
    '(yyyy-mm-ddThh:mm:ss[.ffffff]Z) as strings, integers and decimals as numbers. No nulls. A trigger enforces it.';
COMMENT ON COLUMN loyalty.customer.created_at IS 'When the creation happened, which a file may backdate.';
COMMENT ON COLUMN loyalty.customer.import_job_id IS 'ledger.import_job that created the customer, by row import_line.';
COMMENT ON TABLE loyalty.customer_external_id IS 'What other systems call a customer: one name a system.';
COMMENT ON TABLE loyalty.customer_subscription IS
    'To a brand (channel NULL), narrowed by channel (topic NULL) and topic, with the last change (CU-06).';
COMMENT ON COLUMN loyalty.customer_subscription.is_subscribed IS 'NULL: the answer was erased.';
COMMENT ON COLUMN loyalty.customer_subscription.job_id IS 'ledger.import_job that made the last change.';
COMMENT ON TABLE loyalty.segment_member IS 'Customers of a segment.';
COMMENT ON COLUMN loyalty.segment_member.job_id IS 'ledger.import_job that added the member.';
COMMENT ON TABLE loyalty.customer_action IS
    'Creations and edits that a "Personal action" template was named for (CU-10); never changed.';
COMMENT ON COLUMN loyalty.customer_action.acted_at IS 'A file may backdate it (CU-11).';
COMMENT ON COLUMN loyalty.customer_action.line IS 'Of the row, in the file of ledger.import_job job_id.';
COMMENT ON TABLE ledger.customer_change IS
    'What each row that was counted as updated changed; the customer''s own row records the creation. Goes with the '
    'customer.';
COMMENT ON COLUMN ledger.customer_change.fields IS
    'Field → [before, after] of the job''s net change: columns of loyalty.customer, external_id.<system>, '
    'custom_field.<name>, subscription.<brand>[/<channel>[/<topic>]].';
COMMENT ON TABLE ledger.customer_placeholder IS
    'What a job judged a placeholder, or a job whose rows it corrects (CU-03): SHA-256 of a random salt and the value.';

-- The schema itself.
COMMENT ON TABLE ledger.schema_revision IS 'Revisions of the schema that this database has.';
COMMENT ON TABLE ledger.schema_object IS
    'Functions, views and triggers that `migrate` made, and the file in include/warehouse/objects of each.';
COMMENT ON COLUMN ledger.schema_object.sha256 IS 'Of the file. When it differs, `migrate` runs the files again.';
