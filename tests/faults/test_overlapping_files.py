"""Two files that share card numbers, imported at once: each card is loaded once. Source: X-14, X-17, GC-02."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults import children
from tests.faults.children import Child
from tests.faults.conftest import MakeScene
from tests.faults.scenes import POOLS_HEADER, Kind, Scene
from tests.faults.waiting import wait_until_blocked

pytestmark = pytest.mark.faults

CARDS = Kind("cards", "gift_cards", is_dropped=True)
NUMBERS = {"first.csv": range(1000, 1200), "second.csv": range(1100, 1300)}
"""Numbers 1100 to 1199 stand in both files, with other balances from 1150 on."""
SHARED, DIFFERENT = range(1100, 1200), range(1150, 1200)


def balance(name: str, number: int) -> int:
    return 10 if name == "first.csv" or number not in DIFFERENT else 20


def content(name: str) -> bytes:
    rows = [f"{number},gifts,{balance(name, number)}" for number in NUMBERS[name]]
    return "\n".join(["card number,pool system name,card balance", *rows, ""]).encode()


@pytest.fixture
def scene(make_scene: MakeScene) -> Scene:
    scene = make_scene(CARDS)
    for name in NUMBERS:
        scene.put(name, content(name))
    return scene


def start(scene: Scene, name: str, stop_at: str | None = None) -> Child:
    file = str(scene.areas["landing"] / "gift_cards" / name)
    return Child(scene.work(stop_at, file=file, run_key=f"import/{name}", log=str(scene.home / f"{name}.txt")))


def assert_loaded(scene: Scene, winner: str, loser: str) -> None:
    """Check that every card is there once, from the winner where both files have it, and what was said of the loser."""
    left = scene.left_behind()
    jobs = {job["job"]["file_name"]: job["job"] for job in left["jobs"]}
    expected = {str(number): (balance(loser, number), jobs[loser]["id"]) for number in NUMBERS[loser]}
    expected |= {str(number): (balance(winner, number), jobs[winner]["id"]) for number in NUMBERS[winner]}
    cards = {card["card_number"]: (card["balance"], card["import_job_id"]) for card in left["cards"]}
    assert {number: card for number, card in cards.items() if len(number) == 4} == expected
    assert counts(jobs[winner]) == (200, 200, 0, 0)
    assert counts(jobs[loser]) == (200, 100, 50, 50)
    first_line = NUMBERS[loser].start - 2
    assert [(reject["job_id"], reject["line"], reject["rules"]) for reject in left["rejects"]] == [
        (jobs[loser]["id"], number - first_line, "card_number.card_exists") for number in DIFFERENT
    ]
    assert left["staging"] == []


def counts(job: dict[str, Any]) -> tuple[int, ...]:
    return tuple(job[f"rows_{outcome}"] for outcome in ("read", "inserted", "unchanged", "rejected"))


ORDERS = pytest.mark.parametrize(("winner", "loser"), [("first.csv", "second.csv"), ("second.csv", "first.csv")])


@ORDERS
def test_the_file_that_loads_first_has_the_cards_and_the_other_reports_it(scene: Scene, winner: str, loser: str):
    ahead = start(scene, winner, "rows inserted, not yet committed")
    ahead.wait_until_reached()
    behind = start(scene, loser)
    wait_until_blocked(scene, behind)
    ahead.let_go()
    assert [ahead.end().code, behind.end().code] == [0, 0]
    assert_loaded(scene, winner, loser)


@ORDERS
def test_the_file_that_waits_has_the_cards_when_the_first_is_killed_in_the_load(scene: Scene, winner: str, loser: str):
    killed = start(scene, loser, "rows inserted, not yet committed")
    killed.wait_until_reached()
    waiting = start(scene, winner)
    wait_until_blocked(scene, waiting)
    killed.kill()
    assert waiting.end().code == 0
    assert start(scene, loser).end().code == 0
    assert_loaded(scene, winner, loser)


def test_whichever_file_wins_each_card_is_loaded_once(scene: Scene):
    both = [start(scene, name, "before the load's statement") for name in NUMBERS]
    for child in both:
        child.wait_until_reached()
    for child in both:
        child.let_go()
    assert [child.end().code for child in both] == [0, 0]
    with scene.transaction() as connection:
        winner = connection.exec_driver_sql(
            "SELECT file_name FROM ledger.import_job WHERE state = 'completed'"
        ).scalar_one()
    assert_loaded(scene, winner, next(name for name in NUMBERS if name != winner))


@ORDERS
def test_two_files_that_share_pools_make_one_pool_and_one_product_each(make_scene: MakeScene, winner: str, loser: str):
    scene = make_scene(Kind("pools", "gift_card_pools", is_dropped=True))
    header = POOLS_HEADER.removesuffix(",card_value,expiration_type,lifetime")
    for name, numbers in NUMBERS.items():
        rows = [f"P,p{n},true,{'yes' if balance(name, n) == 10 else 'no'},product-{n},pos,Demo,false" for n in numbers]
        scene.put(name, "\n".join([header, *rows]).encode())

    def begin(name: str, stop_at: str | None = None) -> Child:
        file = str(scene.areas["landing"] / "gift_card_pools" / name)
        return children.Child(scene.work(stop_at, file=file, run_key=name, log=str(scene.home / f"{name}.txt")))

    ahead = begin(winner, "rows inserted, not yet committed")
    ahead.wait_until_reached()
    behind = begin(loser)
    wait_until_blocked(scene, behind)
    ahead.let_go()
    assert [ahead.end().code, behind.end().code] == [0, 0]
    left = scene.left_behind()
    jobs = {job["job"]["file_name"]: job["job"] for job in left["jobs"]}
    assert [counts(jobs[winner]), counts(jobs[loser])] == [(200, 200, 0, 0), (200, 100, 50, 50)]
    assert {reject["rules"] for reject in left["rejects"]} == {"system_name.pool_locked"}
    products = [
        product["pool_system_name"] for product in left["products"] if product["external_id"].startswith("product-")
    ]
    assert sorted(products) == [f"p{number}" for number in range(1000, 1300)]


def customers_of(name: str, first_name: str) -> bytes:
    """Return customers under the numbers of a file, each with a website's number and a name."""
    rows = [f"w{number},c{number}@x.com,{first_name}" for number in NUMBERS[name]]
    return "\n".join(["ExternalIdentityWebsite,Email,FirstName", *rows, ""]).encode()


