"""Files nobody here wrote, through the reader. Source: X-02, X-03, X-15.

The corpora are stored beside the repository (`../shared/corpora`), with an index that says what a correct importer does
with each file. Where the index and the specification differ, the specification wins; every such file is in a table
below with the reason. What headers must be called, and whether one may be blank or be there twice, is decided behind
the reader (X-04, X-05): those files are in `NAMED_WRONGLY` and must pass the reader unchanged.
"""

import csv
import io
import json
from pathlib import Path

import pytest

from include.errors import FileRefused
from include.reading.records import NUL, RAGGED, TEXT_AFTER_QUOTE
from tests.unit.reading import File, read

pytestmark = pytest.mark.unit

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
if not CORPORA.is_dir():
    pytest.skip(f"The public corpora are not at {CORPORA}.", allow_module_level=True)

INDEX = [entry for entry in json.loads((CORPORA / "index.json").read_text()) if not entry["file"].endswith(".json")]
# Some files are in the index more than once, with the same cells under another purpose.
IDS = [f"{number}-{entry['file']}" for number, entry in enumerate(INDEX)]

# The index asks for something else than the specification: file → (why, header, [(line, cells, problems)]).
SPEC_WINS = {
    "csv-spectrum/newlines_crlf.csv": (
        "the stored file has LF where the index expects CRLF (it equals newlines.csv); cells are kept as sent",
        ["a", "b", "c"],
        [(2, ["1", "2", "3"], set()), (3, ["Once upon \na time", "5", "6"], set()), (5, ["7", "8", "9"], set())],
    ),
    "csv-parser/empty-columns.csv": (
        "no header: the first row holds the headers (X-02)",
        ["2007-01-01", "", ""],
        [(2, ["2007-01-02", "", ""], set())],
    ),
    "csv-parser/headers.csv": (
        "no header: the first row holds the headers (X-02)",
        ["1", "2", "3"],
        [(2, ["4", "5", "6"], set()), (3, ["7", "8", "9"], set())],
    ),
    "csv-parser/no-headers.csv": (
        "no header: the first row holds the headers (X-02), so that the last row is ragged (X-15)",
        ["a", "b", "c"],
        [(2, ["1", "2", "3"], set()), (3, ["4", "5", "6"], set()), (4, ["7", "8", "9", "10"], {RAGGED})],
    ),
    "csv-parser/option-quote.csv": (
        "the quote character is no setting: ' is text (X-15)",
        ["a", "b", "c"],
        [(2, ["1", "'some value'", "2"], set()), (3, ["3", "4", "5"], set())],
    ),
    "csv-parser/option-newline.csv": (
        "the line end is no setting: X is text, and a quote inside an unquoted cell too (X-15); header only",
        ["a", "b", "cX1", "2", '3X"X-Men"', "5", "6X7", "8", "9"],
        [],
    ),
    "csvkit/test_skip_lines.csv": (
        "the stored file's preamble is three blank lines, which are no rows: the header follows (X-15)",
        ["a", "b", "c"],
        [(5, ["1", "2", "3"], set())],
    ),
    "goodtables/fail_fast_two_structure_errors.csv": (
        "a row of delimiters is a row of blank cells, rejected for what it lacks, not for its shape (X-04, X-16)",
        ["id", "name", "age"],
        [
            (2, ["1101", "John", "30"], set()),
            (3, ["1102", "Julie", "26"], set()),
            (4, ["", "", ""], set()),
            (5, ["1", "2", "3", "4", "5", "6"], {RAGGED}),
        ],
    ),
}
# The index rejects rows or leaves it open; the specification refuses the file: file → (why, rule, sentence part).
SPEC_REFUSES = {
    "papaparse/malformed.tsv": ("an unclosed quote refuses the file (X-15)", "file.unclosed_quote", "on line 9"),
}
# Refused behind the reader, for what the headers say: file → (why, header, lines of ragged rows).
NAMED_WRONGLY = {
    "csv-parser/comment.csv": ("a comment is no header of a field", ["# comment"], [2, 3]),
    "csv-parser/bad-data.csv": ("a blank header", ["", "somejunk", "<! />"], []),
    "goodtables/duplicate_columns.csv": ("a header twice", ["id", "name", "id", "age", "id"], []),
    "goodtables/headerless_columns.csv": ("a blank header", ["id", "", "age"], []),
    "goodtables/invalid.csv": ("a blank header, and one twice", ["id", "name", "", "name"], [2, 3, 5]),
    "goodtables/invalid_no_headers.csv": ("data for headers", ["1", "english"], [3]),
    "csvkit/no_header_row.csv": ("data for headers", ["1", "2", "3"], []),
    "csvkit/test_extra_header.csv": ("a header too many", ["a", "b", "c", "d"], [2]),
}
# Settings that the sender has to declare.
DECLARED_DELIMITERS = {"csv-parser/backtick.csv": "`"}
# Problems that the index names in words only: file → {line: problems}.
PROBLEMS = {
    "csvkit/null_byte.csv": {2: {NUL}},
    "csvkit/test_empty_columns_long_row.csv": {2: {RAGGED}},
    "csvkit/test_empty_columns_short_row.csv": {2: {RAGGED}},
    "csv-parser/option-maxRowBytes.csv": {4578: {RAGGED, TEXT_AFTER_QUOTE}},
    "csvkit/dummy_col_shuffled_ragged.csv": {},  # in the stored file no row is ragged
}


