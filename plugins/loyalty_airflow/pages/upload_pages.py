"""The upload form: send a file, see its mapping, its first rows and a dry run's counts, launch it.

Source: X-05, X-06, X-10, X-11, X-18, X-19, X-20.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from include import import_types
from include.arrivals import uploads
from include.declaration.import_type import ImportType
from include.declaration.settings import Suggests
from include.errors import ConfigurationError, FileRefused
from include.ledger import jobs
from include.ledger.jobs import dag_of
from include.names import mask_data
from include.settings.form import form_settings
from include.storage.locations import StorageError
from include.warehouse.transactions import values_hidden
from loyalty_airflow.pages import warehouse
from loyalty_airflow.pages.access import User, can_launch, demand
from loyalty_airflow.pages.forms import read_fields, read_file, with_prefix
from loyalty_airflow.pages.job_pages import JobId, find_job, setting_text
from loyalty_airflow.pages.pages import base_of, render
from loyalty_airflow.pages.runs import Run, RunRefused, find_run, start_run

if TYPE_CHECKING:
    from include.arrivals.uploads import Upload
    from include.ledger.jobs import Job, JobResult
    from include.review.upload_preview import UploadPreview
    from include.runtime import Runtime
    from loyalty_airflow.airflow_internals import BaseUser

router = APIRouter()

FILE, SETTING, COLUMN, LEAVE_OUT = "file", "setting.", "column.", "leave_out."
"""Names of the forms' fields."""
ENCODINGS = ("utf-8", "windows-1251", "windows-1252", "latin-1", "utf-16")
_REFUSALS = {
    "file.too_big": status.HTTP_413_CONTENT_TOO_LARGE,
    "file.gone": status.HTTP_410_GONE,
    "upload.quota": status.HTTP_429_TOO_MANY_REQUESTS,
    "upload.no_room": status.HTTP_507_INSUFFICIENT_STORAGE,
}
LONGEST_POOL, LONGEST_NUMBER, LONGEST_SHOWN = 1000, 9, 300
DELIMITERS = ("comma", "semicolon", "tab", "pipe")


def launchable(import_type: str, user: User) -> ImportType:
    """Return the import type of an address, if the user may launch imports of it.

    Raises:
        HTTPException: 404, 403.
    """
    declared = import_types.IMPORT_TYPES.get(import_type)
    if declared is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such import type.")
    demand(user, "launch", dag_of(import_type))
    return declared


Launchable = Annotated[ImportType, Depends(launchable)]


@router.get("/upload", response_class=HTMLResponse)
def choose_type(request: Request, user: User) -> HTMLResponse:
    """Offer the types that the user may launch."""
    return render(
        request, "upload.html", user, title="Upload a file", types=launchable_types(user), declared=None, problem=None
    )


@router.get("/upload/{import_type}", response_class=HTMLResponse)
def show_form(
    request: Request, user: User, declared: Launchable, pool: Annotated[str, Query(max_length=LONGEST_POOL)] = ""
) -> HTMLResponse:
    """Ask for a file of a type, and for the settings that it needs; its pool may be named by the address."""
    _warm_up()
    return _form(request, user, declared, chosen={"pool": pool} if pool else {})


@router.post("/upload/{import_type}")
async def receive(request: Request, user: User, declared: Launchable) -> Response:
    """Take a file, straight into its place, and go on to its page.

    The only route that isn't a plain function: while a large file arrives over a slow line, no thread waits for it.
    """
    runtime = await run_in_threadpool(warehouse.runtime)

    def open_place(name: str) -> uploads.Reception:
        return uploads.Reception(runtime, declared, str(user.get_id()), name)

    try:
        fields, reception = await read_file(request, user, FILE, open_place)
        if reception is None:
            raise FileRefused("file.missing", "Choose a file.")
        try:
            upload = await run_in_threadpool(reception.complete, uploads.Choices(_settings(declared, fields)))
        except BaseException:
            await run_in_threadpool(reception.abandon)
            raise
    except (FileRefused, ConfigurationError, StorageError) as error:
        return await run_in_threadpool(_form, request, user, declared, error)
    return to_upload(request, upload)


