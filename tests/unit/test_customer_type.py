"""The declaration of customers: fields of the project settings, headers, switched columns. Source: spec section 8."""

from __future__ import annotations

import pytest

from include.columns.mapping import ColumnMapping, How, map_columns
from include.declaration.fields import Field, Kind
from include.errors import FileRefused
from include.import_types.customers import CUSTOMERS, explain_unmatched, slug
from include.project.loader import load_project
from include.project.model import CustomField, Project
from include.rules.wildcards import expand_load_rules
from tests.settings import fingerprint_settings, inheritable, resolve

pytestmark = pytest.mark.unit

SHIPPED = load_project()
BARE = Project()


def mapped(*header: str, project: Project = SHIPPED, **settings: object) -> ColumnMapping:
    chosen = resolve("customers", parameters=settings).model_dump()
    return map_columns(header, CUSTOMERS.all_fields(project), chosen["mapping"], CUSTOMERS, chosen)


def field_of(header: str, project: Project = SHIPPED, **settings: object) -> str | None:
    return mapped("Email", header, project=project, **settings).columns[1].field


def declared(name: str, project: Project = SHIPPED) -> Field:
    return next(field for field in CUSTOMERS.all_fields(project) if field.name == name)


def test_the_fields_of_customers():
    assert {field.name: field.kind for field in CUSTOMERS.fields} == {
        "email": Kind.EMAIL,
        "is_email_confirmed": Kind.BOOLEAN,
        "mobile_phone": Kind.PHONE,
        "is_mobile_phone_confirmed": Kind.BOOLEAN,
        "discount_card": Kind.IDENTIFIER,
        "area": Kind.TEXT,
        "last_name": Kind.TEXT,
        "first_name": Kind.TEXT,
        "middle_name": Kind.TEXT,
        "full_name": Kind.TEXT,
        "sex": Kind.ENUM,
        "birth_date": Kind.DATE,
        "is_subscribed": Kind.BOOLEAN,
        "last_update_point_of_contact": Kind.IDENTIFIER,
        "last_update_action_template": Kind.IDENTIFIER,
        "last_update_date_time": Kind.DATETIME,
        "source_point_of_contact": Kind.IDENTIFIER,
        "source_action_template": Kind.IDENTIFIER,
        "source_date_time": Kind.DATETIME,
    }
    of_the_action = {field.name for field in CUSTOMERS.fields if field.name.startswith(("last_update_", "source_"))}
    assert {field.name for field in CUSTOMERS.all_fields(SHIPPED) if not field.clearable} == of_the_action
    assert CUSTOMERS.edits


def test_x20_personal_values_are_masked():
    assert {field.name for field in CUSTOMERS.all_fields(SHIPPED) if field.sensitive} == {
        "email", "mobile_phone", "discount_card", "last_name", "first_name", "middle_name", "full_name", "birth_date",
        "external_identity_website", "custom_field_favorite_color",
    }  # fmt: skip


def test_cu14_every_field_but_identifiers_and_what_an_action_needs_can_be_dropped():
    assert {field.name for field in CUSTOMERS.all_fields(SHIPPED) if not field.is_droppable} == {
        "email", "mobile_phone", "external_identity_website", "last_update_point_of_contact",
        "last_update_action_template", "source_point_of_contact", "source_action_template",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("IsEmailConfirmed", "is_email_confirmed"),
        ("MobilePhone", "mobile_phone"),
        ("IsMobilePhoneConfirmed", "is_mobile_phone_confirmed"),
        ("DiscountCard", "discount_card"),
        ("LastName", "last_name"),
        ("FullName", "full_name"),
        ("BirthDate", "birth_date"),
        ("IsSubscribed", "is_subscribed"),
        ("IsSubscribedByEmail", "is_subscribed_by_email"),
        ("IsSubscribedByMobilePush", "is_subscribed_by_mobile_push"),
        ("IsSubscribedByEmailOnNews", "is_subscribed_by_email_on_news"),
        ("ExternalIdentityWebsite", "external_identity_website"),
        ("ExternalId", "external_identity_website"),
        ("FavoriteColor", "custom_field_favorite_color"),
        ("CustomFieldFavoriteColor", "custom_field_favorite_color"),
        ("LastUpdateDateTime", "last_update_date_time"),
        ("SourceDateTime", "source_date_time"),
    ],
)
def test_the_headers_of_the_source_are_fields(header: str, field: str):
    assert field_of(header) == field


def test_fields_of_the_project_settings_are_packed_into_columns_of_the_staging_table():
    assert declared("is_subscribed").packed == ("subscriptions", "")
    assert declared("is_subscribed_by_web_push").packed == ("subscriptions", "WebPush")
    assert declared("is_subscribed_by_sms_on_offers").packed == ("subscriptions", "Sms/Offers")
    assert declared("external_identity_website").packed == ("external_ids", "website")
    assert declared("custom_field_favorite_color").packed == ("custom_fields", "FavoriteColor")
    assert {field.packed[0] for field in CUSTOMERS.all_fields(SHIPPED) if field.packed} == set(
        CUSTOMERS.dynamic.packed_columns
    )