def read_corpus_file(name: str, reader: dict) -> File:
    return read((CORPORA / name).read_bytes(), encoding=reader.get("encoding"), delimiter=DECLARED_DELIMITERS.get(name))


def summary(file: File) -> list[tuple[int, list[str], set[str]]]:
    return [(row.line, row.cells, row.problems) for row in file.rows]


@pytest.mark.parametrize("entry", INDEX, ids=IDS)
def test_a_corpus_file_is_read_as_its_index_says_unless_the_specification_says_otherwise(entry):
    name, reader = entry["file"], entry.get("reader", {})
    if name in SPEC_WINS:
        _, header, rows = SPEC_WINS[name]
        file = read_corpus_file(name, reader)
        assert list(file.inspection.header) == header
        assert summary(file) == rows
    elif name in SPEC_REFUSES:
        _, rule, part = SPEC_REFUSES[name]
        with pytest.raises(FileRefused, match=part) as refused:
            read_corpus_file(name, reader)
        assert refused.value.rule == rule
    elif name in NAMED_WRONGLY:
        _, header, ragged = NAMED_WRONGLY[name]
        file = read_corpus_file(name, reader)
        assert list(file.inspection.header) == header
        assert [row.line for row in file.rows if row.problems == {RAGGED}] == ragged
    elif entry["expect"] == "reject_file":
        assert entry["error_kind"] == "empty"
        with pytest.raises(FileRefused) as refused:
            read_corpus_file(name, reader)
        assert refused.value.rule == "file.empty"
    else:
        check_against_index(entry, read_corpus_file(name, reader))


def check_against_index(entry: dict, file: File) -> None:
    name, reader = entry["file"], entry.get("reader", {})
    if len(file.inspection.header) > 1:
        assert file.inspection.dialect.delimiter == reader.get("delimiter", ",")
    if "records" in entry:
        assert len(file.rows) == entry["records"]
    if "header" in entry:
        assert list(file.inspection.header) == entry["header"]
    expected = entry.get("cells")
    if expected and "values" in expected[0]:
        assert [{"line": row.line, "values": row.cells} for row in file.rows[: len(expected)]] == expected
    elif expected:
        assert [dict(zip(file.inspection.header, row.cells, strict=True)) for row in file.rows] == expected
    problems = {row.line: row.problems for row in file.rows if row.problems}
    if name in PROBLEMS:
        assert problems == PROBLEMS[name]
    elif name == "goodtables/latin1.csv":
        assert problems == {}  # bad without its declaration only, see below
    else:
        assert problems == {line: {RAGGED} for line in entry.get("bad_lines", [])}


@pytest.mark.parametrize(
    "name",
    [
        "goodtables/latin1.csv",
        "csvkit/test_latin1.csv",
        "csv-parser/bench_latin.csv",
        "csv-parser/bench_utf16.csv",
        "csvkit/test_utf16_big.csv",
    ],
)
def test_a_corpus_file_in_another_encoding_is_refused_undeclared(name):
    """Source: X-03."""
    with pytest.raises(FileRefused, match="at byte offset") as refused:
        read((CORPORA / name).read_bytes())
    assert refused.value.rule == "file.encoding"


def test_every_exception_names_a_file_of_the_index():
    assert len(INDEX) == 101
    assert len(PAPA) > 100
    names = {entry["file"] for entry in INDEX}
    listed = {*SPEC_WINS, *SPEC_REFUSES, *NAMED_WRONGLY, *DECLARED_DELIMITERS, *PROBLEMS}
    assert listed <= names