@router.get("/upload/{import_type}/{upload_id}", response_class=HTMLResponse)
def show_upload(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Show an upload: mapping, first rows, verdicts, the counts of its dry run."""
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    if upload.is_launched:
        return to_upload(request, upload, "/launched")
    return _page(request, user, runtime, upload, _preview(runtime, upload))


@router.post("/upload/{import_type}/{upload_id}")
async def decide(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Preview again, start a dry run, launch or delete, as the button says that was pressed."""
    fields = await read_fields(request, user)
    return await run_in_threadpool(_decide, request, user, declared, upload_id, fields)


@router.post("/jobs/{job_id}/upload")
def receive_again(request: Request, user: User, job_id: JobId) -> Response:
    """Make an upload of a job's file, and go on to its page: what was refused, rejected or tried is imported again."""
    with warehouse.reading() as connection:
        job = find_job(connection, user, job_id)
    declared = launchable(job.import_type, user)
    try:
        upload = uploads.receive_again(warehouse.runtime(), declared, str(user.get_id()), job)
    except (FileRefused, ConfigurationError, StorageError) as error:
        code, problem = status_and_problem(error)
        raise HTTPException(code, problem) from None
    return to_upload(request, upload)


@router.get("/upload/{import_type}/{upload_id}/dry-run", response_class=HTMLResponse)
def show_dry_run(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Show how far the dry run is: the piece of the upload's page that asks again until it is over."""
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    dry_run = _dry_run(runtime, upload)
    return render(request, "upload_dry_run.html", user, upload=upload, declared=declared, dry_run=dry_run)


@router.get("/upload/{import_type}/{upload_id}/launched", response_class=HTMLResponse)
def show_launched(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Wait for the job of a launched upload, and go on to its page. htmx asks again until there is one.

    The page of the job takes the place of this one: *Back* would else come here, and be sent to the job again.
    """
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    is_piece = request.headers.get("hx-request") == "true"
    job = _find_job(runtime, upload, upload.run_id)
    if job is not None:
        target = f"{base_of(request)}/jobs/{job.id}"
        return Response(headers={"Replace-Page": target}) if is_piece else RedirectResponse(target, 303)
    run = _find_run(upload, upload.run_id)
    return render(
        request, "upload_waiting.html" if is_piece else "upload_launched.html", user, title=upload.file_name,
        upload=upload, declared=declared, run=run,
    )  # fmt: skip


def launchable_types(user: BaseUser) -> list[ImportType]:
    """Return the import types that a user may launch, in the order of their registration."""
    return [declared for name, declared in import_types.IMPORT_TYPES.items() if can_launch(user, dag_of(name))]


def suggestions(runtime: Runtime, declared: ImportType) -> dict[str, list[str]]:
    """Return what a form proposes for settings that are text."""
    proposals = {"encoding": list(ENCODINGS), "delimiter": list(DELIMITERS)}
    for name, source in declared.settings.marked(Suggests).items():
        if source.of_project is not None:
            proposals[name] = list(source.of_project(runtime.project))
        if source.query is not None:
            with values_hidden(), warehouse.reading() as connection:
                proposals[name] = list(connection.execute(sa.text(source.query)).scalars())
    return proposals


@dataclass(frozen=True)
class DryRun:
    """The newest dry run of an upload.

    Args:
        run: its DAG run; None when a user has deleted it.
        job: None until the run has taken the file.
        read: rows judged so far, while it runs.
        is_current: it was asked for with the settings that are chosen now.
    """

    number: int
    run: Run | None
    job: Job | None
    result: JobResult | None
    read: int
    is_current: bool

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come of it."""
        return self.run is None or self.run.is_over

    @property
    def has_file(self) -> bool:
        """Return whether it has the file in hand, so that no other import can take it."""
        return not self.is_over or (self.job is not None and self.job.finished_at is None)


def _decide(request: Request, user: BaseUser, declared: ImportType, upload_id: str, fields: dict[str, str]) -> Response:
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    if upload.is_launched or _find_run(upload, upload.run_id) is not None:
        return to_upload(request, upload, "/launched")
    wanted = fields.get("do", "preview")
    if wanted == "delete":
        if (dry_run := _dry_run(runtime, upload)) is not None and dry_run.has_file:
            return _in_hand(request, user, runtime, upload, _preview(runtime, upload))
        uploads.delete(runtime, upload)
        return RedirectResponse(f"{base_of(request)}/upload/{declared.name}", 303)
    preview = _preview(runtime, upload)
    choices = _choices(declared, upload, preview, fields)
    left_out = with_prefix(fields, LEAVE_OUT)
    taken_over = {name: value for name, value in upload.taken_over.items() if not left_out.get(name)}
    is_changed = (choices, taken_over) != (upload.choices, upload.taken_over)
    if is_changed:
        upload = uploads.save(runtime, upload, choices=choices, taken_over=taken_over)
        preview = _preview(runtime, upload)
    if not preview.can_launch:
        return _page(request, user, runtime, upload, preview, code=status.HTTP_422_UNPROCESSABLE_CONTENT)
    if wanted == "dry_run":
        return _start_dry_run(request, user, runtime, upload, preview, fields.get("number", ""))
    if wanted == "launch":
        return _launch(request, user, runtime, upload, preview, is_changed=is_changed)
    return to_upload(request, upload)


def _start_dry_run(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, asked: str
) -> Response:
    number = upload.dry_runs + 1
    if asked != str(number):  # a second click, or a page that was left open
        return to_upload(request, upload, "#dry-run")
    if (dry_run := _dry_run(runtime, upload)) is not None and dry_run.has_file:
        return _in_hand(request, user, runtime, upload, preview)
    if _find_run(upload, upload.run_id) is not None:  # launched in another tab while this one looked at the file
        return to_upload(request, upload, "/launched")
    uploads.write_sidecar(runtime, upload, preview.settings)
    conf = {"file": str(upload.path(runtime)), "dry_run": True}
    try:
        start_run(request, user, dag_of(upload.import_type), upload.dry_run_id(number), conf)
    except RunRefused as refusal:
        return _page(request, user, runtime, upload, preview, refusal.message, status.HTTP_409_CONFLICT)
    uploads.save(runtime, upload, dry_runs=number)
    return to_upload(request, upload, "#dry-run")


def _launch(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, *, is_changed: bool
) -> Response:
    if is_changed:
        message = "Settings or columns were changed. This is the preview with them: launch again if it is right."
        return _page(request, user, runtime, upload, preview, message, status.HTTP_409_CONFLICT)
    if (dry_run := _dry_run(runtime, upload)) is not None and dry_run.has_file:
        return _in_hand(request, user, runtime, upload, preview)
    uploads.write_sidecar(runtime, upload, preview.settings)
    conf = {"file": str(upload.path(runtime))}
    try:
        start_run(request, user, dag_of(upload.import_type), upload.run_id, conf)
    except RunRefused as refusal:
        return _page(request, user, runtime, upload, preview, refusal.message, status.HTTP_409_CONFLICT)
    uploads.save(runtime, upload, is_launched=True)
    return to_upload(request, upload, "/launched")


def _in_hand(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview
) -> HTMLResponse:
    message = "The dry run has the file in hand: wait until it is over."
    return _page(request, user, runtime, upload, preview, message, status.HTTP_409_CONFLICT)


def _form(
    request: Request,
    user: BaseUser,
    declared: ImportType,
    error: Exception | None = None,
    chosen: Mapping[str, str] | None = None,
) -> HTMLResponse:
    runtime = warehouse.runtime()
    code, problem = status_and_problem(error)
    try:
        limit = uploads.max_bytes(runtime, declared)
    except FileRefused as refusal:  # the folder's settings are wrong
        limit, code, problem = 0, status.HTTP_422_UNPROCESSABLE_CONTENT, refusal.message
    return render(
        request, "upload.html", user, code, title="Upload a file", types=launchable_types(user), declared=declared,
        problem=problem, limit=limit, waiting=uploads.waiting(runtime, declared.name, str(user.get_id())),
        settings=form_settings(declared), chosen=chosen or {}, problems={},
        suggestions=suggestions(runtime, declared), usual=uploads.usual_settings(runtime, declared),
        is_open=bool(chosen),
    )  # fmt: skip


def status_and_problem(error: Exception | None) -> tuple[int, str | None]:
    """Return the status and the sentence of a file that could not be taken."""
    if error is None:
        return status.HTTP_200_OK, None
    if isinstance(error, FileRefused):
        return _REFUSALS.get(error.rule, status.HTTP_422_UNPROCESSABLE_CONTENT), error.message
    if isinstance(error, StorageError):
        return status.HTTP_507_INSUFFICIENT_STORAGE, f"The file could not be stored: {error.strerror}."
    return status.HTTP_500_INTERNAL_SERVER_ERROR, str(error)


def _page(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, message: str = "",
    code: int = status.HTTP_200_OK,
) -> HTMLResponse:  # fmt: skip
    declared = import_types.get(upload.import_type)
    return render(
        request, "upload_review.html", user, code, title=upload.file_name, upload=upload, declared=declared,
        preview=preview, message=message, dry_run=_dry_run(runtime, upload, preview), settings=form_settings(declared),
        chosen=upload.choices.settings, problems=preview.problems, suggestions=suggestions(runtime, declared),
        usual=uploads.usual_settings(runtime, declared, upload), taken_over=_taken_over(upload, preview),
        is_open=bool(upload.choices.settings) or bool(preview.problems) or bool(preview.refusal),
    )  # fmt: skip


def _taken_over(upload: Upload, preview: UploadPreview) -> dict[str, str]:
    """Return the settings of the earlier import that still hold; what looks like data is masked (X-20)."""
    return {
        name: mask_data(setting_text(name, value))[:LONGEST_SHOWN] or "none"
        for name, value in upload.taken_over.items()
        if preview.settings.get(name) == value
    }


def _preview(runtime: Runtime, upload: Upload) -> UploadPreview:
    _warm_up()
    from include.review.upload_preview import preview_upload

    return preview_upload(runtime, upload)


@cache
def _warm_up() -> None:
    """Load what judges rows while the user chooses a file: the first preview would take six seconds longer.

    Great Expectations writes a thousand lines to the log when it is imported.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    threading.Thread(target=importlib.import_module, args=("include.review.upload_preview",), daemon=True).start()


def _find(runtime: Runtime, declared: ImportType, user: BaseUser, upload_id: str) -> Upload:
    upload = uploads.find(runtime, declared.name, str(user.get_id()), upload_id)
    if upload is None or not upload.size_bytes:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "You have no such upload. One that nobody launches is deleted after a day: upload the file again.",
        )
    return upload


def _find_run(upload: Upload, run_id: str) -> Run | None:
    return find_run(dag_of(upload.import_type), run_id)


def _find_job(runtime: Runtime, upload: Upload, run_id: str) -> Job | None:
    with values_hidden(), runtime.engine.connect() as connection:
        return jobs.find(connection, f"{dag_of(upload.import_type)}/{run_id}")


def _dry_run(runtime: Runtime, upload: Upload, preview: UploadPreview | None = None) -> DryRun | None:
    """Return the newest dry run.

    Args:
        preview: with the settings chosen now; None when nothing depends on whether they are the dry run's.
    """
    if not upload.dry_runs:
        return None
    run_id = upload.dry_run_id(upload.dry_runs)
    job, result, read = _find_job(runtime, upload, run_id), None, 0
    if job is not None:
        with values_hidden(), runtime.engine.connect() as connection:
            if job.finished_at is not None:
                result = jobs.result(connection, job.id)
            else:
                read = sum(chunk.rows_read or 0 for chunk in jobs.chunks(connection, job.id))
    sidecar = None if job is None else job.parameters.sidecar
    is_current = preview is None or sidecar is None or sidecar == uploads.sidecar_text(preview.settings)
    run = _find_run(upload, run_id)
    return DryRun(upload.dry_runs, run, job, result, read, is_current)


def _settings(declared: ImportType, fields: dict[str, str]) -> dict[str, str]:
    """Return the settings that were filled in."""
    offered = form_settings(declared)
    return {name: text for name, text in with_prefix(fields, SETTING).items() if name in offered and text.strip()}


def _choices(declared: ImportType, upload: Upload, preview: UploadPreview, fields: dict[str, str]) -> uploads.Choices:
    """Return what the form says; columns that are left as they were shown are not chosen."""
    shown = {choice.field.name: choice.column for choice in preview.fields}
    posted = {
        name: int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else None
        for name, text in with_prefix(fields, COLUMN).items()
        if name in shown
    }
    columns = upload.choices.columns if shown == {**shown, **posted} else {**shown, **posted}
    return replace(upload.choices, settings=_settings(declared, fields), columns=columns)


def to_upload(request: Request, upload: Upload, further: str = "") -> RedirectResponse:
    """Lead to an upload's page, or to a place of it."""
    return RedirectResponse(f"{base_of(request)}/upload/{upload.import_type}/{upload.id}{further}", 303)
