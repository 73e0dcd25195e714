"""The project settings: what an admin panel would hold, as one validated file. Source: spec section 9."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self, get_args

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, model_validator
from pydantic_core import PydanticCustomError

from include.names import normalise_name

Problem = tuple[tuple[str | int, ...], str]


def _refuse_blank(name: str) -> str:
    if not name or name != name.strip():
        raise ValueError("must not be blank, nor begin or end with white space")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError("must not contain control characters")
    return name


def _refuse_header_without_letters(name: str) -> str:
    if not normalise_name(name):
        raise ValueError("must contain a letter or a digit: it is part of column names")
    return name


def _refuse_long(name: str) -> str:
    if len(name.encode()) > 64:
        raise ValueError("must have at most 64 bytes in UTF-8: it is beside a sender's identifier in a key")
    return name


def _refuse_slash(name: str) -> str:
    if "/" in name:
        raise ValueError("must not contain '/', which separates channel and topic")
    return name


def _refuse_unknown_region(region: str) -> str:
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{region!r} is no region that phone numbers are known for; expected two letters such as 'US'")
    return region


def _refuse_repeated_characters(alphabet: str) -> str:
    repeated = sorted({character for character in alphabet if alphabet.count(character) > 1})
    if repeated:
        raise ValueError(f"repeats {', '.join(map(repr, repeated))}: each character may be there once")
    return alphabet


def _refuse_white_space(text: str) -> str:
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("must hold printable characters and no white space: codes are compared as written")
    return text


# Names are parts of keys: an index row of PostgreSQL holds 2,700 bytes in all. Those of systems are beside a sender's
# identifier, which may have 2,600 of them.
Name = Annotated[str, Field(max_length=250), AfterValidator(_refuse_blank)]
SystemName = Annotated[Name, AfterValidator(_refuse_long)]
HeaderName = Annotated[Name, AfterValidator(_refuse_header_without_letters)]
ChannelName = Annotated[HeaderName, AfterValidator(_refuse_slash)]
CodeText = Annotated[str, AfterValidator(_refuse_white_space)]
Region = Annotated[str, AfterValidator(_refuse_unknown_region)]


class _Entry(BaseModel):
    """Strict: `0123` or `yes` where a name is expected is a mistake, not a name to be guessed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True)


class PointOfContact(_Entry):
    """A site, shop or integration that customers meet."""

    external_id: Name = Field(description="What files and settings call it.")
    brand: Name = Field(description="One of `brands`.")


class DataSource(_Entry):
    """Where data comes from; its point of contact names the brand (CU-06)."""

    name: Name = Field(description="What the setting `data_source` calls it.")
    point_of_contact: Name = Field(description="One of `points_of_contact`; its brand is that of the subscriptions.")
    is_default: bool = Field(
        default=False, alias="default", description="true for the one that imports without `data_source` belong to."
    )


class CustomFieldType(StrEnum):
    """How the values of a custom field are read."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    DATETIME = "datetime"
    ENUM = "enum"


class CustomField(_Entry):
    """A field that this project added to customers."""

    name: HeaderName = Field(description="The column is `CustomField<name>`, or the name alone.")
    type: CustomFieldType = Field(
        strict=False, description="`string`, `boolean`, `integer`, `decimal`, `date`, `datetime` or `enum`."
    )
    values: tuple[Name, ...] = Field(default=(), strict=False, description="The values of an `enum`, and only of one.")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        is_enum = self.type is CustomFieldType.ENUM
        if is_enum and not self.values:
            raise _at(("values",), "an enum needs its values, for example values: [red, green]")
        if not is_enum and self.values:
            raise _at(("values",), f"only the type enum takes values, this is {self.type}")
        problems = [
            (("values", position), sentence)
            for position, sentence in _repeated(self.values, str.casefold, "case is ignored")
        ]
        if problems:
            raise _several(problems)
        return self


class ActionTemplate(_Entry):
    """A template that customer actions are recorded with (CU-10)."""

    system_name: Name = Field(description="What rows call it.")
    category: Name = Field(description="Actions are recorded with `Personal action` alone.")


class PromoCodeFormat(_Entry):
    """What generated promo codes look like, shared by several pools. Source: PP-03."""

    name: Name = Field(description="What pools call it.")
    alphabet: Annotated[CodeText, Field(min_length=2), AfterValidator(_refuse_repeated_characters)] = Field(
        description="The characters that vary, at least two different ones."
    )
    length: int = Field(ge=4, le=64, description="Of the whole code, prefix and suffix included: 4 to 64.")
    prefix: CodeText = Field(default="", description="What every code begins with.")
    suffix: CodeText = Field(default="", description="What every code ends with.")
    max_codes: int | None = Field(
        default=None, ge=1, le=2**63 - 1, description="Most codes that the format gives; blank: all of its space."
    )

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        fixed = len(self.prefix) + len(self.suffix)
        if self.length <= fixed:
            raise _at(
                ("length",),
                f"{self.length} leaves no character to vary: prefix and suffix, which count, take {fixed}",
            )
        return self


class Project(_Entry):
    """The project settings. Order is kept; every reference between entries holds."""

    model_config = ConfigDict(strict=False)

    brands: tuple[Name, ...] = Field(default=(), description="Brands that subscriptions and products belong to.")
    external_systems: tuple[SystemName, ...] = Field(
        default=(), description="Owners of the technical products of gift card pools."
    )
    points_of_contact: tuple[PointOfContact, ...] = Field(
        default=(), description="Sites, shops and integrations, each with its brand."
    )
    data_sources: tuple[DataSource, ...] = Field(
        default=(), description="Where customer files come from, each with its point of contact."
    )
    channels: tuple[ChannelName, ...] = Field(
        default=(), description="Subscription channels: a column `IsSubscribedBy<Channel>` each."
    )
    topics: tuple[HeaderName, ...] = Field(
        default=(), description="Subscription topics: a column `IsSubscribedBy<Channel>On<Topic>` for each channel."
    )
    external_identities: tuple[Annotated[HeaderName, AfterValidator(_refuse_long)], ...] = Field(
        default=(), description="Systems that name customers: a column `ExternalIdentity<System>` each."
    )
    custom_fields: tuple[CustomField, ...] = Field(
        default=(), description="Further fields of customers, with their types."
    )
    action_templates: tuple[ActionTemplate, ...] = Field(
        default=(), description="Templates that customer actions are recorded with."
    )
    segments: tuple[Name, ...] = Field(
        default=(), description="Static segments that exist without an import; imports can create others."
    )
    promo_code_formats: tuple[PromoCodeFormat, ...] = Field(
        default=(), description="What generated codes look like; pools can share a format."
    )
    default_phone_region: Region = Field(
        default="US", description="Region of phone numbers without a country code, two letters."
    )
    max_card_value: Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=2)] | None = Field(
        default=None, description="Gift cards with a higher balance are rejected, unless their pool has its own limit."
    )
    alert_subscribers: tuple[EmailStr, ...] = Field(
        default=(), description="Who gets the mails about files that need a person and pools that run low."
    )
    max_generation: int = Field(
        default=10_000_000,
        ge=1,
        le=2**63 - 1,
        strict=True,
        description="Most codes that one generation, or one transaction of a top-up, adds (PP-02).",
    )

    @model_validator(mode="after")
    def _check_entries_together(self) -> Self:
        problems = [*_repeated_entries(self), *_broken_references(self), *_ambiguous_subscriptions(self)]
        if problems:
            raise _several(problems)
        return self


ENTRIES: dict[str, type[BaseModel]] = {
    name: entry
    for name, setting in Project.model_fields.items()
    for entry in get_args(setting.annotation)
    if isinstance(entry, type) and issubclass(entry, _Entry)
}
"""The settings whose entries have keys of their own, and what an entry is."""


def _at(path: tuple[str | int, ...], sentence: str) -> PydanticCustomError:
    return _several([(path, sentence)])


def _several(problems: Iterable[Problem]) -> PydanticCustomError:
    """An after-validator can't say which key is to blame; the loader takes the keys from here (pydantic 2.14)."""
    listed = list(problems)
    return PydanticCustomError("entries", "{text}", {"text": " ".join(text for _, text in listed), "problems": listed})


