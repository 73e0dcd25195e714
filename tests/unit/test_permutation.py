"""Keyed permutations of code spaces: each number once, another order under another key. Source: PG-03."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.promo_codes.permutation import (
    LARGEST_HALF,
    LARGEST_SPACE,
    ROUNDS,
    FeistelCipher,
    PrefixCipher,
    draw_numbers,
    make_permutation,
    permuted_places,
)

pytestmark = pytest.mark.unit

KEY = bytes(range(32))
SAMPLE = 1_000


def key_number(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("radix", "places", "kind"),
    [
        (2, 1, PrefixCipher),
        (31, 1, PrefixCipher),
        (7, 3, PrefixCipher),
        (1000, 2, PrefixCipher),
        (2, 20, PrefixCipher),  # the largest table
        (2, 21, FeistelCipher),  # the smallest that is none, odd
        (36, 4, FeistelCipher),
        (10, 7, FeistelCipher),
        (1025, 2, FeistelCipher),
        (3, 13, FeistelCipher),
    ],
)
def test_pg03_a_whole_space_is_walked_and_no_number_comes_twice(radix: int, places: int, kind: type):
    permutation = make_permutation(KEY, radix, places)
    assert (type(permutation), permutation.size) == (kind, radix**places)
    parts = [
        permutation.numbers(start, min(start + 300_007, permutation.size))
        for start in range(0, permutation.size, 300_007)
    ]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(radix**places, dtype=np.uint64))


@settings(max_examples=60, deadline=None)
@given(high=st.integers(1, 300), low=st.integers(1, 300), key=st.binary(min_size=32, max_size=32))
def test_pg03_both_methods_are_bijections_of_any_size(high: int, low: int, key: bytes):
    everything = np.arange(high * low, dtype=np.uint64)
    for cipher in (FeistelCipher(key, high, low), PrefixCipher(key, high * low)):
        assert np.array_equal(np.sort(cipher.numbers(0, high * low)), everything)


@pytest.mark.parametrize(("radix", "places"), [(30, 3), (31, 8), (36, 12)])
def test_the_parts_of_a_walk_are_the_walk(radix: int, places: int):
    permutation = make_permutation(KEY, radix, places)
    whole = permutation.numbers(100, 1_100)
    assert np.array_equal(whole, np.concatenate([permutation.numbers(100, 101), permutation.numbers(101, 1_100)]))
    assert np.array_equal(whole, make_permutation(KEY, radix, places).numbers(100, 1_100))
    assert permutation.numbers(100, 100).size == 0


@pytest.mark.parametrize(("radix", "places"), [(30, 3), (31, 8)])
def test_indexes_outside_of_the_space_are_an_error(radix: int, places: int):
    permutation = make_permutation(KEY, radix, places)
    for start, stop in ((-1, 1), (2, 1), (permutation.size, permutation.size + 1)):
        with pytest.raises(ValueError, match="indexes"):
            permutation.numbers(start, stop)


@pytest.mark.parametrize(
    ("radix", "places", "permuted"),
    [(31, 10, 10), (31, 64, 12), (36, 13, 12), (2, 64, 62), (2, 63, 62), (10, 40, 18), (100_000, 60, 2), (94, 4, 4)],
)
def test_places_are_permuted_as_long_as_halves_fit_32_bits_and_counters_63(radix: int, places: int, permuted: int):
    assert permuted_places(radix, places) == permuted
    assert radix ** ((permuted + 1) // 2) <= LARGEST_HALF
    assert make_permutation(KEY, radix, places).size == radix**permuted <= LARGEST_SPACE


@pytest.mark.parametrize(("radix", "places"), [(36, 12), (2, 62)])
def test_the_largest_spaces_overflow_nowhere(radix: int, places: int):
    permutation = make_permutation(KEY, radix, places)
    assert isinstance(permutation, FeistelCipher)
    for start in (0, permutation.size - SAMPLE):
        numbers = permutation.numbers(start, start + SAMPLE).tolist()
        assert len(set(numbers)) == SAMPLE
        assert max(numbers) < permutation.size
        assert numbers == [slow_feistel(permutation, start + position) for position in range(SAMPLE)]


def slow_feistel(cipher: FeistelCipher, index: int) -> int:
    """Method 3 as Black & Rogaway write it, in Python's numbers."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    left, right = divmod(index, cipher.low)
    for number in range(12):
        encryptor = Cipher(algorithms.AES256(cipher.key), modes.ECB()).encryptor()
        block = encryptor.update(number.to_bytes(8, "little") + right.to_bytes(8, "little"))
        size = cipher.low if number % 2 else cipher.high
        left, right = right, (left + int.from_bytes(block[:8], "little") % size) % size
    return left * cipher.low + right


