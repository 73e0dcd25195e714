"""The upload form: a file arrives byte for byte, is previewed, counted, launched once. Source: X-05, X-06, X-19."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from sqlalchemy import text

from tests.dags.conftest import Run
from tests.dags.pages.conftest import ROLES
from tests.dags.test_import_runs import POOLS, put
from tests.imports import make_site
from tests.object_storage import s3_server

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]
CarryOut = Callable[[str, str], Run]

HEADER = "card_number,pool_system_name,balance\n"
CARDS = f"{HEADER}4000000000000001,fifty,50\n4000000000000002,fifty,50\n"
LAUNCHERS = ("user", "op", "admin")


def send(
    client: TestClient, content: bytes | str = CARDS, name: str = "cards.csv", kind: str = "gift_cards", **settings: str
) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    fields = {f"setting.{key}": value for key, value in settings.items()}
    return client.post(f"/imports/upload/{kind}", data=fields, files={"file": (name, raw, "text/csv")})


def upload(client: TestClient, *arguments: Any, **more: Any) -> str:
    """Send a file and return the address of its page."""
    answer = send(client, *arguments, **more)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def form_of(page: str) -> dict[str, str]:
    """Return what the form of an upload's page would send."""
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
    for name, body in re.findall(r'<select id="[^"]+" name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        fields[name] = chosen[1] if chosen else ""
    return fields | dict(re.findall(r'<input id="[^"]+" name="([^"]+)" value="([^"]*)"', page))


def press(client: TestClient, url: str, button: str, **changes: str) -> Any:
    """Press a button of an upload's page, with some fields filled in otherwise."""
    fields = form_of(client.get(url).text)
    changed = {name.replace("__", "."): value for name, value in changes.items()}
    assert changed.keys() <= fields.keys()
    return client.post(url, data={**fields, **changed, "do": button})


def kept(folders: Any) -> list[str]:
    """Return what is stored in the uploads' place."""
    return sorted(path.name for path in (folders.work / "uploads").rglob("*") if path.is_file())


def runs(dag_id: str) -> list[tuple[str, dict[str, Any], str | None]]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        dag_runs = session.scalars(select(DagRun).where(DagRun.dag_id == dag_id).order_by(DagRun.id))
        return [(run.run_id, dict(run.conf), run.triggering_user_name) for run in dag_runs]


def ledger(connected: Any) -> list[Any]:
    query = """
        SELECT id, state, launched_by, is_dry_run, rows_inserted, settings, parameters
        FROM ledger.import_job
        WHERE import_type = 'gift_cards'
        ORDER BY id
    """
    with connected.owner.connect() as connection:
        return list(connection.execute(text(query)).all())


def columns(page: str) -> dict[str, str]:
    """Return which column each field is read from, by the names shown."""
    column_names = {}
    for name, body in re.findall(r'<select id="column-\d+" name="column.([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r"<option [^>]*selected>([^<]*)<", body)
        column_names[name] = chosen[1] if chosen else ""
    return column_names


@pytest.fixture
def pools(run_dag: Any, folders: Any) -> None:
    assert run_dag("import_gift_card_pools", file=put(folders.landing / "gift_card_pools", "p.csv", POOLS)).state == (
        "success"
    )


def test_nobody_uploads_without_signing_in(browse: Browse) -> None:
    for url in ("/imports/upload", "/imports/upload/gift_cards", "/imports/upload/gift_cards/0"):
        assert browse(None).get(url).status_code == 401
    assert send(browse(None)).status_code == 401
    assert browse(None).post("/imports/upload/gift_cards/0", data={"do": "launch"}).status_code == 401


def test_a_viewer_may_not_upload(browse: Browse, folders: Any) -> None:
    viewer = browse("viewer")
    assert "You don't have permission to import files" in viewer.get("/imports/upload").text
    assert viewer.get("/imports/upload/gift_cards").status_code == 403
    assert send(viewer).status_code == 403
    assert kept(folders) == []


@pytest.mark.parametrize("role", LAUNCHERS)
def test_who_may_launch_may_upload(browse: Browse, role: str) -> None:
    client = browse(role)
    assert 'href="/imports/upload/gift_cards"' in client.get("/imports/upload").text
    assert client.get("/imports/upload/gift_cards").status_code == 200
    assert client.get(upload(client)).status_code == 200


@pytest.mark.parametrize("role", [role for role in ROLES if role != "user"])
def test_an_upload_is_its_users_alone(browse: Browse, role: str) -> None:
    url = upload(browse("user"))
    stranger = browse(role)
    refused = 403 if role == "viewer" else 404
    assert stranger.get(url).status_code == refused
    assert stranger.post(url, data={"do": "launch"}).status_code == refused
    assert stranger.get(f"{url}/dry-run").status_code == refused
    assert stranger.get(f"{url}/launched").status_code == refused


def test_another_site_can_send_nothing(browse: Browse, folders: Any) -> None:
    client = browse("user")
    url = upload(client)
    client.headers["sec-fetch-site"] = "cross-site"
    assert send(client).status_code == 403
    assert client.post(url, data={"do": "delete"}).status_code == 403
    assert kept(folders) == ["cards.csv", "upload.json"]


@pytest.mark.parametrize("kind", ["", "nothing", "../gift_cards", "unknown"])
def test_there_is_no_form_for_another_type(browse: Browse, kind: str) -> None:
    assert browse("admin").get(f"/imports/upload/{kind}x").status_code == 404


def test_the_very_bytes_arrive(browse: Browse, folders: Any) -> None:
    content = HEADER.encode() + bytes(range(256)) * 9000 + b"\r\n--boundary\r\n\r\n--\r\n"
    upload(browse("user"), content)
    (arrived,) = (folders.work / "uploads").rglob("cards.csv")
    assert arrived.read_bytes() == content
    assert arrived.stat().st_mode & 0o007 == 0, "readable by its owner and group alone (X-20)"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("../../etc/cards.csv", "cards.csv"),
        ("C:\\Users\\me\\cards.csv", "cards.csv"),
        ("..\\..\\cards.txt", "cards.txt"),
        (".hidden.csv", "hidden.csv"),
        ("a\u202etxt.csv", "atxt.csv"),
        ("<b>'&amp;.csv", "<b>'&amp;.csv"),
        ("карты и 卡.csv", "карты и 卡.csv"),
        ("é" * 300 + ".csv", "é" * 88 + ".csv"),
        ("#a?b%2e.csv", "#a?b%2e.csv"),
        ("=cmd|'/c'!.csv", "c'!.csv"),
    ],
)
def test_names_lead_nowhere(browse: Browse, folders: Any, sent: str, name: str) -> None:
    """Source: X-01, X-12."""
    client = browse("user")
    url = upload(client, CARDS, sent)
    assert kept(folders) == sorted([name, "upload.json"])
    assert [path for path in folders.landing.rglob("*") if path.is_file()] == []
    page = client.get(url)
    assert page.status_code == 200
    assert "<b>" not in page.text


