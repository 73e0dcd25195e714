"""Loading suites and running them: what is refused, and that nothing of GX's verdict gets lost."""

from __future__ import annotations

import json
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from include.errors import SuiteError
from include.rules.row_sentences import CommonValues, sentences
from include.rules.suites import Checker, Suite, load_suite
from tests.rules.frames import DECIMAL, frame_of, texts

pytestmark = pytest.mark.rules

COLUMNS = {"line", "balance", "balance__sent", "balance__problem", "name", "pool", "value"}


def expectation(type_: str, rule: str = "name.rule", severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    meta = {"rule": rule, "message": "Name {value} is wrong.", "source": "X-07"}
    return {"type": type_, "kwargs": kwargs, "severity": severity, "meta": meta}


PRESENT = expectation("expect_column_values_to_be_present", column="name")


def suite_of(folder: Path, *expectations: dict[str, Any], settings: dict[str, object] | None = None) -> Suite:
    path = folder / "some.json"
    path.write_text(json.dumps({"name": "some", "expectations": expectations}), encoding="utf-8")
    return load_suite(path, columns=COLUMNS, settings=settings or {})


def refusal(folder: Path, *expectations: dict[str, Any], settings: dict[str, object] | None = None) -> str:
    with pytest.raises(SuiteError) as caught:
        suite_of(folder, *expectations, settings=settings)
    return str(caught.value)


def changed(expectation: dict[str, Any], **meta: Any) -> dict[str, Any]:
    return expectation | {"meta": expectation["meta"] | meta}


def judged(suite: Suite, frame: pd.DataFrame) -> dict[str, list[int]]:
    return {result.rule.id: result.rows.tolist() for result in Checker(suite).check(frame)}


# --- loading ---------------------------------------------------------------------------------------------------------


def test_a_suite_keeps_the_order_and_the_words_of_its_json(tmp_path: Path) -> None:
    second = expectation("expect_column_values_to_match_regex", "name.form", "warning", column="name", regex="^a")
    suite = suite_of(tmp_path, PRESENT, second)
    assert suite.name == "some"
    assert [(rule.id, rule.field, rule.severity, rule.source) for rule in suite.rules] == [
        ("name.rule", "name", "critical", "X-07"),
        ("name.form", "name", "warning", "X-07"),
    ]


def test_an_empty_suite_is_refused(tmp_path: Path) -> None:
    assert "no expectations" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "x"}', '{"name": "x", "expectations": {}}', "\xff"])
def test_what_is_no_suite_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SuiteError):
        load_suite(path, columns=COLUMNS, settings={})


def test_a_missing_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"nowhere\.json can't be read"):
        load_suite(tmp_path / "nowhere.json", columns=COLUMNS, settings={})


@pytest.mark.parametrize("type_", ["expect_column_values_to_be_presnt", "expect_no_such_class", "ExpectColumnX"])
def test_a_misspelt_or_unimported_rule_is_refused_where_gx_would_drop_it(tmp_path: Path, type_: str) -> None:
    reason = refusal(tmp_path, PRESENT, expectation(type_, "name.other", column="name"))
    assert reason == f"Suite some, {type_}: no such expectation. Is it misspelt, or its class not imported?"


