"""Limits on what a load may reject or change before a person is asked. Source: X-06, X-18."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from include.columns.mapping import ColumnMapping
from include.declaration.settings import REJECT_SHARE_ROWS, ImportSettings, ReviewsChanges
from include.errors import Reason
from include.ledger.jobs import JobCounts
from include.ledger.outcomes import counted
from include.ledger.records import RuleCount
from include.rules.sentences import mistake_in_words

_SLIP_SHARE = 0.9
_SLIP_REJECTS = 100


def exceeded(
    settings: ImportSettings,
    counts: JobCounts,
    rules: Sequence[RuleCount],
    mapping: ColumnMapping,
    sentences: Mapping[str, str],
    questions: Mapping[str, str],
) -> list[Reason]:
    """Return which limits a load exceeds, as rule and sentence.

    Args:
        settings: of the job.
        counts: of the load.
        rules: what `jobs.rule_counts` says of the load.
        mapping: names the columns that the reasons are about.
        sentences: what the rules say, as of `masked_sentences`.
        questions: the rules that have a person asked about a column, as of `sentences.questions`.
    """
    rejecting = {rule.rule: rule.rows for rule in rules if rule.is_critical}
    return [
        *_asking(settings, rules, mapping, questions),
        *_rejecting_too_many(settings, counts, rejecting, mapping, sentences),
        *_changed(settings, counts.read, counts.updated),
    ]


def is_probable_slip(rows: int, rejected: int) -> bool:
    """Say whether one rule explains so many of the rejects that the mapping has probably a slip (X-18).

    Args:
        rows: that the rule rejects.
        rejected: all that are rejected.
    """
    return rejected >= _SLIP_REJECTS and rows / rejected > _SLIP_SHARE


def _asking(
    settings: ImportSettings, rules: Sequence[RuleCount], mapping: ColumnMapping, questions: Mapping[str, str]
) -> list[Reason]:
    """Return a reason where numbers look like another field's, wherever in the file they are."""
    asked = [
        f"{mapping.numbered(mapping.columns[index])} holds {counted(rule.rows, 'number')} "
        f"{questions[rule.rule]}, first on line {rule.first_lines[0]:,}: is it the right one?"
        for rule in rules
        if rule.rule in questions and (index := mapping.field_indexes.get(rule.rule.partition(".")[0])) is not None
    ]
    if not asked or not settings.review_columns:
        return []
    return [Reason("review.columns", " ".join(f"{question[:1].upper()}{question[1:]}" for question in asked))]


def _reject_share(settings: ImportSettings, read: int) -> float | None:
    """Return the share of rejected rows above which a person is asked; None when nobody is."""
    share = settings.review_reject_share
    is_set = "review_reject_share" in settings.given_by
    fewest = 1 if is_set else REJECT_SHARE_ROWS
    return None if share is None or share >= 1 or read < fewest else share


def rejected_rows(rejected: int, read: int, verb: str) -> str:
    """Say how many of a file's rows something happens to, such as `1 of 10 rows was rejected`."""
    return f"{rejected:,} of {counted(read)} {verb}"


def most_frequent(rows_by_rule: Sequence[tuple[str, int]], sentences: Mapping[str, str]) -> str:
    """Say what is wrong with most rows, by the rules and how many rows break them, without a full stop."""
    mistakes = [mistake_in_words(rule, sentences, counted(rows)) for rule, rows in rows_by_rule]
    return f"Most frequent: {'; '.join(mistakes)}"


def _rejecting_too_many(
    settings: ImportSettings,
    counts: JobCounts,
    rules: Mapping[str, int],
    mapping: ColumnMapping,
    sentences: Mapping[str, str],
) -> list[Reason]:
    """Return which limit on rejected rows a load exceeds; see `exceeded`."""
    read, rejected = counts.read, counts.rejected
    share = _reject_share(settings, read)
    if share is None or not rejected:
        return []
    frequent = sorted(rules, key=lambda rule: (-rules[rule], rule))[:3]
    rule = frequent[0] if frequent else ""
    rows = rules.get(rule, 0)
    would_be = rejected_rows(rejected, read, "would be rejected")
    cause = f"{rows / rejected:.0%} of them for this: {mistake_in_words(rule, sentences)}"
    if rejected / read > share:  # share * read would round 0.29 of 100 down
        message = f"{would_be}, more than review_reject_share = {share:g} allows"
        if rows > rejected / 2:
            return [_reason("reject_share", f"{message}, {cause}", [rule], mapping)]
        if read >= REJECT_SHARE_ROWS:
            common = most_frequent([(rule, rules[rule]) for rule in frequent], sentences)
            return [_reason("reject_share", f"{message}. {common}", frequent, mapping)]
        return [Reason("review.reject_share", f"{message}.")]
    if is_probable_slip(rows, rejected) and rejected > read / 2:
        return [_reason("mapping_slip", f"{would_be}, {cause}", [rule], mapping)]
    return []


def _reason(name: str, message: str, rules: Sequence[str], mapping: ColumnMapping) -> Reason:
    """Return a reason that asks about the columns that the rules are about."""
    fields = dict.fromkeys(rule.partition(".")[0] for rule in rules)
    indexes = [mapping.field_indexes[field] for field in fields if field in mapping.field_indexes]
    columns = " and ".join(mapping.numbered(mapping.columns[index]) for index in indexes)
    is_one = len(indexes) == 1
    question = f" {'Is' if is_one else 'Are'} {columns} the right {'one' if is_one else 'ones'}?" if indexes else ""
    return Reason(f"review.{name}", f"{message}.{question}")


def _changed(settings: ImportSettings, read: int, updated: int) -> list[Reason]:
    limit = settings.review_changed_share if isinstance(settings, ReviewsChanges) else None
    if limit is None or not read or updated / read <= limit:
        return []
    share = f"review_changed_share = {limit:g}"
    message = f"{updated:,} of {read:,} rows would change what is stored, more than {share} allows."
    return [Reason("review.changed_share", message)]
