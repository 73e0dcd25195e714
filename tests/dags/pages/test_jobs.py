"""The list of imports and the page of one, for real jobs. Source: X-08, X-09, X-10, X-20."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from include.ledger.jobs import JobResult
from include.stages import reporting, retention
from tests.dags.test_import_runs import CARDS, HEADER, POOLS

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]
Load = Callable[..., JobResult]
RUN = "manual__2026-01-31T12:00:02+00:00"
CANARY = "4929333344445555"
NOT_A_NUMBER = "9876.54.321"


class _Texts(HTMLParser):
    """Collects what a reader sees, and the elements."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parse(page: str) -> _Texts:
    parser = _Texts()
    parser.feed(page)
    return parser


@pytest.fixture
def rejected(load: Load) -> None:
    """Job 2: two cards loaded, three rejected."""
    load("gift_card_pools", "p.csv", POOLS)
    rows = f"{CANARY},nowhere,50\n4000000000000003,fifty,{NOT_A_NUMBER}\n4000000000000004,nowhere,{NOT_A_NUMBER}\n"
    load("gift_cards", "cards.csv", CARDS + rows)


def test_the_list_shows_type_file_state_and_counts(browse: Browse, rejected: None) -> None:
    page = parse(browse("viewer").get("/imports/").text)
    assert {"2", "Gift cards", "cards.csv", "somebody", "mostly rejected"} <= set(page.texts)
    (poll,) = [attributes for _, attributes in page.elements if attributes.get("id") == "jobs"]
    assert "hx-get" not in poll  # nothing runs


def test_a_page_with_a_running_job_asks_for_itself_again(browse: Browse, rejected: None, connected: Any) -> None:
    with connected.owner.begin() as connection:
        connection.execute(sa.text("UPDATE ledger.import_job SET state = 'running', finished_at = NULL WHERE id = 2"))
    page = parse(browse("viewer").get("/imports/", params={"type": "gift_cards", "name": "ca&r=d"}).text)
    (poll,) = [attributes for _, attributes in page.elements if attributes.get("id") == "jobs"]
    assert "hx-get" not in poll  # the filter leaves the running one out
    page = parse(browse("viewer").get("/imports/", params={"type": "gift_cards", "name": "ards"}).text)
    (poll,) = [attributes for _, attributes in page.elements if attributes.get("id") == "jobs"]
    assert poll["hx-get"] == "/imports/?type=gift_cards&name=ards"
    page = parse(browse("viewer").get("/imports/jobs/2").text)
    (poll,) = [attributes for _, attributes in page.elements if attributes.get("id") == "job"]
    assert poll["hx-get"] == "/imports/jobs/2"
    assert any("1 of 1 chunks checked: 5 rows, 3 rejected so far." in text for text in page.texts)


def test_a_page_follows_a_job_until_its_reports_are_written(browse: Browse, rejected: None, connected: Any) -> None:
    with connected.owner.begin() as connection:
        connection.execute(sa.text("UPDATE ledger.import_job SET finished_at = NULL WHERE id = 2"))
    page = parse(browse("viewer").get("/imports/jobs/2").text)
    (poll,) = [attributes for _, attributes in page.elements if attributes.get("id") == "job"]
    assert poll["hx-get"] == "/imports/jobs/2"
    assert "Writing the reports …" in page.texts


@pytest.mark.parametrize(
    ("query", "expected_jobs"),
    [
        ({"type": "gift_cards"}, {2}),
        ({"type": "nonsense"}, set()),
        ({"state": "completed"}, {1}),
        ({"state": "refused"}, set()),
        ({"name": "CARDS"}, {2}),
        ({"name": "%"}, set()),
        ({"since": "2000-01-01", "until": "2000-01-02"}, set()),
        ({"since": "2000-01-01"}, {1, 2}),
        ({"before": "2"}, {1}),
        ({"after": "1"}, {2}),
    ],
)
def test_the_list_is_filtered(browse: Browse, rejected: None, query: dict[str, str], expected_jobs: set[int]) -> None:
    page = parse(browse("viewer").get("/imports/", params=query).text)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a" and attributes.get("id")]
    assert {link for link in links if "/jobs/" in str(link)} == {f"/imports/jobs/{job}" for job in expected_jobs}


