"""Write the reference pages of the documentation from the code that they describe: `make docs`.

Whole pages are generated, never parts of one. A test compares the pages with the committed ones, so that they can't go
out of date. Links that lead out of `docs/` are for the file host; `docs/hooks.py` rewrites them for the site.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from docs import citations
from include.cli.main import make_parser
from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.import_types import IMPORT_TYPES
from include.project.model import ENTRIES, Project
from include.rule_pages import EVERY_FILE, anchor
from include.settings.schema import describe_settings
from include.warehouse.rights import FUNCTION_RIGHTS, SCHEMA_RIGHTS, TABLE_RIGHTS
from include.warehouse.roles import GROUPS

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
_KINDS = {
    Kind.TEXT: "text",
    Kind.IDENTIFIER: "text",
    Kind.BOOLEAN: "`true`/`false`, `t`/`f`, `yes`/`no`, `y`/`n`, `on`/`off`, `1`/`0`",
    Kind.DECIMAL: "decimal, at most 2 places",
    Kind.INTEGER: "whole number",
    Kind.DATE: "date",
    Kind.DATETIME: "date, optionally with time (UTC)",
    Kind.EMAIL: "e-mail address",
    Kind.PHONE: "phone number",
}
_COMMENT = re.compile(r"COMMENT ON (TABLE|VIEW|COLUMN|FUNCTION) ([\w.]+)(?:\([^)]*\))? IS\s+((?:'(?:[^']|'')*'\s*)+);")
_TEXT = re.compile(r"'((?:[^']|'')*)'")


def pages() -> dict[Path, str]:
    """Return each generated page: path below `docs/` → Markdown."""
    reference = Path("reference")
    generated = {reference / "rules" / f"{EVERY_FILE}.md": every_file()}
    for import_type in IMPORT_TYPES.values():
        generated[reference / "file-formats" / f"{import_type.name}.md"] = file_format(import_type)
        generated[reference / "rules" / f"{import_type.name}.md"] = rules(import_type)
    return generated | {
        reference / "index.md": index(),
        reference / "import-settings.md": import_settings(),
        reference / "project-settings.md": project_settings(),
        reference / "dags.md": dags(),
        reference / "cli.md": command_line(make_parser()),
        reference / "metrics.md": metrics(),
        reference / "database.md": database(),
        reference / "requirements.md": requirements(),
        Path("explanation") / "packages.md": packages(),
        Path("benchmarks-scale.md"): scale(),
    }


def index() -> str:
    """Return the first page of the reference: what there is."""

    def links(folder: str, *first: tuple[str, str]) -> str:
        of_types = [(import_type.label, f"{import_type.name}.md") for import_type in IMPORT_TYPES.values()]
        return "\n".join(f"- [{label}]({folder}/{page})" for label, page in (*first, *of_types))

    parts = [
        "## File formats\n",
        links("file-formats"),
        "\n## Rules\n",
        links("rules", ("Every file", f"{EVERY_FILE}.md")),
        "\nEvery rule has an anchor: its id without the points, such as `rules/gift_cards.md#card_numbertoo_long`.\n",
        "## Settings and interfaces\n",
        "[Import settings](import-settings.md), [project settings](project-settings.md), [DAGs](dags.md), "
        "[command line](cli.md), [metrics](metrics.md), [database](database.md)\n",
        "## Requirements\n",
        "[Requirements](requirements.md): what `X-14` or `section 3` means where code, rules and tests cite it.",
    ]
    intro = "These pages are generated from the code, so they cannot go out of date."
    return _page("Reference", intro, "\n".join(parts))


def file_format(import_type: ImportType) -> str:
    """Return the page of a type's columns."""
    rows = [
        (
            f"`{field.name}`",
            field.label,
            ", ".join(f"`{alias}`" for alias in field.aliases),
            "yes" if field.required else "",
            _values(field),
            field.description,
        )
        for field in import_type.fields
    ]
    rows += [
        ("from `project.yaml`", f"`{name}`", "", "", values, description)
        for name, values, description in (import_type.dynamic.headers if import_type.dynamic else ())
    ]
    return _page(
        f"File format: {import_type.label.lower()}",
        f"Columns of files in the landing folder `{import_type.name}/`. Headers are compared without letter case, "
        "spaces and punctuation; a field's name, its label and the other headers all match. How values are written: "
        "[Drop files](../../how-to/drop-files.md#what-a-file-looks-like). "
        f"What can be wrong with a row: [Rules](../rules/{import_type.name}.md).",
        _table(("field", "label", "other headers", "column required", "values", "meaning"), rows),
    )


