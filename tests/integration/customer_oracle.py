"""What an import of customers has to do, row by row and as plainly as the requirements say it.

Nothing here knows how the importer works. `read_rows` reads a file as the value formats say and gives every row the
rules that it breaks by itself; `import_rows` takes the rows one after the other, as if each were a file of its own, and
then looks at what became of each customer. Made for files that are small, or for patience: 20,000 rows take seconds.

A customer's values have flat names, those of `ledger.customer_change`: `email`, `external_id.website`,
`custom_field.FavoriteColor`, `subscription.Acme/Email/News`. In rows a subscription has no brand yet, which the import
decides: `subscription`, `subscription/Email`, `subscription/Email/News`. Source: spec section 8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from include.project.model import Project


class Cell(Enum):
    """What a cell says instead of giving a value."""

    CLEAR = "%CLEAR%"


CLEAR = Cell.CLEAR

Values = dict[str, Any]
"""Name → value; what has no value isn't there (in a row: what is blank)."""

NAME_PARTS = ("last_name", "first_name", "middle_name")
COLUMNS = ("email", "is_email_confirmed", "mobile_phone", "is_mobile_phone_confirmed", "discount_card", "area",
           *NAME_PARTS, "full_name", "sex", "birth_date")  # fmt: skip
OF_THE_ACTION = ("last_update_point_of_contact", "last_update_action_template", "last_update_date_time",
                 "source_point_of_contact", "source_action_template", "source_date_time")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One record of a file.

    Args:
        values: by name, `CLEAR` for `%CLEAR%`; invalid cells are left out, as blank ones are.
        rules: those that the row breaks by itself; it is rejected when there are any.
        warnings: those that it is only reported for.
        dropped: rules of the values that it was loaded without, by field (CU-14).
    """

    line: int
    values: Mapping[str, Any]
    rules: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    dropped: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Import:
    """What is known of one import before its rows are read."""

    job: int
    launched_at: datetime
    project: Project
    action: str = "add_and_edit"
    data_source: str | None = None
    point_of_contact: str | None = None
    segment: str | None = None
    take_point_of_contact_from_file: bool = False
    take_action_template_from_file: bool = False
    on_invalid_optional: str = "reject_row"
    slash_dates: str = "refuse"
    replace_external_ids: bool = False
    shared_identifier_rows: int = 20

    @property
    def source(self) -> str:
        """The effective data source (CU-07)."""
        if self.data_source is not None:
            return self.data_source
        return next(source.name for source in self.project.data_sources if source.is_default)

    @property
    def contact(self) -> str:
        """The effective point of contact (CU-07)."""
        if self.point_of_contact is not None:
            return self.point_of_contact
        return next(source.point_of_contact for source in self.project.data_sources if source.name == self.source)

    @property
    def brand(self) -> str:
        """The brand that subscriptions of this import are to (CU-06)."""
        return next(contact.brand for contact in self.project.points_of_contact if contact.external_id == self.contact)


@dataclass
class Subscription:
    """One row of `loyalty.customer_subscription`."""

    is_subscribed: bool | None
    changed_at: datetime
    data_source: str | None
    job: int | None


@dataclass
class Customer:
    """One customer with what belongs to it."""

    created_at: datetime
    values: Values = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    def all_values(self) -> Values:
        """Return the customer's values, subscriptions among them."""
        answers = {name: subscription.is_subscribed for name, subscription in self.subscriptions.items()}
        return self.values | {name: answer for name, answer in answers.items() if answer is not None}


@dataclass(frozen=True)
class Action:
    """One row of `loyalty.customer_action`."""

    customer: str
    kind: str
    template: str
    data_source: str
    point_of_contact: str
    acted_at: datetime
    job: int
    line: int


@dataclass
class Warehouse:
    """The tables of customers.

    Args:
        customers: by key: `<job>:<line>` of the row that created the customer, or a name of the test's own.
        segments: name → whether the project settings have it.
        members: (segment, customer) → job that added the customer.
        changes: (job, line) → (customer, field → (before, after)).
    """

    customers: dict[str, Customer] = field(default_factory=dict)
    segments: dict[str, bool] = field(default_factory=dict)
    members: dict[tuple[str, str], int | None] = field(default_factory=dict)
    actions: set[Action] = field(default_factory=set)
    changes: dict[tuple[int, int], tuple[str, dict[str, tuple[Any, Any]]]] = field(default_factory=dict)