@pytest.mark.parametrize("name", ["cards.xlsx", "cards", "cards.csv.gz", "cards.csv.part", "x.settings.yaml", ".csv"])
def test_other_files_are_refused_at_the_field(browse: Browse, folders: Any, name: str) -> None:
    answer = send(browse("user"), CARDS, name)
    assert answer.status_code == 422
    assert "neither a .csv nor a .txt file" in answer.text
    assert kept(folders) == []


def test_an_empty_file_or_none_is_refused_at_the_field(browse: Browse, folders: Any) -> None:
    client = browse("user")
    assert "The file is empty" in send(client, b"").text
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--\r\n'
    answer = client.post(
        "/imports/upload/gift_cards", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 422
    assert "Choose a file." in answer.text
    assert kept(folders) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nnumber\r\n1',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nn\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="b.csv"\r\n\r\nn\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="a.csv"\r\n\r\nn\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\nbytes\r\n--x--\r\n',
        b"--x\r\n" + b"X-Header: " + b"a" * 100_000 + b"\r\n\r\n--x--\r\n",
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n\r\n' % n for n in range(600)) + b"--x--",
    ],
    ids=["empty", "no form", "cut off", "two files", "other field", "no name", "long header", "many fields"],
)
def test_a_damaged_form_leaves_nothing(browse: Browse, folders: Any, body: bytes) -> None:
    answer = browse("user").post(
        "/imports/upload/gift_cards", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 400
    assert kept(folders) == []


def test_another_kind_of_body_is_no_form(browse: Browse) -> None:
    assert browse("user").post("/imports/upload/gift_cards", data={"file": "text"}).status_code == 400


def endless(counted: list[int]) -> Iterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="cards.csv"\r\n\r\n'
    for _ in range(1000):
        counted.append(1)
        yield b"4000000000000001,fifty,50\n" * 10_000


async def ask(application: Any, headers: dict[str, str], body: Iterator[bytes]) -> tuple[int, bytes]:
    """Send a body piece by piece to the application, as a server does, until it has answered."""
    answered: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        piece = next(body, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def reply(message: dict[str, Any]) -> None:
        answered.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/imports/upload/gift_cards", "raw_path": b"/imports/upload/gift_cards", "root_path": "",
        "query_string": b"", "client": ("127.0.0.1", 1), "server": ("airflow.example.com", 80),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()], "state": {},
    }  # fmt: skip
    await application(scope, receive, reply)
    return answered[0]["status"], b"".join(message.get("body", b"") for message in answered[1:])


