"""The five commands of ``starling-journal``: each prints what it finds and returns a status."""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from starling_py import keys
from starling_py.journal.disk.files import Files
from starling_py.journal.errors import JournalDamagedError
from starling_py.offline import (
    flatten,
    importing,
    kestrel,
    logged_files,
    output,
    ruby_starling,
    selection,
    spool_directory,
    spool_stats,
    verify,
)
from starling_py.offline.dump import Dump
from starling_py.offline.entry import Entry
from starling_py.offline.errors import ImportRefused, WrongPathError
from starling_py.offline.importing import Import, Outcome
from starling_py.offline.old_spool import Note, OldQueue
from starling_py.offline.output import Progress
from starling_py.offline.selection import Choice, Selection
from starling_py.offline.spool_directory import Place, QueueFiles, SegmentFile
from starling_py.offline.spool_stats import Figures
from starling_py.offline.verify import Report
from starling_py.settings.server_settings import Settings

_READERS = {"starling": ruby_starling.read, "kestrel": kestrel.read}
OLD_SERVERS = tuple(_READERS)
"""The servers whose spools can be imported."""
_MOST_NOTES = 20
"""Lines about what is left alone; one more says how much else there is."""
_MOST_NAMES = 10
"""Names of directories that a message has."""
_ATTEMPTS = 4
"""How often a queue is read that a server is using, before it counts as damaged."""
_PAUSE = 0.1
"""Seconds between two such attempts."""


def run_verify(options: argparse.Namespace) -> int:
    """Check a spool or one queue. Raises ``WrongPathError``."""
    place = _look(Files(), options.path)
    files = logged_files.of(place)
    progress = Progress(_segment_bytes(files, place), "bytes read", wanted=options.progress)
    damaged = 0
    for directory in place.queues:
        report = _verify_one(files, place, directory, progress)
        damaged += bool(report.damage)
        for text in _report_lines(report):
            progress.line(text)
    progress.end()
    for refusal in place.refused:
        output.line(refusal)
    for note in place.notes:
        output.line(f"note: {note}")
    damaged += len(place.refused)
    if place.is_spool:
        queues = len(place.queues) + len(place.refused)
        output.line(f"{_count(queues, 'queue')}: {queues - damaged} sound, {damaged} damaged")
    return 1 if damaged else 0


def _verify_one(files: Files, place: Place, directory: str, progress: Progress) -> Report:
    """Check one queue. If a server is changing it meanwhile, only lasting damage counts.

    Reading beside a server may show half of a change. So what looks damaged is read up to
    ``_ATTEMPTS`` times, and only damage that was there every time is reported.
    """
    report = verify.verify(files, directory, progress, in_spool=place.is_spool)
    for _ in range(1, _ATTEMPTS):
        if not report.damage or not spool_directory.is_in_use(place.lock):
            break
        time.sleep(_PAUSE)
        seen = {str(each) for each in report.damage}
        report = verify.verify(files, directory, progress, in_spool=place.is_spool)
        report.damage = [each for each in report.damage if str(each) in seen]
        if not report.damage:
            report.unreadable = 0
    return report


def _report_lines(report: Report) -> Iterator[str]:
    state = "damaged" if report.damage else "sound"
    parts = [state]
    if report.items is None:
        parts.append("items cannot be told")
    else:
        items = _count(report.items, "item")
        if report.unreadable:
            items += f" ({report.unreadable} cannot be read)"
        parts += [items, _count(report.bytes, "byte")]
    parts.append(_count(report.segments, "segment"))
    yield f"{keys.printable(report.queue)}: {', '.join(parts)}"
    for damage in report.damage:
        yield f"    {damage}"
    for note in report.notes:
        yield f"    note: {note}"


def run_dump(options: argparse.Namespace) -> int:
    """Print a queue's records, its live items, or one item's data. Raises ``WrongPathError``."""
    place = _look(Files(), options.path)
    files = logged_files.of(place)
    if place.is_spool:
        raise WrongPathError(_give_one(place))
    dump = Dump(files, place.path)
    if options.data is not None:
        data = dump.data(options.data)
        if data is not None:
            output.raw(data)
            return 0
        _add_missing(dump, place)
        output.warn(f"{place.path}: there is no item {options.data}{_among(dump)}")
        return 1
    show = _json if options.json else Entry.text
    progress = DumpProgress(QueueFiles.read(files, place.path))
    for entry in dump.live() if options.live else dump.records():
        progress.at(entry)
        output.line(show(entry))
    progress.end()
    if not options.live:
        _add_missing(dump, place)
    if dump.is_partial:
        output.warn(f"{place.path}: this dump is partial{_among(dump)}")
    return 1 if dump.is_partial else 0


