"""Customers: found by external identifier, e-mail or phone, edited or created. Source: spec section 8."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, StringConstraints
from pydantic import Field as Setting

from include.declaration.fields import Field, Kind, LoadRule, Look, Lookup
from include.declaration.import_type import DynamicFields, Extras, ImportType, NotFound
from include.declaration.settings import (
    Bears,
    DropsInvalid,
    EntryName,
    ImportSettings,
    InForm,
    ReadsPhones,
    ReviewsChanges,
    Suggests,
    without_invisible,
)
from include.errors import ConfigurationError, FileRefused
from include.located_yaml import named
from include.names import did_you_mean, normalise_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from include.project.model import CustomField, Project

EXTERNAL_IDS = "external_ids"
CUSTOM_FIELDS = "custom_fields"
SUBSCRIPTIONS = "subscriptions"


def _segment_name(text: str) -> str:
    return without_invisible(text, is_name=True)


# A key of the warehouse: an index row of PostgreSQL holds 2,700 bytes.
SegmentName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=250), AfterValidator(_segment_name)
]


def _data_sources(project: Project) -> Iterator[str]:
    return (source.name for source in project.data_sources)


def _points_of_contact(project: Project) -> Iterator[str]:
    return (contact.external_id for contact in project.points_of_contact)


def _segments(project: Project) -> Iterator[str]:
    return iter(project.segments)


class CustomerSettings(ReviewsChanges, ReadsPhones, DropsInvalid, ImportSettings):
    """Settings of imports of customers."""

    data_source: Annotated[EntryName | None, Bears(by_all=True), InForm(), Suggests(_data_sources)] = Setting(
        None, description="Where the data comes from. The project's default data source when left out."
    )
    point_of_contact: Annotated[EntryName | None, Bears(by_all=True), InForm(), Suggests(_points_of_contact)] = Setting(
        None, description="The point of contact of the changes. The data source's when left out."
    )
    segment: Annotated[SegmentName | None, Bears(by_all=True), InForm(), Suggests(_segments)] = Setting(
        None, description="Static segment that every customer of the file joins; it is made when it does not exist."
    )
    take_point_of_contact_from_file: Annotated[bool, Bears(by_all=True), InForm()] = Setting(
        False, description="Take each row's point of contact from its column."
    )
    take_action_template_from_file: Annotated[bool, Bears(by_all=True), InForm()] = Setting(
        False, description="Take each row's action template from its column."
    )
    replace_external_ids: Annotated[bool, Bears()] = Setting(
        False,
        description="Let a row that finds its customer by e-mail or phone replace the customer's external identifier; "
        "by default such rows are rejected.",
    )
    shared_identifier_rows: Annotated[int, Bears()] = Setting(
        20,
        ge=1,
        le=1_000_000_000,
        description="A value that more rows than this give with different other identifiers is a placeholder: it "
        "matches nobody and isn't stored.",
    )


# What the fields that the project settings add have in common; the rules of the suite on `prefix_*` are made from it.
_EXTERNAL_IDENTITY = Field(
    "external_identity_*",
    "{label}",
    Kind.IDENTIFIER,
    sensitive=True,
    clearable=True,
    identifies=True,
    is_indexed=True,
)
_SUBSCRIPTION = Field("is_subscribed_by_*", "{label}", Kind.BOOLEAN, clearable=True, is_droppable=True)
_CUSTOM_KINDS = {
    "string": Kind.TEXT,
    "boolean": Kind.BOOLEAN,
    "integer": Kind.INTEGER,
    "decimal": Kind.DECIMAL,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "enum": Kind.ENUM,
}
_CUSTOM_FIELDS = {
    custom_type: Field("custom_field_*", "{label}", kind, sensitive=True, clearable=True, is_droppable=True)
    for custom_type, kind in _CUSTOM_KINDS.items()
}


def slug(name: str) -> str:
    """Return a name of the project settings as a part of a field's name: ASCII words in lower case, `_` between them.

    Two names that differ as headers have different slugs: one that loses letters on the way ends in a hash of it.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    joined = "_".join(re.findall(r"[a-z0-9]+", words.lower()))
    if normalise_name(joined) == normalise_name(name):
        return joined
    return "_".join(filter(None, (joined, f"x{hashlib.sha256(normalise_name(name).encode()).hexdigest()[:8]}")))


