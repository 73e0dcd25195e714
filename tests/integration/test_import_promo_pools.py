"""Promo code pools from file to table: added, edited, launched. Source: PP-01 to PP-03, section 4, X-14, X-17."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from include.import_types import IMPORT_TYPES
from include.ledger.jobs import JobResult
from tests.imports import Site, counts, reasons, rejects

pytestmark = pytest.mark.integration

HEADER = (
    "system_id,name,description,campaign,parameter_name,fill_method,format,quantity,auto_generate,top_up_threshold,"
    "notify_below,lead_hours,issue_check,assigned_validity_days,processing,multi_use,code_pattern,launch"
)
FIELDS = HEADER.split(",")
NEW_POOL: Mapping[str, Any] = {
    "system_id": "p", "name": "P", "description": None, "campaign": None, "parameter_name": None, "fill_method": None,
    "format": None, "quantity": None, "auto_generate": False, "top_up_threshold": None, "notify_below": None,
    "lead_hours": None, "issue_check": False, "assigned_validity_days": None, "processing": "internal",
    "multi_use": False, "state": "draft", "code_pattern": None,
}  # fmt: skip
FULL: Mapping[str, str] = {
    "description": "For spring", "campaign": "Spring", "parameter_name": "code", "fill_method": "generate",
    "format": "summer", "quantity": "100", "auto_generate": "yes", "top_up_threshold": "20", "notify_below": "10",
    "lead_hours": "24", "issue_check": "true", "assigned_validity_days": "30", "processing": "external",
    "code_pattern": "[A-Z]+",
}  # fmt: skip
FULL_POOL: Mapping[str, Any] = {
    **NEW_POOL, **FULL, "quantity": 100, "auto_generate": True, "top_up_threshold": 20, "notify_below": 10,
    "lead_hours": 24, "issue_check": True, "assigned_validity_days": 30,
}  # fmt: skip


def row(**cells: str) -> str:
    """Return the row of the pool `p`."""
    assert cells.keys() <= set(FIELDS)
    return ",".join({**dict.fromkeys(FIELDS, ""), "system_id": "p", "name": "P", **cells}.values())


def load(site: Site, *rows: str, header: str = HEADER, **more: Any) -> JobResult:
    return site.load("promo_code_pools", "\n".join([header, *rows, ""]), **more)


def pool(site: Site, system_id: str = "p") -> dict[str, Any]:
    """Return the pool as it is, without what the importer writes of itself."""
    with site.runtime.engine.connect() as connection:
        statement = sa.text(f"SELECT {', '.join(NEW_POOL)} FROM loyalty.promo_code_pool WHERE system_id = :pool")
        return dict(connection.execute(statement, {"pool": system_id}).mappings().one())


def add_code(site: Site, origin: str = "import_job_id", system_id: str = "p") -> None:
    """Give a pool its first code, by upload or (`generation_id`) by generation."""
    site.query(
        f"INSERT INTO loyalty.promo_code (code, pool_system_id, {origin}) VALUES ('X', :pool, 1)", pool=system_id
    )


def test_section_4_a_name_is_all_that_a_new_pool_needs(site: Site):
    result = load(site, "P", header="name")
    assert (result.state, counts(result)) == ("completed", {"read": 1, "inserted": 1})
    assert pool(site) == NEW_POOL
    assert site.query("SELECT import_job_id, import_line, launched_at FROM loyalty.promo_code_pool") == [
        (result.job, 2, None)
    ]


def test_section_4_every_field_is_stored(site: Site):
    assert counts(load(site, row(**FULL))) == {"read": 1, "inserted": 1}
    assert pool(site) == FULL_POOL


def test_section_4_an_id_that_is_made_never_means_a_pool_of_another_name(site: Site):
    load(site, row(system_id="", name="Summer +10 %", description="first"))
    result = load(site, row(system_id="", name="Summer -10", description="second"))
    assert rejects(result) == {2: {"system_id.taken"}}
    assert pool(site, "summer_10")["description"] == "first"
    assert counts(load(site, row(system_id="", name="Summer +10 %", campaign="c"))) == {"read": 1, "updated": 1}
    assert counts(load(site, row(system_id="summer_10", name="Renamed"))) == {"read": 1, "updated": 1}


def test_section_4_the_id_is_made_from_the_name_when_blank(site: Site):
    result = load(site, row(system_id="", name="Spring Sale 2026!"), row(system_id="", name="Весенняя акция"))
    assert counts(result) == {"read": 2, "inserted": 2}
    stored_pools = site.query("SELECT system_id, name FROM loyalty.promo_code_pool ORDER BY 1")
    assert stored_pools == [("spring_sale_2026", "Spring Sale 2026!"), ("весенняя_акция", "Весенняя акция")]
    again = load(
        site, row(system_id="", name="Spring Sale 2026!", campaign="c"), row(system_id="", name="Весенняя акция")
    )
    assert counts(again) == {"read": 2, "updated": 1, "unchanged": 1}


def test_section_4_a_name_without_letters_makes_no_id(site: Site):
    result = load(site, row(system_id="", name="%!"), row(system_id="1.5E+15", name="%!"), row(name="%!"))
    assert rejects(result) == {2: {"system_id.cannot_be_made"}, 3: {"system_id.spreadsheet_number"}}
    assert counts(result) == {"read": 3, "inserted": 1, "rejected": 2}
    assert rejects(load(site, row(system_id="", name=""))) == {2: {"name.required"}}


def test_x17_the_first_row_of_an_id_is_used_whether_sent_or_made(site: Site):
    result = load(site, row(campaign="1"), row(campaign="2"), row(system_id="", name="p"), row(campaign="1"))
    assert rejects(result) == {line: {"system_id.duplicate_in_file"} for line in (3, 4, 5)}
    assert "line 2" in reasons(result)[4]
    assert pool(site)["campaign"] == "1"
    # A rejected row is no first one.
    result = load(site, row(system_id="q", name=""), row(system_id="q"))
    assert (rejects(result), counts(result)["inserted"]) == ({2: {"name.required"}}, 1)


def test_pp02_in_edits_a_blank_cell_keeps(site: Site):
    load(site, row(**FULL))
    before = site.loyalty()
    assert counts(load(site, row())) == {"read": 1, "unchanged": 1}
    assert counts(load(site, "p,P", header="system_id,name")) == {"read": 1, "unchanged": 1}
    assert site.loyalty() == before
    assert counts(load(site, row(campaign="Summer", quantity="7"))) == {"read": 1, "updated": 1}
    assert pool(site) == {**FULL_POOL, "campaign": "Summer", "quantity": 7}


@pytest.mark.parametrize(
    "field", ["description", "campaign", "parameter_name", "fill_method", "format", "top_up_threshold", "notify_below",
              "lead_hours", "auto_generate", "issue_check", "processing"],
)  # fmt: skip
def test_pp02_clear_erases(site: Site, field: str):
    load(site, row(**FULL))
    assert counts(load(site, row(**{field: " %CLEAR% "}))) == {"read": 1, "updated": 1}
    assert pool(site) == {**FULL_POOL, field: NEW_POOL[field]}
    assert counts(load(site, row(**{field: "%CLEAR%"}))) == {"read": 1, "unchanged": 1}


def test_pp02_clear_erases_numbers_that_nothing_needs_and_multi_use_before_the_launch(site: Site):
    load(site, row(quantity="5", assigned_validity_days="3", multi_use="1"))
    cleared = dict.fromkeys(("quantity", "assigned_validity_days", "multi_use"), "%CLEAR%")
    assert counts(load(site, row(**cleared))) == {"read": 1, "updated": 1}
    assert pool(site) == NEW_POOL


def test_pp02_a_new_pool_with_clear_has_what_a_new_pool_has(site: Site):
    cells = {name: "%CLEAR%" for name in FIELDS if name not in ("system_id", "name", "launch")}
    assert counts(load(site, row(**cells))) == {"read": 1, "inserted": 1}
    assert pool(site) == NEW_POOL


def test_pp02_what_a_pool_cannot_be_without_is_not_cleared(site: Site):
    result = load(site, row(system_id="%CLEAR%"), row(name="%CLEAR%"), row(launch="%CLEAR%"), row(name="%clear%"))
    assert rejects(result) == {
        2: {"system_id.cannot_be_cleared"},
        3: {"name.required"},
        4: {"launch.not_boolean"},
    }
    assert pool(site)["name"] == "%clear%"


def test_pp01_a_description_is_needed_to_launch_not_to_create(site: Site):
    assert counts(load(site, row())) == {"read": 1, "inserted": 1}
    result = load(
        site, row(launch="true"), row(system_id="q", launch="true"), row(system_id="r", launch="1", description="D")
    )
    assert rejects(result) == {line: {"description.required_to_launch"} for line in (2, 3)}
    assert [pool(site, name)["state"] for name in ("p", "r")] == ["draft", "active"]
    assert counts(load(site, row(launch="true", description="D"))) == {"read": 1, "updated": 1}
    assert pool(site)["state"] == "active"
    assert site.query("SELECT count(*) FROM loyalty.promo_code_pool WHERE launched_at IS NOT NULL") == [(2,)]
    result = load(site, row(description="%CLEAR%"))
    assert rejects(result) == {2: {"description.required_to_launch"}}
    assert pool(site)["description"] == "D"


def test_pp02_launch_false_never_takes_a_launch_back(site: Site):
    load(site, row(description="D", launch="true"))
    before = site.loyalty()
    assert counts(load(site, row(launch="false"))) == {"read": 1, "unchanged": 1}
    assert counts(load(site, row())) == {"read": 1, "unchanged": 1}
    assert counts(load(site, row(launch="true"))) == {"read": 1, "unchanged": 1}
    assert site.loyalty() == before
    assert counts(load(site, row(launch="no", campaign="C"))) == {"read": 1, "updated": 1}
    assert pool(site)["state"] == "active"


def test_pp02_multi_use_is_frozen_by_the_launch_and_free_before(site: Site):
    load(site, row(description="D"))
    assert counts(load(site, row(multi_use="true", launch="true"))) == {"read": 1, "updated": 1}
    for cell in ("false", "%CLEAR%"):
        result = load(site, row(multi_use=cell, campaign="C"))
        assert rejects(result) == {2: {"multi_use.frozen"}}
    assert pool(site) == {**NEW_POOL, "description": "D", "multi_use": True, "state": "active"}
    assert counts(load(site, row(multi_use="true"))) == {"read": 1, "unchanged": 1}


@pytest.mark.parametrize(("origin", "method", "other"), [
    ("import_job_id", "upload", "generate"), ("generation_id", "generate", "upload"),
])  # fmt: skip
def test_pp02_fill_method_is_set_and_frozen_by_the_first_code(site: Site, origin: str, method: str, other: str):
    load(site, row())
    for before in (other, method, "%CLEAR%"):
        assert counts(load(site, row(fill_method=before))) == {"read": 1, "updated": 1}
    add_code(site, origin)
    assert pool(site)["fill_method"] == method
    for cell in (other, "%CLEAR%"):
        result = load(site, row(fill_method=cell))
        assert rejects(result) == {2: {"fill_method.frozen"}}
        assert f"the fill method {method} can't change" in reasons(result)[2]
    assert counts(load(site, row(fill_method=method, campaign="C"))) == {"read": 1, "updated": 1}


def test_pp02_issue_check_and_multi_use_exclude_each_other(site: Site):
    load(site, row(assigned_validity_days="3"), row(system_id="m", multi_use="true"))
    both = {"issue_check": "true", "multi_use": "true", "assigned_validity_days": "3"}
    result = load(site, row(**both), row(system_id="new", **both))
    assert rejects(result) == {line: {"issue_check.with_multi_use"} for line in (2, 3)}
    # What is set in the pool counts as well as what is in the row.
    result = load(site, row(system_id="m", issue_check="true", assigned_validity_days="3"), row(issue_check="1"))
    assert (rejects(result), counts(result)["updated"]) == ({2: {"issue_check.with_multi_use"}}, 1)
    assert rejects(load(site, row(multi_use="true"))) == {2: {"issue_check.with_multi_use"}}
    assert counts(load(site, row(multi_use="true", issue_check="no"))) == {"read": 1, "updated": 1}


def test_pp02_quantity_is_needed_to_generate_automatically(site: Site):
    result = load(site, row(auto_generate="true"), row(system_id="q", auto_generate="true", quantity="5"))
    assert rejects(result) == {2: {"quantity.required"}}
    assert rejects(load(site, row(system_id="q", quantity="%CLEAR%"))) == {2: {"quantity.required"}}
    both = row(system_id="q", quantity="%CLEAR%", auto_generate="false")
    assert counts(load(site, both)) == {"read": 1, "updated": 1}


def with_limit(site: Site, most: int) -> Site:
    """Return the same place with another `max_generation` in its project settings."""
    project = site.folder / f"project_{most}.yaml"
    project.write_text(f"{site.runtime.project_file.read_text(encoding='utf-8')}\nmax_generation: {most}\n")
    return site.changed(project_file=project)


@pytest.mark.parametrize("quantity", ["999999999999999999", "10000001"])
def test_pp02_a_quantity_over_the_project_s_limit_rejects(site: Site, quantity: str):
    """A pool that generates by itself would write so many codes in one transaction at its next top-up."""
    cells = {"description": "d", "format": "summer", "auto_generate": "true", "launch": "true"}
    result = load(site, row(quantity=quantity, **cells), row(system_id="q", quantity="10000000", **cells))
    over = {"quantity.over_limit"} | ({"quantity.over_capacity"} if len(quantity) > 8 else set())
    assert rejects(result) == {2: over}
    assert f"generate {int(quantity):,} codes at a time" in reasons(result)[2]
    assert "max_generation = 10,000,000" in reasons(result)[2]
    assert counts(result) == {"read": 2, "inserted": 1, "rejected": 1}


def test_pp02_a_quantity_over_the_format_s_capacity_rejects(site: Site):
    """By the alphabet (81 codes) and by max_codes (7), with and without auto-generate."""
    site.query("INSERT INTO loyalty.promo_code_format (name, alphabet, length) VALUES ('tiny', 'ABC', 4)")
    site.query("INSERT INTO loyalty.promo_code_format (name, alphabet, length, max_codes) VALUES ('few', 'ABC', 4, 7)")
    result = load(
        site,
        row(system_id="a", format="tiny", quantity="81"),
        row(system_id="b", format="tiny", quantity="82"),
        row(system_id="c", format="few", quantity="8", auto_generate="yes"),
        row(system_id="d", quantity="82"),
        row(system_id="d", format="tiny"),
    )
    assert rejects(result) == {
        3: {"quantity.over_capacity"}, 4: {"quantity.over_capacity"}, 6: {"system_id.duplicate_in_file"},
    } or rejects(result) == {
        3: {"quantity.over_capacity"}, 4: {"quantity.over_capacity"},
        6: {"quantity.over_capacity", "system_id.duplicate_in_file"},
    }  # fmt: skip
    assert "its format few has 7 in all" in reasons(result)[4]
    edited = load(site, row(system_id="d", format="tiny"), row(system_id="a", quantity="%CLEAR%", format="few"))
    assert rejects(edited) == {2: {"quantity.over_capacity"}}


def test_pp02_the_limit_is_a_project_setting_and_other_edits_of_earlier_pools_still_load(site: Site):
    load(site, row(format="summer", quantity="500", auto_generate="true"))
    strict = with_limit(site, 100)
    assert counts(load(strict, row(campaign="Spring"))) == {"read": 1, "updated": 1}
    assert rejects(load(strict, row(campaign="Spring", quantity="501"))) == {2: {"quantity.over_limit"}}
    assert counts(load(strict, row(quantity="100"))) == {"read": 1, "updated": 1}


@pytest.mark.parametrize("field", ["top_up_threshold", "notify_below"])
def test_pp02_a_level_over_the_project_s_limit_rejects_in_new_pools_and_in_edits(site: Site, field: str):
    """TU-01: a top-up repeats batches until the level is met, and where the threshold is blank, the other is that."""
    rule = {f"{field}.over_limit"}
    cells = {"description": "d", "format": "summer", "quantity": "1000", "auto_generate": "true", "launch": "true"}
    result = load(
        site,
        row(**cells, **{field: "999999999999999999"}),
        row(system_id="q", **cells, **{field: "10000001"}),
        row(system_id="r", **cells, **{field: "10000000"}),
    )
    assert rejects(result) == {2: rule, 3: rule}
    assert "above 10000000, the most codes that the project generates at once" in reasons(result)[3]
    assert rejects(load(site, row(system_id="r", **{field: "10000001"}))) == {2: rule}
    strict = with_limit(site, 1000)
    assert rejects(load(strict, row(system_id="r", **{field: "1001"}))) == {2: rule}
    assert counts(load(strict, row(system_id="r", campaign="Spring"))) == {"read": 1, "updated": 1}
    assert counts(load(strict, row(system_id="r", **{field: "%CLEAR%"}))) == {"read": 1, "updated": 1}
    lenient = with_limit(site, 2**63 - 1)
    assert counts(load(lenient, row(system_id="r", **{field: "999999999999999999"}))) == {"read": 1, "updated": 1}


def test_section_4_a_validity_period_is_needed_with_the_issue_check(site: Site):
    result = load(site, row(issue_check="true"), row(system_id="q", issue_check="true", assigned_validity_days="5"))
    assert rejects(result) == {2: {"assigned_validity_days.required"}}
    cleared = load(site, row(system_id="q", assigned_validity_days="%CLEAR%"))
    assert rejects(cleared) == {2: {"assigned_validity_days.required"}}


def test_pp03_several_pools_use_one_format_and_an_unknown_one_is_rejected(site: Site):
    result = load(site, row(format="summer"), row(system_id="q", format="summer"), row(system_id="r", format="Summer"))
    assert rejects(result) == {4: {"format.known"}}
    assert [pool(site, name)["format"] for name in ("p", "q")] == ["summer", "summer"]


def test_x08_a_row_gets_all_its_reasons_and_what_cannot_be_read_decides_nothing(site: Site):
    load(site, row(description="D", launch="true"))
    add_code(site)
    result = load(
        site,
        row(name="", description="%CLEAR%", fill_method="generate", multi_use="true", format="none",
            auto_generate="true", issue_check="true"),
        row(quantity="many", auto_generate="true", fill_method="generate", description="%CLEAR%"),
        row(lead_hours="99999999999", assigned_validity_days="-99999999999", issue_check="true"),
    )  # fmt: skip
    assert rejects(result) == {
        2: {"name.required", "description.required_to_launch", "fill_method.frozen", "multi_use.frozen", "format.known",
            "quantity.required", "assigned_validity_days.required", "issue_check.with_multi_use"},
        3: {"quantity.not_integer", "description.required_to_launch"},
        4: {"lead_hours.out_of_range", "assigned_validity_days.out_of_range"},
    }  # fmt: skip


def test_x14_pools_load_one_file_after_the_other_in_the_order_of_arrival():
    from include import import_types

    assert import_types.get("promo_code_pools").edits


def test_x13_a_pool_file_is_a_duplicate_only_until_another_one_has_loaded(site: Site):
    first = load(site, row(campaign="1"))
    assert load(site, row(campaign="1")).state == "duplicate"
    load(site, row(campaign="2"))
    again = load(site, row(campaign="1"))
    assert (first.state, counts(again), pool(site)["campaign"]) == ("completed", {"read": 1, "updated": 1}, "1")


def test_x19_a_dry_run_counts_and_changes_nothing(site: Site):
    load(site, row())
    before = site.loyalty()
    result = load(site, row(campaign="C"), row(system_id="q"), row(system_id="r", launch="true"), dry_run=True)
    assert counts(result) == {"read": 3, "updated": 1, "inserted": 1, "rejected": 1}
    assert site.loyalty() == before


def test_pc01_the_template_and_the_sample_of_pools_load_as_they_are(site: Site):
    declared = IMPORT_TYPES["promo_code_pools"]
    template, sample = declared.template.encode(), declared.sample.read_bytes()
    empty = site.load("promo_code_pools", template)
    assert (empty.state, [warning["rule"] for warning in empty.warnings]) == ("completed", ["file.header_only"])
    result = site.load("promo_code_pools", sample)
    assert (result.state, result.warnings, counts(result)) == ("completed", [], {"read": 4, "inserted": 4})
    states = site.query("SELECT system_id, state, fill_method FROM loyalty.promo_code_pool ORDER BY 1")
    assert states == [
        ("friends", "active", "upload"), ("partner_shop", "draft", "upload"), ("spring_sale", "active", "upload"),
        ("welcome", "active", "generate"),
    ]  # fmt: skip
