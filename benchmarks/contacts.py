"""Normalising e-mail addresses and phone numbers that are all different, beside the libraries asked about each.

`python -m benchmarks.contacts VALUES` measures in a process of its own; it prints one JSON line.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from include.values.cells import Reading

REGION = "US"
ASKED = 5_000
"""Values that the libraries themselves are asked about; their time is shown per million."""
US_AREAS = (201, 212, 213, 305, 312, 404, 415, 512, 602, 617, 702, 713, 718, 773, 808, 818, 901, 917, 949, 972)
US_FORMS = ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "{} {} {}", "+1 {} {} {}", "1-{}-{}-{}", "+1{}{}{}", "{}{}{}")
ABROAD = (
    "+44 7400 {} {}",
    "+49 151 12{}-{}",
    "+49 (0)151 12{} {}",
    "+33 6 12 {} {}",
    "+39 347 1{}.{}",
    "+7 912 3{}-{}",
)
DOMAINS = ("gmail.com", "yahoo.com", "web.de", "mail.example.co.uk", "firma-{}.de", "outlook.com", "bücher.example")
ODD_DOMAINS = ("postfach.photography", "müller.de", "xn--mller-kva.de", "a--b.de", "firma.museum")


def us_phone(number: int, form: str = "+1{}{}{}") -> str:
    """Return the valid US number of this index, below 150 million; indexes near each other are in other areas."""
    rest, area = divmod(number, len(US_AREAS))
    exchange, line = divmod(rest, 10_000)
    exchange += 220  # past the service codes
    return form.format(US_AREAS[area], f"{exchange:03d}", f"{line:04d}")


def phones(count: int, seed: int = 20260101) -> list[str]:
    """Return numbers that are all different: two thirds of the default region in eight forms, the rest from abroad."""
    chance = random.Random(seed)
    numbers = []
    for number in range(count):
        if number % 3:
            numbers.append(us_phone(number, chance.choice(US_FORMS)))
        else:
            upper, lower = divmod(number // 3, 1_000)
            numbers.append(chance.choice(ABROAD).format(f"{upper:03d}", f"{lower:03d}"))
    chance.shuffle(numbers)
    return numbers


def emails(count: int, seed: int = 20260101) -> list[str]:
    """Return addresses that are all different, one in two hundred of them odd enough to need the library."""
    chance = random.Random(seed)
    addresses = []
    for number in range(count):
        domain = chance.choice(DOMAINS[:-1] if number % 200 else ODD_DOMAINS).format(number % 1_000)
        addresses.append(f"{chance.choice(('ann', 'bob.lee', 'j_doe', 'O.Neil+news'))}.{number}@{domain}")
    chance.shuffle(addresses)
    return addresses


def main(count: int) -> None:
    """Measure, and report seconds and how many values were accepted."""
    import pyarrow as pa
    from email_validator import validate_email
    from phonenumbers import is_valid_number, parse

    from include.values.emails import read_emails
    from include.values.phones import read_phones

    results: dict[str, float] = {}
    cases: list[tuple[str, list[str], Callable[[pa.StringArray], Reading], Callable[[str], object]]] = [
        (
            "phones",
            phones(count),
            lambda texts: read_phones(texts, REGION),
            lambda t: is_valid_number(parse(t, REGION)),
        ),
        ("emails", emails(count), read_emails, lambda text: validate_email(text, check_deliverability=False)),
    ]
    for name, texts, read, ask in cases:
        if len(set(texts)) != count:
            raise SystemExit(f"{name}: {len(set(texts)):,} different values, {count:,} expected")
        array = pa.array(texts, pa.string())
        start = time.perf_counter()
        reading = read(array)
        results[f"{name} seconds"] = time.perf_counter() - start
        results[f"{name} accepted"] = reading.problems.null_count
        asked = texts[:ASKED]
        ask(asked[0])  # the library's first answer loads its tables
        start = time.perf_counter()
        for text in asked:
            ask(text)
        results[f"{name} library seconds a million"] = (time.perf_counter() - start) / len(asked) * 1e6
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]))
