"""Wherever a file is cut, its records are those of the uncut file. Source: X-08, X-09, X-15.

Three kinds of cuts are moved over every byte of each nasty file: between the chunks that the plan makes, between the
pieces that it reads, and between the blocks in which a chunk is read.
"""

from __future__ import annotations

import codecs
import io

import pytest

from include.errors import FileRefused
from include.reading import chunk_plan, records
from include.reading.chunk_plan import Inspection
from include.reading.dialect import Dialect
from include.reading.records import NUL, RAGGED, TEXT_AFTER_QUOTE, Chunk, read_blocks
from tests.unit.reading import File, Row, look, read, rows_of

pytestmark = pytest.mark.unit

NASTY = {
    "quotes": 'a,b\n"1","x"\n"","y"\n"",""\n"2",z\n3,"w"\n',
    "doubled quotes": 'a,b\n"""",""""""\n"a""b","""c"""\n"","d""""e"\n1,2\n',
    "quotes in the middle of cells": 'a,b\n5" pipe,x"y"\n"q,1",6" pipe\na"b"c,"d"\n"e",f""g\n1,2\n',
    "text after quotes": 'a,b\n"x"y,2\n"x" ,"z"\n1,"x""y"z"\n"x"y"z",3\n"a"b\n"c",d\n',
    "delimiters in quotes": 'a,b\n"1,2","3,4,,"\n",",","\n5,6\n"","\n"\n',
    "line ends in quotes": 'a,b\r\n"x\ny\r\nz\rw",2\r\n"\n",\r\n"\r","\r\n"\r\n"\r\r\n\n",3\r\n',
    "mixed line ends": "a,b\r1,2\n3,4\r\n5,6\r\r7,8\n\r9,10\r\n\r\n11,12\n\n13,14",
    "nothing but CR": 'a,b\r1,2\r"3\r4",5\r\r6,7\r',
    "blank lines": "\n \n\na,b\n\n  \n1,2\n\t\n\u3000\u00a0\n\n,\n \n3,4\n\n \n",
    "UTF-8 of one to four bytes": 'é,я\nà,"日本"\n"😀""é",\u2028\n\u3000,\u00a0\nя"я,"я\nя"\n',
    "byte order marks": '\ufeffa,b\n\ufeff1,2\n"\ufeff",\ufeff\n\ufeff\n3,4\n',
    "NUL": 'a,b\n1,\0\n\0\n"\0\n",2\n"x"\0,3\n4,5\n\0,\0\n',
    "ragged": 'a,b\n1\n1,2,3\n"1\n"\n,,\n"1","2","3"\n4,5\n',
    "one column": 'a\n1\n"2\n3"\n""\n\n4"\n"5"6\n',
    "other delimiter": 'a;b\n"1;2";"3,4"\n5,6;7"8\n";";","\n',
    "long record of quotes": 'a,b,c\n12,"",""",\n"\n1,2,""""""\n"",""",\n""",""\n"""",,""",\n"\n',
    "long record": 'a,b\n1,2\n"' + 'x\n,""' * 9 + '",3\n4,5\n',
    "no line end at the end": 'a,b\n1,2\n3,"4\n5"',
    "quote as the last byte": 'a,b\n1,2\n"3",""',
    "everything": (
        '\ufeff"a ""1""",b\r\n1,"é\r\n,""я""\r"\n\n5" pipe,"x"y\r \r"",\0\r\n1,2,3\n"😀,\n\n",\u3000\r,\n"z"" ",""\r\n'
    ),
}
UNCLOSED = {
    "on the last line": ('a,b\n1,2\n3,"4\n', 3),
    "far from the end": ('a,b\n1,2\n"x\n,""\r\ny",3\r4,"5' + "\nq,r\r\n" * 6, 6),
    "behind doubled quotes": ('a,b\n"""",1\n"""x,2\n3,4\n', 3),
    "as the last byte": ('a,b\n1,2\n3,"', 3),
}
# What each file must contain, so that the comparisons below compare something.
EXPECTED_ROWS = {
    "quotes": 5, "doubled quotes": 4, "quotes in the middle of cells": 5, "text after quotes": 6,
    "delimiters in quotes": 4, "line ends in quotes": 4, "mixed line ends": 7, "nothing but CR": 3, "blank lines": 3,
    "UTF-8 of one to four bytes": 4, "byte order marks": 4, "NUL": 6, "ragged": 6, "one column": 5,
    "other delimiter": 3, "long record of quotes": 4, "long record": 3,
    "no line end at the end": 2, "quote as the last byte": 2, "everything": 7,
}  # fmt: skip


