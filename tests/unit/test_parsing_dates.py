"""Dates and date-times. Source: value formats."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.declaration.fields import Field, Kind
from include.reading.parsing import ReadOptions, read_field

pytestmark = pytest.mark.unit

OPTIONS = ReadOptions(slash_dates="refuse", phone_region="US", today=date(2026, 5, 1))
BIRTH_DATE = Field("f", "Birth date", Kind.DATE, allows_two_digit_year=True)


def verdicts(texts: list[str], field: Field, slash_dates: str = "refuse") -> list[object]:
    """Each text's value, or its problem's code."""
    columns = read_field(pa.array(texts, pa.string()), field, replace(OPTIONS, slash_dates=slash_dates))
    values, problems = columns["f"].to_pylist(), columns["f__problem"].to_pylist()
    assert all(problem is None or value is None for value, problem in zip(values, problems, strict=True))
    return [problem or value for value, problem in zip(values, problems, strict=True)]


def as_date(text: str, slash_dates: str = "refuse", *, two_digit_years: bool = False) -> object:
    return verdicts([text], replace(BIRTH_DATE, allows_two_digit_year=two_digit_years), slash_dates)[0]


def as_moment(text: str) -> object:
    return verdicts([text], Field("f", "F", Kind.DATETIME))[0]


@pytest.mark.parametrize(
    "text",
    [
        *["2024-02-09", "2024-2-9", "2024-02-9", "2024-2-09", "2024.02.09", "09.02.2024", "9.2.2024", "9.02.2024"],
        *["09.2.2024", "2024-02-09 7:05", "2024-02-09T07:05:06", "9.2.2024 23:59:59.9", "2024.02.09T00:00Z"],
    ],
)
def test_forms_of_a_date(text: str) -> None:
    assert as_date(text) == date(2024, 2, 9)


@pytest.mark.parametrize(
    ("text", "hour", "microsecond"),
    [
        *[("2024-03-15 10:20:30+00", 10, 0), ("2024-03-15 10:20:30.5+02", 8, 500_000)],
        *[("2024-03-15 10:20:30 -0500", 15, 0), ("2024-03-15T10:20:30.000+0000", 10, 0)],
        *[("2024-03-15 10:20:30 UTC", 10, 0), ("2024-03-15T10:20:30UTC", 10, 0), ("2024-03-15 10:20:30 Z", 10, 0)],
        *[("2024-03-15T10:20:30 +02:00", 8, 0), ("15.3.2024 10:20:30.123456789 +02", 8, 123_456)],
    ],
)
def test_offsets_as_databases_and_shops_write_them(text: str, hour: int, microsecond: int) -> None:
    """Source: value formats."""
    expected = datetime(2024, 3, 15, hour, 20, 30, microsecond, tzinfo=UTC)
    assert verdicts([text], Field("f", "F", Kind.DATETIME)) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        *["2024.2.9", "2024-002-09", "24-02-09", "09.02.24", "9.2.24", "09-02-2024", "2024/02/09", "2024_02_09"],
        *["20240209", "2024-02", "2024", "Feb 9 2024", "2024-02-09x", "x2024-02-09", "-2024-02-09", "+2024-02-09"],
        *["12024-02-09", "2024-02-09  10:00", "2024-02-09t10:00", "2024-02-09 10", "2024-02-09 10:0", "2024-02-09 "],
        *["2024-02-09 10:00:0", "2024-02-09 10:00:00.", "2024-02-09 10:00:00,5", "2024-02-09 10:00:00.1234567890"],
        *["2024-02-09Z", "2024-02-09+01:00", "2024-02-09 10:00  Z", "2024-02-09 10:00z", "2024-02-09 10:00+1:00"],
        *["2024-02-09 10:00+010", "2024-02-09 10:00+1", "2024-02-09 10:00 + 01:00", "2024-02-09 10:00 AM"],
        *["2024-02-09 10:00 utc", "2024-02-09 UTC", "2024-02-09 +01", "2024-02-09 10:00 UTC+1", "2024-02-09 10:00 GMT"],
        *["2024-02-09 10:00\u221201:00", "２０２４-02-09", "٢٠٢٤-02-09", "2024‐02‐09", "45000", "1707436800", "é"],
    ],
)
def test_what_is_no_form_of_a_date(text: str) -> None:
    expected = date(2024, 2, 9) if text.endswith(" ") else "not_date"  # a blank at the end is trimmed
    assert as_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *[
            "2024-02-30",
            "2023-02-29",
            "1900-02-29",
            "31.04.2024",
            "2024-13-01",
            "2024-00-10",
            "2024-01-00",
            "32.1.2024",
        ],
        *["0000-01-01", "2024-01-01 24:00", "2024-01-01 25:00", "2024-01-01 10:60", "2024-01-01 10:00:60"],
        *["2024-01-01 10:00+16:00", "2024-01-01 10:00-00:60", "2016-12-31T23:59:60Z"],
    ],
)
def test_impossible_dates_and_times(text: str) -> None:
    assert as_date(text) == "impossible_date"
    assert as_moment(text) == "impossible_date"


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "2000-02-29", "2400-02-29", "1582-10-10"])
def test_dates_at_the_edges(text: str) -> None:
    assert as_date(text) == date.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", datetime(2024, 1, 1)),
        ("2024-01-01 9:05", datetime(2024, 1, 1, 9, 5)),
        ("2024-01-01T09:05:07Z", datetime(2024, 1, 1, 9, 5, 7)),
        ("2024-01-01T09:05:07.5", datetime(2024, 1, 1, 9, 5, 7, 500_000)),
        ("2024-01-01T09:05:07.000001Z", datetime(2024, 1, 1, 9, 5, 7, 1)),
        ("2024-01-01T23:59:59.999999999", datetime(2024, 1, 1, 23, 59, 59, 999_999)),
        ("2024-01-01T00:30+01:00", datetime(2023, 12, 31, 23, 30)),
        ("31.12.2023 23:30-05:30", datetime(2024, 1, 1, 5, 0)),
        ("1969-12-31T23:59:59.999999", datetime(1969, 12, 31, 23, 59, 59, 999_999)),
        ("0001-01-01T00:00:00-00:00", datetime(1, 1, 1)),
        ("9999-12-31T23:59:59.999999", datetime(9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_date_times_become_utc(text: str, expected: datetime) -> None:
    assert as_moment(text) == expected.replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+00:01", "9999-12-31T23:59-00:01"])
def test_a_conversion_to_utc_that_leaves_the_calendar_is_impossible(text: str) -> None:
    assert as_moment(text) == "impossible_date"


@pytest.mark.parametrize("text", ["2024-01-01T00:30+05:00", "2024-01-01 23:30-05:00", "1.1.2024 12:00Z"])
def test_a_date_field_drops_time_and_offset_unconverted(text: str) -> None:
    assert as_date(text) == date(2024, 1, 1)


@pytest.mark.parametrize(
    ("slash_dates", "expected"),
    [
        ("refuse", ["slash_date", "slash_date", "slash_date", "slash_date"]),
        ("month_first", [date(2024, 3, 4), "impossible_date", date(2024, 12, 31), date(2024, 3, 4)]),
        ("day_first", [date(2024, 4, 3), date(2024, 12, 31), "impossible_date", date(2024, 4, 3)]),
    ],
)
def test_slash_dates_are_read_as_declared(slash_dates: str, expected: list[object]) -> None:
    texts = ["03/04/2024", "31/12/2024", "12/31/2024", "03/04/2024 10:00"]
    assert verdicts(texts, BIRTH_DATE, slash_dates) == expected


@pytest.mark.parametrize("slash_dates", ["refuse", "month_first", "day_first"])
@pytest.mark.parametrize("text", ["3/4/2024", "03/4/2024", "2024/03/04", "03/04/024", "03/04-2024"])
def test_other_writings_with_slashes_are_no_dates(text: str, slash_dates: str) -> None:
    assert as_date(text, slash_dates, two_digit_years=True) == "not_date"


@pytest.mark.parametrize("slash_dates", ["refuse", "month_first", "day_first"])
def test_two_digit_years_are_for_birth_dates_alone(slash_dates: str) -> None:
    assert as_date("01/02/99", slash_dates) == "not_date"
    assert (as_date("01/02/99", slash_dates, two_digit_years=True) == "slash_date") is (slash_dates == "refuse")


@pytest.mark.parametrize(
    ("year", "expected"), [("00", 2000), ("25", 2025), ("26", 2026), ("27", 1927), ("69", 1969), ("99", 1999)]
)
def test_a_two_digit_year_is_the_latest_one_not_in_the_future(year: str, expected: int) -> None:
    assert as_date(f"12/31/{year}", "month_first", two_digit_years=True) == date(expected, 12, 31)


def test_a_leap_day_of_a_two_digit_year_belongs_to_that_year() -> None:
    assert as_date("02/29/24", "month_first", two_digit_years=True) == date(2024, 2, 29)
    assert as_date("02/29/28", "month_first", two_digit_years=True) == date(1928, 2, 29)
    assert as_date("02/29/23", "month_first", two_digit_years=True) == "impossible_date"


def test_forms_may_be_mixed_within_a_column() -> None:
    texts = ["2024-01-02", "3.1.2024", "", "2024-01-02T10:00Z", "x", "2024-1-4", "2024-01-02"]
    second = date(2024, 1, 2)
    expected = [second, date(2024, 1, 3), None, second, "not_date", date(2024, 1, 4), second]
    assert verdicts(texts, Field("f", "F", Kind.DATE)) == expected


# The same, value by value, in plain Python.

_DAY_FORMS = [
    r"(?P<Y>[0-9]{4})-(?P<M>[0-9]{1,2})-(?P<D>[0-9]{1,2})",
    r"(?P<Y>[0-9]{4})\.(?P<M>[0-9]{2})\.(?P<D>[0-9]{2})",
    r"(?P<D>[0-9]{1,2})\.(?P<M>[0-9]{1,2})\.(?P<Y>[0-9]{4})",
    r"(?P<first>[0-9]{2})/(?P<second>[0-9]{2})/(?P<Y>[0-9]{4}|[0-9]{2})",
]
_TIME_FORM = (
    r"([ T](?P<h>[0-9]{1,2}):(?P<m>[0-9]{2})(:(?P<s>[0-9]{2})(\.(?P<f>[0-9]{1,9}))?)?(?P<z> ?(?:Z|UTC|[+-].+))?)?"
)


def _reference(text: str, kind: Kind, slash_dates: str, two_digit_years: bool) -> object:
    match = next(filter(None, (re.fullmatch(form + _TIME_FORM, text) for form in _DAY_FORMS)), None)
    if not match:
        return "not_date"
    part = match.groupdict()
    zone = (part["z"] or "").lstrip(" ").replace("UTC", "Z")
    if zone and not re.fullmatch(r"Z|[+-][0-9]{2}(:?[0-9]{2})?", zone):
        return "not_date"
    if len(part["Y"]) == 2 and not two_digit_years:
        return "not_date"
    if "first" in part:
        if slash_dates == "refuse":
            return "slash_date"
        order = ("first", "second") if slash_dates == "month_first" else ("second", "first")
        part["M"], part["D"] = part[order[0]], part[order[1]]
    year = int(part["Y"])
    if len(part["Y"]) == 2:
        year = max(century + year for century in (1900, 2000) if century + year <= OPTIONS.today.year)
    try:
        offset = timedelta()
        if zone and zone != "Z":
            hours, minutes = int(zone[1:3]), int(zone[3:].strip(":") or 0)
            if hours > 15 or minutes > 59:
                return "impossible_date"
            offset = timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
        micro = int(((part["f"] or "0") + "000000")[:6])
        clock = [int(part[name] or 0) for name in "hms"]
        moment = datetime(year, int(part["M"]), int(part["D"]), *clock, micro, tzinfo=timezone(offset))
        return moment.date() if kind is Kind.DATE else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return "impossible_date"


def _digits(low: int, high: int) -> st.SearchStrategy[str]:
    return st.integers(low, high).flatmap(lambda number: st.sampled_from([str(number), f"{number:02d}"]))


_YEARS = st.sampled_from(["0000", "0001", "1899", "1900", "1969", "2000", "2023", "2024", "9999", "24", "27", "099"])
_DAY = st.one_of(
    st.tuples(_YEARS, _digits(0, 13), _digits(0, 32)).flatmap(
        lambda parts: st.sampled_from([".", "-", "/"]).map(lambda mark: mark.join(parts))
    ),
    st.tuples(_digits(0, 32), _digits(0, 13), _YEARS).flatmap(
        lambda parts: st.sampled_from([".", "-", "/"]).map(lambda mark: mark.join(parts))
    ),
)
_CLOCK = st.builds(
    "{}{}:{}{}{}".format,
    st.sampled_from([" ", "T", "t", "  "]),
    _digits(0, 25),
    st.sampled_from(["00", "07", "59", "60", "5"]),
    st.sampled_from(["", ":00", ":59", ":60", ":00.5", ":59.999999", ":01.123456789", ":01.", ":01.1234567890"]),
    st.sampled_from(["", "Z", "z", "+00:00", "-00:01", "+05:30", "-15:59", "+16:00", "+1:00", "+01:60", "+0100", " Z"])
    | st.sampled_from(["+00", " +02", "-0530", " -05:30", " UTC", "UTC", "  Z", " utc", "+16", "+01600", "+00 "]),
)
_TEXTS = st.builds("{}{}".format, _DAY, st.just("") | _CLOCK) | st.text("0123456789-./: TZ+é", max_size=20)


@settings(max_examples=400)
@given(
    texts=st.lists(_TEXTS, max_size=20),
    kind=st.sampled_from([Kind.DATE, Kind.DATETIME]),
    slash_dates=st.sampled_from(["refuse", "month_first", "day_first"]),
    two_digit_years=st.booleans(),
)
@example(["0001-01-01T00:00+00:01"], Kind.DATETIME, "refuse", False)
def test_dates_read_as_each_one_alone_would(
    texts: list[str], kind: Kind, slash_dates: str, two_digit_years: bool
) -> None:
    texts = [text.strip() for text in texts]
    field = Field("f", "F", kind, allows_two_digit_year=two_digit_years)
    expected = [_reference(text, kind, slash_dates, two_digit_years) if text else None for text in texts]
    assert verdicts(texts, field, slash_dates) == expected


@given(st.lists(st.dates(), min_size=1), st.sampled_from(["%Y-%m-%d", "%Y.%m.%d", "%d.%m.%Y"]))
def test_every_day_of_the_calendar_is_read(days: list[date], form: str) -> None:
    texts = [day.strftime(form.replace("%Y", f"{day.year:04d}")) for day in days]
    assert verdicts(texts, Field("f", "F", Kind.DATE)) == days


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=1))
def test_every_moment_is_read_to_the_microsecond(moments: list[datetime]) -> None:
    assert verdicts([moment.isoformat() for moment in moments], Field("f", "F", Kind.DATETIME)) == moments