@dataclass
class Outcome:
    """What an import leaves behind.

    Args:
        lines: line → inserted, updated, unchanged, not_found or rejected.
        rejects: line → rules.
        warnings: rule → lines.
        dropped: (line, field) → rules.
    """

    warehouse: Warehouse
    lines: dict[int, str] = field(default_factory=dict)
    rejects: dict[int, set[str]] = field(default_factory=dict)
    warnings: dict[str, set[int]] = field(default_factory=dict)
    dropped: dict[tuple[int, str], frozenset[str]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return the rows by outcome, those of which there are any, and how many there are in all."""
        outcomes = list(self.lines.values())
        return (
            {"read": len(outcomes)} | {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
            if outcomes
            else {}
        )


def comparable(name: str, value: Any) -> Any:
    """Return the value as values of a field are compared: e-mails that differ by the case of ASCII alone are equal."""
    return re.sub("[A-Z]+", lambda match: match[0].lower(), value) if name == "email" and value is not None else value


class Holders:
    """Which customer holds which identifier, at the moment."""

    def __init__(self, project: Project, customers: Mapping[str, Values]) -> None:
        self.names = (*(f"external_id.{system}" for system in project.external_identities), "email", "mobile_phone")
        self._holders: dict[tuple[str, Any], str] = {}
        for key, values in customers.items():
            for name in self.names:
                if name in values:
                    self._holders[name, comparable(name, values[name])] = key

    def hits(self, row: Row) -> dict[str, str]:
        """Return identifier → customer that has the row's value of it, in the order in which they are matched."""
        hits = {}
        for name in self.names:
            value = row.values.get(name)
            if value is not None and value is not CLEAR:
                holder = self._holders.get((name, comparable(name, value)))
                if holder is not None:
                    hits[name] = holder
        return hits

    def move(self, key: str, name: str, old: Any, new: Any) -> None:
        """Let a customer have another value of an identifier."""
        if old is not None:
            del self._holders[name, comparable(name, old)]
        if new is not None:
            self._holders[name, comparable(name, new)] = key


def import_rows(before: Warehouse, rows: Iterable[Row], job: Import) -> Outcome:
    """Return what importing the rows must make of the tables; `before` stays as it is."""
    outcome = Outcome(deepcopy(before))
    rows = _without_placeholders(sorted(rows, key=lambda row: row.line), job, outcome)
    as_before = {key: customer.all_values() for key, customer in before.customers.items()}
    accepted = _match(rows, as_before, job, outcome)
    for key, own in accepted.items():
        _warn_of_strangers(own, outcome)
        _fold(key, own, as_before.get(key, {}), job, outcome)
    if job.segment is not None and accepted:
        outcome.warehouse.segments.setdefault(job.segment, False)
        for key in accepted:
            outcome.warehouse.members.setdefault((job.segment, key), job.job)
    for row in rows:
        for rule in row.warnings:
            outcome.warnings.setdefault(rule, set()).add(row.line)
        if outcome.lines[row.line] in ("inserted", "updated", "unchanged"):  # the others have not been loaded
            outcome.dropped |= {(row.line, name): rules for name, rules in row.dropped.items()}
    return outcome


def _without_placeholders(rows: list[Row], job: Import, outcome: Outcome) -> list[Row]:
    """Take the values out of the rows that too many of them share beside different other identifiers. Source: CU-03."""
    names = [*(f"external_id.{system}" for system in job.project.external_identities), "email", "mobile_phone"]

    def identifiers(row: Row) -> dict[str, Any]:
        values = {name: row.values[name] for name in names if name in row.values}
        return {name: comparable(name, value) for name, value in values.items() if value is not CLEAR}

    beside: dict[tuple[str, Any], set[tuple[tuple[str, Any], ...]]] = {}
    for row in rows:
        own = identifiers(row)
        for name, value in own.items():
            others = tuple(sorted((other, its) for other, its in own.items() if other != name))
            if others:
                beside.setdefault((name, value), set()).add(others)
    placeholders = {identifier for identifier, others in beside.items() if len(others) > job.shared_identifier_rows}

    stripped = []
    for row in rows:
        taken = {name for name, value in identifiers(row).items() if (name, value) in placeholders}
        kept = replace(row, values={name: value for name, value in row.values.items() if name not in taken})
        if taken and not row.rules:
            if identifiers(kept):
                for name in taken:
                    rule = f"{'external_id' if name.startswith('external_id') else name}.placeholder"
                    outcome.warnings.setdefault(rule, set()).add(row.line)
            else:
                kept = replace(kept, rules=frozenset({"row.placeholder_only"}))
        stripped.append(kept)
    return stripped


def _warn_of_strangers(rows: list[Row], outcome: Outcome) -> None:
    """Report rows of one customer who may be different people that share an e-mail or phone. Source: CU-03."""
    last: dict[str, tuple[Any, Row]] = {}
    called: list[str] = []
    for row in rows:
        name = next(
            (row.values[of] for of in ("first_name", "last_name", "middle_name", "full_name") if _has(row, of)), ""
        )
        if name and not _external_ids(row):
            if name.lower() not in called:
                called.append(name.lower())
            if called.index(name.lower()) >= 3:
                outcome.warnings.setdefault("row.shared_identifier", set()).add(row.line)
        contacts = {name: comparable(name, row.values[name]) for name in ("email", "mobile_phone") if _has(row, name)}
        for name, value in (contacts | _whole_name(row)).items():
            if name in last:
                other, earlier = last[name]
                is_other = value.isdisjoint(other) if name == "name" else value != other
                is_shared = any(
                    _has(earlier, of) and comparable(of, earlier.values[of]) == its for of, its in contacts.items()
                )
                if is_other and is_shared and not _external_ids(row) & _external_ids(earlier):
                    outcome.warnings.setdefault("row.shared_identifier", set()).add(row.line)
            last[name] = value, row


def _has(row: Row, name: str) -> bool:
    return row.values.get(name, CLEAR) is not CLEAR


def _whole_name(row: Row) -> dict[str, set[str]]:
    """Return the words of a row's name under `name`, if it has several."""
    text = ""
    if _has(row, "first_name") and _has(row, "last_name"):
        text = f"{row.values['first_name']} {row.values['last_name']}"
    elif _has(row, "full_name") and not any(_has(row, part) for part in NAME_PARTS):
        text = row.values["full_name"]
    return {"name": set(text.lower().split(" "))} if " " in text else {}


def _external_ids(row: Row) -> set[tuple[str, Any]]:
    return {
        (name, value) for name, value in row.values.items() if name.startswith("external_id.") and value is not CLEAR
    }


def _match(rows: list[Row], as_before: Mapping[str, Values], job: Import, outcome: Outcome) -> dict[str, list[Row]]:
    """Decide row by row whose it is; return each customer's accepted rows in file order. Source: CU-01 to CU-04."""
    untouched = Holders(job.project, as_before)
    holders = Holders(job.project, as_before)
    current = {key: dict(values) for key, values in as_before.items()}
    accepted: dict[str, list[Row]] = {}
    verdicts: dict[int, str | None] = {}
    named: dict[str, Values] = {}
    for row in rows:
        if row.rules:
            outcome.lines[row.line] = "rejected"
            outcome.rejects[row.line] = set(row.rules)
            hits = untouched.hits(row)
            if len(set(hits.values())) > 1:  # all reasons
                outcome.rejects[row.line].add("row.ambiguous_customer")
            elif _differs(row, hits, as_before, job):
                outcome.rejects[row.line].add("external_id.differs")
            continue
        hits = holders.hits(row)
        customers = set(hits.values())
        verdicts[row.line] = _verdict(row, hits, named, current, job)
        if len(customers) > 1:
            outcome.lines[row.line] = "rejected"
            outcome.rejects[row.line] = {"row.ambiguous_customer", *_taken(hits, row, current)}
            continue
        if _is_another(row, hits, named):
            outcome.lines[row.line] = "rejected"
            outcome.rejects[row.line] = {f"{field_of(name)}.belongs_to_another" for name in hits}
            continue
        if _differs(row, hits, current, job):
            outcome.lines[row.line] = "rejected"
            outcome.rejects[row.line] = {"external_id.differs"}
            continue
        if not customers and job.action == "edit_existing":
            outcome.lines[row.line] = "not_found"
            continue
        key = verdicts[row.line] = min(customers, default=f"{job.job}:{row.line}")
        named.setdefault(key, {}).update(_external_ids(row))
        identifiers = {
            name: None if row.values[name] is CLEAR else row.values[name]
            for name in holders.names
            if name in row.values
        }
        current_values = current.setdefault(key, {})
        for name, value in identifiers.items():
            old = current_values.get(name)
            if comparable(name, old) == comparable(name, value):
                continue
            if name.startswith("external_id.") and None not in (old, value):
                outcome.warnings.setdefault("external_id.replaced", set()).add(row.line)
            holders.move(key, name, old, value)
            current_values[name] = value
            if value is None:
                del current_values[name]
        accepted.setdefault(key, []).append(row)
    named = {}
    for row in rows:
        if row.line in verdicts:
            earlier = verdicts[row.line]
            if earlier != _verdict(row, holders.hits(row), named, current, job):
                outcome.warnings.setdefault("row.not_repeatable", set()).add(row.line)
            if earlier not in (None, "rejected"):
                named.setdefault(earlier, {}).update(_external_ids(row))
    return accepted


def _verdict(
    row: Row, hits: Mapping[str, str], named: Mapping[str, Values], current: Mapping[str, Values], job: Import
) -> str | None:
    """Return the customer that a row is about, None for nobody, a word when it is rejected."""
    customers = set(hits.values())
    if len(customers) > 1 or _is_another(row, hits, named) or _differs(row, hits, current, job):
        return "rejected"
    return next(iter(customers), None)


def _is_another(row: Row, hits: Mapping[str, str], named: Mapping[str, Values]) -> bool:
    """Return whether earlier rows of the file have called the row's customer by another external id. Source: CU-03."""
    return any(
        system in named.get(key, {}) and named[key][system] != value
        for key in hits.values()
        for system, value in _external_ids(row)
    )


def _differs(row: Row, hits: Mapping[str, str], current: Mapping[str, Values], job: Import) -> bool:
    """Return whether the row would replace an external id of a customer whom it finds by e-mail or phone."""
    if job.replace_external_ids or any(name.startswith("external_id.") for name in hits):
        return False
    return any(
        system in current[key] and current[key][system] != value
        for key in hits.values()
        for system, value in _external_ids(row)
    )


def _taken(hits: Mapping[str, str], row: Row, current: Mapping[str, Values]) -> Iterator[str]:
    """Yield the rule of each identifier that the row would take from one customer for another one. Source: CU-03."""
    first = next(iter(hits.values()))
    for name, holder in hits.items():
        own = current[first].get(name)
        if holder != first and own is not None and comparable(name, own) != comparable(name, row.values[name]):
            yield f"{field_of(name)}.belongs_to_another"


def _values_of(row: Row, job: Import) -> Values:
    """Return what a row says of a customer: name → value, None where it clears."""
    values = {}
    for name, value in row.values.items():
        if name in OF_THE_ACTION:
            continue
        is_of_parts = any(row.values.get(part, CLEAR) is not CLEAR for part in NAME_PARTS)
        if name == "full_name" and is_of_parts and value is not CLEAR:  # CU-12
            continue
        branded = re.sub("^subscription", f"subscription.{job.brand}", name)
        values[branded] = None if value is CLEAR else value
    return values


def _fold(key: str, rows: list[Row], before: Values, job: Import, outcome: Outcome) -> None:
    """Work out the net change of one customer and write what follows from it. Source: CU-05, CU-10 to CU-13."""
    creating = rows[0] if key not in outcome.warehouse.customers else None
    if creating is not None:
        outcome.warehouse.customers[key] = Customer(_created_at(creating, job))
    customer = outcome.warehouse.customers[key]
    supplied: dict[str, list[tuple[Row, Any]]] = {}
    for row in rows:
        for name, value in _values_of(row, job).items():
            supplied.setdefault(name, []).append((row, value))

    changes: dict[int, dict[str, tuple[Any, Any]]] = {}
    for name, of_rows in supplied.items():
        old, last = before.get(name), of_rows[-1][1]
        if comparable(name, last) == comparable(name, old):
            continue
        owner, new = of_rows[-1]
        for row, value in reversed(of_rows):  # back to where the final run of equal values began
            if comparable(name, value) != comparable(name, last):
                break
            owner, new = row, value
        changes.setdefault(owner.line, {})[name] = (old, new)
        _set(customer, name, new, owner, creating, job)

    for row in rows:
        if row is creating:
            outcome.lines[row.line] = "inserted"
        elif row.line in changes:
            outcome.lines[row.line] = "updated"
            outcome.warehouse.changes[job.job, row.line] = (key, changes[row.line])
        else:
            outcome.lines[row.line] = "unchanged"
            continue
        action = _action(key, row, row is creating, job)
        if action is not None:
            outcome.warehouse.actions.add(action)


def _set(customer: Customer, name: str, value: Any, owner: Row, creating: Row | None, job: Import) -> None:
    if name.startswith("subscription."):
        at = _created_at(owner, job) if owner is creating else _edited_at(owner, job)
        customer.subscriptions[name] = Subscription(value, at, job.source, job.job)
    elif value is None:
        del customer.values[name]
    else:
        customer.values[name] = value


def _created_at(row: Row, job: Import) -> datetime:
    at: datetime = row.values.get("source_date_time") or _edited_at(row, job)
    return at


def _edited_at(row: Row, job: Import) -> datetime:
    at: datetime = row.values.get("last_update_date_time") or job.launched_at
    return at


def _action(key: str, row: Row, is_creation: bool, job: Import) -> Action | None:
    """Return the action that a change is recorded with, if there is any. Source: CU-07, CU-10, CU-11."""
    both = ("source", "last_update") if is_creation else ("last_update", "source")
    contacts = [row.values.get(f"{of}_point_of_contact") for of in both]
    contact = next((contact for contact in contacts if contact is not None), job.contact)
    template = row.values.get("source_action_template")
    if not is_creation:
        template = row.values.get("last_update_action_template") or template
    personal = {
        template.system_name for template in job.project.action_templates if template.category == "Personal action"
    }
    if template not in personal:
        return None
    kind, at = ("creation", _created_at(row, job)) if is_creation else ("edit", _edited_at(row, job))
    return Action(key, kind, template, job.source, contact, at, job.job, row.line)


# Reading files.


def normalised(header: str) -> str:
    """Return a header without case, blanks and punctuation."""
    return re.sub(r"[\W_]", "", header).lower()


def field_of(name: str) -> str:
    """Return the field's name that rules have: `custom_field.FavoriteColor` → `custom_field_favorite_color`."""
    prefixes = {"external_id.": "external_identity_", "custom_field.": "custom_field_"}
    for prefix, written in prefixes.items():
        if name.startswith(prefix):
            return written + _words(name.removeprefix(prefix))
    if not name.startswith("subscription"):
        return name
    _, *channel_and_topic = name.split("/", 2)
    return "".join(
        ("is_subscribed", *(f"_{by}_{_words(of)}" for by, of in zip(("by", "on"), channel_and_topic, strict=False)))
    )


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def headers(project: Project) -> dict[str, str]:
    """Return normalised header → name of the value for everything that a file of this project can have."""
    names_by_header = {normalised(name): name for name in (*COLUMNS, *OF_THE_ACTION)}
    names_by_header["issubscribed"] = "subscription"
    for channel in project.channels:
        names_by_header[normalised(f"IsSubscribedBy{channel}")] = f"subscription/{channel}"
        for topic in project.topics:
            names_by_header[normalised(f"IsSubscribedBy{channel}On{topic}")] = f"subscription/{channel}/{topic}"
    for system in project.external_identities:
        names_by_header[normalised(f"ExternalIdentity{system}")] = f"external_id.{system}"
    if len(project.external_identities) == 1:
        names_by_header["externalid"] = f"external_id.{project.external_identities[0]}"
    for custom in project.custom_fields:
        names_by_header[normalised(f"CustomField{custom.name}")] = f"custom_field.{custom.name}"
        names_by_header.setdefault(normalised(custom.name), f"custom_field.{custom.name}")
    return names_by_header


def read_rows(text: str, job: Import, *, delimiter: str = ",") -> list[Row]:
    """Read a file: each record as a row, with the rules that it breaks by itself."""
    stream = io.StringIO(text, newline="")
    names_by_header = headers(job.project)
    names: list[str | None] | None = None
    rows: list[Row] = []
    reader = csv.reader(stream, delimiter=delimiter)
    begin = 1
    for cells in reader:
        line, begin = begin, reader.line_num + 1
        if names is None:
            names = [names_by_header.get(normalised(header)) for header in cells]
            names = [name if name is None or _is_taken_from_file(name, job) else None for name in names]
        elif cells and (len(cells) > 1 or cells[0].strip()):
            rows.append(_read_row(line, names, cells, job))
    return rows


def _is_taken_from_file(name: str, job: Import) -> bool:
    if name.endswith("_point_of_contact"):
        return job.take_point_of_contact_from_file
    if name.endswith("_action_template"):
        return job.take_action_template_from_file
    return True


NEVER_CLEARED = OF_THE_ACTION
NEVER_DROPPED = ("email", "mobile_phone", "last_update_point_of_contact", "last_update_action_template",
                 "source_point_of_contact", "source_action_template")  # fmt: skip


def _read_row(line: int, names: list[str | None], cells: list[str], job: Import) -> Row:
    if len(cells) != len(names):
        return Row(line, {}, frozenset({"row.ragged"}))
    values: Values = {}
    rules: dict[str, set[str]] = {}
    warnings: set[str] = set()
    sent: set[str] = set()
    for name, cell in zip(names, (cell.strip() for cell in cells), strict=True):
        if name is None or not cell:
            continue
        if cell == "%CLEAR%" and name not in NEVER_CLEARED:
            values[name] = CLEAR
            continue
        sent.add(name)
        value, problem = _read_cell(name, cell, job)
        problem = problem or _judge(name, value, job)
        if problem == "unknown_template":  # and no action, whatever the row's other template is
            warnings.add(f"{name}.{problem}")
        elif problem is not None:
            rules.setdefault(name, set()).add(f"{field_of(name)}.{problem}")
            continue
        values[name] = value
    is_dropping = job.on_invalid_optional == "drop_value"
    dropped = {
        field_of(name): frozenset(broken) for name, broken in rules.items() if is_dropping and _is_droppable(name)
    }
    broken = {rule for name, of_field in rules.items() if field_of(name) not in dropped for rule in of_field}
    if not any(name in ("email", "mobile_phone") or name.startswith("external_id.") for name in sent):
        broken.add("row.no_identifier")
    return Row(line, values, frozenset(broken), frozenset(warnings), dropped)


def _is_droppable(name: str) -> bool:
    return name not in NEVER_DROPPED and not name.startswith("external_id.")


_ROUNDED = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]+")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female", "w": "female"}


