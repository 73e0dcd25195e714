"""The bytes of the rejected-rows file. Source: X-09."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.reading.dialect import Dialect
from include.reading.origins import ESCAPED, unescape
from include.reading.rejected_rows import NOT_FOUND, Writer, file_name

pytestmark = pytest.mark.unit

PLAIN = Dialect("utf-8", b"", ",", "\n")


@dataclass(frozen=True)
class Reject:
    line: int = 7
    rules: str = "a.b row.ragged"
    reasons: str = 'It is "wrong". | Very.'


def writer(header: str = "x,y", dialect: Dialect = PLAIN, *, was_escaped=False, is_verbatim=False) -> Writer:
    cells = header.split(dialect.delimiter)
    return Writer(job_id=12, dialect=dialect, header=cells, was_escaped=was_escaped, is_verbatim=is_verbatim)


def record(file_writer: Writer, reject: Reject, raw: bytes) -> bytes:
    columns = ([reject.line], [reject.rules], [reject.reasons], [raw.decode()])
    return file_writer.records(*map(pa.array, columns))


def sent(raw: bytes, **options) -> bytes:
    """Return the sender's part of a written record."""
    own = b'12,7,"a.b row.ragged","It is ""wrong"". | Very.",'
    written = record(writer(**options), Reject(), raw)
    assert written.startswith(own)
    assert written.endswith(b"\n")
    return written[len(own) : -1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cards.csv", "cards.rejected.csv"),
        ("cards.rejected.csv", "cards.rejected.csv"),
        ("Cards.TXT", "Cards.rejected.TXT"),
        ("a.b.c.csv", "a.b.c.rejected.csv"),
        ("rejected.csv", "rejected.rejected.csv"),
        ("cards.not-found.csv", "cards.rejected.csv"),
        ("cards.rejected.not-found.rejected.csv", "cards.rejected.csv"),
    ],
)
def test_the_file_is_named_for_the_sender_s(name: str, expected: str):
    assert file_name(name) == expected
    assert file_name(name, NOT_FOUND) == "not-found".join(expected.rsplit("rejected", 1))


@pytest.mark.parametrize("letter", ["x", "ä", "😀"])
def test_a_very_long_name_is_cut_between_letters(letter: str):
    name = file_name(f"{letter * 300}.csv")
    assert 230 < len(name.encode()) <= 240
    assert re.fullmatch(rf"{letter}+\.rejected\.csv", name)


def test_our_columns_are_before_the_sender_s():
    assert writer().header(b'"x", y ') == b'_job,_line,_rules,_reasons,"x", y \n'
    assert record(writer(), Reject(), b'1,"a\nb"') == (
        b'12,7,"a.b row.ragged","It is ""wrong"". | Very.",1,"a\nb"\n'
    )  # fmt: skip


def test_the_file_is_written_as_the_sender_writes():
    dialect = Dialect("utf-16-le", codecs.BOM_UTF16_LE, ";", "\r\n")
    file_writer = writer("ж;y", dialect)
    assert file_writer.header("ж;y".encode()) == codecs.BOM_UTF16_LE + "_job;_line;_rules;_reasons;ж;y\r\n".encode(
        "utf-16-le"
    )
    written = record(file_writer, replace(Reject(), reasons="№"), "1;ы".encode())
    assert written == '12;7;"a.b row.ragged";"№";1;ы\r\n'.encode("utf-16-le")
    file_writer = writer("x", Dialect("cp1251", b"", ",", "\r"))
    assert record(file_writer, replace(Reject(), reasons="日"), "ы".encode()) == '12,7,"a.b row.ragged","?",ы\r'.encode(
        "cp1251"
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"=1,+2,-3,@4", b"'=1,'+2,'-3,'@4"),
        (b'"=1","\t2","\r3"', b'"\'=1","\'\t2","\'\r3"'),
        ("＝1,＋2,－3,＠4".encode(), "'＝1,'＋2,'－3,'＠4".encode()),
        (b"'=1,''=2", b"''=1,'''=2"),
        (b"1=,'a, =1,,''", b"1=,'a, =1,,''"),
        (b'=1,"a,=b"', b'\'=1,"a,=b"'),
        (b'=1,"x"y,z', b'\'=1,"x"y,z'),
        (b'=1,"x""=y"', b'\'=1,"x""=y"'),
        (b"=1\x00,=2", b"'=1\x00,'=2"),
        (b"=", b"'="),
    ],
)
def test_cells_that_look_like_formulas_get_one_apostrophe(raw: bytes, expected: bytes):
    assert sent(raw) == expected
    assert sent(raw, is_verbatim=True) == raw
    assert sent(expected, was_escaped=True) == expected
    assert sent(expected, was_escaped=True, is_verbatim=True) == raw


def test_a_header_that_looks_like_a_formula_gets_one_too():
    assert writer("=x,y").header(b"=x,y") == b"_job,_line,_rules,_reasons,'=x,y\n"
    assert writer("=x,y", is_verbatim=True).header(b"=x,y") == b"_job,_line,_rules,_reasons,=x,y\n"


def test_columns_of_an_earlier_rejection_are_replaced_wherever_they_are():
    header = "_line,x,_job,_reasons,y,_rules"
    assert writer(header).header(header.encode()) == b"_job,_line,_rules,_reasons,x,y\n"
    assert sent(b'3,1,4,"old, very",2,a.b', header=header) == b"1,2"
    assert sent(b"3,1,4", header=header) == b"1"
    assert sent(b"3,1,4,r,2,a.b,more,cells", header=header) == b"1,2,more,cells"


def test_a_sender_s_own_columns_of_these_names_stay():
    assert sent(b"1,2", header="_line,x") == b"1,2"
    header = "_job,_line,_rules,_reasons,_line,x"
    assert writer(header).header(header.encode()) == b"_job,_line,_rules,_reasons,_line,x\n"
    assert sent(b"4,5,r,s,mine,1", header=header) == b"mine,1"


def test_a_delimiter_that_begins_formulas_is_no_formula():
    dialect = Dialect("utf-8", b"", "-", "\n")
    written = record(writer("x-y", dialect), Reject(), b"1--2")
    assert written.endswith(b"-1--2\n")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=5))
def test_what_the_importer_takes_off_is_what_was_put_on(cells: list[str]):
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="").writerow(cells)
    raw = text.getvalue().encode()
    header = ",".join("abcde"[: len(cells)])
    written = sent(raw, header=header)
    (read,) = csv.reader(io.StringIO(written.decode(), newline=""))
    assert [unescape(cell) for cell in read] == cells
    assert sent(written, header=header, was_escaped=True) == written
    assert sent(written, header=header, was_escaped=True, is_verbatim=True) == raw


def test_python_and_arrow_read_the_pattern_alike():
    import pyarrow as pa
    import pyarrow.compute as pc

    cells = ["'=1", "''=1", "=1", "'\t", "'\r", "'\n=", "'＝", "'＠x'=1", "a'=1", "x\n'=1", "", "'"]
    assert pc.replace_substring_regex(pa.array(cells), ESCAPED, r"\1").to_pylist() == [unescape(cell) for cell in cells]
