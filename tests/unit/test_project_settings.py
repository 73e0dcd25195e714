"""project.yaml: what is accepted, and mistakes reported with key and line. Source: spec section 9."""

import pytest

from include.errors import ConfigurationError
from include.project.loader import PROJECT_YAML, load_project, parse_project
from include.project.model import ActionTemplate, CustomField, DataSource, PointOfContact, Project, PromoCodeFormat

pytestmark = pytest.mark.unit

SHIPPED = PROJECT_YAML.read_text()


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_project(text, "project.yaml")
    return str(caught.value).splitlines()


def shipped_with(old: str, new: str) -> str:
    assert SHIPPED.count(old) == 1
    return SHIPPED.replace(old, new)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def test_pp02_a_generation_is_bounded_by_ten_million_codes_unless_the_project_says_otherwise():
    assert load_project().max_generation == 10_000_000
    assert parse_project("max_generation: 5\n", "project.yaml").max_generation == 5
    for wrong in ("0", "-1", "1e3", "'5'", "null", str(2**63)):
        (line,) = mistakes(f"brands: [A]\nmax_generation: {wrong}\n")
        assert line.startswith("project.yaml: line 2, max_generation")


def test_the_shipped_file_is_the_example_of_the_specification():
    assert load_project() == Project(
        brands=("Acme", "Demo"),
        external_systems=("website", "pos"),
        points_of_contact=(PointOfContact(external_id="site-main", brand="Acme"),),
        data_sources=(DataSource(name="Maestra Platform admin panel", point_of_contact="site-main", is_default=True),),
        channels=("Email", "Sms", "Viber", "MobilePush", "WebPush"),
        topics=("News", "Offers"),
        external_identities=("website",),
        custom_fields=(CustomField(name="FavoriteColor", type="string"),),
        action_templates=(ActionTemplate(system_name="ImportedFromCrm", category="Personal action"),),
        segments=("vip-2024",),
        promo_code_formats=(
            PromoCodeFormat(name="summer", alphabet="ABCDEFGHJKLMNPQRSTUVWXYZ23456789", length=10, prefix="S-"),
        ),
        default_phone_region="US",
        alert_subscribers=("ops@example.com",),
    )


def test_cu07_the_default_data_source_is_the_one_marked():
    project = load_project()
    assert [source for source in project.data_sources if source.is_default] == [project.data_sources[0]]
    assert not Project().data_sources