def _values(field: Field) -> str:
    words = _KINDS.get(field.kind) or ", ".join(
        f"`{choice}`" + (" (default)" if choice == field.default else "") for choice in field.choices
    )
    return f"{words}; `%CLEAR%`" if field.clearable else words


def every_file() -> str:
    """Return the page of the rules that all types share, each under a heading of its own."""
    parts = []
    for group in yaml.safe_load((DOCS / "file_rules.yaml").read_text(encoding="utf-8")):
        parts.append(f"## {group['group']}\n")
        parts += [_rule(entry["id"], entry["effect"].capitalize(), entry["text"], "") for entry in group["entries"]]
    links = (f"[{import_type.label.lower()}]({import_type.name}.md)" for import_type in IMPORT_TYPES.values())
    intro = (
        "Rules about rows of every type, whole files, reviews, uploads and generations. The rules about a type's own "
        f"fields: {', '.join(links)}."
    )
    return _page("Rules: every file", intro, "\n".join(parts))


def rules(import_type: ImportType) -> str:
    """Return the page of a type's rules, each under a heading of its own, grouped by field."""
    labels = {field.name: field.label for field in import_type.fields}
    parts: list[str] = []
    groups: dict[str, list[str]] = {}
    for rule, effect, sentence, source in _rules_of(import_type):
        groups.setdefault(rule.partition(".")[0], []).append(_rule(rule, effect, f"> {sentence}", source))
    for field, entries in groups.items():
        title = labels.get(field) or {"row": "The row as a whole"}.get(field, f"Fields `{field}`")
        parts += [f"## {title}\n", *entries]
    intro = (
        f"Every rule that can reject a row of {import_type.label.lower()}, or warn about one, with the sentence of the "
        "rejected-rows file. A row with several faults gets all of their sentences. Words in braces stand for values. "
        f"Further rules hold for [every file]({EVERY_FILE}.md)."
    )
    return _page(f"Rules: {import_type.label.lower()}", intro, "\n".join(parts))


def _rules_of(import_type: ImportType) -> Iterator[tuple[str, str, str, str]]:
    suite = json.loads((ROOT / "expectations" / f"{import_type.name}.json").read_text(encoding="utf-8"))
    for entry in suite["expectations"]:
        meta = entry["meta"]
        yield meta["rule"], _severity(entry), meta["message"], meta["source"]
    for rule in import_type.load_rules:
        yield rule.id, "Rejects" if rule.severity == "critical" else "Warns", rule.message, rule.source
    if reason := import_type.extras.not_found.reason:
        yield "row.not_found", "Lists", reason, "CU-01"


def _severity(entry: Mapping[str, Any]) -> str:
    if entry["severity"] == "critical":
        return "Rejects"
    setting = entry["meta"].get("critical_if")
    return f"Warns; rejects with `{setting}`" if setting else "Warns"


def _rule(rule: str, effect: str, text: str, source: str) -> str:
    sources = f" ({_linked(source, '../requirements.md')})" if source else ""
    return f"### `{rule}`\n\n{effect}{sources}.\n\n{text}\n"


def import_settings() -> str:
    """Return the page of the settings of an import."""
    rows = [
        (
            f"`{setting.name}`",
            setting.values,
            f"`{setting.default}`" if setting.default else "",
            ", ".join(setting.only_for),
            setting.description,
        )
        for setting in describe_settings(IMPORT_TYPES)
    ]
    return _page(
        "Import settings",
        "Keys of `include/config/imports.yaml`, of a folder's `_settings.yaml`, of a sidecar "
        "`<file name>.settings.yaml`, of a run's form and of `--set` on the command line. Which one wins: "
        "[Configuration](../operate/configuration.md#settings-of-an-import).",
        _table(("setting", "values", "default", "only for", "meaning"), rows),
    )


