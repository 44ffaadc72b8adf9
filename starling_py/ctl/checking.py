"""The commands that judge: check, for monitors, and doctor, for people.

``check`` follows the Monitoring Plugins' guidelines: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, one
line, performance data behind a bar.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from starling_py.ctl.command import Command, Context, queue_patterns, seconds, whole
from starling_py.ctl.errors import (
    DONE,
    FAILED,
    CtlError,
    FollowsError,
    NotFoundError,
    UnreachableError,
)
from starling_py.ctl.output import count, size, span
from starling_py.ctl.reports import Queue

OK, WARNING, CRITICAL, UNKNOWN = range(4)
_STATES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_MOST_TOLD: Final = 5
_MOST_FOUND: Final = 30
"""Lines of a doctor for people."""
_STUCK_MS: Final = 60_000
"""Since when nobody has taken anything, for a queue with items to count as stuck."""


@attrs.frozen
class Finding:
    """Something that is not as it should be."""

    state: int
    text: str
    advice: str = ""


def of_server(numbers: Mapping[str, str], *, draining: bool) -> Iterator[Finding]:
    """Yield what the server's own numbers tell."""

    def value(key: str) -> int:
        text = numbers.get(key, "0")
        return int(text) if text.isdigit() else 0

    if value("disk_full"):
        yield Finding(CRITICAL, "the disk is full", "make room; puts are refused, gets go on")
    if value("disk_low"):
        yield Finding(CRITICAL, "less than disk_free_min is free", "make room; puts are refused")
    if value("memory_high"):
        yield Finding(CRITICAL, "items take more than memory_max", "take items; puts are refused")
    if value("refused_queues"):
        told = count(value("refused_queues"), "queue")
        advice = "the log names them; see starling-journal verify"
        yield Finding(CRITICAL, f"{told} could not be read back", advice)
    if numbers.get("replica_role") == "owner" and numbers.get("replica_standbys") in ("", "-"):
        advice = "start one, or see the logs of the others"
        yield Finding(WARNING, "no other server is ready to take over", advice)
    if silent := value("replica_silent_ms") // 1000:
        yield Finding(CRITICAL, f"the cluster is silent for {silent} s", "look at the NATS servers")
    if draining:
        yield Finding(WARNING, "draining: no puts are accepted", "starling-ctl drain --off")
    since = (
        ("journal_failures", "failed write or sync", "look at the log and the disk"),
        ("files_lost", "time that files vanished under it", "who removes files from the spool?"),
        ("internal_errors", "error of its own", "the log has the traceback: please report it"),
        ("session_errors", "connection ended by a defect", "the log has it: please report it"),
        ("log_lines_dropped", "line missing in the log", "is its disk full, or its reader slow?"),
        ("clients_over_memory", "client closed for holding too much", "see client_memory"),
        ("rejected_connections", "connection refused", "raise max_connections and the file limit"),
        ("noreply_errors", "failed command that nobody was told of", "clients should want replies"),
    )
    for key, text, advice in since:
        if value(key):
            yield Finding(WARNING, f"{count(value(key), text)} since the start", advice)
    connections, most = value("curr_connections"), value("max_connections")
    if most and connections > 0.9 * most:
        yield Finding(WARNING, f"{connections} of {most} connections", "raise max_connections")


def of_queue(queue: Queue) -> Iterator[Finding]:
    """Yield what a queue's numbers tell, whatever is expected of it."""
    if queue.number("journal_broken"):
        yield Finding(CRITICAL, f"{queue.shown}: its journal is broken", "the log tells why")
    if queue.number("quarantined"):
        told = count(queue.number("quarantined"), "item")
        yield Finding(WARNING, f"{queue.shown}: {told} could not be read", "see quarantine")


