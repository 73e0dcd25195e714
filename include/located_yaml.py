"""YAML that people write, read with the line of every key, so that a mistake can be pointed at.

Stricter than plain YAML: a duplicate key is a mistake, not "the last one wins"; keys are always text as written
(`No: card_number` is a header called No, not `false`); anchors, aliases and tags are refused, so that a few lines can't
unfold into gigabytes or objects. Read by libyaml: Python's own parser takes ten times as long for the same text.
Whatever a text holds, a message about it is short: what it quotes is cut off, shows what can't be seen (X-11), and is
masked where it looks like data (X-20).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from include.names import MOST_DIGITS, mask_data

Key = tuple[str | int, ...]

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 20
LONGEST_QUOTE = 60
"""Characters of a key or value that a message quotes."""
_LONGEST_PROBLEM = 200
_LONGEST_NUMBER = 40
"""Python refuses to write integers of more than 4,300 digits, which hexadecimal ones reach unnoticed."""
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TEXT = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")
"""What YAML makes of `<<` and `=`; as a value they are text like any other."""


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
    """Plain values (dict, list, str, int, float, bool, date, None) and the line on which each key or item is."""

    value: object
    lines: dict[Key, int] = field(default_factory=dict)

    def line_of(self, key: Key) -> int:
        """Return the line of a key, or of the nearest thing around it that is there."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


def read_yaml(text: str) -> LocatedYaml:
    """Read one YAML document, after a byte order mark if there is one; an empty text gives the value None.

    Raises:
        YamlMistake: not YAML, more than one document, a duplicate key, an anchor, alias or tag, too long, too deep.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlMistake(f"the text is longer than {MAX_CHARACTERS:,} characters")
    if unreadable := _UNREADABLE.search(text, 1 if text.startswith("\ufeff") else 0):
        place = f"found U+{ord(unreadable[0]):04X} at byte {len(text[: unreadable.start()].encode())}"
        raise YamlMistake(f"special characters are not allowed, {place}")
    text = text.removeprefix("\ufeff")
    try:
        _refuse_what_unfolds(text)
        loader = yaml.CSafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return LocatedYaml(None)
            lines = {key: entry.start_mark.line + 1 for key, entry in _walk(node, ())}
            return LocatedYaml(_plain_value(loader, node), lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last_line = len(f"{text}.".splitlines())  # libyaml counts one more where the text just ends
        line = min(mark.line + 1, last_line) if mark else None
        raise YamlMistake(f"not valid YAML: {mask_data(shown(str(error.problem), _LONGEST_PROBLEM))}", line) from None
    except yaml.YAMLError as error:
        raise YamlMistake(f"not valid YAML: {mask_data(shown(str(error), _LONGEST_PROBLEM))}") from None


def shown(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return the beginning of a text that a person wrote; what can't be seen in it is spelled out."""
    # Cut off first, so that the cost doesn't grow with the text, and then again: an escape has up to ten characters.
    escaped = "".join(character if _is_seen(character) else ascii(character)[1:-1] for character in text[: longest + 1])
    return escaped if len(escaped) <= longest else f"{escaped[: longest - 1]}…"


def quoted(text: str) -> str:
    """Return a key or a value as `repr` does, but `shown`, and masked where it looks like data (X-20)."""
    return f"'{mask_data(shown(text))}'"


def named(name: str) -> str:
    """Return the name of a thing of the project, such as a pool, as `repr` does, but `shown`. Names are no data."""
    return f"'{shown(name)}'"


def _is_seen(character: str) -> bool:
    return character == " " or unicodedata.category(character)[0] not in "CZ"


def show_key(key: Key) -> str:
    """Write a key as people say it: `points_of_contact[0].brand`; a long one is cut off."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in key)
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
            return quoted(value)
        case _:
            text = shown(str(value))
            return mask_data(text) if sum(character.isdigit() for character in text) > MOST_DIGITS else text


def explain(detail: Mapping[str, Any]) -> str:
    """Say in words of YAML what one of pydantic's error details is about (pydantic 2.14)."""
    value = describe(detail.get("input"))
    match detail["type"]:
        case "missing":
            return "is missing"
        case "string_type":
            return f"must be text, found {value}; text that looks otherwise needs quotes"
        case "bool_type":
            return f"must be true or false, found {value}"
        case "int_type" | "float_type":
            return f"must be a number, found {value}"
        case "tuple_type":
            return f"must be a list, [] for none; found {value}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must have keys of its own, as in {{key: value}}; found {value}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return f"{detail['msg'].replace('Input should', 'must').replace('String should', 'must')}, found {value}"


def _refuse_what_unfolds(text: str) -> None:
    """Go over the events, which needs no recursion, before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
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


def _plain_value(loader: yaml.CSafeLoader, node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_plain_value(loader, item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return _scalar_value(loader, node)
    values: dict[str, object] = {}
    first_lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = _key_text(key_node), key_node.start_mark.line + 1
        if key in values:
            raise YamlMistake(f"{quoted(key)} is written twice, first on line {first_lines[key]}", line)
        values[key] = _plain_value(loader, value_node)
        first_lines[key] = line
    return values


def _scalar_value(loader: yaml.CSafeLoader, node: yaml.Node) -> object:
    """Numbers in base 60 (`5:30`) and octal (`0123`) stay text: nobody who writes them means 330 or 83.

    So do numbers of more digits than anything here can have.
    """
    is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    if is_number and (len(node.value) > _LONGEST_NUMBER or _SURPRISING_NUMBER.fullmatch(node.value)):
        return node.value
    if node.tag in _PLAIN_TEXT:
        return node.value
    try:
        return loader.construct_object(node, deep=True)
    except (ValueError, OverflowError) as error:  # `2024-13-45` looks like a date to YAML
        raise YamlMistake(
            f"{quoted(node.value)} can't be read ({mask_data(shown(str(error)))}); put text in quotes",
            node.start_mark.line + 1,
        ) from None


_SURPRISING_NUMBER = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+:.*)")


def _key_text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise YamlMistake("a key must be plain text", node.start_mark.line + 1)
    return str(node.value)
