"""Downloads: the names that they are saved under (RFC 6266), and how they are read from a bucket."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import s3fs
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from include.storage.locations import locate

pytestmark = pytest.mark.dags


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("cards.csv", "cards.csv", "cards.csv"),
        ("cards 1.csv", "cards 1.csv", "cards%201.csv"),
        ("карты.csv", "_____.csv", "%D0%BA%D0%B0%D1%80%D1%82%D1%8B.csv"),
        ('a"b;c%.csv', "a_b_c_.csv", "a_b_c_.csv"),
        ("../../etc/passwd", "_._etc_passwd", "_._etc_passwd"),
        ("a\\b:c|d.csv", "a_b_c_d.csv", "a_b_c_d.csv"),
        ("x\r\nSet-Cookie: a=b.csv", "xSet-Cookie_ a=b.csv", "xSet-Cookie_%20a%3Db.csv"),
        ("a\u202evsc.exe", "avsc.exe", "avsc.exe"),
        (".csv", "file.csv", "file.csv"),
        (" . ", "file", "file"),
        ("README", "README", "README"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv", "x" * 196 + ".csv"),
    ],
)
def test_a_download_has_a_name_that_no_browser_misreads(name: str, plain: str, full: str) -> None:
    from loyalty_airflow.pages.downloads import disposition

    assert disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"


@given(name=st.text(alphabet=st.characters(), max_size=300))
@settings(max_examples=300)
def test_any_name_makes_one_header_that_is_read_back(name: str) -> None:
    """X-20: what a file is called ends no header, begins none and leads to no other folder."""
    from loyalty_airflow.pages.downloads import disposition

    header = disposition(name)
    assert header.encode("ascii").isascii()
    assert not set(header) & set("\r\n\0")
    read = re.fullmatch(r"""attachment; filename="([^"\\]+)"; filename\*=UTF-8''([A-Za-z0-9._~%-]+)""", header)
    assert read is not None
    saved = unquote(read[2], errors="strict")
    assert set(read[1]) & set("/%;") == set()
    assert saved.strip(". ") != ""
    assert not set(saved) & set('\\/:*?"<>|')
    assert len(saved.encode()) <= 4 * 200


@pytest.fixture(scope="module")
def storage() -> Iterator[dict[str, Any]]:
    """What s3fs needs to reach an S3 server on this machine; `imports` is its one bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "key": "key-of-the-tests",
        "secret": "secret-of-the-tests",
        "endpoint_url": f"http://{host}:{port}",
        "client_kwargs": {"region_name": "eu-west-1"},
        "use_listings_cache": False,
    }
    s3fs.S3FileSystem(**options).mkdir("imports")
    yield options
    server.stop()


def test_a_download_from_a_bucket_is_read_once_in_ranges(
    storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loyalty_airflow.pages import downloads

    content = os.urandom(24 << 20)
    path = locate("s3://imports/archive/cards.csv", storage)
    path.store.pipe_file(path.path, content)
    ranges: list[tuple[int, int]] = []
    real = s3fs.core.S3File._fetch_range

    def counted(stream: Any, start: int, end: int) -> bytes:
        ranges.append((start, end))
        return real(stream, start, end)

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", counted)
    app = FastAPI()
    app.get("/")(lambda: downloads.send(path, "cards.csv"))
    answer = TestClient(app).get("/")
    assert answer.content == content
    assert answer.headers["content-length"] == str(len(content))
    assert len(ranges) >= 2
    assert max(end - start for start, end in ranges) <= 10 << 20
    assert [start for start, _ in ranges] == [0, *(end for _, end in ranges[:-1])]


def test_what_is_not_in_the_bucket_is_reported_before_anything_is_sent(storage: dict[str, Any]) -> None:
    from loyalty_airflow.pages import downloads

    with pytest.raises(FileNotFoundError):
        downloads.send(locate("s3://imports/archive/none.csv", storage), "none.csv")
