"""The pages of gift card pools and promo code pools. Source: GP-04, PC-06, PG-01, PG-02, PP-01, TU-01, TU-05, X-20.

What is needed, as rights on DAGs:

- gift card pools: to read `import_gift_card_pools`; for their cards and balances `import_gift_cards` too;
- promo code pools, their stock, alerts and launches: to read `import_promo_code_pools`;
- of their history: uploads to read `import_promo_codes`, generations to read `generate_promo_codes`;
- *Generate*: to start runs of `generate_promo_codes`; *Launch*: to start runs of `import_promo_code_pools`.

A pool's name or id may hold any character. It is the rest of the path, with nothing after it; what browsers, proxies or
servers would take for something else there (`..`, a slash, `%`, a line end) goes as `?id=` instead. Forms name their
pool in their address: browsers change line ends in fields.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import psycopg2.errors
from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.exc import OperationalError
from starlette.concurrency import run_in_threadpool

from include.errors import ConfigurationError
from include.gift_cards import pools as gift_cards
from include.promo_codes import formats, generation, launching
from include.promo_codes.stock import course, figures, history, pools
from include.storage.locations import StorageError
from loyalty_airflow.pages import runs, stock_picture, warehouse
from loyalty_airflow.pages.access import User, can_launch, can_read, demand
from loyalty_airflow.pages.forms import read_fields
from loyalty_airflow.pages.pages import base_of, render
from loyalty_airflow.runtime import secret_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from include.gift_cards.pools import CardCounts
    from include.promo_codes.stock.pools import PromoPool
    from loyalty_airflow.airflow_internals import BaseUser

router = APIRouter(prefix="/pools")

GIFT_CARD_POOLS, GIFT_CARDS = "import_gift_card_pools", "import_gift_cards"
PROMO_POOLS, PROMO_CODES, GENERATE = "import_promo_code_pools", "import_promo_codes", "generate_promo_codes"
GIFT_CARD_PATH, PROMO_PATH = "/pools/gift-cards", "/pools/promo-codes"
ROWS = 20
COUNT_SECONDS = 5
LONGEST_SEARCH = 200
AUTO_GENERATE = {"": None, "true": True, "false": False}
PageNumber = Annotated[int, Query(ge=1, le=100_000)]


def pool_url(path: str, name: str) -> str:
    """Return the address of a pool's page, below the pages' own."""
    if name in (".", "..") or re.search(r"[\r\n%/\\]", name):
        return f"{path}?{urlencode({'id': name})}"
    return f"{path}/{quote(name, safe='')}"


# -- both lists


@router.get("", response_class=HTMLResponse)
def list_pools(
    request: Request, user: User, q: str = "", gift_cards_page: PageNumber = 1, promo_codes_page: PageNumber = 1
) -> HTMLResponse:
    """Show the pools that the user may see."""
    sees = {dag: can_read(user, dag) for dag in (GIFT_CARD_POOLS, GIFT_CARDS, PROMO_POOLS)}
    if not (sees[GIFT_CARD_POOLS] or sees[PROMO_POOLS]):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You don't have permission to see pools. Ask an administrator.")
    wanted = q.strip()[:LONGEST_SEARCH]
    values: dict[str, Any] = {"gift_card_pools": None, "cards": None, "promo_pools": None}
    values["sees_cards"] = sees[GIFT_CARDS]
    with warehouse.reading() as connection:
        if sees[GIFT_CARD_POOLS]:
            card_pools = gift_cards.list_pools(
                connection, wanted=wanted, limit=ROWS + 1, offset=(gift_cards_page - 1) * ROWS
            )
            values["gift_card_pools"] = card_pools
            if sees[GIFT_CARDS]:
                values["cards"] = _count_cards(connection, [pool.system_name for pool in card_pools[:ROWS]])
        if sees[PROMO_POOLS]:
            values["promo_pools"] = figures.list_pools(
                connection, _now(), wanted=wanted, limit=ROWS + 1, offset=(promo_codes_page - 1) * ROWS
            )
    return _render(
        request, "pools.html", user, title="Pools", q=wanted, rows=ROWS, gift_cards_page=gift_cards_page,
        promo_codes_page=promo_codes_page, most=figures.LIST_LIMIT, **values,
    )  # fmt: skip


# -- gift card pools


@router.get("/gift-cards", response_class=HTMLResponse)
def show_gift_card_pool_by_query(request: Request, user: User, id: str) -> HTMLResponse:  # noqa: A002
    """Show a pool whose name can't be in a path."""
    return show_gift_card_pool(request, user, id)


