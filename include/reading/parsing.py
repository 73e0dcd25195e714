"""From cell texts to typed values. Source: value formats, X-16.

A column is read as a whole: usual shapes by Arrow or numpy kernels, only what they can't decide by Python, each
distinct text once. Nothing here raises on a sender's value: what can't be read is null and carries a problem code, for
which the suite has the sentence.

Decided where the requirement leaves it open:

- Only the ASCII digits are digits; in phones those of all scripts are, as for the library.
- Decimal: "at most 16 digits before and 2 after" allows none on one side: `.5` and `5.` are read, a lone mark isn't.
  A leading minus is read (the range rule decides), a plus isn't. `-0` is 0. Digits count as written: leading and
  trailing zeros too.
- Integer: at most 18 digits (what a 64-bit number surely holds); a leading minus is read, as in decimals, so that the
  range rule names the problem.
- What damages an identifier, and which numbers are changed ones, is decided in `include.values.damage`: `12E5` is
  an identifier. Booleans and whole numbers that have got a decimal mark, thousands marks or an exponent (`1.0`,
  `2,000`) are changed numbers too: what they were is clear, but what else the program changed is not. `2.5` is none: it
  is no whole number.
- A phone begins with a digit, `+` or `(`, and has at most one `+`.
- What is behind a `/` or a `(` in a phone is an extension or a second number where more digits than an area code are
  before it (`030 1234567/68`), and behind the last `/` where it has one or two digits; so is what is behind two of
  `- . /` in a row (`-0/-12`). Groups of two or three digits between slashes are one number (`0475/12/34/56`).
- Enumerations and booleans compare without case, over the stored spellings and the field's synonyms.
- `%CLEAR%` is written so, in capitals; only fields that can be erased know it.

Problem codes are the keys of `REASONS`; they are raised by kind as follows.

    identifier    invisible_character, error_value, spreadsheet_number, changed_number, single_quotes
    boolean       not_boolean, changed_number
    decimal       not_decimal, too_many_decimals, too_many_digits
    integer       not_integer, too_many_digits, changed_number
    date, -time   not_date, impossible_date, slash_date
    enum          unknown_choice
    email         not_email, email_too_long, invisible_character
    phone         not_phone, invalid_phone, spreadsheet_number, changed_number, invisible_character,
                  phone_characters
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.declaration.fields import Field, Kind, Look
from include.errors import ConfigurationError
from include.values import damage
from include.values.cells import (
    Reading,
    all_bytes,
    coded_column,
    edges,
    flags,
    marked,
    matches,
    matching_among,
    replace_byte,
    trim,
    view,
    without,
)
from include.values.dates import DateForms, SlashDates, read_dates, read_datetimes
from include.values.emails import read_emails
from include.values.phones import read_phones

REASONS: Mapping[str, str] = {
    "not_boolean": "is not true/false, t/f, yes/no, y/n, on/off or 1/0",
    "not_decimal": "is not a number: digits with a point or a comma as decimal mark and nothing else",
    "too_many_decimals": "has more than 2 digits after the decimal mark",
    "too_many_digits": "has more digits than can be kept (16 before the decimal mark, 18 in a whole number)",
    "spreadsheet_number": "looks like a number that a program has rounded; its last digits may be lost",
    "changed_number": "is a number that a program has changed, by a decimal mark, thousands marks or an exponent",
    "invisible_character": "has a character that can't be seen",
    "error_value": "is an error value of a spreadsheet",
    "single_quotes": "is in single quotes, which are no quotes here",
    "phone_characters": "has more than digits, blanks and + - . ( ) /, or an extension",
    "not_integer": "is not a whole number: digits only",
    "not_date": "is not a date in a known form, such as 2024-02-29 or 29.02.2024 13:45",
    "impossible_date": "is a day or a time that doesn't exist",
    "slash_date": "may be month first or day first; the setting slash_dates must say which",
    "unknown_choice": "is not one of the allowed values",
    "not_email": "is not an e-mail address",
    "email_too_long": "is longer than the 254 characters an e-mail address may have",
    "not_phone": "is not a phone number",
    "invalid_phone": "is not a valid number of any phone network",
}

DECIMAL = pa.decimal128(18, 2)
CLEAR = "%CLEAR%"
"""The cell that erases a value. Source: PP-02, CU-04."""

BOOLEANS = {"true": True, "t": True, "yes": True, "y": True, "on": True, "1": True} | {
    "false": False, "f": False, "no": False, "n": False, "off": False, "0": False,
}  # fmt: skip
_CHANGED_BOOLEAN = r"^[+-]?[01][.,]0*$"
_DECIMAL = r"^-?(?:[0-9]{1,16}(?:\.[0-9]{0,2})?|\.[0-9]{1,2})$"
_UNREADABLE_DECIMALS = {
    "too_many_decimals": r"^-?[0-9]*\.[0-9]{3,}$",
    "too_many_digits": r"^-?[0-9]{17,}(?:\.[0-9]{0,2})?$",
}
_INTEGER = r"^-?[0-9]{1,18}$"
_CHANGED_INTEGER = rf"{damage.WITH_EXPONENT}|^[+-]?[0-9]+[.,]0*$|{damage.WITH_THOUSANDS_MARKS}"
_UNREADABLE_INTEGERS = {"too_many_digits": r"^-?[0-9]{19,}$", "changed_number": _CHANGED_INTEGER}
_WIDE_BLANKS = r"\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"
_PHONE = rf"^[(]?[ ]*[+]?[ ]*[(]?[ ]*\p{{Nd}}[\p{{Nd}} \-.()/{_WIDE_BLANKS}]*$"
_PHONE_BYTES = b"0123456789 +-.()/"
_MOST_AREA_DIGITS = 6
"""Digits of the longest area code, its leading 0 included; behind a `+`, all but one of the country code too."""
_BEFORE_AREA_CODE = r"^[( ]*(?:[+]|00|011)[ (]*\p{Nd}|[(][ ]*0[ ]*[)]"
_NO_DIGITS = r"[^\p{Nd}]*"
_EXTENSION = (
    rf"^(?:{_NO_DIGITS}\p{{Nd}}){{{_MOST_AREA_DIGITS + 1}}}[^/(]*[/(]"
    rf"|/[^\p{{Nd}}/]*\p{{Nd}}?[^\p{{Nd}}/]*\p{{Nd}}?[^\p{{Nd}}/]*$"
)
_SLASHED_GROUPS = r"^[+]?\p{Nd}{1,6}(?:/\p{Nd}{2,3})+/\p{Nd}{2,4}$"
_TWO_MARKS = rf"[-./][ {_WIDE_BLANKS}]*[-./]"
_IS_PHONE_MARK = np.zeros(256, dtype=np.bool_)
_IS_PHONE_MARK[list(b"-./(")] = True
_MOST_BYTES_BETWEEN = 4
"""From a mark to the next one where a blank, which may have three bytes, is between them."""


@dataclass(frozen=True)
class ReadOptions:
    """What the reading of a column depends on beside the field.

    Args:
        slash_dates: the import's setting.
        phone_region: the import's setting, else the project's `default_phone_region`.
        today: the job's day, for two-digit years.
    """

    slash_dates: SlashDates
    phone_region: str
    today: date


# How the declaration's own texts (defaults) are read: they mean the same in every import. A phone must have its `+`.
_DECLARATION = ReadOptions(slash_dates="refuse", phone_region="US", today=date.min)


def read_field(cells: pa.StringArray, field: Field, options: ReadOptions) -> dict[str, pa.Array]:
    """Read one column of raw cell texts into the columns of the frame.

    A blank cell is read as the field's default, if it has one.

    Returns:
        For text: `<name>` alone, trimmed and composed (NFC). For every other kind `<name>` (null when blank or
        unreadable), `<name>__sent` (the trimmed text, null when blank) and `<name>__problem` (a key of `REASONS`, or
        null). Types: identifier, enum, email and phone string; boolean bool; decimal decimal128(18, 2); integer int64;
        date date32; datetime timestamp(us, UTC). A field that can be erased has `<name>__clear` (bool, never null) as
        well; where that is true the value is null and there is no problem.

    Raises:
        ConfigurationError: the field's default can't be read, a synonym means no choice, the phone region is unknown.
    """
    sent = damage.compose(trim(cells))
    texts, clear = sent, {}
    if field.clearable:
        is_clear = flags(pc.equal(sent, CLEAR))
        texts, clear = without(sent, is_clear), {f"{field.name}__clear": pa.array(is_clear)}
    if field.kind is Kind.TEXT:
        return {field.name: _with_default(texts, sent, field)} | clear
    reading = _read(texts, field, options)
    values = _with_default(reading.values, sent, field)
    return _columns(field, values, sent, reading.problems) | clear


def absent_field(field: Field, rows: int) -> dict[str, pa.Array]:
    """Return the columns of a field that the file has no column for: as if every cell were blank.

    That is all null, but for a field with a default, which every row then has.

    Raises:
        ConfigurationError: as `read_field`.
    """
    blank = read_field(pa.nulls(1, pa.string()), field, _DECLARATION)
    return {name: pa.repeat(column[0], rows) for name, column in blank.items()}


def with_setting(columns: Mapping[str, pa.Array], field: Field, value: str | None) -> dict[str, pa.Array]:
    """Fill the blank cells of an identifier's columns with what the import's settings say; show that beside them.

    Args:
        columns: as `read_field` gave them.
        value: of the setting that the field names; None when it isn't set.
    """
    blank = pc.is_null(columns[f"{field.name}__sent"])
    setting = pa.scalar(value, pa.string())
    values = columns[field.name] if value is None else pc.if_else(blank, setting, columns[field.name])
    return {**columns, field.name: values, f"{field.name}__setting": pa.repeat(setting, len(values))}


def _columns(field: Field, values: pa.Array, sent: pa.Array, problems: pa.Array) -> dict[str, pa.Array]:
    return {field.name: values, f"{field.name}__sent": sent, f"{field.name}__problem": problems}


def _with_default(values: pa.Array, sent: pa.StringArray, field: Field) -> pa.Array:
    if field.default is None or not sent.null_count:
        return values
    default = pa.array([field.default])
    if field.kind is not Kind.TEXT:
        reading = _read(default, field, _DECLARATION)
        if problem := reading.problems[0].as_py():
            raise ConfigurationError(f"field {field.name}: its default {field.default!r} {REASONS[problem]}")
        default = reading.values
    return pc.if_else(sent.is_null(), default[0], values)


def _read(sent: pa.StringArray, field: Field, options: ReadOptions) -> Reading:
    """Read trimmed texts as what the field is; text itself has nothing to be read."""
    match field.kind:
        case Kind.IDENTIFIER:
            return damage.read_identifiers(sent, are_names=field.look is Look.NAME)
        case Kind.BOOLEAN:
            return _read_booleans(sent)
        case Kind.DECIMAL:
            return _read_decimals(sent)
        case Kind.INTEGER:
            return _read_integers(sent)
        case Kind.DATE:
            return read_dates(sent, _date_forms(field, options))
        case Kind.DATETIME:
            return read_datetimes(sent, _date_forms(field, options))
        case Kind.ENUM:
            return _read_words(sent, _choices(field), pa.string(), "unknown_choice")
        case Kind.EMAIL:
            return _read_emails(sent)
        case Kind.PHONE:
            return _read_phones(sent, options.phone_region)
        case Kind.TEXT:
            return Reading(sent, pa.nulls(len(sent), pa.string()))


def _read_emails(sent: pa.StringArray) -> Reading:
    """Read e-mail addresses; one that looks perfect, but has a character that can't be seen, says so (X-16)."""
    invisible = damage.has_invisible(sent)
    reading = read_emails(without(sent, invisible))
    return _with_problem(reading, invisible, "invisible_character")


