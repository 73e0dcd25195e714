"""Records out of bytes: boundaries, lines, cells, malformed rows. Source: X-02, X-03, X-15."""

import codecs
import hashlib
import io
import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.errors import FileRefused
from include.reading.dialect import Dialect, is_blank
from include.reading.records import (
    NOT_DATA,
    NUL,
    RAGGED,
    REPEATED_HEADER,
    ROW_RULES,
    TEXT_AFTER_QUOTE,
    Block,
    read_blocks,
    read_cells,
    split_record,
    unquote,
)
from include.reading.scan import edges, inside_quotes, is_well_formed, scan, walk_quotes
from tests.unit.reading import WHITE_SPACE, cells, look, naive_records, problems, read, refusal

pytestmark = pytest.mark.unit

# ---------------------------------------------------------------------------------------------------- properties

SYMBOLS = st.sampled_from(
    ['"', '"', '""', ",", ",", "\n", "\r\n", "\r", "a", "b7", " ", ";", "é", "\0", "\ufeff", "\u3000", "\U0001f600"]
)
BODIES = st.lists(SYMBOLS, max_size=60).map("".join)
QUOTED = st.lists(st.sampled_from(['""', ",", "\n", "\r\n", "\r", "x", "é"]), max_size=4).map(
    lambda parts: '"' + "".join(parts) + '"'
)
TIDY_ROWS = st.lists(
    st.lists(st.one_of(QUOTED, st.sampled_from(["", "x", "é 1", '5" pipe'])), min_size=1, max_size=4).map(",".join),
    max_size=12,
).map("\r\n".join)


@given(
    body=st.one_of(BODIES, TIDY_ROWS),
    header=st.sampled_from(["h", "h,i", '"h\n1",i', "h,i,j"]),
    bom=st.booleans(),
    sizes=st.tuples(st.integers(1, 80), st.integers(1, 40), st.integers(1, 12)),
)
@example(body="a\r", header="h", bom=False, sizes=(80, 3, 2))
@example(body="\r\na,b", header="h,i", bom=False, sizes=(1, 1, 1))
@example(body='""""""""","', header="h,i", bom=False, sizes=(1, 1, 1))
@example(body="\ufeffa,b\n\ufeff,b", header="h,i", bom=True, sizes=(3, 3, 4))
@settings(max_examples=600, deadline=None)
def test_records_lines_cells_and_problems_are_those_of_a_reader_that_goes_character_by_character(
    body, header, bom, sizes
):
    """Whatever the sizes of chunks, blocks and reads. Source: X-15."""
    chunk_bytes, block_bytes, read_bytes = sizes
    text = header + "\n" + body
    source = (codecs.BOM_UTF8 if bom else b"") + text.encode()
    expected, unclosed_line = naive_records(text, ",")
    if unclosed_line is not None:
        with pytest.raises(FileRefused) as refusal:
            look(source, delimiter=",", chunk_bytes=chunk_bytes, read_bytes=read_bytes)
        assert refusal.value.rule == "file.unclosed_quote"
        assert f"on line {unclosed_line} " in refusal.value.message
        return
    columns = len(expected[0].cells)
    for row in expected[1:]:
        if len(row.cells) != columns:
            row.problems.add(RAGGED)

    file = read(source, delimiter=",", chunk_bytes=chunk_bytes, block_bytes=block_bytes, read_bytes=read_bytes)

    assert file.rows == expected[1:]
    assert file.inspection.header == tuple(expected[0].cells)
    assert file.inspection.is_header_only == (len(expected) == 1)
    assert file.inspection.sha256 == hashlib.sha256(source).hexdigest()
    assert file.inspection.size_bytes == len(source)
    place = file.inspection.header_offset
    assert source[place : place + file.inspection.header_bytes] == expected[0].raw
    cover = [(chunk.byte_start, chunk.byte_end) for chunk in file.inspection.chunks]
    assert [chunk.number for chunk in file.inspection.chunks] == list(range(len(cover)))
    if cover:
        assert cover[-1][1] == len(source)
        assert all(before[1] == after[0] for before, after in itertools.pairwise(cover))


