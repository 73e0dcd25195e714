"""Formats of promo codes: from numbers to codes, and how many codes a format has left. Source: PP-03, PG-02, PG-03."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection

from include.promo_codes.errors import GenerationRefused
from include.promo_codes.permutation import LARGEST_HALF, Numbers, Permutation, draw_numbers, make_permutation
from include.promo_codes.permutation import permuted_places as places_of

_BACKSLASH = "\x00"
"""Takes the place of a backslash while codes are laid out: COPY wants two in its place. No format has a NUL."""


@dataclass(frozen=True)
class CodeFormat:
    """What the codes of a format look like; as `include.project.model.PromoCodeFormat`, but read from the database.

    Args:
        alphabet: the characters that vary; each is there once.
        length: of the whole code, prefix and suffix included.
        max_codes: how many may be generated; None: as many as there are.
    """

    name: str
    alphabet: str
    length: int
    prefix: str = ""
    suffix: str = ""
    max_codes: int | None = None

    @property
    def free_length(self) -> int:
        """Characters that vary: the length without prefix and suffix."""
        return self.length - len(self.prefix) - len(self.suffix)

    @property
    def space(self) -> int:
        """How many codes there are that look so."""
        return int(len(self.alphabet) ** self.free_length)

    @property
    def is_ascii(self) -> bool:
        """Whether all characters of its codes are ASCII's."""
        return f"{self.prefix}{self.alphabet}{self.suffix}".isascii()

    def key(self, master: bytes) -> bytes:
        """Return the key of this format alone, 32 bytes: formats that share characters share no order of codes."""
        parameters = json.dumps([self.name, "".join(sorted(self.alphabet)), self.length, self.prefix, self.suffix])
        return hmac.digest(master, f"promo code format {parameters}".encode(), "sha256")

    def permutation(self, key: bytes) -> Permutation:
        """Return the order in which the key makes this format's codes."""
        return make_permutation(key, len(self.alphabet), self.free_length)


def fingerprint(key: bytes) -> bytes:
    """Return what distinguishes one key from another and gives neither away, 32 bytes."""
    return hashlib.sha256(b"fingerprint of a promo code key" + key).digest()


def write_codes(code_format: CodeFormat, key: bytes, numbers: Numbers, row_end: str) -> bytes:
    r"""Turn numbers of the format's permutation into codes, as the lines of a COPY in text format.

    The order of the lines is that of the numbers; ascending numbers give ascending codes (by code points, as collation
    "C" has them).

    Args:
        key: of the format; places that the permutation doesn't cover are drawn with it.
        row_end: what follows each code in its line, as COPY wants it: further columns, and `\n`.
    """
    letters = "".join(sorted(code_format.alphabet))
    start, end, letters = (text.replace("\\", _BACKSLASH) for text in (code_format.prefix, code_format.suffix, letters))
    is_ascii = f"{start}{end}{letters}{row_end}".isascii()
    rows = np.empty((len(numbers), code_format.length + len(row_end)), dtype="u1" if is_ascii else "<u4")
    rows[:, : len(start)] = _points(start)
    rows[:, code_format.length - len(end) :] = _points(end + row_end)
    free = rows[:, len(start) : code_format.length - len(end)]
    _fill(free, np.array(_points(letters), dtype=rows.dtype), key, numbers)
    text = rows.tobytes() if is_ascii else rows.tobytes().decode("utf-32-le").encode()
    return text.replace(_BACKSLASH.encode(), rb"\\") if _BACKSLASH in start + end + letters else text


def _fill(free: NDArray[Any], letters: NDArray[Any], key: bytes, numbers: Numbers) -> None:
    """Write the characters that vary: those that the permutation covers, then groups that are drawn."""
    radix, places = len(letters), free.shape[1]
    permuted = places_of(radix, places)
    _write_digits(free[:, :permuted], letters, numbers)
    group = max(1, sum(radix**size <= LARGEST_HALF for size in range(1, places + 1)))
    for position in range(permuted, places, group):
        columns = free[:, position : position + group]
        drawn = draw_numbers(key, numbers, position, below=radix ** columns.shape[1])
        _write_digits(columns, letters, drawn)


def _write_digits(columns: NDArray[Any], letters: NDArray[Any], numbers: Numbers) -> None:
    radix = np.uint64(len(letters))
    for column in reversed(range(columns.shape[1])):
        quotients = numbers // radix
        columns[:, column] = letters[(numbers - quotients * radix).astype(np.intp)]
        numbers = quotients


def _points(text: str) -> list[int]:
    return [ord(character) for character in text]


