"""What is wrong, with a queue or with the server, in a word or a few.

Nothing is called wrong that the server does not tell: an older one may have no marks at all.
"""

from starling_py.top.course import History
from starling_py.top.formats import format_uptime, printable
from starling_py.top.snapshot import Queue, Snapshot

STUCK_MS = 60_000
"""Milliseconds that items wait and nobody takes any, before a queue is called stuck."""
GROWTH_SECONDS = 60.0
"""A queue grows that has a tenth more items than so long ago, and ten more at least."""


def marks(name: bytes, snapshot: Snapshot, history: History) -> tuple[str, ...]:
    """Return what is wrong with a queue, words of ``rows.MARKS``, the worst first."""
    queue, now = snapshot.queues[name], snapshot.taken
    found = []
    if queue.is_broken:
        found.append("broken")
    if queue.is_full:
        found.append("full")
    if queue.items and not queue.is_paused and _is_stuck(queue, snapshot):
        found.append("stuck")
    last = history.last(name)
    if last is not None and last.when > now - GROWTH_SECONDS:
        before = history.before(name, now, GROWTH_SECONDS) or last
        if last.dead > before.dead:
            found.append("dying")
        if queue.items >= before.items + max(10, before.items // 10):
            found.append("growing")
    if queue.is_paused:
        found.append("paused")
    return tuple(found)


def _is_stuck(queue: Queue, snapshot: Snapshot) -> bool:
    """Tell whether items wait for long, and nobody has taken any for as long."""
    if queue.due <= 0 or queue.age is None or queue.last_get is None:
        return False
    since = (snapshot.taken - queue.told) * 1000
    if queue.age + since < STUCK_MS:
        return False
    if queue.last_get < 0:  # nobody has since the server was started
        return (snapshot.number("uptime") or 0) * 1000 >= STUCK_MS
    return queue.last_get + since >= STUCK_MS


def _owns(snapshot: Snapshot) -> bool:
    return snapshot.stats.get(b"replica_role") == b"owner"


def membership(snapshot: Snapshot) -> list[str]:
    """Return what an owner is in its group, in a few words; nothing of a server alone."""
    if not _owns(snapshot):
        return []
    since, now = snapshot.number("replica_last_takeover"), snapshot.number("time")
    told = "owner" if not since or now is None else f"owner for {format_uptime(now - since)}"
    lag = snapshot.number("replica_lag") or 0
    standbys = snapshot.text("replica_standbys").strip("-").split(",")
    ready = len(list(filter(None, standbys)))
    return [f"{told}, {ready} ready to take over, lag {lag}"]


def alerts(snapshot: Snapshot) -> list[str]:
    """Return what is wrong with the server, or keeps it from accepting puts, in a few words each.

    The one that can be long is the last.
    """
    found = []
    if snapshot.number("disk_full"):
        found.append("disk full")
    if snapshot.number("disk_low"):
        found.append("disk nearly full")
    if snapshot.number("memory_high"):
        found.append("memory_max reached")
    if snapshot.number("clients_paused"):
        found.append("client_memory used up")
    if lost := snapshot.number("files_lost"):
        found.append("files lost" if lost == 1 else f"files lost {lost} times")
    if refused := snapshot.number("refused_queues"):
        found.append("1 queue refused" if refused == 1 else f"{refused} queues refused")
    if snapshot.stats.get(b"replica_role") == b"follower":
        owner = printable(snapshot.stats.get(b"replica_owner", b""))
        found.append(f"follows {owner}, {snapshot.number('replica_lag')} messages behind")
    elif snapshot.number("accepting_conns") == 0:
        found.append("draining: no puts are accepted")
    if snapshot.stats.get(b"replica_standbys", b"?") in (b"", b"-") and _owns(snapshot):
        found.append("no other server is ready to take over")
    if silent := (snapshot.number("replica_silent_ms") or 0) // 1000:
        found.append(f"the cluster is silent for {silent} s")
    broken = [printable(name) for name, queue in snapshot.queues.items() if queue.is_broken]
    if broken:
        what = "journal broken" if len(broken) == 1 else f"{len(broken)} journals broken"
        found.append(f"{what}: {', '.join(sorted(broken))}")
    return found
