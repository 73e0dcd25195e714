r"""Seeded gift card files: cards in random order, a share of the rows broken in every way a row can be broken.

Beside the file for the importer are the clean rows alone, as `\copy` needs them: typed, hashed, ready for a table.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from include.warehouse.cvv import hash_cvv

CVV_KEY = b"benchmark" * 4
POOLS = 20
HEADER = (
    "Card number,Pool system name,Gift card CVV,Card balance,Point of contact external ID,Card purchase date (UTC),"
    "Gift card status"
)
POOL_HEADER = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,cvv_required,"
    "card_value,expiration_type,lifetime"
)
COPY_COLUMNS = (
    "card_number", "pool_system_name", "balance", "cvv_hash", "point_of_contact", "purchased_at", "expires_at",
    "status", "import_job_id", "import_line",
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """One pool of the benchmark: fixed value or free, with CVV or without, one that expires or not."""

    number: int

    @property
    def name(self) -> str:
        """Its system name."""
        return f"pool_{self.number:02d}"

    @property
    def value(self) -> int | None:
        """Its face value; None where every card may have its own."""
        return None if self.number % 2 else 10 * (self.number + 1)

    @property
    def has_cvv(self) -> bool:
        """Half of the pools want a CVV."""
        return self.number % 4 < 2

    @property
    def lifetime(self) -> int | None:
        """Years of validity."""
        return 2 if self.number % 5 == 0 else None


@dataclass(frozen=True)
class Files:
    """What one call of `write_files` wrote."""

    pools: Path
    cards: Path
    clean: Path
    textbook: Path
    rows: int
    broken: int


def _pool_row(pool: Pool) -> str:
    cells = (
        f"Pool {pool.number}", pool.name, "true" if pool.value is None else "false", "true", f"gc-{pool.number}",
        "website", "Acme", "true" if pool.has_cvv else "false", str(pool.value or ""),
        "Year" if pool.lifetime else "NoExpiration", str(pool.lifetime or ""),
    )  # fmt: skip
    return ",".join(cells)


def _broken(card: list[str], pool: Pool, chance: random.Random, earlier: str) -> str:
    """Return a row with one mistake, each kind as likely as the others."""
    ways: list[Callable[[], list[str]]] = [
        lambda: card[:6],
        lambda: [*card, "x"],
        lambda: ["", *card[1:]],
        lambda: ["4.5E+15", *card[1:]],
        lambda: [earlier, *card[1:]],
        lambda: [card[0], "no_such_pool", *card[2:]],
        lambda: [card[0], "", *card[2:]],
        lambda: [*card[:3], "", *card[4:]],
        lambda: [*card[:3], "12.345", *card[4:]],
        lambda: [*card[:3], "-5.00", *card[4:]],
        lambda: [*card[:3], "ten", *card[4:]],
        lambda: [*card[:3], "7.77" if pool.value else "1,000.00", *card[4:]],
        lambda: [*card[:4], "nowhere", *card[5:]],
        lambda: [*card[:5], "2023-02-30 10:00", card[6]],
        lambda: [*card[:5], "03/04/2023", card[6]],
        lambda: [*card[:5], "2999-01-01", card[6]],
        lambda: [*card[:6], "Sold"],
        lambda: [f'"{card[0]}"x', *card[1:]],
        lambda: [f"{card[0]}\0", *card[1:]],
    ]
    if pool.has_cvv:
        ways.append(lambda: [*card[:2], "", *card[3:]])
    return ",".join(chance.choice(ways)())


def _cards(rows: int, broken_share: float, seed: int) -> Iterator[tuple[str, tuple[str, ...] | None]]:
    """Yield each line of the file, with the typed row when it is clean."""
    chance = random.Random(seed)
    step = 10**15 // rows
    numbers = list(range(rows))
    chance.shuffle(numbers)
    pools = [Pool(number) for number in range(POOLS)]
    earlier = ""
    for line, number in enumerate(numbers, start=2):
        pool = pools[int(chance.random() * POOLS)]
        card_number = str(10**15 + number * step)
        cvv = f"{int(chance.random() * 1000):03d}" if pool.has_cvv else ""
        cents = pool.value * 100 if pool.value else int(chance.random() * 50_000)
        balance = f"{cents // 100}.{cents % 100:02d}"
        contact = purchased = expires = ""
        status = "Inactive"
        if chance.random() < 0.3:
            seconds = int(chance.random() * 86_400)
            year, month, day = (
                2020 + int(chance.random() * 5),
                1 + int(chance.random() * 12),
                1 + int(chance.random() * 28),
            )
            clock = f"{month:02d}-{day:02d} {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
            contact, purchased, status = "site-main", f"{year}-{clock}", "CanBeUsed"
            expires = f"{year + pool.lifetime}-{clock}" if pool.lifetime else ""
        card = [card_number, pool.name, cvv, balance, contact, purchased, status]
        if earlier and chance.random() < broken_share:
            yield _broken(card, pool, chance, earlier), None
            continue
        earlier = card_number
        hashed = rf"\x{hash_cvv(CVV_KEY, card_number, cvv).hex()}" if cvv else ""
        yield (
            ",".join(card),
            (card_number, pool.name, balance, hashed, contact, purchased, expires, status, "0", str(line)),
        )


def write_pools(path: Path) -> None:
    """Write the file of the benchmark's pools."""
    path.write_text("\n".join([POOL_HEADER, *(_pool_row(Pool(number)) for number in range(POOLS)), ""]))


def write_cards(path: Path, *, rows: int, broken_share: float, seed: int = 20260101) -> int:
    """Write the sender's file alone; return how many of its rows are broken."""
    broken = 0
    with path.open("w") as stream:
        stream.write(HEADER + "\n")
        for line, row in _cards(rows, broken_share, seed):
            stream.write(line + "\n")
            broken += row is None
    return broken


def write_files(folder: Path, *, rows: int, broken_share: float, seed: int = 20260101) -> Files:
    r"""Write the pools, the cards, and the clean cards as two files that `\copy` takes.

    `clean` has the columns `COPY_COLUMNS`; `textbook` has the pool's number in place of its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{rows}_{broken_share:g}"
    files = {name: folder / f"{name}_{stem}.csv" for name in ("cards", "clean", "textbook")}
    pools = folder / "pools.csv"
    write_pools(pools)
    broken = 0
    with files["cards"].open("w") as cards, files["clean"].open("w") as clean, files["textbook"].open("w") as textbook:
        cards.write(HEADER + "\n")
        for line, row in _cards(rows, broken_share, seed):
            cards.write(line + "\n")
            if row is None:
                broken += 1
                continue
            clean.write(",".join(row) + "\n")
            textbook.write(",".join((row[0], row[1][-2:], *row[2:8])) + "\n")
    return Files(pools, files["cards"], files["clean"], files["textbook"], rows, broken)
