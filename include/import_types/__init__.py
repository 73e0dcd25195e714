"""The import types, by name. One line here makes a type known to folders, settings, DAGs and the command line."""

from __future__ import annotations

from include.declaration.import_type import ImportType
from include.errors import FileRefused
from include.import_types.customers import CUSTOMERS
from include.import_types.gift_card_pools import GIFT_CARD_POOLS
from include.import_types.gift_cards import GIFT_CARDS
from include.import_types.promo_code_pools import PROMO_CODE_POOLS
from include.import_types.promo_codes import PROMO_CODES
from include.located_yaml import quoted
from include.names import did_you_mean

IMPORT_TYPES: dict[str, ImportType] = {
    each.name: each for each in (GIFT_CARD_POOLS, GIFT_CARDS, PROMO_CODE_POOLS, PROMO_CODES, CUSTOMERS)
}


def get(name: str) -> ImportType:
    """Return an import type.

    Raises:
        FileRefused: `file.unknown_type`: there is none of this name.
    """
    try:
        return IMPORT_TYPES[name]
    except KeyError:
        raise FileRefused(
            "file.unknown_type", f"There is no import type {quoted(name)}{did_you_mean(name, IMPORT_TYPES)}."
        ) from None
