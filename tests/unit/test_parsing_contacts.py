"""E-mail addresses and phone numbers: the libraries' own verdicts, without asking them about every row."""

import subprocess
import sys

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.declaration.fields import Kind
from include.errors import ConfigurationError
from include.values import emails, phones
from tests.unit.contacts import Verdict, library_email, library_phone, read_contacts, verdicts

pytestmark = pytest.mark.unit

# E-mail


NASTY = [
    *["a@b.de", "A.B+tag@Sub.Example.COM", "!#$%&'*+-/=?^_`{|}~@example.com", "o'neil@example.ie", "1@2.de"],
    *["a@b", "a@b.c", "a@b.1", "a@b.c1", "a@b.1c", "a@b..de", "a@.b.de", "a@b.de.", "a@-b.de", "a@b-.de", "a@b--c.de"],
    *[
        "a@ab--c.de",
        "a@xn--mller-kva.de",
        "a@xn--.de",
        "a@xn--zz.xn--p1ai",
        "a@b.museum",
        "a@b.info",
        "a@b.photography",
    ],
    *["a@localhost", "a@x.localhost", "a@b.local", "a@b.LOCAL", "a@b.test", "a@b.invalid", "a@b.onion", "a@b.arpa"],
    *["a@1.in-addr.arpa", "a@testing.com", "a@local.de", "@b.de", "a@", "@", "ab.de", "", "a@b@c.de", "a b@c.de"],
    *["a@b c.de", ".a@b.de", "a.@b.de", "a..b@c.de", "a@b,de", "a@b_c.de", "a,b@c.de", "a;b@c.de", "(a)b@c.de"],
    *['"a b"@c.de', '"a"@c.de', '"@"@c.de', 'a"b@c.de', '"a@b.de', "a\\@b.de", "Bob <a@b.de>", "<a@b.de>", "a@b.de>"],
    *["a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "mailto:a@b.de", "a@b.de,c@d.de", "a@b.de;", "a@b.de\x00"],
    *[
        "a\n@b.de",
        "a@b.de\x1f",
        "a\t@b.de",
        "ü@b.de",
        "a@bücher.de",
        "a@BÜCHER.de",
        "用户@例子.广告",
        "a@b。de",
        "a@b．de",
    ],
    *[
        "u\u0308@b.de",
        "a@bu\u0308cher.de",
        "a\u200b@b.de",
        "a@b\u200b.de",
        "a\u00a0@b.de",
        "a＠b.de",
        "a@b.рф",
        "a@\u212a.de",
    ],
    *["a@1.אב.com", "\u0338@b.de", "a@\u0338b.de", "a@b.de\u0301", "\U0001f600@b.de", "a@\U0001f600.de", "a@b.d\u0435"],
    *["x" * 64 + "@b.de", "x" * 65 + "@b.de", "a@" + "x" * 63 + ".de", "a@" + "x" * 64 + ".de", "x" * 249 + "@b.de"],
    *[
        "x" * 250 + "@b.de",
        "ü" * 200 + "@b.de",
        "a@" + "x." * 124 + "de",
        "a@" + "x." * 125 + "de",
        "@" * 300,
        "é" * 300,
    ],
]


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_an_address_gets_the_librarys_verdict(text: str) -> None:
    assert verdicts(Kind.EMAIL, [text]) == [library_email(text)]


def test_addresses_get_the_same_verdict_in_one_column() -> None:
    assert verdicts(Kind.EMAIL, NASTY * 2) == [library_email(text) for text in NASTY] * 2


_LOCAL = st.text("aZ0.!'+-_@\" <,\\é\u0301", min_size=1, max_size=5)
_LABEL = st.text("aZ0-", min_size=1, max_size=5) | st.sampled_from(
    ["b", "c-d", "xn--p1ai", "ab--c", "é", "ß", "a_b", "", "x" * 63, "x" * 64, "[1.2.3.4]"]
)
_TOP = st.sampled_from(
    ["de", "com", "DE", "c", "c1", "1c", "info", "test", "Local", "arpa", "xn--p1ai", "рф", "", "de "]
)


@settings(max_examples=500)
@given(st.lists(st.builds("{}@{}.{}".format, _LOCAL, st.lists(_LABEL, max_size=3).map(".".join), _TOP), max_size=8))
@example(["a@b.test"])
def test_any_address_gets_the_librarys_verdict(texts: list[str]) -> None:
    texts = [text.strip() for text in texts]
    assert verdicts(Kind.EMAIL, texts) == [library_email(text) for text in texts]


def test_an_address_is_limited_to_254_characters() -> None:
    domain = "@" + "x" * 60 + ".com"
    longest, longer = ("y" * (length - len(domain)) + domain for length in (254, 255))
    assert verdicts(Kind.EMAIL, [longest, longer]) == [(longest, None), (None, "email_too_long")]


def test_an_address_is_stored_as_sent_but_for_white_space_and_composed_characters() -> None:
    texts = ["  John.Doe@Example.COM\u00a0", "Info@B.de", "Zoe\u0308@Example.COM", "Ann@BU\u0308CHER.de", "a@b\u3002DE"]
    assert [value for value, _ in verdicts(Kind.EMAIL, texts)] == [
        "John.Doe@Example.COM",
        "Info@B.de",
        "Zoë@Example.COM",
        "Ann@xn--bcher-kva.de",
        "a@b.de",
    ]


def test_the_library_is_asked_about_odd_addresses_only_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(emails, "as_stored", lambda text: asked.append(text) or text)
    usual = [f"customer.{number}@mail-{number}.example.com" for number in range(50)]
    nonsense = ["", "n/a", "John Smith", "a@b", "a@b@c.de", '"a"@b.de']
    verdicts(Kind.EMAIL, [*usual, *nonsense, "ü@b.de", "a@b.museum", "ü@b.de"])
    assert sorted(asked) == ["a@b.museum", "ü@b.de"]


# Phone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, ("+12125550100", None)) for text in ("+12125550100", "2125550100", "12125550100", "(212) 555-0100")],
        *[
            (text, ("+12125550100", None))
            for text in ("212-555-0100", "212.555.0100", "+1 (212) 555 0100", "1-212-555-0100")
        ],
        ("011 1 212 555 0100", ("+12125550100", None)),
        ("٢١٢-555-0100", ("+12125550100", None)),
        ("+49 (0)30 123456", ("+4930123456", None)),
        ("00493012345", (None, "invalid_phone")),
        ("+39 06 1234 5678", ("+390612345678", None)),
        ("555-0100", (None, "invalid_phone")),
        ("+1 111 111 1111", (None, "invalid_phone")),
        ("1234567890123456789", (None, "not_phone")),
        ("+999 123456789", (None, "not_phone")),
        *[
            (text, (None, "phone_characters"))
            for text in ("212-555-0100 x12", "212-555-0100 ext. 5", "Tel: 212 555 0100", "1-800-FLOWERS", "none", "+")
        ],
        *[
            (text, (None, "phone_characters"))
            for text in ("-2125550100", "=2125550100", "++12125550100", "+-12125550100")
        ],
        *[
            (text, (None, "phone_characters"))
            for text in ("2125550100#5", "212-555,0100", "212-555\u20110100", "+1+2125550100")
        ],
        ("\u202a+12125550100\u202c", (None, "invisible_character")),
        *[(text, (None, "changed_number")) for text in ("2125550100.0", "2125550100,00", "+4930123456.0")],
        *[
            (text, (None, "changed_number"))
            for text in (
                "2125550100.000",
                "+4930123456.000",
                "4930123456.0000",
                "030123456.000",
                "2125550100,000",
                "212555.0000",
                "+030123456.00",
                "030123456.",
                "-2125550100.0000",
                "2.125550100",
                "0.2125550100",
                "21.25550100",
                "+2.025550106",
                "+12.025550106",
                "2,125550100",
                "+1,2125550100",
                "2125550100.125",
                "4930123456.0625",
                "02125550100.125",
            )
        ],
        *[
            (text, ("+12125550100", None))
            for text in ("+1.2125550100", "+1.212.555.0100", "1.212.555.0100", "212.5550100", "212.555.0100")
        ],
        ("+49.30901820", ("+4930901820", None)),
        ("212555.0100", ("+12125550100", None)),
        ("12", (None, "invalid_phone")),
        *[(text, (None, "spreadsheet_number")) for text in ("1.23E+15", "4,91701E+11", "1.2e+10", "1.23E15")],
    ],
)
def test_x16_phones_are_stored_as_e164_and_nothing_is_dropped_of_them(text: str, expected: Verdict) -> None:
    """Source: value formats."""
    assert read_contacts(Kind.PHONE, [text]) == [expected]
    beside = read_contacts(Kind.PHONE, ["+12125550100", text, "(212) 555-0100"])
    assert beside == [("+12125550100", None), expected, ("+12125550100", None)]


