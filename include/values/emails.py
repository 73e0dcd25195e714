"""E-mail addresses: syntax only, never DNS. Source: value formats.

The `email-validator` library decides; one regular expression over the whole column accepts what it surely accepts,
another one denies what it surely denies, so that the library (about 80 µs an address) sees the odd ones alone: not
ASCII, long, punycode, double hyphens, unusual top-level domains. The tests hold the verdicts equal.

An address is stored as sent, its case included: the load compares without regard to the case of ASCII letters, and of
no others (X-16). Two things are brought to one form here, where the library judges them, so that the load need not:
what is not ASCII to Unicode's composed form (NFC), and a domain that is not ASCII to its A-labels (`xn--…`).
"""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.values.cells import Reading, coded_column, flags, matches, without

MAX_CHARACTERS = 254

_PROBLEMS = ("not_email", "email_too_long")
_NOT_EMAIL, _EMAIL_TOO_LONG = range(2)

_LOCAL = r"[a-zA-Z0-9_!#$%&'*+\-/=?^`{|}~]+"
_LOCAL_PART = rf"{_LOCAL}(?:\.{_LOCAL})*"

# Every ASCII address that email-validator accepts has this shape: quoted local parts, display names and domain literals
# are off by default, and its further checks only deny more.
_POSSIBLE = rf"^{_LOCAL_PART}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]*[A-Za-z]$"
# No label has two hyphens in a row (punycode, reserved), none can exceed 63 characters within _OBVIOUS_BYTES, and the
# special-use names (arpa, invalid, local, localhost, onion, test) are none of these top-level domains.
_OBVIOUS = (
    rf"^{_LOCAL_PART}@(?:[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\.)+"
    r"(?:[A-Za-z]{2,3}|info|name|mobi|asia|shop|site|tech|online|store|email|cloud)$"
)
_OBVIOUS_BYTES = 64


def read_emails(texts: pa.StringArray) -> Reading:
    """Read trimmed texts as e-mail addresses.

    Problems: `email_too_long` (over 254 characters), `not_email` (the library denies the syntax).
    """
    obvious = matches(texts, _OBVIOUS)
    obvious &= flags(pc.less_equal(pc.binary_length(texts), _OBVIOUS_BYTES))
    problems = np.full(len(texts), -1, dtype=np.int8)
    if not obvious.all():
        accepted, problems[~obvious] = _judge(texts.filter(pa.array(~obvious)))
        texts = pc.replace_with_mask(texts, pa.array(~obvious), accepted)
    return Reading(texts, coded_column(problems, _PROBLEMS))


def _judge(texts: pa.StringArray) -> tuple[pa.StringArray, npt.NDArray[np.int8]]:
    """Return accepted addresses and the problems of texts that are not obvious; the library sees each text once."""
    too_long = flags(pc.greater(pc.utf8_length(texts), MAX_CHARACTERS))
    impossible = flags(pc.string_is_ascii(texts)) & ~matches(texts, _POSSIBLE)
    encoded = without(texts, too_long | impossible).dictionary_encode()
    accepted = pa.array([as_stored(text) for text in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
    problems = np.full(len(texts), -1, dtype=np.int8)
    problems[flags(texts.is_valid()) & flags(accepted.is_null())] = _NOT_EMAIL
    problems[too_long] = _EMAIL_TOO_LONG
    return accepted, problems


def as_stored(text: str) -> str | None:
    """Return the address as it is stored, or None when the library denies it. Source: X-16."""
    from email_validator import EmailNotValidError, validate_email

    try:
        judged = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None
    local_part, _, domain = unicodedata.normalize("NFC", text).rpartition("@")
    return f"{local_part}@{domain if domain.isascii() else judged.ascii_domain}"