@pytest.mark.parametrize(
    "query", ["since=yesterday", "before=x", f"before={2**63}", "name=" + "x" * 201, "name=%00", "state=a%00"]
)
def test_an_invalid_query_is_answered_with_a_page(browse: Browse, connected: Any, query: str) -> None:
    answer = browse("viewer").get(f"/imports/?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")


def test_x20_the_page_of_a_job_quotes_no_value_that_rows_do_not_share(browse: Browse, rejected: None) -> None:
    """Source: X-08, X-20: such a value may be a code or a name; the number of a card is no page's whatever it is."""
    for address in ("/imports/jobs/2", "/imports/jobs/2/rejects"):
        answer = browse("viewer").get(address)
        assert answer.status_code == 200
        assert CANARY not in answer.text
        assert "nowhere" not in answer.text
        assert NOT_A_NUMBER not in answer.text
        assert "Pool … does not exist." in answer.text
        assert "Card balance … is not a number." in answer.text
    page = parse(browse("viewer").get("/imports/jobs/2").text)
    bars = [attributes["width"] for tag, attributes in page.elements if tag == "rect"]
    assert bars == ["160", "160"]  # two of three rejected rows each
    (run,) = [attributes for _, attributes in page.elements if attributes.get("id") == "run"]
    assert run["target"] == "_top"
    assert str(run["href"]).startswith("/dags/import_gift_cards/runs/")


def test_x08_rules_lead_to_the_documentation_where_it_is_served(
    browse: Browse, rejected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def links(address: str) -> list[str]:
        page = parse(browse("viewer").get(address).text)
        return [str(attributes["href"]) for _, attributes in page.elements if attributes.get("class") == "rule"]

    addresses = ("/imports/jobs/2", "/imports/jobs/2/rejects")
    assert [links(address) for address in addresses] == [[], []]
    monkeypatch.setenv("AIRFLOW__IMPORTER__DOCS_URL", "https://docs.example.com")
    for address in addresses:
        shown = links(address)
        assert "https://docs.example.com/reference/rules/gift_cards/#balancenot_decimal" in shown
        assert all(link.startswith("https://docs.example.com/reference/rules/gift_cards/#") for link in shown)


def test_rejected_rows_are_paged_by_line_and_by_rule(browse: Browse, rejected: None) -> None:
    browser = browse("viewer")
    page = parse(browser.get("/imports/jobs/2/rejects?after=4").text)
    rows = [attributes for tag, attributes in page.elements if tag == "th" and attributes.get("scope") == "row"]
    assert len(rows) == 2
    page = parse(browser.get("/imports/jobs/2/rejects?rule=balance.not_decimal").text)
    assert {"5", "6"} <= set(page.texts)
    assert "4" not in page.texts
    assert browser.get("/imports/jobs/2/rejects?rule=no.such").status_code == 200


def test_files_are_downloaded_whole_and_kept_from_running(browse: Browse, rejected: None) -> None:
    browser = browse("viewer")
    answer = browse("user").get("/imports/jobs/2/files/rejected")
    assert answer.headers["content-disposition"].startswith('attachment; filename="cards.rejected.csv"')
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["_line"], row["card_number"]) for row in rows] == [
        ("4", CANARY), ("5", "4000000000000003"), ("6", "4000000000000004"),
    ]  # fmt: skip
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert browse("user").get("/imports/jobs/2/files/summary").json()["job"] == 2
    assert browser.get("/imports/jobs/2/files/evidence").json()["suite_name"] == "gift_cards"
    assert browse("user").get("/imports/jobs/2/files/not-found").status_code == 404
    assert browse("user").get("/imports/jobs/2/files/nonsense").status_code == 404
    assert browse("user").get("/imports/jobs/1/files/rejected").status_code == 404
    assert browse("user").get("/imports/jobs/99/files/original").status_code == 404
    assert browser.get("/imports/jobs/99").status_code == 404


