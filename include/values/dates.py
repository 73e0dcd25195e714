"""Dates and date-times. Source: value formats.

A value is a day, an optional time after one blank or `T`, and behind a time, or a blank after it, an optional `Z`,
`UTC`, `±hh`, `±hhmm` or `±hh:mm`:

    2024-02-29   2024-2-9   2024.02.29   29.02.2024   9.2.2024        always
    02/29/2024   02/29/24                                             slash_dates: month_first
    29/02/2024   29/02/24                                             slash_dates: day_first
    9:05   09:05:07   09:05:07.123

Decided where the requirement leaves it open:

- One and two digits may be mixed where single digits are allowed at all (`2024-2-09`, `09.2.2024`); `yyyy.MM.dd` and
  the slash forms have two digits always.
- An offset belongs to a time: a day alone has none. It is at most ±15:59, as in PostgreSQL; `z`, `t` and `utc` are
  not `Z`, `T` and `UTC`.
- Fractions have one to nine digits; what is beyond microseconds is cut off, not rounded, so that no value moves into
  the next second.
- Hours are 0-23 and seconds 0-59. `24:00` and the leap second `:60` are denied like 30 February: rolling them over
  would store another day than the sender wrote.
- Years are 1-9999, also after the conversion to UTC.
- An end (`ends_day`) given as a day alone is the midnight after it; the last day there is, 9999-12-31, ends with its
  last microsecond.
- A two-digit year is the latest one that is not in the future: it is compared by year with `today`'s, not by day.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from include.values.cells import Reading, Shapes, coded_column

SlashDates = Literal["refuse", "month_first", "day_first"]
Numbers = npt.NDArray[np.int64]

_PROBLEMS = ("not_date", "impossible_date", "slash_date")
_NOT_DATE, _IMPOSSIBLE_DATE, _SLASH_DATE = range(3)

_DAYS = (
    r"(?P<year>0000)-(?P<month>00?)-(?P<day>00?)",
    r"(?P<year>0000)\.(?P<month>00)\.(?P<day>00)",
    r"(?P<day>00?)\.(?P<month>00?)\.(?P<year>0000)",
)
_SLASH_DAYS: Mapping[str, str] = {
    "month_first": r"(?P<month>00)/(?P<day>00)/(?P<year>0000|00)",
    "day_first": r"(?P<day>00)/(?P<month>00)/(?P<year>0000|00)",
}
_TIME = (
    r"(?:[ T](?P<hour>00?):(?P<minute>00)(?::(?P<second>00)(?:\.(?P<fraction>0{1,9}))?)?"
    r"(?: ?(?:Z|UTC|(?P<sign>[+-])(?P<offset_hour>00)(?::?(?P<offset_minute>00))?))?)?"
)

_DIGIT = re.compile("[0-9]")
_LAST_YEAR = 9999
_MICROSECONDS_OF_A_DAY = 86_400_000_000
_MICROSECONDS_OF_A_MINUTE = 60_000_000


@dataclass(frozen=True)
class DateForms:
    """Which writings of a date are understood.

    Args:
        slash_dates: how `05/06/2024` is read; `refuse` gives the problem `slash_date`.
        has_two_digit_years: `05/06/24` is a date, of the latest such year that is not in the future.
        today: what "in the future" means for two-digit years.
        ends_day: a day without a time is read as the midnight after it; for date-times only. Source: PC-03.
    """

    slash_dates: SlashDates
    has_two_digit_years: bool
    today: date
    ends_day: bool = False


@dataclass(frozen=True)
class _Moments:
    """The parsed column, as written: days from 1970-01-01, microseconds of the day, the offset not applied."""

    days: Numbers
    microseconds: Numbers
    offset_minutes: Numbers
    has_time: npt.NDArray[np.bool_]
    problems: npt.NDArray[np.int8]
    is_read: npt.NDArray[np.bool_]


def read_dates(texts: pa.StringArray, forms: DateForms) -> Reading:
    """Read trimmed texts as days (date32); a time and an offset must be right but are dropped unconverted.

    Problems: `not_date` (no known form), `impossible_date` (no such day, time or offset, or a year out of 1-9999),
    `slash_date` (would be a date if `slash_dates` were declared).
    """
    moments = _read_moments(texts, forms)
    values = pa.array(moments.days.astype(np.int32), mask=~moments.is_read).view(pa.date32())
    return Reading(values, coded_column(moments.problems, _PROBLEMS))


def read_datetimes(texts: pa.StringArray, forms: DateForms) -> Reading:
    """Read trimmed texts as moments in UTC (timestamp us); a day alone is its midnight, no offset means UTC.

    Problems: as `read_dates`.
    """
    moments = _read_moments(texts, forms)
    instants = moments.days * _MICROSECONDS_OF_A_DAY + moments.microseconds
    instants -= moments.offset_minutes * _MICROSECONDS_OF_A_MINUTE
    first, end = (int(_month_starts()[month]) * _MICROSECONDS_OF_A_DAY for month in (12, (_LAST_YEAR + 1) * 12))
    if forms.ends_day:
        instants += np.where(moments.has_time, 0, _MICROSECONDS_OF_A_DAY)
        instants -= ~moments.has_time & (instants == end)
    outside = moments.is_read & ((instants < first) | (instants >= end))
    problems = np.where(outside, np.int8(_IMPOSSIBLE_DATE), moments.problems)
    values = pa.array(instants, mask=~moments.is_read | outside).view(pa.timestamp("us", "UTC"))
    return Reading(values, coded_column(problems, _PROBLEMS))


def has_date_form(text: str) -> bool:
    """Say whether a trimmed text as a whole is written as dates are, possible or not; by any of the settings."""
    shape = _DIGIT.sub("0", text)
    return any(pattern.fullmatch(shape) for pattern in _patterns("refuse"))


def _read_moments(texts: pa.StringArray, forms: DateForms) -> _Moments:
    shapes = Shapes(texts)
    rows = len(texts)
    moments = _Moments(
        days=np.zeros(rows, dtype=np.int64),
        microseconds=np.zeros(rows, dtype=np.int64),
        offset_minutes=np.zeros(rows, dtype=np.int64),
        has_time=np.zeros(rows, dtype=np.bool_),
        problems=np.full(rows, -1, dtype=np.int8),
        is_read=np.zeros(rows, dtype=np.bool_),
    )
    layouts = [_layout(shape, forms) for shape in shapes.distinct]
    if layouts:
        unread = np.array([layout if isinstance(layout, int) else -1 for layout in layouts], dtype=np.int8)
        moments.problems[:] = np.where(shapes.codes < 0, np.int8(-1), unread[shapes.codes])
    for code, layout in enumerate(layouts):
        if isinstance(layout, re.Match):
            _read_layout(shapes, shapes.rows(code), layout, forms, moments)
    return moments


def _layout(shape: str, forms: DateForms) -> re.Match[str] | int:
    """Find where a shape's parts are, or the problem of all texts of that shape."""
    if not shape.startswith("0"):
        return _NOT_DATE
    for pattern in _patterns(forms.slash_dates):
        if layout := pattern.fullmatch(shape):
            break
    else:
        return _NOT_DATE
    is_slash = "/" in shape
    if is_slash and len(layout["year"]) == 2 and not forms.has_two_digit_years:
        return _NOT_DATE
    return _SLASH_DATE if is_slash and forms.slash_dates == "refuse" else layout


