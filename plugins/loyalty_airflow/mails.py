"""One mail in two forms: plain text, and HTML that says the same. Source: X-08, X-20.

Names and reasons may hold anything: line ends would be refused in a header, or begin another, and half a character
would keep a mail from being encoded.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import make_msgid
from html import escape
from typing import Any
from urllib.parse import quote

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import conf

from include.names import one_line
from loyalty_airflow import PAGES

log = logging.getLogger(__name__)

SMTP_CONNECTION = "alerts_smtp"
LONGEST_SHOWN_NAME = 120
"""Of a subject, so that what happened is seen beside it."""
LONGEST_SUBJECT_WORDS = 120
WIDTH = 78
FRAMED_PAGES = f"/plugin{PAGES}{PAGES}"
"""The importer's pages in Airflow's own frame, whose route has their name."""
_LABEL = "padding:2px 16px 2px 0;font-weight:normal;opacity:.7;white-space:nowrap"
AUTOMATIC = {"Auto-Submitted": "auto-generated"}
"""Out-of-office programs don't answer such mails (RFC 3834)."""


@dataclass(frozen=True)
class Mail:
    """What a mail says; each text is one line, whatever it contains.

    Args:
        name: of the file or pool that the mail is about.
        what: happened to it: the rest of the subject.
        lead: the first sentence.
        facts: label → fact; blank ones are left out.
        points: a list, each with its heading, such as the rules that rejected rows.
        advice: what to do.
        links: label → address; the first is where to begin.
    """

    name: str
    what: str
    lead: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    points: Mapping[str, Sequence[str]] = field(default_factory=dict)
    advice: str = ""
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The subject line."""
        return subject(self.name, self.what)

    def as_text(self) -> str:
        """Return the mail as plain text, in lines that mail programs don't break."""
        parts = [_wrapped(self.lead)]
        facts = self._facts()
        width = max(map(len, facts), default=0) + 2
        if facts:
            lines = (_wrapped(fact, first=f"{name}:".ljust(width), rest=" " * width) for name, fact in facts.items())
            parts.append("\n".join(lines))
        for heading, points in self.points.items():
            lines = (_wrapped(point, first="- ", rest="  ") for point in points)
            parts.append("\n".join([f"{one_line(heading)}:", *lines]))
        if self.advice:
            parts.append(_wrapped(self.advice))
        if self.links:
            parts.append("\n".join(f"{one_line(label)}:\n  {address}" for label, address in self.links.items()))
        return "\n\n".join(parts) + "\n"

    def as_html(self) -> str:
        """Return the mail as HTML without pictures, scripts or anything that is fetched."""
        parts = [f'<p style="font-size:16px;margin:0 0 12px"><strong>{_html(self.lead)}</strong></p>']
        if facts := self._facts():
            rows = "".join(
                f'<tr><th align="left" valign="top" style="{_LABEL}">{_html(name)}</th>'
                f'<td style="padding:2px 0">{_html(fact)}</td></tr>'
                for name, fact in facts.items()
            )
            parts.append(f'<table role="presentation" style="border-collapse:collapse;font-size:14px">{rows}</table>')
        for heading, points in self.points.items():
            items = "".join(f'<li style="margin:2px 0">{_html(point)}</li>' for point in points)
            parts.append(f'<p style="margin:16px 0 4px">{_html(heading)}:</p><ul style="margin:0">{items}</ul>')
        if self.advice:
            parts.append(f'<p style="margin:16px 0">{_html(self.advice)}</p>')
        links = " &nbsp; ".join(
            f'<a href="{escape(address)}">{_html(label)}</a>' for label, address in self.links.items()
        )
        if links:
            parts.append(f'<p style="margin:16px 0 0">{links}</p>')
        head = (
            f'<meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>{_html(self.subject)}</title>'
        )
        style = "font:14px/1.45 system-ui,-apple-system,'Segoe UI',sans-serif;max-width:640px"
        body = f'<body><div style="{style}">{"".join(parts)}</div></body>'
        return f'<!DOCTYPE html><html lang="en"><head>{head}</head>{body}</html>'

    def _facts(self) -> dict[str, str]:
        return {one_line(name): one_line(str(fact)) for name, fact in self.facts.items() if fact not in (None, "")}


class TwoFormHook(SmtpHook):
    """Airflow's SMTP hook, whose mails have the plain text as well: 3.3's own takes HTML alone.

    Args:
        text: what a mail program shows that shows no HTML.
    """

    def __init__(self, *args: Any, text: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.text = text

    def _build_mime_message(self, *args: Any, **kwargs: Any) -> tuple[MIMEMultipart, list[str]]:
        message, recipients = super()._build_mime_message(*args, **{**kwargs, "mime_subtype": "alternative"})
        html = message.get_payload()
        message.set_payload([MIMEText(self.text, "plain", "utf-8"), *html])  # the last one is the best
        return message, recipients


def mail_subscribers(mail: Mail) -> bool:
    """Send one mail to all subscribers; return False when there is no mail server or no subscriber.

    Raises:
        smtplib.SMTPException, OSError: the mail server doesn't answer, or takes the mail for none of them.
    """
    from include.project.loader import load_project
    from loyalty_airflow.runtime import find_connection

    if find_connection(SMTP_CONNECTION) is None:
        log.info("No mail is sent: the Connection %s is not defined", SMTP_CONNECTION)
        return False
    subscribers = list(load_project().alert_subscribers)
    if not subscribers:
        log.info("No mail is sent: the project settings name no alert_subscribers")
        return False
    with TwoFormHook(smtp_conn_id=SMTP_CONNECTION, text=mail.as_text()) as hook:
        domain = str(hook.from_email or "").rpartition("@")[2]
        hook.send_email_smtp(
            to=subscribers,
            subject=mail.subject,
            html_content=mail.as_html(),
            from_email=hook.from_email,
            custom_headers=AUTOMATIC | {"Message-ID": make_msgid(domain=domain or None)},
        )
    return True


def subject(name: str, what: str) -> str:
    """Return the subject line of every mail: a name that may hold anything, and what happened.

    `=?` would make mail programs decode the rest of a word.
    """
    shown = one_line(name).replace("=?", "= ?")
    if len(shown) > LONGEST_SHOWN_NAME:
        shown = f"{shown[: LONGEST_SHOWN_NAME - 1]}…"
    return f"{shown}: {shortened(what)}"


def shortened(words: str) -> str:
    """Return words of a subject that may quote something, as one line that is not too long."""
    line = one_line(words).replace("=?", "= ?")
    return line if len(line) <= LONGEST_SUBJECT_WORDS else f"{line[: LONGEST_SUBJECT_WORDS - 1]}…"


def run_url(dag_id: str, run_id: str) -> str:
    """Return the address of a run's page in Airflow's UI."""
    return f"{_base()}/dags/{dag_id}/runs/{quote(run_id)}"


def page_url(path: str) -> str:
    """Return the address of one of the importer's pages, such as `/jobs/7`, inside Airflow's own."""
    return f"{_base()}{FRAMED_PAGES}{path}"


def _base() -> str:
    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def _wrapped(text: str, *, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        one_line(text), WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _html(text: str) -> str:
    return escape(one_line(text))
