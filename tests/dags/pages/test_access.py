"""Who may open the pages, and from where."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.dags.pages.conftest import ROLES

pytestmark = pytest.mark.dags

Browse = Callable[[str | None], TestClient]


def test_nobody_sees_a_page_without_signing_in(browse: Browse) -> None:
    assert browse(None).get("/imports/").status_code == 401


@pytest.mark.parametrize("role", ROLES)
def test_everyone_who_is_signed_in_sees_the_imports(browse: Browse, role: str) -> None:
    answer = browse(role).get("/imports/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert "<h1>Imports</h1>" in answer.text
