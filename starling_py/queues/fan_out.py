"""Which queues get a copy of what is put into another: fan-out children, and routes.

A child is a queue named ``parent+child``; only its name says so. It gets a copy of what is put
into its parent from the moment when the child exists, whether the parent exists or not. Routes
come from the configuration and lead to queues that need not exist yet.
"""

from starling_py.keys import child_of
from starling_py.settings.routes import Routes


class FanOut:
    """Where copies of a put go."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self._children: dict[bytes, dict[bytes, None]] = {}

    def __bool__(self) -> bool:
        """Tell whether any put has copies at all."""
        return bool(self._children) or len(self.routes) > 0

    def children(self, name: bytes) -> list[bytes]:
        """Return the names of a queue's children, the first one made first."""
        return list(self._children.get(name, ()))

    def count(self, name: bytes) -> int:
        """Return how many queues get a copy of what is put into this one, about."""
        targets = self.routes.targets(name) if len(self.routes) else ()
        return len(targets) + sum(len(self._children.get(each, ())) for each in (name, *targets))

    def brothers(self, name: bytes) -> int:
        """Return how many children the parent of this queue has; 0 if it is no child."""
        parent = child_of(name)
        return 0 if parent is None else len(self._children.get(parent, ()))

    def came(self, name: bytes) -> None:
        """Add a new queue to its parent's children, if it is a child."""
        parent = child_of(name)
        if parent is not None:
            self._children.setdefault(parent, {})[name] = None

    def went(self, name: bytes) -> None:
        """Remove a queue that was dropped from its parent's children, if it was a child."""
        parent = child_of(name)
        if parent is not None and parent in self._children:
            self._children[parent].pop(name, None)
            if not self._children[parent]:
                del self._children[parent]
