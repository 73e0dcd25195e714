"""The pages of gift card pools and promo code pools, and what can be done there.

Source: GP-04, PC-06, PG-01, PG-02, PG-03, PP-01, TU-01, TU-05, X-10, X-20.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.dags.conftest import load_dag, read_run
from tests.dags.pages.conftest import ROLES
from tests.integration import gift_cards, top_ups

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]
LAUNCHERS = ("user", "op", "admin")
HOSTILE = (
    "<script>alert(1)</script>", "a/b", "a/generate", "/", "..", ".", "=cmd|' /C calc'!A0", "100 %25 & more?x=1#top",
    "two\nlines", "\u202egnirts", '"><img src=x onerror=alert(1)>', "{{ 777 * 777 }}", "пул", "x" * 600,
)  # fmt: skip


def query(warehouse: Any, statement: str, **values: object) -> list[tuple[Any, ...]]:
    with warehouse.owner.begin() as connection:
        result = connection.execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


def pool_page(client: TestClient, system_id: str = "summer_pool") -> str:
    """Return the page of a pool, and the piece that the browser loads into it."""
    page = client.get(f"/imports/pools/promo-codes/{quote(system_id, safe='')}")
    piece = client.get("/imports/pools/promo-code-stock", params={"pool": system_id}, headers={"hx-request": "true"})
    assert (page.status_code, piece.status_code) == (200, 200)
    return page.text + piece.text


def words(page: str) -> str:
    """Return what people read of a page, blanks folded."""
    return " ".join(unescape(re.sub("<[^>]+>", " ", page)).split())


def rows(page: str) -> list[list[str]]:
    """Return the cells of all rows of all tables."""
    table_rows = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)
    return [[words(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in table_rows]


def figures(page: str) -> dict[str, str]:
    """Return the terms of all lists of terms."""
    return {
        words(term): words(definition)
        for term, definition in re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    }


def token(page: str) -> str:
    return re.findall('name="token" value="([0-9a-f]{16})"', page)[0]


def send(client: TestClient, action: str, *, pool: str, **form: str) -> Any:
    return client.post(f"/imports/pools/{action}", params={"pool": pool}, data=form)


@pytest.fixture
def pools(connected: Any) -> Any:
    """A gift card pool, a promo code pool with a format of 16 codes, and a draft."""
    with connected.owner.begin() as connection:
        gift_cards.add_pool(connection)
        top_ups.add_format(connection)
        top_ups.add_pool(connection, format="tiny", quantity=5, auto_generate=False, fill_method=None)
        top_ups.add_pool(connection, "draft", name="A draft", state="draft", description=None, **top_ups.UPLOAD)
    return connected


@pytest.fixture
def synced(airflow_database: None) -> Iterator[None]:
    """The DAGs as the scheduler and the API server know them; runs are deleted afterwards."""
    from airflow.models import DagModel, Log
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        if session.get(DagBundleModel, "testing") is None:
            session.add(DagBundleModel(name="testing"))
            session.flush()
        for dag_id in ("generate_promo_codes", "import_promo_code_pools"):
            dag = LazyDeserializedDAG.from_dag(load_dag(dag_id))
            SerializedDAG.bulk_write_to_db("testing", None, [dag], session=session)
            session.flush()
            SerializedDagModel.write_dag(dag, bundle_name="testing", bundle_version=None, session=session)
            session.get(DagModel, dag_id).is_paused = False
    yield
    with create_session() as session:
        session.execute(delete(DagRun))
        session.execute(delete(Log))


@pytest.fixture
def run_queued(synced: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Return a function that lets the runs that were started go on to their end, as a scheduler would."""
    from airflow.models import dagrun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from tests.dags.conftest import Run, take_up

    def run_all() -> list[Any]:
        ended = []
        for dag_run in started_runs():
            dag = load_dag(dag_run.dag_id)
            run = Run(dag_run.dag_id, dag_run.run_id, dag_run.state, {}, None)
            with create_session() as session:
                session.scalars(select(dagrun.DagRun).where(dagrun.DagRun.run_id == run.run_id)).one().state = "running"
            with monkeypatch.context() as patched:
                patched.setattr(
                    dagrun, "get_or_create_dagrun", lambda dag, session, run=run, **_: take_up(dag, session, run)
                )
                dag.test(run_conf=dag_run.conf)
            ended.append(read_run(run.dag_id, run.run_id))
        return ended

    return run_all


def started_runs() -> list[Any]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        runs = list(session.scalars(select(DagRun).order_by(DagRun.id)))
        session.expunge_all()
        return runs


# -- rights