@router.get("/gift-cards/{system_name:path}", response_class=HTMLResponse)
def show_gift_card_pool(request: Request, user: User, system_name: str) -> HTMLResponse:
    """Show a pool's product and settings, its cards by status and their balance."""
    demand(user, "read", GIFT_CARD_POOLS)
    sees_cards = can_read(user, GIFT_CARDS)
    with warehouse.reading() as connection:
        pool = gift_cards.find_pool(connection, system_name)
        if pool is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no gift card pool of this name.")
        cards = _count_cards(connection, [system_name]) if sees_cards else None
    return _render(
        request, "gift_card_pool.html", user, title=pool.name, pool=pool, sees_cards=sees_cards,
        cards=cards[system_name] if cards else None,
    )  # fmt: skip


# -- promo code pools


@router.get("/promo-codes", response_class=HTMLResponse)
def show_promo_pool_by_query(request: Request, user: User, id: str, run: str = "") -> HTMLResponse:  # noqa: A002
    """Show a pool whose id can't be in a path."""
    return show_promo_pool(request, user, id, run)


@router.get("/promo-codes/{system_id:path}", response_class=HTMLResponse)
def show_promo_pool(request: Request, user: User, system_id: str, run: str = "") -> HTMLResponse:
    """Show a pool's settings, stock, history and alerts, and what may be done with it.

    Args:
        run: the run that a form on this page has just started.
    """
    demand(user, "read", PROMO_POOLS)
    with warehouse.reading() as connection:
        pool = _find_promo_pool(connection, system_id)
        return _show(request, user, connection, pool, run=run)


@router.get("/promo-code-stock", response_class=HTMLResponse)
def show_stock(request: Request, user: User, pool: str) -> HTMLResponse:
    """Return the piece of a pool's page that takes a moment: its codes counted, their course as a picture.

    With it comes what the pool's format has available now, which takes the older one's place at the form.
    """
    demand(user, "read", PROMO_POOLS)
    now = _now()
    with warehouse.reading() as connection:
        promo_pool = _find_promo_pool(connection, pool)
        counted = figures.read_stock(connection, promo_pool, now)
        days = course.read_course(connection, promo_pool, counted.available.value, now)
        formats_by_name = {code_format.name: code_format for code_format in formats.list_formats(connection)}
    # Codes for multiple use never run out: no level has a meaning for them.
    levels = (
        {}
        if promo_pool.multi_use
        else {"top-up threshold": promo_pool.top_up_threshold, "notify below": promo_pool.notify_below}
    )
    picture = stock_picture.draw(days, levels, counted.runs_out_at)
    return _render(
        request, "promo_pool_stock.html", user, title=promo_pool.name, pool=promo_pool, stock=counted, days=days,
        picture=picture, own_format=formats_by_name.get(promo_pool.format or ""),
        whole="hx-request" not in request.headers,
    )  # fmt: skip


@router.get("/promo-code-history", response_class=HTMLResponse)
def show_history(
    request: Request, user: User, pool: str, page: PageNumber = 1, run: str = "", poll: bool = False
) -> HTMLResponse:
    """Return a page of a pool's uploads and generations. While something goes on, it asks for itself again."""
    demand(user, "read", PROMO_POOLS)
    with warehouse.reading() as connection:
        promo_pool = _find_promo_pool(connection, pool)
        shown = _history(connection, user, promo_pool, page, run)
    answer = _render(
        request, "promo_pool_history.html", user, title=promo_pool.name, pool=promo_pool,
        whole="hx-request" not in request.headers, **shown,
    )  # fmt: skip
    if poll and not shown["goes_on"]:
        answer.headers["HX-Trigger"] = "stock-changed"
    return answer


@router.get("/promo-code-launches", response_class=HTMLResponse)
def show_launches(request: Request, user: User, pool: str, run: str = "", poll: bool = False) -> HTMLResponse:
    """Return what became of a launch. While it goes on, it asks for itself again; then the page is loaded again."""
    demand(user, "read", PROMO_POOLS)
    with warehouse.reading() as connection:
        promo_pool = _find_promo_pool(connection, pool)
        launches = _launches(connection, promo_pool, run)
    answer = _render(
        request, "promo_pool_launches.html", user, title=promo_pool.name, pool=promo_pool,
        whole="hx-request" not in request.headers, **launches,
    )  # fmt: skip
    if poll and not launches["launch_goes_on"]:
        answer.headers["HX-Refresh"] = "true"
    return answer


# -- actions


@router.get("/generate")
@router.get("/launch")
def show_pool_again(request: Request, user: User, pool: str) -> RedirectResponse:
    """Lead to the pool's page: a form that was refused is shown at its own address, which people load again."""
    return RedirectResponse(f"{base_of(request)}{pool_url(PROMO_PATH, pool)}", status.HTTP_303_SEE_OTHER)


