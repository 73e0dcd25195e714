"""Pools and cards for the tests of the warehouse: only what a test names differs from the usual."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

POOL: Mapping[str, Any] = {
    "system_name": "gifts",
    "name": "Gifts",
    "supports_arbitrary_value": True,
    "supports_partial_redemption": True,
    "product_external_id": "gift-product",
    "product_external_system": "website",
    "brand": "Acme",
    "cvv_required": False,
    "card_value": None,
    "expiration_type": "NoExpiration",
    "lifetime_years": None,
}
CARD: Mapping[str, Any] = {
    "card_number": "0042",
    "pool_system_name": "gifts",
    "balance": 100,
    "cvv_hash": None,
    "point_of_contact": None,
    "purchased_at": None,
    "expires_at": None,
    "status": "Inactive",
}


def insert(connection: Connection, table: str, row: Mapping[str, Any]) -> None:
    places = ", ".join(f":{column}" for column in row)
    connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"), row)


def add_pool(connection: Connection, system_name: str = "gifts", **changes: Any) -> None:
    """Insert a pool; its product is named for it."""
    named = {"system_name": system_name, "product_external_id": f"{system_name}-product"}
    insert(connection, "loyalty.gift_card_pool", {**POOL, **named, **changes})


def add_card(connection: Connection, card_number: str = "0042", **changes: Any) -> None:
    """Insert a card."""
    insert(connection, "loyalty.gift_card", {**CARD, "card_number": card_number, **changes})


def card(connection: Connection, card_number: str = "0042") -> dict[str, Any]:
    """Return a card as it is."""
    statement = text("SELECT * FROM loyalty.gift_card WHERE card_number = :card")
    return dict(connection.execute(statement, {"card": card_number}).mappings().one())


def changes(connection: Connection, card_number: str = "0042") -> list[tuple[Any, ...]]:
    """Return (kind, paid, balance before, status before) of a card's changes, oldest first."""
    statement = text(
        "SELECT kind, paid, balance, status FROM loyalty.gift_card_change WHERE card_number = :card ORDER BY number"
    )
    return [tuple(row) for row in connection.execute(statement, {"card": card_number})]


def sell(
    connection: Connection, card_number="0042", purchased_at="2024-05-05T10:00Z", point="site-main"
) -> tuple[Any, ...]:
    """Return (result, expires_at) of a sale."""
    call = "loyalty.sell_gift_card(:card, CAST(:at AS timestamptz), :point)"
    statement = text(f"SELECT result, expires_at FROM {call}")
    return tuple(connection.execute(statement, {"card": card_number, "at": purchased_at, "point": point}).one())


def redeem(connection: Connection, amount: Any, card_number="0042", cvv_hash=None) -> tuple[Any, ...]:
    """Return (result, paid, forfeited, balance) of a payment."""
    call = "loyalty.redeem_gift_card(:card, CAST(:amount AS numeric), :cvv_hash)"
    statement = text(f"SELECT result, paid, forfeited, balance FROM {call}")
    return tuple(connection.execute(statement, {"card": card_number, "amount": amount, "cvv_hash": cvv_hash}).one())
