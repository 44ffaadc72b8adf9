"""Administration: the commands that look after queues and the server, or only ask.

Those that could do harm by mistake are refused unless the settings allow them.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from starling_py import keys
from starling_py.journal.errors import JournalError
from starling_py.keys import RequestError, printable
from starling_py.protocol import commands
from starling_py.protocol.writer import Outcome
from starling_py.queues.errors import NotLoaded, NotSwept
from starling_py.queues.expiry import reckoned
from starling_py.queues.persistent_queue import PersistentQueue
from starling_py.queues.slices import LATER, Steps, one_by_one
from starling_py.session import audit, reports
from starling_py.session.client import Client

log = logging.getLogger(__name__)

_DRAINING = b"readonly"
_SERVING = b"up"


def delete(client: Client, command: commands.Delete) -> None:
    """Delete a queue, unless its settings say that clients must not."""
    client.at_length(_deleting(client, command))


def _deleting(client: Client, command: commands.Delete) -> Steps:
    if client.queues.slices.spent:
        yield LATER  # the removal of its files comes on top of this
    try:
        queue = client.queues.directory.find(keys.parse_plain(command.key))
        if queue is not None and command.compares:
            # A queue is deleted, not an item: there is no id that it could have.
            client.replies.add_outcome(Outcome.EXISTS, quiet=command.quiet)
            return
        if queue is not None and queue.settings.refuse_delete:
            log.info("%s: queue %s is not to be deleted", client.who, printable(queue.name))
            queue = None
        elif queue is not None:
            client.queues.delete(queue.name)
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    if queue is None:
        client.counters.delete_misses += 1
        client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
    else:
        client.counters.delete_hits += 1
        audit.log.info("%s: queue %s deleted", client.who, printable(queue.name))
        client.replies.add_for([queue.journal], Outcome.DELETED, quiet=command.quiet)


def arithmetic(client: Client, command: commands.Arithmetic) -> None:
    """Answer an incr or decr: a queue has no number.

    As long as it has items, the answer is not ``NOT_FOUND``: there are clients that then add the
    number, and when that fails, as there is something, increment it again, without end.
    """
    try:
        is_empty = client.queues.is_empty(keys.parse_plain(command.key))
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    if is_empty:
        client.counters.count_miss(command.word)
        client.replies.add_outcome(Outcome.NOT_FOUND, quiet=command.quiet)
    else:
        client.counters.protocol_errors += 1
        told = client.replies.writer.outcome(Outcome.NON_NUMERIC)
        client.replies.add_error(told, "a queue has no number", quiet=command.quiet)


def flush(client: Client, command: commands.Flush) -> None:
    """Remove every item of a queue but the open ones."""
    client.counters.cmd_flush += 1
    try:
        queue = client.queues.flush(keys.parse_plain(command.key))
    except (RequestError, JournalError) as problem:
        client.fail(problem, quiet=command.quiet)
        return
    if queue is None:
        client.replies.add_outcome(Outcome.END, quiet=command.quiet)
    else:
        audit.log.info("%s: queue %s flushed", client.who, printable(queue.name))
        client.replies.add_for([queue.journal], Outcome.END, quiet=command.quiet)


def flush_all(client: Client, command: commands.FlushAll) -> None:
    """Remove every item of every queue but the open ones, where that is allowed.

    Where it is not, the answer is the same: old libraries send it whenever they disconnect.
    """
    client.counters.cmd_flush += 1
    if not client.policy.allow_flush_all:
        client.replies.add_outcome(Outcome.OK, quiet=command.quiet)
        return
    if command.delay > 0:
        _flush_all_later(client, command.delay)
        client.replies.add_outcome(Outcome.OK, quiet=command.quiet)
        return
    client.queues.flush_all_at(None)
    audit.log.info("%s: all queues flushed", client.who)
    client.at_length(_flushing_all(client, command), finish=True)


def _flush_all_later(client: Client, delay: int) -> None:
    """Flush all queues after some seconds, or at a Unix time (memcached's rule)."""
    clock = client.queues.clock
    seconds, wall_ms = reckoned(delay, clock.wall_ms)
    client.queues.flush_all_at(clock.monotonic + seconds, wall_ms)
    audit.log.info("%s: all queues will be flushed in %d seconds", client.who, seconds)


def _flushing_all(client: Client, command: commands.FlushAll) -> Steps:
    """Flush one queue after the other, each as it is at that moment; new ones are left.

    One that cannot be flushed keeps no other from it, but is answered with an error.
    """
    trouble: JournalError | None = None
    for queue in one_by_one(client.queues.directory):
        try:
            if queue.items and client.queues.flush(queue.name) is not None:
                client.replies.depend(queue.journal)
        except JournalError as problem:
            trouble = trouble or problem
        yield None
    if trouble is not None:
        client.fail(trouble, quiet=command.quiet)
    else:
        client.replies.add_for((), Outcome.OK, quiet=command.quiet)


def flush_expired(client: Client, command: commands.FlushExpired) -> None:
    """Remove the dead items at the head of a queue, or of all, and answer how many."""
    client.at_length(_flushing_expired(client, command))


def _flushing_expired(client: Client, command: commands.FlushExpired) -> Steps:
    """Remove the dead items that are in memory.

    Only where there are none and more can be read, it waits for the disk. Of all queues, those
    that cannot be read are passed over.
    """
    key, removed = command.key, 0
    try:
        names = list(client.queues.names()) if key is None else [keys.parse_plain(key)]
    except RequestError as problem:
        client.fail(problem, quiet=command.quiet)
        return
    for name in names:
        queue = client.queues.directory.find(name)
        if queue is None:
            continue
        before = queue.counted.expired
        try:
            client.replies.depend(queue.journal)
            while (missing := _missing(client, queue)) is not None:
                if isinstance(missing, NotSwept):
                    yield LATER
                elif removed or queue.counted.expired > before:
                    break
                else:
                    yield missing
        except JournalError as problem:
            if key is not None:
                client.fail(problem, quiet=command.quiet)
                return
        removed += queue.counted.expired - before
        yield None
    client.replies.add_number((), removed, quiet=command.quiet)


def _missing(client: Client, queue: PersistentQueue) -> NotLoaded | None:
    """Remove dead items at the head; return the signal if there may be more of them."""
    try:
        queue.peek(client.queues.clock.wall_ms)
    except NotLoaded as missing:
        return missing
    return None


def report(client: Client, command: reports.Question) -> None:
    """Answer a question about the server, as far as the client reads."""
    if isinstance(command, commands.Version | commands.Status):
        client.replies.add(reports.short_reply(command, client.sight, client.replies.writer))
    else:
        client.at_length(_reporting(client, command))


def _reporting(client: Client, command: reports.LongQuestion) -> Steps:
    if client.queues.slices.spent:
        yield LATER
    for part in reports.parts(command, client.sight, client.replies.writer):
        if isinstance(part, NotLoaded):
            # What cannot be read is told as far as it is known.
            with contextlib.suppress(JournalError):
                yield part
            continue
        if part:
            client.replies.add_part(part)
        yield None


def status(client: Client, command: commands.Status) -> None:
    """Tell whether puts are accepted, or change that (Kestrel's words)."""
    word = command.word
    if word is None:
        report(client, command)
    elif word.lower() not in (_DRAINING, _SERVING):
        client.fail(RequestError("the status can be UP, or READONLY to accept no puts"))
    elif not client.policy.allow_drain:
        client.replies.add(client.replies.writer.disabled("status"))
    else:
        audit.log.info("%s: set the status to %s", client.who, printable(word.upper()))
        client.host.drain(on=word.lower() == _DRAINING)
        client.replies.add_outcome(Outcome.END)


def reload(client: Client, _: commands.Reload) -> None:
    """Read the settings of the queues again, where that is allowed."""
    if not client.policy.allow_reload:
        client.replies.add(client.replies.writer.disabled("reload"))
        return
    audit.log.info("%s: asked for the configuration to be read again", client.who)
    client.at_length(_reloading(client))


def refresh_certs(client: Client, command: commands.RefreshCerts) -> None:
    """Read the certificates again, where there are any; that is for operators."""
    permission, is_user = client.policy.permission, bool(client.user)
    if not permission.allows("refresh_certs", client.peer, is_user=is_user):
        told = client.replies.writer.disabled("refresh_certs")
        reason = "refresh_certs is not enabled for it"
        client.replies.add_error(told, reason, quiet=command.quiet)
        return
    audit.log.info("%s: asked for the certificates to be read again", client.who)
    problem = client.host.refresh_certs()
    if problem is None:
        client.replies.add_outcome(Outcome.OK, quiet=command.quiet)
    else:
        told = client.replies.writer.server_error(problem)
        client.replies.add_error(told, problem, quiet=command.quiet)


def _reloading(client: Client) -> Steps:
    problem = client.host.reload()
    while client.queues.reloading:
        yield LATER
    writer = client.replies.writer
    told = "Reloaded config."
    if client.host.unapplied:
        told += f" This needs a restart: {'; '.join(client.host.unapplied)}"
    client.replies.add(writer.word(told) if problem is None else writer.server_error(problem))


def tell(client: Client, command: commands.Help) -> None:
    """Answer with what the dialect says of itself."""
    client.replies.add(command.reply)


def unknown(client: Client, _: commands.Authenticate | commands.ListMechanisms) -> None:
    """Answer what only a server with users knows, in binary: a client goes on without it."""
    client.counters.protocol_errors += 1
    client.replies.add(client.replies.writer.unknown())


def acknowledge(client: Client, command: commands.Acknowledge) -> None:
    """Answer a command that has no effect here."""
    client.replies.add_outcome(Outcome.OK, quiet=command.quiet)


def shutdown(client: Client, _: commands.Shutdown) -> None:
    """Stop the server, where that is allowed."""
    if client.policy.allow_shutdown:
        audit.log.info("%s: asked the server to stop", client.who)
        client.host.shut_down()
        client.closing = True
    else:
        client.replies.add(client.replies.writer.disabled("shutdown"))


def quit_(client: Client, _: commands.Quit) -> None:
    """Close the connection."""
    client.closing = True


def refuse(client: Client, refusal: commands.Refusal) -> None:
    """Give the answer that the dialect found itself, and close where the stream is lost."""
    client.counters.protocol_errors += 1
    if refusal.too_large:
        client.counters.store_too_large += 1
    client.closing = refusal.close
    if refusal.reply or not refusal.close:
        quiet = not refusal.reply
        client.replies.add_error(refusal.reply, "the command was wrong", quiet=quiet)


HANDLERS: dict[type[commands.Command], Callable[[Client, Any], None]] = {
    commands.Delete: delete,
    commands.Arithmetic: arithmetic,
    commands.Flush: flush,
    commands.FlushAll: flush_all,
    commands.FlushExpired: flush_expired,
    commands.Stats: report,
    commands.DumpStats: report,
    commands.DumpConfig: report,
    commands.Version: report,
    commands.Help: tell,
    commands.Status: status,
    commands.Reload: reload,
    commands.RefreshCerts: refresh_certs,
    commands.Acknowledge: acknowledge,
    commands.Authenticate: unknown,
    commands.ListMechanisms: unknown,
    commands.Shutdown: shutdown,
    commands.Quit: quit_,
    commands.Refusal: refuse,
}
