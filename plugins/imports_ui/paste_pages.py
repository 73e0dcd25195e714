"""The paste box: codes that are typed or pasted become a file in the landing area. Source: PC-01, PC-02."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from imports_ui import warehouse
from imports_ui.access import User, can_launch, dag_of, demand
from imports_ui.forms import read_fields
from imports_ui.pages import render
from imports_ui.upload_pages import suggestions
from include import import_types
from include.importing.errors import ConfigurationError, FileRefused
from include.importing.files import StorageError

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

router = APIRouter()

PASTED_TYPE = "promo_codes"
MOST_BYTES = 4 << 20
"""Of the form as it is sent: some 200,000 codes. More of them are a file."""
_FILE_NAME = re.compile(r"pasted-[0-9T]+-[0-9a-f]+\.txt")


@router.get("/paste", response_class=HTMLResponse)
def show_box(request: Request, user: User, file: str = "") -> HTMLResponse:
    """Show the box, and where the text went that was pasted before."""
    written = file if _FILE_NAME.fullmatch(file) else ""
    return _box(request, user, written=written)


@router.post("/paste")
async def paste(request: Request, user: User) -> Response:
    """Write the text into the landing area, where it is picked up like any other file."""
    await run_in_threadpool(demand, user, "launch", dag_of(PASTED_TYPE))
    try:
        fields = await read_fields(request, MOST_BYTES)
    except HTTPException as error:
        if error.status_code != status.HTTP_413_CONTENT_TOO_LARGE:
            raise
        told = f"The text is too long: {MOST_BYTES >> 20} MiB at most. Upload it as a file instead."
        return await run_in_threadpool(_box, request, user, problem=told, code=error.status_code)
    return await run_in_threadpool(_write, request, user, fields)


def _write(request: Request, user: BaseUser, fields: dict[str, str]) -> Response:
    from include.importing.pasting import write_pasted

    pool, text = fields.get("pool", "").strip(), fields.get("codes", "")
    try:
        path = write_pasted(
            warehouse.runtime(), import_types.get(PASTED_TYPE), text.encode(), {"pool": pool} if pool else {}
        )
    except FileRefused as refusal:
        code, told = status.HTTP_422_UNPROCESSABLE_CONTENT, refusal.message
    except ConfigurationError as error:
        code, told = status.HTTP_500_INTERNAL_SERVER_ERROR, str(error)
    except StorageError as error:
        code, told = status.HTTP_507_INSUFFICIENT_STORAGE, f"The text could not be stored: {error.strerror}."
    else:
        base = str(request.scope.get("root_path", "")).rstrip("/")
        return RedirectResponse(f"{base}/paste?file={quote(path.name)}", 303)
    return _box(request, user, problem=told, code=code, pool=pool, codes=text)


def _box(
    request: Request, user: BaseUser, *, problem: str = "", code: int = 200, written: str = "", pool: str = "",
    codes: str = "",
) -> HTMLResponse:  # fmt: skip
    declared = import_types.get(PASTED_TYPE)
    is_allowed = can_launch(user, dag_of(PASTED_TYPE))
    runtime = warehouse.runtime() if is_allowed else None
    return render(
        request, "paste.html", user, code, title="Paste promo codes", is_allowed=is_allowed, problem=problem,
        pools=suggestions(runtime, declared)["pool"] if runtime else [], pool=pool, codes=codes, written=written,
        place=str(runtime.landing / PASTED_TYPE / written) if runtime and written else "", limit=MOST_BYTES >> 20,
    )  # fmt: skip
