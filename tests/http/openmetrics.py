"""Reads OpenMetrics by the parser of Prometheus' own library for Python."""

from prometheus_client import Metric
from prometheus_client.openmetrics import parser


def families(told: str) -> dict[str, Metric]:
    """Return the families by name. Raises ``ValueError`` for what is no OpenMetrics."""
    found = parser.text_string_to_metric_families(told)  # type: ignore[no-untyped-call]
    return {each.name: each for each in found}
