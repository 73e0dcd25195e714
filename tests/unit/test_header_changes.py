"""What differs between two headers. Source: X-05, X-06."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.columns.header_changes import HeaderChange, compare_headers

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("a,b,c", "a,b,c", HeaderChange()),
        ("a,b,c", "c,A ,_b", HeaderChange()),
        ("a,b", "a,b,c", HeaderChange(new=("c",))),
        ("a,b,c", "a,c", HeaderChange(lost=("b",))),
        ("number,pin", "number,code", HeaderChange(renamed=(("pin", "code"),))),
        (
            "number,balance",
            "balances,comment,number",
            HeaderChange(renamed=(("balance", "balances"),), new=("comment",)),
        ),
        ("number,pin,x", "number,x,comment,other", HeaderChange(lost=("pin",), new=("comment", "other"))),
        ("a,a", "a", HeaderChange(lost=("a",))),
        ("a", "a,a", HeaderChange(new=("a",))),
        ("a,b", "_job,_line,_rules,_reasons,a,b", HeaderChange()),
        ("_job,_line,a", "a,b", HeaderChange(new=("b",))),
    ],
)
def test_columns_are_renamed_lost_or_new(before: str, now: str, change: HeaderChange):
    assert compare_headers(before.split(","), now.split(",")) == change
    assert bool(change) == (change != HeaderChange())


NAMES = st.lists(st.text("abcd \u00e9_", max_size=4), max_size=8)


@given(NAMES, NAMES)
def test_every_column_that_only_one_header_has_is_reported_once(before: list[str], now: list[str]):
    change = compare_headers(before, now)
    lost = [*change.lost, *(old for old, _ in change.renamed)]
    new = [*change.new, *(name for _, name in change.renamed)]
    assert len(before) - len(lost) == len(now) - len(new)
    assert not change or (lost or new)
    assert compare_headers(before, before) == HeaderChange()