def test_a_custom_field_is_read_as_its_type():
    types = ("string", "boolean", "integer", "decimal", "date", "datetime")
    fields = [CustomField(name=name, type=name) for name in types]
    project = Project(custom_fields=(*fields, CustomField(name="size", type="enum", values=("S", "M"))))
    kinds = {
        field.name: (field.kind, field.choices) for field in CUSTOMERS.all_fields(project) if "custom" in field.name
    }
    assert kinds == {
        "custom_field_string": (Kind.TEXT, ()),
        "custom_field_boolean": (Kind.BOOLEAN, ()),
        "custom_field_integer": (Kind.INTEGER, ()),
        "custom_field_decimal": (Kind.DECIMAL, ()),
        "custom_field_date": (Kind.DATE, ()),
        "custom_field_datetime": (Kind.DATETIME, ()),
        "custom_field_size": (Kind.ENUM, ("S", "M")),
    }


def test_a_header_of_a_built_in_field_is_never_that_of_a_custom_one():
    names = ("Email", "ExternalId", "IsSubscribedBySms", "A", "CustomFieldA", "Любимый цвет", "Über")
    project = Project(
        channels=("Sms",),
        external_identities=("shop",),
        custom_fields=tuple(CustomField(name=name, type="string") for name in names),
    )
    built_in = mapped(*names[:3], project=project).field_indexes
    assert list(built_in) == ["email", "external_identity_shop", "is_subscribed_by_sms"]
    for name in names[:3]:
        assert field_of(f"CustomField{name}", project) == f"custom_field_{slug(name)}"
    assert field_of("A", project) == "custom_field_a"
    assert field_of("CustomFieldA", project) == "custom_field_a"
    assert field_of("CustomFieldCustomFieldA", project) == "custom_field_custom_field_a"
    for name in names[5:]:
        assert field_of(name, project) == field_of(f"custom field {name}", project) == f"custom_field_{slug(name)}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("website", "website"), ("WebPush", "web_push"), ("SMS", "sms"), ("C# 2x", "c_2x"), ("a--B", "a_b")],
)
def test_the_name_of_a_field_is_made_of_the_words_of_its_entry(name: str, expected: str):
    assert slug(name) == expected


def test_names_that_differ_as_headers_have_different_fields():
    names = ["Über", "Uber", "über x", "ber", "Любимый", "Нелюбимый", "é", "è"]
    assert len({slug(name) for name in names}) == len(names)
    assert all(slug(name).isascii() and slug(name)[0].isalpha() for name in names)
    assert slug("ÜBER") == slug("über")


def test_external_id_serves_when_there_is_exactly_one_external_identity():
    two = Project(external_identities=("website", "pos"))
    assert field_of("ExternalId", two) is None
    assert field_of("ExternalIdentityPos", two) == "external_identity_pos"
    assert field_of("ExternalId", BARE) is None


class TestColumnsOfSettings:
    def test_cu07_a_column_whose_setting_is_off_is_ignored_and_listed(self):
        mapping = mapped("Email", "LastUpdatePointOfContact", "SourceActionTemplate")
        assert mapping.field_indexes == {"email": 0}
        assert [(column.how, column.suggestion) for column in mapping.columns[1:]] == [
            (How.SWITCHED_OFF, "last_update_point_of_contact"),
            (How.SWITCHED_OFF, "source_action_template"),
        ]
        assert mapping.skipped_messages() == [
            (
                "file.column_skipped",
                "Column 2 (LastUpdatePointOfContact) is switched off: the setting take_point_of_contact_from_file "
                "would take it from the file.",
            ),
            (
                "file.column_skipped",
                "Column 3 (SourceActionTemplate) is switched off: the setting take_action_template_from_file would "
                "take it from the file.",
            ),
        ]
        assert ColumnMapping.from_json(mapping.to_json()) == mapping

    @pytest.mark.parametrize("kind", ["last_update", "source"])
    def test_cu07_each_setting_switches_its_own_columns_on(self, kind: str):
        contact, template = f"{kind}_point_of_contact", f"{kind}_action_template"
        assert field_of(contact, take_point_of_contact_from_file=True) == contact
        assert field_of(contact, take_action_template_from_file=True) is None
        assert field_of(template, take_action_template_from_file=True) == template
        assert field_of(template, take_point_of_contact_from_file=True) is None

    def test_cu07_the_setting_mapping_does_not_switch_them_on(self):
        assert field_of("Shop", mapping={"Shop": "last_update_point_of_contact"}) is None

    def test_cu11_times_are_taken_always(self):
        assert field_of("LastUpdateDateTime") == "last_update_date_time"


