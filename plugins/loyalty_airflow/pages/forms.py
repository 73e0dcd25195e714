"""Bodies of requests, read under limits: fields of a form, and a file that goes straight into its place.

Nothing is read before it is known who sends it, which is why both readers want a user. Starlette's own
`request.form()`, and FastAPI's `Form`, would put a whole file onto the API server's disk before anything looked at it.
Source: X-22.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from urllib.parse import parse_qsl

import anyio
from fastapi import HTTPException, status
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

if TYPE_CHECKING:
    from fastapi import Request

    from loyalty_airflow.airflow_internals import BaseUser

MOST_FIELDS = 500
FIELDS_BYTES = 1 << 20
"""Of a form without its file."""
_GATHERED_BYTES = 1 << 20
"""Are parsed and written at once, in a thread: a server hands over a body in much smaller pieces."""
STALL_SECONDS = 60
"""A body that brings nothing for so long is given up."""
LEAST_BYTES_PER_SECOND = 16 << 10
"""A body that is slower on average, after its first minute, is given up: else a byte a minute would hold it open."""
LONGEST_SECONDS = 6 * 3600
"""A body takes no longer, whatever its pace: 2 GiB over a line of 1 Mbit/s take five hours."""
MOST_BODIES, MOST_BODIES_OF_ONE_USER = 32, 4
"""How many are read at once by this process, so that neither its memory nor its connections are one user's."""

_arriving: Counter[str] = Counter()
"""Bodies that are being read, by user. One event loop reads them all, so nothing else counts at the same time."""


class Sink(Protocol):
    """Where a file goes."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def abandon(self) -> None:
        """Leave nothing of what was written."""


Place = TypeVar("Place", bound=Sink)


async def read_fields(request: Request, user: BaseUser, limit: int = FIELDS_BYTES) -> dict[str, str]:
    """Read the fields of a form without files; of several of one name the last.

    Args:
        user: who sends it, and has the right to: checked before.

    Raises:
        HTTPException: 413, 408, 400; 429, 503: too many bodies are being read.
    """
    body = bytearray()
    with _turn(user):
        async for piece in _pieces(request):
            body += piece
            if len(body) > limit:
                raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, f"The form is larger than {limit:,} bytes.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace"))
    except ValueError:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The form can't be read.") from None


async def read_file(
    request: Request, user: BaseUser, field: str, open_sink: Callable[[str], Place]
) -> tuple[dict[str, str], Place | None]:
    """Read a form with a file, which goes into its sink as it arrives.

    Args:
        user: who sends it, and has the right to: checked before.
        field: name of the file's field. Files of other fields are an error.
        open_sink: is given the name that the browser sends, once the file begins.

    Returns:
        The other fields, and the sink; None when the form has no file. Nobody has closed the sink.

    Raises:
        HTTPException: 413, 408, 400; 429, 503: too many bodies are being read. This, and whatever the sink raises,
            abandons the sink.
    """
    with _turn(user):
        return await _read_file(request, _Reader(request.headers.get("content-type"), field, open_sink))


async def _read_file(request: Request, reader: _Reader[Place]) -> tuple[dict[str, str], Place | None]:
    try:
        gathered = bytearray()
        async for piece in _pieces(request):
            gathered += piece
            if len(gathered) >= _GATHERED_BYTES:
                await run_in_threadpool(reader.write, bytes(gathered))
                gathered.clear()
        await run_in_threadpool(reader.write, bytes(gathered))
        reader.finish()
    except BaseException:
        if reader.sink is not None:
            with anyio.CancelScope(shield=True):  # also when the browser has gone
                await run_in_threadpool(reader.sink.abandon)
        raise
    return reader.fields, reader.sink


@contextmanager
def _turn(user: BaseUser) -> Iterator[None]:
    """Count a body while it is read.

    Raises:
        HTTPException: 429, 503: there are as many as there may be.
    """
    name = str(user.get_id())
    if _arriving[name] >= MOST_BODIES_OF_ONE_USER:
        problem = (
            f"You are sending {MOST_BODIES_OF_ONE_USER} files or forms already: wait until one of them has arrived."
        )
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, problem)
    if _arriving.total() >= MOST_BODIES:
        problem = f"The server is receiving {MOST_BODIES} files or forms already: try again in a minute."
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, problem)
    _arriving[name] += 1
    try:
        yield
    finally:
        _arriving[name] -= 1
        if not _arriving[name]:
            del _arriving[name]


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    began, waited, received = monotonic(), 0.0, 0
    while True:
        asked = monotonic()
        try:
            with anyio.fail_after(min(STALL_SECONDS, began + LONGEST_SECONDS - asked)):
                piece = await anext(stream, None)
        except TimeoutError:
            raise HTTPException(status.HTTP_408_REQUEST_TIMEOUT, "Nothing more has arrived.") from None
        if piece is None:
            return
        waited += monotonic() - asked  # for the sender alone: a slow store is not the sender's fault
        received += len(piece)
        if received < (waited - STALL_SECONDS) * LEAST_BYTES_PER_SECOND:
            problem = f"It arrives too slowly: less than {LEAST_BYTES_PER_SECOND:,} bytes a second."
            raise HTTPException(status.HTTP_408_REQUEST_TIMEOUT, problem)
        yield piece


class _Reader(Generic[Place]):
    """Takes a multipart body apart, piece by piece."""

    def __init__(self, content_type: str | None, field: str, open_sink: Callable[[str], Place]) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise _unreadable("it is no multipart/form-data")
        self.fields: dict[str, str] = {}
        self.sink: Place | None = None
        self._file_field = field
        self._open_sink = open_sink
        self._name = ""
        self._value: bytearray | None = None
        self._is_complete = False
        self._fields_bytes = 0
        self._header = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open_part,
                    "on_part_data": self._take,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _unreadable("its boundary is no boundary") from None

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        try:
            if data:
                self._parser.write(data)
        except FormParserError:
            raise _unreadable("it is damaged") from None

    def finish(self) -> None:
        """Make sure that the body has come to its end."""
        if not self._is_complete:
            raise _unreadable("it ends too early")

    def _begin_part(self) -> None:
        self._headers = {}

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _open_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._name = options.get(b"name", b"").decode(errors="replace")
        self._value = None
        if b"filename" not in options:
            if len(self.fields) >= MOST_FIELDS:
                raise _unreadable(f"it has more than {MOST_FIELDS} fields")
            self._value = bytearray()
        elif self._name != self._file_field or self.sink is not None:
            raise _unreadable("it has more than one file")
        elif sent_name := options[b"filename"].decode(errors="replace"):  # blank when no file was chosen
            self.sink = self._open_sink(sent_name)

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._value is not None:
            self._fields_bytes += end - start
            if self._fields_bytes > FIELDS_BYTES:
                raise HTTPException(
                    status.HTTP_413_CONTENT_TOO_LARGE, f"The form's fields have more than {FIELDS_BYTES:,} bytes."
                )
            self._value += data[start:end]
        elif self.sink is not None:
            self.sink.write(data[start:end])
        elif end > start:
            raise _unreadable("its file has no name")

    def _end_part(self) -> None:
        if self._value is not None:
            self.fields[self._name] = self._value.decode(errors="replace").replace("\0", "\ufffd")

    def _end(self) -> None:
        self._is_complete = True


def _unreadable(why: str) -> HTTPException:
    return HTTPException(status.HTTP_400_BAD_REQUEST, f"The form can't be read: {why}.")


def with_prefix(fields: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the fields whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}
