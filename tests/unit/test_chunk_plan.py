"""The first reading of a file: chunks, header, dialect, encodings, refused files. Source: X-02, X-03, X-15, X-18."""

import codecs
import hashlib
import io
import tracemalloc

import pytest

from include.errors import FileRefused, SettingsError
from include.reading.chunk_plan import inspect
from include.reading.dialect import Dialect
from include.reading.records import read_blocks
from tests.unit.reading import cells, look, naive_records, read, refusal

pytestmark = pytest.mark.unit


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
    """The replacement of a long record leaves the scan where the record leaves it."""
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


# ------------------------------------------------------------------------------------------------ header, dialect


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
        ('"a,b,c";d\n1;2\n', ";"),  # only what is outside quotes counts
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


def test_a_utf16_file_without_declaration_is_reported_as_one():
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