@pytest.mark.parametrize("name", ["blns_customers", "csv_injection_customers"])
def test_naughty_strings_and_injections_reach_the_rules_unchanged(name):
    source = (CORPORA / "derived" / f"{name}.csv").read_bytes()
    file = read(source)
    expected = list(csv.reader(io.StringIO(source.decode(), newline="")))
    assert [list(file.inspection.header), *(row.cells for row in file.rows)] == expected
    stated = json.loads((CORPORA / "derived" / f"{name}.expected.json").read_text())["rows"]
    assert [row.line for row in file.rows] == [row["line"] for row in stated]
    assert not any(row.problems for row in file.rows)


# ----------------------------------------------------------------------------------------------- Papa Parse's cases

CASES = json.loads((CORPORA / "papaparse" / "cases.json").read_text())
EXPRESSIBLE = {"header", "delimiter", "newline", "skipEmptyLines"}
PAPA = {
    number: case
    for number, case in enumerate(CASES)
    if set(case["config"]) <= EXPRESSIBLE and len(case["config"].get("delimiter", ",")) == 1
}
# Papa Parse and the specification differ: number of the case → why.
PAPA_DIFFERS = {
    20: "text after a closing quote rejects the row (X-15)",
    67: "white space after a closing quote is text after a closing quote (X-15)",
    68: "white space after a closing quote is text after a closing quote (X-15)",
    69: "white space after a closing quote is text after a closing quote (X-15)",
    144: "white space after a closing quote is text after a closing quote (X-15)",
    145: "white space after a closing quote is text after a closing quote (X-15)",
    21: "text after a closing quote rejects the row (X-15)",
    22: "text after a closing quote rejects the row (X-15)",
    23: "text after a closing quote rejects the row (X-15)",
    59: "headers are read as sent; two alike are the mapping's to refuse (X-05)",
    60: "headers are read as sent; two alike are the mapping's to refuse (X-05)",
    61: "headers are read as sent; two alike are the mapping's to refuse (X-05)",
    71: "CR ends a line in a file of LF too (X-15)",
    84: "a line end is no delimiter",
    142: "a row of blank cells is a row (X-16)",
    143: "a row of blank cells is a row (X-16)",
}


def papa_rows(case: dict) -> list[list[str]]:
    """Return a case's rows, its header among them, as the specification has them: without blank lines."""
    rows = case["expected"]["data"]
    if case["config"].get("header"):
        named = [dict(row) for row in rows]
        beyond = [row.pop("__parsed_extra", []) for row in named]
        rows = [[*row.values(), *cells] for row, cells in zip(named, beyond, strict=True)]
    return [row for row in rows if len(row) > 1 or row[0].strip()]


@pytest.mark.parametrize("number", sorted(PAPA.keys() - PAPA_DIFFERS.keys()))
def test_papa_parse_reads_the_same_rows(number):
    """Below a header of our own, so that every row of the case is a row here."""
    case = PAPA[number]
    config, expected = case["config"], papa_rows(case)
    codes = {error["code"] for error in case["expected"]["errors"]}
    delimiter = config.get("delimiter") or papa_delimiter(case)
    text = case["input"].removeprefix("\ufeff")
    if config.get("header"):
        text = text.partition("\n")[2]
    width = max((len(row) for row in expected), default=1)
    source = delimiter.join(f"h{column}" for column in range(width)) + "\n" + text
    if "MissingQuotes" in codes:
        with pytest.raises(FileRefused, match="never closed"):
            read(source.encode(), delimiter=delimiter)
        return
    file = read(source.encode(), delimiter=delimiter)
    assert [row.cells for row in file.rows] == expected
    assert [row.problems for row in file.rows] == [set() if len(row) == width else {RAGGED} for row in expected]


def papa_delimiter(case: dict) -> str:
    """Sniff the delimiter of a case that can be a file."""
    try:
        return read(case["input"].encode()).inspection.dialect.delimiter
    except FileRefused:
        return ","


@pytest.mark.parametrize("number", [20, 21, 22, 23, 67, 68, 69, 144, 145])
def test_what_papa_parse_corrects_after_a_closing_quote_is_rejected(number):
    """Source: X-15."""
    file = read(("h0,h1,h2,h3\n" + PAPA[number]["input"]).encode())
    assert any(TEXT_AFTER_QUOTE in row.problems for row in file.rows)