@given(text=st.one_of(BODIES, TIDY_ROWS), delimiter=st.sampled_from(",;"))
@settings(max_examples=600, deadline=None)
def test_where_the_check_of_all_quotes_passes_the_walk_over_quotes_agrees(text, delimiter):
    """Two ways to one answer: the vectorised check, and the walk that takes over where it fails. Source: X-15."""
    symbols = np.frombuffer(text.encode(), np.uint8)
    quotes = symbols == ord('"')
    is_edge = edges(symbols, ord(delimiter))
    counts, text_after_quote = walk_quotes(np.flatnonzero(quotes), is_edge)
    is_tidy = bool(counts.all()) and not len(text_after_quote)
    assert is_well_formed(quotes, inside_quotes(quotes), is_edge) == is_tidy


@given(st.lists(st.booleans(), max_size=400))
def test_inside_quotes_is_the_parity_of_the_quotes_so_far(flags):
    quotes = np.array(flags, np.bool_)
    assert inside_quotes(quotes).tolist() == (np.cumsum(quotes) % 2 == 1).tolist()


@given(
    body=st.text(alphabet='ab"é\n\r,яж', max_size=40),
    encoding=st.sampled_from(["utf-16", "utf-16-be", "utf-32", "windows-1251", "gb18030"]),
    read_bytes=st.integers(1, 9),
)
@settings(max_examples=300, deadline=None)
def test_a_file_in_another_encoding_reads_like_its_utf8_copy(body, encoding, read_bytes):
    """Source: X-03."""
    text = "h,i\n" + body
    text = text.encode(encoding, "ignore").decode(encoding)
    if naive_records(text, ",")[1] is not None:
        for source, declared in ((text.encode(), None), (text.encode(encoding), encoding)):
            assert refusal(source, encoding=declared, delimiter=",").rule == "file.unclosed_quote"
        return
    expected = read(text.encode(), delimiter=",")
    source = text.encode(encoding)
    file = read(source, encoding=encoding, delimiter=",", read_bytes=read_bytes)
    dialect = file.inspection.dialect
    assert file.rows == expected.rows
    assert file.text == text.encode()
    assert dialect.bom + file.text.decode().encode(dialect.encoding) == source


# ------------------------------------------------------------------------------------------------- rows and lines


def test_crlf_lf_and_cr_each_end_a_line_also_mixed_and_the_last_may_have_none():
    """Source: X-15."""
    assert cells("a,b\r\n1,2\n3,4\r5,6\r\n7,8") == [(2, ["1", "2"]), (3, ["3", "4"]), (4, ["5", "6"]), (5, ["7", "8"])]


def test_line_ends_inside_quotes_count_as_physical_lines():
    """Source: X-15."""
    assert cells('a,b\n"x\ny\r\nz\rw",2\n3,4\n') == [(2, ["x\ny\r\nz\rw", "2"]), (6, ["3", "4"])]


def test_blank_lines_are_no_rows_but_count_as_lines():
    """Lines of white space too: a blank cell is an absent value, and here no delimiter says that there are cells.

    Source: X-15, X-16.
    """
    assert cells("a,b\n\n1,2\n \t \n\n\u3000\u00a0\n3,4\n\n") == [(3, ["1", "2"]), (7, ["3", "4"])]
    assert cells("\n  \r\r\na\n\n1\n   \n2") == [(6, ["1"]), (8, ["2"])]


def test_a_line_of_delimiters_is_a_row_of_blank_cells():
    """Source: X-15, X-16."""
    assert cells("a,b,c\n,,\n , ,\t\n") == [(2, ["", "", ""]), (3, [" ", " ", "\t"])]
    assert cells("a\tb\n\t\n") == [(2, ["", ""])]


def test_a_quoted_empty_cell_is_a_row_even_alone():
    assert cells('a\n""\n\n1\n') == [(2, [""]), (4, ["1"])]


def test_a_quote_inside_an_unquoted_cell_is_literal_text():
    """Source: X-15."""
    assert cells('a,b\n5" pipe,x"y"\n"q,1",6" pipe\n') == [(2, ['5" pipe', 'x"y"']), (3, ["q,1", '6" pipe'])]


def test_doubled_quotes_and_delimiters_inside_quotes_are_text():
    """Source: X-15."""
    assert cells('a,b\n"say ""hi""","1,2"\n"""",""\n') == [(2, ['say "hi"', "1,2"]), (3, ['"', ""])]


