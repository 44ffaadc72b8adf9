"""The alerts and the dashboard for Prometheus and Grafana ask for what ``/metrics`` tells."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from starling_py.http import metrics
from starling_py.http.exposition import PLAIN
from tests.http.parts import FakeQueue, FakeSource

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "contrib/prometheus/alerts.yml"
TESTS = ROOT / "contrib/prometheus/alerts_test.yml"
DASHBOARD = ROOT / "contrib/grafana/starling.json"
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool, of Debian's prometheus"
)


def told() -> set[str]:
    """Return the names of all samples that a server tells."""
    group = [
        *(("replica_role", "owner"), ("replica_standbys", "")),
        *((f"replica_{each}", 0) for each in ("epoch", "lag", "silent_ms", "last_takeover")),
    ]
    source = FakeSource([FakeQueue(b"jobs")], extra=list(group))
    lines = b"".join(metrics.parts(source, 200, PLAIN)).decode().splitlines()
    names = {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}
    # What the source of tests does not know.
    return names | {"process_resident_memory_bytes"}


def asked(text: str) -> set[str]:
    return set(re.findall(r"\b(?:starling|process)_\w+", text))


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def test_the_alerts_ask_only_for_what_is_told() -> None:
    names = set().union(*(asked(rule["expr"]) for rule in rules()))
    assert len(names) > 10
    assert names <= told()


def test_the_dashboard_asks_only_for_what_is_told() -> None:
    names = set().union(*(asked(each) for each in expressions()))
    assert len(names) > 20
    assert names <= told()


def test_every_alert_has_a_test() -> None:
    cases = yaml.safe_load(TESTS.read_text())["tests"]
    fires = {
        each["alertname"]
        for case in cases
        for each in case["alert_rule_test"]
        if each["exp_alerts"]
    }
    assert fires == {rule["alert"] for rule in rules()}


def test_the_panels_have_places_of_their_own() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


@NEEDS_PROMTOOL
def test_promtool_finds_the_alerts_right_and_their_tests_pass() -> None:
    for arguments in (["check", "rules", ALERTS.name], ["test", "rules", TESTS.name]):
        done = subprocess.run(
            ["promtool", *arguments],
            cwd=ALERTS.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@NEEDS_PROMTOOL
def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    chosen = {
        "$__rate_interval": "5m",
        "$__range": "1h",
        "$instance": ".*",
        "$queue": ".*",
    }
    asks = []
    for number, each in enumerate(expressions()):
        for name, value in chosen.items():
            each = each.replace(name, value)
        asks.append({"record": f"asked:{number}", "expr": each})
    rules_file = tmp_path / "asked.yml"
    rules_file.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": asks}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", rules_file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
