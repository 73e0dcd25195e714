"""Promo codes by upload, into a pool that the column, the settings or the folder names. Source: spec section 5."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from include.importing.errors import FileRefused
from include.importing.import_type import Derived, Field, ImportType, Kind, LoadRule, Look, Lookup
from include.located_yaml import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from include.importing.mapping import ColumnMapping
    from include.importing.runtime import Runtime
    from include.importing.settings import ImportSettings


def refuse_unusable_pool(connection: Connection, settings: ImportSettings, mapping: ColumnMapping) -> None:
    """Refuse a file whose pool, as settings or folder name it, takes no uploads. Source: PC-02, PC-05.

    Raises:
        FileRefused: `file.no_pool`, `file.unknown_pool`, `file.generate_pool`.
    """
    import sqlalchemy as sa  # which no DAG needs when it is parsed

    if settings.pool is None:
        if "pool" not in mapping.field_indexes:
            raise FileRefused(
                "file.no_pool",
                "Choose a pool for these codes: the file has no column pool, and there is no setting pool. "
                "A file in the folder promo_codes/<pool ID>/ goes to that pool.",
            )
        return
    query = sa.text("SELECT fill_method FROM loyalty.promo_code_pool WHERE system_id = :pool")
    pool = connection.execute(query, {"pool": settings.pool}).one_or_none()
    if pool is None:
        raise FileRefused(
            "file.unknown_pool",
            f"There is no promo code pool {quoted(settings.pool)}, which the settings or the file's folder name. "
            "Import the pool first, or correct the name; letter case counts.",
        )
    if pool.fill_method == "generate":
        raise FileRefused(
            "file.generate_pool",
            f"The pool {quoted(settings.pool)} is filled by generation (fill_method generate) and takes no uploads.",
        )


def make_look_alike_forms(fields: Mapping[str, pa.Array], _runtime: Runtime) -> pa.Array:
    """Return what the codes look like that are not of ASCII alone. Source: PC-04a."""
    from include.importing import look_alikes  # pyarrow, which no DAG needs when it is parsed

    return look_alikes.look_alike_forms(fields["code"])


PROMO_CODES = ImportType(
    name="promo_codes",
    label="Promo codes",
    actions=("add_promo_codes",),
    key="code",
    load_statements=(Path(__file__).with_name("load_promo_codes.sql"),),
    targets=("loyalty.promo_code",),
    folder_setting="pool",
    check_file=refuse_unusable_pool,
    pasted_header="Code",
    shown_settings=("code_pattern",),
    fields=(
        Field(
            "code",
            "Code",
            Kind.IDENTIFIER,
            required=True,
            sensitive=True,
            description="Text, unique over all pools; letter case and leading zeros count.",
            look=Look.CODE,
        ),
        Field(
            "pool",
            "Promo code pool",
            Kind.IDENTIFIER,
            aliases=("CodeType", "Pool ID", "Pool system ID"),
            setting="pool",
            description="ID of the code's pool; needed unless the setting `pool` or the folder says it.",
        ),
        Field(
            "issue_start",
            "Issue-start",
            Kind.DATETIME,
            aliases=("IssueStartDateTimeUtc",),
            description="From when on the code may be issued.",
        ),
        Field(
            "issue_end",
            "Issue-end",
            Kind.DATETIME,
            aliases=("IssueEndDateTimeUtc",),
            is_end=True,
            description="Until when the code may be issued, exclusive; a day without a time is included.",
        ),
        Field(
            "available_from",
            "Available-from",
            Kind.DATETIME,
            aliases=("AvailableFromDateTimeUtc", "active-from"),
            description="From when on the code can be activated.",
        ),
        Field(
            "available_till",
            "Available-till",
            Kind.DATETIME,
            aliases=("AvailableTillDateTimeUtc", "expired-at"),
            is_end=True,
            description="Until when the code can be activated, exclusive; a day without a time is included.",
        ),
    ),
    lookups=(
        Lookup(
            "pool",
            "pool",
            "SELECT system_id, fill_method, code_pattern FROM loyalty.promo_code_pool",
            columns={"fill_method": Kind.TEXT, "code_pattern": Kind.TEXT},
        ),
    ),
    derived=(Derived("look_alike_forms", "text[]", make_look_alike_forms),),
    load_rules=(
        LoadRule(
            "code.duplicate_in_file",
            "Duplicate code, first seen on line {line}. The first row is kept.",
            "X-17",
        ),
        LoadRule(
            "code.in_another_pool",
            "This code exists already, in another pool. Codes are unique over all pools.",
            "PC-04",
        ),
        LoadRule(
            "code.other_dates",
            "This code exists already with other dates; this row differs in {fields}. The setting on_existing: "
            "update_dates would change them.",
            "PC-04",
        ),
        LoadRule(
            "code.used",
            "This code has been used, so its dates can't change; this row differs in {fields}.",
            "PC-04",
        ),
        LoadRule(
            "code.reversed_window",
            "With the dates that this code has already, which the file has no column for, its window would be empty.",
            "PC-03",
        ),
        LoadRule(
            "pool.closed",
            "The pool {value} was deleted, or became one that is filled by generation, while the file was imported.",
            "PC-05",
        ),
        LoadRule(
            "code.case_twin",
            "Another code of the project differs from this one by letter case alone.",
            "PC-04",
            severity="warning",
        ),
        LoadRule(
            "code.lookalike",
            "This code looks like another code of the project: characters that look alike, or other dashes or blanks. "
            "Whoever types it may get the other one.",
            "PC-04a",
            severity="warning",
        ),
    ),
)
