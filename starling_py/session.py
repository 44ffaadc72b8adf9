"""One client: executes its commands in order.

A command is executed at once; a blocking get parks the session, and nothing more is executed for
this client until it is served, its time is over, or it goes away. What the client is to be told
collects in its ``replies``. The session knows neither sockets nor trio; whoever owns it sends the
replies, and only when they may be sent.
"""

import logging
from collections.abc import Callable
from typing import Any

import attrs

from starling_py import names, reports
from starling_py.journal.trouble import JournalError
from starling_py.names import KeyProblem, Request, printable
from starling_py.protocol import commands, dialect_for
from starling_py.protocol.commands import Command, Dialect, Outcome, Verb
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.queue_collection import QueueCollection
from starling_py.queues.waiters import Hit, Waiter
from starling_py.queues.window import NotLoaded
from starling_py.replies import PUT, Replies
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
        self._waiter: Waiter | None = None
        self._loading: PersistentQueue | None = None
        self._after_wait: Callable[[], None] | None = None
        self._input_ended = False
        self._may_wait = True
        self.replies = Replies(counters, peer)
        """What the client is still to be told."""
        self.closing = False
        """Whether the connection is to be closed once the replies have been sent."""
        self.held = False
        """Set from outside while the replies wait for a sync: nothing more is executed then."""
        self.stopped_early = False
        """Whether ``run`` stopped though there is more to do; it must be called again."""

    @property
    def waiting(self) -> bool:
        """Whether a command is under way that waits for something."""
        return self._waiter is not None or self._loading is not None

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
    def takes_input(self) -> bool:
        """Whether the client should be read from."""
        parked = self._waiter is not None or self._loading is not None
        if not parked and not self.held and not self.stopped_early:
            return True
        return self._dialect is None or self._dialect.buffered <= MAX_INPUT

    def receive(self, data: bytes) -> None:
        """Take what the client sent and execute every command that is whole."""
        dialect = self._dialect
        if dialect is None:
            dialect = self._dialect = dialect_for(data[0], self._policy.item_size_max)
            if dialect is None:
                log.info("%s: the binary protocol is not spoken here; closed", self._peer)
                self.closing = True
                return
            self.replies.dialect = dialect
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
            if self._waiter is not None or self.closing or self.held or self._loading is not None:
                return
            if self.replies.size >= MAX_OUTPUT:
                break
            command = dialect.next_command()
            if command is None:
                self.closing = self._input_ended
                return
            self._execute(command)
        self.stopped_early = True

    def end_of_input(self) -> None:
        """Take notice that the client sends nothing more: what it waits for, it no longer gets.

        ``run`` must be called afterwards.
        """
        self._input_ended = True
        if self._dialect is None:
            self.closing = True
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Wait for nothing from now on: the client has hung up, whatever it sent before that."""
        self._may_wait = False
        if self._waiter is not None:
            self._queues.stop_waiting(self._waiter)
            self._waiter.over()

    def gone(self) -> None:
        """Take notice that the client is gone: it waits for nothing any more."""
        if self._waiter is not None:
            self._queues.stop_waiting(self._waiter)
            self._waiter = None
        self.closing = True

    def _execute(self, command: Command) -> None:
        """Execute a command, or park and do it later when it needs what is not in memory."""
        try:
            _HANDLERS[type(command)](self, command)
        except NotLoaded as problem:
            self._loading = problem.queue

            def ask_again(failure: JournalError | None) -> None:
                self._loading = None
                if failure is None:
                    self._after_wait = lambda: self._execute(command)
                else:
                    quiet = getattr(command, "quiet", False)
                    self._after_wait = lambda: self._fail(failure, quiet=quiet)
                self._wake()

            problem.queue.when_loaded(ask_again)

    def _fail(self, problem: KeyProblem | JournalError, *, quiet: bool = False) -> None:
        """Answer a command that could not be executed."""
        reason = str(problem)
        dialect = self.replies.dialect
        if isinstance(problem, KeyProblem):
            self._counters.protocol_errors += 1
            self.replies.add_error(dialect.client_error(reason), reason, quiet=quiet)
        else:
            self.replies.add_error(dialect.server_error(reason), reason, quiet=quiet)

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
        except NotLoaded:
            self._counters.cmd_set -= 1  # it will be counted when it is executed
            raise
        if queue is not None:
            self._counters.total_items += 1
            self.replies.add_for(queue, STORED, PUT, quiet=quiet)
        elif verb is Verb.CAS:
            self._counters.cas_misses += 1
            self.replies.add_outcome(Outcome.NOT_FOUND, quiet=quiet)
        else:
            self.replies.add_outcome(Outcome.NOT_STORED, quiet=quiet)

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
        if hit is None and request.wait_ms and self._may_wait:
            self._wait([request], request.wait_ms, with_cas=command.with_cas)
            return
        self._counters.cmd_get += 1
        if hit is None:
            self._counters.get_misses += 1
        else:
            self._hit(hit, alone=True, with_cas=command.with_cas)
        self.replies.end_hits()

    def _get_many(self, requests: list[Request], *, with_cas: bool) -> None:
        """Execute a get of several keys: at most one item from each."""
        # A queue named twice is served once: clients keep one value a key.
        requests = list({request.name: request for request in reversed(requests)}.values())[::-1]
        hits: list[Hit] = []
        failure = None
        size = 0
        for request in requests:
            if size > MAX_OUTPUT:
                break
            try:
                hit = self._queues.read(request)
            except NotLoaded:
                if not hits:
                    raise
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
        if wait_ms and self._may_wait:
            self._wait(requests, wait_ms, with_cas=with_cas)
            return
        self._give(hits, len(requests), alone=len(hits) == 1, with_cas=with_cas)

    def _give(self, hits: list[Hit], keys: int, *, alone: bool, with_cas: bool) -> None:
        """Give the whole reply to a get of so many keys."""
        self._counters.cmd_get += keys
        self._counters.get_misses += keys - len(hits)
        for hit in hits:
            self._hit(hit, alone=alone, with_cas=with_cas)
        self.replies.end_hits()

    def _hit(self, hit: Hit, *, alone: bool, with_cas: bool) -> None:
        self._counters.get_hits += 1
        self._counters.cmd_peek += hit[0].peek
        self.replies.add_hit(hit, alone=alone, with_cas=with_cas)

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
            self.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
        else:
            self._counters.delete_hits += 1
            log.info("%s: queue %s deleted", self._peer, printable(queue.name))
            self.replies.add_for(queue, Outcome.DELETED, quiet=command.quiet)

    def _absent(self, command: commands.Absent) -> None:
        self._counters.count_miss(command.word)
        self.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)

    def _flush(self, command: commands.Flush) -> None:
        self._counters.cmd_flush += 1
        try:
            queue = self._queues.flush(names.parse_plain(command.key))
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=command.quiet)
            return
        if queue is None:
            self.replies.add_outcome(Outcome.END, quiet=command.quiet)
        else:
            log.info("%s: queue %s flushed", self._peer, printable(queue.name))
            self.replies.add_for(queue, Outcome.END, quiet=command.quiet)

    def _flush_all(self, command: commands.FlushAll) -> None:
        self._counters.cmd_flush += 1
        if self._policy.allow_flush_all:
            log.info("%s: all queues flushed", self._peer)
            try:
                touched = [self._queues.flush(queue.name) for queue in list(self._queues)]
            except JournalError as problem:
                self._fail(problem, quiet=command.quiet)
                return
            reply = self.replies.dialect.outcome(Outcome.OK)
            self.replies.add_for_all(touched, reply, quiet=command.quiet)
        else:
            self.replies.add_outcome(Outcome.OK, quiet=command.quiet)

    def _flush_expired(self, command: commands.FlushExpired) -> None:
        try:
            if command.key is None:
                wanted = [queue.name for queue in self._queues]
            else:
                wanted = [names.parse_plain(command.key)]
            removed = self._remove_expired(wanted)
        except (KeyProblem, JournalError) as problem:
            self._fail(problem, quiet=command.quiet)
            return
        touched = [self._queues.find(name) for name in wanted]
        reply = self.replies.dialect.number(removed)
        self.replies.add_for_all(touched, reply, quiet=command.quiet)

    def _remove_expired(self, wanted: list[bytes]) -> int:
        """Remove dead items as far as they are in memory; if there are none, read on first."""
        removed = 0
        for name in wanted:
            try:
                removed += self._queues.flush_expired(name)
            except NotLoaded:
                if not removed:
                    raise
        return removed

    def _report(self, command: reports.Question) -> None:
        self.replies.add(reports.reply(command, self._host, self.replies.dialect))

    def _acknowledge(self, command: commands.Acknowledge) -> None:
        self.replies.add_outcome(Outcome.OK, quiet=command.quiet)

    def _shutdown(self, _: commands.Shutdown) -> None:
        if self._policy.allow_shutdown:
            log.info("%s: asked the server to stop", self._peer)
            self._host.shut_down()
            self.closing = True
        else:
            self.replies.add(self.replies.dialect.disabled("shutdown"))

    def _quit(self, _: commands.Quit) -> None:
        self.closing = True

    def _refuse(self, refusal: commands.Refusal) -> None:
        self._counters.protocol_errors += 1
        if refusal.too_large:
            self._counters.store_too_large += 1
        self.closing = refusal.close
        if refusal.reply or not refusal.close:
            quiet = not refusal.reply
            self.replies.add_error(refusal.reply, "the command was wrong", quiet=quiet)


_HANDLERS: dict[type[Command], Callable[[Session, Any], None]] = {
    commands.Store: Session._store,
    commands.Get: Session._get,
    commands.Delete: Session._delete,
    commands.Absent: Session._absent,
    commands.Flush: Session._flush,
    commands.FlushAll: Session._flush_all,
    commands.FlushExpired: Session._flush_expired,
    commands.Stats: Session._report,
    commands.DumpStats: Session._report,
    commands.DumpConfig: Session._report,
    commands.Status: Session._report,
    commands.Version: Session._report,
    commands.Acknowledge: Session._acknowledge,
    commands.Shutdown: Session._shutdown,
    commands.Quit: Session._quit,
    commands.Refusal: Session._refuse,
}
