"""A mail server for the local stack: what is sent to it is stored as a file in a folder, and goes nowhere else.

A process of its own beside Airflow's components: `python -m tools.stack.mail_catcher --port N --folder F`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

ENDING = ".eml"


class Folder:
    """Keeps each mail as one file, named in the order of arrival; only its owner may read it.

    Args:
        path: the folder; made with the first mail.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = itertools.count(1)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Store a mail whole or not at all; the envelope, which the mail itself doesn't show, in lines before it."""
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{next(self._numbers):04d}{ENDING}"
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._path / f".{name}.part"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(head.encode("utf-8", "surrogateescape") + content)
        partial.replace(self._path / name)
        return "250 OK"


async def catch_mails(port: int, folder: Path) -> None:
    """Listen on 127.0.0.1 until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    handler = Folder(folder)
    # Without a name of its own aiosmtpd asks DNS for one, at every connection.
    server = await loop.create_server(lambda: SMTP(handler, hostname="localhost"), "127.0.0.1", port)
    print(f"Mails to 127.0.0.1:{port} are kept in {folder}", flush=True)
    await stopped.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Catch mails until the process gets a signal to end."""
    parser = argparse.ArgumentParser(prog="python -m tools.stack.mail_catcher", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    asyncio.run(catch_mails(options.port, options.folder))


if __name__ == "__main__":
    main()
