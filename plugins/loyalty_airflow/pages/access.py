"""Who may see and do what on the pages: Airflow's own users and their rights on the DAGs.

A plugin's routes are open to anyone unless they ask for a user. Looking at an import type, its jobs and their files
needs the right to read its DAG; starting an import needs the right to start a run of it. So do files that hold rows,
in which values are unmasked: the right to look is the one that is given away (X-21).

Files of no type's folder have been refused by `pick_up_files`: who may read that DAG, or every type's, sees them. What
is in such a file may belong to any type, so its rows are for those who may launch all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from fastapi import HTTPException, Request, status

from include.import_types import IMPORT_TYPES
from include.ledger.jobs import PICK_UP, dag_of
from loyalty_airflow.airflow_internals import is_allowed, user_dependency

if TYPE_CHECKING:
    from loyalty_airflow.airflow_internals import BaseUser

__all__ = [
    "User",
    "can_answer",
    "can_launch",
    "can_read",
    "can_see_rows",
    "can_see_unknown",
    "demand",
    "readable_types",
    "refuse_other_sites",
]

if TYPE_CHECKING:
    User = BaseUser
else:
    User = user_dependency()
"""Annotation of a route's user; without one the route answers 401."""
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def can_read(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may look at what a DAG has done."""
    return is_allowed(user, "GET", dag_id)


def can_launch(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may start a run of a DAG."""
    return can_read(user, dag_id) and is_allowed(user, "POST", dag_id, "RUN")


def can_see_rows(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may have files in which rows of an import are as they were sent (X-21)."""
    if dag_id == PICK_UP:
        return all(can_launch(user, dag_of(import_type)) for import_type in IMPORT_TYPES)
    return can_launch(user, dag_id)


def can_answer(user: BaseUser, dag_id: str) -> bool:
    """Return whether a user may answer what a DAG asks people, as Airflow's own form demands it."""
    return is_allowed(user, "PUT", dag_id, "HITL_DETAIL")


def can_see_unknown(user: BaseUser) -> bool:
    """Return whether a user may look at files that were refused because their folder is no import type's (X-01)."""
    return can_read(user, PICK_UP) or all(can_read(user, dag_of(import_type)) for import_type in IMPORT_TYPES)


def readable_types(user: BaseUser) -> list[str]:
    """Return the import types whose DAGs a user may look at, in the order of their registration."""
    return [import_type for import_type in IMPORT_TYPES if can_read(user, dag_of(import_type))]


_RIGHTS = {
    "read": (can_read, "You don't have permission to see {dag}. Ask an administrator."),
    "launch": (can_launch, "You don't have permission to launch {dag}. Ask an administrator."),
    "rows": (can_see_rows, "This file is for those who may launch {dag}. Ask an administrator."),
}


def demand(user: BaseUser, right: Literal["read", "launch", "rows"], dag_id: str) -> None:
    """End the request unless the user has a right on a DAG.

    Raises:
        HTTPException: 403.
    """
    is_allowed, refusal = _RIGHTS[right]
    if not is_allowed(user, dag_id):
        raise HTTPException(status.HTTP_403_FORBIDDEN, refusal.format(dag=dag_id))


def refuse_other_sites(request: Request) -> None:
    """End a request that changes something and that a page of another site has sent.

    Browsers say where a request comes from (Sec-Fetch-Site; older ones Origin) and let no page change that. What says
    neither is no browser, and carries no cookie that another person could use.

    Raises:
        HTTPException: 403.
    """
    if request.method in SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_own = site in ("same-origin", "none") if site else not origin or urlsplit(origin).netloc == request.url.netloc
    if not is_own:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "The request comes from a page of another site.")


def refuse_nul(request: Request) -> None:
    """End a request whose address holds a NUL, which no text of PostgreSQL can.

    Raises:
        HTTPException: 422.
    """
    if "\0" in unquote(f"{request.url.path}?{request.url.query}"):
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "The address holds a character that nothing has.")
