"""Imports that are killed with SIGKILL and run again end like imports that nothing disturbed. Source: X-14."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults import children
from tests.faults.conftest import MakeScene, Undisturbed
from tests.faults.kinds import (
    CARDS_IN_BUCKET,
    DROPPED_AND_NAMED_CARDS,
    DROPPED_CARDS,
    DROPPED_CUSTOMERS,
    DROPPED_POOLS,
    NAMED_CARDS,
    NAMED_CUSTOMERS,
    NAMED_POOLS,
    REFUSED_FILE,
    REVIEWED_CARDS,
    points_of,
)
from tests.faults.scenes import Kind, Scene
from tests.faults.waiting import wait_until_blocked
from tests.faults.worker import REVIEW_POINTS

pytestmark = pytest.mark.faults

COPYING = ("half copied into work", "copied into work, source not yet deleted", "half copied into the archive")
MAIN_POINTS = (
    "claimed, not yet brought",
    "brought, not yet committed",
    "half of a COPY",
    "staged",
    "rows inserted, not yet committed",
    "loaded",
    "half of the rejected rows",
    "archived, not yet committed",
)
POINTS_IN_BUCKET = (
    "copied into work, source not yet deleted",
    "brought and committed, source not yet deleted",
    "half of the rejected rows",
    "archived, not yet committed",
)
CASES = [
    *((DROPPED_CARDS, point) for point in points_of(DROPPED_CARDS)),
    *((NAMED_CARDS, point) for point in (*COPYING[:2], *MAIN_POINTS)),
    *((DROPPED_POOLS, point) for point in (*COPYING, "brought and committed, source not yet deleted", *MAIN_POINTS)),
    *((NAMED_POOLS, point) for point in ("half of a COPY", "rows inserted, not yet committed", "loaded")),
    *((DROPPED_CUSTOMERS, point) for point in MAIN_POINTS),
    *((NAMED_CUSTOMERS, point) for point in ("state set, not yet committed", "loaded", "half of the rejected rows")),
    *((DROPPED_AND_NAMED_CARDS, point) for point in ("brought, not yet committed", "staged", "loaded")),
    *((CARDS_IN_BUCKET, point) for point in POINTS_IN_BUCKET),
    *((REVIEWED_CARDS, point) for point in REVIEW_POINTS),
    *((REFUSED_FILE, point) for point in ("taken", "reported", "archived, not yet committed", "closed")),
]


def assert_ends_well(scene: Scene, expected: dict[str, Any]) -> None:
    """Run the import again, to its end, and compare all that it leaves."""
    ended = children.run(scene.work())
    assert ended.code == 0, ended.output
    assert scene.left_behind() == expected


@pytest.mark.parametrize(("kind", "point"), [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in CASES])
def test_an_import_killed_at_any_point_and_run_again_ends_like_one_that_nothing_disturbed(
    kind: Kind, point: str, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(kind)
    children.kill_at(scene.work(point))
    assert_ends_well(scene, undisturbed(kind))


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        (DROPPED_POOLS, ("half copied into work", "copied into work, source not yet deleted")),
        (DROPPED_CARDS, ("brought, not yet committed", "planned, not yet committed")),
        (NAMED_CARDS, ("half of a COPY", "rows inserted, not yet committed")),
        (DROPPED_CARDS, ("state set, not yet committed", "state set, not yet committed")),
        (DROPPED_CUSTOMERS, ("rows inserted, not yet committed", "loaded")),
        (DROPPED_CARDS, ("half of the rejected rows", "rejected rows complete, not yet under their name")),
        (DROPPED_POOLS, ("half copied into the archive", "archived, not yet committed")),
    ],
    ids=lambda value: str(value) if isinstance(value, Kind) else " then ".join(value),
)
def test_an_import_killed_twice_ends_like_one_that_nothing_disturbed(
    kind: Kind, points: tuple[str, str], make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(kind)
    for point in points:
        children.kill_at(scene.work(point))
    assert_ends_well(scene, undisturbed(kind))


@pytest.mark.parametrize("kind", [DROPPED_CARDS, DROPPED_POOLS], ids=str)
def test_an_import_killed_at_every_point_in_turn_ends_like_one_that_nothing_disturbed(
    kind: Kind, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(kind)
    for point in points_of(kind):
        children.kill_at(scene.work(point))
    assert scene.left_behind() == undisturbed(kind)


def test_an_import_killed_while_the_server_inserts_its_rows_ends_like_one_that_nothing_disturbed(
    make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(NAMED_CARDS)
    with scene.transaction() as connection:  # another session holds one of the file's card numbers
        connection.exec_driver_sql(
            "INSERT INTO loyalty.gift_card (card_number, pool_system_name, balance, status)"
            " VALUES ('0000000000000200', 'gifts', 10, 'Inactive')"
        )
        child = children.Child(scene.work())
        wait_until_blocked(scene, child)
        child.kill()
        connection.rollback()
    assert_ends_well(scene, undisturbed(NAMED_CARDS))


def test_an_import_killed_while_the_server_writes_its_customers_ends_like_one_that_nothing_disturbed(
    make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(NAMED_CUSTOMERS)
    with scene.transaction() as connection:  # another session is about to create one of the file's customers
        connection.exec_driver_sql("INSERT INTO loyalty.customer (email) VALUES ('C101@x.com')")
        child = children.Child(scene.work())
        wait_until_blocked(scene, child)
        child.kill()
        connection.rollback()
    assert_ends_well(scene, undisturbed(NAMED_CUSTOMERS))


@pytest.mark.parametrize("kind", [NAMED_CARDS, NAMED_POOLS], ids=str)
def test_a_kill_after_the_last_commit_leaves_nothing_to_do_and_the_same_command_inserts_nothing(
    kind: Kind, make_scene: MakeScene, undisturbed: Undisturbed
):
    scene = make_scene(kind)
    children.kill_at(scene.work("closed"))
    expected = undisturbed(kind)
    assert scene.left_behind() == expected
    assert children.run(scene.work()).code == 0
    left = scene.left_behind()
    assert [left[table] for table in ("cards", "pools", "products")] == [
        expected[table] for table in ("cards", "pools", "products")
    ]
    assert left["jobs"][1]["job"]["rows_inserted"] == 0


def test_the_undisturbed_imports_have_what_the_kills_could_spoil(undisturbed: Undisturbed):
    cards, pools = undisturbed(DROPPED_CARDS), undisturbed(DROPPED_POOLS)
    assert [counts(cards), counts(pools)] == [
        {"read": 297, "inserted": 273, "unchanged": 2, "rejected": 22},
        {"read": 150, "inserted": 136, "unchanged": 1, "rejected": 13},
    ]
    customers = undisturbed(DROPPED_CUSTOMERS)
    assert counts(customers) == {"read": 200, "inserted": 60, "unchanged": 10, "rejected": 30}
    assert rules(customers) == {
        "birth_date.impossible_date", "email.belongs_to_another", "row.ambiguous_customer", "row.no_identifier",
    }  # fmt: skip
    assert len(customers["actions"]) > 50
    assert {row["action"]["kind"] for row in customers["actions"]} == {"creation", "edit"}
    assert len(customers["members"]) == 150
    assert [len(cards["cards"]), len(pools["products"])] == [276, 138]  # with those that were there before
    assert len(cards["chunks"]) > 2
    reviewed = undisturbed(REVIEWED_CARDS)
    reviews = [row["review"] for row in reviewed["reviews"]]
    assert [(review["answer"], review["problem"] is None) for review in reviews] == [
        ("launch", False),
        ("launch", True),
    ]
    assert reviews[1]["mapping"] == {"Gift card status": None}
    assert counts(reviewed) == {"read": 297, "inserted": 273, "unchanged": 2, "rejected": 22}
    refused = undisturbed(REFUSED_FILE)
    assert refused["jobs"][0]["job"]["refusal_rule"] == "file.required_column"
    assert "archive/quarantine/gift_cards/1/файл 1.csv" in refused["files"]
    assert {
        "row.ragged",
        "row.nul",
        "row.text_after_quote",
        "balance.equals_pool_value",
        "card_number.duplicate_in_file",
        "card_number.card_exists",
    } <= rules(cards)
    assert {
        "row.ragged",
        "system_name.duplicate_in_file",
        "system_name.pool_locked",
        "product_external_id.duplicate_in_file",
    } <= rules(pools)


def rules(left: dict[str, Any]) -> set[str]:
    """Return the rules that rejected something."""
    return {rule for reject in left["rejects"] for rule in reject["rules"].split()}


def counts(left: dict[str, Any]) -> dict[str, int]:
    """Return the rows of the first job by outcome."""
    return {name: left["jobs"][0]["job"][f"rows_{name}"] for name in ("read", "inserted", "unchanged", "rejected")}