def test_the_original_file_comes_back_byte_for_byte(browse: Browse, load: Load) -> None:
    """From the archive, and a refused one from the quarantine."""
    content = b"\xef\xbb\xbfpool_name\tpool_system_name\r\n=1+1\t\x00\xff\r"
    load("gift_card_pools", "broken.csv", content)
    browser = browse("viewer")
    assert browse("user").get("/imports/jobs/1/files/original").content == content
    page = browser.get("/imports/jobs/1").text
    assert 'class="state refused"' in page
    assert "file.not_utf8" in page or "file.encoding" in page


def test_what_retention_has_deleted_is_gone_and_says_so(browse: Browse, rejected: None, connected: Any) -> None:
    """Source: X-20."""
    from datetime import UTC, datetime, timedelta

    from loyalty_airflow.runtime import open_runtime

    browser = browse("viewer")
    assert browse("user").get("/imports/jobs/2/files/original").status_code == 200
    with open_runtime() as runtime:  # as the DAG of retention does
        retention.delete_expired(runtime, datetime.now(UTC) + timedelta(days=10_000))
    for kind in ("rejected", "original"):
        answer = browse("user").get(f"/imports/jobs/2/files/{kind}")
        assert answer.status_code == 410
        assert "no longer kept" in answer.text
    assert browse("user").get("/imports/jobs/2/files/not-found").status_code == 404
    assert browse("user").get("/imports/jobs/2/files/summary").status_code == 200
    assert browser.get("/imports/jobs/2").status_code == 200


def test_a_report_that_a_person_deleted_is_gone(browse: Browse, rejected: None, folders: Any) -> None:
    (file,) = folders.reports.rglob("*.rejected.csv")
    file.unlink()
    assert browse("user").get("/imports/jobs/2/files/rejected").status_code == 410


def test_a_repair_shows_on_both_jobs_with_open_and_fixed_rows(browse: Browse, rejected: None, load: Load) -> None:
    """Source: X-09."""
    browser = browse("viewer")
    text = browse("user").get("/imports/jobs/2/files/rejected").text
    repaired = text.replace(f"fifty,{NOT_A_NUMBER}", "fifty,50")
    load("gift_cards", "cards.rejected.csv", repaired)
    page = browser.get("/imports/jobs/2").text
    assert "1 fixed by later imports, 2 open" in page
    assert "1 of its 3 rejects fixed" in page
    assert '<a href="/imports/jobs/3">import 3</a>' in page
    assert "Repairs" in browser.get("/imports/jobs/3").text
    assert '<a href="/imports/jobs/3">import 3</a>' in browser.get("/imports/jobs/2/rejects").text


def test_a_repeat_names_the_earlier_job_and_the_other_way_round(browse: Browse, load: Load) -> None:
    for name in ("a.csv", "b.csv"):
        load("gift_card_pools", name, POOLS)
    assert "The same content was imported before" in browse("viewer").get("/imports/jobs/2").text
    assert "Repeated by" in browse("viewer").get("/imports/jobs/1").text


def test_a_run_leads_to_its_job(browse: Browse, rejected: None) -> None:
    browser = browse("viewer")
    answer = browser.get(f"/imports/runs/import_gift_cards/{RUN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/imports/jobs/2")
    assert browser.get("/imports/runs/import_gift_cards/none").status_code == 404
    answer = browser.get(f"/imports/runs/delete_expired_files/{RUN}")
    assert answer.status_code == 404
    assert "This run of delete_expired_files has no import." in answer.text
    for dag, page in (("pick_up_files", "/imports/"), ("top_up_promo_pools", "/imports/pools")):
        answer = browser.get(f"/imports/runs/{dag}/{RUN}")
        assert (answer.status_code, answer.headers["location"]) == (303, page)


def test_airflow_shows_the_job_on_the_page_of_its_run(browse: Browse, rejected: None) -> None:
    views = [
        view for plugin in browse("admin").get("/api/v2/plugins").json()["plugins"] for view in plugin["external_views"]
    ]
    (view,) = [view for view in views if view["destination"] == "dag_run"]
    address = view["href"].replace("{DAG_ID}", "import_gift_cards").replace("{RUN_ID}", RUN)
    assert browse("viewer").get(address).headers["location"] == "/imports/jobs/2"


