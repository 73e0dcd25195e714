"""Bodies of requests: how long they may take, how slow they may be, how many at once. Source: X-22."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import HTTPException
from starlette.requests import Request

pytestmark = pytest.mark.dags

MULTIPART = "multipart/form-data; boundary=b"
FILE_BEGINS = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\n'


class SomeUser:
    """Who sends something."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_id(self) -> str:
        """Return what distinguishes Airflow's users."""
        return self.name


class Place:
    """Where a file goes."""

    def __init__(self, name: str) -> None:
        self.written = bytearray()
        self.is_abandoned = False

    def write(self, data: bytes) -> None:
        """Keep the bytes."""
        self.written += data

    def abandon(self) -> None:
        """Say so."""
        self.is_abandoned = True


def request(pieces: AsyncIterator[bytes], content_type: str = "application/x-www-form-urlencoded") -> Request:
    async def receive() -> dict[str, Any]:
        piece = await anext(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())]}, receive)


async def trickle(pause_seconds: float, *first: bytes) -> AsyncIterator[bytes]:
    for piece in first:
        yield piece
    while True:
        await asyncio.sleep(pause_seconds)
        yield b"x"


async def never(*first: bytes) -> AsyncIterator[bytes]:
    for piece in first:
        yield piece
    await asyncio.Event().wait()


def read(pieces: AsyncIterator[bytes], user: str = "ann") -> Awaitable[dict[str, str]]:
    from loyalty_airflow.pages.forms import read_fields

    return read_fields(request(pieces), SomeUser(user))


def refused(reading: Callable[[], Awaitable[Any]]) -> HTTPException:
    async def run() -> Any:
        return await reading()

    with pytest.raises(HTTPException) as refusal:
        asyncio.run(run())
    return refusal.value


def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalty_airflow.pages.forms.STALL_SECONDS", 0.05)
    assert refused(lambda: read(never(b"a=1"))).status_code == 408


def test_a_byte_now_and_then_does_not_keep_a_body_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes well before the body would count as stalled."""
    monkeypatch.setattr("loyalty_airflow.pages.forms.STALL_SECONDS", 0.2)
    refusal = refused(lambda: read(trickle(0.01)))
    assert (refusal.status_code, refusal.detail) == (408, "It arrives too slowly: less than 16,384 bytes a second.")


def test_a_body_takes_no_longer_than_it_may_whatever_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalty_airflow.pages.forms.LEAST_BYTES_PER_SECOND", 0)
    monkeypatch.setattr("loyalty_airflow.pages.forms.LONGEST_SECONDS", 0.3)
    began = time.monotonic()
    assert refused(lambda: read(trickle(0.01))).status_code == 408
    assert time.monotonic() - began >= 0.3


def test_what_a_slow_file_has_brought_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from loyalty_airflow.pages import forms

    monkeypatch.setattr(forms, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(forms, "_GATHERED_BYTES", 1)
    places: list[Place] = []

    def open_place(name: str) -> Place:
        places.append(Place(name))
        return places[-1]

    slow = request(trickle(0.01, FILE_BEGINS, b"x" * 100), MULTIPART)
    refusal = refused(lambda: forms.read_file(slow, SomeUser("ann"), "file", open_place))
    assert refusal.status_code == 408
    (place,) = places
    assert place.written.startswith(b"x" * 90)
    assert place.is_abandoned


def test_a_slow_store_is_not_the_sender_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from loyalty_airflow.pages import forms

    class SlowPlace(Place):
        def write(self, data: bytes) -> None:
            time.sleep(0.1)
            super().write(data)

    async def pieces() -> AsyncIterator[bytes]:
        yield FILE_BEGINS
        for _ in range(5):
            yield b"x" * 10
        yield b"\r\n--b--\r\n"

    monkeypatch.setattr(forms, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(forms, "_GATHERED_BYTES", 1)
    reading = forms.read_file(request(pieces(), MULTIPART), SomeUser("ann"), "file", SlowPlace)
    _, place = asyncio.run(reading)
    assert place is not None
    assert bytes(place.written) == b"x" * 50


def test_one_user_sends_so_many_bodies_at_once_and_all_together_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from loyalty_airflow.pages import forms

    monkeypatch.setattr(forms, "MOST_BODIES", 6)

    async def complete() -> AsyncIterator[bytes]:
        yield b"a=1"

    async def run() -> None:
        hanging = [asyncio.create_task(read(never(), "ann")) for _ in range(forms.MOST_BODIES_OF_ONE_USER)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refusal:
            await read(complete(), "ann")
        assert refusal.value.status_code == 429
        assert refusal.value.detail == "You are sending 4 files or forms already: wait until one of them has arrived."
        assert await read(complete(), "bob") == {"a": "1"}

        others = [asyncio.create_task(read(never(), name)) for name in ("bob", "cecil")]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refusal:
            await read(complete(), "dora")
        assert refusal.value.status_code == 503

        for task in (*hanging, *others):
            task.cancel()
        await asyncio.gather(*hanging, *others, return_exceptions=True)
        assert await read(complete(), "ann") == {"a": "1"}
        assert forms._arriving == {}

    asyncio.run(run())