@pytest.mark.parametrize(
    "path",
    [
        "", "/gift-cards/gifts", "/gift-cards?id=gifts", "/promo-codes/summer_pool", "/promo-codes?id=summer_pool",
        "/promo-code-stock?pool=summer_pool", "/promo-code-history?pool=summer_pool",
        "/promo-code-launches?pool=summer_pool",
    ],
)  # fmt: skip
def test_each_page_wants_a_user_and_shows_itself_to_every_role(browse: Browse, pools: Any, path: str) -> None:
    assert browse(None).get(f"/imports/pools{path}").status_code == 401
    assert [browse(role).get(f"/imports/pools{path}").status_code for role in ROLES] == [200] * len(ROLES)


@pytest.mark.parametrize("action", ["generate", "launch"])
def test_each_action_wants_the_right_to_start_its_dag(browse: Browse, pools: Any, synced: None, action: str) -> None:
    form = {"pool": "draft", "token": "0" * 16, "quantity": "no number", "description": ""}
    assert [send(browse(role), action, **form).status_code for role in (None, *ROLES)] == [401, 403, 422, 422, 422]
    assert started_runs() == []


def test_a_page_of_another_site_starts_nothing(browse: Browse, pools: Any, synced: None) -> None:
    page = browse("admin").get("/imports/pools/promo-codes/summer_pool").text
    for action in ("generate", "launch"):
        answer = browse("admin").post(
            f"/imports/pools/{action}?pool=summer_pool",
            data={"token": token(page), "quantity": "1"},
            headers={"sec-fetch-site": "cross-site"},
        )
        assert answer.status_code == 403
    assert started_runs() == []


def test_a_viewer_is_offered_no_action_and_sees_who_has_it(browse: Browse, pools: Any) -> None:
    for role in ROLES:
        page = pool_page(browse(role), "draft")
        assert ('<button type="submit">Launch</button>' in page, '<button type="submit">Generate</button>' in page) == (
            role in LAUNCHERS,
        ) * 2
    assert "It is launched by those who may start import_promo_code_pools" in pool_page(browse("viewer"), "draft")


@pytest.mark.parametrize(
    ("readable", "shown", "hidden"),
    [
        ({"import_gift_card_pools"}, {"Gift card pools"}, {"Promo code pools", "Balance", "Can be used"}),
        ({"import_gift_card_pools", "import_gift_cards"}, {"Gift card pools", "Balance"}, {"Promo code pools"}),
        ({"import_promo_code_pools"}, {"Promo code pools"}, {"Gift card pools"}),
    ],
)  # fmt: skip
def test_the_list_follows_the_rights_on_each_dag(
    browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch, readable: set[str], shown: set[str], hidden: set[str]
) -> None:
    may_read_only(monkeypatch, readable)
    page = words(browse("viewer").get("/imports/pools").text)
    assert {word for word in shown | hidden if word in page} == shown


