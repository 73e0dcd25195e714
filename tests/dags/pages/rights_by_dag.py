"""A process with Airflow's FAB auth manager, which knows rights by DAG: `python -m tests.dags.pages.rights_by_dag`.

An auth manager is chosen before Airflow is imported, so it can't be another one within the tests' own process. Reads
from standard input, as JSON, users (name → rights as [action, resource]), addresses, and addresses to post
to; writes what each user got: status, and the jobs that are linked.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any


def main() -> None:
    from airflow import settings
    from airflow.utils.db import initdb

    settings.configure_vars()
    settings.configure_orm()
    initdb()
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from fastapi.testclient import TestClient

    request = json.load(sys.stdin)
    app = create_app(apps="core")
    manager = get_auth_manager()
    answers: dict[str, Any] = {"manager": type(manager).__name__}
    with manager.flask_app.app_context():
        tokens = {
            name: manager.generate_jwt(add_user(manager, name, rights)) for name, rights in request["users"].items()
        }
    for name, token in tokens.items():
        browser = TestClient(app, base_url="http://airflow.example.com", follow_redirects=False)
        browser.cookies.set("_token", token)
        answers[name] = {address: ask(browser, address) for address in request["addresses"]}
        answers[name]["launches"] = launchable(manager, token)
        answers[name]["posts"] = {
            address: browser.post(address, data={"token": "0" * 16}).status_code for address in request["posts"]
        }
    print(f"\n{json.dumps(answers)}")


def add_user(manager: Any, name: str, rights: list[tuple[str, str]]) -> Any:
    security = manager.security_manager
    role = security.add_role(f"role of {name}")
    for action, resource in rights:
        security.add_permission_to_role(role, security.create_permission(action, resource))
    return security.add_user(name, name, name, f"{name}@example.com", role, password="of the tests")


def ask(browser: Any, address: str) -> tuple[int, list[int]]:
    answer = browser.get(address)
    return answer.status_code, sorted({int(job) for job in re.findall(r"/imports/jobs/(\d+)\"", answer.text)})


def launchable(manager: Any, token: str) -> list[str]:
    import asyncio

    from include.import_types import IMPORT_TYPES
    from include.ledger.jobs import dag_of
    from loyalty_airflow.pages.access import can_launch

    user = asyncio.run(manager.get_user_from_token(token))
    return [import_type for import_type in IMPORT_TYPES if can_launch(user, dag_of(import_type))]


if __name__ == "__main__":
    main()
