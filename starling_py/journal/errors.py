"""The journal's exceptions."""

import errno


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


class UnnotedSyncError(OSError):
    """A sync of a segment failed, and that could not be noted beside it."""

    def __init__(self, failure: OSError, path: str) -> None:
        super().__init__(failure.errno, failure.strerror, path)
        self.path = path


class NotPlainError(OSError):
    """Where a file is meant there is something else, or a file that has other names as well."""


class FileLostError(OSError):
    """A file's name does not lead to it any more: somebody has removed, moved or replaced it."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOENT, "the file was removed or replaced", path)


LOST = (FileNotFoundError, NotADirectoryError, FileLostError)
"""What is raised where a file of a journal is not found under its name."""


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


def unforeseen(defect: Exception) -> OSError:
    """Return an error that nobody foresaw, such as ``MemoryError``, as one of the disk.

    It came in the middle of something, so what is on disk can be trusted no more than after that.
    """
    if isinstance(defect, OSError):
        return defect
    if isinstance(defect, MemoryError):
        return OSError(errno.ENOMEM, "out of memory")
    return OSError(errno.EIO, f"internal error: {type(defect).__name__}")