def delimiter_of(name: str) -> str:
    return ";" if name == "other delimiter" else ","


def whole(name: str) -> File:
    """Read a file without any cut."""
    return read(NASTY[name].encode(), delimiter=delimiter_of(name))


def places(inspection: Inspection) -> list[tuple[int, int, int]]:
    return [(chunk.byte_start, chunk.byte_end, chunk.first_line) for chunk in inspection.chunks]


def test_the_nasty_files_hold_what_they_are_named_for():
    files = {name: whole(name) for name in NASTY}
    assert {name: len(file.rows) for name, file in files.items()} == EXPECTED_ROWS
    problems_by_file = {name: set().union(*(row.problems for row in file.rows)) for name, file in files.items()}
    assert {name: problems for name, problems in problems_by_file.items() if problems} == {
        "text after quotes": {TEXT_AFTER_QUOTE, RAGGED},
        "byte order marks": {RAGGED},
        "NUL": {NUL, RAGGED, TEXT_AFTER_QUOTE},
        "ragged": {RAGGED},
        "one column": {TEXT_AFTER_QUOTE},
        "everything": {NUL, RAGGED, TEXT_AFTER_QUOTE},
    }


@pytest.mark.parametrize("name", NASTY)
def test_chunks_of_any_size_hold_the_records_of_the_uncut_file(name):
    """A chunk as long as each number of bytes: the first boundary is sought at every byte of the file."""
    source, uncut = NASTY[name].encode(), whole(name)
    plans = set()
    for chunk_bytes in range(1, len(source) + 1):
        file = read(source, delimiter=delimiter_of(name), chunk_bytes=chunk_bytes)
        assert file.rows == uncut.rows
        plans.add(tuple(places(file.inspection)))
    assert len(plans) >= 2  # the boundary did move


@pytest.mark.parametrize("name", NASTY)
def test_each_record_can_begin_a_chunk_and_is_read_by_itself_from_there(name):
    """Every cut between two records in turn, both halves read as two workers read them, without each other."""
    source, uncut = NASTY[name].encode(), whole(name)
    dialect, columns = uncut.inspection.dialect, len(uncut.inspection.header)
    pieces = look(source, delimiter=delimiter_of(name), chunk_bytes=1).chunks
    assert len(pieces) >= len(uncut.rows)
    start, line, end = pieces[0].byte_start, pieces[0].first_line, pieces[-1].byte_end
    for piece in pieces[1:]:
        halves = (Chunk(1, piece.byte_start, end, piece.first_line), Chunk(0, start, piece.byte_start, line))
        second, first = (rows_between(source, half, dialect, columns) for half in halves)
        assert first + second == uncut.rows


def rows_between(source: bytes, chunk: Chunk, dialect: Dialect, columns: int) -> list[Row]:
    """Read one chunk from a text that holds nothing else: what is outside is overwritten with quotes."""
    text = bytearray(b'"' * len(source))
    text[chunk.byte_start : chunk.byte_end] = source[chunk.byte_start : chunk.byte_end]
    blocks = read_blocks(io.BytesIO(bytes(text)), chunk, dialect, columns)
    return [row for block in blocks for row in rows_of(block, dialect, columns)]


@pytest.mark.parametrize("chunk_bytes", [1, 23, 1 << 20])
@pytest.mark.parametrize("name", NASTY)
def test_the_plan_is_the_same_wherever_the_pieces_end_that_it_is_made_from(name, chunk_bytes):
    source = NASTY[name].encode()
    options = {"delimiter": delimiter_of(name), "chunk_bytes": chunk_bytes}
    uncut = look(source, **options)
    for read_bytes in range(4, len(source)):
        assert look(source, read_bytes=read_bytes, **options) == uncut


@pytest.mark.parametrize("head_bytes", [1, 8])
@pytest.mark.parametrize("name", NASTY)
def test_the_plan_is_the_same_when_hardly_more_than_the_header_is_read_at_first(name, head_bytes, monkeypatch):
    """The cuts above fall into the head of a file, which is a mebibyte: this lets them fall behind it, too."""
    source = NASTY[name].encode()
    options = {"delimiter": delimiter_of(name), "chunk_bytes": 10}
    uncut = look(source, **options)
    header = uncut.header_offset + uncut.header_bytes + 2
    monkeypatch.setattr(chunk_plan, "HEAD_BYTES", head_bytes)
    for read_bytes in range(max(4, header), len(source)):
        assert look(source, read_bytes=read_bytes, **options) == uncut


