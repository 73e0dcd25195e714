"""A worker killed, Redis restarted, a store that fails: each import ends right, by its own retries. Source: X-14."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from include.import_types import IMPORT_TYPES
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.end_to_end.composition.reference import Reference, assert_same_results
from tests.end_to_end.composition.stack import WORKER_CONCURRENCY, WORKERS, Composition
from tests.end_to_end.composition.storage import FAULTS
from tests.end_to_end.imports import STAGES, Imports, card_numbers, cards, pools, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.faults]

SMALLEST_CHUNK_BYTES = 64 << 10
CHUNK_BYTES = 10 << 20
"""Read in three pieces: blocks of 4 MiB."""
CHUNKS = 4
SLOTS = WORKERS * WORKER_CONCURRENCY
SHARE = 0.3
ROWS = 300


@pytest.fixture(scope="module")
def pool(imports: Imports, reference: Reference) -> str:
    """A pool that is there already, here and there."""
    content = pools("steady")
    imports.drop("gift_card_pools", "steady.csv", content)
    assert reference.load("gift_card_pools", "steady.csv", content) == "completed"
    assert imports.wait_for_job("steady.csv")["state"] == "completed"
    return "steady"


def with_reject(content: bytes, series: int) -> bytes:
    """Add a card that no pool takes."""
    return content + f"60{series:06d}99999999,nowhere,,1\n".encode()


@pytest.fixture(scope="module", autouse=True)
def usual_chunks(imports: Imports) -> None:
    """Define the Variable, with the size that chunks have without it."""
    imports.api.post("/api/v2/variables", {"key": "chunk_bytes", "value": str(64 << 20)})


@contextmanager
def chunks_of(imports: Imports, size: int) -> Iterator[None]:
    """Let chunks be so small that a file for tests has several."""
    path = "/api/v2/variables/chunk_bytes"
    imports.api.patch(path, {"key": "chunk_bytes", "value": str(size)})
    yield
    imports.api.patch(path, {"key": "chunk_bytes", "value": str(64 << 20)})


def chunks(imports: Imports, name: str) -> list[dict[str, Any]]:
    """Return the tasks of a file's chunks."""
    jobs = imports.jobs(name)
    task_instances = imports.task_instances(jobs[0]) if jobs else []
    return [task for task in task_instances if task["task_id"] == "validate_chunk"]


def wide(content: bytes) -> bytes:
    """Add a column that nobody asked for and that makes long lines."""
    header, *rows = content.decode().splitlines()
    return "\n".join([f"{header},remark", *(f"{row},{'x' * 16_000}" for row in rows), ""]).encode()


def test_the_chunk_of_a_killed_worker_is_repeated_alone_by_the_other(
    composition: Composition, imports: Imports, reference: Reference, pool: str
) -> None:
    line = len(wide(cards(700, 2, pool))) - len(wide(cards(700, 1, pool)))
    rows = CHUNK_BYTES * CHUNKS // line - 100
    content = wide(with_reject(cards(700, rows, pool), 700))
    third_block = CHUNK_BYTES + 2 * (4 << 20)  # of the second chunk; the plan is read from 1 MiB on in pieces of 8
    around = range(third_block - (64 << 10), third_block + (64 << 10))

    def only_one_is_left() -> dict[str, Any] | None:
        states = {task["map_index"]: task for task in chunks(imports, "killed.csv")}
        running = [task for task in states.values() if task["state"] == "running"]
        is_held = len(states) == CHUNKS and sum(task["state"] == "success" for task in states.values()) == CHUNKS - 1
        return running[0] if is_held and running and running[0]["pid"] else None

    with chunks_of(imports, CHUNK_BYTES), composition.storage.holding("killed.csv", around) as has_come:
        imports.drop("gift_cards", "killed.csv", content)
        assert has_come.wait(60), "nobody has read a chunk"
        at_work = wait_for(only_one_is_left, 60, "the other chunks to be done")
        killed = composition.worker_of(at_work["pid"])
        killed.kill()
    try:
        assert reference.load("gift_cards", "killed.csv", content, chunk_bytes=CHUNK_BYTES) == "completed_with_rejects"
        job = imports.wait_for_job("killed.csv", 150)
    finally:
        killed.start()  # as docker does
    assert imports.rows(job) == {"read": rows + 1, "inserted": rows, "rejected": 1}
    assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    tries = {task["map_index"]: task["try_number"] for task in chunks(imports, "killed.csv")}
    assert tries == dict.fromkeys(range(CHUNKS), 1) | {at_work["map_index"]: 2}
    assert at_work["map_index"] == 1
    assert_same_results(imports, reference)