def dynamic_fields(project: Project) -> tuple[Field, ...]:
    """Return the fields that the project settings add: external identities, custom fields, subscriptions."""
    fields = [*_external_identities(project), *_subscriptions(project)]
    headers = {
        normalise_name(name) for field in (*_FIELDS, *fields) for name in (field.name, field.label, *field.aliases)
    }
    fields += _custom_fields(project, headers)
    return tuple(fields)


def _external_identities(project: Project) -> Iterator[Field]:
    is_only_one = len(project.external_identities) == 1
    for system in project.external_identities:
        yield replace(
            _EXTERNAL_IDENTITY,
            name=f"external_identity_{slug(system)}",
            label=f"External identity {system}",
            aliases=(f"ExternalIdentity{system}", *(("ExternalId",) if is_only_one else ())),
            packed=(EXTERNAL_IDS, system),
            description=f"What the system {system} calls the customer.",
        )


def _subscriptions(project: Project) -> Iterator[Field]:
    for channel in project.channels:
        by_channel = f"is_subscribed_by_{slug(channel)}"
        yield _subscription(by_channel, f"IsSubscribedBy{channel}", channel)
        for topic in project.topics:
            name = f"{by_channel}_on_{slug(topic)}"
            yield _subscription(name, f"IsSubscribedBy{channel}On{topic}", f"{channel}/{topic}")


def _subscription(name: str, header: str, key: str) -> Field:
    return replace(
        _SUBSCRIPTION,
        name=name,
        label=header,
        packed=(SUBSCRIPTIONS, key),
        description=f"Subscription on {key}.",
    )


def _custom_fields(project: Project, taken: Iterable[str]) -> Iterator[Field]:
    """Give the custom fields; their own names are headers too, unless another field has that header already."""
    prefixed = [_custom_field(custom) for custom in project.custom_fields]
    headers = {*taken, *(normalise_name(name) for field in prefixed for name in (field.name, field.label))}
    for custom in project.custom_fields:
        is_free = normalise_name(custom.name) not in headers
        yield _custom_field(custom, aliases=(custom.name,) if is_free else ())


def _custom_field(custom: CustomField, aliases: tuple[str, ...] = ()) -> Field:
    return replace(
        _CUSTOM_FIELDS[custom.type],
        name=f"custom_field_{slug(custom.name)}",
        label=f"Custom field {custom.name}",
        aliases=aliases,
        choices=custom.values,
        packed=(CUSTOM_FIELDS, custom.name),
        description=f"The custom field {custom.name}.",
    )


def explain_unmatched(header: str, project: Project) -> tuple[str, str] | None:
    """Say which entry of the project settings a column seems to mean that there is none of. Source: CU-08."""
    name = normalise_name(header)
    if name == "externalid":
        identities = project.external_identities
        return (
            "file.unknown_external_identity",
            f"doesn't say which system it is of: the project has {len(identities)} external_identities, and their "
            f"columns are named ExternalIdentity<System>{did_you_mean('', identities)}",
        )
    for prefix, rule, what, entries in (
        ("externalidentity", "file.unknown_external_identity", "external identity", project.external_identities),
        ("customfield", "file.unknown_custom_field", "custom field", [custom.name for custom in project.custom_fields]),
    ):
        if name.startswith(prefix):
            near = did_you_mean(name.removeprefix(prefix), entries)
            return rule, f"names no {what} of the project settings{near}"
    if not name.startswith("issubscribedby"):
        return None
    rest = name.removeprefix("issubscribedby")
    for channel in project.channels:
        topic = rest.removeprefix(f"{normalise_name(channel)}on")
        if topic != rest:
            near = did_you_mean(topic, project.topics)
            return "file.unknown_topic", f"names no topic of the project settings{near}"
    near = did_you_mean(rest.partition("on")[0], project.channels)
    return "file.unknown_channel", f"names no channel of the project settings{near}"


