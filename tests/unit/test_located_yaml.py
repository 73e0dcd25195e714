"""YAML that people write: lines, duplicate keys, and what it must not unfold into."""

import pytest

from include.located_yaml import YamlMistake, read_yaml, show_key

pytestmark = pytest.mark.unit


def test_every_key_and_item_knows_its_line():
    located = read_yaml("a: 1\n\nb:\n  - x\n  - {c: 2}\n")
    assert located.value == {"a": 1, "b": ["x", {"c": 2}]}
    assert located.lines == {("a",): 1, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("b", 1, "c"): 5}
    assert located.line_of(("b", 1, "missing", 7)) == 5


def test_a_duplicate_key_is_a_mistake_on_the_line_of_the_second():
    with pytest.raises(YamlMistake, match="'a' is written twice, first on line 1") as caught:
        read_yaml("a: 1\nb: 2\na: 3\n")
    assert caught.value.line == 3


def test_keys_are_text_as_written_though_yaml_means_otherwise():
    assert read_yaml("{No: 1, 007: 2, 2024-01-02: 3, ~: 4}").value == {"No": 1, "007": 2, "2024-01-02": 3, "~": 4}


def test_octal_and_base_60_numbers_stay_text():
    assert read_yaml("[0123, 5:30, 12, 0, -3, 0.5]").value == ["0123", "5:30", 12, 0, -3, 0.5]


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a: &x [1]\nb: *x\n", 1, "anchors"),
        ("a: 1\nb: *x\n", 2, "anchors"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "tags"),
        ("a: 1\nb: " + "[" * 21 + "]" * 21, 2, "nested deeper than 20"),
        ("[" * 100_000, 1, "nested deeper than 20"),
        ("a: 1\nb: [1\n", 3, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 1\nb: 2024-13-45\n", 2, "put text in quotes"),
        ("? [a]\n: 1\n", 1, "a key must be plain text"),
        ("a: \x00", None, "special characters are not allowed"),
        ("#" * (1 << 20) + "\n", None, "longer than"),
    ],
)
def test_what_unfolds_or_can_not_be_read_is_a_mistake(text, line, sentence):
    with pytest.raises(YamlMistake, match=sentence) as caught:
        read_yaml(text)
    assert caught.value.line == line


def test_an_empty_text_is_nothing():
    assert read_yaml("# only a comment\n").value is None


def test_keys_are_shown_as_people_say_them():
    assert show_key(("points_of_contact", 0, "brand")) == "points_of_contact[0].brand"
