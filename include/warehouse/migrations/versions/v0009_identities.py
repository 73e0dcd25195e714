"""What is the same and what isn't: e-mails, codes and card numbers that look alike, products of sales, code patterns.

E-mail addresses are compared without regard to the case of ASCII's letters, and of no others, from now on (X-16); their
domains are A-labels. Customers who had one address in two writings would then be one: who they are is for people to
say, so the revision names them and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from alembic import op
from psycopg2.extras import execute_values
from sqlalchemy import Connection

from include.errors import ConfigurationError
from include.values.emails import as_stored
from include.values.look_alikes import plain_numbers, skeletons
from include.warehouse.migrations import run_function_files, run_sql

revision = "0009"
down_revision = "0008"

MOST_NAMED = 20
"""Groups of customers that one refusal names."""
_ROWS_AT_ONCE = 50_000

EMAILS = """
CREATE UNIQUE INDEX customer_email_key ON loyalty.customer (lower(email)) WHERE email IS NOT NULL;
COMMENT ON COLUMN loyalty.customer.email IS
    'As sent, but for the domain, which is an A-label. Found by lower(email): in collation "C" of ASCII alone (X-16).';
"""

# Written with their codes and cards, for those alone that have another form than themselves. No references: codes and
# cards are never deleted. Hash indexes, since a form may be longer than what a row of a btree holds.
FORMS = """
CREATE TABLE loyalty.promo_code_look_alike (
    code text COLLATE "C" CONSTRAINT promo_code_look_alike_pkey PRIMARY KEY,
    skeleton text COLLATE "C" NOT NULL
);
CREATE INDEX promo_code_look_alike_skeleton ON loyalty.promo_code_look_alike USING hash (skeleton);
COMMENT ON TABLE loyalty.promo_code_look_alike IS
    'What codes with characters beyond ASCII look like: their skeletons, made by include/values/look_alikes.py '
    '(PC-04a).';
CREATE TABLE loyalty.gift_card_plain_number (
    card_number text COLLATE "C" CONSTRAINT gift_card_plain_number_pkey PRIMARY KEY,
    plain_number text COLLATE "C" NOT NULL
);
CREATE INDEX gift_card_plain_number_plain_number ON loyalty.gift_card_plain_number USING hash (plain_number);
COMMENT ON TABLE loyalty.gift_card_plain_number IS
    'Cards whose number has blanks, dashes or small letters, with the number without them (PC-04a).';
"""

PLACEHOLDERS = """
CREATE TABLE ledger.customer_placeholder (
    job_id bigint NOT NULL,
    identifier text COLLATE "C" NOT NULL,
    salt uuid NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT customer_placeholder_pkey PRIMARY KEY (job_id, identifier, salt, digest)
);
COMMENT ON TABLE ledger.customer_placeholder IS
    'What a job judged a placeholder, or a job whose rows it corrects (CU-03): SHA-256 of a random salt and the value.';
"""

POOLS = """
ALTER TABLE loyalty.promo_code_pool
    ADD COLUMN code_pattern text CONSTRAINT promo_code_pool_code_pattern_check CHECK (code_pattern <> '');
COMMENT ON COLUMN loyalty.promo_code_pool.code_pattern IS
    'Regular expression of RE2 that uploaded codes match as a whole (PC-04a).';
"""

PRODUCTS = """
ALTER TABLE loyalty.gift_card_change
    ADD COLUMN product_external_system text COLLATE "C",
    ADD COLUMN product_external_id text COLLATE "C",
    ADD COLUMN brand text COLLATE "C";
COMMENT ON COLUMN loyalty.gift_card_change.product_external_id IS
    'Of the technical product that a sale or payment is booked by, with its external system and brand (GP-02). NULL of '
    'blocks, and of what was recorded before there were these columns: loyalty.technical_product has it.';
