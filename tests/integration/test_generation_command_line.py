"""The command line generates promo codes and shows formats, pools and their history. Source: PG-01 to PG-04, PC-06."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from include.cli import context
from include.cli.main import main as run_command
from include.promo_codes import commands, generation, ledger, walk
from include.promo_codes.ledger import GenerationResult
from include.promo_codes.walk import Added
from tests.imports import CODE_KEY
from tests.integration.promo_codes import Shop, make_shop

if TYPE_CHECKING:
    from tests.conftest import Warehouse

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table without its headings."""
        return [line.split() for line in self.out.splitlines()[1:]]


Run = Callable[..., CommandResult]


@pytest.fixture
def shop(warehouse: Warehouse) -> Shop:
    shop = make_shop(warehouse)
    shop.add_format()
    shop.add_pool("pool", format="tiny")
    return shop


@pytest.fixture
def run(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("WAREHOUSE_URL", warehouse.url)
    monkeypatch.setenv("CODE_KEY", CODE_KEY.decode())
    monkeypatch.setattr("getpass.getuser", lambda: "anna")

    def call(*arguments: object) -> CommandResult:
        capsys.readouterr()
        try:
            code = run_command([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return CommandResult(code, captured.out, captured.err)

    return call


def settings_of(shop: Shop) -> tuple:
    return shop.query("SELECT fill_method, format, quantity, auto_generate FROM loyalty.promo_code_pool")[0]


def test_pg01_codes_are_generated_and_the_settings_saved(run: Run, shop: Shop):
    result = run("generate", "pool", "--quantity", 10, "--format", "summer", "--auto-generate")
    assert (result.code, result.err) == (0, "")
    assert result.out == "pool: completed (generation 1)\n  10 codes of the format summer added, 10 generated\n"
    assert len(shop.codes("pool")) == 10
    assert settings_of(shop) == ("generate", "summer", 10, True)
    assert run("generate", "pool", "--quantity", 5).code == 0
    assert settings_of(shop) == ("generate", "summer", 5, True)
    assert run("generate", "pool", "--quantity", 5, "--no-auto-generate").code == 0
    assert settings_of(shop) == ("generate", "summer", 5, False)
    query = "SELECT DISTINCT launched_by, reason FROM ledger.promo_code_generation"
    assert shop.query(query) == [("command line (anna)", "command line")]


def test_pg04_one_json_line_has_the_counts(run: Run, shop: Shop):
    result = run("generate", "pool", "--quantity", 10, "--json")
    assert json.loads(result.out) == {
        "id": 1,
        "pool": "pool",
        "format": "tiny",
        "state": "completed",
        "requested": 10,
        "generated": 10,
        "added": 10,
        "refusal": None,
    }


def test_pg02_a_refusal_names_the_figure_and_exits_with_3(run: Run, shop: Shop):
    result = run("generate", "pool", "--quantity", 82)
    assert result.code == 3
    assert "81 available" in result.out
    assert "[generation.not_enough_codes]" in result.out
    assert json.loads(run("generate", "nowhere", "--quantity", 1, "--json").out)["state"] == "refused"
    assert shop.codes() == []


@pytest.mark.parametrize("arguments", [["pool"], ["--quantity", "1"], ["pool", "--quantity", "0"]])
def test_bad_arguments_give_a_message(run: Run, arguments: list[str]):
    assert run("generate", *arguments).code == 2


def test_pg04_each_command_is_a_generation_of_its_own_after_one_that_has_failed_too(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(walk, "write_progress", fail)
        assert run("generate", "pool", "--quantity", 10).code == 1
    for number in (2, 3):
        result = run("generate", "pool", "--quantity", 10)
        assert (result.err, f"generation {number}" in result.out) == ("", True)
    assert len(shop.codes()) == 20
    query = "SELECT state FROM ledger.promo_code_generation ORDER BY id"
    assert shop.query(query) == [("failed",), ("completed",), ("completed",)]


def test_pg04_the_same_command_twice_at_once_is_two_generations(run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch):
    """The second one does not take the first for one that was interrupted."""
    is_making, may_go_on = threading.Event(), threading.Event()
    real = generation.generate_into

    def make_slowly(*args: Any, **kwargs: Any) -> Added:
        is_making.set()
        assert may_go_on.wait(30)
        return real(*args, **kwargs)

    monkeypatch.setattr(generation, "generate_into", make_slowly)
    asked = {"pool": "pool", "quantity": 10, "format_name": None, "auto_generate": None, "is_new": False}
    continued: list[int] = []

    def command(_: int) -> GenerationResult:
        return commands.generate(shop.runtime, **asked, user="anna", report=continued.append)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(command, 1)
        assert is_making.wait(30)
        second = threads.submit(command, 2)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while shop.query(waiting) == [(0,)]:
            assert not second.done()
        may_go_on.set()
        results = [first.result(30), second.result(30)]
    assert [(result.id, result.added) for result in results] == [(1, 10), (2, 10)]
    assert (len(shop.codes()), continued) == (20, [])


@pytest.fixture
def interrupted(run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop in which a user has stopped the command `generate pool --quantity 10` in its midst."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(walk, "write_progress", stop)
        assert run("generate", "pool", "--quantity", 10).code == 1
    assert shop.query("SELECT state FROM ledger.promo_code_generation") == [("running",)]
    return shop


def test_pg03_the_same_command_continues_one_that_was_interrupted_says_so_and_adds_once(run: Run, interrupted: Shop):
    assert run("pool", "pool").rows[0][:3] == ["generation", "1", "failed"]
    result = run("generate", "pool", "--quantity", 10)
    assert result.err == "Continues generation 1, which was interrupted.\n"
    assert result.out.startswith("pool: completed (generation 1)")
    assert len(interrupted.codes()) == 10
    result = run("generate", "pool", "--quantity", 10)
    assert (result.err, result.out.startswith("pool: completed (generation 2)")) == ("", True)
    query = "SELECT state, requested, added, refusal_rule FROM ledger.promo_code_generation ORDER BY id"
    assert interrupted.query(query) == [("completed", 10, 10, None)] * 2


@pytest.mark.parametrize(
    "other",
    [["--quantity", "11"], ["--quantity", "10", "--format", "tiny"], ["--quantity", "10", "--auto-generate"],
     ["--quantity", "10", "--new"]],
)  # fmt: skip
def test_pg04_another_command_and_new_settle_what_was_interrupted_and_leave_it(
    run: Run, interrupted: Shop, other: list[str]
):
    result = run("generate", "pool", *other)
    assert (result.err, result.out.startswith("pool: completed (generation 2)")) == ("", True)
    query = "SELECT state, refusal_rule FROM ledger.promo_code_generation ORDER BY id"
    assert interrupted.query(query) == [("failed", "generation.interrupted"), ("completed", None)]
    assert "Continues generation 1" in run("generate", "pool", "--quantity", "10").err  # also when it is settled


def test_pg04_a_command_does_not_continue_what_the_form_began(run: Run, shop: Shop):
    shop.open("pool", 10)
    shop.query("UPDATE ledger.promo_code_generation SET state = 'running'")
    assert run("generate", "pool", "--quantity", "10").out.startswith("pool: completed (generation 2)")


def test_pg04_of_two_commands_at_once_one_continues_what_was_interrupted(
    interrupted: Shop, monkeypatch: pytest.MonkeyPatch
):
    has_taken_it_up, may_go_on = threading.Event(), threading.Event()
    show_running = ledger._show_running
    asked = {"pool": "pool", "quantity": 10, "format_name": None, "auto_generate": None, "is_new": False}
    continued: list[int] = []

    def show_slowly(*arguments: Any) -> None:
        if not has_taken_it_up.is_set():
            has_taken_it_up.set()
            assert may_go_on.wait(30)
        show_running(*arguments)

    def command() -> GenerationResult:
        return commands.generate(interrupted.runtime, **asked, user="anna", report=continued.append)

    monkeypatch.setattr(ledger, "_show_running", show_slowly)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(command)
        assert has_taken_it_up.wait(30)
        second = command()
        may_go_on.set()
        assert (first.result(30).id, second.id, continued) == (1, 2, [1])
    assert len(interrupted.codes()) == 20


def test_without_a_key_the_sentence_says_what_to_set(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: object
):
    monkeypatch.delenv("CODE_KEY")
    monkeypatch.setattr(context, "ROOT", tmp_path)
    for command in (["generate", "pool", "--quantity", "1"], ["rotate-code-key"]):
        result = run(*command)
        assert result.code == 1
        assert "CODE_KEY" in result.err


def test_the_key_of_the_local_stack_is_found(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    root = tmp_path_factory.mktemp("project")
    (root / ".local").mkdir()
    (root / ".local" / "keys.json").write_text(json.dumps({"code_key": CODE_KEY.decode()}))
    assert run("generate", "pool", "--quantity", 1).code == 0
    monkeypatch.delenv("CODE_KEY")
    monkeypatch.setattr(context, "ROOT", root)
    assert run("generate", "pool", "--quantity", 1).code == 0
    (root / ".local" / "keys.json").write_text(json.dumps({"code_key": "another"}))
    assert "wrong_key" in run("generate", "pool", "--quantity", 1).out


def test_pg02_formats_show_capacity_use_and_the_odds_of_a_guess(run: Run, shop: Shop):
    shop.add_pool("uploads")
    shop.upload("uploads", "AAAA", "AAAB")
    shop.add_format("few", "01", 10, max_codes=50)
    run("generate", "pool", "--quantity", 7)
    result = run("formats")
    assert result.out.splitlines()[0].split("  ")[0] == "format"
    assert result.rows == [
        ["few", "50", "0", "0", "50", "none"],
        ["summer", f"{32**8:,}", "0", "0", f"{32**8:,}", "none"],
        ["tiny", "81", "7", "9", "72", "1", "in", "9"],
    ]


def test_pc06_pools_and_their_history_are_shown(run: Run, shop: Shop):
    shop.query("UPDATE loyalty.promo_code_pool SET top_up_threshold = 5")
    run("generate", "pool", "--quantity", 7)
    run("generate", "pool", "--quantity", 100)
    assert run("pools").rows == [["pool", "draft", "generate", "tiny", "7", "0", "0", "0", "0", "5"]]
    rows = run("pool", "pool").rows
    assert [[row[0], row[1], row[2]] for row in rows] == [
        ["generation", "1", "completed"],
        ["generation", "2", "refused"],
    ]
    assert rows[0][-4:] == ["7", "7", "command", "line"]
    missing = run("pool", "nowhere")
    assert (missing.code, missing.out) == (1, "")
    assert "'nowhere'" in missing.err


def test_pg03_rotate_code_key_restarts_the_formats_of_another_key(
    run: Run, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    run("generate", "pool", "--quantity", 10)
    monkeypatch.setenv("CODE_KEY", "another")
    refused = run("generate", "pool", "--quantity", 10)
    assert refused.code == 3
    assert "rotate-code-key tiny" in refused.out
    unknown = run("rotate-code-key", "tiny", "nowhere")
    assert (unknown.code, shop.format_row()) == (3, (10, 10))
    assert run("rotate-code-key").out == "summer: needs no change\ntiny: begins again under the new key\n"
    assert shop.format_row() == (0, 10)
    assert run("generate", "pool", "--quantity", 71).code == 0
    assert run("rotate-code-key", "tiny").out == "tiny: needs no change\n"
    assert (len(shop.codes()), shop.available()) == (81, 0)


def test_x20_commands_print_no_codes(run: Run, shop: Shop):
    printed = [run("generate", "pool", "--quantity", 60), run("formats"), run("pools"), run("pool", "pool")]
    words = {word for result in printed for word in (result.out + result.err).split()}
    assert not words & set(shop.codes())
