"""Which values may be private under any header, as columns may be swapped. Source: X-20."""

from __future__ import annotations

import re

from include.names import AT_SIGNS, MOST_DIGITS
from include.values.dates import has_date_form

_AMOUNT = re.compile(r"\s*[+-]?[0-9]{1,8}[.,][0-9]{1,2}\s*")


def may_be_private(text: str) -> bool:
    """Say whether a text may be a card number, a phone or an address: by an `@`, or by more than eight digits.

    An amount with decimals, and a date in one of the forms that are read as dates, may have more.
    """
    has_many_digits = sum(character.isdigit() for character in text) > MOST_DIGITS
    return any(sign in text for sign in AT_SIGNS) or (
        has_many_digits and not _AMOUNT.fullmatch(text) and not has_date_form(text.strip())
    )
