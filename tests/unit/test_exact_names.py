"""No call that takes a name for a pattern or an address, or opens what is no regular file. Source: X-12, X-21.

Ruff bans the imports (`pyproject.toml`); methods have none, so that they are looked for here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXACT = "include/storage/locations.py"
NAMES = {"glob", "iglob", "rglob", "fs", "expand_path", "rmtree", "copytree", "iterdir", "walk", "unlink", "rmdir"}
"""Of path objects' and file systems' methods; `fs` is where universal_pathlib keeps its file system."""
OF_OS = {"stat", "open", "remove", "unlink", "rename", "replace", "listdir", "scandir", "walk", "rmdir", "link"}
PERMITTED = {
    # The project's own files, or an exact question about a name that the module was handed as a listing's.
    ("include/arrivals/listing.py", "os.stat"): "the defaults of the settings",
    ("include/arrivals/listing.py", "os.scandir"): "the listing itself",
    ("include/declaration/import_type.py", "iterdir"): "the load statements of a type, in its own folder",
    ("include/import_types/__init__.py", "iterdir"): "the folders of the types",
    ("include/cli/main.py", "os.open"): "the null device",
    ("include/deployment/private_files.py", "os.open"): "a file of the deployment, made for its owner alone",
}


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each such use."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            of_os = isinstance(node.value, ast.Name) and node.value.id == "os"
            if of_os and node.attr in OF_OS:
                yield node.lineno, f"os.{node.attr}"
            elif not of_os and node.attr in NAMES and not _is_of_a_module_of_ours(node):
                yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield node.lineno, "open"


def _is_of_a_module_of_ours(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("ast", "storage")


def files() -> list[Path]:
    modules = [*(ROOT / "include").rglob("*.py"), *(ROOT / "plugins").rglob("*.py"), *(ROOT / "dags").rglob("*.py")]
    apart = (ROOT / "include" / "stack", ROOT / "include" / "warehouse")
    return [path for path in modules if not path.is_relative_to(apart[0]) and not path.is_relative_to(apart[1])]


def test_files_are_reached_through_one_module():
    line_by_place = {
        (str(path.relative_to(ROOT)), name): line
        for path in files()
        if str(path.relative_to(ROOT)) != EXACT
        for line, name in uses(path.read_text(encoding="utf-8"))
    }
    assert set(line_by_place) <= set(PERMITTED), {
        place: line for place, line in line_by_place.items() if place not in PERMITTED
    }
    assert set(PERMITTED) <= set(line_by_place), "what is permitted is used; else it goes from the list"
    assert len(files()) > 100


@pytest.mark.parametrize(
    "line", ["path.fs.copy(a, b)", "path.glob('*')", "path.unlink()", "os.walk(x)", "open(x)", "os.remove(x)"]
)
def test_the_search_sees_such_uses(line: str):
    assert list(uses(line))


pytestmark = pytest.mark.unit