def project_settings() -> str:
    """Return the page of `project.yaml`: the keys, and the keys of entries that have several."""
    parts = [_table(("key", "default", "meaning"), list(_keys(Project)))]
    for name, entry in ENTRIES.items():
        parts.append(f"## Entries of `{name}`\n\n" + _table(("key", "default", "meaning"), list(_keys(entry))))
    return _page(
        "Project settings",
        "Keys of `include/config/project.yaml`. `.venv/bin/python -m include.cli sync-project` applies the file to the "
        "warehouse; an entry that is in use cannot be removed. Mistakes are reported with key and line.",
        "\n".join(parts),
    )


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
        yield f"`{field.alias or name}`", "" if field.default in (None, (), "") else default, field.description or ""


def dags() -> str:
    """Return the page of the DAGs: a table, then each one's docstring, which is its runbook."""
    docstrings = {
        file.stem: ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        for file in sorted((ROOT / "dags").glob("*.py"))
    }
    shared = ast.parse((ROOT / "plugins" / "loyalty_airflow" / "runbook.py").read_text(encoding="utf-8"))
    runbook = next(ast.literal_eval(node.value) for node in shared.body if isinstance(node, ast.Assign))
    docstrings |= {
        f"import_{name}": f"{docstrings[f'import_{name}']}\n\nWhat becomes of a run: [every import](#every-import)."
        for name in IMPORT_TYPES
    }
    first = [(f"[`{name}`](#{name})", " ".join(text.split("\n\n")[0].split())) for name, text in docstrings.items()]
    texts = [f"## Every import\n{runbook}", *(f"## `{name}`\n\n{text}\n" for name, text in docstrings.items())]
    return _page(
        "DAGs",
        "Each text is also on the DAG's page in Airflow.",
        "\n".join([_table(("DAG", "what it does"), first), *texts]),
    )


def command_line(parser: argparse.ArgumentParser) -> str:
    """Return the page of the command line, from its parser."""
    parts = []
    for name, command in _commands(parser).items():
        arguments = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
        usage = " ".join([f"python -m include.cli {name}", *map(_usage, arguments)])
        parts.append(f"## `{name}`\n\n{command.description}\n\n```text\n{usage}\n```\n")
        rows = [(f"`{_argument(action)}`", _help(action)) for action in arguments]
        if rows:
            parts.append(_table(("argument", "meaning"), rows))
    types = ", ".join(f"`{name}`" for name in sorted(IMPORT_TYPES))
    return _page(
        "Command line",
        "`python -m include.cli` runs the same stages as the DAGs, without Airflow; outside of containers `python` is "
        f"the project's, `.venv/bin/python`. `TYPE` is one of {types}. It exits with 0 when all is done (rejected rows "
        "and duplicates included), 3 when a file or a generation was refused, 1 when something failed, 2 when the "
        "command itself is wrong. Its environment variables: "
        "[Configuration](../operate/configuration.md#environment-variables-of-the-command-line).",
        "\n".join(parts),
    )


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def _usage(action: argparse.Action) -> str:
    shown = _argument(action)
    if action.nargs in ("+", "*"):
        shown = f"{shown} …"
    return shown if action.required and action.nargs != "*" else f"[{shown}]"


