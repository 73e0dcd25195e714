"""Templates: an empty and a sample file of each import type, and what its columns mean. Source: PC-01."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, status
from fastapi.responses import HTMLResponse, Response

from include import import_types
from include.ledger.jobs import dag_of
from loyalty_airflow.pages.access import User, demand, readable_types
from loyalty_airflow.pages.pages import HEADERS, render

router = APIRouter()

VALUES = {
    "text": "text", "identifier": "text, kept as it is", "boolean": "yes or no", "decimal": "amount such as 19.99",
    "integer": "whole number", "date": "date", "datetime": "date and time", "enum": "one of a list",
    "email": "e-mail address", "phone": "phone number",
}  # fmt: skip
"""What people call the kinds of fields."""
KINDS = {"empty": "", "sample": ".sample"}


@router.get("/templates", response_class=HTMLResponse)
def list_templates(request: Request, user: User) -> HTMLResponse:
    """List the templates of the types that the user may see."""
    types = [import_types.get(name) for name in readable_types(user)]
    return render(request, "templates.html", user, title="Templates", types=types, kinds=VALUES)


@router.get("/templates/{import_type}/{kind}")
def download(user: User, import_type: str, kind: str) -> Response:
    """Send a template."""
    if import_type not in import_types.IMPORT_TYPES or kind not in KINDS:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such template.")
    demand(user, "read", dag_of(import_type))
    declared = import_types.get(import_type)
    content = declared.template.encode() if kind == "empty" else declared.sample.read_bytes()
    name = f"{import_type}{KINDS[kind]}.csv"
    headers = HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
