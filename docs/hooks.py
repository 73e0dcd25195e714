"""What the site needs besides the pages: links to files outside `docs/`, which only a file host can follow."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

_DOCS = Path(__file__).resolve().parent
_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Show links that leave `docs/` as the names of the files; called by mkdocs."""
    folder = PurePosixPath(page.file.src_uri).parent

    def rewrite(link: re.Match[str]) -> str:
        target = (_DOCS / folder / link[2]).resolve()
        if target.is_relative_to(_DOCS):
            return link[0]
        return f"`{target.relative_to(_DOCS.parent).as_posix()}`"

    return _LINK.sub(rewrite, markdown)
