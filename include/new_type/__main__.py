"""Write a new import type, which works as it is: `make new-type NAME=stores`.

`FIELDS="name! city opened_on:date"` names the fields beside the key. Without it there is one, `name`. Called again
after the declaration was edited, it brings suite, sample and revision in line with it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from include.declaration.import_type import ImportType
from include.errors import ConfigurationError
from include.new_type import files
from include.new_type.files import NewType
from include.warehouse.migrations import newest_revision

ROOT = Path(__file__).resolve().parents[2]
_VERSIONS = ROOT / "include" / "warehouse" / "migrations" / "versions"
_NEXT = """
Edit the declaration, include/import_types/{name}/__init__.py, and call this again: suite, sample and revision follow
from it. Then: python -m include.cli migrate, and drop a file into landing/{name}/."""
_RIGHTS = ROOT / "include" / "warehouse" / "rights.py"


def main(arguments: list[str] | None = None) -> int:
    """Write the files of a type and name them; say what is left to do."""
    parser = argparse.ArgumentParser(prog="python -m include.new_type", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="in the plural, as in folders and DAG ids: stores")
    parser.add_argument(
        "fields", metavar="FIELDS", nargs="?", default="name!", help="names, with :kind and ! (required)"
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
    subprocess.run([sys.executable, "-m", "include.documentation"], cwd=ROOT, check=True)
    print(_NEXT.format(name=parsed.name))
    return 0


def _write(new: NewType, fields: str) -> Iterator[Path]:
    folder = ROOT / "include" / "import_types" / new.name
    if not (folder / "__init__.py").exists():
        folder.mkdir(exist_ok=True)
        yield _write_file(folder / "__init__.py", files.declaration(new, files.parse_fields(fields)))
    import_type = _declared(new)
    if import_type.load is None:
        raise ConfigurationError(f"{new.name} has load statements of its own: nothing follows from its declaration.")
    yield _write_file(folder / "sample.csv", files.sample(import_type))
    suite = ROOT / "expectations" / f"{new.name}.json"
    yield _write_file(suite, files.suite(import_type, suite.read_text(encoding="utf-8") if suite.exists() else None))
    dag = ROOT / "dags" / f"import_{new.name}.py"
    if not dag.exists():
        yield _write_file(dag, files.dag_file(new))
    yield _write_revision(import_type)
    yield _write_file(_RIGHTS, files.with_rights(_RIGHTS.read_text(encoding="utf-8"), import_type))


def _declared(new: NewType) -> ImportType:
    declared = getattr(import_module(f"include.import_types.{new.name}"), new.constant, None)
    if not isinstance(declared, ImportType):
        raise ConfigurationError(f"include/import_types/{new.name} declares no {new.constant}.")
    return declared


def _write_revision(import_type: ImportType) -> Path:
    """Write the type's revision: a new one, or the newest once more.

    Raises:
        ConfigurationError: others have followed, so that databases have it.
    """
    newest = newest_revision()
    name = f"{import_type.name}.py"
    number = next((path.stem[1:5] for path in _VERSIONS.glob(f"v[0-9][0-9][0-9][0-9]_{name}")), None)
    if number is None:
        revision, before = f"{int(newest) + 1:04}", newest
    elif number == newest:
        revision, before = newest, f"{int(newest) - 1:04}"
    else:
        raise ConfigurationError(f"The revision {number} of {import_type.name} has followers: write another revision.")
    path = _VERSIONS / f"v{revision}_{name}"
    return _write_file(path, files.revision_file(import_type, revision, before))


def _write_file(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
