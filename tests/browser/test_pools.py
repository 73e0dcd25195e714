"""The pages of pools in a real browser, inside Airflow's own. Source: PG-01, PG-02, PP-01, PC-06, X-10."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import pytest
from playwright.sync_api import Dialog, FrameLocator, Page, expect

from tests.end_to_end.imports import SETTLES_SOON, Imports, cards, pools

pytestmark = pytest.mark.browser

Shoot = Callable[[Page, str], None]
PATIENCE_MILLISECONDS = 60_000
HEADER = "system_id,name,description,fill_method,format,quantity,top_up_threshold,notify_below,launch"
HOSTILE = "50%/<img src=x onerror=alert(1)>&?#.."


@pytest.fixture(scope="module", autouse=True)
def stocked(imports: Imports) -> None:
    """Two promo code pools, one of them a draft of a hostile name, and a gift card pool with two cards."""
    rows = (
        "autumn,Autumn codes,For the browser,generate,summer,40,60,20,yes",
        "winter,Winter codes,,generate,summer,10,,,no",
        f'"{HOSTILE}","{HOSTILE}",,,,,,,no',
    )
    dropped = {
        ("promo_code_pools", "promo pools.csv"): "\n".join([HEADER, *rows, ""]).encode(),
        ("gift_card_pools", "gift pools.csv"): pools("everyday"),
        ("gift_cards", "gift cards.csv"): cards(1, 2, "everyday"),
    }
    for (folder, name), content in dropped.items():
        imports.drop(folder, name, content, SETTLES_SOON)
    for _, name in dropped:
        assert imports.wait_for_job(name)["state"] == "completed"


def in_airflow(page: Page) -> FrameLocator:
    """Open the importer by Airflow's navigation; return its frame."""
    page.get_by_role("link", name="Imports").first.click()
    return page.frame_locator("iframe")


def open_pool(page: Page, name: str) -> FrameLocator:
    """Go to a pool as people do: Imports, Pools, the pool."""
    frame = in_airflow(page)
    frame.get_by_role("link", name="Pools", exact=True).click()
    frame.get_by_role("link", name=name).click()
    expect(frame.get_by_role("heading", level=1)).to_have_text(name)
    return frame


def figure(frame: FrameLocator, term: str) -> str:
    """Return one of the figures of a pool's stock."""
    return frame.locator(".figures > div", has=frame.locator("dt", has_text=term)).locator("dd").first.inner_text()


def test_a_dropped_file_is_in_the_list_inside_airflow(page: Page, shoot: Shoot) -> None:
    frame = in_airflow(page)
    row = frame.get_by_role("row").filter(has_text="promo pools.csv")
    expect(row).to_contain_text("loaded")
    assert "/plugin/imports" in page.url
    shoot(page, "imports")


def test_the_list_has_both_kinds_of_pools(page: Page, shoot: Shoot) -> None:
    frame = in_airflow(page)
    frame.get_by_role("link", name="Pools", exact=True).click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Pools")
    row = frame.get_by_role("row").filter(has_text="everyday")
    expect(row.get_by_role("cell").last).to_have_text("50.00")
    shoot(page, "pools")
    row.get_by_role("link").click()
    expect(frame.get_by_role("row").filter(has_text="Inactive")).to_contain_text("2")
    shoot(page, "gift-card-pool")


def test_pg01_codes_are_generated_and_the_page_follows(page: Page, imports: Imports, shoot: Shoot) -> None:
    frame = open_pool(page, "Autumn codes")
    expect(frame.get_by_text("codes available for generation")).to_be_visible()
    frame.get_by_label("Quantity").fill("50")
    frame.get_by_label("Generate more when the pool runs out").select_option("off")
    frame.get_by_role("button", name="Generate").dblclick()
    row = frame.get_by_role("row").filter(has_text="generation ")
    expect(row).to_contain_text("completed", timeout=PATIENCE_MILLISECONDS)
    expect(row).to_contain_text("admin")
    expect(frame.locator(".figures dd").first).to_have_text("50")
    assert figure(frame, "Threshold") == "60 below it"
    expect(frame.locator("#own-format")).to_contain_text("50 generated")
    expect(frame.get_by_role("img", name="Stock from")).to_be_visible()
    shoot(page, "promo-code-pool")
    generations = imports.query("SELECT launched_by, state, added FROM ledger.promo_code_generation")
    assert generations == [{"launched_by": "admin", "state": "completed", "added": 50}]
    codes = "SELECT count(*) AS codes FROM loyalty.promo_code WHERE pool_system_id = 'autumn'"
    assert imports.query(codes) == [{"codes": 50}]


