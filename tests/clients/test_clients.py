"""Every client that is installed passes the uniform test, and as many are as the tier promises."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from tests.clients.driver import Driver, MissingClientError
from tests.clients.proxies import proxy
from tests.clients.queue_test import CHECKS, Bench, outcome
from tests.clients.relay import Relay
from tests.clients.rows import PAGE, ROWS, TIER, TIERS, Row, rows_in_effect
from tests.clients.secured import secured
from tests.clients.table import Result, lines_in


@pytest.mark.parametrize("row", rows_in_effect(), ids=lambda row: row.name)
def test_the_client_can_use_queues(row: Row, tmp_path: Path, results: list[Result]) -> None:
    if row.is_missing:
        pytest.skip(f"{row.name} is not there: no checkout of it")
    with contextlib.ExitStack() as stack:
        server, tls_port, authority = stack.enter_context(secured(tmp_path))
        relay = stack.enter_context(Relay(server.port))
        port = tls_port if row.with_tls else relay.port
        if row.proxy:
            if shutil.which(row.proxy) is None:
                pytest.skip(f"{row.name} is not installed: needs {row.proxy}")
            port = stack.enter_context(proxy(row.proxy, relay.port, tmp_path))
        errors, known = tmp_path / "stderr", authority if row.with_tls else None
        try:
            one, two = (
                stack.enter_context(Driver(row.command, port, errors, known)) for _ in range(2)
            )
        except MissingClientError as error:
            pytest.skip(f"{row.name} is not installed: {error}")
        control = stack.enter_context(contextlib.closing(server.client()))
        bench = Bench(one, two, control)
        cannot = one.cannot | row.cannot
        checks = [check for check in CHECKS if check.__name__ not in cannot]
        failures = {check: why for check in checks if (why := outcome(check, bench)) is not None}
        # Of what is said over TLS, nobody in between knows anything.
        dialects = {row.dialect} if row.with_tls else relay.dialects
        results.append(
            Result(
                client=row.name,
                version=one.client_version or row.version(),
                language=row.language,
                dialect=" and ".join(sorted(dialects)),
                passed=len(checks) - len(failures),
                tried=len(checks),
                cannot=tuple(check.__name__ for check in CHECKS if check.__name__ in cannot),
                note=row.note,
            )
        )
        if failures:
            told = [f"{check.__name__}: {why}" for check, why in failures.items()]
            pytest.fail("\n".join([*told, *relay.record()]), pytrace=False)
        assert dialects == {row.dialect}
        handshakes = int(control.stats()[b"ssl_handshakes"])
        assert (handshakes >= 2) is row.with_tls
        assert cannot <= {check.__name__ for check in CHECKS}


def test_as_many_clients_were_tried_as_the_tier_promises(
    request: pytest.FixtureRequest, results: list[Result]
) -> None:
    collected = {item.name for item in request.session.items}
    if any(
        f"test_the_client_can_use_queues[{row.name}]" not in collected for row in rows_in_effect()
    ):
        pytest.skip("only some of the clients are asked for")
    assert len(results) >= TIERS[TIER], f"{len(results)} clients were tried in tier {TIER}"


@pytest.mark.skipif("CLIENTS_WRITE" in os.environ, reason="it is about to be written")
def test_the_docs_have_every_client() -> None:
    assert [line[0] for line in lines_in(PAGE)] == [row.name for row in ROWS]
