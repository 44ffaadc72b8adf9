"""Serves HTTP beside the tick: sockets to requests, answers to sockets.

It never keeps the server's own clients waiting. Of all that HTTP asks for, one short piece of work
is done at a time, and a turn of the tick comes before the next. Everything is bounded: clients
(whoever has been silent longest makes room for the next one), the time that they take to ask and
to read, bytes that come ahead, and requests on one connection. An error costs the client that it
was met for its connection.
"""

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

import trio

from starling_py.guard import Guard
from starling_py.http.exchange import Exchange, RequestRefused
from starling_py.http.messages import Answer, Events, Parts, Request, Talk, told
from starling_py.http.page import Page
from starling_py.http.site import Told
from starling_py.http.talk import TalkError
from starling_py.server.inner import Inner
from starling_py.server.listening import address_of, printed
from starling_py.server.tls import Certificates
from starling_py.server.watching import Watching
from starling_py.server.web_tls import TlsStream

log = logging.getLogger(__name__)

MOST_CLIENTS: Final = 32
"""HTTP clients that may be connected at the same time."""
READ_SIZE: Final = 4096
ASKING_TIME: Final = 10.0
"""Seconds from the first byte of a request to its last, and from connecting to the first."""
IDLE_TIME: Final = 120.0
"""Seconds that a client may be silent between two requests."""
ANSWER_TIME: Final = 60.0
"""Seconds that an answer may take, until the client has read most of it."""
MOST_WATCHERS: Final = 8
"""Clients that may watch the page at the same time."""
WATCHING_TIME: Final = 15.0
"""Seconds in which who watches must have read what came."""
MOST_REQUESTS: Final = 1000
"""Requests on one connection."""
SLICE: Final = 0.002
"""Seconds of work in one go."""
_PART: Final = 1 << 16
"""Bytes of an answer that are collected before they are sent."""
_LINGER: Final = 1.0
"""Seconds in which a client can read why it is refused, while what it sends is thrown away."""
_MOST_READ_OUT: Final = 64
"""Pieces of it that are read meanwhile."""
_REST: Final = 0.5
"""Seconds in which nobody is accepted, after that has failed."""


class Answering(Protocol):
    """What is told at each path."""

    @property
    def page(self) -> Page | None:
        """The page, if there is one."""

    def answer(self, request: Request) -> Told:
        """Return the answer to a request."""


