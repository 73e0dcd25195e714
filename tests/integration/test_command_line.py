"""The command line: `python -m include.cli`. Source: the same stages without Airflow; X-06, X-13, X-20."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.cli import context
from include.cli.main import main as run_command
from include.warehouse.migrations import migrate
from tests.imports import CARD_HEADER, CVV_KEY, SAMPLE_POOLS, Site, contents
from tests.integration.upgrades import restore

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


class CommandResult:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        assert "Traceback" not in out + err
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., CommandResult]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs one command in this process; there is no database."""
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("CVV_KEY", CVV_KEY.decode())
    for name in ("landing", "work", "reports", "archive"):
        monkeypatch.setenv(f"{name.upper()}_URL", str(tmp_path / "site" / name))

    def call(*arguments: object) -> CommandResult:
        capsys.readouterr()
        try:
            code = run_command([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return call


@pytest.fixture
def stocked_run(run: Run, stocked: Site, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same with the warehouse and the folders of `stocked`, where the pools were job 1."""
    monkeypatch.setenv("WAREHOUSE_URL", stocked.runtime.engine.url.render_as_string(hide_password=False))
    return run


def write(folder: Path, name: str, *rows: str, header: str = CARD_HEADER) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]))
    return path


def test_each_file_gives_one_json_line_with_exactly_the_agreed_keys(stocked_run: Run, stocked: Site, tmp_path: Path):
    good = write(tmp_path, "good.csv", "1,flexible_gift,10")
    mixed = write(tmp_path, "mixed.csv", "2,flexible_gift,10", "3,nowhere,10", header=f"{CARD_HEADER}")
    result = stocked_run("import", "gift_cards", "--json", good, mixed)
    assert (result.code, result.err) == (0, "")
    first, second = result.lines
    reports = stocked.folder / "reports" / "gift_cards"
    assert first == {
        "job": 2,
        "type": "gift_cards",
        "file": "good.csv",
        "state": "completed",
        "outcome": "loaded",
        "rows": {"read": 1, "inserted": 1, "updated": 0, "unchanged": 0, "not_found": 0, "rejected": 0},
        "warnings": [],
        "rejected_file": None,
        "summary_file": str(reports / "2" / "summary.json"),
        "reason": None,
    }
    assert list(second) == list(first)
    assert (second["job"], second["state"], second["rows"]["rejected"]) == (3, "completed_with_rejects", 1)
    assert second["rejected_file"] == str(reports / "3" / "mixed.rejected.csv")
    assert good.exists()


def test_exit_codes_distinguish_done_refused_and_failed(
    stocked_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    good = write(tmp_path, "good.csv", "1,flexible_gift,10")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    cvv = write(tmp_path, "cvv.csv", "5,holiday_50,50,1", header=f"{CARD_HEADER},cvv")
    assert stocked_run("import", "gift_cards", good).code == 0
    again = stocked_run("import", "gift_cards", good, "--json")
    assert (again.code, again.lines[0]["state"]) == (0, "duplicate")
    refused = stocked_run("import", "gift_cards", empty, good, "--json")
    assert (refused.code, [line["state"] for line in refused.lines]) == (3, ["refused", "duplicate"])
    assert refused.lines[0]["reason"]["rule"] == "file.empty"
    monkeypatch.delenv("CVV_KEY")
    monkeypatch.setattr(context, "ROOT", tmp_path)
    failed = stocked_run("import", "gift_cards", empty, cvv, good, "--json")
    assert (failed.code, [line["state"] for line in failed.lines]) == (1, ["refused", "failed", "duplicate"])
    assert failed.lines[1]["reason"]["rule"] == "job.failed"


def test_people_read_the_same_in_words(stocked_run: Run, tmp_path: Path):
    result = stocked_run("import", "gift_cards", write(tmp_path, "a.csv", "1,flexible_gift,10", "2,nowhere,1", "1,x,1"))
    assert result.out.splitlines()[:4] == [
        "a.csv: mostly rejected (job 2)",
        "  3 rows read: 1 inserted, 2 rejected",
        "          2 x pool_system_name.known",
        "          1 x card_number.duplicate_in_file",
    ]
    assert "rejected rows: " in result.out
    refused = stocked_run("import", "gift_cards", write(tmp_path, "b.csv", header="x,y"))
    assert refused.out.splitlines()[0] == "b.csv: refused (job 3)"
    assert "[file.missing_header]" in refused.out


def test_settings_come_from_a_file_and_from_assignments_that_win(stocked_run: Run, stocked: Site, tmp_path: Path):
    path = write(tmp_path, "a.csv", "1;flexible_gift;10;03/04/2024", header="Nr;pool_system_name;balance;purchased_at")
    settings = tmp_path / "s.yaml"
    settings.write_text("mapping: {Nr: card_number}\nslash_dates: day_first\nretention_days: 5\n")
    result = stocked_run(
        "import", "gift_cards", path, "--settings", settings, "--set", "slash_dates=month_first", "--json"
    )
    assert result.lines[0]["rows"]["inserted"] == 1
    assert stocked.query("SELECT purchased_at::date::text FROM loyalty.gift_card") == [("2024-03-04",)]
    stored = stocked.job(2)["settings"]
    assert stored["given_by"] == {"mapping": "sidecar", "slash_dates": "parameters", "retention_days": "sidecar"}
    also = write(tmp_path, "b.csv", "2,flexible_gift,10", header="Nr,pool_system_name,balance")
    assert stocked_run("import", "gift_cards", also, "--set", "mapping={Nr: card_number}").code == 0


def test_a_dry_run_and_force(stocked_run: Run, stocked: Site, tmp_path: Path):
    path = write(tmp_path, "a.csv", "1,flexible_gift,10")
    dry = stocked_run("import", "gift_cards", path, "--dry-run", "--json")
    assert (dry.lines[0]["rows"]["inserted"], stocked.card_numbers()) == (1, [])
    assert stocked_run("import", "gift_cards", path, "--json").lines[0]["rows"]["inserted"] == 1
    assert stocked_run("import", "gift_cards", path, "--force", "--json").lines[0]["rows"]["unchanged"] == 1


def test_a_killed_import_is_continued_unless_it_is_asked_for_otherwise(stocked_run: Run, stocked: Site, tmp_path: Path):
    from include.arrivals.landing import Request, take_file

    path = write(tmp_path, "a.csv", "1,flexible_gift,10")
    stat = path.stat()
    key = f"command line|{path}|{stat.st_size}-{stat.st_mtime_ns}|1"
    job = take_file(stocked.runtime, Request("gift_cards", str(path), key, roots=None)).job_id
    dry = stocked_run("import", "gift_cards", path, "--dry-run", "--json")
    assert (dry.lines[0]["job"], stocked.card_numbers()) == (job, [])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["import"], 2),
        (["import", "gift_cards"], 2),
        (["import", "gift_crads", "x.csv"], 2),
        (["frobnicate"], 2),
        (["jobs", "--limit", "-1"], 2),
        (["jobs", "--limit", "all"], 2),
        (["job", "0"], 2),
        (["job", "99999999999999999999"], 2),
        (["jobs"], 1),
        (["template", "x"], 2),
        (["preview", "gift_cards", "/no/such/file.csv"], 3),
        (["--help"], 0),
        (["import", "--help"], 0),
    ],
)
def test_bad_arguments_give_a_message_and_no_traceback(run: Run, arguments: list[str], code: int):
    result = run(*arguments)
    assert result.code == code
    assert result.out + result.err
    assert (result.out == "") == (code != 0)


@pytest.mark.parametrize("url", ["foo://bar/x.csv", "s3://no-such-bucket-here/x.csv"])
def test_a_storage_that_cannot_be_used_is_reported_in_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch, url: str):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    result = run("import", "gift_cards", url)
    assert result.code == 1
    assert "storage" in result.out + result.err
    assert "Traceback" not in result.out + result.err


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--set", "delimeter=;"], "file.settings"),
        (["--set", "delimiter"], "file.settings"),
        (["--set", "dry_run=perhaps"], "file.settings"),
        (["--set", "mapping={"], "file.settings"),
        (["--set", "retention_days=2024-01-01"], "file.settings"),
        (["--set", "encoding=latin-1", "--set", "encoding=utf-8"], "file.settings"),
        (["--settings", "/no/such/settings.yaml"], "file.settings"),
        (["--settings", "/"], "file.settings"),
        (["--settings", "{wild}"], "file.settings"),
    ],
)
def test_wrong_settings_refuse_every_file_with_its_own_line(run: Run, tmp_path: Path, options: list[str], rule: str):
    wild = tmp_path / "wild.yaml"
    wild.write_bytes(b"\xff\xfe\x00delimiter")
    options = [option.replace("{wild}", str(wild)) for option in options]
    files = [write(tmp_path, name, "1,flexible_gift,10") for name in ("a.csv", "b.csv")]
    result = run("import", "gift_cards", *files, *options, "--json")
    assert (result.code, result.err) == (3, "")
    assert [(line["file"], line["state"], line["reason"]["rule"]) for line in result.lines] == [
        ("a.csv", "refused", rule), ("b.csv", "refused", rule),
    ]  # fmt: skip


def test_files_that_cannot_be_read_are_refused_and_the_others_imported(stocked_run: Run, tmp_path: Path):
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    good = write(tmp_path, "good.csv", "1,flexible_gift,10")
    result = stocked_run(
        "import", "gift_cards", tmp_path / "no.csv", folder, good / "below.csv", "x" * 300, good, "--json"
    )
    assert [line["state"] for line in result.lines] == [*["refused"] * 4, "completed"]
    assert [line["job"] for line in result.lines] == [None] * 4 + [2]
    assert [line["reason"]["message"].rsplit(" ", 2)[-1] for line in result.lines[:3]] == [
        "exist.",
        "folder.",
        "exist.",
    ]
    assert "too long" in result.lines[3]["reason"]["message"]


def test_a_name_that_is_no_utf8_is_refused_and_shown_as_far_as_it_can_be(stocked_run: Run, tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv"))
    path.write_text(f"{CARD_HEADER}\n1,flexible_gift,10\n")
    result = stocked_run("import", "gift_cards", path, "--json")
    assert (result.code, result.lines[0]["reason"]["rule"]) == (3, "file.name")
    assert "caf\\udce9.csv" in result.lines[0]["reason"]["message"]
    assert stocked_run("preview", "gift_cards", path).code == 0


def test_a_file_that_another_request_holds_fails_alone(stocked_run: Run, stocked: Site, tmp_path: Path):
    from include.arrivals.landing import take_file

    held, free = write(tmp_path, "held.csv", "1,flexible_gift,10"), write(tmp_path, "free.csv", "2,flexible_gift,10")
    take_file(stocked.runtime, stocked.request("gift_cards", held))
    result = stocked_run("import", "gift_cards", held, free, "--json")
    assert (result.code, [line["state"] for line in result.lines]) == (1, ["failed", "completed"])
    assert "job 2" in result.lines[0]["reason"]["message"]


def test_x12_a_file_that_waits_fails_alone(stocked_run: Run, stocked: Site):
    """Source: X-11, X-12."""
    waiting = stocked.drop("gift_cards", "cards.csv", f"{CARD_HEADER}\n1,flexible_gift,10\n")
    stocked.drop("gift_cards", "cards.csv.settings", "dry_run: true\n")
    good = stocked.drop("gift_cards", "good.csv", f"{CARD_HEADER}\n2,flexible_gift,10\n")
    result = stocked_run("import", "gift_cards", waiting, good, "--json")
    assert (result.code, [line["state"] for line in result.lines]) == (1, ["failed", "completed"])
    assert "cards.csv waits: " in result.lines[0]["reason"]["message"]
    assert waiting.exists()


def test_x21_an_address_of_another_kind_fails_alone_and_without_its_password(stocked_run: Run, tmp_path: Path):
    good = write(tmp_path, "good.csv", "2,flexible_gift,10")
    result = stocked_run("import", "gift_cards", "http://user:s3cret@127.0.0.1:9/x.csv", good, "--json")
    assert (result.code, [line["state"] for line in result.lines]) == (1, ["failed", "completed"])
    message = result.lines[0]["reason"]["message"]
    assert message.endswith("no such kind of storage: http://. Files are on a disk, or in a bucket (s3://).")
    assert "s3cret" not in result.out + result.err


def test_x08_names_of_files_reach_the_terminal_without_what_it_would_carry_out(stocked_run: Run, tmp_path: Path):
    """Escape sequences, also of one character, line ends, and marks that turn the direction of writing."""
    name = "a\x1b[31mred\x07\x9b31m\u202egnp\nb.csv"
    path = write(tmp_path, name, "1,flexible_gift,10")
    outputs = [stocked_run("preview", "gift_cards", path), stocked_run("import", "gift_cards", path)]
    outputs += [stocked_run("jobs"), stocked_run("job", 2), stocked_run("import", "gift_cards", path, "--json")]
    outputs += [stocked_run("preview", "gift_cards", tmp_path / f"no {name}")]
    for result in outputs:
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.out + result.err)
        assert "\nb.csv" not in result.out + result.err
    assert outputs[4].lines[0]["file"] == name, "JSON holds the name as it is"
    assert "a\ufffd[31mred\ufffd\ufffd31m\ufffdgnp b.csv: loaded (job 2)" in outputs[1].out


def test_x12_a_defect_ends_the_import_of_one_file_alone(
    stocked_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its text may quote values and is not printed. Source: X-12, X-20."""
    from include import importer

    import_file = importer.import_file

    def import_or_fail(runtime: Any, request: Any, **more: Any) -> Any:
        if request.source_url.endswith("odd.csv"):
            raise ValueError("4" * 16)
        return import_file(runtime, request, **more)

    monkeypatch.setattr(importer, "import_file", import_or_fail)
    odd, good = write(tmp_path, "odd.csv", "1,flexible_gift,10"), write(tmp_path, "good.csv", "2,flexible_gift,10")
    result = stocked_run("import", "gift_cards", odd, good, "--json")
    assert (result.code, [line["state"] for line in result.lines]) == (1, ["failed", "completed"])
    assert "ValueError" in result.lines[0]["reason"]["message"]
    assert "import_or_fail" in result.err
    assert "4444" not in result.out + result.err


@pytest.mark.parametrize("command", [["jobs"], ["migrate"], ["sync-project"], ["import", "gift_cards", "x.csv"]])
@pytest.mark.parametrize("url", ["nonsense", "mysql://u:s3cret@h/d", "postgresql://u:s3cret@127.0.0.1:1/d",
                                 "postgresql://u:s3cret@h:port/d"])  # fmt: skip
def test_a_wrong_database_address_gives_a_message_without_the_password(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], url: str
):
    monkeypatch.setenv("WAREHOUSE_URL", url)
    result = run(*command)
    assert result.code == 1
    assert "s3cret" not in result.out + result.err
    assert len((result.out + result.err).strip()) > 20


WITHOUT_SCHEMA = "The warehouse has no schema: run `python -m include.cli migrate` as the owner of the database."


def test_a_database_without_the_schema_says_what_is_missing(
    run: Run, empty_database: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WAREHOUSE_URL", empty_database.url)
    for command in (["jobs"], ["pools"], ["sync-project"], ["import", "gift_card_pools", SAMPLE_POOLS]):
        result = run(*command)
        assert (result.code, WITHOUT_SCHEMA in result.out + result.err) == (1, True)
    denied = run("migrate")
    # the importer is not the owner
    assert (denied.code, "docs/operate/configuration.md, Database roles" in denied.err) == (1, True)
    monkeypatch.setenv("WAREHOUSE_OWNER_URL", empty_database.owner_url)
    assert run("migrate").code == 0
    assert run("sync-project").code == 0
    assert run("import", "gift_card_pools", SAMPLE_POOLS, "--json").lines[0]["rows"]["inserted"] == 2
    again = run("sync-project")
    assert (again.code, len(again.out.splitlines())) == (0, 1)


def test_a_database_with_an_older_schema_says_so(run: Run, empty_database: Any, monkeypatch: pytest.MonkeyPatch):
    restore(empty_database.owner_url, "revision_0010", has_rows=False)
    monkeypatch.setenv("WAREHOUSE_URL", empty_database.url)
    older = "The warehouse's schema is older than this version, which needs revision"
    assert older in run("jobs").err
    migrate(empty_database.owner)
    assert run("jobs").code == 0
    with empty_database.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE ledger.schema_revision SET number = number - 1")
    assert older in run("jobs").err
    with empty_database.owner.begin() as connection:
        connection.exec_driver_sql("UPDATE ledger.schema_revision SET number = number + 2")
    assert run("jobs").code == 0  # a newer one: workers of the version before go on while others are upgraded


def test_x06_a_preview_shows_mapping_rows_and_verdicts_and_touches_nothing(
    stocked_run: Run, stocked: Site, tmp_path: Path
):
    rows = [
        f"{number:016d},{'flexible_gift' if number != 3 else 'nowhere'},10,secret{number},x" for number in range(1, 20)
    ]
    path = write(tmp_path, "a.csv", *rows, header=f"{CARD_HEADER},cvv,balanse")
    before = stocked.loyalty(), contents(stocked.folder), stocked.query("SELECT count(*) FROM ledger.import_job")
    result = stocked_run("preview", "gift_cards", path)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "a.csv: columns"
    assert "  card_number -> card_number" in lines
    assert "  balanse -> not imported" in lines[5]
    shown = [line for line in lines if line.strip()[:1].isdigit()]
    assert [int(line.split()[0]) for line in shown] == list(range(2, 12))
    assert sum("rejected: Pool " in line for line in lines) == 1
    assert "secret" not in result.out
    assert "0000000000000001" not in result.out
    assert (
        stocked.loyalty(),
        contents(stocked.folder),
        stocked.query("SELECT count(*) FROM ledger.import_job"),
    ) == before


def test_x06_a_preview_reads_the_file_as_an_import_would(stocked_run: Run, stocked: Site, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes("Номер;Пул;balance\n1;flexible_gift;10\n2;нет;5\n".encode("cp1251"))
    assert stocked_run("preview", "gift_cards", path).code == 3
    sidecar = tmp_path / "a.csv.settings.yaml"
    sidecar.write_text("encoding: windows-1251\nmapping: {Номер: card_number, Пул: pool_system_name}\n")
    result = stocked_run("preview", "gift_cards", path)
    assert result.code == 0
    assert "нет" in result.out
    imported = stocked_run("import", "gift_cards", path, "--json").lines[0]
    assert imported["rows"]["rejected"] == 1
    # The corrected rejects inherit encoding and mapping in the preview as well.
    corrected = stocked_run("preview", "gift_cards", imported["rejected_file"])
    assert corrected.code == 0
    assert "rejected: " in corrected.out
    for content in (b"", b"card_number,pool_system_name,balance\n", b"card_number,pool_system_name,balance\n\n\n"):
        (tmp_path / "b.csv").write_bytes(content)
        assert stocked_run("preview", "gift_cards", tmp_path / "b.csv").code == (3 if content == b"" else 0)


def test_x06_a_preview_prints_no_control_characters_of_the_file(stocked_run: Run, tmp_path: Path):
    path = write(tmp_path, "a.csv", '1,"\x1b[2J\x07evil",10')
    result = stocked_run("preview", "gift_cards", path)
    assert "\x1b" not in result.out
    assert "evil" in result.out


def test_templates_are_importable_headers(stocked_run: Run, tmp_path: Path):
    for name in ("gift_cards", "gift_card_pools"):
        path = tmp_path / f"{name}.csv"
        path.write_text(stocked_run("template", name).out)
        (line,) = stocked_run("import", name, path, "--json").lines
        assert (line["state"], [warning["rule"] for warning in line["warnings"]]) == ("completed", ["file.header_only"])


def test_jobs_and_job_show_the_history(stocked_run: Run, tmp_path: Path):
    stocked_run("import", "gift_cards", write(tmp_path, "a.csv", "1,flexible_gift,10", "2,nowhere,10"))
    lines = stocked_run("jobs").out.splitlines()
    assert len(lines) == 3
    assert lines[1].split()[0] == "2"
    assert "some_rejected" in lines[1]
    assert len(stocked_run("jobs", "--limit", 1).out.splitlines()) == 2
    assert "gift_cards" not in stocked_run("jobs", "--type", "gift_card_pools").out
    shown = json.loads(stocked_run("job", 2).out)
    assert (shown["job"], shown["rejects_open"], shown["rejects_fixed"]) == (2, 1, 0)
    assert "4711" in stocked_run("job", 4711).err
    assert shown["rules"][0]["rule"] == "pool_system_name.known"


def test_the_module_runs_as_a_program_of_its_own():
    ended = subprocess.run(
        [sys.executable, "-m", "include.cli", "template", "gift_cards"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert ended.stdout.startswith("card_number,pool_system_name")
    wrong = subprocess.run(
        [sys.executable, "-m", "include.cli", "import", "x"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" not in wrong.stderr
