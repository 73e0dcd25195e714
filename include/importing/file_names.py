"""What a file's name says: that it is still being written, that it holds settings, or only looks so, and its order.

Names are compared without regard to letter case and Unicode form; nothing of a name is ever a pattern or an address.
Source: X-11, X-12, X-14.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
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

_YAML = ("yaml", "yml", "yalm", "ymal", "yamll", "yaaml", "yam", "ylm")
_OTHER_FORMATS = ("json", "toml", "ini", "cfg", "conf")
_KEPT_COPIES = ("bak", "backup", "old", "orig", "copy", "kopie", "new", "off", "disabled", "save", "saved")
_WORD = "settings"
_WORDS = (_WORD, "setting")
_LIKENESS = 0.85
"""Of a misspelt `settings`: one letter too many, missing or exchanged."""
_SHORTEST_MISSPELT = 5
_MOST_MISSPELT = 1000
_RCLONE = re.compile(r"\.[0-9a-f]{8}$")
_TOKEN = re.compile(r"[^\W_]+")
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
    """Tell whether a name fits one of the patterns of the setting `ignore`."""
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
        target: letters and digits of the name of the file that may be meant; empty for a folder's.
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
    if written != name:
        target = settings_target(written)
        if target is not None:
            return Resemblance(_letters(target), written, is_unfinished=True)
        inner = None if suffix_of(written) in EXTENSIONS else resemblance(written)
        return inner and Resemblance(inner.target, inner.kept, is_unfinished=True)
    target = settings_target(name)
    if target is not None:  # which has rows only with the extension of such a file
        return None if not target or suffix_of(target) in EXTENSIONS else Resemblance(_letters(target))
    meant = _target_of(folded)
    return None if meant is None else Resemblance(meant, _copied(name))


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
    """Return the name of a settings file of which this is a copy that somebody has kept, `_settings.yaml.bak`."""
    stem, _, last = name.rpartition(".")
    return stem if fold(last) in _KEPT_COPIES and is_settings(stem) else None


def _target_of(folded: str) -> str | None:
    """Return the letters and digits of the file that is meant, "" for a folder; None for names of other kinds."""
    tokens = _tokens(folded)
    if folded.endswith(".txt"):
        is_config = len(tokens) > 1 and (tokens[-2] in _YAML or (_is_word(tokens[-2]) and _has_data(tokens[:-2])))
        if not is_config and folded != f"_{_WORD}.txt":
            return None
        tokens.pop()
    is_yaml = False
    while tokens and (tokens[-1] in (*_YAML, *_OTHER_FORMATS, *_KEPT_COPIES) or tokens[-1].isdecimal()):
        is_yaml = tokens.pop() in _YAML or is_yaml
    if tokens[:2] == ["copy", "of"]:
        del tokens[:2]
    if tokens and (prefix := _before_word(tokens[-1])) is not None:
        return "".join([*tokens[:-1], prefix])
    if tokens[-2:] == ["set", "tings"]:
        return "".join(tokens[:-2])
    if not is_yaml:
        return None
    if any(map(_is_word, tokens)):
        return "".join(token for token in tokens if not _is_word(token))
    last = max((place for place, token in enumerate(tokens) if f".{token}" in EXTENSIONS), default=0)
    return "".join(tokens[: last + 1]) if last else None


def _has_data(tokens: list[str]) -> bool:
    return any(f".{token}" in EXTENSIONS for token in tokens)


def _is_word(token: str) -> bool:
    return _before_word(token) == ""


def _before_word(token: str) -> str | None:
    """Return what is before `settings`, or a misspelt one, at the end of a word; None when it is not there."""
    for end in ("", *_YAML):
        for word in _WORDS:
            if token.endswith(f"{word}{end}"):
                return token.removesuffix(f"{word}{end}")
    if abs(len(token) - len(_WORD)) > 2 or not token.startswith(("s", "e")):
        return None
    return "" if SequenceMatcher(None, token, _WORD, autojunk=False).ratio() >= _LIKENESS else None


def _tokens(name: str) -> list[str]:
    """Return the words and numbers of a name. Invisible characters separate nothing; the i of Turkish is one."""
    text = unicodedata.normalize("NFKC", name).casefold().replace("i\u0307", "i").replace("\u0131", "i")
    if not text.isascii():
        text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return _TOKEN.findall(text)


def _letters(name: str) -> str:
    return "".join(_tokens(name))


@dataclass(frozen=True)
class Obstacle:
    """What keeps a file from being imported: a name beside it that may hold its settings (X-11)."""

    name: str
    advice: str

    def __str__(self) -> str:
        """Return a sentence."""
        return f"{self.name} {self.advice}"


class SettingsNames:
    """Which of the names in one folder are settings, of which of its files, and which only resemble such names.

    A settings file belongs to the file whose exact name it has; where there is none, to the one whose name differs in
    letter case or Unicode form alone.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._files: set[str] = set()
        self.of_folder: list[str] = []
        self._sidecars: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self.resembling: dict[str, Resemblance] = {}
        alike: list[str] = []
        for name in names:
            if name[-4:].lower() == ".csv":  # most names: nothing else is to be asked
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
                alike += [name] if suffix_of(name) in (".yaml", ".yml") else []
        self._settle(alike)

    def _settle(self, alike: list[str]) -> None:
        there = {fold(name) for name in (*self.of_folder, *(name for _, name in self._all_sidecars()))}
        for name, like in list(self.resembling.items()):
            is_of_a_file = is_settings(name) and settings_target(name) in self._files
            if is_of_a_file or (like.is_unfinished and like.kept is not None and fold(like.kept) in there):
                del self.resembling[name]  # of a file that is no file of rows; or an update on its way
        self.harmless = {
            name for name, like in self.resembling.items() if like.kept is not None and fold(like.kept) in there
        }
        if alike:
            stems = {_letters(PurePosixPath(name).stem) for name in self._files if suffix_of(name) in EXTENSIONS}
            for name in alike:
                letters = _letters(PurePosixPath(name).stem)
                if letters in stems:
                    self.resembling[name] = Resemblance(letters)
                    self._files.discard(name)

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
        ]
        return sorted(names)

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
                return _obstacle(name, FOLDER_SETTINGS, like)
        return None

    def file_obstacle(self, file_name: str, stale: Collection[str] = ()) -> Obstacle | None:
        """Return what may hold settings of a file, which is not imported before that has been renamed or removed.

        Args:
            stale: settings files whose file has not come for an hour: they may be this one's, misspelt.
        """
        if self._sidecars and self._folded_files.get(fold(file_name), 0) > 1:
            for target, name in self._sidecars.get(fold(file_name), ()):
                if target != file_name and target not in self._files:
                    return Obstacle(name, "may be the settings of several files: give it the exact name of one")
        by_letters = self._by_letters
        if not by_letters:
            return None
        letters = _letters(file_name)
        expected = f"{file_name}{SIDECAR_SUFFIX}"
        for key in (letters, _letters(PurePosixPath(file_name).stem)):
            for name in by_letters.get(key, ()):
                if name in self.resembling or (key == letters or name in stale):
                    return _obstacle(name, expected, self.resembling.get(name))
        if stale and len(letters) >= _SHORTEST_MISSPELT:
            exact, longer = self._misspelt
            slips = (exact.get(key) for key in (*_slips(letters), *_exchanges(letters)))
            for slip in (longer.get(letters), *slips):
                if slip is not None and slip in stale:
                    return _obstacle(slip, expected, None)
        return None

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        """Names that resemble settings, and settings without their file, by what may be meant."""
        index: dict[str, list[str]] = defaultdict(list)
        for name, like in sorted(self.resembling.items()):
            if like.target and name not in self.harmless:
                index[like.target].append(name)
        for name in self.orphans:
            target = settings_target(name) or ""
            for key in {_letters(target), _letters(PurePosixPath(target).stem)}:
                index[key].append(name)
        return index

    @cached_property
    def _misspelt(self) -> tuple[dict[str, str], dict[str, str]]:
        """Settings without their file by the letters of its name, and by these but for one of them."""
        exact: dict[str, str] = {}
        longer: dict[str, str] = {}
        for name in self.orphans[:_MOST_MISSPELT]:
            letters = _letters(settings_target(name) or "")
            if len(letters) >= _SHORTEST_MISSPELT:
                exact[letters] = name
                longer.update(dict.fromkeys(_slips(letters), name))
        return exact, longer


def _obstacle(name: str, expected: str, like: Resemblance | None) -> Obstacle:
    if like is not None and like.is_unfinished:
        return Obstacle(name, f"seems to become {expected}, and is still being written: complete or remove it")
    return Obstacle(name, f"may be meant to be {expected}: rename or remove it")


def _slips(letters: str) -> Iterator[str]:
    """Yield a name without one of its letters, each. Numbers tell files apart, and are never a slip."""
    for place, character in enumerate(letters):
        if not character.isdecimal():
            yield letters[:place] + letters[place + 1 :]


def _exchanges(letters: str) -> Iterator[str]:
    """Yield a name with two neighbouring letters exchanged, each."""
    for place in range(len(letters) - 1):
        first, second = letters[place], letters[place + 1]
        if first != second and not (first.isdecimal() or second.isdecimal()):
            yield f"{letters[:place]}{second}{first}{letters[place + 2 :]}"
