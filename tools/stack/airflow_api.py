"""The few questions that the local stack asks Airflow over its REST API."""

from __future__ import annotations

import json
import urllib.request
from datetime import datetime
from typing import Any

# Airflow listens on this machine: never through a proxy.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

HEARTBEATS = {
    "scheduler": "latest_scheduler_heartbeat",
    "triggerer": "latest_triggerer_heartbeat",
    "dag_processor": "latest_dag_processor_heartbeat",
}


class AirflowApi:
    """Airflow's REST API as one user.

    Args:
        url: address of the api-server, without a path.
        user: who asks.
        password: their password; sent when the first question needs it.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._user = user
        self._password = password
        self._token: str | None = None

    def silent_components(self, since: datetime) -> list[str]:
        """Name the components that have given no sign of life since then.

        Raises:
            OSError: the api-server itself doesn't answer.
        """
        health = self._call("GET", "/api/v2/monitor/health")
        return [
            name
            for name, key in HEARTBEATS.items()
            if not _is_after(health.get(name, {}).get(key), since) or health[name].get("status") != "healthy"
        ]

    def warm_up(self) -> None:
        """Make Airflow build its API for tasks: 3.3.2 does so at the first request, which would be a task's."""
        with _opener.open(f"{self._url}/execution/health", timeout=60) as answer:
            answer.read()

    def dags(self) -> dict[str, dict[str, Any]]:
        """Return the parsed DAGs by id."""
        return {dag["dag_id"]: dag for dag in self.get("/api/v2/dags?limit=100")["dags"]}

    def import_errors(self) -> dict[str, str]:
        """Return the DAG files that Airflow can't read, with the reason."""
        errors = self.get("/api/v2/importErrors?limit=100")["import_errors"]
        return {one["filename"]: one["stack_trace"] for one in errors}

    def get(self, path: str) -> Any:
        """Ask with the user's rights."""
        return self._call("GET", path, token=self._login())

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send with the user's rights."""
        return self._call("POST", path, body, token=self._login())

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Change with the user's rights."""
        return self._call("PATCH", path, body, token=self._login())

    def _login(self) -> str:
        if self._token is None:
            answer = self._call("POST", "/auth/token", {"username": self._user, "password": self._password})
            self._token = str(answer["access_token"])
        return self._token

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, token: str | None = None) -> Any:
        request = urllib.request.Request(self._url + path, method=method)
        request.add_header("Accept", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        with _opener.open(request, data=data, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def _is_after(text: str | None, since: datetime) -> bool:
    return text is not None and datetime.fromisoformat(text) >= since