def of_habits(queue: Queue) -> Iterator[Finding]:
    """Yield what a person would want to know, and a monitor must not ring for."""
    waiting = queue.number("items") - queue.number("delayed")
    last_get = queue.number("last_get")
    if queue.number("paused"):
        yield Finding(WARNING, f"{queue.shown}: paused", f"starling-ctl resume {queue.shown}")
    elif waiting > 0 and queue.number("age") > _STUCK_MS and not 0 <= last_get < _STUCK_MS:
        who = (
            f"nobody took for {span(last_get)}" if last_get >= 0 else "nobody took since the start"
        )
        told = f"{queue.shown}: {count(waiting, 'item')}, the oldest {span(queue.number('age'))}"
        yield Finding(WARNING, f"{told}; {who}", f"starling-ctl consumers {queue.shown}")
    if queue.number("dead_lettered"):
        told = count(queue.number("dead_lettered"), "dead letter")
        advice = "look at them, then starling-ctl move DEAD --origin"
        yield Finding(WARNING, f"{queue.shown}: {told} since the start", advice)
    if queue.number("discarded"):
        told = count(queue.number("discarded"), "item")
        text = f"{queue.shown}: {told} dropped since the start, by hand or to make room"
        yield Finding(WARNING, text, "see max_items, discard_old_when_full")


def _of_thresholds(options: argparse.Namespace, queue: Queue) -> Iterator[Finding]:
    age, items = queue.number("age"), queue.number("items")
    waiting = items > queue.number("delayed")
    for most, state in ((options.max_age, CRITICAL), (options.warn_age, WARNING)):
        if most is not None and waiting and age > most * 1000:
            yield Finding(state, f"{queue.shown}: the oldest item has waited {span(age)}")
            break
    for most, state in ((options.max_items, CRITICAL), (options.warn_items, WARNING)):
        if most is not None and items > most:
            yield Finding(state, f"{queue.shown}: {count(items, 'item')}")
            break


def check(context: Context) -> int:
    """Tell a monitor the state, in its form."""
    try:
        state, text, data = _checked(context)
    except NotFoundError as problem:
        state, text, data = UNKNOWN, str(problem), ""
    except FollowsError as problem:
        state, text = _of_follower(problem)
        data = ""
    except UnreachableError as problem:
        state, text, data = CRITICAL, str(problem), ""
    except CtlError as problem:
        state, text, data = UNKNOWN, str(problem), ""
    line = f"STARLING {_STATES[state]} - {' '.join(text.split()).replace('|', '/')}"
    values = {"state": _STATES[state], "text": text, "perfdata": data}
    context.output.record(values, f"{line} | {data}" if data else line)
    return state


def _of_follower(problem: FollowsError) -> tuple[int, str]:
    """Return the state of a server that follows, and what to say of it."""
    if "there is no owner" in str(problem):
        return CRITICAL, str(problem)
    lag = problem.numbers.get("replica_lag", "")
    told = f"{problem}, {count(int(lag), 'message')} behind" if lag.isdigit() else str(problem)
    return OK, told.replace("SERVER_ERROR ", "")


