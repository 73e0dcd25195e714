"""Several imports at once. Source: X-14, X-17, GC-02, GP-02."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from include.arrivals.landing import Request, take_file
from include.importer import import_file
from include.ledger.jobs import FileTaken, JobResult
from tests.imports import CARD_HEADER, POOL_HEADER, Site, contents, counts, rejected_file, rejects

pytestmark = pytest.mark.integration


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run functions at the same time and return what each returned or raised."""
    outcomes: list[object] = [None] * len(calls)
    barrier = threading.Barrier(len(calls))

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = calls[number]()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def importing(site: Site, import_type: str, *contents: str) -> list[JobResult]:
    requests = [
        site.request(import_type, site.drop(import_type, f"{number}.csv", content))
        for number, content in enumerate(contents)
    ]
    results = at_once(*(lambda request=request: import_file(site.runtime, request) for request in requests))
    assert all(isinstance(result, JobResult) for result in results), results
    return results


def test_two_files_with_overlapping_numbers_load_each_card_once(stocked: Site):
    """The loser's identical rows are unchanged, its other rows are rejected with the reason. Source: GC-02."""
    shared = range(2_000)
    rows = {
        "a": {f"{number}": number % 7 for number in shared} | {f"a{number}": 1 for number in range(500)},
        "b": {f"{number}": number % 7 + (number % 5 == 0) for number in shared}
        | {f"b{number}": 1 for number in range(500)},
    }
    files = []
    for name, numbers in rows.items():
        lines = [f"{number},flexible_gift,{balance}" for number, balance in numbers.items()]
        random.Random(name).shuffle(lines)
        files.append("\n".join([CARD_HEADER, *lines, ""]))
    results = importing(stocked, "gift_cards", *files)

    assert len(stocked.card_numbers()) == 3_000
    of_a, of_b = (
        {number: int(balance) for number, balance in stocked.query(
            "SELECT card_number, balance FROM loyalty.gift_card WHERE import_job_id = :job", job=result.job)}
        for result in results
    )  # fmt: skip
    assert of_a.items() <= rows["a"].items()
    assert of_b.items() <= rows["b"].items()
    differing = sum(number % 5 == 0 for number in shared)
    row_counts = [counts(result) for result in results]
    assert [count["read"] for count in row_counts] == [2_500, 2_500]
    assert sum(count["inserted"] for count in row_counts) == 3_000
    assert sum(count.get("rejected", 0) for count in row_counts) == differing
    assert sum(count.get("unchanged", 0) for count in row_counts) == 2_000 - differing
    rule_names = [rule.rule for result in results for rule in result.rules]
    assert set(rule_names) == {"card_number.card_exists"}


def test_the_same_rows_in_two_files_are_inserted_by_one_and_unchanged_in_the_other(stocked: Site):
    body = "\n".join([CARD_HEADER, *(f"{number},flexible_gift,1" for number in range(3_000)), ""])
    first, second = importing(stocked, "gift_cards", body, body + "\n")
    assert len(stocked.card_numbers()) == 3_000
    inserted = first.rows.inserted, second.rows.inserted
    unchanged = first.rows.unchanged, second.rows.unchanged
    assert (sum(inserted), sum(unchanged)) == (3_000, 3_000)
    assert (first.rows.rejected, second.rows.rejected) == (0, 0)


def test_pool_files_that_cross_end_as_if_one_came_after_the_other(site: Site):
    rows = [f"P{n},p{n},true,true,x{n},website,Acme,false,,," for n in range(30)]
    swapped = [f"P{n},p{n},true,true,x{n},website,{'Demo' if n % 3 == 0 else 'Acme'},false,,," for n in range(30)]
    results = importing(
        site, "gift_card_pools", "\n".join([POOL_HEADER, *rows, ""]), "\n".join([POOL_HEADER, *reversed(swapped), ""])
    )
    row_counts = sorted((counts(result) for result in results), key=lambda count: -count.get("inserted", 0))
    assert row_counts == [{"read": 30, "inserted": 30}, {"read": 30, "unchanged": 20, "rejected": 10}]
    assert site.query("SELECT count(*) FROM loyalty.technical_product") == [(30,)]


def test_two_workers_with_one_request_give_one_job_and_each_row_once(stocked: Site):
    runtime = replace(stocked.runtime, chunk_bytes=2_000)
    rows = [f"{number},{'flexible_gift' if number % 10 else 'nowhere'},1" for number in range(1_000)]
    path = stocked.drop("gift_cards", "cards.csv", "\n".join([CARD_HEADER, *rows, ""]))
    request = stocked.request("gift_cards", path)
    results = at_once(*[lambda: import_file(runtime, request)] * 3)
    assert [result for result in results if not isinstance(result, JobResult)] == []
    first = results[0]
    assert isinstance(first, JobResult)
    assert results == [first] * 3
    assert counts(first) == {"read": 1_000, "inserted": 900, "rejected": 100}
    assert len(rejects(first)) == 100
    assert len(stocked.card_numbers()) == 900
    assert contents(stocked.folder / "work") == {}


def test_of_many_requests_for_one_file_one_takes_it(stocked: Site):
    path = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\n1,flexible_gift,1\n")
    requests: list[Request] = [stocked.request("gift_cards", path) for _ in range(6)]
    outcomes = at_once(*(lambda request=request: take_file(stocked.runtime, request) for request in requests))
    taken = [outcome for outcome in outcomes if not isinstance(outcome, FileTaken)]
    assert len(taken) == 1, outcomes
    assert stocked.query("SELECT count(*) FROM ledger.import_job WHERE import_type = 'gift_cards'") == [(1,)]


def test_corrected_files_of_one_parent_may_be_imported_at_once(stocked: Site):
    rows = [f"{number},nowhere,1" for number in range(400)]
    first = stocked.cards(*rows)
    header, *lines = rejected_file(first).replace(b"nowhere", b"flexible_gift").splitlines(True)
    random.Random(1).shuffle(lines)
    parts = [(header + b"".join(part)).decode() for part in (lines[:250], list(reversed(lines[150:])))]
    results = importing(stocked, "gift_cards", *parts)
    assert sum(result.rows.inserted for result in results) == 400
    assert sum(result.rows.unchanged for result in results) == 100
    assert stocked.query("SELECT count(*) FROM ledger.reject WHERE fixed_by_job_id IS NULL") == [(0,)]
