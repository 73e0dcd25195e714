"""Gift cards, each in a pool that exists. Source: spec section 3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field as Setting

from include.declaration.fields import Derived, Field, Kind, LoadRule, Look, Lookup, Secrets
from include.declaration.import_type import Extras, ImportType
from include.declaration.settings import Bears, ImportSettings, InForm
from include.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa


class GiftCardSettings(ImportSettings):
    """Settings of imports of gift cards."""

    strict_sold_cards: Annotated[bool, Bears(by_all=True), InForm()] = Setting(
        False, description="Reject cards of which only some of purchase date, point of contact and CanBeUsed are given."
    )


def hash_cvvs(fields: Mapping[str, pa.Array], secrets: Secrets) -> pa.Array:
    """Return the keyed hash of each card's CVV, null where it has none. Source: X-20.

    Raises:
        ConfigurationError: there are CVVs and no key.
    """
    if secrets.cvv_key is None:
        if fields["cvv"].null_count < len(fields["cvv"]):
            raise ConfigurationError(
                "The file has CVVs and there is no key to hash them with: set the Connection cvv_key, or CVV_KEY on "
                "the command line."
            )
        return fields["cvv"]
    from include.warehouse import cvv  # pyarrow, which no DAG needs when it is parsed

    return cvv.hash_cvvs(secrets.cvv_key, fields["card_number"], fields["cvv"])


def make_plain_numbers(fields: Mapping[str, pa.Array], _secrets: Secrets) -> pa.Array:
    """Return the card numbers without blanks and dashes, in capitals, where that is another one. Source: PC-04a."""
    from include.values import look_alikes  # pyarrow, which no DAG needs when it is parsed

    return look_alikes.plain_numbers(fields["card_number"])


GIFT_CARDS = ImportType(
    name="gift_cards",
    label="Gift cards",
    actions=("add_gift_cards",),
    key="card_number",
    settings=GiftCardSettings,
    extras=Extras(project_limits=("max_card_value",)),
    folder=Path(__file__).parent,
    targets=("loyalty.gift_card",),
    fields=(
        Field(
            "card_number",
            "Card number",
            Kind.IDENTIFIER,
            aliases=("Gift card number",),
            required=True,
            sensitive=True,
            description="Text, unique over all pools; leading zeros count.",
            look=Look.CARD_NUMBER,
            is_indexed=True,
        ),
        Field(
            "pool_system_name",
            "Pool system name",
            Kind.IDENTIFIER,
            aliases=("Gift card pool system name",),
            required=True,
            description="System name of the card's pool, which must exist.",
        ),
        Field(
            "cvv",
            "Gift card CVV",
            Kind.IDENTIFIER,
            aliases=(
                "Card CVV",
                "CVV2",
                "CVC",
                "CVC2",
                "Card CVC",
                "Gift card CVC",
                "Security code",
                "Card security code",
                "PIN",
                "PIN code",
                "Card PIN",
                "Gift card PIN",
            ),
            sensitive=True,
            is_secret=True,
            description="Text; needed where the pool requires CVVs. Stored as a keyed hash only.",
            look=Look.CVV,
        ),
        Field(
            "balance",
            "Card balance",
            Kind.DECIMAL,
            aliases=("Gift card balance",),
            required=True,
            description="Not negative; in a pool of a fixed value exactly that value.",
        ),
        Field(
            "point_of_contact",
            "Point of contact external ID",
            Kind.IDENTIFIER,
            aliases=("Point of contact",),
            description="Where the card was sold: a point of contact of the project.",
        ),
        Field(
            "purchased_at",
            "Card purchase date (UTC)",
            Kind.DATETIME,
            aliases=("Card purchase date", "Purchase date"),
            description="When the card was sold, not in the future. Its validity is counted from here.",
            label_in_rules="Card purchase date",
        ),
        Field(
            "status",
            "Gift card status",
            Kind.ENUM,
            aliases=("Card status",),
            choices=("CanBeUsed", "Inactive", "Blocked"),
            default="Inactive",
            description="CanBeUsed: can pay. Inactive: can be sold. Blocked: neither.",
        ),
    ),
    lookups=(
        Lookup(
            "pool",
            "pool_system_name",
            "SELECT system_name, card_value, cvv_required, supports_arbitrary_value, max_card_value "
            "FROM loyalty.gift_card_pool",
            columns={
                "card_value": Kind.DECIMAL,
                "cvv_required": Kind.BOOLEAN,
                "supports_arbitrary_value": Kind.BOOLEAN,
                "max_card_value": Kind.DECIMAL,
            },
        ),
        Lookup("point_of_contact", "point_of_contact", "SELECT external_id FROM loyalty.point_of_contact"),
    ),
    derived=(
        Derived("cvv_hash", "bytea", hash_cvvs),
        Derived("plain_number", 'text COLLATE "C"', make_plain_numbers),
    ),
    load_rules=(
        LoadRule(
            "card_number.duplicate_in_file",
            "Duplicate card number, first seen on line {line}. The first row is kept.",
            "X-17",
        ),
        LoadRule(
            "card_number.card_exists",
            "A card with this number exists already and an import never changes cards; this row differs in {fields}.",
            "GC-02",
        ),
        LoadRule(
            "card_number.twin",
            "Another card's number differs from this one by blanks, dashes or letter case alone: is it the same card?",
            "PC-04a",
            severity="warning",
        ),
    ),
)
