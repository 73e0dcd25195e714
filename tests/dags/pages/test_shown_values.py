"""Times, lengths of time and sizes as the pages show them, and headers that may be data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from fastapi.testclient import TestClient

from include.ledger.jobs import JobResult
from tests.dags.test_import_runs import POOLS

pytestmark = pytest.mark.dags

CANARY, OTHER = "4929333344445555", "4929333344446666"


def test_times_are_shown_in_utc_for_people_and_programs() -> None:
    from loyalty_airflow.pages.pages import shown_time

    local_time = datetime(2026, 1, 31, 13, 5, 9, tzinfo=timezone(timedelta(hours=2)))
    assert shown_time(local_time) == '<time datetime="2026-01-31T11:05:09Z">2026-01-31 11:05:09 UTC</time>'
    assert (
        shown_time(datetime(2026, 1, 31, tzinfo=UTC))
        == '<time datetime="2026-01-31T00:00:00Z">2026-01-31 00:00:00 UTC</time>'
    )
    assert shown_time(None) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-1, "0 s")],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, shown: str) -> None:
    from loyalty_airflow.pages.pages import shown_duration

    assert shown_duration(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (9 << 50, "9,216.0 TiB"),
        (None, ""),
    ],
)
def test_a_size_has_a_unit(size: int | None, shown: str) -> None:
    from loyalty_airflow.pages.pages import shown_bytes

    assert shown_bytes(size) == shown


def test_headers_that_may_be_data_are_masked_wherever_the_page_has_them(
    browse: Callable[[str | None], TestClient], load: Callable[..., JobResult]
) -> None:
    """Source: X-20: a file without headers has data there; here even the settings name one."""
    load("gift_card_pools", "p.csv", POOLS)
    header = f"{CANARY},pool_system_name,balance,{OTHER}\n"
    result = load("gift_cards", "c.csv", f"{header}4000000000000001,fifty,50,x\n", mapping={CANARY: "card_number"})
    assert result.state == "completed"
    page = browse("viewer").get(f"/imports/jobs/{result.job}").text
    assert CANARY not in page
    assert OTHER not in page
    assert page.count("<bdi>492…</bdi>") == 2
    assert "1 columns named, as the table of columns shows" in page


def test_styles_and_scripts_are_there_for_anyone(browse: Callable[[str | None], TestClient]) -> None:
    for name in ("pages.css", "pages.js", "htmx-2.0.11.min.js"):
        assert browse(None).get(f"/imports/static/{name}").status_code == 200
    assert browse(None).get("/imports/static/../access.py").status_code == 404
