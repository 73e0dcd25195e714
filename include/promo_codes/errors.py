"""What generation refuses, grouped as `include.errors` groups what imports refuse."""

from include.errors import ImporterError


class GenerationRefused(ImporterError):
    """These codes can't be generated: no retry helps, nothing was written.

    Args:
        rule: stable id, `generation.<rule>`.
        message: a sentence for the person who asked; names pools, formats and counts, never codes (X-20).
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        """Pickle by the two arguments: a default pickle would call the class with the joined text."""
        return type(self), (self.rule, self.message)
