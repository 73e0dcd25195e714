"""From numbers to codes, and the keys of formats. Source: PP-03, PG-02, PG-03."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.promo_codes.errors import GenerationRefused
from include.promo_codes.formats import CodeFormat, FormatState, fingerprint, write_codes

pytestmark = pytest.mark.unit

MASTER = b"master key of the tests"
KEY = bytes(range(32))
SUMMER = CodeFormat("summer", "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 10, prefix="S-")


def codes(code_format: CodeFormat, start: int, stop: int, key: bytes = KEY) -> list[str]:
    numbers = code_format.permutation(key).numbers(start, stop)
    lines = write_codes(code_format, key, numbers, "\n").decode()
    assert lines.endswith("\n") or start == stop
    return lines.split("\n")[:-1]


def test_pp03_the_capacity_of_a_format_counts_only_what_varies():
    plain = CodeFormat("f", "AB", 6, "X", "YZ")
    assert plain.free_length == 3
    unused = FormatState(plain, None, next_index=0, generated=0, present=0)
    assert unused.available == 8
    assert replace(unused, format=replace(plain, max_codes=5)).available == 5
    assert replace(unused, format=replace(plain, max_codes=9)).available == 8


def test_a_code_is_prefix_free_characters_and_suffix():
    generated_codes = codes(replace(SUMMER, suffix="!", length=11), 0, 1_000)
    assert {len(code) for code in generated_codes} == {11}
    assert {(code[:2], code[-1]) for code in generated_codes} == {("S-", "!")}
    assert set("".join(code[2:-1] for code in generated_codes)) == set(SUMMER.alphabet)


def test_pg03_a_whole_space_gives_every_code_once():
    small = CodeFormat("small", "cab", 7, prefix="x", suffix="yz")
    expected = {f"x{''.join(letters)}yz" for letters in itertools.product("abc", repeat=4)}
    generated_codes = codes(small, 0, 81)
    assert (len(generated_codes), set(generated_codes)) == (81, expected)


def test_numbers_are_written_with_the_highest_place_first_in_code_point_order():
    numbers = np.array([0, 1, 9, 10, 99], dtype=np.uint64)
    assert write_codes(CodeFormat("n", "9876543210", 4, "a", "z"), KEY, numbers, "\n").split() == [
        b"a00z", b"a01z", b"a09z", b"a10z", b"a99z",
    ]  # fmt: skip


@pytest.mark.parametrize("alphabet", ["ABCDEFGH", "zyxwabcd", "абвгдеёж", "aÀж€𐍈b"])
def test_ascending_numbers_give_ascending_codes(alphabet: str):
    numbers = np.sort(CodeFormat("f", alphabet, 30).permutation(KEY).numbers(0, 3_000))
    lines = write_codes(CodeFormat("f", alphabet, 30), KEY, numbers, "\n").decode().split("\n")[:-1]
    assert lines == sorted(lines)
    assert len(set(lines)) == 3_000
    assert {len(line) for line in lines} == {30}


@settings(max_examples=60, deadline=None)
@given(
    alphabet=st.text(st.characters(exclude_categories=("C", "Z")), min_size=2, max_size=12).filter(
        lambda text: len(set(text)) == len(text)
    ),
    prefix=st.text(st.characters(exclude_categories=("C", "Z")), max_size=4),
    suffix=st.text(st.characters(exclude_categories=("C", "Z")), max_size=4),
    free=st.integers(1, 40),
)
@example(alphabet="ab\\", prefix="\\", suffix="", free=3)
def test_any_characters_come_out_as_copy_reads_them(alphabet: str, prefix: str, suffix: str, free: int):
    r"""COPY reads `\\` as one backslash; nothing else in a code has a meaning to it."""
    code_format = CodeFormat("any", alphabet, len(prefix) + free + len(suffix), prefix, suffix)
    permutation = code_format.permutation(KEY)
    numbers = permutation.numbers(0, min(50, permutation.size))
    text = write_codes(code_format, KEY, numbers, "\tпул\\\\\t7\n").decode()
    rows = [line.split("\t") for line in text.split("\n")[:-1]]
    assert {tuple(row[1:]) for row in rows} == {("пул\\\\", "7")}
    assert not [row[0] for row in rows if "\\" in row[0].replace("\\\\", "")]
    plain = [row[0].replace("\\\\", "\\") for row in rows]
    assert len(set(plain)) == len(numbers)
    for code in plain:
        assert len(code) == code_format.length
        assert code.startswith(prefix)
        assert code.endswith(suffix)
        assert set(code[len(prefix) : code_format.length - len(suffix)]) <= set(alphabet)


def test_braces_in_a_prefix_are_characters():
    assert codes(CodeFormat("braces", "ab", 6, prefix="{}{0"), 0, 4) != []
    assert {code[:4] for code in codes(CodeFormat("braces", "ab", 6, prefix="{}{0"), 0, 4)} == {"{}{0"}


@pytest.mark.parametrize(
    ("alphabet", "free"), [("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 62), ("01", 64), ("0123456789", 40)]
)
def test_pg03_places_beyond_the_permutation_are_as_unpredictable_and_codes_differ(alphabet: str, free: int):
    code_format = CodeFormat("long", alphabet, free)
    generated_codes = codes(code_format, 0, 5_000)
    assert len(set(generated_codes)) == 5_000
    for place in range(free):
        counts = [sum(code[place] == letter for code in generated_codes) for letter in alphabet]
        expected = 5_000 / len(alphabet)
        chi_squared = sum((count - expected) ** 2 / expected for count in counts)
        assert chi_squared < len(alphabet) - 1 + 5.5 * (2 * (len(alphabet) - 1)) ** 0.5 + 8
    columns = {tuple(code[place] for code in generated_codes[:200]) for place in range(free)}
    assert len(columns) == free  # no place repeats another
    assert codes(code_format, 0, 100, bytes(32)) != generated_codes[:100]


def test_a_code_stays_the_same_in_every_release():
    assert codes(SUMMER, 0, 2, SUMMER.key(MASTER)) == ["S-WKVUG5AS", "S-2UWNZEN6"]


def test_pg03_each_format_has_a_key_of_its_own_and_each_master_key_others():
    changed = [
        SUMMER,
        replace(SUMMER, name="winter"),
        replace(SUMMER, alphabet=SUMMER.alphabet[1:]),
        replace(SUMMER, length=11),
        replace(SUMMER, prefix="W-"),
        replace(SUMMER, prefix="", suffix="S-"),
    ]
    keys = [code_format.key(MASTER) for code_format in changed] + [SUMMER.key(b"another master key")]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_the_order_of_an_alphabet_and_the_limit_change_no_code():
    same = replace(SUMMER, alphabet=SUMMER.alphabet[::-1], max_codes=7)
    assert codes(same, 0, 10, same.key(MASTER)) == codes(SUMMER, 0, 10, SUMMER.key(MASTER))


def test_pg03_the_fingerprint_distinguishes_keys_and_holds_none():
    key = SUMMER.key(MASTER)
    assert len(fingerprint(key)) == 32
    assert fingerprint(key) != fingerprint(SUMMER.key(b"another master key"))
    assert key not in fingerprint(key)
    assert MASTER not in fingerprint(key)


@pytest.mark.parametrize(
    ("max_codes", "generated", "present", "available"),
    [
        (None, 0, 0, 10_000),
        (None, 100, 100, 9_900),
        (None, 100, 10_000, 0),
        (500, 0, 0, 500),
        (500, 100, 4_000, 400),  # uploads don't count against the limit …
        (500, 100, 9_700, 300),  # … but they take the space
        (500, 500, 500, 0),
    ],
)
def test_pg02_available_is_the_smaller_of_what_the_limit_and_the_space_leave(
    max_codes: int | None, generated: int, present: int, available: int
):
    code_format = CodeFormat("four", "0123456789", 4, max_codes=max_codes)
    assert FormatState(code_format, None, 0, generated, present).available == available


def test_a_refusal_survives_pickling_as_tasks_may_do():
    import pickle

    refusal = pickle.loads(pickle.dumps(GenerationRefused("generation.quantity", "Why.")))
    assert (refusal.rule, refusal.message) == ("generation.quantity", "Why.")
