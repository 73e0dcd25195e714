"""The imports page: jobs with their states and counts. Source: X-10."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from imports_ui import warehouse
from imports_ui.access import User, readable_types
from imports_ui.pages import render
from include.importing import jobs

router = APIRouter()


@router.get("/", response_class=HTMLResponse)
def list_jobs(request: Request, user: User) -> HTMLResponse:
    """Show the newest jobs of the types that the user may see."""
    types = readable_types(user)
    with warehouse.reading() as connection:
        found = [job for job in jobs.history(connection, limit=50) if job.import_type in types]
    return render(request, "jobs.html", user, title="Imports", jobs=found)
