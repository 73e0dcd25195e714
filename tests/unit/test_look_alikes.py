"""What codes and card numbers look like. Source: PC-04a."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from include.rules import expectations
from include.values.code_patterns import check_pattern, is_pattern, matches_whole
from include.values.look_alikes import (
    CONFUSABLES,
    MOST_TEXTS,
    look_alike_forms,
    plain_numbers,
    skeletons,
)

pytestmark = pytest.mark.unit


def forms_of(code: str) -> list[str]:
    """Return the forms of one code, none of which has a character that an array quotes."""
    (forms,) = look_alike_forms(pa.array([code])).to_pylist()
    return list(forms.strip("{}").replace('"', "").split(","))


@pytest.mark.parametrize(
    ("code", "twin"),
    [
        ("PUB\u0422EN", "PUBTEN"),
        ("PUB\u2013SAVE\u201320", "PUB-SAVE-20"),
        ("PUB\u00a0SUMMER", "PUB SUMMER"),
        ("PUB\u2003SUMMER", "PUB SUMMER"),
        ("SAVE1\uff10", "SAVE10"),
        ("SAVE\uff11\uff10", "SAVE10"),
        ("S\u0410VE", "SAVE"),
        ("\u041cAY", "MAY"),
        ("\u217fay", "may"),
        ("\u0391\u0392\u0395", "ABE"),
        ("\U0001d5d4\U0001d5d5", "AB"),
    ],
)
def test_a_code_is_looked_up_by_the_ascii_code_that_it_looks_like(code: str, twin: str):
    assert twin in forms_of(code)[1:]
    assert len(set(skeletons([code, twin]))) == 1


@pytest.mark.parametrize("code", ["caf\u00e9", "\u041f\u0420\u0418\u0412\u0415\u0422", "\U0001f600", "\u00df"])
def test_a_code_that_looks_like_none_of_ascii_has_its_skeleton_alone(code: str):
    assert forms_of(code) == skeletons([code])


def test_two_codes_beyond_ascii_that_look_alike_have_one_skeleton():
    assert skeletons(["PU\u0412T\u0415N", "PUBTE\u039d", "", "x"]) == ["PUBTEN", "PUBTEN", "", "x"]


def test_a_code_of_many_ambiguous_characters_is_looked_up_by_few_texts():
    assert len(forms_of("\u0406" * 1000)) == MOST_TEXTS + 1


def test_only_codes_beyond_ascii_have_forms():
    column = pa.array(["a", None, 'q"\u2013\\', "", "x"])
    assert look_alike_forms(column).to_pylist() == [None, None, '{"q\'\'-\\\\","q\\"-\\\\"}', None, None]
    assert look_alike_forms(column[3:]).null_count == 2
    assert look_alike_forms(pa.array([], pa.string())).to_pylist() == []


def test_plain_numbers_are_without_blanks_and_dashes_in_capitals():
    numbers = [
        "7700",
        "77 00",
        "77-00",
        "77\u00a000",
        "77\u201300",
        "77\u221200",
        "ab",
        "A/B",
        None,
        "\u00e4",
        "--",
        "AB",
    ]
    plain = [None, "7700", "7700", "7700", "7700", "7700", "AB", None, None, "\u00c4", "", None]
    assert plain_numbers(pa.array(numbers)).to_pylist() == plain
    assert plain_numbers(pa.array(numbers)[2:4]).to_pylist() == plain[2:4]
    assert plain_numbers(pa.array(["1", "2"])).null_count == 2


def test_the_data_of_unicode_are_there_with_their_licence():
    text = CONFUSABLES.read_text(encoding="utf-8")
    assert text.count("\n") == 6314
    assert "UNICODE LICENSE V3" in CONFUSABLES.with_name("confusables-LICENSE.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("pattern", ["a)|(b", "(?=a)", r"(a)\1", "[", r"\Qabc", "x" * 501, "a{2000}", "(a{999}){999}"])
def test_what_re2_cannot_read_is_no_pattern(pattern: str):
    assert not is_pattern(pattern)
    with pytest.raises(ValueError, match=r"regular expression of RE2|500 characters"):
        check_pattern(pattern)


def test_patterns_are_compared_with_the_whole_code():
    codes = pa.array(["AB12", "xAB12", "AB12x", "AB12\n", None, "ab12"])
    assert matches_whole(codes, "[A-Z]{2}[0-9]+|z").to_pylist() == [True, False, False, False, None, False]
    assert matches_whole(codes, "(?im)^ab12$").to_pylist() == [True, False, False, False, None, True]


def test_pc04a_a_pattern_is_compared_with_the_codes_beside_it_alone(monkeypatch: pytest.MonkeyPatch):
    pools = [None if n % 7 == 0 else f"P{n % 5}" for n in range(100)]
    columns = {
        "code": [None if n == 1 else f"P{n % 5}-{n}" if n % 3 else "bad" for n in range(100)],
        "of_pool": [pool and f"{pool}-[0-9]+" for pool in pools],
        "of_settings": [None] * 100,
    }
    frame = pd.DataFrame({name: pd.array(values, pd.ArrowDtype(pa.string())) for name, values in columns.items()})
    compared = []

    def counted(texts: pa.StringArray, pattern: str) -> pa.BooleanArray:
        compared.append(len(texts))
        return matches_whole(texts, pattern)

    monkeypatch.setattr(expectations, "matches_whole", counted)
    rule = expectations.ExpectColumnValuesToMatchPatternColumns(
        column="code", pattern_columns=["of_pool", "of_settings"]
    )
    failing = rule.failing(frame).to_pylist()
    assert failing == [code == "bad" and pool is not None for code, pool in zip(columns["code"], pools, strict=True)]
    assert (len(compared), sum(compared)) == (5, sum(pool is not None for pool in pools))
