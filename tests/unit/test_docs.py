"""The documentation says what the code does: links resolve, names exist, and what exists is on a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs import citations, generate, hooks
from include.cli.context import KEYS
from include.cli.main import make_parser
from include.import_types import IMPORT_TYPES
from include.project.model import Project
from include.rule_pages import EVERY_FILE, anchor, rule_url
from include.storage import LOCATIONS
from include.warehouse.engine import URL_VARIABLES
from include.warehouse.rights import FUNCTION_RIGHTS, TABLE_RIGHTS

pytestmark = pytest.mark.unit

SETTINGS = IMPORT_TYPES.setting_names()

ROOT = generate.ROOT
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
GENERATED = {f"docs/{path.as_posix()}" for path in generate.pages()}
PROSE = {name: text for name, text in PAGES.items() if name not in GENERATED}
CONFIGURATION = PAGES["docs/operate/configuration.md"]
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
EXAMPLES = {"loyalty.store", "loyalty.gift_card_action"}
"""A table of the page on adding a type, and a setting of a session that a decision speaks of."""


def without_code(text: str) -> str:
    return _FENCE.sub("", text)


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as file hosts and the site make them."""
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings_of(text)}


def headings_of(text: str) -> list[str]:
    return [re.sub(r"[`*]", "", heading) for heading in _HEADING.findall(without_code(text))]


def links() -> Iterator[tuple[str, str]]:
    for name, text in PAGES.items():
        yield from ((name, link) for link in _LINK.findall(without_code(text)))


def spans() -> set[str]:
    return {span for text in PROSE.values() for span in _SPAN.findall(without_code(text))}


def everything() -> str:
    return "\n".join(PAGES.values())


def test_the_reference_pages_are_what_the_code_says_now() -> None:
    assert generate.stale() == [], "run `make docs`"


def test_a_page_that_is_no_longer_generated_is_stale(tmp_path: Path) -> None:
    for path, text in generate.pages().items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    assert generate.stale(tmp_path) == []
    old = tmp_path / "reference" / "rules" / "no_type.md"
    old.write_text(generate._page("Rules: no type", "Nothing.", ""), encoding="utf-8")
    (tmp_path / "reference" / "cli.md").unlink()
    assert generate.stale(tmp_path) == [Path("reference/cli.md"), Path("reference/rules/no_type.md")]


def test_every_link_leads_to_a_file_and_an_anchor_that_exist() -> None:
    broken = []
    for name, link in links():
        if re.match(r"https?://", link):
            continue
        place, _, fragment = link.partition("#")
        target = (ROOT / name).parent / place if place else ROOT / name
        if not target.exists():
            broken.append(f"{name}: {link}: no such file")
        elif fragment and fragment not in anchors_of(target.read_text(encoding="utf-8")):
            broken.append(f"{name}: {link}: no such heading")
    assert broken == []


def test_every_path_that_a_page_names_exists() -> None:
    pattern = re.compile(
        r"(?<![\w/.-])((?:include|docs|tests|plugins|dags|expectations|deploy|benchmarks|config|tools)/[\w./-]*\w/?)"
    )
    named = {path for text in PROSE.values() for path in pattern.findall(re.sub(r"https?://\S+", "", text))}
    made_up = {path for path in named if "stores" in path}
    assert len(named) > 20
    assert [path for path in sorted(named - made_up) if not (ROOT / path).exists()] == []


def test_every_package_says_what_it_is() -> None:
    assert not re.findall(r"^\| `\w+` \|  \|", PAGES["docs/explanation/packages.md"], re.MULTILINE)


def test_the_anchors_of_one_page_differ() -> None:
    for name, text in PAGES.items():
        if "/rules/" in name or name.endswith("requirements.md"):
            assert len(anchors_of(text)) == len(headings_of(text)), name


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"- ([\w/.-]+\.md)", text))
    pages = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    assert pages - listed == set()
    assert listed - pages == set()


