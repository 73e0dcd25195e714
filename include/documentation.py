"""The README's tables, made from the declarations, suites, settings and DAG files, so that they can't go out of date.

`python -m include.documentation` writes them between their marks; a test compares.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.import_types import IMPORT_TYPES
from include.settings.schema import describe_settings
from include.warehouse.rights import FUNCTION_RIGHTS, SCHEMA_RIGHTS, TABLE_RIGHTS
from include.warehouse.roles import GROUPS

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
_MARKS = "<!-- {name}: made by `make docs` -->\n{content}<!-- end of {name} -->"
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
_READER_RULES = (
    ("row.ragged", "The row has another number of cells than the header.", "X-15"),
    ("row.nul", "The row holds a NUL byte.", "X-15"),
    ("row.text_after_quote", "Text follows a closing quote.", "X-15"),
    ("row.repeated_header", "The row repeats the header.", "X-15"),
    (
        "row.not_data",
        "The row is a line of a database client or a spreadsheet: a ruler, a count, a total, a comment.",
        "PC-04a",
    ),
)


def tables() -> dict[str, str]:
    """Return each generated part of the README by its name, as Markdown."""
    return {
        "file formats": "\n".join(_format(each) for each in IMPORT_TYPES.values()),
        "rules": "\n".join([_reader_rules(), *(_rules(each) for each in IMPORT_TYPES.values())]),
        "settings": _settings(),
        "dags": _dags(),
        "database rights": _database_rights(),
    }


def with_tables(text: str) -> str:
    """Return a README's text with its generated parts made anew.

    Raises:
        ValueError: a part's marks are missing.
    """
    for name, content in tables().items():
        marked = re.compile(re.escape(f"<!-- {name}:") + r".*?" + re.escape(f"<!-- end of {name} -->"), re.DOTALL)
        if not marked.search(text):
            raise ValueError(f"README.md has no marks for {name!r}")
        made = _MARKS.format(name=name, content=content)
        text = made.join(marked.split(text, maxsplit=1))
    return text


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _format(import_type: ImportType) -> str:
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
    header = ("field", "label", "other headers", "column required", "values", "")
    return f"\n#### {import_type.label} (`{import_type.name}`)\n\n{_table(header, rows)}"


def _values(field: Field) -> str:
    words = _KINDS.get(field.kind) or ", ".join(
        f"`{choice}`" + (" (default)" if choice == field.default else "") for choice in field.choices
    )
    return f"{words}; `%CLEAR%`" if field.clearable else words


def _reader_rules() -> str:
    return "\n#### Every file\n\n" + _table(("rule", "a row is rejected when", "source"), [
        (f"`{rule}`", meaning, source) for rule, meaning, source in _READER_RULES
    ])  # fmt: skip


def _rules(import_type: ImportType) -> str:
    suite = json.loads((ROOT / "expectations" / f"{import_type.name}.json").read_text(encoding="utf-8"))
    rows = [
        (f"`{entry['meta']['rule']}`", _severity(entry), entry["meta"]["message"], entry["meta"]["source"])
        for entry in suite["expectations"]
    ]
    rows += [
        (f"`{rule.id}`", "rejects" if rule.severity == "critical" else "warns", rule.message, rule.source)
        for rule in import_type.load_rules
    ]
    if import_type.extras.not_found_reason:
        rows.append(("`row.not_found`", "lists", import_type.extras.not_found_reason, "CU-01"))
    header = ("rule", "", "sentence in the rejected-rows file", "source")
    return f"\n#### {import_type.label}\n\n{_table(header, rows)}"


def _severity(entry: Mapping[str, Any]) -> str:
    if entry["severity"] == "critical":
        return "rejects"
    setting = entry["meta"].get("critical_if")
    return f"warns; rejects with `{setting}`" if setting else "warns"


def _settings() -> str:
    rows = [
        (f"`{each.name}`", each.values, f"`{each.default}`" if each.default else "", ", ".join(each.only_for),
         each.description)
        for each in describe_settings(IMPORT_TYPES)
    ]  # fmt: skip
    return "\n" + _table(("setting", "values", "default", "only for", ""), rows)


def _database_rights() -> str:
    """Show who may do what in the warehouse; a test compares the declarations with the database's own grants."""
    roles = list(GROUPS)
    rows = [(f"`{name}`", *(rights.get(role, "") for role in roles)) for name, rights in TABLE_RIGHTS.items()]
    functions = [
        (f"`{name}()`", *("EXECUTE" if role in callers else "" for role in roles))
        for name, callers in FUNCTION_RIGHTS.items()
    ]
    schemas = [
        (f"schema `{name}`", *(rights.get(role, "") for role in roles)) for name, rights in SCHEMA_RIGHTS.items()
    ]
    return _table(("", *roles), [*schemas, *rows, *functions])


def _dags() -> str:
    rows = []
    for file in sorted((ROOT / "dags").glob("*.py")):
        told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        rows.append((f"`{file.stem}`", " ".join(told.split("\n\n")[0].split())))
    return "\n" + _table(("DAG", "what it does"), rows)


def main() -> int:
    """Write the README's tables; say whether anything changed."""
    before = README.read_text(encoding="utf-8")
    after = with_tables(before)
    README.write_text(after, encoding="utf-8")
    print("README.md is up to date." if before == after else "README.md was brought up to date.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
