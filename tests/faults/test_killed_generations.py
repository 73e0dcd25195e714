"""A generation whose process is killed writes nothing; repeated, it adds the quantity once. Source: PG-03, PG-04."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from include.promo_codes.generation import run_generation
from include.promo_codes.top_up import top_up_pool
from tests.faults.generating import POINTS, run_command
from tests.integration.promo_codes import Shop, make_shop

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.faults

PROJECT = Path(__file__).resolve().parents[2]
QUANTITY = 4_500
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def shop(warehouse: Warehouse) -> Shop:
    """A pool with 100 codes of an earlier generation."""
    shop = make_shop(warehouse)
    shop.add_format("four", "0123456789", 4)
    shop.add_pool("pool", format="four")
    shop.generate("pool", 100, auto_generate=True)
    return shop


@pytest.fixture
def start(warehouse: Warehouse) -> Iterator[Start]:
    """Return a function that starts a process and waits until it is at a point of a generation."""
    started: list[subprocess.Popen[str]] = []

    def begin(number: int, point: str, what: str = "generation") -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.faults.generating", warehouse.url, what, str(number), point]
        process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        if lines != ["reached\n"]:
            raise AssertionError(f"The process never came to {point!r}:\n{lines[0]}{process.stdout.read()}")
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def left(shop: Shop) -> tuple:
    """Return everything that a generation writes, without times."""
    state = "SELECT state, generated, added, started_at IS NOT NULL FROM ledger.promo_code_generation ORDER BY id"
    pool = "SELECT format, quantity, auto_generate FROM loyalty.promo_code_pool WHERE system_id = 'pool'"
    return shop.codes("pool"), shop.format_row("four"), shop.available("four"), shop.query(pool), shop.query(state)


@pytest.mark.parametrize("uploaded", [0, 200], ids=["codes of its own alone", "uploaded codes to be skipped"])
@pytest.mark.parametrize("point", POINTS)
def test_pg03_a_killed_generation_has_written_nothing_and_repeated_adds_the_quantity_once(
    shop: Shop, start: Start, point: str, uploaded: int
):
    if uploaded:
        free = sorted({f"{number:04}" for number in range(10_000)} - set(shop.codes()))
        shop.add_pool("uploads")
        shop.upload("uploads", *free[:uploaded])
    number = shop.open("pool", QUANTITY, auto_generate=False)
    codes, progress, available, settings, [earlier, _] = left(shop)
    start(number, point).kill()
    wait_until_rolled_back(shop)
    assert left(shop) == (codes, progress, available, settings, [earlier, ("running", None, None, True)])

    for _ in range(2):
        result = run_generation(shop.runtime, number)
        assert (result.state, result.added) == ("completed", QUANTITY)
    codes_after = shop.codes("pool")
    assert (len(codes_after), len(set(codes_after)), set(codes) <= set(codes_after)) == (
        100 + QUANTITY,
        100 + QUANTITY,
        True,
    )
    assert shop.available("four") == 10_000 - 100 - uploaded - QUANTITY
    assert shop.format_row("four")[1] == 100 + QUANTITY
    assert (result.generated == QUANTITY) == (uploaded == 0)
    assert left(shop)[3:] == (
        [("four", QUANTITY, False)],
        [earlier, ("completed", result.generated, QUANTITY, True)],
    )


@pytest.mark.parametrize("point", ["between two batches", "all written, not yet committed"])
def test_pg03_a_process_that_waits_for_another_takes_over_when_that_is_killed(shop: Shop, start: Start, point: str):
    number = shop.open("pool", QUANTITY)
    first = start(number, point)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(run_generation, shop.runtime, number)
        wait_until(shop, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                         "AND wait_event_type = 'Lock'", 1)  # fmt: skip
        first.kill()
        assert second.result(timeout=60).added == QUANTITY
    assert len(shop.codes("pool")) == 100 + QUANTITY


def shown(shop: Shop) -> list[str]:
    """Return the states that the pool's history shows."""
    return [state for (state,) in shop.query("SELECT state FROM loyalty.promo_code_pool_history ORDER BY number")]


def test_pg04_a_killed_command_is_shown_as_failed_and_continued_by_the_same_command(shop: Shop, start: Start):
    process = start(QUANTITY, "between two batches", "command")
    assert shown(shop) == ["completed", "running"]
    process.kill()
    wait_until_rolled_back(shop)
    assert shown(shop) == ["completed", "failed"]
    continued: list[int] = []
    results = [run_command(shop.runtime, QUANTITY, continued.append) for _ in range(2)]
    assert [(result.added, result.id in continued) for result in results] == [(QUANTITY, True), (QUANTITY, False)]
    assert (shown(shop), len(shop.codes())) == (["completed"] * 3, 100 + 2 * QUANTITY)


@pytest.mark.parametrize("point", ["in the midst of a COPY", "between two batches", "codes written, counter not"])
def test_pg04_a_killed_top_up_is_shown_as_failed_and_the_next_one_adds_the_batch_once(
    shop: Shop, start: Start, point: str
):
    launch = (
        "UPDATE loyalty.promo_code_pool SET description = 'd', state = 'active', top_up_threshold = 200, quantity = "
    )
    shop.query(f"{launch}:codes", codes=QUANTITY)
    process = start(0, point, "top-up")
    assert shown(shop) == ["completed", "running"]
    process.kill()
    wait_until_rolled_back(shop)
    assert (shown(shop), len(shop.codes())) == (["completed", "failed"], 100)
    assert [top_up_pool(shop.runtime, "pool").added for _ in range(2)] == [QUANTITY, 0]
    assert (shown(shop), len(shop.codes())) == (["completed", "failed", "completed"], 100 + QUANTITY)


def wait_until_rolled_back(shop: Shop) -> None:
    """The server notices a killed client when it next writes to it."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    shop.runtime.engine.dispose()
    wait_until(shop, others, 0)


def wait_until(shop: Shop, query: str, expected: int) -> None:
    import time

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if shop.query(query) == [(expected,)]:
            return
        time.sleep(0.02)
    raise AssertionError(query)
