"""The rows of revision 0009: domains of e-mails, and the forms of codes and card numbers that look alike.

E-mail addresses are compared without regard to the case of ASCII's letters, and of no others, from this revision on
(X-16); their domains are A-labels. Customers who had one address in two writings would then be one: people decide who
they are, so the step names them and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from psycopg2.extras import execute_values
from sqlalchemy import Connection

from include.errors import ConfigurationError
from include.values.emails import as_stored
from include.values.look_alikes import plain_numbers, skeletons
from include.warehouse.sql_scripts import run_sql

MOST_NAMED = 20
"""Groups of customers that one refusal names."""
_ROWS_AT_ONCE = 50_000


def prepare(connection: Connection) -> None:
    """Bring stored addresses to the form that new ones get; the caller makes the index that keeps them apart.

    Raises:
        ConfigurationError: customers would have the same e-mail address.
    """
    run_sql(connection, "DROP INDEX loyalty.customer_email_key")
    _write_domains(connection)
    _refuse_shared_emails(connection)


def fill(connection: Connection) -> None:
    """Store the forms of the codes and card numbers that have another form than themselves."""
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


def _write_domains(connection: Connection) -> None:
    """Write the domains that are not of ASCII as A-labels; there are few."""
    with _driver(connection).cursor() as cursor:
        cursor.execute("SELECT id, email FROM loyalty.customer WHERE split_part(email, '@', -1) ~ '[^\\x01-\\x7f]'")
        stored = [(number, as_stored(email)) for number, email in cursor.fetchall()]
        for number, email in stored:
            if email is not None:  # what the library denies by now stays as it is
                cursor.execute("UPDATE loyalty.customer SET email = %s WHERE id = %s", (email, number))


def _refuse_shared_emails(connection: Connection) -> None:
    """Name the customers who would have one address; by number, because messages quote no address (X-20)."""
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
            if pairs := rows(texts):
                execute_values(cursor, statement, pairs, page_size=1000)


def _texts(connection: Connection, query: str) -> Iterator[list[str]]:
    """Yield the texts of a query, some rows at a time: there may be millions."""
    with _driver(connection).cursor("texts") as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield [text for (text,) in rows]


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection
