"""A full disk of temporary files is reported as such, not as the report's."""

from __future__ import annotations

import errno
import io
import os

import pytest

from include.storage import spooling
from include.storage.locations import StorageError
from tests.imports import Site

pytestmark = pytest.mark.integration

FULL = "Temporary files in /the/small/disk (TMPDIR) could not be written: No space left on device."


class FullFile(io.BytesIO):
    """A file on a disk without room."""

    def write(self, data: object) -> int:
        """Fail as the operating system does."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files on a disk that refuses every byte."""
    monkeypatch.setattr(spooling.tempfile, "TemporaryFile", FullFile)
    monkeypatch.setattr(spooling.tempfile, "tempdir", "/the/small/disk")


def test_a_full_disk_of_temporary_files_is_named_and_not_the_report(stocked: Site, full_disk: None) -> None:
    with pytest.raises(StorageError) as caught:
        stocked.cards("2,flexible_gift,5", "1,nowhere,5")
    assert str(caught.value) == FULL
    assert [name for name in stocked.reports() if "rejected" in name] == []


def test_a_dry_run_that_can_put_nothing_aside_fails_and_says_why(stocked: Site, full_disk: None) -> None:
    failed = stocked.cards("2,flexible_gift,5", "2,flexible_gift,6", dry_run=True)
    assert failed.state == "failed"
    assert failed.reason == {"rule": "job.failed", "message": FULL}


def test_no_disk_of_temporary_files_at_all_is_named(stocked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python looks for one that it can write to, and raises another error when there is none."""
    monkeypatch.setenv("TMPDIR", "/dev/null/nowhere")
    monkeypatch.setattr(spooling.tempfile, "tempdir", None)
    monkeypatch.setattr(spooling.tempfile, "_candidate_tempdir_list", lambda: ["/dev/null/nowhere"])
    with pytest.raises(StorageError, match=r"Temporary files in /dev/null/nowhere \(TMPDIR\) could not be written"):
        stocked.cards("1,nowhere,5")
