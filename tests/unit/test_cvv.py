"""The hash of a CVV: RFC 2104 over the documented bytes, one at a time and in batches."""

import hashlib
import hmac

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.warehouse.cvv import hash_cvv, hash_cvvs

pytestmark = pytest.mark.unit

KEYS = st.binary(min_size=1, max_size=100)
CELLS = st.none() | st.text(max_size=30)


def test_x20_the_hash_is_the_hmac_of_card_number_and_cvv_without_a_separator():
    # printf %s 0042007 | openssl dgst -sha256 -hmac key
    expected = "45eed43feee49f26663993208ca00ea5920fd1e3f18c47525683d97b4e81b5f6"
    assert hash_cvv(b"key", "0042", "007").hex() == expected


@settings(deadline=None)
@given(key=KEYS, pairs=st.lists(st.tuples(CELLS, CELLS), max_size=20), offset=st.integers(0, 3))
def test_a_batch_gives_the_hash_of_each_pair_and_null_where_a_cell_is_null(key, pairs, offset):
    card_numbers = pa.array([card for card, _ in pairs], pa.string())[offset:]
    cvvs = pa.array([cvv for _, cvv in pairs], pa.string())[offset:]
    expected = [
        None if card is None or cvv is None else hmac.new(key, (card + cvv).encode(), hashlib.sha256).digest()
        for card, cvv in pairs[offset:]
    ]
    hashes = hash_cvvs(key, card_numbers, cvvs)
    assert hashes.type == pa.binary(32)
    assert hashes.to_pylist() == expected


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_keys_shorter_and_longer_than_a_block_hash_as_hmac_says(length):
    key = bytes(range(256))[:length]
    assert hash_cvvs(key, pa.array(["4000"]), pa.array(["1"]))[0].as_py() == hash_cvv(key, "4000", "1")


def test_an_empty_key_is_refused():
    with pytest.raises(ValueError, match="empty"):
        hash_cvv(b"", "1", "2")
    with pytest.raises(ValueError, match="empty"):
        hash_cvvs(b"", pa.array(["1"]), pa.array(["2"]))


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2 card numbers and 1 CVVs"):
        hash_cvvs(b"key", pa.array(["1", "2"]), pa.array(["3"]))