def test_a_file_without_end_is_cut_at_the_limit(browse: Browse, api_server: Any, folders: Any) -> None:
    """Source: X-18."""
    import anyio

    put(folders.landing / "gift_cards", "_settings.yaml", "max_file_bytes: 3000000\n")
    token = browse("user").cookies["_token"]
    counted: list[int] = []
    headers = {"content-type": "multipart/form-data; boundary=x", "cookie": f"_token={token}"}
    code, page = anyio.run(ask, api_server, headers, endless(counted))
    assert code == 413
    assert b"larger than 3,000,000 bytes" in page
    assert len(counted) < 20, "the rest was not read"
    assert kept(folders) == []


def test_who_goes_away_leaves_nothing(browse: Browse, api_server: Any, folders: Any) -> None:
    import anyio
    from starlette.requests import ClientDisconnect

    token = browse("user").cookies["_token"]
    pieces = endless([])

    async def leave() -> None:
        sent = 0

        async def receive() -> dict[str, Any]:
            nonlocal sent
            sent += 1
            if sent > 6:
                assert kept(folders), "the file was on its way"
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": next(pieces), "more_body": True}

        async def reply(message: dict[str, Any]) -> None: ...

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/imports/upload/gift_cards", "raw_path": b"", "root_path": "", "query_string": b"",
            "client": ("127.0.0.1", 1), "server": ("airflow.example.com", 80), "state": {},
            "headers": [(b"content-type", b"multipart/form-data; boundary=x"), (b"cookie", f"_token={token}".encode())],
        }  # fmt: skip
        with pytest.raises(ClientDisconnect):
            await api_server(scope, receive, reply)

    anyio.run(leave)
    assert kept(folders) == []


def test_the_mapping_is_shown_and_its_columns_can_be_chosen(browse: Browse, pools: None) -> None:
    """Source: X-05, X-06, GC-01."""
    client = browse("user")
    url = upload(client, "Nummer,pool_system_name,balance,balanc\n4000000000000001,fifty,50,7\n")
    page = client.get(url).text
    assert "Card number is required: choose its column." in page
    assert "Not ready to launch" in page
    assert columns(page)["pool_system_name"] == "pool_system_name"
    assert columns(page)["card_number"] == ""
    answer = press(client, url, "preview", column__card_number="0")
    assert answer.status_code == 303
    page = client.get(url).text
    assert columns(page)["card_number"] == "Nummer"
    assert "Not ready to launch" not in page
    assert re.search(r'<td class="count">2</td><td>accepted</td><td><bdi>…0001</bdi>', page), "masked (X-20)"
    assert "4000000000000001" not in page


def test_a_suggestion_is_marked_and_not_applied(browse: Browse, pools: None) -> None:
    """Source: X-05."""
    page = (client := browse("user")).get(upload(client, "card_numbr,pool_system_name,balance\n1,fifty,50\n")).text
    assert columns(page)["card_number"] == ""
    assert "<mark>Perhaps card_numbr?</mark>" in page
    assert "card_numbr (perhaps this?)</option>" in page


