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


def test_an_owner_tells_what_it_is_in_its_group() -> None:
    source = FakeSource()
    assert "starling_replica" not in b"".join(metrics.parts(source, 1, PLAIN)).decode()
    source.extra = [
        ("replica_role", "owner"),
        ("replica_epoch", 2),
        ("replica_lag", 3),
        ("replica_silent_ms", 250),
        ("replica_last_takeover", 1000),
        ("replica_standbys", "10.0.0.2:22122,10.0.0.3:22122"),
    ]
    told = b"".join(metrics.parts(source, 1, PLAIN)).decode()
    for line in ("owner 1", "standbys 2", "epoch 2", "lag_messages 3", "silent_seconds 0.25"):
        assert f"\nstarling_replica_{line}\n" in told
