"""`make bench-scale` at a small size: it measures whole imports, and says what it has measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.bench import Bench
from benchmarks.gift_cards import write_pools
from include.warehouse.embedded import EmbeddedServer

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(warehouse_server: EmbeddedServer, tmp_path: Path) -> Iterator[Bench]:
    """The session's server, with the benchmark's pools."""
    benchmark = Bench(warehouse_server, tmp_path / "files")
    benchmark.folder.mkdir()
    write_pools(benchmark.folder / "pools.csv")
    benchmark.prepare(benchmark.folder / "pools.csv")
    yield benchmark
    warehouse_server.drop_database("bench_template")


def test_files_of_two_sizes_are_measured_with_one_worker_and_two(bench: Bench, tmp_path: Path):
    """It ends by itself when rows are lost: here it is enough that it gets through, and reports every step."""
    results = tmp_path / "RESULTS.md"
    measurements = scale.run(bench, ["cards", "customers"], [400, 1_200], [1, 2], results, chunk_bytes=20_000)
    assert {name: [measurement.rows for measurement in files] for name, files in measurements.items()} == {
        "cards": [400, 1_200],
        "customers": [400, 1_200],
    }
    for measured in (measurement for files in measurements.values() for measurement in files):
        assert measured.chunks == -(-measured.file_bytes // 20_000)
        assert all(seconds > 0 for seconds in measured.seconds.values())
        assert set(measured.peak_mib) == {
            "take_file", "inspect_file", "validate_chunk", "load_rows", "write_report", "close_job",
        }  # fmt: skip
    report = results.read_text()
    assert report.count("| 400 rows | 1,200 rows |") == 2
    assert f"{os.cpu_count()} cores (" in report
    for step in ("`validate_chunk`, 1 worker |", "`validate_chunk`, 2 workers, database idle |", "`load_rows` |"):
        assert report.count(f"| {step}") == 2
    assert not list(bench.folder.glob("*_*.csv"))  # the files are large


def test_rows_that_get_lost_end_the_measurement(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = scale.validation.validate_chunk
    monkeypatch.setattr(
        scale.validation, "validate_chunk", lambda runtime, job, number: real(runtime, job, max(1, number))
    )
    with pytest.raises(SystemExit, match="expected 400 rows, got"):
        scale.run(bench, ["cards"], [400], [1], tmp_path / "RESULTS.md", chunk_bytes=5_000)


def test_a_target_that_is_missed_is_called_so():
    small = scale.Measured(1_000_000, 1, seconds={"take_file": 1, "inspect_file": 1, scale.validating(1): 8})
    large = scale.Measured(5_000_000, 1, seconds={"take_file": 5, "inspect_file": 5, scale.validating(1): 56})
    small.peak_mib, large.peak_mib = {"validate_chunk": 600}, {"validate_chunk": 601}
    large.seconds |= {scale.judging(1): 16.0, scale.judging(2): 10.0}
    assert scale.verdicts(scale.KINDS["cards"], [small, large], [1, 2]).splitlines() == [
        "- memory of any task: 601 MiB (target: 600 at most; MISSED)",
        "- time a row, largest file beside smallest: 1.32 (target: 1.3 at most; MISSED)",
        "- 2 workers beside 1, 5,000,000 rows, database idle: 1.60 (target: 1.7 at least; MISSED)",
    ]
    large.peak_mib["validate_chunk"] = 600
    large.seconds |= {"inspect_file": 4, scale.judging(2): 9.4}
    assert "MISSED" not in scale.verdicts(scale.KINDS["cards"], [small, large], [1, 2])