def test_a_wrong_mapping_comes_back_with_the_reason_at_the_field(
    browse: Browse, stored_dags: None, connected: Any
) -> None:
    client = browse("user")
    url = upload(client)
    answer = press(client, url, "launch", column__balance="0")
    assert answer.status_code == 422
    row = re.search(r'<tr class="wrong">\s*<td><label for="[^"]+">Card balance.*?</tr>', answer.text, re.DOTALL)
    assert row is not None
    assert "The same column is chosen for Card number." in row[0]
    assert press(client, url, "launch", column__card_number="").status_code == 422
    assert client.post(url, data={**form_of(client.get(url).text), "column.balance": "99"}).status_code == 422
    assert runs("import_gift_cards") == []


def test_a_wrong_setting_comes_back_with_the_reason_at_the_field(browse: Browse, stored_dags: None) -> None:
    client = browse("user")
    url = upload(client, encoding="utf-99", max_reject_share="many")
    page = client.get(url).text
    assert re.search(r'id="setting-encoding-about" class="about"><strong class="problem">There is no encoding', page)
    assert 'id="setting-max_reject_share-about" class="about"><strong class="problem">' in page
    assert 'value="utf-99"' in page
    assert press(client, url, "dry_run").status_code == 422
    assert (
        press(client, url, "preview", setting__encoding="latin-1", setting__max_reject_share="0,5").status_code == 303
    )
    assert "Not ready to launch" not in client.get(url).text
    assert runs("import_gift_cards") == []


def test_two_columns_of_one_name_are_reported(browse: Browse) -> None:
    client = browse("user")
    url = upload(client, "card_number,card_number,pool_system_name,balance\n1,2,fifty,50\n")
    assert "Several columns are known by this name: choose one." in client.get(url).text
    answer = press(client, url, "preview", column__card_number="1")
    assert answer.status_code == 422
    assert "rename one in the file" in answer.text


def test_of_two_known_columns_one_can_be_chosen(browse: Browse, pools: None) -> None:
    client = browse("user")
    url = upload(client, "card number,card_number,pool_system_name,balance\n1,2,fifty,50\n")
    assert "choose one" in client.get(url).text
    assert press(client, url, "preview", column__card_number="1").status_code == 303
    assert "Not ready to launch" not in client.get(url).text


def test_a_file_without_headers_shows_none_of_its_data(browse: Browse) -> None:
    """Source: X-20."""
    client = browse("user")
    page = client.get(upload(client, "4929333344445555,fifty,Ann Example\n4929333344445556,fifty,Bob\n")).text
    for secret in ("4929333344445555", "4929333344445556", "Ann Example", "Bob"):
        assert secret not in page


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("card_number;pool_system_name,balance\n1;2,3\n", "could be separated by"),
        (b"card_number,pool_system_name,balance\n\xff\xfe,fifty,50\n", "not valid UTF-8 at byte offset 37, on line 2"),
        ('card_number,pool_system_name,balance\n"1,fifty,50\n', "never closed"),
        ("\n\n\n", "The file is empty"),
    ],
)
def test_a_file_that_would_be_refused_says_why(browse: Browse, stored_dags: None, content: Any, message: str) -> None:
    client = browse("user")
    url = upload(client, content)
    page = client.get(url)
    assert page.status_code == 200
    assert message in page.text
    assert client.post(url, data={**form_of(page.text), "do": "launch"}).status_code == 422
    assert runs("import_gift_cards") == []


def test_hostile_headers_and_cells_are_shown_as_text(browse: Browse) -> None:
    client = browse("user")
    evil = "<script>alert(1)</script>"
    content = f'card_number,pool_system_name,balance,{evil},"a""><img src=x>",\'=1+1\n1,{evil},50,,,\n'
    page = client.get(upload(client, content)).text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_preview_of_a_long_file_is_short_and_reads_its_beginning_only(
    browse: Browse, pools: None, folders: Any
) -> None:
    client = browse("user")
    content = HEADER + "".join(f'{5000000000000000 + n},"fif\nty",50\n' for n in range(200_000))
    assert len(content) > 4 << 20
    page = client.get(upload(client, content)).text
    assert len(page) < 60_000
    assert page.count("<tr>") < 60
    assert "Only the beginning of the file was read" in page
    assert "Not ready to launch" not in page


