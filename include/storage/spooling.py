"""Files that are gone when they are closed: what a stage puts on a disk between two steps."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from include.storage.locations import StorageError


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Open a file without a name, which its owner alone can read.

    Raises:
        StorageError: the disk of temporary files is full, or can't be written to. It says so: a person who reads it
            must not clear the disk of the file that is made of what was put aside.
    """
    try:
        with tempfile.TemporaryFile() as file:
            yield file
    except StorageError:  # of another file, which it names
        raise
    except OSError as error:
        place = tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"
        reason = error.strerror or str(error)
        raise StorageError(error.errno, reason, f"Temporary files in {place} (TMPDIR)") from error
