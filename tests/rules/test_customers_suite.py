"""The customers' suite: for each rule of its own a row that breaks it and nothing else, and rows that don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from include.declaration.fields import Kind
from include.errors import SuiteError
from include.import_types.customers import CUSTOMERS
from include.project.model import CustomField, Project
from include.rules.row_sentences import sentences
from include.rules.suites import Checker, Suite, load_suite
from include.rules.wildcards import expand_entries
from tests.rules.frames import read_rows, written_by_hand

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
    sentences_by_row: list[dict[str, str]] = [{} for _ in rows]
    for result in Checker(suite()).check(frame):
        for row, sentence in zip(result.rows, sentences(result, frame), strict=True):
            sentences_by_row[row][result.rule.id] = sentence
    return sentences_by_row


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
    (sentence_by_rule,) = broken([row])
    assert sentence_by_rule == {
        "row.no_identifier": "The row has no e-mail, mobile phone or external identifier: one of them must say whose "
        "it is. A discount card does not count."
    }


def test_cu02_an_identifier_that_cannot_be_read_is_reported_as_such_alone() -> None:
    assert [set(rules) for rules in broken([{"email": "ann"}, {"mobile_phone": "12"}])] == [
        {"email.not_email"},
        {"mobile_phone.invalid_phone"},
    ]


def future_rule(field: str, label: str, sent: str) -> tuple[str, dict[str, str], str]:
    return (
        f"{field}.in_the_future",
        {field: sent},
        f"{label} '{sent}' is in the future: this import started at 2026-03-01 12:00:00 UTC.",
    )


REJECTED = [
    future_rule("birth_date", "Birth date", "2026-03-02"),
    (
        "last_update_point_of_contact.unknown",
        {"last_update_point_of_contact": "Site-main"},
        "Last update point of contact 'Site-main' is not a point of contact of the project.",
    ),
    (
        "last_update_action_template.unknown_template",
        {"last_update_action_template": "Crm"},
        "Last update action template 'Crm' is not an action template of the project: the change is saved without an "
        "action.",
    ),
    future_rule("last_update_date_time", "Last update date time", "2026-03-01 12:00:01"),
    (
        "source_point_of_contact.unknown",
        {"source_point_of_contact": "kiosk"},
        "Source point of contact 'kiosk' is not a point of contact of the project.",
    ),
    (
        "source_action_template.unknown_template",
        {"source_action_template": "Crm"},
        "Source action template 'Crm' is not an action template of the project: the change is saved without an action.",
    ),
    future_rule("source_date_time", "Source date time", "2026-03-01 12:00:01"),
]


@pytest.mark.parametrize(("rule", "row", "sentence"), REJECTED, ids=[rule for rule, _, _ in REJECTED])
def test_cu08_a_customer_that_breaks_one_rule_gets_its_sentence_and_no_other(
    rule: str, row: dict[str, str], sentence: str
) -> None:
    assert broken([ANN, ANN | row, FULL]) == [{}, {rule: sentence}, {}]


def test_every_rule_that_is_written_by_hand_has_a_row_that_breaks_it() -> None:
    # `test_damaged_values.py` has births that can't be.
    tried = {"row.no_identifier", "birth_date.implausible", *(rule for rule, _, _ in REJECTED)}
    assert {rule.id for rule in written_by_hand(suite())} == tried


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
