"""The tutorial's files do what the tutorial says. Source: X-08, X-09, X-13."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.imports import Site, counts, rejected_file

pytestmark = pytest.mark.integration

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-import.md"


def test_x09_the_files_of_the_tutorial_load_reject_and_repair_as_it_says(stocked: Site):
    cards, rejected, repaired = re.findall(
        r"^```csv\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    first = stocked.load("gift_cards", cards, name="cards.csv")
    assert (first.job, first.outcome, counts(first)) == (2, "some_rejected", {"read": 3, "inserted": 2, "rejected": 1})
    assert rejected_file(first).decode("utf-8-sig") == rejected
    second = stocked.load("gift_cards", repaired, name="repaired.csv")
    assert (second.outcome, counts(second)) == ("loaded", {"read": 1, "inserted": 1})
    assert stocked.query("SELECT fixed_by_job_id FROM ledger.reject WHERE job_id = 2") == [(second.job,)]
    again = stocked.load("gift_cards", cards, name="again.csv")
    assert counts(again) == {"read": 3, "unchanged": 2, "rejected": 1}


def test_the_ten_lines_of_the_readme_reject_the_row_that_it_names(stocked: Site):
    readme = PAGE.parents[2].joinpath("README.md").read_text(encoding="utf-8")
    (printed,) = re.findall(r"printf '(.+?)' >", readme)
    result = stocked.load("gift_cards", printed.replace("\\n", "\n"))
    assert counts(result) == {"read": 2, "inserted": 1, "rejected": 1}
    assert "Pool 'no_such_pool' does not exist" in rejected_file(result).decode()
