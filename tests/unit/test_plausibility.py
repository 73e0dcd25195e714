"""What columns hold beside what their fields usually hold. Source: X-05, X-18, X-20."""

from __future__ import annotations

import csv
import re
import time
from itertools import combinations, permutations

import pyarrow as pa
import pytest

from include.columns.mapping import map_columns
from include.declaration.fields import Look
from include.import_types import IMPORT_TYPES
from include.project.loader import load_project
from include.rules.plausibility import (
    ALIKE_BUT_NEVER_EQUAL,
    ENOUGH,
    FEWEST,
    MAY_BE_EQUAL,
    MOST_ROWS,
    Form,
    describe_oddities,
    form_of,
    look_of,
)
from tests.exchanged_columns import MAKER_TYPES, Table, make_table, repeat, sample, shift

pytestmark = pytest.mark.unit

SWITCHES = {"take_point_of_contact_from_file": True, "take_action_template_from_file": True}
LOOKUP_VALUES = {
    "gift_cards": {"pool_system_name": {"holiday_50", "flexible_gift"}, "point_of_contact": {"site-main"}},
    "gift_card_pools": {"product_external_system": {"website", "pos"}, "brand": {"Acme", "Demo"}},
    "promo_codes": {"pool": {"spring_sale", "partner_shop", "friends"}},
    "promo_code_pools": {"format": {"summer"}},
    "customers": {
        "last_update_point_of_contact": {"site-main"}, "source_point_of_contact": {"site-main"},
        "last_update_action_template": {"ImportedFromCrm"}, "source_action_template": {"ImportedFromCrm"},
    },
}  # fmt: skip
"""What the lookups of the shipped project know."""


def oddities(import_type: str, table: Table, *, fewest: int = FEWEST) -> list[str]:
    declared, project = IMPORT_TYPES[import_type], load_project()
    mapping = map_columns(table[0], declared.all_fields(project), {}, declared, SWITCHES)
    rows = [row for row in table[1 : 1 + MOST_ROWS] if len(row) == len(table[0])]
    columns = {name: pa.array([row[index] for row in rows]) for name, index in mapping.field_indexes.items()}
    fields = declared.read_fields(project, mapping.field_indexes)
    return describe_oddities(declared, fields, mapping, columns, LOOKUP_VALUES.get(import_type, {}), fewest=fewest)


def cards(*rows: str, header: str = "Card number,Pool system name,Gift card CVV,Card balance") -> list[str]:
    return oddities("gift_cards", list(csv.reader([header, *rows])))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1.50", Form.AMOUNT), ("1,50", Form.AMOUNT), ("-3.5", Form.AMOUNT), ("50", Form.NUMBER), ("007", Form.NUMBER),
        ("6030000000000001", Form.LONG_NUMBER), ("6030 0000 0000 0001", Form.LONG_NUMBER),
        ("6.03E+15", Form.LONG_NUMBER), ("2024-12-24 10:30", Form.DATE), ("24.12.2024", Form.DATE),
        ("03/04/2025", Form.DATE), ("2025-01-05T09:00:00+01:00", Form.DATE), ("a@example.com", Form.EMAIL),
        ("+1 202-555-0143", Form.PHONE), ("(202) 555-0178", Form.PHONE), ("true", Form.YES_NO), ("N", Form.WORDS),
        ("Иван", Form.WORDS), ("O'Hara", Form.WORDS), ("SPRING-0001", Form.CODE), ("Holiday $50", Form.TEXT),
        ("New York", Form.TEXT), ("two\nlines", Form.TEXT),
    ],
)  # fmt: skip
def test_each_value_has_one_form(text: str, form: Form):
    assert form_of(text) is form


@pytest.mark.parametrize("import_type", IMPORT_TYPES)
def test_x18_an_honest_sample_is_not_asked_about(import_type: str):
    assert oddities(import_type, sample(import_type)) == []


@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_an_honest_file_is_not_asked_about(import_type: str):
    assert oddities(import_type, make_table(import_type)) == []


def test_x18_amounts_as_card_numbers_and_card_numbers_as_balances_are_named_without_a_value():
    """S1-1: headers of card number and balance exchanged."""
    rows = [f"{number % 200}.50,flexible_gift,,6030{number:012}" for number in range(ENOUGH)]
    assert cards(*rows) == [
        "Column 1 (Card number) is read as Card number, but its first values are numbers with decimals, as expected of "
        "Card balance.",
        "Column 4 (Card balance) is read as Card balance, but its first values are numbers of twelve digits and more, "
        "as expected of Card number.",
    ]


