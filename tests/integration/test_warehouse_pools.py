"""Gift card pools in the database: locked, one product each, shown in an overview."""

import io
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from tests.integration.gift_cards import POOL, add_card, add_pool, insert

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def locked_pool(warehouse_of_module):
    """A warehouse with one committed pool, for tests that can't change it."""
    with warehouse_of_module.owner.begin() as connection:
        add_pool(connection)
    return warehouse_of_module


def products(connection):
    statement = text("SELECT * FROM loyalty.technical_product ORDER BY pool_system_name")
    return [tuple(row) for row in connection.execute(statement)]


def test_gp02_each_pool_gets_its_technical_product_in_the_same_statement(warehouse):
    with warehouse.owner.begin() as connection:
        add_pool(connection, "gifts")
        assert products(connection) == [("gifts", "website", "gifts-product", "Acme")]
        add_pool(connection, "vouchers", product_external_system="pos", brand="Demo")
    with warehouse.owner.begin() as connection:
        assert products(connection) == [
            ("gifts", "website", "gifts-product", "Acme"),
            ("vouchers", "pos", "vouchers-product", "Demo"),
        ]


def test_gp02_pools_that_are_copied_in_or_skipped_as_conflicts_have_one_product_each(warehouse):
    with warehouse.owner.begin() as connection:
        connection.connection.cursor().copy_expert(
            "COPY loyalty.gift_card_pool (system_name, name, supports_arbitrary_value, supports_partial_redemption,"
            " product_external_id, product_external_system, brand, cvv_required) FROM STDIN WITH (FORMAT csv)",
            io.StringIO("a,A,true,true,pa,website,Acme,false\nb,B,true,true,pb,website,Acme,false\n"),
        )
        for name in ("a", "c"):
            connection.execute(
                text(
                    "INSERT INTO loyalty.gift_card_pool (system_name, name, supports_arbitrary_value,"
                    " supports_partial_redemption, product_external_id, product_external_system, brand, cvv_required)"
                    " VALUES (:name, 'other', true, true, 'p' || :name, 'website', 'Acme', false)"
                    " ON CONFLICT DO NOTHING"
                ),
                {"name": name},
            )
        assert [row[0] for row in products(connection)] == ["a", "b", "c"]


def test_gp02_a_pool_that_is_rolled_back_leaves_no_product(warehouse):
    with warehouse.owner.connect() as connection:
        add_pool(connection)
        connection.rollback()
        assert products(connection) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE loyalty.technical_product SET external_id = 'other'",
        "DELETE FROM loyalty.technical_product",
        "TRUNCATE loyalty.technical_product",
        "INSERT INTO loyalty.technical_product VALUES ('gifts', 'website', 'second', 'Acme')",
        "INSERT INTO loyalty.technical_product VALUES ('nowhere', 'website', 'second', 'Acme')",
    ],
)
def test_gp02_no_statement_makes_a_second_product_or_none(locked_pool, statement):
    with locked_pool.owner.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(text(statement))
    with locked_pool.owner.connect() as connection:
        assert products(connection) == [("gifts", "website", "gifts-product", "Acme")]


def test_gp02_two_pools_cannot_share_a_product(warehouse):
    with warehouse.owner.connect() as connection:
        add_pool(connection, "one", product_external_id="shared")
        with pytest.raises(IntegrityError, match="gift_card_pool_product_key"):
            add_pool(connection, "two", product_external_id="shared")


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        *(
            (f"UPDATE loyalty.gift_card_pool SET {change}", "UPDATE of loyalty.gift_card_pool refused: .* locked")
            for change in (
                "name = 'other'", "system_name = 'other'", "card_value = 7, supports_arbitrary_value = false",
                "lifetime_years = 3, expiration_type = 'Year'", "cvv_required = true", "brand = 'Demo'",
                "supports_partial_redemption = false", "product_external_id = 'x'", "max_card_value = 5",
                "created_at = now()", "name = name",
            )
        ),
        ("DELETE FROM loyalty.gift_card_pool", "DELETE of loyalty.gift_card_pool refused: .* locked once imported"),
        ("TRUNCATE loyalty.gift_card_pool CASCADE", "TRUNCATE of loyalty.gift_card_pool refused: .* locked"),
        (
            "INSERT INTO loyalty.gift_card_pool SELECT * FROM loyalty.gift_card_pool"
            " ON CONFLICT (system_name) DO UPDATE SET name = 'other'",
            "UPDATE of loyalty.gift_card_pool refused",
        ),
        (
            "MERGE INTO loyalty.gift_card_pool AS pool USING (VALUES (1)) AS one ON true WHEN MATCHED THEN DELETE",
            "DELETE of loyalty.gift_card_pool refused",
        ),
    ],
)  # fmt: skip
def test_gp03_the_database_refuses_every_change_of_a_pool(locked_pool, statement, refusal, isolation):
    engine = locked_pool.owner.execution_options(isolation_level=isolation)
    with engine.connect() as connection, pytest.raises(IntegrityError, match=refusal):
        connection.execute(text(statement))
    with locked_pool.owner.connect() as connection:
        row = connection.execute(text("SELECT * FROM loyalty.gift_card_pool")).mappings().one()
        assert {column: row[column] for column in POOL} == {**POOL, "product_external_id": "gifts-product"}


