"""The numbers that tasks send to Airflow's metrics, as a StatsD server receives them. Source: X-20."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.import_types import IMPORT_TYPES
from loyalty_airflow.metrics import METRICS
from tests.dags.conftest import PROJECT
from tests.dags.test_import_runs import CANARY, CARDS, HEADER, POOLS, put
from tests.integration.top_ups import add_pool

pytestmark = pytest.mark.dags

STAGES = ("take_file", "inspect_file", "validate_chunk", "load_rows", "write_report", "close_job")


class StatsdServer:
    """What came in since the last reading: counters summed up, gauges, and how often each timer was sent."""

    def __init__(self, received: socket.socket) -> None:
        self.socket = received
        self.everything = ""
        self.counters: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.timers: Counter[str] = Counter()

    def read(self) -> StatsdServer:
        reading = StatsdServer(self.socket)
        while (packet := self.receive()) is not None:
            reading.everything += packet + "\n"
            name, _, payload = packet.partition(":")
            if not name.startswith("airflow.importer."):
                continue
            value, kind = payload.split("|")[:2]
            metric = name.removeprefix("airflow.importer.")
            if kind == "c":
                reading.counters[metric] += int(value)
            elif kind == "g":
                reading.gauges[metric] = float(value)
            else:
                assert kind == "ms"
                assert 0 < float(value) < 60_000
                reading.timers[metric] += 1
        return reading

    def receive(self) -> str | None:
        try:
            return self.socket.recv(65_536).decode()
        except BlockingIOError:
            return None


def use_metrics() -> None:
    """Begin with the metrics of the settings, as the process of a task does."""
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

    stats.initialize(factory=get_stats_factory(), export_legacy_names=False)


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A StatsD server that Airflow's settings name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as received:
        received.bind(("127.0.0.1", 0))
        received.setblocking(False)
        with monkeypatch.context() as settings:
            settings.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
            settings.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
            settings.setenv("AIRFLOW__METRICS__STATSD_PORT", str(received.getsockname()[1]))
            use_metrics()
            yield StatsdServer(received)
        use_metrics()


@pytest.fixture
def pools(run_dag: Callable[..., Any], folders: Any, statsd: StatsdServer) -> None:
    file = put(folders.landing / "gift_card_pools", "p.csv", POOLS)
    assert run_dag("import_gift_card_pools", file=file).state == "success"
    metrics = statsd.read()
    assert metrics.counters == {
        "gift_card_pools.validated.rows": 1,
        "gift_card_pools.files.completed": 1,
        "gift_card_pools.bytes": len(POOLS),
        "gift_card_pools.rows.read": 1,
        "gift_card_pools.rows.inserted": 1,
    }


def test_an_import_reports_rows_rejects_bytes_and_seconds_by_type_and_stage(run_dag, folders, pools, statsd):
    content = f"{CARDS}4000000000000003,nowhere,50\n{CANARY},nowhere,-1\n"
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", f"{CANARY}.csv", content))
    assert run.state == "success"
    metrics = statsd.read()
    assert metrics.counters == {
        "gift_cards.validated.rows": 4,
        "gift_cards.validated.rejected": 2,
        "gift_cards.files.completed_with_rejects": 1,
        "gift_cards.bytes": len(content),
        "gift_cards.rows.read": 4,
        "gift_cards.rows.inserted": 2,
        "gift_cards.rows.rejected": 2,
        "gift_cards.rejects.pool_system_name.known": 2,
        "gift_cards.rejects.balance.negative": 1,
    }
    assert metrics.timers == dict.fromkeys([f"gift_cards.duration.{stage}" for stage in STAGES], 1)
    assert metrics.gauges.keys() == {f"gift_cards.memory.{stage}" for stage in STAGES}
    assert all(50 < mebibytes < 10_000 for mebibytes in metrics.gauges.values())
    assert CANARY not in metrics.everything
    assert "ti.finish" in metrics.everything, "Airflow's own metrics come from the same place"


def test_a_file_is_counted_once_however_often_its_last_task_is_cleared(run_dag, clear, folders, pools, statsd):
    run = run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", CARDS))
    assert statsd.read().counters["gift_cards.rows.inserted"] == 2
    assert clear(run, "write_report").state == "success"
    metrics = statsd.read()
    assert metrics.counters == {}
    assert metrics.timers.keys() == {"gift_cards.duration.write_report", "gift_cards.duration.close_job"}


def test_dry_runs_duplicates_and_refused_files_count_as_files_without_rows(run_dag, folders, pools, statsd):
    landing = folders.landing / "gift_cards"
    assert run_dag("import_gift_cards", file=put(landing, "dry.csv", CARDS), dry_run=True).state == "success"
    metrics = statsd.read()
    assert metrics.counters == {"gift_cards.files.dry_run": 1, "gift_cards.validated.rows": 2}
    assert "gift_cards.duration.load_rows" not in metrics.timers
    run_dag("import_gift_cards", file=put(landing, "cards.csv", CARDS))
    statsd.read()
    run_dag("import_gift_cards", file=put(landing, "again.csv", CARDS))
    assert statsd.read().counters == {"gift_cards.files.duplicate": 1}
    assert run_dag("import_gift_cards", file=put(landing, "bad.csv", "balance\n1\n")).state == "failed"
    assert statsd.read().counters == {"gift_cards.files.refused": 1}


def test_generated_codes_and_what_a_top_up_left_are_reported(run_dag, connected, statsd):
    with connected.owner.begin() as connection:
        add_pool(connection, "spring sale", quantity=7, top_up_threshold=10)
    assert run_dag("generate_promo_codes", pool="spring sale", quantity=7, auto_generate=True).state == "success"
    metrics = statsd.read()
    assert metrics.counters == {"generate_promo_codes.codes": 7}
    assert metrics.timers == {f"generate_promo_codes.duration.{task}": 1 for task in ("open_generation", "generate")}
    assert run_dag("top_up_promo_pools").state == "success"
    metrics = statsd.read()
    assert metrics.counters == {"top_up_promo_pools.codes": 7}
    for task in ("review_pools", "top_up_pool"):
        assert metrics.gauges.pop(f"top_up_promo_pools.memory.{task}") > 50
    assert metrics.gauges == {"top_up_promo_pools.available.spring_sale": 14}


def test_without_the_setting_nothing_is_sent(run_dag, folders, pools, statsd, monkeypatch):
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    use_metrics()
    file = put(folders.landing / "gift_cards", "cards.csv", HEADER)
    assert run_dag("import_gift_cards", file=file).note == "cards.csv: empty"
    assert statsd.read().everything == ""


@pytest.fixture(scope="module")
def tasks() -> dict[str, set[str]]:
    """The tasks of every DAG, by what names of metrics call it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(PROJECT / "dags")
    return {dag_id.removeprefix("import_"): set(dag.task_ids) for dag_id, dag in bag.dags.items()}