def test_no_page_of_the_site_needs_a_script_from_elsewhere() -> None:
    """mkdocs-material would fetch Mermaid where a page has a diagram of it; the README is shown by file hosts alone."""
    assert [name for name, text in PAGES.items() if "```mermaid" in text] == ["README.md"]
    assert yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["theme"]["font"] is False


def test_the_site_shows_files_outside_the_documentation_by_name() -> None:
    class File:
        src_uri = "reference/requirements.md"

    class Page:
        file = File()

    shown = hooks.on_page_markdown("[a](../../include/importer.py), [b](rules/every-file.md), [c](../index.md)", Page())
    assert shown == "`include/importer.py`, [b](rules/every-file.md), [c](../index.md)"


def test_every_requirement_that_is_cited_is_defined_and_each_is_tested() -> None:
    defined = [entry["id"] for group in citations.load(ROOT / "docs") for entry in group["entries"]]
    assert len(defined) == len(set(defined))
    cited = citations.by_requirement(ROOT)
    undefined = {number: sorted(files)[:3] for number, files in cited.items() if number not in defined}
    assert undefined == {}, "add it to docs/requirements.yaml"
    untested = [number for number in defined if not any(map(citations.is_test, cited.get(number, ())))]
    assert untested == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('"""Mails. Source: X-08, TU-03."""', {"X-08", "TU-03"}),
        ("def test_pc04a_a_code_may_be_emoji():", {"PC-04a"}),
        ("sections 4 and 5; spec section 8; value formats", {"section 4", "section 5", "section 8", "value formats"}),
        ("the same (UTS #39, section 4)", set()),
        ("UTF-16, ISO-8859-15, a-12", set()),
    ],
)
def test_a_citation_is_a_number_a_test_name_or_a_section(text: str, numbers: set[str]) -> None:
    assert citations.cited_in(text) == numbers


def test_the_sources_of_all_rules_are_requirements() -> None:
    defined = {entry["id"] for group in citations.load(ROOT / "docs") for entry in group["entries"]}
    for import_type in IMPORT_TYPES.values():
        for rule, _, _, source in generate._rules_of(import_type):
            assert set(source.split(", ")) <= defined, rule


def test_every_field_and_rule_of_a_type_is_on_its_page() -> None:
    for import_type in IMPORT_TYPES.values():
        page = PAGES[f"docs/reference/file-formats/{import_type.name}.md"]
        for field in import_type.fields:
            assert f"| `{field.name}` | {field.label} |" in page
        headings = headings_of(PAGES[f"docs/reference/rules/{import_type.name}.md"])
        for rule, _, _, _ in generate._rules_of(import_type):
            assert rule.replace("*", "") in headings, rule


