"""Files that are downloaded from the pages: streamed, under a name that no browser misreads, never shown in place."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from fastapi.responses import StreamingResponse

if TYPE_CHECKING:
    from include.storage.locations import Location

HEADERS = {
    # Whatever the file holds, a browser must neither run nor guess it.
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    # Said so that Airflow's server doesn't compress it: the size would be gone, and a core busy with 2 GiB.
    "Content-Encoding": "identity",
}
ROWS = "application/octet-stream"
"""Of files of rows: they have the sender's encoding, which a name of a character set might contradict."""
_PIECE_BYTES = 1 << 20
_LONGEST_NAME = 200
_LONGEST_SUFFIX = 20
_UNSAFE = re.compile(r'[\\/:*?"<>|%;]')


def send(path: Location, name: str, media_type: str = ROWS) -> StreamingResponse:
    """Answer with a file, read and sent piece by piece.

    Raises:
        FileNotFoundError: there is none; nothing has been sent then.
    """
    stream = path.open_whole()
    try:
        size_bytes = stream.seek(0, os.SEEK_END)  # of what was opened: a report may be written again meanwhile
        stream.seek(0)
    except BaseException:
        stream.close()
        raise
    headers = {"Content-Disposition": disposition(name), "Content-Length": str(size_bytes)}
    return StreamingResponse(_pieces(stream, size_bytes), media_type=media_type, headers=HEADERS | headers)


def disposition(name: str) -> str:
    """Return the header that makes a browser save a file: RFC 6266, the name in ASCII and in full.

    Left out of a hostile name is what could leave the folder, end the header, or show the ending in another place.
    """
    kept = "".join(character for character in name if unicodedata.category(character)[0] != "C")
    path = PurePosixPath(f"name{_UNSAFE.sub('_', kept)}".rstrip(" ."))  # a name of an extension alone has one too
    stem = path.stem.removeprefix("name").strip(" .")
    suffix = path.suffix[:_LONGEST_SUFFIX]
    kept = f"{stem or 'file'}"[: _LONGEST_NAME - len(suffix)] + suffix
    plain = kept.encode("ascii", errors="replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(kept, safe='')}"


def _pieces(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    with stream:
        left = size_bytes
        while left and (piece := stream.read(min(_PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