def derive_settings(connection: Connection, settings: CustomerSettings, project: Project) -> dict[str, str]:
    """Return the data source, point of contact and brand of an import. Source: CU-06, CU-07.

    The data source is the one that the settings name, else the default one; the point of contact likewise, else the
    data source's. A corrected file keeps those of the earlier job, unless it is given a data source of its own.

    Raises:
        FileRefused: `file.unknown_data_source`, `file.unknown_point_of_contact`.
        ConfigurationError: the warehouse lacks entries of the project settings.
    """
    import sqlalchemy as sa  # which no DAG needs when it is parsed

    _refuse_unsynced(connection, project)
    sources = connection.execute(
        sa.text("SELECT name, point_of_contact, is_default FROM loyalty.data_source ORDER BY name")
    ).all()
    earlier = settings.derived
    default = next((source.name for source in sources if source.is_default), None)
    name = settings.data_source or earlier.get("data_source") or default
    source = next((source for source in sources if source.name == name), None)
    if source is None:
        raise FileRefused("file.unknown_data_source", _no_data_source(name, [source.name for source in sources]))
    is_as_before = earlier.get("data_source") == source.name
    derived = earlier.get("point_of_contact") if is_as_before else None
    contact = settings.point_of_contact or derived or source.point_of_contact
    brands = {
        row.external_id: row.brand
        for row in connection.execute(sa.text("SELECT external_id, brand FROM loyalty.point_of_contact ORDER BY 1"))
    }
    if contact not in brands:
        raise FileRefused(
            "file.unknown_point_of_contact",
            f"The project has no point of contact {named(contact)}, which the settings name"
            f"{did_you_mean(contact, brands)}.",
        )
    return {"data_source": source.name, "point_of_contact": contact, "brand": brands[contact]}


def _no_data_source(name: str | None, names: list[str]) -> str:
    if name is None:
        return "The settings name no data source, and none of the project's is marked as the default one."
    return f"The project has no data source {named(name)}, which the settings name{did_you_mean(name, names)}."


def _refuse_unsynced(connection: Connection, project: Project) -> None:
    """Make sure that the warehouse knows what columns of the file can be named after.

    Raises:
        ConfigurationError: the project settings have entries that were never applied to the warehouse.
    """
    import sqlalchemy as sa

    wanted = {
        *(("external identity", name, None) for name in project.external_identities),
        *(("channel", name, None) for name in project.channels),
        *(("topic", name, None) for name in project.topics),
        *(("custom field", custom.name, str(custom.type)) for custom in project.custom_fields),
    }
    query = """
        SELECT 'external identity', system_name, NULL FROM loyalty.external_identity
        UNION ALL SELECT 'channel', name, NULL FROM loyalty.subscription_channel
        UNION ALL SELECT 'topic', name, NULL FROM loyalty.subscription_topic
        UNION ALL SELECT 'custom field', name, type FROM loyalty.custom_field
    """
    missing = sorted(wanted - {tuple(row) for row in connection.execute(sa.text(query))})
    if missing:
        named = ", ".join(f"{what} {name!r}" for what, name, _ in missing)
        raise ConfigurationError(
            f"The warehouse doesn't know the project's {named} as the settings have it: apply them with "
            "`python -m include.cli sync-project`."
        )


