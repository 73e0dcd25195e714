"""Documentation and code are in plain English: subject, verb, object, and one word for one idea."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import words
from tools.words import EXCEPTIONS, ROOT, hard_words, own_prose_of, prose_of, refused_names, refused_sql_names

pytestmark = pytest.mark.unit


def test_no_file_has_a_word_that_must_be_read_twice_or_a_name_that_names_nothing() -> None:
    assert words.all_refusals() == []


def test_all_files_that_people_write_are_read() -> None:
    files = words.written_files()
    assert {path.partition("/")[0] for path in files if "/" in path} >= {
        ".ci", ".github", "benchmarks", "config", "dags", "deploy", "docs", "expectations", "include", "plugins",
        "tests", "tools",
    }  # fmt: skip
    assert set(files) >= {
        ".ci/run", ".env.example", "CONTRIBUTING.md", "Dockerfile", "Makefile", "README.md", "docker-compose.yaml",
        "docs/file_rules.yaml", "docs/requirements.yaml", "include/config/project.yaml", "tests/unit/test_words.py",
    }  # fmt: skip
    assert {"docs/reference/cli.md", "requirements.txt", "LICENSE"} & set(files) == set()


def test_the_files_are_the_same_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in words.written_files():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").touch()
    assert words.written_files(tmp_path) == words.written_files()
    listed = subprocess.CompletedProcess([], 0, "README.md\0LICENSE\0deleted.md\0Makefile\0")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: listed)
    assert words.written_files() == ["Makefile", "README.md"]


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("a.yaml", "key: 1  # it tells\n", ["a.yaml:1: 'tells': write report, say, show"]),
        (".ci/run", "# a file lies\n", [".ci/run:1: 'lies': write is stored, is in"]),
        ("include/a.py", 'known = "told"\n', ["include/a.py:1: 'told': write report, say, show",
                                              "include/a.py:1: 'known': say what it is"]),
        ("tests/a.py", 'known = "told"\n', ["tests/a.py:1: 'known': say what it is"]),
        ("a.sql", "SELECT 'told', found_pool  -- anew\n", ["a.sql:1: 'anew': write again, rebuild",
                                                           "a.sql:1: 'found_pool': say what it is"]),
    ],
)  # fmt: skip
def test_of_each_kind_of_file_the_right_parts_are_read(path: str, text: str, lines: list[str]) -> None:
    assert list(words.refusals(path, text)) == lines


def test_the_words_are_seen_in_prose_and_not_in_code() -> None:
    text = "The job tells why.\n\nIt runs `tell`.\n\n```text\ntold\n```\n\n[mended](told.md)\n"
    assert [(line, word) for line, word, _ in hard_words(text)] == [(1, "tells"), (9, "mended")]


def test_every_exception_is_needed() -> None:
    for name, word in EXCEPTIONS:
        text = (ROOT / name).read_text(encoding="utf-8")
        seen = {word.lower() for _, word, _ in hard_words(text)}
        seen |= {name for _, name in refused_sql_names(text)} if name.endswith(".sql") else set()
        assert word in seen, f"{word!r} is no longer in {name}"


def test_the_words_of_comments_and_messages_are_seen() -> None:
    source = "# it tells\nwords = '''a\nmended'''\nstream.tell()\n"
    assert [(line, word) for line, word, _ in hard_words(prose_of(source))] == [(1, "tells"), (3, "mended")]


def test_an_empty_name_is_seen_wherever_it_is_bound_or_read() -> None:
    source = "def tell(found, *, row):\n    self._known = [each for each in row]\n    return row.not_found\n"
    assert sorted(refused_names(source)) == [(1, "found"), (1, "tell"), (2, "_known"), (2, "each"), (2, "each")]
    assert list(refused_names("from hypothesis import given\n@given(1)\ndef test_one(known): ...\n")) == [(3, "known")]


@pytest.mark.parametrize(
    "name", ["read_anew", "_lying_there", "found_pool", "_KNOWN_STATE", "Tell", "given_to", "made_"]
)
def test_a_name_is_read_part_by_part(name: str) -> None:
    assert words.is_refused(name)


@pytest.mark.parametrize(
    "name", ["not_found", "given_by", "is_known", "jsonb_each", "foundation", "layers", "made_up_x"]
)
def test_a_name_that_says_what_it_is_is_kept(name: str) -> None:
    assert not words.is_refused(name)


def test_words_in_names_and_docstrings_of_tests_are_seen_and_data_is_not() -> None:
    source = 'def test_it_is_told():\n    """It lies."""\n    assert "mended"  # tells\n'
    seen = [(line, word) for line, word, _ in hard_words(own_prose_of(source))]
    assert seen == [(1, "told"), (2, "lies"), (3, "tells")]


def test_empty_names_and_words_of_sql_are_seen() -> None:
    text = "-- known\nSELECT 'told', known.id FROM card AS known\nWHERE FOUND AND told IS NULL;  -- it tells\n"
    assert [name for _, name in refused_sql_names(text)] == ["known", "known", "told"]
    assert [(line, word) for line, word, _ in hard_words(words.sql_comments_of(text))] == [(3, "tells")]
