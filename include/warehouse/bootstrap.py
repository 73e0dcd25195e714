"""What only an administrator of the database server can do: make the roles and the two databases, each with its owner.

Everything else works without a superuser: the owner migrates, the others do what `include/warehouse/rights.py` says. It
may be repeated at any time, gives names that are there their passwords again, and takes over a server of a version
before the roles, where the importer was the superuser and owned everything. Source: X-22.

From the shell, for a server of your own; the password of each role comes from the environment::

    python -m include.warehouse.bootstrap postgresql://postgres@db.example.com/postgres
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import psycopg2
from psycopg2 import extensions, sql

from include.warehouse.roles import DATABASE_RIGHTS, GROUPS, LOGINS, SCHEMAS, Login, Role

Connection = Any  # psycopg2 ships no types

WAREHOUSE, AIRFLOW = "warehouse", "airflow"
PASSWORDS: Mapping[Role, str] = {role: f"{role.upper()}_DATABASE_PASSWORD" for role in LOGINS}
"""Environment variables, of this module's command line and of docker-compose."""
_LOCK = 7_310_587_444
_FORMER_SUPERUSER = LOGINS[Role.IMPORTER]
_MISPLACED = Path(__file__).with_name("misplaced_objects.sql").read_text(encoding="utf-8")


class BootstrapError(Exception):
    """The roles can't be made as they were asked for; the message says why and what to do."""


def prepare_server(admin_url: str, logins: Mapping[Role, Login], databases: Mapping[str, Role]) -> None:
    """Make what is missing: group roles, logins with their passwords, databases; give each database to its owner.

    Args:
        admin_url: `postgresql://…` of a superuser, or of a role that may create roles and databases.
        logins: who signs in, by role. A role that is left out keeps what it has.
        databases: name → role that owns it.

    Raises:
        BootstrapError: two roles have one name, or a name that can't be.
        psycopg2.Error: the server can't be reached, or the administrator may not.
    """
    _check(admin_url, logins)
    with _administrator(admin_url) as connection:
        _make_roles(connection, logins)
        connection.commit()
        connection.autocommit = True
        for name, role in databases.items():
            make_database(connection, name, logins[role].name, is_warehouse=role is Role.OWNER)
    for name, role in databases.items():
        with contextlib.closing(psycopg2.connect(in_database(admin_url, name))) as connection, connection:
            _give_away(connection, logins, is_warehouse=role is Role.OWNER)
            if role is Role.OWNER:
                withhold_functions(connection, logins[role].name)


def make_database(
    connection: Connection, name: str, owner: str, *, is_warehouse: bool, template: str = "template1"
) -> None:
    """Create a database unless it exists; let nobody connect but its owner and, to a warehouse, who has rights there.

    Args:
        connection: the administrator's, in autocommit mode.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (name,))
        row = cursor.fetchone()
        if row is None:
            _run(cursor, "CREATE DATABASE {} TEMPLATE {} OWNER {}", name, template, owner)
        elif row[0] != owner:
            _run(cursor, "ALTER DATABASE {} OWNER TO {}", name, owner)
        _run(cursor, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
        for role, rights in DATABASE_RIGHTS.items() if is_warehouse else ():
            _run(cursor, f"GRANT {rights} ON DATABASE {{}} TO {{}}", name, GROUPS[role])


def in_database(url: str, database: str) -> str:
    """Return the address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{quote(database)}").geturl()


def _check(admin_url: str, logins: Mapping[Role, Login]) -> None:
    administrator = unquote(urlsplit(admin_url).username or "")
    taken: dict[str, str] = {administrator: "the administrator"} | dict.fromkeys(GROUPS.values(), "a group role")
    taken |= dict.fromkeys(SCHEMAS, "a schema, which would then come first in every search path")
    for role, login in logins.items():
        if login.name in taken:
            raise BootstrapError(f"{login.name} can't be the login of the {role}: it is {taken[login.name]}.")
        if not login.password:
            raise BootstrapError(f"The login {login.name} of the {role} has no password.")
        taken[login.name] = f"the login of the {role}"


@contextlib.contextmanager
def _administrator(url: str) -> Iterator[Connection]:
    """Connect as the administrator, one at a time, and close the connection afterwards."""
    try:
        connection = psycopg2.connect(url)
    except psycopg2.OperationalError:
        if not _rename_former_superuser(url):
            raise
        connection = psycopg2.connect(url)
    with contextlib.closing(connection):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        yield connection


def _rename_former_superuser(admin_url: str) -> bool:
    """Give the superuser that earlier versions made, `importer`, the administrator's name; its password stays.

    PostgreSQL lets nobody take SUPERUSER from the role that `initdb` made, nor rename the one that is signed in. So
    another one, which never outlives the transaction, does it.

    Returns:
        False when there is no such superuser with the administrator's password.
    """
    address = urlsplit(admin_url)
    administrator, password = unquote(address.username or ""), unquote(address.password or "")
    host = address.netloc.rpartition("@")[2]
    former = address._replace(netloc=f"{_FORMER_SUPERUSER}:{quote(password, safe='')}@{host}").geturl()
    try:
        connection = psycopg2.connect(former)
    except psycopg2.OperationalError:
        return False
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid = 10 AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %s) FROM pg_roles "
            "WHERE rolname = current_user",
            (administrator,),
        )
        if not cursor.fetchone()[0]:
            return False
        _run(cursor, "CREATE ROLE {} SUPERUSER", "loyalty_takeover")
        _run(cursor, "SET SESSION AUTHORIZATION {}", "loyalty_takeover")
        _run(cursor, "ALTER ROLE {} RENAME TO {}", _FORMER_SUPERUSER, administrator)
        cursor.execute("RESET SESSION AUTHORIZATION")
        _run(cursor, "DROP ROLE {}", "loyalty_takeover")
    return True


