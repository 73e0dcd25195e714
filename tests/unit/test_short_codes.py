"""Short numbers that may be a CVV under a wrong header, and what stays in clear beside CVVs. Source: X-08, X-20."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.values.short_codes import mask_short_amounts, mask_short_codes

pytestmark = pytest.mark.unit


def masked(*cells: str | None) -> list[str | None]:
    return mask_short_codes(pa.array(cells, pa.string())).to_pylist()


@pytest.mark.parametrize(
    "cell",
    ["19.999", "100.00", "100,00", "1.234,50", "1,234.50", "$100.00", "100 EUR", "pool_100", "pool 100", "100-xmas",
     "summer 2024", "Q1 2024", "sommer\u00e9 2024", "2024-02-30", "03/04/2026", "31.12.2026 23:59 +0100",
     "2026-13-01T10:00:00.123Z", "5 January 2026", "Jan 5, 2026", "Lost", "12345", "50", "", " ", ";", None],
)  # fmt: skip
def test_x08_amounts_names_dates_and_statuses_stay_in_clear_beside_cvvs(cell: str | None):
    assert masked(cell) == [cell]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("777", "..."),
        (" 0777 ", " ... "),
        ("777.0", "....0"),
        ("(777)", "(...)"),
        ('"777', '"...'),
        ("-777", "-..."),
        ("777;50", "...;50"),
        ("holiday_50, 777", "holiday_50, ..."),
        ("50,777", "50,..."),
        ("x|777", "x|..."),
        ("777\tActive", "...\tActive"),
        ("777 778 779", "... ... ..."),
        ("50.00 777", "50.00 ..."),
        ("CVV: 0777", "CVV: ..."),
        ("cvv 777", "cvv ..."),
        ("03/04/777", "03/04/..."),
        ("\uff17\uff17\uff17", "..."),
        ("777\u00a050", "...\u00a050"),
        ("50\uff1b777", "50\uff1b..."),
    ],
)
def test_x20_a_short_number_that_is_set_off_is_masked(cell: str, shown: str):
    assert masked(cell) == [shown]


def test_x20_each_cell_of_a_column_is_masked_by_itself():
    """The end of one text is not the beginning of the next."""
    assert masked("x", "777 778", None, "a;777", "50", "pool 100", "2") == [
        "x", "... ...", None, "a;...", "50", "pool 100", "2",
    ]  # fmt: skip
    assert mask_short_codes(pa.array(["a", "777", None], pa.string())[1:]).to_pylist() == ["...", None]
    assert masked() == []


def test_x20_amounts_as_they_were_read_may_be_cvvs():
    amounts = pa.array(["777.00", "-777.00", "7777", "19.99", "50.00", None])
    assert mask_short_amounts(amounts).to_pylist() == ["....00", "-....00", "...", "19.99", "50.00", None]
