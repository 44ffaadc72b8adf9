"""Which queues of an old spool are taken over, and what they are called here.

Without a word from the operator these are all, under their old names. What can be said against a
choice is said before anything is written: a name that is not there, one that no queue can have
here, two queues that would become one. A file that is no queue's stands in nobody's way, whatever
its name is.
"""

import difflib
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

import attrs

from starling_py import keys
from starling_py.offline.errors import ImportRefused
from starling_py.offline.old_spool import Note, OldQueue, OldSpool, Problem
from starling_py.settings.queue_layers import is_pattern


@attrs.frozen
class Choice:
    """What the operator asks for, as it was written.

    Old queues go by their names, as these are or as the command prints them.
    """

    queues: Sequence[bytes] = ()
    """Old names, or patterns of them with ``*`` and ``?``; none for all."""
    renames: Sequence[bytes] = ()
    """``OLD=NEW`` each."""


@attrs.define
class Selection:
    """What is taken over of an old spool, and what is to be told of the rest."""

    queues: list[OldQueue] = attrs.field(factory=list)
    """The queues with their new names, in the order of the old ones."""
    left_alone: list[Note] = attrs.field(factory=list)
    problems: list[Problem] = attrs.field(factory=list)


def select(spool: OldSpool, choice: Choice) -> Selection:
    """Read the queues that are asked for, for the first time. Raises ``ImportRefused``."""
    names = _Names(spool.names)
    named = [names.find(each) for each in choice.queues]
    chosen = sorted({name for found in named for name in found}) if named else spool.names
    new_names = _new_names(choice.renames, names, chosen)
    exactly = {name for found in named if isinstance(found, _Exactly) for name in found}
    exactly.update(new_names)
    selection = Selection()
    if not choice.queues:
        selection.left_alone += spool.left_alone
        selection.problems += spool.problems
    for name in chosen:
        queue = spool.read(name)
        queue.new_name = new_names.get(name, name)
        reason = name_problem(queue.new_name)
        if queue.is_foreign and name not in exactly:
            selection.left_alone += queue.notes
            continue
        if queue.is_foreign:
            queue.notes = []  # who names a queue knows that it is one: its problems are told
        if reason is None:
            selection.queues.append(queue)
        elif queue.count or queue.problems:
            selection.problems.append(_misnamed(queue, reason))
    _refuse_two_in_one(selection.queues)
    selection.left_alone.sort(key=lambda note: os.fsencode(note.path))
    return selection


class _Exactly(list[bytes]):
    """The one queue that was asked for by its name."""


class _Names:
    """The names in an old spool, found by what an operator writes."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._names = names
        self._printed = {keys.printable(name).encode(): name for name in names}
        self._printed.update((name, name) for name in names)

    def find(self, text: bytes) -> list[bytes]:
        """Return the queue of a name, or those that a pattern matches. Raises ``ImportRefused``."""
        if text in self._printed:
            return _Exactly([self._printed[text]])
        pattern = text.decode("utf-8", "surrogateescape")
        if not is_pattern(pattern):
            raise ImportRefused(self._missing(f"--queue {shown(text)}", text))
        found = [
            name
            for name in self._names
            if fnmatchcase(name.decode("utf-8", "surrogateescape"), pattern)
        ]
        if not found:
            raise ImportRefused(f"--queue {shown(text)}: no queue of the old spool matches it")
        return found

    def split(self, text: bytes) -> tuple[bytes, bytes]:
        """Return the old and the new name of ``OLD=NEW``; either may have a ``=`` in it.

        Raises ``ImportRefused``.
        """
        parts = text.split(b"=")
        pairs = [(b"=".join(parts[:n]), b"=".join(parts[n:])) for n in range(1, len(parts))]
        if not pairs:
            raise ImportRefused(f"--rename {shown(text)}: write OLD=NEW")
        known = [(self._printed[old], new) for old, new in pairs if old in self._printed]
        if len(known) > 1:
            raise ImportRefused(f"--rename {shown(text)}: can be read in more than one way")
        if not known:
            raise ImportRefused(self._missing(f"--rename {shown(text)}", pairs[0][0]))
        return known[0]

    def _missing(self, option: str, name: bytes) -> str:
        near = difflib.get_close_matches(keys.printable(name), map(keys.printable, self._names), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{option}: the old spool has no queue {keys.printable(name)}{hint}"


def _new_names(
    renames: Sequence[bytes], names: _Names, chosen: Sequence[bytes]
) -> dict[bytes, bytes]:
    """Return the new names by the old ones. Raises ``ImportRefused``."""
    found: dict[bytes, bytes] = {}
    for text in renames:
        old, new = names.split(text)
        option = f"--rename {shown(text)}"
        if old in found:
            raise ImportRefused(f"{option}: {keys.printable(old)} is renamed twice")
        if old not in chosen:
            raise ImportRefused(f"{option}: {keys.printable(old)} is not asked for by --queue")
        reason = name_problem(new)
        if reason is not None:
            raise ImportRefused(f"{option}: {reason}")
        found[old] = new
    return found


def _refuse_two_in_one(queues: Sequence[OldQueue]) -> None:
    """Raise ``ImportRefused`` if two would become one: nothing tells whose items go first."""
    twice = [name for name, count in Counter(each.new_name for each in queues).items() if count > 1]
    if twice:
        both = [keys.printable(each.name) for each in queues if each.new_name == twice[0]]
        raise ImportRefused(
            f"{' and '.join(both)} would both become {keys.printable(twice[0])}; items of two"
            " queues are not put into one, give each a name of its own"
        )


def _misnamed(queue: OldQueue, reason: str) -> Problem:
    name = shown(queue.name)
    options = f"--queue {name} --rename {shown(queue.name + b'=NEW')}"
    done = f"the queue was left out; take it over under another name, with {options}"
    return Problem(queue.path, 0, reason, done)


def shown(text: bytes) -> str:
    """Return a word that an operator wrote, or can write, as a shell takes it."""
    word = text.decode("utf-8", "surrogateescape")
    return shlex.quote(word if word.isprintable() and "\\" not in word else keys.printable(text))


def name_problem(name: bytes) -> str | None:
    """Return why no queue can have a name here, or ``None`` if one can.

    A name must be a key that a memcached client can send (memcached's protocol.txt), and a slash
    would begin an option.
    """
    if len(name) > keys.MAX_KEY:
        return f"a name of {len(name)} bytes is too long: {keys.MAX_KEY} are allowed"
    if any(byte <= 0x20 or byte == 0x7F for byte in name):
        return f"the name {keys.printable(name)} has a blank or a control character"
    if not name or b"/" in name:
        return f"the name {keys.printable(name)} has a slash" if name else "the new name is empty"
    return None
