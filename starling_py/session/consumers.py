"""Who takes from a queue, as clients are told of it.

That is whoever has taken from it since it is connected, waits for an item of it, or has some open.
Who puts is none.
"""

from starling_py import stats
from starling_py.session.client import Client
from starling_py.stats import Pairs


def told_of(client: Client, name: bytes, number: int, now: float) -> Pairs:
    """Return what there is to be told of a client; nothing if it does not take from the queue.

    ``number`` is that of its connection, ``now`` the time on the monotonic clock.
    """
    takes, last = client.takes.of(name)
    parked = client.parked
    waits = parked is not None and parked.takes and name in parked.names
    reads = client.holder.count(name)
    if not (takes or waits or reads):
        return []
    values: list[tuple[str, object]] = [
        (f"{number}:addr", f"tcp:{client.peer}"),
        (f"{number}:name", client.name),
        (f"{number}:takes", takes),
        (f"{number}:last_take", int((now - last) * 1000) if takes else -1),
        (f"{number}:open_reads", reads),
        (f"{number}:waits", int(waits)),
    ]
    return stats.encoded(values)