def _read_cell(name: str, cell: str, job: Import) -> tuple[Any, str | None]:
    """Return (value, None) or (None, what is wrong)."""
    custom = next(
        (custom_field for custom_field in job.project.custom_fields if name == f"custom_field.{custom_field.name}"),
        None,
    )
    kind = str(custom.type) if custom else _KINDS.get(name, "subscription" if "subscription" in name else "identifier")
    match kind:
        case "email":
            return _read_email(cell)
        case "phone":
            return _read_phone(cell, job.project.default_phone_region)
        case "boolean" | "subscription":
            answer = _WORDS.get(cell.lower())
            return answer, None if answer is not None else "not_boolean"
        case "sex":
            return _SEXES.get(cell.lower()), None if cell.lower() in _SEXES else "unknown_choice"
        case "enum":
            assert custom is not None
            meant = {value.lower(): value for value in custom.values}.get(cell.lower())
            return meant, None if meant else "unknown_choice"
        case "identifier":
            return (None, "spreadsheet_number") if _ROUNDED.fullmatch(cell) else (cell, None)
        case "integer":
            if not re.fullmatch("-?[0-9]+", cell):
                return None, "not_integer"
            return (None, "too_many_digits") if len(cell.lstrip("-")) > 18 else (int(cell), None)
        case "decimal":
            return _read_decimal(cell)
        case "date" | "datetime":
            at, problem = _read_date(cell, job, has_short_years=name == "birth_date")
            if at is None or problem:
                return None, problem
            if kind == "date":
                return (at.date().isoformat() if custom else at.date()), None
            at = at.astimezone(UTC)
            return (_iso(at) if custom else at), None
    return cell, None


