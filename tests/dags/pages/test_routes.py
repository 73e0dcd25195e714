"""Every route of the pages against every kind of user. A route that is added and not listed here fails.

Rights by DAG, with an auth manager that knows them, are in test_rights_by_dag.py.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import HTTPException
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.routing import Mount

from include.ledger.jobs import JobResult
from tests.dags.conftest import PROJECT
from tests.dags.pages.conftest import ROLES
from tests.dags.test_import_runs import CARDS, POOLS

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]
ANYONE = dict.fromkeys(ROLES, 200)
NOBODYS = dict.fromkeys(ROLES, 404)
"""Of something that isn't there."""
UNKNOWN = "0123456789abcdef0123456789abcdef"
TOKEN = "0123456789abcdef"


def launchers(status: int) -> dict[str, int]:
    """Return what roles get of a route for those who may start runs."""
    return dict.fromkeys(ROLES, status) | {"viewer": 403}


@dataclass(frozen=True)
class Asked:
    """How a route is called, and what each role gets.

    Args:
        address: below `/imports`.
        answers: status by role.
        sent: form fields of a POST.
    """

    address: str
    answers: dict[str, int]
    sent: dict[str, str] | None = None


ROUTES = {
    ("GET", "/"): Asked("/", ANYONE),
    ("GET", "/jobs/{job_id}"): Asked("/jobs/2", ANYONE),
    ("GET", "/jobs/{job_id}/rejects"): Asked("/jobs/2/rejects", ANYONE),
    ("GET", "/jobs/{job_id}/files/{kind}"): Asked("/jobs/2/files/original", launchers(200)),
    ("GET", "/jobs/{job_id}/validation"): Asked("/jobs/2/validation", ANYONE),
    ("POST", "/jobs/{job_id}/upload"): Asked("/jobs/2/upload", launchers(303)),
    ("GET", "/runs/{dag_id}/{run_id:path}"): Asked(
        "/runs/import_gift_cards/manual__2026-01-31T12:00:02+00:00", dict.fromkeys(ROLES, 303)
    ),
    ("GET", "/pools"): Asked("/pools", ANYONE),
    ("GET", "/pools/gift-cards"): Asked("/pools/gift-cards?id=fifty", ANYONE),
    ("GET", "/pools/gift-cards/{system_name:path}"): Asked("/pools/gift-cards/fifty", ANYONE),
    ("GET", "/pools/promo-codes"): Asked("/pools/promo-codes?id=nowhere", NOBODYS),
    ("GET", "/pools/promo-codes/{system_id:path}"): Asked("/pools/promo-codes/nowhere", NOBODYS),
    ("GET", "/pools/promo-code-stock"): Asked("/pools/promo-code-stock?pool=nowhere", NOBODYS),
    ("GET", "/pools/promo-code-history"): Asked("/pools/promo-code-history?pool=nowhere", NOBODYS),
    ("GET", "/pools/promo-code-launches"): Asked("/pools/promo-code-launches?pool=nowhere", NOBODYS),
    ("GET", "/pools/generate"): Asked("/pools/generate?pool=nowhere", dict.fromkeys(ROLES, 303)),
    ("GET", "/pools/launch"): Asked("/pools/launch?pool=nowhere", dict.fromkeys(ROLES, 303)),
    ("POST", "/pools/generate"): Asked("/pools/generate?pool=nowhere", launchers(404), {"token": TOKEN}),
    ("POST", "/pools/launch"): Asked("/pools/launch?pool=nowhere", launchers(404), {"token": TOKEN}),
    ("GET", "/upload"): Asked("/upload", ANYONE),
    ("GET", "/upload/{import_type}"): Asked("/upload/gift_cards", launchers(200)),
    ("POST", "/upload/{import_type}"): Asked("/upload/gift_cards", launchers(400)),
    ("GET", "/upload/{import_type}/{upload_id}"): Asked(f"/upload/gift_cards/{UNKNOWN}", launchers(404)),
    ("POST", "/upload/{import_type}/{upload_id}"): Asked(f"/upload/gift_cards/{UNKNOWN}", launchers(404)),
    ("GET", "/upload/{import_type}/{upload_id}/dry-run"): Asked(
        f"/upload/gift_cards/{UNKNOWN}/dry-run", launchers(404)
    ),
    ("GET", "/upload/{import_type}/{upload_id}/launched"): Asked(
        f"/upload/gift_cards/{UNKNOWN}/launched", launchers(404)
    ),
    ("GET", "/paste"): Asked("/paste", ANYONE),
    ("POST", "/paste"): Asked("/paste", launchers(422), {"codes": ""}),
    ("GET", "/templates"): Asked("/templates", ANYONE),
    ("GET", "/templates/{import_type}/{kind}"): Asked("/templates/gift_cards/sample", ANYONE),
}
"""Every route of the application: a viewer looks, who may launch a run also posts."""


