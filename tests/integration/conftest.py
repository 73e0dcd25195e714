"""Fixtures of the tests with a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Warehouse
from tests.imports import Site, make_site


@pytest.fixture
def site(warehouse: Warehouse, tmp_path: Path) -> Site:
    """Folders and a warehouse with the shipped project settings, for whole imports."""
    return make_site(tmp_path / "site", warehouse.engine)


@pytest.fixture
def stocked(site: Site) -> Site:
    """A site whose warehouse has the pools of the source's example."""
    assert site.sample_pools().state == "completed"
    return site