@pytest.mark.parametrize("text", ["a@b.de\u200b", "so\u00adft@b.de", "a\ufe0fb@b.de", "a\u2800@b.de", "a\n@b.de"])
def test_x16_an_address_with_a_character_that_cant_be_seen_says_so(text: str) -> None:
    assert read_contacts(Kind.EMAIL, [text, "a@b.de"]) == [(None, "invisible_character"), ("a@b.de", None)]


@pytest.mark.parametrize(
    ("text", "region", "stored"),
    [
        ("0171.1234567", "DE", "+491711234567"),
        ("0171.123.4567", "DE", "+491711234567"),
        ("030.901820", "DE", "+4930901820"),
        ("0049.30901820", "DE", "+4930901820"),
        ("06.12345678", "FR", "+33612345678"),
    ],
)
def test_x16_points_that_no_program_writes_are_punctuation_of_a_phone(text: str, region: str, stored: str) -> None:
    """Source: value formats."""
    assert read_contacts(Kind.PHONE, [text], region) == [(stored, None)]


@pytest.mark.parametrize(
    ("text", "region"),
    [
        *[
            (text, "DE")
            for text in (
                "030 1234567/68", "030 1234567-0/-12", "030 1234567 / 68", "030/123456/78", "+49 30 1234567/68",
                "0049 30 1234567/68", "030 1234567 (68)", "030 123456-.12", "030 12345/67", "030 1234567/0301234568",
            )
        ],
        ("+43 1 58858/0", "AT"),
        ("٠٣٠ 1234567/68", "DE"),
        ("011 123456/78", "IT"),
    ],
)  # fmt: skip
def test_x16_a_phone_with_an_extension_behind_a_mark_rejects(text: str, region: str) -> None:
    """Source: value formats. The library would append it to the number."""
    beside = "+12125550100"
    assert read_contacts(Kind.PHONE, [text, beside], region) == [(None, "phone_characters"), (beside, None)]


