"""What settings do to an import of customers, and the files beside the rejected rows.

Source: X-04, X-09, X-13, X-20, CU-01, CU-06 to CU-08, CU-11, CU-14.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from upath import UPath

from include.arrivals.landing import take_file
from include.errors import ConfigurationError
from include.import_types import IMPORT_TYPES
from include.importer import import_file
from include.ledger import jobs
from include.ledger.jobs import JobResult
from include.project.loader import load_project
from include.project.sync import sync
from include.review.preview import preview_file
from include.stages.inspection import inspect_file
from include.stages.loading import load_rows
from include.stages.reporting import write_report
from include.stages.retention import delete_expired
from include.stages.validation import validate_chunk
from tests.imports import Site, contents, counts, reasons, rejected_file, rejects, summary

pytestmark = pytest.mark.integration

PROJECT = """
brands: [Acme, Demo]
points_of_contact:
  - {external_id: site-main, brand: Acme}
  - {external_id: shop-7, brand: Acme}
  - {external_id: site-demo, brand: Demo}
data_sources:
  - {name: panel, point_of_contact: site-main, default: true}
  - {name: tills, point_of_contact: shop-7}
  - {name: demo, point_of_contact: site-demo}
channels: [Email]
topics: [News]
external_identities: [website]
custom_fields: [{name: Born, type: date}, {name: Children, type: integer}]
action_templates: [{system_name: Crm, category: Personal action}]
"""


@pytest.fixture
def shop(site: Site, tmp_path: Path) -> Site:
    """A site whose project has two brands and three data sources."""
    return with_project(site, tmp_path, PROJECT)


def with_project(site: Site, folder: Path, text: str, *, is_synced: bool = True) -> Site:
    """Return the site with other project settings."""
    path = folder / f"project{len(list(folder.glob('project*')))}.yaml"
    path.write_text(text, encoding="utf-8")
    if is_synced:
        with site.warehouse.owner.begin() as connection:
            sync(connection, load_project(path))
    return site.changed(project_file=path)


def load(site: Site, *rows: str, header: str = "Email,FirstName", **more: Any) -> JobResult:
    return site.load("customers", "\n".join([header, *rows, ""]), **more)


def refusal(result: JobResult) -> tuple[str, str]:
    assert (result.state, result.reason is not None) == ("refused", True), result
    return (result.reason or {})["rule"], (result.reason or {})["message"]


def derived(site: Site, result: JobResult) -> dict[str, str]:
    derived_settings: dict[str, str] = site.job(result)["settings"]["derived"]
    return derived_settings


def subscriptions(site: Site) -> list[tuple[Any, ...]]:
    return site.query(
        "SELECT brand, channel, is_subscribed, data_source FROM loyalty.customer_subscription ORDER BY 1, 2"
    )


def names(site: Site) -> dict[str, str | None]:
    return dict(site.query("SELECT email, first_name FROM loyalty.customer ORDER BY 1"))


def table(path: str | None) -> list[list[str]]:
    assert path is not None
    return list(csv.reader(io.StringIO(Path(path).read_text(encoding="utf-8"), newline="")))


class TestColumns:
    def test_x04_a_file_without_a_column_for_an_identifier_is_refused(self, shop: Site):
        rule, message = refusal(load(shop, "1,Ann", header="DiscountCard,FirstName"))
        assert rule == "file.required_column"
        assert message.startswith("At least one of these columns is required, and the file has none: Email (email), ")

    def test_x04_switching_the_only_identifier_off_refuses_the_file(self, shop: Site):
        assert refusal(load(shop, "a@b.com,Ann", mapping={"Email": None}))[0] == "file.required_column"

    def test_x04_the_row_without_an_identifier_is_rejected_alone(self, shop: Site):
        result = load(shop, "a@b.com,Ann", ",Bob")
        assert (counts(result), rejects(result)) == (
            {"read": 2, "inserted": 1, "rejected": 1},
            {3: {"row.no_identifier"}},
        )

    def test_cu08_columns_of_unknown_entries_are_skipped_with_warnings_of_their_own(self, shop: Site):
        header = "Email,IsSubscribedByEmailOnNewz,IsSubscribedByFax,CustomFieldBirn,ExternalIdentityPos,Note"
        result = load(shop, "a@b.com,yes,yes,x,1,x", header=header)
        assert counts(result) == {"read": 1, "inserted": 1}
        assert [(warning["rule"], warning["message"].split(" is not ")[0]) for warning in result.warnings] == [
            ("file.unknown_topic", "Column 2 (IsSubscribedByEmailOnNewz)"),
            ("file.unknown_channel", "Column 3 (IsSubscribedByFax)"),
            ("file.unknown_custom_field", "Column 4 (CustomFieldBirn)"),
            ("file.unknown_external_identity", "Column 5 (ExternalIdentityPos)"),
            ("file.column_skipped", "Column 6 (Note)"),
        ]
        assert subscriptions(shop) == []

    def test_cu07_columns_whose_setting_is_off_are_ignored_and_listed(self, shop: Site):
        header = "Email,LastUpdatePointOfContact,SourcePointOfContact,LastUpdateActionTemplate,SourceActionTemplate"
        result = load(shop, "a@b.com,nowhere,nowhere,nothing,Crm", header=header)
        assert counts(result) == {"read": 1, "inserted": 1}
        assert [warning["message"].split(": ")[1].split(" would")[0] for warning in result.warnings] == [
            "the setting take_point_of_contact_from_file",
            "the setting take_point_of_contact_from_file",
            "the setting take_action_template_from_file",
            "the setting take_action_template_from_file",
        ]
        assert shop.query("SELECT count(*) FROM loyalty.customer_action") == [(0,)]

    def test_cu08_an_unknown_point_of_contact_rejects_its_row_when_the_column_is_taken(self, shop: Site):
        result = load(
            shop, "a@b.com,shop-7", "b@b.com,Shop-7", "c@b.com,", header="Email,LastUpdatePointOfContact",
            take_point_of_contact_from_file=True,
        )  # fmt: skip
        assert counts(result) == {"read": 3, "inserted": 2, "rejected": 1}
        assert rejects(result) == {3: {"last_update_point_of_contact.unknown"}}

    def test_cu10_an_unknown_template_warns_and_the_row_loads_without_an_action(self, shop: Site):
        result = load(
            shop, "a@b.com,Crm", "b@b.com,crm", header="Email,SourceActionTemplate", take_action_template_from_file=True
        )
        assert counts(result) == {"read": 2, "inserted": 2}
        assert [(warning["rule"], warning["rows"]) for warning in result.warnings] == [
            ("source_action_template.unknown_template", 1)
        ]
        assert shop.query("SELECT action_template, line FROM loyalty.customer_action") == [("Crm", 2)]

    def test_cu11_a_time_in_the_future_rejects_its_row(self, shop: Site):
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"
        result = load(
            shop, f"a@b.com,{tomorrow},", f"b@b.com,,{tomorrow}", "c@b.com,2024-01-01,2023-01-01",
            header="Email,LastUpdateDateTime,SourceDateTime",
        )  # fmt: skip
        assert rejects(result) == {2: {"last_update_date_time.in_the_future"}, 3: {"source_date_time.in_the_future"}}
        assert shop.query("SELECT created_at::text FROM loyalty.customer") == [("2023-01-01 00:00:00+00",)]


class TestDataSource:
    def test_cu07_the_default_data_source_and_its_point_of_contact_are_stored_with_the_job(self, shop: Site):
        result = load(shop, "a@b.com,Ann")
        assert derived(shop, result) == {"data_source": "panel", "point_of_contact": "site-main", "brand": "Acme"}
        assert shop.job(result)["settings"]["given_by"] == {}
        assert summary(result)["settings"]["derived"]["brand"] == "Acme"

    def test_cu07_explicit_settings_go_before_derived_ones(self, shop: Site):
        named = load(shop, "a@b.com,Ann", data_source="demo")
        assert derived(shop, named) == {"data_source": "demo", "point_of_contact": "site-demo", "brand": "Demo"}
        both = load(shop, "a@b.com,Bob", data_source="demo", point_of_contact="shop-7")
        assert derived(shop, both) == {"data_source": "demo", "point_of_contact": "shop-7", "brand": "Acme"}

    @pytest.mark.parametrize(
        ("settings", "rule", "message"),
        [
            (
                {"data_source": "till"},
                "file.unknown_data_source",
                "The project has no data source 'till', which the settings name (did you mean tills?).",
            ),
            (
                {"point_of_contact": "kiosk"},
                "file.unknown_point_of_contact",
                "The project has no point of contact 'kiosk', which the settings name (there are: shop-7, site-demo, "
                "site-main).",
            ),
        ],
    )
    def test_cu07_unknown_ones_refuse_the_file(self, shop: Site, settings: dict[str, str], rule: str, message: str):
        assert refusal(load(shop, "a@b.com,Ann", settings=settings)) == (rule, message)
        assert names(shop) == {}

    def test_cu07_without_a_default_one_the_file_is_refused(self, site: Site, tmp_path: Path):
        shop = with_project(site, tmp_path, PROJECT.replace(", default: true", ""))
        rule, message = refusal(load(shop, "a@b.com,Ann"))
        assert (rule, message.split(",")[0]) == ("file.unknown_data_source", "The settings name no data source")
        assert load(shop, "a@b.com,Ann", data_source="tills").state == "completed"

    def test_entries_that_were_not_applied_to_the_warehouse_stop_the_import(self, shop: Site, tmp_path: Path):
        changed = PROJECT.replace("[News]", "[News, Offers]").replace("type: integer", "type: string")
        result = load(with_project(shop, tmp_path, changed, is_synced=False), "a@b.com,Ann")
        assert result.state == "failed"
        assert (result.reason or {})["message"] == (
            "The warehouse doesn't know the project's custom field 'Children', topic 'Offers' as the settings have it: "
            "apply them with `python -m include.cli sync-project`."
        )

    def test_cu06_the_same_file_through_another_data_source_subscribes_to_the_other_brand(self, shop: Site):
        file = "Email,IsSubscribed,IsSubscribedByEmail\na@b.com,yes,no\n"
        first = shop.load("customers", file)
        second = shop.load("customers", file, data_source="demo")
        assert (first.state, second.state) == ("completed", "completed")
        assert counts(second) == {"read": 1, "updated": 1}
        assert subscriptions(shop) == [
            ("Acme", "Email", False, "panel"), ("Acme", None, True, "panel"),
            ("Demo", "Email", False, "demo"), ("Demo", None, True, "demo"),
        ]  # fmt: skip

    def test_cu06_an_explicit_point_of_contact_decides_the_brand_and_a_rows_own_never_does(self, shop: Site):
        load(
            shop, "a@b.com,yes,site-demo,site-demo", point_of_contact="shop-7", data_source="demo",
            take_point_of_contact_from_file=True,
            header="Email,IsSubscribed,LastUpdatePointOfContact,SourcePointOfContact",
        )  # fmt: skip
        assert subscriptions(shop) == [("Acme", None, True, "demo")]

    def test_x13_naming_the_default_data_source_makes_no_other_import(self, shop: Site):
        first = load(shop, "a@b.com,Ann")
        again = load(shop, "a@b.com,Ann", data_source="panel", point_of_contact="site-main")
        assert (again.state, again.duplicate_of) == ("duplicate", first.job)

    @pytest.mark.parametrize(
        "change",
        [
            ("point_of_contact: site-main, default: true", "point_of_contact: site-main"),
            ("panel, point_of_contact: site-main", "panel, point_of_contact: site-demo"),
            ("site-main, brand: Acme", "site-main, brand: Demo"),
        ],
        ids=["another default", "its point of contact moved", "the point of contact's brand changed"],
    )
    def test_x13_after_the_defaults_have_changed_the_same_file_is_a_new_import(
        self, shop: Site, tmp_path: Path, change: tuple[str, str]
    ):
        file = "Email,IsSubscribed\na@b.com,yes\n"
        shop.load("customers", file)
        changed = PROJECT.replace(*change)
        if "default: true" not in changed:
            changed = changed.replace("{name: demo, point_of_contact: site-demo", "{name: demo, point_of_contact: site-demo, default: true")  # fmt: skip  # noqa: E501
        again = with_project(shop, tmp_path, changed).load("customers", file)
        assert (again.state, again.duplicate_of) == ("completed", None)
        assert [brand for brand, *_ in subscriptions(shop)] == ["Acme", "Demo"]


class TestCorrectedFiles:
    """Files that carry `_job` go through the data source of that job. Source: X-09."""

    FILE = "Email,IsSubscribed\na@b.com,maybe\n"

    def corrected(self, result: JobResult) -> bytes:
        return rejected_file(result).replace(b",maybe", b",yes")

    def test_x09_the_settings_of_the_first_job_are_taken_over(self, shop: Site):
        first = shop.load("customers", self.FILE, settings={"data_source": "demo", "segment": "vip"})
        second = shop.load("customers", self.corrected(first))
        assert counts(second) == {"read": 1, "inserted": 1}
        assert derived(shop, second) == derived(shop, first)
        assert shop.query("SELECT segment FROM loyalty.segment_member") == [("vip",)]
        with shop.runtime.engine.connect() as connection:
            assert jobs.result(connection, first.job).rejects_fixed == 1

    def test_x09_also_those_that_only_followed_from_the_project(self, shop: Site, tmp_path: Path):
        first = shop.load("customers", self.FILE)
        moved = PROJECT.replace(", default: true", "").replace("site-demo}\nch", "site-demo, default: true}\nch")
        moved = moved.replace("{name: panel, point_of_contact: site-main", "{name: panel, point_of_contact: shop-7")
        later = with_project(shop, tmp_path, moved)
        assert derived(later, load(later, "x@b.com,X"))["data_source"] == "demo"
        second = later.load("customers", self.corrected(first))
        assert derived(later, second) == {"data_source": "panel", "point_of_contact": "site-main", "brand": "Acme"}

    def test_x09_an_explicit_new_data_source_brings_its_own_point_of_contact(self, shop: Site):
        first = shop.load("customers", self.FILE)
        second = shop.load("customers", self.corrected(first), data_source="demo")
        assert derived(shop, second) == {"data_source": "demo", "point_of_contact": "site-demo", "brand": "Demo"}

    def test_x09_an_explicit_point_of_contact_of_the_first_job_stays_explicit(self, shop: Site):
        first = shop.load("customers", self.FILE, settings={"point_of_contact": "shop-7"})
        second = shop.load("customers", self.corrected(first), data_source="demo")
        assert derived(shop, second) == {"data_source": "demo", "point_of_contact": "shop-7", "brand": "Acme"}

    def test_x09_rows_of_jobs_through_different_data_sources_are_refused_in_one_file(self, shop: Site):
        first = shop.load("customers", self.FILE)
        second = shop.load("customers", self.FILE, data_source="demo")
        mixed = f"_job,_line,Email,IsSubscribed\n{first.job},2,a@b.com,yes\n{second.job},2,b@b.com,yes\n"
        assert refusal(shop.load("customers", mixed))[0] == "file.mixed_jobs"


class TestNotFound:
    """The rows that `edit_existing` finds nobody for. Source: CU-01."""

    HEADER = "Email;Note;FirstName"

    def edit(self, site: Site, *rows: str, **more: Any) -> JobResult:
        return load(site, *rows, header=self.HEADER, action="edit_existing", mapping={"Note": None}, **more)

    def test_cu01_they_are_in_a_file_of_their_own_as_they_were_sent(self, shop: Site):
        load(shop, "ann@b.com,Ann")
        result = self.edit(
            shop, "ann@b.com;;Anna", 'nobody@b.com;"a; ""b""";Näme', "bad;;x", "=x@b.com;;N", name="de.csv"
        )
        assert result.state == "completed_with_rejects"
        assert counts(result) == {"read": 4, "updated": 1, "not_found": 2, "rejected": 1}
        assert names(shop) == {"ann@b.com": "Anna"}
        sentence = "No customer has an identifier of this row, and the action edit_existing creates none."
        assert result.not_found_file is not None
        assert Path(result.not_found_file).name == "de.not-found.csv"
        assert Path(result.not_found_file).parent == Path(result.rejected_file or "").parent
        assert Path(result.not_found_file).read_text(encoding="utf-8") == (
            f"_job;_line;_rules;_reasons;{self.HEADER}\n"
            f'{result.job};3;"row.not_found";"{sentence}";nobody@b.com;"a; ""b""";Näme\n'
            f'{result.job};5;"row.not_found";"{sentence}";\'=x@b.com;;N\n'
        )
        assert rejects(result, delimiter=";") == {4: {"email.not_email"}}
        assert shop.query("SELECT line, chunk_number FROM ledger.not_found ORDER BY 1") == [(3, 0), (5, 0)]
        assert summary(result)["not_found_file"] == result.not_found_file

    def test_cu01_a_file_without_such_rows_has_no_such_file(self, shop: Site):
        load(shop, "ann@b.com,Ann")
        result = self.edit(shop, "ann@b.com;;Anna")
        assert (result.state, result.not_found_file) == ("completed", None)
        assert not [name for name in shop.reports() if "not-found" in name]

    def test_cu01_it_keeps_the_senders_encoding_and_chunks_do_not_matter(self, shop: Site):
        rows = [f"{number:03}@b.com;;Имя" for number in range(300)]
        content = "\r\n".join([self.HEADER, *rows, ""]).encode("windows-1251")
        settings = {"encoding": "windows-1251", "action": "edit_existing", "mapping": {"Note": None}}
        result = shop.changed(chunk_bytes=1000, block_bytes=700).load("customers", content, settings=settings)
        assert counts(result) == {"read": 300, "not_found": 300}
        lines = Path(result.not_found_file or "").read_bytes().decode("windows-1251").split("\r\n")
        assert [line.split(";", 4)[4] for line in lines[1:-1]] == rows
        assert [int(line.split(";")[1]) for line in lines[1:-1]] == list(range(2, 302))
        ((chunks,),) = shop.query("SELECT count(DISTINCT chunk_number) FROM ledger.not_found")
        assert chunks > 5

    def test_cu01_dropped_back_with_the_other_action_it_creates_them(self, shop: Site):
        first = self.edit(shop, "new@b.com;x;New", name="c.csv", data_source="demo")
        content = Path(first.not_found_file or "").read_bytes()
        still = shop.load("customers", content, "c.not-found.csv")
        assert (still.state, counts(still)) == ("completed", {"read": 1, "not_found": 1})
        assert Path(still.not_found_file or "").name == "c.not-found.csv"
        assert Path(still.not_found_file or "").read_bytes() == content.replace(b"\n1;2;", f"\n{still.job};2;".encode())
        added = shop.load("customers", content, "c.not-found.csv", settings={"action": "add_and_edit"})
        assert counts(added) == {"read": 1, "inserted": 1}
        assert names(shop) == {"new@b.com": "New"}
        assert derived(shop, added)["data_source"] == "demo"
        with shop.runtime.engine.connect() as connection:
            assert jobs.parents(connection, added.job) == [first.job]

    def test_x09_a_reject_closes_when_its_row_loads_not_when_it_finds_nobody(self, shop: Site):
        first = self.edit(shop, "bad;;New")

        def fixed() -> int:
            with shop.runtime.engine.connect() as connection:
                return jobs.result(connection, first.job).rejects_fixed

        second = shop.load("customers", rejected_file(first).replace(b";bad;", b";new@b.com;"))
        assert (counts(second), fixed()) == ({"read": 1, "not_found": 1}, 0)
        third = shop.load(
            "customers", Path(second.not_found_file or "").read_bytes(), settings={"action": "add_and_edit"}
        )
        assert (counts(third), fixed()) == ({"read": 1, "inserted": 1}, 1)
        assert shop.query("SELECT job_id, fixed_by_job_id FROM ledger.reject") == [(first.job, third.job)]

    def test_x19_a_dry_run_counts_and_lists_them_too(self, shop: Site):
        result = self.edit(shop, "new@b.com;;New", dry_run=True)
        assert counts(result) == {"read": 1, "not_found": 1}
        assert result.not_found_file is not None

    def test_x14_a_dry_run_asked_again_with_another_action_leaves_no_file_of_before(self, shop: Site):
        path = shop.drop("customers", "c.csv", "Email;FirstName\nnew@b.com;New\n")
        first = import_file(shop.runtime, shop.request("customers", path, action="edit_existing", dry_run=True))
        request = shop.request("customers", path, action="add_and_edit")
        again = import_file(shop.runtime, replace(request, run_key=str(shop.job(first)["run_key"])))
        assert (again.job, counts(again), again.not_found_file) == (first.job, {"read": 1, "inserted": 1}, None)
        assert Path(first.not_found_file or "").exists() is False

    def test_x14_reports_that_are_written_again_are_the_same(self, shop: Site):
        result = self.edit(shop, "new@b.com;;New", "bad;;x", on_invalid_optional="drop_value")
        before = contents(shop.folder / "reports")
        write_report(shop.runtime, result.job)
        assert contents(shop.folder / "reports") == before


