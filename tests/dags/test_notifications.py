"""Mails about files and pools that need a person, sent to a real SMTP server. Source: X-08, X-20, TU-03."""

from __future__ import annotations

import email
import email.policy
import logging
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.smtp.hooks.smtp import SmtpHook
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.importing.listing import Unusable
from include.promo_codes.top_up import Alert
from notifications import (
    ImportNotifier,
    ReviewNotifier,
    StockNotifier,
    UnusableNotifier,
    alert_body,
    body,
    needs_attention,
    subject,
    table,
)
from tests.dags.mailbox import free_port, smtp_address, text_of

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


def context(result=None):
    ti = SimpleNamespace(
        dag_id="import_gift_cards",
        run_id="gift_cards__cards__0123456789",
        xcom_pull=lambda *, task_ids, key: result if (task_ids, key) == ("close_job", "result") else None,
    )
    return {"ti": ti, "params": {"file": "/landing/gift_cards/cards.csv"}}


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


@pytest.mark.parametrize(("rule", "told"), [("review.rejected", False), ("review.expired", True)])
def test_x06_a_cancelled_file_is_told_about_unless_a_person_has_rejected_it(rule, told):
    assert needs_attention({"state": "cancelled", "rows": {"rejected": 0}, "reason": {"rule": rule}}) is told


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
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", smtp_address(free_port()))
    assert not ImportNotifier(RESULT).send(context())
    assert "could not be sent" in caplog.text


def test_close_job_tells_the_notifier_whether_it_succeeds_or_fails():
    from airflow.dag_processing.dagbag import DagBag

    from tests.dags.conftest import PROJECT

    task = DagBag(PROJECT / "dags" / "import_gift_cards.py").dags["import_gift_cards"].task_dict["close_job"]
    for callbacks in (task.on_success_callback, task.on_failure_callback):
        assert [type(callback).__name__ for callback in callbacks] == ["ImportNotifier"]


# -- pools of promo codes


ALERT = Alert(
    id=3,
    pool="uploads",
    pool_name="Uploads <1>",
    kind="low_stock",
    raised_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    available=1234,
    level=5000,
    runs_out_at=None,
)
RUN = {"ti": SimpleNamespace(dag_id="top_up_promo_pools", run_id="scheduled__1")}


def test_tu03_every_subscriber_gets_the_mail(inbox, subscribers):
    assert StockNotifier(ALERT).send(RUN)
    ((recipients, mail),) = inbox.mails
    assert recipients == subscribers == ["a@example.com", "b@example.com", "c@example.com"]
    assert mail["Subject"] == "Uploads <1>: few promo codes left (1,234 left)"
    text = text_of(mail)
    for fact in (
        "Uploads &lt;1&gt; (uploads)",
        "1,234",
        "5,000",
        "2026-03-01 12:30 UTC",
        "http://airflow.example.com/dags/top_up_promo_pools/runs/scheduled__1",
    ):
        assert fact in text
    assert "Runs out" not in text


def test_tu05_the_mail_tells_the_predicted_date():
    alert = replace(ALERT, kind="runs_out_soon", level=None, runs_out_at=datetime(2026, 3, 4, 6, tzinfo=UTC))
    assert "2026-03-04 06:00 UTC" in alert_body(alert, "http://x")
    assert "Told below" not in alert_body(alert, "http://x")


def test_tu02_the_mail_about_a_formats_end_advises_a_larger_code_space():
    assert "larger code space" in alert_body(replace(ALERT, kind="format_exhausted"), "http://x")


def test_a_line_end_in_a_pools_name_does_not_stop_the_mail(inbox):
    assert StockNotifier(replace(ALERT, pool_name="Two\r\nLines")).send(RUN)
    ((_, mail),) = inbox.mails
    assert mail["Subject"] == "Two Lines: few promo codes left (1,234 left)"