def _read_phones(sent: pa.StringArray, region: str) -> Reading:
    """Read phone numbers. The library would drop what is no digit, and make another number of it."""
    rounded, marked_ = damage.changed_numbers(sent, marks=damage.PHONE_WITH_DECIMAL_MARK)
    changed = rounded | marked_
    invisible = damage.has_invisible(sent) & ~changed
    others = _other_than_phones(sent) & ~changed & ~invisible
    reading = read_phones(without(sent, changed | invisible | others), region)
    for rows, problem in (
        (rounded, "spreadsheet_number"), (marked_, "changed_number"), (invisible, "invisible_character"),
        (others, "phone_characters"),
    ):  # fmt: skip
        reading = _with_problem(reading, rows, problem)
    return reading


def _other_than_phones(sent: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Say which texts have another form than a phone number."""
    raw = all_bytes(sent)
    first, _ = edges(sent)
    seen = view(sent)
    second = seen.data[np.minimum(seen.starts + 1, max(len(seen.data) - 1, 0))] if len(raw) else first
    begins_with_plus = first == ord("+")
    suspects = flags(sent.is_valid())
    if not raw.translate(None, _PHONE_BYTES) and raw.count(b"+") == begins_with_plus.sum():
        suspects &= ~(_is_digit(first) | begins_with_plus & _is_digit(second))
    return suspects & ~matching_among(sent, suspects, _PHONE) | _with_extension(sent, raw)


def _with_extension(sent: pa.StringArray, raw: bytes) -> npt.NDArray[np.bool_]:
    """Say which texts have an extension or a second number, which the library would append to the first one."""
    with_extension = np.zeros(len(sent), dtype=np.bool_)
    rows = np.flatnonzero(_may_have_extension(sent, raw))
    if len(rows):
        suspects = sent.take(pa.array(rows))
        has_extension = matches(pc.replace_substring_regex(suspects, _BEFORE_AREA_CODE, ""), _EXTENSION)
        with_extension[rows] = has_extension & ~matches(suspects, _SLASHED_GROUPS) | matches(suspects, _TWO_MARKS)
    return with_extension


def _may_have_extension(sent: pa.StringArray, raw: bytes) -> npt.NDArray[np.bool_]:
    """Say which texts have a `/`, a late `(`, or two marks that may have nothing but a blank between them."""
    is_suspect = np.zeros(len(sent), dtype=np.bool_)
    seen = view(sent)
    places = np.flatnonzero(_IS_PHONE_MARK[np.frombuffer(raw, np.uint8)])
    if len(places):
        places += seen.starts[0]
        rows = np.searchsorted(seen.starts, places, side="right") - 1
        marks = seen.data[places]
        is_late = (marks == ord("(")) & (places - seen.starts[rows] > _MOST_AREA_DIGITS)
        is_suspect[rows[(marks == ord("/")) | is_late]] = True
        is_close = (np.diff(places) <= _MOST_BYTES_BETWEEN) & (rows[1:] == rows[:-1])
        is_close &= ~_is_digit(seen.data[places[:-1] + 1])
        is_suspect[rows[1:][is_close]] = True
    return is_suspect & flags(sent.is_valid())


def _is_digit(characters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return characters - np.uint8(ord("0")) < 10


def _with_problem(reading: Reading, rows: npt.NDArray[np.bool_], problem: str) -> Reading:
    """Return the reading with a problem at the flagged rows, which have neither value nor problem yet."""
    if not rows.any():
        return reading
    return Reading(reading.values, pc.coalesce(marked(rows, problem), reading.problems))


def _read_booleans(sent: pa.StringArray) -> Reading:
    reading = _read_words(sent, BOOLEANS, pa.bool_(), "not_boolean")
    if reading.problems.null_count == len(reading.problems):
        return reading
    return _with_problem(reading, matches(sent, _CHANGED_BOOLEAN), "changed_number")


def _read_decimals(sent: pa.StringArray) -> Reading:
    pointed = replace_byte(sent, ",", ".")
    unreadable = flags(sent.is_valid()) & ~matches(pointed, _DECIMAL)
    problems = _why(pointed, unreadable, _UNREADABLE_DECIMALS, "not_decimal")
    return Reading(without(pointed, unreadable).cast(DECIMAL), problems)


def _read_integers(sent: pa.StringArray) -> Reading:
    unreadable = flags(sent.is_valid()) & ~matches(sent, _INTEGER)
    problems = _why(sent, unreadable, _UNREADABLE_INTEGERS, "not_integer")
    return Reading(without(sent, unreadable).cast(pa.int64()), problems)


def _why(texts: pa.StringArray, denied: npt.NDArray[np.bool_], causes: Mapping[str, str], otherwise: str) -> pa.Array:
    """Return the problem column: each denied text's cause (code → pattern that it matches), or the other one."""
    suspects = texts.filter(pa.array(denied))
    cause_codes = np.full(len(suspects), len(causes), dtype=np.int8)
    for code, pattern in enumerate(causes.values()):
        cause_codes[matches(suspects, pattern)] = code
    codes = np.full(len(texts), -1, dtype=np.int8)
    codes[denied] = cause_codes
    return coded_column(codes, [*causes, otherwise])


def _read_words(sent: pa.StringArray, meanings: Mapping[str, object], type_: pa.DataType, problem: str) -> Reading:
    """Read texts that are one of a few words, in any case; each distinct text is looked up once."""
    encoded = sent.dictionary_encode()
    meant = [meanings.get(word.lower()) for word in encoded.dictionary.to_pylist()]
    values = pa.array(meant, type_).take(encoded.indices)
    unknown = flags(values.is_null()) & flags(sent.is_valid())
    return Reading(values, marked(unknown, problem))


def _choices(field: Field) -> dict[str, str]:
    """Return what each word of an enumeration means, by its lower-case spelling."""
    for word, choice in field.synonyms.items():
        if choice not in field.choices:
            raise ConfigurationError(f"field {field.name}: synonym {word!r} means {choice!r}, which is no choice")
    synonyms = {word.lower(): choice for word, choice in field.synonyms.items()}
    return synonyms | {choice.lower(): choice for choice in field.choices}


def _date_forms(field: Field, options: ReadOptions) -> DateForms:
    return DateForms(options.slash_dates, field.allows_two_digit_year, options.today, field.is_end)
