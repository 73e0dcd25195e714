"""How much room uploads may take: of one user, of all users, and of the disk. Source: X-22.

Who may launch imports may also fill the store with files that are never launched; what is left for the database, on the
same disk, and for other users is decided here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from include.errors import FileRefused
from include.storage.locations import Location

MOST_OF_ONE_USER, MOST_BYTES_OF_ONE_USER = 20, 8 << 30
"""Uploads of a user that were not launched. One alone may have whatever `max_file_bytes` allows."""
MOST_OF_ALL, MOST_BYTES_OF_ALL = 1000, 64 << 30
"""All that is kept as uploads: launched ones too, which stay for a day."""
LEAST_FREE_BYTES = 1 << 30
"""Are left on a disk whatever is uploaded."""
DISK_LOOK_BYTES = 64 << 20
"""A disk is looked at again after so many bytes: others write to it too."""


@dataclass(frozen=True)
class Usage:
    """What is kept."""

    uploads: int
    size_bytes: int


class Quota:
    """The room that an upload may take beside those that are there.

    Args:
        of_user: the user's other uploads that were not launched.
        of_all: all other uploads, of all users.
        disk: a folder on the disk that the upload is written to; None for a bucket.
    """

    def __init__(self, of_user: Usage, of_all: Usage, disk: Location | None) -> None:
        self._of_user = of_user
        self._of_all = of_all
        self._disk = disk
        self._looked_at_bytes: int | None = None

    def check(self, size_bytes: int) -> None:
        """Make sure that there is room for an upload that has so many bytes by now.

        Raises:
            FileRefused: `upload.quota`: the user has to launch or delete others; `upload.no_room`: nobody has room.
        """
        user, all_users = self._of_user, self._of_all
        if user.uploads >= MOST_OF_ONE_USER:
            raise FileRefused(
                "upload.quota",
                f"You have {user.uploads} uploads that were not launched, and may have {MOST_OF_ONE_USER}: launch or "
                "delete some. One that nobody launches is deleted after a day.",
            )
        if user.uploads and user.size_bytes + size_bytes > MOST_BYTES_OF_ONE_USER:
            raise FileRefused(
                "upload.quota",
                f"Your uploads that were not launched have {user.size_bytes:,} bytes; with this file "
                f"they would have more than {MOST_BYTES_OF_ONE_USER:,}: launch or delete some.",
            )
        if all_users.uploads >= MOST_OF_ALL:
            raise _no_room(f"All users together have {all_users.uploads:,} uploads, and may have {MOST_OF_ALL:,}")
        if all_users.uploads and all_users.size_bytes + size_bytes > MOST_BYTES_OF_ALL:
            raise _no_room(
                f"All users' uploads have {all_users.size_bytes:,} bytes; with this file they would have more than "
                f"{MOST_BYTES_OF_ALL:,}"
            )
        self._look_at_disk(size_bytes)

    def _look_at_disk(self, size_bytes: int) -> None:
        if self._disk is None:
            return
        if self._looked_at_bytes is not None and size_bytes < self._looked_at_bytes + DISK_LOOK_BYTES:
            return
        self._looked_at_bytes = size_bytes
        free = shutil.disk_usage(self._disk.path).free
        if free < LEAST_FREE_BYTES:
            raise _no_room(f"The server's disk has {free:,} bytes left, and keeps {LEAST_FREE_BYTES:,} free")


def _no_room(why: str) -> FileRefused:
    return FileRefused(
        "upload.no_room",
        f"{why}. Try again tomorrow, when uploads of today are deleted, or drop the file into its landing folder.",
    )