_FIELDS = (
    Field(
        "email",
        "Email",
        Kind.EMAIL,
        identifies=True,
        aliases=("E-mail address",),
        sensitive=True,
        clearable=True,
        description="Identifies the customer; the case of ASCII letters doesn't count. Stored as sent, but for the "
        "domain, which is an A-label (`xn--…`).",
    ),
    Field(
        "is_email_confirmed",
        "IsEmailConfirmed",
        Kind.BOOLEAN,
        clearable=True,
        is_droppable=True,
        description="Whether the e-mail address is confirmed.",
    ),
    Field(
        "mobile_phone",
        "Mobile phone",
        Kind.PHONE,
        identifies=True,
        aliases=("Phone",),
        sensitive=True,
        clearable=True,
        description="Identifies the customer; stored in international form, by the setting `phone_region`, else "
        "the project's `default_phone_region`.",
    ),
    Field(
        "is_mobile_phone_confirmed",
        "IsMobilePhoneConfirmed",
        Kind.BOOLEAN,
        clearable=True,
        is_droppable=True,
        description="Whether the mobile phone is confirmed.",
    ),
    Field(
        "discount_card",
        "Discount card",
        Kind.IDENTIFIER,
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="Number of the loyalty card; does not identify the customer.",
    ),
    Field("area", "Area", clearable=True, is_droppable=True, description="The customer's area.", look=Look.PLACE),
    Field(
        "last_name",
        "Last name",
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="Last name.",
        max_characters=100,
        look=Look.PERSON,
    ),
    Field(
        "first_name",
        "First name",
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="First name.",
        max_characters=100,
        look=Look.PERSON,
    ),
    Field(
        "middle_name",
        "Middle name",
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="Middle name.",
        max_characters=100,
        look=Look.PERSON,
    ),
    Field(
        "full_name",
        "Full name",
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="Kept as given; ignored in rows that have one of the name's parts.",
        look=Look.FULL_NAME,
        rule_condition={"unless_present": ["last_name", "first_name", "middle_name"]},
    ),
    Field(
        "sex",
        "Sex",
        Kind.ENUM,
        aliases=("Gender",),
        choices=("male", "female"),
        synonyms={"m": "male", "f": "female", "w": "female"},
        clearable=True,
        is_droppable=True,
        description="Also `m`, `f` and `w`.",
    ),
    Field(
        "birth_date",
        "Birth date",
        Kind.DATE,
        aliases=("Date of birth", "Birthday"),
        allows_two_digit_year=True,
        sensitive=True,
        clearable=True,
        is_droppable=True,
        description="Not in the future, and not before 1900.",
        look=Look.BIRTH,
    ),
    Field(
        "is_subscribed",
        "IsSubscribed",
        Kind.BOOLEAN,
        clearable=True,
        packed=(SUBSCRIPTIONS, ""),
        is_droppable=True,
        description="Subscription to the brand as a whole; columns `IsSubscribedBy<Channel>` and "
        "`IsSubscribedBy<Channel>On<Topic>` narrow it.",
    ),
    Field(
        "last_update_point_of_contact",
        "Last update point of contact",
        Kind.IDENTIFIER,
        enabled_by="take_point_of_contact_from_file",
        description="Point of contact of the change, with the setting `take_point_of_contact_from_file`.",
    ),
    Field(
        "last_update_action_template",
        "Last update action template",
        Kind.IDENTIFIER,
        enabled_by="take_action_template_from_file",
        description="Template that an edit is recorded with, with the setting `take_action_template_from_file`.",
    ),
    Field(
        "last_update_date_time",
        "Last update date time",
        Kind.DATETIME,
        aliases=("Last update date time (UTC)", "LastUpdateDateTimeUtc"),
        is_droppable=True,
        description="When the change was made, not in the future; the job's time when blank.",
    ),
    Field(
        "source_point_of_contact",
        "Source point of contact",
        Kind.IDENTIFIER,
        enabled_by="take_point_of_contact_from_file",
        description="Point of contact of the creation, with the setting `take_point_of_contact_from_file`.",
    ),
    Field(
        "source_action_template",
        "Source action template",
        Kind.IDENTIFIER,
        enabled_by="take_action_template_from_file",
        description="Template that a creation is recorded with (an edit too, when it has none of its own), with the "
        "setting `take_action_template_from_file`.",
    ),
    Field(
        "source_date_time",
        "Source date time",
        Kind.DATETIME,
        aliases=("Source date time (UTC)", "SourceDateTimeUtc"),
        is_droppable=True,
        description="When the customer was created, not in the future; the time of the last update when blank.",
    ),
)
_POINTS_OF_CONTACT = "SELECT external_id FROM loyalty.point_of_contact"
_TEMPLATES = "SELECT system_name FROM loyalty.action_template"

_PLACEHOLDER = (
    "More than shared_identifier_rows rows of the file, or of the one that it corrects, have this {identifier} beside "
    "different other identifiers: it is a placeholder. It was left out, and the rows were matched by their other "
    "identifiers."
)

