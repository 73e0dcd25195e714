"""The files of old jobs after a move to other storage, done as the documentation says. Source: X-10, X-20."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.arrivals import files
from include.ledger import jobs
from include.stages import retention
from include.storage.locations import area
from tests.imports import Site

pytestmark = pytest.mark.integration

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operate" / "configuration.md"
AREAS = ("landing", "work", "reports", "archive")


def test_x10_the_history_points_to_the_copies_when_the_storage_has_moved(stocked: Site, tmp_path: Path):
    result = stocked.cards("1,flexible_gift,10", "2,no_such_pool,10", name="cards.csv")
    new = tmp_path / "new"
    shutil.copytree(stocked.folder, new)
    (statement,) = re.findall(r"UPDATE ledger\.import_job.*?;", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    stocked.query(statement.replace("s3://old-bucket", str(stocked.folder)).replace("s3://new-bucket", str(new)))
    shutil.rmtree(stocked.folder)
    moved = stocked.changed(**{name: area(str(new / name)) for name in AREAS})
    with moved.runtime.engine.connect() as connection:
        job = jobs.get(connection, result.job)
    source = files.find_source(moved.runtime, job)
    assert source is not None
    assert str(source).startswith(str(new / "archive"))
    reports = [job.rejected_file_url, job.summary_file_url, job.evidence_file_url]
    assert [Path(str(url)).is_file() for url in reports] == [True, True, True]
    assert set(retention.delete_expired(moved.runtime, datetime.now(UTC) + timedelta(days=31))) == {
        "gift_card_pools",
        "gift_cards",
    }
    assert [Path(str(url)).exists() for url in reports] == [False, True, True]
