"""Rejected-rows files as they come back from people and their spreadsheets. Source: X-09, X-14, X-20."""

from __future__ import annotations

import pytest

from tests.imports import CARD_HEADER, Site, counts, rejected_file, rejects

pytestmark = pytest.mark.integration


def test_x09_a_file_whose_sentences_hold_the_other_delimiter_comes_back_as_it_was(stocked: Site):
    first = stocked.load(
        "gift_cards", "card_number;pool_system_name;balance;note, free\n1;flexible_gift\n2;flexible_gift;1;x\n"
    )
    again = stocked.load("gift_cards", rejected_file(first))
    assert (again.state, again.reason) == ("completed_with_rejects", None)
    assert list(rejects(again, delimiter=";").values()) == [{"row.ragged"}]


def test_x09_a_column_that_was_switched_off_may_be_deleted(stocked: Site):
    header = "Nummer,Topf,balance,Bem"
    mapping = {"Nummer": "card_number", "Topf": "pool_system_name", "Bem": None}
    first = stocked.cards("1,flexible_gift,x,y", header=header, mapping=mapping)
    corrected = f"_job,_line,Nummer,Topf,balance\n{first.job},2,1,flexible_gift,10\n"
    second = stocked.load("gift_cards", corrected)
    assert counts(second) == {"read": 1, "inserted": 1}


def test_x09_a_job_number_may_come_back_as_a_decimal(stocked: Site):
    first = stocked.cards("1;flexible_gift;x", header="Nummer;Topf;balance",
                          mapping={"Nummer": "card_number", "Topf": "pool_system_name"})  # fmt: skip
    second = stocked.load("gift_cards", f"_job;_line;Nummer;Topf;balance\n{first.job}.0;2,0;1;flexible_gift;10\n")
    assert counts(second) == {"read": 1, "inserted": 1}
    assert stocked.query("SELECT fixed_by_job_id FROM ledger.reject WHERE job_id = :job", job=first.job) == [
        (second.job,)
    ]


def test_x09_job_cells_that_are_no_numbers_are_reported(stocked: Site):
    first = stocked.cards("1,flexible_gift,x")
    second = stocked.load(
        "gift_cards", f"_job,_line,{CARD_HEADER}\n{first.job},2,1,flexible_gift,1\nabc,3,2,flexible_gift,1\n"
    )
    assert counts(second) == {"read": 2, "inserted": 2}
    assert [(warning["rule"], warning["message"].split(":")[0]) for warning in second.warnings] == [
        ("file.unreadable_origin", "1 cells of the column _job hold no job number")
    ]


def test_x09_a_missing_line_column_is_reported(stocked: Site):
    first = stocked.cards("1,flexible_gift,x")
    second = stocked.load("gift_cards", f"_job,{CARD_HEADER}\n{first.job},1,flexible_gift,1\n")
    assert counts(second) == {"read": 1, "inserted": 1}
    assert [warning["rule"] for warning in second.warnings] == ["file.unreadable_origin"]


def test_x09_a_file_without_job_numbers_says_why_nothing_was_inherited(stocked: Site):
    refused = stocked.load("gift_cards", "_job,_line,Nummer,Topf\nabc,2,1,flexible_gift\n")
    assert refused.reason is not None
    assert refused.reason["rule"] == "file.missing_header"
    assert refused.reason["message"].endswith("no settings could be taken over from an earlier import.")


def test_x09_an_apostrophe_is_taken_off_in_rows_that_were_added_to_a_corrected_file(stocked: Site):
    loaded = stocked.load("gift_cards", f"_job,{CARD_HEADER}\n,'=B8,flexible_gift,1\n")
    assert counts(loaded) == {"read": 1, "inserted": 1}
    assert stocked.card_numbers() == ["=B8"]


def test_x14_a_dry_run_that_is_asked_again_keeps_its_fixed_rejects(stocked: Site):
    from include.importer import import_file

    path = stocked.drop("gift_cards", "a.csv", f"{CARD_HEADER}\n1,flexible_gift,x\n")
    request = stocked.request("gift_cards", path, dry_run=True)
    first = import_file(stocked.runtime, request)
    second = stocked.load("gift_cards", f"_job,_line,{CARD_HEADER}\n{first.job},2,1,flexible_gift,1\n")
    again = import_file(stocked.runtime, request)
    assert (again.job, again.rejects_fixed, again.rejects_open) == (first.job, 1, 0)
    assert second.rows.inserted == 1


def test_x20_headers_that_may_be_data_are_masked_in_refusals_and_warnings(stocked: Site):
    number = "4000123412341234"
    for header, mapping in (
        (f"{number},b,c", {"4000123412341230": "card_number"}),
        (f"Card{number},b,c", {"Card4": None}),
    ):
        refused = stocked.load("gift_cards", f"{header}\n1,2,3\n", mapping=mapping)
        assert refused.state == "refused"
        assert number not in str(refused.reason)
    loaded = stocked.cards(f"1,flexible_gift,10,{number}", header=f"{CARD_HEADER},{number}")
    assert loaded.state == "completed"
    assert [number in warning["message"] for warning in loaded.warnings] == [False]


def test_x17_placeholders_in_the_senders_values_are_only_values(stocked: Site):
    row = "Name,{line},true,true,p1,website,Acme,false,,NoExpiration,"
    result = stocked.pools(row, row.replace("p1", "p2"))
    sentence = stocked.query("SELECT reasons FROM ledger.reject WHERE job_id = :job", job=result.job)[0][0]
    assert sentence.startswith("Duplicate pool system name {line}, first seen on line 2")
