"""Read `project.yaml`; mistakes are reported with key and line. Source: spec section 9."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from include.errors import ConfigurationError
from include.located_yaml import Key, LocatedYaml, YamlMistake, explain, read_yaml, show_key
from include.names import did_you_mean
from include.project.model import ENTRIES, Project

PROJECT_YAML = Path(__file__).resolve().parents[1] / "config" / "project.yaml"


def load_project(path: Path = PROJECT_YAML) -> Project:
    """Read and validate the project settings.

    Raises:
        ConfigurationError: the file is missing, not UTF-8, not YAML, or holds mistakes; one line for each.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path.name}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path.name}: not UTF-8 at byte {error.start}") from None
    return parse_project(text, path.name)


def parse_project(text: str, file_name: str) -> Project:
    """Validate the text of a project file.

    Raises:
        ConfigurationError: one line for each mistake: file, line, key, what is wrong.
    """
    try:
        located = read_yaml(text)
    except YamlMistake as mistake:
        where = f"line {mistake.line}: " if mistake.line else ""
        raise ConfigurationError(f"{file_name}: {where}{mistake.sentence}") from None
    if not isinstance(located.value, dict):
        raise ConfigurationError(f"{file_name}: expected keys such as `brands:`, found none")
    try:
        return Project.model_validate(located.value)
    except ValidationError as error:
        problems = [problem for detail in error.errors() for problem in _problems(detail)]
        raise ConfigurationError("\n".join(_lines(problems, located, file_name))) from None


def _problems(detail: Any) -> list[tuple[Key, str]]:
    """Turn one of pydantic's error details into (key, sentence) pairs."""
    key: Key = tuple(detail["loc"])
    context = detail.get("ctx", {})
    if detail["type"] == "entries":
        return [((*key, *inner), sentence) for inner, sentence in context["problems"]]
    return [(key, _sentence(detail, key))]


def _sentence(detail: Any, key: Key) -> str:
    if detail["type"] == "extra_forbidden":
        return f"there is no such key{did_you_mean(str(key[-1]), _keys(key))}"
    if key[0] == "alert_subscribers" and detail["type"] == "value_error":
        return f"{detail['input']!r} is no e-mail address"
    return explain(detail)


def _keys(key: Key) -> list[str]:
    model = ENTRIES.get(str(key[0]), Project) if len(key) > 1 else Project
    return [field.alias or name for name, field in model.model_fields.items()]


def _lines(problems: list[tuple[Key, str]], located: LocatedYaml, file_name: str) -> list[str]:
    ordered = sorted(problems, key=lambda problem: located.line_of(problem[0]))
    return [f"{file_name}: line {located.line_of(key)}, {show_key(key)}: {sentence}" for key, sentence in ordered]
