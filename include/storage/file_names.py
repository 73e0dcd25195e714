"""What a file's name says: that it is still being written, that it holds settings, or only looks so, and its order.

Names are compared without regard to letter case and Unicode form; nothing of a name is ever a pattern or an address.
Source: X-11, X-12, X-14.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property, lru_cache
from pathlib import PurePosixPath

EXTENSIONS = (".csv", ".txt")
"""Of files of rows, in any letter case (X-01)."""
PARTIAL_SUFFIX = ".part"
"""Of what the importer itself is still writing."""
UNFINISHED_SUFFIXES = (
    PARTIAL_SUFFIX, ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".opdownload", ".uploading",
    ".inprogress", "._copying_", ".aria2", ".!ut", ".swp", ".swx", "~",
)  # fmt: skip
UNFINISHED_PREFIXES = (".", "~")
UNFINISHED_PART = ".sb-"
"""In the names of macOS' saved-before copies."""
SIDECAR_SUFFIX = ".settings.yaml"
FOLDER_SETTINGS = "_settings.yaml"
SIDECAR_SUFFIXES = (SIDECAR_SUFFIX, ".settings.yml")
FOLDER_SETTINGS_NAMES = (FOLDER_SETTINGS, "_settings.yml")

LONGEST_NAME_BYTES = 255
"""Of a file name on a disk, where work and archive may be."""
LONGEST_REPORT_NAME_BYTES = 240
"""Of a report's, which has room for the name of a file that is still being written."""
LONGEST_UPLOAD_NAME_BYTES = 180
"""Of an upload's: `.settings.yaml` and the words that reports add fit behind it."""

_WORDS = ("settings", "setting")
_WORD = re.compile(
    r"(?:(?<![^\W\d_])|(?<=\.csv)|(?<=\.txt))sett(?:i\u0307?|\u0131)ngs?(?=ya?ml|[\W\d_]|\Z)"  # the i of Turkish too
)
"""`settings` as a word of its own, or right behind a file's name or before `yaml`."""
_TO_DATA = re.compile(r".*\.(?:csv|txt)(?![^\W_])", re.DOTALL)
"""Up to the end of a data file's name."""
_YAML = re.compile(r"[\W_]ya?ml(?![^\W\d_])")
_OF_SETTINGS = re.compile(r"sett|ya?ml", re.IGNORECASE)
"""In each name in ASCII that may be a settings file's, or resemble one."""
_YAML_SUFFIXES = (".yaml", ".yml")
_FORMATS = (*_YAML_SUFFIXES, ".json")
_OWN_WORD = re.compile(r"(?:.*\s)?_", re.DOTALL)
"""Before the word in `Copy of _settings.yaml`."""
_WORD_START = re.compile(r"[\W_]+(?=[^\W_])")
"""Before each word of a name but one at its beginning."""
_RCLONE = re.compile(r"\.[0-9a-f]{8}$")
_SEPARATORS = re.compile(r"[\x00-\x20!-#%-*,-/:;?@\[-\]_{}\x7f]+")
"""Blanks, punctuation and control characters: of ASCII."""
_BETWEEN_WORDS = re.compile(r"(?<!\d)-|-(?!\d)")
_DIGITS = re.compile(r"(\d+)")


def fold(name: str) -> str:
    """Return what is equal of names that differ in letter case or Unicode form alone."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def suffix_of(name: str) -> str:
    """Return the extension of a file name in small letters, the dot included; empty without one."""
    return PurePosixPath(name).suffix.lower()


def is_unfinished(name: str) -> bool:
    """Recognise hidden names, and those that programs give to what they are still writing (X-12)."""
    folded = fold(name)
    return folded.startswith(UNFINISHED_PREFIXES) or folded.endswith(UNFINISHED_SUFFIXES) or UNFINISHED_PART in folded


def settings_target(name: str) -> str | None:
    """Return the name of the file whose settings a file holds, "" for a folder's; None for other names (X-11)."""
    if fold(name) in FOLDER_SETTINGS_NAMES:
        return ""
    for suffix in SIDECAR_SUFFIXES:
        if len(name) > len(suffix) and name[-len(suffix) :].casefold() == suffix:
            return name[: -len(suffix)]
    return None


