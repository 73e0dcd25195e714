"""Judging rows: records → frame → GX suite → valid rows, rejects, dropped values. Source: X-07, X-08, CU-14.

Nothing here asks the ledger or the storage: `validation` reads the blocks and writes what has become of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.columns.mapping import ColumnMapping, origin_columns
from include.declaration.fields import Field, Kind, Lookup
from include.declaration.import_type import ImportType
from include.declaration.settings import DropsInvalid, ImportSettings, ReadsPhones
from include.ledger import staging
from include.ledger.records import RuleTally, Tallies
from include.names import ASCII_MASK, MASK, one_line
from include.project.model import Project
from include.reading import packing, parsing, records, stray_rows
from include.reading.dialect import Dialect
from include.reading.origins import Origins, read_origins, unescape_cells
from include.reading.records import RAGGED, ROW_RULES, Block
from include.rules.row_sentences import CommonValues, sentences
from include.rules.suites import Checker, Rule, RuleResult, load_suite
from include.runtime import Runtime
from include.values import damage
from include.values.cells import matches, trim

Positions = npt.NDArray[np.int64]
SentencesOf = Callable[[slice], Sequence[str]]
"""Makes the sentences of some of the rows that break a rule."""
_SENTENCES_AT_ONCE = 100_000
"""Sentences, of which a block of bad rows may have a million."""
LAUNCHED_AT = "job__launched_at"
MOST_COLLECTED = 50_000
"""Broken rows of one rule whose values are held before they are counted: some MiB."""
WRAPPED_CELLS = "file.wrapped_cells"
LINE = "line"


@dataclass(frozen=True)
class LookupTable:
    """The facts of a lookup, in memory: keys and columns of the same length."""

    lookup: Lookup
    keys: pa.Array
    columns: Mapping[str, pa.Array]


@dataclass(frozen=True)
class Judged:
    """One block, judged.

    Args:
        frame: one row a well-formed record, in file order.
        rows: the same for the staging table.
        rejects: one row a rejected record, malformed ones included, for the ledger.
        dropped: one row a value that a valid row is loaded without, for the ledger (CU-14).
        read: how many records the block has.
    """

    frame: pd.DataFrame
    rows: pa.Table
    rejects: pa.Table
    dropped: pa.Table
    read: int


def join_lookup(cells: pa.Array, table: LookupTable) -> dict[str, pa.Array]:
    """Return the helper columns of one lookup: `<name>__found` (null where the key is blank) and its facts."""
    positions = pc.index_in(cells, value_set=table.keys)
    name = table.lookup.name
    is_found = pc.if_else(pc.is_valid(cells), pc.is_valid(positions), pa.scalar(None, pa.bool_()))
    return {f"{name}__found": is_found} | {
        f"{name}__{column}": values.take(positions) for column, values in table.columns.items()
    }


def keep_existing(fields: Mapping[str, pa.Array], table: LookupTable) -> dict[str, pa.Array]:
    """Return a lookup's field as sent where it is a key of the warehouse: whatever it looks like, nothing changed it.

    Only what nobody can see stays a problem (X-16).

    Returns:
        The field's value and problem; nothing where no row has one.
    """
    name = table.lookup.field
    problem = fields.get(f"{name}__problem")
    if problem is None or problem.null_count == len(problem):
        return {}
    is_other = pc.not_equal(problem, "invisible_character")
    is_existing = pc.and_(is_other, pc.is_in(fields[f"{name}__sent"], value_set=table.keys))
    return {
        name: pc.if_else(pc.fill_null(is_existing, False), fields[f"{name}__sent"], fields[name]),
        f"{name}__problem": pc.if_else(pc.fill_null(is_existing, False), pa.scalar(None, pa.string()), problem),
    }


def frame_columns(import_type: ImportType, fields: Sequence[Field]) -> set[str]:
    """Return every column that a suite of this type may name."""
    columns = {LINE, LAUNCHED_AT, *(f"setting__{name}" for name in import_type.shown_settings)}
    columns |= {f"project__{name}" for name in import_type.extras.project_limits}
    for field in fields:
        columns.add(field.name)
        if field.kind is not Kind.TEXT:
            columns |= {f"{field.name}__sent", f"{field.name}__problem"}
        if field.clearable:
            columns.add(f"{field.name}__clear")
        if field.setting is not None:
            columns.add(f"{field.name}__setting")
    for lookup in import_type.lookups:
        columns |= {f"{lookup.name}__found", *(f"{lookup.name}__{column}" for column in lookup.columns)}
    return columns


def _limit_of(project: Project, name: str) -> pa.Scalar:
    """Return a project setting that rules compare with, of a type that holds it: counts may have 19 digits."""
    limit = getattr(project, name)
    return pa.scalar(limit, pa.int64() if isinstance(limit, int) else parsing.DECIMAL)


def staging_columns(import_type: ImportType, fields: Sequence[Field]) -> dict[str, str]:
    """Return the columns of the staging table with their SQL types: no secret in clear (X-20)."""
    own = [field for field in fields if field.packed is None]
    columns = {field.name: staging.SQL_TYPES[field.kind] for field in own if not field.is_secret}
    columns |= {f"{field.name}__clear": "boolean NOT NULL DEFAULT false" for field in own if field.clearable}
    columns |= dict.fromkeys(import_type.dynamic.packed_columns if import_type.dynamic else (), staging.PACKED_TYPE)
    return columns | {field.name: field.sql_type for field in import_type.derived}


class Judge:
    """Judges the blocks of one file. Made once a chunk: the suite is compiled once.

    Args:
        unescape: take off the apostrophes that a rejected-rows file has put before cells (X-09).
        hidden: fields that no sentence may quote, beside the secret ones.
        masks_private: sentences are for people, who may not see what may be private under any header.
    """

    def __init__(
        self,
        runtime: Runtime,
        import_type: ImportType,
        *,
        dialect: Dialect,
        mapping: ColumnMapping,
        import_settings: ImportSettings,
        launched_at: datetime,
        lookups: Sequence[LookupTable],
        unescape: bool = False,
        hidden: Sequence[str] = (),
        masks_private: bool = False,
    ) -> None:
        self.import_type = import_type
        self._masks_private = masks_private
        self.fields = import_type.read_fields(runtime.project, mapping.field_indexes)
        self.dialect = dialect
        self.mapping = mapping
        self._header = [column.header for column in mapping.columns]
        self._file_order = sorted(mapping.field_indexes, key=mapping.field_indexes.__getitem__)
        of_importer = origin_columns(self._header).values()
        self._own = [index for index in range(len(self._header)) if index not in of_importer]
        self._repeated = stray_rows.Header(
            [self._header[index] for index in self._own],
            leading=self._own.index(min(mapping.field_indexes.values())) if mapping.field_indexes else 0,
            is_certain=mapping.is_headed,
        )
        self._has_origins = bool(origin_columns(self._header))
        self._ragged_stray = stray_rows.ragged_pattern(dialect.delimiter, len(origin_columns(self._header)))
        self.lookups = lookups
        self.launched_at = launched_at
        self.unescape = unescape
        self._runtime = runtime
        self._settings = import_settings
        region = import_settings.phone_region if isinstance(import_settings, ReadsPhones) else None
        self._options = parsing.ReadOptions(
            slash_dates=import_settings.slash_dates,
            phone_region=region or runtime.project.default_phone_region,
            today=launched_at.date(),
        )
        suite = load_suite(
            runtime.suites / f"{import_type.name}.json",
            columns=frame_columns(import_type, self.fields),
            settings=import_settings.model_dump(),
            fields=self.fields,
        )
        self._checker = Checker(suite)
        secret = [field.name for field in self.fields if field.is_secret]
        self._hidden = [*hidden, *secret]
        self._private = {field.name for field in self.fields if field.sensitive or field.is_secret}
        self.reads_codes = not mapping.field_indexes.keys().isdisjoint(secret)
        self.masks_codes = self.reads_codes or (bool(secret) and bool(mapping.skipped))  # which may hold them as well
        is_dropping = isinstance(import_settings, DropsInvalid) and import_settings.on_invalid_optional == "drop_value"
        self._droppable = {field.name for field in self.fields if field.is_droppable and is_dropping}
        self._tallies: Tallies = {}
        self._column_names: dict[int, str] = {}
        self._common: dict[tuple[str, str], CommonValues] = {}
        for rule in suite.rules:
            drops = self._drops(rule)
            severity = "warning" if drops else rule.severity
            share = asdict(rule.share) if rule.share else None
            self._tallies[rule.id, severity] = RuleTally(severity, drops=drops, share=share)

    @property
    def staging_columns(self) -> dict[str, str]:
        """The staging table's own columns."""
        return staging_columns(self.import_type, self.fields)

    def judge(self, block: Block) -> Judged:
        """Return which records of a block are valid, and why the others are not."""
        positions, fields, strays = self._read(block)
        origins = read_origins(block, self.dialect, self._header)
        lines = block.lines[positions]
        columns = {LINE: pa.array(lines), LAUNCHED_AT: self._launched_at(len(positions)), **fields}
        for name in self.import_type.extras.project_limits:
            columns[f"project__{name}"] = pa.repeat(_limit_of(self._runtime.project, name), len(positions))
        for table in self.lookups:
            columns |= join_lookup(fields[table.lookup.field], table)
        frame = pd.DataFrame(
            {name: pd.Series(pd.arrays.ArrowExtensionArray(values), copy=False) for name, values in columns.items()},
            copy=False,
        )
        failures = _Failures()
        self._judge_records(block, strays, failures)
        valid, dropped = self._check(frame, lines, positions, failures)
        rejects = failures.table(block, origins)
        dropped_values = _dropped_values(dropped, lines, fields)
        for name, broken in dropped.items():
            is_dropped = np.zeros(len(frame), dtype=np.bool_)
            is_dropped[broken.rows] = True
            fields[name] = pc.if_else(pa.array(is_dropped), pa.scalar(None, fields[name].type), fields[name])
        staged = self._staged(block, positions, valid, fields, origins)
        return Judged(frame, staged, rejects, dropped_values, len(block.starts))

    def _read(self, block: Block) -> tuple[Positions, dict[str, pa.Array], dict[str, Positions]]:
        """Return the records that are data, their columns, and what is no data: row rule to records."""
        mapped = self.mapping.field_indexes
        positions, columns = self._read_columns(block, list(mapped.values()))
        texts = self._unwrap(block, positions, dict(zip(mapped, columns, strict=True)))
        positions, texts, strays = self._without_strays(block, positions, texts)
        fields: dict[str, pa.Array] = {}
        for field in self.fields:
            if field.name in texts:
                fields |= parsing.read_field(texts[field.name], field, self._options)
            else:
                fields |= parsing.absent_field(field, len(positions))
            if field.setting is not None:
                fields = parsing.with_setting(fields, field, getattr(self._settings, field.setting))
        for table in self.lookups:
            fields |= keep_existing(fields, table)
        for name in self.import_type.shown_settings:
            value = pa.scalar(getattr(self._settings, name), pa.string())
            fields[f"setting__{name}"] = pa.repeat(value, len(positions))
        return positions, fields, strays

    def _unwrap(self, block: Block, positions: Positions, texts: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """Read `="…"` as the text in it, and count the rows for the file's warning (X-16)."""
        if damage.WRAPPING not in bytes(block.data):
            return texts
        unwrapped, is_wrapped = {}, np.zeros(len(positions), dtype=np.bool_)
        for name, text in texts.items():
            unwrapped[name], rows = damage.unwrap(text)
            is_wrapped |= rows
        if is_wrapped.any():
            tally = self._tallies.setdefault((WRAPPED_CELLS, "warning"), RuleTally("warning"))
            tally.add(len(positions), block.lines[positions[is_wrapped]])
        return unwrapped

    def _read_columns(self, block: Block, indexes: Sequence[int]) -> tuple[Positions, list[pa.StringArray]]:
        """Return the records that are well-formed, and the cells of some columns as the sender wrote them."""
        positions, cells = records.read_cells(block, self.dialect, len(self._header), indexes)
        return positions, [unescape_cells(column) for column in cells] if self.unescape else cells

    def _without_strays(
        self, block: Block, positions: Positions, texts: dict[str, pa.Array]
    ) -> tuple[Positions, dict[str, pa.Array], dict[str, Positions]]:
        """Take out the rows that repeat the header or are lines of a program (X-15, PC-04a)."""
        if not len(positions) or not texts:
            return positions, texts, {}
        first = self._file_order[0]
        leading = texts[first] = trim(texts[first])
        may_repeat = self._repeated.may_repeat(leading)
        are_lines = stray_rows.are_lines_of_programs(leading)
        suspects = np.flatnonzero(may_repeat | are_lines)
        if not len(suspects):
            return positions, texts, {}
        columns = self._sender_columns(block, texts, suspects)
        others = columns[: self._repeated.leading] + columns[self._repeated.leading + 1 :]
        repeats = may_repeat[suspects] & self._repeated.repeated_by(columns)
        is_line = are_lines[suspects] & ~repeats
        is_line[is_line] = stray_rows.are_alone(
            columns[self._repeated.leading].filter(pa.array(is_line)),
            [cells.filter(pa.array(is_line)) for cells in others],
        )
        strays = {records.REPEATED_HEADER: suspects[repeats], records.NOT_DATA: suspects[is_line]}
        is_data = np.ones(len(positions), dtype=np.bool_)
        is_data[suspects[repeats | is_line]] = False
        texts = {name: text.filter(pa.array(is_data)) for name, text in texts.items()}
        return positions[is_data], texts, {rule: positions[rows] for rule, rows in strays.items() if len(rows)}

    def _sender_columns(self, block: Block, texts: Mapping[str, pa.Array], rows: Positions) -> list[pa.StringArray]:
        """Return the cells of all columns of the sender's in some rows; those that aren't imported are read now."""
        mapped = {index: name for name, index in self.mapping.field_indexes.items()}
        skipped = [index for index in self._own if index not in mapped]
        others = dict(zip(skipped, self._read_columns(block, skipped)[1] if skipped else [], strict=True))
        taken = pa.array(rows)
        return [(texts[mapped[index]] if index in mapped else others[index]).take(taken) for index in self._own]

    def _launched_at(self, rows: int) -> pa.Array:
        return pa.repeat(pa.scalar(self.launched_at, pa.timestamp("us", "UTC")), rows)

    def _judge_records(self, block: Block, strays: Mapping[str, Positions], failures: _Failures) -> None:
        problems = {**block.problems, **strays}
        if RAGGED in problems:
            problems = self._without_ragged_strays(block, problems)
        for rule, rows in problems.items():
            if len(rows) == 0:
                continue
            failures.add(rule, rows, self._record_sentences(rule, block.cells[rows], block.columns.get(rule)))
            tally = self._tallies.setdefault((rule, "critical"), RuleTally("critical"))
            tally.add(len(block.starts), block.lines[rows])

    def _without_ragged_strays(self, block: Block, problems: dict[str, Positions]) -> dict[str, Positions]:
        """Call a line that a program has added by its name, not by its number of cells (PC-04a)."""
        rows = problems[RAGGED]
        if not self._has_origins:
            suspects = rows[stray_rows.may_be_lines_of_programs(block.data, block.starts[rows], block.ends[rows])]
        else:
            suspects = rows
        if not len(suspects):
            return problems
        records_there = stray_rows.records_of(block.data, block.starts[suspects], block.ends[suspects])
        is_stray = np.isin(rows, suspects[matches(records_there, self._ragged_stray)])
        if not is_stray.any():
            return problems
        not_data = np.union1d(problems.get(records.NOT_DATA, np.empty(0, np.int64)), rows[is_stray])
        return {**problems, RAGGED: rows[~is_stray], records.NOT_DATA: not_data}

    def _record_sentences(self, rule: str, cells: npt.NDArray[np.int32], in_columns: Positions | None) -> SentencesOf:
        columns = len(self._header)
        if in_columns is None:
            return lambda part: [ROW_RULES[rule].format(cells=count, columns=columns) for count in cells[part]]
        return lambda part: [ROW_RULES[rule].format(column=self._name_column(index)) for index in in_columns[part]]

    def _name_column(self, index: int) -> str:
        """Return what sentences call a column of the file, such as `column 3 (Card balance)`.

        They are in forms and previews as well, and a header may be data (X-20).
        """
        if index not in self._column_names:
            columns = self.mapping.columns
            name = f"column {index + 1}"
            if index < len(columns):
                name = one_line(self.mapping.numbered(columns[index])).replace(MASK, ASCII_MASK)
            self._column_names[index] = name
        return self._column_names[index]

    def _check(
        self, frame: pd.DataFrame, lines: Positions, positions: Positions, failures: _Failures
    ) -> tuple[npt.NDArray[np.bool_], dict[str, _Broken]]:
        """Judge the frame; collect in `failures` what rejects rows.

        Returns:
            Which rows are valid, and by field what values of theirs are dropped; a rejected row loses none.
        """
        valid = np.ones(len(frame), dtype=bool)
        if len(frame) == 0:
            return valid, {}
        dropping = []
        for result in self._checker.check(frame):
            if self._drops(result.rule):
                dropping.append(result)
                continue
            tally = self._tallies[result.rule.id, result.rule.severity]
            tally.add(result.evaluated, lines[result.rows])
            if self.mapping.is_headed and len(result.rows):
                self._collect(result, frame)
            if result.rule.severity == "critical" and len(result.rows):
                valid[result.rows] = False
                failures.add(result.rule.id, positions[result.rows], self._rule_sentences(result, frame))
        dropped: dict[str, _Broken] = {}
        for result in dropping:
            result = replace(result, rows=result.rows[valid[result.rows]])
            self._tallies[result.rule.id, "warning"].add(len(frame), lines[result.rows])
            if len(result.rows):
                broken = dropped.setdefault(result.rule.field, _Broken())
                broken.add(result.rule.id, result.rows, self._rule_sentences(result, frame))
        return valid, dropped

    def _collect(self, result: RuleResult, frame: pd.DataFrame) -> None:
        """Collect what the broken rows of a block have in common, and count it when there is enough of it."""
        key = result.rule.id, result.rule.severity
        if key not in self._common:
            self._common[key] = CommonValues(result.rule, hidden=self._private, masks_codes=self.masks_codes)
        self._common[key].add(result, frame)
        if self._common[key].rows > MOST_COLLECTED:
            self._tallies[key].say(self._common[key].count())

    @property
    def tallies(self) -> Tallies:
        """The verdicts of all blocks so far, by rule and severity."""
        for key, common in self._common.items():
            self._tallies[key].say(common.count())
        return self._tallies

    def _rule_sentences(self, result: RuleResult, frame: pd.DataFrame) -> SentencesOf:
        return lambda part: sentences(
            replace(result, rows=result.rows[part]),
            frame,
            hidden=self._hidden,
            masks_codes=self.masks_codes,
            masks_private=self._masks_private,
        )

    def _drops(self, rule: Rule) -> bool:
        """Say whether breaking this rule costs the value alone."""
        return rule.severity == "critical" and rule.field in self._droppable

    def _staged(
        self,
        block: Block,
        positions: Positions,
        valid: npt.NDArray[np.bool_],
        fields: Mapping[str, pa.Array],
        origins: Origins,
    ) -> pa.Table:
        columns: dict[str, pa.Array] = {
            "line": pa.array(block.lines[positions]),
            "byte_offset": pa.array(block.starts[positions] + block.offset),
            "byte_length": pa.array((block.ends - block.starts)[positions]),
            "is_valid": pa.array(valid),
            "origin_job_id": origins.job.take(pa.array(positions)),
            "origin_line": origins.line.take(pa.array(positions)),
        }
        own = [field for field in self.fields if field.packed is None]
        columns |= {field.name: fields[field.name] for field in own if not field.is_secret}
        clears = {name: fields[name] for name in (f"{field.name}__clear" for field in own if field.clearable)}
        columns |= {name: is_clear for name, is_clear in clears.items() if pc.any(is_clear).as_py()}  # false by default
        for name in self.import_type.dynamic.packed_columns if self.import_type.dynamic else ():
            packed = [field for field in self.fields if field.packed is not None and field.packed[0] == name]
            columns[name] = packing.pack(packed, fields, len(positions))
        columns |= {field.name: field.compute(fields, self._runtime) for field in self.import_type.derived}
        return pa.table(columns)


class _Broken:
    """Collects which rows break which rules, and folds them to one entry a row: the reasons in the order of the suite.

    The sentences are made for some rows at a time: where every row breaks every rule they are a hundred times as long
    as the row.
    """

    def __init__(self) -> None:
        self._breaches: list[tuple[str, Positions, SentencesOf]] = []

    def add(self, rule: str, rows: Positions, sentences_of: SentencesOf) -> None:
        """Note the rows, ascending, that break a rule."""
        self._breaches.append((rule, np.asarray(rows, dtype=np.int64), sentences_of))

    @property
    def rows(self) -> Positions:
        """The rows, each once, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.int64), *(rows for _, rows, _ in self._breaches)]))

    def folded(self) -> tuple[Positions, pa.Array, pa.Array]:
        """Return the rows, each once, ascending, with their rules and their sentences."""
        rows = self.rows
        windows = -(-sum(len(broken) for _, broken, _ in self._breaches) // _SENTENCES_AT_ONCE)
        folded = (
            [self._fold(int(part[0]), int(part[-1]) + 1) for part in np.array_split(rows, windows)] if windows else []
        )
        nothing = pa.array([], pa.string())
        rules, reasons = (pa.concat_arrays([nothing, *(part[place] for part in folded)]) for place in (0, 1))
        return rows, rules, reasons

    def _fold(self, low: int, high: int) -> tuple[pa.Array, pa.Array]:
        """Return rules and sentences of the rows from `low` on and before `high`, an entry a row."""
        rows, rules, texts = [], [], []
        for rule, broken, sentences_of in self._breaches:
            first, last = np.searchsorted(broken, (low, high))
            if first < last:
                rows.append(broken[first:last])
                rules.append(pa.repeat(pa.scalar(rule), last - first))
                texts.append(pa.array(sentences_of(slice(first, last)), pa.string()))
        together = np.concatenate(rows)
        order = np.argsort(together, kind="stable")
        together = together[order]
        first_of_row = np.flatnonzero(np.r_[True, together[1:] != together[:-1]])
        offsets = pa.array(np.r_[first_of_row, len(together)].astype(np.int32))

        def joined(parts: list[pa.Array], separator: str) -> pa.Array:
            values = pa.concat_arrays(parts).take(pa.array(order))
            return pc.binary_join(pa.ListArray.from_arrays(offsets, values), separator)

        return joined(rules, " "), joined(texts, " | ")


class _Failures(_Broken):
    """What rejects the records of one block."""

    def table(self, block: Block, origins: Origins) -> pa.Table:
        """Return the rejects in file order."""
        rejected, rules, reasons = self.folded()
        return pa.table(
            {
                "line": pa.array(block.lines[rejected]),
                "byte_offset": pa.array(block.starts[rejected] + block.offset),
                "byte_length": pa.array((block.ends - block.starts)[rejected]),
                "rules": rules,
                "reasons": reasons,
                "origin_job_id": origins.job.take(pa.array(rejected)),
                "origin_line": origins.line.take(pa.array(rejected)),
            }
        )


def _dropped_values(dropped: Mapping[str, _Broken], lines: Positions, fields: Mapping[str, pa.Array]) -> pa.Table:
    """Return the dropped values with what the sender wrote, field by field."""
    tables = []
    for name, broken in dropped.items():
        rows, rules, reasons = broken.folded()
        sent = fields.get(f"{name}__sent", fields[name])
        columns = {
            "line": pa.array(lines[rows]),
            "field": pa.repeat(pa.scalar(name), len(rows)),
            "value": sent.take(pa.array(rows)),
            "rules": rules,
            "reasons": reasons,
        }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables) if tables else pa.table({})
