"""Promo codes by upload, into a pool that the column, the settings or the folder names. Source: spec section 5."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator
from pydantic import Field as Setting

from include.declaration.fields import Derived, Field, Kind, LoadRule, Look, Lookup, Secrets
from include.declaration.import_type import Extras, ImportType
from include.declaration.settings import (
    Bears,
    Edits,
    EntryName,
    ImportSettings,
    InForm,
    InFrame,
    OfFolder,
    Suggests,
    Text,
)
from include.errors import FileRefused
from include.located_yaml import named, quoted
from include.names import mask_data
from include.values.code_patterns import check_pattern

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection


def _code_pattern(text: str) -> str:
    try:
        return check_pattern(text)
    except ValueError as error:
        raise ValueError(f"{quoted(text)} {mask_data(str(error))}") from None


OnExisting = Annotated[Literal["reject", "update_dates"], Bears(by_all=True), InForm(), Edits("update_dates")]


_POOLS_FOR_UPLOADS = """
SELECT system_id
FROM loyalty.promo_code_pool
WHERE fill_method IS DISTINCT FROM 'generate'
ORDER BY system_id
LIMIT 500
"""


class PromoCodeSettings(ImportSettings):
    """Settings of uploads of promo codes."""

    pool: Annotated[EntryName | None, Bears(by_all=True), InForm(), OfFolder(), Suggests(query=_POOLS_FOR_UPLOADS)] = (
        Setting(None, description="The pool that codes go to, by its system id.")
    )
    on_existing: OnExisting = Setting(
        "reject",
        description="If an unused code already exists with other dates: reject the row, or replace the dates. An empty "
        "cell removes the limit; a missing column says nothing about it.",
    )
    code_pattern: Annotated[Annotated[Text, AfterValidator(_code_pattern)] | None, Bears(), InFrame()] = Setting(
        None,
        description="Regular expression (RE2) that every code must match as a whole, beside the pool's own.",
    )


def refuse_unusable_pool(connection: Connection, settings: PromoCodeSettings, mapped: Collection[str]) -> None:
    """Refuse a file whose pool, as settings or folder name it, takes no uploads. Source: PC-02, PC-05.

    Raises:
        FileRefused: `file.no_pool`, `file.unknown_pool`, `file.generate_pool`.
    """
    import sqlalchemy as sa  # which no DAG needs when it is parsed

    if settings.pool is None:
        if "pool" not in mapped:
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
            f"There is no promo code pool {named(settings.pool)}, which the settings or the file's folder name. "
            "Import the pool first, or correct the name; letter case counts.",
        )
    if pool.fill_method == "generate":
        raise FileRefused(
            "file.generate_pool",
            f"The pool {named(settings.pool)} is filled by generation (fill_method generate) and takes no uploads.",
        )


def make_look_alike_forms(fields: Mapping[str, pa.Array], _secrets: Secrets) -> pa.Array:
    """Return what the codes look like that are not of ASCII alone. Source: PC-04a."""
    from include.values import look_alikes  # pyarrow, which no DAG needs when it is parsed

    return look_alikes.look_alike_forms(fields["code"])


PROMO_CODES = ImportType(
    name="promo_codes",
    label="Promo codes",
    actions=("add_promo_codes",),
    key="code",
    settings=PromoCodeSettings,
    folder=Path(__file__).parent,
    targets=("loyalty.promo_code",),
    extras=Extras(check_file=refuse_unusable_pool, pasted_header="Code"),
    fields=(
        Field(
            "code",
            "Code",
            Kind.IDENTIFIER,
            required=True,
            sensitive=True,
            description="Text, unique over all pools; letter case and leading zeros count.",
            look=Look.CODE,
            is_indexed=True,
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
            "A person who types it may get the other one.",
            "PC-04a",
            severity="warning",
        ),
    ),
)
