"""The pages as one application that Airflow's API server mounts below `/imports`."""

from __future__ import annotations

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles

from imports_ui import jobs_pages
from imports_ui.access import refuse_other_sites
from imports_ui.pages import FOLDER


def make_app() -> FastAPI:
    """Put the pages together. Documentation pages of the API are off: they would be open to anyone."""
    app = FastAPI(
        title="Imports",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(refuse_other_sites)],
    )
    for router in (jobs_pages.router,):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    return app
