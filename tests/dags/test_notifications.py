"""Mails about files and pools that need a person, sent to a real SMTP server. Source: X-08, X-20, TU-03."""

from __future__ import annotations

import email
import email.policy
import logging
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.arrivals.listing import Unusable
from include.errors import Reason
from include.ledger.jobs import JobCounts, State
from include.ledger.outcomes import ALARMING, Outcome, outcome_of
from include.promo_codes.alerts import Alert
from loyalty_airflow.mails import Mail, TwoFormHook, subject
from loyalty_airflow.notifications import (
    ImportNotifier,
    ReviewNotifier,
    StockNotifier,
    UnusableNotifier,
    advice_of,
    first_sentence,
    mail_of_alert,
    mail_of_import,
    needs_attention,
)
from loyalty_airflow.runbook import RUNBOOK
from tests.dags.mailbox import free_port, html_of, smtp_address, text_of

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
        {
            "rule": "pool_system_name.known",
            "severity": "critical",
            "rows": 15,
            "sentence": "Pool … does not exist.",
            "examples": [["Pool 'xmas_2026' does not exist.", 12]],
        },
        {"rule": "card.sold_card_incomplete", "severity": "warning", "rows": 9, "sentence": "A sold card has a date."},
        {"rule": "row.ragged", "severity": "critical", "rows": 5, "sentence": "The row has … cells.", "examples": []},
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


def test_x08_the_mail_says_what_happened_and_where_to_read_on_in_text_and_html(inbox):
    assert ImportNotifier().send(context(RESULT))
    ((recipients, mail),) = inbox.mails
    assert recipients == ["ops@example.com"]
    assert mail["From"] == "loyalty@example.com"
    assert mail["Subject"] == "cards <1>.csv: 980 of 1,000 rows loaded, 20 rejected"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    for said, name in ((text_of(mail), "cards <1>.csv"), (html_of(mail), "cards &lt;1&gt;.csv")):
        flat = " ".join(said.replace("&#x27;", "'").split())
        for fact in (
            f"{name}: 980 of 1,000 rows loaded, 20 rejected.",
            "gift cards",
            "1,000 read, 980 inserted, 20 rejected",
            "12 rows: Pool 'xmas_2026' does not exist.",
            "3 more: Pool … does not exist.",
            "5 rows: The row has … cells.",
            "http://airflow.example.com/plugin/imports/imports/jobs/7",
            "http://airflow.example.com/plugin/imports/imports/jobs/7/rejects",
            "http://airflow.example.com/dags/import_gift_cards/runs/gift_cards__cards__0123456789",
        ):
            assert fact in flat
        assert "A sold card" not in said  # a warning rejects nothing
        for left_out in ("0 updated", "not found", "/reports/", "completed_with_rejects", "pool_system_name.known"):
            assert left_out not in said


def test_a_mail_is_marked_as_automatic_and_has_an_id_of_its_own(inbox):
    """RFC 3834: no absence notice answers it; RFC 5322: mail programs distinguish mails."""
    for _ in range(2):
        assert ImportNotifier().send(context(RESULT))
    ids = [mail["Message-ID"] for _, mail in inbox.mails]
    assert all(number.endswith("@example.com>") for number in ids)
    assert len(set(ids)) == 2
    assert [mail["Auto-Submitted"] for _, mail in inbox.mails] == ["auto-generated"] * 2


def rows_of(read, rejected):
    return dict.fromkeys(RESULT["rows"], 0) | {"read": read, "inserted": read - rejected, "rejected": rejected}


def cancelled(message):
    return REFUSED | {"state": "cancelled", "reason": {"rule": "review.any", "message": message}}