class TestDroppedValues:
    """What an invalid optional value costs. Source: CU-14."""

    HEADER = "Email,MobilePhone,Sex,BirthDate,FirstName,Children,IsSubscribedByEmail"
    BAD = "a@b.com,,x,31.02.2000,Ann,2.5,maybe"

    def load(self, site: Site, *rows: str, **more: Any) -> JobResult:
        return load(site, *rows, header=self.HEADER, **more)

    def test_cu14_by_default_it_rejects_the_row(self, shop: Site):
        result = self.load(shop, self.BAD)
        assert rejects(result) == {
            2: {
                "sex.unknown_choice", "birth_date.impossible_date", "custom_field_children.not_integer",
                "is_subscribed_by_email.not_boolean",
            }
        }  # fmt: skip
        assert result.dropped_values_file is None

    def test_cu14_with_drop_value_the_row_loads_without_it_and_the_value_is_listed(self, shop: Site):
        result = self.load(shop, self.BAD, "b@b.com,,m,2000-01-01,=1+1,3,yes", "c@b.com,,=m,,C,,",
                           name="c.txt", on_invalid_optional="drop_value")  # fmt: skip
        assert (result.state, counts(result)) == ("completed", {"read": 3, "inserted": 3})
        stored_rows = shop.query(
            "SELECT email, sex, birth_date::text, first_name, custom_fields::text FROM loyalty.customer"
        )
        assert sorted(stored_rows) == [
            ("a@b.com", None, None, "Ann", "{}"),
            ("b@b.com", "male", "2000-01-01", "=1+1", '{"Children": 3}'),
            ("c@b.com", None, None, "C", "{}"),
        ]
        assert subscriptions(shop) == [("Acme", "Email", True, "panel")]
        assert Path(result.dropped_values_file or "").name == "c.dropped-values.csv"
        assert table(result.dropped_values_file) == [
            ["line", "field", "value", "rules", "reasons"],
            [
                "2", "birth_date", "31.02.2000", "birth_date.impossible_date",
                "Birth date '31.02.2000' is a day or a time that doesn't exist.",
            ],
            [
                "2", "custom_field_children", "2.5", "custom_field_children.not_integer",
                "Custom field Children '2.5' is not a whole number: digits only.",
            ],
            [
                "2", "is_subscribed_by_email", "maybe", "is_subscribed_by_email.not_boolean",
                "IsSubscribedByEmail 'maybe' is not true/false, t/f, yes/no, y/n, on/off or 1/0.",
            ],
            [
                "2", "sex", "x", "sex.unknown_choice",
                "Sex 'x' is neither male nor female (m, f and w are understood as well).",
            ],
            [
                "4", "sex", "'=m", "sex.unknown_choice",
                "Sex '=m' is neither male nor female (m, f and w are understood as well).",
            ],
        ]  # fmt: skip
        assert {(rule.rule, rule.severity, rule.rows) for rule in result.rules} == {
            ("birth_date.impossible_date", "warning", 1),
            ("custom_field_children.not_integer", "warning", 1),
            ("is_subscribed_by_email.not_boolean", "warning", 1),
            ("sex.unknown_choice", "warning", 2),
        }
        messages = {warning["rule"]: warning["message"] for warning in result.warnings}
        assert messages["sex.unknown_choice"] == "2 rows loaded without this value, first on line 2"
        evidence = json.loads(Path(summary(result)["evidence_file"]).read_bytes())
        assert {
            expectation["expectation_config"]["meta"]["rule"]: expectation["expectation_config"]["severity"]
            for expectation in evidence["results"]
            if not expectation["success"]
        } == dict.fromkeys(messages, "warning")

    def test_cu14_identifiers_and_what_an_action_needs_are_never_dropped(self, shop: Site):
        header = f"{self.HEADER},ExternalId,LastUpdatePointOfContact"
        result = load(
            shop, "bad,,,,A,,,1,", "a@b.com,12,,,A,,,,", "b@b.com,,,,A,,,1E+15,", "c@b.com,,,,A,,,,nowhere",
            header=header, on_invalid_optional="drop_value", take_point_of_contact_from_file=True,
        )  # fmt: skip
        assert rejects(result) == {
            2: {"email.not_email"},
            3: {"mobile_phone.invalid_phone"},
            4: {"external_identity_website.spreadsheet_number"},
            5: {"last_update_point_of_contact.unknown"},
        }

    def test_cu14_the_preview_shows_what_would_be_left_out(self, shop: Site, tmp_path: Path):
        path = tmp_path / "c.csv"
        path.write_text(f"{self.HEADER}\n{self.BAD}\nbad,,x,,,,\nc@b.com,,m,,C,,\n")
        shown = preview_file(
            shop.runtime, "customers", UPath(str(path)), parameters={"on_invalid_optional": "drop_value"}
        )
        assert [(bool(row.reasons), row.dropped.count("|")) for row in shown.rows] == [
            (False, 3),
            (True, 0),
            (False, 0),
        ]
        assert "values left out: Sex 'x' is neither male nor female" in shown.as_text()
        assert shown.rows[2].dropped == ""

    def test_cu14_a_time_in_the_future_is_dropped_too(self, shop: Site):
        result = load(shop, "a@b.com,2999-01-01", header="Email,SourceDateTime", on_invalid_optional="drop_value")
        assert counts(result) == {"read": 1, "inserted": 1}
        assert [row[1:4] for row in table(result.dropped_values_file)[1:]] == [
            ["source_date_time", "2999-01-01", "source_date_time.in_the_future"]
        ]

    def test_cu14_of_rows_that_do_not_load_nothing_is_dropped(self, shop: Site):
        load(shop, "a@b.com,+12025550143", "b@b.com,", header="Email,MobilePhone")
        result = self.load(
            shop, "bad,,x,,,,", "b@b.com,+12025550143,x,,,,", "new@b.com,,x,,,,", "a@b.com,,x,,,,",
            on_invalid_optional="drop_value", action="edit_existing",
        )  # fmt: skip
        assert counts(result) == {"read": 4, "unchanged": 1, "not_found": 1, "rejected": 2}
        assert rejects(result) == {2: {"email.not_email"}, 3: {"row.ambiguous_customer"}}
        assert [row[:2] for row in table(result.dropped_values_file)[1:]] == [["5", "sex"]]
        assert [(rule.rule, rule.rows) for rule in result.rules if rule.severity == "warning"] == [
            ("sex.unknown_choice", 1)
        ]
        assert "Sex" not in reasons(result)[2]

    def test_x14_a_chunk_that_is_judged_twice_drops_its_values_once(self, shop: Site):
        path = shop.drop("customers", "c.csv", f"{self.HEADER}\n{self.BAD}\n")
        request = shop.request("customers", path, on_invalid_optional="drop_value")
        job = take_file(shop.runtime, request).job_id
        inspect_file(shop.runtime, job)
        for _ in range(2):
            validate_chunk(shop.runtime, job, 0)
        assert shop.query("SELECT count(*) FROM ledger.dropped_value") == [(4,)]
        assert counts(import_file(shop.runtime, request)) == {"read": 1, "inserted": 1}
        assert shop.query("SELECT count(*) FROM ledger.dropped_value") == [(4,)]

    def test_x09_the_setting_rejects_verbatim_leaves_the_apostrophe_out(self, shop: Site):
        result = self.load(shop, "a@b.com,,=m,,,,", on_invalid_optional="drop_value", rejects_verbatim=True)
        assert table(result.dropped_values_file)[1][2] == "=m"

    def test_x20_the_files_and_the_values_go_after_retention_days(self, shop: Site):
        result = self.load(
            shop, self.BAD, "bad,,,,,,", "new@b.com,,,,,,", on_invalid_optional="drop_value", action="edit_existing"
        )
        load(shop, "a@b.com,Ann")
        again = self.load(shop, self.BAD, on_invalid_optional="drop_value", action="edit_existing", force=True)
        assert (again.dropped_values_file is None, result.not_found_file is None) == (False, False)
        assert delete_expired(shop.runtime, datetime.now(UTC) + timedelta(days=31)) == {"customers": 3}
        left = [name for name in shop.reports() if not name.endswith(("summary.json", "validation.json"))]
        assert left == []
        assert shop.query("SELECT count(*) FROM ledger.dropped_value") == [(0,)]
        assert shop.job(again)["dropped_values_file_url"] is None
        write_report(shop.runtime, result.job)
        write_report(shop.runtime, again.job)
        assert [name for name in shop.reports() if "not-found" in name or "dropped" in name] == []


