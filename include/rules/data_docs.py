"""A validation as Great Expectations' own Data Docs show it, from the evidence that a job has left. Source: X-08, X-20.

`python -m include.rules.data_docs 2026-01-31T12:00:00+00:00 < validation.json > page.html`. To import GX takes
seconds and 150 MiB, so the pages call this as a process of its own. Evidence holds no values of rows, and neither does
the page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

_FOREIGN = re.compile(
    r"<(script|style|button|footer)\b.*?</\1>|<(?:link|img)\b[^>]*>|\son\w+=\"[^\"]*\"|\shref=\"\.\.[^\"]*\"",
    re.DOTALL | re.IGNORECASE,
)
"""GX's page loads styles, scripts and its logo from eight hosts, and links to pages that nobody has made."""
_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 24px 24px; color: #1a202c; background: #fff; }
.navbar, nav[aria-label="breadcrumb"], .sticky > .card:first-child, .progress { display: none; }
.fa-check-circle::before { content: "\\2714  passed"; color: #1a7f37; }
.fa-times::before { content: "\\2718  failed"; color: #c62828; }
table { border-collapse: collapse; margin: 8px 0 16px; }
th, td { border-bottom: 1px solid #d9dee6; padding: 4px 12px 4px 0; text-align: left; vertical-align: top; }
h1, h2, h3, h4, h5 { font-size: 16px; margin: 16px 0 4px; }
ul { padding-left: 20px; }
i { font-style: normal; white-space: nowrap; }
.badge, code { font-family: ui-monospace, monospace; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e9ee; background: #111418; }
  th, td { border-color: #333a44; }
  a { color: #7ab8ff; }
  .fa-check-circle::before { color: #4ac26b; }
  .fa-times::before { color: #ff8a80; }
}
"""


def render(evidence: Mapping[str, Any], launched_at: str) -> str:
    """Return GX's page of a validation, without anything that would be loaded from elsewhere or be run.

    Args:
        evidence: the content of a job's `validation.json`.
        launched_at: when the job was launched, in the form of ISO 8601.
    """
    import great_expectations
    from great_expectations.core.expectation_validation_result import (
        ExpectationSuiteValidationResult,
        ExpectationValidationResult,
    )
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    import include.rules.expectations  # noqa: F401 - the expectations that the evidence names

    results = [
        ExpectationValidationResult(
            success=result["success"],
            expectation_config=ExpectationConfiguration(
                type=result["expectation_config"]["type"],
                kwargs=result["expectation_config"].get("kwargs", {}),
                meta=result["expectation_config"]["meta"],
                severity=result["expectation_config"]["severity"],
            ),
            result=dict(result["result"]),
            exception_info={"raised_exception": False, "exception_message": None, "exception_traceback": None},
        )
        for result in evidence["results"]
        if "type" in result["expectation_config"]  # the reader's own verdicts are no expectations
    ]
    failed = sum(not result.success for result in results)
    validation = ExpectationSuiteValidationResult(
        success=not failed,
        results=results,
        suite_name=evidence["suite_name"],
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": len(results) - failed,
            "unsuccessful_expectations": failed,
            "success_percent": 100 * (1 - failed / len(results)) if results else 0.0,
        },
        meta={
            "great_expectations_version": great_expectations.__version__,
            "run_id": {"run_name": f"job {evidence['meta']['job']}", "run_time": launched_at},
        },
    )
    document = ValidationResultsPageRenderer(run_info_at_end=True).render(validation)
    page: str = DefaultJinjaPageView().render(document)  # type: ignore[no-untyped-call]  # of GX's view (1.24)
    return _FOREIGN.sub("", page).replace("</head>", f"<style>{_STYLE}</style></head>", 1)


def main() -> int:
    """Read evidence, write the page; the argument is the time of the launch."""
    sys.stdout.write(render(json.load(sys.stdin), sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
