"""Fixtures of the tests of customers: a warehouse whose project settings have something of everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.integration.customers.scenes", "tests.integration.customers.cases")

from include.project.loader import load_project  # noqa: E402
from include.project.sync import sync  # noqa: E402
from include.warehouse.embedded import EmbeddedServer  # noqa: E402
from tests.conftest import TEMPLATE, database, engines_of  # noqa: E402
from tests.imports import make_site  # noqa: E402
from tests.integration.customers.scenes import PROJECT, Scene  # noqa: E402

CUSTOMERS_TEMPLATE = "customers_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def project_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project settings of these tests."""
    path = tmp_path_factory.mktemp("project") / "project.yaml"
    path.write_text(PROJECT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def customers_template(warehouse_server: EmbeddedServer, project_file: Path) -> str:
    """A database that knows the project settings; tests are given copies of it."""
    warehouse_server.create_database(CUSTOMERS_TEMPLATE, TEMPLATE)
    with engines_of(warehouse_server, CUSTOMERS_TEMPLATE) as template, template.owner.begin() as connection:
        sync(connection, load_project(project_file))
    return CUSTOMERS_TEMPLATE


@pytest.fixture(scope="module")
def scene_of_module(
    warehouse_server: EmbeddedServer,
    customers_template: str,
    project_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One warehouse and one set of folders for all tests of a module."""
    folder = tmp_path_factory.mktemp("customers") / "site"
    with database(warehouse_server, customers_template) as fresh:
        yield Scene(make_site(folder, fresh).changed(project_file=project_file))


@pytest.fixture
def scene(scene_of_module: Scene) -> Scene:
    """The module's warehouse without any customer in it."""
    scene_of_module.erase()
    return scene_of_module