def test_text_after_a_closing_quote_rejects_that_row_alone():
    """White space is text too. Source: X-15."""
    source = 'a,b\n1,2\n"x"y,2\n3,4\n"x" ,2\n"x""y"z,"5,6"\n7,8\n'
    assert problems(source) == [(3, {TEXT_AFTER_QUOTE}), (5, {TEXT_AFTER_QUOTE}), (6, {TEXT_AFTER_QUOTE})]
    assert cells(source) == [(2, ["1", "2"]), (4, ["3", "4"]), (7, ["7", "8"])]


def test_ragged_rows_are_rejected_and_the_rest_is_read():
    """Source: X-15."""
    source = "a,b,c\n1,2,3\n1,2\n1,2,3,4\nx\n4,5,6\n"
    assert problems(source) == [(3, {RAGGED}), (4, {RAGGED}), (5, {RAGGED})]
    assert cells(source) == [(2, ["1", "2", "3"]), (6, ["4", "5", "6"])]


def test_a_nul_byte_rejects_the_row():
    """Source: X-15."""
    assert problems("a,b\n1,\0\n2,3\n\0\n") == [(2, {NUL}), (4, {NUL, RAGGED})]


def test_a_row_has_every_problem_that_it_has():
    """Source: X-08."""
    assert problems('a,b\n"x"\0\n') == [(2, {RAGGED, NUL, TEXT_AFTER_QUOTE})]


def test_every_problem_has_a_sentence_for_the_sender():
    assert ROW_RULES[RAGGED].format(cells=3, columns=9) == "The row has 3 cells, the header has 9."
    assert set(ROW_RULES) == {RAGGED, NUL, TEXT_AFTER_QUOTE, REPEATED_HEADER, NOT_DATA}


def test_r3_a_record_says_in_which_column_it_breaks_a_rule():
    """Source: X-15: every row rule that concerns a column names it, quotes and other columns aside."""
    source = b'a,b,c\n1,"x,\n",\0\n"y"y,2,3\n1,2,3\n4,"z"z,"q"\n\0,\0,1\n'
    inspection = look(source)
    (block,) = read_blocks(io.BytesIO(source), inspection.chunks[0], inspection.dialect, 3)
    placed = {rule: (block.lines[rows].tolist(), block.columns[rule].tolist()) for rule, rows in block.problems.items()}
    assert placed == {
        NUL: ([2, 7], [2, 0]),
        TEXT_AFTER_QUOTE: ([4, 6], [0, 1]),
    }


def test_a_first_cell_that_begins_with_a_byte_order_mark_keeps_it():
    """Arrow drops one at the beginning of what it is given."""
    assert cells("a,b\n\ufeffx,1\n") == [(2, ["\ufeffx", "1"])]
    assert cells("a,b\n1\n\ufeffx,1\n") == [(3, ["\ufeffx", "1"])]


def test_cells_are_text_as_sent():
    """Nothing is trimmed, no NULL or NA read, no leading zero lost. Source: X-16."""
    assert cells("a,b,c,d,e\n 01 ,NULL,NA,,1e5\n") == [(2, [" 01 ", "NULL", "NA", "", "1e5"])]


def test_only_the_wanted_columns_are_read_in_the_order_wanted():
    source = b"a,b,c\n1,2,3\n4,5\n6,7,8\n"
    inspection = look(source)
    (block,) = read_blocks(io.BytesIO(source), inspection.chunks[0], inspection.dialect, 3)
    positions, (third, first) = read_cells(block, inspection.dialect, 3, [2, 0])
    assert (positions.tolist(), third.to_pylist(), first.to_pylist()) == ([0, 2], ["3", "8"], ["1", "6"])
    positions, none = read_cells(block, inspection.dialect, 3, [])
    assert (positions.tolist(), none) == ([0, 2], [])


def test_a_block_without_well_formed_rows_gives_empty_columns():
    source = b"a,b\n1\n2\n"
    inspection = look(source)
    (block,) = read_blocks(io.BytesIO(source), inspection.chunks[0], inspection.dialect, 2)
    positions, (column,) = read_cells(block, inspection.dialect, 2, [1])
    assert (positions.tolist(), column.to_pylist(), column.type) == ([], [], pa.string())


def test_a_record_longer_than_a_block_is_read_whole():
    long = "x" * 5000 + "\n" + "é" * 3000
    source = f'a,b\n1,2\n"{long}",3\n4,5\n'
    assert cells(source, block_bytes=100, read_bytes=64) == [(2, ["1", "2"]), (3, [long, "3"]), (5, ["4", "5"])]