def test_pg03_a_sequence_is_the_same_on_every_machine_and_in_every_release():
    """Another sequence would meet the codes that the old one has made."""
    assert make_permutation(KEY, 31, 8).numbers(0, 3).tolist() == [554380630425, 109828811797, 40629371696]
    assert make_permutation(KEY, 10, 4).numbers(0, 3).tolist() == [8752, 7015, 8690]
    assert draw_numbers(KEY, np.arange(3, dtype=np.uint64), 12, below=1_000).tolist() == [980, 647, 751]


def test_the_prefix_cipher_is_the_order_of_the_ciphertexts():
    """Method 1 as Black & Rogaway write it, in Python's numbers."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encrypt = Cipher(algorithms.AES256(KEY), modes.ECB()).encryptor().update
    ciphertexts = [encrypt(bytes(8) + index.to_bytes(8, "little")) for index in range(1_000)]
    in_order = sorted(range(1_000), key=lambda index: (ciphertexts[index][7::-1], ciphertexts[index][:7:-1]))
    assert PrefixCipher(KEY, 1_000).numbers(0, 1_000).tolist() == in_order


def test_there_are_at_least_ten_rounds():
    assert ROUNDS >= 10


@pytest.mark.parametrize(("radix", "places"), [(30, 3), (31, 8)])
def test_pg03_another_key_gives_another_sequence(radix: int, places: int):
    """One bit of difference leaves no trace: as many numbers stay in place as chance leaves."""
    flipped = bytes([KEY[0] ^ 1]) + KEY[1:]
    one, other = (make_permutation(key, radix, places).numbers(0, 20_000) for key in (KEY, flipped))
    same = int((one == other).sum())
    expected = 20_000 / radix**places
    assert same <= expected + 3 * math.sqrt(expected) + 1
    assert abs(np.corrcoef(one.astype(float), other.astype(float))[0, 1]) < 4 / math.sqrt(20_000)


@pytest.mark.parametrize(("radix", "places"), [(30, 3), (2, 21), (31, 8), (36, 12)])
def test_pg03_the_ranks_of_adjacent_codes_are_not_correlated(radix: int, places: int):
    """Spearman's correlation of each code with its successor, over 100 keys: within 3 sigma of 0, and as spread out."""
    correlations = []
    for number in range(100):
        numbers = make_permutation(key_number(number), radix, places).numbers(0, SAMPLE)
        ranks = np.argsort(np.argsort(numbers)).astype(float)
        correlations.append(np.corrcoef(ranks[:-1], ranks[1:])[0, 1])
    sigma = 1 / math.sqrt(SAMPLE - 1)
    assert abs(np.mean(correlations) + 1 / SAMPLE) < 3 * sigma / math.sqrt(100)  # of a random order it is -1/n
    assert 0.75 * sigma < np.std(correlations) < 1.25 * sigma
    assert max(abs(correlation) for correlation in correlations) < 4.5 * sigma


@pytest.mark.parametrize(("radix", "places"), [(2, 21), (31, 8), (36, 12), (10, 6)])
@pytest.mark.parametrize("divisor", [1, 2])
def test_every_part_of_the_space_is_hit_alike(radix: int, places: int, divisor: int):
    """Chi-squared of 64 classes of the numbers' first (and last) digits, over the walk's beginning."""
    permutation = make_permutation(KEY, radix, places)
    numbers = permutation.numbers(0, 64_000).astype(object)
    classes = [int(number * 64 // permutation.size if divisor == 1 else number % 61) for number in numbers]
    observed = np.bincount(classes, minlength=64 if divisor == 1 else 61)
    expected = len(numbers) / len(observed)
    chi_squared = float(((observed - expected) ** 2 / expected).sum())
    freedom = len(observed) - 1
    assert abs(chi_squared - freedom) < 4.5 * math.sqrt(2 * freedom)


def test_drawn_numbers_depend_on_key_number_and_position_and_are_spread_evenly():
    numbers = np.arange(50_000, dtype=np.uint64)
    drawn = draw_numbers(KEY, numbers, 12, below=50)
    assert np.array_equal(drawn, draw_numbers(KEY, numbers, 12, below=50))
    assert np.array_equal(drawn[7:9], draw_numbers(KEY, numbers[7:9], 12, below=50))
    for other in (draw_numbers(KEY, numbers, 13, below=50), draw_numbers(key_number(1), numbers, 12, below=50)):
        assert abs(int((drawn == other).sum()) - 1_000) < 150
    observed = np.bincount(drawn.astype(int), minlength=50)
    assert len(observed) == 50
    assert abs(float(((observed - 1_000) ** 2 / 1_000).sum()) - 49) < 45