def test_every_rule_about_a_whole_file_is_explained_and_each_explained_one_is_in_the_code() -> None:
    pattern = re.compile(r"""["']((?:file|job|review|generation|upload)\.[a-z_]+)["']""")
    folder_rules = {f"file.{import_type.folder_setting}_{end}" for import_type in IMPORT_TYPES.values()
                    if import_type.folder_setting for end in ("changed", "disagrees")}  # fmt: skip
    in_code = {
        rule
        for folder in ("include", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for rule in pattern.findall(path.read_text(encoding="utf-8"))
        if not rule.endswith((".html", ".json"))
    }
    entries = yaml.safe_load((ROOT / "docs" / "file_rules.yaml").read_text(encoding="utf-8"))
    explained = {entry["id"] for group in entries for entry in group["entries"] if not entry["id"].startswith("row.")}
    assert explained == in_code | folder_rules


def test_every_rule_that_a_page_names_exists() -> None:
    ids = {rule for import_type in IMPORT_TYPES.values() for rule, _, _, _ in generate._rules_of(import_type)}
    ids |= set(headings_of(PAGES[f"docs/reference/rules/{EVERY_FILE}.md"]))
    first = {rule.partition(".")[0] for rule in ids} - {"project", "summary", "name"}
    named = {span for span in spans() if re.fullmatch(r"[a-z_]+\.[a-z_]+", span) and span.partition(".")[0] in first}
    named -= {"batch_label.too_long", "revenue_target.negative", "field.rule"}
    assert {rule for rule in named if not rule.endswith((".md", ".json", ".yaml", ".py"))} - ids == set()


def test_commands_that_pages_name_exist_and_each_is_on_the_page_of_commands() -> None:
    commands = generate._commands(make_parser())
    named = set(re.findall(r"include\.cli ([a-z][\w-]*)", everything()))
    assert named == set(commands)
    options = {
        option for command in commands.values() for action in command._actions for option in action.option_strings
    }
    shown = {span.split()[0] for span in spans() if span.startswith("--")}
    of_others = {"--strict", "--wait", "--scale"}
    assert shown - of_others <= options
    page = PAGES["docs/reference/cli.md"]
    assert [option for option in options - {"-h", "--help"} if option not in page] == []


def test_commands_are_run_with_the_environment_of_the_project() -> None:
    """The Python and the tools on a reader's path lack what the lock installs."""
    bare = re.compile(r"(?<!\.venv/bin/)\bpython3? -m \S+|(?:^|`)(?:pytest|ruff|mypy) [^\n`]*", re.MULTILINE)
    assert {name: commands for name, text in PROSE.items() if (commands := bare.findall(text))} == {}


def test_targets_of_make_exist_and_each_is_on_a_page() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\+ )make ([a-z][a-z-]*)", everything(), re.MULTILINE))
    assert named - targets == set()
    assert targets - named - {"help", "setup", "format"} == set()


def test_every_import_setting_is_on_its_page_and_every_one_in_an_example_exists() -> None:
    page = PAGES["docs/reference/import-settings.md"]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(SETTINGS)
    examples = [block for text in PROSE.values() for block in re.findall(r"```yaml\n# landing/.*?```", text, re.DOTALL)]
    assert len(examples) >= 4
    for block in examples:
        assert set(yaml.safe_load(block.removeprefix("```yaml").removesuffix("```"))) <= set(SETTINGS), block
    set_on_command_line = {name for text in PAGES.values() for name in re.findall(r"--set ([a-z_]+)=", text)}
    assert set_on_command_line <= set(SETTINGS)
    shown_settings = {span.partition(":")[0] for span in spans() if re.fullmatch(r"[a-z_]+: [\w\[\], .…]+", span)}
    assert shown_settings - set(SETTINGS) == set()


def test_every_project_setting_is_on_its_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGES["docs/reference/project-settings.md"], re.MULTILINE)
    assert rows[: len(Project.model_fields)] == list(Project.model_fields)
    assert all(field.description for field in Project.model_fields.values())


def test_every_dag_is_on_the_page_of_dags_and_every_named_one_exists() -> None:
    dags = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert set(headings_of(PAGES["docs/reference/dags.md"])[1:]) >= dags
    named = {name for text in PROSE.values() for name in re.findall(r"DAG `(\w+)`", text)}
    assert named <= dags


def names_in(table_heading: str) -> set[str]:
    """Return the names in the first column of the table below a heading of the page on configuration."""
    section = CONFIGURATION.split(f"## {table_heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in _SPAN.findall(cell)}


def test_the_variables_and_connections_on_the_page_are_those_of_code_and_compose() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    plugins = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "plugins").rglob("*.py")))
    variables = {name.lower() for name in re.findall(r"AIRFLOW_VAR_([A-Z_]+)", compose)}
    variables |= set(re.findall(r'^\w+_VARIABLE = "(\w+)"', plugins, re.MULTILINE))
    assert {name for name in names_in("Variables") if not name.startswith("AIRFLOW__")} == variables
    for_init = {"warehouse_owner", "warehouse_shop", "database_admin"}
    connections = {name.lower() for name in re.findall(r"AIRFLOW_CONN_([A-Z_]+)", compose)}
    assert names_in("Connections") == connections - for_init
    assert [name for name in for_init if f"`{name}`" not in CONFIGURATION] == []
    for name in names_in("Connections"):
        assert f'"{name}"' in plugins, name
    for option in names_in("Variables") - variables:
        section, key = option.removeprefix("AIRFLOW__").lower().split("__")
        assert f'conf.get("{section}", "{key}"' in plugins, option


