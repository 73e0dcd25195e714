"""What becomes of a file by the facts alone: refused, a duplicate, or read. Source: X-05, X-06, X-09."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from include.errors import FileRefused, Reason
from include.import_types import IMPORT_TYPES
from include.ledger.records import InspectionRecord, Review, SettingsSources
from include.project.loader import load_project
from include.reading.chunk_plan import Inspection
from include.reading.dialect import Dialect
from include.reading.records import Chunk
from include.stages.verdict import Columns, Facts, Learnt, Looked, RefusedAtReading, Verdict, choose_columns, decide
from tests.settings import settings_of

pytestmark = pytest.mark.unit

PROJECT = load_project()
CARDS = IMPORT_TYPES["gift_cards"]
FIELDS = CARDS.all_fields(PROJECT)
HEADER = ("Card number", "Pool system name", "Card balance")


def looked(header: tuple[str, ...] = HEADER, origins: tuple[int, ...] = (), **settings: object) -> Looked:
    inspection = Inspection(
        99, "0" * 64, Dialect("utf-8", b"", ",", "\n"), header, 0, 40, (Chunk(0, 41, 99, 2),), is_header_only=False
    )
    chosen = settings_of("gift_cards", **settings)
    learnt = Learnt(chosen, 99, inspection.sha256, "f" * 64)
    return Looked(chosen, inspection, origins, 0, is_escaped=bool(origins), learnt=learnt)


def verdict_of(file: Looked, header_before: tuple[str, ...] | None = None, **facts: object) -> Verdict:
    columns = choose_columns(file, CARDS, FIELDS, header_before)
    return decide(Facts(file, columns=columns, **facts), CARDS, PROJECT)


def record_of(verdict: Verdict) -> InspectionRecord:
    assert verdict.record is not None
    return verdict.record


def test_a_file_whose_columns_are_clear_is_read_without_a_question():
    verdict = verdict_of(looked())
    assert record_of(verdict).review is None
    assert verdict.mapping is not None
    assert verdict.mapping.field_indexes == {"card_number": 0, "pool_system_name": 1, "balance": 2}
    assert (verdict.refusal, verdict.duplicate_of) == (None, None)


def test_x13_of_a_duplicate_nothing_else_counts():
    file = looked(("nothing", "known"))
    assert decide(Facts(file, original=7), CARDS, PROJECT) == Verdict(file.learnt, duplicate_of=7)


def test_x05_a_header_that_can_t_be_mapped_refuses_the_file_with_what_was_learnt():
    file = looked(("Card number",))
    verdict = verdict_of(file)
    assert verdict.refusal is not None
    assert (verdict.refusal.rule, verdict.learnt) == ("file.required_column", file.learnt)


@pytest.mark.parametrize(
    ("settings", "before", "is_asked"),
    [
        ({"review": True}, None, True),
        ({"review": True, "dry_run": True}, None, False),
        ({"review": True, "locked": ["mapping"]}, None, False),
        ({"review_header_change": True}, HEADER, True),
        ({}, None, False),
    ],
)
def test_x06_a_person_is_asked_about_such_a_header_only_where_one_may_answer(settings, before, is_asked):
    verdict = verdict_of(looked(("Card number", "Pool system name"), **settings), before)
    assert (verdict.refusal is None) == is_asked
    if is_asked:
        review = record_of(verdict).review
        assert review is not None
        assert review.unusable is not None
        assert "Card balance" in review.unusable


def test_x06_the_reasons_are_the_setting_the_change_and_the_odd_columns():
    file = looked(review=True, review_header_change=True)
    verdict = verdict_of(file, (*HEADER, "Gift card status"), oddities=["Column 1 looks like amounts."])
    review = record_of(verdict).review
    assert review is not None
    assert [reason.rule for reason in review.reasons] == [
        "review.setting", "review.header_change", "review.columns",
    ]  # fmt: skip
    assert review.change is not None


def test_x06_limits_of_ones_own_and_an_earlier_question_keep_the_load_waiting():
    limited = verdict_of(looked(review_reject_share=0.1, given_by={"review_reject_share": "folder"}))
    assert record_of(limited).review == Review()
    assert record_of(verdict_of(looked(), was_asked=True)).review == Review()
    assert record_of(verdict_of(looked(dry_run=True), was_asked=True)).review is None


def test_what_the_type_refuses_is_refused():
    unfit = FileRefused("file.no_pool", "Choose a pool.")
    assert verdict_of(looked(), unfit=unfit).refusal is unfit


def test_x05_columns_that_are_not_imported_are_named_ten_at_most():
    header = (*HEADER, *(f"Note {number}" for number in range(12)))
    warnings = record_of(verdict_of(looked(header))).warnings
    assert len(warnings) == 11
    assert warnings[-1].message.startswith("2 more columns are not imported")


def test_x09_corrected_rows_that_go_elsewhere_are_reported():
    codes = IMPORT_TYPES["promo_codes"]
    chosen = settings_of("promo_codes", pool="winter", given_by={"pool": "folder"})
    file = replace(looked(("Code", "_job", "_line"), origins=(5, 6)), settings=chosen)
    columns = choose_columns(file, codes, codes.all_fields(PROJECT), None)
    earlier = {5: {"pool": "spring"}, 6: {"pool": "winter"}}
    verdict = decide(Facts(file, columns=columns, earlier_settings=earlier), codes, PROJECT)
    assert [warning.message for warning in record_of(verdict).warnings] == [
        "The rows come from job 5, whose pool was 'spring'; now they go to 'winter', which the folder names."
    ]


def test_the_columns_must_be_chosen_before_a_verdict():
    with pytest.raises(ValueError, match="columns"):
        decide(Facts(looked()), CARDS, PROJECT)


def test_x10_a_refusal_keeps_what_was_learnt_and_crosses_processes():
    import pickle

    refusal = RefusedAtReading("file.too_big", "Too large.", Learnt(settings_of("gift_cards", dry_run=True), 5))
    assert refusal.learnt.columns()["is_dry_run"] is True
    assert Learnt().columns() == {}
    again = pickle.loads(pickle.dumps(refusal))
    assert (again.rule, again.message) == ("file.too_big", "Too large.")


@pytest.mark.parametrize(
    "review",
    [
        None,
        Review(),
        Review((Reason("review.setting", "m"),), {"lost": ["a"]}, "unusable", is_of_load=True),
        Review(is_approved=True, problem="p", chosen={"cvv": None}, answered=2, is_header_unsure=True),
    ],
)
def test_the_ledgers_records_survive_json(review: Review | None):
    record = InspectionRecord({"encoding": "utf-8"}, ("a", "b"), 3, 4, True, (Reason("r", "m"),), review)
    stored = json.loads(json.dumps(record.to_json()))
    assert InspectionRecord.from_json(stored) == record
    assert stored["warnings"] == [{"rule": "r", "message": "m"}]


def test_a_dialect_is_stored_as_by_the_first_version():
    stored = {"encoding": "utf-16-le", "bom": "fffe", "delimiter": ";", "line_end": "\r\n"}
    assert Dialect.from_json(stored) == Dialect("utf-16-le", b"\xff\xfe", ";", "\r\n")
    assert Dialect.from_json(stored).to_json() == stored


@pytest.mark.parametrize(
    "sources", [SettingsSources(), SettingsSources({"force": True}, {"folder": "a: 1", "sidecar": None}, True)]
)
def test_what_a_job_was_given_survives_json(sources: SettingsSources):
    assert SettingsSources.from_json(sources.to_json()) == sources


def test_x11_later_settings_differ_only_where_they_say_something_else():
    sources = SettingsSources({"force": True}, {"folder": "review: true", "sidecar": "a: 1"}, is_removed=True)
    assert not sources.differs(SettingsSources({"force": True}, {"folder": "review: true", "sidecar": None}))
    assert sources.differs(SettingsSources({}, {}))
    assert sources.differs(SettingsSources({"force": True}, {"sidecar": "a: 2"}))
    later = sources.updated(SettingsSources({}, {"sidecar": "a: 2", "folder": None}))
    assert later == SettingsSources({}, {"folder": "review: true", "sidecar": "a: 2"}, is_removed=True)


def test_a_record_of_an_earlier_version_is_read():
    stored = {
        "dialect": {}, "header": ["a"], "header_offset": 0, "header_bytes": 1, "unescape": False, "warnings": [],
        "review": {"reasons": [], "change": None, "unusable": None, "of_load": True, "is_approved": True},
    }  # fmt: skip
    record = InspectionRecord.from_json(stored)
    assert record.review == Review(is_of_load=True, is_approved=True)


def test_columns_without_a_mapping_judge_no_row():
    assert Columns().usable is None