@pytest.mark.parametrize("encoding", ["utf-16", "windows-1251"])
def test_the_beginning_of_a_long_file_in_another_encoding_is_cut_between_records(browse: Browse, encoding: str) -> None:
    client = browse("user")
    codec = {"windows-1251": "cp1251"}.get(encoding, encoding)
    content = (HEADER + "".join(f'{n},"пул, {n}\n",50\n' for n in range(100_000))).encode(codec)
    page = client.get(upload(client, content, encoding=encoding)).text
    assert "Not ready to launch" not in page
    assert '<p class="message' not in page
    assert "пул, 0" in page


def test_a_dry_run_counts_over_the_whole_file_and_loads_nothing(
    browse: Browse, pools: None, carry_out: CarryOut, connected: Any
) -> None:
    """Source: X-19."""
    client = browse("user")
    url = upload(client, f"{CARDS}4000000000000003,nowhere,50\n")
    assert press(client, url, "dry_run").headers["location"] == f"{url}#dry-run"
    ((run_id, conf, user),) = runs("import_gift_cards")
    assert (conf.keys(), conf["dry_run"], user) == ({"file", "dry_run"}, True, "the user")
    piece = client.get(f"{url}/dry-run").text
    assert "Waiting for the dry run to begin" in piece
    assert 'hx-trigger="every 2s"' in piece
    assert client.post(url, data={**form_of(client.get(url).text), "number": "1", "do": "dry_run"}).status_code == 303
    assert press(client, url, "dry_run").status_code == 409, "the file is in hand"
    assert press(client, url, "launch").status_code == 409
    assert len(runs("import_gift_cards")) == 1
    assert carry_out("import_gift_cards", run_id).state == "success"
    piece = client.get(f"{url}/dry-run").text
    assert "hx-trigger" not in piece
    counts = re.findall(r'<td class="count">([^<]*)</td>', piece)
    assert counts[:5] == ["2", "0", "0", "0", "1"]
    (job,) = ledger(connected)
    assert (job.state, job.is_dry_run, job.launched_by) == ("completed_with_rejects", True, "the user")
    assert f'href="/imports/jobs/{job.id}"' in piece
    assert "of other settings" not in client.get(url).text
    assert press(client, url, "preview", column__balance="").status_code == 422
    assert press(client, url, "preview", column__balance="2", setting__slash_dates="day_first").status_code == 303
    assert "of other settings" in client.get(url).text


def test_a_launch_starts_exactly_one_run_with_the_chosen_settings(
    browse: Browse, pools: None, carry_out: CarryOut, connected: Any, folders: Any
) -> None:
    """Source: X-10, X-11."""
    client = browse("op")
    content = "Karte;Serie;Wert;balance\n4000000000000001;fifty;50;9\n".encode("utf-16")
    url = upload(client, content, "mine.csv", encoding="utf-16")
    changes = {"column__card_number": "0", "column__pool_system_name": "1", "column__balance": "2"}
    answer = press(client, url, "launch", **changes)
    assert answer.status_code == 409, "what is launched has been seen"
    assert "launch again if it is right" in answer.text
    assert runs("import_gift_cards") == []
    for _ in range(2):
        fields = form_of(answer.text) | {"do": "launch"}
        assert client.post(url, data=fields).headers["location"] == f"{url}/launched"
    ((run_id, conf, user),) = runs("import_gift_cards")
    assert user == "the op"
    assert conf.keys() == {"file"}
    assert conf["file"].endswith("/mine.csv")
    assert "hx-trigger" in client.get(f"{url}/launched").text
    assert client.get(url).headers["location"] == f"{url}/launched"
    assert carry_out("import_gift_cards", run_id).state == "success"
    (job,) = ledger(connected)
    assert (job.state, job.launched_by, job.is_dry_run, job.rows_inserted) == ("completed", "the op", False, 1)
    assert job.settings["mapping"] == {
        "Karte": "card_number",
        "Serie": "pool_system_name",
        "Wert": "balance",
        "balance": None,
    }
    assert job.settings["given_by"] == {"encoding": "sidecar", "mapping": "sidecar"}
    assert yaml.safe_load(job.parameters["sidecar"]).keys() == {"encoding", "mapping"}
    assert client.get(f"{url}/launched").headers["location"] == f"/imports/jobs/{job.id}"
    asked = client.get(f"{url}/launched", headers={"hx-request": "true"})
    assert asked.headers["replace-page"] == f"/imports/jobs/{job.id}"
    (archived,) = (folders.archive / "imported").rglob("mine.csv")
    assert archived.read_bytes() == content


