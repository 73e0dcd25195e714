"""The paste box and the templates. Source: PC-01, PC-02, X-20."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from include.import_types import IMPORT_TYPES
from tests.dags.pages.conftest import ROLES

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]


@pytest.fixture
def codes_pool(connected: Any) -> None:
    statement = """
        INSERT INTO loyalty.promo_code_pool (system_id, name, fill_method)
        VALUES ('summer', 'Summer', NULL), ('made', 'Made', 'generate'), ('<i>"x', 'Odd', 'upload')
    """
    with connected.owner.begin() as connection:
        connection.execute(text(statement))


def landed(folders: Any) -> list[Any]:
    return sorted(path for path in (folders.landing / "promo_codes").rglob("*") if path.is_file())


def test_nobody_pastes_without_signing_in(browse: Browse, folders: Any) -> None:
    assert browse(None).get("/imports/paste").status_code == 401
    assert browse(None).post("/imports/paste", data={"codes": "A1"}).status_code == 401
    assert landed(folders) == []


def test_a_viewer_may_not_paste(browse: Browse, folders: Any) -> None:
    assert "<textarea" not in browse("viewer").get("/imports/paste").text
    assert browse("viewer").post("/imports/paste", data={"codes": "A1"}).status_code == 403
    assert landed(folders) == []


def test_another_site_pastes_nothing(browse: Browse, folders: Any) -> None:
    answer = browse("user").post("/imports/paste", data={"codes": "A1"}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert landed(folders) == []


@pytest.mark.parametrize("role", [role for role in ROLES if role != "viewer"])
def test_pasted_codes_are_previewed_and_imported_in_the_name_of_who_pasted_them(
    browse: Browse, folders: Any, codes_pool: None, carry_out: Any, connected: Any, role: str
) -> None:
    """Source: PC-01, X-06, X-10."""
    client = browse(role)
    answer = client.post("/imports/paste", data={"pool": "summer", "codes": "A1\r\n  A2\r\n\r\n=3+4\r\n"})
    assert answer.status_code == 303
    address = answer.headers["location"]
    page = client.get(address).text
    assert 'value="summer"' in page
    assert "The first 3 rows" in page
    assert landed(folders) == []  # the pick-up must not take it before it is launched
    (file,) = (folders.work / "uploads" / "promo_codes").rglob("pasted-*.txt")
    assert file.read_bytes() == b"Code\nA1\r\n  A2\r\n\r\n=3+4\r\n"

    settings = {"do": "launch", "setting.pool": "summer", "setting.encoding": "utf-8"}
    assert client.post(address, data=settings).headers["location"] == f"{address}/launched"
    run = carry_out("import_promo_codes", f"upload__{address.rsplit('/', 1)[1]}")
    assert run.state == "success"
    with connected.owner.connect() as connection:
        stored_codes = connection.execute(text("SELECT code, pool_system_id FROM loyalty.promo_code ORDER BY 1")).all()
        launched_by = connection.execute(text("SELECT launched_by FROM ledger.import_job")).scalar_one()
    assert [tuple(row) for row in stored_codes] == [("=3+4", "summer"), ("A1", "summer"), ("A2", "summer")]
    assert launched_by == f"the {role}"


def test_a_pool_leads_to_the_box_and_to_the_upload_with_its_id_filled_in(browse: Browse, codes_pool: None) -> None:
    """Source: PC-02."""
    client = browse("user")
    assert 'href="/imports/paste?pool=summer"' in client.get("/imports/pools/promo-codes/summer").text
    assert "/imports/paste?pool" not in client.get("/imports/pools/promo-codes/made").text
    assert "/imports/paste?pool" not in browse("viewer").get("/imports/pools/promo-codes/summer").text
    for address in ("/imports/paste?pool=summer", "/imports/upload/promo_codes?pool=summer"):
        assert 'value="summer"' in client.get(address).text


def test_the_box_offers_the_pools_that_codes_can_be_uploaded_to(browse: Browse, codes_pool: None) -> None:
    """Source: PC-05."""
    page = browse("user").get("/imports/paste").text
    assert '<option value="summer">' in page
    assert '<option value="&lt;i&gt;&#34;x">' in page
    assert 'value="made"' not in page


@pytest.mark.parametrize("codes", ["", " \r\n\t "])
def test_an_empty_text_comes_back_with_the_reason(browse: Browse, folders: Any, codes: str) -> None:
    answer = browse("user").post("/imports/paste", data={"pool": "summer", "codes": codes})
    assert answer.status_code == 422
    assert "The text is empty." in answer.text
    assert 'value="summer"' in answer.text
    assert landed(folders) == []


def test_what_was_pasted_comes_back_as_text(browse: Browse, folders: Any) -> None:
    codes = "</textarea><script>alert(1)</script>"
    answer = browse("user").post("/imports/paste", data={"pool": "x" * 1001, "codes": codes})
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text
    assert landed(folders) == []


def test_a_text_that_is_too_long_is_refused(browse: Browse, folders: Any) -> None:
    """Source: X-18."""
    answer = browse("user").post("/imports/paste", data={"codes": "A" * (4 << 20)})
    assert answer.status_code == 413
    assert "4 MiB at most" in answer.text
    assert landed(folders) == []


def test_nobody_sees_templates_without_signing_in(browse: Browse) -> None:
    assert browse(None).get("/imports/templates").status_code == 401
    assert browse(None).get("/imports/templates/gift_cards/empty").status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_everyone_downloads_the_templates(browse: Browse, role: str) -> None:
    client = browse(role)
    page = client.get("/imports/templates").text
    for name, declared in IMPORT_TYPES.items():
        assert f"<h2>{declared.label}</h2>" in page
        for kind, ending in (("empty", ""), ("sample", ".sample")):
            assert f'href="/imports/templates/{name}/{kind}"' in page
            answer = client.get(f"/imports/templates/{name}/{kind}")
            assert answer.content == (declared.sample.read_bytes() if ending else declared.template.encode())
            assert answer.headers["content-disposition"] == f'attachment; filename="{name}{ending}.csv"'


@pytest.mark.parametrize("path", ["nothing/empty", "gift_cards/nothing", "../config/empty", "gift_cards/..%2Fproject"])
def test_there_are_no_other_templates(browse: Browse, path: str) -> None:
    assert browse("admin").get(f"/imports/templates/{path}").status_code == 404
