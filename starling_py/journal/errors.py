"""What can go wrong with a journal, as exceptions."""


class JournalError(Exception):
    """An operation could not be made durable; its text is fit for the client."""


class JournalDamaged(Exception):
    """A journal that cannot be read whole; its text names the file, the offset and the reason."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class Spoiled(OSError):
    """A file that must not be written to any more."""
