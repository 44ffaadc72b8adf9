"""Which queues get a copy of what is put into another: fan-out children, and routes.

A child is a queue named ``parent+child``; there is no other register of it than its name. It gets
what is put into its parent from the moment it exists on, whether the parent exists or not. Routes
are given by the configuration and lead to queues that need not exist.
"""

from starling_py.keys import child_of
from starling_py.settings.routes import Routes


class FanOut:
    """Where a put goes beside the queue that it names."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._children: dict[bytes, dict[bytes, None]] = {}

    def __bool__(self) -> bool:
        """Tell whether anything goes anywhere else at all."""
        return bool(self._children) or len(self.routes) > 0

    def children(self, name: bytes) -> list[bytes]:
        """Return the children of a queue, in the order of their coming."""
        return list(self._children.get(name, ()))

    def came(self, name: bytes) -> None:
        """Take notice of a new queue."""
        parent = child_of(name)
        if parent is not None:
            self._children.setdefault(parent, {})[name] = None

    def went(self, name: bytes) -> None:
        """Take notice that a queue was deleted."""
        parent = child_of(name)
        if parent is not None and parent in self._children:
            self._children[parent].pop(name, None)
            if not self._children[parent]:
                del self._children[parent]