@dataclass(frozen=True)
class FormatState:
    """A format and how far its generation is, under a lock that other generations wait for.

    Args:
        key_fingerprint: of the key whose permutation is walked; None before the first code.
        next_index: of the permutation.
        generated: codes that generation has added, for all pools and under all keys.
        present: codes of any origin in the format's space.
    """

    format: CodeFormat
    key_fingerprint: bytes | None
    next_index: int
    generated: int
    present: int

    @property
    def available(self) -> int:
        """Codes that can still be generated (PG-02)."""
        free = self.format.space - self.present
        return free if self.format.max_codes is None else min(free, self.format.max_codes - self.generated)


_FORMAT = sa.table(
    "promo_code_format",
    *(sa.column(name, sa.Text) for name in ("name", "alphabet", "prefix", "suffix")),
    sa.column("length", sa.Integer),
    *(sa.column(name, sa.BigInteger) for name in ("max_codes", "next_index", "generated")),
    sa.column("key_fingerprint", sa.LargeBinary),
    schema="loyalty",
)
_PRESENT = sa.text("SELECT coalesce(sum(codes), 0)::bigint FROM loyalty.promo_code_format_use WHERE format = :name")


def lock_format(connection: Connection, name: str) -> FormatState:
    """Read a format under a lock until the end of the transaction: what is available can't be given away twice.

    Others may refer to the format meanwhile (FOR NO KEY UPDATE), and uploads may still take codes of its space.

    Raises:
        GenerationRefused: there is no such format.
    """
    statement = sa.select(_FORMAT).where(_FORMAT.c.name == name).with_for_update(key_share=True)
    return _read_format(connection, statement, name)


def read_format(connection: Connection, name: str) -> FormatState:
    """Read a format as it is now, for a page that only looks.

    Raises:
        GenerationRefused: there is no such format.
    """
    return _read_format(connection, sa.select(_FORMAT).where(_FORMAT.c.name == name), name)


def _read_format(connection: Connection, statement: sa.Select[Any], name: str) -> FormatState:
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        names = ", ".join(map(repr, format_names(connection)))
        raise GenerationRefused(
            "generation.unknown_format",
            f"There is no promo code format {name!r}. The project settings have {names or 'none'}.",
        )
    # A statement of its own: it sees what was committed while the first one waited for the lock.
    present = connection.execute(_PRESENT, {"name": name}).scalar_one()
    code_format = CodeFormat(
        row["name"], row["alphabet"], row["length"], row["prefix"], row["suffix"], row["max_codes"]
    )
    key_fingerprint = None if row["key_fingerprint"] is None else bytes(row["key_fingerprint"])
    return FormatState(code_format, key_fingerprint, row["next_index"], row["generated"], int(present))


def write_progress(connection: Connection, name: str, **values: object) -> None:
    """Set columns of a locked format: key_fingerprint, next_index, generated."""
    connection.execute(sa.update(_FORMAT).where(_FORMAT.c.name == name).values(**values))


@dataclass(frozen=True)
class FormatStock:
    """One row of the view `loyalty.promo_code_format_stock`.

    Args:
        present: codes of any origin in the format's space.
        guess_probability: that one attempt at a random code of the space hits one that is present; 0 to 1.
    """

    name: str
    capacity: int
    generated: int
    present: int
    available: int
    guess_probability: float


def list_formats(connection: Connection) -> list[FormatStock]:
    """Return what each format can give and has given, by name. Source: PG-02."""
    rows = connection.execute(
        sa.text(
            """
            SELECT name, capacity, generated, present, available, guess_probability
            FROM loyalty.promo_code_format_stock
            ORDER BY name
            """
        )
    )
    return [
        FormatStock(
            name=row.name,
            capacity=int(row.capacity),
            generated=row.generated,
            present=int(row.present),
            available=int(row.available),
            guess_probability=float(row.guess_probability),
        )
        for row in rows
    ]


def format_names(connection: Connection) -> list[str]:
    """Return the names of all formats, in order."""
    return list(connection.scalars(sa.select(_FORMAT.c.name).order_by(_FORMAT.c.name)))


def rotate_key(connection: Connection, name: str, master: bytes) -> bool:
    """Let a format's generation begin again under another key; codes that are there are skipped. Source: PG-03.

    Returns:
        False when the format's codes are of this very key, or it has none yet: nothing was changed.
    """
    state = lock_format(connection, name)
    mark = fingerprint(state.format.key(master))
    if state.key_fingerprint in (None, mark):
        return False
    write_progress(connection, name, key_fingerprint=mark, next_index=0)
    return True
