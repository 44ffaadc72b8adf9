"""The runner's end of a driver: a small program that uses one client, in the client's language.

A driver is started with the client's name and a port, and over TLS with the file of an authority
too. It first says on standard output what it is,
``{"version": "4.0.0", "cannot": ["noreply"], "types": ["integer"]}``, or why it cannot be used,
``{"missing": "no such module"}``. Then it reads one request a line and answers each with one line:

====================================================================  =========================
``{"do": "put", "queue", "as", "value", "ttl", "noreply"}``           ``{"ok": true}``
``{"do": "get", "queue", "as"}``                                      ``{"value": …}``, null: none
``{"do": "get_many", "queues"}``                                      ``{"values": {queue: text}}``
``{"do": "delete", "queue"}``                                         ``{"ok": true}``
``{"do": "stats"}``                                                   ``{"stats": {name: value}}``
``{"do": "version"}``                                                 ``{"version": "1.0.0"}``
``{"do": "flush_all"}``                                               ``{"ok": true}``
``{"do": "put_plainly", "queue", "value"}``                           ``{"ok": true}``
``{"do": "contains", "queue"}``                                       ``{"ok": true}``
any of them                                                           ``{"error": "what it was"}``
====================================================================  =========================

``as`` is how the value stands in JSON: ``text``, ``bytes`` in base64, or ``data``, any type that
the client keeps by itself. The last two are for the tests of traps, and known only where those need
them: a put of a text with nothing else said, and a question that does more than ask. ``cannot``
names the checks for which the client has no means. What is tested, and what must come of it, is not
in the drivers but in ``queue_test.py``.
"""

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

PATIENCE = 90.0
"""Seconds in which a driver must answer."""
START_PATIENCE = 240.0
"""Seconds in which it must say what it is: Go compiles first."""


class MissingClientError(Exception):
    """The client, or its language, is not installed, or its driver does not start."""


class DriverError(Exception):
    """The client raised an error, answered nonsense, or its process has died."""


class Driver:
    """A process that uses a client."""

    def __init__(
        self, command: Sequence[str], port: int, errors: Path, authority: Path | None = None
    ) -> None:
        """With an authority, the client speaks TLS."""
        self.cannot: frozenset[str] = frozenset()
        """The checks that the client has no means for."""
        self.types: frozenset[str] = frozenset()
        """The types that it keeps by itself."""
        self.client_version = ""
        self.is_alive = True
        self._errors = errors
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with errors.open("ab") as stderr:
            try:
                self._process = subprocess.Popen(
                    [*command, str(port), *([] if authority is None else [str(authority)])],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    encoding="utf-8",
                    start_new_session=True,
                )
            except OSError as error:
                raise MissingClientError(f"{command[0]}: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            try:
                hello = self._answer(START_PATIENCE)
            except DriverError as error:
                raise MissingClientError(str(error)) from error
            if reason := hello.get("missing"):
                raise MissingClientError(reason)
            self.cannot = frozenset(hello["cannot"])
            self.types = frozenset(hello["types"])
            self.client_version = hello["version"]
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def put(self, name: str, value: str | bytes, *, ttl: int = 0, noreply: bool = False) -> bool:
        """Put text or bytes; tell whether the client says that it is there."""
        if isinstance(value, str):
            return self._put(name, "text", value, ttl=ttl, noreply=noreply)
        return self._put(name, "bytes", base64.b64encode(value).decode(), ttl=ttl, noreply=noreply)

    def put_data(self, name: str, value: object) -> bool:
        """Put a value of a type that the client keeps."""
        return self._put(name, "data", value, ttl=0, noreply=False)

    def get(self, name: str) -> str | None:
        """Take a text."""
        text: str | None = self._ask(do="get", queue=name, **{"as": "text"})["value"]
        return text

    def get_bytes(self, name: str) -> bytes | None:
        """Take bytes."""
        value = self._ask(do="get", queue=name, **{"as": "bytes"})["value"]
        return None if value is None else base64.b64decode(value)

    def get_data(self, name: str) -> object:
        """Take a value of whatever type the client makes of it."""
        value: object = self._ask(do="get", queue=name, **{"as": "data"})["value"]
        return value

    def get_many(self, *names: str) -> dict[str, str]:
        """Take a text from each."""
        values: dict[str, str] = self._ask(do="get_many", queues=names)["values"]
        return values

    def delete(self, name: str) -> bool:
        """Delete a queue; tell whether the client says that there was one."""
        return bool(self._ask(do="delete", queue=name)["ok"])

    def stats(self) -> Mapping[str, str]:
        """Return the server's statistics, as far as the client passes them on."""
        stats: Mapping[str, str] = self._ask(do="stats")["stats"]
        return stats

    def version(self) -> str:
        """Return the server's version."""
        version: str = self._ask(do="version")["version"]
        return version

    def flush_all(self) -> bool:
        """Tell whether the client says that all is flushed."""
        return bool(self._ask(do="flush_all")["ok"])

    def put_plainly(self, name: str, text: str) -> bool:
        """Put a text as the client does it when it is told nothing else."""
        return bool(self._ask(do="put_plainly", queue=name, value=text)["ok"])

    def contains(self, name: str) -> bool:
        """Ask whether there is anything, in the client's words."""
        return bool(self._ask(do="contains", queue=name)["ok"])

    def end(self) -> None:
        """End the process, in order if it can be."""
        self.is_alive = False
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()

    def _put(self, name: str, kind: str, value: object, *, ttl: int, noreply: bool) -> bool:
        request = {"do": "put", "queue": name, "as": kind, "value": value}
        return bool(self._ask(**request, ttl=ttl, noreply=noreply)["ok"])

    def _ask(self, **request: object) -> dict[str, Any]:
        if not self.is_alive:
            raise DriverError("it has died before")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            self.is_alive = False
            raise self._death() from None
        answer = self._answer(PATIENCE)
        if "error" in answer:
            raise DriverError(answer["error"])
        return answer

    def _answer(self, patience: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            self.is_alive = False
            raise DriverError(f"no answer in {patience:.0f} s") from None
        if not line:
            self.is_alive = False
            raise self._death()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise DriverError(f"it said {line!r}") from None
        return answer

    def _death(self) -> DriverError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        said = self._errors.read_text(errors="replace")[-1000:]
        return DriverError(f"it ended ({self._process.returncode}): {said}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