-- Functions with further columns in their result are made anew.
DROP FUNCTION loyalty.sell_gift_card(text, timestamptz, text);
DROP FUNCTION loyalty.redeem_gift_card(text, numeric, bytea);
"""


def upgrade() -> None:
    """Bring stored addresses to the form that new ones get, look at what would be the same, then change the rest.

    Raises:
        ConfigurationError: customers would have the same e-mail address.
    """
    connection = op.get_bind()
    run_sql(connection, "DROP INDEX loyalty.customer_email_key")
    _write_domains(connection)
    _refuse_shared_emails(connection)
    run_sql(connection, EMAILS)
    for statements in (FORMS, PLACEHOLDERS, POOLS, PRODUCTS):
        run_sql(connection, statements)
    _fill(
        connection,
        "SELECT code FROM loyalty.promo_code WHERE octet_length(code) <> length(code)",
        "INSERT INTO loyalty.promo_code_look_alike (code, skeleton) VALUES %s",
        lambda codes: list(zip(codes, skeletons(codes), strict=True)),
    )
    _fill(
        connection,
        "SELECT card_number FROM loyalty.gift_card WHERE card_number ~ '[^0-9A-Z]'",
        "INSERT INTO loyalty.gift_card_plain_number (card_number, plain_number) VALUES %s",
        _plain_rows,
    )
    run_function_files(connection, "gift_card_changes", "sell_gift_card", "redeem_gift_card")


def _write_domains(connection: Connection) -> None:
    """Write the domains that are not of ASCII as A-labels; there are few."""
    with _driver(connection).cursor() as cursor:
        cursor.execute("SELECT id, email FROM loyalty.customer WHERE split_part(email, '@', -1) ~ '[^\\x01-\\x7f]'")
        stored = [(number, as_stored(email)) for number, email in cursor.fetchall()]
        for number, email in stored:
            if email is not None:  # what the library denies by now stays as it is
                cursor.execute("UPDATE loyalty.customer SET email = %s WHERE id = %s", (email, number))


def _refuse_shared_emails(connection: Connection) -> None:
    """Name the customers who would have one address; by number, since addresses stand in no message (X-20)."""
    with _driver(connection).cursor() as cursor:
        cursor.execute(
            "SELECT array_agg(id ORDER BY id) FROM loyalty.customer WHERE email IS NOT NULL "
            "GROUP BY lower(email) HAVING count(*) > 1 ORDER BY min(id)"
        )
        groups = [numbers for (numbers,) in cursor.fetchall()]
    if groups:
        named = "; ".join(" and ".join(map(str, numbers)) for numbers in groups[:MOST_NAMED])
        rest = f"; and {len(groups) - MOST_NAMED:,} further groups" if len(groups) > MOST_NAMED else ""
        raise ConfigurationError(
            "Customers have the same e-mail address in several writings (an international domain in Unicode and as "
            f"xn--…), by number: {named}{rest}. Nothing was changed. Decide whose the address is, take it from the "
            "others (UPDATE loyalty.customer SET email = NULL WHERE id = …; or erase them), and migrate again."
        )


def _plain_rows(numbers: Sequence[str]) -> list[tuple[str, str]]:
    plain = plain_numbers(pa.array(numbers, pa.string())).to_pylist()
    return [(number, form) for form, number in zip(plain, numbers, strict=True) if form is not None]


def _fill(
    connection: Connection, query: str, statement: str, rows: Callable[[Sequence[str]], list[tuple[str, str]]]
) -> None:
    with _driver(connection).cursor() as cursor:
        for texts in _texts(connection, query):
            if made := rows(texts):
                execute_values(cursor, statement, made, page_size=1000)


def _texts(connection: Connection, query: str) -> Iterator[list[str]]:
    """Yield what a query finds, some rows at a time: there may be millions."""
    with _driver(connection).cursor("texts") as cursor:
        cursor.execute(query)
        while found := cursor.fetchmany(_ROWS_AT_ONCE):
            yield [text for (text,) in found]


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
