"""Keyed permutations of whole code spaces: a counter walks one and no code comes twice. Source: PG-03.

A code of `places` characters over an alphabet of `radix` is a number below radix^places. These permutations map 0, 1,
2, … to such numbers, each exactly once, and in an order that nobody can distinguish from a random one without the key.
They are two of the three methods of Black & Rogaway, "Ciphers with Arbitrary Finite Domains" (CT-RSA 2002):

* up to 2^20 numbers, the prefix cipher (method 1): all indexes, ordered by their AES ciphertexts;
* above, the generalised Feistel cipher (method 3) on two halves radix^⌈places/2⌉ x radix^⌊places/2⌋. Their product is
  the very space, so nothing has to be walked over. Each of its 12 rounds is AES-256 of (round, half), modulo the size
  of the other half; of 64 bits modulo at most 2^32 the bias is below 2^-32.

Where the halves would pass 2^32, only the leading places are permuted and `draw_numbers` gives the others: all codes
still differ, and there are more of them than a table can hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]

LARGEST_TABLE = 1 << 20
"""Spaces up to this size are held as a table: 8 MiB, 0.2 s."""
LARGEST_HALF = 1 << 32
LARGEST_SPACE = (1 << 63) - 1
"""Counters are bigints of the database."""
ROUNDS = 12
_DRAWN = 1 << 32
"""First word of the blocks that `draw_numbers` encrypts; the first words of others are 0 or a round's number."""


class Permutation(Protocol):
    """A keyed order of all numbers below `size`."""

    @property
    def size(self) -> int:
        """How many numbers there are."""

    def numbers(self, start: int, stop: int) -> Numbers:
        """Return the numbers at the indexes from `start` up to `stop`, exclusively, in the order of the indexes."""


def make_permutation(key: bytes, radix: int, places: int) -> Permutation:
    """Return the permutation of the space of so many places, of at most `permuted_places` of them.

    Args:
        key: 32 bytes, of this space alone.
    """
    places = min(places, permuted_places(radix, places))
    if radix**places <= LARGEST_TABLE:
        return PrefixCipher(key, radix**places)
    return FeistelCipher(key, radix ** ((places + 1) // 2), radix ** (places // 2))


def permuted_places(radix: int, places: int) -> int:
    """Return how many leading places a permutation covers: all, unless its halves would pass 2^32."""
    while radix ** ((places + 1) // 2) > LARGEST_HALF or radix**places > LARGEST_SPACE:
        places -= 1
    return places


@dataclass(frozen=True)
class PrefixCipher:
    """Method 1: the indexes in the order of their ciphertexts."""

    key: bytes
    size: int

    @cached_property
    def _order(self) -> Numbers:
        indexes = np.arange(self.size, dtype=np.uint64)
        ciphertexts = _BlockCipher(self.key, self.size).encrypt(0, indexes)
        return np.lexsort((ciphertexts[:, 1], ciphertexts[:, 0])).astype(np.uint64)

    def numbers(self, start: int, stop: int) -> Numbers:
        """Return a part of the table."""
        _check(self, start, stop)
        return self._order[start:stop].copy()


@dataclass(frozen=True)
class FeistelCipher:
    """Method 3: an index is cut into a part below `high` and a part below `low`, which 12 rounds mix."""

    key: bytes
    high: int
    low: int

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.high * self.low

    def numbers(self, start: int, stop: int) -> Numbers:
        """Encrypt the indexes: 0.1 s a million on one core with AES instructions."""
        _check(self, start, stop)
        indexes = np.arange(start, stop, dtype=np.uint64)
        mixed, fixed = indexes // np.uint64(self.low), _remainder(indexes, np.uint64(self.low))
        cipher = _BlockCipher(self.key, len(indexes))
        for number in range(ROUNDS):
            size = np.uint64(self.low if number % 2 else self.high)
            mixed, fixed = fixed, _remainder(mixed + _remainder(cipher.encrypt(number, fixed)[:, 0], size), size)
        return mixed * np.uint64(self.low) + fixed


def draw_numbers(key: bytes, numbers: Numbers, position: int, below: int) -> Numbers:
    """Return for each of the numbers another one, which only the key predicts.

    Args:
        position: another position gives other numbers.
        below: at most 2^32.
    """
    return _remainder(_BlockCipher(key, len(numbers)).encrypt(_DRAWN + position, numbers)[:, 0], np.uint64(below))


class _BlockCipher:
    """AES-256 of many blocks at once, in buffers that are used again: to make new ones took ten times as long."""

    def __init__(self, key: bytes, blocks: int) -> None:
        # Not a mode to keep messages secret in, but AES itself, as the pseudo-random function that the methods ask for.
        self._encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
        self._plain = bytearray(blocks * 16)
        self._encrypted = bytearray(blocks * 16 + 15)

    def encrypt(self, first_word: int, second_words: Numbers) -> Numbers:
        """Encrypt a block for each second word; a row is a ciphertext, as two numbers. The next call overwrites it."""
        plain = _pairs(self._plain, len(self._plain))
        plain[:, 0] = first_word
        plain[:, 1] = second_words
        return _pairs(self._encrypted, self._encryptor.update_into(self._plain, self._encrypted))


def _pairs(blocks: bytearray, size_bytes: int) -> Numbers:
    """Return a view of blocks as pairs of numbers, the same ones on every machine."""
    pairs: Numbers = np.frombuffer(blocks, dtype="<u8", count=size_bytes // 8).reshape(-1, 2)
    return pairs


def _remainder(numbers: Numbers, size: np.uint64) -> Numbers:
    """Return numbers % size, which NumPy 2.4 takes three times as long for."""
    return numbers - numbers // size * size


def _check(permutation: Permutation, start: int, stop: int) -> None:
    if not 0 <= start <= stop <= permutation.size:
        raise ValueError(f"there are {permutation.size:,} indexes, none from {start:,} to {stop:,}")