def test_x11_every_setting_of_customers_can_be_in_a_folders_file(shop: Site):
    settings = {
        "action": "edit_existing", "data_source": "tills", "point_of_contact": "site-demo", "segment": "vip",
        "take_point_of_contact_from_file": True, "take_action_template_from_file": True,
        "on_invalid_optional": "drop_value", "slash_dates": "day_first",
    }  # fmt: skip
    shop.drop("customers", "_settings.yaml", yaml.safe_dump(settings))
    stored = shop.job(load(shop, "a@b.com,Ann"))["settings"]
    assert {name: stored[name] for name in settings} == settings
    assert stored["given_by"] == dict.fromkeys(settings, "folder")


def test_pc01_the_template_and_the_sample_load_as_they_are(site: Site):
    template = site.load("customers", IMPORT_TYPES["customers"].template.encode())
    assert (template.state, counts(template)) == ("completed", {})
    sample = site.load("customers", IMPORT_TYPES["customers"].sample.read_bytes())
    assert counts(sample) == {"read": 8, "inserted": 4, "updated": 1, "rejected": 3}
    assert set(rejects(sample)) == {7, 8, 9}


def test_x20_a_preview_shows_no_personal_value_in_full(shop: Site, tmp_path: Path):
    row = {
        "Email": "ann@example.com", "MobilePhone": "+12025550143", "LastName": "Lee", "FirstName": "Ann",
        "FullName": "Ann Lee", "BirthDate": "1988-02-29", "ExternalId": "A-1001", "Born": "1999-12-31",
    }  # fmt: skip
    path = tmp_path / "c.csv"
    path.write_text(f"{','.join(row)},Area\n{','.join(row.values())},Boston\nann@,12,,,,1988-02-30,,soon,\n")
    text = preview_file(shop.runtime, "customers", UPath(str(path))).as_text()
    assert "Boston" in text
    for value in [*row.values(), "ann@", "1988-02-30", "soon"]:
        assert value not in text.split("  line", 1)[1].replace("first_name", "").replace("last_name", "")


