"""Customers that several write at once: files, and other systems beside them. Source: CU-03, X-14."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from include.importer import import_file
from include.ledger.jobs import JobCounts, JobResult
from include.runtime import Runtime
from include.stages import loading
from tests.integration import customer_oracle as oracle
from tests.integration.customer_oracle import Import
from tests.integration.customers.scenes import Scene, as_text, dedented, parse, rejected_by
from tests.integration.customers.test_customer_properties import neighbourhoods, written

pytestmark = pytest.mark.integration

PATIENCE_SECONDS = 60


class Running:
    """An import in a thread of its own."""

    def __init__(self, scene: Scene, text: str, **settings: Any) -> None:
        self.text = text
        self.result: JobResult | None = None
        self.error: Exception | None = None
        path = scene.site.drop("customers", f"{time.monotonic_ns()}.csv", text)
        request = scene.site.request("customers", path, **settings)
        self._thread = threading.Thread(target=self._run, args=(scene, request))
        self._thread.start()

    def _run(self, scene: Scene, request: Any) -> None:
        try:
            self.result = import_file(scene.site.runtime, request)
        except Exception as error:
            self.error = error

    def end(self) -> JobResult:
        """Wait for the end and return the result."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the import does not end"
        assert self.error is None, self.error
        assert self.result is not None
        assert self.result.state.startswith("completed"), self.result
        return self.result


def assert_one_after_the_other(scene: Scene, before: oracle.Warehouse, *imports: Running) -> None:
    """Compare what imports have left with what they leave when each begins after the one that loaded before it."""
    jobs = [(running, scene.site.job(running.end())) for running in imports]
    warehouse = before
    for running, job in sorted(jobs, key=lambda pair: pair[1]["loaded_at"]):
        oracle_job = Import(job["id"], job["launched_at"], scene.project, action=job["action"])
        outcome = oracle.import_rows(warehouse, oracle.read_rows(running.text, oracle_job), oracle_job)
        warehouse = outcome.warehouse
        assert rejected_by(scene.site, job["id"]) == outcome.rejects
        counts = {name: job[f"rows_{name}"] for name in ("read", *OUTCOMES) if job[f"rows_{name}"]}
        assert counts == outcome.counts()
    stored = scene.read()
    for name in ("customers", "segments", "members", "actions", "changes"):
        assert getattr(stored, name) == getattr(warehouse, name), name


OUTCOMES = ("inserted", "updated", "unchanged", "not_found", "rejected")


