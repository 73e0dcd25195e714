"""Mail to the project's subscribers about files that need a person, and pools that run low.

Source: X-08, X-20, TU-02, TU-03, TU-05.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier, conf

from include.importing.names import one_line
from withheld_errors import describe

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.importing.jobs import Job
    from include.importing.listing import Unusable
    from include.promo_codes.top_up import Alert

log = logging.getLogger(__name__)

SMTP_CONNECTION = "alerts_smtp"
RESULT_KEY = "result"
CLOSING_TASK = "close_job"
RULES_SHOWN = 5
ENTRIES_SHOWN = 20
LONGEST_SHOWN_NAME = 120
"""Of a subject, so that what happened is seen beside it."""
ALERT_SUBJECTS = {
    "low_stock": "few promo codes left",
    "runs_out_soon": "promo codes run out soon",
    "format_exhausted": "its format can't give enough promo codes",
}
ALERT_ADVICE = {
    "low_stock": "Upload or generate codes. You are told again only after the pool has recovered.",
    "runs_out_soon": "Upload or generate codes before then. You are told again only after the pool has recovered.",
    "format_exhausted": "Give the pool a format with a larger code space: longer codes or a larger alphabet.",
}


class ImportNotifier(BaseNotifier):
    """Tell the subscribers that a file was refused, that its import failed, or that rows were rejected.

    As a callback of the task that closes a job it reads the job's result from that task's XCom. A mail that can't be
    sent never fails an import: it is logged.

    Args:
        result: the result to tell about, where there is no such task.
    """

    def __init__(self, result: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.result = result

    def notify(self, context: Context) -> None:
        """Send the mail of the job that the context's run has closed; called by Airflow."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail if there is something to tell and someone to tell it to; return whether one was sent."""
        result = (
            self.result or context["ti"].xcom_pull(task_ids=CLOSING_TASK, key=RESULT_KEY) or unknown_result(context)
        )
        if not needs_attention(result):
            return False
        try:
            what = f"{result['state'].replace('_', ' ')} ({result['type']})"
            return mail_subscribers(result["file"] or result["type"], what, body(result, run_url(context)))
        except Exception as error:
            log.error("The mail about %s could not be sent: %s", one_line(result["file"]), describe(error))
            return False


class UnusableNotifier(BaseNotifier):
    """Tell the subscribers about entries of the landing area that can't be imported, in one mail (X-12).

    Args:
        entries: what is new of them.
    """

    def __init__(self, entries: Sequence[Unusable]) -> None:
        super().__init__()
        self.entries = entries

    def notify(self, context: Context) -> None:
        """Send the mail; called by Airflow where the notifier is a callback."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail; return whether the mail server has taken it."""
        facts = {entry.url: f"{entry.reason[:1].upper()}{entry.reason[1:]}" for entry in self.entries[:ENTRIES_SHOWN]}
        if len(self.entries) > ENTRIES_SHOWN:
            facts["…"] = f"and {len(self.entries) - ENTRIES_SHOWN:,} more, which the log of pick_up_files names"
        count = len(self.entries)
        told = "1 entry" if count == 1 else f"{count:,} entries"
        try:
            return mail_subscribers("Landing area", f"{told} can't be imported", table(facts, run_url(context)))
        except Exception as error:
            log.error("The mail about %s of the landing area could not be sent: %s", told, describe(error))
            return False


class ReviewNotifier(BaseNotifier):
    """Tell the subscribers that a file waits for a person's approval (X-06).

    A mail that can't be sent never fails an import: it is logged. The form says the same.

    Args:
        job: the job that waits.
        reasons: why, as rule and sentence.
        until: when the wait ends.
    """

    def __init__(self, job: Job, reasons: Sequence[Mapping[str, str]], until: datetime) -> None:
        super().__init__()
        self.job = job
        self.reasons = reasons
        self.until = until

    def notify(self, context: Context) -> None:
        """Send the mail; called by Airflow where the notifier is a callback."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail if there is someone to tell it to; return whether one was sent."""
        facts = {
            "Import type": self.job.import_type,
            "File": self.job.file_name,
            "Job": self.job.id,
            "Why": " ".join(reason["message"] for reason in self.reasons),
            "Answer by": f"{self.until:%Y-%m-%d %H:%M} UTC; without an answer nothing is loaded",
            "Where": "Required actions, in Airflow's menu",
        }
        what = f"awaits review ({self.job.import_type})"
        try:
            return mail_subscribers(self.job.file_name, what, table(facts, run_url(context)))
        except Exception as error:
            log.error("The mail about the review of job %s could not be sent: %s", self.job.id, describe(error))
            return False