def _checked(context: Context) -> tuple[int, str, str]:
    options, remote = context.options, context.remote
    queues = remote.queues(options.queues)
    draining = remote.connection.ask(b"status") == b"READONLY"
    found = list(of_server(remote.server(), draining=draining))
    # What happened once since the start would ring for ever.
    found = [each for each in found if not each.text.endswith("since the start")]
    for queue in queues:
        found += [*of_queue(queue), *_of_thresholds(options, queue)]
    found.sort(key=lambda each: -each.state)
    items = sum(queue.number("items") for queue in queues)
    oldest = max((queue.number("age") for queue in queues), default=0)
    summary = f"{count(len(queues), 'queue')}, {count(items, 'item')}, the oldest {span(oldest)}"
    told = [each.text for each in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        told.append(f"{len(found) - _MOST_TOLD} more")
    state = found[0].state if found else OK
    return state, "; ".join(told) or summary, _performance(options, queues, items, oldest)


def _performance(
    options: argparse.Namespace, queues: Sequence[Queue], items: int, oldest: int
) -> str:
    told = [_measured(options, "", items, oldest)]
    if options.queues and len(queues) > 1:
        told += [
            _measured(options, f"{queue.shown} ", queue.number("items"), queue.number("age"))
            for queue in queues
        ]
    return " ".join(told)


def _measured(options: argparse.Namespace, label: str, items: int, age: int) -> str:
    def limit(most: float | None) -> str:
        return "" if most is None else f"{most:g}"

    clean = "".join(each for each in label if each not in "'=|")
    return (
        f"'{clean}items'={items};{limit(options.warn_items)};{limit(options.max_items)};0 "
        f"'{clean}age'={age / 1000:.3f}s;{limit(options.warn_age)};{limit(options.max_age)};0"
    )


def doctor(context: Context) -> int:
    """Tell a person what is out of the ordinary, and what to do."""
    output = context.output
    try:
        remote = context.remote
    except FollowsError as problem:
        state, text = _of_follower(problem)
        advice = "ask that one, or wait for a take-over"
        output.record({"state": _STATES[state], "text": text, "advice": advice}, text)
        return FAILED if state else DONE
    numbers, settings, queues = remote.server(), remote.settings(), remote.in_full()
    draining = remote.connection.ask(b"status") == b"READONLY"
    items, total = int(numbers.get("curr_items", "0")), int(numbers.get("bytes", "0"))
    output.line(
        f"starling-py {numbers.get('version')} at {remote.where}, up "
        f"{span(int(numbers.get('uptime', '0')) * 1000)}: {count(len(queues), 'queue')}, "
        f"{count(items, 'item')}, {size(total)}; spool {settings.get('queue_path')}, "
        f"sync {settings.get('sync')}"
    )
    if "replica_role" in numbers:
        output.line(_of_owner(numbers))
    found = list(of_server(numbers, draining=draining))
    for queue in queues:
        found += [*of_queue(queue), *of_habits(queue)]
    found.sort(key=lambda each: -each.state)
    for each in found if output.as_json else found[:_MOST_FOUND]:
        text = f"{_STATES[each.state].lower()}: {each.text}"
        values = {"state": _STATES[each.state], "text": each.text, "advice": each.advice}
        output.record(values, output.alarm(text) + (f"  ({each.advice})" if each.advice else ""))
    if len(found) > _MOST_FOUND:
        output.line(f"and {len(found) - _MOST_FOUND} more; --json tells all")
    if not found:
        output.record({"state": "OK", "text": "nothing is wrong", "advice": ""}, "nothing is wrong")
    return FAILED if found else DONE


def _of_owner(numbers: Mapping[str, str]) -> str:
    """Return what an owner is in its group, in a line."""
    since = int(numbers.get("time", "0")) - int(numbers["replica_last_takeover"])
    standbys = numbers["replica_standbys"].strip("-").replace(",", ", ") or "nobody"
    lag = count(int(numbers["replica_lag"]), "message")
    return (
        f"owner of its group for {span(since * 1000)}, epoch {numbers['replica_epoch']}, {lag} not"
        f" answered; ready to take over: {standbys}"
    )


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    queue_patterns(parser, at_least_one=False)
    for option, state in (("max", "critical"), ("warn", "a warning")):
        parser.add_argument(
            f"--{option}-age",
            type=seconds,
            metavar="SPAN",
            help=f"{state} if the oldest item of a queue has waited longer: 90, 5m",
        )
        parser.add_argument(
            f"--{option}-items",
            type=whole(0, 2**63),
            metavar="N",
            help=f"{state} if a queue has more items",
        )


COMMANDS = (
    Command(
        "check",
        "tell a monitor such as Nagios the state",
        check,
        _check_arguments,
        "exit status: 0 OK, 1 WARNING, 2 CRITICAL (the server cannot be reached, too),\n"
        "3 UNKNOWN, wrong usage among it.",
    ),
    Command("doctor", "tell what is out of the ordinary, and what to do", doctor),
)
"""What this module brings."""
