r"""Customers: the import of a seeded file beside `\copy` of the very rows that it left, into the same tables.

The file holds customers in random order, 20 columns each. One row in a hundred is entangled: an identifier that moves,
two identifiers of two customers, an e-mail in other letter case, a phone that many rows give, a row that matches nobody
but through an earlier one. As many more repeat a customer with other values, and as many are broken.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Bench, Samples
from benchmarks.contacts import us_phone

COLUMNS = (
    "ExternalIdentityWebsite", "Email", "IsEmailConfirmed", "MobilePhone", "IsMobilePhoneConfirmed", "DiscountCard",
    "Area", "LastName", "FirstName", "MiddleName", "Sex", "BirthDate", "FavoriteColor", "IsSubscribed",
    "IsSubscribedByEmail", "IsSubscribedBySms", "IsSubscribedByEmailOnNews", "SourceActionTemplate", "SourceDateTime",
    "LastUpdateDateTime",
)  # fmt: skip
SETTINGS: dict[str, object] = {"action": "add_and_edit", "take_action_template_from_file": True}
SHARE = 0.01
"""Of the rows that are entangled; of those that repeat a customer; of those that are broken."""
CHANGED_SHARE = 0.1
PLACEHOLDER = us_phone(10_000_000)
"""A phone that many rows give, as tills do that demand one."""
TABLES = (
    "loyalty.customer", "loyalty.customer_external_id", "loyalty.customer_subscription", "loyalty.customer_action",
)  # fmt: skip

Row = list[str]
_AT = {name: position for position, name in enumerate(COLUMNS)}
_EXTERNAL_ID, _EMAIL, _PHONE = (_AT[name] for name in ("ExternalIdentityWebsite", "Email", "MobilePhone"))
_LAST_NAMES = [f"{first}{last}" for first in ("Ash", "Black", "Mc", "O'", "Stein") for last in ("ford", "berg", "lee")]
_FIRST_NAMES = ["Ann", "Bob", "Cem", "Dora", "Eva", "Finn", "Zoë", "Olga", "Иван", "Mai", "Noah", "Mary Jane"]
_AREAS = ["Berlin", "New York", "Москва", "São Paulo", "Leeds", ""]
_COLORS = ["red", "blue", "green", "", "", ""]
_PHONE_FORMS = ("+1{}{}{}", "({}) {}-{}", "{}-{}-{}", "1 {} {} {}", "{}{}{}")


@dataclass(frozen=True)
class Files:
    """What one call of `write_files` wrote: the file, and the same one with a tenth of its rows changed."""

    customers: Path
    changed: Path
    rows: int
    broken: int


def write_files(folder: Path, *, rows: int, seed: int = 20260101) -> Files:
    """Write the files of so many rows."""
    folder.mkdir(parents=True, exist_ok=True)
    customers, changed = folder / f"customers_{rows}.csv", folder / f"customers_{rows}_changed.csv"
    chance = random.Random(seed + 1)  # of its own, so that the rows that stay are the same
    broken = 0
    with customers.open("w") as first, changed.open("w") as second:
        for stream in (first, second):
            stream.write(",".join(COLUMNS) + "\n")
        for row, is_broken in _rows(rows, random.Random(seed)):
            first.write(",".join(row) + "\n")
            broken += is_broken
            if chance.random() < CHANGED_SHARE and not is_broken:
                _change(row, chance)
            second.write(",".join(row) + "\n")
    return Files(customers, changed, rows, broken)


def write_customers(path: Path, *, rows: int, seed: int = 20260101) -> int:
    """Write the file of so many customers alone; return how many of its rows are broken."""
    broken = 0
    with path.open("w") as stream:
        stream.write(",".join(COLUMNS) + "\n")
        for row, is_broken in _rows(rows, random.Random(seed)):
            stream.write(",".join(row) + "\n")
            broken += is_broken
    return broken


def _rows(count: int, chance: random.Random) -> Iterator[tuple[Row, bool]]:
    """Yield each row, and whether it is broken."""
    numbers = list(range(count))
    chance.shuffle(numbers)
    moved: list[str] = []
    for place, number in enumerate(numbers):
        row, draw = _row(number, chance), chance.random()
        if place < 10 or draw >= 3 * SHARE:
            yield row, False
            continue
        # The customers of earlier rows, entangled ones too; those of broken rows, which may not be there, as well.
        other, third = (numbers[int(chance.random() * place)] for _ in range(2))
        if draw < SHARE:
            chance.choice(_ENTANGLEMENTS)(row, other, third, moved)
        elif draw < 2 * SHARE:
            row[_EXTERNAL_ID], row[_EMAIL], row[_PHONE] = _identifiers(other, chance)
        else:
            yield chance.choice(_BREAKAGES)(row), True
            continue
        yield row, False


def _identifiers(number: int, chance: random.Random) -> tuple[str, str, str]:
    """Return external id, e-mail and phone of a customer, whose e-mail or phone may be unknown."""
    email = _email(number) if number % 20 else ""
    phone = us_phone(number, chance.choice(_PHONE_FORMS)) if number % 5 else ""
    return _external_id(number), email, phone


def _external_id(number: int) -> str:
    return f"w{number:08d}"


def _email(number: int) -> str:
    return f"customer.{number}@mail-{number % 97}.com"


def _row(number: int, chance: random.Random) -> Row:
    """Return a customer's row: about 15 cells of 20 are filled."""
    external_id, email, phone = _identifiers(number, chance)
    day = f"{1 + int(chance.random() * 28):02d}"
    month = f"{1 + int(chance.random() * 12):02d}"
    return [
        external_id,
        email,
        chance.choice(("true", "false", "")),
        phone,
        chance.choice(("1", "0", "")),
        f"{7_000_000_000 + number * 7}" if number % 3 else "",
        chance.choice(_AREAS),
        chance.choice(_LAST_NAMES),
        chance.choice(_FIRST_NAMES),
        chance.choice(("Lee", "", "")),
        chance.choice(("male", "female", "f", "m", "")),
        f"{1940 + int(chance.random() * 65)}-{month}-{day}" if number % 7 else "",
        chance.choice(_COLORS),
        "true" if chance.random() < 0.8 else "",
        chance.choice(("true", "true", "false", "")),
        chance.choice(("true", "false", "", "")),
        chance.choice(("yes", "no", "", "")),
        "ImportedFromCrm",
        f"2023-{month}-{day} 12:30:{number % 60:02d}",
        f"2024-{month}-{day}T08:00:00Z" if number % 2 else "",
    ]


