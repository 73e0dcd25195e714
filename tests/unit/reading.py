"""Reading a file the way the importer does, every row of it checked in passing."""

import io
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from include.errors import FileRefused
from include.reading.chunk_plan import Inspection, inspect
from include.reading.dialect import Dialect
from include.reading.records import NUL, TEXT_AFTER_QUOTE, Block, read_blocks, read_cells, split_record, unquote

WHITE_SPACE = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


@dataclass
class Row:
    line: int
    cells: list[str]
    raw: bytes
    problems: set[str] = field(default_factory=set)


@dataclass
class File:
    inspection: Inspection
    text: bytes
    blocks: list[Block]
    rows: list[Row]


def look(source: bytes, *, encoding=None, delimiter=None, max_bytes=1 << 30, text_out=None, **options) -> Inspection:
    return inspect(
        io.BytesIO(source),
        encoding=encoding,
        delimiter=delimiter,
        text_out=text_out,
        max_bytes=max_bytes,
        **options,
    )


def read(source: bytes, *, block_bytes: int = 8 << 20, **options) -> File:
    """Read a whole file as the importer does; malformed rows by `split_record`, the others by Arrow."""
    copy = io.BytesIO()
    inspection = look(source, text_out=copy, **options)
    text = source if inspection.dialect.encoding == "utf-8" else copy.getvalue()
    columns = len(inspection.header)
    blocks, rows = [], []
    for chunk in inspection.chunks:
        for block in read_blocks(io.BytesIO(text), chunk, inspection.dialect, columns, block_bytes):
            blocks.append(block)
            rows += rows_of(block, inspection.dialect, columns)
            assert text[block.offset : block.offset + len(block.data)] == block.data
    return File(inspection, text, blocks, rows)


def rows_of(block: Block, dialect: Dialect, columns: int) -> list[Row]:
    rows = []
    for start, end, line, cells in zip(block.starts, block.ends, block.lines, block.cells, strict=True):
        raw = bytes(block.data[start:end])
        split = split_record(raw, dialect)
        assert len(split) == cells
        assert dialect.delimiter.encode().join(split) == raw
        rows.append(Row(int(line), [unquote(cell) for cell in split], raw))
    for rule, positions in block.problems.items():
        assert len(positions)
        for position in positions:
            rows[position].problems.add(rule)
    well_formed, read_columns = read_cells(block, dialect, columns, range(columns))
    assert well_formed.tolist() == [position for position, row in enumerate(rows) if not row.problems]
    for column, cells in enumerate(read_columns):
        assert cells.type == pa.string()
        assert cells.null_count == 0
        cells.validate(full=True)
        for position, cell in zip(well_formed, cells.to_pylist(), strict=True):
            assert cell == rows[position].cells[column]
    return rows


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


def cells(source: bytes | str, **options) -> list[tuple[int, list[str]]]:
    source = source.encode() if isinstance(source, str) else source
    return [(row.line, row.cells) for row in read(source, **options).rows if not row.problems]


def problems(source: bytes | str, **options) -> list[tuple[int, set[str]]]:
    source = source.encode() if isinstance(source, str) else source
    return [(row.line, row.problems) for row in read(source, **options).rows if row.problems]


def refusal(source: bytes, **options) -> FileRefused:
    with pytest.raises(FileRefused) as refused:
        look(source, **options)
    assert "Expected" in refused.value.message or "expected" in refused.value.message
    return refused.value
