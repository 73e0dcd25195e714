r"""`make bench`: imports and generations beside psql's `\copy` of the clean rows alone, interleaved in one run.

Every measurement starts from a database of its own and a checkpoint. `\copy` loads rows that are already clean, typed,
hashed and numbered; the import starts from the sender's file and ends with committed rows and written reports. Issuing
promo codes is measured beside a plain UPDATE; alone are measured the pages, with a ledger of 100,000 jobs, and the
listing of the landing area, with up to 20,000 files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from benchmarks import customers, landing, pages, promo_codes
from benchmarks.gift_cards import COPY_COLUMNS, POOLS, Files, write_files, write_pools
from include.project.loader import load_project
from include.project.sync import sync
from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate
from include.warehouse.roles import Role

TEMPLATE = "bench_template"
TYPED_COLUMNS = (
    "balance numeric(18,2) NOT NULL, cvv_hash bytea, point_of_contact text, purchased_at timestamptz, "
    "expires_at timestamptz, status text NOT NULL"
)
BARE = f"CREATE UNLOGGED TABLE bare (card_number text, pool_system_name text, {TYPED_COLUMNS}, job bigint, line bigint)"
TEXTBOOK = f"""
CREATE TABLE pool (id integer PRIMARY KEY, name text NOT NULL UNIQUE);
INSERT INTO pool SELECT number, 'pool_' || number FROM generate_series(0, {POOLS - 1}) AS number;
CREATE TABLE textbook (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    card_number text NOT NULL UNIQUE,
    pool_id integer NOT NULL REFERENCES pool,
    {TYPED_COLUMNS}
);
CREATE INDEX ON textbook (pool_id);
"""


@dataclass
class Samples:
    """Everything measured, by name: seconds, or MiB for names that end so."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.values[name])


class Bench:
    """A server, the databases of single measurements, and what was measured."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.samples = Samples()
        self._psql = server.program("psql")

    def prepare(self, pools: Path) -> None:
        """Make the database that measurements are cloned from: migrated, with the benchmark's pools."""
        self.server.create_database(TEMPLATE)
        engine = create_warehouse_engine(self.server.url(TEMPLATE, Role.OWNER))
        migrate(engine)
        with engine.begin() as connection:
            sync(connection, load_project())
        engine.dispose()
        self.import_file(TEMPLATE, "gift_card_pools", pools)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the name of a fresh database; nothing of an earlier measurement is still being written."""
        self.server.create_database("bench", TEMPLATE)
        try:
            self.execute("bench", "CHECKPOINT")
            yield "bench"
        finally:
            self.server.drop_database("bench")

    def copy(self, name: str, table: str, columns: str, file: Path, create: str | None = None) -> None:
        r"""Time psql's `\copy` of a file into one table."""
        with self.database() as database:
            if create:
                self.execute(database, create)
            command = f"\\copy {table} ({columns}) FROM '{file}' (FORMAT csv)"
            start = time.perf_counter()
            self.run_psql(database, command)
            self.samples.add(name, time.perf_counter() - start)

    def run_psql(self, database: str, command: str) -> str:
        r"""Run one command, such as a `\copy`, and return what it prints."""
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", command]
        told = subprocess.run(
            [str(self._psql), self.server.admin_url(database), *options], check=True, stdout=subprocess.PIPE, text=True
        )
        return told.stdout

    def import_cards(self, name: str, files: Files) -> None:
        """Time one whole import in a process of its own, and check that it loaded just the clean rows."""
        with self.database() as database:
            start = time.perf_counter()
            told = self.import_file(database, "gift_cards", files.cards)
            whole = time.perf_counter() - start
        if told["rows"]["inserted"] != files.rows - files.broken or told["rows"]["rejected"] != files.broken:
            raise SystemExit(f"{name}: expected {files.broken} rejects of {files.rows}, got {told['rows']}")
        stages = told["stages"]
        validation = stages["take_file"] + stages["inspect_file"] + stages["validate_chunk"]
        self.samples.add(name, told["wall"])
        self.samples.add(f"{name}, validation and staging", validation)
        self.samples.add(f"{name}, load", stages["load_rows"])
        self.samples.add(f"{name}, reports", stages["write_report"] + stages["close_job"])
        self.samples.add(f"{name}, loading the libraries", told["libraries"])
        self.samples.add(f"{name}, whole command", whole)
        self.samples.add(f"{name}, peak MiB", told["peak_mib"])

    def import_file(
        self, database: str, import_type: str, file: Path, settings: dict[str, object] | None = None
    ) -> dict:
        """Import a file in a process of its own and return what that measured."""
        area = self.folder / "area"
        command = [sys.executable, "-m", "benchmarks.import_once", self.server.url(database), str(area), import_type]
        command += [str(file), json.dumps(settings or {})]
        try:
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            shutil.rmtree(area, ignore_errors=True)
        return json.loads(told.splitlines()[-1])

    def execute(self, database: str, statement: str) -> None:
        """Run one statement in a transaction of its own."""
        connection = psycopg2.connect(self.server.admin_url(database))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()