def is_settings(name: str) -> bool:
    """Recognise the names of settings files."""
    return settings_target(name) is not None


def is_ignored(name: str) -> bool:
    """Recognise names that are no files of rows: settings and what resembles them, hidden, still being written."""
    return is_unfinished(name) or is_settings(name) or resemblance(name) is not None


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(fold(pattern)) for pattern in patterns) or r"(?!)")


def matches(name: str, patterns: Collection[str]) -> bool:
    """Say whether a name fits one of the patterns of the setting `ignore`."""
    return bool(patterns) and _any_of(tuple(patterns)).match(fold(name)) is not None


def natural_key(name: str) -> tuple[object, ...]:
    """Return what names are ordered by: numbers in them by their value, `_9` before `_10` (X-14)."""
    stem, dot, suffix = name.rpartition(".")
    parts: list[str | int] = list(_DIGITS.split(fold(stem if dot else suffix)))
    parts[1::2] = map(int, parts[1::2])
    return (parts, fold(suffix), name)


@dataclass(frozen=True)
class Resemblance:
    """A name that only resembles a settings file's.

    Args:
        target: `_key` of the name of the file that may be meant; empty for a folder's.
        kept: the settings file that this is a copy of, or is to become; None where there is none.
        is_unfinished: it is still being written.
    """

    target: str
    kept: str | None = None
    is_unfinished: bool = False


def resemblance(name: str) -> Resemblance | None:
    """Recognise names that resemble those of settings files, and are none: `x.csv.settings`, `settings.yaml` (X-11).

    A file of rows resembles nothing, whatever it is called.
    """
    folded = fold(name)
    if folded.endswith(".csv") or folded.startswith(("~", "._")):
        return None
    if folded.startswith(".") and not folded.startswith(tuple(f".{word}." for word in _WORDS)):
        return None
    written = _without_unfinished(name)
    if written is None:
        return None
    target = settings_target(written)
    if target is not None and (not target or suffix_of(target) in EXTENSIONS):
        return None if written == name else Resemblance(_key(target), written, is_unfinished=True)
    meant = _target_of(written)
    return None if meant is None else Resemblance(meant, _copied(written), written != name)


def _without_unfinished(name: str) -> str | None:
    """Return the name that a file will have; None for an editor's own copies, which never become any."""
    folded = fold(name)
    if folded.endswith((".swp", ".swx", "~")):
        return None
    if UNFINISHED_PART in folded:
        return name[: folded.index(UNFINISHED_PART)] if len(folded) == len(name) else None
    for suffix in UNFINISHED_SUFFIXES:
        if folded.endswith(suffix):
            return _RCLONE.sub("", name[: -len(suffix)])
    return name


def _copied(name: str) -> str | None:
    """Return the name of a settings file of which this is a copy that a person has kept, `_settings.yaml.bak`."""
    stem = name.rpartition(".")[0]
    return stem if is_settings(stem) else None


def _target_of(name: str) -> str | None:
    """Return `_key` of the file whose settings a name seems to hold, "" for a folder; None for names of other kinds.

    Settings have the word `settings`, what is before it is the file; or `yaml` behind a data file's name; or they are
    YAML whose name begins with `_`. A text file needs more than the word: a data file's name, or `.yaml`.
    """
    folded = _visible(fold(name))
    is_text = folded.endswith(".txt")
    text = folded.removesuffix(".txt")
    if is_text and text.endswith(EXTENSIONS):
        return None
    words = list(_WORD.finditer(text))
    data = _TO_DATA.match(text[: words[-1].start()] if words else text)
    if not words:
        if data and _YAML.search(text, data.end()):
            return _key(data.group())
        return "" if text.startswith("_") and text.endswith(_YAML_SUFFIXES) else None
    if is_text and not data and not text.endswith(_FORMATS) and text != "_settings":
        return None
    before = text[: words[0].start()]
    return _key(data.group()) if data else "" if _OWN_WORD.fullmatch(before) else _key(before)


def _meant_name(name: str) -> str:
    """Return, folded, the part of a name that says whose settings it holds, or seems to hold."""
    folded = _visible(fold(name))
    target = settings_target(folded)
    data = _TO_DATA.match(folded if target is None else target)
    if data or target is not None:
        return data.group() if data else target or ""
    word = _WORD.search(folded)
    return folded[: word.start()] if word else ""


