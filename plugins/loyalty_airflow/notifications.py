"""Mail to the project's subscribers about files that need a person, and pools that run low.

Source: X-08, X-20, TU-02, TU-03, TU-05.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.sdk import BaseNotifier

from include import import_types
from include.ledger.jobs import IMPORT_DAGS, UNKNOWN_TYPE, JobCounts
from include.ledger.outcomes import ALARMING, Outcome, outcome_of, summarise
from include.names import one_line
from loyalty_airflow.mails import Mail, mail_subscribers, page_url, run_url
from loyalty_airflow.runtime import rule_link
from loyalty_airflow.withheld_errors import describe

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.arrivals.listing import Unusable
    from include.errors import Reason
    from include.ledger.jobs import Job
    from include.promo_codes.alerts import Alert

log = logging.getLogger(__name__)

RESULT_KEY = "result"
CLOSING_TASK = "close_job"
RULES_SHOWN = 5
ENTRIES_SHOWN = 20
_WORDS = {"refused": "refused", "cancelled": "not loaded"}
"""Of the states that have a reason."""
_END = re.compile(r"(?<=[?!]) |\. (?![a-z])|; nothing was loaded|\.$")
"""Of a reason's first sentence; that nothing was loaded is said anyway."""
UNKNOWN_ADVICE = "Nothing was loaded. The file is kept with the import: drop it into the folder of its type."
RETRY_ADVICE = {
    Outcome.SOME_REJECTED: "Correct the rejected rows, or import what they refer to, then import these rows again.",
    Outcome.MOSTLY_REJECTED: "Check that each column was read as the right field, and that what the rows refer to has "
    "been imported. Then import the rejected rows again.",
    Outcome.NOTHING_LOADED: "Check that each column was read as the right field, and that what the rows refer to has "
    "been imported. Then import the file again.",
    "refused": "Nothing was loaded. The file is kept with the import: correct it, or its settings, and import it "
    "again.",
    "failed": "See that warehouse and storage answer, then clear the first red task of the run with everything "
    "downstream.",
    "cancelled": "Nothing was loaded. The file is kept with the import: import it again to be asked again.",
}


