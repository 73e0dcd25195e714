"""Cron expressions of the setting `release`: which are possible, and when the next time comes. Source: X-11.

An expression of which no time ever comes (30 February) is refused when settings are read, and every one that is
accepted has a next time after any moment: `croniter` raises in the midst of a listing, after a search of 50 years. The
five fields mean what they mean to `croniter`, which decides for Airflow: a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from include.located_yaml import named, quoted

LAST_RELEASE = datetime(9999, 12, 30, tzinfo=UTC)
"""Later times are reported as this one: those who add the minutes of `after` to it must not leave the calendar."""
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_PIECE = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?")
_LONGEST = 500
_MONTH_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class _Schedule:
    """A cron expression in numbers.

    Args:
        weekdays: 0 is Monday.
        is_either: a day serves when the day of the month or the weekday does; else both have to, of which one is `*`.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool

    def is_on(self, day: date) -> bool:
        """Say whether anything comes on a day of one of the months."""
        of_month, of_week = day.day in self.days, day.weekday() in self.weekdays
        return of_month or of_week if self.is_either else of_month and of_week

    @property
    def is_possible(self) -> bool:
        """Say whether there is any such day: not where only days are named that none of the months has."""
        has_day = any(min(self.days) <= _MONTH_LENGTHS[month - 1] for month in self.months)
        return self.is_either or has_day


def check_cron(text: str) -> str:
    """Return a cron expression in one spelling.

    Raises:
        ValueError: it is none, or its time never comes.
    """
    parts = text.split(maxsplit=len(_FIELDS))
    if len(parts) != len(_FIELDS) or len(text) > _LONGEST:
        number = f"more than {len(_FIELDS)}" if len(parts) > len(_FIELDS) else len(parts)
        described = f"{len(text):,} characters" if len(text) > _LONGEST else number
        raise ValueError(f"must be a cron expression of five fields such as '0 2 * * *', found {described}")
    expression = " ".join(parts)
    if not _schedule(expression).is_possible:
        raise ValueError(f"{named(expression)} never comes: none of its months has such a day")
    return expression


def next_release(cron: str, after: datetime) -> datetime:
    """Return the first time of an expression after a moment, or `LAST_RELEASE` when none comes before that.

    Args:
        cron: as `check_cron` returned it.
        after: aware, UTC; any that a `datetime` can hold.
    """
    if after >= LAST_RELEASE:
        return LAST_RELEASE
    schedule = _schedule(cron)
    earliest = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for day in _days(schedule, earliest.date()):
        for hour in schedule.hours:
            for minute in schedule.minutes:
                moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
                if moment >= earliest:
                    return min(moment, LAST_RELEASE)
    return LAST_RELEASE


def _days(schedule: _Schedule, first: date) -> Iterator[date]:
    """Yield the days of a schedule from one on; the next is at most eight years off, around 1900 for one."""
    year, month, day = first.year, first.month, first.day
    while year <= date.max.year:
        if month in schedule.months:
            for number in range(day, _length(year, month) + 1):
                if schedule.is_on(comes_on := date(year, month, number)):
                    yield comes_on
        year, month, day = (year + 1, 1, 1) if month == len(_MONTH_LENGTHS) else (year, month + 1, 1)


def _length(year: int, month: int) -> int:
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 if month == 2 and not is_leap else _MONTH_LENGTHS[month - 1]


@lru_cache(maxsize=1024)
def _schedule(expression: str) -> _Schedule:
    parts = expression.split()
    minutes, hours, days, months, weekdays = (
        _numbers(part, *bounds) for part, bounds in zip(parts, _FIELDS, strict=True)
    )
    of_week = {(number - 1) % 7 for number in weekdays}  # cron's 0 and 7 are Sunday
    _, _, day, _, weekday = parts
    is_any_day = _is_any(day, weekday, is_all=len(days) == 31)
    is_any_weekday = _is_any(weekday, day, is_all=len(of_week) == 7)
    return _Schedule(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        frozenset(days),
        frozenset(months),
        frozenset(of_week),
        is_either=not (is_any_day or is_any_weekday),
    )


def _is_any(part: str, other: str, *, is_all: bool) -> bool:
    """Say whether the day of the month, or the weekday, leaves the choice of days to the other of the two fields."""
    return "*" in part.split(",") or (is_all and "*" in other)


def _numbers(part: str, name: str, low: int, high: int) -> set[int]:
    """Return the numbers that a field names."""
    numbers: set[int] = set()
    for piece in part.split(","):
        match = _PIECE.fullmatch(piece)
        ends = [int(number) for number in match.groups()[:2] if number] if match else []
        is_step_ok = match is not None and (match[3] is None or int(match[3]) > 0)
        if match is None or not is_step_ok or ends != sorted(ends) or not all(low <= end <= high for end in ends):
            raise ValueError(
                f"{quoted(piece)} is no {name} of a cron expression: numbers {low} to {high}, *, -, / and ,"
            )
        if len(ends) == 2 or (ends and not match[3]):
            first, last = ends[0], ends[-1]
        else:  # `*`, or from a number on; Sunday then is 0
            last = 6 if name == "weekday" else high
            first = ends[0] if ends and ends[0] <= last else low
        numbers.update(range(first, last + 1, int(match[3] or 1)))
    return numbers
