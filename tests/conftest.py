"""Fixtures for every test: a real PostgreSQL, and a fresh migrated database for each test that asks for one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from sqlalchemy import Engine

from include.project.loader import load_project
from include.project.sync import sync
from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate
from include.warehouse.roles import GROUPS, Role
from tests.embedded_servers import start_on_a_free_port

TEMPLATE = "warehouse_template"
_numbers = itertools.count(1)

hypothesis.settings.register_profile("project", deadline=None)  # how long an example takes says what else runs
hypothesis.settings.load_profile("project")


@dataclass(frozen=True)
class Warehouse:
    """A migrated database of its own for one test.

    `engine` and `url` are the importer's: what runs in tests has its rights alone (X-22).
    """

    name: str
    engines: Mapping[Role, Engine]
    server: EmbeddedServer

    @property
    def url(self) -> str:
        """Address for the importer."""
        return self.server.url(self.name)

    @property
    def owner_url(self) -> str:
        """Address for the owner."""
        return self.server.url(self.name, Role.OWNER)

    @property
    def engine(self) -> Engine:
        """The importer's."""
        return self.engines[Role.IMPORTER]

    @property
    def owner(self) -> Engine:
        """Of who owns tables and functions: for what tests arrange and look at, and what only an owner may."""
        return self.engines[Role.OWNER]

    @functools.cached_property
    def admin(self) -> Engine:
        """Of the server's superuser: for what tests do to sessions of others, and changes round the triggers."""
        return create_warehouse_engine(self.server.admin_url(self.name))

    @property
    def pages(self) -> Engine:
        """Of the web pages, which only read."""
        return self.engines[Role.PAGES]

    @property
    def shop(self) -> Engine:
        """Of the systems that sell cards and hand codes out, which only call functions."""
        return self.engines[Role.SHOP]


@pytest.fixture(scope="session")
def warehouse_server() -> Iterator[EmbeddedServer]:
    """An embedded server of this test session, and in it the migrated database that tests are given copies of."""
    home = Path(tempfile.mkdtemp(prefix="warehouse-"))
    home.chmod(0o711)  # as root the server runs as another user, who has to enter
    server = start_on_a_free_port(home / "data")
    try:
        server.create_database(TEMPLATE)
        engine = create_warehouse_engine(server.url(TEMPLATE, Role.OWNER))
        migrate(engine)
        sync_shipped_project(engine)
        engine.dispose()  # a database with connections can't be copied
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def warehouse(warehouse_server: EmbeddedServer) -> Iterator[Warehouse]:
    """A fresh database with the whole schema and the shipped project settings; dropped after the test."""
    with database(warehouse_server, TEMPLATE) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def warehouse_of_module(warehouse_server: EmbeddedServer) -> Iterator[Warehouse]:
    """The same for all tests of a module that roll back what they do."""
    with database(warehouse_server, TEMPLATE) as fresh:
        yield fresh


@pytest.fixture
def empty_database(warehouse_server: EmbeddedServer) -> Iterator[Warehouse]:
    """A fresh database without any schema; dropped after the test."""
    with database(warehouse_server, "template1") as fresh:
        yield fresh


@contextlib.contextmanager
def database(server: EmbeddedServer, template: str) -> Iterator[Warehouse]:
    """A copy of a template database, with engines; dropped at the end."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    server.create_database(name, template)
    try:
        with engines_of(server, name) as warehouse:
            yield warehouse
    finally:
        server.drop_database(name)


@contextlib.contextmanager
def engines_of(server: EmbeddedServer, name: str) -> Iterator[Warehouse]:
    """A database of a server with an engine for each role that has rights there; connections are closed at the end."""
    engines = {role: create_warehouse_engine(server.url(name, role)) for role in (Role.OWNER, *GROUPS)}
    warehouse = Warehouse(name, engines, server)
    try:
        yield warehouse
    finally:
        for engine in (*engines.values(), warehouse.admin):
            engine.dispose()


def sync_shipped_project(engine: Engine) -> None:
    """Apply include/config/project.yaml to the reference tables."""
    with engine.begin() as connection:
        sync(connection, load_project())
