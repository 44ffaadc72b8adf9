"""The two forms that Prometheus reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starling_py.http import exposition
from starling_py.http.exposition import OPENMETRICS, PLAIN, Exposition
from starling_py.stats import Histogram
from tests.http.openmetrics import families

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; version=1.0.0", OPENMETRICS),
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/plain", PLAIN),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("text/plain;q=1, application/openmetrics-text;q=0.5", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;q=..", PLAIN),
    ],
)
def test_the_form_is_the_one_that_is_accepted(accept: str, form: str) -> None:
    assert exposition.wanted(accept) == form


@given(st.text(max_size=200))
def test_no_accept_header_raises_anything(accept: str) -> None:
    assert exposition.wanted(accept) in {OPENMETRICS, PLAIN}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_a_label_is_read_back_as_it_was(text: str) -> None:
    write = Exposition(OPENMETRICS)
    head = write.head("a", "gauge", "Something")
    told = f"{head}a{exposition.labels(queue=text)} 1\n{write.end()}"
    (family,) = families(told).values()
    assert family.samples[0].labels == {"queue": text}


@given(st.lists(st.integers(-5, 1 << 45), max_size=30))
def test_a_histogram_has_every_value_in_the_right_bucket(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    write = Exposition(OPENMETRICS)
    lines = exposition.buckets("a_seconds", histogram, 1e-3, range(0, 31, 2), 'verb="get",')
    told = write.head("a_seconds", "histogram", "Times") + "".join(lines) + write.end()
    (family,) = families(told).values()
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            most = float(sample.labels["le"]) * 1000
            assert sample.value == sum(max(value, 0) < most for value in values)
    assert {sample.name: sample.value for sample in family.samples}["a_seconds_count"] == len(
        values
    )


def test_counters_are_named_as_each_form_wants() -> None:
    assert "# TYPE a counter\n" in Exposition(OPENMETRICS).lone("a", "counter", "A.", 1)
    assert "# TYPE a_total counter\n" in Exposition(PLAIN).lone("a", "counter", "A.", 1)
    assert "# UNIT a_bytes bytes\n" in Exposition(OPENMETRICS).lone("a_bytes", "gauge", "A.", 1)
    assert Exposition(PLAIN).lone("a_bytes", "gauge", "A.", 1).count("#") == 2
