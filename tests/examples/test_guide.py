"""The guide's examples, held against a real server, and the code's tables against the guide."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from starling_py.keys import _GET_OPTIONS, _STORE_OPTIONS
from starling_py.protocol.commands import Verb
from starling_py.protocol.text_lines import _KEY_LISTS, _PARSERS
from starling_py.settings.kinds import Setting
from starling_py.settings.queue_settings import QUEUE_TABLE
from starling_py.stats import Counters, QueueSnapshot
from tests.examples.guide import GUIDE, Actor, Scenario, scenarios, sent_lines

REFERENCE = GUIDE.with_name("protocol.md")

STORING = {verb.value for verb in Verb}
READING = {word.decode() for word in _KEY_LISTS}


def sent_options(commands: set[str]) -> set[str]:
    """Return the options that the keys of these commands have in the guide."""
    found: set[str] = set()
    for line in sent_lines():
        word, *rest = line.split()
        if word in commands:
            keys = rest if word in READING else rest[:1]
            for key in keys:
                found.update(re.findall("/([a-z]+)", key))
    return found


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda each: each.title.replace(" ", "-"))
def test_what_the_guide_says_is_what_the_server_answers(scenario: Scenario, tmp_path: Path) -> None:
    with Actor(scenario, tmp_path) as actor:
        actor.act()


@pytest.mark.parametrize("word", [word.decode() for word in _PARSERS])
def test_every_command_has_an_example(word: str) -> None:
    assert any(line.split()[0] == word for line in sent_lines() if line)


@pytest.mark.parametrize("option", sorted(option.decode() for option in _GET_OPTIONS))
def test_every_option_of_a_get_has_an_example(option: str) -> None:
    assert option in sent_options(READING)


@pytest.mark.parametrize("option", sorted(option.decode() for option in _STORE_OPTIONS))
def test_every_option_of_a_put_has_an_example(option: str) -> None:
    assert option in sent_options(STORING)


@pytest.mark.parametrize("setting", QUEUE_TABLE, ids=lambda setting: setting.name)
def test_every_setting_of_a_queue_has_an_example(setting: Setting) -> None:
    files = [yaml.safe_load(each.settings) for each in scenarios() if each.settings]
    entries = [entry for file in files for entry in file.get("queues", {}).values()]
    assert any(setting.name in entry for entry in entries)


@pytest.mark.parametrize("option", sorted(each.decode() for each in _GET_OPTIONS | _STORE_OPTIONS))
def test_the_reference_has_every_option(option: str) -> None:
    assert re.search(rf"`[^`]*/{option}\b[^`]*`", REFERENCE.read_text())


def test_the_reference_has_every_command() -> None:
    listed = set(re.findall(r"`([a-z_]+)[^`]*`", REFERENCE.read_text()))
    assert {word.decode() for word in _PARSERS} <= listed


def test_the_reference_has_every_statistic() -> None:
    listed = set(re.findall(r"`(\w+)`", REFERENCE.read_text()))
    of_queues = {field.name for field in dataclasses.fields(QueueSnapshot)} - {"name"}
    wanted = {f"queue_Q_{name}" for name in of_queues}
    assert wanted | {each.name for each in dataclasses.fields(Counters)} <= listed