def _change(row: Row, chance: random.Random) -> None:
    """Change one or two values, as a month of a shop's life does."""
    for name, value in chance.sample(
        [
            ("LastName", "Newly-Wed"),
            ("Area", "Lisbon"),
            ("FavoriteColor", "violet"),
            ("IsSubscribedByEmail", "true" if row[_AT["IsSubscribedByEmail"]] == "false" else "false"),
            ("Sex", "%CLEAR%"),
        ],
        k=chance.choice((1, 2)),
    ):
        row[_AT[name]] = value
    row[_AT["LastUpdateDateTime"]] = "2025-03-01 10:00"


def _move_email(row: Row, other: int, third: int, moved: list[str]) -> None:
    """A customer's external id with a new e-mail."""
    row[_EXTERNAL_ID], row[_PHONE] = _external_id(other), ""
    row[_EMAIL] = row[_EMAIL] or f"moved.{other}@mail.com"
    moved.append(row[_EMAIL])


def _follow_email(row: Row, other: int, third: int, moved: list[str]) -> None:
    """An e-mail that belongs to a customer through an earlier row alone."""
    row[_EXTERNAL_ID] = ""
    row[_EMAIL] = moved.pop(0) if moved else row[_EMAIL] or _email(other)


def _other_case(row: Row, other: int, third: int, moved: list[str]) -> None:
    """A customer's e-mail in other letters, under another external id."""
    row[_EMAIL], row[_PHONE] = _email(other).upper(), ""