class ImportNotifier(BaseNotifier):
    """Send the subscribers a mail that a file was refused, that its import failed, or that rows were rejected.

    As a callback of the task that closes a job it reads the job's result from that task's XCom. A mail that can't be
    sent never fails an import: it is logged.

    Args:
        result: the result to report, where there is no such task.
    """

    def __init__(self, result: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.result = result

    def notify(self, context: Context) -> None:
        """Send the mail of the job that the context's run has closed; called by Airflow."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail if there is something to report and a subscriber; return whether one was sent."""
        result = (
            self.result or context["ti"].xcom_pull(task_ids=CLOSING_TASK, key=RESULT_KEY) or unknown_result(context)
        )
        if not needs_attention(result):
            return False
        try:
            return mail_subscribers(mail_of_import(result, run_of(context)))
        except Exception as error:
            log.error("The mail about %s could not be sent: %s", one_line(result["file"]), describe(error))
            return False


class UnusableNotifier(BaseNotifier):
    """Send the subscribers one mail about the entries of the landing area that can't be imported (X-12).

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
        try:
            return mail_subscribers(mail_of_entries(self.entries, run_of(context)))
        except Exception as error:
            log.error("A mail about the landing area could not be sent: %s", describe(error))
            return False


class ReviewNotifier(BaseNotifier):
    """Send the subscribers a mail that a file waits for a person's approval (X-06).

    A mail that can't be sent never fails an import: it is logged. The form says the same.

    Args:
        job: the job that waits.
        reasons: why.
        until: when the wait ends.
    """

    def __init__(self, job: Job, reasons: Sequence[Reason], until: datetime) -> None:
        super().__init__()
        self.job = job
        self.reasons = reasons
        self.until = until

    def notify(self, context: Context) -> None:
        """Send the mail; called by Airflow where the notifier is a callback."""
        self.send(context)

    def send(self, context: Context) -> bool:
        """Send the mail if there is a subscriber; return whether one was sent."""
        try:
            return mail_subscribers(mail_of_review(self.job, self.reasons, self.until, run_of(context)))
        except Exception as error:
            log.error("The mail about the review of job %s could not be sent: %s", self.job.id, describe(error))
            return False


class StockNotifier(BaseNotifier):
    """Send the subscribers a mail about a pool of promo codes that runs low (TU-02, TU-03, TU-05).

    A mail that can't be sent never fails a top-up: it is logged, and the alert stays unsent for the next run.

    Args:
        alert: what to report.
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
            return mail_subscribers(mail_of_alert(self.alert, run_of(context)))
        except Exception as error:
            log.error("The mail about the pool %s could not be sent: %s", one_line(self.alert.pool), describe(error))
            return False


def needs_attention(result: Mapping[str, Any]) -> bool:
    """Return whether a person should look at this job. Nobody is alarmed by a rehearsal (X-19)."""
    if result.get("is_dry_run"):
        return False
    if result["state"] == "cancelled":  # the user who rejects a file knows; a time limit nobody notices
        return bool(result["reason"]) and result["reason"]["rule"] != "review.rejected"
    rows = counts_of(result)
    if result["state"] in ("refused", "failed") or rows.rejected > 0:
        return True
    return outcome_of(result["state"], rows) == Outcome.NOBODY_FOUND


def unknown_result(context: Context) -> dict[str, Any]:
    """Return what replaces the result of a job that could not even be closed."""
    params = context.get("params") or {}
    file = str(params.get("file", "")).rpartition("/")[2]
    return {"job": None, "type": context["ti"].dag_id.removeprefix(IMPORT_DAGS), "file": file, "state": "failed",
            "rows": {"rejected": 0}, "is_dry_run": bool(params.get("dry_run"))}  # fmt: skip


def counts_of(result: Mapping[str, Any]) -> JobCounts:
    """Return the rows of a result; 0 where nothing was counted."""
    return JobCounts(**result["rows"])


def run_of(context: Context) -> str:
    """Return the address of the run's page in Airflow's UI."""
    return run_url(context["ti"].dag_id, context["ti"].run_id)


def mail_of_import(result: Mapping[str, Any], run: str) -> Mail:
    """Return the mail about a job: what happened, in counts and sentences, and where to go on (X-08).

    It quotes no values but those that pages show (X-20), and names no place of the server.
    """
    rows, reason = counts_of(result), result.get("reason")
    outcome = outcome_of(result["state"], rows)
    name, job = result["file"] or result["type"], result.get("job")
    is_dry_run = bool(result.get("is_dry_run"))
    is_expected = outcome in ALARMING and result.get("has_approved_rejects")  # by the person who has approved the load
    if outcome == Outcome.NOBODY_FOUND:
        advice = import_types.get(result["type"]).extras.not_found.advice
    else:
        advice = RETRY_ADVICE.get(Outcome.SOME_REJECTED if is_expected else outcome, "")
    what = summarise(result["state"], rows, is_dry_run=is_dry_run)
    if result["state"] == "failed":
        what = "import failed"
    elif reason and result["state"] in _WORDS:
        what = f"{_WORDS[result['state']]}: {first_sentence(reason['message'], name)}"
    if is_dry_run:
        what = f"dry run: {what}"
    is_unknown = result["type"] == UNKNOWN_TYPE
    counts = [f"{count:,} {word.replace('_', ' ')}" for word, count in vars(rows).items() if count]
    links = {f"Import {job}": page_url(f"/jobs/{job}")} if job else {}
    if rows.rejected and job:
        links["Rejected rows"] = page_url(f"/jobs/{job}/rejects")
    rejecting = [rule for rule in result.get("rules", ()) if rule["severity"] == "critical"]
    named = [*([reason["rule"]] if reason else []), *(rule["rule"] for rule in rejecting[:RULES_SHOWN])]
    explained = {f"About {rule}": rule_link(result["type"], rule) for rule in named}
    points = {"Why rows were rejected": [point for rule in rejecting[:RULES_SHOWN] for point in points_of(rule)]}
    if len(rejecting) > RULES_SHOWN:
        points["Why rows were rejected"].append("and other reasons, which the import's page lists")
    return Mail(
        name=name,
        what=what,
        lead=f"{name}: {what}{'' if what.endswith(('.', '?', '!')) else '.'}",
        facts={
            "Import type": "none" if is_unknown else result["type"].replace("_", " "),
            "Reason": f"{reason['message']} ({reason['rule']})" if reason else None,
            "Rows": ", ".join(counts),
        },
        points={heading: lines for heading, lines in points.items() if lines},
        advice=UNKNOWN_ADVICE if is_unknown else advice,
        links=links | {"Run in Airflow": run} | {label: url for label, url in explained.items() if url},
    )


def points_of(rule: Mapping[str, Any]) -> list[str]:
    """Say how many rows a rule has rejected, and why; with the values that are common, a line each."""
    examples = rule.get("examples") or [(rule.get("sentence") or rule["rule"], rule["rows"])]
    lines = [f"{_rows(count)}: {sentence}" for sentence, count in examples]
    rest = rule["rows"] - sum(count for _, count in examples)
    return lines if rest <= 0 else [*lines, f"{rest:,} more: {rule.get('sentence') or rule['rule']}"]


def first_sentence(message: str, name: str) -> str:
    """Return the first sentence of a reason, without its full stop.

    Args:
        name: of the file, which may have full stops of its own.
    """
    hidden = message.replace(name, "-" * len(name)) if name else message
    end = _END.search(hidden)
    return message[: end.start()] if end else message


def mail_of_entries(entries: Sequence[Unusable], run: str) -> Mail:
    """Return the mail about entries of the landing area that can't be imported."""
    count = len(entries)
    what = f"{'1 entry' if count == 1 else f'{count:,} entries'} can't be imported"
    points = [f"{entry.file_name}: it {entry.reason}" for entry in entries[:ENTRIES_SHOWN]]
    if count > ENTRIES_SHOWN:
        points.append(f"and {count - ENTRIES_SHOWN:,} more, which the page of imports lists")
    return Mail(
        name="Landing area",
        what=what,
        lead=f"In the landing area {what}.",
        points={"They stay where they are": points},
        advice="Rename or remove them, or ask their sender to.",
        links={"Imports": page_url("/"), "Run in Airflow": run},
    )


def mail_of_review(job: Job, reasons: Sequence[Reason], until: datetime, run: str) -> Mail:
    """Return the mail about a file that waits for a person (X-06)."""
    what = f"waits for an answer until {until:%Y-%m-%d %H:%M} UTC"
    return Mail(
        name=job.file_name,
        what=what,
        lead=f"{job.file_name}: {what}. Without an answer nothing is loaded.",
        facts={"Import type": job.import_type.replace("_", " ")},
        points={"Why you are asked": [reason.message for reason in reasons]},
        advice="Open the import and choose Review: load the file, choose other columns, or reject it.",
        links={f"Import {job.id}": page_url(f"/jobs/{job.id}"), "Run in Airflow": run},
    )


def mail_of_alert(alert: Alert, run: str) -> Mail:
    """Return the mail of an alert: counts, what to do, where to read on. It holds no code (X-20)."""
    left = f"{alert.available:,} left" if alert.available else "none left"
    what = {
        "low_stock": "few promo codes left" if alert.available else "out of promo codes",
        "runs_out_soon": "promo codes run out soon",
        "format_exhausted": "its format can't give enough promo codes",
    }[alert.kind]
    what = what if what == "out of promo codes" else f"{what} ({left})"
    runs_out = alert.runs_out_at and f"{alert.runs_out_at:%Y-%m-%d %H:%M} UTC, if codes go out as in the last days"
    return Mail(
        name=alert.pool_name,
        what=what,
        lead=f"{alert.pool_name}: {what}.",
        facts={
            "Pool": alert.pool,
            "Available codes": f"{alert.available:,}",
            "Alert threshold": None if alert.level is None else f"{alert.level:,}",
            "Runs out": runs_out,
            "Noticed": f"{alert.raised_at:%Y-%m-%d %H:%M} UTC",
        },
        advice=f"{advice_of(alert)} The next mail comes only after the pool has recovered.",
        links={
            "Pool": page_url(f"/pools/promo-codes?{urlencode({'id': alert.pool}, errors='replace')}"),
            "Run in Airflow": run,
        },
    )


def advice_of(alert: Alert) -> str:
    """Say what helps, which depends on how the pool is filled and what its format can give (TU-02)."""
    if alert.fill_method == "upload":
        return "Upload codes into the pool."
    if alert.kind == "format_exhausted" or alert.format_available == 0:
        return (
            f"The format {alert.format} has {alert.format_available or 0:,} codes left. Choose another format on the "
            "pool's page and generate codes with it. If there is none, add one with longer codes or a larger alphabet "
            "to the project settings."
        )
    if alert.fill_method == "generate":
        return "Generate codes on the pool's page."
    return "Upload codes into the pool, or generate them on its page."


def _rows(count: int) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'}"