def _target_beside(name: str) -> str | None:
    """Return `_key` of the file whose settings a name may hold if that file is there: `x.yaml`, `x.settings.txt`."""
    suffix = suffix_of(name)
    stem = PurePosixPath(name).stem
    if suffix in _YAML_SUFFIXES or (suffix == ".json" and suffix_of(stem) in EXTENSIONS):
        return _key(stem)
    word = _WORD.search(_visible(fold(name))) if suffix == ".txt" else None
    return _key(word.string[: word.start()]) if word and word.string[word.end() :] == ".txt" else None


def _visible(text: str) -> str:
    """Return a text without invisible characters."""
    if text.isascii():
        return text
    return "".join(character for character in text if unicodedata.category(character) != "Cf")


@lru_cache(maxsize=65_536)  # of a folder's files, which are listed twice a second
def _key(name: str) -> str:
    """Return what distinguishes names: all but letter case, blanks and punctuation, and these between two numbers."""
    text = _visible(fold(name))
    if not text.isascii():
        text = "".join("-" if unicodedata.category(character)[0] in "ZP" else character for character in text)
    return _BETWEEN_WORDS.sub("", _SEPARATORS.sub("-", text))


def _keys(name: str) -> tuple[str, str]:
    """Return `_key` of a name, and of the name without extension."""
    key = _key(name)
    return key, key[:-3] if name[-4:].lower() in EXTENSIONS else _key(PurePosixPath(name).stem)


@dataclass(frozen=True)
class Obstacle:
    """What keeps a file from being imported: a name beside it that may hold its settings (X-11).

    Args:
        folder: what `SettingsNames` was given for the folder of the name.
    """

    name: str
    advice: str
    folder: str = ""

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.name} {self.advice}"


