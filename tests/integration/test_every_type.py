"""What holds for the load of every import type, by any author: nothing is lost, and a file again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.declaration.fields import Field
from include.import_types import IMPORT_TYPES
from tests.every_type import OF_CREATIONS, OF_EDITS, Place, make_place
from tests.imports import Site, counts, reasons, rejects

pytestmark = pytest.mark.integration


@pytest.fixture(params=IMPORT_TYPES)
def place(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Place:
    return make_place(site, tmp_path, request.param)


def test_every_field_is_stored(place: Place) -> None:
    """A row with another value in one field has another one stored: a field that the load forgets is named."""
    fields = [field for field in place.others if field.name not in OF_EDITS.get(place.import_type.name, ())]
    rows = [place.row(1), *(place.row(number, **place.other(field)) for number, field in enumerate(fields, start=2))]
    result = place.load(rows)
    assert rejects(result) == {}
    assert counts(result) == {"read": len(rows), "inserted": len(rows)}
    stored = {
        field.name: (place.stored(field, result, 2), place.stored(field, result, line))
        for line, field in enumerate(fields, start=3)
    }
    assert [name for name, (first, second) in stored.items() if second is None or first == second] == []


def test_the_key_is_stored(place: Place) -> None:
    key = next(field for field in place.fields if field.name == place.import_type.key)
    result = place.load([place.row(1), place.row(2)])
    assert [place.stored(key, result, line) for line in (2, 3)] == [place.row(n)[key.name] for n in (1, 2)]


def test_the_same_file_again_changes_nothing(place: Place) -> None:
    rows = [place.row(number) for number in range(1, 4)]
    assert counts(place.load(rows)) == {"read": 3, "inserted": 3}
    before = place.site.loyalty()
    assert counts(place.load(rows, force=True)) == {"read": 3, "unchanged": 3}
    assert place.site.loyalty() == before


def test_each_field_changed_alone_is_updated_or_rejected_with_its_name(place: Place) -> None:
    fields = [field for field in place.others if field.name not in OF_CREATIONS.get(place.import_type.name, ())]
    first = place.load([place.row(number) for number, _ in enumerate(fields)])
    assert counts(first)["inserted"] == len(fields)
    lines = dict(enumerate(fields, start=2))
    before = {line: place.stored(field, first, line) for line, field in lines.items()}
    second = place.load([place.row(number, **place.other(field)) for number, field in enumerate(fields)])
    named = reasons(second)
    rejected = {line: field for line, field in lines.items() if line in named}
    unnamed = [field.name for line, field in rejected.items() if not is_named(field, named[line])]
    assert unnamed == []
    updated = {line: field for line, field in lines.items() if line not in named}
    same = [field.name for line, field in updated.items() if place.stored(field, first, line) == before[line]]
    assert same == []
    assert counts(second) == {
        name: value
        for name, value in {"read": len(fields), "updated": len(updated), "rejected": len(rejected)}.items()
        if value
    }
    assert bool(updated) == place.import_type.edits


def is_named(field: Field, sentence: str) -> bool:
    return field.name in sentence or field.label in sentence


def test_a_repeat_names_the_line_of_the_first(place: Place) -> None:
    """Customers have no repeats: a later row edits the customer of the first (CU-13). Source: X-17."""
    rule = f"{place.import_type.key}.duplicate_in_file"
    result = place.load([place.row(1), place.row(2), place.row(1)])
    if rule not in {declared.id for declared in place.import_type.load_rules}:
        assert place.import_type.name == "customers"
        assert counts(result) == {"read": 3, "inserted": 2, "unchanged": 1}
        return
    assert rejects(result)[4] >= {rule}
    assert "first seen on line 2" in reasons(result)[4]
    assert counts(result) == {"read": 3, "inserted": 2, "rejected": 1}


def test_a_dry_run_counts_the_same_and_changes_nothing(place: Place) -> None:
    """Source: X-19."""
    content = place.import_type.sample.read_bytes()
    before = place.site.loyalty()
    rehearsed = place.site.load(place.import_type.name, content, settings=place.settings, dry_run=True)
    assert place.site.loyalty() == before
    real = place.site.load(place.import_type.name, content, settings=place.settings)
    assert counts(rehearsed) == counts(real)
    assert rejects(rehearsed) == rejects(real)
    assert counts(real)["inserted"] > 0
    assert place.site.loyalty() != before
