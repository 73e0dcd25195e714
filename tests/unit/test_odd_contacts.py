"""Over 100,000 odd e-mail addresses and as many odd phone numbers: verdict and value are the libraries' own.

Odd is what is near the border between accepted and denied: good values with one, two or three things changed, in
every form that people write them in. Each run draws the values by a fixed seed; another one is a change of `SEED`.
"""

import random
from collections import Counter

import phonenumbers
import pytest

from include.declaration.fields import Kind
from include.values import emails, phones
from tests.unit.contacts import Verdict, library_email, library_phone, verdicts

pytestmark = pytest.mark.unit

SEED = 20260501
VALUES = 102_000

# E-mail

LOCALS = ["a", "john.doe", "o'neil", "A.B+tag", "!#$%&'*+-/=?^_`{|}~", "1", "x" * 30, "_-_", "0"]
ODD_LOCALS = ["zoë", "用户", "дмитрий", "x" * 64, "x" * 65, "e\u0301", ""]
LABELS = ["b", "example", "mail-7", "c-d", "1", "127", "x" * 30, "M", "test", "local", "in-addr"]
ODD_LABELS = [
    *[
        "b--c",
        "ab--c",
        "bücher",
        "BÜCHER",
        "straße",
        "例子",
        "ουτοπία",
        "אב",
        "x" * 63,
        "x" * 64,
        "-b",
        "b-",
        "a_b",
        "",
    ],
    *["xn--bcher-kva", "xn--p1ai", "xn--", "xn--zz", "XN--P1AI"],
]
TOPS = ["de", "com", "COM", "info", "co", "io", "email", "Shop", "museum", "photography"]
ODD_TOPS = [
    *["c", "c1", "1c", "рф", "广告", "xn--p1ai", "localhost", "local", "Local", "test", "tests", "invalid", "onion"],
    *["arpa", "example", "alt", "x" * 63, "d-e", ""],
]
ODD = [
    *"@.-_+'\"<>()[]\\,;: \t%/aZ0é\0\x7f",
    *["\u0301", "\u0308", "\u00a0", "\u00ad", "\u200b", "\u200d", "\u202e", "\u212a", "\u3002", "\uff0e", "\uff20"],
    *["ı", "İ", "ß", "ẞ", "ſ", "\U0001f600", "..", "--", "@@", "xn--", " <", "\r\n", "\u0338", "א", "٣"],
]
DOMAINS_AS_A_WHOLE = ["[127.0.0.1]", "[IPv6:::1]", "127.0.0.1", "localhost", "de", "x" * 63 + ".de", "x." * 124 + "de"]


def part(usual: list[str], odd: list[str], chance: random.Random) -> str:
    """One of the usual parts, or, one time in six, an odd one."""
    return chance.choice(odd if chance.random() < 1 / 6 else usual)


def odd_address(chance: random.Random) -> str:
    """A good address in usual or unusual parts, with up to three characters put in, taken out, or exchanged."""
    local = ".".join(part(LOCALS, ODD_LOCALS, chance) for _ in range(chance.choice([1, 1, 1, 2])))
    labels = [part(LABELS, ODD_LABELS, chance) for _ in range(chance.choice([1, 1, 2, 3]))]
    labels.append(part(TOPS, ODD_TOPS, chance))
    domain = chance.choice(DOMAINS_AS_A_WHOLE) if chance.random() < 0.02 else ".".join(labels)
    text = f"{local}@{domain}"
    if chance.random() < 0.02:
        text = chance.choice(['"{}"@{}', "Bob <{}@{}>", "mailto:{}@{}", "{}@{}.", "{}@{}, c@d.de", ".{}@{}"]).format(
            local, domain
        )
    for _ in range(chance.choice([0, 0, 1, 1, 2, 3])):
        place = chance.randrange(len(text) + 1)
        text = text[:place] + chance.choice(["", *ODD]) + text[place + chance.randrange(2) :]
    return chance.choice([str, str, str, str.upper, str.title, str.swapcase])(text).strip()


def test_odd_addresses_get_the_librarys_verdict_and_value() -> None:
    """Source: value formats."""
    chance = random.Random(SEED)
    texts = [odd_address(chance) for _ in range(VALUES)]
    actual = verdicts(Kind.EMAIL, texts)
    expected = [library_email(text) for text in texts]
    assert differing(texts, actual, expected) == []
    problem_counts = Counter(problem for _, problem in expected)
    assert problem_counts[None] > VALUES / 5
    assert problem_counts["not_email"] > VALUES / 5
    assert problem_counts["email_too_long"] > 100
    assert len(set(texts)) > 0.6 * VALUES


