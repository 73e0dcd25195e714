"""Doing the same to many things, of which one that can't be done stops no other. Source: X-12, X-20."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Failures(list[str]):
    """What could not be done, and why, a sentence each."""

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Note an error in place of raising it.

        Args:
            what: names the thing, without values of rows.
        """
        try:
            yield
        except Exception as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            self.append(f"{what}: {reason}")
            log.error("%s could not be done: %s", what, reason)
