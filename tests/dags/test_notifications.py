"""Mails about files that need a person, sent to a real SMTP server. Source: X-08, X-20."""

from __future__ import annotations

import email
import email.policy
import logging
import socket
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller

from notifications import ImportNotifier, body, needs_attention

pytestmark = pytest.mark.dags

RESULT = {
    "job": 7,
    "type": "gift_cards",
    "file": "cards <1>.csv",
    "state": "completed_with_rejects",
    "rows": {"read": 1000, "inserted": 980, "updated": 0, "unchanged": 0, "not_found": 0, "rejected": 20},
    "reason": None,
    "duplicate_of": None,
    "rejected_file": "/reports/gift_cards/7/cards.rejected.csv",
    "summary_file": "/reports/gift_cards/7/summary.json",
    "rules": [
        {"rule": "balance.equals_pool_value", "severity": "critical", "rows": 15},
        {"rule": "card.sold_card_incomplete", "severity": "warning", "rows": 9},
        {"rule": "row.ragged", "severity": "critical", "rows": 5},
    ],
    "is_dry_run": False,
}
REFUSED = RESULT | {
    "state": "refused",
    "rows": dict.fromkeys(RESULT["rows"], 0),
    "reason": {"rule": "file.empty", "message": "The file is empty."},
    "rules": [],
}


class Inbox:
    def __init__(self) -> None:
        self.mails: list[tuple[list[str], email.message.EmailMessage]] = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        return "250 OK"


@pytest.fixture
def inbox(monkeypatch):
    received = Inbox()
    server = Controller(received, hostname="127.0.0.1", port=free_port())
    server.start()
    address = f"smtp://127.0.0.1:{server.port}/?disable_ssl=true&disable_tls=true&from_email=loyalty%40example.com"
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", address)
    yield received
    server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def context(result=None):
    ti = SimpleNamespace(
        dag_id="import_gift_cards",
        run_id="gift_cards__cards__0123456789",
        xcom_pull=lambda *, task_ids, key: result if (task_ids, key) == ("close_job", "result") else None,
    )
    return {"ti": ti, "params": {"file": "/landing/gift_cards/cards.csv"}}


def text_of(mail) -> str:
    return mail.get_body(("html", "plain")).get_content() if mail.is_multipart() else mail.get_content()


def test_the_mail_says_what_happened_and_where_to_read_on(inbox):
    assert ImportNotifier().send(context(RESULT))
    ((recipients, mail),) = inbox.mails
    assert recipients == ["ops@example.com"]
    assert mail["From"] == "loyalty@example.com"
    assert mail["Subject"] == "cards <1>.csv: completed with rejects (gift_cards)"
    text = text_of(mail)
    for fact in (
        "gift_cards",
        "cards &lt;1&gt;.csv",
        "completed_with_rejects",
        "read 1,000",
        "inserted 980",
        "rejected 20",
        "balance.equals_pool_value 15, row.ragged 5",
        "/reports/gift_cards/7/cards.rejected.csv",
        "http://airflow.example.com/dags/import_gift_cards/runs/gift_cards__cards__0123456789",
    ):
        assert fact in text
    assert "sold_card_incomplete" not in text  # a warning rejects nothing


def test_a_refusal_is_told_with_its_reason():
    assert "The file is empty. (file.empty)" in body(REFUSED, "http://x")


def test_a_job_that_could_not_be_closed_is_told_as_failed(inbox):
    assert ImportNotifier().send(context(None))
    ((_, mail),) = inbox.mails
    assert mail["Subject"] == "cards.csv: failed (gift_cards)"


@pytest.mark.parametrize(
    ("state", "rejected", "told"),
    [
        ("completed", 0, False),
        ("duplicate", 0, False),
        ("completed_with_rejects", 1, True),
        ("refused", 0, True),
        ("failed", 0, True),
    ],
)
def test_only_what_needs_a_person_is_told(state, rejected, told):
    assert needs_attention({"state": state, "rows": {"rejected": rejected}}) is told


def test_nothing_is_sent_about_a_clean_import(inbox):
    clean = RESULT | {"state": "completed", "rows": RESULT["rows"] | {"rejected": 0}}
    assert not ImportNotifier().send(context(clean))
    assert inbox.mails == []


def test_without_a_connection_one_line_is_logged(monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_ALERTS_SMTP", raising=False)
    caplog.set_level(logging.INFO)
    assert not ImportNotifier(RESULT).send(context())
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("notifications")]
    assert texts == ["No mail is sent: the Connection alerts_smtp is not defined"]


def test_a_mail_server_that_is_down_fails_nothing(monkeypatch, caplog):
    address = (
        f"smtp://127.0.0.1:{free_port()}/?disable_ssl=true&disable_tls=true&from_email=a%40example.com&retry_limit=1"
    )
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", address)
    assert not ImportNotifier(RESULT).send(context())
    assert "could not be sent" in caplog.text


def test_close_job_tells_the_notifier_whether_it_succeeds_or_fails():
    from airflow.dag_processing.dagbag import DagBag

    from tests.dags.conftest import PROJECT

    task = DagBag(PROJECT / "dags" / "import_gift_cards.py").dags["import_gift_cards"].task_dict["close_job"]
    for callbacks in (task.on_success_callback, task.on_failure_callback):
        assert [type(callback).__name__ for callback in callbacks] == ["ImportNotifier"]
