"""Which files are taken, and how their bytes become rows. Source: X-01 to X-05, X-15, X-16."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from include.arrivals.listing import list_landing
from include.arrivals.refusals import refuse_arrival
from include.ledger.jobs import JobResult
from include.stages import reporting
from tests.imports import CARD_HEADER, Site, contents, counts, rejects, summary

pytestmark = pytest.mark.integration

ONE = "4000000000000001,flexible_gift,10"


def refusal(result: JobResult) -> str:
    """Return the rule of a refused file, of which nothing was loaded."""
    assert result.state == "refused"
    assert counts(result).get("inserted") is None
    assert result.reason is not None
    return result.reason["rule"]


@pytest.mark.parametrize("name", ["a.csv", "b.CSV", "c.Txt", "d.txt", "e.rejected.csv", "two words (1).csv", "ü.csv"])
def test_x01_csv_and_txt_are_taken_in_any_letter_case(stocked: Site, name: str):
    result = stocked.cards(ONE, name=name)
    assert (result.state, result.file, counts(result)) == ("completed", name, {"read": 1, "inserted": 1})


@pytest.mark.parametrize("name", ["cards.xlsx", "cards.csv.gz", "cards", "cards.csv.bak", "cards.cvs"])
def test_x01_any_other_file_is_refused_with_a_reason_and_kept(stocked: Site, name: str):
    result = stocked.cards(ONE, name=name)
    assert refusal(result) == "file.extension"
    assert name in (result.reason or {})["message"]
    assert stocked.card_numbers() == []
    kept = contents(stocked.folder / "archive" / "quarantine")
    assert kept == {f"gift_cards/{result.job}/{name}": f"{CARD_HEADER}\n{ONE}\n".encode()}
    assert contents(stocked.folder / "landing") == contents(stocked.folder / "work") == {}


@pytest.mark.parametrize("folder", ["gift_card", "Gift_Cards", "gift_cards/old", "."])
def test_x01_a_file_in_a_folder_of_no_import_type_is_refused_at_the_next_look(site: Site, folder: str):
    site.drop(folder, "cards.csv", "no line end, and no need to wait for one")
    site.drop("gift_cards", "_settings.yaml", "settle_seconds: 1")
    site.drop("gift_cards", "a.csv.settings.yaml", "delimiter: ;")
    later = site.runtime.clock().replace(year=2100)
    (arrival,) = list_landing(site.runtime, later).ready
    assert (arrival.import_type, arrival.file_name) == (None, "cards.csv")
    job = refuse_arrival(site.runtime, arrival, run_key="refusal")
    reporting.write_report(site.runtime, job)
    result = reporting.close_job(site.runtime, job)
    assert refusal(result) == "file.unknown_type"
    assert "gift_card_pools, gift_cards" in (result.reason or {})["message"]
    assert summary(result)["reason"] == result.reason
    assert not (site.folder / "landing" / folder / "cards.csv").exists()
    assert list(contents(site.folder / "archive")) == [f"quarantine/unknown/{job}/cards.csv"]
    assert list_landing(site.runtime, later).ready == []


def test_x01_a_type_that_does_not_exist_is_refused(site: Site):
    assert refusal(site.load("gift_crads", "a,b\n1,2\n")) == "file.unknown_type"


def test_x02_an_empty_file_a_missing_header_and_a_lone_header_are_three_outcomes(stocked: Site):
    assert refusal(stocked.load("gift_cards", b"")) == "file.empty"
    assert refusal(stocked.load("gift_cards", codecs.BOM_UTF8)) == "file.empty"
    headerless = stocked.load("gift_cards", f"{ONE}\n4000000000000002,flexible_gift,20\n")
    assert refusal(headerless) == "file.missing_header"
    assert "4000000000000001" not in str(headerless)

    lone = stocked.load("gift_cards", f"{CARD_HEADER}\n")
    assert (lone.state, counts(lone), lone.rejected_file) == ("completed", {}, None)
    assert [warning["rule"] for warning in lone.warnings] == ["file.header_only"]
    assert stocked.job(lone)["rows_read"] == 0
    also_lone = stocked.load("gift_cards", f"{CARD_HEADER}\n\n \n\r\n")
    assert (also_lone.state, [warning["rule"] for warning in also_lone.warnings]) == ("completed", ["file.header_only"])
    assert stocked.card_numbers() == []


def test_x03_utf8_with_and_without_a_byte_order_mark(stocked: Site):
    text = f"{CARD_HEADER}\nКарта-1,flexible_gift,10\n"
    assert counts(stocked.load("gift_cards", codecs.BOM_UTF8 + text.encode())) == {"read": 1, "inserted": 1}
    assert counts(stocked.load("gift_cards", text.encode())) == {"read": 1, "unchanged": 1}
    assert stocked.card_numbers() == ["Карта-1"]


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [
        ("windows-1251", b""),
        ("koi8-r", b""),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
    ],
)
def test_x03_another_encoding_is_read_when_it_is_declared_and_never_guessed(stocked: Site, encoding: str, bom: bytes):
    content = bom + f"{CARD_HEADER}\nКарта-1,flexible_gift,10\nКарта-2,нет,10\n".encode(encoding)
    undeclared = stocked.load("gift_cards", content)
    assert refusal(undeclared) in ("file.encoding", "file.header_nul")
    declared = encoding if not bom else encoding.removesuffix("-le").removesuffix("-be")
    result = stocked.load("gift_cards", content, settings={"encoding": declared})
    assert counts(result) == {"read": 2, "inserted": 1, "rejected": 1}
    assert rejects(result, encoding=declared) == {3: {"pool_system_name.known"}}
    assert stocked.card_numbers() == ["Карта-1"]
    assert contents(stocked.folder / "work") == {}


def test_x03_pools_are_utf8_or_refused(site: Site):
    content = "pool_name\nПодарок\n".encode("windows-1251")
    refused = site.load("gift_card_pools", content)
    assert refusal(refused) == "file.encoding"
    assert "byte offset 10, on line 2" in (refused.reason or {})["message"]
    assert refusal(site.load("gift_card_pools", content, encoding="windows-1251")) == "file.settings"


def test_x03_undecodable_bytes_name_offset_and_line(stocked: Site):
    refused = stocked.load("gift_cards", f"{CARD_HEADER}\n{ONE}\n".encode() + b"\xff,flexible_gift,1\n")
    assert refusal(refused) == "file.encoding"
    offset = len(f"{CARD_HEADER}\n{ONE}\n")
    assert f"byte offset {offset}, on line 3" in (refused.reason or {})["message"]


def test_x04_a_required_field_without_a_column_refuses_and_names_both_sides(site: Site):
    refused = site.load("gift_cards", "card_number,Secret column\n1,2\n")
    assert refusal(refused) == "file.required_column"
    message = (refused.reason or {})["message"]
    assert "Pool system name (pool_system_name), Card balance (balance)" in message
    assert "card_number" in message
    assert "Secret column" in message  # beside a header that is one, this is no data


def test_x04_a_blank_required_cell_rejects_that_row_alone(stocked: Site):
    result = stocked.cards(ONE, ",flexible_gift,10", "2,,10", "3,flexible_gift,", " ,\u00a0,\u3000")
    assert rejects(result) == {
        3: {"card_number.required"},
        4: {"pool_system_name.required"},
        5: {"balance.required"},
        6: {"card_number.required", "pool_system_name.required", "balance.required"},
    }
    assert stocked.card_numbers() == ["4000000000000001"]


def test_x05_columns_match_by_name_label_and_alias_without_case_blanks_and_punctuation(stocked: Site):
    header = "CARD-number;gift card POOL system name;Card_Balance;Purchase date;notes"
    result = stocked.load("gift_cards", f"{header}\n1;flexible_gift;5;2024-01-01;x\n")
    assert counts(result) == {"read": 1, "inserted": 1}
    mapping = stocked.job(result)["mapping"]["columns"]
    assert [(column["field"], column["how"]) for column in mapping] == [
        ("card_number", "exact"),
        ("pool_system_name", "exact"),
        ("balance", "exact"),
        ("purchased_at", "exact"),
        (None, "unmatched"),
    ]
    skipped = [warning["message"] for warning in result.warnings if warning["rule"] == "file.column_skipped"]
    assert len(skipped) == 1
    assert "Column 5 (notes)" in skipped[0]


def test_x05_settings_map_any_header_and_switch_columns_off_and_suggestions_are_never_applied(stocked: Site):
    header = "№,Pool,Worth,Card number,balanse"
    row = "0042,flexible_gift,5,other,99"
    mapping = {"№": "card_number", "Pool": "pool_system_name", "Worth": "balance", "Card number": None}
    result = stocked.load("gift_cards", f"{header}\n{row}\n", settings={"mapping": mapping})
    assert counts(result) == {"read": 1, "inserted": 1}
    assert stocked.query("SELECT card_number, balance FROM loyalty.gift_card") == [("0042", 5)]

    assert refusal(stocked.load("gift_cards", f"{header}\n{row}\n")) == "file.required_column"
    off = {**mapping, "Worth": None}
    refused = stocked.load("gift_cards", f"{header}\n{row}\n", mapping=off)
    assert refusal(refused) == "file.required_column"
    balance_off = {"balance": None}
    assert refusal(stocked.cards(ONE, mapping=balance_off)) == "file.required_switched_off"


def test_x05_two_columns_on_one_field_refuse_the_file(stocked: Site):
    refused = stocked.cards(f"{ONE},11", header=f"{CARD_HEADER},Card balance")
    assert refusal(refused) == "file.ambiguous_mapping"
    assert counts(stocked.cards(f"{ONE},11", header=f"{CARD_HEADER},Card balance", mapping={"Card balance": None})) == {
        "read": 1,
        "inserted": 1,
    }


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_x15_the_delimiter_is_sniffed(stocked: Site, delimiter: str):
    text = f'{CARD_HEADER},note\n1,flexible_gift,10,"x{delimiter}y"\n2,flexible_gift,10\n'.replace(",", delimiter)
    result = stocked.load("gift_cards", text)
    assert counts(result) == {"read": 2, "inserted": 1, "rejected": 1}
    assert rejects(result, delimiter=delimiter) == {3: {"row.ragged"}}


def test_x15_a_tie_asks_for_a_declaration_and_a_declared_delimiter_settles_it(stocked: Site):
    header = "card_number;pool_system_name,balance;note,remark"
    assert refusal(stocked.load("gift_cards", f"{header}\n")) == "file.delimiter_tie"
    text = "card_number~pool_system_name~balance\n1~flexible_gift~1,5\n"
    assert counts(stocked.load("gift_cards", text, delimiter="~")) == {"read": 1, "inserted": 1}


def test_x15_quotes_line_ends_blank_lines_and_a_missing_last_line_end(stocked: Site):
    header = f"{CARD_HEADER},note\r\n"
    rows = [
        b'"1",flexible_gift,10,"two\r\nlines and a "" quote"\r\n',  # lines 2 and 3
        b"\n",  # 4
        b'2,"flexible_gift","10",5" pipe\n',  # 5
        b"   \t \r",  # 6
        b"3,flexible_gift,10,x\r",  # 7
        b'4,"flexible"_gift,10,x\n',  # 8: text after a quote
        b"5,flexible_gift,10\n",  # 9: too few
        b"6,flexible_gift,10,x,y\n",  # 10: too many
        b"7,flexible_gift,1\x000,x\n",  # 11: NUL
        b"\r\n\r\n",  # 12, 13
        b"8,nowhere,10,x",  # 14, no line end
    ]
    result = stocked.load("gift_cards", header.encode() + b"".join(rows))
    assert rejects(result) == {
        8: {"row.text_after_quote"},
        9: {"row.ragged"},
        10: {"row.ragged"},
        11: {"row.nul"},
        14: {"pool_system_name.known"},
    }
    assert counts(result) == {"read": 8, "inserted": 3, "rejected": 5}
    assert stocked.query("SELECT import_line FROM loyalty.gift_card ORDER BY 1") == [(2,), (5,), (7,)]


def test_x15_an_unclosed_quote_and_a_nul_in_the_header_refuse_the_file(stocked: Site):
    refused = stocked.load("gift_cards", f'{CARD_HEADER}\n{ONE}\n2,flexible_gift,"10\n3,flexible_gift,10\n')
    assert refusal(refused) == "file.unclosed_quote"
    assert "line 3" in (refused.reason or {})["message"]
    assert refusal(stocked.load("gift_cards", f"{CARD_HEADER},\0\n{ONE},\n")) == "file.header_nul"


def test_x16_white_space_of_any_kind_is_trimmed_and_codes_compare_exactly(stocked: Site):
    result = stocked.cards(
        "\u00a0 0042\u2003,\u3000flexible_gift\u2009, 10\u1680",
        "\u200b0043,flexible_gift,10",  # a zero width space is no White_Space, and belongs into no number
        "0044,Flexible_gift,10",
        "0045,flexible gift,10",
    )
    assert rejects(result) == {
        3: {"card_number.invisible_character"}, 4: {"pool_system_name.known"}, 5: {"pool_system_name.known"},
    }  # fmt: skip
    assert stocked.card_numbers() == ["0042"]


def test_x16_leading_zeros_survive_and_enumerations_ignore_case(stocked: Site):
    header = "card_number,pool_system_name,cvv,balance,status,point_of_contact,purchased_at"
    result = stocked.cards(
        "007,holiday_50,007,50,CANBEUSED,site-main,2024-01-01",
        "7,holiday_50,7,50,blocked,,",
        header=header,
    )
    assert counts(result) == {"read": 2, "inserted": 2}
    assert stocked.query("SELECT card_number, status FROM loyalty.gift_card ORDER BY 1") == [
        ("007", "CanBeUsed"),
        ("7", "Blocked"),
    ]


def test_a_file_that_is_not_there_is_refused_without_a_job(site: Site):
    from include.errors import FileRefused

    with pytest.raises(FileRefused, match="does not exist"):
        site.run("gift_cards", site.folder / "landing" / "gift_cards" / "none.csv")
    assert site.query("SELECT id FROM ledger.import_job") == []


def test_a_file_outside_the_landing_area_is_copied_and_stays(stocked: Site, tmp_path: Path):
    path = tmp_path / "elsewhere.csv"
    path.write_text(f"{CARD_HEADER}\n{ONE}\n")
    result = stocked.run("gift_cards", path)
    assert counts(result) == {"read": 1, "inserted": 1}
    assert path.exists()
    assert f"imported/gift_cards/{result.job}/elsewhere.csv" in contents(stocked.folder / "archive")


def test_a_name_as_long_as_a_file_system_allows_goes_through(stocked: Site):
    name = f"{'ä' * 125}x.csv"
    assert len(name.encode()) == 255
    result = stocked.cards(ONE, "2,nowhere,10", name=name, settings=None)
    assert rejects(result) == {3: {"pool_system_name.known"}}