def test_pg02_what_the_format_can_not_give_is_shown_at_the_form(page: Page) -> None:
    frame = open_pool(page, "Autumn codes")
    frame.get_by_label("Quantity").fill("9" * 18)
    frame.get_by_role("button", name="Generate").click()
    expect(frame.get_by_role("alert")).to_contain_text("available for generation. Take fewer")
    assert frame.get_by_label("Quantity").input_value() == "9" * 18


def test_pp01_a_draft_is_launched_by_keyboard_alone(page: Page, imports: Imports, shoot: Shoot) -> None:
    frame = open_pool(page, "Winter codes")
    description = frame.get_by_label("Description")
    description.focus()
    page.keyboard.type("For the winter")
    page.keyboard.press("Tab")
    shoot(page, "launch")
    page.keyboard.press("Enter")
    expect(frame.get_by_text("admin asked for the launch")).to_contain_text("completed", timeout=PATIENCE_MILLISECONDS)
    expect(frame.get_by_role("button", name="Launch")).to_have_count(0)
    (pool,) = imports.query("SELECT state, description FROM loyalty.promo_code_pool WHERE system_id = 'winter'")
    assert pool == {"state": "active", "description": "For the winter"}
    (job,) = imports.query("SELECT launched_by, state FROM ledger.import_job WHERE dag_run_id LIKE 'launch%'")
    assert job == {"launched_by": "admin", "state": "completed"}


def test_a_link_to_a_run_leaves_the_frame(page: Page) -> None:
    frame = open_pool(page, "Autumn codes")
    frame.get_by_role("link", name="generation ").first.click()
    page.wait_for_url("**/dags/generate_promo_codes/runs/**")


def test_a_hostile_name_is_text_and_its_pool_can_be_reached(page: Page) -> None:
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    frame = open_pool(page, HOSTILE)
    expect(frame.locator("code").first).to_have_text(HOSTILE)
    expect(frame.locator("img[src]")).to_have_count(0)
    assert dialogs == []


def test_the_pages_follow_airflows_theme(page: Page, shoot: Shoot) -> None:
    frame = open_pool(page, "Autumn codes")
    brightness = {}
    for theme in ("light", "dark"):
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        page.reload()
        expect(frame.locator("html")).to_have_attribute("data-theme", theme)
        frame.get_by_role("heading", level=1).wait_for()
        colours = frame.locator("body").evaluate(
            "body => [getComputedStyle(body).backgroundColor, getComputedStyle(body).color]"
        )
        brightness[theme] = [sum(map(int, colour.strip("rgb()").split(","))) for colour in colours]
    assert brightness["light"][0] > 700 > brightness["light"][1]
    assert brightness["dark"][0] < 100 < brightness["dark"][1]
    page.goto("/imports/pools/promo-codes/autumn")
    expect(page.get_by_role("img", name="Stock from")).to_be_visible()
    shoot(page, "promo-code-pool-dark")
    page.goto("/imports/pools")
    shoot(page, "pools-dark")


def test_a_viewer_looks_and_can_start_nothing(viewer_page: Page, imports: Imports, shoot: Shoot) -> None:
    frame = open_pool(viewer_page, "Autumn codes")
    expect(frame.get_by_role("heading", name="Uploads and generations")).to_be_visible()
    expect(frame.get_by_role("button", name="Generate")).to_have_count(0)
    shoot(viewer_page, "viewer")
    frame = open_pool(viewer_page, HOSTILE)
    expect(frame.get_by_role("button", name="Launch")).to_have_count(0)
    before = imports.query("SELECT count(*) FROM ledger.promo_code_generation")
    for action in ("generate", "launch"):
        status = frame.locator("body").evaluate(
            """async (body, action) => {
                const form = new URLSearchParams({token: "0".repeat(16), quantity: "1"});
                return (await fetch(`/imports/pools/${action}?pool=autumn`, {method: "POST", body: form})).status;
            }""",
            action,
        )
        assert status == 403
    assert imports.query("SELECT count(*) FROM ledger.promo_code_generation") == before


def test_nobody_sees_a_pool_without_signing_in(open_page: Callable[..., Page]) -> None:
    answer = open_page().goto(f"/imports/pools/promo-codes/{quote('autumn')}")
    assert answer is not None
    assert answer.status == 401
