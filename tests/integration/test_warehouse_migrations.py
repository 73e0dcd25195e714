"""The migrations: run from anywhere, any number of times, by several processes at once, whole or not at all."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from include.errors import ConfigurationError
from include.import_types import IMPORT_TYPES
from include.values.look_alikes import skeletons
from include.warehouse import migrations
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate, newest_revision

pytestmark = pytest.mark.integration

TABLES = {
    "ledger": {
        "import_job", "import_job_parent", "import_chunk", "reject", "job_rule",
        "promo_code_generation", "promo_code_upload", "promo_code_alert",
        "customer_change", "not_found", "dropped_value", "import_review", "customer_placeholder",
    },
    "loyalty": {
        "brand", "external_system", "point_of_contact", "data_source", "subscription_channel", "subscription_topic",
        "external_identity", "custom_field", "action_template", "segment", "promo_code_format",
        "gift_card_pool", "technical_product", "gift_card", "gift_card_change", "gift_card_plain_number",
        "promo_code_pool", "promo_code", "promo_code_use", "promo_code_batch", "promo_code_format_use",
        "promo_code_pool_stock", "promo_code_closing_day", "promo_code_look_alike",
        "customer", "customer_external_id", "customer_subscription", "segment_member", "customer_action",
    },
    "staging": set(),
}  # fmt: skip
for _type in IMPORT_TYPES.values():
    if _type.load is not None:
        _schema, _table = _type.targets[0].split(".")
        TABLES[_schema].add(_table)


def tables(engine):
    inspector = inspect(engine)
    return {
        schema: set(inspector.get_table_names(schema))
        for schema in inspector.get_schema_names()
        if schema not in ("information_schema", "public")
    }


def test_an_empty_database_gets_the_whole_schema_from_any_folder(empty_database, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    migrate(empty_database.owner)
    assert tables(empty_database.owner) == TABLES


def test_the_revisions_form_one_line_and_the_database_ends_at_its_head(warehouse):
    scripts = ScriptDirectory.from_config(migrations._configuration())
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    with warehouse.owner.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == newest_revision()


def test_a_second_migration_changes_nothing(warehouse):
    statement = text("SELECT array_agg((oid, xmin::text) ORDER BY oid)::text FROM pg_class")
    with warehouse.owner.connect() as connection:
        before = connection.scalar(statement)
    migrate(warehouse.owner)
    with warehouse.owner.connect() as connection:
        assert connection.scalar(statement) == before


def test_a_database_can_be_brought_up_one_revision_at_a_time(empty_database):
    scripts = ScriptDirectory.from_config(migrations._configuration())
    for revision in reversed(list(scripts.walk_revisions())):
        migrate(empty_database.owner, revision.revision)
    assert tables(empty_database.owner) == TABLES


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database):
    engines = [create_warehouse_engine(empty_database.owner_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    assert tables(empty_database.owner) == TABLES


def test_a_failed_migration_leaves_nothing_behind(empty_database, monkeypatch, tmp_path):
    shutil.copytree(migrations.FUNCTIONS, tmp_path / "functions")
    (tmp_path / "functions" / "gift_card_views.sql").write_text("SELECT 1 / 0")
    monkeypatch.setattr(migrations, "FUNCTIONS", tmp_path / "functions")
    with pytest.raises(Exception, match="DivisionByZero"):
        migrate(empty_database.owner)
    assert tables(empty_database.owner) == {}
    assert inspect(empty_database.owner).get_table_names("public") == []


def at_0008(empty_database, *statements):
    """Bring a database to the revision before the identities, with rows of those days."""
    migrate(empty_database.owner, "0008")
    with empty_database.admin.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_x16_emails_of_former_days_get_domains_as_a_labels_and_ascii_s_letter_case(empty_database):
    """`İrem@…` and `irem@…` could not both be there; what was written in Unicode is found by its A-label."""
    at_0008(
        empty_database,
        "INSERT INTO loyalty.customer (id, email) VALUES (101, 'Ann@MÜNCHEN.de'), (102, 'İrem@x.com'), "
        "(103, 'Bob@X.com'), (104, NULL), (105, 'zoë@x.com')",
    )
    migrate(empty_database.owner)
    with empty_database.owner.begin() as connection:
        stored = dict(connection.execute(text("SELECT id, email FROM loyalty.customer")).all())
        assert stored == {
            101: "Ann@xn--mnchen-3ya.de", 102: "İrem@x.com", 103: "Bob@X.com", 104: None, 105: "zoë@x.com",
        }  # fmt: skip
        for email in ("ANN@XN--MNCHEN-3YA.DE", "bob@x.COM"):
            with pytest.raises(IntegrityError, match="customer_email_key"), connection.begin_nested():
                connection.execute(text("INSERT INTO loyalty.customer (email) VALUES (:email)"), {"email": email})
        for email in ("irem@x.com", "ZOË@x.com"):
            connection.execute(text("INSERT INTO loyalty.customer (email) VALUES (:email)"), {"email": email})


def test_x16_customers_who_would_become_one_refuse_the_migration_by_number_and_nothing_changes(empty_database):
    at_0008(
        empty_database,
        "INSERT INTO loyalty.customer (id, email) VALUES (7, 'ann@münchen.de'), (8, 'Ann@xn--mnchen-3ya.de'), "
        "(9, 'bob@straße.de'), (10, 'bob@x.com')",
    )
    with pytest.raises(ConfigurationError, match=r"by number: 7 and 8\. Nothing") as caught:
        migrate(empty_database.owner)
    assert "ann@" not in str(caught.value).lower()
    with empty_database.owner.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0008"
        assert connection.scalar(text("SELECT email FROM loyalty.customer WHERE id = 9")) == "bob@straße.de"
    with empty_database.admin.begin() as connection:
        connection.execute(text("UPDATE loyalty.customer SET email = NULL WHERE id = 8"))
    migrate(empty_database.owner)
    with empty_database.owner.begin() as connection:
        assert connection.scalar(text("SELECT email FROM loyalty.customer WHERE id = 7")) == "ann@xn--mnchen-3ya.de"


def test_pc04a_codes_and_cards_of_former_days_have_their_forms_however_long_they_are(empty_database):
    signs = random.Random(1)
    long = "".join(chr(signs.randrange(0x4E00, 0x9FA6)) for _ in range(860))
    at_0008(
        empty_database,
        "INSERT INTO loyalty.brand VALUES ('Acme')",
        "INSERT INTO loyalty.external_system VALUES ('pos')",
        "INSERT INTO loyalty.promo_code_pool (system_id, name) VALUES ('a', 'A'), ('b', 'B')",
        "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) "
        f"VALUES ('PUB–1', 'a', 1), ('PLAIN', 'a', 1), ('pläin', 'a', 1), ('{long}', 'a', 1)",
        "INSERT INTO loyalty.promo_code (code, pool_system_id, generation_id) VALUES ('ПУБ', 'b', 1)",
        "INSERT INTO loyalty.gift_card_pool (system_name, name, supports_arbitrary_value, supports_partial_redemption, "
        "product_external_id, product_external_system, brand, cvv_required) "
        "VALUES ('g', 'G', true, true, '1', 'pos', 'Acme', false)",
        "INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance) "
        "VALUES ('12 34-a', 'g', 1), ('1234', 'g', 1), ('ABC', 'g', 1), ('1/2', 'g', 1), "
        f"('{long}-1', 'g', 1)",
    )
    migrate(empty_database.owner)
    with empty_database.owner.begin() as connection:
        forms = connection.execute(text("SELECT code, skeleton FROM loyalty.promo_code_look_alike")).all()
        numbers = connection.execute(text("SELECT card_number, plain_number FROM loyalty.gift_card_plain_number")).all()
    assert dict(forms)["PUB–1"] == "PUB-l"
    assert dict(forms) == {code: skeletons([code])[0] for code in ("PUB–1", "pläin", "ПУБ", long)}
    assert dict(numbers) == {"12 34-a": "1234A", f"{long}-1": f"{long}1"}


def test_every_text_key_compares_bytes(warehouse):
    statement = text(
        """
        SELECT conrelid::regclass || '.' || attname
        FROM pg_constraint
        JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
        JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE contype IN ('p', 'u', 'f') AND connamespace = 'loyalty'::regnamespace AND collname <> 'C'
        """
    )
    with warehouse.owner.connect() as connection:
        assert connection.scalars(statement).all() == []
