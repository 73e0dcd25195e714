"""Where an import takes place in these tests: a database, four areas, a file; and everything it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from upath import UPath

from include.warehouse.embedded import EmbeddedServer
from include.warehouse.engine import create_warehouse_engine
from include.warehouse.roles import Role
from tests.faults.worker import AREAS, Work
from tests.integration.gift_cards import add_card, add_pool

SEED = "warehouse_with_pools"
"""The database that every scene starts from."""

CARDS_HEADER = (
    "Card number;Pool system name;Gift card CVV;Card balance;Point of contact external ID;Gift card status;Бренд"
)
POOLS_HEADER = (
    "pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    "cvv_required,card_value,expiration_type,lifetime"
)


CUSTOMERS_HEADER = (
    "ExternalIdentityWebsite,Email,MobilePhone,FirstName,FavoriteColor,IsSubscribed,IsSubscribedByEmail,BirthDate,"
    "SourceActionTemplate"
)


def seed(connection: Connection) -> None:
    """Add what earlier imports have left: two pools, three cards in one of them, a hundred customers."""
    add_pool(connection, "gifts")
    add_pool(connection, "fixed_50", name="Fünfzig", supports_arbitrary_value=False, card_value=50, cvv_required=True)
    for number in ("0000000000000007", "0000000000000107", "0000000000000207"):
        add_card(connection, number, pool_system_name="gifts", balance=10)
    connection.execute(
        text(
            "INSERT INTO loyalty.customer (email, first_name)"
            " SELECT format('c%s@x.com', number), 'Before' FROM generate_series(0, 198, 2) AS number"
        )
    )


def cards_file(rows: int) -> str:
    """Return gift cards, about one in ten broken, in every way that the reader, the suite or the load can detect."""
    lines = [CARDS_HEADER]
    for number in range(rows):
        card = f"{number:016d}"
        row = f"{card};gifts;;10;;;Красный"
        match number % 100:
            case 3:
                row = f"{card};fixed_50;{number % 1000:03d};50,00;site-main;;Синий"
            case 11:
                row = f"{card};nowhere;;10;;;=1+1"
            case 22:
                row = f"{card};gifts;;10"
            case 33:
                row = f'{card};"gifts"x;;10;;;'
            case 44:
                row = f"{card};gifts;;-5;kiosk;Lost;@home"
            case 55:
                row = f"{number - 1:016d};gifts;;10;;;repeats the line before"
            case 66:
                row = f'{card};fixed_50;;45;;;"two\nlines; one ""cell"""'
            case 77:
                row = f"{card};gifts;;10\x00;;;"
            case 88:
                row = ""
            case 7 if number == 107:  # there already, with another balance
                row = f"{card};gifts;;11;;;"
        lines.append(row)
    return "\r\n".join(lines) + "\r\n"


def pools_file(rows: int) -> str:
    """Return gift card pools: most of them new, one there already, one there with other parameters, some broken."""
    lines = [POOLS_HEADER]
    for number in range(rows):
        row = f"Pool {number},pool_{number:03d},true,true,product-{number},website,Acme,false,,NoExpiration,"
        match number % 50:
            case 1:
                row = f"Pool {number},pool_{number:03d},false,true,product-{number},pos,Demo,true,20,Year,3"
            case 11:
                row = f"Pool {number},pool_{number:03d},false,true,product-{number},website,Nobody,true,-3,Year,99"
            case 22:
                row = f"Pool {number},pool_{number - 1:03d},true,true,product-{number},website,Acme,false,,,"
            case 33:
                row = f"Pool {number},pool_{number:03d},true,true,product-{number - 1},website,Acme,false,,,"
            case 44:
                row = f"Pool {number},pool_{number:03d}"
        lines.append(row)
    lines[5] = "Gifts,gifts,true,true,gifts-product,website,Acme,false,,NoExpiration,"
    lines[7] = "Fünfzig,fixed_50,false,true,fixed_50-product,website,Acme,false,60,NoExpiration,"
    return "\n".join(lines)


