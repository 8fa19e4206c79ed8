"""What is not read."""

from vmlab.errors import UsageError


class Refused(UsageError):
    """Shell code beyond settings; the message says what, and in which line once that is known."""

    def __init__(self, what: str, line: int = 0) -> None:
        self.what = what
        self.line = line
        super().__init__(f"line {line}: {what}" if line else what)