def test_gp03_a_pool_that_nothing_matches_is_no_refusal(locked_pool):
    with locked_pool.owner.begin() as connection:
        connection.execute(text("UPDATE loyalty.gift_card_pool SET name = 'other' WHERE system_name = 'nowhere'"))


FIXED = {"supports_arbitrary_value": False, "card_value": 50}


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({}, None),
        (FIXED, None),
        ({**FIXED, "card_value": None}, "gift_card_pool_card_value_check"),
        ({**FIXED, "card_value": 0}, "gift_card_pool_card_value_check"),
        ({**FIXED, "card_value": Decimal("NaN")}, "gift_card_pool_card_value_check"),
        ({"card_value": 50}, "gift_card_pool_card_value_check"),
        ({"expiration_type": "Year", "lifetime_years": 1}, None),
        ({"expiration_type": "Year", "lifetime_years": 10}, None),
        ({"expiration_type": "Year", "lifetime_years": 0}, "gift_card_pool_lifetime_years_check"),
        ({"expiration_type": "Year", "lifetime_years": 11}, "gift_card_pool_lifetime_years_check"),
        ({"expiration_type": "Year"}, "gift_card_pool_lifetime_years_check"),
        ({"lifetime_years": 3}, "gift_card_pool_lifetime_years_check"),
        ({"expiration_type": "Month"}, "gift_card_pool_(expiration_type|lifetime_years)_check"),
        ({"max_card_value": Decimal("0.01")}, None),
        ({**FIXED, "max_card_value": 50}, None),
        ({**FIXED, "max_card_value": Decimal("49.99")}, "gift_card_pool_max_card_value_check"),
        ({"max_card_value": 0}, "gift_card_pool_max_card_value_check"),
        ({"max_card_value": Decimal("NaN")}, "gift_card_pool_max_card_value_check"),
        ({"name": ""}, "gift_card_pool_name_check"),
        ({"system_name": ""}, "gift_card_pool_system_name_check"),
        ({"brand": "Unknown"}, "gift_card_pool_brand_fkey"),
        ({"product_external_system": "Unknown"}, "gift_card_pool_product_external_system_fkey"),
        ({"import_job_id": 1}, "gift_card_pool_import_job_id_fkey"),
    ],
)
def test_the_parameters_of_a_pool_fit_together(warehouse_of_module, changes, constraint):
    row = {**POOL, "system_name": "tried", "product_external_id": "tried-product", **changes}
    with warehouse_of_module.owner.connect() as connection:
        if constraint is None:
            insert(connection, "loyalty.gift_card_pool", row)
        else:
            with pytest.raises(IntegrityError, match=constraint):
                insert(connection, "loyalty.gift_card_pool", row)


def test_gp04_the_overview_shows_product_card_counts_and_balance_of_every_pool(warehouse):
    with warehouse.owner.begin() as connection:
        add_pool(connection, "empty", name="Empty pool")
        add_pool(connection, "full", product_external_system="pos", brand="Demo")
        for number, (status, balance) in enumerate(
            [("Inactive", 10), ("Inactive", "0.25"), ("CanBeUsed", 5), ("Blocked", 100)]
        ):
            add_card(connection, str(number), pool_system_name="full", status=status, balance=balance)
        statement = text("SELECT * FROM loyalty.gift_card_pool_overview ORDER BY pool_system_name")
        assert [dict(row) for row in connection.execute(statement).mappings()] == [
            {
                "pool_system_name": "empty", "pool_name": "Empty pool", "product_external_system": "website",
                "product_external_id": "empty-product", "brand": "Acme", "cards": 0, "cards_inactive": 0,
                "cards_can_be_used": 0, "cards_blocked": 0, "total_balance": Decimal("0.00"),
            },
            {
                "pool_system_name": "full", "pool_name": "Gifts", "product_external_system": "pos",
                "product_external_id": "full-product", "brand": "Demo", "cards": 4, "cards_inactive": 2,
                "cards_can_be_used": 1, "cards_blocked": 1, "total_balance": Decimal("115.25"),
            },
        ]  # fmt: skip