@pytest.mark.parametrize("seed", range(12))
def test_two_files_on_the_same_customers_end_as_one_after_the_other(
    scene: Scene, seed: int, monkeypatch: pytest.MonkeyPatch
):
    """Both take the same identifiers about, in different orders; one waits for the other, and none has to repeat."""
    attempts: list[int] = []

    def load_once(runtime: Runtime, job_id: int, attempt: int) -> JobCounts:
        attempts.append(attempt)
        return load(runtime, job_id, attempt)

    load = loading._load_once
    monkeypatch.setattr(loading, "_load_once", load_once)
    before, rows = neighbourhoods(seed, 12)
    scene.add(before)
    state = scene.read()
    chance = random.Random(seed)
    halves = [chance.sample(rows, len(rows) * 2 // 3) for _ in range(2)]
    running = [Running(scene, written(half), action="add_and_edit") for half in halves]
    assert_one_after_the_other(scene, state, *running)
    assert attempts == [1, 1]


def test_three_files_that_each_create_the_same_customers_create_them_once(scene: Scene):
    rows = [f"c{number}@x.com,{number}" for number in range(800)]
    texts = []
    for name in ("Ann", "Bob", "Cem"):
        random.Random(name).shuffle(rows)
        texts.append("\n".join(["Email,ExternalIdentityPos,FirstName", *(f"{row},{name}" for row in rows), ""]))
    running = [Running(scene, text, action="add_and_edit") for text in texts]
    results = [import_run.end() for import_run in running]
    assert sorted(result.rows.inserted for result in results) == [0, 0, 800]
    assert sorted(result.rows.updated for result in results) == [0, 800, 800]
    assert_one_after_the_other(scene, oracle.Warehouse(segments={"vip-2024": True}), *running)


@contextmanager
def other_system(scene: Scene) -> Iterator[sa.Connection]:
    """A session that has something open; it must be committed by the caller."""
    with scene.site.warehouse.owner.connect() as connection:
        yield connection
        connection.rollback()


def wait_until_blocked(scene: Scene) -> None:
    """Wait until a session of this database waits for a lock."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while scene.site.query(waiting) == [(0,)]:
        assert time.monotonic() < deadline, "nothing waits for a lock"
        time.sleep(0.02)


def while_open(scene: Scene, statements: str, text: str, *, is_kept: bool = True, **settings: Any) -> JobResult:
    """Import a file while another session has done something that is committed, or not, only when the import waits."""
    with other_system(scene) as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(sa.text(statement))
        running = Running(scene, dedented(text), **({"action": "add_and_edit", "force": True} | settings))
        try:
            wait_until_blocked(scene)
        finally:
            connection.commit() if is_kept else connection.rollback()
        return running.end()


def customers(scene: Scene, result: JobResult) -> dict[str, dict[str, str]]:
    """Return all customers as text."""
    keys = scene.keys(result.job)
    return {keys[key]: as_text(customer) for key, customer in scene.read().customers.items()}


FILE = """
    Email,FirstName,ExternalIdentityWebsite
    ann@x.com,Anna,17
"""


def test_what_another_system_writes_meanwhile_is_kept(scene: Scene):
    scene.add("1 email=ann@x.com first_name=Ann FavoriteColor=red website=17")
    result = while_open(
        scene,
        """UPDATE loyalty.customer SET area = 'Rome', custom_fields = '{"FavoriteColor": "blue", "Visits": 1}'""",
        FILE,
    )
    assert result.rows.updated == 1
    assert customers(scene, result) == parse(
        "1 email=ann@x.com first_name=Anna website=17 area=Rome FavoriteColor=blue Visits=1"
    )


def test_a_value_that_another_system_writes_meanwhile_is_the_old_value_of_the_change(scene: Scene):
    scene.add("1 email=ann@x.com first_name=Ann website=17")
    result = while_open(scene, "UPDATE loyalty.customer SET first_name = 'Zed'", FILE)
    assert result.rows.updated == 1
    (_, fields), *_ = scene.read().changes.values()
    assert fields == {"first_name": ("Zed", "Anna")}


def test_a_value_that_another_system_has_written_already_is_unchanged(scene: Scene):
    scene.add("1 email=ann@x.com first_name=Ann website=17")
    result = while_open(scene, "UPDATE loyalty.customer SET first_name = 'Anna'", FILE)
    assert (result.rows.updated, result.rows.unchanged) == (0, 1)
    assert scene.read().changes == {}


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "taken back"])
@pytest.mark.parametrize(
    "statements",
    [
        "INSERT INTO loyalty.customer (email) VALUES ('Ann@x.com')",
        """
        INSERT INTO loyalty.customer (email) VALUES ('ANN@x.com');
        INSERT INTO loyalty.customer_external_id (system, value, customer_id)
        SELECT 'website', '17', max(id) FROM loyalty.customer
        """,
    ],
    ids=["by e-mail", "by e-mail and external identifier"],
)
def test_a_customer_whom_another_system_creates_meanwhile_is_found(scene: Scene, statements: str, is_kept: bool):
    result = while_open(scene, statements, FILE, is_kept=is_kept)
    assert (result.rows.inserted, result.rows.updated) == ((0, 1) if is_kept else (1, 0))
    stored_customers = customers(scene, result)
    (values,) = stored_customers.values()
    assert values | {"email": values["email"].lower()} == {"email": "ann@x.com", "first_name": "Anna", "website": "17"}


def test_a_customer_who_is_erased_meanwhile_is_a_new_one(scene: Scene):
    scene.add("1 email=ann@x.com first_name=Ann website=17 Acme=yes")
    result = while_open(scene, "DELETE FROM loyalty.customer", FILE)
    assert result.rows.inserted == 1
    assert customers(scene, result) == parse("+2 email=ann@x.com first_name=Anna website=17")


def test_an_identifier_that_moves_meanwhile_is_not_taken_back(scene: Scene):
    """The customer keeps the other system's e-mail; the file's row is another person by then."""
    scene.add("1 email=ann@x.com first_name=Ann")
    result = while_open(
        scene,
        "UPDATE loyalty.customer SET email = 'moved@x.com'",
        """
        Email,FirstName
        ann@x.com,Anna
        """,
    )
    assert customers(scene, result) == parse(
        """
        1 email=moved@x.com first_name=Ann
        +2 email=ann@x.com first_name=Anna
        """
    )


def test_an_external_identifier_that_moves_meanwhile_is_not_taken_back(scene: Scene):
    scene.add("1 website=17 first_name=Ann")
    result = while_open(
        scene,
        """
        SELECT id FROM loyalty.customer FOR UPDATE;
        UPDATE loyalty.customer_external_id SET value = '18'
        """,
        """
        ExternalIdentityWebsite,FirstName
        17,Anna
        """,
    )
    assert customers(scene, result) == parse(
        """
        1 website=18 first_name=Ann
        +2 website=17 first_name=Anna
        """
    )


def at_random(seed: int) -> Callable[[], float]:
    """Return small pauses."""
    chance = random.Random(seed)
    return lambda: chance.random() / 200


@pytest.mark.parametrize("seed", range(3))
def test_imports_beside_a_busy_system_neither_fail_nor_hang(scene: Scene, seed: int):
    """Other writers lock customers one by one in any order; the importer gives way and comes again."""
    scene.add("\n".join(f"{n} email=c{n}@x.com website={n}" for n in range(1, 41)))
    stop = threading.Event()
    errors: list[Exception] = []

    def write(number: int) -> None:
        chance, pause = random.Random(f"{seed}{number}"), at_random(number)
        while not stop.is_set():
            try:
                with scene.site.runtime.engine.begin() as connection:
                    for _ in range(2):
                        connection.execute(
                            sa.text("UPDATE loyalty.customer SET area = :area WHERE email = :email"),
                            {"area": f"{chance.random()}", "email": f"c{chance.randrange(1, 41)}@x.com"},
                        )
                        time.sleep(pause())
            except sa.exc.OperationalError as error:  # two of the writers meet: they can't help it
                if "deadlock" not in str(error):
                    errors.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        for round_ in range(4):
            rows = [f"C{n}@x.com,{n},{round_}" for n in range(1, 41)]
            random.Random(seed * 10 + round_).shuffle(rows)
            text = "\n".join(["Email,ExternalIdentityWebsite,FirstName", *rows, ""])
            results = [
                running.end() for running in [Running(scene, text, action="add_and_edit", force=True) for _ in "ab"]
            ]
            assert sorted((result.rows.updated, result.rows.unchanged) for result in results) == [(0, 40), (40, 0)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert errors == []
    assert scene.site.query("SELECT count(DISTINCT first_name), count(area) > 0 FROM loyalty.customer") == [(1, True)]
