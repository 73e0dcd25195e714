"""Reading a file the way the importer does, every row of it checked in passing."""

import io
from dataclasses import dataclass, field

import pyarrow as pa

from include.importing.chunk_plan import Inspection, inspect
from include.importing.dialect import Dialect
from include.importing.records import Block, read_blocks, read_cells, split_record, unquote


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
