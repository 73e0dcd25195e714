"""Which files cite which requirement.

Numbers look like X-14 or PC-04a; tests also cite them in their names (`test_x14_…`). A few requirements have names
instead: the lists of fields ("section 3", "spec section 8") and "value formats".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import yaml

_NUMBER = re.compile(r"\b(?:X|GP|GC|PP|PC|PG|TU|CU|N|B|D)-\d{2}[a-z]?\b")
_IN_NAME = re.compile(r"\bdef test_((?:x|gp|gc|pp|pc|pg|tu|cu)\d{2}[a-z]?)_")
# "UTS #39, section 4" is a section of Unicode's own standard.
_SECTIONS = re.compile(r"(?<!UTS #39, )\bsections? (\d)\b(?:(?:, | and )(\d)\b)?")
_NAMED = re.compile(r"\bvalue formats\b")
_SUFFIXES = (".py", ".sql", ".json", ".yaml", ".md", ".html", ".toml")
_FOLDERS = (
    ".ci",
    ".github",
    "benchmarks",
    "config",
    "dags",
    "deploy",
    "docs",
    "expectations",
    "include",
    "plugins",
    "tests",
    "tools",
)
_NO_CITATIONS = ("docs/requirements.yaml", "docs/citations.py", "docs/reference/", "tests/unit/test_docs.py")


def load(docs: Path) -> list[dict[str, Any]]:
    """Return the groups of requirements, as `requirements.yaml` has them."""
    groups: list[dict[str, Any]] = yaml.safe_load((docs / "requirements.yaml").read_text(encoding="utf-8"))
    return groups


def cited_in(text: str) -> set[str]:
    """Return the requirements that a text cites."""
    numbers = set(_NUMBER.findall(text))
    for name in _IN_NAME.findall(text):
        digits = name.lstrip(ascii_lowercase)
        numbers.add(f"{name.removesuffix(digits).upper()}-{digits}")
    for sections in _SECTIONS.findall(text):
        numbers |= {f"section {number}" for number in sections if number}
    return numbers | set(_NAMED.findall(text))


def by_requirement(root: Path) -> dict[str, set[str]]:
    """Return the files that cite each requirement: number → paths below the project's folder."""
    cited: dict[str, set[str]] = {}
    for path in project_files(root):
        if path.endswith(_SUFFIXES) and not path.startswith(_NO_CITATIONS):
            for number in cited_in((root / path).read_text(encoding="utf-8")):
                cited.setdefault(number, set()).add(path)
    return cited


def is_test(path: str) -> bool:
    """Say whether a file has tests; what only helps them proves nothing."""
    return re.fullmatch(r"tests/(?:.*/)?test_\w+\.py", path) is not None


def project_files(root: Path) -> Iterator[str]:
    """Yield the project's own text files: those at the top, and those in its folders."""
    for path in sorted(root.iterdir()):
        if path.is_file():
            yield path.name
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix()
