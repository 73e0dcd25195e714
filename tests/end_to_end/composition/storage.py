"""An S3 server on this machine that tests can make fail: errors, silence, answers cut short."""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

StartResponse = Callable[..., Any]
Answer = tuple[str, list[tuple[str, str]], bytes]

SLOW_SECONDS = 3.0
HELD_SECONDS = 120.0
SEED = 20261123


class FaultyStorage:
    """An S3 server with a switch: while it is on, a share of all calls ends badly, each kind as often as the others.

    Args:
        port: TCP port on 127.0.0.1.
        spared: access key whose calls always end well, for the tests' own looks into the bucket.
    """

    def __init__(self, port: int, spared: str) -> None:
        self._spared = f"Credential={spared}/"
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", port, self._answer, threaded=True, request_handler=_SilentHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._lock = threading.Lock()
        self._share = 0.0
        self._hold: _Hold | None = None
        self._random = random.Random(SEED)
        self.calls: Counter[str] = Counter()
        """How many calls ended how since the switch was last turned on; `answered` are those that went well."""

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    @contextmanager
    def failing(self, share: float) -> Iterator[Counter[str]]:
        """Let a share of all calls fail; give the counts of what happened to the calls."""
        with self._lock:
            self.calls = Counter()
            self._share = share
        try:
            yield self.calls
        finally:
            with self._lock:
                self._share = 0.0

    @contextmanager
    def holding(self, name: str, begins: range) -> Iterator[threading.Event]:
        """Keep the first reader waiting who asks for a part of a file that begins there; set an event when it comes."""
        hold = self._hold = _Hold(name, begins)
        try:
            yield hold.has_come
        finally:
            self._hold = None
            hold.is_over.set()

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._spared in environ.get("HTTP_AUTHORIZATION", ""):
            return self._app(environ, start_response)
        if self._hold is not None:
            self._hold.keep_waiting(environ)
        with self._lock:
            fault = self._random.choice(list(FAULTS)) if self._random.random() < self._share else "answered"
            self.calls[fault] += 1
        if fault == "answered":
            return self._app(environ, start_response)
        sent = environ["wsgi.input"]
        is_terminated = environ.get("wsgi.input_terminated", False)
        environ["wsgi.input"] = io.BytesIO(sent.read() if is_terminated else sent.read(_length(environ)))
        status, headers, body = FAULTS[fault](lambda: self._perform(environ))
        start_response(status, headers)
        return [body]

    def _perform(self, environ: dict[str, Any]) -> Answer:
        """Do what a call asks for, and return the answer in place of sending it."""
        answer: list[Any] = []
        body = b"".join(self._app(environ, lambda status, headers, *_: answer.extend((status, headers))))
        return answer[0], answer[1], body


class _Hold:
    """Keeps one call waiting."""

    def __init__(self, name: str, begins: range) -> None:
        self._name = name
        self._begins = begins
        self._lock = threading.Lock()
        self.has_come = threading.Event()
        self.is_over = threading.Event()

    def keep_waiting(self, environ: dict[str, Any]) -> None:
        """Wait, if this is the first call for that part of the file."""
        begin = int(environ.get("HTTP_RANGE", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if not environ["PATH_INFO"].endswith(f"/{self._name}") or begin not in self._begins:
            return
        with self._lock:
            if self.has_come.is_set():
                return
            self.has_come.set()
        self.is_over.wait(HELD_SECONDS)


class _SilentHandler(MotoRequestHandler):
    def log_request(self, *_: object) -> None:
        pass

    def log(self, *_: object) -> None:
        pass


def _length(environ: dict[str, Any]) -> int:
    return int(environ.get("CONTENT_LENGTH") or 0)


def _error(status: str, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{escape(code)}</Code><Message>A fault</Message></Error>'
    return status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))], text.encode()


def _internal_error(_: Callable[[], Answer]) -> Answer:
    return _error("500 Internal Server Error", "InternalError")


def _lost_answer(perform: Callable[[], Answer]) -> Answer:
    perform()
    return _error("500 Internal Server Error", "InternalError")


def _slow_down(_: Callable[[], Answer]) -> Answer:
    return _error("503 Slow Down", "SlowDown")


def _slow(perform: Callable[[], Answer]) -> Answer:
    time.sleep(SLOW_SECONDS)
    return perform()


def _cut(perform: Callable[[], Answer]) -> Answer:
    """Announce the whole answer, send half of it, hang up."""
    status, headers, body = perform()
    if body:  # a call for headers alone has no body, and the length that it reports is not that of the answer
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        headers.append(("Content-Length", str(len(body))))
    return status, headers, body[: len(body) // 2]


FAULTS: dict[str, Callable[[Callable[[], Answer]], Answer]] = {
    "internal error": _internal_error,
    "done, but told otherwise": _lost_answer,
    "slow down": _slow_down,
    "slow": _slow,
    "cut short": _cut,
}