CUSTOMERS = ImportType(
    name="customers",
    label="Customers",
    actions=("edit_existing", "add_and_edit"),
    key="email",
    edits=True,
    settings=CustomerSettings,
    folder=Path(__file__).parent,
    targets=(
        "loyalty.customer",
        "loyalty.customer_external_id",
        "loyalty.customer_subscription",
        "loyalty.segment_member",
        "loyalty.customer_action",
    ),
    fields=_FIELDS,
    dynamic=DynamicFields(
        dynamic_fields,
        packed_columns=(EXTERNAL_IDS, CUSTOM_FIELDS, SUBSCRIPTIONS),
        patterns=(_EXTERNAL_IDENTITY, _SUBSCRIPTION, *_CUSTOM_FIELDS.values()),
        headers=(
            (
                "ExternalIdentity<System>",
                "text; `%CLEAR%`",
                "Identifies the customer in one of `external_identities`; `ExternalId` serves if there is just one.",
            ),
            (
                "CustomField<Name>",
                "as the field's type says; `%CLEAR%`",
                "One of `custom_fields`; its name alone serves where no other field has it.",
            ),
            (
                "IsSubscribedBy<Channel>",
                "as `IsSubscribed`; `%CLEAR%`",
                "Subscription on one of `channels`.",
            ),
            (
                "IsSubscribedBy<Channel>On<Topic>",
                "as `IsSubscribed`; `%CLEAR%`",
                "Subscription to one of `topics` on one of `channels`.",
            ),
        ),
        explain_unmatched=explain_unmatched,
    ),
    extras=Extras(
        derive_settings=derive_settings,
        not_found=NotFound(
            "No customer has an identifier of this row, and the action edit_existing creates none.",
            label="Rows without a matching customer",
            advice="No row is about a customer who is there. Check that the right column identifies them, or import "
            "the customers first. Then import the file again.",
        ),
    ),
    lookups=tuple(
        Lookup(field, field, query)
        for field, query in (
            ("last_update_point_of_contact", _POINTS_OF_CONTACT),
            ("source_point_of_contact", _POINTS_OF_CONTACT),
            ("last_update_action_template", _TEMPLATES),
            ("source_action_template", _TEMPLATES),
        )
    ),
    load_rules=(
        LoadRule(
            "row.ambiguous_customer",
            "The identifiers of this row ({fields}) belong to {value} different customers. Correct them, or make a row "
            "for each customer.",
            "CU-03",
        ),
        LoadRule(
            "external_identity_*.belongs_to_another",
            "{label} of this row belongs to another customer, so the customer of this row can't get it.",
            "CU-03",
        ),
        LoadRule(
            "email.belongs_to_another",
            "Email of this row belongs to another customer, so the customer of this row can't get it.",
            "CU-03",
        ),
        LoadRule(
            "mobile_phone.belongs_to_another",
            "Mobile phone of this row belongs to another customer, so the customer of this row can't get it.",
            "CU-03",
        ),
        LoadRule(
            "external_id.differs",
            "The customer who has this e-mail or phone has another {fields}. Correct the row, or allow that external "
            "identifiers are replaced with the setting replace_external_ids: true.",
            "CU-03",
        ),
        LoadRule(
            "row.placeholder_only",
            "The only identifier of this row is a placeholder: more than {value} rows of this file, or of the one that "
            "it corrects (the setting shared_identifier_rows), have it beside different other identifiers. Give the "
            "row one of its own.",
            "CU-03",
        ),
        LoadRule("email.placeholder", _PLACEHOLDER.format(identifier="e-mail address"), "CU-03", severity="warning"),
        LoadRule("mobile_phone.placeholder", _PLACEHOLDER.format(identifier="phone"), "CU-03", severity="warning"),
        LoadRule(
            "external_id.placeholder",
            _PLACEHOLDER.format(identifier="external identifier"),
            "CU-03",
            severity="warning",
        ),
        LoadRule(
            "row.shared_identifier",
            "An earlier row of the file has the same e-mail or phone, and another phone, e-mail or name: both became "
            "one customer with the last values. If they are different people, give each an identifier of their own.",
            "CU-03, CU-13",
            severity="warning",
        ),
        LoadRule(
            "external_id.replaced",
            "The external identifier of a customer that the row found by another identifier was replaced.",
            "CU-03",
            severity="warning",
        ),
        LoadRule(
            "row.not_repeatable",
            "Other rows of the file change whom the identifiers of this row lead to. Sent again, the row would change "
            "another customer or make a new one: correct the rejected rows instead.",
            "CU-13",
            severity="warning",
        ),
    ),
)
