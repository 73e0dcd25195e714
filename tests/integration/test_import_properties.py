"""What holds for any file. Source: X-07, X-09, X-13, X-15."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.reading.dialect import Dialect
from include.reading.records import split_record
from tests.imports import Site, counts, rejected_file, rejects

pytestmark = pytest.mark.integration

EXAMPLES = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_runs = itertools.count(1)

GOOD_POOLS = ("flexible_gift", " flexible_gift\u00a0")
POOLS = st.sampled_from([*GOOD_POOLS * 3, "nowhere", "", "=nowhere"])
AMOUNTS = st.sampled_from(["10", "10", "0.5", "7,25", "ten", "-1", "", "1.234"])
NUMBERS = st.integers(1, 12).map(str)
NOTES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
ROWS = st.lists(st.tuples(NUMBERS, POOLS, AMOUNTS, NOTES), max_size=25)
BROKEN = st.sampled_from(["", "only one cell", '9,"x"y,1,', "1,2,3,4,5,6", "\x00,flexible_gift,1,", "   ", ",,,"])
LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def as_line(cells: tuple[str, ...], prefix: str) -> str:
    number, *rest = cells
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([f"{prefix}-{number}", *rest])
    written = text.getvalue()
    return written.replace("\r", " ").replace("\n", " ") if '"' not in written else written


@pytest.fixture
def chunked(stocked: Site) -> Site:
    return stocked.changed(chunk_bytes=200, block_bytes=100)


def build(rows: list[tuple[str, ...]], broken: list[str], line_end: str) -> tuple[str, list[str]]:
    """Return the text of a file whose card numbers no other file has, and its records."""
    prefix = f"run{next(_runs)}"
    lines = [as_line(row, prefix) for row in rows]
    for place, line in enumerate(broken):
        lines.insert(place * 3, line)
    records = [line for line in lines if line.strip()]
    return line_end.join(["card_number,pool_system_name,balance,note", *lines, ""]), records


@EXAMPLES
@given(ROWS, st.lists(BROKEN, max_size=5), LINE_ENDS)
def test_counts_add_up_and_each_row_has_one_outcome(
    chunked: Site, rows: list[tuple[str, ...]], broken: list[str], line_end: str
):
    text, records = build(rows, broken, line_end)
    before = len(chunked.card_numbers())
    result = chunked.load("gift_cards", text, review_columns=False)  # many numbers may be there twice
    row_counts = counts(result)
    assert row_counts.get("read", 0) == len(records)
    assert len(rejects(result)) == row_counts.get("rejected", 0)
    assert len(chunked.card_numbers()) - before == row_counts.get("inserted", 0)
    assert row_counts.keys() <= {"read", "inserted", "rejected"}


@EXAMPLES
@given(ROWS, st.lists(BROKEN, max_size=3), LINE_ENDS)
def test_importing_twice_equals_once(chunked: Site, rows: list[tuple[str, ...]], broken: list[str], line_end: str):
    text, _ = build(rows, broken, line_end)
    first = chunked.load("gift_cards", text)
    loaded = chunked.loyalty()
    second = chunked.load("gift_cards", text)
    assert chunked.loyalty() == loaded
    if first.state == "completed":
        assert (second.state, second.duplicate_of) == ("duplicate", first.job)
    else:
        # What was inserted is unchanged now. A row that had repeated an inserted one in other words differs from it.
        assert counts(second).get("inserted") is None
        assert second.rows.unchanged == first.rows.inserted
        assert set(rejects(second)) == set(rejects(first))


@EXAMPLES
@given(ROWS, st.lists(BROKEN, max_size=5), LINE_ENDS)
def test_the_rejected_rows_file_is_byte_equal_to_the_source_s_records(
    chunked: Site, rows: list[tuple[str, ...]], broken: list[str], line_end: str
):
    text, records = build(rows, [*broken, "only one cell"], line_end)
    result = chunked.load("gift_cards", text, rejects_verbatim=True)
    given_back = rejected_file(result)
    dialect = Dialect("utf-8", b"", ",", line_end)
    end = line_end.encode()
    place = given_back.index(end) + len(end)
    sent = text.encode()
    record_count = 0
    while place < len(given_back):
        own_cells = split_record(given_back[place:], dialect)[:4]
        place += sum(len(cell) + 1 for cell in own_cells)
        line = int(own_cells[1])
        start = start_of_line(sent, line)
        length = next(len(record.encode()) for record in records if sent[start:].startswith(record.encode() + end))
        assert given_back[place : place + length + len(end)] == sent[start : start + length + len(end)]
        place += length + len(end)
        record_count += 1
    assert record_count == result.rows.rejected


def start_of_line(text: bytes, line: int) -> int:
    """Return where a physical line begins, the first being 1."""
    return sum(map(len, text.splitlines(keepends=True)[: line - 1]))


@EXAMPLES
@given(ROWS, LINE_ENDS, st.booleans())
def test_correcting_every_reject_closes_them_all(
    chunked: Site, rows: list[tuple[str, ...]], line_end: str, is_verbatim: bool
):
    unique = {row[0]: row for row in rows}
    text, _ = build(list(unique.values()), [], line_end)
    first = chunked.load("gift_cards", text, rejects_verbatim=is_verbatim)
    if first.rejected_file is None:
        return
    dialect = Dialect("utf-8", b"", ",", line_end)
    corrected = []
    for record in records_of(rejected_file(first), line_end):
        cells = split_record(record, dialect)
        corrected.append(b",".join([*cells[:5], b"flexible_gift", b"1", *cells[7:]]) if corrected else record)
    second = chunked.load("gift_cards", line_end.encode().join([*corrected, b""]))
    assert counts(second) == {"read": first.rows.rejected, "inserted": first.rows.rejected}
    fixed = "SELECT count(*) FROM ledger.reject WHERE job_id = :job AND fixed_by_job_id = :fixed"
    assert chunked.query(fixed, job=first.job, fixed=second.job) == [(first.rows.rejected,)]


def records_of(content: bytes, line_end: str) -> list[bytes]:
    """Split a file into its records; none of these has quotes within unquoted cells."""
    records, held = [], b""
    for part in content.split(line_end.encode()):
        held = held + line_end.encode() + part if held else part
        if held.count(b'"') % 2 == 0:
            records.append(held)
            held = b""
    return [record for record in records if record]


def test_blocks_and_chunks_of_any_size_give_the_same(stocked: Site):
    rows = [
        (str(number % 40), "flexible_gift" if number % 3 else "nowhere", "1", f"a\n{number}") for number in range(60)
    ]
    text, _ = build(rows, ["", "x", '9,"x"y,1,'], "\r\n")
    outcomes = []
    for chunk_bytes, block_bytes in ((1, 1), (50, 7), (333, 100), (1 << 20, 64)):
        site = replace(stocked, runtime=replace(stocked.runtime, chunk_bytes=chunk_bytes, block_bytes=block_bytes))
        result = site.load("gift_cards", text, dry_run=True)
        outcomes.append((counts(result), rejects(result), sorted(map(str, result.rules))))
    assert outcomes == [outcomes[0]] * 4
    assert outcomes[0][0]["rejected"] > 20
