"""The upload form: send a file, see its mapping, its first rows and a dry run's counts, launch it.

Source: X-05, X-06, X-10, X-11, X-18, X-19, X-20.
"""

from __future__ import annotations

import importlib
import logging
import threading
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from imports_ui import warehouse
from imports_ui.access import User, can_launch, dag_of, demand
from imports_ui.forms import read_fields, read_file, with_prefix
from imports_ui.pages import render
from imports_ui.runs import RunRefused, find_state, is_paused, start_run
from include import import_types
from include.importing import jobs, uploads
from include.importing.errors import ConfigurationError, FileRefused
from include.importing.files import StorageError
from include.importing.import_type import ImportType
from include.importing.settings_form import form_settings
from include.importing.stages import values_hidden
from include.promo_codes.upload_pools import list_upload_pools

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from include.importing.jobs import Job, JobResult
    from include.importing.runtime import Runtime
    from include.importing.upload_preview import UploadPreview
    from include.importing.uploads import Upload

router = APIRouter()

FILE, SETTING, COLUMN = "file", "setting.", "column."
"""Names of the forms' fields."""
ENCODINGS = ("utf-8", "windows-1251", "windows-1252", "latin-1", "utf-16")
ENDED = ("success", "failed")
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
def show_form(request: Request, user: User, declared: Launchable) -> HTMLResponse:
    """Ask for a file of a type, and for the settings that it needs."""
    _warm_up()
    return _form(request, user, declared)


@router.post("/upload/{import_type}")
async def receive(request: Request, user: User, declared: Launchable) -> Response:
    """Take a file, straight into its place, and go on to its page.

    The only route that isn't a plain function: while a large file arrives over a slow line, no thread waits for it.
    """
    runtime = await run_in_threadpool(warehouse.runtime)

    def open_place(name: str) -> uploads.Reception:
        return uploads.Reception(runtime, declared, str(user.get_id()), name)

    try:
        fields, reception = await read_file(request, FILE, open_place)
        if reception is None:
            raise FileRefused("file.missing", "Choose a file.")
        try:
            upload = await run_in_threadpool(reception.complete, _settings(declared, fields))
        except BaseException:
            await run_in_threadpool(reception.abandon)
            raise
    except (FileRefused, ConfigurationError, StorageError) as error:
        return await run_in_threadpool(_form, request, user, declared, error)
    return _redirect(request, upload)


