"""Whole imports for the tests: folders of one's own, a warehouse, and what the reports say."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import yaml

from include.arrivals.landing import Request
from include.import_types import IMPORT_TYPES
from include.importer import import_file
from include.ledger.jobs import JobResult
from include.runtime import Runtime
from include.storage.locations import area

if TYPE_CHECKING:
    from tests.conftest import Warehouse

SAMPLE_POOLS = IMPORT_TYPES["gift_card_pools"].sample
POOL_HEADER = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime"
)
CARD_HEADER = "card_number,pool_system_name,balance"
CVV_KEY = b"a key of the tests, thirty-two by"
CODE_KEY = b"another key of the tests"


@dataclass
class Site:
    """Everything that imports need, below one folder."""

    runtime: Runtime
    folder: Path
    warehouse: Warehouse
    _runs: itertools.count = field(default_factory=lambda: itertools.count(1))

    def changed(self, **changes: Any) -> Site:
        """Return the same place with another runtime."""
        return replace(self, runtime=replace(self.runtime, **changes))

    def drop(
        self, import_type: str, name: str, content: bytes | str, settings: Mapping[str, object] | None = None
    ) -> Path:
        """Put a file, and its sidecar before it, into the landing folder of a type."""
        folder = self.folder / "landing" / import_type
        folder.mkdir(parents=True, exist_ok=True)
        if settings is not None:
            (folder / f"{name}.settings.yaml").write_text(yaml.safe_dump(dict(settings), allow_unicode=True))
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def request(self, import_type: str, path: Path | str, **parameters: object) -> Request:
        """Return a request of its own for a file; where the landing area doesn't show it to the type, a command's."""
        folder = f"{self.runtime.landing}/{import_type}/"
        is_dropped = str(path).startswith(folder) and import_type in self.runtime.import_types
        run_key = f"{self.folder} run {next(self._runs)}"
        return Request(import_type, str(path), run_key, "a test", parameters, roots=() if is_dropped else None)

    def run(self, import_type: str, path: Path | str, **parameters: object) -> JobResult:
        """Import one file through all stages."""
        return import_file(self.runtime, self.request(import_type, path, **parameters))

    def load(
        self,
        import_type: str,
        content: bytes | str,
        name: str | None = None,
        *,
        settings: Mapping[str, object] | None = None,
        **parameters: object,
    ) -> JobResult:
        """Drop a file and import it."""
        path = self.drop(import_type, name or f"file{next(self._runs)}.csv", content, settings)
        return self.run(import_type, path, **parameters)

    def cards(self, *rows: str, header: str = CARD_HEADER, **more: Any) -> JobResult:
        """Import gift cards, given as lines."""
        return self.load("gift_cards", "\n".join([header, *rows, ""]), **more)

    def pools(self, *rows: str, header: str = POOL_HEADER, **more: Any) -> JobResult:
        """Import gift card pools, given as lines."""
        return self.load("gift_card_pools", "\n".join([header, *rows, ""]), **more)

    def sample_pools(self) -> JobResult:
        """Import the source's example: `holiday_50` (50, two years, CVV) and `flexible_gift` (any value)."""
        return self.load("gift_card_pools", SAMPLE_POOLS.read_bytes())

    def query(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run one statement, as the server's administrator, in a transaction of its own and return its rows."""
        with self.warehouse.admin.begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def job(self, result: JobResult | int) -> dict[str, Any]:
        """Return a job's row of the ledger."""
        number = result if isinstance(result, int) else result.job
        with self.runtime.engine.connect() as connection:
            row = connection.execute(sa.text("SELECT * FROM ledger.import_job WHERE id = :id"), {"id": number})
            return dict(row.mappings().one())

    def card_numbers(self) -> list[str]:
        """Return the numbers of all cards."""
        return [number for (number,) in self.query("SELECT card_number FROM loyalty.gift_card ORDER BY 1")]

    def loyalty(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the content of every table of the schema `loyalty`."""
        tables = self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'loyalty' ORDER BY 1")
        return {name: self.query(f'SELECT * FROM loyalty."{name}" AS t ORDER BY t::text') for (name,) in tables}

    def reports(self) -> dict[str, bytes]:
        """Return every report, by path."""
        return contents(self.folder / "reports")


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rejected_file(result: JobResult) -> bytes:
    """Return the rejected-rows file."""
    assert result.rejected_file is not None
    return Path(result.rejected_file).read_bytes()


def rejects(result: JobResult, *, encoding: str = "utf-8-sig", delimiter: str = ",") -> dict[int, set[str]]:
    """Return line → rules of the rejected-rows file; empty when there is none."""
    return {line: set(rules.split()) for line, (rules, _) in _rejected(result, encoding, delimiter).items()}


def reasons(result: JobResult, *, encoding: str = "utf-8-sig", delimiter: str = ",") -> dict[int, str]:
    """Return line → sentences of the rejected-rows file."""
    return {line: sentences for line, (_, sentences) in _rejected(result, encoding, delimiter).items()}


def _rejected(result: JobResult, encoding: str, delimiter: str) -> dict[int, tuple[str, str]]:
    if result.rejected_file is None:
        return {}
    text = rejected_file(result).decode(encoding)
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    assert header[:4] == ["_job", "_line", "_rules", "_reasons"]
    assert {row[0] for row in rows} == {str(result.job)}
    rules_and_reasons = {int(row[1]): (row[2], row[3]) for row in rows}
    assert len(rules_and_reasons) == len(rows), "a line is twice in the rejected-rows file"
    return rules_and_reasons


def summary(result: JobResult) -> dict[str, Any]:
    """Return the summary."""
    assert result.summary_file is not None
    content: dict[str, Any] = json.loads(Path(result.summary_file).read_bytes())
    return content


def counts(result: JobResult) -> dict[str, int]:
    """Return the counts that are not 0; every completed job's add up."""
    rows = {name: value for name, value in vars(result.rows).items() if value}
    read = rows.get("read", 0)
    if result.state.startswith("completed"):
        assert read == sum(value for name, value in rows.items() if name != "read")
    return rows


def make_site(folder: Path, warehouse: Warehouse) -> Site:
    """Return a place for imports below a folder: they run as the importer (X-22)."""
    names = ("landing", "work", "reports", "archive")
    for name in names:
        (folder / name).mkdir(parents=True)
    areas = (area(folder / name) for name in names)
    return Site(
        Runtime(warehouse.engine, *areas, cvv_key=CVV_KEY, code_key=CODE_KEY, import_types=IMPORT_TYPES),
        folder,
        warehouse,
    )
