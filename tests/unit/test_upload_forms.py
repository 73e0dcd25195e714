"""Names and settings of uploads. Source: X-01, X-12."""

from __future__ import annotations

import pytest

from include.arrivals.uploads import safe_name, sidecar_text
from include.declaration.settings import Bears
from include.errors import FileRefused
from include.import_types import IMPORT_TYPES
from include.settings.form import form_settings, read_form, split_for_form
from include.values.private_values import may_be_private

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("cards.csv", "cards.csv"),
        ("CARDS.TXT", "CARDS.TXT"),
        ("a/b\\c/cards.csv", "cards.csv"),
        ("line\x07bell\x00\n.csv", "linebell.csv"),
        ("\u202egnp\u200b.csv", "gnp.csv"),
        ("... . cards.csv", "cards.csv"),
        ("~$cards.csv", "$cards.csv"),
        ("two   blanks.csv", "two blanks.csv"),
        ("e\u0301.csv", "\u00e9.csv"),
        ("\ud800.txt.csv", "txt.csv"),
        ("x" * 500 + ".csv", "x" * 176 + ".csv"),
    ],
)
def test_a_name_is_made_safe(sent: str, name: str) -> None:
    assert safe_name(sent) == name
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "sent", ["", ".", "..", "/", "cards", "cards.xlsx", ".csv", "a.csv/", "a.csv\\", "csv", "\x00"]
)
def test_a_name_of_another_kind_is_refused(sent: str) -> None:
    with pytest.raises(FileRefused) as refused:
        safe_name(sent)
    assert refused.value.rule == "file.extension"


def test_settings_of_a_form_become_values() -> None:
    texts = {
        "encoding": "WINDOWS-1251",
        "force": "yes",
        "max_reject_share": "0,25",
        "slash_dates": "",
        "delimiter": "tab",
    }
    settings, problems = read_form(IMPORT_TYPES, IMPORT_TYPES["gift_cards"], texts)
    assert settings == {"encoding": "WINDOWS-1251", "force": True, "max_reject_share": 0.25, "delimiter": "tab"}
    assert problems == {}
    assert sidecar_text(settings) == "delimiter: tab\nencoding: WINDOWS-1251\nforce: true\nmax_reject_share: 0.25\n"
    assert sidecar_text({}) == ""


def test_each_wrong_setting_has_its_own_reason() -> None:
    texts = {"force": "perhaps", "max_reject_share": "2", "encoding": "none", "pool": "p", "delimiter": "||", "x": "1"}
    settings, problems = read_form(IMPORT_TYPES, IMPORT_TYPES["gift_cards"], texts)
    assert settings == {}
    assert problems.keys() == texts.keys()
    assert problems["pool"] == "Only promo_codes have this setting, not gift_cards."


def test_a_form_offers_the_settings_that_a_type_has() -> None:
    offered = {name: list(form_settings(declared)) for name, declared in IMPORT_TYPES.items()}
    assert "encoding" not in offered["gift_card_pools"]
    assert [name for name in ("pool", "on_existing") if name in offered["promo_codes"]] == ["pool", "on_existing"]
    assert offered["customers"][0] == "action"
    assert {name for names in offered.values() for name in names} == {
        "action", "pool", "on_existing", "data_source", "point_of_contact", "segment",
        "take_point_of_contact_from_file", "take_action_template_from_file", "on_invalid_optional",
        "strict_sold_cards", "encoding", "delimiter", "slash_dates", "max_reject_share", "rejects_verbatim", "force",
    }  # fmt: skip


SAMPLES: dict[str, list[object]] = {
    "action": ["add_and_edit", None],
    "encoding": ["cp1251", "utf-8", "utf-16"],
    "delimiter": [None, *",;|\t \x01\x1f", ":"],
    "mapping": [{}, {"Phone": None, "4929333344445555": "card_number"}],
    "slash_dates": ["refuse", "day_first"],
    "on_invalid_optional": ["drop_value"],
    "phone_region": [None, "DE"],
    "pool": ["P1", " ", "yes", "1", "0,5", "tab", "xmas_20261201_1", "4929333344445555", None],
    "on_existing": ["update_dates"],
    "code_pattern": ["[A-Z]{8}", None],
    "data_source": ["crm", None],
    "point_of_contact": ["none", "shop 1"],
    "segment": ["ann@example.com", "VIP"],
    "take_point_of_contact_from_file": [True, False],
    "take_action_template_from_file": [True, False],
    "replace_external_ids": [True, False],
    "shared_identifier_rows": [3],
    "strict_sold_cards": [True, False],
}
BEARING = sorted({(kind, name) for kind in IMPORT_TYPES for name in IMPORT_TYPES[kind].settings.marked(Bears)})


@pytest.mark.parametrize(("kind", "name"), BEARING)
def test_x19_a_form_and_what_is_taken_over_are_together_what_a_job_had(kind: str, name: str) -> None:
    """Each setting that bears on what is loaded has samples here. Source: X-13, X-19."""
    for value in SAMPLES[name]:
        texts, others = split_for_form(IMPORT_TYPES, IMPORT_TYPES[kind], {name: value})
        read, problems = read_form(IMPORT_TYPES, IMPORT_TYPES[kind], texts)
        canonical = {key: "\t" if (key, text) == ("delimiter", "tab") else text for key, text in read.items()}
        assert (others | canonical, problems) == ({name: value}, {})
        assert not any(may_be_private(text) for text in texts.values())
