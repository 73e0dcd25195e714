"""The database ends as in a crash (`pg_ctl stop -m immediate`) while imports are at every point. Source: X-14.

One crash strikes all of them, each in a database of its own; after the restart each is run again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from include.project.loader import load_project
from include.project.sync import sync
from include.warehouse.embedded import EmbeddedServer, PortBusyError
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate
from include.warehouse.roles import Role
from tests.embedded_servers import free_port
from tests.faults import children
from tests.faults.children import Child, Ended
from tests.faults.conftest import Databases, Undisturbed
from tests.faults.kinds import DROPPED_CARDS, DROPPED_POOLS, NAMED_CARDS, NAMED_POOLS
from tests.faults.scenes import Kind, Scene, make_seed

pytestmark = pytest.mark.faults

TEMPLATE = "warehouse_of_crashes"
STAGED = (DROPPED_CARDS, "staged")
"""After this crash the load alone is tried again: nothing but itself can notice that its tables are empty."""
CASES = [
    *(
        (DROPPED_CARDS, point)
        for point in (
            "claimed, not yet brought",
            "brought, not yet committed",
            "taken",
            "planned, not yet committed",
            "half of a COPY",
            "between two chunks",
            "staged",
            "rows inserted, not yet committed",
            "state set, not yet committed",
            "loaded",
            "half of the rejected rows",
            "reports written, not yet committed",
            "archived, not yet committed",
        )
    ),
    (NAMED_CARDS, "rows inserted, not yet committed"),
    (NAMED_POOLS, "staged"),
    (NAMED_POOLS, "rows inserted, not yet committed"),
    (DROPPED_POOLS, "half copied into work"),
    (DROPPED_POOLS, "half copied into the archive"),
]


@dataclass(frozen=True)
class Struck:
    """An import that a crash of the database has struck.

    Args:
        ended: how the import ended that the crash struck.
        while_down: the same import, run while there was no database.
        files: the files when both had ended.
        staged: how many rows the staging tables had after the restart.
        again: the same import, run after the restart.
    """

    scene: Scene
    ended: Ended
    while_down: Ended
    files: dict[str, bytes | None]
    staged: int
    again: Ended


@pytest.fixture(scope="module")
def crashing_server() -> Iterator[EmbeddedServer]:
    """A server that keeps what it has committed, as in production."""
    home = Path(tempfile.mkdtemp(prefix="crashing-"))
    home.chmod(0o711)  # as root the server runs as another user, who has to enter
    server = start(home / "data")
    try:
        server.create_database(TEMPLATE)
        engine = create_warehouse_engine(server.url(TEMPLATE, Role.OWNER))
        migrate(engine)
        with engine.begin() as connection:
            sync(connection, load_project())
        engine.dispose()
        make_seed(server, TEMPLATE)
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


def start(data: Path) -> EmbeddedServer:
    while True:
        server = EmbeddedServer(data, free_port(), settings={"shared_buffers": "128MB"})
        try:
            server.start()
        except PortBusyError:
            continue
        return server


@pytest.fixture(scope="module")
def struck(
    crashing_server: EmbeddedServer, scene_homes: Callable[[], tuple[Path, Path]]
) -> dict[tuple[Kind, str], Struck]:
    """Bring an import to each point, crash the database under all of them, start it, and run them again."""
    scenes: dict[tuple[Kind, str], Scene] = {}
    standing: dict[tuple[Kind, str], Child] = {}
    with Databases(crashing_server) as databases:
        for kind, point in CASES:
            database = databases.take()
            urls = crashing_server.url(database), crashing_server.admin_url(database)
            scenes[kind, point] = Scene(kind, *urls, *scene_homes())
            standing[kind, point] = Child(scenes[kind, point].work(point))
    for child in standing.values():
        child.wait_until_reached()
    crashing_server.stop("immediate")
    for child in standing.values():
        child.let_go()
    ended = {case: child.end() for case, child in standing.items()}
    down = {case: children.run(scene.work(log=str(scene.home / "down.txt"))) for case, scene in scenes.items()}
    files = {case: scene.files() for case, scene in scenes.items()}
    crashing_server.start()
    staged = {case: staged_rows(scene) for case, scene in scenes.items()}
    again = {
        case: children.run(scene.work(log=str(scene.home / "again.txt"), resumed_job=int(case == STAGED)))
        for case, scene in scenes.items()
    }
    return {
        case: Struck(scene, ended[case], down[case], files[case], staged[case], again[case])
        for case, scene in scenes.items()
    }


def staged_rows(scene: Scene) -> int:
    with scene.transaction() as connection:
        tables = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'").scalars()
        return sum(
            connection.exec_driver_sql(f'SELECT count(*) FROM staging."{table}"').scalar_one() for table in tables.all()
        )


EVERYWHERE = pytest.mark.parametrize("case", [pytest.param(case, id=f"{case[0]}-{case[1]}") for case in CASES])
Case = tuple[Kind, str]


@EVERYWHERE
def test_an_import_struck_by_a_crash_and_run_again_ends_like_one_that_nothing_disturbed(
    case: Case, struck: dict[Case, Struck], undisturbed: Undisturbed
):
    assert struck[case].again.code == 0, struck[case].again.output
    assert struck[case].scene.left_behind() == undisturbed(case[0])


@EVERYWHERE
def test_the_import_under_which_the_database_crashes_ends_with_a_sentence(case: Case, struck: dict[Case, Struck]):
    assert_failed_with_a_sentence(struck[case].ended)


@EVERYWHERE
def test_without_a_database_an_import_ends_with_a_sentence_and_the_file_is_there(
    case: Case, struck: dict[Case, Struck]
):
    assert_failed_with_a_sentence(struck[case].while_down)
    whole = [name for name, data in struck[case].files.items() if data == case[0].data]
    areas = {name.split("/")[0] for name in whole}
    if not case[0].is_dropped:
        assert "outside" in areas
    # Beside its copy the dropped file itself is kept in work, until the job is closed.
    copies = {name.split("/")[0] for name in whole if "/taken-" not in name}
    assert len(copies - {"outside"}) <= 1 or case[1] == "half copied into work"
    assert areas


def assert_failed_with_a_sentence(ended: Ended) -> None:
    assert ended.code == 1, ended.output
    assert "The database gave up or could not be reached" in ended.output
    assert "Traceback" not in ended.output
    assert "0000000000" not in ended.output  # no card number


def test_a_crash_empties_the_staging_tables_and_the_load_fills_them_again(struck: dict[Case, Struck]):
    for case in (STAGED, (NAMED_POOLS, "staged")):
        assert struck[case].staged == 0
        with struck[case].scene.transaction() as connection:
            staged = connection.exec_driver_sql("SELECT sum(rows_staged) FROM ledger.import_chunk").scalar_one()
            assert staged > 100
