"""The configuration file: what it may say, and what is said of a file that says something else.

Every message names its place; nothing that stands in a file raises anything but ``ConfigError``.
The samples and the documentation are held to the tables of settings.
"""

import re
import tempfile
from pathlib import Path
from typing import Literal

import attrs
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from starling_py.settings.config_file import load
from starling_py.settings.errors import ConfigError
from starling_py.settings.kinds import Setting, aliases
from starling_py.settings.queue_settings import QUEUE_TABLE, QueueSettings
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.settings.server_settings import TABLE, Settings, SyncPolicy
from starling_py.settings.users import USER_TABLE, Users

ROOT = Path(__file__).parents[2]
SAMPLES = ("conf/development.yml", "conf/production.yml")

THE_BOOK = """\
starling:
  port: 22122
  pid_file: /tmp/starling/starling.pid
  queue_path: /tmp/starling/spool
  timeout: 0
  logger: /tmp/starling/log/starling.log
  log_level: DEBUG
  daemonize: true
"""


def read(folder: Path, text: str | bytes, **overrides: object) -> Settings:
    path = folder / "conf.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return load(path, overrides)


def expect_problems(folder: Path, text: str | bytes, **overrides: object) -> list[str]:
    """Return what is wrong with a file, as if it had been named ``conf.yml``."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, **overrides)
    found = [line.replace(f"{folder}/", "") for line in caught.value.problems]
    assert found
    assert all(line.isprintable() for line in found)
    return found


def expect_problem(folder: Path, line: str) -> str:
    """Return the only problem of a file whose section has this one line, without its place."""
    (problem,) = expect_problems(folder, f"starling:\n  {line}\n")
    place = "conf.yml:2: starling."
    assert problem.startswith(place)
    return problem.removeprefix(place)


def test_the_file_that_the_book_prints_loads_unchanged(tmp_path: Path) -> None:
    assert read(tmp_path, THE_BOOK) == Settings(
        port=22122,
        pid_file=Path("/tmp/starling/starling.pid"),
        queue_path=Path("/tmp/starling/spool"),
        timeout=0,
        logger=Path("/tmp/starling/log/starling.log"),
        log_level="DEBUG",
        daemonize=True,
    )


def test_without_a_file_everything_has_its_default() -> None:
    assert load() == Settings()
    assert attrs.asdict(load(), recurse=False) == {
        "host": "127.0.0.1",
        "port": 22122,
        "listen": None,
        "allow_from": None,
        "users_file": None,
        "tls_cert": None,
        "tls_key": None,
        "tls_client_ca": None,
        "tls_min_version": "1.2",
        "insecure": False,
        "timeout": 0.0,
        "max_connections": 4096,
        "client_memory": 1 << 28,
        "proxy_protocol": False,
        "item_size_max": 1 << 20,
        "allow_flush_all": False,
        "allow_shutdown": False,
        "allow_reload": False,
        "allow_drain": False,
        "allow_admin": "local",
        "allow_pause": None,
        "allow_browse": None,
        "allow_drop": None,
        "allow_move": None,
        "allow_snapshot": False,
        "queue_path": Path("/var/spool/starling"),
        "sync": SyncPolicy("interval", 0.05),
        "segment_size": 16 << 20,
        "log_size": 64 << 20,
        "window_size": 64 << 20,
        "window_total": 96 << 20,
        "max_queues": 100_000,
        "max_children": 1000,
        "memory_max": None,
        "disk_free_min": 0,
        "quarantine": False,
        "engine": "local",
        "servers": None,
        "stream": "starling",
        "replicas": 3,
        "servers_monitoring": None,
        "takeover": 2.0,
        "advertise": None,
        "servers_credentials": None,
        "servers_ca": None,
        "servers_cert": None,
        "servers_key": None,
        "daemonize": False,
        "pid_file": None,
        "user": None,
        "group": None,
        "grace_time": 5.0,
        "logger": None,
        "syslog_channel": None,
        "audit_log": None,
        "log_level": "INFO",
        "log_format": "text",
        "queues": QueueTable(),
        "users": Users(),
        "routes": Routes(),
        "http": None,
    }


def test_an_empty_section_leaves_the_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "starling:\n  # port: 1\n") == Settings()


def test_overrides_beat_the_file_and_the_file_beats_the_default(tmp_path: Path) -> None:
    settings = read(tmp_path, "starling:\n  port: 1\n  host: '::1'\n", port="2")
    assert (settings.port, settings.host, settings.timeout) == (2, "::1", 0)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("port: '22122'", "port", 22122),
        ("port: 0", "port", 0),
        ("port: 65535", "port", 65535),
        ("timeout: 2.5", "timeout", 2.5),
        ("timeout: '30'", "timeout", 30.0),
        ("grace_time: 0", "grace_time", 0.0),
        ("path: /a", "queue_path", Path("/a")),
        ("log_file: /a/log", "logger", Path("/a/log")),
        ("log_level: warn", "log_level", "WARNING"),
        ("log_level: Fatal", "log_level", "CRITICAL"),
        ("log_format: json", "log_format", "json"),
        ("daemonize: yes", "daemonize", True),
        ("daemonize: off", "daemonize", False),
        ("user: 1000", "user", "1000"),
        ("group: 'yes'", "group", "yes"),
        ("pid_file:", "pid_file", None),
        ("pid_file: ~", "pid_file", None),
        ("syslog_channel: starling", "syslog_channel", "starling"),
        ("sync: never", "sync", SyncPolicy("never")),
        ("sync: ALWAYS", "sync", SyncPolicy("always")),
        ("sync: 1s", "sync", SyncPolicy("interval", 1.0)),
        ("sync: 1ms", "sync", SyncPolicy("interval", 0.001)),
        ("sync: 3600s", "sync", SyncPolicy("interval", 3600.0)),
        ("item_size_max: 1000", "item_size_max", 1000),
        ("item_size_max: 64K", "item_size_max", 64 << 10),
        ("item_size_max: 1024m", "item_size_max", 1 << 30),
        ("segment_size: 4096", "segment_size", 4096),
        ("window_size: 1024g", "window_size", 1 << 40),
        ("window_size: 1099511627776", "window_size", 1 << 40),
        ("segment_size: 1g", "segment_size", 1 << 30),
        ("memory_max: 2g", "memory_max", 2 << 30),
        ("disk_free_min: 0", "disk_free_min", 0),
    ],
)
def test_a_value_is_read_as_it_is_meant(
    tmp_path: Path, line: str, name: str, value: object
) -> None:
    assert getattr(read(tmp_path, f"starling:\n  {line}\n"), name) == value


def test_relative_paths_become_absolute_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = read(tmp_path, "starling:\n  queue_path: spool/a\n  pid_file: b\n", logger="c")
    here = tmp_path / "elsewhere"
    assert settings.queue_path == here / "spool/a"
    assert (settings.pid_file, settings.logger) == (here / "b", here / "c")


def test_a_relative_path_in_a_removed_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert expect_problem(tmp_path, "path: a").endswith("the working directory cannot be read")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("port: 65536", "port: 65536: must be a whole number from 0 to 65535"),
        ("port: -1", "port: -1: must be a whole number from 0 to 65535"),
        ("port: 22:22", "port: 22:22: must be a whole number from 0 to 65535"),
        ("port: 0777", "port: 0777: must be a whole number from 0 to 65535"),
        ("port: 22.5", "port: 22.5: must be a whole number from 0 to 65535"),
        ("port: '²'", "port: ²: must be a whole number from 0 to 65535"),
        ("port:", "port: '': must be a whole number from 0 to 65535"),
        ("port: [1, 2]", "port: (a list): must be a whole number from 0 to 65535"),
        ("port: {a: 1}", "port: (a mapping): must be a whole number from 0 to 65535"),
        ("port: !x 1", "port: !x 1: must be a whole number from 0 to 65535"),
        ("port: !!python/name:os.system ''", None),
        ("max_connections: 0", "max_connections: 0: must be a whole number from 1 to 1000000"),
        ("timeout: -1", "timeout: -1: must be a number of seconds, 0 or more"),
        ("timeout: .inf", "timeout: .inf: must be a number of seconds, 0 or more"),
        ("timeout: .nan", "timeout: .nan: must be a number of seconds, 0 or more"),
        ("timeout: 1:30", "timeout: 1:30: must be a number of seconds, 0 or more"),
        ("grace_time: soon", "grace_time: soon: must be a number of seconds, 0 or more"),
        ("host: 'a b'", "host: a b: must be a host name or an address"),
        ("host: 5", "host: 5: must be a host name or an address"),
        ("queue_path: 5", "queue_path: 5: must be a path"),
        ("queue_path: ''", "queue_path: '': must be a path"),
        ("queue_path: ~", "queue_path: ~: must be a path"),
        (
            "path: '~/a'",
            "path: ~/a: must be written out; '~' is not replaced by a home folder here",
        ),
        (r'logger: "a\0"', "logger: 'a\\x00': must be a path"),
        (r'logger: "a\ud800"', "logger: 'a\\ud800': must be a path"),
        ("log_level: 10", "log_level: 10: must be DEBUG, INFO, WARN, ERROR or FATAL"),
        ("log_level: LOUD", "log_level: LOUD: must be DEBUG, INFO, WARN, ERROR or FATAL"),
        ("daemonize: 1", "daemonize: 1: must be true or false"),
        ("daemonize: 'true'", "daemonize: true: must be true or false"),
        ("daemonize: !!bool x", None),
        ("user: ''", "user: '': must be a name or a number"),
        ("user: -1", "user: -1: must be a name or a number"),
        ("group: 'a:b'", "group: a:b: must be a name or a number"),
        ("sync: 50", "sync: 50: needs its unit, as in 50ms or 1s"),
        ("sync: '0'", "sync: 0: needs its unit, as in 50ms or 1s"),
        ("sync: 0ms", "sync: 0ms: must be never, always or a time from 1ms to 3600s"),
        ("sync: 3601s", "sync: 3601s: must be never, always or a time from 1ms to 3600s"),
        ("sync: 5 ms", "sync: 5 ms: must be never, always or a time from 1ms to 3600s"),
        (
            "item_size_max: 0",
            "item_size_max: 0: must be bytes from 1 to 1g, such as 4096, 64k or 1m",
        ),
        ("segment_size: 2g", "segment_size: 2g: must be bytes from 4k to 1g, such as 16m"),
        ("segment_size: 4095", "segment_size: 4095: must be bytes from 4k to 1g, such as 16m"),
        ("memory_max: 1k", "memory_max: 1k: must be bytes from 4k to 1024g, such as 2g"),
        ("max_queues: 0", "max_queues: 0: must be a whole number from 1 to 1000000"),
        ("queues: {}", "queues: must stand at the top, beside 'starling:'"),
        ("routes: {}", "routes: must stand at the top, beside 'starling:'"),
        (
            "dead_letter: dead",
            "dead_letter: is of a queue; it must stand below the queue's name, below 'queues:'",
        ),
        ("prot: 1", "prot: unknown setting; did you mean 'port'?"),
        ("Queue-Path: /a", "Queue-Path: unknown setting; did you mean 'queue_path'?"),
        ("logfile: /a", "logfile: unknown setting; did you mean 'log_file'?"),
        ("xyzzy: 1", "xyzzy: unknown setting"),
        ("yes: 1", "yes: unknown setting"),
        ("? [a]\n  : 1", "(a list): unknown setting"),
        ("<<: {port: 1}", "<<: merging is not done here; write in its place: port: 1"),
        (":port: 1", ":port: is a symbol of Ruby; write 'port:'"),
        (
            "listens_on: localhost:22122",
            "listens_on: unknown setting; that is a client's; a server has 'host' and 'port'",
        ),
        ("port: <%= 1 %>", None),
    ],
)
def test_a_bad_line_is_told_in_one_line(tmp_path: Path, line: str, message: str | None) -> None:
    if message is None:
        (problem,) = expect_problems(tmp_path, f"starling:\n  {line}\n")
        assert problem.startswith("conf.yml:2: ")
    else:
        assert expect_problem(tmp_path, line) == message


MOVES_AND_ROUTES = """\
starling:
routes:
  late: [%s]
  copies: [a]