@router.post("/generate", response_class=HTMLResponse)
async def generate(request: Request, user: User, pool: str) -> Response:
    """Start `generate_promo_codes` with what its own form asks for (PG-01), unless it would be refused (PG-02)."""
    await run_in_threadpool(demand, user, "read", PROMO_POOLS)
    await run_in_threadpool(demand, user, "launch", GENERATE)
    fields = await read_fields(request, user)
    return await run_in_threadpool(_generate, request, user, pool, fields)


@router.post("/launch", response_class=HTMLResponse)
async def launch(request: Request, user: User, pool: str) -> Response:
    """Launch a draft (PP-01): an import of one row, in the user's name."""
    await run_in_threadpool(demand, user, "launch", PROMO_POOLS)
    fields = await read_fields(request, user)
    return await run_in_threadpool(_launch, request, user, pool, fields)


def _generate(request: Request, user: BaseUser, pool: str, fields: dict[str, str]) -> Response:
    run_id = f"pages__{runs.check_token(fields.get('token', ''))}"
    form_values = {
        name: fields.get(name, "") for name in ("quantity", "format", "auto_generate")
    }  # as the DAG's own form
    with warehouse.reading() as connection:
        promo_pool = _find_promo_pool(connection, pool)
        try:
            format_name, quantity = _read_format(form_values["format"]), _read_quantity(form_values["quantity"])
            conf = {
                "pool": promo_pool.system_id,
                "format": format_name,
                "quantity": quantity,
                "auto_generate": _read_auto_generate(form_values["auto_generate"]),
            }
            if runs.find_state(GENERATE, run_id) is None:  # else it has been judged already
                refusal = generation.predict_refusal(
                    connection, pool=promo_pool.system_id, quantity=quantity, format_name=format_name,
                    key=secret_key("code_key"), most=warehouse.runtime().project.max_generation,
                )  # fmt: skip
                if refusal is not None:
                    raise runs.RunRefused(refusal.message)
            runs.start_run(request, user, GENERATE, run_id, conf)
        except (runs.RunRefused, ConfigurationError) as error:
            return _show(
                request, user, connection, promo_pool, status_code=status.HTTP_422_UNPROCESSABLE_CONTENT,
                generate_error=str(error), form_values=form_values,
            )  # fmt: skip
    return _to_pool(request, promo_pool, run_id)


def _launch(request: Request, user: BaseUser, pool: str, fields: dict[str, str]) -> Response:
    token = runs.check_token(fields.get("token", ""))
    description = fields.get("description", "").replace("\r\n", "\n").strip()
    runtime = warehouse.runtime()
    with warehouse.reading() as connection:
        promo_pool = _find_promo_pool(connection, pool)
        run_id = f"{launching.run_ids(promo_pool.system_id)}{token}"
        path = launching.launch_path(runtime, run_id)
        try:
            if runs.find_state(PROMO_POOLS, run_id) is None:  # else it has been judged already
                launch_refusal = launching.predict_refusal(promo_pool, description)
                if launch_refusal is not None:
                    raise runs.RunRefused(launch_refusal)
            runs.start_run(
                request,
                user,
                PROMO_POOLS,
                run_id,
                {"file": str(path), **launching.SETTINGS},
                prepare=lambda: launching.write_launch(runtime, path, promo_pool, description),
            )
        except (runs.RunRefused, StorageError) as error:
            return _show(
                request, user, connection, promo_pool, status_code=status.HTTP_422_UNPROCESSABLE_CONTENT,
                launch_error=str(error), description=description,
            )  # fmt: skip
    return _to_pool(request, promo_pool, run_id)


# -- pieces


def _now() -> datetime:
    return datetime.now(UTC)


def _render(request: Request, template: str, user: BaseUser, status_code: int = 200, **values: Any) -> HTMLResponse:
    base = base_of(request)
    return render(
        request, template, user, status_code,
        gift_card_url=lambda name: f"{base}{pool_url(GIFT_CARD_PATH, name)}",
        promo_url=lambda name: f"{base}{pool_url(PROMO_PATH, name)}",
        query=lambda **parameters: urlencode(parameters), run_path=runs.run_path, now=_now(), **values,
    )  # fmt: skip