@pytest.mark.parametrize(
    ("text", "region", "stored"),
    [
        ("030/1234567", "DE", "+49301234567"),
        ("030 / 123 45 67", "DE", "+49301234567"),
        ("+49 (0)33056/12345", "DE", "+493305612345"),
        ("0049 8151/123456", "DE", "+498151123456"),
        ("(030)-1234567-68", "DE", "+4930123456768"),
        ("0475/12/34/56", "BE", "+32475123456"),
        ("0171/123/4567", "DE", "+491711234567"),
        ("011/1234567", "IT", "+390111234567"),
        ("202/555-0123", "US", "+12025550123"),
        ("+1 (212) 555-0100", "US", "+12125550100"),
        ("06.12.34.56.78", "FR", "+33612345678"),
    ],
)
def test_x16_slashes_and_brackets_around_area_codes_are_punctuation_of_a_phone(
    text: str, region: str, stored: str
) -> None:
    """Source: value formats."""
    assert read_contacts(Kind.PHONE, [text], region) == [(stored, None)]


def test_a_number_without_a_plus_is_the_default_regions() -> None:
    assert verdicts(Kind.PHONE, ["030 123456"], "DE") == [("+4930123456", None)]
    assert verdicts(Kind.PHONE, ["020 7946 0958", "00442079460958"], "GB") == [("+442079460958", None)] * 2


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_example_numbers_of_a_region_and_their_neighbours_get_the_librarys_verdict(region: str) -> None:
    """In every form that the columns are decided in, with the region as default and from abroad."""
    texts = []
    for kind in (
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.TOLL_FREE,
    ):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        national = phonenumbers.national_significant_number(number)
        for place in range(len(national)):
            changed = national[:place] + str((int(national[place]) + 3) % 10) + national[place + 1 :]
            texts += [changed, f"0{changed}", f"+{number.country_code}{changed}", f"{number.country_code}{changed}"]
        for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL):
            texts.append(phonenumbers.format_number(number, form))
    assert len(texts) >= 18
    for default in {region, "US"}:
        assert verdicts(Kind.PHONE, texts, default) == [library_phone(text, default) for text in texts]


