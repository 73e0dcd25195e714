"""Gift cards in the database: the state machine, sales, payments, and the history they leave."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import psycopg2.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from include.warehouse.cvv import hash_cvv
from include.warehouse.engine import create_warehouse_engine
from tests.integration.gift_cards import CARD, add_card, add_pool, card, changes, insert, redeem, sell

pytestmark = pytest.mark.integration

YEARLY = {"expiration_type": "Year", "lifetime_years": 1}
SOLD = {"status": "CanBeUsed", "purchased_at": datetime(2024, 5, 5, 10, tzinfo=UTC), "point_of_contact": "site-main"}
FAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def connection(warehouse_of_module):
    """One transaction in a warehouse with a pool `gifts`, rolled back at the end."""
    with warehouse_of_module.owner.connect() as connection:
        add_pool(connection)
        yield connection


def refusal(connection, statement, match, kind=IntegrityError):
    """Check that a statement is refused and names no card; the transaction goes on."""
    with pytest.raises(kind, match=match) as caught, connection.begin_nested():
        connection.execute(text(statement))
    assert "0042" not in str(caught.value).split("[SQL:")[0]


# -- what a card may be


@pytest.mark.parametrize(
    ("changes_", "constraint"),
    [
        ({"status": "CanBeUsed"}, None),
        ({"status": "Blocked"}, None),
        ({"status": "Lost"}, "gift_card_status_check"),
        ({"balance": 0}, None),
        ({"balance": Decimal("9999999999999999.99")}, None),
        ({"balance": -1}, "gift_card_balance_check"),
        ({"balance": Decimal("NaN")}, "gift_card_balance_check"),
        ({"card_number": ""}, "gift_card_card_number_check"),
        ({"cvv_hash": b"x" * 32}, None),
        ({"cvv_hash": b"123"}, "gift_card_cvv_hash_check"),
        ({"purchased_at": "2024-05-05Z", "expires_at": "2025-05-05Z"}, None),
        ({"purchased_at": "2024-05-05Z", "expires_at": "2024-05-05Z"}, "gift_card_expires_at_check"),
        ({"expires_at": "2025-05-05Z"}, "gift_card_expires_at_check"),
        ({"pool_system_name": "nowhere"}, "gift_card_pool_system_name_fkey"),
        ({"point_of_contact": "nowhere"}, "gift_card_point_of_contact_fkey"),
    ],
)
def test_the_values_of_a_card_are_checked(connection, changes_, constraint):
    if constraint is None:
        insert(connection, "loyalty.gift_card", {**CARD, **changes_})
    else:
        with pytest.raises(IntegrityError, match=constraint):
            insert(connection, "loyalty.gift_card", {**CARD, **changes_})


def test_a_card_number_exists_once_over_all_pools_and_is_compared_exactly(connection):
    add_pool(connection, "vouchers")
    add_card(connection, "0042")
    add_card(connection, "42", pool_system_name="vouchers")
    with pytest.raises(IntegrityError, match="gift_card_pkey"):
        add_card(connection, "0042", pool_system_name="vouchers")


# -- expiry


@pytest.mark.parametrize(
    ("purchased_at", "years", "expires_at"),
    [
        ("2024-02-29 12:30Z", 1, "2025-02-28 12:30Z"),
        ("2024-02-29 00:00Z", 4, "2028-02-29 00:00Z"),
        ("2023-03-01 00:00Z", 1, "2024-03-01 00:00Z"),
        ("2024-02-29 23:30-05:00", 1, "2025-03-01 04:30Z"),  # 1 March in UTC
        ("2024-03-01 01:00+03:00", 1, "2025-02-28 22:00Z"),  # 29 February in UTC
        ("2024-05-05 10:00Z", None, None),
        (None, 1, None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_gc03_a_card_expires_its_pools_lifetime_after_the_purchase_in_utc(
    connection, purchased_at, years, expires_at, zone
):
    connection.execute(text("SELECT set_config('timezone', :zone, true)"), {"zone": zone})
    statement = text(
        "SELECT loyalty.gift_card_expiry(CAST(:at AS timestamptz), CAST(:years AS integer))"
        " IS NOT DISTINCT FROM CAST(:expected AS timestamptz)"
    )
    assert connection.scalar(statement, {"at": purchased_at, "years": years, "expected": expires_at}) is True


# -- sales


def test_gc06_an_inactive_card_is_sold(connection):
    add_pool(connection, "yearly", **YEARLY)
    add_card(connection, pool_system_name="yearly")
    expiry = datetime(2025, 2, 28, 10, tzinfo=UTC)
    assert sell(connection, purchased_at="2024-02-29T10:00Z") == ("sold", expiry)
    sold = card(connection)
    assert (sold["status"], sold["balance"], sold["point_of_contact"]) == ("CanBeUsed", 100, "site-main")
    assert (sold["purchased_at"], sold["expires_at"]) == (datetime(2024, 2, 29, 10, tzinfo=UTC), expiry)
    assert changes(connection) == [("sale", None, 100, "Inactive")]


def test_gc06_a_card_without_lifetime_is_sold_without_expiry(connection):
    add_card(connection)
    assert sell(connection) == ("sold", None)
    assert card(connection)["expires_at"] is None


@pytest.mark.parametrize(
    ("status", "arguments", "result"),
    [
        ("Inactive", {"card_number": "unknown"}, "not_found"),
        ("CanBeUsed", {}, "already_sold"),
        ("Blocked", {}, "blocked"),
        ("Inactive", {"purchased_at": None}, "purchase_date_required"),
        ("Inactive", {"purchased_at": "infinity"}, "purchase_date_required"),
        ("Inactive", {"purchased_at": "-infinity"}, "purchase_date_required"),
        ("Inactive", {"purchased_at": FAR}, "purchase_date_in_future"),
        ("Inactive", {"point": None}, "point_of_contact_required"),
        ("Inactive", {"point": "nowhere"}, "unknown_point_of_contact"),
    ],
)
def test_gc06_what_cannot_be_sold_stays_as_it_was(connection, status, arguments, result):
    add_card(connection, status=status)
    before = card(connection)
    assert sell(connection, **arguments) == (result, None)
    assert card(connection) == before
    assert changes(connection) == []


# -- payments


def test_gc06_a_card_pays_in_parts_until_it_is_empty(connection):
    add_card(connection, **SOLD)
    assert redeem(connection, "30.00") == ("redeemed", 30, 0, 70)
    assert redeem(connection, "70.01") == ("insufficient_balance", None, None, 70)
    assert redeem(connection, "70") == ("redeemed", 70, 0, 0)
    assert redeem(connection, "0.01") == ("insufficient_balance", None, None, 0)
    assert card(connection)["balance"] == 0
    assert changes(connection) == [("payment", 30, 100, "CanBeUsed"), ("payment", 70, 70, "CanBeUsed")]


def test_gc06_without_partial_redemption_one_payment_forfeits_the_rest(connection):
    add_pool(connection, "whole", supports_partial_redemption=False)
    add_card(connection, pool_system_name="whole", **SOLD)
    assert redeem(connection, "100.01") == ("insufficient_balance", None, None, 100)
    assert redeem(connection, "30") == ("redeemed", 30, 70, 0)
    assert redeem(connection, "1") == ("insufficient_balance", None, None, 0)
    assert changes(connection) == [("payment", 30, 100, "CanBeUsed")]


@pytest.mark.parametrize(
    ("state", "amount", "result"),
    [
        ({"status": "Inactive"}, 1, "inactive"),
        ({"status": "Blocked"}, 1, "blocked"),
        ({**SOLD, "expires_at": datetime(2024, 5, 6, tzinfo=UTC)}, 1, "expired"),
        ({**SOLD, "expires_at": FAR}, 1, "redeemed"),
        (SOLD, None, "invalid_amount"),
        (SOLD, 0, "invalid_amount"),
        (SOLD, -1, "invalid_amount"),
        (SOLD, "1.005", "invalid_amount"),
        (SOLD, "1.500", "redeemed"),
        (SOLD, "NaN", "invalid_amount"),
        (SOLD, "Infinity", "invalid_amount"),
        (SOLD, "100.00", "redeemed"),
        (SOLD, "100.01", "insufficient_balance"),
    ],
)
def test_gc06_a_card_pays_only_when_it_may(connection, state, amount, result):
    add_card(connection, **state)
    before = card(connection)
    assert redeem(connection, amount)[0] == result
    assert (card(connection) == before) == (result != "redeemed")


def test_gc06_an_unknown_card_does_not_pay(connection):
    assert redeem(connection, 1, "unknown") == ("not_found", None, None, None)


def test_gc06_a_pool_that_requires_a_cvv_pays_for_the_right_one_alone_and_shows_nothing_to_others(connection):
    add_pool(connection, "guarded", cvv_required=True)
    right = hash_cvv(b"key", "0042", "007")
    add_card(connection, pool_system_name="guarded", cvv_hash=right, **SOLD)
    add_card(connection, "0043", pool_system_name="guarded", cvv_hash=None, **SOLD)
    assert redeem(connection, 500) == ("cvv_required", None, None, None)
    assert redeem(connection, 500, cvv_hash=hash_cvv(b"key", "0042", "008")) == ("cvv_mismatch", None, None, None)
    assert redeem(connection, 500, cvv_hash=hash_cvv(b"other", "0042", "007")) == ("cvv_mismatch", None, None, None)
    assert redeem(connection, 500, cvv_hash=right) == ("insufficient_balance", None, None, 100)
    assert redeem(connection, 40, cvv_hash=right) == ("redeemed", 40, 0, 60)
    assert redeem(connection, 40, "0043") == ("cvv_required", None, None, None)
    assert redeem(connection, 40, "0043", cvv_hash=right) == ("cvv_mismatch", None, None, None)


def test_gc06_a_pool_that_requires_no_cvv_does_not_look_at_it(connection):
    add_card(connection, cvv_hash=hash_cvv(b"key", "0042", "007"), **SOLD)
    assert redeem(connection, 40, cvv_hash=b"x" * 32)[0] == "redeemed"


# -- the state machine


@pytest.mark.parametrize("status", ["Inactive", "CanBeUsed", "Blocked"])
@pytest.mark.parametrize(
    "change",
    [
        "card_number = '0043'", "pool_system_name = 'vouchers'", "cvv_hash = decode(repeat('00', 32), 'hex')",
        "import_job_id = 7", "import_line = 7", "balance = 200", "balance = 50", "balance = balance",
        "status = 'Inactive'", "status = 'CanBeUsed'", "status = 'Blocked', balance = 0",
        "purchased_at = now()", "purchased_at = '2024-05-05Z', expires_at = '2025-05-05Z'",
        "point_of_contact = 'site-main'",
        "status = 'CanBeUsed', purchased_at = now(), point_of_contact = 'site-main'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("announced", ["", "sale", "payment 50"])
def test_gc06_raw_updates_neither_sell_nor_pay_nor_change_anything_else(connection, status, change, announced):
    """Announced as its function does, a raw update may do what the function could have done, and no more."""
    add_pool(connection, "vouchers")
    add_card(connection, status=status)
    before = card(connection)
    assert before.items() >= {**CARD, "status": status, "import_job_id": None, "import_line": None}.items()
    could_have_been_done = {
        ("payment 50", "CanBeUsed", "balance = 50"),
        ("sale", "Inactive", "status = 'CanBeUsed', purchased_at = now(), point_of_contact = 'site-main'"),
    }
    connection.execute(text("SELECT set_config('loyalty.gift_card_action', :action, true)"), {"action": announced})
    statement = f"UPDATE loyalty.gift_card SET {change} WHERE card_number = '0042'"
    if (announced, status, change) in could_have_been_done:
        connection.execute(text(statement))
    else:
        refusal(connection, statement, "UPDATE of loyalty.gift_card refused")
        assert card(connection) == before
        assert changes(connection) == []


def test_gc06_a_column_of_a_later_revision_is_locked_without_a_word_about_it(connection):
    add_card(connection)
    connection.execute(text("ALTER TABLE loyalty.gift_card ADD COLUMN made_up_label text"))
    statement = "UPDATE loyalty.gift_card SET status = 'Blocked', made_up_label = 'x' WHERE card_number = '0042'"
    refusal(connection, statement, "UPDATE of loyalty.gift_card refused: card number, pool, CVV hash and import")
    connection.execute(text("UPDATE loyalty.gift_card SET status = 'Blocked' WHERE card_number = '0042'"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("purchased_at = NULL, point_of_contact = 'site-main'", "a sale sets"),
        ("purchased_at = '2024-05-05Z', point_of_contact = NULL", "a sale sets"),
        ("purchased_at = '2024-05-05Z', point_of_contact = 'site-main', expires_at = '2030-01-01Z'", "a sale sets"),
        ("purchased_at = '2024-05-05Z', point_of_contact = 'nowhere'", "gift_card_point_of_contact_fkey"),
    ],
)
def test_gc06_an_incomplete_sale_is_refused_even_when_announced(connection, change, match):
    add_card(connection)
    connection.execute(text("SELECT set_config('loyalty.gift_card_action', 'sale', true)"))
    refusal(connection, f"UPDATE loyalty.gift_card SET status = 'CanBeUsed', {change}", match)


def test_gc06_a_whole_payment_that_leaves_a_balance_is_refused_even_when_announced(connection):
    add_pool(connection, "whole", supports_partial_redemption=False)
    add_card(connection, pool_system_name="whole", **SOLD)
    connection.execute(text("SELECT set_config('loyalty.gift_card_action', 'payment 1', true)"))
    refusal(connection, "UPDATE loyalty.gift_card SET balance = 99", "keeps no balance")


def test_gc06_the_functions_leave_no_announcement_behind(connection):
    add_card(connection)
    sell(connection)
    add_card(connection, "0043")
    refusal(
        connection,
        "UPDATE loyalty.gift_card SET status = 'CanBeUsed', purchased_at = now(), point_of_contact = 'site-main'"
        " WHERE card_number = '0043'",
        "sold by loyalty.sell_gift_card",
    )
    redeem(connection, 1)
    refusal(connection, "UPDATE loyalty.gift_card SET balance = 1 WHERE card_number = '0042'", "redeem_gift_card")


@pytest.mark.parametrize("status", ["Inactive", "CanBeUsed"])
def test_gc06_a_card_can_be_blocked_and_then_neither_sold_nor_redeemed_nor_unblocked(connection, status):
    add_card(connection, status=status)
    connection.execute(text("UPDATE loyalty.gift_card SET status = 'Blocked'"))
    assert changes(connection) == [("block", None, 100, status)]
    assert sell(connection)[0] == "blocked"
    assert redeem(connection, 1)[0] == "blocked"
    for back in ("Inactive", "CanBeUsed", "Blocked"):
        refusal(connection, f"UPDATE loyalty.gift_card SET status = '{back}'", "and nothing else")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM loyalty.gift_card",
        "TRUNCATE loyalty.gift_card CASCADE",
        "INSERT INTO loyalty.gift_card SELECT * FROM loyalty.gift_card"
        " ON CONFLICT (card_number) DO UPDATE SET balance = 1000",
        "MERGE INTO loyalty.gift_card AS card USING (VALUES (1)) AS one ON true WHEN MATCHED THEN DELETE",
        "UPDATE loyalty.gift_card_change SET balance = 1",
        "DELETE FROM loyalty.gift_card_change",
        "TRUNCATE loyalty.gift_card_change",
        "INSERT INTO loyalty.gift_card_change (card_number, kind, balance, status)"
        " VALUES ('0042', 'block', 1, 'Inactive')",
    ],
)
def test_gc06_cards_and_their_history_are_neither_deleted_nor_rewritten(connection, statement):
    add_card(connection, **SOLD)
    redeem(connection, 10)
    refusal(connection, statement, "refused: ")
    assert card(connection)["balance"] == 90
    assert changes(connection) == [("payment", 10, 100, "CanBeUsed")]


def test_x17_the_values_as_imported_survive_sales_payments_and_blocking(connection):
    add_pool(connection, "yearly", **YEARLY)
    add_card(connection, "untouched", balance=7)
    add_card(connection, pool_system_name="yearly", cvv_hash=b"x" * 32, balance="55.50")
    statement = text("SELECT * FROM loyalty.gift_card_as_imported ORDER BY card_number")
    as_imported = connection.execute(statement).mappings().all()
    assert [dict(row) for row in as_imported] == [card(connection, "0042"), card(connection, "untouched")]
    sell(connection, purchased_at=datetime.now(UTC))
    redeem(connection, 5)
    redeem(connection, "0.5")
    connection.execute(text("UPDATE loyalty.gift_card SET status = 'Blocked' WHERE card_number = '0042'"))
    assert len(changes(connection)) == 4
    assert connection.execute(statement).mappings().all() == as_imported


# -- at once


def at_once(warehouse, tasks, isolation):
    """Run the tasks in threads with a connection each, repeating those that PostgreSQL asks to repeat."""
    barrier = threading.Barrier(len(tasks))

    def run(task):
        engine = create_warehouse_engine(warehouse.owner_url)
        with engine.connect().execution_options(isolation_level=isolation) as connection:
            barrier.wait(30)
            for _ in itertools.count():
                try:
                    with connection.begin():
                        return task(connection)
                except DBAPIError as error:
                    if not isinstance(error.orig, psycopg2.errors.SerializationFailure):
                        raise

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_gc06_sixteen_payments_at_once_never_overspend(warehouse, isolation):
    with warehouse.owner.begin() as connection:
        add_pool(connection)
        add_card(connection, **SOLD)
    results = at_once(warehouse, [lambda connection: redeem(connection, 15)[:2]] * 16, isolation)
    assert sorted(results, key=str) == [("insufficient_balance", None)] * 10 + [("redeemed", 15)] * 6
    with warehouse.owner.connect() as connection:
        assert card(connection)["balance"] == 10
        assert [before for _, _, before, _ in changes(connection)] == [100, 85, 70, 55, 40, 25]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_gc06_of_sixteen_payments_at_once_one_succeeds_without_partial_redemption(warehouse, isolation):
    with warehouse.owner.begin() as connection:
        add_pool(connection, supports_partial_redemption=False)
        add_card(connection, **SOLD)
    results = at_once(warehouse, [lambda connection: redeem(connection, 15)[0]] * 16, isolation)
    assert sorted(results) == ["insufficient_balance"] * 15 + ["redeemed"]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_gc06_of_sixteen_sellers_at_once_one_sells(warehouse, isolation):
    with warehouse.owner.begin() as connection:
        add_pool(connection)
        add_card(connection)
    results = at_once(warehouse, [lambda connection: sell(connection)[0]] * 16, isolation)
    assert sorted(results) == ["already_sold"] * 15 + ["sold"]
    with warehouse.owner.connect() as connection:
        assert len(changes(connection)) == 1


# -- the technical product that a sale and a payment are booked by


PRODUCT = "product_external_system, product_external_id, brand"


def test_gp02_sale_and_payment_return_the_technical_product_of_the_card_s_pool(connection):
    """Source 0: it is used whenever a gift card from the pool is sold or redeemed."""
    add_pool(connection, "vouchers", brand="Demo", product_external_system="pos")
    add_card(connection, "0042", pool_system_name="vouchers")
    product = ("pos", "vouchers-product", "Demo")

    def ask(call):
        return tuple(connection.execute(text(f"SELECT result, {PRODUCT} FROM loyalty.{call}")).one())

    assert ask("sell_gift_card('0042', now(), 'site-main')") == ("sold", *product)
    assert ask("sell_gift_card('0042', now(), 'site-main')") == ("already_sold", None, None, None)
    assert ask("sell_gift_card('0043', now(), 'site-main')") == ("not_found", None, None, None)
    assert ask("redeem_gift_card('0042', 10)") == ("redeemed", *product)
    assert ask("redeem_gift_card('0042', 100000)") == ("insufficient_balance", None, None, None)
    assert ask("redeem_gift_card('0042', -1)") == ("invalid_amount", None, None, None)


def test_gp02_the_history_of_a_card_has_the_technical_product_of_sales_and_payments(connection):
    add_card(connection)
    sell(connection)
    redeem(connection, 10)
    connection.execute(text("SELECT loyalty.block_gift_card('0042')"))
    changes = connection.execute(text(f"SELECT kind, {PRODUCT} FROM loyalty.gift_card_change ORDER BY number")).all()
    product = connection.execute(
        text(
            "SELECT external_system, external_id, brand FROM loyalty.technical_product WHERE pool_system_name = 'gifts'"
        )
    ).one()
    assert None not in product
    assert changes == [("sale", *product), ("payment", *product), ("block", None, None, None)]
