"""Which names in a spool all nodes have, and which are those of one node alone, or not ours."""

from typing import Final

from starling_py.journal.directory_names import is_directory_name
from starling_py.journal.disk import id_floor
from starling_py.journal.disk.removed_directories import REMOVED
from starling_py.journal.format import segment

_FILES: Final = frozenset({id_floor.NAME, id_floor.UNFINISHED})


def is_shared(path: str) -> bool:
    """Tell whether all nodes have what is at a path below the spool.

    Not so the locks, the reserve, the log, the notes of syncs that failed, and what is not ours.
    """
    directory, _, name = path.partition("/")
    if directory in _FILES:
        return not name
    return is_directory_name(directory.partition(REMOVED)[0]) and not segment.is_note_file(name)