class Web:
    """The sockets of HTTP and their clients."""

    def __init__(
        self,
        listeners: list[socket.socket],
        site: Answering,
        inner: Inner | None,
        guard: Guard,
        now: Callable[[], float],
        certificates: Certificates | None = None,
    ) -> None:
        """``inner`` talks with the server, as a page wants it.

        ``now`` returns seconds on the monotonic clock; ``certificates`` are what clients are
        shown, if they speak TLS.
        """
        self._certificates = certificates
        self._listeners = listeners
        self._site = site
        self.inner = inner
        self._guard = guard
        self._now = now
        self._turn = trio.Lock()
        """Held for each piece of work, so that there is a turn of the tick after it."""
        page = site.page
        self.watching = None if page is None else Watching(page.survey, self._turn, guard, now)
        self._visits: dict[_Visit, None] = {}
        """All clients, whoever has been silent longest first."""

    async def run(self) -> None:
        """Serve until it is cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    tls = "" if self._certificates is None else "tls:"
                    log.info("http: listening on %s%s", tls, address_of(listener))
                    nursery.start_soon(self._accept, listener, nursery)
                if self.watching is not None:
                    nursery.start_soon(self.watching.run)
        finally:
            for listener in self._listeners:
                listener.close()

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        listening = trio.socket.from_stdlib_socket(listener)
        while True:
            try:
                client, address = await listening.accept()
            except OSError as error:
                log.debug("http: nobody is accepted: %s", error)
                await trio.sleep(_REST)
                continue
            if len(self._visits) >= MOST_CLIENTS:
                self._make_room()
            visit = _Visit(self, self._spoken(trio.SocketStream(client)), printed(address))
            self._visits[visit] = None
            nursery.start_soon(self._serve, visit)

    def _spoken(self, stream: trio.SocketStream) -> "trio.SocketStream | TlsStream":
        if self._certificates is None:
            return stream
        return TlsStream(stream, self._certificates.context, self._turn)

    def _make_room(self) -> None:
        """Close who has been silent longest, else who has been answered longest."""
        longest = next((each for each in self._visits if not each.is_answered), None)
        longest = longest or next(iter(self._visits))
        log.debug("%s: closed, as another http client came", longest.peer)
        del self._visits[longest]
        longest.scope.cancel()

    async def _serve(self, visit: "_Visit") -> None:
        try:
            with visit.scope:
                await visit.serve()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone
        except Exception:
            self._guard.caught("answering by http")
        finally:
            self._visits.pop(visit, None)
            visit.stream.socket.close()

    def heard(self, visit: "_Visit") -> None:
        """Note that a client has asked for something: others have been silent for longer."""
        if visit in self._visits:
            del self._visits[visit]
            self._visits[visit] = None

    async def answer(self, request: Request) -> Told:
        """Have a request answered."""
        async with self._turn:
            return self._site.answer(request)

    async def made(self, events: Events) -> bytes:
        """Return what is shown next."""
        async with self._turn:
            return events.made()

    async def piece(self, parts: Parts) -> bytes | None:
        """Return the next piece of a long answer; ``None`` behind the last one."""
        async with self._turn:
            collected: list[bytes] = []
            size, until = 0, self._now() + SLICE
            for part in parts.parts:
                collected.append(part)
                size += len(part)
                if size >= _PART or self._now() >= until:
                    return b"".join(collected)
            return b"".join(collected) if size else None

    async def read(self, exchange: Exchange, data: bytes) -> None:
        """Give an exchange what came."""
        async with self._turn:
            exchange.feed(data)


class _Visit:
    """One client."""

    def __init__(self, web: Web, stream: trio.SocketStream | TlsStream, peer: str) -> None:
        self._web = web
        self.stream = stream
        self.peer = peer
        self.scope = trio.CancelScope()
        self.is_answered = False
        """Whether an answer is under way."""
        self._exchange = Exchange(peer)
        self._limit = trio.CancelScope()
        """Ends an answer that takes too long."""

    async def serve(self) -> None:
        """Answer one request after the other."""
        exchange = self._exchange
        if isinstance(self.stream, TlsStream):
            with trio.move_on_after(ASKING_TIME) as limit:
                await self.stream.shake_hands()
            if limit.cancelled_caught:
                return
        for number in range(MOST_REQUESTS):
            last = number == MOST_REQUESTS - 1
            try:
                request = await self._next_request(ASKING_TIME if not number else IDLE_TIME)
            except RequestRefused as refused:
                await self._refuse(refused.answer)
                return
            if request is None:
                return
            self._web.heard(self)
            self.is_answered = True
            with trio.move_on_after(ANSWER_TIME) as self._limit:
                await self._answer(request, last=last)
            limit = self._limit
            if limit.cancelled_caught or exchange.ended:
                return
            self.is_answered = False

    async def _next_request(self, patience: float) -> Request | None:
        """Return the next request; ``None`` if none comes in time, or at all."""
        exchange = self._exchange
        with trio.move_on_after(patience) as limit:
            while True:
                request = exchange.next_request()
                if request is not None or exchange.ended:
                    return request
                if exchange.awaits_leave:
                    await self.stream.send_all(exchange.leave())
                data = await self.stream.receive_some(READ_SIZE)
                if not data and not exchange.begun:
                    return None
                limit.deadline = min(limit.deadline, trio.current_time() + ASKING_TIME)
                await self._web.read(exchange, data)
        if exchange.begun:
            await self._refuse(told(408, "the request took too long"))
        return None

    async def _answer(self, request: Request, *, last: bool) -> None:
        exchange, web = self._exchange, self._web
        answer = await web.answer(request)
        if isinstance(answer, Talk):
            answer = await self._talk(answer)
        if isinstance(answer, Events) and web.watching is not None:
            await self._watch(answer, web.watching)
            return
        if isinstance(answer, Answer):
            await self.stream.send_all(exchange.whole(answer, close=last))
            return
        assert isinstance(answer, Parts)
        begun = exchange.begin(200, answer.kind, answer.headers, close=last)
        while request.method != "HEAD" and (piece := await web.piece(answer)) is not None:
            if sent := begun + exchange.part(piece):
                await self.stream.send_all(sent)
                begun = b""
        await self.stream.send_all(begun + exchange.end())

    async def _talk(self, talk: Talk) -> Answer:
        """Say something to the server, and return the answer that its replies make."""
        inner = self._web.inner
        assert inner is not None, "a site without a page says nothing"
        try:
            return talk.made(await inner.say(self.peer, talk.who, talk.commands))
        except TalkError as problem:
            log.warning("%s: a conversation for the page failed: %s", self.peer, problem)
            return told(503, str(problem))

    async def _watch(self, events: Events, watching: Watching) -> None:
        """Send what is shown once a second, until the client has gone or reads no more."""
        if watching.watchers >= MOST_WATCHERS:
            await self.stream.send_all(self._exchange.whole(told(503, "too many watch already")))
            return
        send = self.stream.send_all
        with watching.watcher():
            await send(self._exchange.begin(200, "text/event-stream", ()))
            while True:
                self._limit.deadline = trio.current_time() + WATCHING_TIME
                await watching.next_look()
                made = await self._web.made(events)
                await send(self._exchange.part(b"data: " + made + b"\n\n"))

    async def _refuse(self, answer: Answer) -> None:
        """Say why, and let the client read that: if it still sends, it would not see it else."""
        with trio.move_on_after(_LINGER):
            with contextlib.suppress(Exception):  # h11 may be past answering
                await self.stream.send_all(self._exchange.whole(answer, close=True))
            await self.stream.send_eof()
            for _ in range(_MOST_READ_OUT):
                if not await self.stream.receive_some(READ_SIZE):
                    return