class SettingsNames:
    """Which of the names in one folder are settings, of which of its files, and which only resemble such names.

    A settings file belongs to the file whose exact name it has; where there is none, to the one whose name differs in
    letter case or Unicode form alone.
    """

    def __init__(self, names: Iterable[str], folder: str = "") -> None:
        self._folder = folder
        self._files: set[str] = set()
        self.of_folder: list[str] = []
        self._sidecars: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.resembling: dict[str, Resemblance] = {}
        self._ignored: tuple[str, ...] = ()
        if_beside: dict[str, str] = {}
        for name in names:
            suffix = name[-4:].lower()
            if suffix == ".csv" or (
                suffix == ".txt" and name.isascii() and not _OF_SETTINGS.search(name)
            ):  # most names
                if not is_unfinished(name):
                    self._files.add(name)
                continue
            target = settings_target(name)
            if target == "":
                self.of_folder.append(name)
            elif target is not None:
                self._sidecars[fold(target)].append((target, name))
            if (like := resemblance(name)) is not None:
                self.resembling[name] = like
            elif target is None and not is_unfinished(name):
                self._files.add(name)
                if meant := _target_beside(name):
                    if_beside[name] = meant
        self._settle(if_beside)

    def _settle(self, if_beside: Mapping[str, str]) -> None:
        there = {fold(name) for name in (*self.of_folder, *(name for _, name in self._all_sidecars()))}
        for name, like in list(self.resembling.items()):
            is_of_a_file = is_settings(name) and settings_target(name) in self._files
            if is_of_a_file or (like.is_unfinished and like.kept is not None and fold(like.kept) in there):
                del self.resembling[name]  # of a file that is no file of rows; or an update on its way
        self.harmless = {
            name for name, like in self.resembling.items() if like.kept is not None and fold(like.kept) in there
        }
        if if_beside:
            data = [name for name in self._files if suffix_of(name) in EXTENSIONS and name not in if_beside]
            keys = {key for name in data for key in _keys(name)}
            for name, meant in if_beside.items():
                if meant in keys:
                    self.resembling[name] = Resemblance(meant)
                    self._files.discard(name)

    def leave_out(self, patterns: Iterable[str]) -> None:
        """Let names that the setting `ignore` names resemble nothing, and be nobody's settings that are lost (X-12).

        Before anything is asked: what is found out is kept.
        """
        self._ignored = tuple(patterns)
        for name in [name for name in self.resembling if matches(name, self._ignored)]:
            del self.resembling[name]

    def _all_sidecars(self) -> Iterator[tuple[str, str]]:
        for sidecars in self._sidecars.values():
            yield from sidecars

    @cached_property
    def _folded_files(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for name in self._files:
            counts[fold(name)] += 1
        return counts

    @cached_property
    def orphans(self) -> list[str]:
        """Settings files whose file is not there (yet); hidden ones are copies that systems make."""
        names = [
            name
            for target, name in self._all_sidecars()
            if target not in self._files
            and fold(target) not in self._folded_files
            and name not in self.resembling
            and not name.startswith(UNFINISHED_PREFIXES)
            and not matches(name, self._ignored)
        ]
        return sorted(names)

    @cached_property
    def shared(self) -> set[str]:
        """Settings files that may be those of several files, whose names differ in letter case or Unicode form."""
        return {
            name
            for target, name in self._all_sidecars()
            if target not in self._files and self._folded_files.get(fold(target), 0) > 1
        }

    def sidecars(self, file_name: str) -> list[str]:
        """Return the settings files of a file: more than one is a mistake."""
        if not self._sidecars:
            return []
        candidates = self._sidecars.get(fold(file_name), ())
        return sorted(name for target, name in candidates if target == file_name or target not in self._files)

    @cached_property
    def folder_obstacle(self) -> Obstacle | None:
        """What may hold settings of the whole folder."""
        for name, like in sorted(self.resembling.items()):
            if not like.target and name not in self.harmless:
                return self._obstacle(name, FOLDER_SETTINGS)
        return None

    def file_obstacle(self, file_name: str, stale: Collection[str] = ()) -> Obstacle | None:
        """Return what may hold settings of a file, which is not imported before that has been renamed or removed.

        Args:
            stale: settings files whose file has not come for an hour: they may be this one's but for the extension.
        """
        for target, name in self._sidecars.get(fold(file_name), ()) if self.shared else ():
            if target != file_name and name in self.shared:
                return Obstacle(
                    name, "may be the settings of several files: give it the exact name of one", self._folder
                )
        if not self._meant:
            return None
        whole, stem = _keys(file_name)
        for key in (whole, stem):
            for name in self._meant.get(key, ()):
                if key == whole or name in self.resembling or name in stale:
                    return self._obstacle(name, f"{file_name}{SIDECAR_SUFFIX}")
        for name in (*self._copied_from.get(whole, ()), *self._copied_from.get(stem, ())):
            return self._obstacle(name, f"{file_name}{SIDECAR_SUFFIX}")
        return None

    @cached_property
    def _meant(self) -> dict[str, list[str]]:
        """Names that resemble settings, and settings without their file, by what may be meant."""
        index: dict[str, list[str]] = defaultdict(list)
        for name, like in sorted(self.resembling.items()):
            if like.target and name not in self.harmless:
                index[like.target].append(name)
        for name in self.orphans:
            for key in set(_keys(settings_target(name) or "")) - {""}:
                index[key].append(name)
        return index

    @cached_property
    def _copied_from(self) -> dict[str, list[str]]:
        """Names of `_meant` whose own file is not there, by the files whose names theirs end with: `Copy of x.csv`."""
        keys = [_keys(name) for name in self._files if name[-4:].lower() in EXTENSIONS]
        wholes, stems = {whole for whole, _ in keys}, {stem for _, stem in keys}
        index: dict[str, list[str]] = defaultdict(list)
        for name in sorted({name for names in self._meant.values() for name in names}):
            target = _meant_name(name)
            there = wholes if target.endswith(EXTENSIONS) else stems
            if _key(target) not in there:
                for key in {_key(target[start.end() :]) for start in _WORD_START.finditer(target)} & there:
                    index[key].append(name)
        return index

    def _obstacle(self, name: str, expected: str) -> Obstacle:
        like = self.resembling.get(name)
        if like is not None and like.is_unfinished:
            advice = f"seems to become {expected}, and is still being written: complete or remove it"
        else:
            advice = f"may be meant to be {expected}: rename or remove it"
        return Obstacle(name, advice, self._folder)
