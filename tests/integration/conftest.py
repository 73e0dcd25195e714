"""Fixtures of the tests with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from include.warehouse.embedded import EmbeddedServer
from tests.conftest import TEMPLATE, Warehouse, database, engines_of
from tests.imports import Site, make_site

STOCKED_TEMPLATE = "stocked_template"


@pytest.fixture
def site(warehouse: Warehouse, tmp_path: Path) -> Site:
    """Folders and a warehouse with the shipped project settings, for whole imports."""
    return make_site(tmp_path / "site", warehouse)


@pytest.fixture(scope="session")
def stocked_template(warehouse_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database into which job 1 has imported the pools of the source's example; tests are given copies of it."""
    warehouse_server.create_database(STOCKED_TEMPLATE, TEMPLATE)
    with engines_of(warehouse_server, STOCKED_TEMPLATE) as template:
        site = make_site(tmp_path_factory.mktemp("stocked") / "site", template)
        assert site.sample_pools().state == "completed"
    return STOCKED_TEMPLATE


@pytest.fixture
def stocked(warehouse_server: EmbeddedServer, stocked_template: str, tmp_path: Path) -> Iterator[Site]:
    """A site whose warehouse has the pools of the source's example."""
    with database(warehouse_server, stocked_template) as fresh:
        yield make_site(tmp_path / "site", fresh)
