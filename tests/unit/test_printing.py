"""What commands print about an import."""

from __future__ import annotations

import pytest

from include.cli.printing import text_of
from include.import_types import IMPORT_TYPES
from include.ledger.jobs import JobCounts, JobResult

pytestmark = pytest.mark.unit


def test_cu01_the_file_of_rows_without_a_match_is_named_in_the_words_of_its_type() -> None:
    counts = JobCounts(read=2, updated=1, not_found=1)
    result = JobResult(7, "customers", "a.csv", "completed", counts, not_found_file="/reports/7/a.not-found.csv")
    assert text_of(result, IMPORT_TYPES).splitlines() == [
        "a.csv: loaded (job 7)",
        "  2 rows read: 1 updated, 1 not found",
        "  rows without a matching customer: /reports/7/a.not-found.csv",
    ]
