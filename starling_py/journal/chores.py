"""Work on the files of one journal, one piece after the other.

Reading, copying and removing happen in another thread, and healing in yet another; none of them
may find that the files change under it. So each waits here until nothing else is done on this
journal's files, and is only then made ready, from the state of that moment.
"""

from collections import deque
from collections.abc import Callable, Sequence

from starling_py.journal.disk.background import Background, Removal, Work
from starling_py.journal.disk.files import Files

Make = Callable[[], tuple[Work, Callable[[], None]]]
"""Makes a piece of work ready, and says whom to call when it is done."""


class Chores:
    """What is done, and what waits to be done, on the files of one journal."""

    def __init__(
        self,
        background: Background,
        files: Files,
        heal: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        """``heal`` is called when a healing that was put off can begin; ``idle`` after the last."""
        self._background = background
        self._files = files
        self._heal = heal
        self._idle = idle
        self._waiting: deque[Make] = deque()
        self._heals_next = False
        self.busy = False
        """Whether anything is done right now."""

    def submit(self, make: Make) -> None:
        """Have a piece of work done when its turn comes."""
        if self.busy:
            self._waiting.append(make)
            return
        self.busy = True
        work, done = make()

        def finished() -> None:
            done()  # what it asks for is done after what waits already
            self.free()

        self._background.submit(work, finished)

    def remove(self, paths: Sequence[str]) -> None:
        """Have files removed; until then the journal must stay where it is."""
        if paths:
            self.submit(lambda: (Removal(self._files, paths), lambda: None))

    def begin_healing(self) -> bool:
        """Keep everything else away for a healing; return whether it can begin at once.

        Otherwise ``heal`` is called when it can; ``free`` ends it.
        """
        if self.busy:
            self._heals_next = True
            return False
        self.busy = True
        return True

    def free(self) -> None:
        """Let the files be worked on by whoever waits for that; a healing comes first."""
        self.busy = False
        if self._heals_next:
            self._heals_next = False
            self._heal()
        elif self._waiting:
            self.submit(self._waiting.popleft())
        else:
            self._idle()
