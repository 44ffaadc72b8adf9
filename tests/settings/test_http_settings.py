"""The section of a file on what is told by HTTP."""

import re
from pathlib import Path

import pytest

from starling_py.connecting.address import TCP, TLS, Address
from starling_py.settings.http_settings import TABLE, HttpSettings
from tests.settings.test_config_file import ROOT, SAMPLES, expect_problems, read, rows_below


def test_without_the_section_there_is_no_http(tmp_path: Path) -> None:
    assert read(tmp_path, "starling: {}\n").http is None
    assert read(tmp_path, "starling: {}\nhttp:\n").http is None


def test_an_empty_mapping_is_enough(tmp_path: Path) -> None:
    assert read(tmp_path, "http: {}\n").http == HttpSettings()
    assert str(HttpSettings().listen) == "127.0.0.1:22180"


def test_every_setting_is_read(tmp_path: Path) -> None:
    text = (
        "http:\n  listen: '[::]:80'\n  metrics: false\n  metrics_max_queues: 7\n  dashboard: true\n"
        "  actions: true\n  token_file: /etc/token\n  hosts: Queues.example, other\n"
    )
    http = read(tmp_path, text).http
    assert http is not None
    assert http.listen == Address(TCP, "::", 80)
    assert (http.metrics, http.metrics_max_queues) == (False, 7)
    assert (http.dashboard, http.actions, http.token_file) == (True, True, Path("/etc/token"))
    assert http.hosts == "queues.example,other"


@pytest.mark.parametrize("text", ["127.0.0.1", "22180", "a@h:1", "127.0.0.1:65536", "unix:a"])
def test_what_is_no_place_to_listen_at_is_refused(tmp_path: Path, text: str) -> None:
    (problem,) = expect_problems(tmp_path, f"http:\n  listen: '{text}'\n")
    assert problem.startswith(f"conf.yml:2: http.listen: {text}: ")


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            ["listen: tls:127.0.0.1:1"],
            "listen: tls:127.0.0.1:1: tls:127.0.0.1:1: tls_cert is missing",
        ),
        (
            ["listen: 127.0.0.1:1", "tls_cert: /a"],
            "tls_cert: /a: nobody is shown it: 'listen: 127.",
        ),
    ],
)
def test_tls_and_its_certificate_belong_together(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    (told,) = expect_problems(tmp_path, "http:\n  " + "\n  ".join(lines) + "\n")
    assert told.partition("http.")[2].startswith(problem)


def test_an_address_with_tls_has_a_certificate(tmp_path: Path) -> None:
    http = read(tmp_path, "http:\n  listen: tls:127.0.0.1:1\n  tls_cert: /a\n").http
    assert http is not None
    assert http.listen == Address(TLS, "127.0.0.1", 1)
    assert (http.tls_key, http.tls_min_version) == (None, "1.2")


@pytest.mark.parametrize(
    ("listen", "is_local"),
    [
        ("127.0.0.1:1", True), ("127.9.9.9:1", True), ("localhost:1", True), ("[::1]:1", True),
        ("unix:/run/starling/http.sock", True), ("*:1", False),
        ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.1:1", False), ("queues:1", False),
        ("localhost.example:1", False),
    ],
)  # fmt: skip
def test_what_others_can_reach_needs_a_token(tmp_path: Path, listen: str, is_local: bool) -> None:
    text = f"http:\n  metrics: true\n  listen: '{listen}'\n"
    if is_local:
        assert read(tmp_path, text).http is not None
    else:
        (problem,) = expect_problems(tmp_path, text)
        assert problem == (
            f"conf.yml:3: http.listen: {listen}: can be reached from other machines, which needs a"
            " 'token_file'"
        )
    assert read(tmp_path, f"{text}  token_file: /etc/token\n").http is not None


def test_actions_need_the_page(tmp_path: Path) -> None:
    (problem,) = expect_problems(tmp_path, "http:\n  actions: true\n")
    assert problem.startswith("conf.yml:2: http.actions: true: needs 'dashboard: true'")


@pytest.mark.parametrize("line", ["metrics: 1", "metrics_max_queues: 10001", "hosts: 'a b'"])
def test_a_wrong_value_is_told_with_its_place(tmp_path: Path, line: str) -> None:
    (problem,) = expect_problems(tmp_path, f"http:\n  {line}\n")
    assert problem.startswith(f"conf.yml:2: http.{line.replace(chr(39), '')}: must be ")


def test_a_name_that_is_nearly_right_is_told(tmp_path: Path) -> None:
    (problem,) = expect_problems(tmp_path, "http:\n  metric: true\n")
    assert problem == "conf.yml:2: http.metric: unknown setting; did you mean 'metrics'?"
    (problem,) = expect_problems(tmp_path, "starling: {}\nhtpp: {}\n")
    assert problem == "conf.yml:2: htpp: unknown section; did you mean 'http'?"


def test_the_section_stands_at_the_top(tmp_path: Path) -> None:
    (problem,) = expect_problems(tmp_path, "starling:\n  http: {}\n")
    assert problem == "conf.yml:2: starling.http: must stand at the top, beside 'starling:'"


def test_the_documentation_has_every_http_setting_as_the_class_has_it() -> None:
    assert rows_below("HTTP") == [
        f"| `{setting.name}` | {setting.allowed} | `{setting.default_text}` | {setting.meaning} |"
        for setting in TABLE
    ]


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_a_sample_shows_of_http_in_comments_is_good(sample: str, tmp_path: Path) -> None:
    tail = (ROOT / sample).read_text().split("\n# What is told by HTTP")[1]
    shown = re.sub("^# (?=http:| )", "", tail.partition("\n")[2], flags=re.MULTILINE)
    http = read(tmp_path, shown).http
    assert http is not None
    names = re.findall(r"^  (\w+):", shown, flags=re.MULTILINE)
    assert names == [setting.name for setting in TABLE if setting.default is not None]
    assert http == HttpSettings()
