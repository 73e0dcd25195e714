"""The customers' suite: for each rule a row that breaks it and nothing else, and the rows that don't."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from include.declaration.fields import Kind
from include.errors import SuiteError
from include.import_types.customers import CUSTOMERS
from include.project.model import CustomField, Project
from include.rules.suites import Checker, Suite, load_suite, sentences
from include.rules.wildcards import expand_entries
from tests.rules.frames import is_about_damage, read_rows

pytestmark = pytest.mark.rules

SUITE = Path(__file__).resolve().parents[2] / "expectations" / "customers.json"
PROJECT = Project(
    channels=("Email",),
    topics=("News",),
    external_identities=("website", "Über"),
    custom_fields=(
        CustomField(name="Color", type="string"),
        CustomField(name="Member", type="boolean"),
        CustomField(name="Children", type="integer"),
        CustomField(name="Spent", type="decimal"),
        CustomField(name="Wedding", type="date"),
        CustomField(name="LastSeen", type="datetime"),
        CustomField(name="Size {0}", type="enum", values=("S", "M")),
    ),
)
FIELDS = CUSTOMERS.all_fields(PROJECT)
UEBER = next(field.name for field in FIELDS if field.label == "External identity Über")
CONTACTS = {"site-main": {}}
TEMPLATES = {"ImportedFromCrm": {}}
LOOKUPS = {
    "last_update_point_of_contact": CONTACTS,
    "source_point_of_contact": CONTACTS,
    "last_update_action_template": TEMPLATES,
    "source_action_template": TEMPLATES,
}
ANN = {"email": "ann@example.com"}
FULL = ANN | {
    "is_email_confirmed": "yes", "mobile_phone": "(202) 555-0143", "is_mobile_phone_confirmed": "0",
    "discount_card": "0042", "area": "x" * 1000, "last_name": "x" * 100, "first_name": "Ann", "middle_name": "B",
    "full_name": "x" * 1000, "sex": "W", "birth_date": "29.02.1988", "is_subscribed": "true",
    "last_update_point_of_contact": "site-main", "last_update_action_template": "ImportedFromCrm",
    "last_update_date_time": "2026-03-01T13:00:00+01:00", "source_point_of_contact": "site-main",
    "source_action_template": "ImportedFromCrm", "source_date_time": "2026-03-01 12:00",
    "external_identity_website": "x" * 1000, UEBER: "0017", "is_subscribed_by_email": "no",
    "is_subscribed_by_email_on_news": "1", "custom_field_color": "x" * 1000, "custom_field_member": "yes",
    "custom_field_children": "2", "custom_field_spent": "10,50", "custom_field_wedding": "2999-01-01",
    "custom_field_last_seen": "2020-01-01 10:00", "custom_field_size_0": "m",
}  # fmt: skip
CLEARED = {field.name: "%CLEAR%" for field in FIELDS if field.clearable and field.name != "email"}


def suite() -> Suite:
    frame = read_rows("customers", [ANN], LOOKUPS, fields=FIELDS)
    return load_suite(SUITE, columns=set(frame.columns), settings={}, fields=FIELDS)


def broken(rows: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    frame = read_rows("customers", rows, LOOKUPS, fields=FIELDS)
    found: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(suite()).check(frame):
        for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
            found[row][result.rule.id] = sentence
    return found


@pytest.mark.parametrize(
    "row",
    [ANN, FULL, ANN | CLEARED, {"mobile_phone": "+12025550143"}, {"external_identity_website": "1"}, {UEBER: "1"}],
    ids=["an e-mail alone", "everything", "everything erased", "a phone alone", "an external id alone", "another one"],
)
def test_cu02_a_good_customer_breaks_no_rule(row: dict[str, str]) -> None:
    assert broken([row]) == [{}]


@pytest.mark.parametrize(
    "row",
    [
        {"discount_card": "1", "last_name": "Lee"},
        {"email": "%CLEAR%", "mobile_phone": "%CLEAR%", "external_identity_website": "%CLEAR%", UEBER: "%CLEAR%"},
        {"email": "  "},
    ],
    ids=["a discount card", "erased ones", "blank ones"],
)
def test_cu02_a_row_without_identifier_is_rejected(row: dict[str, str]) -> None:
    (found,) = broken([row])
    assert found == {
        "row.no_identifier": "The row has no e-mail, mobile phone or external identifier: one of them must say whose "
        "it is. A discount card does not count."
    }


def test_cu02_an_identifier_that_cannot_be_read_is_told_as_such_alone() -> None:
    assert [set(found) for found in broken([{"email": "ann"}, {"mobile_phone": "12"}])] == [
        {"email.not_email"},
        {"mobile_phone.invalid_phone"},
    ]


def flag_rule(field: str, label: str) -> tuple[str, dict[str, str], str]:
    return f"{field}.not_boolean", {field: "maybe"}, f"{label} 'maybe' is not true/false, yes/no or 1/0."


def identifier_rule(field: str, label: str) -> tuple[str, dict[str, str], str]:
    return (
        f"{field}.spreadsheet_number",
        {field: "1.23E+15"},
        f"{label} '1.23E+15' looks like a number that a program has rounded: its last digits "
        "may be lost. Format the column as text and "
        "export the file again.",
    )


def length_rule(field: str, label: str, longest: int) -> tuple[str, dict[str, str], str]:
    sent = "x" * (longest + 1)
    return f"{field}.too_long", {field: sent}, f"{label} has more than {longest} characters: '{'x' * 100}...'."


def date_rules(field: str, label: str) -> list[tuple[str, dict[str, str], str]]:
    return [
        (
            f"{field}.not_date",
            {field: "soon"},
            f"{label} 'soon' is not a date in a known form, such as 2024-02-29 or 29.02.2024 13:45.",
        ),
        (
            f"{field}.impossible_date",
            {field: "30.02.2020"},
            f"{label} '30.02.2020' is a day or a time that doesn't exist.",
        ),
        (
            f"{field}.slash_date",
            {field: "03/04/2020"},
            f"{label} '03/04/2020' may be month first or day first. Choose one with the setting slash_dates "
            "(month_first or day_first), or write it as 2024-02-29.",
        ),
    ]


def future_rule(field: str, label: str, sent: str) -> tuple[str, dict[str, str], str]:
    return (
        f"{field}.in_the_future",
        {field: sent},
        f"{label} '{sent}' is in the future: this import started at 2026-03-01 12:00:00 UTC.",
    )


LONG_EMAIL = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 60}.com"
REJECTED = [
    ("email.not_email", {"email": "ann@"}, "Email 'ann@' is not an e-mail address."),
    (
        "email.too_long",
        {"email": LONG_EMAIL},
        f"Email '{LONG_EMAIL[:100]}...' is longer than the 254 characters that an e-mail address may have.",
    ),
    flag_rule("is_email_confirmed", "IsEmailConfirmed"),
    ("mobile_phone.not_phone", {"mobile_phone": "+999 1234567"}, "Mobile phone '+999 1234567' is not a phone number."),
    (
        "mobile_phone.invalid_phone",
        {"mobile_phone": "+1 555 0000"},
        "Mobile phone '+1 555 0000' is not a valid number of any phone network.",
    ),
    identifier_rule("mobile_phone", "Mobile phone"),
    flag_rule("is_mobile_phone_confirmed", "IsMobilePhoneConfirmed"),
    identifier_rule("external_identity_website", "External identity website"),
    length_rule("external_identity_website", "External identity website", 1000),
    (
        "external_identity_website.too_many_bytes",
        {"external_identity_website": "€" * 867},
        f"External identity website takes more than 2600 bytes in UTF-8, too many for a key: '{'€' * 100}...'.",
    ),
    identifier_rule(UEBER, "External identity Über"),
    identifier_rule("discount_card", "Discount card"),
    length_rule("discount_card", "Discount card", 1000),
    length_rule("area", "Area", 1000),
    length_rule("last_name", "Last name", 100),
    length_rule("first_name", "First name", 100),
    length_rule("middle_name", "Middle name", 100),
    length_rule("full_name", "Full name", 1000),
    ("sex.unknown_choice", {"sex": "x"}, "Sex 'x' is not male or female (m, f and w are understood as well)."),
    *date_rules("birth_date", "Birth date"),
    future_rule("birth_date", "Birth date", "2026-03-02"),
    flag_rule("is_subscribed", "IsSubscribed"),
    flag_rule("is_subscribed_by_email", "IsSubscribedByEmail"),
    flag_rule("is_subscribed_by_email_on_news", "IsSubscribedByEmailOnNews"),
    length_rule("custom_field_color", "Custom field Color", 1000),
    flag_rule("custom_field_member", "Custom field Member"),
    (
        "custom_field_children.not_integer",
        {"custom_field_children": "two"},
        "Custom field Children 'two' is not a whole number: digits only.",
    ),
    (
        "custom_field_children.too_many_digits",
        {"custom_field_children": "1" * 19},
        f"Custom field Children '{'1' * 19}' has more digits than can be kept (16 before the decimal mark, 18 in a "
        "whole number).",
    ),
    (
        "custom_field_spent.not_decimal",
        {"custom_field_spent": "10 USD"},
        "Custom field Spent '10 USD' is not a number: digits with a point or a comma as decimal mark and nothing else.",
    ),
    (
        "custom_field_spent.too_many_decimals",
        {"custom_field_spent": "1.234"},
        "Custom field Spent '1.234' has more than 2 digits behind the decimal mark.",
    ),
    (
        "custom_field_spent.too_many_digits",
        {"custom_field_spent": "1" * 17},
        f"Custom field Spent '{'1' * 17}' has more digits than can be kept (16 before the decimal mark, 18 in a whole "
        "number).",
    ),
    *date_rules("custom_field_wedding", "Custom field Wedding"),
    *date_rules("custom_field_last_seen", "Custom field LastSeen"),
    (
        "custom_field_size_0.unknown_choice",
        {"custom_field_size_0": "XL"},
        "Custom field Size {0} 'XL' is none of the field's values: S, M.",
    ),
    identifier_rule("last_update_point_of_contact", "Last update point of contact"),
    (
        "last_update_point_of_contact.unknown",
        {"last_update_point_of_contact": "Site-main"},
        "Last update point of contact 'Site-main' is not a point of contact of the project.",
    ),
    identifier_rule("last_update_action_template", "Last update action template"),
    (
        "last_update_action_template.unknown_template",
        {"last_update_action_template": "Crm"},
        "Last update action template 'Crm' is not an action template of the project: the change is saved without an "
        "action.",
    ),
    *date_rules("last_update_date_time", "Last update date time"),
    future_rule("last_update_date_time", "Last update date time", "2026-03-01 12:00:01"),
    identifier_rule("source_point_of_contact", "Source point of contact"),
    (
        "source_point_of_contact.unknown",
        {"source_point_of_contact": "kiosk"},
        "Source point of contact 'kiosk' is not a point of contact of the project.",
    ),
    identifier_rule("source_action_template", "Source action template"),
    (
        "source_action_template.unknown_template",
        {"source_action_template": "Crm"},
        "Source action template 'Crm' is not an action template of the project: the change is saved without an action.",
    ),
    *date_rules("source_date_time", "Source date time"),
    future_rule("source_date_time", "Source date time", "2026-03-01 12:00:01"),
]


@pytest.mark.parametrize(("rule", "row", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_cu08_a_customer_that_breaks_one_rule_is_told_that_and_nothing_else(
    rule: str, row: dict[str, str], sentence: str
) -> None:
    assert broken([ANN, ANN | row, FULL]) == [{}, {rule: sentence}, {}]


def test_every_rule_has_a_row_that_breaks_it() -> None:
    declared = [entry["meta"]["rule"] for entry in json.loads(SUITE.read_text())["expectations"]]
    tried = {"row.no_identifier", *(rule for rule, _, _ in REJECTED)}
    untried = [rule for rule in declared if not any(fnmatchcase(each, rule) for each in tried)]
    assert [rule for rule in untried if not is_about_damage(rule)] == []


def test_cu10_an_unknown_template_only_warns() -> None:
    severities = {rule.id: rule.severity for rule in suite().rules}
    warnings = {rule for rule, severity in severities.items() if severity == "warning"}
    assert {rule for rule in warnings if not rule.endswith(".leading_apostrophe")} == {
        "last_update_action_template.unknown_template",
        "source_action_template.unknown_template",
    }


def test_every_field_of_the_project_settings_is_judged_as_its_kind_needs() -> None:
    ids = [rule.id for rule in suite().rules]
    dynamic = FIELDS[len(CUSTOMERS.fields) :]
    assert {rule.partition(".")[0] for rule in ids} >= {field.name for field in dynamic}
    readable = {rule.field for rule in suite().rules if "readable" in rule.expectation.expectation_type}
    assert {field.name for field in dynamic if field.kind is not Kind.TEXT} <= readable


def test_without_fields_of_the_project_settings_their_rules_are_not_there() -> None:
    frame = read_rows("customers", [ANN], LOOKUPS)
    loaded = load_suite(SUITE, columns=set(frame.columns), settings={}, fields=CUSTOMERS.fields)
    assert not [rule.id for rule in loaded.rules if "*" in rule.id or rule.id.startswith(("custom_", "external_"))]
    results = Checker(loaded).check(read_rows("customers", [ANN, {"area": "x"}], LOOKUPS))
    assert {result.rule.id: result.rows.tolist() for result in results if len(result.rows)} == {
        "row.no_identifier": [1]
    }


def test_a_wildcard_for_a_kind_that_is_none_is_refused() -> None:
    entry = {
        "type": "x",
        "kwargs": {"column": "custom_field_*"},
        "meta": {"rule": "r", "message": "", "kinds": ["int"]},
    }
    with pytest.raises(SuiteError, match=r"custom_field_\*: meta.kinds must be a list of text, identifier"):
        expand_entries([entry], FIELDS)
