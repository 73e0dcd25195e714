"""Rows of every import type, for the tests over all of them: made from the declaration and the sample.

What a type's fields ask of one another is said here, since no declaration has it. A new type needs no entry.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import yaml

from include.columns.mapping import map_columns
from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.ledger.jobs import JobResult
from include.project.loader import PROJECT_YAML, load_project
from include.project.sync import sync
from include.settings.defaults import load_defaults
from tests.imports import Site
from tools.new_type.files import example

Row = dict[str, str]
"""A row of a file: name of a field → cell."""

SECOND_ENTRIES: Mapping[str, list[object]] = {
    "points_of_contact": [{"external_id": "site-second", "brand": "Demo"}],
    "action_templates": [{"system_name": "ImportedFromShop", "category": "Personal action"}],
    "promo_code_formats": [{"name": "winter", "alphabet": "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", "length": 12}],
}
"""Beside the shipped project's, so that each field that names an entry has another value to take."""

FULL: Mapping[str, Row] = {
    "gift_card_pools": {"max_card_value": "60"},
    "gift_cards": {"pool_system_name": "flexible_gift"},
    "promo_code_pools": {"fill_method": "generate", "format": "summer", "quantity": "100", "launch": "false"},
    "promo_codes": {"pool": "spring_sale"},
    "customers": {"full_name": "", "is_subscribed_by_email_on_news": "false"},
}
"""Cells of the row with a value in every field, in place of the sample's."""

OTHER: Mapping[tuple[str, str], Row] = {
    ("gift_card_pools", "supports_arbitrary_value"): {"supports_arbitrary_value": "true", "card_value": ""},
    ("gift_card_pools", "card_value"): {"card_value": "55"},
    ("gift_card_pools", "expiration_type"): {"expiration_type": "NoExpiration", "lifetime_years": ""},
    ("gift_card_pools", "lifetime_years"): {"lifetime_years": "3"},
    ("gift_cards", "cvv"): {"cvv": "445"},
    ("gift_cards", "pool_system_name"): {"pool_system_name": "holiday_50"},
    ("promo_code_pools", "multi_use"): {"multi_use": "true", "issue_check": "false"},
    ("promo_code_pools", "issue_check"): {"issue_check": "true"},
    ("promo_codes", "pool"): {"pool": "friends"},
    ("promo_codes", "issue_end"): {"issue_end": "2098-12-31"},
    ("promo_codes", "available_till"): {"available_till": "2098-12-31"},
    ("customers", "full_name"): {"full_name": "Carol", "first_name": "", "last_name": "", "middle_name": ""},
    ("customers", "last_update_point_of_contact"): {
        "last_update_point_of_contact": "site-second",
        "last_update_action_template": "ImportedFromShop",
        "area": "Boston",
    },
    ("customers", "last_update_action_template"): {
        "last_update_action_template": "ImportedFromShop",
        "area": "Boston",
    },
    ("customers", "last_update_date_time"): {"last_update_date_time": "2025-05-05 05:05", "area": "Boston"},
}
"""(type, field) → cells with which the field has another value and the row still loads."""

UNIQUE: Mapping[str, Sequence[str]] = {"gift_card_pools": ("product_external_id",)}
"""Type → fields beside the key that no two rows share."""

_SUBSCRIBED = (
    "(SELECT is_subscribed FROM loyalty.customer_subscription WHERE customer_id = target.id"
    " AND channel IS NOT DISTINCT FROM {} AND topic IS NOT DISTINCT FROM {})"
)
_ACTION = (
    "(SELECT {} FROM loyalty.customer_action WHERE customer_id = target.id AND kind = '{}'"
    " ORDER BY number DESC LIMIT 1)"
)
STORED: Mapping[str, Mapping[str, str]] = {
    "gift_cards": {"cvv": "cvv_hash"},
    "promo_code_pools": {"launch": "state"},
    "promo_codes": {"pool": "pool_system_id"},
    "customers": {
        "external_identity_website": "(SELECT value FROM loyalty.customer_external_id WHERE customer_id = target.id)",
        "custom_field_favorite_color": "custom_fields ->> 'FavoriteColor'",
        "is_subscribed": _SUBSCRIBED.format("NULL", "NULL"),
        "is_subscribed_by_email": _SUBSCRIBED.format("'Email'", "NULL"),
        "is_subscribed_by_email_on_news": _SUBSCRIBED.format("'Email'", "'News'"),
        "is_subscribed_by_sms": _SUBSCRIBED.format("'Sms'", "NULL"),
        "source_point_of_contact": _ACTION.format("point_of_contact", "creation"),
        "source_action_template": _ACTION.format("action_template", "creation"),
        "source_date_time": "created_at",
        "last_update_point_of_contact": _ACTION.format("point_of_contact", "edit"),
        "last_update_action_template": _ACTION.format("action_template", "edit"),
        "last_update_date_time": _ACTION.format("acted_at", "edit"),
    },
}
"""Type → field → expression over the first target, `target`, where it isn't the column of the same name."""