def customers_file(rows: int) -> str:
    """Return customers: half of them there already, some entangled with one another, some broken."""
    lines = [CUSTOMERS_HEADER]
    for number in range(rows):
        name, email = f"N{number % 7}", f"c{number}@x.com"
        row = f"w{number},{email},,{name},red,true,,1990-01-0{1 + number % 9},ImportedFromCrm"
        match number % 20:
            case 3:  # the e-mail of the row before, which is free from now on, goes to another customer
                row = f"w{number - 1},moved{number}@x.com,,,,,,,ImportedFromCrm"
            case 4:
                row = f"w{number},c{number - 2}@x.com,,{name},,,no,,"
            case 7:
                row = f"w{number - 1},c{number - 2}@x.com,,{name},,,,,"
            case 11:
                row = f"w{number},{email},,{name},,,,1990-02-30,"
            case 13:
                row = f"w{number - 1},,+1 212 555 0{number:03d},,%CLEAR%,,yes,,EditedInCrm"
            case 16:
                row = f",{email},,Before,,,,,ImportedFromCrm"
            case 17:
                row = ",,,nobody,,,,,"
        lines.append(row)
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Kind:
    """A way for a file to come in.

    Args:
        areas_elsewhere: areas on another device, where a move is a copy and a deletion.
        is_by_command: a command imports it, as every file outside the landing area; else a DAG run.
        is_refused: the file lacks a required column.
        rows: how many the file has.
        first_job: the number of the first job. A process that comes second to open a job may use up a number.
        is_in_bucket: all areas are prefixes of an S3 bucket.
        settings: of the import, beside the encoding.
    """

    name: str
    import_type: str
    is_dropped: bool
    encoding: str = "utf-8"
    areas_elsewhere: tuple[str, ...] = ()
    is_in_bucket: bool = False
    is_by_command: bool = False
    is_refused: bool = False
    rows: int = 300
    first_job: int = 1
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def passed_settings(self) -> dict[str, str]:
        """The settings that the import must be started with."""
        return {"encoding": self.encoding} | dict(self.settings) if self.encoding != "utf-8" else dict(self.settings)

    @property
    def data(self) -> bytes:
        """The sender's bytes."""
        if self.is_refused:
            return b"Card number\n0042\n"
        write = {"gift_card_pools": pools_file, "customers": customers_file}.get(self.import_type, cards_file)
        return write(self.rows).encode(self.encoding)

    def __str__(self) -> str:
        return self.name


@dataclass
class Scene:
    """One import's surroundings. The file is put where the kind says when the scene is made.

    Args:
        url: of its database, for the importer.
        admin_url: the same for the administrator, who arranges and looks at what is in it.
        bucket: options of the storage, for a kind whose areas are in a bucket; the bucket is named like the database.
    """

    kind: Kind
    url: str
    admin_url: str
    home: Path
    elsewhere: Path
    bucket: dict[str, Any] = field(default_factory=dict)
    areas: dict[str, UPath] = field(init=False)
    file: UPath = field(init=False)

    def __post_init__(self) -> None:
        self.home.mkdir()
        with self.transaction() as connection:
            connection.exec_driver_sql(f"ALTER TABLE ledger.import_job ALTER id RESTART WITH {self.kind.first_job}")
        self.areas = {name: self._area(name) for name in AREAS}
        self.file = self.put("файл 1.csv", self.kind.data)

    def _area(self, name: str) -> UPath:
        if self.kind.is_in_bucket:
            return UPath(f"s3://{self.database.replace('_', '-')}/{name}", **self.bucket)
        area = UPath((self.elsewhere if name in self.kind.areas_elsewhere else self.home) / name)
        area.mkdir(parents=True)
        return area

    def put(self, name: str, data: bytes) -> UPath:
        """Put a file where the kind says, with its settings beside it if they are needed."""
        folder = self.areas["landing"] / self.kind.import_type if self.kind.is_dropped else UPath(self.home / "outside")
        folder.mkdir(exist_ok=True, parents=True)
        if self.kind.is_dropped and self.kind.passed_settings:
            lines = [f"{setting}: {value}\n" for setting, value in self.kind.passed_settings.items()]
            (folder / f"{name}.settings.yaml").write_text("".join(lines))
        (folder / name).write_bytes(data)
        return folder / name

    @property
    def database(self) -> str:
        """The name of the scene's database."""
        return self.url.rsplit("/", 1)[1]

    def work(self, stop_at: str | None = None, **changes: Any) -> Work:
        """Return the import of the file for a child."""
        options = [part for setting in self.kind.passed_settings.items() for part in ("--set", "=".join(setting))]
        arguments: dict[str, Any] = {
            "url": self.url,
            "areas": {name: str(path) for name, path in self.areas.items()},
            "import_type": self.kind.import_type,
            "file": str(self.file),
            "log": str(self.home / "output.txt"),
            "run_key": None if self.kind.is_by_command else "import/drop-1",
            "options": () if self.kind.is_dropped else tuple(options),
            "stop_at": stop_at,
            "storage_options": self.bucket,
            "is_reviewed": "review" in self.kind.passed_settings,
        }
        return Work(**{**arguments, **changes})

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a session of the scene's database, beside those of the imports."""
        engine = create_warehouse_engine(self.admin_url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    def left_behind(self) -> dict[str, Any]:
        """Return everything that an import leaves: rows, ledger, staging tables, files; without times and places."""
        with self.transaction() as connection:
            rows = {name: _rows(connection, query) for name, query in QUERIES.items()}
        return rows | {"files": self.files()}

    def files(self) -> dict[str, bytes | None]:
        """Return every file and every empty folder in the four areas and outside them, by relative path."""
        contents: dict[str, bytes | None] = {}
        for name, area in {**self.areas, "outside": UPath(self.home / "outside")}.items():
            for path in _paths_below(area):
                key = f"{name}/{str(path)[len(str(area)) + 1 :]}"
                if path.is_file():
                    contents[key] = self._neutral(path)
                elif not any(path.iterdir()):
                    contents[key] = None
        return contents

    def _neutral(self, path: UPath) -> bytes:
        """Return the content of a file, a summary without time and places."""
        data: bytes = path.read_bytes()
        if path.name != "summary.json":
            return data
        for name, area in self.areas.items():
            data = data.replace(str(area).encode(), name.encode())
        summary = json.loads(data.replace(str(self.home).encode(), b"home"))
        reviews = [review | {"asked_at": None, "answered_at": None} for review in summary["reviews"]]
        return json.dumps(summary | {"launched_at": None, "reviews": reviews}, sort_keys=True).encode()

    def clean_up(self) -> None:
        """Delete what is stored on the other device."""
        shutil.rmtree(self.elsewhere, ignore_errors=True)


def _paths_below(area: UPath) -> list[UPath]:
    if not isinstance(area, Path):
        area.fs.invalidate_cache()
        return [UPath(f"s3://{key}", **area.storage_options) for key in area.fs.find(area.path)]
    return sorted(area.rglob("*"))


def _rows(connection: Connection, query: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(query)).mappings()]