def _clash(row: Row, other: int, third: int, moved: list[str]) -> None:
    """Identifiers of two customers."""
    row[_EXTERNAL_ID], row[_EMAIL], row[_PHONE] = _external_id(other), _email(third), ""


def _placeholder(row: Row, other: int, third: int, moved: list[str]) -> None:
    """A phone that all customers seem to have, with an e-mail of one's own or with nothing else."""
    row[_EXTERNAL_ID], row[_PHONE] = "", PLACEHOLDER
    row[_EMAIL] = row[_EMAIL] if other % 2 else ""


def _clear_email(row: Row, other: int, third: int, moved: list[str]) -> None:
    """A customer's e-mail is erased."""
    row[_EXTERNAL_ID], row[_EMAIL], row[_PHONE] = _external_id(other), "%CLEAR%", ""


def _chain(row: Row, other: int, third: int, moved: list[str]) -> None:
    """The phone of one customer becomes that of another, whose own is free from now on."""
    row[_EXTERNAL_ID], row[_EMAIL] = _external_id(other), ""
    row[_PHONE] = us_phone(third)


_ENTANGLEMENTS: tuple[Callable[[Row, int, int, list[str]], None], ...] = (
    _move_email, _move_email, _follow_email, _other_case, _clash, _placeholder, _clear_email, _chain,
)  # fmt: skip


def _with(**cells: str) -> Callable[[Row], Row]:
    def changed(row: Row) -> Row:
        for name, cell in cells.items():
            row[_AT[name]] = cell
        return row

    return changed


_BREAKAGES: tuple[Callable[[Row], Row], ...] = (
    _with(Email="customer.example.com"), _with(MobilePhone="555-0100"), _with(MobilePhone="4,91701E+11"),
    _with(BirthDate="1990-02-30"), _with(BirthDate="2999-01-01"), _with(Sex="unknown"), _with(IsSubscribed="perhaps"),
    _with(ExternalIdentityWebsite="", Email="", MobilePhone=""), _with(LastName="x" * 101),
    _with(SourceDateTime="2999-01-01 10:00"), lambda row: row[:-1], lambda row: [*row, "x"],
)  # fmt: skip


def measure_customers(bench: Bench, rows: int, rounds: int) -> None:
    r"""Measure the first import, the same file again, a tenth changed, and `\copy` of the first one's rows, in turn."""
    files = write_files(bench.folder / "files", rows=rows)
    copies = _export(bench, files)
    for _ in range(rounds):
        with bench.database() as database:
            for step, file, expected, least in (
                ("first", files.customers, "inserted", 0.97),
                ("again", files.customers, "unchanged", 0.97),
                ("changed", files.changed, "updated", 0.09),
            ):
                _add_import(bench, f"{rows:,} {step}", database, files, file, expected, least)
        with bench.database() as database:
            for table, (columns, file) in copies.items():
                command = f"\\copy {table} ({columns}) FROM '{file}' (FORMAT csv)"
                start = time.perf_counter()
                bench.run_psql(database, command)
                seconds = time.perf_counter() - start
                bench.samples.add(f"{rows:,} copy {table}", seconds)
            whole = sum(bench.samples.values[f"{rows:,} copy {table}"][-1] for table in copies)
            bench.samples.add(f"{rows:,} copy", whole)


def _export(bench: Bench, files: Files) -> dict[str, tuple[str, Path]]:
    r"""Import once, and write the rows of every table as `\copy` takes them; return table → columns and file.

    In the order of the file, by which the import numbers new customers: a program that copies has not sorted them.
    """
    copies = {}
    with bench.database() as database:
        bench.import_file(database, "customers", files.customers, SETTINGS)
        for table in TABLES:
            query = f"""
                SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attidentity <> 'a'
            """
            columns = bench.run_psql(database, query).strip()
            file = bench.folder / f"{table}.csv"
            order = "id" if table == "loyalty.customer" else "customer_id, ctid"
            rows = f"SELECT {columns} FROM {table} ORDER BY {order}"
            bench.run_psql(database, f"\\copy ({rows}) TO '{file}' (FORMAT csv)")
            copies[table] = (columns, file)
    return copies


