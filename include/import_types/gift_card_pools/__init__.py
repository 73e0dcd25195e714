"""Gift card pools: groups of cards with the same parameters, locked once imported. Source: spec section 2."""

from __future__ import annotations

from pathlib import Path

from include.declaration.fields import Field, Kind, LoadRule, Look, Lookup
from include.declaration.import_type import Extras, ImportType
from include.declaration.settings import ImportSettings


class GiftCardPoolSettings(ImportSettings):
    """Settings of imports of gift card pools."""

    utf8_alone = True


GIFT_CARD_POOLS = ImportType(
    name="gift_card_pools",
    label="Gift card pools",
    actions=("add_gift_card_pools",),
    key="system_name",
    settings=GiftCardPoolSettings,
    extras=Extras(project_limits=("max_card_value",)),
    folder=Path(__file__).parent,
    targets=("loyalty.gift_card_pool", "loyalty.technical_product"),
    fields=(
        Field(
            "name",
            "Gift card pool name",
            Kind.IDENTIFIER,
            aliases=("pool_name", "PoolName"),
            required=True,
            description="Name that people see.",
            look=Look.NAME,
        ),
        Field(
            "system_name",
            "Gift card pool system name",
            Kind.IDENTIFIER,
            aliases=("pool_system_name", "PoolSystemName"),
            required=True,
            description="Unique name that gift cards refer to. It never changes.",
            look=Look.SYSTEM_NAME,
            is_indexed=True,
        ),
        Field(
            "supports_arbitrary_value",
            "Supports arbitrary gift card value",
            Kind.BOOLEAN,
            aliases=("arbitrary_value", "IsCustomAmount"),
            required=True,
            description="true: each card has a value of its own; false: every card is worth the pool's value.",
        ),
        Field(
            "supports_partial_redemption",
            "Supports partial redemption",
            Kind.BOOLEAN,
            aliases=("partial_redemption", "IsPartialUse"),
            required=True,
            description="true: a card pays several times until its balance is used up; false: it pays once.",
        ),
        Field(
            "product_external_id",
            "External product ID",
            Kind.IDENTIFIER,
            aliases=("external_product_id", "ProductExternalId"),
            required=True,
            description="ID of the technical product that is made for the pool; unique within its external system.",
            look=Look.SYSTEM_NAME,
            is_indexed=True,
        ),
        Field(
            "product_external_system",
            "External system of the technical product",
            Kind.IDENTIFIER,
            aliases=("external_system", "ExternalSystem"),
            required=True,
            description="Owner of the technical product, one of the project's external systems.",
        ),
        Field(
            "brand",
            "Brand of the technical product",
            Kind.IDENTIFIER,
            aliases=("Brand",),
            required=True,
            description="One of the project's brands.",
        ),
        Field(
            "cvv_required",
            "CVV required for gift cards",
            Kind.BOOLEAN,
            aliases=("IsCvvRequired",),
            required=True,
            description="true: the cards of the pool have a CVV and need it to pay.",
        ),
        Field(
            "card_value",
            "Gift card value in the pool",
            Kind.DECIMAL,
            aliases=("Amount",),
            description="What every card is worth; needed unless values are arbitrary, and blank if they are.",
        ),
        Field(
            "expiration_type",
            "Gift card expiration type",
            Kind.ENUM,
            aliases=("ExpirationType",),
            choices=("NoExpiration", "Year"),
            default="NoExpiration",
            description="Year: cards expire a number of years after their purchase.",
        ),
        Field(
            "lifetime_years",
            "Gift card lifetime in the pool",
            Kind.INTEGER,
            aliases=("lifetime", "Expiration"),
            description="Years from 1 to 10; needed with Year, ignored with NoExpiration.",
            rule_condition={"when_column": "expiration_type", "when_value": "Year"},
        ),
        Field(
            "max_card_value",
            "Highest gift card value in the pool",
            Kind.DECIMAL,
            description="Cards with a higher balance are rejected; the project's `max_card_value` if blank.",
        ),
    ),
    lookups=(
        Lookup("external_system", "product_external_system", "SELECT name FROM loyalty.external_system"),
        Lookup("brand", "brand", "SELECT name FROM loyalty.brand"),
    ),
    load_rules=(
        LoadRule(
            "system_name.duplicate_in_file",
            "Duplicate pool system name {value}, first seen on line {line}. The first row is kept.",
            "X-17",
        ),
        LoadRule(
            "system_name.pool_locked",
            "The pool {value} exists already and its parameters are locked; this row differs in {fields}.",
            "GP-03",
        ),
        LoadRule(
            "product_external_id.duplicate_in_file",
            "Duplicate external product ID {value}, first seen on line {line} for the same external system.",
            "X-17",
        ),
        LoadRule(
            "product_external_id.taken",
            "The external product ID {value} belongs to another pool of the same external system.",
            "GP-02",
        ),
    ),
)