def test_a_rule_that_gx_drops_for_another_reason_is_noticed_by_the_count(tmp_path: Path) -> None:
    reason = refusal(tmp_path, PRESENT, changed(PRESENT, rule="name.other") | {"severity": "fatal"})
    assert reason == ("Suite some has 2 expectations in some.json, but Great Expectations loaded 1 of them.")


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (expectation("expect_column_values_to_be_present", column="nmae"), "no column nmae"),
        (expectation("expect_column_values_to_match_regex", column="nmae", regex="a"), "no column nmae"),
        (expectation("expect_column_values_to_be_readable", column="name"), "no column name__problem"),
        (expectation("expect_column_values_to_be_known", column="name", lookup="shop"), "no column shop__found"),
        (
            expectation("expect_column_values_to_be_present", column="name", when_column="x", when_value=1),
            "no column x",
        ),
        (
            expectation(
                "expect_column_pair_values_to_be_equal",
                column_A="name",
                column_B="x",
                ignore_row_if="either_value_is_missing",
            ),
            "no column x",
        ),
        (
            expectation(
                "expect_multicolumn_sum_to_equal",
                column_list=["name", "x"],
                sum_total=1,
                ignore_row_if="any_value_is_missing",
            ),
            "no column x",
        ),
        (expectation("expect_column_values_to_be_present"), "can't be loaded"),
        (expectation("expect_column_values_to_be_present", column="name", colour="red"), "can't be loaded"),
        (PRESENT | {"expectation_type": "x"}, "can't be loaded"),
        ({"kwargs": {"column": "name"}}, "without a type"),
        (expectation("expect_column_values_to_match_regex", column="name", regex="a", mostly=0.9), "mostly"),
        (expectation("expect_column_values_to_be_present", column="name", mostly=0.9), "mostly"),
        (expectation("expect_table_row_count_to_be_between", min_value=1), "only expectations about single rows"),
        (expectation("expect_column_mean_to_be_between", column="value", min_value=1), "about single rows"),
        (expectation("expect_column_values_to_be_unique", column="name"), "compares rows"),
        (expectation("expect_column_pair_values_to_be_equal", column_A="name", column_B="pool"), "ignore_row_if"),
        (
            expectation("expect_column_values_to_be_in_set", column="name", value_set={"$PARAMETER": "names"}),
            "suite parameters",
        ),
        (PRESENT | {"severity": "info"}, "severity is critical or warning"),
        (PRESENT | {"meta": None}, "meta.rule is missing"),
        (changed(PRESENT, rule=""), "meta.rule is missing"),
        (changed(PRESENT, rule="name"), "an id is field.rule"),
        (changed(PRESENT, rule="name.Two words"), "an id is field.rule"),
        (changed(PRESENT, message=None), "meta.message is missing"),
        (changed(PRESENT, source=3), "meta.source is missing"),
        (changed(PRESENT, message="Name {vlaue}."), "its message names {vlaue}"),
        (changed(PRESENT, message="Name {name.upper}."), "its message can't be read"),
        (changed(PRESENT, message="Name {value!r}."), "its message can't be read"),
        (changed(PRESENT, message="Name {}."), "its message can't be read"),
        (changed(PRESENT, message="Name {value."), "its message can't be read"),
        (changed(PRESENT, rule="other.rule"), "its message names {value}"),
        (changed(PRESENT, critical_if="strict"), "critical_if names no yes/no setting: strict"),
        (changed(PRESENT, critical_if=3), "critical_if names no yes/no setting: 3"),
    ],
)
def test_a_rule_that_could_let_rows_through_is_refused(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    fine = expectation("expect_column_values_to_be_present", "pool.fine", column="pool")
    assert reason in refusal(tmp_path, fine, broken)


@pytest.mark.parametrize(
    "broken",
    [
        changed(PRESENT, asks="of twelve digits and more"),
        changed(PRESENT | {"severity": "warning"}, asks=True),
        changed(PRESENT | {"severity": "warning"}, asks=""),
        changed(PRESENT | {"severity": "warning"}, rule="row.rule", message="Odd.", asks="of twelve digits and more"),
    ],
)
def test_x18_only_a_warning_about_a_field_asks_about_its_column(tmp_path: Path, broken: dict[str, Any]) -> None:
    assert "asks says, in a warning about a field" in refusal(tmp_path, broken)
    suite_of(tmp_path, changed(PRESENT | {"severity": "warning"}, asks="of twelve digits and more"))


def test_two_rules_of_one_id_are_refused(tmp_path: Path) -> None:
    assert "more than one rule with the id name.rule" in refusal(tmp_path, PRESENT, PRESENT)


@pytest.mark.parametrize(("setting", "severity"), [(True, "critical"), (False, "warning"), (None, "warning")])
def test_gc04_a_setting_turns_a_warning_into_a_reject(tmp_path: Path, setting: bool | None, severity: str) -> None:
    warning = changed(PRESENT | {"severity": "warning"}, critical_if="strict")
    suite = suite_of(tmp_path, warning, settings={"strict": setting})
    assert [rule.severity for rule in suite.rules] == [severity]
    assert [expectation.severity.value for expectation in suite.expectations.expectations] == [severity]


# --- running ---------------------------------------------------------------------------------------------------------


def test_the_same_checker_judges_block_after_block_afresh(tmp_path: Path) -> None:
    checker = Checker(suite_of(tmp_path, PRESENT))
    blocks = [texts("a", None), texts(None, "a", None), texts("a"), texts()]
    rows = [checker.check(frame_of(name=block))[0].rows.tolist() for block in blocks]
    assert rows == [[1], [0, 2], [], []]


def test_every_rule_has_a_result_with_counts_and_no_values(tmp_path: Path) -> None:
    regex = expectation("expect_column_values_to_match_regex", "name.form", column="name", regex="^a")
    results = Checker(suite_of(tmp_path, regex, PRESENT)).check(frame_of(name=texts("secret", "a", None)))
    assert [result.rule.id for result in results] == ["name.form", "name.rule"]
    assert [result.evidence for result in results] == [
        {
            "expectation_type": "expect_column_values_to_match_regex",
            "success": False,
            "element_count": 3,
            "unexpected_count": 1,
        },
        {
            "expectation_type": "expect_column_values_to_be_present",
            "success": False,
            "element_count": 3,
            "unexpected_count": 1,
        },
    ]
    assert all(result.rows.dtype == np.int64 for result in results)


def test_a_rule_that_raises_stops_the_import_and_shows_no_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    regex = expectation("expect_column_values_to_be_in_range", "name.range", column="name", min_value=1)
    checker = Checker(suite_of(tmp_path, PRESENT, regex))
    with pytest.raises(SuiteError) as caught, caplog.at_level(logging.DEBUG):
        checker.check(frame_of(name=texts("canary-4711")))
    assert "expect_column_values_to_be_in_range on ['name'] raised Arrow" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "canary" not in str(caught.value)
    assert "canary" not in caplog.text


@pytest.mark.parametrize("condition", [{"row_condition": "nowhere > 1", "condition_parser": "pandas"}])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_condition_on_a_missing_column_stops_the_import(tmp_path: Path, condition: dict[str, Any]) -> None:
    regex = expectation("expect_column_values_to_match_regex", "name.form", column="name", regex="a", **condition)
    with pytest.raises(SuiteError, match="raised UndefinedVariableError"):
        judged(suite_of(tmp_path, regex), frame_of(name=texts("a")))


def test_a_frame_with_another_numbering_is_refused(tmp_path: Path) -> None:
    frame = frame_of(name=texts("a", None, "b"))
    with pytest.raises(SuiteError, match="numbered from 0"):
        judged(suite_of(tmp_path, PRESENT), frame[1:])


@pytest.mark.parametrize(
    "result",
    [
        {"element_count": 3, "unexpected_count": 2, "unexpected_index_list": [1]},
        {"element_count": 3, "unexpected_count": 1},
        {"element_count": 3, "unexpected_count": 2, "unexpected_index_list": [1, 1]},
        {"element_count": 3, "unexpected_count": 1, "unexpected_index_list": [3]},
        {"element_count": 3, "unexpected_count": 0, "unexpected_index_list": []},
    ],
)
def test_an_incomplete_result_of_gx_is_never_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: dict[str, Any]
) -> None:
    monkeypatch.setattr(
        "include.rules.expectations.RowRule._validate", lambda *_, **__: {"success": False, "result": result}
    )
    with pytest.raises(SuiteError, match=r"Rule name\.rule: GX"):
        judged(suite_of(tmp_path, PRESENT), frame_of(name=texts("a", None, "b")))


