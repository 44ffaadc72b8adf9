"""What can go wrong with a journal, as exceptions."""


class JournalError(Exception):
    """An operation could not be made durable; its text is fit for the client."""


class JournalDamagedError(Exception):
    """A journal that cannot be read whole; its text names the file, the offset and the reason."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class FileSpoiledError(OSError):
    """A file that must not be written to any more."""


class SpoolError(Exception):
    """The spool cannot be used; the text is one line that says what and where."""


class SegmentError(Exception):
    """Bytes that are not the header of a segment this version can read."""


class HeaderCutShortError(SegmentError):
    """The bytes end before the header does."""

    def __init__(self, salt: int = 0) -> None:
        super().__init__("too short for a segment's header")
        self.salt = salt
        """The salt, if it is there."""
