"""The composition of docker-compose.yaml, run as processes of this machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import redis
from upath import UPath

from include.warehouse.bootstrap import PASSWORDS
from include.warehouse.embedded import EmbeddedServer
from include.warehouse.roles import Role
from tests.compose_file import filled
from tests.end_to_end.composition.containers import (
    INIT,
    PORT_SETTINGS,
    Machine,
    Service,
    environment_of,
    is_airflow,
    localised,
    read_image,
    read_services,
)
from tests.end_to_end.composition.storage import FaultyStorage
from tests.end_to_end.imports import LOCATIONS, wait_for
from tools.stack.airflow_api import AirflowApi
from tools.stack.keys import Keys
from tools.stack.lifecycle import ADMIN
from tools.stack.processes import created_at, end_session
from tools.stack.settings import PROJECT
from tools.stack.supervisor import tail
from tools.stack.temporary import free_ports

WORKERS = 2
WORKER_CONCURRENCY = 2
WAITING = 2
"""Tasks more than there are slots, so that some wait in Redis when it goes away."""
OWN_KEY = "key-of-the-tests"
PREPARED_SECONDS = 120.0
READY_SECONDS = 180.0


@dataclass
class Container:
    """One container's process.

    Args:
        name: the service's, with a number where the service is scaled.
        command: the whole command line.
        environment: the whole environment.
        folder: where it runs.
        log: what it writes.
    """

    name: str
    service: Service
    command: list[str]
    environment: dict[str, str]
    folder: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    created: float | None = None

    def start(self) -> None:
        """Start the process in a session of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.created = created_at(self.process.pid)

    @property
    def pid(self) -> int:
        """The number of the running process."""
        assert self.process is not None, f"{self.name} does not run"
        return self.process.pid

    def end(self, patience_seconds: float = 5.0) -> None:
        """Ask the process to end, and kill what is left of its session after a while."""
        if self.process is None:
            return
        end_session(self.pid, self.created, patience_seconds=patience_seconds)
        self.process.wait()
        self.process = None

    def kill(self) -> None:
        """Kill everything in the container at once, as a machine that goes away does."""
        leader = psutil.Process(self.pid)
        for one in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        assert self.process is not None
        self.process.wait()
        self.process = None


