"""The import types, by name. One line here makes a type known to folders, settings, DAGs and the command line."""

from __future__ import annotations

from include.declaration.import_type import ImportType, ImportTypes
from include.import_types.customers import CUSTOMERS
from include.import_types.gift_card_pools import GIFT_CARD_POOLS
from include.import_types.gift_cards import GIFT_CARDS
from include.import_types.promo_code_pools import PROMO_CODE_POOLS
from include.import_types.promo_codes import PROMO_CODES

IMPORT_TYPES = ImportTypes(GIFT_CARD_POOLS, GIFT_CARDS, PROMO_CODE_POOLS, PROMO_CODES, CUSTOMERS)


def get(name: str) -> ImportType:
    """Return an import type.

    Raises:
        FileRefused: `file.unknown_type`: there is none of this name.
    """
    return IMPORT_TYPES.of(name)