def test_a_result_format_in_the_json_cannot_hide_rows(tmp_path: Path) -> None:
    quiet = expectation(
        "expect_column_values_to_match_regex",
        column="name",
        regex="^a",
        result_format={"result_format": "BOOLEAN_ONLY"},
    )
    assert judged(suite_of(tmp_path, quiet), frame_of(name=texts(*["b"] * 300))) == {"name.rule": list(range(300))}


# --- sentences -------------------------------------------------------------------------------------------------------


def said(folder: Path, message: str, frame: pd.DataFrame, **kwargs: Any) -> list[str]:
    suite = suite_of(
        folder,
        changed(expectation("expect_column_values_to_be_absent", "balance.r", column="balance"), message=message),
    )
    (result,) = Checker(suite).check(frame)
    return sentences(result, frame, **kwargs)


BALANCES = frame_of(
    line=pa.array([2, 3, 5], pa.int64()),
    balance=pa.array([Decimal("1.50"), None, None], DECIMAL),
    balance__sent=texts("1,5", "abc", None),
    name=texts("Ann", "Bob", "Eve"),
    pool=texts(None, "o'Neill\r\nLtd", "Eve"),
    value=pa.array([Decimal("50.00"), None, Decimal(1)], DECIMAL),
)


def test_x08_a_sentence_quotes_the_value_as_it_was_sent(tmp_path: Path) -> None:
    said_of_rows = said(tmp_path, "Line {line}: {value} of {name}, {column}.", BALANCES)
    assert said_of_rows == ["Line 2: '1,5' of 'Ann', balance.", "Line 3: 'abc' of 'Bob', balance."]


