"""The files of the schema: revisions that never change once they have landed, objects in the order of their headers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from include.errors import ConfigurationError
from include.warehouse import migrations
from include.warehouse.migrations import SHIPPED, read_revisions
from include.warehouse.migrations.objects import read_objects
from include.warehouse.sql_scripts import shown
from tools.history import first_committed

pytestmark = pytest.mark.unit

FOLDER = Path(migrations.__file__).parent
LANDED = FOLDER / "landed.sha256"
STATEMENT = re.compile(r"CREATE OR REPLACE (FUNCTION|PROCEDURE|TRIGGER|VIEW) |COMMENT ON |CALL ")


def hashes() -> dict[str, str]:
    """Return path → SHA-256 of the SQL of every revision, of those before the baseline as well."""
    return {
        str(path.relative_to(FOLDER)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("before_baseline", "revisions")
        for path in (FOLDER / folder).rglob("*.sql")
    }


def test_a_landed_revision_is_never_edited():
    """Databases have run it: an edit would reach the fresh ones alone. Write a further revision instead."""
    recorded = {path: digest for digest, path in (line.split() for line in LANDED.read_text().splitlines())}
    new = sorted(hashes().keys() - recorded.keys())
    assert not new, f"record them: cd {FOLDER} && sha256sum {' '.join(new)} >> {LANDED.name}"
    assert hashes() == recorded


def test_a_landed_revision_is_as_the_first_commit_has_it():
    """`landed.sha256` can be edited together with a revision; a commit can't."""
    committed = {path: content for path in hashes() if (content := first_committed(FOLDER / path)) is not None}
    if not committed:
        pytest.skip("The checkout has no history.")
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in committed.items()}
    assert {path: hashes()[path] for path in digests} == digests


def test_the_revisions_run_from_the_baseline_without_a_gap():
    revisions = read_revisions()
    assert [revision.number for revision in revisions] == list(range(1, len(revisions) + 1))
    assert (revisions[0].name, len(revisions[0].files)) == ("baseline", 7)
    assert all(path.suffix == ".sql" for revision in revisions for path in revision.files)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("0002_a.sql",), "0002_a.sql in .* should be 0001_<name>.sql"),
        (("0001_a.sql", "0003_b.sql"), "0003_b.sql in .* should be 0002_<name>.sql"),
        (("0001_a.sql", "0001_b.sql"), "0001_b.sql in .* should be 0002_<name>.sql"),
        (("0001_a.sql", "notes.txt"), "notes.txt in .* should be 0002_<name>.sql"),
    ],
)
def test_a_revision_with_a_wrong_name_is_refused(tmp_path: Path, names: tuple[str, ...], wrong: str):
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(ConfigurationError, match=wrong):
        read_revisions(tmp_path)


def test_objects_come_after_those_that_their_headers_name():
    files = read_objects(SHIPPED.objects)
    assert {file.path for file in files} == set(SHIPPED.objects.iterdir())
    names = [file.name for file in files]
    assert all(names.index(earlier) < names.index(file.name) for file in files for earlier in file.after)


def test_an_object_file_holds_nothing_but_statements_that_may_run_again():
    for file in read_objects(SHIPPED.objects):
        code = re.sub(r"(?m)^--.*\n", "", file.path.read_text(encoding="utf-8"))
        code = re.sub(r"(?s)\$\$.*?\$\$|BEGIN ATOMIC.*?\nEND;", "", code)
        begins = re.findall(r"(?m)^(?:CREATE|ALTER|DROP|INSERT|UPDATE|DELETE|GRANT|REVOKE|COMMENT|CALL|DO)\b.*", code)
        assert begins, file.path.name
        assert [line for line in begins if not STATEMENT.match(line)] == [], file.path.name


def test_messages_show_files_of_the_project_with_their_folder(tmp_path: Path):
    assert shown(SHIPPED.objects / "references.sql") == "include/warehouse/objects/references.sql"
    assert shown(tmp_path / "references.sql") == "references.sql"


def test_an_object_after_one_that_is_not_there_is_refused(tmp_path: Path):
    (tmp_path / "a.sql").write_text("-- After: b\nSELECT 1;\n")
    with pytest.raises(ConfigurationError, match=r"a\.sql comes after b, of which there is no file"):
        read_objects(tmp_path)


def test_objects_in_a_circle_are_refused(tmp_path: Path):
    (tmp_path / "a.sql").write_text("-- After: b\nSELECT 1;\n")
    (tmp_path / "b.sql").write_text("-- After: a\nSELECT 1;\n")
    with pytest.raises(ConfigurationError, match=r"come after each other: (a, b, a|b, a, b)"):
        read_objects(tmp_path)
