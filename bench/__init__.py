"""The load and the measurements: what a round costs a server, and proof that it did its work.

From the inside out: `phrases` are the bytes of one request and its right reply, `dialects` make
them for each protocol; `lanes` are what one connection asks in a round and how it judges what it
is told, `works` are a round for all connections together; `fleet` is the poll loop that drives
them. `servers` can be started by `process`, `scenarios` say what is done to them, `contest` does
it, and `tally` and `table` tell of it. `python -m bench` is the whole of it (`scripts/bench`),
`bench.load` one server alone, `bench.backlog` deep queues, `bench.micro` parts of this server,
`bench.hostile` attacks on it.

The load must never be the bottleneck: requests are canned bytes and one loop serves all
connections, each of which has one batch in flight. Every reply is compared whole, every item must
come back exactly once and in order; anything else makes the run void. No loop outlives its
deadline, which is on the clock of `time.perf_counter`.
"""


class LoadError(Exception):
    """The run could not be made or finished; the message is for the user."""


class VoidRunError(LoadError):
    """The server answered wrongly, so whatever was measured means nothing."""
