"""Mail to the project's subscribers about files that need a person. Source: X-08, X-20."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier, conf

from withheld_errors import describe

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

SMTP_CONNECTION = "alerts_smtp"
RESULT_KEY = "result"
CLOSING_TASK = "close_job"
RULES_SHOWN = 5


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
            return self._mail(subject(result), body(result, run_url(context)))
        except Exception as error:
            log.error("The mail about %s could not be sent: %s", result["file"], describe(error))
            return False

    def _mail(self, subject: str, html: str) -> bool:
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
            hook.send_email_smtp(to=subscribers, subject=subject, html_content=html, from_email=hook.from_email)
        return True


def needs_attention(result: Mapping[str, Any]) -> bool:
    """Tell whether a person should look at this job."""
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


def subject(result: Mapping[str, Any]) -> str:
    """Return the subject line."""
    return f"{result['file'] or result['type']}: {result['state'].replace('_', ' ')} ({result['type']})"


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
    facts["Summary"] = result.get("summary_file")
    lines = "".join(
        f"<tr><th align='left'>{escape(name)}</th><td>{escape(str(fact))}</td></tr>"
        for name, fact in facts.items()
        if fact not in (None, "")
    )
    return f"<table>{lines}</table><p><a href='{escape(url)}'>The run in Airflow</a></p>"
