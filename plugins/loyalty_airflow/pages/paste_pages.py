"""The paste box: codes that are typed or pasted become an upload, which is seen before it is launched.

Source: PC-01, PC-02, X-10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, Response
from starlette.concurrency import run_in_threadpool

from include import import_types
from include.arrivals import uploads
from include.errors import ConfigurationError, FileRefused
from include.ledger.jobs import dag_of
from include.settings.layers import resolve
from include.settings.raw import RawSettings
from include.storage.locations import StorageError
from loyalty_airflow.pages import warehouse
from loyalty_airflow.pages.access import User, can_launch, demand
from loyalty_airflow.pages.forms import read_fields
from loyalty_airflow.pages.pages import render
from loyalty_airflow.pages.upload_pages import LONGEST_POOL, status_and_problem, suggestions, to_upload

if TYPE_CHECKING:
    from loyalty_airflow.airflow_internals import BaseUser

router = APIRouter()

PASTED_TYPE = "promo_codes"
MOST_BYTES = 4 << 20
"""Of the form as it is sent: some 200,000 codes. More of them are a file."""


@router.get("/paste", response_class=HTMLResponse)
def show_box(request: Request, user: User, pool: Annotated[str, Query(max_length=LONGEST_POOL)] = "") -> HTMLResponse:
    """Show the box, for a pool when the address names one."""
    return _box(request, user, pool=pool)


@router.post("/paste")
async def paste(request: Request, user: User) -> Response:
    """Make an upload of the text, and go on to its page."""
    await run_in_threadpool(demand, user, "launch", dag_of(PASTED_TYPE))
    try:
        fields = await read_fields(request, user, MOST_BYTES)
    except HTTPException as error:
        if error.status_code != status.HTTP_413_CONTENT_TOO_LARGE:
            raise
        problem = f"The text is too long: {MOST_BYTES >> 20} MiB at most. Upload it as a file instead."
        return await run_in_threadpool(_box, request, user, problem=problem, code=error.status_code)
    return await run_in_threadpool(_receive, request, user, fields)


def _receive(request: Request, user: BaseUser, fields: dict[str, str]) -> Response:
    from include.arrivals.pasting import file_of

    declared, runtime = import_types.get(PASTED_TYPE), warehouse.runtime()
    pool, text = fields.get("pool", "").strip(), fields.get("codes", "")
    chosen = {"encoding": "utf-8"} | ({"pool": pool} if pool else {})
    try:
        settings = resolve(
            runtime.import_types,
            declared,
            sidecar=RawSettings("the form", chosen),
            defaults_file=runtime.defaults_file,
        )
        name, content = file_of(runtime, declared, text.encode(), settings)
        upload = uploads.receive(runtime, declared, str(user.get_id()), name, [content], uploads.Choices(chosen))
    except (FileRefused, ConfigurationError, StorageError) as error:
        code, problem = status_and_problem(error)
        return _box(request, user, problem=problem or "", code=code, pool=pool, codes=text)
    return to_upload(request, upload)


def _box(
    request: Request, user: BaseUser, *, problem: str = "", code: int = 200, pool: str = "", codes: str = ""
) -> HTMLResponse:
    declared = import_types.get(PASTED_TYPE)
    is_allowed = can_launch(user, dag_of(PASTED_TYPE))
    runtime = warehouse.runtime() if is_allowed else None
    return render(
        request, "paste.html", user, code, title="Paste promo codes", is_allowed=is_allowed, problem=problem,
        pools=suggestions(runtime, declared)["pool"] if runtime else [], pool=pool, codes=codes,
        limit=MOST_BYTES >> 20,
    )  # fmt: skip
