"""One small import as a table: what was there, the file, and every table afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.customers.scenes import Scene, parse

Changes = Mapping[int, Mapping[str, tuple[str | None, str | None]]]


@dataclass(frozen=True)
class Case:
    """One import.

    Args:
        name: the requirement and what it is about, as a sentence.
        file: of the header and some rows; line 2 is the first row.
        lines: line → what becomes of it; the rules where it is rejected.
        before: customers that are there already.
        after: customers afterwards; None when they are as before.
        changes: line → field → (before, after), as the ledger has it.
        actions: as `Loaded.actions`.
        members: segment → members afterwards.
        subscriptions: those that this import wrote, as `Loaded.written_subscriptions`.
        created_at: of customers for whom it isn't the job's time.
    """

    name: str
    file: str
    lines: Mapping[int, str]
    before: str = ""
    after: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    members: Mapping[str, str] = field(default_factory=dict)
    subscriptions: tuple[str, ...] = ()
    created_at: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, set[int]] = field(default_factory=dict)


def cases(*all_cases: Case) -> pytest.MarkDecorator:
    """Run a test for each case."""
    names = [case.name for case in all_cases]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("case", all_cases, ids=names)


def check(scene: Scene, case: Case) -> None:
    """Import the file; compare with the case and with the oracle. The same file again must change nothing."""
    scene.add(case.before)
    loaded = scene.load(case.file, **case.settings)
    assert loaded.lines == case.lines
    assert loaded.customers() == parse(case.before if case.after is None else case.after)
    assert loaded.changes() == case.changes
    assert loaded.actions() == list(case.actions)
    assert loaded.members() == case.members
    assert loaded.written_subscriptions() == sorted(case.subscriptions)
    created = dict.fromkeys((key for key in loaded.customers() if key.startswith("+")), "launched")
    assert loaded.created_at() == created | case.created_at
    assert loaded.outcome.warnings == case.warnings
