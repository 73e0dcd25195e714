"""Files of jobs: versions, moves, files that appear as a whole. Source: X-14, X-20."""

from __future__ import annotations

import os
import stat as modes
from pathlib import Path

import pytest

from include.arrivals.places import is_ignored
from include.storage import locations
from include.storage.locations import Location

pytestmark = pytest.mark.unit


def path_of(path: Path) -> Location:
    return Location(str(path))


def test_a_version_changes_with_size_and_time(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("1")
    os.utime(path, ns=(1, 10**18))
    first = path_of(path).stat()
    assert (first.size_bytes, first.version, first.is_object) == (1, f"1-{10**18}", False)
    path.write_text("12")
    os.utime(path, ns=(1, 10**18))
    second = path_of(path).stat()
    os.utime(path, ns=(1, 10**18 + 1))
    assert len({first.version, second.version, path_of(path).stat().version}) == 3


def test_there_is_no_version_of_what_is_no_file(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        path_of(tmp_path / "none").stat()
    with pytest.raises(IsADirectoryError):
        path_of(tmp_path).stat()


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path):
    target = tmp_path / "new" / "a.csv"
    with locations.written_whole(path_of(target)) as sink:
        sink.write(b"half")
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert modes.S_IMODE(target.stat().st_mode) & 0o137 == 0
    assert modes.S_IMODE(target.parent.stat().st_mode) & 0o027 == 0

    def fail() -> None:
        with locations.written_whole(path_of(target)) as sink:
            sink.write(b"other")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in target.parent.iterdir()] == ["a.csv"]
    assert target.read_bytes() == b"half"


def test_a_name_of_any_length_can_be_written(tmp_path: Path):
    target = tmp_path / ("x" * 255)
    with locations.written_whole(path_of(target)) as sink:
        sink.write(b"1")
    assert target.read_bytes() == b"1"


def test_a_move_leaves_one_file_and_a_copy_two(tmp_path: Path):
    source, target = tmp_path / "a.csv", tmp_path / "deep" / "er" / "b.csv"
    source.write_bytes(b"1\r\n")
    locations.copy(path_of(source), path_of(target))
    assert (source.read_bytes(), target.read_bytes()) == (b"1\r\n", b"1\r\n")
    source.write_bytes(b"2")
    locations.move(path_of(source), path_of(target))
    assert (source.exists(), target.read_bytes()) == (False, b"2")


def test_a_move_to_another_storage_copies_and_deletes(tmp_path: Path):
    source = tmp_path / "a.csv"
    source.write_bytes(b"1")
    target = locations.locate("memory://moved/a.csv")
    locations.move(path_of(source), target)
    assert (source.exists(), target.read_bytes(9)) == (False, b"1")
    locations.move(target, path_of(source))
    assert (source.read_bytes(), target.exists()) == (b"1", False)


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        (".a.csv", True), ("a.csv.part", True), ("a.CSV.PART", True), ("a.tmp", True), ("a.filepart", True),
        ("a.crdownload", True), ("_settings.yaml", True), ("a.csv.settings.yaml", True), ("a.csv", False),
        ("part", False), ("a.part.csv", False), ("settings.yaml", True), ("a.yaml", False), ("a.xlsx", False),
    ],
)  # fmt: skip
def test_x12_which_names_are_no_files_of_rows(name: str, ignored: bool):
    assert is_ignored(name) is ignored


@pytest.mark.parametrize("url", ["s3://bucket/a b/c?d#e.csv", "s3a://bucket/x::y.csv", "/a/b.csv"])
def test_x21_the_address_of_a_location_is_what_it_was_located_by(url: str):
    assert str(locations.locate(url)) == url


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x.csv", "https://host/x.csv", "zip://x.csv::/tmp/a.zip", "simplecache::s3://b/x.csv",
     "ftp://host/x.csv", "sftp://host/x.csv", "github://o:r@m/x", "gs://b/x", "foo://b/x", "S3://b/x"],
)  # fmt: skip
def test_x21_other_kinds_of_storage_are_no_places(url: str):
    with pytest.raises(ValueError, match="is no kind of storage: files are on a disk, or in a bucket"):
        locations.locate(url)
