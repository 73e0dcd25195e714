"""What the JSON columns of the ledger hold, as types. Source: X-06, X-10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, Self

from include.errors import Reason

SettingsText = str | dict[str, str] | None
"""Text of a settings file; `{"mistake": sentence}` when it is no text; None without a file."""


@dataclass(frozen=True)
class SettingsSources:
    """What a job was given to decide its settings by (X-11), and whether its file is out of the landing area.

    Args:
        run: settings of the run alone.
        texts: of the settings files around the file, by layer; the name of a pool's folder as `folder_name`.
        is_removed: the file and its sidecar have been taken out; None before they were copied.
    """

    run: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, SettingsText] = field(default_factory=dict)
    is_removed: bool | None = None

    @property
    def sidecar(self) -> SettingsText:
        """The text of the file's own settings."""
        return self.texts.get("sidecar")

    def updated(self, later: SettingsSources) -> Self:
        """Return what a job has been given when it is given more: what is said again takes the place of the earlier."""
        texts = {layer: text for layer, text in later.texts.items() if text is not None}
        return replace(self, run=later.run, texts={**self.texts, **texts})

    def differs(self, later: SettingsSources) -> bool:
        """Say whether later settings say something else than these; files that are gone say nothing."""
        is_other = any(text is not None and text != self.texts.get(layer) for layer, text in later.texts.items())
        return is_other or later.run != self.run

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        texts = {name: value for name, value in stored.items() if name not in ("run", "is_removed")}
        return cls(stored.get("run", {}), texts, stored.get("is_removed"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        removed = {} if self.is_removed is None else {"is_removed": self.is_removed}
        return {"run": dict(self.run), **self.texts, **removed}


@dataclass(frozen=True)
class Review:
    """That a person, or limits that were given, decide about the load, and what they have decided so far.

    Args:
        reasons: that are known before the rows are.
        change: how the columns differ from the last good file's, as `HeaderChange.to_json` says it.
        unusable: why no row can be judged before a person has said which column is which.
        is_of_load: the load was given up and called for it.
        is_approved: the load may begin.
        problem: why the last answer could not be used.
        chosen: the columns that it named: field → index.
        answered: number of the question whose answer brought the mapping.
        is_header_unsure: no column of the header was recognised at first: it may be data (X-20).
    """

    reasons: tuple[Reason, ...] = ()
    change: Mapping[str, Any] | None = None
    unusable: str | None = None
    is_of_load: bool = False
    is_approved: bool = False
    problem: str | None = None
    chosen: Mapping[str, int | None] | None = None
    answered: int | None = None
    is_header_unsure: bool = False

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned; what an earlier version didn't know has its default."""
        names = cls.__dataclass_fields__
        values = {name: value for name, value in stored.items() if name in names and value is not None}
        reasons = tuple(Reason.from_json(reason) for reason in stored["reasons"])
        return cls(**values | {"reasons": reasons, "is_of_load": bool(stored.get("of_load"))})

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"of_load" if name == "is_of_load" else name: value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class InspectionRecord:
    """How a file is read, as its inspection decided it.

    Args:
        dialect: encoding, delimiter and so on, as `Dialect.to_json` says it.
        header_offset, header_bytes: where the header is in the UTF-8 text.
        is_escaped: cells that look like formulas have an apostrophe before them (X-09).
        warnings: of the file, before its rows were judged.
        review: None when nobody decides about the load, so that the load looks itself (X-18).
    """

    dialect: Mapping[str, Any]
    header: tuple[str, ...]
    header_offset: int
    header_bytes: int
    is_escaped: bool
    warnings: tuple[Reason, ...]
    review: Review | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned."""
        review = stored.get("review")
        return cls(
            dialect=stored["dialect"], header=tuple(stored["header"]), header_offset=stored["header_offset"],
            header_bytes=stored["header_bytes"], is_escaped=stored["unescape"],
            warnings=tuple(Reason.from_json(warning) for warning in stored["warnings"]),
            review=None if review is None else Review.from_json(review),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "dialect": dict(self.dialect), "header": list(self.header), "header_offset": self.header_offset,
            "header_bytes": self.header_bytes, "unescape": self.is_escaped,
            "warnings": [warning.to_json() for warning in self.warnings],
            "review": None if self.review is None else self.review.to_json(),
        }  # fmt: skip


@dataclass(frozen=True)
class RuleCount:
    """How many rows of a job a rule rejected or warned about, and where first; a row of `ledger.job_rule`.

    Args:
        severity: `critical` or `warning`.
        first_lines: ascending, `FIRST_LINES` at most.
    """

    rule: str
    severity: str
    rows: int
    first_lines: list[int]

    @property
    def is_critical(self) -> bool:
        """Say whether the rule rejects rows, not only warns."""
        return self.severity == "critical"


FIRST_LINES = 100
"""How many line numbers of a rule the ledger keeps for the summary; the rejected-rows file has them all."""
MOST_SENTENCES = 50


class SupportsLines(Protocol):
    """Line numbers, as a sequence or as an array of numpy's, which no DAG needs when it is parsed."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, part: slice, /) -> Iterable[int]:
        """Return some of them."""


@dataclass
class RuleTally:
    """How often a rule failed in a chunk, and where first. No values but those that pages show (X-20).

    Args:
        drops: a broken rule cost the value alone (CU-14): the load counts it, among the rows that it loads.
        share: of `evaluated`, that of the whole file, above which the rule says something; see `suites.Share`.
        sentences: what is wrong with most of the rows, as `row_sentences.CommonValues` counts it; rows by sentence.
    """

    severity: str
    evaluated: int = 0
    failed: int = 0
    lines: list[int] = field(default_factory=list)
    drops: bool = False
    share: dict[str, Any] | None = None
    sentences: dict[str, int] = field(default_factory=dict)

    def add(self, evaluated: int, lines: SupportsLines) -> None:
        """Count one block's verdict."""
        self.evaluated += evaluated
        self.failed += len(lines)
        self.lines.extend(int(line) for line in lines[: max(0, FIRST_LINES - len(self.lines))])

    def say(self, counted: Mapping[str, int]) -> None:
        """Add one block's most frequent sentences; of very many the first are kept."""
        for sentence, rows in counted.items():
            if sentence in self.sentences or len(self.sentences) < MOST_SENTENCES:
                self.sentences[sentence] = self.sentences.get(sentence, 0) + rows


Tallies = dict[tuple[str, str], RuleTally]
"""By rule and severity."""


def evidence_to_json(tallies: Mapping[tuple[str, str], RuleTally]) -> dict[str, Any]:
    """Return what a chunk keeps as its evidence."""
    return {f"{rule} {severity}": asdict(tally) for (rule, severity), tally in tallies.items()}


def evidence_from_json(stored: Mapping[str, Any]) -> Tallies:
    """Read what `evidence_to_json` returned."""
    tallies: Tallies = {}
    for key, tally in stored.items():
        rule, _, severity = key.rpartition(" ")
        tallies[rule, severity] = RuleTally(**tally)
    return tallies
