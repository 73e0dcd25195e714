"""Promo code pools: added by their first row, edited by later ones, launched by `launch`. Source: spec section 4."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from include.declaration.fields import Derived, Field, Kind, LoadRule, Look, Lookup, Secrets
from include.declaration.import_type import Extras, ImportType
from include.declaration.settings import ReviewsChanges

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST_KEY_BYTES = 2600
_WEIGHED = ("fill_method", "quantity", "auto_generate", "issue_check", "assigned_validity_days", "multi_use", "launch")
"""Fields that the load weighs against one another and against the pool as it is."""


def make_system_id(name: str) -> str | None:
    """Return the system id of a pool whose sender left it blank: the name's letters and digits, `_` between words.

    Of any script, in lower case. None when the name has no letter or digit, or is too long for a key.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(character if unicodedata.category(character)[0] in "LNM" else " " for character in text)
    system_id = re.sub(" +", "_", kept.strip(" "))
    return system_id if 0 < len(system_id.encode()) <= LARGEST_KEY_BYTES else None


def make_system_ids(fields: Mapping[str, pa.Array], _secrets: Secrets) -> pa.Array:
    """Return each row's system id: what was sent, else one made from the name, "" where none can be made from it.

    Null where what was sent can't be read, and where both are blank.
    """
    import pyarrow as pa  # which no DAG needs when it is parsed
    import pyarrow.compute as pc

    is_blank = pc.is_null(fields["system_id__sent"])
    if not pc.any(is_blank).as_py():
        return fields["system_id"]
    system_ids = [None if name is None else make_system_id(name) or "" for name in fields["name"].to_pylist()]
    return pc.if_else(is_blank, pa.array(system_ids, pa.string()), fields["system_id"])


def is_readable(fields: Mapping[str, pa.Array], _secrets: Secrets) -> pa.Array:
    """Say where the fields that the load weighs could all be read: what can't be read decides nothing."""
    import pyarrow.compute as pc

    readable = pc.is_null(fields[f"{_WEIGHED[0]}__problem"])
    for name in _WEIGHED[1:]:
        readable = pc.and_(readable, pc.is_null(fields[f"{name}__problem"]))
    return readable


