"""The declarations of gift card pools and gift cards, and the files that ship with them. Source: spec sections 2, 3."""

import csv
import io
from fnmatch import fnmatchcase
from string import Formatter

import pytest

from include.columns.mapping import How, map_columns
from include.declaration.fields import Kind
from include.declaration.import_type import ImportType
from include.import_types import IMPORT_TYPES
from include.project.loader import load_project

pytestmark = pytest.mark.unit

EXAMPLE_OF_THE_SOURCE = (
    b"pool_name,pool_system_name,arbitrary_value,partial_redemption,external_product_id,external_system,brand,"
    b"cvv_required,card_value,expiration_type,lifetime\n"
    b"Holiday $50,holiday_50,false,true,gc-holiday-50,website,Acme,true,50,Year,2\n"
    b"Flexible Gift,flexible_gift,true,true,gc-flexible,website,Acme,false,,NoExpiration,\n"
)


def fields_of(header: list[str], import_type: ImportType) -> list[str]:
    mapping = map_columns(header, import_type.all_fields(load_project()), {}, import_type)
    assert {column.how for column in mapping.columns} == {How.EXACT}
    return [str(column.field) for column in mapping.columns]


def header_of(text: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("import_type", IMPORT_TYPES.values(), ids=IMPORT_TYPES)
class TestEveryType:
    def test_the_template_is_the_header_of_all_fields_and_maps_completely(self, import_type):
        names = [field.name for field in import_type.fields]
        assert fields_of(header_of(import_type.template), import_type) == names

    def test_the_header_of_the_sample_maps_completely(self, import_type):
        mapped = set(fields_of(header_of(import_type.sample.read_text()), import_type))
        declared = {field.name for field in import_type.fields}
        newer = {"max_card_value"}  # than the source, whose example ships byte for byte (GP-01)
        assert declared - newer <= mapped
        assert bool(mapped - declared) == (import_type.dynamic is not None)

    def test_every_name_label_and_alias_is_the_header_of_its_field(self, import_type):
        required = {field.name for field in import_type.fields if field.required}
        identifying = [field.name for field in import_type.fields if field.identifies]
        for field in import_type.fields:
            for header in (field.name, field.label, *field.aliases):
                others = sorted({*required, *identifying[:1]} - {field.name})
                assert fields_of([header, *others], import_type) == [field.name, *others]

    def test_keys_lookups_and_defaults_name_what_is_declared(self, import_type):
        fields = {field.name: field for field in import_type.fields}
        assert import_type.key in fields
        assert {lookup.field for lookup in import_type.lookups} <= set(fields)
        for field in fields.values():
            assert (field.kind is Kind.ENUM) == bool(field.choices)
            assert field.default is None or field.default in field.choices
            assert field.description.endswith(".")
            assert not field.is_secret or field.sensitive

    def test_rules_of_the_load_are_of_fields_and_their_sentences_have_known_places(self, import_type):
        fields = {field.name: field for field in import_type.all_fields(load_project())}
        for rule in import_type.load_rules:
            pattern = rule.id.split(".")[0]
            meant = [field for name, field in fields.items() if fnmatchcase(name, pattern)]
            assert meant or pattern in ("row", "external_id")
            places = {name for _, name, _, _ in Formatter().parse(rule.message) if name is not None}
            assert places <= {"value", "line", "fields"} | ({"label"} if "*" in pattern else set())
            assert not (any(field.sensitive for field in meant) and "value" in places)
            assert rule.source


def test_gp01_the_sample_of_pools_is_the_example_of_the_source_byte_for_byte():
    assert IMPORT_TYPES["gift_card_pools"].sample.read_bytes() == EXAMPLE_OF_THE_SOURCE


def test_the_fields_of_pools_and_which_need_a_column():
    pools = IMPORT_TYPES["gift_card_pools"]
    assert {field.name: (field.kind, field.required) for field in pools.fields} == {
        "name": (Kind.IDENTIFIER, True),
        "system_name": (Kind.IDENTIFIER, True),
        "supports_arbitrary_value": (Kind.BOOLEAN, True),
        "supports_partial_redemption": (Kind.BOOLEAN, True),
        "product_external_id": (Kind.IDENTIFIER, True),
        "product_external_system": (Kind.IDENTIFIER, True),
        "brand": (Kind.IDENTIFIER, True),
        "cvv_required": (Kind.BOOLEAN, True),
        "card_value": (Kind.DECIMAL, False),
        "expiration_type": (Kind.ENUM, False),
        "lifetime_years": (Kind.INTEGER, False),
        "max_card_value": (Kind.DECIMAL, False),
    }
    assert pools.settings.utf8_alone
    assert not pools.edits


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("PoolName", "name"), ("PoolSystemName", "system_name"), ("ProductExternalId", "product_external_id"),
        ("ExternalSystem", "product_external_system"), ("Brand", "brand"), ("IsCvvRequired", "cvv_required"),
        ("Amount", "card_value"), ("IsCustomAmount", "supports_arbitrary_value"),
        ("IsPartialUse", "supports_partial_redemption"), ("ExpirationType", "expiration_type"),
        ("Expiration", "lifetime_years"),
    ],
)  # fmt: skip
def test_further_names_of_the_columns_of_pools(header, field):
    pools = IMPORT_TYPES["gift_card_pools"]
    declared = next(pool_field for pool_field in pools.fields if pool_field.name == field)
    assert header in declared.aliases


def test_the_fields_of_gift_cards_and_which_need_a_column():
    cards = IMPORT_TYPES["gift_cards"]
    fields = {field.name: (field.kind, field.required) for field in cards.fields}
    of_source = {
        "card_number": (Kind.IDENTIFIER, True),
        "pool_system_name": (Kind.IDENTIFIER, True),
        "cvv": (Kind.IDENTIFIER, False),
        "balance": (Kind.DECIMAL, True),
        "point_of_contact": (Kind.IDENTIFIER, False),
        "purchased_at": (Kind.DATETIME, False),
        "status": (Kind.ENUM, False),
    }
    further = {name: (fields[name][0], False) for name in fields.keys() - of_source}  # of which no file needs a column
    assert fields == of_source | further
    assert [field.name for field in cards.fields if field.is_secret] == ["cvv"]
    assert [field.name for field in cards.fields if field.sensitive] == ["card_number", "cvv"]
    assert next(field.default for field in cards.fields if field.name == "status") == "Inactive"
