"""Fixtures of the tests with a real PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from tests.imports import Site, make_site

if TYPE_CHECKING:
    from tests.conftest import Warehouse

STOCKED_TEMPLATE = "stocked_template"
_numbers = itertools.count(1)


@pytest.fixture
def site(warehouse: Warehouse, tmp_path: Path) -> Site:
    """Folders and a warehouse with the shipped project settings, for whole imports."""
    return make_site(tmp_path / "site", warehouse.engine)


@pytest.fixture(scope="session")
def stocked_template(warehouse_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database into which job 1 has imported the pools of the source's example; tests are given copies of it."""
    warehouse_server.create_database(STOCKED_TEMPLATE, "warehouse_template")
    engine = create_warehouse_engine(warehouse_server.url(STOCKED_TEMPLATE))
    assert make_site(tmp_path_factory.mktemp("stocked") / "site", engine).sample_pools().state == "completed"
    engine.dispose()
    return STOCKED_TEMPLATE


@pytest.fixture
def stocked(warehouse_server: EmbeddedServer, stocked_template: str, tmp_path: Path) -> Iterator[Site]:
    """A site whose warehouse has the pools of the source's example."""
    name = f"stocked_{next(_numbers)}"
    warehouse_server.create_database(name, stocked_template)
    engine = create_warehouse_engine(warehouse_server.url(name))
    try:
        yield make_site(tmp_path / "site", engine)
    finally:
        engine.dispose()
        warehouse_server.drop_database(name)
