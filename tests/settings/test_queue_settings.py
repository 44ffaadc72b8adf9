"""What one queue may be told, and that every default means no limit."""

import ast
from pathlib import Path

import attrs
import pytest

import starling_py
from starling_py.settings.kinds import Setting
from starling_py.settings.queue_settings import QUEUE_TABLE, QueueSettings, limits_puts
from starling_py.settings.server_settings import TABLE

UNLIMITED = {
    "max_items": None,
    "max_bytes": None,
    "max_item_size": None,
    "discard_old_when_full": False,
    "max_age": None,
    "ignore_client_expiry": False,
    "expire_to": None,
    "max_deliveries": None,
    "dead_letter": None,
    "open_timeout": None,
    "max_open_reads": 100,
    "close_by_id": False,
    "default_wait": 0,
    "max_wait": None,
    "once_window": 600.0,
    "once_limit": 100_000,
    "fanout_only": False,
    "journal": True,
    "idle_expire": None,
    "paused": False,
    "refuse_delete": False,
}


def test_by_default_a_queue_has_no_limits() -> None:
    assert attrs.asdict(QueueSettings()) == UNLIMITED


def test_queue_settings_are_in_the_table_without_options_or_server_names() -> None:
    assert [setting.name for setting in QUEUE_TABLE] == list(UNLIMITED)
    assert not any(setting.flags for setting in QUEUE_TABLE)
    names = {name for setting in TABLE for name in (setting.name, setting.alias)}
    assert not names & {name for each in QUEUE_TABLE for name in (each.name, each.alias) if name}


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("max_items", "1", 1),
        ("max_items", 1_000_000_000, 1_000_000_000),
        ("max_bytes", "1024G", 1 << 40),
        ("max_item_size", "64k", 64 << 10),
        ("max_age", "0.001", 0.001),
        ("open_timeout", 30, 30.0),
        ("idle_expire", 3600, 3600.0),
        ("expire_to", "träge", "träge".encode()),
        ("expire_to", b"\xff", b"\xff"),
        ("expire_to", 5, b"5"),
        ("expire_to", "x" * 250, b"x" * 250),
        ("expire_to", "a+b", b"a+b"),
        ("expire_to", None, None),
        ("max_open_reads", 1_000_000, 1_000_000),
        ("default_wait", "5000", 5000),
        ("max_wait", 0, 0),
        ("max_wait", 2147483647, 2147483647),
        ("journal", False, False),
    ],
)
def test_a_value_is_taken_as_it_is_meant(name: str, given: object, value: object) -> None:
    settings = QueueSettings(**{name: given})  # type: ignore[arg-type]
    assert getattr(settings, name) == value
    assert QueueSettings(**attrs.asdict(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_items", 0),
        ("max_items", "1k"),
        ("max_bytes", "0"),
        ("max_bytes", True),
        ("max_item_size", "2g"),
        ("max_age", 0),
        ("max_age", -1),
        ("max_age", float("inf")),
        ("max_open_reads", None),
        ("default_wait", "5s"),
        ("default_wait", -1),
        ("max_wait", 2147483648),
        ("paused", 1),
        ("journal", None),
    ],
)
def test_a_bad_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        QueueSettings(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "a b", "a\tb", "a\nb", "a\x7f", "\x85", "\xa0", "\ud800", "é" * 126, b"", True],
)
def test_a_target_must_be_a_name_that_clients_can_send(name: object) -> None:
    with pytest.raises(ValueError, match=r"^must be a queue's name, 1 to 250 bytes"):
        QueueSettings(expire_to=name)  # type: ignore[arg-type]


@pytest.mark.parametrize("pattern", ["*", "mail.*", "a?"])
def test_a_target_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match="for patterns"):
        QueueSettings(dead_letter=pattern, max_deliveries=1)  # type: ignore[arg-type]


def test_deliveries_are_not_limited_without_a_dead_letter_queue() -> None:
    for values in ({"max_deliveries": 3}, {"dead_letter": b"failed"}):
        with pytest.raises(ValueError, match="need each other"):
            QueueSettings(**values)
    assert QueueSettings(max_deliveries=3, dead_letter=b"failed").max_deliveries == 3


@pytest.mark.parametrize("module", ["limits", "delivery"])
def test_what_the_limits_ask_for_says_that_it_limits_puts(module: str) -> None:
    # A limit that does not say so would be ignored by the quick way of a put.
    source = Path(starling_py.__file__).parent / "queues" / f"{module}.py"
    asked = {
        node.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "settings"
    }
    only_beside_a_limit = {"discard_old_when_full"}
    said = {each.name for each in QUEUE_TABLE if each.limits_puts}
    assert asked - only_beside_a_limit <= said


@pytest.mark.parametrize("setting", QUEUE_TABLE, ids=lambda each: each.name)
def test_a_setting_that_limits_puts_is_seen_in_what_has_it(setting: Setting) -> None:
    pair: dict[str, object] = {"max_deliveries": 3, "dead_letter": b"dead"}
    is_flag = isinstance(setting.default, bool)
    value = b"late" if setting.name == "expire_to" else not setting.default if is_flag else 5
    values = pair if setting.name in pair else {setting.name: value}
    assert limits_puts(QueueSettings(**values)) is setting.limits_puts
    assert not limits_puts(QueueSettings())
