"""The pages as one application that Airflow's API server mounts below `/imports`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import OperationalError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from include.errors import ConfigurationError, WarehouseUnavailable
from include.storage.locations import StorageError
from loyalty_airflow.pages import job_pages, jobs_pages, paste_pages, pools_pages, template_pages, upload_pages
from loyalty_airflow.pages.access import refuse_other_sites
from loyalty_airflow.pages.pages import FOLDER, HEADERS, render

if TYPE_CHECKING:
    from os import PathLike, stat_result

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

TITLES = {
    HTTPStatus.UNAUTHORIZED: "Please sign in",
    HTTPStatus.FORBIDDEN: "You may not see this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "This page can't be reloaded",
    HTTPStatus.GONE: "No longer kept",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This link is not valid",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not available just now",
}
REASONS = {
    HTTPStatus.NOT_FOUND: "Check the address, or begin with the list of imports.",
    HTTPStatus.METHOD_NOT_ALLOWED: "It only answers a form. Go back, and send the form again if it is still needed.",
}
"""In place of Starlette's own, which are phrases of HTTP."""


class GuardedAnswers:
    """Gives every answer the headers of pages, unless it has its own: redirections, refusals and static files too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_guarded)


class Assets(StaticFiles):
    """Static files, which browsers may keep: they ask each time whether theirs are still the newest."""

    def file_response(
        self, full_path: PathLike[str] | str, stat_result: stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with a file, or that it is unchanged."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def make_app() -> FastAPI:
    """Put the pages together. Documentation pages of the API are off: they would be open to anyone."""
    app = FastAPI(
        title="Imports",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_other_sites)],
    )
    for router in (
        jobs_pages.router,
        job_pages.router,
        pools_pages.router,
        upload_pages.router,
        paste_pages.router,
        template_pages.router,
    ):
        app.include_router(router)
    app.mount("/static", Assets(directory=FOLDER / "static"), name="static")
    app.add_exception_handler(HTTPException, _show_refusal)
    app.add_exception_handler(RequestValidationError, _show_misfit)
    app.add_middleware(GuardedAnswers)
    for outage in (WarehouseUnavailable, ConfigurationError, StorageError):
        app.add_exception_handler(outage, _show_outage)
    app.add_exception_handler(OperationalError, _show_outage_of_airflow)
    return app


def _show_refusal(request: Request, error: Exception) -> HTMLResponse:
    """Show why a page can't be shown, as a page. Pieces that htmx asked for are refused in the same way."""
    refusal = cast(HTTPException, error)  # what it is registered for
    if refusal.status_code == HTTPStatus.UNAUTHORIZED:
        return _error_page(request, refusal.status_code, "You are not signed in.")
    is_own = refusal.detail != HTTPStatus(refusal.status_code).phrase
    reason = refusal.detail if is_own else REASONS.get(HTTPStatus(refusal.status_code), refusal.detail)
    return _error_page(request, refusal.status_code, reason)


def _show_misfit(request: Request, _: Exception) -> HTMLResponse:
    return _error_page(request, 422, "This link is not valid.")


def _show_outage(request: Request, error: Exception) -> HTMLResponse:
    """Show an outage in its own words, which hold no values (X-20), and keep it in the log."""
    log.warning("%s: %s", request.url.path, error)
    return _error_page(request, 503, str(error))


def _show_outage_of_airflow(request: Request, error: Exception) -> HTMLResponse:
    """Show that Airflow's own database, which is asked who the user is, doesn't answer; its words may hold values."""
    log.warning("%s: Airflow's database does not answer: %s", request.url.path, type(error).__name__)
    return _error_page(
        request, 503, "Airflow's database does not answer. Imports wait, and go on by themselves once it does."
    )


def _error_page(request: Request, status: int, reason: str) -> HTMLResponse:
    return render(
        request,
        "error.html",
        None,
        status,
        title=TITLES.get(HTTPStatus(status), "This did not work"),
        reason=reason,
        is_signed_out=status == HTTPStatus.UNAUTHORIZED,
    )
