"""docker-compose.yaml as docker-compose itself reads it, filled in as a person fills in .env."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.stack.settings import PROJECT


def compose(env_file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Let docker-compose read the file, which needs no engine."""
    return subprocess.run(
        ["docker-compose", "--env-file", str(env_file), "config", *arguments],
        cwd=PROJECT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def filled(folder: Path, **values: str) -> Path:
    """Write .env.example as a person fills it in: each blank gets a value of its own, others may be given."""
    lines = (PROJECT / ".env.example").read_text().splitlines()
    text = []
    for line in lines:
        name, is_set, value = line.removeprefix("# ").partition("=")
        if is_set and name in values:
            text.append(f"{name}={values[name]}")
        else:
            text.append(f"{line}secret-{name.lower()}" if is_set and not value else line)
    path = folder / "filled.env"
    path.write_text("\n".join(text) + "\n")
    return path


AIRFLOW_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")


def airflow_environment(services: Mapping[str, Any]) -> dict[str, str]:
    """Return what Airflow's components are given, all together: a setting has one value wherever it is given."""
    settings: dict[str, str] = {}
    for name in AIRFLOW_SERVICES:
        environment = services[name]["environment"]
        assert {key: settings[key] for key in settings.keys() & environment.keys()} == {
            key: environment[key] for key in settings.keys() & environment.keys()
        }
        settings |= environment
    return settings