queues:
  a:
    expire_to: b
  b:
    expire_to: late
  b+c:
    expire_to:
  d:
    expire_to: late
"""


@pytest.mark.parametrize(
    ("copies", "told"),
    [
        ("a", ["conf.yml:9: queues.b.expire_to: late: moves items in a circle: a -> b -> a"]),
        # What comes from there stays where it is moved to.
        ("b", []),
        ("d", []),
        # A route is not followed by another, and a child is not its parent.
        ("copies", []),
        ("b+c", []),
    ],
)
def test_routes_that_close_a_circle_of_moves_are_refused(
    tmp_path: Path, copies: str, told: list[str]
) -> None:
    text = MOVES_AND_ROUTES % copies
    if told:
        assert expect_problems(tmp_path, text) == told
    else:
        assert len(read(tmp_path, text).routes) == 2


@pytest.mark.parametrize("name", ["host", "user", "group", "path", "logger", "syslog_channel"])
@pytest.mark.parametrize("word", ["yes", "no", "on", "off"])
def test_a_bare_yes_or_no_is_not_taken_for_a_name(tmp_path: Path, name: str, word: str) -> None:
    message = expect_problem(tmp_path, f"{name}: {word}")
    assert message.startswith(f"{name}: {word}: must be ")
    assert message.endswith("a name like that needs quotes)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "conf.yml: empty: a 'starling:' section with the settings is missing"),
        ("# port: 1\n", "conf.yml: empty: a 'starling:' section with the settings is missing"),
        ("- a\n", "conf.yml: (a list): a 'starling:' section with the settings is missing"),
        ("word", "conf.yml: word: a 'starling:' section with the settings is missing"),
        ("{}", "conf.yml: no 'starling:' section"),
        ("starling: 5", "conf.yml:1: starling: 5: must be a mapping of settings"),
        ("starling: [a]", "conf.yml:1: starling: (a list): must be a mapping of settings"),
        ("starling:\n  port: a: b\n", "conf.yml:2: not YAML: mapping values are not allowed here"),
        ("starling:\n\tport: 1\n", None),
        (
            "starling:\n  host: 'a\n",
            "conf.yml:3: not YAML: while scanning a quoted scalar, found unexpected end of stream",
        ),
        ("starling:\n  host: *a\n", "conf.yml:2: not YAML: found undefined alias 'a'"),
        ("starling:\n  host: \x01\n", "conf.yml:2: not YAML: the character 0x1 is not allowed"),
        ('starling:\n  host: "\\U00110000"\n', None),
        (
            "starling:\n---\nstarling:\n",
            "conf.yml:2: not YAML: expected a single document in the stream, "
            "but found another document",
        ),
        (
            b"starling:\n  host: \xff\n",
            "conf.yml: is not UTF-8 text: invalid start byte at byte 18",
        ),
        ("[" * 100_000, "conf.yml: not YAML: nested too deeply"),
        ("#" * (1 << 20) + "#", "conf.yml: is larger than 1 MiB, so it is no configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_one_line(
    tmp_path: Path, text: str | bytes, message: str | None
) -> None:
    (problem,) = expect_problems(tmp_path, text)
    if message is None:
        assert re.match(r"conf\.yml(:[0-9])?: not YAML: ", problem)
    else:
        assert problem == message


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    for path, reason in {
        tmp_path / "none.yml": "No such file or directory",
        tmp_path: "Is a directory",
        Path("a\0b"): "embedded null byte",
    }.items():
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert caught.value.problems == [f"{path}: cannot be read: {reason}"]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
port: 1
starling:
  prot: 22122
  timeout: <%= 5 * 60 %>
  path: /a
  port: 1
  # pid_file: <%= comments may stay %>
  queue_path: /b
  sync: 50
  port: 2
queue:
  a: {}
queues:
  a: {max_itmes: 1}
routes:
  a: b
"""
    assert expect_problems(tmp_path, text, port="70000", log_level="LOUD", nothing=1) == [
        "conf.yml:1: port: must stand below 'starling:', indented",
        "conf.yml:3: starling.prot: unknown setting; did you mean 'port'?",
        "conf.yml:4: ERB (<%) is not evaluated; write the value itself",
        "conf.yml:8: starling.queue_path: is the same as 'path' on line 5; keep one",
        "conf.yml:9: starling.sync: 50: needs its unit, as in 50ms or 1s",
        "conf.yml:10: starling.port: stands already on line 6; keep one",
        "conf.yml:11: queue: unknown section; did you mean 'queues'?",
        "conf.yml:14: queues.a.max_itmes: unknown setting; did you mean 'max_items'?",
        "conf.yml:16: routes.a: must be a list of queue names, as in [audit]",
        "--port: 70000: must be a whole number from 0 to 65535",
        "--verbose: LOUD: must be DEBUG, INFO, WARN, ERROR or FATAL",
        "nothing: 1: unknown setting",
    ]


