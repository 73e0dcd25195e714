"""The migrations: run from anywhere, any number of times, by several processes at once, whole or not at all."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.dialects import postgresql

from include.errors import ConfigurationError
from include.import_types import IMPORT_TYPES
from include.ledger.jobs import METADATA
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import SHIPPED, SchemaFiles, migrate, read_revisions
from include.warehouse.migrations.objects import apply_objects, read_objects
from include.warehouse.transactions import values_hidden
from tests.conftest import Warehouse
from tests.integration.catalogue import catalogue

pytestmark = pytest.mark.integration

TABLES = {
    "ledger": {
        "import_job", "import_job_parent", "import_chunk", "reject", "job_rule",
        "promo_code_generation", "promo_code_upload", "promo_code_alert",
        "customer_change", "not_found", "dropped_value", "import_review", "customer_placeholder",
        "schema_revision", "schema_object",
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


def test_the_database_records_every_revision(warehouse):
    with warehouse.owner.connect() as connection:
        recorded = connection.execute(text("SELECT number, name, sha256 FROM ledger.schema_revision ORDER BY 1")).all()
    assert recorded == [(revision.number, revision.name, revision.sha256) for revision in read_revisions()]


def test_a_second_migration_changes_nothing(warehouse):
    statement = text("SELECT array_agg((oid, xmin::text) ORDER BY oid)::text FROM pg_class")
    with warehouse.owner.connect() as connection:
        before = connection.scalar(statement)
    migrate(warehouse.owner)
    with warehouse.owner.connect() as connection:
        assert connection.scalar(statement) == before


def test_processes_that_migrate_at_once_wait_for_each_other(empty_database):
    engines = [create_warehouse_engine(empty_database.owner_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    assert tables(empty_database.owner) == TABLES


@pytest.fixture
def schema(tmp_path: Path) -> SchemaFiles:
    """A copy of the shipped files, for tests to change."""
    shutil.copytree(SHIPPED.revisions, tmp_path / "revisions")
    shutil.copytree(SHIPPED.objects, tmp_path / "objects")
    return SchemaFiles(tmp_path / "revisions", tmp_path / "objects")


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that occurs once in a file."""
    content = path.read_text(encoding="utf-8")
    assert content.count(old) == 1
    path.write_text(content.replace(old, new), encoding="utf-8")


def add_revision(schema: SchemaFiles, statements: str) -> str:
    """Add a revision after those that are there; return its name."""
    name = f"{len(read_revisions(schema.revisions)) + 1:04}_made_up"
    (schema.revisions / f"{name}.sql").write_text(statements, encoding="utf-8")
    return name


def test_a_failed_migration_leaves_nothing_behind_and_names_file_and_line(empty_database, schema):
    (schema.objects / "gift_card_views.sql").write_text("-- A view.\nCREATE VIEW loyalty.wrong AS SELECT nothing;\n")
    with pytest.raises(Exception, match=r"does not exist.* in gift_card_views\.sql, line 2$"), values_hidden():
        migrate(empty_database.owner, schema)
    assert tables(empty_database.owner) == {}
    assert inspect(empty_database.owner).get_table_names("public") == []


def test_a_later_column_that_a_view_shows_breaks_neither_a_fresh_nor_a_migrated_database(
    empty_database: Warehouse, warehouse: Warehouse, schema: SchemaFiles
):
    """In the middle of the view's columns, where CREATE OR REPLACE can't put it."""
    add_revision(schema, "ALTER TABLE loyalty.gift_card ADD COLUMN made_up_label text;\n")
    views = schema.objects / "gift_card_views.sql"
    edit(views, "       card.cvv_hash,\n", "       card.made_up_label,\n       card.cvv_hash,\n")
    for database in (empty_database, warehouse):
        migrate(database.owner, schema)
        with database.engine.connect() as connection:  # the importer has its rights on the new view
            columns = list(connection.execute(text("SELECT * FROM loyalty.gift_card_as_imported")).keys())
        assert columns[:4] == ["card_number", "pool_system_name", "made_up_label", "cvv_hash"]
    assert catalogue(warehouse.owner) == catalogue(empty_database.owner)


