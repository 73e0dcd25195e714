"""Files uploaded, reviewed and repaired in a real browser, inside Airflow's own. Source: X-06, X-09, X-10."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.test_pools import in_airflow
from tests.end_to_end.imports import SETTLES_SOON, UNASKED, Imports, card_numbers, pools

pytestmark = pytest.mark.browser

Shoot = Callable[[Page, str], None]
PATIENCE_MILLISECONDS = 60_000
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module", autouse=True)
def pool(imports: Imports) -> str:
    imports.drop("gift_card_pools", "pool of uploads.csv", pools("uploads"), SETTLES_SOON)
    assert imports.wait_for_job("pool of uploads.csv")["state"] == "completed"
    return "uploads"


def rows(series: int, *pools_named: str) -> list[str]:
    """Return a row of a card for each pool."""
    return [
        f"{number},{pool},25" for number, pool in zip(card_numbers(series, len(pools_named)), pools_named, strict=True)
    ]


def upload(page: Page, name: str, content: str) -> FrameLocator:
    """Choose type and file as people do; return the frame, which shows the preview."""
    frame = in_airflow(page)
    frame.get_by_role("link", name="Upload", exact=True).click()
    frame.get_by_role("link", name="Gift cards", exact=True).click()
    frame.get_by_label("Gift cards, a .csv or .txt file").set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    )
    frame.get_by_role("button", name="Upload and preview").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text(name, timeout=PATIENCE_MILLISECONDS)
    return frame


def test_x09_a_file_is_uploaded_mapped_counted_launched_and_its_rejects_are_repaired(
    page: Page, imports: Imports, shoot: Shoot, tmp_path: Path
) -> None:
    header = "card_number,pool_system_name,Betrag"
    content = "\n".join([header, *rows(9_100, "uploads", "uploads", "nowhere"), ""])
    frame = upload(page, "spring cards.csv", content)
    expect(frame.get_by_role("alert").first).to_contain_text("Not ready to launch")
    frame.get_by_label("Card balance").select_option(label="Betrag")
    frame.get_by_role("button", name="Preview again").click()
    expect(frame.get_by_role("row").filter(has_text="rejected")).to_have_count(1, timeout=PATIENCE_MILLISECONDS)
    for number in card_numbers(9_100, 3):
        expect(frame.get_by_text(number)).to_have_count(0)
    frame.get_by_role("button", name="Dry run").click()
    counted = frame.get_by_role("table", name="Counts over the whole file").get_by_role("cell")
    expect(counted).to_have_text(["2", "0", "0", "0", "1"], timeout=PATIENCE_MILLISECONDS)
    assert imports.loaded(*card_numbers(9_100, 3)) == []
    shoot(page, "upload")
    frame.get_by_role("button", name="Launch", exact=True).click()
    expect(frame.locator(".state").first).to_have_text("some rejected", timeout=PATIENCE_MILLISECONDS)
    expect(frame.get_by_text("pool_system_name.known").first).to_be_visible()
    (job,) = imports.query("SELECT * FROM ledger.import_job WHERE file_name = 'spring cards.csv' AND NOT is_dry_run")
    assert (job["launched_by"], imports.rows(job)) == ("admin", {"read": 3, "inserted": 2, "rejected": 1})
    expect(frame.get_by_text("Writing the reports")).to_have_count(0, timeout=PATIENCE_MILLISECONDS)
    shoot(page, "import")
    with page.expect_download() as downloading:
        frame.locator("#file-rejected").click()
    rejected = tmp_path / "rejected.csv"
    downloading.value.save_as(rejected)
    text = rejected.read_text()
    assert rows(9_100, "uploads", "uploads", "nowhere")[2] in text
    with page.expect_download() as downloading:
        frame.locator("#file-original").click()
    original = tmp_path / "original.csv"
    downloading.value.save_as(original)
    assert original.read_bytes() == content.encode()
    imports.drop("gift_cards", "spring cards mended.csv", text.replace("nowhere", "uploads").encode(), SETTLES_SOON)
    assert imports.wait_for_job("spring cards mended.csv")["state"] == "completed"
    page.goto(f"/imports/jobs/{job['id']}")
    expect(page.get_by_text("1 rejected: 1 fixed by later imports, 0 open")).to_be_visible()
    page.get_by_role("link", name="View the rejected row").click()
    shoot(page, "rejected-rows")
    assert len(imports.loaded(*card_numbers(9_100, 3))) == 3


def test_x19_a_dry_run_of_a_dropped_file_is_imported_for_real(page: Page, imports: Imports) -> None:
    number = card_numbers(9_105, 1)[0]
    content = f"card_number,pool_system_name,balance\n{number},uploads,1\n".encode()
    imports.drop("gift_cards", "tried.csv", content, SETTLES_SOON | {"dry_run": True})
    job = imports.wait_for_job("tried.csv")
    assert imports.loaded(number) == []
    page.goto(f"/imports/jobs/{job['id']}")
    page.get_by_role("button", name="Import it for real").click()
    page.get_by_role("button", name="Launch", exact=True).click()
    expect(page.locator(".state").first).to_have_text("loaded", timeout=PATIENCE_MILLISECONDS)
    assert len(imports.loaded(number)) == 1


def test_a_file_of_200_000_rejects_makes_pages_of_few_elements(page: Page, imports: Imports, shoot: Shoot) -> None:
    """Source: X-08. What a browser has to draw doesn't grow with the file."""
    rows_ = "".join(f"{number:016d},nowhere,-{number}\n" for number in range(200_000))
    imports.drop("gift_cards", "all bad.csv", f"card_number,pool_system_name,balance\n{rows_}".encode(), UNASKED)
    job = imports.wait_for_job("all bad.csv")
    assert imports.rows(job) == {"read": 200_000, "rejected": 200_000}
    for path in ("", "/rejects", "/rejects?after=150000", "/rejects?rule=balance.negative"):
        page.goto(f"/imports/jobs/{job['id']}{path}")
        expect(page.get_by_role("heading", level=1)).to_contain_text(f"mport {job['id']}")
        assert page.locator("*").count() < 1_500
    page.goto(f"/imports/jobs/{job['id']}")
    shoot(page, "all-rejected")
    page.get_by_role("link", name="Validation as Great Expectations shows it").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    shoot(page, "validation")