def test_x18_dates_are_recognised_by_what_distinguishes_fields_of_dates():
    births = [[f"u{n}@example.com", f"2024-01-{n % 9 + 1:02} 10:30", f"19{60 + n}-03-04"] for n in range(ENOUGH)]
    message = " ".join(oddities("customers", [["Email", "BirthDate", "SourceDateTime"], *births]))
    assert "dates before 1995, as expected of Birth date" in message
    assert "dates with a time of day, as expected of " in message


def test_x18_of_two_columns_the_second_is_named_in_mid_sentence():
    rows = [[f"u{n}@example.com", "Maria Li", "Maria"] for n in range(ENOUGH)]
    (sentence,) = oddities("customers", [["Email", "First name", "Full name"], *rows])
    assert sentence.startswith("Column 2 (First name) and column 3 (Full name) seem to be exchanged: ")


def test_x18_two_amounts_are_too_few_to_say_something_and_three_are_enough():
    rows = ["1.50,flexible_gift,,6030000000000001", "2.50,flexible_gift,,6030000000000002"]
    assert cards(rows[0]) == []
    assert len(cards(*rows, "3.50,flexible_gift,,6030000000000003")) == 2


def test_x18_an_odd_value_among_good_ones_asks_nobody():
    rows = [f"6030{number:012},flexible_gift,{number:03},{number}" for number in range(ENOUGH)]
    assert cards(*rows, "1.50,flexible_gift,2024-01-01,6030000000000999") == []


def test_x18_mistakes_that_look_like_no_other_field_ask_nobody():
    """Rows with them are rejected, as ever (X-07)."""
    assert cards(*[f"6030{number:012},nowhere,{number:03},{number} USD" for number in range(50)]) == []


def test_x18_a_key_of_which_most_values_repeat_is_asked_about():
    rows = [f"6030{number % 8:012},flexible_gift,,10" for number in range(ENOUGH)]
    assert cards(*rows) == [
        "Column 1 (Card number) is read as Card number, which no two rows may share, but more than half of its first "
        "20 values are there more than once."
    ]
    assert cards(*[f"6030{number % 10:012},flexible_gift,,10" for number in range(ENOUGH)]) == []


def test_cu13_a_customer_may_have_many_rows():
    assert oddities("customers", [["Email", "LastName"], *([f"a{n % 2}@example.com", "Lee"] for n in range(50))]) == []


def test_x18_pools_as_card_numbers_are_recognised_by_the_names_that_are_known():
    rows = [f"flexible_gift,6030{number:012},,10" for number in range(FEWEST)]
    assert "names that Pool system name may have, as expected of Pool system name." in " ".join(cards(*rows))


def test_x18_amounts_of_the_length_of_cvvs_are_recognised_by_leading_zeros():
    rows = [f"6030{number:012},flexible_gift,{100 + number},{number * 7 % 1000:03}" for number in range(ENOUGH)]
    assert len(cards(*rows)) == 1


def test_x18_a_pattern_that_one_code_alone_matches_is_no_pattern():
    header = ["Pool ID", "Pool name", "Code pattern"]
    assert oddities("promo_code_pools", [header, ["", "Spring sale", "spring_sale"]]) == [
        "Column 3 (Code pattern) is read as Code pattern, but its first values are words without digits."
    ]
    assert oddities("promo_code_pools", [header, ["spring_sale", "Spring sale", "SPRING-[0-9]{4}"]]) == []


def test_x09_a_handful_of_corrected_rows_is_not_asked_about():
    table = [
        ["Card number", "Pool system name", "Card balance"],
        *([f"{n}.50", "flexible_gift", "1"] for n in range(9)),
    ]
    assert oddities("gift_cards", table) != []
    assert oddities("gift_cards", table, fewest=ENOUGH) == []