_PREFIXES = [
    "",
    "+",
    "0",
    "1",
    "00",
    "8",
    "+1",
    "+44",
    "+440",
    "+49",
    "+39",
    "+390",
    "+7",
    "+54",
    "+54 9",
    "+999",
    "49",
    "7",
]
_NUMBERS = st.builds(
    "{}{}".format,
    st.sampled_from(_PREFIXES),
    st.text("0123456789", min_size=1, max_size=14) | st.text("0123456789 ()-./+x#,", min_size=1, max_size=20),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(_NUMBERS, max_size=15), st.sampled_from(["US", "CA", "BS", "GB", "DE", "IT", "RU", "KZ", "AR", "BR", "MX"])
)
@example(["2125550100", "+12125550100", "x", "", "+49 30 123456", "2125550100"], "US")
def test_any_number_gets_the_librarys_verdict(texts: list[str], region: str) -> None:
    texts = [text.strip() for text in texts]
    assert verdicts(Kind.PHONE, texts, region) == [library_phone(text, region) for text in texts]


def test_the_library_is_asked_about_odd_numbers_only_and_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(text: str, region: str) -> tuple[str, int]:
        asked.append(text)
        return f"+{region}", -1

    monkeypatch.setattr(phones, "_verdict", note)
    usual = ["+12125550100", "(212) 555-0101", "12125550102", "+4930123456", "+1 211 111 1111", "+447911123456"]
    odd = ["011 1 212 555 0100", "011 49 30 123456"]
    results = read_contacts(Kind.PHONE, [*usual, "", *odd, odd[0], "1E+15"])
    assert asked == odd
    assert results == [
        *[("+12125550100", None), ("+12125550101", None), ("+12125550102", None), ("+4930123456", None)],
        *[(None, "invalid_phone"), ("+447911123456", None), (None, None), ("+US", None), ("+US", None), ("+US", None)],
        (None, "spreadsheet_number"),
    ]


@pytest.mark.parametrize("region", ["us", "ZZ", "USA", ""])
def test_an_unknown_phone_region_is_an_error_of_the_configuration(region: str) -> None:
    with pytest.raises(ConfigurationError, match="phone region"):
        verdicts(Kind.PHONE, ["2125550100"], region)


def test_no_module_for_dns_is_loaded_by_odd_addresses() -> None:
    script = """
import sys, pyarrow as pa
from include.values.emails import read_emails
assert read_emails(pa.array(["ü@b.de", "a@nowhere.invalid"])).problems.to_pylist() == [None, "not_email"]
print(sorted({"dns", "email_validator"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['email_validator']"


def made_up_region(
    general: str, *, leading_digits: str | None = None, lengths: set[int] | None = None
) -> phones._Region:
    kind = phones._Desc(f"^(?:{general})$", frozenset(lengths or ()))
    return phones._Region(99, "00", "", False, leading_digits, r"^\d+$", frozenset(), (kind,))


def test_a_region_that_claims_a_number_by_its_leading_digits_is_the_one_that_judges_it() -> None:
    """As the library does: today's metadata hardly shows it, tomorrow's may."""
    plan = phones._NumberingPlan(
        (made_up_region(r"1\d+"), made_up_region(r"2[0-4]\d+", leading_digits="2"), made_up_region(r"[23]\d+"))
    )
    assert plan.are_valid(pa.array(["1000", "2000", "2900", "3000", "4000"])).tolist() == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_a_number_must_have_a_possible_length() -> None:
    region = made_up_region(r"1\d+", lengths={-1, 4, 6})
    assert region.are_valid(pa.array(["100", "1000", "10000", "100000"])).tolist() == [False, True, False, True]
