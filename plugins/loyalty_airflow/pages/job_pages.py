"""The page of one job: how it went, what was rejected and why, and its files. Source: X-08, X-09, X-10, X-20.

Rules are shown by sentences without values but such as all users may read: pool names, statuses, dates, amounts. Files
of rows hold everything, and a summary the headers in full; they are for those who may launch the DAG of the type, all
else for those who may read it (X-21).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response, status
from fastapi.responses import HTMLResponse

from include import import_types
from include.ledger import history, jobs
from include.ledger.jobs import UNKNOWN_TYPE, Job, dag_of
from include.ledger.outcomes import summarise
from loyalty_airflow.pages import downloads, warehouse
from loyalty_airflow.pages.access import User, can_answer, can_launch, can_see_rows, can_see_unknown, demand
from loyalty_airflow.pages.jobs_pages import LARGEST_ID, NO_TYPE
from loyalty_airflow.pages.pages import HEADERS, base_of, render
from loyalty_airflow.pages.runs import run_path
from loyalty_airflow.runtime import rule_link
from loyalty_airflow.tasks.review import asking_tasks

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from include.ledger.history import JobDetails, Rejected
    from include.rules.sentences import RuleInWords
    from include.runtime import Runtime
    from include.storage.locations import Location
    from loyalty_airflow.airflow_internals import BaseUser

router = APIRouter()

MOST_RULES = 100
MOST_COLUMNS = 200
MOST_WARNINGS = 100
REJECTS_SHOWN = 10
BAR_WIDTH = 240
RENDER_SECONDS = 60
RENDER_WAIT_SECONDS = 2
"""Each request that waits holds one of the server's threads, which Airflow's own pages need as well."""
KEPT_DOCS = 16
DOCS_HEADERS = HEADERS | {
    # GX's page has its styles within; it may load and run nothing at all.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
}
FILES = {
    "rejected": ("Rejected rows", "rejected_file_url", downloads.ROWS),
    "not-found": ("Rows without a match", "not_found_file_url", downloads.ROWS),
    "dropped-values": ("Values left out", "dropped_values_file_url", downloads.ROWS),
    "original": ("Original file", None, downloads.ROWS),
    "summary": ("Summary", "summary_file_url", "application/json"),
    "evidence": ("Validation results (JSON)", "evidence_file_url", "application/json"),
}
"""By the last part of the address: what people call it unless the import type does, the ledger's column, its type."""
GIVERS = {"defaults": "default", "sidecar": "the form of the upload, or the file's settings file",
          "folder": "the folder's settings file", "parameters": "the form of the run"}  # fmt: skip
ROW_FILES = {kind for kind, (_, _, media_type) in FILES.items() if media_type == downloads.ROWS}
"""Hold rows as they were sent: deleted after `retention_days`."""
FOR_LAUNCHERS = ROW_FILES | {"summary"}
"""Are not for all users who may look: the summary has headers in full, which may be the first row of a file without."""

JobId = Annotated[int, Path(ge=0, le=LARGEST_ID)]
_rendering = threading.Semaphore(1)
"""Each rendering takes a core for seconds."""