@ORDERS
@pytest.mark.parametrize("is_killed", [False, True], ids=["first commits", "first is killed and run again"])
def test_customers_of_two_files_are_created_once_and_edited_by_the_file_that_loads_last(
    make_scene: MakeScene, winner: str, loser: str, is_killed: bool
):
    """Loads of customers go one after the other, and a killed one holds nobody up. Source: CU-01, X-14."""
    scene = make_scene(Kind("customers", "customers", is_dropped=True))
    for name in NUMBERS:
        scene.put(name, customers_of(name, name))

    def begin(name: str, stop_at: str | None = None) -> Child:
        file = str(scene.areas["landing"] / "customers" / name)
        return Child(scene.work(stop_at, file=file, run_key=name, log=str(scene.home / f"{name}.txt")))

    ahead = begin(loser if is_killed else winner, "rows inserted, not yet committed")
    ahead.wait_until_reached()
    behind = begin(winner if is_killed else loser)
    wait_until_blocked(scene, behind)
    if is_killed:
        ahead.kill()
        assert behind.end().code == 0
        assert begin(loser).end().code == 0
    else:
        ahead.let_go()
        assert [ahead.end().code, behind.end().code] == [0, 0]
    left = scene.left_behind()
    jobs = {job["job"]["file_name"]: job["job"] for job in left["jobs"]}
    row_counts = {
        name: [jobs[name][f"rows_{outcome}"] for outcome in ("inserted", "updated", "rejected")] for name in NUMBERS
    }
    assert row_counts == {winner: [200, 0, 0], loser: [100, 100, 0]}
    names = {row["customer"]["email"]: row["customer"]["first_name"] for row in left["customers"]}
    expected = {f"c{number}@x.com": name for name in (winner, loser) for number in NUMBERS[name]}
    assert {email: name for email, name in names.items() if name != "Before"} == expected
    assert left["staging"] == []
