"""Stores: a type of the tests alone, which no module of the project names."""

from __future__ import annotations

from pathlib import Path

from include.declaration.fields import Field, Kind
from include.declaration.import_type import ImportType
from include.declaration.loads import Upsert

STORES = ImportType(
    name="made_up_stores",
    label="Stores",
    actions=("add_and_edit_stores",),
    key="store_code",
    folder=Path(__file__).parent,
    targets=("loyalty.made_up_store",),
    load=Upsert(),
    fields=(
        Field("store_code", "Store code", Kind.IDENTIFIER, required=True, description="Unique; it never changes."),
        Field("name", "Name", required=True, description="Name that people see."),
        Field("city", "City", clearable=True, description="City."),
        Field("opened_on", "Opened on", Kind.DATE, aliases=("Opening date",), clearable=True, description="First day."),
        Field("is_open", "Is open", Kind.BOOLEAN, clearable=True, description="Whether customers are served."),
        Field("revenue_target", "Revenue target", Kind.DECIMAL, clearable=True, description="Of a year; not negative."),
    ),
)
TABLE = """
CREATE TABLE loyalty.made_up_store (
    store_code text COLLATE "C" CONSTRAINT made_up_store_pkey PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    city text COLLATE "C",
    opened_on date,
    is_open boolean,
    revenue_target numeric(18,2),
    import_job_id bigint,
    import_line bigint
);
GRANT INSERT, SELECT, UPDATE ON loyalty.made_up_store TO loyalty_importer;
"""