def test_the_environment_variables_on_the_page_are_those_that_are_read() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    of_stack = set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    read = {
        name
        for path in (ROOT / "include").rglob("*.py")
        for name in re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', path.read_text(encoding="utf-8"))
        if not name.startswith("AIRFLOW__") and name != "AIRFLOW_CONN_LANDING_STORAGE"
    } - {"AIRFLOW_HOME"}
    assert names_in("Environment variables of the local stack and Docker Compose") == of_stack | read
    of_commands = {
        *URL_VARIABLES.values(),
        *(key.upper() for key in KEYS),
        *(f"{name.upper()}_URL" for name in LOCATIONS),
    }
    assert names_in("Environment variables of the command line") == of_commands


def test_every_metric_that_a_page_names_is_sent() -> None:
    listed = set(re.findall(r"^\| `(importer\.[^`]+)` \|", PAGES["docs/reference/metrics.md"], re.MULTILINE))
    assert len(listed) > 10
    assert {span for span in spans() if span.startswith("importer.")} <= listed


def test_every_table_view_and_function_that_a_page_names_exists_and_each_is_on_the_page_of_the_database() -> None:
    named = {name for span in spans() for name in re.findall(r"\b((?:loyalty|ledger)\.\w+)", span)}
    columns = {"loyalty.promo_code_format"}
    assert named - set(TABLE_RIGHTS) - set(FUNCTION_RIGHTS) - columns - EXAMPLES == set()
    page = PAGES["docs/reference/database.md"]
    assert [name for name in TABLE_RIGHTS if f"| `{name}` |" not in page] == []
    assert [name for name in FUNCTION_RIGHTS if f"| `{name}()` |" not in page] == []


@pytest.mark.parametrize(
    ("import_type", "rule", "address"),
    [
        ("gift_cards", "card_number.too_long", "gift_cards/#card_numbertoo_long"),
        ("gift_cards", "card_number.card_exists", "gift_cards/#card_numbercard_exists"),
        ("gift_cards", "row.ragged", "every-file/#rowragged"),
        ("unknown", "file.unknown_type", "every-file/#fileunknown_type"),
        ("promo_codes", "file.pool_disagrees", "every-file/#filepool_disagrees"),
        ("customers", "row.not_found", "customers/#rownot_found"),
        ("customers", "row.no_identifier", "customers/#rowno_identifier"),
        ("customers", "external_identity_website.too_long", "customers/#external_identity_too_long"),
        (
            "customers",
            "external_identity_website.belongs_to_another",
            "customers/#external_identity_belongs_to_another",
        ),
    ],
)
def test_x08_a_rule_has_an_address_whose_heading_exists(import_type: str, rule: str, address: str) -> None:
    assert rule_url("https://docs.example.com/importer/", import_type, rule) == (
        f"https://docs.example.com/importer/reference/rules/{address}"
    )
    page, _, fragment = address.partition("/#")
    assert fragment in anchors_of(PAGES[f"docs/reference/rules/{page}.md"])


def test_no_site_or_no_such_rule_is_no_address() -> None:
    assert rule_url("", "gift_cards", "card_number.too_long") is None
    assert rule_url("https://docs.example.com", "gift_cards", "no.such") is None
    assert rule_url("https://docs.example.com", "unknown", "no.such") is None


def test_every_rule_of_every_type_has_an_address() -> None:
    for import_type in IMPORT_TYPES.values():
        page = anchors_of(PAGES[f"docs/reference/rules/{import_type.name}.md"])
        for rule, _, _, _ in generate._rules_of(import_type):
            assert anchor(rule) in page, rule
            assert rule_url("https://docs.example.com", import_type.name, rule), rule
