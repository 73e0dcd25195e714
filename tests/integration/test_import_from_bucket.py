"""What is asked of a bucket: of each chunk its own bytes, of a whole file every byte in few requests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import s3fs
from upath import UPath

from include.arrivals.landing import Request, take_file
from include.ledger import jobs
from include.stages import inspection, loading, reporting, validation
from include.storage import locations as storage_module
from include.storage.locations import delete_folder, delete_unfinished, locate
from tests.imports import CARD_HEADER, Site
from tests.object_storage import s3_server

pytestmark = pytest.mark.integration

CHUNK_BYTES, BLOCK_BYTES = 50_000, 20_000
ROWS = [f"{number:06d},{'nowhere' if number % 100 == 7 else 'flexible_gift'},10" for number in range(12_000)]


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, Any]]:
    """What s3fs needs to reach an S3 server on this machine; `imports` is its one bucket."""
    with s3_server() as options:
        s3fs.S3FileSystem(**options).mkdir("imports")
        yield options


class Requests:
    """The ranges of bytes that a bucket is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ranges: list[tuple[int, int]] = []
        real = s3fs.core.S3File._fetch_range

        def counted(stream: Any, start: int, end: int) -> bytes:
            self._ranges.append((start, end))
            return real(stream, start, end)

        monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", counted)

    def take(self) -> list[tuple[int, int]]:
        """Return the ranges since the last call."""
        taken, self._ranges = self._ranges, []
        return taken


def test_each_chunk_reads_its_own_bytes_and_the_plan_reads_each_byte_once(
    stocked: Site, storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    areas = {name: UPath(f"s3://imports/{name}", **storage) for name in ("landing", "work", "reports", "archive")}
    runtime = replace(stocked.runtime, **areas, chunk_bytes=CHUNK_BYTES, block_bytes=BLOCK_BYTES)
    monkeypatch.setattr(inspection, "_HEAD_BYTES", 1_000)
    monkeypatch.setattr(storage_module, "_READ_AHEAD_BYTES", 100_000)
    file = areas["landing"] / "gift_cards" / "cards.csv"
    data = "\n".join([CARD_HEADER, *ROWS, ""]).encode()
    file.write_bytes(data)
    requests = Requests(monkeypatch)

    job_id = take_file(runtime, Request("gift_cards", str(file), "from a bucket")).job_id
    assert requests.take() == []
    inspection.inspect_file(runtime, job_id)
    head, *ranges = requests.take()
    assert head == (0, 1_000)
    parts = 1 + next(number for number, (_, end) in enumerate(ranges) if end == len(data))
    plan, (first_rows, *further_rows) = ranges[:parts], ranges[parts:]
    assert plan[0][0] == 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(plan))
    # Looked at once more, for what they look like: the first rows, some of the middle, the last.
    assert first_rows[0] == len(CARD_HEADER) + 1
    assert first_rows[1] <= first_rows[0] + CHUNK_BYTES + BLOCK_BYTES
    middle, end, most = len(data) // 2, len(data), inspection._SAMPLE_BYTES
    assert further_rows == [(middle - 1, middle + most), (end - most - 1, end)]

    with runtime.engine.connect() as connection:
        chunks = jobs.chunks(connection, job_id)
    assert len(chunks) == -(-len(data) // CHUNK_BYTES)
    for chunk in reversed(chunks):
        validation.validate_chunk(runtime, job_id, chunk.number)
        asked = requests.take()
        assert (asked[0][0], asked[-1][1]) == (chunk.byte_start, chunk.byte_end)
        assert all(before[1] == after[0] for before, after in itertools.pairwise(asked))
        assert all(end - start <= BLOCK_BYTES for start, end in asked)

    assert loading.load_rows(runtime, job_id).rejected == 120
    requests.take()
    reporting.write_report(runtime, job_id)
    asked = requests.take()
    assert len(asked) == 2  # the header, and from the first rejected record to the last
    assert asked[1] == (data.index(b"000007,"), data.index(b"011908,") - 1)


@pytest.mark.parametrize("end", [delete_unfinished, delete_folder])
def test_the_parts_of_an_upload_that_was_cut_off_are_forgotten(storage: dict[str, Any], end: Any) -> None:
    """A killed task cannot abort its upload, whose parts hold full values and are in no listing. Source: X-20."""
    bucket = s3fs.S3FileSystem(**storage)
    begun = {
        key: bucket.call_s3("create_multipart_upload", Bucket="imports", Key=key)["UploadId"]
        for key in ("reports/7/rejected.csv", "reports/77/rejected.csv")
    }
    bucket.call_s3(
        "upload_part", Bucket="imports", Key="reports/7/rejected.csv", PartNumber=1, Body=b"60000000001",
        UploadId=begun["reports/7/rejected.csv"],
    )  # fmt: skip
    end(locate("s3://imports/reports/7", storage))
    left = bucket.call_s3("list_multipart_uploads", Bucket="imports")["Uploads"]
    assert {upload["Key"] for upload in left} == {"reports/77/rejected.csv"}
    end(locate("s3://imports/reports/77", storage))
    assert "Uploads" not in bucket.call_s3("list_multipart_uploads", Bucket="imports")