def test_a_small_file_goes_before_the_further_chunks_of_a_big_one(
    composition: Composition, imports: Imports, reference: Reference, pool: str
) -> None:
    """All slots are taken by the big file when the small one comes; what waits for a slot waits for its turn."""
    rows_of_chunk, rows = 5, 200  # a chunk ends with the row that fills it
    big, small = wide(cards(740, rows, pool)), cards(741, 10, pool)
    with chunks_of(imports, SMALLEST_CHUNK_BYTES):
        imports.drop("gift_cards", "big.csv", big)
        wait_for(lambda: any(task["state"] == "running" for task in chunks(imports, "big.csv")) or None, 60, "a chunk")
        imports.drop("gift_cards", "small.csv", small)
        for name, content in (("big.csv", big), ("small.csv", small)):
            assert reference.load("gift_cards", name, content, chunk_bytes=SMALLEST_CHUNK_BYTES) == "completed"
            assert imports.wait_for_job(name, 240)["state"] == "completed"
    (of_small,) = chunks(imports, "small.csv")
    began = [task["start_date"] for task in chunks(imports, "big.csv")]
    assert len(began) == rows // rows_of_chunk
    assert sum(start > of_small["start_date"] for start in began) >= SLOTS, (of_small["start_date"], sorted(began))
    assert_same_results(imports, reference)


@contextmanager
def chunks_locked(url: str) -> Iterator[sa.Connection]:
    """Let everyone wait who plans or validates chunks."""
    engine = create_warehouse_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE ledger.import_chunk IN SHARE MODE"))
        yield connection
    engine.dispose()


@pytest.mark.parametrize("end", ["restarted", "killed"])
def test_tasks_that_run_or_wait_while_redis_is_away_are_all_done_once(
    end: str, composition: Composition, imports: Imports, reference: Reference, pool: str
) -> None:
    series = range(710, 717) if end == "restarted" else range(720, 727)
    files = {f"{end}-{number}.csv": with_reject(cards(number, ROWS, pool), number) for number in series}
    waiting = "SELECT FROM pg_locks WHERE relation = 'ledger.import_chunk'::regclass AND NOT granted"
    server = composition.containers["redis"]
    with chunks_locked(composition.url_for(Role.OWNER)):
        for name, content in files.items():
            imports.drop("gift_cards", name, content)
        wait_for(lambda: len(imports.query(waiting)) == SLOTS or None, 90, "every slot to be taken")
        wait_for(lambda: composition.queued_messages() or None, 30, "a task that waits for a slot")
        if end == "restarted":
            server.end()
        else:
            server.kill()
        time.sleep(3)
        server.start()
        composition.wait_until_healthy("redis")
        time.sleep(1)
    for name, content in files.items():
        assert reference.load("gift_cards", name, content) == "completed_with_rejects"
    for name, number in zip(files, series, strict=True):
        job = imports.wait_for_job(name, 120)
        assert imports.rows(job) == {"read": ROWS + 1, "inserted": ROWS, "rejected": 1}
        assert imports.loaded(*card_numbers(number, ROWS)) == card_numbers(number, ROWS)
        assert imports.tasks(job) == dict.fromkeys(STAGES, "success")
    assert_same_results(imports, reference)


def files_of_every_type(tag: str, series: int) -> dict[str, tuple[str, bytes]]:
    """Return a file of each import type, by type, in the order of their references; three have a bad row."""
    codes = "".join(f"{tag}-{number:04d},{tag}_codes\n" for number in range(ROWS))
    customers = "".join(
        f"{tag}-{number},{tag}.{number}@example.com,Stone,{number % 28 + 1:02d}.02.1980\n" for number in range(ROWS)
    )
    texts = {
        "gift_card_pools": pools(f"{tag}_cards").decode(),
        "gift_cards": with_reject(cards(series, ROWS, f"{tag}_cards"), series).decode(),
        "promo_code_pools": "system_id,name,description,fill_method,launch\n"
        f"{tag}_codes,Codes of {tag},By upload,upload,yes\n",
        "promo_codes": f"Code,Promo code pool\n{codes}{tag}-9999,nowhere\n",
        "customers": f"ExternalIdentityWebsite,Email,LastName,BirthDate\n{customers}{tag}-x,{tag}.x@,Stone,1.1.1980\n",
    }
    texts = {import_type: declared.sample.read_text() for import_type, declared in IMPORT_TYPES.items()} | texts
    return {import_type: (f"{tag}_{import_type}.csv", text.encode()) for import_type, text in texts.items()}


def test_files_of_every_type_get_through_a_store_that_fails_three_calls_in_ten(
    composition: Composition, imports: Imports, reference: Reference
) -> None:
    """Source: X-14."""
    files = files_of_every_type("faulty", 730)
    for import_type, (name, content) in files.items():
        assert reference.load(import_type, name, content).startswith("completed")
    with composition.storage.failing(SHARE) as calls:
        for import_type, (name, content) in files.items():
            imports.drop(import_type, name, content)
        jobs = {name: imports.wait_for_job(name, 240) for name, _ in files.values()}
    failed = sum(calls[fault] for fault in FAULTS)
    print(f"\nof {sum(calls.values())} calls {failed} ended badly: {dict(calls)}")
    assert all(calls[fault] for fault in FAULTS), calls
    assert SHARE * 0.7 < failed / sum(calls.values()) < SHARE * 1.3
    for name, job in jobs.items():
        assert imports.tasks(job) == dict.fromkeys(STAGES, "success"), name
        assert imports.run(job)["state"] == "success"
    assert_same_results(imports, reference)