def _add_import(bench: Bench, name: str, database: str, files: Files, file: Path, expected: str, least: float) -> None:
    """Measure one import, at least a share of whose rows must have the expected outcome."""
    bench.execute(database, "CHECKPOINT")
    measured = bench.import_file(database, "customers", file, {**SETTINGS, "force": True})
    counts = measured["rows"]
    if (
        measured["state"] != "completed_with_rejects"
        or counts["read"] != files.rows
        or counts["rejected"] < files.broken
    ):
        raise SystemExit(f"{name}: expected {files.rows} rows and {files.broken} or more rejects: {measured}")
    if counts[expected] < least * files.rows:
        raise SystemExit(f"{name}: expected {least:.0%} of the rows to be {expected}: {counts}")
    stages = measured["stages"]
    bench.samples.add(name, measured["wall"])
    bench.samples.add(
        f"{name}, validation and staging", stages["take_file"] + stages["inspect_file"] + stages["validate_chunk"]
    )
    bench.samples.add(f"{name}, load", stages["load_rows"])
    bench.samples.add(f"{name}, reports", stages["write_report"] + stages["close_job"])
    bench.samples.add(f"{name}, peak MiB", measured["peak_mib"])
    for outcome, count in counts.items():
        bench.samples.add(f"{name}, rows {outcome}", count)


def measure_contacts(bench: Bench, values: int, rounds: int) -> None:
    """Measure how long it takes to normalise so many phones and e-mail addresses that are all different."""
    command = [sys.executable, "-m", "benchmarks.contacts", str(values)]
    for _ in range(rounds):
        measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        for name, value in measured.items():
            bench.samples.add(f"{values:,} {name}", value)


def report_customers(samples: Samples, rows: int) -> None:
    """Print medians, and the ratios beside their targets."""
    prefix = f"{rows:,} "
    rounds = len(samples.values[f"{prefix}first"])
    print(f"\n{rows:,} customers of {len(COLUMNS)} columns, medians of {rounds}")
    for name, values in samples.values.items():
        if not name.startswith(tuple(f"{prefix}{step}" for step in ("first", "again", "changed", "copy"))):
            continue
        if ", rows " in name:
            print(f"  {name.removeprefix(prefix):46} {samples.median(name):9,.0f}")
        else:
            unit = "" if name.endswith("MiB") else " s"
            spread = f"{min(values):.2f} … {max(values):.2f}"
            print(f"  {name.removeprefix(prefix):46} {samples.median(name):9.2f}{unit:2}  ({spread})")
    first, again, changed, copy = (samples.median(f"{prefix}{step}") for step in ("first", "again", "changed", "copy"))
    peak = max(samples.median(f"{prefix}{step}, peak MiB") for step in ("first", "again", "changed"))
    for name, ratio, target in (
        ("first import / copy of its rows into the same tables", first / copy, 1.6),
        ("the same file again / first import", again / first, 1.0),
        ("a tenth changed / first import", changed / first, 1.0),
        ("peak memory, MiB", peak, 700),
    ):
        print(f"  {name:54} {ratio:8.2f}   target <= {target:g}{'' if ratio <= target else '   MISSED'}")


def report_contacts(samples: Samples, values: int) -> None:
    """Print seconds, and what the libraries alone would take."""
    print(f"\n{values:,} different values normalised")
    for name in ("phones", "emails"):
        seconds = samples.median(f"{values:,} {name} seconds")
        library = samples.median(f"{values:,} {name} library seconds a million") * values / 1e6
        accepted = samples.median(f"{values:,} {name} accepted")
        print(f"  {name}: {seconds:6.2f} s, {accepted:,.0f} accepted   the library alone {library:.1f} s")
