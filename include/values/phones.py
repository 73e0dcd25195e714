"""Phone numbers: parsed against the default region, stored as E.164. Source: value formats.

The `phonenumbers` library decides, at about 70 µs a number. Its rules are regular expressions, so most numbers are
decided by the library's own metadata over the whole column at once: digits with the usual punctuation, in international
form or in the default region's national form. Whatever needs more than these (`00` or `011`, carrier codes, national
prefixes that rewrite the number, unknown calling codes) goes to the library itself. The tests hold the verdicts equal.

Extensions and letters, which the library drops or dials, are denied before (`include.reading.parsing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from include.errors import ConfigurationError
from include.values.cells import Reading, coded_column, flags, matches, scatter

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata, PhoneNumberDesc

Rows = npt.NDArray[np.int64]

_PROBLEMS = ("not_phone", "invalid_phone")
_NOT_PHONE, _INVALID_PHONE = range(2)
_VALID, _UNDECIDED = -1, 2

# Punctuation that the library skips wherever it is behind the first digit. Shorter numbers may be local ones.
_PUNCTUATED = r"^[+(]?[0-9][0-9 ()./-]{6,31}$"
_PUNCTUATION = r"[ ()./-]+"
_COMPACT = r"^\+?[0-9]{7,15}$"

_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


def read_phones(texts: pa.StringArray, region: str) -> Reading:
    """Read trimmed texts as phone numbers (string, E.164); numbers without `+` are the region's.

    Problems: `not_phone` (no phone number can be made out), `invalid_phone` (`is_valid_number` denies it).

    Raises:
        ConfigurationError: the library doesn't know the region.
    """
    problems = np.full(len(texts), _VALID, dtype=np.int8)
    problems[flags(texts.is_valid())] = _UNDECIDED
    compact = _compact(texts)
    is_international = flags(pc.starts_with(compact, "+"))
    is_national = flags(compact.is_valid()) & ~is_international

    international = _Column(np.flatnonzero(is_international), compact.filter(pa.array(is_international)))
    national = _Column(np.flatnonzero(is_national), compact.filter(pa.array(is_national)))
    with_code, pieces = _decide_national(national, region, problems)
    _decide_international(international, problems)
    _decide_international(with_code, problems)
    pieces += [(column.rows, column.texts) for column in (international, with_code)]

    numbers = pc.if_else(pa.array(problems == _VALID), scatter(len(texts), pieces), pa.scalar(None, pa.string()))
    undecided = problems == _UNDECIDED
    if undecided.any():
        asked, problems[undecided] = _ask_library(texts.filter(pa.array(undecided)), region)
        numbers = pc.replace_with_mask(numbers, pa.array(undecided), asked)
    return Reading(numbers, coded_column(problems, _PROBLEMS))


@dataclass(frozen=True)
class _Column:
    """Some rows of the column: their numbers and their texts, without nulls."""

    rows: Rows
    texts: pa.StringArray

    def where(self, chosen: npt.NDArray[np.bool_]) -> _Column:
        return self if chosen.all() else _Column(self.rows[chosen], self.texts.filter(pa.array(chosen)))


def _compact(texts: pa.StringArray) -> pa.StringArray:
    """Return `+digits` or digits where a text is nothing but that and usual punctuation, else null."""
    compact = matches(texts, _COMPACT)
    if not compact.all():
        punctuated = matches(texts, _PUNCTUATED) & ~compact
        if punctuated.any():
            rest = np.flatnonzero(punctuated)
            digits = pc.replace_substring_regex(texts.take(pa.array(rest)), _PUNCTUATION, "")
            texts = scatter(len(texts), [(rest, digits), (np.flatnonzero(compact), texts.filter(pa.array(compact)))])
            compact = matches(texts, _COMPACT)
        texts = pc.if_else(pa.array(compact), texts, pa.scalar(None, pa.string()))
    return texts


def _decide_international(numbers: _Column, problems: npt.NDArray[np.int8]) -> None:
    """Write the verdicts on E.164 candidates into `problems`; undecided ones stay as they are."""
    if not len(numbers.rows):
        return
    starts = pc.utf8_slice_codeunits(numbers.texts, 1, 4).dictionary_encode()
    codes = np.array([_calling_code(digits) for digits in starts.dictionary.to_pylist()], dtype=np.int64)
    code_of = codes[starts.indices.to_numpy(zero_copy_only=False)]
    for code in np.unique(codes[codes > 0]).tolist():
        plan = _numbering_plan(code)
        column = numbers.where(code_of == code)
        column = _Column(column.rows, pc.utf8_slice_codeunits(column.texts, 1 + len(str(code)), None))
        column = column.where(~_begin_with(column.texts, plan.regions[0].national_prefix))
        problems[column.rows] = np.where(plan.are_valid(column.texts), _VALID, _INVALID_PHONE)


def _decide_national(
    numbers: _Column, name: str, problems: npt.NDArray[np.int8]
) -> tuple[_Column, list[tuple[Rows, pa.StringArray]]]:
    """Write the verdicts on numbers in the region's national form into `problems`.

    Returns:
        The numbers that only lack a `+`, with it, still to be decided; and pieces of decided numbers as E.164.
    """
    region = _region(name)
    code = str(region.calling_code)
    numbers = numbers.where(~_begin_with(numbers.texts, region.international_prefix))

    begins_with_code = flags(pc.starts_with(numbers.texts, code))
    with_code = numbers.where(begins_with_code)
    behind_code = pc.utf8_slice_codeunits(with_code.texts, len(code), None)
    only_lacks_plus = (
        ~_begin_with(behind_code, region.national_prefix)
        & ~matches(with_code.texts, region.general)
        & matches(behind_code, region.general)
    )
    with_code = with_code.where(only_lacks_plus)
    with_code = _Column(with_code.rows, pc.binary_join_element_wise("+", with_code.texts, ""))

    numbers = numbers.where(~begins_with_code)
    has_prefix = _begin_with(numbers.texts, region.national_prefix)
    plain = [numbers.where(~has_prefix)]
    if region.national_prefix and not region.rewrites:
        prefixed = numbers.where(has_prefix)
        stripped = pc.replace_substring_regex(prefixed.texts, f"^(?:{region.national_prefix})", "", max_replacements=1)
        prefixed = _Column(prefixed.rows, stripped)
        plain.append(prefixed.where(_fit(prefixed.texts, region.general, region.lengths)))

    plan = _numbering_plan(region.calling_code)
    for column in plain:
        problems[column.rows] = np.where(plan.are_valid(column.texts), _VALID, _INVALID_PHONE)
    return with_code, [(column.rows, pc.binary_join_element_wise(f"+{code}", column.texts, "")) for column in plain]


def _ask_library(texts: pa.StringArray, region: str) -> tuple[pa.StringArray, npt.NDArray[np.int8]]:
    """Return E.164 (null when denied) and the problems of texts; the library sees each distinct one once."""
    encoded = texts.dictionary_encode()
    verdicts = [_verdict(text, region) for text in encoded.dictionary.to_pylist()]
    numbers = pa.array([number for number, _ in verdicts], pa.string()).take(encoded.indices)
    problems = np.array([problem for _, problem in verdicts], dtype=np.int8)
    return numbers, problems[encoded.indices.to_numpy(zero_copy_only=False)]


def _verdict(text: str, region: str) -> tuple[str | None, int]:
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None, _NOT_PHONE
    if not phonenumbers.is_valid_number(number):
        return None, _INVALID_PHONE
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), _VALID


# The library's metadata as patterns over a column.


@dataclass(frozen=True)
class _Desc:
    """A kind of number: what a number must match as a whole, and how many digits it may have (empty: any)."""

    pattern: str
    lengths: frozenset[int]


@dataclass(frozen=True)
class _Region:
    """One region's numbers, as `phonenumbers` describes them."""

    calling_code: int
    international_prefix: str
    national_prefix: str
    rewrites: bool
    leading_digits: str | None
    general: str
    lengths: frozenset[int]
    kinds: tuple[_Desc, ...]

    def are_valid(self, numbers: pa.StringArray) -> npt.NDArray[np.bool_]:
        """Say which national numbers are of a known kind (the library's `number_type` isn't UNKNOWN)."""
        valid = np.zeros(len(numbers), dtype=np.bool_)
        open_rows = np.flatnonzero(_fit(numbers, self.general, self.lengths))
        for kind in self.kinds:
            if not len(open_rows):
                break
            fits = _fit(numbers.take(pa.array(open_rows)), kind.pattern, kind.lengths)
            valid[open_rows[fits]] = True
            open_rows = open_rows[~fits]
        return valid


