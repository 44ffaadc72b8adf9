"""The rules of all queues, as the configuration gives them; reloading replaces them as a whole."""

import attrs

from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes


@attrs.frozen
class Rules:
    """What the configuration says of the queues."""

    table: QueueTable = attrs.field(factory=QueueTable)
    routes: Routes = attrs.field(factory=Routes)
    max_queues: int = 100_000
    """Queues that may exist."""
    memory_max: int | None = None
    """Bytes that all items in memory may take, about; puts are refused beyond that."""
    disk_free_min: int = 0
    """Bytes of the disk that must stay free; puts are refused below that."""
