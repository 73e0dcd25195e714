"""Private values under any header of small files: what every user may read holds none of them. Source: X-20."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from include import import_types
from include.declaration.fields import Field, Kind
from include.ledger.jobs import JobResult
from loyalty_airflow.notifications import mail_of_import
from loyalty_airflow.runtime import open_runtime
from loyalty_airflow.tasks.importing import digest
from tests.dags.pages.test_jobs import parse
from tests.dags.test_import_runs import POOLS

pytestmark = pytest.mark.dags

PRIVATE = (
    "K7QW-PL0M", "P-AUTUMN-7731", "GC-ABCD-EFGH", "GIFT7700000000000001", "49293333", "4929333344445555",
    "4929 3333 4444 5555", "19.80.1 4929333344445555", "731", "73195", "Maria Schmidt", "Annabel", "Christina Wu",
    "1980-02-29", "31.02.1980", "29. Februar 1980", "05/06/1980", "06.12.34.56.78", "06-12-34-56-78",
    "49-30-1234-56789", "0151-23-456 7890", "12-34-5678-9012-3456", "+1 202-555-0163", "612345678",
    "anna.secret@example.com",
)  # fmt: skip
"""Codes, card numbers, CVVs, names, birth dates, phones, an address."""
SWITCHES = {"take_point_of_contact_from_file": True, "take_action_template_from_file": True, "action": "add_and_edit"}
ASKED_NOTHING = {"review_columns": False, "review_reject_share": 1.0}
NUMBERS = (Kind.DECIMAL, Kind.INTEGER)


def files(import_type: str, *, has_cvvs: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield files of one to five rows, each row with another private value in every field that is none; and those."""
    fields = [field for field in import_types.get(import_type).fields if has_cvvs or not field.is_secret]
    rows = [[_cell(field, value, number, has_cvvs) for field in fields] for number, value in enumerate(PRIVATE)]
    first = 0
    for size in (1, 2, 3, 4, 5, 5, 5):
        text = io.StringIO()
        csv.writer(text).writerows([[field.name for field in fields], *rows[first : first + size]])
        yield text.getvalue(), list(PRIVATE[first : first + size])
        first += size
    assert first == len(PRIVATE)


def _cell(field: Field, value: str, number: int, has_cvvs: bool) -> str:
    """Return a cell; amounts and counts of up to eight digits are shown, unless they may be CVVs."""
    if field.sensitive or field.is_secret:
        return {Kind.EMAIL: f"u{number}@example.com", Kind.PHONE: "", Kind.DATE: ""}.get(field.kind, f"own-{number}")
    is_amount = field.kind in NUMBERS and re.fullmatch("[0-9]{1,8}", value)
    return "50" if is_amount and not (has_cvvs and len(value) <= 5) else value


@pytest.mark.parametrize(
    ("import_type", "has_cvvs"),
    [(name, False) for name in import_types.IMPORT_TYPES] + [("gift_cards", True)],
)
def test_x20_no_private_value_of_a_small_file_is_shown_to_every_user(
    browse: Callable[[str | None], TestClient],
    load: Callable[..., JobResult],
    connected: Any,
    import_type: str,
    has_cvvs: bool,
) -> None:
    load("gift_card_pools", "p.csv", POOLS)
    viewer = browse("viewer")
    for number, (content, values) in enumerate(files(import_type, has_cvvs=has_cvvs)):
        parameters = ASKED_NOTHING | (SWITCHES if import_type == "customers" else {})
        result = load(import_type, f"rows-{number}.csv", content, **parameters)
        assert result.rows.rejected, result
        with open_runtime() as runtime:
            digested = digest(runtime, result)
        mail = mail_of_import(digested, "http://x")
        with connected.engine.connect() as connection:
            evidence = connection.execute(
                sa.text("SELECT string_agg(evidence::text, ' ') FROM ledger.import_chunk WHERE job_id = :job"),
                {"job": result.job},
            ).scalar_one()
        page = viewer.get(f"/imports/jobs/{result.job}")
        assert page.status_code == 200
        texts = {
            "evidence": evidence,
            "XCom": json.dumps(digested, ensure_ascii=False),
            "mail": f"{mail.subject} {mail.as_text()} {html.unescape(mail.as_html())}",
            "page": " ".join(parse(page.text).texts),
        }
        for place, text in texts.items():
            for value in values:
                assert not re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", text), (place, value)