@router.get("/jobs/{job_id}", response_class=HTMLResponse)
def show_job(request: Request, user: User, job_id: JobId) -> HTMLResponse:
    """Show everything about a job; while it runs, the page asks for itself again every few seconds."""
    from include.arrivals.refusals import is_left_in_place

    runtime = warehouse.runtime()
    with warehouse.reading() as connection:
        details = _details(connection, user, job_id)
        rejects = history.page_of_rejects(connection, job_id, size=REJECTS_SHOWN)
        reviews = jobs.reviews(connection, job_id)
        rules = _rules(runtime, connection, details.job)
    job, sentences = details.job, _sentences(runtime, details.job, rules)
    is_unknown = job.import_type == UNKNOWN_TYPE
    columns, unshown_columns = _columns(runtime, job)
    is_launchable = can_launch(user, dag_of(job.import_type))
    return render(
        request,
        "job.html",
        user,
        title=f"Import {job.id}",
        details=details,
        job=job,
        label=NO_TYPE if is_unknown else import_types.get(job.import_type).label,
        is_unknown=is_unknown,
        is_left_in_place=is_left_in_place(job),
        summary=summarise(job.state, job.counts, is_dry_run=job.is_dry_run).capitalize(),
        are_rejects_approved=jobs.are_rejects_approved(reviews, job.rows_rejected),
        run_url=_run_url(job),
        looks_again_after=history.seconds_to_next_look(job),
        can_launch=is_launchable,
        can_answer=can_answer(user, dag_of(job.import_type)),
        can_import_again=is_launchable and not is_unknown and _can_import_again(job),
        questions=asking_tasks(),
        duration=(job.finished_at - job.launched_at) if job.finished_at else None,
        rejected_by=_bars([rule for rule in rules if rule.severity == "critical"], details.rejects),
        rejects=[_explained(row, sentences) for row in rejects.rows],
        has_more_rejects=rejects.after is not None,
        reviews=reviews,
        warnings=job.warnings[:MOST_WARNINGS],
        unshown_warnings=max(0, len(job.warnings) - MOST_WARNINGS),
        columns=columns,
        unshown_columns=unshown_columns,
        settings=_settings(job),
        files=_offered(job),
        withheld=set() if can_see_rows(user, dag_of(job.import_type)) else FOR_LAUNCHERS,
        dag=dag_of(job.import_type),
        bar_width=BAR_WIDTH,
        explained=partial(rule_link, job.import_type),
    )


@router.get("/jobs/{job_id}/rejects", response_class=HTMLResponse)
def list_rejects(
    request: Request,
    user: User,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=LARGEST_ID)] = 0,
    rule: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """Show rejected rows by line; those of one rule as far as the ledger knows its first lines."""
    runtime = warehouse.runtime()
    with warehouse.reading() as connection:
        details = _details(connection, user, job_id)
        lines: list[int] | None = (
            next((broken_rule.first_lines for broken_rule in details.rules if broken_rule.rule == rule), [])
            if rule
            else None
        )
        page = history.page_of_rejects(connection, job_id, after=after, lines=lines)
        rules = _rules(runtime, connection, details.job)
    sentences = _sentences(runtime, details.job, rules)
    return render(
        request,
        "rejects.html",
        user,
        title=f"Rejected rows of import {job_id}",
        details=details,
        job=details.job,
        rule=rule,
        rule_rows=next((broken_rule.rows for broken_rule in details.rules if broken_rule.rule == rule), 0),
        first_lines=len(lines or []),
        rejects=[_explained(row, sentences) for row in page.rows],
        after=after,
        next_after=page.after,
        can_see_rows=can_see_rows(user, dag_of(details.job.import_type)),
        dag=dag_of(details.job.import_type),
        explained=partial(rule_link, details.job.import_type),
    )


@router.get("/jobs/{job_id}/files/{kind}")
def download(user: User, job_id: JobId, kind: str) -> Response:
    """Send a file of a job: a report, or the sender's own bytes wherever they are stored now."""
    if kind not in FILES:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "Imports have no file of this name.")
    runtime = warehouse.runtime()
    with warehouse.reading() as connection:
        job = find_job(connection, user, job_id)
    if kind in FOR_LAUNCHERS:
        demand(user, "rows", dag_of(job.import_type))
    _, _, media_type = FILES[kind]
    path = _find(runtime, job, kind)
    name = job.file_name if kind == "original" else _report_name(job, kind, path.name)
    try:
        return downloads.send(path, name, media_type)
    except FileNotFoundError:
        raise _gone() from None