def test_a_value_is_checked_even_where_an_option_beats_it(tmp_path: Path) -> None:
    text = "starling:\n  port: x\n"
    assert expect_problems(tmp_path, text, port="1")[0].startswith("conf.yml:2: starling.port: x: ")


def test_erb_around_the_yaml_is_told_instead_of_what_it_does_to_the_yaml(tmp_path: Path) -> None:
    text = "starling:\n<% if true %>\n  port: 1\n<% end %>\n"
    assert expect_problems(tmp_path, text) == [
        f"conf.yml:{line}: ERB (<%) is not evaluated; write the value itself" for line in (2, 4)
    ]


def test_a_key_twice_on_one_line_and_a_section_twice_are_refused(tmp_path: Path) -> None:
    assert expect_problems(tmp_path, "starling: {port: 1, port: 1}\nstarling:\n") == [
        "conf.yml:1: starling.port: stands already on line 1; keep one",
        "conf.yml:2: starling: stands already on line 1; keep one",
    ]


def test_a_long_or_unprintable_value_is_shown_short_and_on_one_line(tmp_path: Path) -> None:
    assert len(expect_problem(tmp_path, f"port: {'x' * 10_000}")) < 200
    assert expect_problem(tmp_path, r'port: "a\nb\e[31m"').startswith(
        r"port: 'a\nb\x1b[31m': must be "
    )