def _repeated(names: Iterable[str], compare: Callable[[str], str], note: str) -> Iterator[tuple[int, str]]:
    seen: dict[str, tuple[int, str]] = {}
    for position, name in enumerate(names):
        earlier = seen.setdefault(compare(name), (position, name))
        if earlier[0] == position:
            continue
        spelling = "" if earlier[1] == name else f", written {earlier[1]!r} ({note})"
        yield position, f"{name!r} is there already, as entry {earlier[0] + 1}{spelling}"


def _repeated_entries(project: Project) -> Iterator[Problem]:
    exact = (str, "")
    ignoring_case = (str.casefold, "case is ignored")
    as_header = (normalise_name, "column names are compared without case, blanks and punctuation")
    for key, inner, (compare, note) in (
        ("brands", None, exact),
        ("external_systems", None, exact),
        ("points_of_contact", "external_id", exact),
        ("data_sources", "name", exact),
        ("channels", None, as_header),
        ("topics", None, as_header),
        ("external_identities", None, as_header),
        ("custom_fields", "name", as_header),
        ("action_templates", "system_name", exact),
        ("segments", None, exact),
        ("promo_code_formats", "name", exact),
        ("alert_subscribers", None, ignoring_case),
    ):
        entries = getattr(project, key)
        names = entries if inner is None else [getattr(entry, inner) for entry in entries]
        for position, sentence in _repeated(names, compare, note):
            yield (key, position, inner) if inner else (key, position), sentence


def _broken_references(project: Project) -> Iterator[Problem]:
    for position, contact in enumerate(project.points_of_contact):
        if contact.brand not in project.brands:
            yield ("points_of_contact", position, "brand"), f"{contact.brand!r} is not among the brands"
    contacts = {contact.external_id for contact in project.points_of_contact}
    for position, source in enumerate(project.data_sources):
        if source.point_of_contact not in contacts:
            yield (
                ("data_sources", position, "point_of_contact"),
                f"{source.point_of_contact!r} is not among the points_of_contact",
            )
    defaults = [position for position, source in enumerate(project.data_sources) if source.is_default]
    for position in defaults[1:]:
        yield (
            ("data_sources", position, "default"),
            f"only one data source can be the default, and {project.data_sources[defaults[0]].name!r} is it already",
        )


def _ambiguous_subscriptions(project: Project) -> Iterator[Problem]:
    """Find channels and topics that share a column: `EmailOnNews` is a channel's name, or a topic's of another."""
    meanings: dict[str, tuple[int, str]] = {}
    repeated = {position for position, _ in _repeated(project.channels, normalise_name, "")}  # reported as such
    for position, channel in enumerate(project.channels):
        if position in repeated:
            continue
        for topic in (None, *project.topics):
            header = f"IsSubscribedBy{channel}" if topic is None else f"IsSubscribedBy{channel}On{topic}"
            what = f"the channel {channel!r}" if topic is None else f"the topic {topic!r} of the channel {channel!r}"
            earlier = meanings.setdefault(normalise_name(header), (position, what))
            if earlier[0] != position:
                yield (
                    ("channels", position),
                    f"the column {header} would mean {what} and {earlier[1]}; rename one of them",
                )
