"""One composition for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.warehouse.embedded import EmbeddedServer
from tests.conftest import TEMPLATE, database
from tests.end_to_end.composition.reference import Reference
from tests.end_to_end.composition.stack import Composition, running_composition
from tests.end_to_end.imports import Imports, watched
from tests.imports import make_site


@pytest.fixture(scope="package")
def composition() -> Iterator[Composition]:
    with running_composition() as composition:
        yield composition


@pytest.fixture(scope="package")
def imports(composition: Composition) -> Iterator[Imports]:
    with watched(composition, composition.folders()) as imports:
        yield imports


@pytest.fixture(scope="package")
def reference(
    composition: Composition, warehouse_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reference]:
    """The engine alone, with the keys of the composition."""
    with database(warehouse_server, TEMPLATE) as warehouse:
        site = make_site(tmp_path_factory.mktemp("reference") / "site", warehouse)
        keys = composition.keys
        site = site.changed(cvv_key=keys.cvv_key.encode(), code_key=keys.code_key.encode())
        yield Reference(site, composition.began_at)