@pytest.mark.parametrize(
    ("changes", "what", "advice"),
    [
        ({"rows": rows_of(5000, 5000)}, "nothing loaded of 5,000 rows: 5,000 rejected", "import the file again"),
        ({"rows": rows_of(100, 99)}, "1 of 100 rows loaded, 99 rejected", "right field"),
        (
            {"rows": rows_of(100, 99), "has_approved_rejects": True},
            "1 of 100 rows loaded, 99 rejected", "Correct the rejected rows",
        ),
        (
            {"type": "customers", "state": "completed", "rows": rows_of(0, 0) | {"read": 10, "not_found": 10}},
            "nothing edited of 10 rows: 10 not found", "import the customers first",
        ),
        ({"rows": rows_of(100, 1)}, "99 of 100 rows loaded, 1 rejected", "Correct the rejected rows"),
        (REFUSED, "refused: The file is empty", "Nothing was loaded."),
        (REFUSED | {"state": "failed"}, "import failed", "clear the first red task"),
        (
            cancelled("Nobody answered by 2026-12-01 10:00 UTC; nothing was loaded."),
            "not loaded: Nobody answered by 2026-12-01 10:00 UTC",
            "Nothing was loaded.",
        ),
        (
            cancelled("None of 3 answers named columns that can be imported; nothing was loaded. Balance is missing."),
            "not loaded: None of 3 answers named columns that can be imported",
            "import it again to be asked again",
        ),
        (
            cancelled("3 questions have been asked about this file; drop it again to be asked anew."),
            "not loaded: 3 questions have been asked about this file; drop it again to be asked anew",
            "to be asked",
        ),
    ],
)  # fmt: skip
def test_x08_the_subject_has_the_outcome_and_its_figures_and_the_mail_says_what_to_do(changes, what, advice):
    mail = mail_of_import(RESULT | changes, "http://x")
    assert mail.subject == f"cards <1>.csv: {what}"
    assert advice in " ".join(mail.as_text().split())


def test_x01_the_mail_about_a_file_of_no_type_says_where_it_belongs():
    reason = {"rule": "file.unknown_type", "message": 'This file was in "vouchers". Put it into one of: gift_cards.'}
    mail = mail_of_import(REFUSED | {"type": "unknown", "reason": reason}, "http://x")
    assert mail.subject == 'cards <1>.csv: refused: This file was in "vouchers"'
    assert "drop it into the folder of its type" in " ".join(mail.as_text().split())


@pytest.mark.parametrize(
    ("message", "first"),
    [
        ("Is it? It is.", "Is it?"),
        ("One. Two.", "One"),
        ("At 1.5 times.", "At 1.5 times"),
        ("report v1. Final.xlsx is no text. Save it as CSV.", "report v1. Final.xlsx is no text"),
        ("Beside report v1. Final.xlsx, two files. Remove one.", "Beside report v1. Final.xlsx, two files"),
        ("other v1. final.xlsx is no text. Save it.", "other v1. final.xlsx is no text"),
        ("", ""),
    ],
)
def test_x08_a_subject_has_the_first_sentence_of_a_reason(message, first):
    assert first_sentence(message, "report v1. Final.xlsx") == first


def test_x08_a_mail_leads_to_what_the_documentation_says_about_each_rule(monkeypatch):
    monkeypatch.setenv("AIRFLOW__IMPORTER__DOCS_URL", "https://docs.example.com/importer/")
    rules = "https://docs.example.com/importer/reference/rules"
    rejected = mail_of_import(RESULT, "http://x").links
    assert {label: url for label, url in rejected.items() if label.startswith("About")} == {
        "About pool_system_name.known": f"{rules}/gift_cards/#pool_system_nameknown",
        "About row.ragged": f"{rules}/every-file/#rowragged",
    }
    refused = mail_of_import(REFUSED, "http://x")
    assert refused.links["About file.empty"] == f"{rules}/every-file/#fileempty"
    assert f"{rules}/every-file/#fileempty" in refused.as_text()
    assert f'<a href="{rules}/every-file/#fileempty">About file.empty</a>' in refused.as_html()


@pytest.mark.parametrize("address", ["", "docs.example.com", "javascript:alert(1)"])
def test_x08_without_a_site_no_mail_leads_to_a_rule(monkeypatch, address):
    monkeypatch.setenv("AIRFLOW__IMPORTER__DOCS_URL", address)
    assert [label for label in mail_of_import(RESULT, "http://x").links if label.startswith("About")] == []


def test_x08_a_run_note_names_a_rule_with_its_address(monkeypatch):
    from loyalty_airflow.run_notes import outcome, outcome_of_generation

    refused = {"pool": "spring", "state": "refused", "refusal": {"rule": "generation.wrong_key"}}
    assert outcome(REFUSED) == "cards <1>.csv: refused (file.empty)"
    assert outcome_of_generation(refused) == "spring: refused (generation.wrong_key)"
    monkeypatch.setenv("AIRFLOW__IMPORTER__DOCS_URL", "https://docs.example.com")
    rules = "https://docs.example.com/reference/rules/every-file"
    assert outcome(REFUSED) == f"cards <1>.csv: refused (file.empty) {rules}/#fileempty"
    assert outcome_of_generation(refused) == (f"spring: refused (generation.wrong_key) {rules}/#generationwrong_key")


def test_a_refusal_is_reported_with_its_reason():
    assert "The file is empty. (file.empty)" in mail_of_import(REFUSED, "http://x").as_text()


