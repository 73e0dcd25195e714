"""Imports of customers, written and compared as small tables of text.

A customer is a line: a key, then what there is of it, `1 email=ann@x.com website=17 Acme/Email=no`. External ids are
named by their system, custom fields by their name, subscriptions by brand, channel and topic. The key of a customer
that was there before is its place, `1` for the first; that of one whom the file created is `+` and the row's line.

Every import that goes through `Scene.load` is compared with the oracle's, in all tables.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from include.ledger.jobs import JobResult
from include.ledger.records import FIRST_LINES
from include.project.model import Project
from tests.imports import Site, counts, rejects
from tests.integration import customer_oracle as oracle
from tests.integration.customer_oracle import Action, Customer, Import, Outcome, Subscription, Warehouse

PROJECT = """
brands: [Acme, Demo]
external_systems: [website]
points_of_contact:
  - {external_id: site-main, brand: Acme}
  - {external_id: shop-7, brand: Acme}
  - {external_id: site-demo, brand: Demo}
data_sources:
  - {name: Admin panel, point_of_contact: site-main, default: true}
  - {name: Tills, point_of_contact: shop-7}
  - {name: Demo site, point_of_contact: site-demo}
channels: [Email, Sms, MobilePush]
topics: [News, Offers]
external_identities: [website, pos]
custom_fields:
  - {name: FavoriteColor, type: string}
  - {name: IsVip, type: boolean}
  - {name: Visits, type: integer}
  - {name: Spent, type: decimal}
  - {name: Anniversary, type: date}
  - {name: LastVisit, type: datetime}
  - {name: Size, type: enum, values: [S, M, L]}
action_templates:
  - {system_name: ImportedFromCrm, category: Personal action}
  - {system_name: EditedInCrm, category: Personal action}
  - {system_name: NightlySync, category: System action}
