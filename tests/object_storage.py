"""An S3 server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server() -> Iterator[dict[str, Any]]:
    """Start a server without buckets; give what s3fs needs to reach it.

    All servers of a process share their buckets, so that those of earlier ones are forgotten.
    """
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    requests.post(f"{endpoint}/moto-api/reset", timeout=10)
    try:
        yield {
            "key": "key-of-the-tests",
            "secret": "secret-of-the-tests",
            "endpoint_url": endpoint,
            "client_kwargs": {"region_name": "eu-west-1"},
            "use_listings_cache": False,
        }
    finally:
        server.stop()