@contextmanager
def open_bench() -> Iterator[Bench]:
    """Start a server with the benchmark's pools in a folder of its own; both are gone at the end."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    home.chmod(0o711)  # as root the server runs as another user, who has to enter
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = EmbeddedServer(home / "data", port)
    server.start()
    try:
        bench = Bench(server, home / "files")
        bench.folder.mkdir()
        pools = bench.folder / "pools.csv"
        write_pools(pools)
        bench.prepare(pools)
        yield bench
    finally:
        server.stop("immediate")
        shutil.rmtree(home, ignore_errors=True)


def measure_cards(bench: Bench, rows: int, rounds: int, shares: tuple[float, ...]) -> None:
    r"""Measure `\copy` into three tables and the import at several shares of broken rows, in turn."""
    files = {share: write_files(bench.folder / "files", rows=rows, broken_share=share) for share in shares}
    main = files[0.02]
    own = ", ".join(COPY_COLUMNS)
    typed = "balance, cvv_hash, point_of_contact, purchased_at, expires_at, status"
    bare = f"card_number, pool_system_name, {typed}, job, line"
    steps: list[Callable[[], None]] = [
        lambda: bench.copy(f"{rows:,} copy bare", "bare", bare, main.clean, BARE),
        lambda: bench.copy(f"{rows:,} copy own", "loyalty.gift_card", own, main.clean),
        lambda: bench.copy(
            f"{rows:,} copy textbook", "textbook", f"card_number, pool_id, {typed}", main.textbook, TEXTBOOK
        ),
    ]
    for share, each in files.items():
        steps.append(lambda share=share, each=each: bench.import_cards(f"{rows:,} import {share:.0%}", each))
    for _ in range(rounds):
        for step in steps:
            step()


def report_cards(samples: Samples, rows: int, shares: tuple[float, ...]) -> None:
    """Print medians and ratios, each ratio beside its target."""
    prefix = f"{rows:,}"
    print(f"\n{prefix} gift cards, medians of {len(samples.values[f'{prefix} copy bare'])}")
    for name, values in samples.values.items():
        if name.startswith(f"{prefix} "):
            unit = "" if name.endswith("MiB") else " s"
            spread = f"{min(values):.2f} … {max(values):.2f}"
            print(f"  {name.removeprefix(prefix + ' '):46} {statistics.median(values):9.2f}{unit:2}  ({spread})")
    whole = samples.median(f"{prefix} import 2%")
    validation = samples.median(f"{prefix} import 2%, validation and staging")
    textbook = samples.median(f"{prefix} copy textbook")
    ratios = [
        ("whole import / copy into the textbook table", whole / textbook, 0.9),
        ("whole import / copy into the product's own table", whole / samples.median(f"{prefix} copy own"), 2.2),
        ("validation and staging / copy into a bare table", validation / samples.median(f"{prefix} copy bare"), 4.5),
        ("peak memory, MiB", samples.median(f"{prefix} import 2%, peak MiB"), 600),
    ]
    if 0.0 in shares:
        clean = samples.median(f"{prefix} import 0%")
        ratios += [
            (f"{share:.0%} broken / 0% broken", samples.median(f"{prefix} import {share:.0%}") / clean, 1.3)
            for share in shares
            if share
        ]
    else:
        command = samples.median(f"{prefix} import 2%, whole command")
        ratios[:3] = [("whole command / copy into the textbook table", command / textbook, 1.0)]
    for name, ratio, target in ratios:
        print(f"  {name:50} {ratio:8.2f}   target <= {target:g}{'' if ratio <= target else '   MISSED'}")


def bench_cards(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report gift cards."""
    shares = (0.0, 0.02, 0.3)
    measure_cards(bench, parsed.rows, parsed.rounds, shares)
    report_cards(bench.samples, parsed.rows, shares)
    if parsed.big_rows:
        measure_cards(bench, parsed.big_rows, 1, (0.02,))
        report_cards(bench.samples, parsed.big_rows, (0.02,))


def bench_codes(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report promo codes."""
    promo_codes.measure_generation(bench, parsed.codes, parsed.rounds)
    promo_codes.report_generation(bench.samples, parsed.codes)
    promo_codes.measure_upload(bench, parsed.codes, parsed.rounds)
    promo_codes.report_upload(bench.samples, parsed.codes)
    promo_codes.measure_issue(bench, parsed.rounds)
    promo_codes.report_issue(bench.samples)
    if parsed.big_codes:
        promo_codes.measure_generation(bench, parsed.big_codes, 1)
        promo_codes.report_generation(bench.samples, parsed.big_codes)


def bench_customers(bench: Bench, parsed: argparse.Namespace) -> None:
    """Measure and report customers, and the normalising of their e-mail addresses and phones alone."""
    customers.measure_contacts(bench, parsed.customers, parsed.rounds)
    customers.report_contacts(bench.samples, parsed.customers)
    customers.measure_customers(bench, parsed.customers, parsed.rounds)
    customers.report_customers(bench.samples, parsed.customers)


def bench_pages(bench: Bench, _: argparse.Namespace) -> None:
    """Measure and report the pages in Airflow."""
    pages.measure_pages(bench)
    pages.report_pages(bench.samples)


def bench_landing(bench: Bench, _: argparse.Namespace) -> None:
    """Measure and report listings of the landing area."""
    landing.measure_landing(bench)
    landing.report_landing(bench.samples)


BENCHES = {
    "cards": bench_cards,
    "codes": bench_codes,
    "customers": bench_customers,
    "landing": bench_landing,
    "pages": bench_pages,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--big-rows", type=int, default=5_000_000, help="0 leaves the big file out")
    parser.add_argument("--codes", type=int, default=1_000_000, help="promo codes that are generated and uploaded")
    parser.add_argument("--big-codes", type=int, default=10_000_000, help="0 leaves the big generation out")
    parser.add_argument("--customers", type=int, default=1_000_000, help="rows of the file of customers")
    parser.add_argument("--only", choices=list(BENCHES), help="leave the others out")
    parsed = parser.parse_args()
    with open_bench() as bench:
        for name, measure in BENCHES.items():
            if parsed.only in (None, name):
                measure(bench, parsed)


if __name__ == "__main__":
    main()
