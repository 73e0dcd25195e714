"""The database's roles. `include/warehouse/rights.py` says who may do what, `bootstrap.py` beside it makes them.

Rights belong to group roles that nobody signs in as; the names that programs sign in with are members, and may be any.
The owner is no group: the login that runs the migrations owns what they make. Source: X-22.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """One kind of account of the warehouse; Airflow's own tables have an account that can't reach it."""

    OWNER = "owner"
    IMPORTER = "importer"
    PAGES = "pages"
    SHOP = "shop"
    AIRFLOW = "airflow"


GROUPS: Mapping[Role, str] = MappingProxyType(
    {Role.IMPORTER: "loyalty_importer", Role.PAGES: "loyalty_pages", Role.SHOP: "loyalty_shop"}
)
"""The group role that has the rights of each. Roles belong to the whole server, so their names say whose they are."""

SCHEMAS = ("ledger", "loyalty", "staging")
"""Of the warehouse."""

DATABASE_RIGHTS: Mapping[Role, str] = MappingProxyType(
    {Role.IMPORTER: "CONNECT, TEMPORARY", Role.PAGES: "CONNECT", Role.SHOP: "CONNECT"}
)
"""Of the warehouse's database. Loads work in temporary tables."""

LOGINS: Mapping[Role, str] = MappingProxyType(
    {
        Role.OWNER: "warehouse_owner",
        Role.IMPORTER: "importer",
        Role.PAGES: "pages",
        Role.SHOP: "shop",
        Role.AIRFLOW: "airflow",
    }
)
"""Names to sign in with, unless Connections give others. Never a schema's: "$user" comes first in search paths."""


@dataclass(frozen=True)
class Login:
    """A name and password to sign in with."""

    name: str
    password: str = field(repr=False)