@dataclass(frozen=True)
class _NumberingPlan:
    """The regions that share a calling code, the main one first."""

    regions: tuple[_Region, ...]

    def are_valid(self, numbers: pa.StringArray) -> npt.NDArray[np.bool_]:
        """Say which national numbers `is_valid_number` accepts: the first region that claims a number judges it."""
        valid = np.zeros(len(numbers), dtype=np.bool_)
        open_rows = np.arange(len(numbers))
        for region in self.regions:
            if not len(open_rows):
                break
            candidates = numbers.take(pa.array(open_rows))
            if region.leading_digits is None or len(self.regions) == 1:
                claimed = region.are_valid(candidates)
                valid[open_rows[claimed]] = True
            else:
                claimed = _begin_with(candidates, region.leading_digits)
                valid[open_rows[claimed]] = region.are_valid(candidates.filter(pa.array(claimed)))
            open_rows = open_rows[~claimed]
        return valid


def _fit(numbers: pa.StringArray, pattern: str, lengths: frozenset[int]) -> npt.NDArray[np.bool_]:
    fits = matches(numbers, pattern)
    if lengths:
        possible = np.zeros(32, dtype=np.bool_)
        possible[[length for length in lengths if length > 0]] = True
        fits &= possible[pc.binary_length(numbers).to_numpy(zero_copy_only=False)]
    return fits


