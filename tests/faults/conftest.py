"""Fixtures for the tests in which processes and servers are killed."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.warehouse.embedded import EmbeddedServer
from tests.conftest import TEMPLATE
from tests.faults import children
from tests.faults.scenes import SEED, Kind, Scene, make_seed

OTHER_DEVICE = Path("/dev/shm")
_numbers = itertools.count(1)

MakeScene = Callable[[Kind], Scene]


@pytest.fixture(scope="session", autouse=True)
def warm_children() -> None:
    """Import the product's libraries once for all children."""
    children.warm_up()


@pytest.fixture(scope="session")
def seeded_server(warehouse_server: EmbeddedServer) -> EmbeddedServer:
    """The session's server, with the database that scenes start from."""
    make_seed(warehouse_server, TEMPLATE)
    return warehouse_server


@pytest.fixture(scope="session")
def scene_homes() -> Iterator[Callable[[], tuple[Path, Path]]]:
    """Hand out folders on two devices: a move between them is a copy and a deletion."""
    with tempfile.TemporaryDirectory(prefix="faults-") as here, tempfile.TemporaryDirectory(dir=OTHER_DEVICE) as there:
        assert Path(here).stat().st_dev != Path(there).stat().st_dev, "these tests need two file systems"

        def make() -> tuple[Path, Path]:
            number = str(next(_numbers))
            return Path(here) / number, Path(there) / number

        yield make


@pytest.fixture(scope="session")
def new_scene(seeded_server: EmbeddedServer, scene_homes: Any) -> MakeScene:
    """Make a scene with a database of its own; the caller drops it."""

    def make(kind: Kind) -> Scene:
        home, elsewhere = scene_homes()
        database = f"scene_{home.name}"
        seeded_server.create_database(database, SEED)
        return Scene(kind, seeded_server.url(database), home, elsewhere)

    return make


@pytest.fixture
def make_scene(new_scene: MakeScene, seeded_server: EmbeddedServer) -> Iterator[MakeScene]:
    """Make scenes that go with the test."""
    made: list[Scene] = []

    def make(kind: Kind) -> Scene:
        made.append(new_scene(kind))
        return made[-1]

    yield make
    for scene in made:
        seeded_server.drop_database(scene.database)
        shutil.rmtree(scene.home)
        scene.clean_up()


@pytest.fixture(scope="session")
def undisturbed(new_scene: MakeScene) -> Callable[[Kind], dict[str, Any]]:
    """Return what one import that nothing disturbs leaves behind, for each kind of file."""
    known: dict[Kind, dict[str, Any]] = {}

    def find(kind: Kind) -> dict[str, Any]:
        if kind not in known:
            scene = new_scene(kind)
            ended = children.run(scene.work())
            assert ended.code == 0, ended.output
            known[kind] = scene.left_behind()
        return known[kind]

    return find
