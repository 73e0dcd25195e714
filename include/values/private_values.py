"""Which values may be private under any header, as columns may be swapped. Source: X-20."""

from __future__ import annotations

import re

from include.names import AT_SIGNS, MOST_DIGITS
from include.values.dates import has_date_form

_AMOUNT = re.compile(r"\s*[+-]?[0-9]{1,8}[.,][0-9]{1,2}\s*")

_DATED_NAME = re.compile(
    r"(?=.*[a-z])[A-Za-z]{2,}([_-][A-Za-z]+)*[_-]20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([_-][0-9]{1,3})?"
)
"""A name such as `xmas_20261201_1`. Codes and card numbers are written in capitals."""


def may_be_private(text: str) -> bool:
    """Say whether a text may be a card number, a phone or an address: by an `@`, or by more than eight digits.

    An amount with decimals, a date in one of the forms that are read as dates, and a name that ends with a day of this
    century and a short number, may have more.
    """
    has_many_digits = sum(character.isdigit() for character in text) > MOST_DIGITS
    is_harmless = _AMOUNT.fullmatch(text) or _DATED_NAME.fullmatch(text) or has_date_form(text.strip())
    return any(sign in text for sign in AT_SIGNS) or (has_many_digits and not is_harmless)