def test_x08_other_columns_are_shown_as_they_read_and_stay_on_one_line(tmp_path: Path) -> None:
    assert said(tmp_path, "{{{pool}}} {value} {balance}", BALANCES) == [
        "{(blank)} '1,5' 1.50",
        "{'o'Neill Ltd'} 'abc' (blank)",
    ]


def test_x08_a_sentence_quotes_100_characters_at_most(tmp_path: Path) -> None:
    long = frame_of(balance=texts("ä" * 100, "ä" * 101, "b" * 5000))
    assert said(tmp_path, "Is {value}.", long) == [
        f"Is '{'ä' * 100}'.",
        f"Is '{'ä' * 100}...'.",
        f"Is '{'b' * 100}...'.",
    ]


def commonly_said(folder: Path, message: str, names: list[str], **kwargs: Any) -> dict[str, int]:
    """Return the common sentences of a rule that all rows break; `balance` counts them."""
    frame = frame_of(
        line=pa.array(range(2, 2 + len(names)), pa.int64()),
        balance=pa.array([Decimal(number) for number in range(len(names))], DECIMAL),
        balance__sent=texts(*map(str, range(len(names)))),
        name=texts(*names),
        pool=texts(*names),
        value=pa.array([Decimal(1)] * len(names), DECIMAL),
    )
    rule = changed(expectation("expect_column_values_to_be_absent", "name.r", column="name"), message=message)
    (result,) = Checker(suite_of(folder, rule)).check(frame)
    common = CommonValues(result.rule, **{"hidden": (), "masks_codes": False} | kwargs)
    common.add(result, frame)
    return common.count()


def common_amounts(folder: Path, sent: list[str], **kwargs: Any) -> dict[str, int]:
    """Return the common sentences about amounts that were sent so, all of them wrong."""
    frame = frame_of(balance=pa.nulls(len(sent), DECIMAL), balance__sent=texts(*sent), name=texts(*sent))
    rule = changed(expectation("expect_column_values_to_be_absent", "balance.r", column="name"), message="Is {value}.")
    (result,) = Checker(suite_of(folder, rule)).check(frame)
    common = CommonValues(result.rule, **{"hidden": (), "masks_codes": False} | kwargs)
    common.add(result, frame)
    return common.count()


def test_x08_the_common_values_of_a_rule_are_shown_with_their_rows(tmp_path: Path) -> None:
    names = ["xmas"] * 4 + ["easter"] * 3 + ["summer", "winter"]
    assert commonly_said(tmp_path, "No pool {value}.", names) == {"No pool 'xmas'.": 4, "No pool 'easter'.": 3}


@pytest.mark.parametrize(
    "names",
    [
        ["K7QW-PL0M"],
        ["Maria Li", "Peter Wu", "Maria Li", "Peter Wu"],
        [*[f"Anna {number}" for number in range(20)], "xmas", "xmas", "xmas"],
        [f"{number % 1000:03}" for number in range(5000)],
    ],
    ids=["one row", "twice", "less than half of the rows", "CVVs, each in five rows"],
)
def test_x20_values_that_differ_from_row_to_row_are_not_shown(tmp_path: Path, names: list[str]) -> None:
    """Under swapped columns every row has another name, code or card number."""
    assert commonly_said(tmp_path, "No pool {value}.", names) == {}