def _make_roles(connection: Connection, logins: Mapping[Role, Login]) -> None:
    with connection.cursor() as cursor:
        # An administrator who is no superuser can then give databases to the roles made here.
        cursor.execute("SET LOCAL createrole_self_grant = 'set, inherit'")
        cursor.execute("SELECT rolname FROM pg_roles")
        there = {name for (name,) in cursor.fetchall()}
        for name in sorted(set(GROUPS.values()) - there):
            _run(cursor, "CREATE ROLE {} NOLOGIN", name)
        for role, login in logins.items():
            if login.name not in there:
                _run(cursor, "CREATE ROLE {}", login.name)
            _restrict(cursor, login.name)
            password = extensions.encrypt_password(login.password, login.name, connection, "scram-sha-256")
            cursor.execute(
                sql.SQL("ALTER ROLE {} LOGIN NOCREATEDB NOCREATEROLE PASSWORD {}").format(
                    sql.Identifier(login.name), sql.Literal(password)
                )
            )
            _join(cursor, login.name, GROUPS.get(role))


def _restrict(cursor: Any, name: str) -> None:
    """Take what only a superuser can take, where it is there to take."""
    cursor.execute("SELECT rolsuper, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = %s", (name,))
    has = zip(("NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"), cursor.fetchone(), strict=True)
    for restriction in [restriction for restriction, is_set in has if is_set]:
        _run(cursor, f"ALTER ROLE {{}} {restriction}", name)


def _join(cursor: Any, name: str, wanted: str | None) -> None:
    """Make a login a member of its own group and of no other group of ours."""
    cursor.execute("SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE pg_get_userbyid(member) = %s", (name,))
    groups = {group for (group,) in cursor.fetchall()}
    for group in sorted(groups.intersection(GROUPS.values()) - {wanted}):
        _run(cursor, "REVOKE {} FROM {}", group, name)
    if wanted is not None and wanted not in groups:
        _run(cursor, "GRANT {} TO {} WITH INHERIT TRUE, SET FALSE", wanted, name)


def _give_away(connection: Connection, logins: Mapping[Role, Login], *, is_warehouse: bool) -> None:
    """Let the owner own its database's schemas and what is in them, and importers the staging tables that are left."""
    owner = logins[Role.OWNER if is_warehouse else Role.AIRFLOW].name
    stager = logins[Role.IMPORTER].name if Role.IMPORTER in logins else owner
    schemas = list(SCHEMAS) if is_warehouse else []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = ''")
        cursor.execute(_MISPLACED, {"schemas": schemas, "is_warehouse": is_warehouse, "owner": owner, "stager": stager})
        for kind, name, wanted in cursor.fetchall():
            cursor.execute(sql.SQL(f"ALTER {kind} {name} OWNER TO {{}}").format(sql.Identifier(wanted)))


# PostgreSQL lets all users take advisory locks, which loads and top-ups wait for, and store large objects without end.
_WITHHELD = """
SELECT oid::regprocedure::text, proname ~ '^pg_(try_)?advisory_' AS is_lock
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND (proname ~ '^(pg_(try_)?advisory_|lo_)' OR proname IN ('loread', 'lowrite'))
  AND pg_has_role(proowner, 'USAGE')
  AND (has_function_privilege('public', oid, 'EXECUTE') OR NOT has_function_privilege(%(owner)s, oid, 'EXECUTE'))
ORDER BY 1
"""


def withhold_functions(connection: Connection, owner: str) -> None:
    """Keep a warehouse's advisory locks for the owner and importers, and its large objects for nobody.

    The functions belong to the server's superuser: another administrator can't take them from PUBLIC, and they stay.
    """
    with connection.cursor() as cursor:
        cursor.execute(_WITHHELD, {"owner": owner})
        for function, is_lock in cursor.fetchall():
            _run(cursor, f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
            if is_lock:
                _run(cursor, f"GRANT EXECUTE ON FUNCTION {function} TO {{}}, {{}}", owner, GROUPS[Role.IMPORTER])


def _run(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def logins_from(environ: Mapping[str, str], roles: Iterable[Role]) -> dict[Role, Login]:
    """Return the logins whose passwords the environment has, by their usual names."""
    return {role: Login(LOGINS[role], environ[PASSWORDS[role]]) for role in roles if environ.get(PASSWORDS[role])}


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Prepare a server; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m include.warehouse.bootstrap", description=__doc__.split("\n\n")[0])
    parser.add_argument("url", help="the administrator's address; PGPASSWORD may have the password")
    parser.add_argument("--warehouse", default=WAREHOUSE, help="name of the database that is imported into")
    parser.add_argument("--airflow", default=AIRFLOW, help="name of Airflow's own database, '' for none")
    options = parser.parse_args(arguments)
    databases = {options.warehouse: Role.OWNER} | ({options.airflow: Role.AIRFLOW} if options.airflow else {})
    wanted = [Role.OWNER, Role.IMPORTER, Role.PAGES] + [Role.AIRFLOW] * bool(options.airflow)
    missing = [PASSWORDS[role] for role in wanted if not environ.get(PASSWORDS[role])]
    if missing:
        print(f"error: set {', '.join(missing)} in the environment", file=sys.stderr)
        return 2
    try:
        prepare_server(options.url, logins_from(environ, LOGINS), databases)
    except (BootstrapError, psycopg2.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("Roles and databases are ready: `python -m include.cli migrate`, as the owner, makes the tables.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
