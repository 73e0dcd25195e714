"""The benchmark's file of customers, 20,000 rows of it, does what its rows do one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.customers import COLUMNS, SETTINGS, write_files
from tests.integration.customers.scenes import Scene

pytestmark = pytest.mark.integration

ROWS = 20_000


def test_the_benchmarks_customers_become_what_the_oracle_says_also_again_and_changed(scene: Scene, tmp_path: Path):
    """CU-01 to CU-13: what is measured is right, with chains and clashes of identifiers; all tables are compared."""
    assert len(COLUMNS) == 20
    files = write_files(tmp_path, rows=ROWS)
    first = scene.load(files.customers.read_text(), **SETTINGS)
    counts = first.outcome.counts()
    assert counts["read"] == ROWS
    assert counts["inserted"] > 0.97 * ROWS
    assert counts["rejected"] > files.broken  # entangled ones among them
    assert {"row.ambiguous_customer", "email.belongs_to_another"} <= set().union(*first.outcome.rejects.values())
    again = scene.load(files.customers.read_text(), **SETTINGS).outcome.counts()
    assert again["unchanged"] > 0.98 * ROWS
    changed = scene.load(files.changed.read_text(), **SETTINGS).outcome.counts()
    assert 0.09 * ROWS < changed["updated"] < 0.12 * ROWS