PROMO_CODE_POOLS = ImportType(
    name="promo_code_pools",
    label="Promo code pools",
    actions=("add_and_edit_promo_code_pools",),
    key="system_id",
    settings=ReviewsChanges,
    edits=True,
    folder=Path(__file__).parent,
    targets=("loyalty.promo_code_pool",),
    extras=Extras(project_limits=("max_generation",)),
    fields=(
        Field(
            "system_id",
            "Pool ID",
            Kind.IDENTIFIER,
            aliases=("ID", "Pool system ID"),
            clearable=True,
            description="Unique name that codes refer to; made from the name when blank. It never changes.",
            look=Look.SYSTEM_NAME,
            is_indexed=True,
        ),
        Field(
            "name",
            "Pool name",
            Kind.IDENTIFIER,
            aliases=("Promo code pool name",),
            required=True,
            clearable=True,
            description="Name that people see; needed in every row.",
            look=Look.NAME,
        ),
        Field(
            "description",
            "Description",
            clearable=True,
            description="What the pool is for; needed to launch it.",
            look=Look.NAME,
        ),
        Field(
            "campaign", "Campaign", clearable=True, description="The campaign that the codes belong to.", look=Look.NAME
        ),
        Field(
            "parameter_name",
            "Parameter name in the message template builder",
            Kind.IDENTIFIER,
            aliases=("Parameter name",),
            clearable=True,
            description="Identifier of the code in message templates.",
            look=Look.SYSTEM_NAME,
            label_in_rules="Parameter name",
        ),
        Field(
            "fill_method",
            "Fill method",
            Kind.ENUM,
            choices=("upload", "generate"),
            clearable=True,
            description="Where codes come from. The first code decides, if nobody has before, and freezes it.",
        ),
        Field(
            "format",
            "Promo code format",
            Kind.IDENTIFIER,
            clearable=True,
            description="Format of generated codes, one of the project's.",
        ),
        Field(
            "quantity",
            "Quantity",
            Kind.INTEGER,
            clearable=True,
            description="Codes of one generation; needed to generate automatically.",
        ),
        Field(
            "auto_generate",
            "Auto-generate promo codes if they run out",
            Kind.BOOLEAN,
            aliases=("Auto-generate",),
            clearable=True,
            description="true: the pool is topped up when it runs short. A new pool's is false.",
            label_in_rules="Auto-generate",
        ),
        Field(
            "top_up_threshold",
            "Top-up threshold",
            Kind.INTEGER,
            clearable=True,
            description="Top up below this many available codes; 0: never. Blank: the next field's number, else when "
            "none is left.",
        ),
        Field(
            "notify_below",
            "Notify when code amount is below",
            Kind.INTEGER,
            clearable=True,
            description="Notify the subscribed staff below this many available codes. Blank: never.",
        ),
        Field(
            "lead_hours",
            "Lead hours",
            Kind.INTEGER,
            clearable=True,
            description="Top up, or notify the staff, when the codes are predicted to run out within so many hours.",
        ),
        Field(
            "issue_check",
            "Check that code was issued to customer before activation",
            Kind.BOOLEAN,
            aliases=("Issue check",),
            clearable=True,
            description="true: only issued codes can be activated. Not with multiple use.",
            label_in_rules="Check that code was issued",
        ),
        Field(
            "assigned_validity_days",
            "Validity period for an assigned promo code",
            Kind.INTEGER,
            aliases=("Assigned validity days",),
            clearable=True,
            description="Days for which an issued code can be activated; needed with the issue check.",
        ),
        Field(
            "processing",
            "Processing",
            Kind.ENUM,
            choices=("internal", "external"),
            clearable=True,
            description="external: another system activates the codes. A new pool's is internal.",
        ),
        Field(
            "multi_use",
            "Codes can be used multiple times",
            Kind.BOOLEAN,
            aliases=("Multiple use",),
            clearable=True,
            description="true: a code is handed out and activated again and again. Frozen by the launch.",
        ),
        Field(
            "code_pattern",
            "Code pattern",
            clearable=True,
            description="Regular expression (RE2) that every code of an upload must match as a whole.",
            look=Look.PATTERN,
            max_characters=500,
        ),
        Field(
            "launch",
            "Launch",
            Kind.BOOLEAN,
            description="true: launches the pool, so that codes can be issued from it. Nothing takes that back.",
        ),
    ),
    lookups=(Lookup("format", "format", "SELECT name FROM loyalty.promo_code_format"),),
    derived=(
        Derived("pool_id", 'text COLLATE "C"', make_system_ids),
        Derived("is_readable", "boolean", is_readable),
    ),
    load_rules=(
        LoadRule(
            "system_id.cannot_be_made",
            "Pool ID is blank and can't be made from the name, which has no letter or digit, or too many. Give one.",
            "section 4",
        ),
        LoadRule(
            "system_id.duplicate_in_file",
            "Duplicate pool ID {value}, first seen on line {line}. The first row is kept.",
            "X-17",
        ),
        LoadRule(
            "system_id.taken",
            "The ID made from this name, {value}, is that of a pool with another name. Give this pool an ID of its "
            "own, or write that ID to edit the other.",
            "section 4",
        ),
        LoadRule(
            "description.required_to_launch",
            "Description is blank, but the pool {value} can't be launched, or stay so, without one.",
            "PP-01",
        ),
        LoadRule(
            "quantity.required",
            "Quantity is blank, but the pool {value} can't generate codes automatically without one.",
            "PP-02",
        ),
        LoadRule(
            "quantity.over_capacity",
            "The pool {value} is to generate {fields}. Take a smaller quantity, or a format with a larger code space.",
            "PP-02",
        ),
        LoadRule(
            "quantity.over_limit",
            "The pool {value} is to generate {fields}. Take a smaller quantity: a top-up repeats it until the "
            "threshold is met.",
            "PP-02",
        ),
        LoadRule(
            "assigned_validity_days.required",
            "Validity period for an assigned promo code is blank, but the pool {value} can't check that codes were "
            "issued without one.",
            "section 4",
        ),
        LoadRule(
            "issue_check.with_multi_use",
            "The pool {value} can't both check that codes were issued and let them be used multiple times.",
            "PP-02",
        ),
        LoadRule(
            "multi_use.frozen",
            "The pool {value} has been launched: whether its codes can be used multiple times can't change any more.",
            "PP-02",
        ),
        LoadRule(
            "fill_method.frozen",
            "The pool {value} has codes: the fill method {fields} can't change any more.",
            "PP-02",
        ),
    ),
)
