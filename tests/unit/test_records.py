"""Records out of bytes: boundaries, lines, cells, malformed rows, refused files. Source: X-02, X-03, X-15, X-18."""

import codecs
import hashlib
import io
import itertools
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.importing.chunk_plan import inspect
from include.importing.dialect import Dialect, is_blank
from include.importing.errors import FileRefused, SettingsError
from include.importing.records import (
    NUL,
    RAGGED,
    ROW_RULES,
    TEXT_AFTER_QUOTE,
    Block,
    read_blocks,
    read_cells,
    split_record,
    unquote,
)
from include.importing.scan import edges, inside_quotes, is_well_formed, scan, walk_quotes
from tests.unit.reading import Row, look, read

pytestmark = pytest.mark.unit

WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def naive_records(text: str, delimiter: str) -> tuple[list[Row], int | None]:
    """Read a text a character at a time; also the line of a quote that stays open."""
    rows, line, place = [], 1, 0
    while place < len(text):
        row, start = Row(line, [], b""), place
        while True:  # a cell a turn
            cell = ""
            if text[place : place + 1] == '"':
                opened, place = line, place + 1
                while True:
                    if place == len(text):
                        return rows, opened
                    if text[place : place + 2] == '""':
                        cell, place = cell + '"', place + 2
                    elif text[place] == '"':
                        place += 1
                        break
                    else:
                        line += text[place] == "\n" or (text[place] == "\r" and text[place + 1 : place + 2] != "\n")
                        cell, place = cell + text[place], place + 1
                if place < len(text) and text[place] not in delimiter + "\r\n":
                    row.problems.add(TEXT_AFTER_QUOTE)
            while place < len(text) and text[place] not in delimiter + "\r\n":
                cell, place = cell + text[place], place + 1
            row.cells.append(cell)
            if text[place : place + 1] != delimiter:
                break
            place += 1
        row.raw = text[start:place].encode()
        if "\0" in text[start:place]:
            row.problems.add(NUL)
        if text[start:place].strip(WHITE_SPACE) or delimiter in text[start:place]:
            rows.append(row)
        place += 2 if text[place : place + 2] == "\r\n" else 1
        line += 1
    return rows, None


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


def cells(source: bytes | str, **options) -> list[tuple[int, list[str]]]:
    source = source.encode() if isinstance(source, str) else source
    return [(row.line, row.cells) for row in read(source, **options).rows if not row.problems]


def problems(source: bytes | str, **options) -> list[tuple[int, set[str]]]:
    source = source.encode() if isinstance(source, str) else source
    return [(row.line, row.problems) for row in read(source, **options).rows if row.problems]


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
    assert set(ROW_RULES) == {RAGGED, NUL, TEXT_AFTER_QUOTE}


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


# -------------------------------------------------------------------------------------------------------- chunks


def test_chunks_hold_whole_records_and_know_their_first_line():
    source = b'a,b\r\n"1\r\n1",2\r\n3,4\r\n\r\n5,6\r\n'
    chunks = look(source, chunk_bytes=1).chunks
    parts = [(source[chunk.byte_start : chunk.byte_end], chunk.first_line) for chunk in chunks]
    assert parts == [(b'"1\r\n1",2\r\n', 2), (b"3,4\r\n", 4), (b"\r\n", 5), (b"5,6\r\n", 6)]


def test_a_chunk_ends_with_the_record_that_fills_it():
    source = b"a\n" + b"1234567\n" * 100
    chunks = look(source, chunk_bytes=80, read_bytes=33).chunks
    assert [(chunk.byte_start, chunk.byte_end, chunk.first_line) for chunk in chunks] == [
        (2 + 80 * number, 82 + 80 * number, 2 + 10 * number) for number in range(10)
    ]


