"""The journal's exceptions."""


class JournalError(Exception):
    """An operation could not be recorded or written; the text can be sent to the client."""


class JournalDamagedError(Exception):
    """A journal cannot be read whole; the text names the file, the offset and the reason."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path}: damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class FileSpoiledError(OSError):
    """A segment's file must not be written to any more: the journal has to be healed."""


class SpoolError(Exception):
    """The spool cannot be used; the text is one line that says what and where."""


class SegmentError(Exception):
    """The bytes are no header of a segment that this version can read."""


class HeaderCutShortError(SegmentError):
    """The bytes end before the header does."""

    def __init__(self, salt: int = 0) -> None:
        super().__init__("too short for a segment's header")
        self.salt = salt
        """The salt in the header; 0 if it is cut off too."""