segments: [vip-2024]
default_phone_region: US
"""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
"""When all that was there before was done."""

SETTINGS = ("action", "data_source", "point_of_contact", "segment", "take_point_of_contact_from_file",
            "take_action_template_from_file", "on_invalid_optional", "slash_dates", "replace_external_ids",
            "shared_identifier_rows")  # fmt: skip
"""Those that the oracle has to know."""

Table = dict[str, dict[str, str]]
"""Customers: key → name → value, as text."""


@dataclass(frozen=True)
class Loaded:
    """One import, as the oracle predicted it.

    Args:
        outcome: of the oracle, equal to the product's.
        keys: what customers are called in tables.
    """

    result: JobResult
    outcome: Outcome
    launched_at: datetime
    keys: Mapping[str, str]

    @property
    def lines(self) -> dict[int, str]:
        """Line → outcome, or the rules, in their order, where the row was rejected."""
        return {
            line: " ".join(sorted(self.outcome.rejects[line])) if outcome == "rejected" else outcome
            for line, outcome in self.outcome.lines.items()
        }

    def customers(self) -> Table:
        """Return the customers as they are now."""
        return {self.keys[key]: as_text(customer) for key, customer in self.outcome.warehouse.customers.items()}

    def changes(self) -> dict[int, dict[str, tuple[str | None, str | None]]]:
        """Line → field → (before, after), of this job."""
        return {
            line: {_short(name): (_text(old), _text(new)) for name, (old, new) in fields.items()}
            for (job, line), (_, fields) in self.outcome.warehouse.changes.items()
            if job == self.result.job
        }

    def actions(self) -> list[str]:
        """Return the actions of this job, by line."""
        return [
            f"{action.line}: {action.kind} of {self.keys[action.customer]}, {action.template}, {action.data_source}, "
            f"{action.point_of_contact}, {self._time(action.acted_at)}"
            for action in sorted(self.outcome.warehouse.actions, key=lambda action: action.line)
            if action.job == self.result.job
        ]

    def members(self) -> dict[str, str]:
        """Segment → its members' keys."""
        keys_by_segment: dict[str, list[str]] = {}
        for segment, key in self.outcome.warehouse.members:
            keys_by_segment.setdefault(segment, []).append(self.keys[key])
        return {segment: " ".join(sorted(keys)) for segment, keys in keys_by_segment.items()}

    def written_subscriptions(self) -> list[str]:
        """Return the subscriptions that this job wrote."""
        return sorted(
            f"{self.keys[key]} {_short(name)}={_text(subscription.is_subscribed)}: {subscription.data_source}, "
            f"{self._time(subscription.changed_at)}"
            for key, customer in self.outcome.warehouse.customers.items()
            for name, subscription in customer.subscriptions.items()
            if subscription.job == self.result.job
        )

    def created_at(self) -> dict[str, str]:
        """Key → when the customer was created, of those whom this job created."""
        return {
            self.keys[key]: self._time(customer.created_at)
            for key, customer in self.outcome.warehouse.customers.items()
            if key.startswith(f"{self.result.job}:")
        }

    def _time(self, at: datetime) -> str:
        return "launched" if at == self.launched_at else f"{at:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Scene:
    """A warehouse for imports of customers."""

    site: Site

    @cached_property
    def project(self) -> Project:
        """The project settings."""
        return self.site.runtime.project

    def erase(self) -> None:
        """Take every customer away, and the segments that imports have made."""
        self.site.query("DELETE FROM loyalty.customer")
        self.site.query("DELETE FROM loyalty.segment WHERE NOT is_configured")

    def add(self, table: str) -> None:
        """Add customers that no import has made."""
        customers = {key: self._values(values) for key, values in parse(table).items()}
        with self.site.warehouse.admin.begin() as connection:
            for values in customers.values():
                _insert(connection, values)

    def _values(self, texts: Mapping[str, str]) -> dict[str, Any]:
        custom = {custom_field.name: str(custom_field.type) for custom_field in self.project.custom_fields}
        values: dict[str, Any] = {}
        for name, text in texts.items():
            if name in self.project.external_identities:
                values[f"external_id.{name}"] = text
            elif name in custom:
                values[f"custom_field.{name}"] = _CUSTOM.get(custom[name], str)(text)
            elif name.split("/")[0] in self.project.brands:
                values[f"subscription.{name}"] = _YES_OR_NO[text]
            elif name.startswith("is_"):
                values[name] = _YES_OR_NO[text]
            else:
                assert name in oracle.COLUMNS
                values[name] = date.fromisoformat(text) if name == "birth_date" else text
        return values

    def load(self, text: str, **settings: Any) -> Loaded:
        """Import a file that nobody refuses, and compare all that it leaves with what the oracle says."""
        text = dedented(text)
        before = self.read()
        result = self.site.load("customers", text, **({"force": True} | settings))
        assert result.state.startswith("completed"), result
        launched_at = self.site.job(result)["launched_at"]
        import_settings = {name: settings[name] for name in SETTINGS if name in settings}
        job = Import(result.job, launched_at, self.project, **import_settings)
        outcome = oracle.import_rows(before, oracle.read_rows(text, job), job)
        is_dry_run = bool(settings.get("dry_run"))
        self.compare(result, outcome, before if is_dry_run else outcome.warehouse)
        return Loaded(result, outcome, launched_at, self.keys(result.job))

    def compare(self, result: JobResult, outcome: Outcome, warehouse: Warehouse) -> None:
        """Compare what an import has left with what it should have left."""
        stored = self.read()
        assert rejected_by(self.site, result.job) == outcome.rejects
        assert rejects(result) == outcome.rejects
        for name in ("customers", "segments", "members", "actions", "changes"):
            assert getattr(stored, name) == getattr(warehouse, name), name
        assert counts(result) == outcome.counts()
        not_found = {line for line, line_outcome in outcome.lines.items() if line_outcome == "not_found"}
        assert lines_of(self.site, "ledger.not_found", result.job) == not_found
        assert not_found_lines(result) == not_found
        assert warnings_of(self.site, result.job) == {
            rule: (len(lines), sorted(lines)[:FIRST_LINES]) for rule, lines in outcome.warnings.items()
        } | _of_dropped(outcome)
        assert dropped_values(self.site, result.job) == outcome.dropped

    def read(self) -> Warehouse:
        """Return all tables of customers."""
        query = self.site.query
        keys = self._keys()
        warehouse = Warehouse(segments=dict(query("SELECT name, is_configured FROM loyalty.segment")))
        columns = ", ".join(oracle.COLUMNS)
        for number, created_at, custom, *cells in query(
            f"SELECT id, created_at, custom_fields::text, {columns} FROM loyalty.customer"
        ):
            values = {name: cell for name, cell in zip(oracle.COLUMNS, cells, strict=True) if cell is not None}
            values |= {f"custom_field.{name}": value for name, value in parse_json(custom).items()}
            warehouse.customers[keys[number]] = Customer(created_at, values)
        for system, value, number in query("SELECT system, value, customer_id FROM loyalty.customer_external_id"):
            warehouse.customers[keys[number]].values[f"external_id.{system}"] = value
        for number, brand, channel, topic, *rest in query(
            "SELECT customer_id, brand, channel, topic, is_subscribed, changed_at, data_source, job_id "
            "FROM loyalty.customer_subscription"
        ):
            name = "/".join(filter(None, (f"subscription.{brand}", channel, topic)))
            warehouse.customers[keys[number]].subscriptions[name] = Subscription(*rest)
        for segment, number, job in query("SELECT segment, customer_id, job_id FROM loyalty.segment_member"):
            warehouse.members[segment, keys[number]] = job
        for number, *rest in query(
            "SELECT customer_id, kind, action_template, data_source, point_of_contact, acted_at, job_id, line "
            "FROM loyalty.customer_action"
        ):
            warehouse.actions.add(Action(keys[number], *rest))
        for job, line, number, fields in query(
            "SELECT job_id, line, customer_id, fields::text FROM ledger.customer_change"
        ):
            warehouse.changes[job, line] = keys[number], _changes(parse_json(fields))
        return warehouse

    def _keys(self) -> dict[int, str]:
        """Return customer's number → the oracle's key."""
        rows = self.site.query("SELECT id, import_job_id, import_line FROM loyalty.customer ORDER BY id")
        earlier = [number for number, job, _ in rows if job is None]
        return {number: str(place) for place, number in enumerate(earlier, start=1)} | {
            number: f"{job}:{line}" for number, job, line in rows if job is not None
        }

    def keys(self, job: int) -> dict[str, str]:
        """Return oracle's key → what the customer is called after this job."""
        return {key: key.replace(f"{job}:", "+") for key in self._keys().values()}