# Phone

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
KINDS = sorted(phonenumbers.PhoneNumberType.values())
FORMS = [
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
    phonenumbers.PhoneNumberFormat.RFC3966,
]
FULL_WIDTH, ARABIC = (
    str.maketrans("0123456789", "".join(chr(zero + n) for n in range(10))) for zero in (0xFF10, 0x660)
)
PUNCTUATION = [" ", "-", ".", "/", "(", ")", "  ", "~", "\u00a0", "\u2010", "\u2013", "\uff0d", "\u200b", "*", ",", ";"]
PREFIXES = ["+", "++", "00", "0", "011", "8", "810", "1", "*31#", "(0)", "+0", "Tel: ", "\uff0b", "t", "(+"]
SUFFIXES = [" x12", " ext. 9", "#7", ";ext=3", " доб. 5", "x", "/12", ";phone-context=+1", " (home)", ".", "0", "00000"]
EXAMPLES = [
    (region, example)
    for region in REGIONS
    for kind in KINDS
    if (example := phonenumbers.example_number_for_type(region, kind)) is not None
]


def odd_number(region: str, example: phonenumbers.PhoneNumber, chance: random.Random) -> str:
    """A number of the region with up to two digits changed, in some form, with up to two oddities put in."""
    national = list(phonenumbers.national_significant_number(example))
    for _ in range(chance.choice([0, 1, 1, 2])):
        place = chance.randrange(len(national))
        national[place : place + 1] = chance.choice(
            [[chance.choice("0123456789")]] * 8 + [[], [national[place], chance.choice("0123456789")]]
        )
    digits = "".join(national) or "0"
    if chance.random() < 0.3:
        text = chance.choice(["", "0", "+", f"+{example.country_code}", str(example.country_code)]) + digits
    else:
        number = phonenumbers.PhoneNumber(
            country_code=example.country_code,
            national_number=int(digits),
            italian_leading_zero=digits.startswith("0") or None,
            number_of_leading_zeros=len(digits) - len(digits.lstrip("0")) or None,
        )
        text = phonenumbers.format_number(number, chance.choice(FORMS))
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2])):
        place = chance.randrange(len(text) + 1)
        begin, end = text[:place], text[place:]
        text = chance.choice(
            [begin + chance.choice(PUNCTUATION) + end] * 3
            + [chance.choice(PREFIXES) + text, text + chance.choice(SUFFIXES), begin + end[1:]]
            + [begin + chance.choice("abcxXéO") + end, text.translate(FULL_WIDTH), text.translate(ARABIC)]
        )
    return text.strip()


@pytest.mark.parametrize("share", range(6))
def test_odd_numbers_get_the_librarys_verdict_and_value(share: int) -> None:
    """Source: value formats. Each sixth of all regions as the default, a third of the numbers from abroad."""
    chance = random.Random(SEED + share)
    regions = REGIONS[share::6]
    problem_counts: Counter[str | None] = Counter()
    numbers_per_region = VALUES // 6 // len(regions) + 1
    own = {region: [number for home, number in EXAMPLES if home == region] for region in regions}
    for region in regions:
        texts = [
            odd_number(region, chance.choice(own[region]), chance)
            if chance.random() < 0.7
            else odd_number(*chance.choice(EXAMPLES), chance)
            for _ in range(numbers_per_region)
        ]
        expected = [library_phone(text, region) for text in texts]
        assert differing(texts, verdicts(Kind.PHONE, texts, region), expected) == [], region
        problem_counts.update(problem for _, problem in expected)
    assert problem_counts.total() * 6 >= 100_000
    assert problem_counts[None] > problem_counts.total() / 4
    assert problem_counts["invalid_phone"] > problem_counts.total() / 4
    assert problem_counts["not_phone"] > 100


def test_much_of_the_odd_is_decided_without_the_libraries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the tests above compare two ways of judging, not the libraries with themselves."""
    asked: list[str] = []
    monkeypatch.setattr(emails, "as_stored", lambda text: asked.append(text) or text)
    monkeypatch.setattr(phones, "_verdict", lambda text, region: asked.append(text) or (text, -1))
    chance = random.Random(SEED)
    verdicts(Kind.EMAIL, [odd_address(chance) for _ in range(2_000)])
    assert len(asked) < 1_400
    asked.clear()
    verdicts(Kind.PHONE, [odd_number(*chance.choice(EXAMPLES), chance) for _ in range(2_000)])
    assert len(asked) < 1_200


def differing(texts: list[str], actual: list[Verdict], expected: list[Verdict]) -> list[tuple[str, Verdict, Verdict]]:
    """Return the first texts whose verdicts differ."""
    rows = zip(texts, actual, expected, strict=True)
    return [(ascii(text), one, other) for text, one, other in rows if one != other][:20]
