"""The paths, and what is told at each.

The two paths of health are for load balancers: they need no token and no particular host, and cost
next to nothing. All others go through the gate.
"""

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from starling_py.http import exposition, metrics
from starling_py.http.gate import Gate
from starling_py.http.messages import Answer, Events, Parts, Request, Talk, told
from starling_py.http.page import Page
from starling_py.http.source import Source

LONGEST_TURN: Final = 5.0
"""Seconds without a turn of the server after which it is not healthy."""

Told = Answer | Parts | Events | Talk


@attrs.frozen
class Offer:
    """What is told at all."""

    metrics: bool = True
    metrics_max_queues: int = 200
    dashboard: bool = False
    actions: bool = False


class Site:
    """Answers requests."""

    def __init__(self, source: Source, gate: Gate, offer: Offer) -> None:
        self._source = source
        self._gate = gate
        self._offer = offer
        self._open: Mapping[str, Callable[[Request], Told]] = {
            "/healthz": self._health,
            "/readyz": self._readiness,
        }
        self._gated: dict[str, Callable[[Request], Told]] = {}
        if offer.metrics:
            self._gated["/metrics"] = self._metrics
        self.page = Page(source, gate, acts=offer.actions) if offer.dashboard else None
        """The page, if there is one."""
        self._changing: Mapping[str, Callable[[Request], Told]] = {}
        if self.page is not None:
            self._gated.update(self.page.reading)
            self._changing = self.page.changing

    def answer(self, request: Request) -> Told:
        """Return the answer to a request."""
        path, reads = request.path, request.method in {"GET", "HEAD"}
        if not reads and (path in self._open or path in self._gated):
            return told(405, "only to be read", (("allow", "GET, HEAD"),))
        if (found := self._open.get(path)) is not None:
            return found(request)
        if (refusal := self._gate.refusal(request)) is not None:
            return refusal
        found = (self._gated if reads else self._changing).get(path)
        return told(404, "nothing is here") if found is None else found(request)

    def _health(self, _: Request) -> Answer:
        since = self._source.since_turn
        if since < LONGEST_TURN:
            return told(200, "ok")
        return told(503, f"the server has made no turn for {since:.0f} seconds")

    def _readiness(self, _: Request) -> Answer:
        reason = self._source.unready
        return told(200, "ready") if reason is None else told(503, reason)

    def _metrics(self, request: Request) -> Parts:
        form = exposition.wanted(request.headers.get("accept", ""))
        most = self._offer.metrics_max_queues
        return Parts(metrics.parts(self._source, most, form), form)
