"""Who may ask for what: the host that is asked for, tokens, and no site but this one.

A page of another site that runs in somebody's browser can send requests to this machine. So the
name that is asked for must be one of this machine's (or a name could be made to point here), what
comes from another site is refused, and what changes something needs a header that a form of another
site cannot set. With tokens, everything needs one, and comparing takes the same time whatever is
sent.
"""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Final

import attrs

from starling_py.http.messages import Answer, Request, told

HEADER: Final = "x-starling"
"""The header that what changes something must have, with any value."""
_READING: Final = frozenset({"GET", "HEAD"})
_ASK: Final = (("www-authenticate", 'Basic realm="starling-py", charset="UTF-8"'),)


@attrs.frozen
class Gate:
    """Judges requests."""

    tokens: Mapping[bytes, str] = attrs.field(factory=dict, repr=False)
    """Who has which token; with none, nobody needs one."""
    hosts: frozenset[str] = frozenset()
    """Names of this machine, in small letters, beside localhost and addresses."""

    def refusal(self, request: Request) -> Answer | None:
        """Return why a request is refused; ``None`` if it is not."""
        if not self._is_here(request.headers.get("host", "")):
            return told(421, "this machine has another name; see the setting 'hosts'")
        if _is_of_another_site(request):
            return told(403, "another site has no business here")
        if self.tokens and self.who(request) is None:
            return told(401, "a token is needed", _ASK)
        return None

    def who(self, request: Request) -> str | None:
        """Return whose token a request has; ``None`` if it has none that is right."""
        if not self.tokens:
            return "anybody"
        given = _token(request.headers.get("authorization", ""))
        found = None
        for token, name in self.tokens.items():
            if hmac.compare_digest(token, given):
                found = name
        return found

    def _is_here(self, host: str) -> bool:
        name = host.lower()
        if not name.endswith("]"):
            before, colon, port = name.rpartition(":")
            if colon and port.isdigit():
                name = before
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
        except ValueError:
            return False
        return True


def _is_of_another_site(request: Request) -> bool:
    headers = request.headers
    site = headers.get("sec-fetch-site", "same-origin")
    if request.method not in _READING:
        origin = headers.get("origin")
        own = {f"{scheme}://{headers.get('host', '')}" for scheme in ("http", "https")}
        foreign = origin is not None and origin not in own
        return foreign or site != "same-origin" or HEADER not in headers
    if site in {"same-origin", "none"}:
        return False
    # A link to the page is followed; nothing else is fetched for another site.
    return not (request.path == "/" and headers.get("sec-fetch-mode") == "navigate")


def _token(authorization: str) -> bytes:
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