CUSTOMER = "coalesce('row ' || import_line, email)"
QUERIES = {
    "cards": "SELECT * FROM loyalty.gift_card ORDER BY card_number",
    "pools": "SELECT to_jsonb(pool) - 'created_at' AS pool FROM loyalty.gift_card_pool AS pool ORDER BY system_name",
    "products": "SELECT * FROM loyalty.technical_product ORDER BY external_system, external_id",
    "changes": "SELECT * FROM loyalty.gift_card_change ORDER BY number",
    # Numbers of customers are taken from a sequence, which a killed load uses up: a row or e-mail names a customer.
    "customers": f"""
        SELECT {CUSTOMER} AS who, to_jsonb(customer) - ARRAY['id', 'created_at'] AS customer
        FROM loyalty.customer ORDER BY 1""",
    "external ids": f"""
        SELECT {CUSTOMER} AS who, system, value FROM loyalty.customer_external_id
        JOIN loyalty.customer ON id = customer_id ORDER BY 1, 2""",
    "subscriptions": f"""
        SELECT {CUSTOMER} AS who, to_jsonb(subscription) - ARRAY['customer_id', 'changed_at'] AS subscription
        FROM loyalty.customer_subscription AS subscription JOIN loyalty.customer ON id = customer_id ORDER BY 1, 2""",
    "members": f"""
        SELECT {CUSTOMER} AS who, segment, job_id FROM loyalty.segment_member
        JOIN loyalty.customer ON id = customer_id ORDER BY 1, 2""",
    "actions": f"""
        SELECT {CUSTOMER} AS who, to_jsonb(action) - ARRAY['customer_id', 'number', 'acted_at'] AS action
        FROM loyalty.customer_action AS action JOIN loyalty.customer ON id = customer_id ORDER BY line""",
    "customer changes": f"""
        SELECT {CUSTOMER} AS who, line, job_id, fields
        FROM ledger.customer_change JOIN loyalty.customer ON id = customer_id ORDER BY line""",
    "segments": "SELECT * FROM loyalty.segment ORDER BY name",
    "jobs": """
        SELECT to_jsonb(job) - ARRAY['run_key', 'launched_at', 'source_url', 'source_version', 'arrived_at', 'work_url',
                   'archive_url', 'rejected_file_url', 'summary_file_url', 'evidence_file_url', 'loaded_at',
                   'finished_at', 'launched_by'] AS job,
               loaded_at IS NOT NULL AS is_loaded, finished_at IS NOT NULL AS is_finished, work_url,
               archive_url IS NOT NULL AS is_archived, rejected_file_url IS NOT NULL AS has_rejected_file,
               summary_file_url IS NOT NULL AS has_summary, evidence_file_url IS NOT NULL AS has_evidence
        FROM ledger.import_job AS job ORDER BY id""",
    "reviews": """
        SELECT to_jsonb(review) - ARRAY['asked_at', 'answers_until', 'answered_at'] AS review
        FROM ledger.import_review AS review ORDER BY job_id, number""",
    "chunks": "SELECT * FROM ledger.import_chunk ORDER BY job_id, number",
    "rejects": "SELECT * FROM ledger.reject ORDER BY job_id, line",
    "rules": "SELECT * FROM ledger.job_rule ORDER BY job_id, rule, severity",
    "staging": "SELECT tablename FROM pg_tables WHERE schemaname = 'staging' ORDER BY tablename",
}


def make_seed(server: EmbeddedServer, template: str) -> None:
    """Make the database that scenes are copies of."""
    server.create_database(SEED, template)
    engine = create_warehouse_engine(server.url(SEED, Role.OWNER))
    with engine.begin() as connection:
        seed(connection)
    engine.dispose()
