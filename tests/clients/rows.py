"""The rows of the matrix: every client, in which tier it is tried, and what starts its driver."""

import os
import subprocess
import sys
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "clients.md"
DRIVERS = Path(__file__).parent / "drivers"

TIERS = {"checkout": 9, "always": 29, "full": 48, "all": 52, "sources": 57}
"""The tiers, each with all that is in those before it, and how many rows must run in it.

``checkout`` is what the tests' own dependencies have; `scripts/clients` installs those up to
``all``. The rows of ``sources`` are of Ruby clients that no package has; Ruby reads them where
``CLIENTS_SOURCES`` says, and nothing is built.
"""
TIER = os.environ.get("CLIENTS_TIER", "checkout")
"""The tier in effect."""

SOURCES = Path(os.environ.get("CLIENTS_SOURCES", "/nonexistent"))
"""The folder with checkouts of the clients of ``sources``, in folders of the rows' names."""


@attrs.frozen
class Row:
    """One client, as it is set up."""

    name: str
    language: str
    tier: str
    command: tuple[str, ...]
    """What starts its driver; the port follows."""
    dialect: str = "text"
    note: str = ""
    package: str = ""
    """The Debian package it comes from, where it does not know its own version."""
    source: str = ""
    """The checkout it is run from, if it is."""
    proxy: str = ""
    """The program that stands between it and the server, if one does."""
    cannot: frozenset[str] = frozenset()
    """The checks that the proxy has no means for, or the client over TLS."""
    with_tls: bool = False
    """Whether the client speaks TLS to the server, by its own means."""

    @property
    def is_missing(self) -> bool:
        """Whether it is known before it is started that it is not there."""
        return bool(self.source) and not (SOURCES / self.source).is_dir()

    def version(self) -> str:
        """Return the version of its Debian package; nothing if unknown."""
        command = ["dpkg-query", "--show", "--showformat=${Version}", self.package]
        try:
            done = subprocess.run(command, capture_output=True, check=False, text=True)
        except OSError:
            return ""
        return done.stdout.strip()


def _python(tier: str, name: str, client: str, *, dialect: str = "text", note: str = "") -> Row:
    """Return a row of a Python client, run by its virtual environment."""
    folder = ROOT / (".venv-clients-memcache" if client == "memcache" else ".venv-clients")
    interpreter = folder / "bin" / "python"
    if tier == "checkout" and not interpreter.exists():
        interpreter = Path(sys.executable)
    command = (str(interpreter), str(DRIVERS / "python" / "driver.py"), client)
    return Row(name, "Python", tier, command, dialect, note)


def _row(
    language: str, tier: str, name: str, *command: str, dialect: str = "text", note: str = ""
) -> Row:
    """Return a row whose driver is in the folder of its language."""
    starter, file, *arguments = command
    path = str(DRIVERS / language / file)
    shown = {"php": "PHP", "tools": "shell"}.get(language, language.title())
    return Row(name, shown, tier, (starter, path, *arguments), dialect, note)


GO = ("GOPATH=/usr/share/gocode", "GO111MODULE=off")
"""Debian's packages of Go libraries are used from there."""
JARS = ("/usr/share/java/spymemcached.jar", "/usr/share/java/gson.jar")


def _java(name: str, dialect: str) -> Row:
    """Return a row of spymemcached."""
    command = ("java", "-cp", ":".join(JARS), str(DRIVERS / "java" / "Driver.java"), dialect)
    return Row(name, "Java", "all", command, dialect, package="libspymemcached-java")


def _ruby_source(name: str, client: str, *sources: str, dialect: str = "text") -> Row:
    """Return a row of a Ruby client that is run from checkouts, the first of which is its own."""
    paths = ":".join(str(SOURCES / source / "lib") for source in sources)
    starter = ("env", f"RUBYLIB={paths}", f"STARLING={SOURCES / 'starling'}", "ruby")
    command = (*starter, str(DRIVERS / "ruby" / "driver.rb"), client)
    return Row(name, "Ruby", "sources", command, dialect, "from a checkout", source=sources[0])


NOT_THROUGH_TWEMPROXY = frozenset(
    {"queue_statistics", "statistics", "version", "flush_all", "reliable_read"}
)
"""It closes the connection on what concerns a whole server, and its clients share one connection
to the server: a close without an item's id is anybody's."""


def _proxied(name: str, client: str, proxy: str, cannot: frozenset[str] = frozenset()) -> Row:
    """Return a row of a Python client behind a proxy."""
    row = _python("full", name, client)
    return attrs.evolve(row, proxy=proxy, cannot=cannot, note=f"behind {PROXY_NAMES[proxy]}")


def _tls(row: Row, note: str = "", *cannot: str) -> Row:
    """Return the same row over TLS, and what its client cannot then."""
    name = f"{row.name}, TLS"
    return attrs.evolve(row, name=name, with_tls=True, note=note, cannot=frozenset(cannot))


PROXY_NAMES = {"nutcracker": "twemproxy", "haproxy": "HAProxy"}