@router.get("/jobs/{job_id}/validation", response_class=HTMLResponse)
def show_validation(request: Request, user: User, job_id: JobId) -> HTMLResponse:
    """Show GX's own page of the validation, made from the evidence by GX's own renderer."""
    runtime = warehouse.runtime()
    with warehouse.reading() as connection:
        job = find_job(connection, user, job_id)
    try:
        with _find(runtime, job, "evidence").open_whole() as stream:
            evidence = stream.read()
    except FileNotFoundError:
        raise _gone() from None
    page = _data_docs(evidence, job.launched_at.isoformat())
    way_back = f'<p><a href="{base_of(request)}/jobs/{job.id}">Import {job.id}</a></p>'
    return HTMLResponse(page.replace("<body>", f"<body>{way_back}", 1), headers=DOCS_HEADERS)


def find_job(connection: Connection, user: BaseUser, job_id: int) -> Job:
    """Return a job that the user may look at.

    Raises:
        HTTPException: 404, 403.
    """
    try:
        job = jobs.get(connection, job_id)
    except LookupError:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no import {job_id}.") from None
    if job.import_type == UNKNOWN_TYPE and can_see_unknown(user):
        return job
    if job.import_type not in (*import_types.IMPORT_TYPES, UNKNOWN_TYPE):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"Import {job_id} is of a type that this project has no more.")
    demand(user, "read", dag_of(job.import_type))
    return job


def _details(connection: Connection, user: BaseUser, job_id: int) -> JobDetails:
    find_job(connection, user, job_id)
    return history.details(connection, job_id)


def _find(runtime: Runtime, job: Job, kind: str) -> Location:
    """Return where a file of a job is stored.

    Raises:
        HTTPException: 404 when the job has none, 410 when it is no longer kept.
    """
    from include.arrivals import files

    _, column, _ = FILES[kind]
    is_expired = job.finished_at is not None and job.archive_url is None and job.work_url is None
    if column is None:
        source = files.find_source(runtime, job)
        if source is None:
            raise _gone() if job.finished_at else _none_yet()
        return source
    url = getattr(job, column)
    if url is None:
        had_one = {"rejected": bool(job.rows_rejected), "not-found": bool(job.rows_not_found)}.get(kind, True)
        raise _gone() if is_expired and had_one and kind in ROW_FILES else _none_yet()
    return files.locate(runtime, url)


def _gone() -> HTTPException:
    return HTTPException(status.HTTP_410_GONE, "This file is no longer kept: files of rows go after retention_days.")


def _none_yet() -> HTTPException:
    return HTTPException(status.HTTP_404_NOT_FOUND, "The import has no such file.")


def _report_name(job: Job, kind: str, stored: str) -> str:
    """Return the name that a report is saved under; those that are called the same for every job get its number."""
    return f"import-{job.id}.{stored}" if kind in ("summary", "evidence") else stored


def _offered(job: Job) -> list[tuple[str, str, str]]:
    """Return the files that a job has: part of the address, label, name."""
    offered = []
    for kind, (label, column, _) in FILES.items():
        url = (job.archive_url or job.work_url) if column is None else getattr(job, column)
        if url is not None:
            if kind == "not-found":
                label = import_types.get(job.import_type).extras.not_found.label
            offered.append((kind, label, job.file_name if column is None else PurePosixPath(url).name))
    return offered


def _rules(runtime: Runtime, connection: Connection, job: Job) -> list[RuleInWords]:
    from include.rules.sentences import with_sentences

    return with_sentences(runtime, connection, job.id, job.import_type)


def _sentences(runtime: Runtime, job: Job, rules: list[RuleInWords]) -> dict[str, str]:
    """Return what each rule says of any of its rows: with the value only where all of them have the same."""
    from include.rules.sentences import masked_sentences

    if job.import_type == UNKNOWN_TYPE:
        return {}
    general = masked_sentences(runtime, runtime.import_types.of(job.import_type))
    return {**general, **{rule.rule: rule.sentence for rule in rules}}


