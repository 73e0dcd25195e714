"""Where the documentation says what a rule means, for mails, notes and pages. Source: X-08.

`docs/generate.py` writes the pages. The anchor of a rule is what a site generator and a file host make of its id as a
heading: `card_number.too_long` is `#card_numbertoo_long`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from include.import_types import IMPORT_TYPES
from include.reading.records import ROW_RULES
from include.rules.wildcards import ANY

EVERY_FILE = "every-file"
"""The page of the rules that all import types share."""
_SHARED = ("file", "job", "review", "upload", "generation")
"""First parts of the ids of rules about whole files, reviews, uploads and generations."""
_EXPECTATIONS = Path(__file__).resolve().parents[1] / "expectations"


def rule_url(docs_url: str, import_type: str, rule: str, suites: Path = _EXPECTATIONS) -> str | None:
    """Return the address of a rule's paragraph, or None when there is no site or no such rule.

    Args:
        docs_url: `http` or `https` address of the site's first page; blank when the documentation is served nowhere.
        rule: as the ledger has it, also of a field that the project settings add.
        suites: folder of the suites, which name the rules.
    """
    if not docs_url.startswith(("http://", "https://")):
        return None
    page, entry = _entry_of(import_type, rule, suites)
    return f"{docs_url.rstrip('/')}/reference/rules/{page}/#{anchor(entry)}" if entry else None


def anchor(rule: str) -> str:
    """Return the anchor of the heading that is a rule's id."""
    return re.sub(r"[^\w-]", "", rule.lower())


def _entry_of(import_type: str, rule: str, suites: Path) -> tuple[str, str | None]:
    if rule in ROW_RULES or rule.partition(".")[0] in _SHARED:
        return EVERY_FILE, rule
    if import_type not in IMPORT_TYPES:
        return import_type, None
    suite = suites / f"{import_type}.json"
    ids = _rule_ids(import_type, suite, suite.stat().st_mtime_ns)
    return import_type, rule if rule in ids else _first_match(rule, ids)


def _first_match(rule: str, ids: Iterable[str]) -> str | None:
    return next((pattern for pattern in ids if ANY in pattern and fnmatchcase(rule, pattern)), None)


@lru_cache(maxsize=16)
def _rule_ids(import_type: str, suite: Path, _: int) -> tuple[str, ...]:
    declared = IMPORT_TYPES[import_type]
    entries = json.loads(suite.read_text(encoding="utf-8"))["expectations"]
    ids = [str(entry["meta"]["rule"]) for entry in entries] + [rule.id for rule in declared.load_rules]
    return (*ids, "row.not_found") if declared.extras.not_found.reason else tuple(ids)
