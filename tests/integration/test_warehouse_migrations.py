"""The migrations: run from anywhere, any number of times, by several processes at once, whole or not at all."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from include.warehouse import migrations
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate, newest_revision

pytestmark = pytest.mark.integration

TABLES = {
    "ledger": {
        "import_job", "import_job_parent", "import_chunk", "reject", "job_rule",
        "promo_code_generation", "promo_code_upload", "promo_code_alert",
        "customer_change", "not_found", "dropped_value", "import_review",
    },
    "loyalty": {
        "brand", "external_system", "point_of_contact", "data_source", "subscription_channel", "subscription_topic",
        "external_identity", "custom_field", "action_template", "segment", "promo_code_format",
        "gift_card_pool", "technical_product", "gift_card", "gift_card_change",
        "promo_code_pool", "promo_code", "promo_code_use", "promo_code_batch", "promo_code_format_use",
        "promo_code_pool_stock", "promo_code_closing_day",
        "customer", "customer_external_id", "customer_subscription", "segment_member", "customer_action",
    },
    "staging": set(),
}  # fmt: skip


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