class StockNotifier(BaseNotifier):
    """Tell the subscribers about a pool of promo codes that runs low (TU-02, TU-03, TU-05).

    A mail that can't be sent never fails a top-up: it is logged, and the alert stays unsent for the next run.

    Args:
        alert: what to tell.
    """

    def __init__(self, alert: Alert) -> None:
        super().__init__()
        self.alert = alert

    def notify(self, context: Context) -> None:
        """Send the mail; called by Airflow where the notifier is a callback."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail; return whether the mail server has taken it."""
        try:
            what = f"{ALERT_SUBJECTS[self.alert.kind]} ({self.alert.available:,} left)"
            return mail_subscribers(self.alert.pool_name, what, alert_body(self.alert, run_url(context)))
        except Exception as error:
            log.error("The mail about the pool %s could not be sent: %s", one_line(self.alert.pool), describe(error))
            return False


def mail_subscribers(name: str, what: str, html: str) -> bool:
    """Send one mail to all subscribers; return False when there is no mail server or nobody to tell.

    Args:
        name: of the file or pool that the mail is about, whatever stands in it.
        what: happened to it.

    Raises:
        smtplib.SMTPException, OSError: the mail server doesn't answer, or takes the mail for none of them.
    """
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    from include.project.loader import load_project
    from warehouse_runtime import find_connection

    if find_connection(SMTP_CONNECTION) is None:
        log.info("No mail is sent: the Connection %s is not defined", SMTP_CONNECTION)
        return False
    subscribers = list(load_project().alert_subscribers)
    if not subscribers:
        log.info("No mail is sent: the project settings name no alert_subscribers")
        return False
    with SmtpHook(smtp_conn_id=SMTP_CONNECTION) as hook:
        hook.send_email_smtp(to=subscribers, subject=subject(name, what), html_content=html, from_email=hook.from_email)
    return True


def subject(name: str, what: str) -> str:
    """Return the subject line of every mail: a name that may hold anything, and what happened.

    A line end would be refused in it, or begin another header; `=?` would make mail programs decode the rest of a word.
    """
    shown = one_line(name).replace("=?", "= ?")
    if len(shown) > LONGEST_SHOWN_NAME:
        shown = f"{shown[: LONGEST_SHOWN_NAME - 1]}…"
    return f"{shown}: {what}"


def needs_attention(result: Mapping[str, Any]) -> bool:
    """Tell whether a person should look at this job."""
    if result["state"] == "cancelled":  # somebody who rejects a file knows; a time limit nobody notices
        return bool(result["reason"]) and result["reason"]["rule"] != "review.rejected"
    return result["state"] in ("refused", "failed") or result["rows"]["rejected"] > 0


def unknown_result(context: Context) -> dict[str, Any]:
    """Stand in for the result of a job that could not even be closed."""
    file = str((context.get("params") or {}).get("file", "")).rpartition("/")[2]
    return {"job": None, "type": context["ti"].dag_id.removeprefix("import_"), "file": file, "state": "failed",
            "rows": {"rejected": 0}}  # fmt: skip


def run_url(context: Context) -> str:
    """Return the address of the run's page in Airflow's UI."""
    base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
    return f"{base}/dags/{context['ti'].dag_id}/runs/{quote(context['ti'].run_id)}"


def body(result: Mapping[str, Any], url: str) -> str:
    """Return the mail: what happened, in counts and rules, and where to read on. It quotes no values (X-20)."""
    facts: dict[str, Any] = {
        "Import type": result["type"],
        "File": result["file"],
        "Job": result["job"],
        "State": result["state"],
    }
    if reason := result.get("reason"):
        facts["Reason"] = f"{reason['message']} ({reason['rule']})"
    facts["Rows"] = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in result["rows"].items())
    rejecting = [rule for rule in result.get("rules", ()) if rule["severity"] == "critical"][:RULES_SHOWN]
    if rejecting:
        facts["Most rejects"] = ", ".join(f"{rule['rule']} {rule['rows']:,}" for rule in rejecting)
    facts["Rejected rows"] = result.get("rejected_file")
    facts["Rows of nobody"] = result.get("not_found_file")
    facts["Dropped values"] = result.get("dropped_values_file")
    facts["Summary"] = result.get("summary_file")
    return table(facts, url)


def alert_body(alert: Alert, url: str) -> str:
    """Return the mail of an alert: counts, what to do, where to read on. It holds no code (X-20)."""
    facts = {
        "Pool": f"{alert.pool_name} ({alert.pool})",
        "Available codes": f"{alert.available:,}",
        "Told below": None if alert.level is None else f"{alert.level:,}",
        "Runs out": alert.runs_out_at and f"{alert.runs_out_at:%Y-%m-%d %H:%M} UTC, at the mean of the last days",
        "Noticed": f"{alert.raised_at:%Y-%m-%d %H:%M} UTC",
        "What to do": ALERT_ADVICE[alert.kind],
    }
    return table(facts, url)


def table(facts: Mapping[str, Any], url: str) -> str:
    """Lay facts out as HTML, without those that are blank; beneath them the address of the run.

    Names and reasons may hold anything: half a character would keep the mail from being encoded.
    """
    lines = "".join(
        f"<tr><th align='left'>{escape(one_line(name))}</th><td>{escape(one_line(str(fact)))}</td></tr>"
        for name, fact in facts.items()
        if fact not in (None, "")
    )
    return f"<table>{lines}</table><p><a href='{escape(url)}'>The run in Airflow</a></p>"