def test_a_file_is_launched_after_its_dry_run(browse: Browse, pools: None, carry_out: CarryOut, connected: Any) -> None:
    client = browse("user")
    url = upload(client)
    press(client, url, "dry_run")
    carry_out("import_gift_cards", runs("import_gift_cards")[0][0])
    assert press(client, url, "launch").status_code == 303
    carry_out("import_gift_cards", runs("import_gift_cards")[1][0])
    assert [(job.state, job.is_dry_run, job.rows_inserted) for job in ledger(connected)] == [
        ("completed", True, 2),
        ("completed", False, 2),
    ]


def test_the_settings_of_the_landing_folder_hold_for_an_upload(browse: Browse, folders: Any, pools: None) -> None:
    """Source: X-11."""
    put(folders.landing / "gift_cards", "_settings.yaml", "delimiter: '|'\nmapping: {Wert: balance}\n")
    client = browse("user")
    url = upload(client, "card_number|pool_system_name|Wert\n4000000000000001|fifty|50\n")
    page = client.get(url).text
    assert columns(page)["balance"] == "Wert"
    assert 'placeholder="Default (|)"' in page
    assert "Not ready to launch" not in page
    put(folders.landing / "gift_cards", "_settings.yaml", "delimiter: '|'\nmapping: {Worth: balance}\n")
    url = upload(client, "card_number|pool_system_name|Wert\n4000000000000001|fifty|50\n")
    assert "the file has no column &#39;W…&#39;" in client.get(url).text
    assert press(client, url, "preview", column__balance="2").status_code == 303
    assert "Not ready to launch" not in client.get(url).text


def test_wrong_settings_of_the_landing_folder_are_reported(browse: Browse, folders: Any) -> None:
    put(folders.landing / "gift_cards", "_settings.yaml", "delimitr: ';'\n")
    client = browse("user")
    for answer in (client.get("/imports/upload/gift_cards"), send(client)):
        assert answer.status_code == 422
        assert "there is no such setting (did you mean delimiter?)" in answer.text
    assert kept(folders) == []


def test_an_upload_can_be_taken_up_again_and_deleted(browse: Browse, folders: Any) -> None:
    client = browse("user")
    url = upload(client)
    assert f'href="{url}"' in client.get("/imports/upload/gift_cards").text
    assert press(client, url, "delete").headers["location"] == "/imports/upload/gift_cards"
    assert client.get(url).status_code == 404
    assert kept(folders) == []


def test_run_parameters_hold_no_header_of_the_file(browse: Browse, pools: None, stored_dags: None) -> None:
    """Source: X-20."""
    client = browse("user")
    url = upload(client, "4929333344445555,fifty,50\n4929333344445556,fifty,50\n")
    choose = {"column__card_number": "0", "column__pool_system_name": "1", "column__balance": "2"}
    assert press(client, url, "preview", **choose).status_code == 303
    assert press(client, url, "launch").status_code == 303
    ((_, conf, _),) = runs("import_gift_cards")
    assert "4929" not in str(conf).replace(Path(conf["file"]).parent.name, "")


def test_many_clicks_at_once_start_one_run(browse: Browse, pools: None, stored_dags: None) -> None:
    client = browse("user")
    url = upload(client)
    fields = form_of(client.get(url).text) | {"do": "launch"}
    with ThreadPoolExecutor(6) as clicks:
        answers = list(clicks.map(lambda _: browse("user").post(url, data=fields), range(6)))
    assert {answer.headers["location"] for answer in answers} == {f"{url}/launched"}
    assert len(runs("import_gift_cards")) == 1


def test_a_paused_dag_and_a_lost_run_are_reported(browse: Browse, pools: None, stored_dags: None) -> None:
    from airflow.models import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete, update

    client = browse("user")
    url = upload(client)
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "import_gift_cards").values(is_paused=True))
    assert press(client, url, "dry_run").status_code == 303
    assert "Its DAG is paused: unpause import_gift_cards." in client.get(f"{url}/dry-run").text
    with create_session() as session:
        session.execute(delete(DagRun))
    assert "Its DAG run is gone." in client.get(f"{url}/dry-run").text
    assert press(client, url, "launch").status_code == 303
    assert "The DAG is paused: unpause import_gift_cards." in client.get(f"{url}/launched").text
    with create_session() as session:
        session.execute(delete(DagRun))
    page = client.get(f"{url}/launched").text
    assert "is gone, and it has opened no job" in page
    assert "hx-trigger" not in page


