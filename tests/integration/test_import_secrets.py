"""Where values may be written and where not. Source: X-20."""

from __future__ import annotations

import json
import logging
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from upath import UPath

from include.errors import SuiteError, WarehouseFault
from include.importer import import_file
from include.review.preview import preview_file
from include.warehouse.cvv import hash_cvv
from tests.imports import CARD_HEADER, CVV_KEY, Site, contents, reasons

pytestmark = pytest.mark.integration

NUMBER, OTHER, THIRD = "4929333344445551", "4929333344445552", "4929333344445553"
CVV, OTHER_CVV = "c4n4ry-cvv", "0ther-c4n4ry"
HEADER = f"{CARD_HEADER},cvv,status"
MAY_HOLD_VALUES = {"reject.reasons"}
"""Columns of the ledger that quote what the sender wrote, kept as long as the rejected-rows file."""


def column_texts(site: Site) -> Iterator[tuple[str, str]]:
    """Return (table.column, everything in it) for the whole ledger."""
    columns = site.query(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'ledger' ORDER BY 1, 2"
    )
    assert len(columns) > 60
    for table, column in columns:
        yield f"{table}.{column}", str(site.query(f'SELECT "{column}"::text FROM ledger.{table}'))


@pytest.fixture
def imported(stocked: Site, caplog: pytest.LogCaptureFixture) -> tuple[Site, str]:
    """A site after imports of every outcome, and all that was reported about them."""
    caplog.set_level(logging.DEBUG)
    row = f"{NUMBER},holiday_50,50,{CVV},"
    results: list[object] = [
        stocked.cards(row, f"{OTHER},holiday_50,50,{OTHER_CVV},", header=HEADER),
        stocked.cards(row, row, f"{NUMBER},holiday_50,50,{OTHER_CVV},Blocked", header=HEADER),  # exists, repeated
        stocked.cards(f"{THIRD},nowhere,fifty,{CVV},{NUMBER}", f"{THIRD},holiday_50,5,{CVV}", header=HEADER),
        stocked.cards(row, header=HEADER, dry_run=True, force=True),
        stocked.cards(f"{THIRD},nowhere,1,{CVV},", header=HEADER, max_reject_share=0),
        stocked.load("gift_cards", f"{row}\n{OTHER},holiday_50,50,{CVV},\n"),  # headerless
        stocked.load("gift_cards", f"{NUMBER},{CVV},Card number\n{row}\n"),  # a header that only one word betrays
        stocked.load("gift_cards", f'{HEADER}\n{NUMBER},holiday_50,50,"{CVV},\n'),  # an unclosed quote
        stocked.load("gift_cards", f"{HEADER}\n{NUMBER},\udcff{CVV}\n".encode("utf-8", "surrogateescape")),
        stocked.changed(cvv_key=None).cards(row, f"{THIRD},holiday_50,50,{CVV},", header=HEADER),
        stocked.load("gift_card_pools", f"{row}\n"),
    ]
    assert [result.state for result in results] == [
        "completed", "completed_with_rejects", "completed_with_rejects", "completed", *["refused"] * 5, "failed",
        "refused",
    ]  # fmt: skip
    return stocked, "\n".join([*map(repr, results), caplog.text])


def test_no_result_and_no_log_line_holds_a_card_number_or_a_cvv(imported: tuple[Site, str]):
    _, output = imported
    for canary in (NUMBER, OTHER, THIRD, CVV, OTHER_CVV):
        assert canary not in output


def test_summaries_and_evidence_hold_no_values(imported: tuple[Site, str]):
    site, _ = imported
    reports = {name: content.decode() for name, content in site.reports().items() if name.endswith(".json")}
    assert len(reports) > 11
    for name, content in reports.items():
        for canary in (NUMBER, OTHER, THIRD, CVV, OTHER_CVV):
            assert canary not in content, name


def test_the_ledger_holds_no_cvv_anywhere_and_values_only_in_the_reasons(imported: tuple[Site, str]):
    site, _ = imported
    for column, text in column_texts(site):
        assert CVV not in text, column
        assert OTHER_CVV not in text, column
        if column not in MAY_HOLD_VALUES:
            for canary in (NUMBER, OTHER, THIRD):
                assert canary not in text, column