def dedented(text: str) -> str:
    """Return a file that is written as an indented block."""
    return textwrap.dedent(text).lstrip("\n")


def parse(table: str) -> Table:
    """Read customers as text; a backslash at the end of a line joins it with the next one."""
    customers: Table = {}
    for line in filter(str.strip, table.replace("\\\n", "").splitlines()):
        key, *cells = shlex.split(line)
        assert key not in customers
        customers[key] = dict(cell.split("=", 1) for cell in cells)
    return customers


_YES_OR_NO = {"yes": True, "no": False, "erased": None}
_CUSTOM = {"boolean": _YES_OR_NO.__getitem__, "integer": int, "decimal": Decimal}


def _insert(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    columns = {name: value for name, value in values.items() if name in oracle.COLUMNS}
    custom = {name.partition(".")[2]: value for name, value in values.items() if name.startswith("custom_field.")}
    row = columns | {"custom_fields": json.dumps(custom, default=float), "created_at": LONG_AGO}
    number = connection.execute(
        sa.text(
            f"INSERT INTO loyalty.customer ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)}) "
            "RETURNING id"
        ),
        row,
    ).scalar_one()
    for name, value in values.items():
        kind, _, rest = name.partition(".")
        if kind == "external_id":
            connection.execute(
                sa.text("INSERT INTO loyalty.customer_external_id VALUES (:system, :value, :customer)"),
                {"system": rest, "value": value, "customer": number},
            )
        elif kind == "subscription":
            brand, channel, topic = [*rest.split("/"), None, None][:3]
            columns = ":customer, :brand, :channel, :topic, :answer, :at"
            connection.execute(
                sa.text(f"INSERT INTO loyalty.customer_subscription VALUES ({columns})"),
                {"customer": number, "brand": brand, "channel": channel, "topic": topic, "answer": value,
                 "at": LONG_AGO},
            )  # fmt: skip


def parse_json(text: str) -> dict[str, Any]:
    """Read a `jsonb` object with its numbers as they are written there."""
    parsed: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return parsed


def _changes(fields: Mapping[str, list[Any]]) -> dict[str, tuple[Any, Any]]:
    def typed(name: str, value: Any) -> Any:
        return date.fromisoformat(value) if name == "birth_date" and value is not None else value

    return {name: (typed(name, old), typed(name, new)) for name, (old, new) in fields.items()}


def _short(name: str) -> str:
    return name.partition(".")[2] or name


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def as_text(customer: Customer) -> dict[str, str]:
    """Return a customer as a line of a table has it."""
    texts = {_short(name): str(_text(value)) for name, value in customer.values.items()}
    answers = {name: subscription.is_subscribed for name, subscription in customer.subscriptions.items()}
    return texts | {_short(name): _text(answer) or "erased" for name, answer in answers.items()}


def rejected_by(site: Site, job: int) -> dict[int, set[str]]:
    """Return line → rules of the ledger."""
    rows = site.query("SELECT line, rules FROM ledger.reject WHERE job_id = :job", job=job)
    return {line: set(rules.split()) for line, rules in rows}


def lines_of(site: Site, table: str, job: int) -> set[int]:
    """Return the lines that a table of the ledger has of a job."""
    return {line for (line,) in site.query(f"SELECT line FROM {table} WHERE job_id = :job", job=job)}


def not_found_lines(result: JobResult) -> set[int]:
    """Return the lines in the file of the rows that match nobody."""
    if result.not_found_file is None:
        return set()
    text = Path(result.not_found_file).read_text(encoding="utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header[:4] == ["_job", "_line", "_rules", "_reasons"]
    assert {(row[0], row[2]) for row in rows} == {(str(result.job), "row.not_found")}
    return {int(row[1]) for row in rows}


def warnings_of(site: Site, job: int) -> dict[str, tuple[int, list[int]]]:
    """Return rule → (rows, their lines) of what was only reported."""
    rows = site.query(
        "SELECT rule, rows, first_lines FROM ledger.job_rule WHERE job_id = :job AND severity = 'warning'", job=job
    )
    return {rule: (number, sorted(lines)) for rule, number, lines in rows}


def dropped_values(site: Site, job: int) -> dict[tuple[int, str], frozenset[str]]:
    """Return (line, field) → rules of the values that rows were loaded without."""
    rows = site.query("SELECT line, field, rules FROM ledger.dropped_value WHERE job_id = :job", job=job)
    return {(line, field): frozenset(rules.split()) for line, field, rules in rows}


def _of_dropped(outcome: Outcome) -> dict[str, tuple[int, list[int]]]:
    lines: dict[str, list[int]] = {}
    for (line, _), rules in outcome.dropped.items():
        for rule in rules:
            lines.setdefault(rule, []).append(line)
    return {rule: (len(line_numbers), sorted(line_numbers)[:FIRST_LINES]) for rule, line_numbers in lines.items()}
