"""What commands run with: database, folders, keys; and what their ends mean."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import ArgumentError

from include.arrivals.places import shown
from include.errors import (
    ConfigurationError,
)
from include.import_types import IMPORT_TYPES
from include.runtime import ROOT, Runtime
from include.storage import LOCATIONS, locations
from include.storage.locations import Location
from include.warehouse.engine import create_warehouse_engine, variable_of, warehouse_url
from include.warehouse.roles import Role
from include.warehouse.schema_check import expect_schema

DONE, FAILED, REFUSED = 0, 1, 3
KEYS = ("cvv_key", "code_key")
"""Of the CVV hashes and of the promo codes, each in the environment variable of its name in capitals."""


def make_runtime(role: Role = Role.IMPORTER) -> Runtime:
    """Return what a command needs, with the rights of a role: the owner's change tables, the pages' read (X-22).

    Its first connection raises ConfigurationError when the schema is missing or old.
    """
    local = ROOT / ".local"
    landing, work, reports, archive = (
        path_of(os.environ.get(f"{name.upper()}_URL") or str(local / name), f"{name.upper()}_URL") for name in LOCATIONS
    )
    cvv_key, code_key = (_key(local, name) for name in KEYS)
    engine = expect_schema(make_engine(role))
    return Runtime(
        engine, landing, work, reports, archive, cvv_key=cvv_key, code_key=code_key, import_types=IMPORT_TYPES
    )


def make_engine(role: Role) -> Engine:
    """Return the database as a role.

    Raises:
        ConfigurationError: its variable is no address.
    """
    try:
        return create_warehouse_engine(warehouse_url(role))
    except (ValueError, ArgumentError):  # whose texts may hold the password
        raise ConfigurationError(
            f"{variable_of(role)} is not the address of a PostgreSQL database, such as postgresql://user:password@host/name."
        ) from None


def _key(local: Path, name: str) -> bytes | None:
    """Return a key from the environment, else the local stack's: both must hash, and make codes, alike (X-20)."""
    if key := os.environ.get(name.upper()):
        return key.encode()
    stored = local / "keys.json"
    try:
        keys = dict(json.loads(stored.read_text())) if stored.exists() else {}
    except (ValueError, TypeError):
        raise ConfigurationError(f"{stored} is damaged; set {name.upper()}.") from None
    return str(keys[name]).encode() if name in keys else None


def path_of(url: str, what: str) -> Location:
    """Return a place.

    Args:
        what: names it in the message.

    Raises:
        ConfigurationError: there is no such kind of storage.
    """
    try:
        return locations.locate(url)
    except (ImportError, ValueError):
        kind = shown(url.split("://")[0])
        raise ConfigurationError(
            f"{shown(what)}: there is no such kind of storage: {kind}://. Files are on a disk, or in a bucket (s3://)."
        ) from None


def source_of(file: str) -> Location:
    """Return a file that an argument names."""
    return path_of(file if "://" in file else os.path.abspath(file), file)
