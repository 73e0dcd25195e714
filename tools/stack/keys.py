"""The secrets of one local stack, made once and kept in a file that only its owner reads."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from include.deployment.errors import StackError
from include.deployment.private_files import write_private


def _token() -> str:
    return secrets.token_urlsafe(64)  # SHA-512 wants a key of 64 bytes at least


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True, repr=False)
class Keys:
    """Every secret that Airflow and the importer need; none of them is ever in a log or on a command line."""

    fernet_key: str = field(default_factory=_fernet_key)
    jwt_secret: str = field(default_factory=_token)
    api_secret_key: str = field(default_factory=_token)
    cvv_key: str = field(default_factory=_token)
    code_key: str = field(default_factory=_token)
    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))


def load_keys(path: Path) -> Keys:
    """Read the keys, or make and store them on the first call.

    A key that an older file lacks is added; those that exist never change, because stored hashes and encrypted
    values depend on them.

    Raises:
        StackError: the file is no JSON object.
    """
    stored = _read(path)
    field_names = {one.name for one in fields(Keys)}
    keys = Keys(**{name: value for name, value in stored.items() if name in field_names})
    if asdict(keys).keys() - stored.keys():
        write_private(path, json.dumps({**stored, **asdict(keys)}, indent=2) + "\n")
    return keys


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    try:
        stored = json.loads(text)
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        raise StackError(f"{path} is damaged: restore it, or delete the folder {path.parent} to start from nothing.")
    return stored