def test_pc01_pasted_codes_are_previewed_and_launched_by_keyboard(page: Page, imports: Imports, shoot: Shoot) -> None:
    imports.drop("promo_code_pools", "pasted.csv", b"system_id,name\npasted,Pasted codes\n", SETTLES_SOON)
    assert imports.wait_for_job("pasted.csv")["state"] == "completed"
    page.goto("/imports/pools/promo-codes/pasted")
    page.get_by_role("link", name="paste some").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Pool that the codes go to")).to_have_value("pasted")
    page.get_by_label("Codes, one a line").focus()
    page.keyboard.insert_text("PASTED1\nPASTED2\nPASTED1\n")
    shoot(page, "paste")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Launch", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".state").first).to_have_text("some rejected", timeout=PATIENCE_MILLISECONDS)
    codes = imports.query("SELECT code FROM loyalty.promo_code WHERE pool_system_id = 'pasted' ORDER BY 1")
    assert [row["code"] for row in codes] == ["PASTED1", "PASTED2"]
    page.goto("/imports/templates")
    shoot(page, "templates")


def test_hostile_names_and_headers_are_text(page: Page, imports: Imports) -> None:
    content = "\n".join(
        [f"card_number,pool_system_name,balance,{HOSTILE}", f"{card_numbers(9_101, 1)[0]},uploads,1,x", ""]
    )
    imports.drop("gift_cards", f"{HOSTILE}.csv".replace("/", ""), content.encode(), SETTLES_SOON)
    job = imports.wait_for_job(f"{HOSTILE}.csv")
    frame = in_airflow(page)
    frame.get_by_role("row").filter(has_text=HOSTILE).get_by_role("link").first.click()
    expect(frame.get_by_role("heading", level=1)).to_have_text(f"Import {job['id']}")
    expect(frame.get_by_text(HOSTILE).first).to_be_visible()
    expect(frame.locator("img[src=x]")).to_have_count(0)


