"""How a page is made: a template, escaped values, and headers that let no foreign script run."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from include.ledger.outcomes import in_words
from loyalty_airflow import PAGES

if TYPE_CHECKING:
    from fastapi import Request

    from loyalty_airflow.airflow_internals import BaseUser

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


def shown_time(value: datetime | None) -> Markup | str:
    """Return a time in UTC, readable by people and by programs; "" for none."""
    if value is None:
        return ""
    in_utc = value.astimezone(UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        f"{in_utc:%Y-%m-%dT%H:%M:%SZ}", f"{in_utc:%Y-%m-%d %H:%M:%S}"
    )


def shown_duration(value: timedelta | None) -> str:
    """Return a length of time with its two largest units, such as `3 min 20 s`; "" for none."""
    if value is None:
        return ""
    seconds = max(0, round(value.total_seconds()))
    units = (("d", seconds // 86400), ("h", seconds // 3600 % 24), ("min", seconds // 60 % 60), ("s", seconds % 60))
    parts = [f"{count} {unit}" for unit, count in units if count]
    return " ".join(parts[:2]) or "0 s"


def shown_bytes(value: int | None) -> str:
    """Return a size with a unit of 1,024 steps; "" for none."""
    if value is None:
        return ""
    size, unit = float(value), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{value:,} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"


def shown_prose(text: str) -> Markup:
    """Return a description of ours, whose code spans are between Markdown's backticks."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


_TEMPLATES = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "number": lambda value: "" if value is None else f"{value:,}",
    "time": shown_time,
    "duration": shown_duration,
    "bytes": shown_bytes,
    "prose": shown_prose,
    "words": lambda name: str(name).replace("_", " "),
    "outcome": lambda job: in_words(job.outcome, is_dry_run=job.is_dry_run),
}


def base_of(request: Request) -> str:
    """Return the path that every address of a page begins with."""
    return f"{request.scope.get('root_path', '')}".rstrip("/")


def _section(request: Request) -> str:
    """Return the address, below the pages' own, of the part that a page belongs to; imports are at the top."""
    first = request.url.path.removeprefix(base_of(request)).split("/")[1:2]
    return "/" if first in ([], ["jobs"]) else f"/{first[0]}"


def render(
    request: Request, template: str, user: BaseUser | None, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """Fill in a template.

    Templates are given besides: `base`, the path of the pages; `airflow`, that of Airflow's own, whose links need
    target="_top", for the pages are shown in a frame.

    Args:
        template: file in `templates/`; whole pages extend `layout.html`, others are pieces that htmx puts into one.
        values: for the template; everything is escaped where it is shown.
    """
    base = base_of(request)
    airflow = base.removesuffix(PAGES)
    text = _TEMPLATES.get_template(template).render(
        base=base, airflow=airflow, section=_section(request), user=user, **values
    )
    return HTMLResponse(text, status_code, HEADERS)