def test_a_mail_that_one_subscriber_can_not_get_reaches_the_others(inbox, subscribers):
    async def refuse_one(server, session, envelope, address, options):
        if address == "b@example.com":
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    inbox.handle_RCPT = refuse_one
    assert StockNotifier(ALERT).send(RUN)
    ((recipients, _),) = inbox.mails
    assert recipients == ["a@example.com", "c@example.com"]


@pytest.mark.parametrize("connection", [None, smtp_address(free_port())])
def test_an_alert_that_can_not_be_mailed_stays_unsent(monkeypatch, connection):
    if connection is None:
        monkeypatch.delenv("AIRFLOW_CONN_ALERTS_SMTP", raising=False)
    else:
        monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", connection)
    assert not StockNotifier(ALERT).send(RUN)


# -- names that hold anything

ODD_NAMES = [
    "a\nBcc: x@example.com\n\nhello.csv",
    "a\r\nb.csv",
    "tab\tbell\x07nul\x00.csv",
    "next\x85line\u2028separator\u2029.csv",
    "\u202egnp.exe\u2066.csv",
    "half \udcff\ud800.csv",
    "карты ü 🎁.csv",
    "=?utf-8?b?DQpCY2M6IHg=?=.csv",
    "x" * 251 + ".csv",
    "ж" * 125 + ".csv",
    " ".join(["word"] * 50),
    "\u200b",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
@pytest.mark.parametrize("kind", ["import", "review", "stock", "unusable"])
def test_every_notifier_tells_of_any_name(inbox, name, kind):
    """X-08: a file whose name no header can hold is told about like any other."""
    job = SimpleNamespace(import_type="gift_cards", file_name=name, id=7)
    reasons = [{"rule": "header.unmatched", "message": f"The file {name} has other columns."}]
    sent = {
        "import": lambda: ImportNotifier(REFUSED | {"file": name}).send(context()),
        "review": lambda: ReviewNotifier(job, reasons, datetime(2026, 3, 1, tzinfo=UTC)).send(context()),
        "stock": lambda: StockNotifier(replace(ALERT, pool_name=name, pool=name)).send(RUN),
        "unusable": lambda: UnusableNotifier([Unusable(None, name, name, "file.special", "is odd", "1")]).send(RUN),
    }[kind]()
    assert sent
    ((_, mail),) = inbox.mails
    what = {
        "import": "refused (gift_cards)",
        "review": "awaits review (gift_cards)",
        "stock": "few promo codes left (1,234 left)",
        "unusable": "1 entry can't be imported",
    }[kind]
    assert mail["Subject"] == subject("Landing area" if kind == "unusable" else name, what)
    assert mail["Subject"].endswith(f": {what}")
    assert set(mail.keys()) <= {"Subject", "From", "To", "Date", "Content-Type", "MIME-Version", "X-Peer"}
    assert "hello" not in text_of(mail).partition("<table>")[0]


@settings(max_examples=300)
@given(name=st.text(alphabet=st.characters(), max_size=300), what=st.sampled_from(["refused (x)", "failed (y)"]))
@example(name="=?utf-8?q?=0D=0ABcc:_x?=", what="refused (x)")
@example(name="\ud800\r\n\u202e", what="refused (x)")
def test_any_subject_is_written_and_read_back_as_one_line(name, what):
    """X-20, X-08: nothing that a name holds ends the header, begins another or keeps the mail from being encoded."""
    line = subject(name, what)
    assert line.endswith(f": {what}")
    assert len(line) <= 150
    message, _ = SmtpHook()._build_mime_message("from@example.com", "to@example.com", line, table({"File": name}, "u"))
    for raw in (message.as_bytes(), message.as_string().encode("ascii")):
        read = email.message_from_bytes(raw, policy=email.policy.default)
        assert read["Subject"] == line
        assert read.keys() == ["Content-Type", "MIME-Version", "Subject", "From", "To", "Date"]
        assert read.defects == []
        assert read["Subject"].defects == ()
