"""Fixtures for the tests in which processes and servers are killed."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import psycopg2
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from include.warehouse.embedded import EmbeddedServer
from tests.conftest import TEMPLATE
from tests.faults import children
from tests.faults.scenes import SEED, Kind, Scene, make_seed

OTHER_DEVICE = Path("/dev/shm")
_numbers = itertools.count(1)


class Databases:
    """Copies of the seed, the next one made while the last one is in use: making one takes half a second."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._maker = ThreadPoolExecutor(max_workers=1)
        self._next = self._maker.submit(self._make)

    def _make(self) -> str:
        name = f"scene_{next(self._numbers)}"
        with contextlib.closing(psycopg2.connect(self._server.admin_url())) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:  # by file, not through the log: hundreds of megabytes less to write
                cursor.execute(f"CREATE DATABASE {name} TEMPLATE {SEED} STRATEGY file_copy")
        return name

    def take(self) -> str:
        """Return the name of an unused copy."""
        name = self._next.result()
        self._next = self._maker.submit(self._make)
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._maker.shutdown()


MakeScene = Callable[[Kind], Scene]
Undisturbed = Callable[[Kind], dict[str, Any]]


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
def make_bucket() -> Iterator[Callable[[str], dict[str, Any]]]:
    """Make buckets, named like databases, on an S3 server of this session; returns what s3fs needs to reach them."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    options = {
        "key": "key",
        "secret": "secret",
        "client_kwargs": {"region_name": "eu-west-1"},
        "endpoint_url": endpoint,
    }

    def make(url: str) -> dict[str, Any]:
        s3fs.S3FileSystem(**options, skip_instance_cache=True).mkdir(url.rsplit("/", 1)[1].replace("_", "-"))
        return options

    yield make
    server.stop()


@pytest.fixture(scope="session")
def new_scene(seeded_server: EmbeddedServer, scene_homes: Any, request: pytest.FixtureRequest) -> Iterator[MakeScene]:
    """Make a scene with a database of its own; the caller drops it."""
    with Databases(seeded_server) as databases:

        def make(kind: Kind) -> Scene:
            database = databases.take()
            url = seeded_server.url(database)
            bucket = request.getfixturevalue("make_bucket")(url) if kind.is_in_bucket else {}
            return Scene(kind, url, seeded_server.admin_url(database), *scene_homes(), bucket)

        yield make


@pytest.fixture
def make_scene(new_scene: MakeScene, seeded_server: EmbeddedServer) -> Iterator[MakeScene]:
    """Make scenes that go with the test."""
    scenes: list[Scene] = []

    def make(kind: Kind) -> Scene:
        scenes.append(new_scene(kind))
        return scenes[-1]

    yield make
    for scene in scenes:
        seeded_server.drop_database(scene.database)
        shutil.rmtree(scene.home)
        scene.clean_up()


@pytest.fixture(scope="session")
def undisturbed(new_scene: MakeScene) -> Undisturbed:
    """Return what one import that nothing disturbs leaves behind, for each kind of file."""
    results: dict[Kind, dict[str, Any]] = {}

    def find(kind: Kind) -> dict[str, Any]:
        if kind not in results:
            scene = new_scene(kind)
            ended = children.run(scene.work())
            assert ended.code == 0, ended.output
            results[kind] = scene.left_behind()
        return results[kind]

    return find