def test_great_expectations_own_page_loads_and_runs_nothing(browse: Browse, rejected: None) -> None:
    answer = browse("viewer").get("/imports/jobs/2/validation")
    assert answer.status_code == 200
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    page = parse(answer.text)
    assert "card_number.required: Card number is blank" in answer.text
    assert CANARY not in answer.text
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "form"}
    foreign = [
        (tag, name, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name.startswith("on") or (name in ("href", "src") and not str(value).startswith("#"))
    ]
    assert foreign == [("a", "href", "/imports/jobs/2")]  # the way back


def test_an_outage_of_the_warehouse_is_a_page_not_a_trace(
    browse: Browse, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_PAGES", "postgres://nobody:secret@127.0.0.1:1/none")
    answer = browse("viewer").get("/imports/")
    assert answer.status_code == 503
    assert "could not be reached" in answer.text
    assert "secret" not in answer.text


def test_the_evidence_that_is_rendered_holds_no_values(browse: Browse, rejected: None) -> None:
    evidence = json.loads(browse("viewer").get("/imports/jobs/2/files/evidence").text)
    assert CANARY not in json.dumps(evidence)


def test_a_header_alone_makes_a_page_without_rows(browse: Browse, load: Load) -> None:
    load("gift_cards", "empty.csv", HEADER)
    page = browse("viewer").get("/imports/jobs/1").text
    assert "file.header_only" in page


def polled(page: str) -> str | None:
    """Return how often a page asks for itself, None when it doesn't."""
    (moving,) = [attributes for _, attributes in parse(page).elements if attributes.get("id") in ("job", "jobs")]
    return moving.get("hx-trigger")


@pytest.mark.parametrize(
    ("state", "often"), [("running", "every 2s"), ("awaiting_review", "every 10s"), ("failed", None)]
)
def test_pages_look_again_while_a_job_goes_on_or_a_person_may_answer(
    browse: Browse, rejected: None, connected: Any, state: str, often: str | None
) -> None:
    with connected.owner.begin() as connection:
        statement = sa.text("UPDATE ledger.import_job SET state = :state, finished_at = NULL WHERE id = 2")
        connection.execute(statement, {"state": state})
    for address in ("/imports/jobs/2", "/imports/"):
        assert polled(browse("viewer").get(address).text) == often


def test_paging_keeps_the_filter(browse: Browse, rejected: None, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from functools import partial

    from include.ledger import history

    load("gift_cards", "cards2.csv", f"{HEADER}4000000000000009,fifty,50\n")
    monkeypatch.setattr(history, "page_of_jobs", partial(history.page_of_jobs, size=1))
    browser = browse("viewer")
    asked = {"type": "gift_cards", "name": "cards", "since": "2000-01-01", "until": "2999-12-31"}
    page = parse(browser.get("/imports/", params=asked).text)
    (older,) = [attributes["href"] for _, attributes in page.elements if attributes.get("id") == "older"]
    assert str(older).startswith("/imports/?type=gift_cards&name=cards&since=2000-01-01&until=2999-12-31&before=3")
    page = parse(browser.get(str(older)).text)
    assert {"cards.csv"} == {"cards.csv", "cards2.csv", "p.csv"} & set(page.texts)
    (newer,) = [attributes["href"] for _, attributes in page.elements if attributes.get("id") == "newer"]
    assert "type=gift_cards" in str(newer)
    assert "cards2.csv" in parse(browser.get(str(newer)).text).texts
    last = browser.get("/imports/?before=1").text
    assert "There are no further imports." in last


def test_the_last_day_of_a_filter_is_part_of_it(browse: Browse, rejected: None, connected: Any) -> None:
    with connected.owner.begin() as connection:
        connection.execute(
            sa.text("UPDATE ledger.import_job SET launched_at = '2026-01-31 23:59:59.5+00' WHERE id = 2")
        )
    browser = browse("viewer")
    assert 'id="job-2"' in browser.get("/imports/?since=2026-01-31&until=2026-01-31").text
    assert 'id="job-2"' not in browser.get("/imports/?until=2026-01-30").text


def test_an_empty_list_says_why(browse: Browse, connected: Any) -> None:
    browser = browse("viewer")
    assert "Nothing has been imported yet." in browser.get("/imports/").text
    assert "No import fits the filter." in browser.get("/imports/?state=refused").text
    assert browser.get("/imports/?type=nonsense").status_code == 404


def test_rejected_rows_of_a_rule_stay_those_of_the_rule_when_one_pages_on(
    browse: Browse, rejected: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from include.ledger import history

    monkeypatch.setattr(history, "page_of_rejects", partial(history.page_of_rejects, size=1))
    text = browse("viewer").get("/imports/jobs/2/rejects?rule=balance.not_decimal").text
    assert 'href="/imports/jobs/2/rejects?after=5&amp;rule=balance.not_decimal" rel="next"' in text
    assert '<input type="hidden" name="rule" value="balance.not_decimal">' in text


def test_a_person_who_is_not_signed_in_is_led_to_the_sign_in(browse: Browse, connected: Any) -> None:
    answer = browse(None).get("/imports/jobs/1")
    assert answer.status_code == 401
    assert "You are not signed in." in answer.text
    assert '<a href="/" target="_top">Sign in</a>' in answer.text


def shown_fields(page: str) -> dict[str, str]:
    """Return what a browser would send of a page's form as it was shown."""
    fields, select = {}, ""
    for tag, attributes in parse(page).elements:
        name = attributes.get("name") or ""
        if tag == "select":
            select = name
        elif tag == "option" and ("selected" in attributes or select not in fields):
            fields[select] = attributes.get("value") or ""
        elif tag == "input":
            fields[name] = attributes.get("value") or ""
    return fields


def test_a_dry_run_is_imported_for_real_with_its_settings_and_columns(
    browse: Browse, load: Load, carry_out: Any, connected: Any
) -> None:
    """Source: X-10, X-19."""
    load("gift_card_pools", "p.csv", POOLS)
    rows = "Nummer;pool_system_name;balance\n4000000000000001;fifty;50\n"
    result = load("gift_cards", "cards.csv", rows, dry_run=True, delimiter=";", mapping={"Nummer": "card_number"})
    assert (result.state, result.rows.inserted) == ("completed", 1)
    browser = browse("user")
    page = browser.get(f"/imports/jobs/{result.job}").text
    assert "Import it for real" in page
    assert "Import it" not in browse("viewer").get(f"/imports/jobs/{result.job}").text
    answer = browser.post(f"/imports/jobs/{result.job}/upload")
    assert answer.status_code == 303
    address = answer.headers["location"]
    page = browser.get(address).text
    assert "Not ready to launch" not in page
    assert 'value="semicolon"' in page or 'value=";"' in page
    fields = shown_fields(page) | {"do": "launch"}
    chosen = {name: value for name, value in fields.items() if name.startswith("setting.") and value}
    assert chosen == {"setting.delimiter": ";"}
    assert fields["column.card_number"] == "0"
    assert browser.post(address, data=fields).headers["location"] == f"{address}/launched"
    assert carry_out("import_gift_cards", f"upload__{address.rsplit('/', 1)[1]}").state == "success"
    with connected.owner.connect() as connection:
        assert connection.execute(sa.text("SELECT card_number FROM loyalty.gift_card")).scalars().all() == [
            "4000000000000001"
        ]
        job = connection.execute(sa.text("SELECT * FROM ledger.import_job ORDER BY id DESC LIMIT 1")).one()
    assert (job.launched_by, job.is_dry_run, job.state) == ("the user", False, "completed")
    assert "Import it" not in browser.get(f"/imports/jobs/{job.id}").text


def test_x19_settings_that_the_form_does_not_offer_are_shown_and_can_be_left_out(browse: Browse, load: Load) -> None:
    """What may be data in them is masked. Source: X-11, X-19, X-20."""
    load("gift_card_pools", "p.csv", POOLS)
    rows = "Nummer,pool_system_name,balance\n4000000000000001,fifty,50\n"
    result = load("gift_cards", "c.csv", rows, dry_run=True, retention_days=7, mapping={"Nummer": "card_number"})
    browser = browse("user")
    address = browser.post(f"/imports/jobs/{result.job}/upload").headers["location"]
    page = browser.get(address).text
    assert '<select id="taken-over-retention_days" name="leave_out.retention_days"><option value="">7</option>' in page
    assert '<option value="">1 columns named, as the table of columns shows</option>' in page
    fields = shown_fields(page)
    assert browser.post(address, data=fields | {"do": "preview"}).status_code == 303
    assert browser.get(address).text == page
    assert browser.post(address, data=fields | {"leave_out.retention_days": "yes"}).status_code == 303
    page = browser.get(address).text
    assert "retention_days" not in page
    assert shown_fields(page)["column.card_number"] == "0"


def test_a_refused_file_is_imported_again_until_it_is_no_longer_kept(
    browse: Browse, load: Load, connected: Any
) -> None:
    from datetime import UTC, datetime, timedelta

    from loyalty_airflow.runtime import open_runtime

    result = load("gift_cards", "cards.csv", "balance\n1\n")
    assert result.state == "refused"
    browser = browse("user")
    assert "Import it again" in browser.get(f"/imports/jobs/{result.job}").text
    address = browser.post(f"/imports/jobs/{result.job}/upload").headers["location"]
    assert "Not ready to launch" in browser.get(address).text
    with open_runtime() as runtime:  # as the DAG of retention does
        retention.delete_expired(runtime, datetime.now(UTC) + timedelta(days=10_000))
    assert "Import it again" not in browser.get(f"/imports/jobs/{result.job}").text
    assert browser.post(f"/imports/jobs/{result.job}/upload").status_code == 410
    assert browser.post("/imports/jobs/99/upload").status_code == 404


REVIEW = """
    INSERT INTO ledger.import_review (job_id, number, asked_at, answers_until, form_sha256, reasons, counts)
    VALUES (2, 2, '2026-01-31 12:00:00+00', '2026-01-31 18:00:00+00', 'x',
            '[{"rule": "review", "message": "The setting review asks for it."}]',
            '{"read": 5, "inserted": 2, "updated": 0, "unchanged": 0, "not_found": 0, "rejected": 3}')
"""


def test_a_job_that_awaits_review_shows_the_question_and_leads_who_may_answer_to_its_form(
    browse: Browse, rejected: None, connected: Any
) -> None:
    """Source: X-06."""
    with connected.owner.begin() as connection:
        connection.execute(sa.text(REVIEW))
        connection.execute(
            sa.text("UPDATE ledger.import_job SET state = 'awaiting_review', finished_at = NULL WHERE id = 2")
        )
    form = f"/dags/import_gift_cards/runs/{RUN}/tasks/review_mapping_2/required_actions".replace(":", "%3A")
    link = f'href="{form.replace("+", "%2B")}"'
    page = browse("user").get("/imports/jobs/2").text
    assert link in page
    assert "The setting review asks for it." in page
    assert "5 read, 2 inserted, 3 rejected" in page
    assert "2026-01-31 18:00:00 UTC" in page
    page = browse("viewer").get("/imports/jobs/2").text
    assert link not in page
    assert "To be reviewed by a user who may" in page
    with connected.owner.begin() as connection:
        connection.execute(sa.text("UPDATE ledger.import_job SET state = 'cancelled', finished_at = now()"))
    assert link not in browse("user").get("/imports/jobs/2").text


# -- outcomes, files of no type, values that may be read


@pytest.fixture
def outcomes(load: Load) -> dict[str, int]:
    """A job of every outcome of a completed one, and a dry run: outcome → job."""
    load("gift_card_pools", "p.csv", POOLS)
    bad, *more = (f"400000000000000{number},nowhere,50\n" for number in (9, 8, 7))
    results = {
        "loaded": load("gift_cards", "loaded.csv", CARDS),
        "some_rejected": load("gift_cards", "some.csv", CARDS + bad),
        "mostly_rejected": load("gift_cards", "most.csv", CARDS + bad + "".join(more)),
        "nothing_loaded": load("gift_cards", "nothing.csv", HEADER + bad),
        "empty": load("gift_cards", "empty.csv", HEADER),
        "rehearsal": load("gift_cards", "tried.csv", HEADER + bad, dry_run=True),
    }
    assert {name: result.outcome for name, result in results.items() if name != "rehearsal"} == {
        name: name for name in results if name != "rehearsal"
    }
    return {name: result.job for name, result in results.items()}


def test_x10_the_list_and_the_page_distinguish_outcomes(browse: Browse, outcomes: dict[str, int]) -> None:
    browser = browse("viewer")
    for outcome in ("loaded", "some_rejected", "mostly_rejected", "nothing_loaded", "empty"):
        page = parse(browser.get("/imports/", params={"state": outcome}).text)
        links = {attributes["href"] for tag, attributes in page.elements if tag == "a" and "/jobs/" in str(attributes)}
        wanted = {outcomes[outcome]} | ({outcomes["rehearsal"]} if outcome == "nothing_loaded" else set())
        wanted |= {1} if outcome == "loaded" else set()
        assert links == {f"/imports/jobs/{job}" for job in wanted}, outcome
        text = browser.get(f"/imports/jobs/{outcomes[outcome]}").text
        assert f'<span class="state {outcome}">{outcome.replace("_", " ")}</span>' in text
    assert "Nothing loaded of 1 row: 1 rejected." in browser.get(f"/imports/jobs/{outcomes['nothing_loaded']}").text


def test_x10_the_state_of_the_ledger_still_finds_its_jobs(browse: Browse, outcomes: dict[str, int]) -> None:
    page = browse("viewer").get("/imports/?state=completed_with_rejects").text
    assert all(f"/imports/jobs/{outcomes[name]}" in page for name in ("some_rejected", "mostly_rejected"))
    assert f'/imports/jobs/{outcomes["loaded"]}"' not in page


def test_x19_a_dry_run_says_so_in_the_list_and_on_its_page(browse: Browse, outcomes: dict[str, int]) -> None:
    page = parse(browse("viewer").get("/imports/?name=tried").text)
    assert {"dry run", "would load nothing"} <= set(page.texts)
    text = browse("viewer").get(f"/imports/jobs/{outcomes['rehearsal']}").text
    assert "Dry run: nothing was saved." in text
    assert "Nothing would load of 1 row: 1 rejected." in text
    assert ">nothing loaded<" not in text


def test_x12_the_page_of_an_entry_that_was_left_in_place_says_so(browse: Browse, connected: Any, folders: Any) -> None:
    from datetime import UTC, datetime, timedelta

    from include.arrivals import listing, refusals
    from loyalty_airflow.runtime import open_runtime

    folder = folders.landing / "customers"
    folder.mkdir(exist_ok=True)
    (folder / "cards.csv.settings (copy of Ada).yaml").write_text("dry_run: true")
    (folder / "cards.csv").write_text("Email")
    with open_runtime() as runtime:
        listed = listing.list_landing(runtime, datetime.now(UTC) + timedelta(hours=3))
        assert refusals.record_unusable(runtime, listed.unusable)
    text = browse("admin").get("/imports/jobs/1").text
    assert "It was left in the landing area." in text
    assert "<code>pick_up_files</code> lists what can't be imported" in text
    assert "no longer kept" not in text
    assert "the command line" not in text


@pytest.fixture
def stray(connected: Any, folders: Any) -> int:
    """A file that was dropped into no type's folder and refused, as `pick_up_files` does it."""
    from datetime import UTC, datetime, timedelta

    from include.arrivals import listing, refusals
    from loyalty_airflow.runtime import open_runtime

    (folders.landing / "vouchers").mkdir()
    (folders.landing / "vouchers" / "red.csv").write_text("a\n1\n")
    with open_runtime() as runtime:
        listed = listing.list_landing(runtime, datetime.now(UTC) + timedelta(minutes=10))
        (arrival,) = listed.ready
        job = refusals.refuse_arrival(runtime, arrival, run_key="pick_up_files/unknown__red")
        reporting.write_report(runtime, job)
        reporting.close_job(runtime, job)
    return job


def test_x01_a_file_of_no_types_folder_is_listed_and_its_page_says_why(browse: Browse, stray: int) -> None:
    browser = browse("viewer")
    for address in ("/imports/", "/imports/?type=unknown", "/imports/?state=refused"):
        assert f'href="/imports/jobs/{stray}"' in browser.get(address).text
    page = browser.get(f"/imports/jobs/{stray}").text
    assert "This file was in &#34;vouchers&#34;, which is not the folder of any import type." in page
    assert "No import type" in page
    assert "Import it again" not in browse("admin").get(f"/imports/jobs/{stray}").text
    assert browse("admin").get(f"/imports/jobs/{stray}/files/original").text == "a\n1\n"
    assert browser.get(f"/imports/jobs/{stray}/files/original").status_code == 403
    assert browser.get(f"/imports/jobs/{stray}/rejects").status_code == 200


def test_x08_the_values_of_a_rule_are_shown_with_their_rows(browse: Browse, load: Load) -> None:
    """1,500 rows of one missing pool are one line; the rows of a swapped column are not shown one by one (X-20)."""
    load("gift_card_pools", "p.csv", POOLS)
    rows = [f"{5_000_000_000_000_000 + number},{'xmas' if number % 3 else 'easter'},50" for number in range(30)]
    result = load("gift_cards", "late.csv", "\n".join([HEADER.strip(), *rows, ""]))
    page = parse(browse("viewer").get(f"/imports/jobs/{result.job}").text)
    texts = "".join(page.texts)
    assert "20 rows: Pool 'xmas' does not exist." in texts
    assert "10 rows: Pool 'easter' does not exist." in texts


def test_x20_swapped_columns_show_no_card_number_and_no_name(browse: Browse, load: Load) -> None:
    load("gift_card_pools", "p.csv", POOLS)
    swapped = "pool_system_name,card_number,balance\n"
    rows = "".join(f"{CANARY[:-2]}{number:02d},fifty,50\n" for number in range(10, 40))
    result = load("gift_cards", "swapped.csv", f"{swapped}{rows}")
    page = browse("viewer").get(f"/imports/jobs/{result.job}").text
    assert CANARY[:-2] not in page
    names = "".join(f"ann{number}@example.com,Anna-{number},Q{number}\n" for number in range(30))
    result = load("customers", "names.csv", f"email,sex,first_name\n{names}")
    page = browse("viewer").get(f"/imports/jobs/{result.job}").text
    assert result.rows.rejected == 30
    assert "Anna-" not in page


# -- pages that can't be shown


def test_error_pages_are_titled_by_what_went_wrong(browse: Browse, connected: Any) -> None:
    browser = browse("viewer")
    for address, title in (
        ("/imports/jobs/99", "There is nothing here"),
        ("/imports/nonsense", "There is nothing here"),
        ("/imports/?since=x", "This link is not valid"),
        ("/imports/jobs/x", "This link is not valid"),
    ):
        page = parse(browser.get(address).text)
        assert title in page.texts, address
        assert not {"Not Found", "Unprocessable Entity", "Unprocessable Content"} & set(page.texts), address
    assert "Use YYYY-MM-DD, for example 2026-01-31." in browser.get("/imports/?since=x").text


def test_an_outage_of_airflows_own_database_is_a_page_too(
    browse: Browse, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow asks it who the user is, before any page begins."""
    from airflow.api_fastapi.app import get_auth_manager

    def fail(*_: Any, **__: Any) -> None:
        raise sa.exc.OperationalError("SELECT secret", {}, Exception("secret"))

    browser = browse("viewer")
    monkeypatch.setattr(type(get_auth_manager()), "is_authorized_dag", fail)
    answer = browser.get("/imports/")
    assert answer.status_code == 503
    assert "database does not answer" in answer.text
    assert "secret" not in answer.text
