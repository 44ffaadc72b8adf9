"""One client: executes its commands in order and keeps its replies in that order.

A command is executed at once; a blocking get parks the session, and nothing more is executed for
this client until it is served, its time is over, or it goes away. Replies collect in ``output``.
A reply that depends on a queue's commit is noted, so that ``settle`` can replace it by an error
if that commit failed: nobody is told of an operation that is not in the journal. The session
knows neither sockets nor trio; whoever owns it sends its output, and only when it may.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs

from starling_py import names, reports, stats
from starling_py.journal.journal import Journal, JournalError
from starling_py.names import KeyProblem, Request, printable
from starling_py.protocol import commands, dialect_for
from starling_py.protocol.commands import Command, Dialect, Outcome, Verb
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.waiters import Hit, Waiter
from starling_py.reports import Host
from starling_py.stats import Counters

log = logging.getLogger(__name__)

# Looking a member up in an enumeration costs as much as a function call.
SET = Verb.SET
STORED = Outcome.STORED

MAX_OUTPUT = 1 << 20
"""Bytes of replies after which a client must read before more of its commands are executed."""
MAX_COMMANDS = 512
"""Commands executed for one client before the others have their turn."""
MAX_INPUT = 1 << 20
"""Bytes that a parked client may send ahead before it is no longer read from."""


@attrs.frozen
class Policy:
    """The settings that sessions obey."""

    item_size_max: int
    allow_flush_all: bool
    allow_shutdown: bool
    version: str


_PUT, _TAKEN, _TAKEN_AMONG_OTHERS, _CHANGED = range(4)
_Depends = tuple[PersistentQueue, int, int, int]
"""A reply that counts only if a queue's commit succeeds: the queue, where the reply begins and ends
in the output, and what it tells of."""


class Session:
    """One client's commands and replies.

    ``wake`` is called when a wait is over: ``run`` must be called then.
    """

    def __init__(
        self,
        queues: QueueCollection,
        counters: Counters,
        policy: Policy,
        host: Host,
        peer: str,
        wake: Callable[[], None],
    ) -> None:
        self._queues = queues
        self._counters = counters
        self._policy = policy
        self._host = host
        self._peer = peer
        self._wake = wake
        self._dialect: Dialect | None = None
        self._spoken: Dialect
        self._depends: list[_Depends] = []
        self._waiter: Waiter | None = None
        self._after_wait: Callable[[], None] | None = None
        self._output_bytes = 0
        self._input_ended = False
        self.output: list[bytes] = []
        """Replies not handed over yet."""
        self.closing = False
        """Whether the connection is to be closed once the output has been sent."""
        self.held = False
        """Set from outside while the output waits for a sync: nothing more is executed then."""
        self.stopped_early = False
        """Whether ``run`` stopped though there is more to do; it must be called again."""

    @property
    def waiting(self) -> bool:
        """Whether a blocking get is under way."""
        return self._waiter is not None

    @property
    def waiting_on(self) -> str:
        """The queues that a blocking get waits for, separated by commas."""
        requests = self._waiter.requests if self._waiter is not None else ()
        return ",".join(printable(request.name) for request in requests)

    @property
    def midway(self) -> bool:
        """Whether the client has begun a command and not finished it."""
        return self._dialect is not None and self._dialect.midway

    @property
    def depends(self) -> bool:
        """Whether part of the output depends on a commit that is not settled."""
        return bool(self._depends)

    @property
    def takes_input(self) -> bool:
        """Whether the client should be read from."""
        if self._waiter is None and not self.held and not self.stopped_early:
            return True
        return self._spoken.buffered <= MAX_INPUT

    def receive(self, data: bytes) -> None:
        """Take what the client sent and execute every command that is whole."""
        dialect = self._dialect
        if dialect is None:
            dialect = self._dialect = dialect_for(data[0], self._policy.item_size_max)
            if dialect is None:
                log.info("%s: the binary protocol is not spoken here; closed", self._peer)
                self.closing = True
                return
            self._spoken = dialect
        dialect.feed(data)
        self.run()

    def run(self) -> None:
        """Execute whole commands until the session parks, has had its turn, or runs out."""
        dialect = self._dialect
        if dialect is None:
            return
        if self._after_wait is not None:
            after_wait, self._after_wait = self._after_wait, None
            after_wait()
        self.stopped_early = False
        for _ in range(MAX_COMMANDS):
            if self._waiter is not None or self.closing or self.held:
                return
            if self._output_bytes >= MAX_OUTPUT:
                break
            command = dialect.next_command()
            if command is None:
                self.closing = self._input_ended
                return
            _HANDLERS[type(command)](self, command)
        self.stopped_early = True

    def end_of_input(self) -> None:
        """Take notice that the client sends nothing more: what it waits for, it no longer gets.

        ``run`` must be called afterwards.
        """
        self._input_ended = True
        if self._dialect is None:
            self.closing = True
        if self._waiter is not None:
            self._queues.stop_waiting(self._waiter)
            self._waiter.over()

    def gone(self) -> None:
        """Take notice that the client is gone: it waits for nothing any more."""
        if self._waiter is not None:
            self._queues.stop_waiting(self._waiter)
            self._waiter = None
        self.closing = True

    def settle(self) -> None:
        """Let the replies that depend on a commit stand; it has succeeded."""
        self._depends.clear()

    def revoke(self, failed: Collection[Journal]) -> None:
        """Replace the replies that depend on failed journals; the others go on depending."""
        for depends in [each for each in self._depends if each[0].journal in failed]:
            self._depends.remove(depends)
            queue, start, end, told = depends
            self._counters.total_items -= told == _PUT
            self._counters.get_hits -= told in (_TAKEN, _TAKEN_AMONG_OTHERS)
            if start == end:
                self._count_silent("journal failed")
                continue
            self.output[start:end] = [b""] * (end - start)
            if told != _TAKEN_AMONG_OTHERS:
                self.output[start] = self._spoken.server_error(queue.journal.failure)

    def take_output(self) -> list[bytes]:
        """Hand the output over."""
        output = self.output
        self.output = []
        self._output_bytes = 0
        return output

    def _reply(self, reply: bytes, queue: PersistentQueue | None = None) -> None:
        """Add a whole reply; ``queue`` is the one whose commit it depends on."""
        output = self.output
        output.append(reply)
        if queue is not None:
            self._depends.append((queue, len(output) - 1, len(output), _CHANGED))

    def _answer(
        self, outcome: Outcome, queue: PersistentQueue | None = None, *, quiet: bool = False
    ) -> None:
        if not quiet:
            self._reply(self._spoken.outcome(outcome), queue)
        elif queue is not None:
            self._depends.append((queue, len(self.output), len(self.output), _CHANGED))

    def _fail(self, problem: KeyProblem | JournalError, *, quiet: bool = False) -> None:
        """Answer a command that could not be executed."""
        if isinstance(problem, KeyProblem):
            self._counters.protocol_errors += 1
            reply = self._spoken.client_error(str(problem))
        else:
            reply = self._spoken.server_error(str(problem))
        if quiet:
            self._count_silent(str(problem))
        else:
            self._reply(reply)

    def _count_silent(self, reason: str) -> None:
        self._counters.noreply_errors += 1
        log.info("%s: a command without reply failed: %s", self._peer, reason)

    def _store(self, command: commands.Store) -> None:
        self._counters.cmd_set += 1
        quiet = command.quiet
        verb = command.verb
        queue: PersistentQueue | None = None
        try:
            name = names.parse_plain(command.key)
            if verb is SET:
                queue = self._queues.put(name, command.data, command.flags, command.exptime)
            elif verb is Verb.ADD:
                queue = self._queues.add(name, command.data, command.flags, command.exptime)
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=quiet)
            return
        if queue is not None:
            self._counters.total_items += 1
            output = self.output
            start = len(output)
            if not quiet:
                output.append(self._spoken.outcome(STORED))
            self._depends.append((queue, start, len(output), _PUT))
        elif verb is Verb.CAS:
            self._counters.cas_misses += 1
            self._answer(Outcome.NOT_FOUND, quiet=quiet)
        else:
            self._answer(Outcome.NOT_STORED, quiet=quiet)

    def _get(self, command: commands.Get) -> None:
        keys = command.keys
        try:
            if len(keys) > 1:
                self._get_many([names.parse(key) for key in keys], with_cas=command.with_cas)
                return
            request = names.parse(keys[0])
            hit = self._queues.read(request)
        except (KeyProblem, JournalError) as problem:
            self._fail(problem)
            return
        if hit is None and request.wait_ms and not self._input_ended:
            self._wait([request], request.wait_ms, with_cas=command.with_cas)
            return
        self._counters.cmd_get += 1
        if hit is None:
            self._counters.get_misses += 1
        else:
            self._hit(hit, alone=True, with_cas=command.with_cas)
        self.output.append(self._spoken.end_of_hits())

    def _get_many(self, requests: list[Request], *, with_cas: bool) -> None:
        """Execute a get of several keys: at most one item from each."""
        # A queue named twice is served once: clients keep one value a key.
        requests = list({request.name: request for request in reversed(requests)}.values())[::-1]
        hits = []
        failure = None
        size = 0
        for request in requests:
            if size > MAX_OUTPUT:
                break
            try:
                hit = self._queues.read(request)
            except JournalError as problem:
                # What another queue has given already must reach the client all the same.
                failure = problem
            else:
                if hit is not None:
                    hits.append(hit)
                    size += len(hit[1].data)
        wait_ms = 0 if hits else max(request.wait_ms for request in requests)
        if failure is not None and not hits:
            raise failure
        if wait_ms and not self._input_ended:
            self._wait(requests, wait_ms, with_cas=with_cas)
            return
        self._give(hits, len(requests), alone=False, with_cas=with_cas)

    def _give(self, hits: list[Hit], keys: int, *, alone: bool, with_cas: bool) -> None:
        """Give the whole reply to a get of so many keys."""
        self._counters.cmd_get += keys
        self._counters.get_misses += keys - len(hits)
        for hit in hits:
            self._hit(hit, alone=alone, with_cas=with_cas)
        self.output.append(self._spoken.end_of_hits())

    def _hit(self, hit: Hit, *, alone: bool, with_cas: bool) -> None:
        """Give an item to the client; ``alone`` tells that the reply has no other."""
        request, item, queue = hit
        self._counters.get_hits += 1
        output = self.output
        start = len(output)
        data = item.data
        output += self._spoken.hit(request.key, item.flags, data, item.id if with_cas else None)
        self._output_bytes += len(data)
        if request.peek:
            self._counters.cmd_peek += 1
        else:
            end = len(output)
            told = (end + 1, _TAKEN) if alone else (end, _TAKEN_AMONG_OTHERS)
            self._depends.append((queue, start, *told))

    def _wait(self, requests: list[Request], wait_ms: int, *, with_cas: bool) -> None:
        """Park until one of the requests finds something or the time is over.

        What is to be said then is said by ``run``, so that a defect in saying it ends this
        session and not the one that put the item.
        """

        def serve(hit: Hit) -> None:
            self._end_wait(lambda: self._give([hit], 1, alone=True, with_cas=with_cas))

        def over() -> None:
            self._end_wait(lambda: self._give([], len(requests), alone=False, with_cas=with_cas))

        self._waiter = self._queues.wait(tuple(requests), wait_ms, serve, over)

    def _end_wait(self, after_wait: Callable[[], None]) -> None:
        self._waiter = None
        self._after_wait = after_wait
        self._wake()

    def _delete(self, command: commands.Delete) -> None:
        try:
            queue = self._queues.delete(names.parse_plain(command.key))
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=command.quiet)
            return
        if queue is None:
            self._counters.delete_misses += 1
            self._answer(Outcome.NOT_FOUND, quiet=command.quiet)
        else:
            self._counters.delete_hits += 1
            log.info("%s: queue %s deleted", self._peer, printable(queue.name))
            self._answer(Outcome.DELETED, queue, quiet=command.quiet)

    def _absent(self, command: commands.Absent) -> None:
        self._counters.count_miss(command.word)
        self._answer(Outcome.NOT_FOUND, quiet=command.quiet)

    def _flush(self, command: commands.Flush) -> None:
        self._counters.cmd_flush += 1
        try:
            queue = self._queues.flush(names.parse_plain(command.key))
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=command.quiet)
            return
        if queue is not None:
            log.info("%s: queue %s flushed", self._peer, printable(queue.name))
        self._answer(Outcome.END, queue, quiet=command.quiet)

    def _flush_all(self, command: commands.FlushAll) -> None:
        self._counters.cmd_flush += 1
        if self._policy.allow_flush_all:
            log.info("%s: all queues flushed", self._peer)
            try:
                touched = [self._queues.flush(queue.name) for queue in list(self._queues)]
            except JournalError as problem:
                self._fail(problem, quiet=command.quiet)
                return
            self._answer_for(touched, self._spoken.outcome(Outcome.OK), quiet=command.quiet)
        else:
            self._answer(Outcome.OK, quiet=command.quiet)

    def _flush_expired(self, command: commands.FlushExpired) -> None:
        try:
            if command.key is None:
                wanted = [queue.name for queue in self._queues]
            else:
                wanted = [names.parse_plain(command.key)]
            removed = sum(self._queues.flush_expired(name) for name in wanted)
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=command.quiet)
            return
        touched = [self._queues.find(name) for name in wanted]
        self._answer_for(touched, self._spoken.number(removed), quiet=command.quiet)

    def _answer_for(
        self, queues: Iterable[PersistentQueue | None], reply: bytes, *, quiet: bool
    ) -> None:
        """Give a reply that depends on the commits of several queues."""
        start = len(self.output)
        if not quiet:
            self.output.append(reply)
        for queue in queues:
            if queue is not None:
                self._depends.append((queue, start, len(self.output), _CHANGED))

    def _stats(self, command: commands.Stats) -> None:
        report = reports.find(command.words, self._host)
        if report is None:
            self._answer(Outcome.UNKNOWN)
        elif isinstance(report, Outcome):
            self._answer(report)
        else:
            self._long_reply(self._spoken.stats(report))

    def _dump_stats(self, command: commands.DumpStats) -> None:
        queues = self._host.snapshot().queues
        wanted = [each for each in queues if not command.keys or each.name in command.keys]
        self._long_reply(self._spoken.dump(stats.dump_blocks(wanted)))

    def _dump_config(self, _: commands.DumpConfig) -> None:
        settings = self._host.queue_settings()
        self._long_reply(self._spoken.dump([(each.name, settings) for each in self._queues]))

    def _long_reply(self, reply: bytes) -> None:
        self._output_bytes += len(reply)
        self._reply(reply)

    def _status(self, _: commands.Status) -> None:
        self._reply(self._spoken.word("UP"))

    def _version(self, _: commands.Version) -> None:
        self._reply(self._spoken.version(self._policy.version))

    def _acknowledge(self, command: commands.Acknowledge) -> None:
        self._answer(Outcome.OK, quiet=command.quiet)

    def _shutdown(self, _: commands.Shutdown) -> None:
        if self._policy.allow_shutdown:
            log.info("%s: asked the server to stop", self._peer)
            self._host.shut_down()
            self.closing = True
        else:
            self._reply(self._spoken.disabled("shutdown"))

    def _quit(self, _: commands.Quit) -> None:
        self.closing = True

    def _refuse(self, refusal: commands.Refusal) -> None:
        self._counters.protocol_errors += 1
        if refusal.too_large:
            self._counters.store_too_large += 1
        if refusal.reply:
            self._reply(refusal.reply)
        elif not refusal.close:
            self._count_silent("the command was wrong")
        if refusal.close:
            self.closing = True


_HANDLERS: dict[type[Command], Callable[[Session, Any], None]] = {
    commands.Store: Session._store,
    commands.Get: Session._get,
    commands.Delete: Session._delete,
    commands.Absent: Session._absent,
    commands.Flush: Session._flush,
    commands.FlushAll: Session._flush_all,
    commands.FlushExpired: Session._flush_expired,
    commands.Stats: Session._stats,
    commands.DumpStats: Session._dump_stats,
    commands.DumpConfig: Session._dump_config,
    commands.Status: Session._status,
    commands.Version: Session._version,
    commands.Acknowledge: Session._acknowledge,
    commands.Shutdown: Session._shutdown,
    commands.Quit: Session._quit,
    commands.Refusal: Session._refuse,
}