def _can_import_again(job: Job) -> bool:
    """Return whether a job has ended without loading its file, which is still kept."""
    return job.finished_at is not None and not job.is_loaded and job.archive_url is not None


def _explained(row: Rejected, sentences: dict[str, str]) -> dict[str, Any]:
    """Return a rejected row with what its rules say, without its values."""
    return {
        "line": row.line,
        "rules": [(rule, sentences.get(rule, "")) for rule in row.rules],
        "fixed_by": row.fixed_by_job_id,
    }


def _bars(rules: list[RuleInWords], rejects: int) -> list[dict[str, Any]]:
    """Return the most frequent rules, each with the length of its bar: its share of all rejected rows."""
    return [
        asdict(rule) | {"width": min(BAR_WIDTH, max(1, round(BAR_WIDTH * rule.rows / max(1, rejects))))}
        for rule in rules[:MOST_RULES]
    ]


def _columns(runtime: Runtime, job: Job) -> tuple[list[dict[str, Any]], int]:
    """Return what became of the file's first columns, and how many more there are."""
    from include.columns.mapping import ColumnMapping

    if job.mapping is None or job.import_type == UNKNOWN_TYPE:
        return [], 0
    fields = {field.name: field.label for field in import_types.get(job.import_type).all_fields(runtime.project)}
    mapping = ColumnMapping.from_json(job.mapping)
    columns = mapping.columns
    shown = [
        {
            "number": column.index + 1,
            "header": mapping.shown(column),
            "field": column.field,
            "label": fields.get(column.field or "", ""),
            "how": str(column.how),
            "suggestion": column.suggestion,
            "needs": column.needs,
        }
        for column in columns[:MOST_COLUMNS]
    ]
    return shown, len(columns) - len(shown)


def _settings(job: Job) -> list[tuple[str, str, str]]:
    """Return name, value and giver of each setting, those that were chosen first."""
    given_by, derived = job.common_settings.given_by, job.common_settings.derived
    rows = []
    for name, value in job.settings.items():
        if name in ("given_by", "derived", "action"):
            continue
        text = setting_text(name, value)
        follows = f" ({derived[name]})" if name in derived and str(derived[name]) != text else ""
        giver = given_by.get(name, "defaults")
        rows.append((name, f"{text}{follows}"[:300], GIVERS.get(giver, giver)))
    return sorted(rows, key=lambda row: (row[2] == GIVERS["defaults"], row[0]))


def setting_text(name: str, value: Any) -> str:
    """Return the value of a setting as pages show it.

    The setting `mapping` is shown by the table of columns alone: its headers may be data (X-20).
    """
    if name == "mapping":
        return f"{len(value)} columns named, as the table of columns shows" if value else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _run_url(job: Job) -> str | None:
    """Return the address of the job's DAG run, from Airflow's root; None for an import by the command line."""
    if not job.dag_id or not job.dag_run_id:
        return None
    return run_path(job.dag_id, job.dag_run_id)


@lru_cache(maxsize=KEPT_DOCS)
def _data_docs(evidence: bytes, launched_at: str) -> str:
    """Let GX render in a process of its own: its import would hold this one for seconds, and 150 MiB for good.

    Raises:
        HTTPException: 503.
    """
    from include.runtime import ROOT

    command = [sys.executable, "-m", "include.rules.data_docs", launched_at]
    if not _rendering.acquire(timeout=RENDER_WAIT_SECONDS):
        raise HTTPException(503, "Another validation is being made into a page: try again in a moment.")
    try:
        done = subprocess.run(
            command, input=evidence, stdout=subprocess.PIPE, check=True, timeout=RENDER_SECONDS, cwd=ROOT
        )
    except subprocess.SubprocessError:  # what it printed is in the server's log
        raise _not_rendered() from None
    finally:
        _rendering.release()
    return done.stdout.decode()


def _not_rendered() -> HTTPException:
    return HTTPException(503, "Great Expectations did not finish the page. The evidence itself can be downloaded.")