@pytest.mark.parametrize("name", NASTY)
def test_blocks_of_any_size_hold_the_records_of_the_uncut_file(name):
    source, uncut = NASTY[name].encode(), whole(name)
    for chunk_bytes in (30, 1 << 20):
        for block_bytes in range(1, len(source) + 1):
            options = {"delimiter": delimiter_of(name), "chunk_bytes": chunk_bytes}
            assert read(source, block_bytes=block_bytes, **options).rows == uncut.rows


@pytest.mark.parametrize("most", range(1, 5))
@pytest.mark.parametrize("name", NASTY)
def test_blocks_of_few_records_hold_the_records_of_the_uncut_file(name, most, monkeypatch):
    """However short the records are, a block has no more than so many."""
    uncut = whole(name)
    monkeypatch.setattr(records, "MAX_BLOCK_RECORDS", most)
    cut = whole(name)
    assert cut.rows == uncut.rows
    sizes = [len(block.starts) for block in cut.blocks]
    assert len(sizes) == -(-len(uncut.rows) // most)
    assert all(1 <= size <= most for size in sizes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le", "gb18030"])
@pytest.mark.parametrize("name", NASTY)
def test_a_file_in_another_encoding_is_cut_like_its_utf8_copy(name, encoding):
    text = NASTY[name].removeprefix("\ufeff")
    uncut = read(text.encode(), delimiter=delimiter_of(name))
    source = text.encode(encoding)
    for size in range(4, len(source)):
        file = read(source, encoding=encoding, delimiter=delimiter_of(name), read_bytes=size, chunk_bytes=size)
        assert file.rows == uncut.rows


@pytest.mark.parametrize("name", UNCLOSED)
def test_an_unclosed_quote_is_named_by_its_line_wherever_the_file_is_cut(name):
    text, line = UNCLOSED[name]
    for size in range(4, len(text) + 1):
        for source, encoding in ((text.encode(), None), (text.encode("utf-16"), "utf-16")):
            with pytest.raises(FileRefused, match=f"on line {line} is never closed") as refused:
                look(source, encoding=encoding, delimiter=",", read_bytes=size, chunk_bytes=size)
            assert refused.value.rule == "file.unclosed_quote"


@pytest.mark.parametrize("bad", [b"\xff", b"\xe9", b"\xf0\x9f\x98", b"\xed\xa0\x80"])
def test_a_byte_that_is_no_utf8_is_found_wherever_the_file_is_cut(bad):
    before = codecs.BOM_UTF8 + 'a,b\n"é\r\n",1\r'.encode()
    source = before + b"2," + bad + b'\n"x",3\n'
    for size in range(4, len(source) + 1):
        with pytest.raises(FileRefused) as refused:
            look(source, delimiter=",", read_bytes=size, chunk_bytes=size)
        assert refused.value.rule == "file.encoding"
        assert f"at byte offset {len(before) + 2}, on line 4." in refused.value.message


LONG = 'a,b\n1,2\n"3\n4",' + 'x"\n'.rjust(36, "y") + '5,6\n"7\n",8\n'


def test_a_record_over_the_limit_refuses_the_file_naming_its_line_wherever_the_file_is_cut(monkeypatch):
    """A missing quote may join half a file to one cell, which no task could hold in memory."""
    longest = max(len(row.raw) for row in read(LONG.encode(), delimiter=",").rows)
    for size in range(4, longest):
        options = {"delimiter": ",", "read_bytes": size, "chunk_bytes": size}
        monkeypatch.setattr(chunk_plan, "MAX_RECORD_BYTES", longest)
        assert len(read(LONG.encode(), **options).rows) == 4
        monkeypatch.setattr(chunk_plan, "MAX_RECORD_BYTES", longest - 1)
        with pytest.raises(FileRefused, match=r"begins on line 3 is longer than \d+ bytes") as refused:
            look(LONG.encode(), **options)
        assert refused.value.rule == "file.record_too_long"


@pytest.mark.parametrize("name", UNCLOSED)
def test_a_quote_that_is_never_closed_is_reported_as_that_however_long_its_record_is(name, monkeypatch):
    text, line = UNCLOSED[name]
    monkeypatch.setattr(chunk_plan, "MAX_RECORD_BYTES", 2)
    for size in range(4, len(text) + 1):
        with pytest.raises(FileRefused, match=f"on line {line} is never closed"):
            look(text.encode(), delimiter=",", read_bytes=size)