def test_a_job_that_could_not_be_closed_is_reported_as_failed(inbox):
    assert ImportNotifier().send(context(None))
    ((_, mail),) = inbox.mails
    assert mail["Subject"] == "cards.csv: import failed"


@pytest.mark.parametrize("state", ["completed", "completed_with_rejects", "refused", "failed", "cancelled"])
def test_x19_nobody_is_alarmed_by_a_rehearsal(inbox, state):
    rehearsal = RESULT | {"state": state, "is_dry_run": True, "reason": {"rule": "file.empty", "message": "Empty."}}
    assert not needs_attention(rehearsal)
    assert not ImportNotifier().send(context(rehearsal))
    assert inbox.mails == []


def test_x19_a_mail_about_a_dry_run_says_so():
    mail = mail_of_import(RESULT | {"is_dry_run": True}, "http://x")
    assert mail.subject == "cards <1>.csv: dry run: 980 of 1,000 rows would load, 20 rejected"


@pytest.mark.parametrize(
    ("state", "rejected", "is_reported"),
    [
        ("completed", 0, False),
        ("duplicate", 0, False),
        ("completed_with_rejects", 1, True),
        ("refused", 0, True),
        ("failed", 0, True),
    ],
)
def test_only_what_needs_a_person_is_reported(state, rejected, is_reported):
    assert needs_attention({"state": state, "rows": {"rejected": rejected}}) is is_reported


def test_the_runbook_has_each_outcome_with_its_colour_and_its_mail():
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in RUNBOOK.splitlines() if line.startswith("| `")]
    runs, mails = {row[0].strip("`"): row[1] for row in cells}, {row[0].strip("`"): row[2] for row in cells}
    ends = {State.DUPLICATE, State.AWAITING_REVIEW, State.CANCELLED, State.REFUSED, State.FAILED}
    assert len(cells) == len(runs)
    assert runs.keys() == {*Outcome, *ends}
    assert {name for name, run in runs.items() if run.startswith("red")} == {*ALARMING, State.REFUSED, State.FAILED}
    assert {name for name, run in runs.items() if run.endswith("green if a person approved it")} == {*ALARMING}
    not_found = rows_of(0, 0) | {"read": 10, "not_found": 10}
    examples = [("completed", rows_of(10, 0)), ("completed_with_rejects", rows_of(10, 1)),
                ("completed_with_rejects", rows_of(10, 9)), ("completed_with_rejects", rows_of(10, 10)),
                ("completed", not_found), ("completed", rows_of(0, 0)), ("duplicate", rows_of(0, 0)),
                ("refused", rows_of(0, 0)), ("failed", rows_of(0, 0))]  # fmt: skip
    reported = {
        outcome_of(state, JobCounts(**rows)): "yes" if needs_attention({"state": state, "rows": rows}) else "no"
        for state, rows in examples
    }
    assert mails == reported | {"awaiting_review": "the question", "cancelled": "if nobody answered"}


@pytest.mark.parametrize(("rule", "is_reported"), [("review.rejected", False), ("review.expired", True)])
def test_x06_a_cancelled_file_is_reported_unless_a_person_has_rejected_it(rule, is_reported):
    assert needs_attention({"state": "cancelled", "rows": {"rejected": 0}, "reason": {"rule": rule}}) is is_reported


def test_nothing_is_sent_about_a_clean_import(inbox):
    clean = RESULT | {"state": "completed", "rows": rows_of(1000, 0)}
    assert not ImportNotifier().send(context(clean))
    assert inbox.mails == []


