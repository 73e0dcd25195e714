"""Embedded servers for tests, on ports that are free."""

import itertools
import socket
from pathlib import Path

from include.warehouse.embedded import EmbeddedServer, PortBusyError


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_on_a_free_port(data: Path, attempts: int = 5) -> EmbeddedServer:
    """Start an embedded server; another program may take the port in between, so try a few."""
    for attempt in itertools.count(1):
        # The databases die with the session: no need to wait for the disk.
        server = EmbeddedServer(data, free_port(), settings={"fsync": "off", "shared_buffers": "128MB"})
        try:
            server.start()
        except PortBusyError:
            if attempt == attempts:
                raise
        else:
            return server
    raise AssertionError
