"""`make new-type`: in a copy of the project it writes a type that works, passes lint and the tests over all types."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from include.errors import ConfigurationError
from tools.new_type import __main__ as new_type
from tools.new_type import files
from tools.new_type.files import NewType

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("include", "plugins", "dags", "expectations", "tests", "benchmarks", "config", "tools", "docs", "deploy")
FIELDS = "name! city opened_on:date is_open:boolean revenue_target:decimal"
WRITTEN = {
    "include/import_types/kiosks/__init__.py",
    "include/import_types/kiosks/sample.csv",
    "expectations/kiosks.json",
    "dags/import_kiosks.py",
    "include/warehouse/rights.py",
}
"""And the revision, whose number is the next one's."""
OVER_ALL_TYPES = (
    "tests/unit/test_import_types.py",
    "tests/unit/test_docs.py",
    "tests/unit/test_engine.py",
    "tests/unit/test_settings.py",
    "tests/unit/test_plausibility.py",
    "tests/unit/test_rule_sentences.py",
    "tests/unit/test_upload_forms.py",
    "tests/unit/test_exact_names.py",
    "tests/rules/test_shipped_suites.py",
    "tests/rules/test_standard_rules.py",
    "tests/rules/test_data_docs.py",
    "tests/dags/test_dag_files.py",
)
OF_NO_OTHER_TYPE = "not (gift_card or promo_code or customers)"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project into which the type `kiosks` was written."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*cache"))
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".git":  # of a worktree: a file that names the repository
            shutil.copy(path, copy)
    written = run(copy, "tools.new_type", "kiosks", FIELDS).splitlines()
    revisions = [path for path in written if "/migrations/" in path]
    assert WRITTEN | set(revisions) <= set(written)
    assert len(revisions) == 1
    return copy


def run(project: Path, module: str, *arguments: str) -> str:
    return execute(project, [sys.executable, "-m", module, *arguments])


def execute(project: Path, command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command, cwd=project, env=os.environ | environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def test_lint_finds_nothing(project: Path) -> None:
    run(project, "ruff", "check", ".")
    run(project, "ruff", "format", "--check", ".")
    run(project, "mypy", "include/import_types/kiosks", "dags/import_kiosks.py")
    run(project, "tools.words")
    run(project, "mkdocs", "build", "--strict", "--site-dir", str(project / ".local" / "site"))
    execute(
        project, [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"], PYTHONPATH="plugins"
    )


def test_the_tests_over_all_types_hold(project: Path) -> None:
    """Those about a type that ships alone run in the project itself."""
    run(project, "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", OF_NO_OTHER_TYPE, *OVER_ALL_TYPES)


def test_after_a_migration_its_sample_loads_and_every_field_is_stored(project: Path) -> None:
    output = run(
        project, "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "kiosks or migrations",
        "tests/integration/test_every_type.py", "tests/integration/test_warehouse_migrations.py",
        "tests/integration/test_warehouse_roles.py",
    )  # fmt: skip
    assert " passed" in output


def test_called_again_it_follows_the_declaration_and_keeps_rules_of_people(project: Path) -> None:
    declaration = project / "include" / "import_types" / "kiosks" / "__init__.py"
    suite = project / "expectations" / "kiosks.json"
    before = declaration.read_text(), suite.read_text()
    rules = json.loads(before[1])
    own = {
        "type": "expect_column_values_to_be_in_range",
        "kwargs": {"column": "revenue_target", "min_value": 0},
        "severity": "critical",
        "meta": {"rule": "revenue_target.negative", "message": "Revenue target {value} is below 0.", "source": "X-07"},
    }
    rules["expectations"].insert(0, own)
    suite.write_text(json.dumps(rules))
    declaration.write_text(before[0].replace('"opened_on"', '"first_day"'))
    try:
        written = run(project, "tools.new_type", "kiosks").splitlines()
        assert "include/import_types/kiosks/__init__.py" not in written
        entries = json.loads(suite.read_text())["expectations"]
        assert entries[0] == own, "what a person wrote stays in its place"
        columns = {entry["kwargs"]["column"] for entry in entries}
        assert "first_day" in columns
        assert "opened_on" not in columns
        revision = next(path for path in written if "/migrations/" in path)
        assert "first_day date" in (project / revision).read_text()
    finally:
        declaration.write_text(before[0])
        run(project, "tools.new_type", "kiosks")
    assert suite.read_text() != before[1]
    suite.write_text(before[1])


def test_a_revision_that_a_commit_has_stays_and_the_change_is_refused(project: Path) -> None:
    declaration = project / "include" / "import_types" / "kiosks" / "__init__.py"
    before = declaration.read_text()
    (revision,) = (project / "include" / "warehouse" / "migrations" / "revisions").glob("*_kiosks.sql")
    table = revision.read_text()
    for arguments in (["init"], ["add", str(revision)], ["-c", "user.name=A", "-c", "user.email=a@b", "commit", "-mx"]):
        subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True)
    try:
        assert revision.relative_to(project).as_posix() in run(project, "tools.new_type", "kiosks").splitlines()
        declaration.write_text(before.replace('"opened_on"', '"first_day"'))
        refused = subprocess.run(
            [sys.executable, "-m", "tools.new_type", "kiosks"], cwd=project, capture_output=True, text=True
        )
    finally:
        declaration.write_text(before)
        shutil.rmtree(project / ".git")
    assert refused.returncode == 1
    assert f"error: {revision.name} has landed" in refused.stderr
    assert refused.stdout == ""
    assert revision.read_text() == table


def test_fields_of_a_type_that_exists_are_refused_instead_of_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert new_type.main(["gift_cards", "name!"]) == 1
    assert "edit its fields there, and leave FIELDS out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Stores", "my kiosks", "kiosks-2", "2kiosks", "läden", "a__b", "", "x" * 41])
def test_names_that_can_not_be_a_folder_a_dag_and_a_module_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="write a plural of small ASCII letters"):
        files.check_name(name)


@pytest.mark.parametrize("fields", ["Name", "name:words", "state:enum"])
def test_fields_that_can_not_be_written_are_refused(fields: str) -> None:
    with pytest.raises(ConfigurationError, match=r"FIELDS: .* with a kind after a colon"):
        files.parse_fields(fields)


def test_a_field_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name comes twice"):
        files.parse_fields("name name:date")


@pytest.mark.parametrize(
    ("name", "singular"), [("stores", "store"), ("companies", "company"), ("classes", "class"), ("staff", "staff")]
)
def test_the_table_is_named_for_one_row(name: str, singular: str) -> None:
    assert NewType(name).singular == singular


def test_make_calls_it() -> None:
    assert '$(RUN) tools.new_type "$(NAME)" $(if $(FIELDS),"$(FIELDS)")' in (ROOT / "Makefile").read_text()