def routes() -> Iterator[tuple[str, APIRoute]]:
    from loyalty_airflow.pages.app import make_app

    for route in make_app().routes:
        if isinstance(route, Mount):
            assert route.path == "/static"  # the one thing that is open to anyone
            continue
        assert isinstance(route, APIRoute), route
        for method in route.methods - {"HEAD"}:
            yield method, route


def asks_for_a_user(dependant: Dependant) -> bool:
    from airflow.api_fastapi.core_api.security import get_user

    return dependant.call is get_user or any(asks_for_a_user(dependency) for dependency in dependant.dependencies)


@pytest.fixture
def jobs(load: Callable[..., JobResult]) -> None:
    load("gift_card_pools", "p.csv", POOLS)
    load("gift_cards", "cards.csv", f"{CARDS}4000000000000003,nowhere,50\n")


def test_every_route_is_listed_here() -> None:
    assert {(method, route.path) for method, route in routes()} == set(ROUTES)


def test_every_route_asks_who_calls() -> None:
    open_to_anyone = [route.path for _, route in routes() if not asks_for_a_user(route.dependant)]
    assert open_to_anyone == []


def test_no_route_lets_the_framework_read_a_body() -> None:
    """FastAPI reads what is declared as `Form`, `File` or `Body` before it asks who has sent it (X-22)."""
    declaring = {
        route.path: [param.name for param in body_params(route.dependant)]
        for _, route in routes()
        if route.body_field is not None or body_params(route.dependant)
    }
    assert declaring == {}


def body_params(dependant: Dependant) -> list[Any]:
    return [
        *dependant.body_params,
        *(param for dependency in dependant.dependencies for param in body_params(dependency)),
    ]


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded", "application/json"]
)
@pytest.mark.parametrize("role", [None, "viewer"])
def test_nothing_of_a_body_is_read_before_it_is_known_that_its_sender_may_send_it(
    browse: Browse, api_server: Any, jobs: None, stored_dags: None, role: str | None, content_type: str
) -> None:
    """X-22: 32 MiB to each route, of which nothing is taken, so nothing can fill a disk or the memory."""
    cookies = dict(browse(role).cookies)
    got = {}
    for (method, path), asked in ROUTES.items():
        refused = role is None or (method == "POST" and asked.answers["viewer"] == 403)
        if refused or method == "GET":
            got[method, path] = asyncio.run(send_much(api_server, method, asked.address, content_type, cookies))
    assert len(got) >= len([method for method, _ in ROUTES if method == "GET"]) + 4
    assert {route: taken for route, (_, taken) in got.items() if taken} == {}
    statuses = {status for (method, _), (status, _) in got.items() if method == "POST"}
    assert statuses == ({401} if role is None else {403})


async def send_much(app: Any, method: str, address: str, content_type: str, cookies: dict[str, str]) -> tuple[int, int]:
    """Send 32 MiB as a server hands them over, piece by piece as the application asks; return status, bytes taken."""
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        head = b'--b\r\nContent-Disposition: form-data; name="token"; filename="x"\r\n\r\n'
        for piece in (head, *itertools.repeat(b"x" * 65536, 512)):
            taken += len(piece)
            yield piece

    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://airflow.example.com", cookies=cookies) as client:
        answer = await client.request(
            method, f"/imports{address}", content=body(), headers={"content-type": content_type}
        )
    return answer.status_code, taken


def test_nothing_is_changed_by_looking() -> None:
    """Cross-site protection covers what is not safe; so whatever changes something must be a POST."""
    assert {method for method, _ in routes()} <= {"GET", "POST"}


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=lambda part: part)
def test_a_route_answers_each_role_as_it_should(browse: Browse, jobs: None, method: str, path: str) -> None:
    asked = ROUTES[method, path]
    assert call(browse(None), method, asked).status_code == 401
    got = {role: call(browse(role), method, asked).status_code for role in ROLES}
    assert got == asked.answers


FILES_OF_A_JOB = {
    "rejected": launchers(200),
    "not-found": launchers(404),
    "dropped-values": launchers(404),
    "original": launchers(200),
    "summary": launchers(200),
    "evidence": ANYONE,
}
"""Rows, and headers in full, are for those who may launch, whether there are any or not; the rest for who may look."""


