"""Files as Rails, Workling and Kestrel have them: a line says what to change, and is right."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from starling_py.settings.config_file import load
from starling_py.settings.errors import ConfigError
from starling_py.settings.server_settings import Settings

TOLD = "environments, as Rails has them, are not chosen here"


def problems(folder: Path, text: str) -> list[str]:
    """Return what is wrong with a file, as if it had been named ``conf.yml``."""
    path = folder / "conf.yml"
    path.write_text(text)
    try:
        load(path)
    except ConfigError as error:
        return [line.replace(f"{folder}/", "") for line in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("development:\n  port: 1\nproduction:\n  port: 2\n",
         f"conf.yml:1: development, production: {TOLD};"
         " keep one, and write 'starling:' in place of 'production:' on line 3"),
        ("development:\n  port: 1\ntest:\n  port: 2\n",
         f"conf.yml:1: development, test: {TOLD};"
         " keep one, and write 'starling:' in place of 'test:' on line 3"),
        ("production:\n  starling:\n    port: 1\n",
         f"conf.yml:1: production: {TOLD};"
         " move 'starling:' from line 2 to the top, and take them out"),
        ("starling:\n  port: 1\ndevelopment:\n  port: 2\n",
         f"conf.yml:3: development: {TOLD};"
         " take them out, what counts is below 'starling:' on line 1"),
        ("defaults: &defaults\n  timeout: 3\n  host: a\nstaging:\n  <<: *defaults\n  port: 2\n",
         f"conf.yml:1: defaults, staging: {TOLD}; keep one, and write 'starling:' in place of"
         " 'staging:' on line 4, and in place of its '<<': timeout: 3, host: a"),
        ("live:\n  queue_path: /a\n",
         f"conf.yml:1: live: {TOLD};"
         " keep one, and write 'starling:' in place of 'live:' on line 1"),
        (":development:\n  :port: 1\n",
         f"conf.yml:1: development: {TOLD};"
         " keep one, and write 'starling:' in place of 'development:' on line 1"),
        ("production: localhost:22122\n",
         f"conf.yml:1: production: {TOLD};"
         " keep one, and write 'starling:' in place of 'production:' on line 1"),
        ("a: {port: 1}\nb: {port: 1}\nc: {port: 1}\nd: {port: 1}\ne: {port: 1}\nf: {port: 1}\n",
         f"conf.yml:1: a, b, c, d, e, ...: {TOLD};"
         " keep one, and write 'starling:' in place of 'f:' on line 6"),
    ],
)  # fmt: skip
def test_environments_are_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert problems(tmp_path, text) == [told]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("development:\n  port: 1\nproduction:\n  port: 2\n", "starling:\n  port: 2\n"),
        ("production:\n  starling:\n    port: 2\n", "starling:\n    port: 2\n"),
        ("starling:\n  port: 2\ntest:\n  port: 1\n", "starling:\n  port: 2\n"),
    ],
)
def test_what_the_line_says_makes_the_file_good(tmp_path: Path, before: str, after: str) -> None:
    assert len(problems(tmp_path, before)) == 1
    assert problems(tmp_path, after) == []
    assert load(tmp_path / "conf.yml") == Settings(port=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("starling:\n  <<: {port: 1, host: a}\n",
         ["conf.yml:2: starling.<<: merging is not done here;"
          " write in its place: port: 1, host: a"]),
        ("starling:\n  <<: [{port: 1}, {host: a}]\n",
         ["conf.yml:2: starling.<<: merging is not done here;"
          " write in its place: port: 1, host: a"]),
        ("starling:\n  <<: 5\n",
         ["conf.yml:2: starling.<<: merging is not done here; write in its place:"
          " what it stands for"]),
        ("<<: {port: 1}\nstarling:\n",
         ["conf.yml:1: <<: merging is not done here; write in its place: port: 1"]),
        ("queues:\n  a: &a {max_items: 1}\n  b: {<<: *a}\n",
         ["conf.yml:3: queues.b.<<: merging is not done here; write in its place: max_items: 1"]),
    ],
)  # fmt: skip
def test_a_merge_is_told_with_the_lines_to_write(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    assert problems(tmp_path, text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (":starling:\n  port: 1\n", [":starling: is a symbol of Ruby; write 'starling:'"]),
        ("starling:\n  :port: 1\n", ["starling.:port: is a symbol of Ruby; write 'port:'"]),
        ("starling:\n  !ruby/symbol port: 1\n",
         ["starling.:port: is a symbol of Ruby; write 'port:'"]),
        ("starling:\n  :host: a\n  :port: 1\n  :path: /a\n",
         ["starling.:host: is a symbol of Ruby; write 'host:', and so for the others here"]),
        ("starling:\n  :port: 70000\n",
         ["starling.:port: is a symbol of Ruby; write 'port:'",
          "starling.port: 70000: must be a whole number from 0 to 65535"]),
        ("starling:\n  :port: 1\n  port: 2\n",
         ["starling.:port: is a symbol of Ruby; write 'port:'",
          "starling.port: stands already on line 2; keep one"]),
        ("starling:\n  log_level: :debug\n",
         ["starling.log_level: :debug: must be DEBUG, INFO, WARN, ERROR or FATAL"
          " (a symbol of Ruby; write 'debug')"]),
    ],
)  # fmt: skip
def test_symbols_of_ruby_are_told_without_their_colon(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    assert [line.split(": ", 1)[1] for line in problems(tmp_path, text)] == told


def test_a_queue_may_have_a_name_that_looks_like_a_symbol(tmp_path: Path) -> None:
    text = "queues:\n  :jobs: {max_items: 1}\n  '<<': {}\nroutes:\n  :a: [b]\n"
    assert problems(tmp_path, text) == []


def test_settings_at_the_top_are_told_and_nothing_else(tmp_path: Path) -> None:
    assert problems(tmp_path, "host: a\nport: 1\n") == [
        "conf.yml:1: host: must stand below 'starling:', indented",
        "conf.yml:2: port: must stand below 'starling:', indented",
    ]


def test_a_section_that_is_nearly_the_right_one_is_still_guessed(tmp_path: Path) -> None:
    assert problems(tmp_path, "starling:\nqueue:\n  jobs: {max_items: 1}\n") == [
        "conf.yml:2: queue: unknown section; did you mean 'queues'?"
    ]


WORDS = st.sampled_from(
    ["development", "production", "starling", ":starling", "defaults", "port", ":port", "<<",
     "host", "queues", "listens_on", "a b", "x\n"]
)  # fmt: skip
TREES = st.recursive(
    st.integers() | st.text(max_size=5) | WORDS,
    lambda more: st.dictionaries(WORDS, more, max_size=4) | st.lists(more, max_size=2),
    max_leaves=12,
)


@given(tree=st.dictionaries(WORDS, TREES, max_size=5))
def test_whatever_is_told_of_any_such_file_is_a_line_each(
    tree: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for line in problems(tmp_path_factory.mktemp("rails"), yaml.safe_dump(tree)):
        assert line.isprintable()
        assert line.startswith("conf.yml:")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("starling:\n  maxItems: 1\n",
         "starling.maxItems: unknown setting; write 'max_items', of a queue, below 'queues:'"),
        ("starling:\n  clientTimeout: 1\n",
         "starling.clientTimeout: unknown setting; did you mean 'timeout'?"),
        ("queues:\n  a: {maxItems: 1}\n",
         "queues.a.maxItems: unknown setting; did you mean 'max_items'?"),
        ("queues:\n  a: {keepJournal: false}\n",
         "queues.a.keepJournal: unknown setting; did you mean 'journal'?"),
        ("queues:\n  a: {maxMemorySize: 1}\n",
         "queues.a.maxMemorySize: unknown setting;"
         " write 'window_size', of the server, below 'starling:'"),
        ("queues:\n  a: {maxJournalSize: 1}\n",
         "queues.a.maxJournalSize: unknown setting; there is none, the journal is kept short by"
         " itself; 'segment_size', of the server, is near"),
    ],
)  # fmt: skip
def test_kestrels_names_are_told_with_ours(tmp_path: Path, text: str, told: str) -> None:
    assert [line.split(": ", 1)[1] for line in problems(tmp_path, text)] == [told]


def test_kestrels_configuration_is_told_in_one_line(tmp_path: Path) -> None:
    scala = 'import com.twitter.conversions.time._\n\nnew KestrelConfig {\n  queuePath = "/a"\n}\n'
    (line,) = problems(tmp_path, scala)
    assert line.startswith("conf.yml:1: this is Kestrel's configuration, in Scala; write YAML")
    assert problems(tmp_path, "port=22133\ndata=/x\n") == [
        "conf.yml:1: this is no YAML; below a line 'starling:', write '  port: 22133'"
    ]
