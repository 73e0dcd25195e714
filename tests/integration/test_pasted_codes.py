"""Codes from standard input: `python -m include.cli import promo_codes -`. Source: PC-01, PC-02, X-20."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include import importer
from include.arrivals import listing
from include.cli.main import main as run_command
from tests.imports import Site, contents

pytestmark = pytest.mark.integration

Paste = Callable[..., dict[str, Any]]


@pytest.fixture
def paste(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paste:
    """Return a function that pastes a text and returns the JSON line of the import, with its exit code."""
    monkeypatch.setenv("WAREHOUSE_URL", site.runtime.engine.url.render_as_string(hide_password=False))
    for name in ("landing", "work", "reports", "archive"):
        monkeypatch.setenv(f"{name.upper()}_URL", str(site.folder / name))
    site.load("promo_code_pools", "system_id,name,fill_method\na,A,\nb,B,\nmade,Made,generate\n")

    def call(text: str | bytes, *options: object, import_type: str = "promo_codes") -> dict[str, Any]:
        raw = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw)))
        capsys.readouterr()
        code = run_command(["import", import_type, "-", "--json", *map(str, options)])
        output = capsys.readouterr()
        assert output.err == ""
        return {"code": code, **json.loads(output.out)}

    return call


def codes(site: Site) -> dict[Any, Any]:
    return dict(site.query("SELECT code, pool_system_id FROM loyalty.promo_code"))


def test_pc01_codes_typed_one_a_line_load_into_the_pool_of_the_settings(site: Site, paste: Paste):
    result = paste("A1\r\n  A2\n\n0003", "--set", "pool=a")
    assert (result["code"], result["state"], result["rows"]["inserted"]) == (0, "completed", 3)
    assert codes(site) == {"A1": "a", "A2": "a", "0003": "a"}
    job = site.job(result["job"])
    assert job["source_url"].startswith(str(site.folder / "landing" / "promo_codes" / "pasted-"))
    assert Path(job["archive_url"]).read_bytes() == b"Code\nA1\r\n  A2\n\n0003\n"
    assert (job["settings"]["pool"], job["launched_by"].startswith("command line (")) == ("a", True)
    assert contents(site.folder / "landing" / "promo_codes") == {}


def test_pc01_a_text_with_a_header_is_taken_as_it_is(site: Site, paste: Paste):
    result = paste("pool;Code;expired-at\na;A1;31.12.2030\nb;A2;\n")
    assert result["rows"]["inserted"] == 2
    assert codes(site) == {"A1": "a", "A2": "b"}


def test_pc01_a_code_that_reads_like_another_column_is_a_code(site: Site, paste: Paste):
    assert paste("POOL\nISSUEEND\n", "--set", "pool=a")["rows"]["inserted"] == 2
    assert codes(site) == {"POOL": "a", "ISSUEEND": "a"}


def test_pc01_the_same_text_again_is_a_duplicate_and_for_another_pool_it_is_not(site: Site, paste: Paste):
    first = paste("A1\n", "--set", "pool=a")
    again = paste("A1\n", "--set", "pool=a")
    assert (again["code"], again["state"]) == (0, "duplicate")
    assert site.job(again["job"])["duplicate_of"] == first["job"]
    assert paste("A1\n", "--set", "pool=b")["rows"]["rejected"] == 1
    assert paste("A1\n", "--set", "pool=a", "--force")["rows"]["unchanged"] == 1


@pytest.mark.parametrize(
    ("text", "options", "rule"),
    [
        ("A1\n", (), "file.no_pool"),
        ("A1\n", ("--set", "pool=c"), "file.unknown_pool"),
        ("A1\n", ("--set", "pool=made"), "file.generate_pool"),
        (" \n\n", ("--set", "pool=a"), "file.empty"),
        (b"A1\n\xff\n", ("--set", "pool=a"), "file.encoding"),
        ("A1\n", ("--set", "pol=a"), "file.settings"),
        ("A1\n", ("--set", "pool=a", "--set", "encoding=none"), "file.settings"),
    ],
)
def test_pc02_what_is_pasted_is_refused_like_a_file(site: Site, paste: Paste, text, options, rule):
    result = paste(text, *options)
    assert (result["code"], result["state"], result["reason"]["rule"]) == (3, "refused", rule)
    assert codes(site) == {}
    assert contents(site.folder / "landing" / "promo_codes") == {}


@pytest.mark.parametrize("encoding", [None, "utf-8", "windows-1251", "utf-16"])
def test_x03_the_text_is_in_the_encoding_that_is_set_for_it_whatever_files_of_the_folder_are_in(
    site: Site, paste: Paste, encoding: str | None
):
    (site.folder / "landing" / "promo_codes").mkdir()
    (site.folder / "landing" / "promo_codes" / "_settings.yaml").write_text("encoding: latin-1")
    options = () if encoding is None else ("--set", f"encoding={encoding}")
    result = paste("ВЕСНА\n".encode(encoding or "utf-8"), "--set", "pool=a", *options)
    assert result["rows"]["inserted"] == 1
    assert codes(site) == {"ВЕСНА": "a"}


def test_pc01_settings_from_a_file_hold_for_a_pasted_text(site: Site, paste: Paste, tmp_path: Path):
    (tmp_path / "s.yaml").write_text("pool: a\nmapping: {Gutschein: code}")
    result = paste("Gutschein\nA1\n", "--settings", tmp_path / "s.yaml", "--dry-run")
    assert (result["state"], result["rows"]["inserted"], codes(site)) == ("completed", 1, {})
    result = paste("Gutschein\nA1\n", "--settings", tmp_path / "s.yaml", "--set", "mapping={Gutschein: code, x: null}")
    assert result["reason"]["rule"] == "file.settings"


def test_pc01_a_paste_that_is_killed_before_its_import_is_picked_up_with_its_settings(
    site: Site, paste: Paste, monkeypatch: pytest.MonkeyPatch
):
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importer, "take_file", die)
    with pytest.raises(AssertionError, match="Stopped"):  # what the command prints instead of a result
        paste("A1\n", "--set", "pool=a")
    monkeypatch.undo()
    (arrival,) = listing.arrivals(site.runtime)
    assert arrival.import_type == "promo_codes"
    assert site.run("promo_codes", arrival.url).rows.inserted == 1
    assert (codes(site), contents(site.folder / "landing" / "promo_codes")) == ({"A1": "a"}, {})


def test_other_types_are_pasted_with_their_header(site: Site, paste: Paste):
    result = paste("system_id,name\nc,C\n", import_type="promo_code_pools")
    assert result["rows"]["inserted"] == 1
    assert paste("c\n", import_type="promo_code_pools")["reason"]["rule"] == "file.missing_header"


def test_x20_pasted_codes_are_in_no_run_parameter_log_or_ledger(
    site: Site, paste: Paste, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    results = [paste("C4N4RY1\nC4N4RY2\n", "--set", "pool=a"), paste("C4N4RY1\nC4N4RY2\n"), paste(b"C4N4RY3,x\n\xff")]
    assert [result["state"] for result in results] == ["completed", "refused", "refused"]
    ledger = site.query("SELECT to_jsonb(job)::text FROM ledger.import_job AS job")
    assert "C4N4RY" not in f"{results} {caplog.text} {ledger}"