def test_a_revision_may_drop_a_column_after_the_view_that_shows_it(
    empty_database: Warehouse, warehouse: Warehouse, schema: SchemaFiles
):
    add_revision(
        schema,
        "DROP VIEW IF EXISTS loyalty.customer_overview;\nALTER TABLE loyalty.customer DROP COLUMN middle_name;\n",
    )
    views = schema.objects / "customer_views.sql"
    edit(views, "customer.first_name, customer.middle_name, ", "customer.first_name, ")
    edit(views, "       customer.middle_name,\n", "")
    for database in (empty_database, warehouse):
        migrate(database.owner, schema)
    assert catalogue(warehouse.owner) == catalogue(empty_database.owner)


def test_a_revision_may_fill_a_column_that_triggers_guard(warehouse: Warehouse, schema: SchemaFiles):
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO loyalty.gift_card_pool (system_name, name, supports_arbitrary_value, "
            "supports_partial_redemption, product_external_id, product_external_system, brand, cvv_required) "
            "VALUES ('g', 'G', true, true, '1', 'website', 'Acme', false)"
        )
        connection.exec_driver_sql(
            "INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance) VALUES ('1', 'g', 1)"
        )
    add_revision(
        schema,
        "ALTER TABLE loyalty.gift_card ADD COLUMN made_up_label text;\n"
        "ALTER TABLE loyalty.gift_card DISABLE TRIGGER USER;\n"
        "UPDATE loyalty.gift_card SET made_up_label = 'before';\n"
        "ALTER TABLE loyalty.gift_card ENABLE TRIGGER USER;\n",
    )
    before = catalogue(warehouse.owner)["triggers"]
    migrate(warehouse.owner, schema)
    assert catalogue(warehouse.owner)["triggers"] == before
    with warehouse.owner.connect() as connection:
        assert connection.scalar(text("SELECT made_up_label FROM loyalty.gift_card")) == "before"


def test_a_reference_of_a_new_table_is_guarded(warehouse: Warehouse, schema: SchemaFiles):
    add_revision(
        schema,
        "CREATE TABLE loyalty.made_up (code text PRIMARY KEY, brand text NOT NULL,\n"
        "CONSTRAINT made_up_brand_fkey FOREIGN KEY (brand) REFERENCES loyalty.brand NOT ENFORCED);\n",
    )
    migrate(warehouse.owner, schema)
    assert "loyalty.made_up check_references_of_new" in catalogue(warehouse.owner)["triggers"]


def test_an_edited_function_replaces_the_one_in_the_database(warehouse: Warehouse, schema: SchemaFiles):
    before = catalogue(warehouse.owner)
    edit(schema.objects / "refuse_change.sql", "%s of %I.%I refused: %s", "%s of %I.%I is refused: %s")
    migrate(warehouse.owner, schema)
    after = catalogue(warehouse.owner)
    changed = {kind: {name for name in before[kind] if after[kind][name] != before[kind][name]} for kind in before}
    assert {kind: names for kind, names in changed.items() if names} == {
        "functions": {"loyalty.refuse_change()"},
        "files of objects": {"ROUTINE loyalty.refuse_change()"},
    }


def test_a_function_with_another_result_takes_the_place_of_the_old_one(
    empty_database: Warehouse, warehouse: Warehouse, schema: SchemaFiles
):
    function = schema.objects / "gift_card_expiry.sql"
    edit(function, "lifetime_years integer)\nRETURNS timestamptz", "years integer)\nRETURNS timestamptz")
    edit(function, "years => lifetime_years", "years => years")
    for database in (empty_database, warehouse):
        migrate(database.owner, schema)
    assert catalogue(warehouse.owner) == catalogue(empty_database.owner)


def test_objects_whose_statements_left_the_files_are_dropped_and_those_of_others_stay(
    empty_database: Warehouse, warehouse: Warehouse, schema: SchemaFiles
):
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW loyalty.report_of_ours AS SELECT count(*) FROM loyalty.gift_card")
    (schema.objects / "customer_views.sql").unlink()  # three views
    (schema.objects / "block_gift_card.sql").unlink()
    guards = schema.objects / "gift_card_pool_guards.sql"
    statements = guards.read_text(encoding="utf-8").split("CREATE OR REPLACE TRIGGER ")
    left = [text for text in statements if "BEFORE TRUNCATE ON loyalty.gift_card_pool" not in text]
    assert len(left) == len(statements) - 1
    guards.write_text("CREATE OR REPLACE TRIGGER ".join(left), encoding="utf-8")
    for database in (empty_database, warehouse):
        migrate(database.owner, schema)
    fresh, upgraded = catalogue(empty_database.owner), catalogue(warehouse.owner)
    assert set(upgraded["views"]) - set(fresh["views"]) == {"loyalty.report_of_ours"}
    for kind in ("functions", "triggers", "files of objects"):
        assert upgraded[kind] == fresh[kind]
    assert "loyalty.customer_overview" not in upgraded["views"]
    assert "loyalty.block_gift_card(text)" not in upgraded["functions"]
    assert "loyalty.gift_card_pool refuse_truncate" not in upgraded["triggers"]


