"""What other servers call their settings, and what their files look like, for messages.

Whoever comes from there writes what they know. A message that says what it is called here saves
a search; docs/coming-from.md has the same in full. Nothing here is ever accepted as a setting.
"""

import re
from typing import Final

_QUEUE: Final = "of a queue, below 'queues:'"
_FILES: Final = "the journal is kept short by itself"

_ELSEWHERE: Final = {
    # Starling's clients.
    "listenson": "that is a client's; a server has 'host' and 'port'",
    "memcacheoptions": "that is a client's",
    # Kestrel, the server.
    "listenaddress": "write 'host'",
    "memcachelistenport": "write 'port'",
    "textlistenport": "there is no such protocol here",
    "thriftlistenport": "there is no such protocol here",
    "clienttimeout": "write 'timeout', in seconds",
    "maxopentransactions": f"write 'max_open_reads', {_QUEUE}",
    "connectionbacklog": "there is none; see 'max_connections'",
    "expirationtimerfrequency": "there is none, expired items go by themselves",
    "statusfile": "there is none; status is UP after each start",
    "defaultstatus": "there is none; status is UP after each start",
    "loggers": "write 'logger', a path, and 'log_level'",
    "zookeeper": "there is none",
    # Kestrel, a queue.
    "defaultjournalsize": f"there is none, {_FILES}; 'segment_size', of the server, is near",
    "maxjournalsize": f"there is none, {_FILES}; 'segment_size', of the server, is near",
    "multifilejournal": f"there is none, {_FILES}",
    "maxjournaloverflow": f"there is none, {_FILES}",
    "minjournalcompactdelay": f"there is none, {_FILES}",
    "disableaggressiverewrites": f"there is none, {_FILES}",
    "maxmemorysize": "write 'window_size', of the server, below 'starling:'",
    "keepjournal": f"write 'journal', {_QUEUE}",
    "syncjournal": "write 'sync', of the server, below 'starling:'",
    "expiretoqueue": f"write 'expire_to', {_QUEUE}",
    "maxexpiresweep": "there is none",
    "maxqueueage": f"write 'idle_expire', in seconds, {_QUEUE}",
    "opentransactiontimeout": f"write 'open_timeout', in seconds, {_QUEUE}",
    "maxitems": f"write 'max_items', {_QUEUE}",
    "maxsize": f"write 'max_bytes', {_QUEUE}",
    "maxitemsize": f"write 'max_item_size', {_QUEUE}",
    "maxage": f"write 'max_age', in seconds, {_QUEUE}",
    "discardoldwhenfull": f"write 'discard_old_when_full', {_QUEUE}",
    "fanoutonly": f"write 'fanout_only', {_QUEUE}",
    "destinationqueues": "write a route, below 'routes:'",
    "aliases": "write a route, below 'routes:'",
    "enabletrace": "there is none; see 'log_level'",
    # Darner.
    "data": "write 'queue_path'",
    "workers": "there is none: one process serves all",
}

_SCALA: Final = re.compile(
    r"^[ \t]*(?:import[ \t]+(?:com\.twitter|net\.lag)\.|new[ \t]+(?:KestrelConfig|QueueBuilder)\b)",
    re.MULTILINE,
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,60}")


def advice(name: str) -> str | None:
    """Return what to write for another server's setting, as a phrase; ``None`` if it is unknown."""
    return _ELSEWHERE.get(re.sub("[_:.-]", "", name).lower())


def other_format(text: str) -> tuple[int, str] | None:
    """Return the line of a file, and what to write, if it is no YAML but a relative's own format.

    Lines count from 1. The message is a phrase.
    """
    scala = _SCALA.search(text)
    if scala is not None:
        number = text.count("\n", 0, scala.end()) + 1
        what = "this is Kestrel's configuration, in Scala; write YAML instead"
        return number, f"{what}, docs/coming-from.md has each of its settings"
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.strip()
        if line and not line.startswith(("#", ";", "//")):
            name, assigns, value = line.partition("=")
            if not assigns or _NAME.fullmatch(name.strip()) is None:
                return None
            example = f"{name.strip()}: {value.partition('#')[0].strip()}"[:60]
            what = f"this is no YAML; below a line 'starling:', write '  {example}'"
            return number, what
    return None