def test_x20_nothing_personal_is_in_the_ledger_or_the_summary(shop: Site):
    rows = ["ann@example.com,+12025550143,Canary,1988-02-30", "bad-canary,,Canary,"]
    result = load(shop, *rows, header="Email,MobilePhone,LastName,BirthDate", on_invalid_optional="drop_value")
    records = json.dumps([summary(result), result.to_json()]) + str(shop.job(result))
    records += str(shop.query("SELECT * FROM ledger.import_chunk")) + str(shop.query("SELECT * FROM ledger.job_rule"))
    records += Path(summary(result)["evidence_file"]).read_text()
    assert "row" in records
    for value in ("ann@example.com", "2025550143", "anary", "1988-02-30"):
        assert value not in records


def test_many_entries_of_the_project_settings_cost_nothing_that_a_file_does_not_name(site: Site, tmp_path: Path):
    topics = ", ".join(f"T{number}" for number in range(200))
    shop = with_project(site, tmp_path, PROJECT.replace("topics: [News]", f"topics: [{topics}]"))
    assert len(IMPORT_TYPES["customers"].all_fields(shop.runtime.project)) > 220
    result = load(shop, "a@b.com,yes", header="Email,IsSubscribedByEmailOnT7")
    evidence = json.loads(Path(summary(result)["evidence_file"]).read_bytes())
    judged = {expectation["expectation_config"]["meta"]["rule"] for expectation in evidence["results"]}
    assert {rule for rule in judged if rule.startswith("is_subscribed_by_")} == {
        "is_subscribed_by_email_on_t7.not_boolean",
        "is_subscribed_by_email_on_t7.changed_number",
    }
    assert shop.query("SELECT channel, topic, is_subscribed FROM loyalty.customer_subscription") == [
        ("Email", "T7", True)
    ]