def test_x20_amounts_of_few_digits_are_shown_beside_texts_that_are_not(tmp_path: Path) -> None:
    names = ["Anna", "Bert"]
    assert commonly_said(tmp_path, "{balance__sent} of {value}.", names) == {"'0' of '...'.": 1, "'1' of '...'.": 1}
    sent = ["50", "12345678", "1.5", "-5", "123456789", "1,2,3", "abc", "4929333344445555"]
    assert common_amounts(tmp_path, sent[:4]) == {"Is '50'.": 1, "Is '12345678'.": 1, "Is '1.5'.": 1, "Is '-5'.": 1}
    assert common_amounts(tmp_path, sent[4:]) == {}
    assert common_amounts(tmp_path, [str(number) for number in range(20)]) == {}
    assert common_amounts(tmp_path, [*[str(number) for number in range(20)], "7"]) == {"Is '7'.": 2}


def test_x20_numbers_that_may_be_cvvs_are_not_shown_beside_cvvs(tmp_path: Path) -> None:
    assert common_amounts(tmp_path, ["737", "7371", "73712", "50", "123456"], masks_codes=True) == {
        "Is '50'.": 1,
        "Is '123456'.": 1,
    }
    assert commonly_said(tmp_path, "No {value}.", ["73712"] * 3, masks_codes=True) == {}


def test_x08_a_short_number_that_most_rows_share_is_shown_beside_cvvs(tmp_path: Path) -> None:
    """The fixed value of a pool, or its name, is the answer that a person looks for; CVVs differ from row to row."""
    amounts = [*["100"] * 30, *[str(number) for number in range(200, 210)]]
    assert common_amounts(tmp_path, amounts, masks_codes=True) == {"Is '100'.": 30}
    assert commonly_said(tmp_path, "No {value}.", amounts, masks_codes=True) == {"No '100'.": 30}
    assert common_amounts(tmp_path, ["100"] * 9, masks_codes=True) == {}
    assert common_amounts(tmp_path, ["100"] * 20 + ["200"] * 20, masks_codes=True) == {}


def test_x08_decimals_and_names_with_digits_are_shown_beside_cvvs(tmp_path: Path) -> None:
    for name in ("pool_100", "summer 2024", "19.999"):
        assert commonly_said(tmp_path, "No {value}.", [name] * 3, masks_codes=True) == {f"No '{name}'.": 3}
    for amount in ("19.999", "100.00"):
        assert common_amounts(tmp_path, [amount], masks_codes=True) == {f"Is '{amount}'.": 1}


def test_x20_a_date_is_shown_beside_cvvs(tmp_path: Path) -> None:
    """Its year looks like one."""
    for date in ("03/04/2026", "2026-02-30", "30.02.2026"):
        assert commonly_said(tmp_path, "No {value}.", [date] * 3, masks_codes=True) == {f"No '{date}'.": 3}
    assert commonly_said(tmp_path, "No {value}.", ["03/04/777"] * 3, masks_codes=True) == {"No '03/04/...'.": 3}


def test_x20_common_sentences_hold_nothing_private(tmp_path: Path) -> None:
    assert commonly_said(tmp_path, "No pool {value}.", ["4929333344445555"] * 3) == {"No pool '…5555'.": 3}
    assert commonly_said(tmp_path, "No pool {value}.", ["ann@example.com"] * 3) == {"No pool '…'.": 3}
    assert commonly_said(tmp_path, "No {value}.", ["Anna"] * 3, hidden=["name"]) == {}
    assert commonly_said(tmp_path, "{value}, {pool}.", ["a"] * 3, hidden=["name"]) == {"..., 'a'.": 3}
    assert commonly_said(tmp_path, "It is wrong.", ["Anna"] * 3) == {}


def test_x20_hidden_fields_are_never_quoted(tmp_path: Path) -> None:
    assert said(tmp_path, "Is {value}, {balance__sent}, {balance}, {name}.", BALANCES, hidden=["balance"]) == [
        "Is ..., ..., ..., 'Ann'.",
        "Is ..., ..., ..., 'Bob'.",
    ]


def test_a_sentence_without_places_is_said_of_each_row(tmp_path: Path) -> None:
    assert said(tmp_path, "Is wrong.", BALANCES) == ["Is wrong.", "Is wrong."]


def test_no_row_no_sentence(tmp_path: Path) -> None:
    nobody = frame_of(balance=pa.nulls(2, DECIMAL), balance__sent=texts(None, None))
    assert said(tmp_path, "Is {value}.", nobody) == []
