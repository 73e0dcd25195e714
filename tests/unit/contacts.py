"""What the importer and the libraries themselves make of e-mail addresses and phone numbers."""

import unicodedata
from datetime import date

import phonenumbers
import pyarrow as pa
from email_validator import EmailNotValidError, validate_email

from include.declaration.fields import Field, Kind
from include.reading.parsing import ReadOptions, read_field
from include.values.cells import trim
from include.values.emails import read_emails
from include.values.phones import read_phones

Verdict = tuple[str | None, str | None]


def verdicts(kind: Kind, texts: list[str], region: str = "US") -> list[Verdict]:
    """Each text's value and problem, as the readers of contacts have them, which the libraries decide."""
    trimmed = trim(pa.array(texts, pa.string()))
    reading = read_emails(trimmed) if kind is Kind.EMAIL else read_phones(trimmed, region)
    return list(zip(reading.values.to_pylist(), reading.problems.to_pylist(), strict=True))


def read_contacts(kind: Kind, texts: list[str], region: str = "US") -> list[Verdict]:
    """Each text's value and problem, as the importer has them, which denies what a program has damaged before."""
    options = ReadOptions(slash_dates="refuse", phone_region=region, today=date(2026, 5, 1))
    columns = read_field(pa.array(texts, pa.string()), Field("f", "F", kind), options)
    return list(zip(columns["f"].to_pylist(), columns["f__problem"].to_pylist(), strict=True))


def library_email(text: str) -> Verdict:
    """The verdict of `email-validator` on a trimmed text; a domain beyond ASCII as A-labels (X-16)."""
    if not text:
        return None, None
    if len(text) > 254:
        return None, "email_too_long"
    try:
        judged = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None, "not_email"
    local_part, _, domain = unicodedata.normalize("NFC", text).rpartition("@")
    return f"{local_part}@{domain if domain.isascii() else judged.ascii_domain}", None


def library_phone(text: str, region: str) -> Verdict:
    """The verdict of `phonenumbers` on a trimmed text."""
    if not text:
        return None, None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None, "not_phone"
    if not phonenumbers.is_valid_number(number):
        return None, "invalid_phone"
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), None
