"""Write a new import type, which works as it is: `make new-type NAME=stores`.

`FIELDS="name! city opened_on:date"` names the fields beside the key. Without it there is one, `name`. Called again
after the declaration was edited, it brings suite, sample and revision in line with it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from include.declaration.import_type import ImportType
from include.errors import ConfigurationError
from include.warehouse.migrations import SHIPPED, read_revisions
from tools.history import first_committed
from tools.new_type import files
from tools.new_type.files import NewType
from tools.suites import write_suite

ROOT = Path(__file__).resolve().parents[2]
_LANDED = SHIPPED.revisions.parent / "landed.sha256"
_NEXT = """
Edit the declaration, include/import_types/{name}/__init__.py, and call this again: suite, sample and revision follow
from it. Then: python -m include.cli migrate, and drop a file into landing/{name}/."""
_RIGHTS = ROOT / "include" / "warehouse" / "rights.py"


def main(arguments: list[str] | None = None) -> int:
    """Write the files of a type and name them; say what is left to do."""
    parser = argparse.ArgumentParser(prog="python -m tools.new_type", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="in the plural, as in folders and DAG ids: stores")
    parser.add_argument(
        "fields", metavar="FIELDS", nargs="?", help="names, with :kind and ! (required); for a new type alone"
    )
    parsed = parser.parse_args(arguments)
    try:
        files.check_name(parsed.name)
        for path in _write(NewType(parsed.name), parsed.fields):
            print(path.relative_to(ROOT))
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # In a process of its own, which finds the new folder.
    subprocess.run([sys.executable, "-m", "docs.generate"], cwd=ROOT, check=True)
    print(_NEXT.format(name=parsed.name))
    return 0


def _write(new: NewType, fields: str | None) -> Iterator[Path]:
    folder = ROOT / "include" / "import_types" / new.name
    if not (folder / "__init__.py").exists():
        declaration = files.declaration(new, files.parse_fields(fields or "name!"))
        folder.mkdir(exist_ok=True)
        yield _write_file(folder / "__init__.py", declaration)
    elif fields:
        raise ConfigurationError(
            f"include/import_types/{new.name}/__init__.py exists: edit its fields there, and leave FIELDS out."
        )
    import_type = _declared(new)
    if import_type.load is None:
        raise ConfigurationError(f"{new.name} has load statements of its own: nothing follows from its declaration.")
    yield _write_revision(import_type)
    yield _write_file(folder / "sample.csv", files.sample(import_type))
    suite = ROOT / "expectations" / f"{new.name}.json"
    write_suite(suite, import_type)
    yield suite
    dag = ROOT / "dags" / f"import_{new.name}.py"
    if not dag.exists():
        yield _write_file(dag, files.dag_file(new))
    yield _write_file(_RIGHTS, files.with_rights(_RIGHTS.read_text(encoding="utf-8"), import_type))


def _declared(new: NewType) -> ImportType:
    declared = getattr(import_module(f"include.import_types.{new.name}"), new.constant, None)
    if not isinstance(declared, ImportType):
        raise ConfigurationError(f"include/import_types/{new.name} declares no {new.constant}.")
    return declared


def _write_revision(import_type: ImportType) -> Path:
    """Write the type's revision, and record it: a new one, or once more the newest one that no commit has.

    Raises:
        ConfigurationError: it would change, and has landed: others have followed or a commit has it, so that databases
            have it.
    """
    revisions = read_revisions()
    own = next((revision for revision in revisions if revision.name == import_type.name), None)
    statements = files.table_sql(import_type)
    if own is not None and (own is not revisions[-1] or first_committed(own.path) is not None):
        if own.path.read_text(encoding="utf-8") == statements:
            return own.path
        raise ConfigurationError(
            f"{own.path.name} has landed, and databases run a revision once: it stays as it is. Write the change as a "
            "further revision: docs/how-to/add-an-import-type.md, Add a field to an existing type."
        )
    number = revisions[-1].number + (own is None)
    path = _write_file(SHIPPED.revisions / f"{number:04}_{import_type.name}.sql", statements)
    entry = path.relative_to(_LANDED.parent).as_posix()
    lines = [line for line in _LANDED.read_text(encoding="utf-8").splitlines() if not line.endswith(f"  {entry}")]
    _write_file(_LANDED, "\n".join([*lines, f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {entry}", ""]))
    return path


def _write_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
