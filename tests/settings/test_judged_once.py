"""Each value is judged once, and what is good is not judged again to make an object of it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import attrs
import pytest

from starling_py.settings import command_line, kinds
from starling_py.settings.config_file import load
from starling_py.settings.kinds import Kind, from_converted
from starling_py.settings.queue_settings import QueueSettings
from starling_py.settings.queue_table import QueueTable
from starling_py.settings.routes import Routes
from starling_py.settings.server_settings import TABLE, Settings
from starling_py.settings.users import Users

ROOT = Path(__file__).parents[2]
CLASSES = (Settings, QueueSettings, QueueTable, Users, Routes)


@attrs.define
class Seen:
    """What was judged while something was done, and which objects of settings were made."""

    judged: list[object] = attrs.field(factory=list)
    made: list[type] = attrs.field(factory=list)
    """Those that were made of good values."""
    judging: list[type] = attrs.field(factory=list)
    """Those whose own constructors, which judge, were called."""

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call of a function of Python."""
        if event != "call":
            return
        given = frame.f_locals
        if frame.f_code is Kind.__call__.__code__:
            self.judged.append(given["value"])
        elif frame.f_code is from_converted.__code__:
            self.made.append(given["settings"])
        elif frame.f_code.co_name == "__init__" and type(given.get("self")) in CLASSES:
            self.judging.append(type(given["self"]))


def seen(work: Callable[[], object]) -> Seen:
    """Do some work and return what it judged and made."""
    found = Seen()
    before = sys.getprofile()
    sys.setprofile(found)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


@pytest.fixture
def three_lines(tmp_path: Path) -> Path:
    path = tmp_path / "conf.yml"
    path.write_text("queues:\n  jobs:\n    max_items: 5\n")
    return path


def test_the_only_value_of_a_file_is_judged_once(three_lines: Path) -> None:
    found = seen(lambda: load(three_lines))
    assert found.judged == [5]
    assert load(three_lines).queues.resolve(b"jobs") == QueueSettings(max_items=5)


def test_no_object_is_made_to_be_thrown_away(three_lines: Path) -> None:
    with three_lines.open("a") as file:
        file.write("routes:\n  jobs: [audit]\n")
    found = seen(lambda: load(three_lines))
    made = sorted(each.__name__ for each in found.made)
    assert made == ["QueueTable", "Routes", "Settings", "Users"]
    assert found.judging == []


def test_each_value_of_every_section_is_judged_once(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text(
        "starling:\n  port: 7\n  path: /spool\n  sync: 10ms\n"
        "queues:\n  '*':\n    max_age: 8\n  a:\n    max_items: 9\n    expire_to: b\n"
        "routes:\n  a.#: [x, y]\n"
    )
    found = seen(lambda: load(path))
    assert found.judged == [7, "/spool", "10ms", 8, 9, "b", "x", "y"]


def test_of_a_file_with_every_setting_each_is_judged_once(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    lines = [f"  {each.name}: {each.default_text}" for each in TABLE if each.default is not None]
    path.write_text("\n".join(["starling:", *lines]))
    found = seen(lambda: load(path))
    expected = [each.default for each in TABLE if each.default is not None]
    assert found.judged == expected
    assert found.made.count(Settings) == 1


def test_options_and_what_they_override_are_judged_once_each(tmp_path: Path) -> None:
    path = tmp_path / "conf.yml"
    path.write_text("starling:\n  port: 1\n")
    line = command_line.parse(["-f", str(path), "-p", "2", "-v"])
    found = seen(line.read_again)
    assert found.judged == ["2", "DEBUG", 1]
    assert found.judging == []


def test_what_a_queue_has_been_given_is_not_judged_when_it_is_asked_for() -> None:
    table = QueueTable({"jobs*": {"max_items": 5, "max_deliveries": 3, "dead_letter": "failed"}})
    found = seen(lambda: table.resolve(b"jobs"))
    assert found == Seen(made=[QueueSettings])


def test_tables_made_in_code_judge_what_they_are_given_once() -> None:
    assert seen(lambda: QueueTable({"jobs": {"max_items": 5}})).judged == [5]
    assert seen(lambda: Routes({"jobs": ["audit"]})).judged == ["audit"]


def test_settings_made_in_code_judge_what_they_are_given() -> None:
    with pytest.raises(ValueError, match="must be a whole number from 0 to 65535"):
        Settings(port=65536)
    with pytest.raises(ValueError, match=r"^jobs\.max_items: must be a whole number"):
        Settings(queues={"jobs": {"max_items": 0}})


@pytest.mark.parametrize("settings", CLASSES)
def test_defaults_that_are_not_judged_are_those_that_are(settings: type) -> None:
    unjudged: object = from_converted(settings)
    assert unjudged == settings()
    for field in attrs.fields(settings):
        if field.eq:
            value = getattr(settings(), field.name)
            assert type(getattr(unjudged, field.name)) is type(value)


def test_what_is_made_of_good_values_is_as_frozen_as_what_judges() -> None:
    made = from_converted(QueueSettings, max_items=5)
    assert made == QueueSettings(max_items=5)
    assert hash(made) == hash(QueueSettings(max_items=5))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        made.max_items = 6  # type: ignore[misc]


def test_a_name_that_the_class_does_not_have_is_no_setting() -> None:
    with pytest.raises(AttributeError):
        from_converted(QueueSettings, max_item=5)


@pytest.mark.parametrize("settings", [Settings, QueueSettings])
def test_every_default_in_a_table_may_be_given(settings: type) -> None:
    given = {each.name: each.default for each in kinds.table(settings)}
    assert settings(**given) == settings()