class TestRequiredColumns:
    @pytest.mark.parametrize("header", ["Email", "MobilePhone", "ExternalId", "ExternalIdentityWebsite"])
    def test_x04_one_identifier_is_enough(self, header: str):
        assert len(mapped("Area", header).field_indexes) == 2

    def test_x04_a_file_without_identifier_is_refused(self):
        with pytest.raises(FileRefused) as refused:
            mapped("DiscountCard", "LastName")
        assert refused.value.rule == "file.required_column"
        assert refused.value.message == (
            "At least one of these columns is required, and the file has none: Email (email), Mobile phone "
            "(mobile_phone), External identity website (external_identity_website). Found: DiscountCard, LastName."
        )


class TestUnknownEntries:
    @pytest.mark.parametrize(
        ("header", "rule", "sentence"),
        [
            (
                "IsSubscribedByEmailOnNewz",
                "file.unknown_topic",
                "names no topic of the project settings (did you mean News?)",
            ),
            (
                "IsSubscribedByEmailOnWeather",
                "file.unknown_topic",
                "names no topic of the project settings (there are: News, Offers)",
            ),
            (
                "IsSubscribedByTelegram",
                "file.unknown_channel",
                "names no channel of the project settings (there are: Email, Sms, Viber, MobilePush, WebPush)",
            ),
            (
                "IsSubscribedByEmialOnNews",
                "file.unknown_channel",
                "names no channel of the project settings (did you mean Email?)",
            ),
            (
                "CustomFieldFavouriteColor",
                "file.unknown_custom_field",
                "names no custom field of the project settings (did you mean FavoriteColor?)",
            ),
            (
                "ExternalIdentityShop",
                "file.unknown_external_identity",
                "names no external identity of the project settings (there are: website)",
            ),
        ],
    )
    def test_cu08_a_column_of_an_unknown_entry_is_skipped_with_a_warning_of_its_own(
        self, header: str, rule: str, sentence: str
    ):
        mapping = mapped("Email", header)
        assert mapping.field_indexes == {"email": 0}
        ((rule_id, message),) = mapping.skipped_messages(lambda name: explain_unmatched(name, SHIPPED))
        assert rule_id == rule
        assert message.startswith(f"Column 2 ({header}) is not imported: it {sentence}")

    @pytest.mark.parametrize("header", ["Comment", "IsSubscriber", "External", "Custom"])
    def test_other_unmatched_columns_are_reported_as_usual(self, header: str):
        assert explain_unmatched(header, SHIPPED) is None

    def test_external_id_is_explained_when_it_says_too_little(self):
        rule, sentence = explain_unmatched("ExternalId", Project(external_identities=("website", "pos"))) or ("", "")
        assert rule == "file.unknown_external_identity"
        assert "the project has 2 external_identities" in sentence
        assert "(there are: website, pos)" in sentence


DERIVED = {"data_source": "panel", "point_of_contact": "site-main", "brand": "Acme"}


class TestEffectiveSettings:
    def test_x13_what_follows_from_the_settings_is_part_of_the_fingerprint(self):
        plain = resolve("customers")
        by_default = plain.model_copy(update={"derived": DERIVED})
        named = resolve("customers", parameters={"data_source": "panel"}).model_copy(update={"derived": DERIVED})
        elsewhere = plain.model_copy(update={"derived": {**DERIVED, "brand": "Demo"}})
        assert fingerprint_settings(by_default) == fingerprint_settings(named)
        assert len({fingerprint_settings(settings) for settings in (plain, by_default, elsewhere)}) == 3

    def test_x09_a_corrected_file_takes_it_over_and_jobs_that_differ_in_it_are_distinguished(self):
        first = inheritable("customers", resolve("customers").model_dump(mode="json") | {"derived": DERIVED})
        second = inheritable("customers", resolve("customers").model_dump(mode="json") | {"derived": {}})
        assert first != second
        assert resolve("customers", inherited=first).derived == DERIVED
        assert resolve("customers", inherited=second).derived == {}


def test_cu03_rules_of_the_load_on_external_identities_are_there_for_each_system():
    rules = expand_load_rules(CUSTOMERS.load_rules, CUSTOMERS.all_fields(Project(external_identities=("a", "b"))))
    messages = {rule.id: rule.message for rule in rules if rule.id.endswith(".belongs_to_another")}
    assert list(messages) == [f"{name}.belongs_to_another" for name in
                              ("external_identity_a", "external_identity_b", "email", "mobile_phone")]  # fmt: skip
    assert messages["external_identity_b.belongs_to_another"].startswith("External identity b of this row belongs to")


def test_only_fields_with_a_column_are_read_beside_the_declared_ones():
    mapping = mapped("Email", "IsSubscribedBySms", "FavoriteColor")
    assert [field.name for field in CUSTOMERS.read_fields(SHIPPED, mapping.field_indexes)[len(CUSTOMERS.fields) :]] == [
        "is_subscribed_by_sms",
        "custom_field_favorite_color",
    ]