def test_memory_stays_bounded_when_a_quote_is_never_closed():
    source = b'a,b\n1,2\n"' + b"x,y\n" * 4_000_000
    tracemalloc.start()
    try:
        with pytest.raises(FileRefused, match="on line 3 is never closed"):
            look(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20, f"{peak:,} bytes"


@pytest.mark.parametrize("piece", [b'""', b'"', b"\r", b"\r\n", b"x", b",", b'x,"', b'",'])
@pytest.mark.parametrize("repeats", [40, 41])
def test_a_record_that_outgrows_the_buffer_ends_where_it_ends(piece, repeats):
    """The stand-in for a long record leaves the scan where the record leaves it."""
    text = 'h,i\n"' + piece.decode() * repeats + 'z",2\n3,4\n'
    expected, unclosed = naive_records(text, ",")
    if unclosed is not None:
        with pytest.raises(FileRefused, match=f"on line {unclosed} is never closed"):
            look(text.encode(), delimiter=",", read_bytes=4)
        return
    file = read(text.encode(), delimiter=",", read_bytes=4, chunk_bytes=1)
    assert [row.raw for row in file.rows] == [row.raw for row in expected[1:]]
    assert [row.line for row in file.rows] == [row.line for row in expected[1:]]


def test_an_unclosed_quote_behind_a_record_that_outgrew_the_buffer_is_named_by_its_own_line():
    source = b'h\n"' + b"x\n" * 40 + b'"\n"abc'
    assert "on line 43 is never closed" in refusal(source, read_bytes=4).message


def test_a_problem_of_an_unfinished_record_is_not_laid_on_the_one_before():
    source = 'a,b\n1,2\n"x"yz,3\n4,\0\n5,6\n'
    for block_bytes in range(1, 30):
        assert problems(source, block_bytes=block_bytes) == [(3, {TEXT_AFTER_QUOTE}), (4, {NUL})]


# ------------------------------------------------------------------------------------------------ header, dialect


def refusal(source: bytes, **options) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        look(source, **options)
    assert "Expected" in refused.value.message or "expected" in refused.value.message
    return refused.value


@pytest.mark.parametrize(
    "source",
    [b"", codecs.BOM_UTF8, b"\n\r\n\r", codecs.BOM_UTF8 + b"\n", b"  \n\t\n  ", b"\n" * 3_000_000],
    ids=["nothing", "bom", "line ends", "bom and line end", "white space", "many lines"],
)
def test_an_empty_file_is_refused(source):
    """Source: X-02."""
    assert refusal(source).rule == "file.empty"


@pytest.mark.parametrize("source", [b"a,b", b"a,b\n", b"a,b\r\n\r\n \n", codecs.BOM_UTF8 + b"a,b"])
def test_a_header_alone_is_no_refusal(source):
    """Source: X-02."""
    inspection = look(source)
    assert (inspection.is_header_only, inspection.chunks, inspection.header) == (True, (), ("a", "b"))


def test_a_header_of_blank_cells_is_missing():
    """Source: X-02."""
    refused = refusal(b"\n ,, \n1,2,3\n")
    assert refused.rule == "file.missing_header"
    assert "Line 2 has no column headers: it has 3 cells, all blank" in refused.message


def test_a_header_longer_than_any_header_is_missing():
    assert refusal(b"a" * (3 << 20)).rule == "file.missing_header"


def test_the_header_is_the_first_line_that_is_not_blank():
    inspection = look(b'\n\n" A ""x""",b\t\r\n1,2')
    assert inspection.header == (' A "x"', "b\t")
    assert (inspection.header_offset, inspection.header_bytes) == (2, 13)
    assert inspection.dialect == Dialect("utf-8", b"", ",", "\r\n")
    assert inspection.chunks[0].first_line == 4


@pytest.mark.parametrize("read_bytes", [4, 5, 6, 7, 100])
def test_blank_lines_before_the_header_count_as_lines(read_bytes):
    """Source: X-15."""
    inspection = look(b"\r\n" * 5 + b" \r\r\na,b\r\n1,2", read_bytes=read_bytes)
    assert (inspection.header_offset, inspection.chunks[0].first_line) == (14, 9)


def test_nul_in_the_header_refuses_the_file():
    """Source: X-15."""
    assert refusal(b"a,\0b\n1,2\n").rule == "file.header_nul"
    assert "UTF-16" in refusal("a,b\n".encode("utf-16-le")).message


def test_text_after_a_closing_quote_in_the_header_refuses_the_file():
    refused = refusal(b'"a"x,b\n1,2\n')
    assert (refused.rule, "on line 1" in refused.message) == ("file.missing_header", True)


def test_an_unclosed_quote_names_the_line_on_which_it_opened():
    """Source: X-15."""
    for source, line in ((b'a,"b\n1,2\n', 1), (b'a,b\n1,2\n"x\ny",3\n4,"5\n6,7\n', 5), (b'a,b\n1,"\n', 2)):
        refused = refusal(source)
        assert refused.rule == "file.unclosed_quote"
        assert f"on line {line} is never closed" in refused.message


@pytest.mark.parametrize(
    ("source", "delimiter"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\n", "\t"),
        ("a|b,c|d\n1|2|3\n", "|"),
        ("a|b,c|d\n\n", "|"),  # no rows: a blank line is none
        ("code\nA,B\n", ","),  # one column: the rows don't decide
        ('"a,b,c";d\n1;2\n', ";"),  # only what stands outside quotes counts
        ("price;weight (kg, gross)\n1,5;2,5\n3;4\n", ";"),
        ("one|two,two|three\nfour|five,five|six\n", "|"),
    ],
)
def test_the_delimiter_is_sniffed_from_header_and_first_rows(source, delimiter):
    """Source: X-15."""
    assert look(source.encode()).dialect.delimiter == delimiter


def test_a_header_without_delimiters_is_one_column():
    """Source: X-15."""
    assert cells("Code\nA1\nB;2\n") == [(2, ["A1"]), (3, ["B;2"])]


@pytest.mark.parametrize("source", [b"a,b;c\n1,2;3\n", b"a,b;c\n", b"a|b\tc"])
def test_a_tie_of_delimiters_asks_for_a_declaration(source):
    """Source: X-15."""
    refused = refusal(source)
    assert refused.rule == "file.delimiter_tie"
    assert "`delimiter`" in refused.message
    assert look(source, delimiter=";").dialect.delimiter == ";"


def test_a_declared_delimiter_is_used_as_declared():
    assert cells("a~b;c\n1~2\n", delimiter="~") == [(2, ["1", "2"])]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r", "\0", "§"])
def test_a_delimiter_that_cannot_be_one_is_a_settings_error(delimiter):
    with pytest.raises(SettingsError, match="`delimiter`"):
        look(b"a,b\n", delimiter=delimiter)


# ------------------------------------------------------------------------------------------------------ encodings


def test_a_utf8_byte_order_mark_is_no_part_of_the_header():
    """Source: X-03."""
    inspection = look(codecs.BOM_UTF8 + b"a,b\n1,2\n")
    assert (inspection.header, inspection.header_offset) == (("a", "b"), 3)
    assert inspection.dialect.bom == codecs.BOM_UTF8


@pytest.mark.parametrize("read_bytes", [4, 5, 7, 1 << 19])
@pytest.mark.parametrize(
    ("declared", "codec", "bom"),
    [
        ("utf-16", "utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16", "utf-16-be", codecs.BOM_UTF16_BE),
        ("UTF-16", "utf-16-le", b""),
        ("utf-16be", "utf-16-be", b""),
        ("utf-16le", "utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-32", "utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32", "utf-32-be", codecs.BOM_UTF32_BE),
        ("utf_32_be", "utf-32-be", b""),
        ("windows-1251", "cp1251", b""),
        ("latin-1", "iso8859-1", b""),
        ("cp500", "cp500", b""),
        ("gb18030", "gb18030", b""),
        ("UTF8", "utf-8", b""),
        ("utf-8-sig", "utf-8", codecs.BOM_UTF8),
    ],
)
def test_a_declared_encoding_is_read(declared, codec, bom, read_bytes):
    """Source: X-03."""
    text = "a;b\r\nЖ;2\r\n" if codec not in ("iso8859-1", "cp500") else "a;b\r\né;2\r\n"
    file = read(bom + text.encode(codec), encoding=declared, read_bytes=read_bytes)
    assert file.inspection.dialect == Dialect(codec, bom, ";", "\r\n")
    assert [row.cells for row in file.rows] == [[text[5], "2"]]
    assert file.inspection.size_bytes == len(bom + text.encode(codec))
    assert file.inspection.sha256 == hashlib.sha256(bom + text.encode(codec)).hexdigest()


@pytest.mark.parametrize("read_bytes", [4, 1 << 19])
@pytest.mark.parametrize(
    ("source", "encoding", "offset", "line"),
    [
        (b"a,b\n1,2\r\n3,\xe9\n", None, 11, 3),
        (codecs.BOM_UTF8 + b"a,b\n\xff", None, 7, 2),
        (b"a,b\n1,\xf0\x9f\x98", None, 6, 2),  # cut off by the end
        (b"a,b\n1,\xed\xa0\x80\n", None, 6, 2),  # a surrogate
        (b"a,b\n1,\xc0\x80\n", None, 6, 2),  # overlong
        (b"\xff\xfea\0,\0", None, 0, 1),
        (b'a,b\n"\n\r\r\n\x98",1', "windows-1251", 9, 5),
        ("a,b\n1,".encode("utf-16") + b"\x00\xd8\x00\x00", "utf-16", 14, 2),
        ("a,b\n1,2".encode("utf-16-be") + b"\x00", "utf-16-be", 14, 2),
    ],
)
def test_undecodable_bytes_name_offset_and_line(source, encoding, offset, line, read_bytes):
    """Source: X-03."""
    refused = refusal(source, encoding=encoding, read_bytes=read_bytes)
    assert refused.rule == "file.encoding"
    assert f"at byte offset {offset}, on line {line}." in refused.message


def test_undecodable_bytes_far_behind_the_head_name_offset_and_line():
    """Source: X-03."""
    source = "a,b\n" + '"é\n",2\r\n' * 400_000
    place = len(source.encode()) - 8
    broken = source.encode()[:place] + b"\xe9" + source.encode()[place + 1 :]
    refused = refusal(broken)
    assert f"at byte offset {place}, on line 800000." in refused.message


def test_a_utf16_file_without_declaration_is_told_so():
    """Never guessed. Source: X-03."""
    assert "begins like a UTF-16 file" in refusal("a,b\n".encode("utf-16")).message


def test_another_encoding_is_refused_where_the_type_takes_utf8_alone():
    """Source: X-03."""
    assert refusal(b"a,b\n", encoding="latin-1", utf8_only=True).rule == "file.encoding"
    assert look(b"a,b\n", encoding="utf-8", utf8_only=True).dialect.encoding == "utf-8"
    assert "settings" not in refusal(b"a,\xe9\n", utf8_only=True).message


@pytest.mark.parametrize("encoding", ["klingon", "base64", "hex", "", "ut\0f", "rot13"])
def test_an_unknown_encoding_is_refused(encoding):
    assert refusal(b"a,b\n", encoding=encoding).rule == "file.encoding"


@pytest.mark.parametrize("encoding", ["iso2022_jp", "utf-7", "hz", "punycode", "unicode_escape"])
def test_an_encoding_with_shift_sequences_is_refused(encoding):
    assert refusal(b"a,b\n", encoding=encoding).rule == "file.encoding_not_reversible"


def test_a_file_that_cannot_be_written_back_as_sent_is_refused():
    """Two byte sequences of cp932 for one character; the way back gives the other. Source: X-09."""
    assert refusal(b"a,b\n\x87\x90,1\n", encoding="cp932").rule == "file.encoding_not_reversible"
    assert cells(b"a,b\n\x93\xfa,1\n", encoding="cp932") == [(2, ["日", "1"])]


def test_a_file_over_the_limit_is_refused():
    """Source: X-18."""
    source = b"a,b\n" + b"1,2\n" * 100
    assert refusal(source, max_bytes=403, read_bytes=50).rule == "file.too_big"
    assert look(source, max_bytes=404).size_bytes == 404


def test_no_refusal_quotes_a_cell():
    """Source: X-20."""
    secret = "4111222233334444"
    for source in (
        f'a,b\n{secret},"x\n',
        f"a,b;c\n{secret},2;{secret}\n",
        f'{secret},"x"y\n',
        f"{secret},\0\n",
        f"{secret}," + "x" * (2 << 20),
    ):
        assert secret not in str(refusal(source.encode()))
    assert secret not in refusal(f"a,b\n{secret},".encode() + b"\xff\n").message


def test_a_source_that_gives_less_than_asked_is_read_to_its_end():
    """Object stores and pipes do."""

    class Dribble(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3))

    source = b"a,b\n" + b"1,2\n" * 50
    inspection = inspect(Dribble(source), encoding=None, delimiter=None, text_out=None, max_bytes=1 << 20)
    assert inspection.size_bytes == len(source)
    blocks = list(read_blocks(Dribble(source), inspection.chunks[0], inspection.dialect, 2))
    assert sum(len(block.starts) for block in blocks) == 50


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
