"""What ``/metrics`` tells: of the largest queues each, of the others their sums."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as plain_families

from starling_py.http import metrics
from starling_py.http.exposition import OPENMETRICS, PLAIN
from starling_py.stats import WATCHED
from tests.http import openmetrics
from tests.http.parts import FakeQueue, FakeSource


def families(source: FakeSource, most: int = 200) -> dict[str, Metric]:
    told = b"".join(metrics.parts(source, most, OPENMETRICS)).decode()
    return openmetrics.families(told)


def values(family: Metric) -> dict[str | None, float]:
    """Return the values by the names of queues, ``None`` for the sum of the others."""
    return {each.labels.get("queue"): each.value for each in family.samples}


@given(
    st.dictionaries(st.binary(min_size=1, max_size=6), st.integers(0, 50), max_size=30),
    st.integers(0, 12),
)
def test_the_sum_over_all_lines_is_the_sum_over_all_queues(
    sizes: dict[bytes, int], most: int
) -> None:
    queues = [FakeQueue(name, items) for name, items in sizes.items()]
    found = families(FakeSource(queues), most)
    told = values(found["starling_queue_items"])
    assert sum(told.values()) == sum(sizes.values())
    assert len(told) <= most + 1
    left_out = found["starling_queues_left_out"].samples[0].value
    assert len(told) - (None in told) + left_out == len(sizes)
    assert found["starling_queues"].samples[0].value == len(sizes)
    smallest = min((told[name] for name in told if name is not None), default=0)
    left = sorted(sizes.values())[: int(left_out)]
    assert not left or not most or left[-1] <= smallest or len(set(told)) < most


def test_of_more_queues_than_are_compared_at_once_the_largest_are_told() -> None:
    queues = [FakeQueue(b"q%04d" % number, number) for number in range(3500)]
    told = values(families(FakeSource(queues), 3)["starling_queue_items"])
    assert told == {"q3499": 3499, "q3498": 3498, "q3497": 3497, None: sum(range(3497))}


def test_nothing_takes_more_than_a_few_queues_in_one_step() -> None:
    source = FakeSource([FakeQueue(b"q%d" % number) for number in range(500)])
    before = 0
    for _ in metrics.parts(source, 200, PLAIN):
        assert source.measured - before <= 50
        before = source.measured
    assert before == 500


def test_the_oldest_of_the_others_is_told_and_not_the_sum_of_ages() -> None:
    queues = [FakeQueue(b"q%d" % age, 1, more={"age": age}) for age in (1000, 3000, 2000)]
    assert values(families(FakeSource(queues), 0)["starling_queue_age_seconds"]) == {None: 3.0}


def test_an_age_that_is_not_known_is_not_told() -> None:
    source = FakeSource([FakeQueue(b"new", 5, more={"age": -1}), FakeQueue(b"old", 1)])
    assert values(families(source)["starling_queue_age_seconds"]) == {"old": 0}


def test_no_sum_is_told_of_what_only_grows() -> None:
    source = FakeSource([FakeQueue(b"a", 5), FakeQueue(b"b", 1)])
    assert values(families(source, 1)["starling_queue_puts"]) == {"a": 0}


def test_names_that_look_alike_do_not_spoil_the_whole() -> None:
    source = FakeSource([FakeQueue(b"\xff", 5), FakeQueue(b"\\xff", 1), FakeQueue(b'a"\n', 2)])
    told = values(families(source)["starling_queue_items"])
    assert told == {'a"\n': 2, "\\xff": 1, None: 5}


def test_both_forms_tell_the_same_numbers() -> None:
    source = FakeSource([FakeQueue(b"jobs", 5)])
    source.times.waits.add(1500)
    told = b"".join(metrics.parts(source, 200, PLAIN)).decode()
    plain = {
        (each.name, *each.labels.items()): each.value
        for family in plain_families(told)
        for each in family.samples
    }
    both = {
        (each.name, *each.labels.items()): each.value
        for family in families(source).values()
        for each in family.samples
    }
    assert plain == both
    assert plain["starling_item_wait_seconds_bucket", ("le", "4.096")] == 1
    assert plain["starling_item_wait_seconds_bucket", ("le", "1.024")] == 0
    assert plain["starling_item_wait_seconds_sum",] == 1.5


def test_every_number_of_a_queue_is_told() -> None:
    told = families(FakeSource([FakeQueue(b"jobs")]))
    assert (
        sum(name.startswith("starling_queue_") for name in told) == len(WATCHED) - 2
    )  # when it was last put into and taken from is left to the rates


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Debian's prometheus")
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    source = FakeSource([FakeQueue(b"jobs", 5), FakeQueue(b"mail")])
    told = b"".join(metrics.parts(source, 1, PLAIN))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=told, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def sample(source: FakeSource, name: str) -> float:
    return families(source)[name].samples[0].value


def test_what_was_only_looked_at_does_not_count_as_taken() -> None:
    source = FakeSource()
    source.counters.get_hits, source.counters.cmd_peek = 30, 20
    assert sample(source, "starling_items_taken") == 10
    assert sample(source, "starling_items_looked_at") == 20


def test_who_is_refused_and_who_spoke_no_tls_is_counted() -> None:
    source = FakeSource()
    source.counters.auth_errors, source.counters.permission_errors = 1, 2
    source.counters.ssl_handshake_errors = 3
    assert sample(source, "starling_authentication_errors") == 1
    assert sample(source, "starling_permission_errors") == 2
    assert sample(source, "starling_tls_handshake_errors") == 3


@pytest.mark.parametrize("role", ["owner", "follower", ""])
def test_a_server_of_a_group_tells_its_place_in_it(role: str) -> None:
    told = [
        *(("replica_role", role), ("replica_owner", "10.0.0.1:22122")),
        *(("replica_epoch", 3), ("replica_lag", 17)),
        *(("replica_silent_ms", 2500), ("replica_last_takeover", 1_000_000)),
        ("replica_standbys", "10.0.0.2:22122,10.0.0.3:22122"),
    ]
    source = FakeSource(extra=told if role else [])
    found = {name: each for name, each in families(source).items() if "replica" in name}
    if not role:
        assert not found
        return
    assert {name: each.samples[0].value for name, each in found.items()} == {
        "starling_replica_owner": float(role == "owner"),
        "starling_replica_epoch": 3,
        "starling_replica_lag_messages": 17,
        "starling_replica_standbys": 2,
        "starling_replica_silent_seconds": 2.5,
        "starling_replica_last_takeover_seconds": 1_000_000,
    }