OF_CREATIONS: Mapping[str, Sequence[str]] = {
    "customers": ("source_point_of_contact", "source_action_template", "source_date_time")
}
"""Fields that say how a row comes to be: they change no stored one."""
OF_EDITS: Mapping[str, Sequence[str]] = {
    "customers": ("last_update_point_of_contact", "last_update_action_template", "last_update_date_time")
}
"""Fields that say how a row is changed: a new one has no place for them."""


@dataclass(frozen=True)
class Place:
    """A site for one type, with what its rows refer to."""

    site: Site
    import_type: ImportType

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The declared fields, and those of the project settings that the sample has."""
        declared = self.import_type.fields
        added = self.import_type.all_fields(self.site.runtime.project)[len(declared) :]
        return declared + tuple(field for field in added if field.name in self._sample_rows[0])

    @property
    def others(self) -> list[Field]:
        """The fields beside the key."""
        return [field for field in self.fields if field.name != self.import_type.key]

    @cached_property
    def _sample_rows(self) -> list[Row]:
        header, *rows = csv.reader(io.StringIO(self.import_type.sample.read_text()))
        fields = self.import_type.all_fields(self.site.runtime.project)
        switches = dict.fromkeys(self.settings, True)
        mapping = map_columns(header, fields, {}, self.import_type, switches)
        names = [str(column.field) for column in mapping.columns]
        return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(header)]

    @cached_property
    def settings(self) -> dict[str, object]:
        """Settings without which a field's column is ignored, and no question to a person."""
        enabled = {field.enabled_by: True for field in self.import_type.fields if field.enabled_by}
        return {"review_columns": False, **enabled}

    @cached_property
    def full(self) -> Row:
        """The sample's fullest row, with a value of its kind in each field that is blank there."""
        fullest = max(self._sample_rows, key=lambda row: sum(map(bool, row.values())))
        cells = {field.name: fullest.get(field.name) or self._value(field, 1) for field in self.fields}
        return cells | FULL.get(self.import_type.name, {})

    def row(self, number: int, **cells: str) -> Row:
        """Return the full row with a key of its own, and with other cells."""
        own = {name: self._own(name, number) for name in UNIQUE.get(self.import_type.name, ())}
        for field in self.fields:
            if field.name == self.import_type.key or field.identifies:
                own[field.name] = self._own(field.name, number)
        return self.full | own | cells

    def _own(self, name: str, number: int) -> str:
        field = next(field for field in self.fields if field.name == name)
        if field.kind in (Kind.TEXT, Kind.IDENTIFIER):
            return f"{self.full[name]}-{number}"
        return f"+1 202-555-01{number:02}" if field.kind is Kind.PHONE else example(field, number)

    def other(self, field: Field) -> Row:
        """Return cells with which a field has another value than in the full row."""
        return OTHER.get((self.import_type.name, field.name)) or {field.name: self._other_value(field)}

    def _other_value(self, field: Field) -> str:
        before = self.full[field.name]
        if field.kind is Kind.BOOLEAN:
            return "false" if before in ("true", "yes", "1") else "true"
        if field.kind is Kind.ENUM:
            return next(choice for choice in field.choices if choice != before)
        return self._value(field, 9, but=before)

    def _value(self, field: Field, number: int, but: str = "") -> str:
        lookup = next((lookup for lookup in self.import_type.lookups if lookup.field == field.name), None)
        if lookup is None:
            return example(field, number)
        return next(key for key, *_ in sorted(self.site.query(lookup.query)) if key != but)

    def load(self, rows: Sequence[Row], **parameters: object) -> JobResult:
        """Import rows with a column for each field."""
        out = io.StringIO()
        writer = csv.DictWriter(out, [field.name for field in self.fields], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return self.site.load(self.import_type.name, out.getvalue(), settings=self.settings, **parameters)

    def stored(self, field: Field, job: JobResult, line: int) -> object:
        """Return what is stored of a field in the row that a job has added from a line."""
        expression = STORED.get(self.import_type.name, {}).get(field.name, f'target."{field.name}"')
        rows = self.site.query(
            f"SELECT {expression} FROM {self.import_type.targets[0]} AS target "
            "WHERE import_job_id = :job AND import_line = :line",
            job=job.job,
            line=line,
        )
        assert len(rows) == 1, f"line {line} was not added"
        value = rows[0][0]
        return bytes(value) if isinstance(value, memoryview) else value


def make_place(site: Site, folder: Path, name: str) -> Place:
    """Return a place for a type: the project has two of everything, the types that go first have their samples in."""
    project = yaml.safe_load(PROJECT_YAML.read_text(encoding="utf-8"))
    for key, entries in SECOND_ENTRIES.items():
        project[key] += entries
    path = folder / "project.yaml"
    path.write_text(yaml.safe_dump(project, allow_unicode=True), encoding="utf-8")
    with site.warehouse.owner.begin() as connection:
        sync(connection, load_project(path))
    site = replace(site, runtime=replace(site.runtime, project_file=path))
    types = site.runtime.import_types
    defaults = load_defaults(types).get(name)
    for earlier in defaults.values.get("after", {}) if defaults else ():
        assert site.load(earlier, types[earlier].sample.read_bytes()).state.startswith("completed")
    return Place(site, types[name])