_KINDS = {
    "email": "email", "is_email_confirmed": "boolean", "mobile_phone": "phone", "is_mobile_phone_confirmed": "boolean",
    "discount_card": "identifier", "sex": "sex", "birth_date": "date", "last_update_date_time": "datetime",
    "source_date_time": "datetime", **dict.fromkeys((*NAME_PARTS, "area", "full_name"), "text"),
}  # fmt: skip


def _iso(at: datetime) -> str:
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{at.microsecond:06d}Z" if at.microsecond else f"{text}Z"


def _read_email(cell: str) -> tuple[str | None, str | None]:
    if len(cell) > 254:
        return None, "too_long"
    try:
        judged = validate_email(cell, check_deliverability=False)
    except EmailNotValidError:
        return None, "not_email"
    local_part, _, domain = cell.rpartition("@")
    return f"{local_part}@{domain if domain.isascii() else judged.ascii_domain}", None


def _read_phone(cell: str, region: str) -> tuple[str | None, str | None]:
    if _ROUNDED.fullmatch(cell):
        return None, "spreadsheet_number"
    try:
        number = phonenumbers.parse(cell, region)
    except phonenumbers.NumberParseException:
        return None, "not_phone"
    if not phonenumbers.is_valid_number(number):
        return None, "invalid_phone"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), None


