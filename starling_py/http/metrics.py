"""``/metrics``: what a server and its queues do, in numbers.

Of the queues with most items each is told by itself, those that are left out are added up in lines
without a name; only numbers that may fall, as a sum of counters would jump whenever a queue comes
or goes. Made in steps: to look at ten thousand queues keeps no client waiting. No label has
anything but names of queues, which are bounded in number.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Final

from starling_py.http import exposition
from starling_py.http.exposition import Exposition, labels
from starling_py.http.source import Numbers, Source, standbys, text_of
from starling_py.stats import WATCHED, Snapshot

_AT_ONCE: Final = 50
"""Queues that are looked at, or told, in one step."""
_COMPARED: Final = 1000
"""Queues among which the largest are looked for at a time."""

_Looked = tuple[int, bytes, Numbers]
"""The number of items below zero, so that the largest come first; then the name."""

_OF_QUEUES: Final = (
    ("items", "gauge", "items", 1, "Items that wait or are delayed"),
    ("bytes", "gauge", "bytes", 1, "Bytes of the data of items"),
    ("journal_bytes", "gauge", "logsize", 1, "Bytes on disk"),
    ("age_seconds", "gauge", "age", 0.001, "How long the oldest item has waited"),
    ("waiters", "gauge", "waiters", 1, "Clients that wait for an item"),
    ("open", "gauge", "open_transactions", 1, "Items handed out and not confirmed"),
    ("delayed", "gauge", "delayed", 1, "Items that are delayed"),
    ("paused", "gauge", "paused", 1, "1 while gets are misses"),
    ("full", "gauge", "full", 1, "1 while it has as many items or bytes as it may"),
    ("broken", "gauge", "journal_broken", 1, "1 while the journal is refused"),
    ("puts", "counter", "total_items", 1, "Items put"),
    ("gets", "counter", "get_hits", 1, "Items taken"),
    ("expired", "counter", "expired_items", 1, "Items found dead"),
    ("discarded", "counter", "discarded", 1, "Items dropped to make room or by hand"),
    ("dead_lettered", "counter", "dead_lettered", 1, "Items moved away as dead letters"),
    ("canceled", "counter", "canceled_transactions", 1, "Open reads that gave their item back"),
)
"""Of each: the end of the name, the kind, the number in ``WATCHED``, its unit, the meaning."""
_ITEMS: Final = WATCHED.index("items")
_AGE: Final = WATCHED.index("age")
_NOTHING: Final = (0,) * len(WATCHED)

_OF_SERVER: Final = (
    ("uptime_seconds", "gauge", "uptime", "How long the server has run"),
    ("connections", "gauge", "curr_connections", "Clients that are connected"),
    ("max_connections", "gauge", "max_connections", "Clients that may be"),
    ("draining", "gauge", "draining", "1 while no puts are accepted so that queues run empty"),
    ("disk_full", "gauge", "disk_full", "1 while no put is accepted as the disk is full"),
    ("disk_low", "gauge", "disk_low", "1 while none is, as little of the disk is free"),
    ("memory_high", "gauge", "memory_high", "1 while none is, as items take much memory"),
    ("refused_queues", "gauge", "refused_queues", "Queues that could not be read back"),
    ("client_memory_bytes", "gauge", "client_memory_used", "Bytes held for clients"),
    ("clients_paused", "gauge", "clients_paused", "Clients not read from, as they hold much"),
    ("syncs", "counter", "fsyncs", "Files forced to disk"),
    ("journal_failures", "counter", "journal_failures", "Writes and syncs that failed"),
    ("journals_healed", "counter", "journals_healed", "Journals saved after a failure"),
    ("files_lost", "counter", "files_lost", "Files of queues found removed or replaced"),
    ("internal_errors", "counter", "internal_errors", "Errors that the server went on after"),
    ("log_lines_dropped", "counter", "log_lines_dropped", "Lines that the log could not take"),
    ("log_lines_held_back", "counter", "log_lines_held_back", "Lines too many of their kind"),
)
_COUNTED: Final = (
    ("items_put", "total_items", "Items stored"),
    ("items_looked_at", "cmd_peek", "Items looked at without taking them"),
    ("get_misses", "get_misses", "Gets that found nothing"),
    ("received_bytes", "bytes_read", "Bytes that clients sent"),
    ("sent_bytes", "bytes_written", "Bytes sent to clients"),
    ("connections_opened", "total_connections", "Clients that have connected"),
    ("connections_rejected", "rejected_connections", "Clients for whom there was no place"),
    ("connections_idle", "idle_kicks", "Clients closed as they were silent"),
    ("clients_over_memory", "clients_over_memory", "Clients closed as they held too much"),
    ("items_too_large", "store_too_large", "Items refused for their size"),
    ("protocol_errors", "protocol_errors", "Commands answered with an error"),
    ("noreply_errors", "noreply_errors", "Commands without a reply that failed"),
    ("session_errors", "session_errors", "Clients closed because of a defect"),
    ("authentications", "auth_cmds", "Times that clients said who they are"),
    ("authentication_errors", "auth_errors", "Times that it was wrong"),
    ("permission_errors", "permission_errors", "Commands that their users may not give"),
    ("tls_handshakes", "ssl_handshakes", "Handshakes of TLS that went well"),
    ("tls_handshake_errors", "ssl_handshake_errors", "Handshakes of TLS that did not"),
)


_OF_GROUP: Final = (
    ("lag_messages", "replica_lag", 1, "Messages that are not applied, or not answered, yet"),
    ("epoch", "replica_epoch", 1, "How often the group's owner has changed"),
    ("silent_seconds", "replica_silent_ms", 0.001, "For how long the cluster owes an answer"),
    ("last_takeover_seconds", "replica_last_takeover", 1.0, "When it became the owner, Unix time"),
)
"""Of a server in a group: the end of the name, that in ``stats``, the unit, the meaning."""


def of_standby(numbers: Iterable[tuple[str, object]], form: str) -> Iterator[bytes]:
    """Return what there is to tell of a server of a group that does not serve."""
    write = Exposition(form)
    unready = write.lone("starling_ready", "gauge", "1 while work may be sent here", 0)
    yield (unready + "".join(_of_group(numbers, write)) + write.end()).encode()


def _of_group(numbers: Iterable[tuple[str, object]], write: Exposition) -> Iterator[str]:
    known = dict(numbers)
    if not known:
        return
    owns = int(known["replica_role"] == "owner")
    yield write.lone("starling_replica_owner", "gauge", "1 while it is the group's owner", owns)
    meaning = "Servers that could take over at once, as the owner knows"
    yield write.lone("starling_replica_standbys", "gauge", meaning, standbys(known))
    for name, field, unit, meaning in _OF_GROUP:
        value = known[field]
        assert isinstance(value, int | float)
        yield write.lone(f"starling_replica_{name}", "gauge", meaning, value * unit)


def parts(source: Source, most: int, form: str) -> Iterator[bytes]:
    """Return all of it, a part a step; ``most`` queues are told by themselves."""
    told, rest, left_out = yield from _looked_at(source, most)
    write = Exposition(form)
    yield "".join(_of_server(source, write, len(told) + left_out, left_out)).encode()
    for suffix, kind, field, unit, meaning in _OF_QUEUES:
        name = f"starling_queue_{suffix}"
        yield write.head(name, kind, meaning).encode()
        index = WATCHED.index(field)
        end = "_total" if kind == "counter" else ""
        for start in range(0, len(told), _AT_ONCE):
            yield "".join(
                f"{name}{end}{label} {exposition.number(numbers[index] * unit)}\n"
                for label, numbers in told[start : start + _AT_ONCE]
                if numbers[index] >= 0
            ).encode()
        if left_out and kind == "gauge" and rest[index] >= 0:
            yield f"{name} {exposition.number(rest[index] * unit)}\n".encode()
    yield write.end().encode()


_All = tuple[list[tuple[str, Numbers]], list[int], int]
"""The labels and numbers of those that are told, the sums of the others, and how many these are."""


def _looked_at(source: Source, most: int) -> Generator[bytes, None, _All]:
    queues = source.names()
    largest: list[_Looked] = []
    rest, left_out = list(_NOTHING), 0
    for start in range(0, len(queues), _COMPARED):
        for begin in range(start, min(start + _COMPARED, len(queues)), _AT_ONCE):
            largest += _numbers(source, queues[begin : min(begin + _AT_ONCE, start + _COMPARED)])
            yield b""
        if len(largest) > most:
            largest.sort(key=lambda each: each[:2])
            left_out += _add_up(rest, largest[most:])
            del largest[most:]
            yield b""
    told = {}
    for each in sorted(largest, key=lambda each: each[1]):
        label = labels(queue=text_of(each[1]))
        if label in told:  # or Prometheus would refuse all there is
            left_out += _add_up(rest, [each])
        else:
            told[label] = each[2]
    return list(told.items()), rest, left_out


def _numbers(source: Source, names: Sequence[bytes]) -> list[_Looked]:
    found = []
    for name in names:
        numbers = source.numbers(name)
        if numbers is not None:
            found.append((-numbers[_ITEMS], name, numbers))
    return found


def _add_up(rest: list[int], left_out: Sequence[_Looked]) -> int:
    """Add numbers to the sums, but for the age, of which the greatest counts."""
    for _, _, numbers in left_out:
        oldest = max(rest[_AGE], numbers[_AGE])
        rest[:] = [total + value for total, value in zip(rest, numbers, strict=True)]
        rest[_AGE] = oldest
    return len(left_out)


def _of_server(source: Source, write: Exposition, queues: int, left_out: int) -> Iterator[str]:
    snapshot = source.snapshot()
    yield write.head("starling_build", "info", "Version and form of the server")
    yield f"starling_build_info{labels(version=source.version, form=source.form)} 1\n"
    yield write.lone("starling_queues", "gauge", "Queues that exist", queues)
    yield write.lone(
        "starling_queues_left_out", "gauge", "Queues that are only told together", left_out
    )
    unready = int(source.unready is not None)
    yield write.lone("starling_ready", "gauge", "1 while work may be sent here", 1 - unready)
    for name, kind, field, meaning in _OF_SERVER:
        yield write.lone(f"starling_{name}", kind, meaning, int(getattr(snapshot, field)))
    yield from _of_process(source, write, snapshot)
    for name, field, meaning in _COUNTED:
        value = getattr(snapshot.counters, field)
        yield write.lone(f"starling_{name}", "counter", meaning, value)
    # Gets that only look are hits as well.
    taken = max(0, snapshot.counters.get_hits - snapshot.counters.cmd_peek)
    yield write.lone("starling_items_taken", "counter", "Items taken", taken)
    yield from _of_group(snapshot.extra, write)
    yield from _times(source, write)


def _of_process(source: Source, write: Exposition, snapshot: Snapshot) -> Iterator[str]:
    used = snapshot.rusage_user + snapshot.rusage_system
    yield write.lone("process_cpu_seconds", "counter", "Seconds of CPU time", used)
    began = float(snapshot.time - snapshot.uptime)
    yield write.lone("process_start_time_seconds", "gauge", "When it began, in Unix time", began)
    if (resident := source.resident()) is not None:
        yield write.lone("process_resident_memory_bytes", "gauge", "Bytes of memory", resident)
    if (free := source.disk_free()) is not None:
        yield write.lone("starling_disk_free_bytes", "gauge", "Bytes free on its disk", free)


_MILLISECONDS: Final = range(0, 31, 2)
"""From a millisecond to twelve days."""
_MICROSECONDS: Final = range(4, 25)
"""From sixteen microseconds to seventeen seconds."""


def _times(source: Source, write: Exposition) -> Iterator[str]:
    found = source.histograms()
    name = "starling_item_wait_seconds"
    yield write.head(name, "histogram", "How long items had waited when they were handed out")
    yield from exposition.buckets(name, found.waits, 1e-3, _MILLISECONDS)
    name = "starling_command_seconds"
    yield write.head(name, "histogram", "From reading a command to its reply, waits left out")
    for verb, histogram in (("put", found.puts), ("get", found.gets)):
        more = f'verb="{verb}",'
        yield from exposition.buckets(name, histogram, 1e-6, _MICROSECONDS, more)
    for name, histogram, meaning in (
        ("starling_tick_seconds", found.turns, "How long a turn of the server takes"),
        ("starling_sync_seconds", found.syncs, "How long it takes to force a batch to disk"),
    ):
        yield write.head(name, "histogram", meaning)
        yield from exposition.buckets(name, histogram, 1e-6, _MICROSECONDS)
