"""The page: its files, what it shows once a second, one queue in depth, and actions."""

import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from starling_py.http import actions, assets, depth
from starling_py.http.gate import Gate
from starling_py.http.messages import Answer, Events, Request, Talk, told
from starling_py.http.source import Source, standbys
from starling_py.http.survey import MOST_ROWS, ORDERS, Row, Survey, Wish
from starling_py.http.talk import NameRefused, Reply
from starling_py.stats import WATCHED, Snapshot

_AT: Final = {name: index for index, name in enumerate(WATCHED)}
_SHOWN: Final = tuple(
    _AT[name]
    for name in ("items", "bytes", "open_transactions", "delayed", "waiters", "dead_lettered")
)
_MOST_PART: Final = 250

Told = Answer | Events | Talk


class Page:
    """Answers what the page asks for."""

    def __init__(self, source: Source, gate: Gate, *, acts: bool) -> None:
        """``acts``: whether the page may change anything."""
        self._source = source
        self._gate = gate
        self._acts = acts
        self.survey = Survey(source)
        self._made: dict[tuple[Wish, bytes], bytes] = {}
        """What was made since the last look, for all who have the same wish."""
        self._made_at = 0.0
        self._uptime = 0.0
        files = assets.load()
        self.reading: dict[str, Callable[[Request], Told]] = {
            **{path: self._file(answer) for path, answer in files.items()},
            "/events": self._events,
            "/queue": self._queue,
            "/item": self._item,
        }
        """What answers requests that only read, by path."""
        self.changing: dict[str, Callable[[Request], Told]] = {"/do": self._do} if acts else {}

    @staticmethod
    def _file(answer: Answer) -> Callable[[Request], Told]:
        return lambda _: answer

    def _events(self, request: Request) -> Told:
        asked = {name: value.decode("utf-8", "replace") for name, value in request.query.items()}
        sort, rows = asked.get("sort", "items"), asked.get("rows", "50")
        if sort not in ORDERS or not rows.isdecimal() or not 0 < int(rows[:9]) <= MOST_ROWS:
            return told(400, "no such order, or too many rows")
        part = asked.get("part", "")[:_MOST_PART]
        wish = Wish(sort, asked.get("order") == "rising", part, int(rows))
        one = request.query.get("queue", b"")
        return Events(lambda: self.event(wish, one))

    def event(self, wish: Wish, one: bytes = b"") -> bytes:
        """Return what is shown at the moment, in JSON; ``one`` is the queue that is looked at."""
        survey = self.survey
        if self._made_at != survey.at:
            self._made.clear()
            self._made_at = survey.at
        made = self._made.get((wish, one))
        if made is None:
            made = self._made[wish, one] = json.dumps(self._content(wish, one)).encode()
        return made

    def _content(self, wish: Wish, one: bytes) -> dict[str, object]:
        survey, snapshot = self.survey, self._source.snapshot()
        self._uptime = snapshot.uptime
        matching, rows = survey.shown(wish)
        seen = survey.rows.get(one)
        return {
            "time": snapshot.time,
            "version": self._source.version,
            "uptime": snapshot.uptime,
            "state": self._source.unready or "up",
            "acts": self._acts,
            "queues": survey.queues,
            "matching": matching,
            "items": survey.items,
            "bytes": survey.bytes,
            "rates": [round(rate, 1) for rate in survey.rates],
            "connections": snapshot.curr_connections,
            "cpu": snapshot.rusage_user + snapshot.rusage_system,
            "failures": snapshot.journal_failures,
            "disk_free": self._source.disk_free(),
            "group": _group(snapshot),
            "rows": [self._row(row) for row in rows],
            "one": None if seen is None else self._row(seen),
        }

    def _row(self, row: Row) -> list[object]:
        at, numbers = self.survey.at, row.numbers
        return [
            quote(row.name, safe=""),
            row.text,
            *(numbers[index] for index in _SHOWN),
            round(row.puts, 1),
            round(row.gets, 1),
            round(row.age(at), 1),
            " ".join(row.marks(at, self._uptime)),
        ]

    def _queue(self, request: Request) -> Told:
        name = request.query.get("name", b"")
        first = request.query.get("from", b"1")
        return self._ask(request, first, depth.commands, lambda replies: depth.told(name, replies))

    def _who(self, request: Request) -> str:
        return self._gate.who(request) or "nobody"

    def _item(self, request: Request) -> Told:
        return self._ask(
            request, request.query.get("id", b""), depth.item_commands, depth.item_told
        )

    def _ask(
        self,
        request: Request,
        item_id: bytes,
        commands: Callable[[bytes, int], list[bytes]],
        made: Callable[[list[Reply]], Answer],
    ) -> Told:
        """Ask the server for what the page wants to know of a queue, from an item on."""
        if not item_id.isdigit() or len(item_id) > 18:
            return told(400, "no such item")
        try:
            asked = commands(request.query.get("name", b""), int(item_id))
        except NameRefused as problem:
            return told(400, str(problem))
        return Talk(asked, made, self._who(request))

    def _do(self, request: Request) -> Told:
        who = self._who(request)
        try:
            action = actions.read(request.body)
        except actions.ActionRefused as problem:
            return actions.refused(request, who, str(problem))

        def made(replies: list[Reply]) -> Answer:
            return actions.told(request, who, action, replies)

        return Talk([action.command], made, who)


def _group(snapshot: Snapshot) -> dict[str, object] | None:
    """Return what an owner is in its group; ``None`` of a server alone."""
    known = dict(snapshot.extra)
    since = known.get("replica_last_takeover")
    if not isinstance(since, int):
        return None
    return {
        "role": known["replica_role"],
        "for": snapshot.time - since,
        "standbys": standbys(known),
        "lag": known["replica_lag"],
    }
