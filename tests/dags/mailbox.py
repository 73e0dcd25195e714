"""A mail server in this process, and what came in."""

from __future__ import annotations

import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any


class Inbox:
    """What aiosmtpd's controller hands each mail to: (recipients of the envelope, mail), in the order of arrival."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"


def smtp_address(port: int) -> str:
    """Return the Connection of a mail server on this machine that wants neither login nor encryption."""
    options = "disable_ssl=true&disable_tls=true&from_email=loyalty%40example.com&retry_limit=1"
    return f"smtp://127.0.0.1:{port}/?{options}"


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def text_of(mail: EmailMessage) -> str:
    """Return what a mail says to those whose program shows no HTML."""
    return _part(mail, "plain")


def html_of(mail: EmailMessage) -> str:
    """Return what a mail says to the others."""
    return _part(mail, "html")


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())
