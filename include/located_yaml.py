"""YAML that people write, read with the line of every key, so that a mistake can be pointed at.

Stricter than plain YAML: a duplicate key is a mistake, not "the last one wins"; keys are always text as it stands
(`No: card_number` is a header called No, not `false`); anchors, aliases and tags are refused, so that a few lines can't
unfold into gigabytes or objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Key = tuple[str | int, ...]

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 20


class YamlMistake(ValueError):
    """The text can't be read as YAML of the kind described above.

    Args:
        sentence: what is wrong.
        line: where, 1-based; None when no line is to blame.
    """

    def __init__(self, sentence: str, line: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line


@dataclass(frozen=True)
class LocatedYaml:
    """Plain values (dict, list, str, int, float, bool, date, None) and the line on which each key or item stands."""

    value: object
    lines: dict[Key, int] = field(default_factory=dict)

    def line_of(self, key: Key) -> int:
        """Return the line of a key, or of the nearest thing around it that is there."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


def read_yaml(text: str) -> LocatedYaml:
    """Read one YAML document; an empty text gives the value None.

    Raises:
        YamlMistake: not YAML, more than one document, a duplicate key, an anchor, alias or tag, too long, too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlMistake(f"the text is longer than {MAX_CHARACTERS:,} characters")
    try:
        _refuse_what_unfolds(text)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return LocatedYaml(None)
            lines = {key: found.start_mark.line + 1 for key, found in _walk(node, ())}
            return LocatedYaml(_plain_value(loader, node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlMistake(f"not valid YAML: {error.problem}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise YamlMistake(f"not valid YAML: {error}") from None


def show_key(key: Key) -> str:
    """Write a key as people say it: `points_of_contact[0].brand`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def describe(value: object) -> str:
    """Say what a YAML value is, in words of YAML."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "keys of its own"
        case list() | tuple():
            return "a list"
        case str():
            return repr(value[:100])
        case _:
            return str(value)[:100]


def explain(detail: Mapping[str, Any]) -> str:
    """Say in words of YAML what one of pydantic's error details is about (pydantic 2.14)."""
    given = describe(detail.get("input"))
    match detail["type"]:
        case "missing":
            return "is missing"
        case "string_type":
            return f"must be text, found {given}; text that looks otherwise needs quotes"
        case "bool_type":
            return f"must be true or false, found {given}"
        case "int_type" | "float_type":
            return f"must be a number, found {given}"
        case "tuple_type":
            return f"must be a list, [] for none; found {given}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must have keys of its own, as in {{key: value}}; found {given}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return f"{detail['msg'].replace('Input should', 'must').replace('String should', 'must')}, found {given}"


def _refuse_what_unfolds(text: str) -> None:
    """Go over the events, which needs no recursion, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlMistake("anchors (&) and aliases (*) are not supported; text that begins so needs quotes", line)
        if getattr(event, "tag", None):
            raise YamlMistake("tags (!) are not supported; text that begins so needs quotes", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise YamlMistake(f"nested deeper than {MAX_DEPTH} levels", line)


def _walk(node: yaml.Node, key: Key) -> Iterator[tuple[Key, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            inner = (*key, _key_text(key_node))
            yield inner, key_node
            yield from _walk(value_node, inner)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            yield (*key, position), item
            yield from _walk(item, (*key, position))


def _plain_value(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_plain_value(loader, item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return _scalar_value(loader, node)
    values: dict[str, object] = {}
    first_lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = _key_text(key_node), key_node.start_mark.line + 1
        if key in values:
            raise YamlMistake(f"{key!r} stands twice, first on line {first_lines[key]}", line)
        values[key] = _plain_value(loader, value_node)
        first_lines[key] = line
    return values


def _scalar_value(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    """Numbers in base 60 (`5:30`) and octal (`0123`) stay text: nobody who writes them means 330 or 83."""
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and _SURPRISING_NUMBER.fullmatch(node.value):
        return node.value
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:  # `2024-13-45` looks like a date to YAML
        raise YamlMistake(
            f"{node.value!r} can't be read ({error}); put text in quotes", node.start_mark.line + 1
        ) from None


_SURPRISING_NUMBER = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+:.*)")


def _key_text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise YamlMistake("a key must be plain text", node.start_mark.line + 1)
    return str(node.value)