@lru_cache
def _patterns(slash_dates: SlashDates) -> tuple[re.Pattern[str], ...]:
    # Where slash dates are refused, either order finds them: the message asks for the setting.
    slash_day = _SLASH_DAYS["day_first" if slash_dates == "day_first" else "month_first"]
    return tuple(re.compile(day + _TIME) for day in (*_DAYS, slash_day))


def _read_layout(
    shapes: Shapes, rows: npt.NDArray[np.int64], layout: re.Match[str], forms: DateForms, moments: _Moments
) -> None:
    """Fill in the rows of one shape."""

    def number(part: str) -> Numbers:
        return shapes.number(rows, *layout.span(part))

    year, month, day = number("year"), number("month"), number("day")
    if len(layout["year"]) == 2:
        this_year = forms.today.year
        year += this_year - this_year % 100
        year -= np.where(year > this_year, 100, 0)
    is_possible = (year >= 1) & (month >= 1) & (month <= 12)
    months = np.where(is_possible, year * 12 + month - 1, 12)
    starts = _month_starts()
    days = starts[months] + day - 1
    is_possible &= (day >= 1) & (days < starts[months + 1])

    if layout["hour"]:
        hour, minute = number("hour"), number("minute")
        is_possible &= (hour <= 23) & (minute <= 59)
        microseconds = (hour * 60 + minute) * _MICROSECONDS_OF_A_MINUTE
        if layout["second"]:
            second = number("second")
            is_possible &= second <= 59
            microseconds += second * 1_000_000
        if layout["fraction"]:
            start, stop = layout.span("fraction")
            digits = min(stop - start, 6)
            microseconds += shapes.number(rows, start, start + digits) * 10 ** (6 - digits)
        moments.microseconds[rows] = microseconds
        moments.has_time[rows] = True
    if layout["sign"]:
        offset_hour = number("offset_hour")
        offset_minute = number("offset_minute") if layout["offset_minute"] else np.zeros_like(offset_hour)
        is_possible &= (offset_hour <= 15) & (offset_minute <= 59)
        sign = 1 if layout["sign"] == "+" else -1
        moments.offset_minutes[rows] = sign * (offset_hour * 60 + offset_minute)

    moments.days[rows] = days
    moments.is_read[rows] = is_possible
    moments.problems[rows[~is_possible]] = _IMPOSSIBLE_DATE


@lru_cache(maxsize=1)
def _month_starts() -> Numbers:
    """Return the day (from 1970-01-01) on which each month begins, from January of year 0 to January of 10000."""
    months = np.arange("0000-01", f"{_LAST_YEAR + 1}-02", dtype="datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64)
