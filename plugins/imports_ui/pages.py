"""How a page is made: a template, escaped values, and headers that let no foreign script run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from fastapi import Request

FOLDER = Path(__file__).parent
HEADERS = {
    # Airflow shows the pages in a frame of its own. No inline script or style: pictures are SVG with attributes.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["number"] = lambda value: "" if value is None else f"{value:,}"


def render(request: Request, template: str, user: BaseUser, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Fill in a template.

    Args:
        template: file in `templates/`; whole pages extend `layout.html`, others are pieces that htmx puts into one.
        values: for the template; everything is escaped where it is shown.
    """
    base = f"{request.scope.get('root_path', '')}".rstrip("/")
    text = _TEMPLATES.get_template(template).render(base=base, user=user, **values)
    return HTMLResponse(text, status_code, HEADERS)
