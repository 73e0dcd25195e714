"""The documentation is in plain English: subject, verb, object, and one word for one idea."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import generated_files

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "docs/requirements.yaml", "docs/file_rules.yaml")
"""Where the words are looked for; pages that are generated repeat the words of the code and are left out."""
EXCEPTIONS: frozenset[tuple[str, str]] = frozenset()
"""(file, word) that are right where they are; the list only gets shorter."""
INSTEAD = {
    r"told|tell|tells|telling": "report, say, show",
    r"lies|lay|lain": "is stored, is in",
    r"stand|stands|stood": "is, is written",
    r"mend|mends|mended|mending": "fix, correct",
    r"anew": "again, rebuild",
    r"whoever|whosoever": "the person who, the user who",
    r"somebody|anybody|everybody": "a person, a user",
    r"foretell|foretold|foresee": "predict",
    r"lest": "so that … not",
    r"hither|thither|thereof|whence|wherein|whereof": "plain words",
    r"to be had": "available",
    r"a row a \w+|a file a \w+|a pool a \w+": "each … has",
    r"as yet|for ever": "so far, always",
    r"knows no|know no|known no": "has no",
}
WORDS = {re.compile(rf"\b(?:{words})\b", re.IGNORECASE): instead for words, instead in INSTEAD.items()}
_CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|^#.*?$(?=\n- group)", re.DOTALL | re.MULTILINE)


def hard_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and what to write instead, code left out."""
    prose = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    for number, line in enumerate(prose.splitlines(), start=1):
        for pattern, instead in WORDS.items():
            for word in pattern.findall(line):
                yield number, word, instead


def pages() -> Iterator[Path]:
    """Yield the files that people write."""
    generated = {ROOT / "docs" / path for path in generated_files()}
    for place in PLACES:
        yield from (path for path in sorted(ROOT.glob(place)) if path not in generated)


@pytest.mark.parametrize("page", list(pages()), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_page_has_no_word_that_must_be_read_twice(page: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    words = [
        f"{name}:{line}: {word!r}: write {instead}"
        for line, word, instead in hard_words(page.read_text(encoding="utf-8"))
        if (name, word.lower()) not in EXCEPTIONS
    ]
    assert words == []


def test_the_words_are_seen_in_prose_and_not_in_code() -> None:
    text = "The job tells why.\n\nIt runs `tell`.\n\n```text\ntold\n```\n\n[mended](told.md)\n"
    assert [(line, word) for line, word, _ in hard_words(text)] == [(1, "tells"), (9, "mended")]


def test_every_exception_is_needed() -> None:
    for name, word in EXCEPTIONS:
        seen = {found.lower() for _, found, _ in hard_words((ROOT / name).read_text(encoding="utf-8"))}
        assert word in seen, f"{word!r} is no longer in {name}"
