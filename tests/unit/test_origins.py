"""Which job and line a corrected row comes from. Source: X-09."""

from __future__ import annotations

import io
import time

import pytest

from include.reading.chunk_plan import inspect
from include.reading.origins import peek_origin, read_origins
from include.reading.records import read_blocks

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("header", ["_job,_line,x", '"_job";"_line";"x"', "_job|x", "_job"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_first_row_s_job_is_seen_before_the_encoding_is_known(encoding: str, header: str, line_end: str):
    text = f'{header}{line_end}41;"x";Ж{line_end}42;x{line_end}'
    assert peek_origin(text.encode(encoding)) == 41


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"_job","a\nb"\n"7","x"\n', 7),
        ("_job,x\n\n \n,new row\n8,x\n", 8),
        ("_job,x\nabc,x\n9,x\n", 9),
        ('_job,"5"" pipe"\n1,x\n', 1),
        ("_job,x\n", None),
        ("_job,x", None),
        ("_job,x\nabc\n", None),
        ("_jobs,x\n1,x\n", None),
        ("_job_title,x\n1,x\n", None),
        ("x,_job\n1,2\n", None),
        ("", None),
        ("_job,x\n1234567890123456789,x\n", None),
        ('_job,"x\n1,x\n', None),
    ],
)
def test_what_is_no_number_of_a_job_is_passed_over(text: str, expected: int | None):
    assert peek_origin(text.encode()) == expected


def test_a_file_full_of_quotes_is_looked_at_in_a_moment():
    started = time.process_time()
    for text in ("_job," + '"a""b"' * 100_000, "_job," + '"' * 500_001, "_job\n" + '"x"\n' * 200_000):
        assert peek_origin(text.encode()) is None
    assert time.process_time() - started < 5


def origins(text: str) -> tuple[list[int | None], list[int | None]]:
    data = text.encode()
    inspection = inspect(io.BytesIO(data), encoding=None, delimiter=None, text_out=None, max_bytes=1 << 20)
    jobs, lines = [], []
    for chunk in inspection.chunks:
        for block in read_blocks(io.BytesIO(data), chunk, inspection.dialect, len(inspection.header)):
            block_origins = read_origins(block, inspection.dialect, inspection.header)
            jobs += block_origins.job.to_pylist()
            lines += block_origins.line.to_pylist()
    return jobs, lines


def test_every_record_has_its_origin_malformed_ones_too():
    text = '_job,_line,x\n1,2,a\n" 3 ",4,b\n5,6\n7,8,c,d\n9,10,"e"f\n,,g\nx,-1,h\n11\n12,13,\x00\n1.0,2.5,i\n'
    assert origins(text) == (
        [1, 3, 5, 7, 9, None, None, 11, 12, 1],  # spreadsheets write 1.0
        [2, 4, 6, 8, 10, None, None, None, 13, None],
    )


def test_the_columns_are_found_wherever_they_are_and_only_together_with_job():
    assert origins("x,_line, _job \na,2,1\n") == ([1], [2])
    assert origins("_job,x\n1,a\n") == ([1], [None])
    assert origins("_line,x\n1,a\n") == ([None], [None])