def test_a_difference_between_scan_and_arrow_is_a_defect_and_quotes_no_cell():
    """Source: X-20."""
    source = b"a,b\nsecret,2\n3,4\n"
    inspection = look(source)
    (block,) = read_blocks(io.BytesIO(source), inspection.chunks[0], inspection.dialect, 2)
    fewer = Block(**{**vars(block), "starts": block.starts[:1], "ends": block.ends[:1]})
    with pytest.raises(RuntimeError, match="Arrow reads 2 records at byte offset 4 of the text; 1 are well-formed"):
        read_cells(fewer, inspection.dialect, 2, [0])
    with pytest.raises(RuntimeError) as defect:
        read_cells(block, inspection.dialect, 3, [0])
    assert "secret" not in str(defect.value)
    assert defect.value.__suppress_context__


def test_a_text_that_is_shorter_than_inspected_is_an_error():
    source = b"a,b\n1,2\n3,4\n"
    inspection = look(source)
    with pytest.raises(RuntimeError, match="4 bytes before the end of chunk 0"):
        list(read_blocks(io.BytesIO(source[:-4]), inspection.chunks[0], inspection.dialect, 2))


@pytest.mark.parametrize(
    ("record", "split"),
    [
        (b"", [b""]),
        (b"a,", [b"a", b""]),
        (b'"a",', [b'"a"', b""]),
        (b'"a,b""",c', [b'"a,b"""', b"c"]),
        (b'"a"x,c', [b'"a"x', b"c"]),
        (b'"a,b', [b'"a,b']),
        (b'a"b,c"', [b'a"b', b'c"']),
        (b',"",', [b"", b'""', b""]),
    ],
)
def test_a_record_splits_into_raw_cells_that_join_to_it(record, split):
    """Source: X-09."""
    dialect = Dialect("utf-8", b"", ",", "\n")
    assert split_record(record, dialect) == split
    assert b",".join(split) == record


def test_splitting_takes_any_delimiter_literally():
    for delimiter in "|^]\\-.*;\t ":
        record = delimiter.join(['"x' + delimiter + 'y"', "b", ""]).encode()
        cells_there = split_record(record, Dialect("utf-8", b"", delimiter, "\n"))
        assert [unquote(cell) for cell in cells_there] == [f"x{delimiter}y", "b", ""]


def test_white_space_is_unicode_white_space():
    """Source: X-16."""
    everything = (chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert "".join(char for char in everything if is_blank(char.encode())) == WHITE_SPACE


def test_a_large_mixed_file_reads_the_same_in_any_block_size():
    """Irregular rows of every kind among a hundred thousand, against the reader that goes character by character."""
    chance = random.Random(7)
    kinds = ["1,2,3", '"a","b ""c""","d\ne"', '"x"y,2,3', '5" pipe,2,3', "1,2", "1,2,3,4", "", "é,я,\0", '"",,"\r\n,"']
    text = "a,b,c\n" + "".join(
        chance.choices(kinds, [40, 40, 1, 1, 1, 1, 1, 1, 5])[0] + chance.choice(["\n", "\r\n"]) for _ in range(20_000)
    )
    expected, _ = naive_records(text, ",")
    for block_bytes in (1000, 4096, 1 << 20):
        file = read(text.encode(), delimiter=",", block_bytes=block_bytes, read_bytes=5000, chunk_bytes=50_000)
        assert [(row.line, row.cells) for row in file.rows] == [(row.line, row.cells) for row in expected[1:]]
        assert sum(bool(row.problems) for row in file.rows) > 500


def test_the_scan_of_a_cut_text_leaves_out_what_may_go_on():
    assert scan(b"a\nb\r", ord(","), is_final=False).nexts.tolist() == [2]
    assert scan(b"a\nb\r", ord(","), is_final=True).nexts.tolist() == [2, 4]
    assert scan(b'a\n"b\n', ord(","), is_final=False).nexts.tolist() == [2]


def test_a_problem_of_an_unfinished_record_is_not_laid_on_the_one_before():
    source = 'a,b\n1,2\n"x"yz,3\n4,\0\n5,6\n'
    for block_bytes in range(1, 30):
        assert problems(source, block_bytes=block_bytes) == [(3, {TEXT_AFTER_QUOTE}), (4, {NUL})]
