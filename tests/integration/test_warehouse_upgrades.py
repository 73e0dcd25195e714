"""Databases of former versions become what a fresh one is, keep their rows, and go on importing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from include.errors import ConfigurationError
from include.import_types import IMPORT_TYPES
from include.promo_codes.generation import GenerationRequest, generate_or_continue
from include.values.look_alikes import skeletons
from include.warehouse.migrations import migrate
from tests.conftest import Warehouse
from tests.imports import counts, make_site, rejects
from tests.integration.catalogue import catalogue
from tests.integration.upgrades import restore, rows

pytestmark = pytest.mark.integration

SCHEMAS = ("revision_0007", "revision_0010", "baseline")
AGAIN = {
    "gift_card_pools": {"read": 2, "unchanged": 2},
    "gift_cards": {"read": 21, "unchanged": 11, "rejected": 10},
    "promo_code_pools": {"read": 4, "updated": 1, "unchanged": 3},  # the generation had saved another quantity
    "promo_codes": {"read": 15, "unchanged": 15},
    "customers": {"read": 8, "updated": 1, "unchanged": 4, "rejected": 3},
}
"""What the samples do once more to the rows that they made."""


@pytest.fixture(params=SCHEMAS)
def schema(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def former(empty_database: Warehouse, schema: str) -> Warehouse:
    """A database as a former version left it, with rows of every import type."""
    restore(empty_database.owner_url, schema)
    return empty_database


def test_an_upgraded_database_equals_a_fresh_one(former: Warehouse, schema: str, warehouse_of_module: Warehouse):
    if schema == "baseline":  # a dump writes the conditions of triggers with other parentheses: run the files again
        with former.owner.begin() as connection:
            connection.exec_driver_sql("UPDATE ledger.schema_object SET sha256 = ''")
    migrate(former.owner)
    upgraded, fresh = catalogue(former.owner), catalogue(warehouse_of_module.owner)
    for kind in fresh:
        assert upgraded[kind] == fresh[kind], kind
    assert upgraded["comments"], "nothing was compared"


def test_the_comparison_sees_a_difference_of_every_kind(warehouse: Warehouse):
    before = catalogue(warehouse.owner)
    with warehouse.owner.begin() as connection:
        for statement in (
            "ALTER TABLE loyalty.brand ADD COLUMN note text CONSTRAINT brand_note_check CHECK (note <> '')",
            "CREATE INDEX brand_note_idx ON loyalty.brand (note)",
            "CREATE TYPE loyalty.shade AS ENUM ('red')",
            "CREATE FUNCTION loyalty.one() RETURNS integer LANGUAGE sql RETURN 1",
            "CREATE VIEW loyalty.ones AS SELECT loyalty.one() AS one",
            "CREATE TRIGGER refuse BEFORE DELETE ON loyalty.brand "
            "FOR EACH ROW EXECUTE FUNCTION loyalty.refuse_change('x')",
            "COMMENT ON COLUMN loyalty.brand.note IS 'A note.'",
            "GRANT SELECT (note) ON loyalty.brand TO loyalty_shop",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO loyalty_shop",
            "INSERT INTO ledger.schema_revision VALUES (9999, 'x')",
            "INSERT INTO ledger.schema_object VALUES ('VIEW', 'loyalty.ones', 'x', 'x')",
            "CREATE SCHEMA ledger_of_others",
        ):
            connection.exec_driver_sql(statement)
    after = catalogue(warehouse.owner)
    assert {kind for kind in before if after[kind] == before[kind]} == {"schemas"}  # those of others are not compared


def test_an_upgrade_keeps_every_row(former: Warehouse, schema: str):
    before = rows(former.owner)
    assert {"loyalty.gift_card", "loyalty.promo_code", "loyalty.customer", "ledger.reject"} <= {
        table for table, former_rows in before.items() if former_rows
    }
    migrate(former.owner)
    after = rows(former.owner)
    if schema == "revision_0007":  # domains became A-labels
        for customer in before["loyalty.customer"]:
            customer["email"] = customer["email"] and customer["email"].replace("@münchen.", "@xn--mnchen-3ya.")
    for table, former_rows in before.items():
        columns = former_rows[0].keys() if former_rows else ()
        kept = [{column: row[column] for column in columns} for row in after[table]]
        assert sorted(kept, key=str) == sorted(former_rows, key=str), table
        added = [{column: value for column, value in row.items() if column not in columns} for row in after[table]]
        assert not any(value for row in added for value in row.values()) or not former_rows, table
    assert {row["card_number"]: row["plain_number"] for row in after["loyalty.gift_card_plain_number"]} == {
        "12 34-a": "1234A"
    }
    look_alikes = {row["code"]: row["skeleton"] for row in after["loyalty.promo_code_look_alike"]}
    assert look_alikes == {code: skeletons([code])[0] for code in ("PUB–1", "pläin", "ПУБ")}


def test_imports_go_on_after_an_upgrade(former: Warehouse, tmp_path: Path):
    migrate(former.owner)
    site = make_site(tmp_path / "site", former)
    for name, import_type in IMPORT_TYPES.items():
        result = site.load(name, import_type.sample.read_bytes(), force=True)
        assert counts(result) == AGAIN[name], name
    more = {
        "gift_card_pools": (
            "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
            "cvv_required\nNew,new_gift,true,true,gc-new,website,Acme,false\n"
        ),
        "gift_cards": "card_number,pool_system_name,balance\n77,new_gift,10\n1234A,flexible_gift,5\n78,nowhere,1\n",
        "promo_code_pools": "Pool ID,Pool name,Fill method\nautumn,Autumn,upload\n",
        "promo_codes": "Code,Promo code pool\nAUTUMN-1,autumn\nSPRING-0001,spring_sale\n",
        "customers": "Email,FirstName\nnew.customer@example.com,New\n",
    }
    for name, content in more.items():
        result = site.load(name, content)
        assert counts(result)["inserted"] == (2 if name == "gift_cards" else 1), name
        if name == "gift_cards":
            assert rejects(result) == {4: {"pool_system_name.known"}}
    request = GenerationRequest("welcome", 5, "after the upgrade", "a test", "form")
    assert generate_or_continue(site.runtime, request, report=lambda _: None).added == 5
    with former.shop.begin() as connection:
        sold = connection.execute(text("SELECT result, brand FROM loyalty.sell_gift_card('77', now(), 'site-main')"))
        assert sold.one() == ("sold", "Acme")
        issued = connection.execute(text("SELECT result FROM loyalty.issue_promo_code('welcome', 'customer 9')"))
        assert issued.scalar_one() == "issued"


def test_a_database_older_than_can_be_upgraded_is_refused(empty_database: Warehouse):
    restore(empty_database.owner_url, "revision_0007", has_rows=False)
    with empty_database.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE public.alembic_version SET version_num = '0006'")
    with pytest.raises(ConfigurationError, match="of revision 0006, which is too old to be upgraded"):
        migrate(empty_database.owner)


def before_identities(empty_database, *statements):
    """Bring a database to a revision before 0009, which judges identities, with rows of those days."""
    restore(empty_database.owner_url, "revision_0007", has_rows=False)
    with empty_database.owner.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_x16_emails_of_former_days_get_domains_as_a_labels_and_ascii_s_letter_case(empty_database):
    """`İrem@…` and `irem@…` could not both be there; what was written in Unicode is found by its A-label."""
    before_identities(
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
    before_identities(
        empty_database,
        "INSERT INTO loyalty.customer (id, email) VALUES (7, 'ann@münchen.de'), (8, 'Ann@xn--mnchen-3ya.de'), "
        "(9, 'bob@straße.de'), (10, 'bob@x.com')",
    )
    with pytest.raises(ConfigurationError, match=r"by number: 7 and 8\. Nothing") as caught:
        migrate(empty_database.owner)
    assert "ann@" not in str(caught.value).lower()
    with empty_database.owner.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0007"
        assert connection.scalar(text("SELECT email FROM loyalty.customer WHERE id = 9")) == "bob@straße.de"
    with empty_database.admin.begin() as connection:
        connection.execute(text("UPDATE loyalty.customer SET email = NULL WHERE id = 8"))
    migrate(empty_database.owner)
    with empty_database.owner.begin() as connection:
        assert connection.scalar(text("SELECT email FROM loyalty.customer WHERE id = 7")) == "ann@xn--mnchen-3ya.de"


def test_pc04a_codes_and_cards_of_former_days_have_their_forms_however_long_they_are(empty_database):
    signs = random.Random(1)
    long = "".join(chr(signs.randrange(0x4E00, 0x9FA6)) for _ in range(860))
    before_identities(
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
