"""A server of its own, the databases of single measurements, and what was measured."""

from __future__ import annotations

import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from benchmarks.gift_cards import Files, write_pools
from include.project.loader import load_project
from include.project.sync import sync
from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.migrations import migrate
from include.warehouse.roles import Role

TEMPLATE = "bench_template"


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
        printed = subprocess.run(
            [str(self._psql), self.server.admin_url(database), *options], check=True, stdout=subprocess.PIPE, text=True
        )
        return printed.stdout

    def import_cards(self, name: str, files: Files) -> None:
        """Time one whole import in a process of its own, and check that it loaded just the clean rows."""
        with self.database() as database:
            start = time.perf_counter()
            measured = self.import_file(database, "gift_cards", files.cards)
            whole = time.perf_counter() - start
        if measured["rows"]["inserted"] != files.rows - files.broken or measured["rows"]["rejected"] != files.broken:
            raise SystemExit(f"{name}: expected {files.broken} rejects of {files.rows}, got {measured['rows']}")
        stages = measured["stages"]
        validation = stages["take_file"] + stages["inspect_file"] + stages["validate_chunk"]
        self.samples.add(name, measured["wall"])
        self.samples.add(f"{name}, validation and staging", validation)
        self.samples.add(f"{name}, load", stages["load_rows"])
        self.samples.add(f"{name}, reports", stages["write_report"] + stages["close_job"])
        self.samples.add(f"{name}, loading the libraries", measured["libraries"])
        self.samples.add(f"{name}, whole command", whole)
        self.samples.add(f"{name}, peak MiB", measured["peak_mib"])

    def import_file(
        self, database: str, import_type: str, file: Path, settings: dict[str, object] | None = None
    ) -> dict:
        """Import a file in a process of its own and return what that measured."""
        area = self.folder / "area"
        command = [sys.executable, "-m", "benchmarks.import_once", self.server.url(database), str(area), import_type]
        command += [str(file), json.dumps(settings or {})]
        try:
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        finally:
            shutil.rmtree(area, ignore_errors=True)
        return json.loads(printed.splitlines()[-1])

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