def test_without_any_right_there_is_no_list_and_no_pool(
    browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read_only(monkeypatch, {"generate_promo_codes"})
    paths = ("", "/gift-cards/gifts", "/promo-codes/summer_pool", "/promo-code-stock?pool=summer_pool")
    assert [browse("admin").get(f"/imports/pools{path}").status_code for path in paths] == [403] * 4


def test_the_history_shows_what_the_user_may_read(browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    add_history(pools)
    seen = {}
    for dag in ("import_promo_codes", "generate_promo_codes"):
        with monkeypatch.context() as patched:
            may_read_only(patched, {"import_promo_code_pools", dag})
            page = browse("viewer").get("/imports/pools/promo-codes/summer_pool").text
        seen[dag] = {row[0].partition(" ")[0] for row in rows(page) if row[0].startswith(("upload", "generation"))}
    assert seen == {"import_promo_codes": {"upload"}, "generate_promo_codes": {"generation"}}


def may_read_only(patched: pytest.MonkeyPatch, dags: set[str]) -> None:
    """Replace the rights by those of an auth manager that distinguishes DAGs."""
    from airflow.api_fastapi.app import get_auth_manager

    patched.setattr(
        get_auth_manager(), "is_authorized_dag", lambda *, details=None, **_: details is None or details.id in dags
    )


# -- what the pages show


def test_gp04_a_gift_card_pool_shows_product_cards_by_status_and_balance(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        gift_cards.add_card(connection, "6011", balance=10)
        gift_cards.add_card(connection, "6012", balance="1500.50", status="CanBeUsed")
        gift_cards.add_card(connection, "6013", balance=5, status="Blocked")
        gift_cards.add_card(connection, "6014", balance=5, status="Blocked")
    listed = browse("viewer").get("/imports/pools").text
    assert ["Gifts gifts", "Acme", "website gifts-product", "1", "1", "2", "1,520.50"] in rows(listed)
    page = browse("viewer").get("/imports/pools/gift-cards/gifts").text
    assert rows(page)[1:] == [["■ Inactive", "1"], ["■ Can be used", "1"], ["■ Blocked", "2"], ["All", "4"]]
    assert "Balance of all cards: 1,520.50 ; of those that can be used: 1,500.50" in words(page)
    assert figures(page)["Technical product"] == "website gifts-product"
    assert not re.search("601[1-4]", listed + page)


def test_a_promo_pool_shows_the_stock_as_the_warehouse_has_it(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "draft", 40)
        past = datetime.now(UTC) - timedelta(days=2)
        top_ups.add_codes(connection, "draft", 3, prefix="OLD", issue_end=past)
        top_ups.add_codes(connection, "draft", 2, prefix="NEW", issue_start=datetime.now(UTC) + timedelta(days=2))
        top_ups.issued_in_the_past(connection, "draft", days=10, daily=1)
    launched = "notify_below = 100, description = 'For the tests', state = 'active'"
    query(pools, f"UPDATE loyalty.promo_code_pool SET {launched} WHERE system_id = 'draft'")
    columns = "available, scheduled, issued, used, expired, daily_consumption, runs_out_at"
    ((available, scheduled, issued, used, expired, daily, runs_out_at),) = query(
        pools, f"SELECT {columns} FROM loyalty.promo_code_stock WHERE pool_system_id = 'draft'"
    )
    shown = figures(pool_page(browse("viewer"), "draft"))
    counts = [int(shown[name]) for name in ("Available", "Not valid yet", "Issued", "Used", "Expired")]
    assert counts == [available, scheduled, issued, used, expired]
    assert issued == 10
    assert shown["Threshold"] == "100 below it"
    assert shown["Used per day"] == f"{daily:.1f}" == "1.0"
    assert shown["Predicted run-out"].partition(" ")[0] == f"{runs_out_at:%Y-%m-%d}"
    listed = next(row for row in rows(browse("viewer").get("/imports/pools").text) if row[0] == "A draft draft")
    assert listed[1:7] == ["active", "upload", str(available), "100", "low", "1.0"]


def test_codes_for_multiple_use_are_counted_as_the_warehouse_counts_them(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_pool(connection, "again", name="Again", multi_use=True, **top_ups.UPLOAD)
        top_ups.add_codes(connection, "again", 9)
        assert top_ups.issue(connection, "again", 2) == ["issued", "issued"]
        some = "SELECT code FROM loyalty.promo_code WHERE pool_system_id = 'again' ORDER BY issued_at LIMIT 5"
        used = text(f"SELECT loyalty.activate_promo_code(code, 'Ann') FROM ({some}) AS chosen")
        assert {row[0] for row in connection.execute(used)} == {"activated"}
        connection.execute(
            text(
                "UPDATE loyalty.promo_code SET available_till = now() - interval '1 day' WHERE code IN ("
                "SELECT code FROM loyalty.promo_code WHERE pool_system_id = 'again' ORDER BY issued_at LIMIT 1)"
            )
        )
    columns = "available, scheduled, issued, used, expired"
    ((*counts,),) = query(pools, f"SELECT {columns} FROM loyalty.promo_code_stock WHERE pool_system_id = 'again'")
    shown = figures(pool_page(browse("viewer"), "again"))
    assert [int(shown[name]) for name in ("Available", "Not valid yet", "Issued", "Used", "Expired")] == counts
    assert (counts[0], counts[3]) == (8, 5)
    assert (shown["Threshold"], shown["Predicted run-out"]) == ("none: multiple use", "none: multiple use")


def test_the_picture_and_its_table_show_the_course_of_the_stock(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "summer_pool", 30)
        top_ups.issued_in_the_past(connection, "summer_pool", days=3, daily=5)
        connection.execute(
            text(
                "INSERT INTO ledger.promo_code_upload (job_id, pool_system_id, inserted) "
                "SELECT id, 'summer_pool', 30 FROM ledger.import_job"
            )
        )
        connection.execute(text("UPDATE ledger.import_job SET launched_at = now() - interval '4 days'"))
    query(pools, "UPDATE loyalty.promo_code_pool SET top_up_threshold = 10, notify_below = 20, fill_method = 'upload'")
    page = pool_page(browse("viewer"))
    today = datetime.now(UTC).date()
    course = {row[0]: row[1:] for row in rows(page) if re.fullmatch(r"\d{4}-\d\d-\d\d", row[0])}
    expected = {0: (15, 0, 0), 1: (15, 0, 5), 2: (20, 0, 5), 3: (25, 0, 5), 4: (30, 30, 0), 5: (0, 0, 0)}
    assert course == {
        str(today - timedelta(days=back)): [str(stock), str(uploaded), "0", str(taken), "0"]
        for back, (stock, uploaded, taken) in expected.items()
    }
    assert re.findall('<text class="level-label"[^>]*>([^<]+)<', page) == ["notify below: 20", "top-up threshold: 10"]
    assert f'<title id="course-title">Stock from {today - timedelta(days=5)} to {today}</title>' in page
    assert f"<title>{today - timedelta(days=4)}: 30 uploaded</title>" in page
    assert len(re.search('class="stock" points="([^"]+)"', page)[1].split()) == 6
    assert re.search('class="forecast" points="[^"]+"', page)
    assert 'style="' not in page


def test_pc06_the_history_has_both_kinds_newest_first_in_pages(browse: Browse, pools: Any) -> None:
    add_history(pools)
    client = browse("viewer")
    pages = [client.get(f"/imports/pools/promo-code-history?pool=summer_pool&page={page}").text for page in (1, 2, 3)]
    shown = [row for page in pages for row in rows(page) if row[0].startswith(("upload", "generation"))]
    expected_rows = query(
        pools,
        "SELECT kind || ' ' || number, CASE WHEN kind = 'upload' AND state = 'completed' THEN 'loaded' ELSE state END "
        "FROM loyalty.promo_code_pool_history WHERE pool_system_id = 'summer_pool' "
        "ORDER BY launched_at DESC, kind, number DESC",
    )
    assert [(row[0], row[1].replace(" ", "_")) for row in shown] == expected_rows
    assert [len(rows(page)[1:]) for page in pages] == [20, 5, 0]
    assert ["Older" in page for page in pages] == [True, False, False]
    generation = next(row for row in shown if row[1] == "refused")
    assert (generation[4:7], generation[11]) == (["9", "", ""], "form Too few are left.")


def test_pc06_an_upload_that_was_refused_is_in_the_history_of_the_pool_that_it_was_for(
    browse: Browse, pools: Any
) -> None:
    query(
        pools,
        "INSERT INTO ledger.import_job (run_key, import_type, state, launched_by, source_url, source_version, "
        "file_name, arrived_at, settings, refusal_rule, refusal_message, finished_at) VALUES ('k', 'promo_codes', "
        "'refused', 'Ann', 'u', '1', 'bad.csv', now(), CAST(:settings AS jsonb), 'file.empty', 'The file is empty.', "
        "now())",
        settings='{"pool": "summer_pool"}',
    )
    (row,) = [row for row in rows(pool_page(browse("viewer"))) if row[0].startswith("upload")]
    assert (row[1], row[3], row[-1]) == ("refused", "Ann", "bad.csv The file is empty.")


def add_history(warehouse: Any) -> None:
    """Add 21 generations, one of them refused, and four uploads, by turns."""
    with warehouse.owner.begin() as connection:
        for number in range(21):
            gift_cards.insert(
                connection,
                "ledger.promo_code_generation",
                {
                    "run_key": f"run {number}", "pool_system_id": "summer_pool", "requested": 9, "reason": "form",
                    "state": "refused" if number == 3 else "completed", "launched_by": "Ann",
                    "launched_at": datetime(2024, 1, 1 + number, tzinfo=UTC),
                    **({"refusal_rule": "generation.not_enough_codes", "refusal_message": "Too few are left."}
                       if number == 3 else {"generated": 10, "added": 9}),
                },
            )  # fmt: skip
        for number in range(4):
            top_ups.add_codes(connection, "summer_pool", 2, prefix=f"H{number}")
        connection.execute(
            text(
                "INSERT INTO ledger.promo_code_upload (job_id, pool_system_id, inserted) "
                "SELECT id, 'summer_pool', 2 FROM ledger.import_job"
            )
        )
        connection.execute(
            text("UPDATE ledger.import_job SET launched_at = timestamptz '2024-01-05' + id * interval '1 h'")
        )


def test_tu03_open_alerts_are_shown_at_the_top_and_older_ones_are_listed(browse: Browse, pools: Any) -> None:
    query(
        pools,
        "INSERT INTO ledger.promo_code_alert (pool_system_id, kind, raised_at, available, level, recovered_at) VALUES "
        "('summer_pool', 'low_stock', '2024-05-01', 3, 10, '2024-05-02'), "
        "('summer_pool', 'format_exhausted', '2024-06-01', 0, 10, NULL), "
        "('draft', 'low_stock', '2024-06-01', 1, 2, NULL)",
    )
    page = pool_page(browse("viewer"))
    assert "Since 2024-06-01 00:00:00 UTC : the format can't give enough codes." in words(page)
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "draft", 1)
    advice = words(pool_page(browse("viewer"), "draft"))
    assert "stock is low. Upload codes." in advice
    assert "This pool is filled by uploads, so codes can't be generated." in advice
    assert "choose one" not in advice  # of formats, which it has no use for
    assert [row for row in rows(page) if row[0] in ("low stock", "format exhausted")] == [
        ["format exhausted", "2024-06-01 00:00:00 UTC", "0", "10", "", "not yet", "still open"],
        ["low stock", "2024-05-01 00:00:00 UTC", "3", "10", "", "not yet", "2024-05-02 00:00:00 UTC"],
    ]


def test_pg02_the_form_shows_what_each_format_has_available(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "draft", 1)
        connection.execute(
            text("INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id) VALUES ('T-AAAA', 'draft', 1)")
        )
    page = pool_page(browse("user"))
    assert "The pool's format is tiny : 15 codes available for generation, 0 generated, of 16 in all." in words(page)
    assert '<option value="tiny">tiny: 15 available</option>' in page
    assert page.count('id="own-format"') == 2  # the piece's takes the page's place
    assert page.count('id="own-format" hx-swap-oob="true"') == 1


def test_a_search_finds_names_and_ids_and_takes_no_wildcards(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_pool(connection, "a%b", name="Percent")
    client = browse("viewer")
    matches = {
        wanted: re.findall(
            'class="name"><bdi>([^<]*)</bdi></code>', client.get("/imports/pools", params={"q": wanted}).text
        )
        for wanted in ("SUMMER", "draft", "%", "gift", "nothing", "\0")
    }
    assert matches == {
        "SUMMER": ["summer_pool"], "draft": ["draft"], "%": ["a%b"], "gift": ["gifts", "gifts-product"], "nothing": [],
        "\0": ["a%b", "draft", "summer_pool", "gifts", "gifts-product"],
    }  # fmt: skip


def test_lists_have_pages(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        for number in range(25):
            top_ups.add_pool(connection, f"pool{number:02}")
            gift_cards.add_pool(connection, f"gifts{number:02}")
    client, seen = browse("viewer"), []
    for page in (1, 2):
        shown = client.get("/imports/pools", params={"promo_codes_page": page, "gift_cards_page": page}).text
        seen.append(len(rows(shown)) - 2)
        assert ('rel="next"' in shown, 'rel="prev"' in shown) == (page == 1, page == 2)
    assert seen == [40, 13]
    assert client.get("/imports/pools?promo_codes_page=0").status_code == 422


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_as_text_and_their_links_lead_to_the_pool(
    browse: Browse, pools: Any, name: str
) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_pool(connection, name, name=f"P {name}", description=name, state="draft")
        gift_cards.add_pool(connection, name, name=f"G {name}", product_external_id=name)
    client = browse("admin")
    listed = client.get("/imports/pools").text
    for kind, mark in (("promo-codes", "P"), ("gift-cards", "G")):
        links = [unescape(link) for link in re.findall(f'href="(/imports/pools/{kind}[^"]*)"', listed)]
        titles = [re.search("<h1>(.*?)</h1>", client.get(link).text, re.DOTALL) for link in links]
        assert f"{mark} {name}" in [unescape(title[1]) for title in titles if title]
    page = listed + client.get("/imports/pools/promo-codes", params={"id": name}).text
    tags = set(re.findall("<([a-z0-9]+)", page))
    assert "img" not in tags
    assert len(re.findall("<script", page)) == 4  # the layout's own two, on two pages
    assert "603729" not in words(page) or "{{" not in name


@pytest.mark.parametrize("name", ["nowhere", "a\0b", ""])
def test_an_unknown_pool_is_not_found(browse: Browse, pools: Any, name: str) -> None:
    client = browse("admin")
    for path, field in (
        ("gift-cards", "id"), ("promo-codes", "id"), ("promo-code-stock", "pool"), ("promo-code-history", "pool")
    ):  # fmt: skip
        assert client.get(f"/imports/pools/{path}", params={field: name}).status_code == 404
    for action in ("generate", "launch"):
        assert send(client, action, pool=name or "x", token="0" * 16).status_code == 404


def test_x20_no_page_shows_a_code_a_card_a_customer_or_a_key(browse: Browse, pools: Any) -> None:
    with pools.owner.begin() as connection:
        gift_cards.add_card(connection, "6011000990139424")
        connection.execute(
            text(
                "INSERT INTO loyalty.promo_code (code, pool_system_id, import_job_id, issued_at, issued_to, used_at, "
                "used_by) VALUES ('SECRETCODE', 'summer_pool', 1, now(), 'ann@example.com', now(), 'ann@example.com')"
            )
        )
    client = browse("admin")
    shown = client.get("/imports/pools").text + client.get("/imports/pools/gift-cards/gifts").text + pool_page(client)
    assert figures(shown)["Used"] == "1"
    for secret in ("6011000990139424", "SECRETCODE", "ann@example.com", "code key of the tests", "key of the tests"):
        assert secret not in shown


# -- bounds


def test_a_pool_of_more_codes_than_a_page_counts_says_so(
    browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.promo_codes.stock import figures as counts

    monkeypatch.setattr(counts, "POOL_LIMIT", 10)
    monkeypatch.setattr(counts, "LIST_LIMIT", 5)
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "summer_pool", 60)
        top_ups.issued_in_the_past(connection, "summer_pool", days=5, daily=4)
    client = browse("viewer")
    shown = figures(pool_page(client))
    assert (shown["Available"], shown["Issued"], shown["Expired"]) == ("10 or more", "10 or more", "0")
    assert 3.5 < float(shown["Used per day"]) < 6  # of the ten newest alone
    query(pools, "SELECT loyalty.count_promo_code_pool('summer_pool')")
    with pools.owner.begin() as connection:
        assert top_ups.issue(connection, "summer_pool", 2) == ["issued", "issued"]
    assert figures(pool_page(client))["Available"].startswith("38 or more counted 20")
    row = next(row for row in rows(client.get("/imports/pools").text) if row[0] == "Summer pool summer_pool")
    assert row[3] == "38 or more"


def test_what_the_ledger_has_written_helps_where_not_all_is_counted(
    browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.promo_codes.stock import figures as counts

    monkeypatch.setattr(counts, "POOL_LIMIT", 10)
    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "summer_pool", 60)
        top_ups.issued_in_the_past(connection, "summer_pool", days=2, daily=4)
        connection.execute(
            text(
                "INSERT INTO ledger.promo_code_upload (job_id, pool_system_id, inserted) "
                "SELECT id, 'summer_pool', 60 FROM ledger.import_job"
            )
        )
    shown = figures(pool_page(browse("viewer")))
    assert (shown["Available"], shown["Issued"]) == ("52 or more", "8")


def test_the_course_begins_where_all_that_left_the_stock_is_counted(
    browse: Browse, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.promo_codes.stock import figures as counts

    with pools.owner.begin() as connection:
        top_ups.add_codes(connection, "summer_pool", 60)
        top_ups.issued_in_the_past(connection, "summer_pool", days=9, daily=4)
    monkeypatch.setattr(counts, "POOL_LIMIT", 10)
    days = [row[0] for row in rows(pool_page(browse("viewer"))) if re.fullmatch(r"\d{4}-\d\d-\d\d", row[0])]
    today = datetime.now(UTC).date()
    assert days == [str(today - timedelta(days=back)) for back in range(3)]


# -- generate


def test_pg01_generate_starts_one_run_in_the_users_name_and_the_codes_are_added(
    browse: Browse, pools: Any, run_queued: Any
) -> None:
    client = browse("user")
    form = {"pool": "summer_pool", "token": token(pool_page(client)), "quantity": " 7 ", "auto_generate": "true"}
    answers = [send(client, "generate", **form) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {303}
    (run,) = started_runs()
    assert (run.dag_id, run.run_type, run.triggering_user_name) == ("generate_promo_codes", "manual", "the user")
    assert run.conf == {"pool": "summer_pool", "format": None, "quantity": 7, "auto_generate": True}
    page = client.get(answers[0].headers["location"]).text
    assert "Generation requested. Waiting to start." in words(page)
    assert f'href="/dags/generate_promo_codes/runs/{run.run_id}"' in page
    assert "every 2s" in page
    (ended,) = run_queued()
    assert ended.state == "success"
    page = client.get(answers[0].headers["location"]).text
    (row,) = [row for row in rows(page) if row[0] == "generation 1"]
    assert (row[1], row[3], row[4:7]) == ("completed", "the user", ["7", "7", "7"])
    assert "every 2s" not in page
    assert query(pools, "SELECT count(*) FROM loyalty.promo_code") == [(7,)]
    assert query(
        pools, "SELECT quantity, auto_generate FROM loyalty.promo_code_pool WHERE system_id = 'summer_pool'"
    ) == [(7, True)]
    assert send(client, "generate", **form).status_code == 303  # sent once more, much later
    assert len(started_runs()) == 1
    poll = client.get(f"/imports/pools/promo-code-history?pool=summer_pool&run={run.run_id}&poll=1")
    assert poll.headers["hx-trigger"] == "stock-changed"


def test_two_clicks_at_once_start_one_run(browse: Browse, pools: Any, synced: None) -> None:
    form = {"pool": "summer_pool", "token": "0123456789abcdef", "quantity": "7"}
    together, answers = threading.Barrier(4), []
    clients = [browse("admin") for _ in range(4)]

    def click(client: TestClient) -> None:
        together.wait()
        answers.append(send(client, "generate", **form).status_code)

    threads = [threading.Thread(target=click, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, len(started_runs())) == ([303] * 4, 1)


def test_airflows_audit_log_has_who_started_what(browse: Browse, pools: Any, synced: None) -> None:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    send(browse("op"), "generate", pool="summer_pool", token="0123456789abcdef", quantity="7")
    with create_session() as session:
        logged = [(row.event, row.owner, row.dag_id, row.run_id) for row in session.scalars(select(Log))]
    assert logged == [("trigger_dag_run", "the op", "generate_promo_codes", "pages__0123456789abcdef")]


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"quantity": "17"}, "17 codes were asked for and the format 'tiny' has 16 available for generation."),
        ({"quantity": "0"}, "0 codes can't be generated."),
        ({"quantity": "9" * 19}, "9,999,999,999,999,999,999 codes can't be generated."),
        ({"quantity": "-1"}, "Quantity is no number"),
        ({"quantity": ""}, "Quantity is no number"),
        ({"quantity": "1", "format": "<b>none</b>"}, "There is no promo code format '<b>none</b>'."),
        ({"quantity": "1", "format": "a\0b"}, "There is no promo code format of this name."),
        ({"quantity": "1", "auto_generate": "perhaps"}, "Auto-generate is none of"),
        ({"quantity": "1", "pool": "draft"}, "The pool 'draft' has no format: name one."),
        ({"quantity": "1", "pool": "filled", "format": "tiny"}, "The pool 'filled' has uploaded codes"),
    ],
)
def test_pg02_what_would_be_refused_is_shown_on_the_page_and_starts_nothing(
    browse: Browse, pools: Any, synced: None, form: dict[str, str], reason: str
) -> None:
    with pools.owner.begin() as connection:
        top_ups.add_pool(connection, "filled", **top_ups.UPLOAD)
        top_ups.add_codes(connection, "filled", 1)
    answer = send(browse("user"), "generate", **{"pool": "summer_pool", "token": "0" * 16, **form})
    assert answer.status_code == 422
    assert reason in words(answer.text)
    assert "<b>none" not in answer.text
    assert started_runs() == []
    assert query(pools, "SELECT count(*) FROM ledger.promo_code_generation") == [(0,)]


def test_what_was_typed_stays_in_the_form_that_was_refused(browse: Browse, pools: Any, synced: None) -> None:
    form = {"pool": "summer_pool", "token": "0" * 16, "quantity": "17", "format": "tiny", "auto_generate": "false"}
    page = send(browse("user"), "generate", **form).text
    assert 'value="17" aria-describedby="generate-error"' in page
    assert '<option value="tiny" selected>' in page
    assert '<option value="false" selected>' in page


def test_without_the_key_or_the_dag_the_page_says_what_is_missing(
    browse: Browse, pools: Any, synced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models import DagModel
    from airflow.utils.session import create_session

    client, form = browse("user"), {"pool": "summer_pool", "token": "0" * 16, "quantity": "1"}
    with monkeypatch.context() as patched:
        patched.delenv("AIRFLOW_CONN_CODE_KEY")
        assert "set the Connection code_key" in words(send(client, "generate", **form).text)
    with create_session() as session:
        session.get(DagModel, "generate_promo_codes").is_stale = True
    answer = send(client, "generate", **form)
    assert (answer.status_code, "'generate_promo_codes' not found" in words(answer.text)) == (422, True)
    assert started_runs() == []


def test_a_form_that_is_sent_again_with_other_values_is_refused(browse: Browse, pools: Any, synced: None) -> None:
    client, form = browse("user"), {"pool": "summer_pool", "token": "0" * 16}
    assert send(client, "generate", **form, quantity="2").status_code == 303
    answer = send(client, "generate", **form, quantity="3")
    assert (answer.status_code, "sent before, with other values" in words(answer.text)) == (422, True)
    assert [run.conf["quantity"] for run in started_runs()] == [2]
    assert send(client, "generate", pool="summer_pool", token="not ours", quantity="2").status_code == 400


@pytest.mark.parametrize("action", ["generate", "launch"])
def test_the_address_of_a_form_that_was_refused_leads_to_its_pool(browse: Browse, pools: Any, action: str) -> None:
    """Loaded again by its address it would else be a method that is not allowed."""
    answer = browse("user").get(f"/imports/pools/{action}", params={"pool": "a/b"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/imports/pools/promo-codes?id=a%2Fb"


def test_pg04_a_generation_that_gave_less_than_was_asked_is_shown_as_partly_generated(
    browse: Browse, pools: Any
) -> None:
    query(
        pools,
        "INSERT INTO ledger.promo_code_generation (run_key, pool_system_id, format, requested, generated, added, "
        "state, reason, launched_by, started_at, finished_at) "
        "VALUES ('x', 'summer_pool', 'tiny', 20, 16, 16, 'completed', 'form', 'top-up', now(), now())",
    )
    assert "partly generated" in words(pool_page(browse("viewer")))


def test_a_paused_dag_is_reported(browse: Browse, pools: Any, synced: None) -> None:
    from airflow.models import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.get(DagModel, "generate_promo_codes").is_paused = True
    answer = send(browse("user"), "generate", pool="summer_pool", token="0" * 16, quantity="1")
    assert "generate_promo_codes is paused" in words(browse("user").get(answer.headers["location"]).text)


# -- launch


@pytest.mark.parametrize("system_id", ["draft", "<b>\"quoted\", 'pool'</b>", "a/b", "..", "=1+1"])
def test_pp01_launch_is_an_import_in_the_users_name(
    browse: Browse, pools: Any, run_queued: Any, folders: Any, system_id: str
) -> None:
    name = 'Letters, "quotes" and <b>'
    if system_id != "draft":
        with pools.owner.begin() as connection:
            top_ups.add_pool(connection, system_id, name=name, state="draft", description=None)
    client = browse("user")
    page = client.get("/imports/pools/promo-codes", params={"id": system_id, "run": "launch__\0"}).text
    assert f'action="/imports/pools/launch?{urlencode({"pool": system_id})}"' in page
    form = {"pool": system_id, "token": token(page), "description": ' For the summer,\r\nand "more" '}
    answers = [send(client, "launch", **form) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {303}
    (run,) = started_runs()
    assert (run.dag_id, run.triggering_user_name) == ("import_promo_code_pools", "the user")
    assert "every 2s" in client.get(answers[0].headers["location"]).text
    (ended,) = run_queued()
    assert ended.state == "success"
    pool = "SELECT state, description FROM loyalty.promo_code_pool WHERE system_id = :pool"
    assert query(pools, pool, pool=system_id) == [("active", 'For the summer,\nand "more"')]
    job = "SELECT id, state, launched_by, dag_run_id, rows_updated FROM ledger.import_job"
    assert query(pools, job) == [(1, "completed", "the user", run.run_id, 1)]
    page = client.get(answers[0].headers["location"]).text
    assert "the user asked for the launch, job 1 completed" in words(page)
    assert '<button type="submit">Launch</button>' not in page
    assert "every 2s" not in page
    assert [path for path in folders.landing.rglob("*") if path.is_file()] == []
    poll = client.get("/imports/pools/promo-code-launches", params={"pool": system_id, "run": run.run_id, "poll": "1"})
    assert poll.headers["hx-refresh"] == "true"


@pytest.mark.parametrize(
    ("pool", "description", "reason"),
    [
        ("draft", " \n ", "A description is needed to launch a pool."),
        ("draft", "x" * 1001, "The description is too long: 1,000 characters at most, this one has 1,001."),
        ("summer_pool", "Again", "The pool summer_pool is launched already."),
    ],
)
def test_pp01_a_launch_that_can_not_be_is_refused_at_once(
    browse: Browse, pools: Any, synced: None, folders: Any, pool: str, description: str, reason: str
) -> None:
    answer = send(browse("user"), "launch", pool=pool, token="0" * 16, description=description)
    assert answer.status_code == 422
    assert reason in words(answer.text)
    assert started_runs() == []
    assert [path for path in folders.landing.rglob("*") if path.is_file()] == []


def test_pp02_the_rules_of_the_import_hold_for_a_launch_and_their_reasons_are_shown(
    browse: Browse, pools: Any, run_queued: Any
) -> None:
    client = browse("user")
    answer = send(client, "launch", pool="draft", token="0" * 16, description="%CLEAR%")
    run_queued()
    page = client.get(answer.headers["location"]).text
    assert "can't be launched, or stay so, without one" in words(page)
    assert '<button type="submit">Launch</button>' in page
    assert query(pools, "SELECT state FROM loyalty.promo_code_pool WHERE system_id = 'draft'") == [("draft",)]


def test_a_launch_whose_file_can_not_be_written_starts_nothing(
    browse: Browse, pools: Any, synced: None, folders: Any
) -> None:
    (folders.work / "uploads").write_text("a file where the folder should be")
    answer = send(browse("user"), "launch", pool="draft", token="0" * 16, description="For the summer")
    assert (answer.status_code, "could not be written" in words(answer.text)) == (422, True)
    assert started_runs() == []
