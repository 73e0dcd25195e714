"""Documentation and code are in plain English: subject, verb, object, and one word for one idea."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import generated_files

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md", "docs/requirements.yaml", "docs/file_rules.yaml")
"""Where the words are looked for; pages that are generated repeat the words of the code and are left out."""
EXCEPTIONS = frozenset(
    {
        ("include/promo_codes/commands.py", "lay"),
        ("docs/generate.py", "stand"),
        ("include/reading/stray_rows.py", "stand"),  # a label in German
    }
)
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
        seen = {word.lower() for _, word, _ in hard_words((ROOT / name).read_text(encoding="utf-8"))}
        assert word in seen, f"{word!r} is no longer in {name}"


CODE = ("include", "plugins", "dags", "tools", "benchmarks", "docs")
TESTS = "tests"
EMPTY_NAMES = frozenset(["told", "found", "given", "known", "each", "made", "tell", "tells", "lies", "mend"])
"""Words that name nothing: a variable says what it is (``match``, ``column``, ``settings``), not that it was found."""


def empty_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every variable, parameter, attribute, function and class that names nothing.

    `tell` is what Python's own streams call a position; what is imported has the name that its library chose.
    """
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in imports for alias in node.names}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in imported:
                continue
            case ast.Attribute(attr="tell"):
                continue
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                pass
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case _:
                continue
        if name.strip("_").lower() in EMPTY_NAMES:
            yield node.lineno, name


def prose_of(source: str) -> str:
    """Return the comments and texts of a module, line by line where they are."""
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for number, line in enumerate(token.string.split("\n"), start=token.start[0]):
                lines[number - 1] += f" {line}"
    return "\n".join(lines)


def own_prose_of(source: str) -> str:
    """Return the comments, docstrings and names of functions and classes of a module, line by line where they are."""
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] += f" {token.string}"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines[node.lineno - 1] += f" {node.name.replace('_', ' ')}"
        elif not isinstance(node, ast.Module):
            continue
        if (docstring := ast.get_docstring(node, clean=False)) is not None:
            for number, line in enumerate(docstring.split("\n"), start=node.body[0].lineno):
                lines[number - 1] += f" {line}"
    return "\n".join(lines)


@pytest.mark.parametrize("folder", CODE)
def test_comments_and_messages_have_no_word_that_must_be_read_twice(folder: str) -> None:
    words = [
        f"{module.relative_to(ROOT).as_posix()}:{line}: {word!r}: write {instead}"
        for module in sorted((ROOT / folder).rglob("*.py"))
        for line, word, instead in hard_words(prose_of(module.read_text(encoding="utf-8")))
        if (module.relative_to(ROOT).as_posix(), word.lower()) not in EXCEPTIONS
    ]
    assert words == []


def test_the_words_of_comments_and_messages_are_seen() -> None:
    source = "# it tells\nwords = '''a\nmended'''\nstream.tell()\n"
    assert [(line, word) for line, word, _ in hard_words(prose_of(source))] == [(1, "tells"), (3, "mended")]


@pytest.mark.parametrize("folder", [*CODE, TESTS])
def test_a_name_says_what_it_is(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules, "the folder has code"
    names = [
        f"{module.relative_to(ROOT).as_posix()}:{line}: {name!r}"
        for module in modules
        for line, name in empty_names(module.read_text(encoding="utf-8"))
    ]
    assert names == []


def test_an_empty_name_is_seen_wherever_it_is_bound_or_read() -> None:
    source = "def tell(found, *, row):\n    self._known = [each for each in row]\n    return row.not_found\n"
    assert sorted(empty_names(source)) == [(1, "found"), (1, "tell"), (2, "_known"), (2, "each"), (2, "each")]
    assert list(empty_names("from hypothesis import given\n@given(1)\ndef test_one(known): ...\n")) == [(3, "known")]


def test_tests_are_in_plain_words_too() -> None:
    """Their comments, docstrings and names; their other texts are data, old words among them."""
    words = [
        f"{module.relative_to(ROOT).as_posix()}:{line}: {word!r}: write {instead}"
        for module in sorted((ROOT / TESTS).rglob("*.py"))
        for line, word, instead in hard_words(own_prose_of(module.read_text(encoding="utf-8")))
    ]
    assert words == []


def test_words_in_names_and_docstrings_of_tests_are_seen_and_data_is_not() -> None:
    source = 'def test_it_is_told():\n    """It lies."""\n    assert "mended"  # tells\n'
    words = [(line, word) for line, word, _ in hard_words(own_prose_of(source))]
    assert words == [(1, "told"), (2, "lies"), (3, "tells")]


LANDED = ROOT / "include" / "warehouse" / "migrations"
"""Its SQL has run in databases and is not edited again."""


def sql_files() -> Iterator[Path]:
    """Yield the SQL files that people edit."""
    yield from (path for path in sorted((ROOT / "include").rglob("*.sql")) if LANDED not in path.parents)


def empty_sql_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every table, column, alias and variable that names nothing, comments and texts left out.

    `FOUND` is what PL/pgSQL itself calls a statement's success.
    """
    code = re.sub(r"--[^\n]*|'(?:[^']|'')*'", lambda part: re.sub(r"[^\n]", " ", part[0]), text)
    for number, line in enumerate(code.splitlines(), start=1):
        for name in re.findall(r"\b[a-z_]+\b", line):
            if name.strip("_") in EMPTY_NAMES:
                yield number, name


@pytest.mark.parametrize("path", list(sql_files()), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_sql_has_plain_words_and_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    comments = re.sub(r"(?m)^((?:(?!--).)*)", lambda code: " " * len(code[0]), text)
    words = [f"{path.name}:{line}: {word!r}: write {instead}" for line, word, instead in hard_words(comments)]
    words += [f"{path.name}:{line}: {name!r}" for line, name in empty_sql_names(text)]
    assert words == []


def test_empty_names_and_words_of_sql_are_seen() -> None:
    text = "-- known\nSELECT 'told', known.id FROM card AS known\nWHERE FOUND AND told IS NULL;  -- it tells\n"
    assert [name for _, name in empty_sql_names(text)] == ["known", "known", "told"]
    comments = re.sub(r"(?m)^((?:(?!--).)*)", lambda code: " " * len(code[0]), text)
    assert [(line, word) for line, word, _ in hard_words(comments)] == [(3, "tells")]
