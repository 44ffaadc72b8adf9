"""What other servers call their settings: told, and never accepted."""

import re
from pathlib import Path

import pytest

from starling_py.settings.config_file import load
from starling_py.settings.errors import ConfigError
from starling_py.settings.queue_settings import QUEUE_TABLE
from starling_py.settings.relatives import advice, other_format
from starling_py.settings.server_settings import TABLE

PAGE = Path(__file__).parents[2] / "docs/coming-from.md"

OF_KESTREL = [
    "listenAddress", "memcacheListenPort", "textListenPort", "thriftListenPort", "queuePath",
    "clientTimeout", "maxOpenTransactions", "connectionBacklog", "expirationTimerFrequency",
    "statusFile", "defaultStatus", "statusChangeGracePeriod", "enableSessionTrace",
    "connectionLimitRefuseWrites", "connectionLimitRefuseReads", "zookeeper", "beFactoryClass",
    "admin.httpPort", "admin.statsNodes", "loggers", "queues", "aliases",
]  # fmt: skip
OF_KESTREL_QUEUES = [
    "maxItems", "maxSize", "maxItemSize", "maxAge", "defaultJournalSize", "maxMemorySize",
    "maxJournalSize", "minJournalCompactDelay", "discardOldWhenFull", "keepJournal", "syncJournal",
    "multifileJournal", "expireToQueue", "maxExpireSweep", "fanoutOnly", "maxQueueAge",
    "enableTrace", "disableAggressiveRewrites", "openTransactionTimeout",
    "whiteListClientIdForDequeue", "whiteListClientIdForEnqueue",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("keepJournal", "write 'journal', of a queue, below 'queues:'"),
        ("keep_journal", "write 'journal', of a queue, below 'queues:'"),
        ("syncJournal", "write 'sync', of the server, below 'starling:'"),
        ("listens_on", "that is a client's; a server has 'host' and 'port'"),
        ("thriftListenPort", "there is no such protocol here"),
    ],
)
def test_the_name_of_another_server_is_translated(name: str, told: str) -> None:
    assert advice(name) == told


def test_no_setting_of_ours_is_taken_for_another_servers() -> None:
    own = [each.name for each in (*TABLE, *QUEUE_TABLE)]
    for name in own:
        told = advice(name)
        assert told is None or f"'{name}'" in told


def test_what_is_advised_is_a_setting() -> None:
    known = {each.name for each in (*TABLE, *QUEUE_TABLE)}
    for name in (*OF_KESTREL, *OF_KESTREL_QUEUES, "listens_on", "data"):
        for word in re.findall(r"'(\w+)'", advice(name) or ""):
            assert word in known


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("import com.twitter.conversions.time._\n\nnew KestrelConfig {\n}\n", 1, "in Scala"),
        ("// ours\nnew KestrelConfig {\n  queuePath = '/a'\n}\n", 2, "in Scala"),
        ("port = 22133\n", 1, "write '  port: 22133'"),
        ("# Kestrel\n\nqueue_path = \"/a\" # here\nlog {\n}\n", 3, "write '  queue_path: \"/a\"'"),
        ("port=22133\ndata=/x\n", 1, "write '  port: 22133'"),
    ],
)  # fmt: skip
def test_a_file_in_another_servers_format_is_recognised(text: str, line: int, what: str) -> None:
    found = other_format(text)
    assert found is not None
    assert found[0] == line
    assert what in found[1]


@pytest.mark.parametrize(
    "text", ["", "starling:\n  port: 1\n", "# a = b\n", "---\nstarling:\n", "'a = b': 1\n",
             "starling: {logger: /a=b}\n", "queues:\n  a=b: {}\n", "word\n"],
)  # fmt: skip
def test_what_may_be_yaml_is_left_to_yaml(text: str) -> None:
    assert other_format(text) is None


@pytest.mark.parametrize("text", [" " * 500_000, "\n" * 500_000, "a =" + " " * 500_000 + "x" * 9])
def test_a_long_file_of_nothing_is_looked_at_once(text: str) -> None:
    other_format(text)  # with a search that goes back and forth, this would take hours


def rows() -> dict[str, str]:
    """Return what the page says of each name in the first columns of its tables."""
    found = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            first, second, *_ = line.strip("| ").split(" | ")
            found.update(dict.fromkeys(re.findall(r"`([\w.]+)`", first), second))
    return found


@pytest.mark.parametrize("name", OF_KESTREL + OF_KESTREL_QUEUES)
def test_the_page_says_what_there_is_for_each_setting_of_kestrel(name: str) -> None:
    assert rows()[name]


@pytest.mark.parametrize("name", OF_KESTREL + OF_KESTREL_QUEUES)
def test_messages_say_what_the_page_says(name: str) -> None:
    told = advice(name) or ""
    for word in re.findall(r"write '(\w+)'", told):
        assert f"`{word}`" in rows()[name]
    if told.startswith("there is none"):
        assert rows()[name].startswith("none")


def test_what_the_page_says_to_write_is_good(tmp_path: Path) -> None:
    blocks = re.findall("```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        (tmp_path / "conf.yml").write_text(block)
        load(tmp_path / "conf.yml")


def test_what_the_page_says_to_change_is_refused(tmp_path: Path) -> None:
    (block,) = re.findall("```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "conf.yml").write_text(block)
    with pytest.raises(ConfigError, match=r"write 'starling:' in place of 'production:' on line 3"):
        load(tmp_path / "conf.yml")


def test_every_setting_that_the_page_names_is_one() -> None:
    known = {each.name for each in (*TABLE, *QUEUE_TABLE)} | {"max_size", "move_expired_to"}
    chapter = PAGE.read_text().split("### Kestrel's settings")[1]
    table = chapter.split("Kestrel's `production.scala`")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            ours = line.strip("| ").split(" | ")[1]
            for word in re.findall(r"`([a-z]+_[a-z_]+)", ours):
                assert word in known
