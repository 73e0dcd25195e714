"""The form of a review: dropdowns, answers, and text that stays text. Source: X-05, X-06, X-20."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from include.columns.mapping import ColumnMapping, How, match_columns
from include.declaration.fields import Field, Kind
from include.names import MASK
from include.review import form
from include.review.form import (
    SKIP,
    as_code,
    offered_fields,
    option_labels,
    plain,
    read_choices,
)
from include.review.preview import safely_shown_cell

pytestmark = pytest.mark.unit

FIELDS = (
    Field("card_number", "Card number", required=True, sensitive=True),
    Field("balance", "Balance", Kind.DECIMAL),
    Field("kind", "Kind", Kind.ENUM),
    Field("pool", "Pool"),
    Field("flag", "Flag", Kind.BOOLEAN, enabled_by="take_flag"),
)
NAUGHTY = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))", "![a](http://x/y)",
    "`", "``", "a ``` b", "`a", "a`", "\\`", "\\", "|", "a|b", "\\|", "{{ 7*7 }}", "{% raw %}", "${7*7}", "=1+1", "'=1",
    "https://example.com", "www.example.com", "a@example.com", "&lt;b&gt;", "&#60;", "* a", "# a", "> a", "1. a", "---",
    "\u202eabc", "a\u0000b", "a\r\nb", "a\u2028b", "\ufeff", "~~a~~", "[^1]", "[ ] a", "__a__", "<!--", "]]>",
    ":smile:",
)  # fmt: skip
MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": True})


def mapping_of(*header: str) -> ColumnMapping:
    return match_columns(header, FIELDS, {})


def texts_of(markdown: str) -> list[tuple[str, str]]:
    """Return the kind and the text of everything that a browser would be given."""
    return [(child.type, child.content) for token in MARKDOWN.parse(markdown) for child in token.children or ()]


@given(st.text() | st.sampled_from(NAUGHTY))
def test_any_text_is_one_code_span_and_nothing_else(text: str):
    shown = plain(text)
    texts = texts_of(as_code(text))
    assert texts == ([("code_inline", shown.replace("|", "\\|"))] if shown else [])


@given(st.lists(st.text() | st.sampled_from(NAUGHTY), min_size=2, max_size=4))
def test_any_texts_stay_in_the_cells_of_their_table(texts: list[str]):
    table = form._table(["a"] * len(texts), [tuple(as_code(text) for text in texts)])
    html = MARKDOWN.render(table)
    assert html.count("<td>") == len(texts)
    assert len(re.findall("<tr>", html)) == 2
    inner = re.sub(r"</?(table|thead|tbody|tr|th|td|code)>", "", html)
    assert "<" not in inner


@given(st.text() | st.sampled_from(NAUGHTY))
def test_a_sentence_that_quotes_any_text_is_text(text: str):
    expected = " ".join(
        "".join(character if character.isprintable() else " " for character in f"Column {text} is odd.").split()
    )
    texts = texts_of(f"- {form._sentence(f'Column {text} is odd.')}")
    is_code = any(mark in text.lower() for mark in ("www.", "://", "@"))
    assert {kind for kind, _ in texts} <= ({"code_inline"} if is_code else {"text", "text_special"})
    assert "".join(content for _, content in texts) == (expected.replace("|", "\\|") if is_code else expected)


def test_labels_are_unlike_short_and_printable():
    mapping = mapping_of("card number", "twin", "twin", "", "x" * 500, "a\tb\u202ec\x00", "_job")
    labels = option_labels(mapping)
    assert list(labels.values()) == [
        "card number (column 1)",
        "twin (column 2)",
        "twin (column 3)",
        "no name (column 4)",
        f"{'x' * 59}… (column 5)",
        "a b c (column 6)",
    ]


def test_headers_that_may_be_data_are_masked():
    """Source: X-20."""
    mapping = mapping_of("card_number", "4929333344445555", "a@example.com", "Comment")
    assert [mapping.shown(column) for column in mapping.columns] == ["card_number", "492…", "a@e…", "Comment"]
    headerless = mapping_of("Maria", "Red", "12.5")
    assert [headerless.shown(column) for column in headerless.columns] == ["M…", "R…", "1…"]


def test_an_answer_names_columns_and_what_it_leaves_out_stays():
    mapping = mapping_of("card_number", "balance", "Worth")
    selected = {"card_number": 0, "balance": 1, "kind": None}
    assert read_choices({}, mapping, selected) == selected
    assert read_choices({"balance": "Worth (column 3)"}, mapping, selected) == selected | {"balance": 2}
    assert read_choices({"balance": SKIP}, mapping, selected) == selected | {"balance": None}


@pytest.mark.parametrize("answers", [{"balance": "Worth"}, {"worth": SKIP}, {"balance": 3}, {"balance": ["a"]}])
def test_an_answer_that_names_no_column_is_reported(answers: dict[str, object]):
    mapping = mapping_of("card_number", "balance")
    message = read_choices(answers, mapping, {"card_number": 0, "balance": 1})
    assert message == f"The answer for {next(iter(answers))} is no column of the file."


def test_a_field_whose_setting_is_off_is_not_offered():
    mapping = mapping_of("card_number")
    assert [field.name for field in offered_fields(FIELDS, mapping, {"take_flag": False})] == [
        "card_number", "balance", "kind", "pool",
    ]  # fmt: skip
    assert len(offered_fields(FIELDS, mapping, {"take_flag": True})) == len(FIELDS)


def test_a_file_of_very_many_columns_and_fields_gets_the_dropdowns_that_matter():
    many = tuple(replace(FIELDS[3], name=f"topic{number}", label=f"Topic {number}") for number in range(2000))
    header = ["card_number", *(f"c{number}" for number in range(1000)), "topic7"]
    mapping = match_columns(header, FIELDS + many, {})
    labels = option_labels(mapping)
    assert len(labels) == form.MOST_COLUMNS + 1
    assert labels[1001] == "topic7 (column 1002)"
    fields = (FIELDS[0], replace(FIELDS[1], identifies=True), *FIELDS[2:], *many)
    offered = [field.name for field in offered_fields(fields, mapping, {})]
    assert offered == ["card_number", "balance", "topic7"]


@pytest.mark.parametrize(
    ("field", "row", "shown"),
    [
        (FIELDS[0], {"card_number": "4929333344445555"}, "…5555"),
        (FIELDS[1], {"balance": 50, "balance__sent": "50.00"}, "50.00"),
        (FIELDS[1], {"balance": 4929333344445555, "balance__sent": "4929333344445555"}, "…5555"),
        (FIELDS[1], {"balance": None, "balance__sent": "Maria"}, MASK),
        (FIELDS[2], {"kind": "new", "kind__sent": "NEW"}, "NEW"),
        (FIELDS[2], {"kind": None, "kind__sent": "Maria"}, MASK),
        (FIELDS[3], {"pool": "Maria"}, MASK),
        (FIELDS[3], {"pool": "fifty", "pool__is_known": True}, "fifty"),
        (FIELDS[3], {"pool": None}, ""),
        (replace(FIELDS[3], is_secret=True), {"pool": "c4n4ry", "pool__is_known": True}, MASK),
    ],
)
def test_a_cell_is_shown_in_full_only_where_it_can_be_no_secret(field: Field, row: dict[str, object], shown: str):
    """Source: X-20."""
    assert safely_shown_cell(row, field, has_cvvs=False) == shown


def test_columns_of_a_rejected_rows_file_are_not_offered():
    mapping = mapping_of("_job", "_line", "_rules", "_reasons", "card_number")
    assert mapping.columns[0].how is How.IGNORED
    assert list(option_labels(mapping)) == [4]