@router.get("/upload/{import_type}/{upload_id}", response_class=HTMLResponse)
def show_upload(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Show an upload: mapping, first rows, verdicts, the counts of its dry run."""
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    if upload.is_launched:
        return _redirect(request, upload, "/launched")
    return _page(request, user, runtime, upload, _preview(runtime, upload))


@router.post("/upload/{import_type}/{upload_id}")
async def decide(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Preview again, start a dry run, launch or delete, as the button says that was pressed."""
    fields = await read_fields(request)
    return await run_in_threadpool(_decide, request, user, declared, upload_id, fields)


@router.get("/upload/{import_type}/{upload_id}/dry-run", response_class=HTMLResponse)
def show_dry_run(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Show how far the dry run is: the piece of the upload's page that asks again until it is over."""
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    dry_run = _dry_run(runtime, upload)
    return render(request, "upload_dry_run.html", user, upload=upload, declared=declared, dry_run=dry_run)


@router.get("/upload/{import_type}/{upload_id}/launched", response_class=HTMLResponse)
def show_launched(request: Request, user: User, declared: Launchable, upload_id: str) -> Response:
    """Wait for the job of a launched upload, and go on to its page. htmx asks again until there is one."""
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    is_piece = request.headers.get("hx-request") == "true"
    job = _find_job(runtime, upload, upload.run_id)
    if job is not None:
        target = f"{_base(request)}/jobs/{job.id}"
        return Response(headers={"HX-Redirect": target}) if is_piece else RedirectResponse(target, 303)
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
    project = runtime.project
    found = {
        "encoding": list(ENCODINGS),
        "delimiter": list(DELIMITERS),
        "data_source": [source.name for source in project.data_sources],
        "point_of_contact": [contact.external_id for contact in project.points_of_contact],
        "segment": list(project.segments),
    }
    if declared.folder_setting == "pool":
        with values_hidden(), warehouse.reading() as connection:
            found["pool"] = list_upload_pools(connection)
    return found


@dataclass(frozen=True)
class Run:
    """A DAG run of an upload.

    Args:
        is_paused: its DAG is, so that the run begins when somebody unpauses it.
    """

    dag_id: str
    run_id: str
    state: str
    is_paused: bool

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self.state in ENDED

    @property
    def path(self) -> str:
        """Airflow's page of it, below the root of Airflow."""
        return f"/dags/{quote(self.dag_id)}/runs/{quote(self.run_id)}"


@dataclass(frozen=True)
class DryRun:
    """The newest dry run of an upload.

    Args:
        run: its DAG run; None when somebody has deleted it.
        job: None until the run has taken the file.
        read: rows judged so far, while it runs.
        is_current: it was asked for with the settings that are chosen now.
    """

    number: int
    run: Run | None
    job: Job | None
    result: JobResult | None
    read: int
    chunks: int
    is_current: bool

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.run is None or self.run.is_over

    @property
    def has_file(self) -> bool:
        """Tell whether it has the file in hand, so that no other import can take it."""
        return not self.is_over or (self.job is not None and self.job.finished_at is None)


def _decide(request: Request, user: BaseUser, declared: ImportType, upload_id: str, fields: dict[str, str]) -> Response:
    runtime = warehouse.runtime()
    upload = _find(runtime, declared, user, upload_id)
    if upload.is_launched or _find_run(upload, upload.run_id) is not None:
        return _redirect(request, upload, "/launched")
    wanted = fields.get("do", "preview")
    if wanted == "delete":
        uploads.delete(runtime, upload)
        return RedirectResponse(f"{_base(request)}/upload/{declared.name}", 303)
    preview = _preview(runtime, upload)
    choices = _choices(declared, upload, preview, fields)
    is_changed = choices != upload.choices
    if is_changed:
        upload = uploads.save(runtime, upload, choices=choices)
        preview = _preview(runtime, upload)
    if not preview.can_launch:
        return _page(request, user, runtime, upload, preview, code=status.HTTP_422_UNPROCESSABLE_CONTENT)
    if wanted == "dry_run":
        return _start_dry_run(request, user, runtime, upload, preview, fields.get("number", ""))
    if wanted == "launch":
        return _launch(request, user, runtime, upload, preview, is_changed=is_changed)
    return _redirect(request, upload)


def _start_dry_run(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, asked: str
) -> Response:
    number = upload.dry_runs + 1
    if asked != str(number):  # a second click, or a page that was left open
        return _redirect(request, upload, "#dry-run")
    if (dry_run := _dry_run(runtime, upload)) is not None and dry_run.has_file:
        return _in_hand(request, user, runtime, upload, preview)
    uploads.write_sidecar(runtime, upload, preview.given)
    conf = {"file": str(upload.path(runtime)), "dry_run": True}
    try:
        start_run(request, user, dag_of(upload.import_type), upload.dry_run_id(number), conf)
    except RunRefused as refusal:
        return _page(request, user, runtime, upload, preview, refusal.message, status.HTTP_409_CONFLICT)
    uploads.save(runtime, upload, dry_runs=number)
    return _redirect(request, upload, "#dry-run")


def _launch(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, *, is_changed: bool
) -> Response:
    if is_changed:
        told = "Settings or columns were changed. This is the preview with them: launch again if it is right."
        return _page(request, user, runtime, upload, preview, told, status.HTTP_409_CONFLICT)
    if (dry_run := _dry_run(runtime, upload)) is not None and dry_run.has_file:
        return _in_hand(request, user, runtime, upload, preview)
    uploads.write_sidecar(runtime, upload, preview.given)
    conf = {"file": str(upload.path(runtime))}
    try:
        start_run(request, user, dag_of(upload.import_type), upload.run_id, conf)
    except RunRefused as refusal:
        return _page(request, user, runtime, upload, preview, refusal.message, status.HTTP_409_CONFLICT)
    uploads.save(runtime, upload, is_launched=True)
    return _redirect(request, upload, "/launched")


def _in_hand(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview
) -> HTMLResponse:
    told = "The dry run has the file in hand: wait until it is over."
    return _page(request, user, runtime, upload, preview, told, status.HTTP_409_CONFLICT)


def _form(request: Request, user: BaseUser, declared: ImportType, error: Exception | None = None) -> HTMLResponse:
    runtime = warehouse.runtime()
    code, problem = _told(error)
    try:
        limit = uploads.max_bytes(runtime, declared)
    except FileRefused as refusal:  # the folder's settings are wrong
        limit, code, problem = 0, status.HTTP_422_UNPROCESSABLE_CONTENT, refusal.message
    return render(
        request, "upload.html", user, code, title="Upload a file", types=launchable_types(user), declared=declared,
        problem=problem, limit=limit, waiting=uploads.waiting(runtime, declared.name, str(user.get_id())),
        settings=form_settings(declared), chosen={}, problems={}, suggestions=suggestions(runtime, declared),
        usual=uploads.usual_settings(runtime, declared), is_open=False,
    )  # fmt: skip


def _told(error: Exception | None) -> tuple[int, str | None]:
    """Return the status and the sentence of a file that could not be taken."""
    if error is None:
        return status.HTTP_200_OK, None
    if isinstance(error, FileRefused):
        is_too_big = error.rule == "file.too_big"
        code = status.HTTP_413_CONTENT_TOO_LARGE if is_too_big else status.HTTP_422_UNPROCESSABLE_CONTENT
        return code, error.message
    if isinstance(error, StorageError):
        return status.HTTP_507_INSUFFICIENT_STORAGE, f"The file could not be stored: {error.strerror}."
    return status.HTTP_500_INTERNAL_SERVER_ERROR, str(error)


def _page(
    request: Request, user: BaseUser, runtime: Runtime, upload: Upload, preview: UploadPreview, told: str = "",
    code: int = status.HTTP_200_OK,
) -> HTMLResponse:  # fmt: skip
    declared = import_types.get(upload.import_type)
    return render(
        request, "upload_review.html", user, code, title=upload.file_name, upload=upload, declared=declared,
        preview=preview, told=told, dry_run=_dry_run(runtime, upload, preview), settings=form_settings(declared),
        chosen=upload.choices.settings, problems=preview.problems, suggestions=suggestions(runtime, declared),
        usual=uploads.usual_settings(runtime, declared, upload),
        is_open=bool(upload.choices.settings) or bool(preview.problems) or bool(preview.refusal),
    )  # fmt: skip


def _preview(runtime: Runtime, upload: Upload) -> UploadPreview:
    _warm_up()
    from include.importing.upload_preview import preview_upload

    return preview_upload(runtime, upload)


@cache
def _warm_up() -> None:
    """Load what judges rows while the user chooses a file: the first preview would take six seconds longer.

    Great Expectations writes a thousand lines to the log when it is imported.
    """
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    threading.Thread(target=importlib.import_module, args=("include.importing.upload_preview",), daemon=True).start()


def _find(runtime: Runtime, declared: ImportType, user: BaseUser, upload_id: str) -> Upload:
    upload = uploads.find(runtime, declared.name, str(user.get_id()), upload_id)
    if upload is None or not upload.size_bytes:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND,
            "You have no such upload. One that nobody launches is deleted after a day: upload the file again.",
        )
    return upload


def _find_run(upload: Upload, run_id: str) -> Run | None:
    dag_id = dag_of(upload.import_type)
    state = find_state(dag_id, run_id)
    return None if state is None else Run(dag_id, run_id, state, is_paused(dag_id))


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
    job, result, read, chunks = _find_job(runtime, upload, run_id), None, 0, 0
    if job is not None:
        with values_hidden(), runtime.engine.connect() as connection:
            if job.finished_at is not None:
                result = jobs.result(connection, job.id)
            else:
                plan = jobs.chunks(connection, job.id)
                read, chunks = sum(chunk.rows_read or 0 for chunk in plan), len(plan)
    sidecar = None if job is None else job.parameters.get("sidecar")
    is_current = preview is None or sidecar is None or sidecar == uploads.sidecar_text(preview.given)
    run = _find_run(upload, run_id)
    return DryRun(upload.dry_runs, run, job, result, read, chunks, is_current)


def _settings(declared: ImportType, fields: dict[str, str]) -> dict[str, str]:
    """Return the settings that were filled in."""
    offered = form_settings(declared)
    return {name: text for name, text in with_prefix(fields, SETTING).items() if name in offered and text.strip()}


def _choices(declared: ImportType, upload: Upload, preview: UploadPreview, fields: dict[str, str]) -> uploads.Choices:
    """Return what the form says; columns that are left as they were shown are not chosen."""
    shown = {choice.field.name: choice.column for choice in preview.fields}
    posted = {
        name: int(text) if text.isascii() and text.isdigit() else None
        for name, text in with_prefix(fields, COLUMN).items()
        if name in shown
    }
    columns = upload.choices.columns if shown == {**shown, **posted} else {**shown, **posted}
    return replace(upload.choices, settings=_settings(declared, fields), columns=columns)


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _redirect(request: Request, upload: Upload, further: str = "") -> RedirectResponse:
    return RedirectResponse(f"{_base(request)}/upload/{upload.import_type}/{upload.id}{further}", 303)
