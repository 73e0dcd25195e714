"""What generation refuses, grouped as `include.errors` groups what imports refuse."""

from __future__ import annotations

from include.errors import Refused


class GenerationRefused(Refused):
    """These codes can't be generated: nothing was written. The rule is `generation.<rule>`.

    Its sentence names pools, formats and counts, never codes (X-20).
    """