def test_x20_a_header_that_may_be_data_is_masked():
    """A file whose header is a row: a person has mapped its columns."""
    declared = IMPORT_TYPES["gift_cards"]
    header = ["6030000000000000", "flexible_gift", "5.00"]
    chosen = {header[0]: "balance", header[1]: "pool_system_name", header[2]: "card_number"}
    mapping = map_columns(header, declared.fields, chosen, declared)
    cells = [[f"6030{n:012}" for n in range(5)], ["flexible_gift"] * 5, [f"{n}.50" for n in range(5)]]
    columns = {name: pa.array(cells[index]) for name, index in mapping.field_indexes.items()}
    sentences = describe_oddities(declared, declared.fields, mapping, columns, LOOKUP_VALUES["gift_cards"])
    assert [sentence[:18] for sentence in sentences] == ["Column 1 (603…) is", "Column 3 (5…) is r"]
    assert not re.search(r"6030|5\.00|flexible_gift", " ".join(sentences))


ALIKE = {
    Look.PERSON: "a first name may be a last name",
    Look.YES_NO: "yes is yes",
    Look.COUNT: "any number may be any count",
    Look.MOMENT: "a start may be an end; windows the wrong way round are rejected (PC-03)",
    Look.NAME: "names, descriptions and campaigns are what somebody calls a thing",
    Look.SYSTEM_NAME: "identifiers of the same making; both load as they are",
    Look.IDENTIFIER: "a discount card may be an external identifier; external systems and brands must be known",
    Look.CHOICE: "a word of the other one is rejected (X-16)",
}
"""Looks of which a type has several fields, with the reason why nothing can see an exchange between them."""


def test_x18_the_fields_that_look_alike_are_those_that_nothing_can_distinguish():
    project = load_project()
    looks = {
        look_of(one)
        for declared in map(IMPORT_TYPES.of, MAKER_TYPES)
        for one, other in combinations(declared.all_fields(project), 2)
        if look_of(one) is look_of(other)
    }
    by_their_rules = {Look.AMOUNT}  # a value is at most its limit
    assert looks == set(ALIKE) | by_their_rules


@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_columns_shifted_by_any_number_are_asked_about(import_type: str):
    table = make_table(import_type)
    assert [by for by in range(1, len(table[0])) if not oddities(import_type, shift(table, by))] == []


@pytest.mark.parametrize("import_type", MAKER_TYPES)
def test_x18_a_column_that_repeats_another_ones_values_is_asked_about_unless_both_may_hold_the_same(import_type: str):
    table, declared, project = make_table(import_type, 100), IMPORT_TYPES[import_type], load_project()
    fields = {field.name: field for field in declared.all_fields(project)}
    mapping = map_columns(table[0], tuple(fields.values()), {}, declared, SWITCHES)
    looks = [look_of(fields[str(column.field)]) for column in mapping.columns]
    unseen = {
        (looks[source], looks[target])
        for source, target in permutations(range(len(looks)), 2)
        if not oddities(import_type, repeat(table, source, target))
    }
    may_be_equal = [*MAY_BE_EQUAL, *({look} for look in ALIKE if look not in ALIKE_BUT_NEVER_EQUAL), {Look.AMOUNT}]
    assert [pair for pair in unseen if not any({*pair} <= group for group in may_be_equal)] == []


@pytest.mark.parametrize("digits", [1, 3, 7, 10])
def test_x18_card_numbers_that_are_the_balances_too_are_asked_about(digits: int):
    rows = [f"{4 * 10**digits + n},flexible_gift,,{4 * 10**digits + n}" for n in range(ENOUGH)]
    assert cards(*rows) == [
        "Column 1 (Card number) and column 4 (Card balance) hold the same values, row by row, but are read as Card "
        "number and Card balance."
    ]


def test_x18_products_may_be_named_by_short_amounts_and_by_no_long_ones():
    def pools(digits: int) -> list[str]:
        table = make_table("gift_card_pools", ENOUGH)
        for number, row in enumerate(table[1:]):
            row[4] = row[8] = str(10**digits + number)
        return oddities("gift_card_pools", table)

    assert pools(2) == []
    assert len(pools(7)) == 1


def test_x18_last_names_as_first_names_are_asked_about():
    rows = [[f"u{n}@example.com", *[("Lee", "Stone", "Poe")[n % 3]] * 2] for n in range(ENOUGH)]
    (sentence,) = oddities("customers", [["Email", "FirstName", "LastName"], *rows])
    assert sentence.startswith("Column 2 (FirstName) and column 3 (LastName) hold the same values, row by row")


def test_x18_the_first_rows_of_customers_are_looked_at_in_a_moment():
    table = make_table("customers")
    started = time.process_time()
    for _ in range(5):
        oddities("customers", table)
    assert (time.process_time() - started) / 5 < 0.05