def test_a_viewer_reads_and_has_no_rows_and_uploads_nothing(viewer_page: Page, imports: Imports) -> None:
    """Source: X-21."""
    frame = in_airflow(viewer_page)
    frame.get_by_role("row").filter(has_text="pool of uploads.csv").get_by_role("link").first.click()
    expect(frame.get_by_text("for those who may launch").first).to_be_visible()
    expect(frame.locator("#file-original")).to_have_count(0)
    frame.get_by_role("link", name="Upload", exact=True).click()
    expect(frame.get_by_text("You don't have permission to import files")).to_be_visible()
    expect(frame.get_by_role("button")).to_have_count(0)


def test_x06_a_review_is_answered_in_airflow_with_another_column(page: Page, imports: Imports, shoot: Shoot) -> None:
    number = card_numbers(9_102, 1)[0]
    content = f"card_number,pool_system_name,balance,Betrag\n{number},uploads,1,20\n".encode()
    open_question(page, imports, "amounts.csv", content)
    shoot(page, "review")
    choose(page, "Card balance", "Betrag (column 4)")
    page.get_by_role("button", name="Launch", exact=True).click()
    job = imports.wait_for_job("amounts.csv")
    assert job["state"] == "completed"
    assert imports.query("SELECT balance::int FROM loyalty.gift_card WHERE card_number = :n", n=number) == [
        {"balance": 20}
    ]
    page.goto(f"/imports/jobs/{job['id']}")
    expect(page.get_by_text("launch by admin")).to_be_visible()
    shoot(page, "reviewed")


def test_x06_a_review_that_is_rejected_loads_nothing(page: Page, imports: Imports) -> None:
    number = card_numbers(9_103, 1)[0]
    open_question(page, imports, "unwanted.csv", f"card_number,pool_system_name,balance\n{number},uploads,1\n".encode())
    page.get_by_role("button", name="Reject", exact=True).click()
    job = imports.wait_for_job("unwanted.csv")
    assert (job["state"], job["refusal_rule"]) == ("cancelled", "review.rejected")
    assert imports.loaded(number) == []


def test_x06_a_wrong_mapping_comes_back_with_the_reason_and_pages_say_when_they_are_cut_off(
    page: Page, imports: Imports, shoot: Shoot
) -> None:
    number = card_numbers(9_104, 1)[0]
    open_question(page, imports, "twice.csv", f"card_number,pool_system_name,balance\n{number},uploads,1\n".encode())
    choose(page, "Card balance", "(skip)")
    with page.expect_response(lambda response: response.request.method == "PATCH"):
        page.get_by_role("button", name="Launch", exact=True).click()
    (job,) = imports.jobs("twice.csv")
    page.goto(f"/imports/jobs/{job['id']}")
    # The second question appears by itself, with what was wrong with the first answer.
    expect(page.get_by_text("Card balance is required").first).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    expect(page.get_by_role("link", name="Review", exact=True)).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    stale = page.get_by_text("This page is not up to date")
    expect(stale).to_be_hidden()
    page.context.set_offline(True)
    expect(stale).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    page.context.set_offline(False)
    expect(stale).to_be_hidden(timeout=PATIENCE_MILLISECONDS)
    page.get_by_role("link", name="Review", exact=True).click()
    expect(page.get_by_text("Why you are asked")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    shoot(page, "review-again")
    choose(page, "Card balance", "balance (column 3)")
    page.get_by_role("button", name="Launch", exact=True).click()
    assert imports.wait_for_job("twice.csv")["state"] == "completed"
    assert len(imports.loaded(number)) == 1


def open_question(page: Page, imports: Imports, name: str, content: bytes) -> None:
    """Drop a file that awaits review, and go to its form from the job's page."""
    imports.drop("gift_cards", name, content, SETTLES_SOON | {"review": True})
    imports.wait_for_question(name)
    (waiting,) = imports.jobs(name)
    frame = in_airflow(page)
    frame.get_by_role("row").filter(has_text=name).get_by_role("link").first.click()
    expect(frame.get_by_role("heading", level=1)).to_have_text(f"Import {waiting['id']}")
    frame.get_by_role("link", name="Review", exact=True).click()
    expect(page.get_by_text("Why you are asked")).to_be_visible(timeout=PATIENCE_MILLISECONDS)
    expect(page.get_by_role("button", name="Launch", exact=True)).to_be_visible()


def choose(page: Page, field: str, column: str) -> None:
    """Choose a column in one of the form's dropdowns."""
    page.get_by_label(field).first.click()
    page.get_by_role("option", name=column).click()