def _add_missing(dump: Dump, place: Place) -> None:
    """Add what a start would miss. Beside a server that changes the queue, only what lasts."""
    missing = dump.missing()
    for _ in range(1, _ATTEMPTS):
        if not missing or not spool_directory.is_in_use(place.lock):
            break
        time.sleep(_PAUSE)
        missing = [each for each in dump.missing() if each in missing]
    for each in missing:
        dump.warn(each)


def _among(dump: Dump) -> str:
    """Print what a dump lacks, and return it as the end of the last line."""
    for warning in dump.warnings:
        output.warn(warning)
    return f"; {_count(dump.skipped, 'byte')} damaged" if dump.skipped else ""


def _give_one(place: Place) -> str:
    """Say which directories there are, of a spool where one is wanted."""
    names = [each.rpartition("/")[2] for each in place.queues]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    which = f": {', '.join(names[:_MOST_NAMES])}{more}" if names else "; there is none"
    return f"{place.path}: this is a spool; give one queue's directory in it{which}"


class DumpProgress:
    """Tells how many bytes of a queue's segments a dump has passed."""

    def __init__(self, segments: Iterable[SegmentFile]) -> None:
        self._before: dict[str, int] = {}
        """Bytes of the segments in front of each."""
        total = 0
        for each in segments:
            self._before[each.name] = total
            total += each.size
        # Lines and a bar on one terminal would be a mess.
        self._bar = Progress(total, "bytes read", wanted=False, beside_output=True)
        self._done = 0

    def at(self, entry: Entry) -> None:
        """Tell where the dump is; what stands in front of the queue comes before its turn."""
        done = self._before.get(entry.file, 0) + entry.offset
        if done > self._done:
            self._bar(done - self._done)
            self._done = done

    def end(self) -> None:
        """Tell that it is over."""
        self._bar.end()


def _json(entry: Entry) -> str:
    return json.dumps(entry.values())


def run_stats(options: argparse.Namespace) -> int:
    """Print the figures of each queue. Raises ``WrongPathError``."""
    place = _look(Files(), options.path)
    files = logged_files.of(place)
    now_ms = time.time_ns() // 1_000_000
    found, failed = [], 0
    for directory in place.queues:
        try:
            figures = _measure(files, place, directory, now_ms)
        except JournalDamagedError as damage:
            output.warn(str(damage))
            failed += 1
        except OSError as error:
            output.warn(str(spool_directory.damage(directory, error)))
            failed += 1
        else:
            found += [] if figures is None else [figures]
    for refusal in place.refused:
        output.warn(refusal)
        failed += 1
    if options.json:
        value = {
            "queues": [each.values() for each in found],
            "total": spool_stats.total(found).values(),
        }
        output.line(json.dumps(value, indent=2))
    else:
        for text in spool_stats.table(found):
            output.line(text)
    return 1 if failed else 0


def _measure(files: Files, place: Place, directory: str, now_ms: int) -> Figures | None:
    for _ in range(1, _ATTEMPTS):
        try:
            return spool_stats.measure(files, directory, now_ms)
        except (JournalDamagedError, OSError):
            if not spool_directory.is_in_use(place.lock):
                raise
            time.sleep(_PAUSE)
    return spool_stats.measure(files, directory, now_ms)


def run_flatten(options: argparse.Namespace) -> int:
    """Write back what the log tells. Raises ``WrongPathError``."""
    files, path = Files(), options.path
    place = spool_directory.look(files, path)
    if not place.is_spool:
        raise WrongPathError(f"{path}: this is one queue's directory; give the spool")
    try:
        done = flatten.flatten(files, place.path)
    except BlockingIOError as error:
        raise WrongPathError(f"{path}: a server is using this spool") from error
    except JournalDamagedError as damage:
        raise WrongPathError(str(damage)) from damage
    for problem in done.problems:
        output.line(f"not written back: {problem}")
    kept = "; the log is kept" if done.problems else ""
    output.line(f"{_count(done.journals, 'queue')} written back from the log{kept}")
    return 1 if done.problems else 0


