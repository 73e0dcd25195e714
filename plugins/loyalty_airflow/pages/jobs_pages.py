"""The imports page: jobs with their states and counts, newest first. Source: X-10."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse

from include.import_types import IMPORT_TYPES
from include.ledger import history
from include.ledger.history import JobFilter
from include.ledger.jobs import PICK_UP, UNKNOWN_TYPE, State
from include.ledger.outcomes import Outcome
from loyalty_airflow.pages import warehouse
from loyalty_airflow.pages.access import User, can_see_unknown, demand, readable_types, refuse_nul
from loyalty_airflow.pages.pages import base_of, render

router = APIRouter(dependencies=[Depends(refuse_nul)])

LARGEST_ID = 2**63 - 1
LONGEST_NAME_PART = 200
LOOKS_AFTER = {PICK_UP: "/", "top_up_promo_pools": "/pools", "generate_promo_codes": "/pools"}
"""Pages that show what runs of DAGs do that import no file themselves."""
NO_TYPE = "No import type"
STATES = (
    *(State.AWAITING_EXECUTION, State.RUNNING, State.AWAITING_REVIEW),
    *Outcome,
    *(State.REFUSED, State.DUPLICATE, State.CANCELLED, State.FAILED),
)
"""What the list can be filtered by; the ledger's `completed…` are distinguished by their outcomes."""
JobId = Annotated[int, Query(ge=0, le=LARGEST_ID)]


@router.get("/", response_class=HTMLResponse)
def list_jobs(
    request: Request,
    user: User,
    import_type: Annotated[str, Query(alias="type")] = "",
    state: str = "",
    name: Annotated[str, Query(max_length=LONGEST_NAME_PART)] = "",
    since: str = "",
    until: str = "",
    before: JobId | None = None,
    after: JobId | None = None,
) -> HTMLResponse:
    """Show the jobs of the types that the user may see. Days are days in UTC, both included."""
    types = [*readable_types(user), *([UNKNOWN_TYPE] if can_see_unknown(user) else [])]
    if import_type and import_type not in types:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such import type, or you may not look at it.")
    filters = {"type": import_type, "state": state, "name": name.strip(), "since": since, "until": until}
    asked = {key: value for key, value in filters.items() if value}
    wanted = JobFilter(
        import_types=[type_name for type_name in types if import_type in ("", type_name)],
        states=[state] if state else [],
        name_part=filters["name"],
        since=_day(since),
        until=_day(until, timedelta(days=1)),
    )
    with warehouse.reading() as connection:
        page = history.page_of_jobs(connection, wanted, before=before, after=after)

    def address(**place: int | None) -> str | None:
        parameters = {key: value for key, value in place.items() if value is not None}
        return f"{base_of(request)}/?{urlencode(asked | parameters)}" if parameters else None

    return render(
        request,
        "jobs.html",
        user,
        title="Imports",
        page=page,
        types=types,
        labels={
            type_name: NO_TYPE if type_name == UNKNOWN_TYPE else IMPORT_TYPES[type_name].label for type_name in types
        },
        states=STATES,
        asked=filters,
        is_filtered=bool(asked),
        is_whole=before is None and after is None,
        here=address(before=before, after=after) or f"{base_of(request)}/?{urlencode(asked)}",
        newest=f"{base_of(request)}/?{urlencode(asked)}" if before is not None or after is not None else None,
        older=address(before=page.before),
        newer=address(after=page.after),
    )


@router.get("/runs/{dag_id}/{run_id:path}")
def find_job_of_run(request: Request, user: User, dag_id: str, run_id: str) -> RedirectResponse:
    """Lead from a DAG run to its job, or to what it looks after: what Airflow's page of a run links to."""
    demand(user, "read", dag_id)
    if dag_id in LOOKS_AFTER:
        return RedirectResponse(f"{base_of(request)}{LOOKS_AFTER[dag_id]}", status.HTTP_303_SEE_OTHER)
    with warehouse.reading() as connection:
        job_id = history.find_by_run(connection, dag_id, run_id)
    if job_id is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"This run of {dag_id} has no import.")
    return RedirectResponse(f"{base_of(request)}/jobs/{job_id}", status.HTTP_303_SEE_OTHER)


def _day(text: str, later: timedelta = timedelta(0)) -> datetime | None:
    """Return the beginning of a day in UTC; None for a blank field.

    Raises:
        HTTPException: 422.
    """
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + later
    except (ValueError, OverflowError):
        raise HTTPException(422, "Use YYYY-MM-DD, for example 2026-01-31.") from None