class TestProjectChangesMeanwhile:
    """What a file was inspected with must still be so when its rows are judged and loaded."""

    @pytest.mark.parametrize("is_validated", [False, True])
    @pytest.mark.parametrize(
        ("old", "new", "message_part"),
        [
            ("custom_fields: [{name: Born, type: date}, ", "custom_fields: [", "custom_field_born"),
            ("channels: [Email]", "channels: []", "is_subscribed_by_email"),
            ("{name: panel, ", "{name: board, ", "no data source 'panel'"),
            (
                "{external_id: site-main, brand: Acme}",
                "{external_id: site-main, brand: Demo}",
                "brand",
            ),
        ],
    )
    def test_an_entry_that_the_file_depends_on_goes(
        self, shop: Site, tmp_path: Path, old: str, new: str, message_part: str, is_validated: bool
    ):
        header = "Email,CustomFieldBorn,IsSubscribedByEmail"
        path = shop.drop("customers", "a.csv", f"{header}\na@x.com,2001-02-03,yes\n")
        job = take_file(shop.runtime, shop.request("customers", path)).job_id
        assert inspect_file(shop.runtime, job).chunks == 1
        if is_validated:
            validate_chunk(shop.runtime, job, 0)
        assert PROJECT.count(old) == 1
        later = with_project(shop, tmp_path, PROJECT.replace(old, new)).runtime
        go_on = partial(load_rows, later, job) if is_validated else partial(validate_chunk, later, job, 0)
        with pytest.raises(ConfigurationError, match=f"have changed since job {job} inspected.*{message_part}"):
            go_on()
        assert names(shop) == {}
        with_project(shop, tmp_path, PROJECT)
        validate_chunk(shop.runtime, job, 0)
        assert load_rows(shop.runtime, job).inserted == 1
