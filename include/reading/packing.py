"""Fields of one row as one JSON object: the `jsonb` columns of the staging table, made by Arrow kernels.

Which fields a project has is its settings' affair; the staging table's columns are the same for all. A field that is
*packed* is a key of such a column: `{"FavoriteColor": "red", "Size": null}` for a value and a cleared cell; a blank one
has no key, and a row without any has no object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.declaration.fields import Field, Kind
from include.values.cells import view

_BARE = (Kind.BOOLEAN, Kind.INTEGER, Kind.DECIMAL)
"""Kinds whose texts are JSON as they are; all others are strings."""
_CONTROLS = 0x20


def pack(fields: Sequence[Field], columns: Mapping[str, pa.Array], rows: int) -> pa.Array:
    """Return the texts of the JSON objects of one staging column, null where a row has none of the fields.

    Args:
        fields: those packed into this column.
        columns: the frame's columns, by name: each field's, and its `<name>__clear`.
        rows: how many.
    """
    members = [member for field in fields if (member := _member(field, columns)).null_count < rows]
    if not members:
        return pa.nulls(rows, pa.string())
    # Each begins with a comma, the first of which goes: Arrow 26 loses rows of nulls with null_handling="skip".
    joined = pc.binary_join_element_wise(*(pc.fill_null(member, "") for member in members), "")
    objects = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")
    return pc.if_else(pc.equal(pc.binary_length(joined), 0), pa.scalar(None, pa.string()), objects)


def _member(field: Field, columns: Mapping[str, pa.Array]) -> pa.Array:
    """Return `,"key":value` where a row has a value or a cleared cell, else null."""
    values = _json_texts(columns[field.name], field.kind)
    if field.clearable:
        is_clear = columns[f"{field.name}__clear"]
        if is_clear.true_count:
            values = pc.if_else(is_clear, "null", values)
    key = json.dumps(field.packed[1] if field.packed else field.name, ensure_ascii=False)
    if values.null_count == len(values):
        return values
    return pc.binary_join_element_wise(f",{key}:", values, "")


def _json_texts(values: pa.Array, kind: Kind) -> pa.Array:
    if kind in _BARE:
        return values.cast(pa.string())
    if kind is Kind.DATETIME:  # an ISO text, its fraction only where there is one
        texts = values.cast(pa.timestamp("us")).cast(pa.string())
        texts = pc.replace_substring_regex(texts, r"(?:\.000000)?$", "Z", max_replacements=1)
        texts = pc.replace_substring(texts, " ", "T")
    elif kind is Kind.DATE:
        texts = values.cast(pa.string())
    else:
        texts = escape(values)
    return pc.binary_join_element_wise('"', texts, '"', "")


def escape(texts: pa.StringArray) -> pa.StringArray:
    """Escape what JSON does not allow within quotes; the same object when nothing has to be."""
    seen = view(texts)
    if not len(seen.starts):
        return texts
    used = seen.data[seen.starts[0] : seen.ends[-1]]
    if (used == ord("\\")).any():  # first: the others bring backslashes in
        texts = pc.replace_substring(texts, "\\", "\\\\")
    if (used == ord('"')).any():
        texts = pc.replace_substring(texts, '"', '\\"')
    for code in np.unique(used[used < _CONTROLS]):
        texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return texts