def _read_decimal(cell: str) -> tuple[Decimal | None, str | None]:
    pointed = cell.replace(",", ".")
    if not re.fullmatch(r"-?[0-9]+(?:\.[0-9]+)?", pointed):
        return None, "not_decimal"
    whole, _, rest = pointed.lstrip("-").partition(".")
    if len(rest) > 2:
        return None, "too_many_decimals"
    return (None, "too_many_digits") if len(whole) > 16 else (Decimal(pointed), None)


_DAYS = (
    r"(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)",
    r"(?P<y>\d{4})\.(?P<m>\d\d)\.(?P<d>\d\d)",
    r"(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>\d{4})",
)
_SLASHED = {
    "month_first": r"(?P<m>\d\d)/(?P<d>\d\d)/(?P<y>\d{4}|\d\d)",
    "day_first": r"(?P<d>\d\d)/(?P<m>\d\d)/(?P<y>\d{4}|\d\d)",
}
_TIME = r"(?:[ T](?P<hh>\d\d?):(?P<mm>\d\d)(?::(?P<ss>\d\d)(?:\.(?P<f>\d{1,9}))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?"


def _read_date(cell: str, job: Import, *, has_short_years: bool) -> tuple[datetime | None, str | None]:
    forms = [*_DAYS, _SLASHED.get(job.slash_dates)]
    match = next((hit for form in forms if form and (hit := re.fullmatch(form + _TIME, cell, re.ASCII))), None)
    if match is None:
        is_slashed = any(re.fullmatch(form + _TIME, cell, re.ASCII) for form in _SLASHED.values())
        return None, "slash_date" if is_slashed and job.slash_dates == "refuse" else "not_date"
    year = int(match["y"])
    if len(match["y"]) == 2:
        if not has_short_years:
            return None, "not_date"
        year += 2000 if 2000 + year <= job.launched_at.year else 1900
    second, fraction = match["ss"] or "0", (match["f"] or "0").ljust(6, "0")[:6]
    try:
        at = datetime(year, int(match["m"]), int(match["d"]), int(match["hh"] or 0), int(match["mm"] or 0), int(second),
                      int(fraction), tzinfo=UTC)  # fmt: skip
    except ValueError:
        return None, "impossible_date"
    zone = match["zone"]
    if zone and zone != "Z" and not has_short_years:
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
        at -= offset if zone[0] == "+" else -offset
    return at, None


def _judge(name: str, value: Any, job: Import) -> str | None:
    """Return what is wrong with a value that could be read."""
    if name in NAME_PARTS and len(value) > 100:
        return "too_long"
    if isinstance(value, str) and name not in ("email", "mobile_phone") and len(value) > 1000:
        return "too_long"
    if name == "birth_date" and value > job.launched_at.date():
        return "in_the_future"
    if name in ("last_update_date_time", "source_date_time") and value > job.launched_at:
        return "in_the_future"
    if name.endswith("_point_of_contact") and value not in {
        contact.external_id for contact in job.project.points_of_contact
    }:
        return "unknown"
    templates = {template.system_name for template in job.project.action_templates}
    return "unknown_template" if name.endswith("_action_template") and value not in templates else None
