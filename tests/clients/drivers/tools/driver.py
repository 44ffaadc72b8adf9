"""Command line tools: ``driver.py TOOL PORT`` speaks what ``tests/clients/driver.py`` says."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

_ITEM = re.compile(rb"VALUE (\S+) \d+ (\d+)\r\n")


class Tool(Protocol):
    """What the tools can do."""

    cannot: tuple[str, ...]
    """Checks that it has no means for."""

    def version_of_tool(self) -> str:
        """Return its own version."""

    def put(self, queue: str, value: bytes, ttl: int) -> bool:
        """Put an item."""

    def get(self, queues: list[str]) -> dict[str, bytes]:
        """Take an item from each."""

    def delete(self, queue: str) -> bool:
        """Delete a queue."""

    def stats(self) -> dict[str, str]:
        """Return the server's statistics."""

    def version(self) -> str:
        """Return the server's version."""

    def flush_all(self) -> bool:
        """Flush all."""


class Netcat:
    """What is piped into ``nc``, and what comes out of it: each request is a connection."""

    executable = "nc"
    cannot: tuple[str, ...] = ("noreply", "reliable_read")  # a read ends with its connection

    def __init__(self, port: str) -> None:
        # It ends its half of the connection and reads on until the server has ended the other.
        self._command = (self.executable, "-N", "127.0.0.1", port)

    def version_of_tool(self) -> str:
        """Return its own version; only OpenBSD's knows ``-N``."""
        return said(self.executable, "-h", r"OpenBSD.*?([\d.]+)")

    def put(self, queue: str, value: bytes, ttl: int) -> bool:
        """Put an item."""
        head = f"set {queue} 0 {ttl} {len(value)}\r\n".encode()
        return self._say(head + value + b"\r\n") == b"STORED\r\n"

    def get(self, queues: list[str]) -> dict[str, bytes]:
        """Take an item from each."""
        rest = self._say(f"get {' '.join(queues)}\r\n".encode())
        items = {}
        while found := _ITEM.match(rest):
            end = found.end() + int(found[2])
            items[found[1].decode()] = rest[found.end() : end]
            rest = rest[end + 2 :]
        assert rest == b"END\r\n", rest
        return items

    def delete(self, queue: str) -> bool:
        """Delete a queue."""
        return self._say(f"delete {queue}\r\n".encode()) == b"DELETED\r\n"

    def stats(self) -> dict[str, str]:
        """Return the server's statistics."""
        lines = self._say(b"stats\r\n").decode().splitlines()
        return {line.split()[1]: line.split()[2] for line in lines[:-1]}

    def version(self) -> str:
        """Return the server's version."""
        return self._say(b"version\r\n").decode().split()[1]

    def flush_all(self) -> bool:
        """Flush all."""
        return self._say(b"flush_all\r\n") == b"OK\r\n"

    def _say(self, what: bytes) -> bytes:
        return subprocess.run(self._command, input=what, capture_output=True, check=True).stdout


class Libmemcached:
    """libmemcached's tools: ``memccp`` puts a file into the queue of its name, and so on."""

    executable = "memccp"
    cannot: tuple[str, ...] = ("several_queues", "noreply", "queue_statistics", "reliable_read")
    options: tuple[str, ...] = ()

    def __init__(self, port: str) -> None:
        self._options = (f"--servers=127.0.0.1:{port}", *self.options)

    def version_of_tool(self) -> str:
        """Return their own version."""
        return said(self.executable, "--version", r"v?(\d+(?:\.\d+)+)")

    def put(self, queue: str, value: bytes, ttl: int) -> bool:
        """Put an item."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, queue)
            path.write_bytes(value)
            return self._run("memccp", f"--expire={ttl}", str(path)).returncode == 0

    def get(self, queues: list[str]) -> dict[str, bytes]:
        """Take an item, which is written into a file: on standard output a line end follows."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "item")
            done = self._run("memccat", f"--file={path}", *queues)
            return {queues[0]: path.read_bytes()} if done.returncode == 0 else {}

    def delete(self, queue: str) -> bool:
        """Delete a queue."""
        return self._run("memcrm", queue).returncode == 0

    def stats(self) -> dict[str, str]:
        """Return the server's statistics."""
        told = self._run("memcstat").stdout.decode()
        return dict(re.findall(r"^\s*(\S+): (\S+)$", told, re.MULTILINE))

    def version(self) -> str:
        """Return the server's version."""
        return self.stats()["version"]

    def flush_all(self) -> bool:
        """Flush all."""
        return self._run("memcflush").returncode == 0

    def _run(self, tool: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        command = (tool, *self._options, *arguments)
        return subprocess.run(command, capture_output=True, check=False, timeout=60)


class LibmemcachedBinary(Libmemcached):
    """The same in the binary dialect."""

    options = ("--binary",)


TOOLS: dict[str, type[Netcat | Libmemcached]] = {
    "netcat": Netcat,
    "libmemcached": Libmemcached,
    "libmemcached-binary": LibmemcachedBinary,
}


def said(executable: str, option: str, pattern: str) -> str:
    """Return what a tool says of itself; nothing if it says something else."""
    done = subprocess.run((executable, option), capture_output=True, check=False, text=True)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else ""


def answer(tool: Tool, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    queue = request.get("queue", "")
    match request["do"]:
        case "put":
            value = request["value"]
            data = base64.b64decode(value) if request["as"] == "bytes" else value.encode()
            return {"ok": tool.put(queue, data, request["ttl"])}
        case "get":
            item = tool.get([queue]).get(queue)
            if item is None:
                return {"value": None}
            is_bytes = request["as"] == "bytes"
            return {"value": (base64.b64encode(item) if is_bytes else item).decode()}
        case "get_many":
            items = tool.get(request["queues"]).items()
            return {"values": {name: item.decode() for name, item in items}}
        case "delete":
            return {"ok": tool.delete(queue)}
        case "stats":
            return {"stats": tool.stats()}
        case "version":
            return {"version": tool.version()}
        case _:
            return {"ok": tool.flush_all()}


def say(what: dict[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Answer requests until there are no more."""
    kind = TOOLS[sys.argv[1]]
    tool: Tool = kind(sys.argv[2])
    if shutil.which(kind.executable) is None or not (version := tool.version_of_tool()):
        say({"missing": f"{kind.executable} is not there, or not the right one"})
        return
    say({"version": version, "cannot": tool.cannot, "types": []})
    for line in sys.stdin:
        try:
            say(answer(tool, json.loads(line)))
        except Exception as error:
            say({"error": repr(error)})


if __name__ == "__main__":
    main()