def _argument(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return " ".join(filter(None, ("/".join(action.option_strings), value)))


def _help(action: argparse.Action) -> str:
    words = action.help or ("an import type" if action.dest == "type" else "")
    return words.replace("|", "\\|")


def metrics() -> str:
    """Return the page of the metrics, from the table `METRICS` of a plugin, which can't be imported without Airflow."""
    rows = [
        (f"`{name}`", kind, meaning)
        for module in sorted((ROOT / "plugins").rglob("*metrics.py"))
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "METRICS"
        for name, kind, meaning in ast.literal_eval(node.value)
    ]
    return _page(
        "Metrics",
        "Names follow Airflow's own prefix (`airflow.`). `<type>` is an import type, durations are in milliseconds. "
        "How to switch metrics on: [Metrics](../operate/metrics.md).",
        _table(("metric", "kind", "meaning"), rows),
    )


def database() -> str:
    """Return the page of the warehouse: rights, functions for callers, and the comments of tables and columns."""
    roles = list(GROUPS)
    schemas = [
        (f"schema `{name}`", *(rights.get(role, "") for role in roles)) for name, rights in SCHEMA_RIGHTS.items()
    ]
    tables = [(f"`{name}`", *(rights.get(role, "") for role in roles)) for name, rights in TABLE_RIGHTS.items()]
    functions = [
        (f"`{name}()`", *("EXECUTE" if role in callers else "" for role in roles))
        for name, callers in FUNCTION_RIGHTS.items()
    ]
    parts = ["## Rights\n", _table(("object", *roles), [*schemas, *tables, *functions])]
    parts.append("## Functions for selling systems\n\nThe role `shop` may call these and read no table.\n")
    parts += [
        f"### `{name}`\n\n```text\n{_heading_of(name)}\n```\n"
        for name, callers in FUNCTION_RIGHTS.items()
        if "shop" in callers
    ]
    parts.append("## Tables, views and columns\n\nThe comments of the database's own catalog.\n")
    for name, (text, columns) in sorted(_comments().items()):
        parts.append(f"### `{name}`\n\n{text}\n")
        if columns:
            parts.append(_table(("column", "meaning"), [(f"`{column}`", words) for column, words in columns.items()]))
    return _page(
        "Database",
        "The warehouse as other systems see it. A migration gives every role exactly these rights. Who uses which "
        "role: [Database roles](../operate/configuration.md#database-roles).",
        "\n".join(parts),
    )


def _sources() -> Iterator[str]:
    for path in sorted((ROOT / "include" / "warehouse").rglob("*")):
        if path.suffix in (".sql", ".py"):
            yield path.read_text(encoding="utf-8")


def _comments() -> dict[str, tuple[str, dict[str, str]]]:
    """Return the last comment on each table, view and function, and on their columns."""
    comments: dict[str, tuple[str, dict[str, str]]] = {}
    for text in _sources():
        for kind, name, quoted in _COMMENT.findall(text):
            words = "".join(_TEXT.findall(quoted)).replace("''", "'")
            owner, column = name.rsplit(".", 1) if kind == "COLUMN" else (name, "")
            about, columns = comments.get(owner, ("", {}))
            comments[owner] = (about, columns | {column: words}) if column else (words, columns)
    return comments


def _heading_of(function: str) -> str:
    """Return the comment right before a function's definition."""
    definition = re.compile(rf"((?:^--[^\n]*\n)+)CREATE OR REPLACE FUNCTION {re.escape(function)}\b", re.MULTILINE)
    for text in _sources():
        if match := definition.search(text):
            return "\n".join(line.removeprefix("--").removeprefix(" ") for line in match[1].splitlines())
    raise LookupError(f"{function} has no comment before its definition.")


def requirements() -> str:
    """Return the page of the requirements, each with the rules and the files that cite it."""
    cited = citations.by_requirement(ROOT)
    cited_rules: dict[str, list[str]] = {}
    for import_type in IMPORT_TYPES.values():
        for rule, _, _, source in _rules_of(import_type):
            for number in citations.cited_in(source):
                page = f"rules/{import_type.name}.md#{anchor(rule)}"
                cited_rules.setdefault(number, []).append(f"[`{rule}`]({page})")
    parts = []
    for group in citations.load(DOCS):
        parts.append(f"## {group['group']}\n")
        for entry in group["entries"]:
            number = entry["id"]
            lines = [f"### {number[0].upper()}{number[1:]}\n", f"**{entry['title']}.** {entry['text']}\n"]
            if number in cited_rules:
                lines.append(f"Rules: {_first(cited_rules[number])}.\n")
            files = cited.get(number, set())
            lines.append(f"Tests: {_first(_files(filter(citations.is_test, files)))}.\n")
            code = _files(path for path in files if path.startswith(("include/", "plugins/", "dags/")))
            lines += [f"Code: {_first(code)}.\n"] if code else []
            parts.append("\n".join(lines))
    return _page(
        "Requirements",
        "What the importer must do. Code, suites and tests cite these numbers; `docs/requirements.yaml` defines them.",
        "\n".join(parts),
    )


def _files(paths: Iterable[str]) -> list[str]:
    shown = sorted(paths, key=lambda path: (_place(path), path))
    return [f"[{path.rpartition('/')[2]}](../../{path})" for path in shown]


def _place(path: str) -> int:
    """Return where a file comes in a list: what tries the whole importer comes first."""
    folders = ("tests/faults/", "tests/end_to_end/", "tests/integration/", "tests/rules/", "tests/unit/")
    return next((number for number, folder in enumerate(folders) if path.startswith(folder)), len(folders))


def _first(links: Sequence[str], most: int = 6) -> str:
    more = f" and {len(links) - most} more" if len(links) > most else ""
    return ", ".join(links[:most]) + more


def _linked(source: str, page: str) -> str:
    return ", ".join(f"[{part}]({page}#{_slug(part)})" for part in source.split(", "))


def _slug(number: str) -> str:
    return number.lower().replace(" ", "-")


def packages() -> str:
    """Return the page of the packages of `include/`: what each is for, and which others it imports."""
    rows = []
    for place in sorted((ROOT / "include").iterdir()):
        is_package = place.is_dir() and (place / "__init__.py").exists()
        if not (is_package or (place.suffix == ".py" and place.stem != "__init__")):
            continue
        files = sorted(place.rglob("*.py")) if is_package else [place]
        about = ast.get_docstring(ast.parse((place / "__init__.py" if is_package else place).read_text("utf-8"))) or ""
        name = place.stem
        rows.append((
            f"`{name}`",
            " ".join(about.split("\n\n")[0].split()),
            str(len(files)),
            ", ".join(f"`{other}`" for other in sorted({*_imported(files)} - {name})),
        ))  # fmt: skip
    return _page(
        "Packages",
        "The parts of `include/`, and what each imports of the others. `include/` never imports Airflow; `plugins/` "
        "does, and the files in `dags/` only wire tasks together.",
        _table(("package", "what it is", "modules", "imports"), rows),
    )


def _imported(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "include":
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("include."):
                yield str(node.module).split(".")[1]


def scale() -> str:
    """Return the page of the last `make bench-scale`, whose file it repeats."""
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    title, _, rest = results.partition("\n")
    return f"{title}\n\n{_NOTE}\n{rest}"


_NOTE = "<!-- Generated by `make docs`. Change the code or the YAML file that it describes, not this page. -->\n"


def _page(title: str, intro: str, body: str) -> str:
    return f"# {title}\n\n{_NOTE}\n{intro}\n\n{body.strip()}\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def stale(folder: Path = DOCS) -> list[Path]:
    """Return the generated pages that differ from the committed ones, are missing, or are no longer generated."""
    expected = pages()
    different = [
        path
        for path, text in expected.items()
        if not (folder / path).exists() or (folder / path).read_text(encoding="utf-8") != text
    ]
    return different + sorted(set(generated_files(folder)) - set(expected))


def with_navigation(text: str) -> str:
    """Return the text of `mkdocs.yml` with the pages of every import type under *File formats* and *Rules*."""
    for title, folder, first in (("File formats", "file-formats", ()), ("Rules", "rules", (EVERY_FILE,))):
        lines = "".join(f"          - reference/{folder}/{name}.md\n" for name in (*first, *IMPORT_TYPES))
        text = re.sub(rf"(      - {title}:\n)(?:          - .*\n)+", rf"\g<1>{lines}", text)
    return text


def generated_files(folder: Path = DOCS) -> list[Path]:
    """Return the committed pages that say of themselves that they are generated."""
    return [path.relative_to(folder) for path in folder.rglob("*.md") if _NOTE in path.read_text(encoding="utf-8")]


def main() -> int:
    """Write the pages and their navigation, and delete those that are no longer generated."""
    expected = pages()
    changed = stale()
    for path in changed:
        if path in expected:
            (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / path).write_text(expected[path], encoding="utf-8")
        else:
            (DOCS / path).unlink()
    site = ROOT / "mkdocs.yml"
    site.write_text(with_navigation(site.read_text(encoding="utf-8")), encoding="utf-8")
    print("\n".join(map(str, changed)) if changed else "The reference pages are up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
