"""The values of the settings of ``engine: jetstream``: servers, names and times."""

import re
from typing import Final

import attrs

from starling_py.settings.kinds import Kind, text_of, whole, word

_URL: Final = re.compile(r"(nats|tls)://([^\s/@]+@)?[^\s/@:]+(:[0-9]{1,5})?")


@attrs.frozen
class Servers:
    """The NATS servers of a cluster; ``str()`` leaves passwords out."""

    urls: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(re.sub("//[^@]+@", "//…@", each) for each in self.urls)

    @classmethod
    def parse(cls, value: object) -> "Servers":
        """Read a list of URLs, or a text with commas between them; else raise ``ValueError``."""
        if isinstance(value, Servers):
            return value
        urls = value if isinstance(value, list | tuple) else text_of(value).split(",")
        found = tuple(text_of(each).strip() for each in urls)
        if not found or not all(_URL.fullmatch(each) for each in found):
            raise ValueError
        return cls(found)


def _takeover(value: object) -> float:
    match = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(ms|s|)", text_of(value, numbers=True))
    if match is None:
        raise ValueError
    seconds = float(match[1]) / (1000 if match[2] == "ms" else 1)
    if not 0.2 <= seconds <= 60:
        raise ValueError
    return seconds


def problems(engine: str, servers: Servers | None, sync: str) -> list[str]:
    """Return what keeps a server from joining a group, if it is to; ``sync`` is the policy."""
    if engine != "jetstream":
        return []
    found = []
    if servers is None:
        found.append("engine: jetstream needs 'servers', those of the cluster of NATS")
    if sync == "never":
        found.append("engine: jetstream needs 'sync: always' or an interval, not never")
    return found


ENGINE: Final = word("local|jetstream", "local or jetstream")
SERVERS: Final = Kind("URLs such as nats://host:4222, in a list or with commas", Servers.parse)
STREAM: Final = word("[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, _ and -")
REPLICAS: Final = whole(1, 5, "a whole number from 1 to 5")
MONITORING: Final = whole(1, 65535, "a port, from 1 to 65535")
TAKEOVER: Final = Kind("a time from 200ms to 60s", _takeover)
ADVERTISED: Final = word(r"\S{1,253}:[0-9]{1,5}", "host:port")
