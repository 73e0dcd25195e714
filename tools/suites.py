"""`python -m tools.suites`: write the standard rules of each import type into its suite, `expectations/<type>.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from include.declaration.import_type import ImportType
from include.import_types import IMPORT_TYPES
from include.rules.standard import outdated_rules, with_standard
from include.runtime import ROOT

SUITES = ROOT / "expectations"


def write_suite(path: Path, import_type: ImportType) -> list[str]:
    """Bring the standard rules of a suite in line with the declaration; a file that isn't there is made.

    Returns:
        The ids of the rules that were added, changed or removed.
    """
    suite: dict[str, Any] = {"name": import_type.name, "expectations": []}
    if path.exists():
        suite = json.loads(path.read_text(encoding="utf-8"))
    changed = outdated_rules(suite["expectations"], import_type)
    if changed:
        suite["expectations"] = with_standard(suite["expectations"], import_type)
        path.write_text(json.dumps(suite, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return changed


def main() -> int:
    """Write the suites of all types; say which rules changed."""
    for name, import_type in IMPORT_TYPES.items():
        changed = write_suite(SUITES / f"{name}.json", import_type)
        print(f"expectations/{name}.json: {', '.join(changed) or 'up to date'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