def test_cvvs_are_stored_as_keyed_hashes_alone(imported: tuple[Site, str]):
    site, _ = imported
    stored = dict(site.query("SELECT card_number, cvv_hash FROM loyalty.gift_card"))
    assert {number: bytes(hashed) for number, hashed in stored.items()} == {
        NUMBER: hash_cvv(CVV_KEY, NUMBER, CVV),
        OTHER: hash_cvv(CVV_KEY, OTHER, OTHER_CVV),
    }
    assert CVV not in str(site.loyalty())


def test_staging_has_no_cvv_in_clear(stocked: Site):
    from include.arrivals.landing import take_file
    from include.stages.inspection import inspect_file
    from include.stages.validation import validate_chunk

    path = stocked.drop("gift_cards", "cards.csv", f"{HEADER}\n{NUMBER},holiday_50,50,{CVV},\n")
    job = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    inspect_file(stocked.runtime, job)
    validate_chunk(stocked.runtime, job, 0)
    staged = str(stocked.query(f"SELECT * FROM staging.job_{job}_chunk_0"))
    assert NUMBER in staged
    assert CVV not in staged


def test_files_with_full_values_are_for_the_owner_and_group_alone(imported: tuple[Site, str]):
    site, _ = imported
    for area in ("reports", "archive", "work"):
        for path in (site.folder / area).rglob("*"):
            if path.is_file():
                assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0, path
    for name in contents(site.folder / "reports"):
        assert stat.S_IMODE((site.folder / "reports" / name).stat().st_mode) & 0o007 == 0, name


def test_database_errors_quote_no_values(stocked: Site):
    stocked.query("CREATE UNIQUE INDEX meddled ON loyalty.gift_card (left(card_number, 4))")
    path = stocked.drop(
        "gift_cards", "cards.csv", f"{CARD_HEADER}\n{NUMBER},flexible_gift,1\n{OTHER},flexible_gift,1\n"
    )
    result = import_file(stocked.runtime, stocked.request("gift_cards", path))
    assert (result.state, (result.reason or {})["rule"]) == ("failed", "job.failed")
    assert "meddled" in (result.reason or {})["message"]
    assert "4929" not in repr(result)
    assert stocked.card_numbers() == []


def test_an_error_while_staging_quotes_no_values(stocked: Site):
    from include.arrivals.landing import take_file
    from include.stages.inspection import inspect_file
    from include.stages.validation import validate_chunk

    path = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\n{NUMBER},nowhere,1\n")
    job = take_file(stocked.runtime, stocked.request("gift_cards", path)).job_id
    inspect_file(stocked.runtime, job)
    stocked.query("ALTER TABLE ledger.reject ADD CONSTRAINT meddled CHECK (reasons = '')")
    with pytest.raises(WarehouseFault, match="meddled") as raised:
        validate_chunk(stocked.runtime, job, 0)
    assert NUMBER not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_row_that_the_table_refuses_though_the_suite_let_it_through_fails_the_job_without_values(
    stocked: Site, tmp_path: Path
):
    for name in ("gift_cards", "gift_card_pools"):
        suite = json.loads((stocked.runtime.suites / f"{name}.json").read_text())
        suite["expectations"] = [
            entry for entry in suite["expectations"] if entry["meta"]["rule"] != "balance.negative"
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps(suite))
    site = stocked.changed(suites=tmp_path)
    result = site.cards(f"{NUMBER},flexible_gift,-1", f"{OTHER},flexible_gift,1")
    assert (result.state, (result.reason or {})["rule"]) == ("failed", "job.failed")
    assert (
        "gift_cards.json let rows through that loyalty.gift_card refuses (gift_card_balance_check)"
        in (result.reason or {})["message"]
    )
    assert NUMBER not in repr(result)
    assert site.card_numbers() == []
    assert issubclass(SuiteError, Exception)