def test_a_dag_that_airflow_does_not_know_starts_nothing(browse: Browse, pools: None, stored_dags: None) -> None:
    from airflow.models import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    client = browse("user")
    url = upload(client)
    with create_session() as session:
        session.execute(update(DagModel).where(DagModel.dag_id == "import_gift_cards").values(is_stale=True))
    answer = press(client, url, "launch")
    assert answer.status_code == 409
    assert "import_gift_cards" in re.findall(r'<p class="message"[^>]*>([^<]*)', answer.text)[0]
    assert client.get(url).status_code == 200, "not launched"


@pytest.fixture
def bucket(connected: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The four areas in a bucket instead of folders."""
    import s3fs

    with s3_server() as options:
        extra = {"endpoint_url": options["endpoint_url"], "region_name": "eu-west-1"}
        address = {"conn_type": "aws", "login": options["key"], "password": options["secret"], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LANDING_STORAGE", json.dumps(address))
        for name in ("landing", "work", "reports", "archive"):
            monkeypatch.setenv(f"AIRFLOW_VAR_{name.upper()}_URL", f"s3://imports/{name}")
        system = s3fs.S3FileSystem(**options)
        system.mkdir("imports")
        yield system


def test_an_upload_goes_straight_into_a_bucket(browse: Browse, bucket: Any, pools_in_warehouse: None) -> None:
    client = browse("user")
    content = HEADER.encode() + b"".join(b"%016d,fifty,50\n" % n for n in range(1_000_000))  # more than one part
    url = upload(client, content, "big cards.csv")
    (key,) = (name for name in bucket.find("imports/work/uploads") if name.endswith(".csv"))
    assert bucket.cat_file(key) == content
    assert "Not ready to launch" not in client.get(url).text
    assert send(client, b"", "empty.csv").status_code == 422
    assert press(client, url, "delete").status_code == 303
    assert bucket.find("imports/work") == []


@pytest.fixture
def pools_in_warehouse(connected: Any, tmp_path: Path) -> None:
    site = make_site(tmp_path / "site", connected)
    assert site.load("gift_card_pools", POOLS).state == "completed"


def test_an_upload_that_nobody_launches_is_deleted_after_a_day(browse: Browse, folders: Any, run_dag: Any) -> None:
    """Source: X-20."""
    client = browse("user")
    url = upload(client)
    (record,) = (folders.work / "uploads").rglob("upload.json")
    assert run_dag("delete_expired_files").tasks == {"delete_expired": "success", "delete_uploads": "success"}
    assert kept(folders) == ["cards.csv", "upload.json"]
    stored = json.loads(record.read_text())
    yesterday = datetime.fromisoformat(stored["used_at"]) - timedelta(hours=24)
    record.write_text(json.dumps(stored | {"used_at": yesterday.isoformat()}))
    assert run_dag("delete_expired_files").state == "success"
    assert kept(folders) == []
    assert "deleted after a day" in client.get(url).text


@pytest.mark.parametrize(
    ("limit", "status", "message"),
    [
        ("MOST_OF_ONE_USER", 429, "You have 1 uploads that were not launched, and may have 1"),
        ("MOST_OF_ALL", 507, "All users together have 1 uploads, and may have 1"),
    ],
)
def test_a_user_without_room_for_an_upload_sees_the_figure_and_what_to_do(
    browse: Browse, folders: Any, pools: None, monkeypatch: pytest.MonkeyPatch, limit: str, status: int, message: str
) -> None:
    """X-22."""
    from include.arrivals import upload_quota

    client = browse("user")
    upload(client)
    before = kept(folders)
    monkeypatch.setattr(upload_quota, limit, 1)
    answer = send(client)
    assert answer.status_code == status
    assert message in answer.text
    pasted = client.post("/imports/paste", data={"codes": "A1", "pool": "summer"})
    assert pasted.status_code == status
    assert message in pasted.text
    assert kept(folders) == before
