"""Wherever a file is cut into chunks, its import is that of the uncut file. Source: X-08, X-09, X-14, X-15."""

from __future__ import annotations

import io
from typing import Any

import pytest

from include.ledger.jobs import JobResult
from include.reading import chunk_plan
from include.reading.records import Chunk
from include.stages import inspection
from tests.imports import Site, counts, rejected_file, rejects

pytestmark = pytest.mark.integration

NASTY_CARDS = (
    '\ufeff"card_number",pool_system_name,balance,note\r\n'
    '1,flexible_gift,5,"a\r\n,""б""\r"\n'
    "\n"
    '2,flexible_gift,"1\n",5" pipe\r'
    "3,flexible_gift\r\n"
    '4,"flexible_gift"x,5,\n'
    " \u3000\n"
    '5,flexible_gift,5,"😀,""\n"\r\n'
    "6,flexible_gift,\0,\n"
    '"",flexible_gift,5,""\r\r'
    '1,flexible_gift,5,"a"\n'
    '7,"no such pool",-1,"\n\n\n"\n'
    ",,,\n"
    '"8 ","flexible_gift"," 7.50 ",""""\r\n'
    "9,flexible_gift,1,é"
).encode()
REJECTED = {
    8: {"row.ragged"},
    9: {"row.text_after_quote"},
    13: {"row.nul"},
    14: {"card_number.required"},
    16: {"card_number.duplicate_in_file"},
    17: {"pool_system_name.known", "balance.negative"},
    21: {"card_number.required", "pool_system_name.required", "balance.required"},
}
LOADED = [("1", 5, 2), ("2", 1, 6), ("5", 5, 11), ("8", 7.5, 22), ("9", 1, 23)]


def plans(source: bytes) -> dict[tuple[Chunk, ...], int]:
    """Return every plan that some chunk size gives, with that size: the boundary is sought at each byte in turn."""
    sizes_by_plan: dict[tuple[Chunk, ...], int] = {}
    for chunk_bytes in range(1, len(source) + 1):
        inspected = chunk_plan.inspect(
            io.BytesIO(source), encoding=None, delimiter=None, text_out=None, max_bytes=1 << 20,
            chunk_bytes=chunk_bytes,
        )  # fmt: skip
        sizes_by_plan.setdefault(inspected.chunks, chunk_bytes)
    return sizes_by_plan


def outcome_of(site: Site, result: JobResult) -> dict[str, Any]:
    """Return what a job reports about its rows, without its own number."""
    return {
        "state": result.state,
        "counts": counts(result),
        "rules": result.rules,
        "rejects": site.query(
            "SELECT line, byte_offset, byte_length, rules, reasons FROM ledger.reject WHERE job_id = :job ORDER BY 1",
            job=result.job,
        ),
        "file": rejected_file(result).replace(f"\n{result.job},".encode(), b"\n(job),"),
    }


def test_a_nasty_file_gives_the_same_rows_and_rejects_however_it_is_cut(stocked: Site, monkeypatch: pytest.MonkeyPatch):
    """A dry run for each plan that there can be, compared with that of one chunk; then one for real in most chunks."""
    monkeypatch.setattr(inspection, "MOST_CHUNKS", len(NASTY_CARDS))
    every = plans(NASTY_CARDS)
    assert max(map(len, every)) > 12
    assert min(map(len, every)) == 1
    path = stocked.folder / "nasty.csv"
    path.write_bytes(NASTY_CARDS)
    uncut = stocked.run("gift_cards", path, dry_run=True, force=True)
    assert rejects(uncut) == REJECTED
    expected = outcome_of(stocked, uncut)
    for plan, chunk_bytes in every.items():
        cut = stocked.changed(chunk_bytes=chunk_bytes, block_bytes=chunk_bytes)
        result = cut.run("gift_cards", path, dry_run=True, force=True)
        used = stocked.query(
            "SELECT number, byte_start, byte_end, first_line FROM ledger.import_chunk WHERE job_id = :job ORDER BY 1",
            job=result.job,
        )
        assert used == [(chunk.number, chunk.byte_start, chunk.byte_end, chunk.first_line) for chunk in plan]
        assert outcome_of(stocked, result) == expected
    result = stocked.changed(chunk_bytes=1).run("gift_cards", path, force=True)
    assert outcome_of(stocked, result) == expected
    assert (
        stocked.query("SELECT card_number, balance, import_line FROM loyalty.gift_card ORDER BY import_line") == LOADED
    )