def test_not_even_a_suite_that_quotes_a_cvv_makes_it_known(stocked: Site, tmp_path: Path):
    suite = json.loads((stocked.runtime.suites / "gift_cards.json").read_text())
    for entry in suite["expectations"]:
        if entry["meta"]["rule"] == "balance.negative":
            entry["meta"]["message"] = "{value} of {card_number} with {cvv}"
    (tmp_path / "gift_cards.json").write_text(json.dumps(suite))
    result = stocked.changed(suites=tmp_path).cards(f"{NUMBER},flexible_gift,-1,{CVV},", header=HEADER)
    assert reasons(result) == {2: f"'-1' of '{NUMBER}' with ..."}


@pytest.mark.parametrize(
    ("header", "row", "quoted_parts"),
    [
        ("card_number,pool_system_name,balance,cvv,status", "{n},flexible_gift,777,,Lost", ["'Lost'"]),
        ("card_number,pool_system_name,balance,cvv,status", "{n},777,50,,", ["'...'"]),  # shifted
        ("card_number,pool_system_name,balance,cvv", "{n},holiday_50,777,50", ["'...'", "'holiday_50'", "50.00"]),
        ("card_number,pool_system_name,balance,cvv", "{n},flexible_gift,CVV: 0777,50", ["'CVV: ...'"]),
        ("card_number,pool_system_name,balance,cvv", "{n},777 778,5,", ["'... ...'"]),
        ("cvv,card_number,pool_system_name,balance", "x,777,flexible_gift,-777.00", ["'-....00'"]),
        ("card_number,pool_system_name,balance,cvv", "{n},nowhere/777/778/779,5,", ["'nowhere/.../.../...'"]),
        ("card_number,pool_system_name,balance,cvv", "{n},\uff17\uff17\uff17,5,", ["'...'"]),
        ("card_number,pool_system_name,balance,CVC", "{n},holiday_50,777,50.00", ["'...'", "'holiday_50'", "50.00"]),
        ("card_number,pool_system_name,balance,Prüfziffer", "{n},holiday_50,777,50.00", ["'...'", "'holiday_50'"]),
        ("card_number,pool_system_name,balance,", "{n},holiday_50,777,50.00", ["'...'"]),
    ],
)
def test_a_cvv_in_another_column_is_in_no_sentence(stocked: Site, header: str, row: str, quoted_parts: list[str]):
    """X-20: columns shifted by one, or swapped, put CVVs where a rule quotes the cell."""
    result = stocked.cards(row.format(n=NUMBER), header=header)
    assert result.rows.rejected == 1
    code = re.compile(r"(?<![0-9a-f.])77[789](?![0-9a-f])|\uff17")  # not as a part of a hash or of a time
    assert [(column, text) for column, text in column_texts(stocked) if code.search(text)] == []
    (sentence,) = reasons(result).values()
    assert [part for part in quoted_parts if part not in sentence] == []


@pytest.mark.parametrize("name", ["CVC", "Prüfziffer"])
@pytest.mark.parametrize("rows", [1, 3])
def test_x20_a_preview_shows_no_cvv_of_a_column_that_nobody_recognised(stocked: Site, name: str, rows: int):
    """Balance and CVV are exchanged; rows of a column that is not imported are compared with none."""
    lines = "".join(f"41000000000{number},holiday_50,77{number},50.00\n" for number in range(7, 7 + rows))
    path = stocked.drop("gift_cards", "cards.csv", f"card_number,pool_system_name,balance,{name}\n{lines}")
    text = preview_file(stocked.runtime, "gift_cards", UPath(str(path))).as_text()
    assert "holiday_50" in text
    assert "77" not in text


def test_x20_a_preview_shows_no_cvv_of_a_column_that_is_switched_off(stocked: Site):
    content = "card_number,pool_system_name,balance,cvv\n410000000001,holiday_50,777,50.00\n"
    path = stocked.drop("gift_cards", "cards.csv", content)
    settings = {"mapping": {"cvv": None}}
    text = preview_file(stocked.runtime, "gift_cards", UPath(str(path)), parameters=settings).as_text()
    assert "holiday_50" in text
    assert "77" not in text


