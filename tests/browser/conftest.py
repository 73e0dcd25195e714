"""One running stack, one Chromium, and a page for each test: signed in as admin, or as a viewer.

Each test leaves a screenshot of its end, and those that it takes with `shoot`, in the folder that the environment
variable SCREENSHOTS names, else in `screenshots/` of the project.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from upath import UPath

from tests.end_to_end.imports import LOCATIONS, Imports, watched
from tools.stack.settings import PROJECT
from tools.stack.temporary import running_stack

USERS = "admin:admin,viewer:viewer"
VIEWPORT = {"width": 1400, "height": 900}
TIMEOUT_MILLISECONDS = 30_000
WINDOW = ["--no-proxy-server", "--force-prefers-reduced-motion"]
EXPECTED_TROUBLE = re.compile(r"status of (40[13]|422)|ERR_INTERNET_DISCONNECTED|^htmx:(afterRequest|sendError)")
"""What the browser's console says of requests that tests mean to be refused, or not to arrive."""


@pytest.fixture(scope="package")
def imports() -> Iterator[Imports]:
    """The running stack, with a viewer beside the admin."""
    with running_stack(extra_environment={"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": USERS}) as stack:
        folders = {name: UPath(str(stack.settings.home / name)) for name in LOCATIONS}
        with watched(stack, folders) as imports:
            yield imports


@pytest.fixture(scope="package")
def passwords(imports: Imports) -> dict[str, str]:
    """The users' passwords: Airflow makes those that its file lacks."""
    passwords: dict[str, str] = json.loads((imports.stack.settings.airflow_home / "passwords.json").read_text())
    return passwords


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which won't run as root within its sandbox."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: .ci/system-packages installs it"
    with sync_playwright() as playwright:
        arguments = WINDOW + (["--no-sandbox"] if os.geteuid() == 0 else [])
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(
    chromium: Browser, imports: Imports, request: pytest.FixtureRequest, screenshots: Path
) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a browser of its own.

    At the end its page is photographed, and must have had no trouble: an error in a script, or something that the
    content security policy forbids.
    """
    opened: list[tuple[BrowserContext, Page]] = []
    trouble: list[str] = []

    def open_browser(**options: object) -> Page:
        context = chromium.new_context(base_url=imports.stack.settings.url, viewport=VIEWPORT, **options)
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "console",
            lambda message: (
                trouble.append(message.text)
                if message.type == "error" and "/imports/" in message.location.get("url", "")
                else None
            ),
        )
        opened.append((context, page))
        return page

    yield open_browser
    for number, (context, page) in enumerate(opened):
        page.screenshot(path=screenshots / f"end-{request.node.name}{number or ''}.png")
        context.close()
    assert [text for text in trouble if not EXPECTED_TROUBLE.search(text)] == []


@pytest.fixture
def page(open_page: Callable[..., Page], passwords: dict[str, str]) -> Page:
    """A page of the admin."""
    return sign_in(open_page(), "admin", passwords["admin"])


@pytest.fixture
def viewer_page(open_page: Callable[..., Page], passwords: dict[str, str]) -> Page:
    """A page of the viewer."""
    return sign_in(open_page(), "viewer", passwords["viewer"])


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """The folder of the screenshots."""
    folder = Path(os.environ.get("SCREENSHOTS") or PROJECT / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def shoot(screenshots: Path) -> Callable[[Page, str], None]:
    """Return a function that keeps a picture of a page under a name."""
    return lambda page, name: (page.screenshot(path=screenshots / f"{name}.png"), None)[1]


def sign_in(page: Page, user: str, password: str) -> Page:
    """Fill in Airflow's own form."""
    page.goto("/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Imports").first.wait_for()
    return page
