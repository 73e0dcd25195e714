"""How a file is written: its encoding and its delimiter."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

from include.errors import FileRefused, SettingsError
from include.located_yaml import quoted
from include.reading.scan import count_cells, count_line_ends, delimiters_outside_quotes, scan

DELIMITERS = (",", ";", "\t", "|")
SNIFFED_ROWS = 100

_BOMS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "gb18030": b"\x84\x31\x95\x33",
}
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# The four bytes of UTF-32 begin with the two of UTF-16.
_BY_LENGTH = sorted(_BOMS.items(), key=lambda entry: -len(entry[1]))
_WINDOWS = {
    "iso8859-1": "windows-1252", "iso8859-2": "windows-1250", "iso8859-5": "windows-1251", "iso8859-6": "windows-1256",
    "iso8859-7": "windows-1253", "iso8859-8": "windows-1255", "iso8859-9": "windows-1254", "iso8859-13": "windows-1257",
    "iso8859-15": "windows-1252",
}  # fmt: skip
"""What a file is likely to be that is declared as the one, and has characters where that one has controls."""
_CONTROLS = re.compile(rb"[\x80-\x9f]")
# Their bytes mean one thing or another depending on what came before, so one record can't be given back on its own; the
# last five are no encodings of files.
_WITHOUT_WAY_BACK = re.compile(
    r"iso2022.*|hz|utf-7|utf_7|idna|punycode|undefined|raw.unicode.escape|unicode.escape", re.IGNORECASE
)
# Unicode White_Space as UTF-8.
_SPACE = rb"(?:[\t-\r ]|\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)"
_BLANK = re.compile(_SPACE + rb"*+")
_BLANK_LINES = re.compile(rb"(?:" + _SPACE.replace(rb"\t-\r", rb"\t\x0b\x0c") + rb"*+(?:\r\n|\r|\n))*+")


# A rejected-rows file says it itself; its sentences, full of commas, would be counted with the sender's cells.
_CORRECTED = re.compile(rb'"?_job"?([,;\t|])"?_line(?![A-Za-z0-9_])')


@dataclass(frozen=True)
class Dialect:
    """How the sender wrote the file, as far as it takes to write a record the same way.

    Args:
        encoding: Python's name of the codec, without a byte order mark: `utf-8`, `utf-16-le`, `cp1251`.
        bom: the byte order mark the file began with, or nothing.
        delimiter: one ASCII character; `,` where the header has one column.
        line_end: the header's: LF, CRLF or CR; LF when the file ends with the header.
    """

    encoding: str
    bom: bytes
    delimiter: str
    line_end: str

    @classmethod
    def from_json(cls, stored: Mapping[str, str]) -> Self:
        """Read what `to_json` returned."""
        return cls(stored["encoding"], bytes.fromhex(stored["bom"]), stored["delimiter"], stored["line_end"])

    def to_json(self) -> dict[str, str]:
        """Return plain JSON values; the byte order mark in hexadecimal digits."""
        return asdict(self) | {"bom": self.bom.hex()}


class Undecodable(Exception):
    """A byte sequence that the encoding does not know.

    Args:
        offset: in the source, in bytes.
        text_before: UTF-8 text of the same piece up to there.
    """

    def __init__(self, offset: int, text_before: bytes) -> None:
        super().__init__(offset)
        self.offset = offset
        self.text_before = text_before


class Decoder(Protocol):
    """Turns a source's bytes, piece by piece, into UTF-8 text; a character may be cut by the end of a piece.

    Args:
        warnings: rule and sentence of what a person should know of the encoding, once all pieces are decoded (X-03).
    """

    warnings: list[tuple[str, str]]

    def decode(self, piece: bytes, *, is_final: bool) -> bytes:
        """Return the text of a piece; raise `Undecodable` or, where the way back differs, `FileRefused`."""


class Utf8Decoder:
    """Checks UTF-8 and passes the very bytes on, an unfinished character included.

    Args:
        offset: of the first piece in the source.
    """

    def __init__(self, offset: int) -> None:
        self.warnings: list[tuple[str, str]] = []
        self._offset = offset
        self._unfinished = b""

    def decode(self, piece: bytes, *, is_final: bool) -> bytes:
        """Return the piece itself."""
        unchecked = self._unfinished + piece
        finished = len(unchecked) if is_final else whole_characters(unchecked)
        if not _is_utf8(unchecked, finished):
            try:
                unchecked[:finished].decode()
            except UnicodeDecodeError as error:
                raise Undecodable(self._offset + error.start, unchecked[: error.start]) from None
        self._offset += finished
        self._unfinished = unchecked[finished:]
        return piece


class Transcoder:
    """Turns another encoding into UTF-8 and makes sure that the way back gives the sender's bytes.

    Args:
        encoding: codec whose characters do not depend on what is before them.
        offset: of the first piece in the source.
    """

    def __init__(self, encoding: str, offset: int) -> None:
        self.warnings: list[tuple[str, str]] = []
        self._encoding = encoding
        self._end = offset
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._unfinished = b""

    def decode(self, piece: bytes, *, is_final: bool) -> bytes:
        """Return the piece as UTF-8, an unfinished character held back for the next one."""
        sent = self._unfinished + piece
        if self._encoding in _WINDOWS and not self.warnings and (control := _CONTROLS.search(piece)):
            self._warn_of_control(self._end + control.start(), piece[control.start()])
        self._end += len(piece)
        try:
            text = self._decoder.decode(piece, is_final)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self._encoding, "ignore")
            raise Undecodable(self._end - len(error.object) + error.start, before.encode()) from None
        self._unfinished = self._decoder.getstate()[0]
        sent = sent[: len(sent) - len(self._unfinished)]
        if text.encode(self._encoding, "replace") != sent:
            raise FileRefused(
                "file.encoding_not_reversible",
                f"The file uses byte sequences of {self._encoding} that can't be written back as they were sent, "
                "so rejected rows could not be returned unchanged. Expected: the file saved as UTF-8.",
            )
        return text.encode()

    def _warn_of_control(self, offset: int, byte: int) -> None:
        sentence = (
            f"The byte {byte:02X} at byte offset {offset} is a control character in the declared encoding "
            f"{self._encoding}, which nobody can see. In {_WINDOWS[self._encoding]} it is a letter or a sign: if the "
            f"file comes from a Windows program, declare `encoding: {_WINDOWS[self._encoding]}` and import it again."
        )
        self.warnings.append(("file.control_bytes", sentence))


def find_encoding(declared: str | None, beginning: bytes, *, utf8_only: bool) -> tuple[str, bytes]:
    """Settle the codec and the byte order mark of a file.

    Without a declaration it is UTF-8; `utf-16` and `utf-32` without a byte order mark are little-endian, as Windows
    writes them.

    Args:
        declared: any name that Python knows for the encoding.
        beginning: at least the first four bytes.
        utf8_only: the import type takes nothing else.

    Raises:
        FileRefused: `file.encoding` for an unknown encoding, one that this type does not take, or a byte order mark of
            another one; `file.encoding_not_reversible` for one with shift sequences.

    Source: X-03.
    """
    name = "utf-8" if declared is None else _codec_name(declared)
    if name == "utf-8-sig":
        name = "utf-8"
    if utf8_only and name != "utf-8":
        raise FileRefused(
            "file.encoding",
            f"The settings declare the encoding “{declared}”, but files of this type have to be UTF-8. "
            "Expected: the file saved as UTF-8, and no declaration.",
        )
    if _WITHOUT_WAY_BACK.fullmatch(name):
        raise FileRefused(
            "file.encoding_not_reversible",
            f"The declared encoding “{declared}” does not let single rows be written back as they were sent. "
            "Expected: the file saved as UTF-8.",
        )
    if name in ("utf-16", "utf-32"):
        big_endian = _BOMS[f"{name}-be"]
        name += "-be" if beginning.startswith(big_endian) else "-le"
    marked, bom = next((entry for entry in _BY_LENGTH if beginning.startswith(entry[1])), (name, b""))
    if marked == name:
        return name, bom
    if declared is None:
        return name, b""  # no text in UTF-8 begins so, which the decoder says
    raise _contradicted(marked, declared, utf8_only=utf8_only)


def _contradicted(marked: str, declared: str, *, utf8_only: bool) -> FileRefused:
    """Say that a file begins with the byte order mark of another encoding. Source: X-03."""
    spoken = marked.upper().removesuffix("-LE").removesuffix("-BE")
    cause = f"The file begins with the byte order mark of {marked.upper()}"
    advice = "the file saved as UTF-8" if utf8_only else f"the setting `encoding: {spoken.lower()}`"
    if marked == "utf-8":
        advice = "no declaration, for UTF-8 needs none"
    return FileRefused(
        "file.encoding",
        f"{cause}, but its settings declare the encoding “{declared}”. Expected: {advice}, or a file in that encoding.",
    )


def make_decoder(encoding: str, offset: int) -> Decoder:
    """Return the decoder for what follows the byte order mark, `offset` bytes into the source."""
    return Utf8Decoder(offset) if encoding == "utf-8" else Transcoder(encoding, offset)


def undecodable(
    error: Undecodable, line: int, *, encoding: str, is_declared: bool, utf8_only: bool, beginning: bytes
) -> FileRefused:
    """Say where a file stops being what it should be, and what to do. Source: X-03."""
    cause = f"The file is not valid {encoding.upper()} at byte offset {error.offset}, on line {line}."
    if not is_declared and (beginning.startswith(_UTF16_BOMS) or b"\0" in beginning[:4]):
        cause += " It begins like a UTF-16 file."
    if utf8_only:
        advice = "Expected: the file saved as UTF-8."
    elif is_declared:
        advice = "Expected: the encoding that the settings declare, or settings that declare the file's encoding."
    else:
        advice = "Expected: the file saved as UTF-8, or settings that declare its encoding."
    return FileRefused("file.encoding", f"{cause} {advice}")


def check_delimiter(declared: str) -> None:
    """Raise `SettingsError` unless the declared delimiter is one ASCII character that can separate cells."""
    if len(declared) != 1 or not declared.isascii() or declared in '"\r\n\0':
        raise SettingsError(
            f"The setting `delimiter` is {quoted(declared)}; expected: one ASCII character, such as , ; | or a tab, "
            "and no quote or line end."
        )


def sniff_delimiter(text: bytes, *, is_final: bool) -> str:
    """Choose the delimiter from the header and the first rows, outside quotes.

    The header alone decides which are possible. Among several the winner is the one that splits most rows as it splits
    the header, more cells counting for more; without rows, the header's cells count.

    Args:
        text: from the header on.
        is_final: the text is the whole file, not cut somewhere.

    Raises:
        FileRefused: `file.delimiter_tie`.

    Source: X-15.
    """
    if corrected := _CORRECTED.match(text):
        return corrected[1].decode()
    scores = {}
    for delimiter in DELIMITERS:
        structure = scan(text, ord(delimiter), is_final=is_final)
        is_blank_line = structure.ends == np.concatenate(([0], structure.nexts))[:-1]
        delimiters = delimiters_outside_quotes(text, ord(delimiter), structure)
        cells = count_cells(delimiters, structure)[~is_blank_line][: SNIFFED_ROWS + 1]
        if len(cells) and cells[0] > 1:
            alike = int((cells[1:] == cells[0]).sum()) if len(cells) > 1 else 1
            scores[delimiter] = alike * (int(cells[0]) - 1)
    if len(scores) < 2:
        return next(iter(scores), ",")
    best = [delimiter for delimiter, score in scores.items() if score == max(scores.values())]
    if len(best) > 1:
        names = " or ".join({"\t": "a tab"}.get(delimiter, f"“{delimiter}”") for delimiter in best)
        raise FileRefused(
            "file.delimiter_tie",
            f"The header and the first rows could be separated by {names} alike. "
            "Expected: the setting `delimiter` to say which.",
        )
    return best[0]


def is_blank(text: bytes) -> bool:
    """Say whether a text is empty or nothing but Unicode White_Space. Source: X-16."""
    return _BLANK.fullmatch(text) is not None


def is_blank_line(record: bytes, delimiter: int) -> bool:
    """Say whether a record is no row: nothing but white space, and no delimiter in it. Source: X-15, X-16."""
    return is_blank(record) and delimiter not in record


def skip_blank_lines(text: bytes, *, is_final: bool) -> tuple[int, int]:
    """Return the length of the blank lines that a text begins with, and their number.

    A CR at the very end of a text that goes on is left, because an LF may follow.
    """
    blank = _BLANK_LINES.match(text)
    end = blank.end() if blank else 0
    if end == len(text) and text.endswith(b"\r") and not is_final:
        end -= 1
    lines = count_line_ends(text[:end])
    return (len(text), lines) if is_final and _BLANK.fullmatch(text, end) else (end, lines)


def whole_characters(text: bytes) -> int:
    """Return the length of UTF-8 text without a last character that its end may cut."""
    for back in range(1, min(3, len(text)) + 1):
        byte = text[-back]
        if byte >= 0xC0:
            return len(text) - back
        if byte < 0x80:
            break
    return len(text)


def _codec_name(declared: str) -> str:
    try:
        codec = codecs.lookup(declared)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not codec._is_text_encoding:
        raise FileRefused(
            "file.encoding",
            f"The settings declare the encoding “{declared[:40]}”, which is unknown. "
            "Expected: a name such as utf-8, utf-16, windows-1251 or latin-1.",
        )
    return codec.name


def _is_utf8(text: bytes, length: int) -> bool:
    # Arrow checks 20 GB/s of ASCII and makes no string of it.
    offsets = pa.py_buffer(np.array([0, length], np.int32))
    try:
        pa.StringArray.from_buffers(1, offsets, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
