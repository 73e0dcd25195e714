"""Hold documentation, code and settings to plain English: `python -m tools.words`, which `make lint` runs.

Subject, verb, object, and one word for one idea: each file that people write is read for words that must be read twice,
and for names that name nothing.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from docs.citations import project_files
from docs.generate import generated_files

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = (
    "LICENSE",
    "*-LICENSE.txt",
    "include/values/confusables.txt",
    "*.min.js",
    "*.png",
    "*.svg",
    "*.csv",
    "requirements*.txt",
    "*.sha256",
    "include/warehouse/migrations/*.sql",  # has run in databases and is not edited again
    "tests/integration/former_schemas/*",
    "tools/words.py",  # lists the words
    ".env",
    ".git",
)
"""What others write, what is generated, data, and what is a record."""
EXCEPTIONS = frozenset(
    {
        ("include/promo_codes/commands.py", "lay"),
        ("docs/generate.py", "stand"),
        ("include/reading/stray_rows.py", "stand"),  # a label in German
        # PostgreSQL renames no parameter: the function, and the views on it, would be dropped with others' rights.
        ("include/warehouse/objects/promo_code_generations.sql", "known_state"),
    }
)
"""(file, word or name) that are right where they are; the list only gets shorter."""
INSTEAD = {
    r"told|tell|tells|telling": "report, say, show",
    r"lie|lies|lying|lay|lain": "is stored, is in",
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
EMPTY_NAME = re.compile(r"_*(?:found|given|known|each|made)(?:_(?!(?:by|up|away|back)(?:_|$)).*)?", re.IGNORECASE)
"""Names that name nothing: a variable says what it is (`match`, `column`, `settings`), not that it was found."""
_CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)", re.DOTALL)


def hard_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, word and what to write instead, code left out."""
    prose = _CODE.sub(_blank, text)
    for number, line in enumerate(prose.splitlines(), start=1):
        for pattern, instead in WORDS.items():
            for word in pattern.findall(line):
                yield number, word, instead


def is_refused(name: str) -> bool:
    """Say whether a name names nothing, or has a hard word among its parts."""
    return bool(EMPTY_NAME.fullmatch(name)) or any(pattern.search(name.replace("_", " ")) for pattern in WORDS)


def refused_names(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every variable, parameter, attribute, function and class of a module that is refused.

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
        if is_refused(name):
            yield node.lineno, name


def refused_sql_names(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every table, column, alias and variable that is refused, comments and texts left out.

    `FOUND` is what PL/pgSQL itself calls a statement's success.
    """
    code = re.sub(r"--[^\n]*|'(?:[^']|'')*'", _blank, text)
    for number, line in enumerate(code.splitlines(), start=1):
        for name in re.findall(r"\b[a-z_]+\b", line):
            if is_refused(name):
                yield number, name


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


def sql_comments_of(text: str) -> str:
    """Return the comments of a SQL file, line by line where they are."""
    return re.sub(r"(?m)^((?:(?!--).)*)", _blank, text)


def written_files(root: Path = ROOT) -> list[str]:
    """Return the files that people write, as Git lists them; without Git, those of the project's folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        paths = listed.stdout.split("\0")[:-1]
    except FileNotFoundError:
        paths = []
    paths = paths or list(project_files(root))
    generated = {f"docs/{path.as_posix()}" for path in generated_files()}
    return sorted(
        path
        for path in paths
        if path not in generated and not any(fnmatch(path, pattern) for pattern in NOT_OURS) and (root / path).is_file()
    )


def refusals(path: str, text: str) -> Iterator[str]:
    """Yield what is wrong with a file, as lines that begin with its path below the project's folder.

    Of a test its comments, docstrings and names are read; its other texts are data, old words among them.
    """
    prose = text
    names: Iterator[tuple[int, str]] = iter(())
    if path.endswith(".py"):
        prose, names = (own_prose_of if path.startswith("tests/") else prose_of)(text), refused_names(text)
    elif path.endswith(".sql"):
        prose, names = sql_comments_of(text), refused_sql_names(text)
    for line, word, instead in hard_words(prose):
        if (path, word.lower()) not in EXCEPTIONS:
            yield f"{path}:{line}: {word!r}: write {instead}"
    for line, name in names:
        if (path, name) not in EXCEPTIONS:
            yield f"{path}:{line}: {name!r}: say what it is"


def all_refusals() -> list[str]:
    """Return what is wrong with the project's files."""
    return [line for path in written_files() for line in refusals(path, (ROOT / path).read_text(encoding="utf-8"))]


def _blank(part: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", part[0])


def main() -> int:
    """Print what is wrong, one line each."""
    lines = all_refusals()
    print("\n".join(lines) if lines else "The words are plain.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