def test_rows_are_for_those_who_may_launch(browse: Browse, jobs: None) -> None:
    """X-21."""
    from loyalty_airflow.pages.job_pages import FILES

    assert FILES_OF_A_JOB.keys() == FILES.keys()
    got = {
        kind: {role: browse(role).get(f"/imports/jobs/2/files/{kind}").status_code for role in ROLES} for kind in FILES
    }
    assert got == FILES_OF_A_JOB
    assert "for those who may launch import_gift_cards" in browse("viewer").get("/imports/jobs/2/files/original").text


def test_a_page_offers_no_rows_to_those_who_may_only_look_and_says_who_may(browse: Browse, jobs: None) -> None:
    """X-21: a link that would be refused is none."""
    offered = {
        role: set(re.findall(r"/imports/jobs/2/files/([a-z-]+)", browse(role).get("/imports/jobs/2").text))
        for role in ROLES
    }
    without_rows = {"evidence"}
    with_rows = without_rows | {"rejected", "original", "summary"}
    assert offered == {role: without_rows if role == "viewer" else with_rows for role in ROLES}
    page = browse("viewer").get("/imports/jobs/2").text
    assert page.count("for those who may launch <code>import_gift_cards</code>") == 3
    rejects = {role: "files/rejected" in browse(role).get("/imports/jobs/2/rejects").text for role in ROLES}
    assert rejects == dict.fromkeys(ROLES, True) | {"viewer": False}
    assert "Who may launch <code>import_gift_cards</code>" in browse("viewer").get("/imports/jobs/2/rejects").text


def call(browser: TestClient, method: str, asked: Asked) -> Any:
    return browser.request(method, f"/imports{asked.address}", data=asked.sent)


@pytest.mark.parametrize("role", [None, "viewer", "user"])
def test_no_answer_lets_a_browser_guess_or_frame_it(browse: Browse, jobs: None, role: str | None) -> None:
    """X-20: pages, refusals, redirections, downloads and static files alike."""
    browser = browse(role)
    got = {
        f"{method} {asked.address}": call(browser, method, asked).headers
        for (method, _), asked in ROUTES.items()
        if method == "GET" or role != "user"
    }
    static = sorted(path.name for path in (PROJECT / "plugins" / "loyalty_airflow" / "pages" / "static").iterdir())
    assert static
    for address in (*(f"/static/{name}" for name in static), "/static/none", "/nowhere", "/pools?gift_cards_page=x"):
        got[address] = browser.get(f"/imports{address}").headers
    (style,) = [name for name in static if name.endswith(".css")]
    kept = {"if-none-match": got[f"/static/{style}"]["etag"]}
    got["unchanged"] = browser.get(f"/imports/static/{style}", headers=kept).headers
    assert [name for name, headers in got.items() if headers.get("x-content-type-options") != "nosniff"] == []
    assert [name for name, headers in got.items() if headers.get("referrer-policy") != "same-origin"] == []
    assert [
        name
        for name, headers in got.items()
        if "default-src 'none'" not in headers.get("content-security-policy", "")
        or "frame-ancestors 'self'" not in headers["content-security-policy"]
    ] == []
    assert {headers.get("cache-control") for name, headers in got.items() if "static" not in name} <= {
        "no-store", "no-cache",
    }  # fmt: skip


def test_a_token_that_is_wrong_opens_nothing(browse: Browse, connected: Any) -> None:
    browser = browse(None)
    browser.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.")
    assert browser.get("/imports/").status_code == 403  # as Airflow answers it


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://airflow.example.com:8081"},
    ],
)
def test_other_sites_can_post_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as refusal:
        guard(headers)
    assert refusal.value.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "http://airflow.example.com"},
        {"sec-fetch-site": "same-origin", "origin": "https://proxy.example.com"},
        {},
    ],
)
def test_the_pages_themselves_and_programs_can_post(headers: dict[str, str]) -> None:
    guard(headers)


def guard(headers: dict[str, str]) -> None:
    """Call what every route of the application depends on, as for a POST."""
    from loyalty_airflow.pages.access import refuse_other_sites
    from loyalty_airflow.pages.app import make_app

    assert refuse_other_sites in [depends.dependency for depends in make_app().router.dependencies]
    sent = [(name.encode(), value.encode()) for name, value in {"host": "airflow.example.com", **headers}.items()]
    refuse_other_sites(
        Request({"type": "http", "method": "POST", "scheme": "http", "path": "/", "query_string": b"", "headers": sent})
    )