def test_x20_short_amounts_of_few_cards_are_said_of_no_column_that_nobody_recognised(stocked: Site):
    rows = [f"41000000000{number},holiday_50,77{number},50.00" for number in range(7, 10)]
    result = stocked.cards(*rows, header="card_number,pool_system_name,balance,Prüfziffer")
    assert result.rows.rejected == 3
    code = re.compile(r"(?<![0-9a-f.])77[789](?![0-9a-f])")
    assert [(column, text) for column, text in column_texts(stocked) if code.search(text)] == []


def test_x08_a_column_of_cvvs_hides_no_amount_name_date_or_status(stocked: Site):
    rows = [
        f"{NUMBER},holiday_50,100.00,123,,",
        f"{OTHER},flexible_gift,19.999,123,,",
        "g1,pool_100,5,123,,",
        "g2,summer 2024,5,123,,",
        "g3,flexible_gift,5,123,2026-02-30 10:00,Lost 2024",
        *(f"h{number},holiday_50,100,123,," for number in range(40)),
    ]
    result = stocked.cards(*rows, header="card_number,pool_system_name,balance,cvv,purchased_at,status")
    quoted = reasons(result)
    assert "Card balance '100.00' differs from the fixed value of pool 'holiday_50', which is 50.00" in quoted[2]
    for line, part in {3: "'19.999'", 4: "'pool_100'", 5: "'summer 2024'", 6: "'2026-02-30 10:00'"}.items():
        assert part in quoted[line]
    assert "'Lost 2024'" in quoted[6]
    assert "Card balance '...' differs from the fixed value of pool 'holiday_50'" in quoted[7]
    (evidence,) = stocked.query("SELECT string_agg(evidence::text, ' ') FROM ledger.import_chunk")[0]
    assert "Card balance '100' differs from the fixed value of pool 'holiday_50'" in evidence


def test_without_a_column_of_cvvs_sentences_quote_numbers_as_they_are(stocked: Site):
    """The sender learns what is wrong with which value."""
    result = stocked.cards(f"{NUMBER},holiday_50,777", f"{OTHER},777,5")
    quoted = reasons(result)
    assert "Card balance '777' differs" in quoted[2]
    assert "Pool '777' does not exist" in quoted[3]


@pytest.mark.parametrize(
    "settings",
    [
        f"mapping: {{'{NUMBER}': card_number}}",
        f"mapping: {{balance: '{NUMBER}'}}",
        f"encoding: '{NUMBER}'",
        f"dry_run: '{NUMBER}'",
        f"'{NUMBER}': 1",
        f"release: '{NUMBER}'",
        f"action: '{NUMBER}'",
        "encoding: 'ann.4929333@example.com'",
        "'ann.4929333@example.com': x",
        f"delimiter: [{NUMBER}]",
        f"a: [{NUMBER}",
    ],
)
def test_what_looks_like_data_in_a_settings_file_is_masked_wherever_it_is_shown(
    stocked: Site, caplog: pytest.LogCaptureFixture, settings: str
):
    """X-20: ledger, result (XCom, note, OpenLineage), log. A job's parameters and settings are the file's own."""
    caplog.set_level(logging.DEBUG)
    stocked.drop("gift_cards", "a.csv.settings.yaml", settings)
    result = stocked.load("gift_cards", f"{CARD_HEADER}\n1,flexible_gift,5\n", name="a.csv")
    assert (result.state, (result.reason or {})["rule"]) == ("refused", "file.settings")
    for canary in (NUMBER, "4929333", "ann."):
        assert canary not in repr(result)
        assert canary not in caplog.text
        for column, text in column_texts(stocked):
            assert canary not in text or column in ("import_job.parameters", "import_job.settings"), column


def test_a_preview_masks_card_numbers_and_hides_cvvs(stocked: Site):
    content = f"{HEADER}\n{NUMBER},holiday_50,50,{CVV},\n4.929E+15,holiday_50,50,{OTHER_CVV},\n{'7' * 1001},x,y,z,\n"
    path = stocked.drop("gift_cards", "cards.csv", content)
    text = preview_file(stocked.runtime, "gift_cards", UPath(str(path))).as_text()
    assert "…5551" in text
    for canary in (NUMBER, CVV, OTHER_CVV, "4.929E+15", "7" * 20):
        assert canary not in text
    assert path.exists()
    assert stocked.query("SELECT count(*) FROM ledger.import_job") == [(1,)]
