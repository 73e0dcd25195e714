"""The README says what the code does: its tables are made from the declarations, the suites and the DAGs."""

import re

import pytest

from include import documentation
from include.import_types import IMPORT_TYPES

pytestmark = pytest.mark.unit


def test_the_readmes_tables_are_what_the_declarations_suites_and_dags_say_now() -> None:
    text = documentation.README.read_text(encoding="utf-8")
    assert documentation.with_tables(text) == text, "run `make docs`"


def test_every_field_rule_setting_and_dag_stands_in_the_tables() -> None:
    tables = documentation.tables()
    for import_type in IMPORT_TYPES.values():
        for field in import_type.fields:
            assert f"| `{field.name}` | {field.label} |" in tables["file formats"]
        for rule in import_type.load_rules:
            assert f"| `{rule.id}` |" in tables["rules"]
    assert "| `balance.equals_pool_value` | rejects |" in tables["rules"]
    assert "| `status.sold_card_incomplete` | warns; rejects with `strict_sold_cards` |" in tables["rules"]
    assert re.findall(r"^\| `(\w+)` \|", tables["settings"], re.MULTILINE) == IMPORT_TYPES.setting_names()
    dags = {path.stem for path in (documentation.ROOT / "dags").glob("*.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", tables["dags"], re.MULTILINE)) == dags


def test_a_readme_without_the_marks_of_a_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="file formats"):
        documentation.with_tables("# nothing here")
