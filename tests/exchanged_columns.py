"""Files of every import type whose columns are exchanged, shifted or repeated. Source: X-05, X-18."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import combinations

from include.import_types import IMPORT_TYPES

ROWS = 1000

Table = list[list[str]]
"""Header and rows, as cells."""


def sample(import_type: str) -> Table:
    """Return the shipped sample."""
    return list(csv.reader(io.StringIO(IMPORT_TYPES[import_type].sample.read_text())))


def as_text(table: Table) -> str:
    """Return a table as a file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue()


def exchange(table: Table, one: int, other: int) -> Table:
    """Return the table with two headers exchanged, as a mistake in a sender's export does it."""
    header = list(table[0])
    header[one], header[other] = header[other], header[one]
    return [header, *table[1:]]


def shift(table: Table, by: int) -> Table:
    """Return the table with its headers moved to the right, the last ones to the front."""
    return [[*table[0][-by:], *table[0][:-by]], *table[1:]]


def repeat(table: Table, source: int, target: int) -> Table:
    """Return the table with one column's cells written over another's."""
    rows = [list(row) for row in table]
    for row in rows[1:]:
        if source < len(row) and target < len(row):
            row[target] = row[source]
    return rows


def pairs(table: Table) -> Iterator[tuple[int, int]]:
    """Give each pair of columns."""
    return combinations(range(len(table[0])), 2)


_FIRST = (
    "Ann",
    "Bob",
    "Carla",
    "David",
    "Eva",
    "Frank",
    "Grace",
    "Henry",
    "Ida",
    "Jack",
    "Karen",
    "Liam",
    "Noah",
    "Olga",
)
_LAST = ("Lee", "Stone", "Miller", "Young", "Poe", "Walker", "Adams", "Baker", "Clark", "Davis", "Evans", "Foster")
_AREAS = ("New York", "Boston", "Chicago", "San Jose", "Austin", "Seattle")
_COLOURS = ("green", "blue", "red", "dark yellow")


def _moment(chance: random.Random, since: datetime = datetime(2023, 1, 1)) -> str:
    moment = since + timedelta(minutes=chance.randrange(60 * 24 * 600))
    return moment.strftime("%Y-%m-%d %H:%M")


def _day(chance: random.Random, first: date, days: int) -> str:
    return (first + timedelta(days=chance.randrange(days))).isoformat()


def gift_cards(chance: random.Random, number: int) -> list[str]:
    """Return a card of `flexible_gift`."""
    is_sold = number % 3 == 0
    return [
        f"6030{chance.randrange(10**12):012}",
        "flexible_gift",
        f"{chance.randrange(1000):03}",
        chance.choice(("25", "50", f"{chance.randrange(5, 500)}.{chance.randrange(100):02}")),
        "site-main" if is_sold else "",
        _moment(chance) if is_sold else "",
        "CanBeUsed" if is_sold else chance.choice(("Inactive", "")),
    ]


def gift_card_pools(chance: random.Random, number: int) -> list[str]:
    """Return a pool; every other one has a fixed value, every third a lifetime."""
    name = f"{chance.choice(_AREAS)} gift {number}"
    is_fixed, is_yearly = number % 2 == 0, number % 3 == 0
    return [
        name, name.lower().replace(" ", "_"), "false" if is_fixed else "true", chance.choice(("true", "false")),
        f"gc-{number:05}", chance.choice(("website", "pos")), chance.choice(("Acme", "Demo")),
        chance.choice(("true", "false")), f"{chance.randrange(20, 300)}" if is_fixed else "",
        "Year" if is_yearly else "NoExpiration", f"{chance.randrange(1, 10)}" if is_yearly else "",
    ]  # fmt: skip


def promo_code_pools(chance: random.Random, number: int) -> list[str]:
    """Return a pool that is filled by upload or by generation."""
    is_made = number % 2 == 0
    name = f"{chance.choice(_AREAS)} sale {number}"
    return [
        name.lower().replace(" ", "_"), name, f"Codes for readers in {chance.choice(_AREAS)}, {number}",
        f"Spring {2020 + number % 5}", f"code_{number}", "generate" if is_made else "upload",
        "summer" if is_made else "", f"{chance.randrange(100, 5000)}" if is_made else "",
        "true" if is_made else "false", f"{chance.randrange(10, 90)}" if is_made else "",
        f"{chance.randrange(5, 50)}", f"{chance.randrange(1, 72)}" if is_made else "",
        "true" if number % 3 == 0 else "false", f"{chance.randrange(7, 90)}" if number % 3 == 0 else "",
        chance.choice(("internal", "external")), "false",
        "" if is_made else f"[A-Z]{{{number % 9 + 1}}}-[0-9]+", "true",
    ]  # fmt: skip


def promo_codes(chance: random.Random, number: int) -> list[str]:
    """Return a code of `spring_sale`, every other one with dates."""
    code = f"SPRING-{''.join(chance.choices('ABCDEFGHJKLMNPQRSTUVWXYZ23456789', k=8))}"
    if number % 2:
        return [code, "spring_sale", "", "", "", ""]
    return [code, "spring_sale", "2026-03-01", "2099-12-31", "2026-03-01 06:00", "2099-12-31 22:00"]


def customers(chance: random.Random, number: int) -> list[str]:
    """Return a customer."""
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    yes_no = ("true", "false")
    has_whole_name = number % 4 == 0
    return [
        f"{first}.{last}.{number}@example.com".lower(), chance.choice(yes_no), f"+1 202-555-{number % 10000:04}"
        if number < 100 else f"+1 {chance.choice((212, 312, 415))}-{chance.randrange(200, 999)}-{number:04}",
        chance.choice(yes_no), f"{10_000 + number}", f"{4_000_000 + number:07}" if number % 2 else "",
        chance.choice(_AREAS), "" if has_whole_name else last, "" if has_whole_name else first,
        "" if has_whole_name else chance.choice(("J.", "", "Lou")), f"{first} {last}" if has_whole_name else "",
        chance.choice(("male", "female", "m", "f")), _day(chance, date(1945, 1, 1), 22_000),
        chance.choice(yes_no), chance.choice(yes_no), chance.choice(yes_no), chance.choice(yes_no),
        chance.choice(_COLOURS), "site-main", "ImportedFromCrm", _moment(chance), "site-main", "ImportedFromCrm",
        _moment(chance, datetime(2020, 1, 1)),
    ]  # fmt: skip


_MAKERS: dict[str, Callable[[random.Random, int], list[str]]] = {
    "gift_card_pools": gift_card_pools,
    "gift_cards": gift_cards,
    "promo_code_pools": promo_code_pools,
    "promo_codes": promo_codes,
    "customers": customers,
}

MAKER_TYPES = tuple(name for name in IMPORT_TYPES if name in _MAKERS)
"""Those whose columns are tried in exchanged places; a new type may have a maker of rows here."""


def make_table(import_type: str, rows: int = ROWS) -> Table:
    """Return a file of a type, the same each time, with the columns of its sample."""
    chance = random.Random(import_type)
    header = sample(import_type)[0]
    cells = (_MAKERS[import_type](chance, number) for number in range(rows))
    return [header, *(row + [""] * (len(header) - len(row)) for row in cells)]