def test_without_a_connection_one_line_is_logged(monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_ALERTS_SMTP", raising=False)
    caplog.set_level(logging.INFO)
    assert not ImportNotifier(RESULT).send(context())
    texts = [record.getMessage() for record in caplog.records if record.name.startswith("loyalty_airflow.mails")]
    assert texts == ["No mail is sent: the Connection alerts_smtp is not defined"]


def test_a_mail_server_that_is_down_fails_nothing(monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_ALERTS_SMTP", smtp_address(free_port()))
    assert not ImportNotifier(RESULT).send(context())
    assert "could not be sent" in caplog.text


def test_close_job_calls_the_notifier_whether_it_succeeds_or_fails():
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
    assert "Uploads &lt;1&gt;" in html_of(mail)
    text = text_of(mail)
    for fact in (
        "Uploads <1>",
        "uploads",
        "1,234",
        "5,000",
        "2026-03-01 12:30 UTC",
        "http://airflow.example.com/plugin/imports/imports/pools/promo-codes?id=uploads",
        "http://airflow.example.com/dags/top_up_promo_pools/runs/scheduled__1",
    ):
        assert fact in text
    assert "Runs out" not in text


def alert_text(**changes):
    return " ".join(mail_of_alert(replace(ALERT, **changes), "http://x").as_text().split())


def test_tu05_the_mail_shows_the_predicted_date():
    text = alert_text(kind="runs_out_soon", level=None, runs_out_at=datetime(2026, 3, 4, 6, tzinfo=UTC))
    assert "2026-03-04 06:00 UTC" in text
    assert "Alert threshold" not in text


def test_tu03_an_empty_pool_is_out_of_codes():
    assert mail_of_alert(replace(ALERT, available=0), "http://x").subject == "Uploads <1>: out of promo codes"


@pytest.mark.parametrize(
    ("changes", "advice", "not_advised"),
    [
        ({"fill_method": "upload"}, "Upload codes into the pool.", "enerate"),
        ({"fill_method": "generate", "format": "s", "format_available": 9}, "Generate codes on the pool's", "pload"),
        ({"fill_method": "generate", "format": "s", "format_available": 0}, "Choose another format", "Upload"),
        ({"kind": "format_exhausted", "fill_method": "generate", "format": "s", "format_available": 3},
         "The format s has 3 codes left. Choose another format", "Upload"),
        ({}, "Upload codes into the pool, or generate them", "format"),
    ],
)  # fmt: skip
def test_tu02_the_mail_advises_what_is_possible(changes, advice, not_advised):
    """A pool that is filled by generation takes no uploads, and an exhausted format gives nothing more."""
    text = advice_of(replace(ALERT, **changes))
    assert advice in text
    assert not_advised not in text


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
def test_every_notifier_reports_any_name(inbox, name, kind):
    """X-08: a file whose name no header can hold is reported like any other."""
    job = SimpleNamespace(import_type="gift_cards", file_name=name, id=7)
    reasons = [Reason("header.unmatched", f"The file {name} has other columns.")]
    sent = {
        "import": lambda: ImportNotifier(REFUSED | {"file": name}).send(context()),
        "review": lambda: ReviewNotifier(job, reasons, datetime(2026, 3, 1, tzinfo=UTC)).send(context()),
        "stock": lambda: StockNotifier(replace(ALERT, pool_name=name, pool=name)).send(RUN),
        "unusable": lambda: UnusableNotifier([Unusable(None, name, name, "file.special", "is odd", "1")]).send(RUN),
    }[kind]()
    assert sent
    ((_, mail),) = inbox.mails
    what = {
        "import": "refused: The file is empty",
        "review": "waits for an answer until 2026-03-01 00:00 UTC",
        "stock": "few promo codes left (1,234 left)",
        "unusable": "1 entry can't be imported",
    }[kind]
    assert mail["Subject"] == subject("Landing area" if kind == "unusable" else name, what)
    assert mail["Subject"].endswith(f": {what}")
    assert set(mail.keys()) == {
        "Subject", "From", "To", "Date", "Content-Type", "MIME-Version", "Auto-Submitted", "Message-ID",
    }  # fmt: skip


@settings(max_examples=300)
@given(name=st.text(alphabet=st.characters(), max_size=300), what=st.sampled_from(["refused (x)", "failed (y)"]))
@example(name="=?utf-8?q?=0D=0ABcc:_x?=", what="refused (x)")
@example(name="\ud800\r\n\u202e", what="refused (x)")
def test_any_subject_is_written_and_read_back_as_one_line(name, what):
    """X-20, X-08: nothing that a name holds ends the header, begins another or keeps the mail from being encoded."""
    line = subject(name, what)
    assert line.endswith(f": {what}")
    assert len(line) <= 150
    mail = Mail(name, what, lead=name, facts={"File": name}, points={"Why": [name]}, links={name: "http://x"})
    message, _ = TwoFormHook(text=mail.as_text())._build_mime_message(
        "from@example.com", "to@example.com", line, mail.as_html()
    )
    for raw in (message.as_bytes(), message.as_string().encode("ascii")):
        read = email.message_from_bytes(raw, policy=email.policy.default)
        assert read["Subject"] == line
        assert read.keys() == ["Content-Type", "MIME-Version", "Subject", "From", "To", "Date"]
        assert read.defects == []
        assert read["Subject"].defects == ()
        assert [part.get_content_type() for part in read.iter_parts()] == ["text/plain", "text/html"]