def run_import(options: argparse.Namespace) -> int:
    """Take over an old spool. Raises ``ImportRefused`` and ``ImportFailedError``."""
    old, new = Path(options.old), Path(options.new)
    importing.refuse_nested(old, new)
    now_ms = time.time_ns() // 1_000_000
    chosen = _select(options.server, old, now_ms, Choice(options.queue, options.rename))
    if not (options.queue or chosen.problems or any(map(_has_anything, chosen.queues))):
        raise ImportRefused(f"{_nothing_found(options.server, old, now_ms)}; nothing was done")
    items = sum(queue.count for queue in chosen.queues)
    progress = Progress(items, "items read", wanted=options.progress)
    work = Import(
        Files(),
        str(new),
        Settings().segment_size,
        now_ms=now_ms,
        keep_expired=options.expired == "keep",
        source=str(old.resolve()),
        progress=progress,
    )
    outcomes = work.run(chosen.queues)
    progress.end()
    problems = list(chosen.problems)
    for outcome in outcomes:
        output.line(_outcome_line(outcome))
        problems += outcome.problems
    for note in (note for outcome in outcomes for note in outcome.notes):
        output.line(f"note: {note}")
    for line in _left_alone_lines(chosen.left_alone):
        output.line(line)
    for problem in problems:
        output.line(f"not read: {problem}")
    made = sum(outcome.imported > 0 for outcome in outcomes)
    items = sum(outcome.imported for outcome in outcomes)
    output.line(f"{_count(made, 'queue')}, {_count(items, 'item')} imported into {new}")
    if not (items or problems or options.queue or any(each.expired for each in outcomes)):
        output.warn(_nothing_found(options.server, old, now_ms))
    return 1 if problems else 0


def _select(server: str, old: Path, now_ms: int, choice: Choice) -> Selection:
    try:
        return selection.select(_READERS[server](old, now_ms), choice)
    except OSError as error:
        raise ImportRefused(f"{old}: {error.strerror or error}") from error


def _has_anything(queue: OldQueue) -> bool:
    """Tell whether a queue has items, or has had some: an empty file is none of an old server's."""
    try:
        return bool(queue.count or queue.problems or queue.path.stat().st_size)
    except OSError:
        return False


def _nothing_found(server: str, old: Path, now_ms: int) -> str:
    """Say that there is no item in an old spool, and whether another server has left some."""
    text = f"{old}: no item of a {server.capitalize()} queue is here"
    if importing.is_spool(old):
        return f"{text}; this is a spool of starling-py itself"
    for other in OLD_SERVERS:
        if other != server:
            found = sum(each.count > 0 for each in _select(other, old, now_ms, Choice()).queues)
            if found:
                text += f"; {_count(found, 'queue')} with --from {other}"
    return text


def _left_alone_lines(notes: list[Note]) -> Iterator[str]:
    yield from (f"left alone: {note}" for note in notes[:_MOST_NOTES])
    if len(notes) > _MOST_NOTES:
        yield f"left alone: {len(notes) - _MOST_NOTES} more files and directories"


def _outcome_line(outcome: Outcome) -> str:
    text = keys.printable(outcome.queue)
    if outcome.queue != outcome.old_name:
        text = f"{keys.printable(outcome.old_name)} as {text}"
    text += f": {_count(outcome.imported, 'item')}, {_count(outcome.bytes, 'byte')}"
    if outcome.expired:
        text += f"; {outcome.expired} expired left out"
    if outcome.by_earlier:
        text += "; by an import that was killed, and is finished now"
    return text


def _look(files: Files, path: str) -> Place:
    place = spool_directory.look(files, path)
    if spool_directory.is_in_use(place.lock):
        output.warn(f"{place.path}: a server is using this spool; the figures may be moving")
    return place


def _segment_bytes(files: Files, place: Place) -> int:
    """Return how many bytes of segments there are to read."""
    total = 0
    for directory in place.queues:
        try:
            own = QueueFiles.read(files, directory)
            total += sum(each.size - each.start for each in own)
        except OSError:  # reported when the queue's turn comes
            continue
    return total


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
