"""What a person at the terminal must read and act on."""


class StackError(Exception):
    """The local stack can't start, go on or stop; the message says why and what to do."""
