"""A complete stack of its own: PostgreSQL, Airflow and folders, on free ports in a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.stack.lifecycle import Stack
from tools.stack.settings import PROJECT, StackSettings


def free_ports(count: int) -> list[int]:
    """Return different ports of 127.0.0.1 that nobody listens on just now."""
    with contextlib.ExitStack() as open_sockets:
        probes = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def stack_settings(
    home: Path,
    *,
    port: int,
    pg_port: int,
    smtp_port: int | None = None,
    dags: Path = PROJECT / "dags",
    plugins: Path = PROJECT / "plugins",
    extra_environment: Mapping[str, str] | None = None,
) -> StackSettings:
    """Describe a stack that has everything, PostgreSQL too, in one folder."""
    return StackSettings(
        home=home,
        port=port,
        postgres_data=home / "postgres" / "data",
        pg_port=pg_port,
        smtp_port=smtp_port or free_ports(1)[0],
        dags=dags,
        plugins=plugins,
        extra_environment=extra_environment or {},
    )


@contextlib.contextmanager
def running_stack(
    dags: Path = PROJECT / "dags",
    plugins: Path = PROJECT / "plugins",
    extra_environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Iterator[Stack]:
    """Start a whole stack and end it afterwards, whatever happens; its folder goes too unless it was given.

    Args:
        dags: what Airflow parses; file names are DAG ids.
        plugins: what Airflow loads plugins from.
        extra_environment: wins over the stack's own, e.g. `AIRFLOW_VAR_LANDING_URL` for another storage.
        home: the stack's folder. By default a temporary one outside pytest's, which is closed to the other user as
            whom root runs PostgreSQL.
    """
    folder = home or Path(tempfile.mkdtemp(prefix="stack-"))
    port, pg_port = free_ports(2)
    settings = stack_settings(
        folder, port=port, pg_port=pg_port, dags=dags, plugins=plugins, extra_environment=extra_environment
    )
    stack = Stack(settings, say=lambda line: print(line, file=sys.stderr))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