def pattern_of(name: str, tasks: dict[str, set[str]]) -> re.Pattern[str]:
    """Return the names that a listed one means: those of import types, and of tasks of its DAG alone."""
    dag = name.split(".")[1].replace("<type>", "gift_cards")
    places = {"<type>": "|".join(IMPORT_TYPES), "<task>": "|".join(tasks[dag])}
    return re.compile(
        re.sub(r"<\w+>", lambda place: f"(?:{places.get(place[0], '[A-Za-z0-9_.-]+')})", name.replace(".", r"\."))
    )


def test_time_and_memory_of_every_task_are_listed(tasks: dict[str, set[str]]) -> None:
    listed = {name: meaning for name, _, meaning in METRICS}
    for dag, ids in tasks.items():
        prefix = f"importer.{'<type>' if dag in IMPORT_TYPES else dag}"
        assert set(re.findall("`([^`]+)`", listed[f"{prefix}.duration.<task>"])) == ids, dag
        assert f"{prefix}.memory.<task>" in listed


def test_the_documentation_lists_what_is_sent_and_nothing_else(run_dag, folders, connected, pools, statsd, tasks):
    content = "card_number,pool_system_name,balance,status\n4000000000000001,fifty,50,CanBeUsed\n2,nowhere,50,\n"
    run_dag("import_gift_cards", file=put(folders.landing / "gift_cards", "cards.csv", content))
    with connected.owner.begin() as connection:
        add_pool(connection, "summer", quantity=7, top_up_threshold=1, notify_below=100)
    run_dag("top_up_promo_pools")
    run_dag("generate_promo_codes", pool="summer", quantity=7)
    run_dag("delete_expired_files")
    run_dag("pick_up_files")
    metrics = statsd.read()
    sent = {f"importer.{name}" for name in (*metrics.counters, *metrics.gauges, *metrics.timers)}
    listed = re.findall(r"(?m)^\| `(importer\.\S+)` \|", (PROJECT / "docs" / "reference" / "metrics.md").read_text())
    patterns = {name: pattern_of(name, tasks) for name in listed}
    assert {name for name in sent if not any(pattern.fullmatch(name) for pattern in patterns.values())} == set()
    assert [name for name, pattern in patterns.items() if not any(pattern.fullmatch(metric) for metric in sent)] == []