def _begin_with(numbers: pa.StringArray, pattern: str) -> npt.NDArray[np.bool_]:
    if not pattern:
        return np.zeros(len(numbers), dtype=np.bool_)
    return matches(numbers, f"^(?:{pattern})")


@lru_cache(maxsize=1000)
def _calling_code(digits: str) -> int:
    """Return the calling code that three digits begin with; 0 for an unknown or non-geographical one."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, REGION_CODE_FOR_NON_GEO_ENTITY

    for length in (1, 2, 3):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]))
        if regions and not digits.startswith("0"):
            return 0 if REGION_CODE_FOR_NON_GEO_ENTITY in regions else int(digits[:length])
    return 0


@cache
def _numbering_plan(calling_code: int) -> _NumberingPlan:
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    return _NumberingPlan(tuple(_region(name) for name in COUNTRY_CODE_TO_REGION_CODE[calling_code]))


@cache
def _region(name: str) -> _Region:
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(name)
    if metadata is None or metadata.country_code is None or metadata.general_desc is None:
        raise ConfigurationError(f"phone region: expected two capital letters, such as US, found {name!r}")
    return _Region(
        calling_code=metadata.country_code,
        international_prefix=metadata.international_prefix or "",
        national_prefix=metadata.national_prefix_for_parsing or "",
        rewrites=bool(metadata.national_prefix_transform_rule),
        leading_digits=metadata.leading_digits,
        general=_whole(metadata.general_desc),
        lengths=frozenset(metadata.general_desc.possible_length),
        kinds=_kinds(metadata),
    )


def _kinds(metadata: PhoneMetadata) -> tuple[_Desc, ...]:
    """Return the region's kinds of numbers; kinds of the same lengths are asked for in one pattern."""
    patterns: dict[frozenset[int], list[str]] = {}
    for name in _KINDS:
        desc: PhoneNumberDesc | None = getattr(metadata, name)
        if desc is not None and desc.national_number_pattern:
            same_length = patterns.setdefault(frozenset(desc.possible_length), [])
            if desc.national_number_pattern not in same_length:
                same_length.append(desc.national_number_pattern)
    return tuple(
        _Desc("^(?:" + "|".join(f"(?:{pattern})" for pattern in same_length) + ")$", lengths)
        for lengths, same_length in patterns.items()
    )


def _whole(desc: PhoneNumberDesc) -> str:
    return f"^(?:{desc.national_number_pattern})$"