def test_a_mapping_that_contains_itself_is_only_wrong(tmp_path: Path) -> None:
    assert expect_problems(tmp_path, "&a\nstarling: *a\n") == [
        "conf.yml:2: starling.starling: unknown setting"
    ]


def test_queues_and_routes_are_read_from_sections_of_their_own(tmp_path: Path) -> None:
    text = """\
starling:
  port: 1
queues:
  "*": {max_age: 2.5}
  jobs:
    max_size: 64m
    expire_to: "träge"
  empty:
routes:
  jobs.#: [audit, 5]
"""
    settings = read(tmp_path, text)
    assert settings == Settings(
        port=1,
        queues={"*": {"max_age": 2.5}, "jobs": JOBS, "empty": {}},
        routes={"jobs.#": ["audit", "5"]},
    )
    jobs = settings.queues.resolve(b"jobs")
    assert (jobs.max_age, jobs.max_bytes, jobs.expire_to) == (2.5, 64 << 20, "träge".encode())
    assert settings.routes.targets(b"jobs.new") == (b"audit", b"5")


JOBS = {"max_bytes": 64 << 20, "expire_to": "träge".encode()}


@pytest.mark.parametrize("text", ["queues:\n", "routes:\n", "queues: {}\nstarling:\n"])
def test_a_section_may_stand_alone_and_be_empty(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == Settings()


def test_everything_wrong_with_queues_and_routes_is_told_with_its_place(tmp_path: Path) -> None:
    text = r"""
queues:
  jobs: 5
  mail:
    max_size: 1
    max_bytes: 2
    max_items: many
    expire_to: [a]
    dead_letter: a/b
  "a b": {max_age: 0}
  mail: {}
  yes: {paused: maybe}
  "x\e[31m": {prot: 1}
  ? [a]
  : {}
  later:
    expire_to: later
  big:
    max_item_size: 2m
  once: {max_deliveries: 3}
routes:
  a*: [b]
  b: [c, c,
      d/e]
  c: {}
  c: []
"""
    assert expect_problems(tmp_path, text, item_size_max="64k") == [
        "conf.yml:3: queues.jobs: 5: must be a mapping of settings",
        "conf.yml:6: queues.mail.max_bytes: is the same as 'max_size' on line 5; keep one",
        "conf.yml:7: queues.mail.max_items: many: must be a whole number from 1 to 1000000000",
        "conf.yml:8: queues.mail.expire_to: (a list): must be a queue's name, "
        "1 to 250 bytes without slashes and blanks",
        "conf.yml:9: queues.mail.dead_letter: a/b: must be a queue's name, "
        "1 to 250 bytes without slashes and blanks",
        "conf.yml:10: queues.a b.max_age: 0: must be a number of seconds, 0.001 or more",
        "conf.yml:10: queues.a b: must be a queue's name, "
        "1 to 250 bytes without slashes and blanks, or a pattern of such",
        "conf.yml:11: queues.mail: stands already on line 4; keep one",
        "conf.yml:12: queues.yes.paused: maybe: must be true or false",
        "conf.yml:13: queues.'x\\x1b[31m'.prot: unknown setting",
        "conf.yml:13: queues.'x\\x1b[31m': must be a queue's name, "
        "1 to 250 bytes without slashes and blanks, or a pattern of such",
        "conf.yml:14: queues.(a list): must be a queue's name, "
        "1 to 250 bytes without slashes and blanks, or a pattern of such",
        "conf.yml:17: queues.later.expire_to: later: moves items in a circle: later -> later",
        "conf.yml:19: queues.big.max_item_size: 2m: "
        "must be at most the item_size_max of the server, 65536 bytes",
        "conf.yml:20: queues.once.max_deliveries: 3: needs dead_letter too, "
        "or what is delivered that often would be lost",
        "conf.yml:22: routes.a*: * and # must be whole words, with dots around them",
        "conf.yml:23: routes.b: c: stands twice; keep one",
        "conf.yml:24: routes.b: d/e: must be a queue's name, "
        "1 to 250 bytes without slashes and blanks",
        "conf.yml:25: routes.c: must be a list of queue names, as in [audit]",
        "conf.yml:26: routes.c: stands already on line 25; keep one",
    ]


@pytest.mark.parametrize("section", ["queues", "routes"])
@pytest.mark.parametrize("pattern", ["*", "*.log", "*log"])
def test_a_pattern_without_its_quotes_is_told(tmp_path: Path, section: str, pattern: str) -> None:
    (problem,) = expect_problems(tmp_path, f"{section}:\n  {pattern}: {{}}\n")
    assert problem.startswith("conf.yml:2: not YAML: ")
    assert problem.endswith(" (a pattern that begins with * needs quotes)")


def test_settings_made_by_code_are_checked_as_a_file_is() -> None:
    assert Settings(item_size_max="2k").item_size_max == 2048  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be a whole number from 0 to 65535"):
        Settings(port=-1)
    with pytest.raises(ValueError, match=r"jobs\.max_items: must be a whole number"):
        Settings(queues={"jobs": {"max_items": 0}})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_a_finished_value_is_taken_as_itself() -> None:
    for settings in (Settings(), load(ROOT / SAMPLES[1])):
        assert Settings(**attrs.asdict(settings, recurse=False)) == settings


@given(st.integers(1, 3_600_000))
def test_the_text_of_a_sync_policy_gives_the_policy(milliseconds: int) -> None:
    policy = SyncPolicy.parse(f"{milliseconds}ms")
    assert str(policy) == f"{milliseconds}ms"
    assert SyncPolicy.parse(str(policy)) == policy
    assert policy.interval * 1000 == pytest.approx(milliseconds)


@pytest.mark.parametrize(("kind", "interval"), [("never", 1), ("interval", 0), ("x", 0)])
def test_an_impossible_sync_policy_cannot_be_made(
    kind: Literal["never", "interval"], interval: float
) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        SyncPolicy(kind, interval)


TEXTS = st.text(st.characters(codec="utf-8"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.dates()
VALUES = st.recursive(
    SCALARS, lambda more: st.lists(more) | st.dictionaries(TEXTS, more), max_leaves=5
)
NAMES = st.sampled_from([setting.name for setting in TABLE]) | TEXTS
QUEUE_NAMES = st.sampled_from([setting.name for setting in QUEUE_TABLE]) | TEXTS
SNIPPETS = st.sampled_from(
    [
        "starling",
        "queues",
        "routes",
        "port",
        "path",
        "&a",
        "*a",
        "!!int",
        "!!bool",
        "<%",
        "<<",
        "---",
        "1:2",
    ]
) | st.sampled_from(":!{}[]'\"\\-?|>#~% \n")


def told(error: ConfigError) -> bool:
    return bool(error.problems) and all(problem.isprintable() for problem in error.problems)


def load_or_refuse(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        try:
            load(Path(file.name))
        except ConfigError as error:
            fine = told(error)
        else:
            fine = True
    assert fine


QUEUES = st.dictionaries(TEXTS, st.dictionaries(QUEUE_NAMES, VALUES) | VALUES)
ROUTES = st.dictionaries(TEXTS, st.lists(TEXTS) | VALUES)


@given(st.dictionaries(NAMES, VALUES) | VALUES, QUEUES | VALUES, ROUTES | VALUES)
def test_any_yaml_document_raises_nothing_but_config_error(
    section: object, queues: object, routes: object
) -> None:
    document = {"starling": section, "queues": queues, "routes": routes}
    load_or_refuse(yaml.safe_dump(document, allow_unicode=True).encode())
    load_or_refuse(yaml.safe_dump(section).encode())


@given(st.lists(SNIPPETS | TEXTS).map(lambda parts: "".join(parts).encode()) | st.binary())
def test_any_bytes_raise_nothing_but_config_error(data: bytes) -> None:
    load_or_refuse(data)


@given(st.dictionaries(NAMES, st.text()))
def test_any_text_of_an_option_raises_nothing_but_config_error(overrides: dict[str, str]) -> None:
    try:
        fine = load(None, overrides).queue_path.is_absolute()
    except ConfigError as error:
        fine = told(error)
    assert fine


def sample_lines(setting: Setting) -> tuple[str, str]:
    default = "" if setting.default is None else f" {setting.default_text}"
    return f"  # {setting.meaning} ({setting.allowed}).", f"  # {setting.name}:{default}"


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_loads(sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = load(ROOT / sample)
    assert settings.sync == SyncPolicy("interval", 0.05)
    assert not settings.daemonize
    if "development" in sample:
        assert settings == Settings(queue_path=ROOT / "spool/development")
    else:
        assert settings == Settings(
            pid_file=Path("/run/starling/starling.pid"),
            logger=Path("/var/log/starling/starling.log"),
        )


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_has_every_setting_with_its_true_default_and_no_other(sample: str) -> None:
    text = (ROOT / sample).read_text().split("\nstarling:\n")[1]
    lines = text.split("\n\n# What single queues are told")[0].splitlines()
    assert [re.match(r"  # (\w+):", line) for line in lines].count(None) == len(lines) - len(TABLE)
    for setting in TABLE:
        explanation, default = sample_lines(setting)
        assert lines.count(explanation) == lines.count(default) == 1
        assert lines.index(explanation) < lines.index(default) <= lines.index(explanation) + 2
        value = yaml.safe_load(default.replace("#", " "))[setting.name]
        assert getattr(Settings(**{setting.name: value}), setting.name) == getattr(
            Settings(), setting.name
        )


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_sets_only_what_differs_from_the_default(sample: str) -> None:
    section = yaml.safe_load((ROOT / sample).read_text())["starling"]
    defaults = {setting.name: setting.default for setting in TABLE}
    assert all(value != defaults[name] for name, value in section.items())


@pytest.mark.parametrize("sample", SAMPLES)
def test_what_a_sample_shows_of_queues_and_routes_in_comments_is_good(
    sample: str, tmp_path: Path
) -> None:
    tail = (ROOT / sample).read_text().split("\n\n# What single queues are told")[1]
    shown = tail.partition("\n")[2].partition("\n# What is told by HTTP")[0]
    shown = re.sub("^# (?=queues:|routes:| )", "", shown, flags=re.MULTILINE)
    settings = read(tmp_path, shown)
    assert len(settings.queues) == 4
    assert len(settings.routes) == 2


def rows_below(heading: str) -> list[str]:
    """Return the rows of the tables in one chapter of the documentation."""
    text = (ROOT / "docs/configuration.md").read_text()
    chapter = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for line in chapter.splitlines() if line.startswith("| `")]


def test_the_documentation_has_every_queue_setting_as_the_class_has_it() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert rows_below("Settings of single queues") == [
        f"| `{setting.name}` | {setting.allowed} | `{setting.default_text}` | {setting.meaning} |"
        for setting in QUEUE_TABLE
    ]
    for old, new in aliases(QueueSettings).items():
        assert f"`{old}` is an old name of `{new}`" in text or f"`{old}` of `{new}`" in text


def test_the_documentation_has_every_setting_of_a_user_as_the_class_has_it() -> None:
    assert rows_below("Users") == [
        f"| `{setting.name}` | {setting.allowed} | `{setting.default_text}` | {setting.meaning} |"
        for setting in USER_TABLE
    ]


def test_the_queues_and_routes_of_the_documentation_do_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    blocks = re.findall("```yaml\n(.*?)```", text, re.DOTALL)
    (section,) = (block for block in blocks if block.startswith("queues:"))
    (more,) = (block for block in blocks if block.startswith("routes:"))
    settings = read(tmp_path, section + more)
    assert settings.queues.resolve(b"mail.eu").dead_letter == b"failed"
    assert settings.queues.resolve(b"mail.eu").expire_to == b"too_late"
    assert settings.queues.resolve(b"thumbnails").max_bytes is None
    assert settings.queues.resolve(b"failed").dead_letter is None
    assert settings.routes.targets(b"orders.eu.paid") == (b"audit", b"shipping", b"billing")
    assert settings.routes.targets(b"orders") == (b"audit",)


def test_the_documentation_has_every_setting_as_the_class_has_it() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert rows_below("All settings") == [
        f"| `{setting.name}` | {', '.join(f'`{flag}`' for flag in setting.flags) or 'none'}"
        f" | {setting.allowed} | `{setting.default_text}` | {setting.meaning} |"
        for setting in TABLE
    ]
    for setting in TABLE:
        assert (
            not setting.alias
            or f"`{setting.alias}` is an old name of" in text
            or (f"`{setting.alias}` of `{setting.name}`" in text)
        )


def test_the_examples_in_the_documentation_are_true(tmp_path: Path) -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert THE_BOOK in text
    bad = "starling:\n  prot: 1\n\n\n  sync: 50\n"
    for problem in expect_problems(tmp_path, bad, port="70000"):
        assert f"\nstarling-py: {problem}\n" in text


def test_every_setting_of_the_class_is_in_the_table() -> None:
    names = [field.name for field in attrs.fields(Settings)]
    assert [setting.name for setting in TABLE] + ["queues", "users", "routes", "http"] == names


def test_a_setting_that_stands_at_the_wrong_level_is_told_where_it_belongs(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text("starling:\n  port: 1\nmax_age: 3\nqueues:\n  jobs:\n    timeout: 4\n")
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert str(refused.value).splitlines() == [
        f"{path}:3: max_age: is of a queue; it must stand below the queue's name, below 'queues:'",
        f"{path}:6: queues.jobs.timeout: is of the server; it must stand below 'starling:'",
    ]