def _count_cards(connection: Connection, pools: list[str]) -> dict[str, CardCounts] | None:
    """Return the cards of pools; None when there are so many cards that counting takes longer than people wait."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{COUNT_SECONDS}s'")
            counts = gift_cards.count_cards(connection, pools)
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{warehouse.PAGE_SECONDS}s'")
    except OperationalError as error:
        if isinstance(error.orig, psycopg2.errors.QueryCanceled):
            return None
        raise
    return counts


def _find_promo_pool(connection: Connection, system_id: str) -> PromoPool:
    pool = pools.find_pool(connection, system_id)
    if pool is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no promo code pool of this id.")
    return pool


def _show(
    request: Request,
    user: BaseUser,
    connection: Connection,
    pool: PromoPool,
    *,
    status_code: int = 200,
    run: str = "",
    generate_error: str = "",
    launch_error: str = "",
    form_values: dict[str, str] | None = None,
    description: str | None = None,
) -> HTMLResponse:
    formats_by_name = {code_format.name: code_format for code_format in formats.list_formats(connection)}
    usual = {"quantity": str(pool.quantity or ""), "format": "", "auto_generate": ""}
    return _render(
        request,
        "promo_pool.html",
        user,
        status_code,
        title=pool.name,
        pool=pool,
        formats=formats_by_name,
        own_format=formats_by_name.get(pool.format or ""),
        alerts=history.read_alerts(connection, pool.system_id),
        may_generate=can_launch(user, GENERATE),
        may_launch=can_launch(user, PROMO_POOLS),
        may_upload=can_launch(user, PROMO_CODES),
        token=runs.make_token(),
        generate_error=generate_error,
        launch_error=launch_error,
        form_values=usual if form_values is None else form_values,
        description=pool.description or "" if description is None else description,
        **_history(connection, user, pool, 1, run),
        **_launches(connection, pool, run),
    )


def _history(connection: Connection, user: BaseUser, pool: PromoPool, page: int, run: str) -> dict[str, Any]:
    """Return what the history piece shows: a page of entries, and the run that was started and has none yet."""
    with_uploads, with_generations = can_read(user, PROMO_CODES), can_read(user, GENERATE)
    entries = history.read_history(
        connection, pool.system_id, limit=ROWS + 1, offset=(page - 1) * ROWS, with_uploads=with_uploads,
        with_generations=with_generations,
    )  # fmt: skip
    started = _started(GENERATE, run, "pages__") if with_generations else None
    if started and any(entry.dag_run_id == run for entry in entries):
        started = None
    return {
        "entries": entries[:ROWS],
        "has_more": len(entries) > ROWS,
        "page": page,
        "run": run,
        "with_uploads": with_uploads,
        "with_generations": with_generations,
        "started": started,
        "goes_on": bool(started and not started.is_over) or any(_goes_on(entry.state) for entry in entries[:ROWS]),
    }


def _launches(connection: Connection, pool: PromoPool, run: str) -> dict[str, Any]:
    """Return what the launch piece shows: the imports that were to launch the pool, and a run that has none yet."""
    prefix = launching.run_ids(pool.system_id)
    launches = history.read_launches(connection, prefix)
    started = _started(PROMO_POOLS, run, prefix)
    if started and any(launch.dag_run_id == run for launch in launches):
        started = None
    return {
        "launches": launches,
        "launch_run": run,
        "launch_started": started,
        "launch_goes_on": bool(started and not started.is_over)
        or any(launch.finished_at is None for launch in launches),
    }


def _started(dag_id: str, run: str, prefix: str) -> runs.Run | None:
    """Return a run that the ledger doesn't know yet; one that has ended without a word there has failed."""
    return runs.find_run(dag_id, run) if run.startswith(prefix) and run.isprintable() else None


def _goes_on(state: str) -> bool:
    return state in ("awaiting_execution", "running", "awaiting_review")


def _read_quantity(text: str) -> int:
    digits = text.strip()
    if not re.fullmatch("[0-9]{1,19}", digits):
        raise runs.RunRefused("Quantity is no number: how many codes to generate, in digits alone.")
    return int(digits)


def _read_format(name: str) -> str | None:
    if "\0" in name:  # which no text of PostgreSQL holds
        raise runs.RunRefused("There is no promo code format of this name.")
    return name or None


def _read_auto_generate(text: str) -> bool | None:
    if text not in AUTO_GENERATE:
        raise runs.RunRefused("Auto-generate is none of: as it is, on, off.")
    return AUTO_GENERATE[text]


def _to_pool(request: Request, pool: PromoPool, run_id: str) -> Response:
    """Send the browser to the pool's page, which follows the run; to reload that page sends no form again."""
    base = f"{request.scope.get('root_path', '')}".rstrip("/")
    url = pool_url(PROMO_PATH, pool.system_id)
    separator = "&" if "?" in url else "?"
    return RedirectResponse(f"{base}{url}{separator}{urlencode({'run': run_id})}", status.HTTP_303_SEE_OTHER)