class Composition:
    """Everything that docker-compose.yaml starts, with two workers.

    PostgreSQL is the embedded server, the store an S3 server of the tests, the mail server the local stack's.

    Args:
        home: the folder of everything it writes.
        say: receives one line for each step that takes a while.
    """

    def __init__(self, home: Path, say: Callable[[str], None] = lambda line: print(line, file=sys.stderr)) -> None:
        self._say = say
        self.began_at = datetime.now(UTC)
        self.keys = Keys()
        ports = free_ports(5)
        self.machine = Machine(home, *ports)
        self.storage = FaultyStorage(self.machine.storage_port, spared=OWN_KEY)
        self.server = EmbeddedServer(home / "postgres" / "data", self.machine.postgres_port)
        self.mail = home / "mail"
        self.containers: dict[str, Container] = {}
        self.services: Mapping[str, Service] = {}

    # -- what the tests ask for

    def url_for(self, role: Role) -> str:
        """Return a role's address of the database that is imported into."""
        return self.server.url("warehouse", role)

    def api(self) -> AirflowApi:
        """Airflow's REST API as the administrator."""
        url = f"http://127.0.0.1:{self.machine.api_port}"
        return AirflowApi(url, ADMIN, self.keys.admin_password)

    def folders(self) -> dict[str, UPath]:
        """Return the four areas, in the bucket."""
        options = {
            "key": OWN_KEY,
            "secret": "secret-of-the-tests",
            "endpoint_url": f"http://127.0.0.1:{self.machine.storage_port}",
            "use_listings_cache": False,
        }
        return {name: UPath(f"s3://imports/{name}", **options) for name in LOCATIONS}

    @property
    def workers(self) -> list[Container]:
        """The containers of the workers."""
        return [one for one in self.containers.values() if one.service.name == "worker"]

    def worker_of(self, pid: int) -> Container:
        """Return the worker whose task has this process."""
        above = {process.pid for process in psutil.Process(pid).parents()}
        (worker,) = (one for one in self.workers if one.process is not None and one.pid in above)
        return worker

    def queued_messages(self) -> int:
        """Return how many tasks are in Redis for a worker to take."""
        with redis.Redis(port=self.machine.redis_port, password=self._secrets["REDIS_PASSWORD"]) as client:
            return int(client.llen("default"))

    # -- start

    def start(self) -> None:
        """Start the services in the order that their dependencies ask for, and wait until Airflow is ready."""
        self._start_database()
        self._secrets = self._make_secrets()
        self.services = read_services(filled(self.machine.home, **self._secrets))
        self.storage.start()
        self._start_mail_catcher()
        self.start_container("redis")
        self.wait_until_healthy("redis")
        self._say("Preparing the databases and the bucket …")
        init = self.start_container(INIT)
        assert init.process is not None
        status = init.process.wait(PREPARED_SECONDS)
        assert status == 0, f"{INIT} ended with status {status}:\n{tail(init.log)}"
        self._say("Starting Airflow's components and two workers …")
        started_at = datetime.now(UTC)
        for service in self.services.values():
            if not is_airflow(service):
                continue
            if service.name == "worker":
                for number in range(1, WORKERS + 1):
                    self.start_container("worker", f"worker-{number}")
            else:
                self.start_container(service.name)
        wait_for(lambda: self._is_ready(started_at) or None, READY_SECONDS, "Airflow", pause_seconds=0.5)

    def start_container(self, service: str, name: str | None = None) -> Container:
        """Start the process of a service, again if it has ended."""
        name = name or service
        if name not in self.containers:
            self.containers[name] = self._make_container(self.services[service], name)
        self.containers[name].start()
        return self.containers[name]

    def is_healthy(self, name: str) -> bool:
        """Ask the service's own health check, on the ports of this machine."""
        container = self.containers[name]
        check = container.service.healthcheck
        assert check, f"{name} has no health check"
        ports = {
            "redis-cli ": f"redis-cli -p {self.machine.redis_port} ",
            "127.0.0.1:8080/": f"127.0.0.1:{self.machine.api_port}/",
            "127.0.0.1:8974/": f"127.0.0.1:{container.environment.get(PORT_SETTINGS[2])}/",
        }
        command = [localised(part, ports) for part in check]
        completed = subprocess.run(command, env=container.environment, cwd=PROJECT, capture_output=True, check=False)
        return completed.returncode == 0

    def wait_until_healthy(self, name: str) -> None:
        """Wait until the service's own health check is content."""
        wait_for(lambda: self.is_healthy(name) or None, 30, f"{name} to be healthy; see {self.containers[name].log}")

    def stop(self) -> None:
        """End everything that runs, whatever state it is in."""
        with contextlib.ExitStack() as last:
            last.callback(self.server.stop, "immediate")
            last.callback(self.storage.stop)
            for container in self.containers.values():  # the last to be started is the first to be ended
                last.callback(container.end)
            for container in self.containers.values():
                if container.process is not None and container.service.name != "redis":
                    container.process.terminate()

    # -- how it is done

    def _start_database(self) -> None:
        self.machine.home.chmod(0o711)  # as root the server runs as another user, who has to enter
        (self.machine.home / "postgres").mkdir(mode=0o711)
        self._say("Starting PostgreSQL …")
        self.server.start()
        self.server.drop_database("warehouse")  # the init service makes it

    def _make_secrets(self) -> dict[str, str]:
        passwords = {
            variable: str(urlsplit(self.server.url("any", role)).password) for role, variable in PASSWORDS.items()
        }
        return passwords | {
            "PORT": str(self.machine.api_port),
            "POSTGRES_PASSWORD": self.server.password_file.read_text().strip(),
            "REDIS_PASSWORD": secrets.token_urlsafe(24),
            "AIRFLOW_API_SECRET_KEY": self.keys.api_secret_key,
            "AIRFLOW_JWT_SECRET": self.keys.jwt_secret,
            "AIRFLOW_ADMIN_PASSWORD": self.keys.admin_password,
            "AIRFLOW_FERNET_KEY": self.keys.fernet_key,
            "CVV_KEY": self.keys.cvv_key,
            "CODE_KEY": self.keys.code_key,
            "S3_ACCESS_KEY": "key-of-the-importer",
            "S3_SECRET_KEY": "secret-of-the-importer",
            "S3_ADMIN_SECRET_KEY": "secret-of-the-bucket-maker",
            "WORKER_CONCURRENCY": str(WORKER_CONCURRENCY),
            "PARALLELISM": str(WORKERS * WORKER_CONCURRENCY + WAITING),
        }

    def _start_mail_catcher(self) -> None:
        command = [sys.executable, "-m", "tools.stack.mail_catcher", "--port", str(self.machine.mail_port)]
        command += ["--folder", str(self.mail)]
        self.containers["mail"] = Container(
            "mail", self.services["mail"], command, dict(os.environ), PROJECT, self._log("mail")
        )
        self.containers["mail"].start()

    def _make_container(self, service: Service, name: str) -> Container:
        replacements = self.machine.replacements(name)
        environment = {"PATH": os.environ["PATH"], **service.environment}
        command = [localised(part, replacements) for part in service.command]
        self._mount(service, name)
        folder = PROJECT
        if is_airflow(service) or service.name == INIT:
            image = read_image()
            environment = environment_of(service, image, self.machine, name, os.environ["PATH"])
            environment |= self.machine.own_settings(dict(zip(PORT_SETTINGS, free_ports(3), strict=True)))
            command = [*image.entrypoint, *command, *self.machine.own_arguments(name)]
        elif service.name == "redis":
            folder = Path(localised("/data", replacements))  # where its image starts it
        return Container(name, service, command, environment, folder, self._log(name))

    def _mount(self, service: Service, name: str) -> None:
        """Make the container's own folder, and in it the volumes, which are the same in all containers."""
        for folder, volume in service.volumes.items():
            self.machine.volume(volume).mkdir(parents=True, exist_ok=True)
            mounted = Path(localised(folder, self.machine.replacements(name)))
            mounted.parent.mkdir(parents=True, exist_ok=True)
            mounted.symlink_to(self.machine.volume(volume))

    def _log(self, name: str) -> Path:
        folder = self.machine.home / "logs" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _is_ready(self, since: datetime) -> bool:
        for container in self.containers.values():
            if container.process is not None and container.name != INIT:
                status = container.process.poll()
                assert status is None, f"{container.name} ended with status {status}:\n{tail(container.log)}"
        try:
            api = self.api()
            api.warm_up()
            if api.silent_components(since):
                return False
            errors = api.import_errors()
            assert errors == {}
            parsed = api.dags()
        except OSError:  # nobody answers yet
            return False
        dags = {path.stem for path in (PROJECT / "dags").glob("*.py")}
        return dags <= parsed.keys() and all(self._is_listening(worker) for worker in self.workers)

    def _is_listening(self, worker: Container) -> bool:
        return f"{worker.name}@" in worker.log.read_text() and " ready." in worker.log.read_text()


@contextlib.contextmanager
def running_composition() -> Iterator[Composition]:
    """Start a whole composition in a folder of its own and end it afterwards, whatever happens."""
    home = Path(tempfile.mkdtemp(prefix="composition-"))
    composition = Composition(home)
    began = time.monotonic()
    try:
        composition.start()
        print(f"The composition is ready after {time.monotonic() - began:.0f} s.", file=sys.stderr)
        yield composition
    finally:
        composition.stop()
        if os.environ.get("KEEP_COMPOSITION"):
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