@pytest.mark.parametrize(
    ("old", "new", "key", "sentence"),
    [
        ("topics:", "topic:", "topic", "there is no such key (did you mean topics?)"),
        ("default: true", "defualt: true", "data_sources[0].defualt", "there is no such key (did you mean default?)"),
        ("brands: [Acme, Demo]", "brands: [Acme, No]", "brands[1]", "must be text, found false; text that looks"),
        ("brands: [Acme, Demo]", "brands: [Acme, 12]", "brands[1]", "must be text, found 12; text that looks"),
        ("brands: [Acme, Demo]", "brands: Acme", "brands", "must be a list, [] for none; found 'Acme'"),
        ("brands: [Acme, Demo]", "brands:", "brands", "must be a list, [] for none; found nothing"),
        ("brands: [Acme, Demo]", "brands: [Acme, Acme]", "brands[1]", "'Acme' is there already, as entry 1"),
        ("brands: [Acme, Demo]", 'brands: [Acme, " x"]', "brands[1]", "must not be blank, nor begin or end"),
        ("brands: [Acme, Demo]", 'brands: [Acme, "a\\nb"]', "brands[1]", "must not contain control characters"),
        ("[website, pos]", "[website, website]", "external_systems[1]", "'website' is there already"),
        ("brand: Acme}", "brand: Acmee}", "points_of_contact[0].brand", "'Acmee' is not among the brands"),
        ("brand: Acme}", "}", "points_of_contact[0].brand", "is missing"),
        ("{external_id: site-main, brand: Acme}", "site-main", "points_of_contact[0]", "must have keys of its own"),
        ("point_of_contact: site-main", "point_of_contact: shop", "data_sources[0].point_of_contact", "'shop' is not"),
        ("default: true", "default: 1", "data_sources[0].default", "must be true or false, found 1"),
        ("News, Offers", "News, news", "topics[1]", "'news' is there already, as entry 1, written 'News' (column"),
        ("News, Offers", "News, '!'", "topics[1]", "must contain a letter or a digit"),
        ("MobilePush", "e-mail", "channels[3]", "'e-mail' is there already, as entry 1, written 'Email' (column"),
        ("MobilePush", "Mobile/Push", "channels[3]", "must not contain '/', which separates channel and topic"),
        ("MobilePush", "EmailOnNews", "channels[3]", "the column IsSubscribedByEmailOnNews would mean the channel"),
        ("type: string", "type: text", "custom_fields[0].type", "must be 'string', 'boolean'"),
        ("type: string", "type: enum", "custom_fields[0].values", "an enum needs its values"),
        ("type: string", "type: date, values: [a]", "custom_fields[0].values", "only the type enum takes values"),
        ("type: string", "type: enum, values: [a, A]", "custom_fields[0].values[1]", "'A' is there already"),
        ("[vip-2024]", "[vip, vip]", "segments[1]", "'vip' is there already"),
        ("length: 10", "length: 3", "promo_code_formats[0].length", "must be greater than or equal to 4, found 3"),
        ("length: 10", "length: 65", "promo_code_formats[0].length", "must be less than or equal to 64, found 65"),
        ("length: 10", 'length: "10"', "promo_code_formats[0].length", "must be a number, found '10'"),
        (
            'length: 10, prefix: "S-"',
            'length: 4, prefix: "S---"',
            "promo_code_formats[0].length",
            "leaves no character",
        ),
        ('prefix: "S-"', 'prefix: "S "', "promo_code_formats[0].prefix", "no white space"),
        ("ABCDEFGH", "ABCDEFGA", "promo_code_formats[0].alphabet", "repeats 'A'"),
        ("max_codes: null", "max_codes: 0", "promo_code_formats[0].max_codes", "must be greater than or equal to 1"),
        ("region: US", "region: XX", "default_phone_region", "'XX' is no region"),
        ("ops@example.com", "ops@", "alert_subscribers[0]", "'ops@' is no e-mail address"),
        ("ops@example.com", "a@b.com, A@B.com", "alert_subscribers[1]", "is there already, as entry 1"),
    ],
)
def test_a_mistake_is_reported_with_file_line_and_key(old, new, key, sentence):
    text = shipped_with(old, new)
    (message,) = mistakes(text)
    assert message.startswith(f"project.yaml: line {line_of(text, new)}, {key}: ")
    assert sentence in message


def test_several_mistakes_are_reported_at_once_in_the_order_of_their_lines():
    text = shipped_with("region: US", "region: XX").replace("[vip-2024]", "vip").replace("topics:", "topic:")
    assert [line.split(": ")[1].split(", ")[1] for line in mistakes(text)] == [
        "topic",
        "segments",
        "default_phone_region",
    ]


def test_a_second_default_data_source_is_refused_and_the_first_one_named():
    text = shipped_with(
        "default: true}", "default: true}\n  - {name: Shop, point_of_contact: site-main, default: true}"
    )
    (message,) = mistakes(text)
    assert message == (
        f"project.yaml: line {line_of(text, 'name: Shop')}, data_sources[1].default: only one data source can be the "
        "default, and 'Maestra Platform admin panel' is it already"
    )


def test_a_duplicate_key_is_reported_with_its_line():
    assert mistakes("brands: [Acme]\nbrands: [Demo]\n") == [
        "project.yaml: line 2: 'brands' is written twice, first on line 1"
    ]


@pytest.mark.parametrize("text", ["", "[]", "just text", "# nothing"])
def test_a_file_without_keys_is_refused(text):
    assert mistakes(text) == ["project.yaml: expected keys such as `brands:`, found none"]


def test_files_that_can_not_be_read_are_reported(tmp_path):
    with pytest.raises(ConfigurationError, match=r"^none\.yaml: can't be read: No such file"):
        load_project(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("brands: [Café]".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"^latin\.yaml: not UTF-8 at byte 12$"):
        load_project(tmp_path / "latin.yaml")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load_project().brands = ()
