"""Addresses of servers, as people write them."""

import pytest

from starling_py.ctl.endpoint import Endpoint
from starling_py.ctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("queues.example", "queues.example:22122"),
        ("queues.example:1", "queues.example:1"),
        (":23000", "127.0.0.1:23000"),
        ("[::1]:23000", "[::1]:23000"),
        ("[::1]", "[::1]:22122"),
        ("::1", "[::1]:22122"),
        ("unix:/run/starling.sock", "unix:/run/starling.sock"),
        ("/run/starling.sock", "unix:/run/starling.sock"),
    ],
)
def test_an_address_is_understood_in_each_form_and_told_in_one(text: str, told: str) -> None:
    endpoint = Endpoint.parse(text)
    assert str(endpoint) == told
    assert Endpoint.parse(told) == endpoint


@pytest.mark.parametrize(
    "text", ["", ":", "host:port", "host:0", "host:65536", "[::1", "[]:1", "[::1]x", "unix:"]
)
def test_what_is_no_address_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"host:port|port|\[::1\]|unix:"):
        Endpoint.parse(text)