GOMEMCACHE = Row(
    *("gomemcache", "Go", "all"),
    ("env", *GO, "go", "run", str(DRIVERS / "go" / "driver.go"), "gomemcache"),
    package="golang-github-bradfitz-gomemcache-dev",
)
ROWS = (
    _python("checkout", "pymemcache Client", "pymemcache"),
    _python(
        "checkout",
        "pymemcache Client, its defaults",
        "pymemcache-defaults",
        note="asks for no reply, so it is never told",
    ),
    _python("checkout", "pymemcache PooledClient", "pymemcache-pooled"),
    _python("checkout", "pymemcache HashClient", "pymemcache-hash"),
    _python("checkout", "pymemcache RetryingClient", "pymemcache-retrying"),
    *(
        _tls(_python("checkout", f"pymemcache {name}", client))
        for name, client in (
            ("Client", "pymemcache"),
            ("PooledClient", "pymemcache-pooled"),
            ("HashClient", "pymemcache-hash"),
            ("RetryingClient", "pymemcache-retrying"),
        )
    ),
    _python("always", "python-memcached", "python-memcached"),
    _python("always", "pylibmc", "pylibmc"),
    _python("always", "pylibmc, binary", "pylibmc-binary", dialect="binary"),
    _python("always", "python-binary-memcached", "bmemcached", dialect="binary"),
    _tls(_python("always", "python-binary-memcached", "bmemcached", dialect="binary")),
    _python("always", "libmc", "libmc"),
    _python("always", "Django PyMemcacheCache", "django-pymemcache"),
    _tls(_python("always", "Django PyMemcacheCache", "django-pymemcache")),
    _python("always", "Django PyLibMCCache", "django-pylibmc"),
    _python("always", "aiomcache", "aiomcache", note="two connections"),
    _python("always", "aiocache", "aiocache", note="two connections"),
    _python("always", "emcache", "emcache"),
    _tls(_python("always", "emcache", "emcache")),
    _python("always", "memcachio", "memcachio"),
    _tls(
        _python("always", "memcachio", "memcachio"),
        "drops lines of `stats` where they come in several records",
        *("statistics", "queue_statistics"),
    ),
    _python("always", "meta-memcache", "meta-memcache", dialect="meta"),
    _python("always", "memcache", "memcache", dialect="meta", note="is never told"),
    _row("tools", "always", "netcat", sys.executable, "driver.py", "netcat"),
    _row("tools", "always", "libmemcached's tools", sys.executable, "driver.py", "libmemcached"),
    _row(
        "tools",
        "always",
        "libmemcached's tools, binary",
        *(sys.executable, "driver.py", "libmemcached-binary"),
        dialect="binary",
    ),
    *(
        _proxied(f"{name}, twemproxy", client, "nutcracker", NOT_THROUGH_TWEMPROXY)
        for name, client in (
            ("pymemcache Client, its defaults", "pymemcache-defaults"),
            ("pymemcache PooledClient", "pymemcache-pooled"),
        )
    ),
    _proxied("pymemcache PooledClient, HAProxy", "pymemcache-pooled", "haproxy"),
    _row("ruby", "full", "Dalli", "ruby", "driver.rb", "dalli", dialect="binary"),
    _tls(
        _row("ruby", "full", "Dalli", "ruby", "driver.rb", "dalli", dialect="binary"),
        "its `get_multi` raises an error over TLS in version 3.0",
        "several_queues",
    ),
    _row("ruby", "full", "remcached", "ruby", "driver.rb", "remcached", dialect="binary"),
    _row("perl", "full", "Cache::Memcached", "perl", "driver.pl", "memcached"),
    _row("perl", "full", "Cache::Memcached::Fast", "perl", "driver.pl", "fast"),
    _row("perl", "full", "Cache::Memcached::Fast::Safe", "perl", "driver.pl", "fast-safe"),
    _row("perl", "full", "Cache::Memcached::libmemcached", "perl", "driver.pl", "libmemcached"),
    _row("php", "full", "PHP memcached", "php", "driver.php", "memcached"),
    _row(
        "php",
        "full",
        "PHP memcached, binary",
        *("php", "driver.php", "memcached-binary"),
        dialect="binary",
    ),
    _row("php", "full", "PHP memcache", "php", "driver.php", "memcache"),
    _row("node", "full", "Node memcached", "node", "driver.js", "memcached"),
    _row("node", "full", "memjs", "node", "driver.js", "memjs", dialect="binary"),
    _row("node", "full", "memcache-plus", "node", "driver.js", "memcache-plus"),
    _row("node", "full", "Node memcache-client", "node", "driver.js", "memcache-client"),
    _row("node", "full", "Node memcache", "node", "driver.js", "memcache"),
    _row("node", "full", "mc", "node", "driver.js", "mc"),
    GOMEMCACHE,
    _tls(GOMEMCACHE, "by Go's TLS: this version has none of its own"),
    _java("spymemcached", "text"),
    _java("spymemcached, binary", "binary"),
    _ruby_source("Dalli 4", "dalli", "dalli-4", dialect="binary"),
    _ruby_source("Dalli 4, meta", "dalli-meta", "dalli-4", dialect="meta"),
    _ruby_source("Dalli 5", "dalli", "dalli-5", dialect="meta"),
    _ruby_source("Ruby memcache-client", "memcache-client", "memcache-client"),
    _ruby_source("Ruby's Starling class", "starling", "starling", "memcache-client"),
)


def is_in_effect(tier: str) -> bool:
    """Tell whether what is in a tier is to be tried."""
    order = list(TIERS)
    return order.index(tier) <= order.index(TIER)


def rows_in_effect() -> list[Row]:
    """Return the rows of the tier in effect."""
    return [row for row in ROWS if is_in_effect(row.tier)]


def starter(name: str, client: str = "") -> tuple[str, ...]:
    """Return what starts the driver of a row, for another client of its driver if one is given."""
    command = next(row.command for row in ROWS if row.name == name)
    return (*command[:-1], client) if client else command