def test_what_others_built_on_a_view_that_must_be_rebuilt_refuses_the_migration_by_name(
    warehouse: Warehouse, schema: SchemaFiles
):
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql("CREATE VIEW public.report AS SELECT display_name FROM loyalty.customer_overview")
    before = catalogue(warehouse.owner)
    edit(schema.objects / "customer_views.sql", "       customer.middle_name,\n", "")
    with pytest.raises(ConfigurationError, match=r"view report depends on view loyalty\.customer_overview"):
        migrate(warehouse.owner, schema)
    assert catalogue(warehouse.owner) == before
    with warehouse.owner.begin() as connection:
        connection.exec_driver_sql("DROP VIEW public.report")
    migrate(warehouse.owner, schema)


def test_objects_need_no_other_order_than_their_headers_say(
    empty_database: Warehouse, warehouse: Warehouse, tmp_path: Path
):
    """By name they would always run in one order, and a header that misses a file would not be noticed."""
    files = {file.name: file for file in read_objects(SHIPPED.objects)}
    sorter = TopologicalSorter({file.name: file.after for file in files.values()})
    sorter.prepare()
    order: list[str] = []
    waiting: list[str] = []
    while sorter.is_active():
        waiting = sorted([*waiting, *sorter.get_ready()])
        order.append(waiting.pop())
        sorter.done(order[-1])
    assert order != list(files)
    migrate(empty_database.owner, SchemaFiles(objects=tmp_path))
    with empty_database.owner.begin() as connection:
        apply_objects(connection, [files[name] for name in order], is_forced=True)
    one_way, other_way = catalogue(warehouse.owner), catalogue(empty_database.owner)
    for kind in ("functions", "views", "triggers", "files of objects"):
        assert other_way[kind] == one_way[kind]


def test_a_database_that_a_newer_version_has_migrated_is_left_alone(warehouse: Warehouse, schema: SchemaFiles):
    name = add_revision(schema, "CREATE TABLE loyalty.made_up (code text PRIMARY KEY);\n")
    edit(schema.objects / "refuse_change.sql", "refused", "is refused")
    migrate(warehouse.owner, schema)
    before = catalogue(warehouse.owner)
    with pytest.raises(ConfigurationError, match=f"has the revision {name}, which this version doesn't have"):
        migrate(warehouse.owner)
    assert catalogue(warehouse.owner) == before


@pytest.mark.parametrize("edited", ["0001_baseline/03_gift_cards.sql", "0002_revision_hashes.sql"])
def test_a_revision_that_was_edited_after_it_had_run_is_refused_by_name(
    empty_database: Warehouse, warehouse: Warehouse, schema: SchemaFiles, edited: str
):
    """A fresh database would get another schema than this one has."""
    path = schema.revisions / edited
    path.write_text(f"{path.read_text(encoding='utf-8')}\nSELECT 1;\n", encoding="utf-8")
    edit(schema.objects / "refuse_change.sql", "refused", "is refused")
    before = catalogue(warehouse.owner)
    name = edited.partition("/")[0].removesuffix(".sql")
    with pytest.raises(ConfigurationError, match=f"ran another text of the revision {name} than this version has"):
        migrate(warehouse.owner, schema)
    assert catalogue(warehouse.owner) == before
    migrate(empty_database.owner, schema)


def test_the_ledger_has_every_column_that_the_code_declares_with_its_type(warehouse):
    inspector = inspect(warehouse.owner)
    assert len(METADATA.tables) >= 8
    for table in METADATA.tables.values():
        types = {column["name"]: column["type"] for column in inspector.get_columns(table.name, table.schema)}
        for column in table.columns:
            declared = column.type.compile(postgresql.dialect())
            assert types[column.name].compile(postgresql.dialect()) == declared, column


def test_every_table_has_a_comment(warehouse):
    statement = text(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND obj_description(oid, 'pg_class') IS NULL "
        "AND relnamespace IN ('ledger'::regnamespace, 'loyalty'::regnamespace)"
    )
    with warehouse.owner.connect() as connection:
        assert connection.scalars(statement).all() == []


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
