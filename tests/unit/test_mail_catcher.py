"""The local stack's mail server, by real SMTP conversations with a process of its own. Source: TU-03."""

from __future__ import annotations

import email
import email.policy
import signal
import smtplib
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from tools.stack.settings import PROJECT

pytestmark = pytest.mark.unit


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[tuple[int, Path, subprocess.Popen[str]]]:
    """A running mail catcher: its port, its folder, its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "mail"
    command = [sys.executable, "-m", "tools.stack.mail_catcher", "--port", str(port), "--folder", str(folder)]
    process = subprocess.Popen(command, cwd=PROJECT, umask=0, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "are kept in" in process.stdout.readline()
    yield port, folder, process
    process.kill()
    process.wait()
    process.stdout.close()


def send(port: int, subject: str, *recipients: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "loyalty@example.com", "everybody@example.com", subject
    mail.set_content("3 codes left\n.\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(mail, to_addrs=recipients)


def test_each_mail_becomes_one_file_with_its_recipients_that_only_the_owner_reads(catcher) -> None:
    port, folder, _ = catcher
    send(port, "first", "a@example.com", "b@example.com")
    send(port, "sécond", "c@example.com")
    paths = sorted(folder.iterdir())
    assert [path.suffix for path in paths] == [".eml", ".eml"]
    mails = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in paths]
    assert [(mail["Subject"], mail["X-Envelope-To"], mail["X-Envelope-From"]) for mail in mails] == [
        ("first", "a@example.com, b@example.com", "loyalty@example.com"),
        ("sécond", "c@example.com", "loyalty@example.com"),
    ]
    assert mails[0].get_content().splitlines() == ["3 codes left", "."]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_ends_when_it_is_asked_to(catcher) -> None:
    _, _, process = catcher
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_it_listens_on_this_machine_alone(catcher) -> None:
    import psutil

    port, _, process = catcher
    listening = [one.laddr for one in psutil.Process(process.pid).net_connections() if one.status == "LISTEN"]
    assert listening == [("127.0.0.1", port)]
